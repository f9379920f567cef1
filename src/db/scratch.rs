//! Databases for one test: what holds on SQLite must hold on a real PostgreSQL server.

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Once;

use futures_util::FutureExt as _;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use super::Db;

/// The variable with the URL of a PostgreSQL server; `scripts/services start` writes one into `.services/postgres.url`.
const VARIABLE: &str = "FULCRUM_TEST_POSTGRES";

/// An empty, migrated database that ends with its test.
pub(crate) struct Scratch {
    pub(crate) db: Db,
    url: String,
    /// For the test's files; SQLite's is there too.
    pub(crate) folder: tempfile::TempDir,
}

impl Scratch {
    async fn open(url: String, folder: tempfile::TempDir) -> Self {
        Self { db: Db::open(&url, false).await.unwrap(), url, folder }
    }

    /// One on SQLite, for what PostgreSQL has no part in.
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::open(format!("sqlite://{}/f.db", folder.path().display()), folder).await
    }

    /// Where it is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The same database as another process opens it.
    pub(crate) async fn another(&self) -> Db {
        Db::open(&self.url, false).await.unwrap()
    }
}

/// Runs a test on SQLite, then on PostgreSQL in a schema of its own, and says on which it failed.
pub(crate) async fn on_each(test: impl AsyncFn(Scratch)) {
    let on_sqlite = AssertUnwindSafe(async { test(Scratch::sqlite().await).await }).catch_unwind().await;
    let on_postgres = match server() {
        Some(server) => {
            let schema = Schema::make(server).await;
            let ended = AssertUnwindSafe(schema.run(&test)).catch_unwind().await;
            schema.remove().await;
            ended
        }
        None => Ok(()),
    };
    for (database, ended) in [("SQLite", &on_sqlite), ("PostgreSQL", &on_postgres)] {
        if ended.is_err() {
            eprintln!("the test failed on {database}");
        }
    }
    on_sqlite.and(on_postgres).unwrap_or_else(|panic| resume_unwind(panic));
}

struct Schema {
    server: String,
    name: String,
}

impl Schema {
    async fn make(server: String) -> Self {
        let name = format!("test_{}", uuid::Uuid::now_v7().simple());
        let schema = Self { server, name };
        schema.execute("create schema").await;
        schema
    }

    async fn run(&self, test: &impl AsyncFn(Scratch)) {
        let more = if self.server.contains('?') { '&' } else { '?' };
        let url = format!("{}{more}options[search_path]={}", self.server, self.name);
        test(Scratch::open(url, tempfile::tempdir().unwrap()).await).await;
    }

    async fn remove(self) {
        self.execute("set client_min_messages = warning; drop schema if exists").await;
    }

    async fn execute(&self, what: &str) {
        let mut connection = PgConnection::connect(&self.server).await.unwrap();
        let cascade = if what.contains("drop") { "cascade" } else { "" };
        connection.execute(AssertSqlSafe(format!("{what} {} {cascade}", self.name))).await.unwrap();
        connection.close().await.unwrap();
    }
}

/// The server, or none where the developer has none. Where the whole suite runs there must be one.
fn server() -> Option<String> {
    let server = std::env::var(VARIABLE).ok().filter(|url| !url.is_empty());
    let must = std::env::var_os("CI").is_some_and(|ci| !ci.is_empty() && ci != "false");
    assert!(server.is_some() || !must, "{VARIABLE} is not set: the PostgreSQL half of this test cannot run");
    if server.is_none() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            report(&format!(
                "{VARIABLE} is not set: the PostgreSQL halves of the store tests DID NOT RUN. To run them:\n  \
                 scripts/services start postgres && export {VARIABLE}=$(cat .services/postgres.url)\n"
            ));
        });
    }
    server
}

/// Writes past the test harness, which shows only what failed.
fn report(text: &str) {
    std::io::stderr().write_all(text.as_bytes()).unwrap();
}
