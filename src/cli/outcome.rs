//! What commands share: which gateway they work on, and how they end.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};

/// What stands in a command's help above the options of [`Where`].
pub const CONNECTION: &str = "Connection";

/// Which gateway, or which database, a command works on.
#[derive(Args, Clone)]
pub struct Where {
    /// A running gateway; without it the command works on the configured database itself
    #[arg(long, env = "FULCRUM_URL", help_heading = CONNECTION)]
    pub url: Option<String>,
    /// A key of that gateway
    #[arg(long, env = "FULCRUM_KEY", hide_env_values = true, help_heading = CONNECTION)]
    pub key: Option<String>,
    /// The configuration [default: config/fulcrum.toml]
    #[arg(long, env = "FULCRUM_CONFIG", value_parser = path(), help_heading = CONNECTION)]
    pub config: Option<PathBuf>,
}

/// Reads a path; an empty variable stands for none.
pub fn path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

/// Who makes a change.
#[derive(Args, Clone)]
pub struct By {
    /// Who makes the change, as it is written down with it
    #[arg(long, env = "USER", hide_env_values = true, default_value = "")]
    pub author: String,
}

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub enum Failure {
    /// A negative answer: exit code 1.
    Negative(String),
    /// Bad input or configuration: exit code 2.
    Input(String),
    /// The gateway or the database could not be reached: exit code 3.
    Unreachable(String),
}

impl Failure {
    /// The same, of a command that had done something already.
    pub fn after(self, done: &str) -> Self {
        let with = |message: String| format!("{done}, but {message}");
        match self {
            Self::Negative(message) => Self::Negative(with(message)),
            Self::Input(message) => Self::Input(with(message)),
            Self::Unreachable(message) => Self::Unreachable(with(message)),
        }
    }
}

/// How a command ends.
pub type Outcome = Result<(), Failure>;
