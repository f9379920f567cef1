//! The ledger's one writer: takes all that waits, commits it at once, acknowledges it.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Executor, SqliteConnection};

use super::batch::{Added, Books};
use super::field::SqlError;
use super::statements::{Statements, batches};
use super::values::Values;
use super::{queries, rare};
use crate::db::Sqlite;
use crate::usage::error::Cause;
use crate::usage::rows::Settlement;
use crate::usage::settling::Amendment;

/// Writes settlements; one connection, opened again after a failure.
pub(in crate::usage) struct Writer {
    db: Sqlite,
    /// How long another process may hold the lock before a batch is tried again later.
    patience: Duration,
    connection: Option<SqliteConnection>,
    /// The file that the connection writes to.
    file: u64,
    books: Books,
    statements: Statements,
    /// About how many pages were written to the WAL since the last question.
    pages: usize,
}

/// Why a batch was not written.
#[derive(Debug)]
pub(in crate::usage) enum Failure {
    /// A row of this id stands already.
    Duplicate,
    /// SQLite will never take one of the rows.
    Unfit(Cause),
    /// Another holds the database's lock, and releases it.
    Busy(Cause),
    /// The database cannot be written now.
    Unwritable(Cause),
}

impl Writer {
    /// Opens a connection for the writer alone.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub(in crate::usage) async fn open(db: &Sqlite, patience: Duration) -> Result<Self, SqlError> {
        let mut connection = connect(db, patience).await?;
        let next = queries::next_numbers(&mut connection).await?;
        let skew = queries::skew(&mut connection).await?;
        Ok(Self {
            db: db.clone(),
            patience,
            connection: Some(connection),
            file: file_number(db)?,
            books: Books::new(next, skew),
            statements: Statements::default(),
            pages: 0,
        })
    }

    /// Writes a batch in one transaction, its hourly sums with it: the whole batch or nothing.
    ///
    /// # Errors
    /// As the variants of [`Failure`] say; nothing is written then.
    pub(in crate::usage) async fn write(
        &mut self,
        batch: &[&Settlement],
        amendments: &[Amendment],
    ) -> Result<(), Failure> {
        let Err(error) = self.try_write(batch, amendments).await else { return Ok(()) };
        self.books.clear();
        let failure = failure_of(&error);
        // A row that does not fit says nothing against the connection; anything else may.
        let sound = !matches!(failure, Failure::Unwritable(_));
        if let Some(mut open) = self.connection.take().filter(|_| sound) {
            let undone = open.execute("rollback").await.is_ok();
            // A lock that others hold leaves no transaction to undo, and a connection that is as good as another.
            if undone || matches!(failure, Failure::Busy(_)) {
                self.connection = Some(open);
            }
        }
        Err(failure)
    }

    /// About how many pages the WAL grew by since this was last asked.
    pub(in crate::usage) fn take_pages(&mut self) -> usize {
        std::mem::take(&mut self.pages)
    }

    /// Writes back what of the WAL no reader needs, so that it begins anew. For a moment when nothing waits.
    pub(in crate::usage) async fn checkpoint(&mut self) {
        if let Some(connection) = &mut self.connection
            && let Err(error) = queries::checkpoint(connection).await
        {
            tracing::warn!(%error, "the write-ahead log cannot be written back: {error}");
        }
    }

    async fn try_write(&mut self, batch: &[&Settlement], amendments: &[Amendment]) -> Result<(), SqlError> {
        let mut connection = self.connected().await?;
        let added = self.books.add(batch, amendments);
        let result = self.write_rows(&mut connection, (batch, amendments, &added)).await;
        self.connection = Some(connection);
        result?;
        self.books.written(&added);
        self.pages += 3 + batch.len() / 12;
        Ok(())
    }

    /// The connection, or another where there is none, or where its file is no longer the one at the database's path:
    /// SQLite would go on writing to a deleted file, and those rows would be gone.
    async fn connected(&mut self) -> Result<SqliteConnection, SqlError> {
        let file = file_number(&self.db)?;
        if let Some(connection) = self.connection.take().filter(|_| file == self.file) {
            return Ok(connection);
        }
        let mut connection = connect(&self.db, self.patience).await?;
        self.books.number_from(queries::next_numbers(&mut connection).await?);
        self.file = file;
        Ok(connection)
    }

    async fn write_rows(
        &mut self,
        connection: &mut SqliteConnection,
        (batch, amendments, added): (&[&Settlement], &[Amendment], &Added),
    ) -> Result<(), SqlError> {
        let mut contents = self.books.contents(batch, added);
        let mut parts = batches(contents.rows());
        let bodies = batch.iter().any(|settlement| settlement.bodies.is_some());
        if bodies || added.skew > self.books.skew() || !amendments.is_empty() {
            parts[0].first = false;
            connection.execute("begin immediate").await?;
            rare::write((&mut *connection).into(), batch, amendments, added.skew).await?;
        }
        for part in parts {
            let rows = contents.take(part);
            let mut values = Values::with_room(part.parameters());
            values.put(rows.dimensions());
            values.put(rows.requests());
            values.put(rows.attempts());
            values.put(rows.cells());
            let text = AssertSqlSafe(self.statements.text(part));
            sqlx::query_with(text, values.finish()?).execute(&mut *connection).await?;
        }
        Ok(())
    }
}

/// The writer's connection: another task writes the WAL back, and a lock that others hold is an error soon.
async fn connect(db: &Sqlite, patience: Duration) -> Result<SqliteConnection, SqlError> {
    let mut connection = db.connect().await?;
    connection.execute("pragma wal_autocheckpoint = 0").await?;
    let patience = format!("pragma busy_timeout = {}", patience.as_millis());
    connection.execute(AssertSqlSafe(patience)).await?;
    Ok(connection)
}

fn file_number(db: &Sqlite) -> Result<u64, SqlError> {
    use std::os::unix::fs::MetadataExt;
    Ok(std::fs::metadata(db.path()).map_err(sqlx::Error::Io)?.ino())
}

/// What SQLite's result codes say: this row, or this moment.
fn failure_of(error: &SqlError) -> Failure {
    const BUSY: i32 = 5;
    const LOCKED: i32 = 6;
    const TOO_BIG: i32 = 18;
    const CONSTRAINT: i32 = 19;
    const MISMATCH: i32 = 20;
    if error.is_unique_violation() {
        return Failure::Duplicate;
    }
    let cause = Cause::of(error);
    match error {
        SqlError::Sql(sqlx::Error::Database(inner)) => {
            let code = inner.code().and_then(|code| code.parse::<i32>().ok()).unwrap_or(0);
            match code & 0xff {
                BUSY | LOCKED => Failure::Busy(cause),
                TOO_BIG | CONSTRAINT | MISMATCH => Failure::Unfit(cause),
                _ => Failure::Unwritable(cause),
            }
        }
        SqlError::Sql(sqlx::Error::Encode(_)) => Failure::Unfit(cause),
        _ => Failure::Unwritable(cause),
    }
}
