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
    /// SQLite cannot use the file.
    #[error("cannot use the database {path}: {cause}; {advice}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// SQLite's words.
        cause: String,
        /// What to do.
        advice: &'static str,
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

    /// The error of a file that is being opened: with its path, and what to do.
    pub(super) fn of_file(self, path: &std::path::Path) -> Self {
        match self {
            Self::Sql(_) | Self::Migrate(_) => {
                let advice = self.advice();
                Self::Unusable { path: path.to_owned(), cause: self.to_string(), advice }
            }
            other => other,
        }
    }

    /// The error of an open database: where that is a file, with its path, and what to do.
    #[must_use]
    pub fn at(self, db: &super::Db) -> Self {
        match db {
            super::Db::Sqlite(file) => self.of_file(file.path()),
            super::Db::Postgres(_) => self,
        }
    }

    /// What to do about a file that SQLite cannot use.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Sql(error)
            | Self::Migrate(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => advice(error),
            Self::Unusable { advice, .. } => advice,
            Self::Migrate(_) => "restore it from a backup, or use the version of Fulcrum that wrote it",
            _ => "restore it from a backup, or move it away to begin a new one",
        }
    }

    /// Whether the database is only busy, full or out of reach now, so that the same may be done later.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        const BUSY_LOCKED_IO_FULL_CANTOPEN: [i32; 5] = [5, 6, 10, 13, 14];
        let Self::Sql(error) = self else { return false };
        match error {
            sqlx::Error::PoolTimedOut
            | sqlx::Error::Io(_)
            // The connection is replaced by another.
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed
            | sqlx::Error::InvalidSavePointStatement => true,
            sqlx::Error::Database(inner) => match (sqlite_code(error), inner.code().as_deref()) {
                (Some(code), _) => BUSY_LOCKED_IO_FULL_CANTOPEN.contains(&code),
                // PostgreSQL: resources, a lock that is not available, a server that ends, a connection that broke.
                (None, Some(state)) => {
                    ["53", "55P03", "57P", "08", "40"].iter().any(|passing| state.starts_with(passing))
                }
                (None, None) => false,
            },
            _ => false,
        }
    }

    /// Whether a statement failed because a row with this key stands already.
    #[must_use]
    pub fn is_unique_violation(&self) -> bool {
        matches!(self, Self::Sql(sqlx::Error::Database(error)) if error.is_unique_violation())
    }
}

/// The part of SQLite's result code that says what failed; none of another database's.
fn sqlite_code(error: &sqlx::Error) -> Option<i32> {
    let sqlx::Error::Database(error) = error else { return None };
    let error = error.try_downcast_ref::<sqlx::sqlite::SqliteError>()?;
    sqlx::error::DatabaseError::code(error)?.parse::<i32>().ok().map(|code| code & 0xff)
}

/// Whether SQLite's file cannot be written, rather than that another holds it or the statement is wrong.
pub(super) fn refuses_writes(error: &sqlx::Error) -> bool {
    const READONLY_IO_FULL_CANTOPEN: [i32; 4] = [8, 10, 13, 14];
    sqlite_code(error).is_some_and(|code| READONLY_IO_FULL_CANTOPEN.contains(&code))
}

/// What to do about a file that cannot be opened.
fn advice(error: &sqlx::Error) -> &'static str {
    match sqlite_code(error) {
        Some(5 | 6) => "another process holds it; end that process, or try again",
        Some(3 | 8 | 14 | 23) => "see that this user may write the file and its folder",
        Some(10 | 13) => "see that its disk works and has room",
        Some(11 | 26) => {
            "it is damaged, or no SQLite database; restore it from a backup, or move it away to begin a new one"
        }
        _ => "restore it from a backup, or move it away to begin a new one",
    }
}
