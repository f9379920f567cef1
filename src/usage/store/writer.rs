//! The ledger's one writer: takes all that waits, commits it at once, acknowledges it.

use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments, AssertSqlSafe, Encode, Executor, Sqlite, SqliteConnection, Type};

use super::kinds::Kind;
use super::queries;
use super::rollup::{Cell, Rollups};
use super::statements::{Batch, Rows, Statements, batches};
use crate::chat::Usage;
use crate::db::Db;
use crate::types::{Nanos, RequestId};
use crate::usage::rows::{AttemptRow, CacheState, RequestRow, Settlement, Status};
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
    words: Words,
    skew: i64,
    /// Pages written to the WAL since they were last told, about.
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
        let (next, next_kind) = queries::next_numbers(&mut connection).await?;
        let skew = queries::skew(&mut connection).await?;
        Ok(Self {
            db: db.clone(),
            patience,
            connection: Some(connection),
            file: file_number(db).map_err(sqlx::Error::Io)?,
            rollups: Rollups::new(next, next_kind),
            statements: Statements::default(),
            words: Words::new(),
            skew,
            pages: 0,
        })
    }

    /// Writes a batch in one transaction, its hourly sums with it: all of it or nothing.
    ///
    /// # Errors
    /// As the variants of [`Failure`] tell; nothing is written then.
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
        self.rollups.kinds().written();
        self.skew = skew;
        self.pages += 3 + batch.len() / 12;
        Ok(())
    }

    /// The connection, or another where there is none, or where its file is no longer the one at the database's path:
    /// SQLite would go on writing to a deleted file, and all of it would be gone.
    async fn connected(&mut self) -> Result<SqliteConnection, sqlx::Error> {
        let file = file_number(&self.db).map_err(sqlx::Error::Io)?;
        if let Some(connection) = self.connection.take().filter(|_| file == self.file) {
            return Ok(connection);
        }
        let mut connection = queries::connect_writer(&self.db, self.patience).await?;
        let (next, next_kind) = queries::next_numbers(&mut connection).await?;
        self.rollups.number_from(next, next_kind);
        self.file = file;
        Ok(connection)
    }

    /// Adds the batch to the hourly sums.
    fn add_up(&mut self, batch: &[&Settlement], amendments: &[Amendment]) -> Added {
        let rows = batch.iter().map(|one| &*one.request).chain(amendments.iter().map(|one| &one.request));
        if let Some(last) = rows.map(|row| row.started_at).max() {
            self.rollups.make_room(last.hour().0);
        }
        let (kinds, mut cells): (Vec<_>, Vec<_>) = batch.iter().map(|one| self.rollups.add(one)).unzip();
        let costs =
            amendments.iter().map(|one| self.rollups.add_cost(&one.request, one.attempt.cost.unwrap_or_default()));
        cells.extend(costs);
        cells.sort_unstable();
        cells.dedup();
        Added { kinds, cells }
    }

    async fn write_rows(
        &mut self,
        connection: &mut SqliteConnection,
        (batch, amendments, added, skew): (&[&Settlement], &[Amendment], &Added, i64),
    ) -> Result<(), sqlx::Error> {
        let apart = batch.iter().filter(|one| one.only_attempt().is_none());
        let attempts: Vec<_> = apart.flat_map(|one| one.attempts.iter().map(|row| (one.request.id, row))).collect();
        let hour = self.rollups.hour();
        let new_kinds = self.rollups.kinds().unwritten().len();
        let mut parts = batches(Rows {
            kinds: new_kinds,
            requests: batch.len(),
            attempts: attempts.len(),
            cells: added.cells.len(),
        });
        let bodies = batch.iter().any(|settlement| settlement.bodies.is_some());
        if bodies || skew > self.skew || !amendments.is_empty() {
            parts[0].first = false;
            connection.execute("begin immediate").await?;
            queries::write_rare(connection, batch, amendments, skew).await?;
        }
        let (mut requests, mut kinds) = (batch, &added.kinds[..]);
        let (mut rows, mut cells) = (&attempts[..], &added.cells[..]);
        let mut written = 0;
        for part in parts {
            let mut values = Values::with_room(part);
            let new = &self.rollups.kinds().unwritten()[written..written + part.kinds];
            new.iter().for_each(|(number, kind)| self.words.kind((*number, hour), kind, &mut values));
            written += part.kinds;
            let numbers = take(&mut kinds, part.requests);
            for (one, kind) in take(&mut requests, part.requests).iter().zip(numbers) {
                values.request(one, *kind);
            }
            take(&mut rows, part.attempts).iter().for_each(|(id, row)| self.words.attempt(*id, row, &mut values));
            take(&mut cells, part.cells).iter().for_each(|at| values.cell(self.rollups.cell(*at)));
            let text = AssertSqlSafe(self.statements.text(part));
            sqlx::query_with(text, values.finish()?).execute(&mut *connection).await?;
        }
        Ok(())
    }
}

/// What a batch changed in the hourly sums.
struct Added {
    /// The number of each request's kind.
    kinds: Vec<i64>,
    /// The places of the cells that changed.
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

/// The words that rows repeat, so that they are not copied for each.
struct Words {
    statuses: [Arc<str>; 4],
    caches: [Option<Arc<str>>; 6],
}

impl Words {
    fn new() -> Self {
        Self {
            statuses: Status::ALL.map(|status| status.text().into()),
            caches: CacheState::ALL.map(|state| state.text().map(Into::into)),
        }
    }

