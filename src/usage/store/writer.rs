//! The ledger's one writer: takes all that waits, commits it at once, acknowledges it.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Executor, SqliteConnection};

use super::rollup::Rollups;
use super::statements::{Rows, Statements, batches};
use super::values::Values;
use super::{queries, rare};
use crate::db::Sqlite as Db;
use crate::usage::rows::{RequestRow, Settlement};
use crate::usage::settling::Amendment;

/// Writes settlements; one connection, opened again after a failure.
pub(in crate::usage) struct Writer {
    db: Db,
    /// How long another process may hold the lock before a batch is tried again later.
    patience: Duration,
    connection: Option<SqliteConnection>,
    /// The file that the connection writes to.
    file: u64,
    rollups: Rollups,
    statements: Statements,
    skew: i64,
    /// About how many pages were written to the WAL since the last question.
    pages: usize,
}

/// Why a batch was not written.
#[derive(Debug)]
pub(in crate::usage) enum Failure {
    /// A row of this id stands already.
    Duplicate,
    /// SQLite will never take one of the rows.
    Unfit(String),
    /// The database cannot be written now.
    Unwritable(String),
}

impl Writer {
    /// Opens a connection for the writer alone.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub(in crate::usage) async fn open(db: &Db, patience: Duration) -> Result<Self, sqlx::Error> {
        let mut connection = queries::connect_writer(db, patience).await?;
        let (next, next_dimensions) = queries::next_numbers(&mut connection).await?;
        let skew = queries::skew(&mut connection).await?;
        Ok(Self {
            db: db.clone(),
            patience,
            connection: Some(connection),
            file: file_number(db).map_err(sqlx::Error::Io)?,
            rollups: Rollups::new(next, next_dimensions),
            statements: Statements::default(),
            skew,
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
        self.rollups.clear();
        let failure = failure_of(&error);
        // A row that does not fit says nothing against the connection; anything else may.
        let sound = !matches!(failure, Failure::Unwritable(_));
        if let Some(mut open) = self.connection.take().filter(|_| sound)
            && open.execute("rollback").await.is_ok()
        {
            self.connection = Some(open);
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

    async fn try_write(&mut self, batch: &[&Settlement], amendments: &[Amendment]) -> Result<(), sqlx::Error> {
        let mut connection = self.connected().await?;
        let added = self.add_up(batch, amendments);
        let skew = batch.iter().map(|settlement| skew_of(&settlement.request)).max().unwrap_or(0).max(self.skew);
        let result = self.write_rows(&mut connection, (batch, amendments, &added, skew)).await;
        self.connection = Some(connection);
        result?;
        self.rollups.known().written();
        self.skew = skew;
        self.pages += 3 + batch.len() / 12;
        Ok(())
    }

    /// The connection, or another where there is none, or where its file is no longer the one at the database's path:
    /// SQLite would go on writing to a deleted file, and those rows would be gone.
    async fn connected(&mut self) -> Result<SqliteConnection, sqlx::Error> {
        let file = file_number(&self.db).map_err(sqlx::Error::Io)?;
        if let Some(connection) = self.connection.take().filter(|_| file == self.file) {
            return Ok(connection);
        }
        let mut connection = queries::connect_writer(&self.db, self.patience).await?;
        let (next, next_dimensions) = queries::next_numbers(&mut connection).await?;
        self.rollups.number_from(next, next_dimensions);
        self.file = file;
        Ok(connection)
    }

    /// Adds the batch to the hourly sums.
    fn add_up(&mut self, batch: &[&Settlement], amendments: &[Amendment]) -> Added {
        let rows = batch.iter().map(|one| &*one.request).chain(amendments.iter().map(|one| &one.request));
        if let Some(last) = rows.map(|row| row.started_at).max() {
            self.rollups.make_room(last.hour().0);
        }
        let (dimensions, mut cells): (Vec<_>, Vec<_>) = batch.iter().map(|one| self.rollups.add(one)).unzip();
        let costs =
            amendments.iter().map(|one| self.rollups.add_cost(&one.request, one.attempt.cost.unwrap_or_default()));
        cells.extend(costs);
        cells.sort_unstable();
        cells.dedup();
        Added { dimensions, cells }
    }

    async fn write_rows(
        &mut self,
        connection: &mut SqliteConnection,
        (batch, amendments, added, skew): (&[&Settlement], &[Amendment], &Added, i64),
    ) -> Result<(), sqlx::Error> {
        let apart = batch.iter().filter(|one| one.only_attempt().is_none());
        let attempts: Vec<_> = apart.flat_map(|one| one.attempts.iter().map(|row| (one.request.id, row))).collect();
        let hour = self.rollups.hour();
        let new = self.rollups.known().unwritten().len();
        let mut parts = batches(Rows {
            dimensions: new,
            requests: batch.len(),
            attempts: attempts.len(),
            cells: added.cells.len(),
        });
        let bodies = batch.iter().any(|settlement| settlement.bodies.is_some());
        if bodies || skew > self.skew || !amendments.is_empty() {
            parts[0].first = false;
            connection.execute("begin immediate").await?;
            rare::write(connection, batch, amendments, skew).await?;
        }
        let (mut requests, mut dimensions) = (batch, &added.dimensions[..]);
        let (mut rows, mut cells) = (&attempts[..], &added.cells[..]);
        let mut written = 0;
        for part in parts {
            let mut values = Values::with_room(part.parameters());
            let new = &self.rollups.known().unwritten()[written..written + part.dimensions];
            new.iter().for_each(|(number, dimensions)| values.dimensions((*number, hour), dimensions));
            written += part.dimensions;
            let numbers = take(&mut dimensions, part.requests);
            for (one, dimensions) in take(&mut requests, part.requests).iter().zip(numbers) {
                values.request(one, *dimensions);
            }
            take(&mut rows, part.attempts).iter().for_each(|(id, row)| values.attempt(*id, row));
            take(&mut cells, part.cells).iter().for_each(|at| values.cell(self.rollups.cell(*at)));
            let text = AssertSqlSafe(self.statements.text(part));
            sqlx::query_with(text, values.finish()?).execute(&mut *connection).await?;
        }
        Ok(())
    }
}

/// What a batch changed in the hourly sums.
struct Added {
    /// The number of each request's dimensions.
    dimensions: Vec<i64>,
    /// The positions of the cells that changed.
    cells: Vec<usize>,
}

fn file_number(db: &Db) -> std::io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    Ok(std::fs::metadata(db.path())?.ino())
}

fn take<'a, T>(rest: &mut &'a [T], count: usize) -> &'a [T] {
    let (head, tail) = rest.split_at(count.min(rest.len()));
    *rest = tail;
    head
}

/// The parts of SQLite's result codes that say: this row, not this moment.
fn failure_of(error: &sqlx::Error) -> Failure {
    const TOO_BIG: i32 = 18;
    const CONSTRAINT: i32 = 19;
    const MISMATCH: i32 = 20;
    let text = error.to_string();
    let sqlx::Error::Database(inner) = error else {
        return if matches!(error, sqlx::Error::Encode(_)) { Failure::Unfit(text) } else { Failure::Unwritable(text) };
    };
    if inner.is_unique_violation() {
        return Failure::Duplicate;
    }
    let code = inner.code().and_then(|code| code.parse::<i32>().ok()).unwrap_or(0);
    match code & 0xff {
        TOO_BIG | CONSTRAINT | MISMATCH => Failure::Unfit(text),
        _ => Failure::Unwritable(text),
    }
}

/// How far a request's id and its start lie apart, in microseconds.
fn skew_of(row: &RequestRow) -> i64 {
    let mut millis = [0; 8];
    millis[2..].copy_from_slice(&row.id.as_bytes()[..6]);
    let micros = i64::from_be_bytes(millis).saturating_mul(1_000);
    micros.saturating_sub(row.started_at.0).saturating_abs()
}
