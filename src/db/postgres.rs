//! PostgreSQL: opening, migrating, and how a change begins there.

use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgPool, Transaction};

use super::{ACQUIRE_SECONDS, Error, PATIENCE_SECONDS};

pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

/// The most connections of one process.
const CONNECTIONS: u32 = 8;

/// An open, migrated database of a PostgreSQL server.
#[derive(Clone, Debug)]
pub struct Postgres {
    pool: PgPool,
}

impl Postgres {
    pub(super) async fn open(url: &str) -> Result<Self, Error> {
        let options: PgConnectOptions = url.parse().map_err(|_| Error::Url(without_login(url)))?;
        let options = options.application_name("fulcrum").disable_statement_logging();
        migrate(&options).await?;
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(Duration::from_secs(ACQUIRE_SECONDS))
            .connect_lazy_with(options);
        Ok(Self { pool })
    }

    pub(super) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Begins a change under the topic's lock, in one round trip.
    ///
    /// Each statement after the lock sees what was committed before it (`read committed`): under a snapshot of its own the
    /// transaction would see the rows as they were before it had to wait. The lock is of this schema, and ends with the
    /// transaction.
    pub(super) async fn begin(&self, topic: &'static str) -> Result<Transaction<'static, sqlx::Postgres>, sqlx::Error> {
        let begin = format!(
            "begin isolation level read committed; set local lock_timeout = '{PATIENCE_SECONDS}s'; \
             select pg_advisory_xact_lock(hashtextextended(current_schema() || '.{topic}', 0))"
        );
        self.pool.begin_with(AssertSqlSafe(begin)).await
    }

    pub(super) async fn snapshot(&self) -> Result<Transaction<'static, sqlx::Postgres>, sqlx::Error> {
        self.pool.begin_with("begin isolation level repeatable read, read only").await
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}

/// The URL without user and password, for an error message.
fn without_login(url: &str) -> String {
    let shown: String = match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
        _ => url.to_owned(),
    };
    shown.chars().take(200).collect()
}

/// Migrates under a lock of the whole database, on a connection of its own: a failure leaves the lock to its end.
async fn migrate(options: &PgConnectOptions) -> Result<(), Error> {
    let mut connection = options.connect().await?;
    match MIGRATIONS.run(&mut connection).await {
        Ok(()) => Ok(connection.close().await?),
        Err(MigrateError::VersionMissing(version)) => {
            let place = format!("the PostgreSQL database {}", options.get_database().unwrap_or("of this user"));
            Err(Error::Newer { place, version })
        }
        Err(error) => Err(Error::Migrate(error)),
    }
}
