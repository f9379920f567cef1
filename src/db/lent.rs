//! A connection for one statement.

use sqlx::pool::MaybePoolConnection;

/// A connection for one statement: of a transaction, or of a pool, which has it back afterwards.
pub(super) enum Lent<'e> {
    Sqlite(MaybePoolConnection<'e, sqlx::Sqlite>),
    Postgres(MaybePoolConnection<'e, sqlx::Postgres>),
}
