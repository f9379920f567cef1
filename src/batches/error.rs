//! Errors of files and batches, and the errors that callers get.

use std::sync::Arc;

use super::status::Status;
use crate::chat::{self, Code};
use crate::{db, pool};

/// Why something cannot be done with a file or a batch.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No file has this id, or none that the caller may see.
    #[error("There is no file `{0}`.")]
    NoSuchFile(String),
    /// The same, of the file that a batch is to read.
    #[error("There is no file `{0}`; upload it with POST /v1/files first.")]
    NoSuchInput(String),
    /// No batch has this id, or none that the caller may see.
    #[error("There is no batch `{0}`.")]
    NoSuchBatch(String),
    /// A value that a file or batch cannot have.
    #[error("`{field}` {problem}.")]
    Invalid {
        /// The field at fault.
        field: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// The file is larger than the configuration allows.
    #[error("The file has more than the {0} bytes that [files] max_size allows.")]
    TooLarge(u64),
    /// The project's files take all the room they may.
    #[error("The project's files would take more than the {0} bytes that [files] max_total allows; delete some.")]
    Full(u64),
    /// A batch reads the file.
    #[error("`{file}` is the input of {batch}, which has not ended; cancel that first.")]
    InUse {
        /// The file.
        file: Arc<str>,
        /// The batch.
        batch: String,
    },
    /// There is nothing left to cancel.
    #[error("{id} cannot be cancelled: it is {}.", .status.text())]
    Ended {
        /// The batch.
        id: Arc<str>,
        /// The batch's status.
        status: Status,
    },
    /// The database failed.
    #[error(transparent)]
    Database(#[from] db::Error),
    /// The file could not be read just now.
    #[error(transparent)]
    Pool(#[from] pool::Error),
}

impl From<Error> for chat::Error {
    fn from(error: Error) -> Self {
        let shown = |code| Self::new(code, error.to_string());
        match &error {
            Error::NoSuchFile(_) | Error::NoSuchBatch(_) => shown(Code::NotFound),
            Error::NoSuchInput(_) => shown(Code::NotFound).at("input_file_id"),
            Error::Invalid { field, .. } => shown(Code::InvalidRequest).at(*field),
            Error::TooLarge(_) | Error::Full(_) => shown(Code::RequestTooLarge).at("file"),
            Error::Pool(_) => shown(Code::Overloaded),
            Error::InUse { .. } | Error::Ended { .. } => shown(Code::Conflict),
            Error::Database(cause) if cause.is_passing() => Self::busy(
                "The files and batches cannot be read or written just now: the database is busy or full.",
                cause,
            ),
            Error::Database(cause) => Self::internal("The files and batches could not be read or written.", cause),
        }
    }
}
