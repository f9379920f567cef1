//! Errors of datasets, and the errors that callers get.

use crate::chat::{self, Code};
use crate::{db, pool};

/// Why something cannot be done with a dataset.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No dataset of the project has this name.
    #[error("there is no dataset `{0}` in this project")]
    NoSuchDataset(String),
    /// The dataset has no such version.
    #[error("the dataset `{name}` has no version {version}; its newest is {newest}")]
    NoSuchVersion {
        /// The dataset.
        name: String,
        /// The version that was asked for.
        version: i64,
        /// The newest version; 0 where it has none.
        newest: i64,
    },
    /// The project has a dataset of this name.
    #[error("there is a dataset `{0}` already")]
    Taken(String),
    /// A field or parameter is not understood.
    #[error("`{field}`: {problem}")]
    Field {
        /// The field at fault.
        field: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// A line of an import is no item. Nothing of the import is stored.
    #[error("line {line}: {problem}; nothing was imported")]
    Line {
        /// The number of the line at which the item begins, from 1.
        line: u64,
        /// What is wrong, and where in the item.
        problem: String,
    },
    /// An import is longer than may be.
    #[error("{0}; nothing was imported")]
    TooLarge(String),
    /// An import or a collection has no items.
    #[error("there is no item in it; nothing was imported")]
    Empty,
    /// The processor is busy.
    #[error(transparent)]
    Pool(#[from] pool::Error),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] db::Error),
}

impl Error {
    /// A field or parameter that is not understood.
    pub(super) fn field(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Field { field, problem: problem.into() }
    }
}

impl From<Error> for chat::Error {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match &error {
            Error::NoSuchDataset(_) | Error::NoSuchVersion { .. } => Self::new(Code::NotFound, message),
            Error::Taken(_) => Self::new(Code::Conflict, message).at("name"),
            Error::Field { field, .. } => Self::field(*field, message),
            Error::Line { line, .. } => Self::field(format!("line {line}"), message),
            Error::Empty => Self::new(Code::InvalidRequest, message),
            Error::TooLarge(_) => Self::new(Code::RequestTooLarge, message),
            Error::Pool(_) => Self::new(Code::Overloaded, message),
            Error::Database(cause) if cause.is_passing() => {
                Self::busy("datasets cannot be read or written just now: the database is busy or full", cause)
            }
            Error::Database(cause) => Self::internal("the dataset could not be read or written", cause),
        }
    }
}
