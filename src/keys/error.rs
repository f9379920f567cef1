//! Errors of keys, and the errors that callers get.

use std::time::Duration;

use super::limit::Throttled;
use crate::chat::{self, Code};
use crate::db;
use crate::types::Timestamp;

/// Why a key is refused, or was not changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text cannot be a key: its form or its check part is wrong. Nothing was looked up.
    #[error("Incorrect API key provided: it is no Fulcrum key (fk-…), or was mistyped or cut; send the whole key.")]
    Malformed,
    /// No key has this text.
    #[error("Incorrect API key provided: there is no such key; it may have been rotated.")]
    Unknown,
    /// The key was right until then.
    #[error("Incorrect API key provided: it expired at {0}; ask for a new one.")]
    Expired(Timestamp),
    /// The key was taken back.
    #[error("Incorrect API key provided: it was revoked; ask for a new one.")]
    Revoked,
    /// Too many texts that are no keys came from one address.
    #[error("Too many wrong keys came from your address; try again in {:.0} s, with the right one.", .0.as_secs_f64().ceil())]
    Guessing(Duration),
    /// No key has this id.
    #[error("There is no key with the id `{id}`{hint}")]
    NoSuchKey {
        /// The id.
        id: String,
        /// What may be meant.
        hint: String,
    },
    /// A value that a key or project cannot have.
    #[error("`{field}` {problem}.")]
    Invalid {
        /// The field at fault.
        field: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// A change of a key that was revoked.
    #[error("The key `{0}` was revoked and cannot be changed; make a new one.")]
    AlreadyRevoked(String),
    /// A change that would leave no admin key.
    #[error("This is the last admin key that never expires; make another before you revoke, demote or limit this one.")]
    LastAdmin,
    /// The operator's own admin key is too easy to guess.
    #[error("FULCRUM_ADMIN_KEY is refused: {0}")]
    WeakAdminKey(&'static str),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] db::Error),
}

impl From<Error> for chat::Error {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::Malformed | Error::Unknown | Error::Expired(_) | Error::Revoked => Code::InvalidApiKey,
            Error::Guessing(wait) => {
                return Self { retry_after: Some(*wait), ..Self::new(Code::RateLimitExceeded, error.to_string()) };
            }
            Error::NoSuchKey { .. } => Code::NotFound,
            Error::Invalid { field, .. } => return Self::field(*field, error.to_string()),
            Error::AlreadyRevoked(_) | Error::LastAdmin => Code::Conflict,
            Error::WeakAdminKey(_) => Code::InvalidRequest,
            Error::Database(cause) if cause.is_passing() => {
                return Self::busy("The keys cannot be read or written just now: the database is busy or full.", cause);
            }
            Error::Database(reason) => return Self::internal("The keys could not be read or written.", reason),
        };
        Self::new(code, error.to_string())
    }
}

impl From<Throttled> for chat::Error {
    fn from(throttled: Throttled) -> Self {
        let message = format!("{throttled}; try again in {:.1} s.", throttled.retry_after.as_secs_f64());
        Self { retry_after: Some(throttled.retry_after), ..Self::new(Code::RateLimitExceeded, message) }
    }
}
