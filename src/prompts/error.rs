//! What can be wrong with a prompt, its use or its change.

use crate::chat::{self, Code};
use crate::db;
use crate::types::{Diagnostic, Label, PromptName};

/// Why a prompt cannot be found, used or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No prompt has this name.
    #[error("there is no prompt `{0}`{1}")]
    NoPrompt(PromptName, String),
    /// The prompt has another name.
    #[error("prompt `{name}` was renamed to `{to}`")]
    Renamed {
        /// The old name.
        name: PromptName,
        /// The new one.
        to: PromptName,
    },
    /// A change by a name that the prompt had before.
    #[error("the name `{name}` is taken: its prompt was renamed to `{to}`; name that, or choose another")]
    Moved {
        /// The old name.
        name: PromptName,
        /// The new one.
        to: PromptName,
    },
    /// A call of a prompt that is archived.
    #[error("prompt `{0}` is archived and answers no calls; fulcrum prompt unarchive {0} brings it back")]
    Archived(PromptName),
    /// A change of a prompt that is archived.
    #[error("prompt `{0}` is archived and cannot be changed; fulcrum prompt unarchive {0} brings it back")]
    Shelved(PromptName),
    /// A new name for a prompt that another one has.
    #[error("there is a prompt `{0}` already; choose another name")]
    Taken(PromptName),
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
    /// The prompt has a newer version than the one that a change began from.
    #[error(
        "prompt `{name}` is at version {newest}, not at {parent}, which this change began from{}", since(*parent, *newest, diff)
    )]
    Outdated {
        /// The prompt.
        name: PromptName,
        /// The version that the change began from.
        parent: u32,
        /// The newest version.
        newest: u32,
        /// What changed between the two, as unified text.
        diff: String,
    },
    /// The text of a version is wrong; each mistake is reported.
    #[error("{}", list(.0))]
    Invalid(Vec<Diagnostic>),
    /// Files of prompts are wrong; each mistake is reported.
    #[error("{}", list(.0))]
    Files(Vec<Diagnostic>),
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
        /// The version.
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
        /// The system's error.
        source: std::io::Error,
    },
    /// A stored version that cannot be read back.
    #[error("prompt `{name}` version {version} is damaged in the database: {message}")]
    Damaged {
        /// The prompt.
        name: PromptName,
        /// The version.
        version: u32,
        /// What is wrong.
        message: String,
    },
    /// The database failed.
    #[error(transparent)]
    Sql(#[from] db::Error),
}

/// What the versions since `parent` say.
fn since(parent: u32, newest: u32, diff: &str) -> String {
    match diff {
        "" => format!(
            "; version {newest} has the text of version {parent}: nothing would be lost, so begin from {newest}"
        ),
        diff => format!("; the versions since then say:\n{diff}"),
    }
}

fn list(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(Diagnostic::to_string).collect::<Vec<_>>().join("\n")
}

impl From<Error> for chat::Error {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::NoPrompt(..)
            | Error::NoVersion { .. }
            | Error::NoLabel { .. }
            | Error::Renamed { .. }
            | Error::Archived(_) => Self::new(Code::PromptNotFound, message),
            Error::BadReference(_) => Self::field("prompt", message),
            Error::Exists(_) | Error::Taken(_) | Error::Moved { .. } => Self::new(Code::Conflict, message).at("name"),
            Error::Shelved(_) => Self::new(Code::Conflict, message),
            Error::Outdated { .. } => Self::new(Code::Conflict, message).at("parent"),
            Error::Invalid(diagnostics) => {
                let key = diagnostics.into_iter().next().map(|diagnostic| diagnostic.key);
                Self { param: key.filter(|key| !key.is_empty()), ..Self::new(Code::InvalidRequest, message) }
            }
            Error::Files(_) | Error::NotYet(_) => Self::new(Code::InvalidRequest, message),
            Error::Variable { variable, .. } => {
                Self::new(Code::InvalidVariables, message).at(format!("prompt.variables.{variable}"))
            }
            Error::Render { .. } => Self::new(Code::InvalidVariables, message).at("prompt.variables"),
            Error::Protected { .. } => Self::new(Code::Forbidden, message),
            Error::Sql(cause) if cause.is_passing() => {
                Self::busy("The prompts cannot be read or written just now: the database is busy or full.", &cause)
            }
            Error::Folder { .. } | Error::Damaged { .. } | Error::Sql(_) => {
                Self::internal("the prompt registry failed", &message)
            }
        }
    }
}
