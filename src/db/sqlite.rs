//! SQLite: opening, migrating, and its two pools.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection, SqlitePool};

use super::hard_link::refuse_another_name;
use super::write_state::WriteState;
use super::{ACQUIRE_SECONDS, Error, PATIENCE_SECONDS, Tx};

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
    writes: Arc<WriteState>,
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
        let write = pool_of(1).connect_with(options.clone()).await;
        let write = write.map_err(|error| unusable(error.into()))?;
        check_version(&write).await.map_err(unusable)?;
        migrate(&path, &write).await.map_err(unusable)?;
        let read = pool_of(4).connect_lazy_with(options.clone());
        Ok(Self { path, options: Arc::new(options), read, write, writes: Arc::default() })
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
        let pool = pool_of(1).connect_with(options.clone()).await;
        let pool = pool.map_err(|error| Error::from(error).of_file(&path))?;
        Ok(Self { path, options: Arc::new(options), read: pool.clone(), write: pool, writes: Arc::default() })
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

    /// What the last change says of the file.
    pub(super) fn writes(&self) -> &WriteState {
        &self.writes
    }

    pub(super) async fn begin(&self) -> Result<Tx, Error> {
        let begun = self.write.begin_with("begin immediate").await.inspect_err(|error| self.writes.failed(error))?;
        Ok(Tx::of_sqlite(begun, self.writes.clone()))
    }

    pub(super) async fn snapshot(&self) -> Result<Tx, Error> {
        // What only reads says nothing of the disk.
        Ok(Tx::of_sqlite(self.read.begin().await?, Arc::default()))
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
    // A device's rights are everybody's, and a pipe would be waited for.
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(failed(std::io::Error::other("it is there, and is no regular file")));
    }
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

/// A pool of at most so many connections.
///
/// On a full disk SQLite undoes a transaction by itself, and to undo it once more fails; such a connection counts as within a
/// transaction for good, and begins no other. It is closed, and another opened in its place.
fn pool_of(most: u32) -> SqlitePoolOptions {
    let pool = SqlitePoolOptions::new().max_connections(most).acquire_timeout(Duration::from_secs(ACQUIRE_SECONDS));
    pool.after_release(|connection, _| {
        Box::pin(async move {
            // What is queued, such as undoing a transaction, is done before the answer.
            connection.ping().await?;
            Ok(!connection.is_in_transaction())
        })
    })
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
