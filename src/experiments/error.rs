//! What can be wrong with an experiment or a change of it.

use crate::chat::{self, Code};
use crate::db;
use crate::types::{Diagnostic, ExperimentName};

/// Why an experiment cannot be found, made or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No experiment has this name.
    #[error("there is no experiment `{0}`{1}")]
    NotThere(String, String),
    /// An experiment with this name stands already.
    #[error("there is an experiment `{0}` already; choose another name")]
    Exists(ExperimentName),
    /// What was sent is wrong; each mistake is reported.
    #[error("{}", list(.0))]
    Invalid(Vec<Diagnostic>),
    /// The experiment cannot do that where it stands.
    #[error("the experiment `{name}` {problem}")]
    Standing {
        /// Which.
        name: ExperimentName,
        /// Where it stands, and what would help.
        problem: String,
    },
    /// There are too many.
    #[error("there are {0} experiments, which is the most")]
    TooMany(usize),
    /// A stored experiment that cannot be read back.
    #[error("the experiment `{name}` is damaged in the database: {message}")]
    Damaged {
        /// Which.
        name: String,
        /// What is wrong.
        message: String,
    },
    /// The database failed.
    #[error(transparent)]
    Sql(#[from] db::Error),
}

fn list(mistakes: &[Diagnostic]) -> String {
    mistakes.iter().map(Diagnostic::to_string).collect::<Vec<_>>().join("\n")
}

impl From<Error> for chat::Error {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::NotThere(..) => Self::new(Code::NotFound, message),
            Error::Exists(_) => Self::new(Code::Conflict, message).at("name"),
            Error::Standing { .. } | Error::TooMany(_) => Self::new(Code::Conflict, message),
            Error::Invalid(mistakes) => {
                let key = mistakes.into_iter().next().map(|mistake| mistake.key);
                Self { param: key.filter(|key| !key.is_empty()), ..Self::new(Code::InvalidRequest, message) }
            }
            Error::Sql(cause) if cause.is_passing() => {
                Self::busy("The experiments cannot be read or written just now: the database is busy or full.", &cause)
            }
            Error::Damaged { .. } | Error::Sql(_) => Self::internal("the experiments failed", &message),
        }
    }
}
