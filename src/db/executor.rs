//! What a statement runs on.

use super::lent::Lent;
use super::{Db, Error, Tx};

/// Where a statement runs: in a transaction, or on any connection of the database.
pub enum Executor<'e> {
    /// The database.
    Db(&'e Db),
    /// A transaction.
    Tx(&'e mut Tx),
}

impl<'e> Executor<'e> {
    pub(super) async fn reading(self) -> Result<Lent<'e>, Error> {
        match self {
            Self::Db(Db::Sqlite(db)) => Ok(Lent::Sqlite(db.read().acquire().await?.into())),
            // Boxed, so that what it takes to connect to a server is not part of every future that runs a statement.
            Self::Db(Db::Postgres(db)) => Ok(Lent::Postgres(Box::pin(db.pool().acquire()).await?.into())),
            Self::Tx(tx) => Ok(tx.lend()),
        }
    }

    pub(super) async fn writing(self) -> Result<Lent<'e>, Error> {
        match self {
            Self::Db(Db::Sqlite(db)) => Ok(Lent::Sqlite(db.write().acquire().await?.into())),
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