    fn kind(&self, (number, hour): (i64, i64), kind: &Kind, values: &mut Values) {
        values.add(number);
        values.add(hour);
        for text in [&kind.project, &kind.key_id, &kind.endpoint, &kind.requested_model] {
            values.add(text.clone());
        }
        for text in [&kind.provider, &kind.model, &kind.route, &kind.prompt] {
            values.add(text.clone());
        }
        values.add(kind.version.map(i64::from));
        values.add(i64::from(kind.stream));
        values.add(self.statuses[kind.status.index()].clone());
        values.add((kind.http_status != 0).then_some(i64::from(kind.http_status)));
        values.add(kind.error_code.clone());
        values.add(self.caches[kind.cache.index()].clone());
        values.add(i64::from(kind.estimated));
        values.add(i64::from(kind.unpriced));
        values.add(kind.rate.clone());
        values.add(kind.trace.clone());
    }

    fn attempt(&self, id: RequestId, row: &AttemptRow, values: &mut Values) {
        values.add(id_text(id));
        values.add(i64::from(row.n));
        values.add(row.provider.clone());
        values.add(row.model.clone());
        values.add(self.statuses[row.status.index()].clone());
        values.add(row.http_status.map(i64::from));
        values.add(row.error_code.clone());
        values.add(i64::from(row.retryable));
        values.add(row.started_at.0);
        values.add((row.status != Status::Unknown).then(|| number(row.latency_us)));
        values.add(row.first_token_us.map(number));
        values.tokens(row.usage.as_ref());
        values.add(i64::from(row.usage.is_some_and(|usage| usage.estimated)));
        values.add(row.cost.map(|cost| cost.0));
        values.add(row.rate.clone());
        values.add(row.reserved.0);
        values.hour(row.usage.as_ref());
    }
}

/// Parameters of a batch; the first that cannot be encoded is told at the end.
#[derive(Default)]
struct Values {
    arguments: SqliteArguments,
    failed: Option<sqlx::error::BoxDynError>,
}

impl Values {
    fn with_room(batch: Batch) -> Self {
        let mut values = Self::default();
        values.arguments.reserve(batch.parameters(), 0);
        values
    }

    fn add<'q, T: Encode<'q, Sqlite> + Type<Sqlite>>(&mut self, value: T) {
        if let Err(error) = self.arguments.add(value) {
            self.failed.get_or_insert(error);
        }
    }

    fn request(&mut self, settlement: &Settlement, kind: i64) {
        let row = &settlement.request;
        self.add(id_text(row.id));
        self.add(kind);
        self.add(row.started_at.0);
        self.add(row.user.clone());
        self.add(row.session.clone());
        self.add(tags_text(&row.tags));
        self.tokens(row.usage.as_ref());
        self.add(row.cost.map(|cost| cost.0));
        self.add(row.saved.0);
        self.add((row.status != Status::Unknown).then(|| number(row.latency_us)));
        self.add(row.first_token_us.map(number));
        self.add(row.overhead_us.map(number));
        let attempt = settlement.only_attempt();
        self.add(attempt.map(|attempt| attempt.started_at.0));
        self.add(attempt.map(|attempt| number(attempt.latency_us)));
        self.add(attempt.and_then(|attempt| attempt.first_token_us).map(number));
        self.add(attempt.map(|attempt| attempt.reserved.0));
        self.hour(row.usage.as_ref());
    }

    fn cell(&mut self, cell: &Cell) {
        let Cell { id, group, sums } = cell;
        self.add(*id);
        self.add(group.hour);
        self.add(group.kind);
        self.add(group.user.clone());
        let Nanos(cost) = sums.cost;
        let Nanos(saved) = sums.saved;
        [sums.requests, sums.priced, sums.unpriced].into_iter().chain(sums.tokens).for_each(|count| self.add(count));
        self.add(cost);
        self.add(saved);
        for histogram in [&sums.latency, &sums.first_token, &sums.overhead] {
            let mut bytes = Vec::new();
            histogram.write(&mut bytes);
            self.add(bytes);
        }
    }

    fn tokens(&mut self, usage: Option<&Usage>) {
        self.add(usage.map(|usage| number(usage.input)));
        self.add(usage.map(|usage| number(usage.cached_input)));
        self.add(usage.map(|usage| number(usage.cache_write)));
        self.add(usage.map(|usage| number(usage.output)));
        self.add(usage.map(|usage| number(usage.reasoning)));
    }

    /// Writes for an hour: mostly none, which takes no room in a row.
    fn hour(&mut self, usage: Option<&Usage>) {
        self.add(usage.map(|usage| usage.cache_write_1h).filter(|written| *written > 0).map(number));
    }

    fn finish(self) -> Result<SqliteArguments, sqlx::Error> {
        self.failed.map_or(Ok(self.arguments), |error| Err(sqlx::Error::Encode(error)))
    }
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn id_text(id: RequestId) -> Arc<str> {
    id.text().as_str().into()
}

/// Tags as a JSON object; a name given twice keeps its last value.
fn tags_text(tags: &[(Arc<str>, Arc<str>)]) -> Option<String> {
    if tags.is_empty() {
        return None;
    }
    let object: serde_json::Map<_, _> = tags.iter().map(|(name, value)| (name.to_string(), (**value).into())).collect();
    Some(serde_json::Value::Object(object).to_string())
}
