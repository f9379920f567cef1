//! The SQLite database: opening, migrating, and what its errors mean.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection, SqlitePool};

static MIGRATIONS: Migrator = sqlx::migrate!();

/// Versions before this one can lose committed writes when a WAL is reset.
const OLDEST_SQLITE: i32 = 3_051_003;

/// How long a writer waits for another before it gives up.
const BUSY: Duration = Duration::from_secs(10);

/// An open, migrated database.
#[derive(Clone, Debug)]
pub struct Db {
    path: PathBuf,
    options: SqliteConnectOptions,
    read: SqlitePool,
    write: SqlitePool,
}

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL names no SQLite file.
    #[error("`{0}` is not a database URL; use sqlite://PATH")]
    Url(String),
    /// The file or its folder cannot be made or read.
    #[error("cannot open {path}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A newer Fulcrum wrote it.
    #[error("{path} was written by a newer Fulcrum (migration {version}); use that version or newer")]
    Newer {
        /// The file.
        path: PathBuf,
        /// The migration that this binary does not have.
        version: i64,
    },
    /// A migration failed.
    #[error("cannot migrate the database: {0}")]
    Migrate(MigrateError),
    /// The SQLite in the binary is one that loses data.
    #[error("SQLite {0} can lose committed writes; build with libsqlite3-sys 0.37.0 or newer")]
    OldSqlite(String),
    /// Any other failure of a statement.
    #[error("database: {0}")]
    Sql(#[from] sqlx::Error),
}

impl Db {
    /// Opens `url`, makes the file and its folder where they are missing, and migrates it.
    ///
    /// `durable` waits for the disk at each commit, so that rows survive a power loss.
    ///
    /// # Errors
    /// As the variants of [`Error`] tell.
    pub async fn open(url: &str, durable: bool) -> Result<Self, Error> {
        let path = path_of(url)?;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|source| Error::Open { path: path.clone(), source })?;
        }
        keep_private(&path)?;
        let options = options(&path, durable);
        let write = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
        check_version(&write).await?;
        migrate(&path, &write).await?;
        let read = SqlitePoolOptions::new()
            .max_connections(4)
            .acquire_timeout(Duration::from_secs(30))
            .connect_lazy_with(options.clone());
        Ok(Self { path, options, read, write })
    }

    /// Where the database lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// For queries.
    #[must_use]
    pub fn read(&self) -> &SqlitePool {
        &self.read
    }

    /// For changes other than the ledger's: one connection. Begin with `begin_with("begin immediate")`.
    #[must_use]
    pub fn write(&self) -> &SqlitePool {
        &self.write
    }

    /// A connection of one's own; the ledger's writer has one.
    ///
    /// # Errors
    /// Where SQLite cannot open the file.
    pub async fn connect(&self) -> Result<SqliteConnection, sqlx::Error> {
        self.options.connect().await
    }

    /// How often `topic` was changed, by any process: a reader that sees another number reads again.
    ///
    /// # Errors
    /// Where the query fails.
    pub async fn revision(&self, topic: &str) -> Result<i64, sqlx::Error> {
        let row = sqlx::query("select n from revisions where topic = $1").bind(topic).fetch_optional(&self.read);
        Ok(row.await?.map_or(0, |row| row.get(0)))
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}

/// Counts a change of `topic`, in the transaction that makes it.
///
/// # Errors
/// Where the statement fails.
pub async fn bump(connection: &mut SqliteConnection, topic: &str) -> Result<(), sqlx::Error> {
    let bump = "insert into revisions (topic, n) values ($1, 1) on conflict (topic) do update set n = n + 1";
    sqlx::query(bump).bind(topic).execute(connection).await.map(drop)
}

/// Whether a statement failed because a row with this key stands already.
#[must_use]
pub fn is_unique_violation(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.is_unique_violation())
}

fn path_of(url: &str) -> Result<PathBuf, Error> {
    let path = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:"));
    match path {
        Some(path) if !path.is_empty() && !path.contains(['?', '\0']) => Ok(path.into()),
        _ => Err(Error::Url(url.chars().take(200).collect())),
    }
}

/// Makes the file readable by its owner only, before SQLite would make it for all.
fn keep_private(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut open = std::fs::OpenOptions::new();
    let file = open.create(true).append(true).mode(0o600).open(path);
    file.map(drop).map_err(|source| Error::Open { path: path.to_owned(), source })
}

fn options(path: &Path, durable: bool) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(if durable { SqliteSynchronous::Full } else { SqliteSynchronous::Normal })
        .busy_timeout(BUSY)
        .foreign_keys(true)
        .pragma("journal_size_limit", "67108864")
        .pragma("temp_store", "memory")
        .disable_statement_logging()
}

async fn check_version(pool: &SqlitePool) -> Result<(), Error> {
    let version: String = sqlx::query("select sqlite_version()").fetch_one(pool).await?.get(0);
    let mut parts = version.split('.').map(|part| part.parse::<i32>().unwrap_or(0));
    let number = parts.next().unwrap_or(0) * 1_000_000 + parts.next().unwrap_or(0) * 1_000 + parts.next().unwrap_or(0);
    if number < OLDEST_SQLITE { Err(Error::OldSqlite(version)) } else { Ok(()) }
}

/// Migrates under the database's own write lock, so that of two processes one does it and the other sees it done.
async fn migrate(path: &Path, pool: &SqlitePool) -> Result<(), Error> {
    let mut connection = pool.acquire().await?;
    match MIGRATIONS.run(&mut *connection).await {
        Ok(()) => connection.ping().await.map_err(Error::Sql),
        Err(MigrateError::VersionMissing(version)) => Err(Error::Newer { path: path.to_owned(), version }),
        Err(error) => Err(Error::Migrate(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_newer_database_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/new/f.db", folder.path().display());
        let db = Db::open(&url, false).await.unwrap();
        let newer = "insert into _sqlx_migrations (version, description, success, checksum, execution_time) \
                     values (99990101000000, 'later', true, x'00', 0)";
        sqlx::query(newer).execute(db.write()).await.unwrap();
        db.close().await;
        assert!(matches!(Db::open(&url, false).await, Err(Error::Newer { version: 99990101000000, .. })));
    }

    #[tokio::test]
    async fn the_file_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.db");
        let db = Db::open(&format!("sqlite://{}", path.display()), false).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(Db::open("postgres://x", false).await.is_err());
        db.close().await;
    }
}
