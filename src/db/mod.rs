//! The database: one vocabulary over SQLite and PostgreSQL, so that a slice's SQL is written once.
//!
//! A slice's `store.rs` writes [`query`] with `$1` parameters, runs it on a [`Db`] or in a [`Tx`], and reads a [`Row`]. Its SQL
//! is what both databases understand: text ids, integers for time and money, `on conflict`, sums cast to `bigint`, columns of
//! the old row named with their table in `do update`. What they do not share stands here: how a change begins, how a
//! connection is opened, where the migrations lie.
//!
//! SQLite has threads of its own, and any runtime may ask it. A PostgreSQL connection is a socket of the runtime that opened
//! it, and ends with that runtime; this program has one runtime for each core beside its main one. So a [`Db`] on PostgreSQL
//! belongs to the runtime that opened it: keys and prompts are read from snapshots in memory, idempotency's records are
//! written by a task of the main runtime, and a core that needs the database for itself opens a `Db` of its own.

mod engine;
mod error;
mod executor;
mod hard_link;
mod lent;
mod place;
mod postgres;
mod query;
mod revision;
mod row;
mod sqlite;
mod tx;
mod write_state;

#[cfg(test)]
pub(crate) mod scratch;
#[cfg(test)]
mod tests;

pub use self::engine::Engine;
pub use self::error::Error;
pub use self::executor::Executor;
pub use self::hard_link::{Inode, take_inode};
pub use self::place::{missing_file, place};
pub use self::postgres::Postgres;
pub use self::query::{Query, Value, assembled, query};
pub use self::row::Row;
pub use self::sqlite::Sqlite;
pub use self::tx::Tx;

/// How long a change waits for another in seconds, on either database, before it fails.
const PATIENCE_SECONDS: u64 = 10;

/// How long a statement waits for a free connection, in seconds.
const ACQUIRE_SECONDS: u64 = 30;

/// The topic of a change that only shows whether changes can be written.
const PROBE: &str = "probe";

/// An open, migrated database.
#[derive(Clone, Debug)]
pub enum Db {
    /// A file, and a library in this process.
    Sqlite(Sqlite),
    /// A server.
    Postgres(Postgres),
}

impl Db {
    /// Opens `url` (`sqlite://PATH` or `postgres://USER@HOST/DATABASE`) and migrates it. SQLite's file and its folder are made
    /// where they are missing; PostgreSQL's database must exist.
    ///
    /// With `durable`, SQLite waits for the disk at each commit. A PostgreSQL server decides that by its own settings.
    ///
    /// # Errors
    /// As the variants of [`Error`] say.
    pub async fn open(url: &str, durable: bool) -> Result<Self, Error> {
        match url.split_once("://") {
            Some(("postgres" | "postgresql", _)) => Box::pin(Postgres::open(url)).await.map(Self::Postgres),
            _ => Sqlite::open(url, durable).await.map(Self::Sqlite),
        }
    }

    /// Opens the database of `url` to read what is there: nothing is made, migrated or changed.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub async fn open_as_it_is(url: &str) -> Result<Self, Error> {
        match url.split_once("://") {
            Some(("postgres" | "postgresql", _)) => Err(Error::NotSqlite),
            _ => Sqlite::open_as_it_is(url).await.map(Self::Sqlite),
        }
    }

    /// Which database it is, for the little that SQL cannot say once.
    #[must_use]
    pub fn engine(&self) -> Engine {
        match self {
            Self::Sqlite(_) => Engine::Sqlite,
            Self::Postgres(_) => Engine::Postgres,
        }
    }

    /// The SQLite database, for the ledger's journal and writer, which work on its file.
    ///
    /// # Errors
    /// [`Error::NotSqlite`] on PostgreSQL.
    pub fn sqlite(&self) -> Result<&Sqlite, Error> {
        match self {
            Self::Sqlite(db) => Ok(db),
            Self::Postgres(_) => Err(Error::NotSqlite),
        }
    }

    /// Begins a change of `topic`, undone unless committed. It sees what every earlier change of the topic committed, and no
    /// other one of the topic begins before it ends, in this process or another.
    ///
    /// # Errors
    /// Where the database fails, or another change takes longer than ten seconds.
    pub async fn begin(&self, topic: &'static str) -> Result<Tx, Error> {
        match self {
            Self::Sqlite(db) => db.begin().await,
            Self::Postgres(db) => Ok(Box::pin(db.begin(topic)).await?.into()),
        }
    }

    /// Begins a transaction that only reads: all its statements see the database as it was at the first.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn snapshot(&self) -> Result<Tx, Error> {
        match self {
            Self::Sqlite(db) => db.snapshot().await,
            Self::Postgres(db) => Ok(Box::pin(db.snapshot()).await?.into()),
        }
    }

    /// Whether the last change could be written, as far as the database's own file says. A server out of reach says nothing
    /// against the data plane, which has what it needs in memory.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        match self {
            Self::Sqlite(db) => db.writes().is_writable(),
            Self::Postgres(_) => true,
        }
    }

    /// Tries a change where the last could not be written, so that [`Self::is_writable`] tells when the next one can.
    pub async fn look(&self) {
        if self.is_writable() {
            return;
        }
        let tried = async {
            let mut change = self.begin(PROBE).await?;
            change.bump(PROBE).await?;
            change.commit().await
        };
        if let Err(error) = tried.await {
            tracing::debug!(%error, "the database still takes no changes");
        }
    }

    /// Closes every connection.
    pub async fn close(&self) {
        match self {
            Self::Sqlite(db) => db.close().await,
            Self::Postgres(db) => db.close().await,
        }
    }
}
