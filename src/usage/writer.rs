//! The ledger's one writer: takes all that waits, commits it at once, acknowledges it.

use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments, AssertSqlSafe, Encode, Executor, Sqlite, SqliteConnection, Type};

use super::rollup::{Cell, Rollups};
use super::rows::{AttemptRow, CacheState, RequestRow, Settlement, Status};
use super::statements::{Packet, Statements, packets};
use super::store;
use crate::chat::Usage;
use crate::db::Db;
use crate::types::{Nanos, RequestId};

/// Writes settlements; one connection, opened again after a failure.
pub(super) struct Writer {
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

/// An attempt that a crash cut off, of a request whose row stands already.
#[derive(Clone, Debug)]
pub(super) struct Amendment {
    pub(super) request: RequestRow,
    pub(super) attempt: AttemptRow,
}

/// Why a batch was not written.
#[derive(Debug)]
pub(super) enum Failure {
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
    pub(super) async fn open(db: &Db, patience: Duration) -> Result<Self, sqlx::Error> {
        let mut connection = store::connect_writer(db, patience).await?;
        let next = store::next_rollup(&mut connection).await?;
        let skew = store::skew(&mut connection).await?;
        Ok(Self {
            db: db.clone(),
            patience,
            connection: Some(connection),
            file: file_number(db).map_err(sqlx::Error::Io)?,
            rollups: Rollups::new(next),
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
    pub(super) async fn write(&mut self, batch: &[&Settlement], amendments: &[Amendment]) -> Result<(), Failure> {
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
    pub(super) fn take_pages(&mut self) -> usize {
        std::mem::take(&mut self.pages)
    }

    /// Writes back what of the WAL no reader needs, so that it begins anew. For a moment when nothing waits.
    pub(super) async fn checkpoint(&mut self) {
        if let Some(connection) = &mut self.connection
            && let Err(error) = store::checkpoint(connection).await
        {
            tracing::warn!(%error, "the write-ahead log cannot be written back: {error}");
        }
    }

    async fn try_write(&mut self, batch: &[&Settlement], amendments: &[Amendment]) -> Result<(), sqlx::Error> {
        let mut connection = self.connected().await?;
        let touched = self.add_up(batch, amendments);
        let skew = batch.iter().map(|settlement| skew_of(&settlement.request)).max().unwrap_or(0).max(self.skew);
        let result = self.write_rows(&mut connection, (batch, amendments, &touched, skew)).await;
        self.connection = Some(connection);
        result?;
        self.skew = skew;
        self.pages += 3 + batch.len() / 6;
        Ok(())
    }

    /// The connection, or another where there is none, or where its file is no longer the one at the database's path:
    /// SQLite would go on writing to a deleted file, and all of it would be gone.
    async fn connected(&mut self) -> Result<SqliteConnection, sqlx::Error> {
        let file = file_number(&self.db).map_err(sqlx::Error::Io)?;
        if let Some(connection) = self.connection.take().filter(|_| file == self.file) {
            return Ok(connection);
        }
        let mut connection = store::connect_writer(&self.db, self.patience).await?;
        let next = store::next_rollup(&mut connection).await?;
        self.rollups.number_from(next);
        self.file = file;
        Ok(connection)
    }

    /// Adds the batch to the hourly sums; gives the places of the cells that changed.
    fn add_up(&mut self, batch: &[&Settlement], amendments: &[Amendment]) -> Vec<usize> {
        if let Some(first) = batch.first() {
            self.rollups.make_room(&first.request);
        }
        let mut touched: Vec<_> = batch.iter().map(|settlement| self.rollups.add(&settlement.request)).collect();
        let costs =
            amendments.iter().map(|one| self.rollups.add_cost(&one.request, one.attempt.cost.unwrap_or_default()));
        touched.extend(costs);
        touched.sort_unstable();
        touched.dedup();
        touched
    }

    async fn write_rows(
        &mut self,
        connection: &mut SqliteConnection,
        (batch, amendments, touched, skew): (&[&Settlement], &[Amendment], &[usize], i64),
    ) -> Result<(), sqlx::Error> {
        let attempts: Vec<_> =
            batch.iter().flat_map(|one| one.attempts.iter().map(|row| (one.request.id, row))).collect();
        let mut packets = packets(batch.len(), attempts.len(), touched.len());
        let bodies = batch.iter().any(|settlement| settlement.bodies.is_some());
        if bodies || skew > self.skew || !amendments.is_empty() {
            packets[0].first = false;
            connection.execute("begin immediate").await?;
            store::write_rare(connection, batch, amendments, skew).await?;
        }
        let (mut requests, mut rows, mut cells) = (batch, &attempts[..], touched);
        for packet in packets {
            let mut values = Values::with_room(packet);
            take(&mut requests, packet.requests).iter().for_each(|one| self.words.request(&one.request, &mut values));
            take(&mut rows, packet.attempts).iter().for_each(|(id, row)| self.words.attempt(*id, row, &mut values));
            take(&mut cells, packet.cells).iter().for_each(|at| self.words.cell(self.rollups.cell(*at), &mut values));
            let text = AssertSqlSafe(self.statements.text(packet));
            sqlx::query_with(text, values.finish()?).execute(&mut *connection).await?;
        }
        Ok(())
    }
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

    fn request(&self, row: &RequestRow, values: &mut Values) {
        values.add(id_text(row.id));
        values.add(row.started_at.0);
        values.add(row.project.clone());
        values.add(row.key_id.clone());
        values.add(row.user.clone());
        values.add(row.session.clone());
        values.add(tags_text(&row.tags));
        values.add(row.endpoint.clone());
        values.add(row.requested_model.clone());
        values.add(row.provider.clone());
        values.add(row.model.clone());
        values.add(row.route.clone());
        values.add(row.prompt.clone());
        values.add(row.version.map(i64::from));
        values.add(i64::from(row.stream));
        values.add(self.statuses[row.status.index()].clone());
        values.add((row.http_status != 0).then_some(i64::from(row.http_status)));
        values.add(row.error_code.clone());
        values.add(self.caches[row.cache.index()].clone());
        values.usage(row.usage.as_ref());
        values.add(row.cost.map(|cost| cost.0));
        values.add(i64::from(row.unpriced));
        values.add(row.saved.0);
        values.add((row.status != Status::Unknown).then(|| number(row.latency_us)));
        values.add(row.first_token_us.map(number));
        values.add(row.overhead_us.map(number));
        values.add(row.trace.clone());
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
        values.usage(row.usage.as_ref());
        values.add(row.cost.map(|cost| cost.0));
        values.add(row.rate.clone());
        values.add(row.reserved.0);
    }

    fn cell(&self, cell: &Cell, values: &mut Values) {
        let Cell { id, key, sums } = cell;
        values.add(*id);
        values.add(key.hour);
        values.add(key.project.clone());
        values.add(key.key_id.clone());
        for text in [&key.user, &key.provider, &key.model, &key.route, &key.prompt] {
            values.add(text.clone());
        }
        values.add(key.version.map(i64::from));
        values.add(self.statuses[key.status.index()].clone());
        values.add(key.error_code.clone());
        values.add(self.caches[key.cache.index()].clone());
        let Nanos(cost) = sums.cost;
        let Nanos(saved) = sums.saved;
        [sums.requests, sums.priced, sums.unpriced].into_iter().chain(sums.tokens).for_each(|count| values.add(count));
        values.add(cost);
        values.add(saved);
        for histogram in [&sums.latency, &sums.first_token, &sums.overhead] {
            let mut bytes = Vec::new();
            histogram.write(&mut bytes);
            values.add(bytes);
        }
    }
}

/// Parameters of a packet; the first that cannot be encoded is told at the end.
#[derive(Default)]
struct Values {
    arguments: SqliteArguments,
    failed: Option<sqlx::error::BoxDynError>,
}

impl Values {
    fn with_room(packet: Packet) -> Self {
        let mut values = Self::default();
        values.arguments.reserve(packet.requests * 32 + packet.attempts * 20 + packet.cells * 26, 0);
        values
    }

    fn add<'q, T: Encode<'q, Sqlite> + Type<Sqlite>>(&mut self, value: T) {
        if let Err(error) = self.arguments.add(value) {
            self.failed.get_or_insert(error);
        }
    }

    fn usage(&mut self, usage: Option<&Usage>) {
        self.add(usage.map(|usage| number(usage.input)));
        self.add(usage.map(|usage| number(usage.cached_input)));
        self.add(usage.map(|usage| number(usage.cache_write)));
        self.add(usage.map(|usage| number(usage.output)));
        self.add(usage.map(|usage| number(usage.reasoning)));
        self.add(i64::from(usage.is_some_and(|usage| usage.estimated)));
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
    let object: serde_json::Map<_, _> = tags.iter().map(|(name, value)| (name.to_string(), (**value).into())).collect();
    (!object.is_empty()).then(|| serde_json::Value::Object(object).to_string())
}
