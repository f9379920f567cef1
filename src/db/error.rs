//! Why a database cannot be used.

use std::path::PathBuf;

use sqlx::migrate::MigrateError;

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL names no database.
    #[error("`{0}` is not a database URL; use sqlite://PATH or postgres://USER@HOST/DATABASE")]
    Url(String),
    /// The file or its folder cannot be made or read.
    #[error("cannot open {path}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A newer Fulcrum wrote it.
    #[error("{place} was written by a newer Fulcrum (migration {version}); use that version or newer")]
    Newer {
        /// The file, or the server's database.
        place: String,
        /// The migration that this binary does not have.
        version: i64,
    },
    /// A migration failed.
    #[error("cannot migrate the database: {0}")]
    Migrate(MigrateError),
    /// The SQLite in the binary is one that loses data.
    #[error("SQLite {0} can lose committed writes; build with libsqlite3-sys 0.37.0 or newer")]
    OldSqlite(String),
    /// The database is PostgreSQL, and SQLite's file is needed.
    #[error("this needs an SQLite database")]
    NotSqlite,
    /// A column holds what this program never writes.
    #[error("database: column `{0}` is not as this program writes it")]
    Unreadable(String),
    /// A value cannot be written as JSON.
    #[error("database: a value cannot be written: {0}")]
    Unwritable(#[from] serde_json::Error),
    /// Any other failure of a statement.
    #[error("database: {0}")]
    Sql(#[from] sqlx::Error),
}

impl Error {
    /// That `column` holds what this program never writes.
    #[must_use]
    pub fn unreadable(column: &str) -> Self {
        Self::Unreadable(column.to_owned())
    }

    /// Whether a statement failed because a row with this key stands already.
    #[must_use]
    pub fn is_unique_violation(&self) -> bool {
        matches!(self, Self::Sql(sqlx::Error::Database(error)) if error.is_unique_violation())
    }
}
