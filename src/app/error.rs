//! Why the gateway cannot start.

use std::path::{PathBuf, absolute};
use std::sync::Arc;

use crate::db::{self, Db};
use crate::types::Diagnostic;
use crate::upstream::BadAddress;
use crate::{experiments, keys, prompts, usage};

/// Why the gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A command found no database to work on.
    #[error(
        "no database at {} (run fulcrum serve first; where a gateway runs already, start this in its folder, or name it with --url)",
        absolute(.0).unwrap_or_else(|_| .0.clone()).display()
    )]
    NoDatabase(PathBuf),
    /// The database.
    #[error(transparent)]
    Db(#[from] db::Error),
    /// The keys.
    #[error(transparent)]
    Keys(#[from] keys::Error),
    /// The prompts.
    #[error(transparent)]
    Prompts(#[from] prompts::Error),
    /// The experiments.
    #[error(transparent)]
    Experiments(#[from] experiments::Error),
    /// The ledger.
    #[error(transparent)]
    Usage(#[from] usage::Error),
    /// The pool.
    #[error("no thread can be started: {0}")]
    Pool(std::io::Error),
    /// A provider.
    #[error("provider `{0}`: {1}")]
    Provider(Arc<str>, BadAddress),
    /// The configuration.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Config(Vec<Diagnostic>),
}

impl Error {
    /// The error of a start: where the database's file is at fault, with its path, and what to do.
    pub(super) fn at(self, db: &Db) -> Self {
        match self {
            Self::Db(error)
            | Self::Keys(keys::Error::Database(error))
            | Self::Prompts(prompts::Error::Sql(error))
            | Self::Experiments(experiments::Error::Sql(error)) => Self::Db(error.at(db)),
            Self::Usage(error) => match db {
                Db::Sqlite(file) => Self::Usage(error.of_file(file.path())),
                Db::Postgres(_) => Self::Usage(error),
            },
            other => other,
        }
    }
}
