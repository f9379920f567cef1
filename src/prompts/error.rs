//! What can be wrong with a prompt, its use or its change.

use std::fmt;

use super::store;
use crate::chat::{self, Code};
use crate::types::{Label, PromptName};

/// One mistake in a prompt's text, by its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where, such as `messages[1].content`.
    pub key: String,
    /// What is wrong and what to do.
    pub message: String,
    /// The line in the file, from 1; none for JSON.
    pub line: Option<usize>,
    /// The column in the file, from 1; none for JSON.
    pub column: Option<usize>,
    /// The line and column inside the text that stands at `key`.
    pub(super) within: Option<(usize, usize)>,
}

impl Mistake {
    pub(super) fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into(), line: None, column: None, within: None }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, "{line}:{column}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        if let (Some((line, column)), None) = (self.within, self.line) {
            write!(f, "line {line}, column {column}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// One mistake in a file of prompts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileProblem {
    /// The file.
    pub file: String,
    /// What is wrong in it.
    pub mistake: Mistake,
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.mistake.line.is_some() { ":" } else { ": " };
        write!(f, "{}{place}{}", self.file, self.mistake)
    }
}

/// Why a prompt cannot be found, used or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No prompt has this name.
    #[error("there is no prompt `{0}`")]
    NoPrompt(PromptName),
    /// The prompt has no such version.
    #[error("prompt `{name}` has no version {version}; its newest is {newest}")]
    NoVersion {
        /// The prompt.
        name: PromptName,
        /// What was asked for.
        version: u32,
        /// What there is.
        newest: u32,
    },
    /// The prompt has no such label.
    #[error("prompt `{name}` has no label `{label}`; it has {known}")]
    NoLabel {
        /// The prompt.
        name: PromptName,
        /// What was asked for.
        label: Label,
        /// What there is.
        known: String,
    },
    /// A text that names no prompt, label or version.
    #[error("{0}")]
    BadReference(String),
    /// A prompt with this name stands already.
    #[error("there is a prompt `{0}` already; add a version to it")]
    Exists(PromptName),
    /// The text of a version is wrong; every mistake is told.
    #[error("{}", list(.0))]
    Invalid(Vec<Mistake>),
    /// Files of prompts are wrong; every mistake is told.
    #[error("{}", list(.0))]
    Files(Vec<FileProblem>),
    /// A variable is missing, unknown, or breaks its schema.
    #[error("variable `{variable}` {message}")]
    Variable {
        /// Which.
        variable: String,
        /// What is wrong with it.
        message: String,
    },
    /// The template fails with these variables.
    #[error("prompt `{name}` version {version} cannot be rendered with these variables: {message}")]
    Render {
        /// The prompt.
        name: PromptName,
        /// Its version.
        version: u32,
        /// What failed, and where in the prompt.
        message: String,
    },
    /// The label may be moved by an admin key only.
    #[error("label `{label}` of prompt `{name}` is protected; it needs an admin key")]
    Protected {
        /// The prompt.
        name: PromptName,
        /// The label.
        label: Label,
    },
    /// Something that a later release brings.
    #[error("{0} not supported yet")]
    NotYet(&'static str),
    /// A file or folder cannot be read or written.
    #[error("{path}: {source}")]
    Folder {
        /// Which.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A stored version that cannot be read back.
    #[error("prompt `{name}` version {version} is damaged in the database: {message}")]
    Damaged {
        /// The prompt.
        name: PromptName,
        /// Its version.
        version: u32,
        /// What is wrong.
        message: String,
    },
    /// The database failed.
    #[error("database: {0}")]
    Sql(#[from] store::SqlError),
}

fn list<T: fmt::Display>(mistakes: &[T]) -> String {
    mistakes.iter().map(T::to_string).collect::<Vec<_>>().join("\n")
}

impl From<Error> for chat::Error {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::NoPrompt(_) | Error::NoVersion { .. } | Error::NoLabel { .. } => {
                Self::new(Code::PromptNotFound, message)
            }
            Error::BadReference(_) => Self::field("prompt", message),
            Error::Exists(_) => Self::new(Code::Conflict, message).at("name"),
            Error::Invalid(mistakes) => {
                let key = mistakes.into_iter().next().map(|mistake| mistake.key);
                Self { param: key.filter(|key| !key.is_empty()), ..Self::new(Code::InvalidRequest, message) }
            }
            Error::Files(_) | Error::NotYet(_) => Self::new(Code::InvalidRequest, message),
            Error::Variable { variable, .. } => {
                Self::new(Code::InvalidVariables, message).at(format!("prompt.variables.{variable}"))
            }
            Error::Render { .. } => Self::new(Code::InvalidVariables, message).at("prompt.variables"),
            Error::Protected { .. } => Self::new(Code::Forbidden, message),
            Error::Folder { .. } | Error::Damaged { .. } | Error::Sql(_) => {
                Self::new(Code::Internal, "the prompt registry failed; the log tells more")
            }
        }
    }
}
