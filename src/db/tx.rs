//! A transaction.

use std::sync::Arc;

use sqlx::Transaction;
use sqlx::pool::MaybePoolConnection;

use super::Error;
use super::lent::{Lent, Writes};
use super::write_state::WriteState;

/// A transaction, undone unless committed.
pub struct Tx(Open);

enum Open {
    Sqlite(Transaction<'static, sqlx::Sqlite>, Arc<WriteState>),
    Postgres(Transaction<'static, sqlx::Postgres>),
}

impl Tx {
    /// Makes the change visible.
    ///
    /// # Errors
    /// Where the database fails; nothing is changed then.
    pub async fn commit(self) -> Result<(), Error> {
        match self.0 {
            Open::Sqlite(open, state) => {
                let ended = open.commit().await;
                Writes::Alone(&state).note(&ended);
                Ok(ended?)
            }
            Open::Postgres(open) => Ok(open.commit().await?),
        }
    }

    /// One of SQLite's, whose outcome `state` notes.
    pub(super) fn of_sqlite(open: Transaction<'static, sqlx::Sqlite>, state: Arc<WriteState>) -> Self {
        Self(Open::Sqlite(open, state))
    }

    pub(super) fn lend(&mut self) -> Lent<'_> {
        match &mut self.0 {
            Open::Sqlite(open, state) => {
                Lent::Sqlite(MaybePoolConnection::Connection(&mut **open), Writes::Within(state))
            }
            Open::Postgres(open) => Lent::Postgres(MaybePoolConnection::Connection(&mut **open)),
        }
    }
}

impl From<Transaction<'static, sqlx::Postgres>> for Tx {
    fn from(open: Transaction<'static, sqlx::Postgres>) -> Self {
        Self(Open::Postgres(open))
    }
}
