//! What can go wrong in the ledger and its reports.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::chat::{self, Code};
use crate::db;

/// The ledger cannot take a row now; the call must not go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ledger cannot be written now, and no call goes out without its row")]
pub struct Unavailable;

impl From<Unavailable> for chat::Error {
    fn from(error: Unavailable) -> Self {
        Self::new(Code::LedgerUnavailable, error.to_string())
    }
}

/// Why the ledger cannot be opened or a report not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process writes this ledger.
    #[error("another Fulcrum runs on this database (it holds {0}); stop it first")]
    InUse(PathBuf),
    /// A file next to the database cannot be made or read.
    #[error("cannot use {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A parameter of a report or a list is not understood.
    #[error("{problem}")]
    Parameter {
        /// Its name.
        name: String,
        /// What is wrong, and what to write instead.
        problem: String,
    },
    /// A report would have more rows than anyone can read.
    #[error("the report has more than {0} rows; narrow it with from, to or a filter, or group by less")]
    TooManyRows(usize),
    /// The settlements that wait could not be written before the end.
    #[error("settlements were left unwritten; the next start takes them up from the journal")]
    Unwritten,
    /// A statement failed.
    #[error("ledger: {0}")]
    Sql(Cause),
    /// The database's file cannot be used.
    #[error("cannot use the database {path}: {cause}; {}", .cause.advice)]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What the database said.
        cause: Cause,
    },
}

/// What a database said, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    text: String,
    advice: &'static str,
}

impl Cause {
    /// What the database said of a statement.
    pub(super) fn of(error: &db::Error) -> Self {
        let text = match error {
            db::Error::Sql(error) => error.to_string(),
            other => other.to_string(),
        };
        Self { text, advice: error.advice() }
    }

    /// Rows that contradict each other.
    pub(super) fn contradiction(text: &str) -> Self {
        Self { text: text.to_owned(), advice: "restore it from a backup" }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error {
    /// The error of a database that is being opened: with its path, and what to do.
    #[must_use]
    pub fn of_file(self, path: &Path) -> Self {
        match self {
            Self::Sql(cause) => Self::Unusable { path: path.to_owned(), cause },
            other => other,
        }
    }

    /// A parameter that is not understood.
    pub(super) fn parameter(name: &str, problem: impl Into<String>) -> Self {
        Self::Parameter { name: name.chars().take(80).collect(), problem: problem.into() }
    }
}

impl From<Error> for chat::Error {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::Parameter { name, .. } => Self::field(name, message),
            Error::TooManyRows(_) => Self::new(Code::InvalidRequest, message),
            Error::InUse(_) | Error::File { .. } | Error::Unwritten | Error::Sql(_) | Error::Unusable { .. } => {
                Self::new(Code::LedgerUnavailable, message)
            }
        }
    }
}
