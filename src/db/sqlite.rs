//! SQLite: opening, migrating, and its two pools.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection, SqlitePool};

use super::hard_link::refuse_another_name;
use super::{ACQUIRE_SECONDS, Error, PATIENCE_SECONDS};

pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// Versions before this one can lose committed writes when a WAL is reset.
const OLDEST_SQLITE: i32 = 3_051_003;

/// How often the write-ahead log is tried to be emptied.
const CHECKPOINT_TRIES: u32 = 50;

/// An open, migrated SQLite file. The ledger works on it directly; everything else through [`Db`](super::Db).
#[derive(Clone, Debug)]
pub struct Sqlite {
    path: PathBuf,
    options: Arc<SqliteConnectOptions>,
    read: SqlitePool,
    write: SqlitePool,
}

impl Sqlite {
    /// Opens `url`, makes the file and its folder where they are missing, and migrates it.
    ///
    /// `durable` waits for the disk at each commit, so that rows survive a power loss.
    ///
    /// # Errors
    /// As the variants of [`Error`] say.
    pub async fn open(url: &str, durable: bool) -> Result<Self, Error> {
        let path = path_of(url)?;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|source| Error::Open { path: path.clone(), source })?;
        }
        keep_private(&path)?;
        // One path for one file, however it is reached: the ledger's lock and journal lie beside it.
        let path = path.canonicalize().map_err(|source| Error::Open { path: path.clone(), source })?;
        refuse_another_name(&path).map_err(|source| Error::Open { path: path.clone(), source })?;
        let options = options(&path, durable);
        let unusable = |error: Error| error.of_file(&path);
        let write = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await;
        let write = write.map_err(|error| unusable(error.into()))?;
        check_version(&write).await.map_err(unusable)?;
        migrate(&path, &write).await.map_err(unusable)?;
        let read = SqlitePoolOptions::new()
            .max_connections(4)
            .acquire_timeout(Duration::from_secs(ACQUIRE_SECONDS))
            .connect_lazy_with(options.clone());
        Ok(Self { path, options: Arc::new(options), read, write })
    }

    /// Opens the file of `url` as it is, to read it.
    ///
    /// # Errors
    /// Where there is none, or it cannot be opened.
    pub(super) async fn open_as_it_is(url: &str) -> Result<Self, Error> {
        let path = path_of(url)?;
        let path = path.canonicalize().map_err(|source| Error::Open { path: path.clone(), source })?;
        refuse_another_name(&path).map_err(|source| Error::Open { path: path.clone(), source })?;
        let options = options(&path, false).create_if_missing(false).pragma("query_only", "on");
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await;
        let pool = pool.map_err(|error| Error::from(error).of_file(&path))?;
        Ok(Self { path, options: Arc::new(options), read: pool.clone(), write: pool })
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
    pub async fn connect(&self) -> Result<SqliteConnection, Error> {
        Ok(self.options.connect().await?)
    }

    /// Empties the write-ahead log, which holds older pages with what was deleted since. False where readers kept it in use.
    ///
    /// # Errors
    /// Where SQLite fails.
    pub async fn empty_log(&self) -> Result<bool, Error> {
        // Each try holds writers up for as long as it waits for readers, so it waits shortly.
        let options = (*self.options).clone().busy_timeout(Duration::from_millis(50));
        let mut connection = options.connect().await?;
        for _ in 0..CHECKPOINT_TRIES {
            let row = sqlx::query("pragma wal_checkpoint(truncate)").fetch_one(&mut connection).await?;
            if row.get::<i64, _>(0) == 0 {
                connection.close().await?;
                return Ok(true);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        connection.close().await?;
        Ok(false)
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}

pub(super) fn path_of(url: &str) -> Result<PathBuf, Error> {
    let path = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:"));
    match path {
        Some(path) if !path.is_empty() && !path.contains(['?', '\0']) => Ok(path.into()),
        _ => Err(Error::Url(url.chars().take(200).collect())),
    }
}

/// Makes the file readable by its owner only, before SQLite would make it for all. The files that SQLite makes beside it have
/// the same rights.
fn keep_private(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let failed = |source| Error::Open { path: path.to_owned(), source };
    let mut open = std::fs::OpenOptions::new();
    let file = open.create(true).append(true).mode(0o600).open(path).map_err(failed)?;
    let rights = file.metadata().map_err(failed)?.permissions();
    if rights.mode() & 0o077 != 0
        && let Err(error) = file.set_permissions(PermissionsExt::from_mode(0o600))
    {
        tracing::warn!(%error, path = %path.display(), "others may read {}: {error}", path.display());
    }
    Ok(())
}

fn options(path: &Path, durable: bool) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(if durable { SqliteSynchronous::Full } else { SqliteSynchronous::Normal })
        .busy_timeout(Duration::from_secs(PATIENCE_SECONDS))
        .foreign_keys(true)
        .pragma("journal_size_limit", "67108864")
        // What is deleted is overwritten: texts that their owner had erased must not be left in free pages.
        .pragma("secure_delete", "on")
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
        Err(MigrateError::VersionMissing(version)) => Err(Error::Newer { place: path.display().to_string(), version }),
        Err(error) => Err(Error::Migrate(error)),
    }
}
