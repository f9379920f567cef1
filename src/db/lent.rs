//! A connection for one statement.

use sqlx::pool::MaybePoolConnection;

use super::write_state::WriteState;

/// A connection for one statement: of a transaction, or of a pool, which has it back afterwards.
pub(super) enum Lent<'e> {
    /// With what notes how writing goes; none of the ledger's own connection.
    Sqlite(MaybePoolConnection<'e, sqlx::Sqlite>, Writes<'e>),
    Postgres(MaybePoolConnection<'e, sqlx::Postgres>),
}

/// How far a statement's outcome speaks of the file.
#[derive(Clone, Copy)]
pub(super) enum Writes<'e> {
    /// Not at all, or the one who runs it looks for itself.
    Unnoted,
    /// It is part of a transaction: only a failure does.
    Within(&'e WriteState),
    /// It is a change of its own.
    Alone(&'e WriteState),
}

impl Writes<'_> {
    /// Notes how a statement ended.
    pub(super) fn note<T>(self, ended: &Result<T, sqlx::Error>) {
        match (self, ended) {
            (Self::Alone(state), Ok(_)) => state.committed(),
            (Self::Alone(state) | Self::Within(state), Err(error)) => state.failed(error),
            (Self::Within(_), Ok(_)) | (Self::Unnoted, _) => {}
        }
    }
}
