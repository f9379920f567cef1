//! A transaction.

use sqlx::Transaction;
use sqlx::pool::MaybePoolConnection;

use super::Error;
use super::lent::Lent;

/// A transaction, undone unless committed.
pub struct Tx(Open);

enum Open {
    Sqlite(Transaction<'static, sqlx::Sqlite>),
    Postgres(Transaction<'static, sqlx::Postgres>),
}

impl Tx {
    /// Makes the change visible.
    ///
    /// # Errors
    /// Where the database fails; nothing is changed then.
    pub async fn commit(self) -> Result<(), Error> {
        match self.0 {
            Open::Sqlite(open) => Ok(open.commit().await?),
            Open::Postgres(open) => Ok(open.commit().await?),
        }
    }

    pub(super) fn lend(&mut self) -> Lent<'_> {
        match &mut self.0 {
            Open::Sqlite(open) => Lent::Sqlite(MaybePoolConnection::Connection(&mut **open)),
            Open::Postgres(open) => Lent::Postgres(MaybePoolConnection::Connection(&mut **open)),
        }
    }
}

impl From<Transaction<'static, sqlx::Sqlite>> for Tx {
    fn from(open: Transaction<'static, sqlx::Sqlite>) -> Self {
        Self(Open::Sqlite(open))
    }
}

impl From<Transaction<'static, sqlx::Postgres>> for Tx {
    fn from(open: Transaction<'static, sqlx::Postgres>) -> Self {
        Self(Open::Postgres(open))
    }
}
