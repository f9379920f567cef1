//! Errors of feedback, and the errors that callers get.

use crate::chat::{self, Code};
use crate::db;

/// Why feedback cannot be stored or listed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field is missing, or has a value that it cannot have.
    #[error("`{field}` {problem}")]
    Field {
        /// The field at fault.
        field: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// No request has this id, or none that the key may report of.
    #[error("there is no request `{0}` in the key's project; a request can have feedback once its answer has ended")]
    NoSuchRequest(String),
    /// No request that the key may report of has this session.
    #[error("no request of the key's project had the session `{0}`; a request has one by the header x-fulcrum-session")]
    NoSuchSession(String),
    /// More waits to be written than there is room for.
    #[error("too much feedback waits to be written; send it again in a moment")]
    Busy,
    /// The writer could not write it, which the log explains.
    #[error("the feedback could not be written; send it again in a moment")]
    Unwritten,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] db::Error),
}

impl Error {
    /// A field with a value that it cannot have.
    pub(super) fn field(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Field { field, problem: problem.into() }
    }

    /// Whether the request or the session is not known, or not yet: a row of the ledger may still be on its way.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::NoSuchRequest(_) | Self::NoSuchSession(_))
    }
}

impl From<Error> for chat::Error {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match &error {
            Error::Field { field, .. } => Self::field(*field, message),
            Error::NoSuchRequest(_) => Self::new(Code::NotFound, message).at("request_id"),
            Error::NoSuchSession(_) => Self::new(Code::NotFound, message).at("session_id"),
            Error::Busy | Error::Unwritten => {
                Self::busy(message, &"the queue is full, or the database takes no changes")
            }
            Error::Database(cause) if cause.is_passing() => {
                Self::busy("feedback cannot be read just now: the database is busy or full", cause)
            }
            Error::Database(cause) => Self::internal("the feedback could not be read", cause),
        }
    }
}
