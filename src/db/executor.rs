//! What a statement runs on.

use sqlx::SqliteConnection;
use sqlx::pool::MaybePoolConnection;

use super::lent::{Lent, Writes};
use super::{Db, Error, Tx};

/// Where a statement runs: in a transaction, on any connection of the database, or on a connection of its caller's.
pub enum Executor<'e> {
    /// The database.
    Db(&'e Db),
    /// A transaction.
    Tx(&'e mut Tx),
    /// A connection of one's own to SQLite's file; the ledger's writer has one.
    Own(&'e mut SqliteConnection),
}

impl<'e> Executor<'e> {
    /// The same for one statement, where several are to run.
    pub fn again(&mut self) -> Executor<'_> {
        match self {
            Self::Db(db) => Executor::Db(db),
            Self::Tx(tx) => Executor::Tx(tx),
            Self::Own(connection) => Executor::Own(connection),
        }
    }

    pub(super) async fn reading(self) -> Result<Lent<'e>, Error> {
        match self {
            Self::Db(Db::Sqlite(db)) => Ok(Lent::Sqlite(db.read().acquire().await?.into(), Writes::Unnoted)),
            // Boxed, so that what it takes to connect to a server is not part of every future that runs a statement.
            Self::Db(Db::Postgres(db)) => Ok(Lent::Postgres(Box::pin(db.pool().acquire()).await?.into())),
            Self::Tx(tx) => Ok(tx.lend()),
            Self::Own(connection) => Ok(Lent::Sqlite(MaybePoolConnection::Connection(connection), Writes::Unnoted)),
        }
    }

    pub(super) async fn writing(self) -> Result<Lent<'e>, Error> {
        match self {
            Self::Db(Db::Sqlite(db)) => {
                let connection = db.write().acquire().await.inspect_err(|error| db.writes().failed(error))?;
                Ok(Lent::Sqlite(connection.into(), Writes::Alone(db.writes())))
            }
            other => other.reading().await,
        }
    }
}

impl<'e> From<&'e Db> for Executor<'e> {
    fn from(db: &'e Db) -> Self {
        Self::Db(db)
    }
}

impl<'e> From<&'e mut Tx> for Executor<'e> {
    fn from(tx: &'e mut Tx) -> Self {
        Self::Tx(tx)
    }
}

impl<'e> From<&'e mut SqliteConnection> for Executor<'e> {
    fn from(connection: &'e mut SqliteConnection) -> Self {
        Self::Own(connection)
    }
}
