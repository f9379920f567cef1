//! The ledger's queries, and the statements that a batch seldom needs.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments, AssertSqlSafe, Executor, Row, SqliteConnection};

use super::conditions::{Bind, Conditions};
use super::rollup::{Key, Sums};
use crate::chat::Usage;
use crate::db::Db;
use crate::types::{Nanos, RequestId, Timestamp};
use crate::usage::error::Error;
use crate::usage::rows::{AttemptRow, Bodies, CacheState, RequestRow, Settlement, Status};
use crate::usage::settling::Amendment;

/// Ids and starts lie apart by this much at least in what we assume; more is kept in the database.
const LEAST_SKEW: i64 = 5_000_000;
/// Rows that one transaction of the retention deletes.
const PRUNED_AT_ONCE: i64 = 500;

const REQUEST_COLUMNS: &str = "id, started_at, project, key_id, user_id, session, tags, endpoint, requested_model, provider, \
    model, route, prompt, version, stream, status, http_status, error_code, cache, cost, unpriced, saved, latency_us, \
    first_token_us, overhead_us, input_tokens, cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens, estimated";
const ATTEMPT_COLUMNS: &str = "n, provider, model, status, http_status, error_code, retryable, started_at, latency_us, \
    first_token_us, cost, rate, reserved, input_tokens, cached_input_tokens, cache_write_tokens, cache_write_1h_tokens, output_tokens, \
    reasoning_tokens, estimated";
const ROLLUP_COLUMNS: &str = "hour, project, key_id, user_id, provider, model, route, prompt, version, status, error_code, \
    cache, requests, priced, unpriced, input_tokens, cached_input_tokens, cache_write_tokens, output_tokens, \
    reasoning_tokens, cost, saved, latency, first_token, overhead";

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error.to_string())
    }
}

/// The writer's connection: another task writes the WAL back, and a lock that others hold is told soon.
pub(in crate::usage) async fn connect_writer(db: &Db, patience: Duration) -> Result<SqliteConnection, sqlx::Error> {
    let mut connection = db.connect().await?;
    connection.execute("pragma wal_autocheckpoint = 0").await?;
    let patience = format!("pragma busy_timeout = {}", patience.as_millis());
    connection.execute(AssertSqlSafe(patience)).await?;
    Ok(connection)
}

/// The numbers after the last hourly sum's and the last kind's.
pub(in crate::usage) async fn next_numbers(connection: &mut SqliteConnection) -> Result<(i64, i64), sqlx::Error> {
    let next = "select (select coalesce(max(id), 0) + 1 from rollups), (select coalesce(max(id), 0) + 1 from kinds)";
    let row = sqlx::query(next).fetch_one(connection).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// How far the id and the start of any request lie apart at most, in microseconds.
pub(in crate::usage) async fn skew(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    let row = sqlx::query("select micros from ledger_skew").fetch_optional(connection).await?;
    let kept = row.map_or(Ok(0), |row| row.try_get::<i64, _>(0))?;
    Ok(kept.max(LEAST_SKEW))
}

/// Writes the WAL back as far as no one is in the way; gives its length in pages.
pub(in crate::usage) async fn checkpoint(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query("pragma wal_checkpoint(passive)").fetch_one(connection).await?.try_get(1)
}

/// Bodies, cut-off attempts of known requests, and a clock that ran away.
pub(in crate::usage) async fn write_rare(
    connection: &mut SqliteConnection,
    batch: &[&Settlement],
    amendments: &[Amendment],
    skew: i64,
) -> Result<(), sqlx::Error> {
    if skew > LEAST_SKEW {
        let keep = "insert into ledger_skew (id, micros) values (1, $1) on conflict (id) do update set micros = excluded.micros";
        sqlx::query(keep).bind(skew).execute(&mut *connection).await?;
    }
    for settlement in batch {
        let Some(Bodies { request, response }) = &settlement.bodies else { continue };
        let insert = sqlx::query("insert into bodies (request_id, request, response) values ($1, $2, $3)");
        let insert = insert.bind(settlement.request.id.to_string()).bind(&request[..]).bind(&response[..]);
        insert.execute(&mut *connection).await?;
    }
    for amendment in amendments {
        amend(connection, amendment).await?;
    }
    Ok(())
}

async fn amend(connection: &mut SqliteConnection, amendment: &Amendment) -> Result<(), sqlx::Error> {
    let Amendment { request, attempt } = amendment;
    // The row's cost is no longer that of the attempt it holds.
    let apart = format!(
        "insert into attempts (request_id, {ATTEMPT_COLUMNS}) select request_id, {ATTEMPT_COLUMNS} from full_attempts \
         where request_id = $1 on conflict (request_id, n) do nothing"
    );
    sqlx::query(AssertSqlSafe(apart)).bind(request.id.to_string()).execute(&mut *connection).await?;
    let insert = "insert into attempts (request_id, n, provider, model, status, retryable, started_at, estimated, cost, reserved) \
        values ($1, $2, $3, $4, 'unknown', 0, $5, 0, $6, $7)";
    let insert = sqlx::query(insert).bind(request.id.to_string()).bind(attempt.n).bind(attempt.provider.to_string());
    let insert =
        insert.bind(attempt.model.to_string()).bind(attempt.started_at.0).bind(attempt.cost.map(|cost| cost.0));
    insert.bind(attempt.reserved.0).execute(&mut *connection).await?;
    let charge = "update requests set sent_at = null, cost = coalesce(cost, 0) + $1 where id = $2";
    let charge = sqlx::query(charge).bind(attempt.cost.unwrap_or_default().0).bind(request.id.to_string());
    charge.execute(&mut *connection).await.map(drop)
}

/// Which of these requests have rows.
pub(in crate::usage) async fn known_requests(
    connection: &mut SqliteConnection,
    ids: impl ExactSizeIterator<Item = RequestId>,
) -> Result<HashSet<RequestId>, sqlx::Error> {
    let rows = among("select id from requests where id", ids, connection).await?;
    rows.iter().map(|row| id_of(row, 0)).collect()
}

/// The numbers of the attempts of these requests that have rows.
pub(in crate::usage) async fn known_attempts(
    connection: &mut SqliteConnection,
    ids: impl ExactSizeIterator<Item = RequestId>,
) -> Result<HashSet<(RequestId, u32)>, sqlx::Error> {
    let rows = among("select request_id, n from full_attempts where request_id", ids, connection).await?;
    rows.iter().map(|row| Ok((id_of(row, 0)?, row.try_get(1)?))).collect()
}

async fn among(
    sql: &str,
    ids: impl ExactSizeIterator<Item = RequestId>,
    connection: &mut SqliteConnection,
) -> Result<Vec<SqliteRow>, sqlx::Error> {
    let sql = format!("{sql} in ({})", vec!["?"; ids.len()].join(","));
    let query = ids.fold(sqlx::query(AssertSqlSafe(sql)), |query, id| query.bind(id.to_string()));
    query.fetch_all(connection).await
}

fn id_of(row: &SqliteRow, column: usize) -> Result<RequestId, sqlx::Error> {
    let id: &str = row.try_get(column)?;
    id.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

/// A request's row and its trace.
pub(in crate::usage) async fn request(
    connection: &mut SqliteConnection,
    id: RequestId,
) -> Result<Option<RequestRow>, sqlx::Error> {
    let sql = format!("select {REQUEST_COLUMNS}, trace from full_requests where id = $1");
    let row = sqlx::query(AssertSqlSafe(sql)).bind(id.to_string()).fetch_optional(connection).await?;
    let Some(row) = row else { return Ok(None) };
    let trace = text(&row, "trace")?;
    Ok(Some(RequestRow { trace, ..request_of(&row)? }))
}

/// A request's attempts in order.
pub(in crate::usage) async fn attempts(
    connection: &mut SqliteConnection,
    id: RequestId,
) -> Result<Vec<AttemptRow>, sqlx::Error> {
    let sql = format!("select {ATTEMPT_COLUMNS} from full_attempts where request_id = $1 order by n");
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(id.to_string()).fetch_all(connection).await?;
    rows.iter().map(attempt_of).collect()
}

/// Requests under `conditions`, newest first, at most `limit`.
pub(in crate::usage) async fn list(
    db: &Db,
    conditions: Conditions,
    limit: u32,
) -> Result<Vec<RequestRow>, sqlx::Error> {
    let sql =
        format!("select {REQUEST_COLUMNS} from full_requests where {} order by id desc limit {limit}", conditions.sql);
    let rows = sqlx::query_with(AssertSqlSafe(sql), arguments(conditions.binds)?).fetch_all(db.read()).await?;
    rows.iter().map(request_of).collect()
}

/// Goes through requests under `conditions`.
pub(in crate::usage) async fn each_request(
    connection: &mut SqliteConnection,
    conditions: Conditions,
    mut see: impl FnMut(&RequestRow) -> Result<(), Error>,
) -> Result<(), Error> {
    let sql = format!("select {REQUEST_COLUMNS} from full_requests where {}", conditions.sql);
    let mut rows = sqlx::query_with(AssertSqlSafe(sql), arguments(conditions.binds)?).fetch(connection);
    while let Some(row) = rows.try_next().await? {
        see(&request_of(&row)?)?;
    }
    Ok(())
}

/// Goes through hourly sums under `conditions`.
pub(in crate::usage) async fn each_rollup(
    connection: &mut SqliteConnection,
    conditions: Conditions,
    mut see: impl FnMut(&Key, &Sums) -> Result<(), Error>,
) -> Result<(), Error> {
    let sql = format!("select {ROLLUP_COLUMNS} from full_rollups where {}", conditions.sql);
    let mut rows = sqlx::query_with(AssertSqlSafe(sql), arguments(conditions.binds)?).fetch(connection);
    while let Some(row) = rows.try_next().await? {
        see(&key_of(&row)?, &sums_of(&row)?)?;
    }
    Ok(())
}

/// Deletes what began before the hour of `before`: requests, their attempts and bodies, and hourly sums. Returns how many
/// requests went. It works in small transactions, so that the ledger's writer is never kept waiting.
///
/// # Errors
/// Where a statement fails; what was deleted until then stays deleted.
pub async fn prune(db: &Db, before: Timestamp) -> Result<u64, Error> {
    let before = before.hour();
    let skew = skew(&mut *db.read().acquire().await?).await?;
    let below = RequestId::first_at(Timestamp(before.0.saturating_add(skew))).to_string();
    let mut deleted = 0;
    loop {
        let mut transaction = db.write().begin_with("begin immediate").await?;
        let some = "(select id from requests where id < $1 and started_at < $2 order by id limit $3)";
        for statement in ["delete from attempts where request_id in", "delete from bodies where request_id in"] {
            let delete = sqlx::query(AssertSqlSafe(format!("{statement} {some}")));
            delete.bind(&below).bind(before.0).bind(PRUNED_AT_ONCE).execute(&mut *transaction).await?;
        }
        let delete = sqlx::query(AssertSqlSafe(format!("delete from requests where id in {some}")));
        let gone = delete.bind(&below).bind(before.0).bind(PRUNED_AT_ONCE).execute(&mut *transaction).await?;
        let some = "(select id from rollups where hour < $1 limit $2)";
        let delete = sqlx::query(AssertSqlSafe(format!("delete from rollups where id in {some}")));
        let sums = delete.bind(before.0).bind(PRUNED_AT_ONCE).execute(&mut *transaction).await?;
        transaction.commit().await?;
        deleted += gone.rows_affected();
        if gone.rows_affected() == 0 && sums.rows_affected() == 0 {
            break;
        }
        tokio::task::yield_now().await;
    }
    // All that refers to them is gone: nothing is younger than its kind's hour.
    sqlx::query("delete from kinds where hour < $1").bind(before.0).execute(db.write()).await?;
    Ok(deleted)
}

fn arguments(binds: Vec<Bind>) -> Result<SqliteArguments, sqlx::Error> {
    let mut arguments = SqliteArguments::default();
    for bind in binds {
        let added = match bind {
            Bind::Text(text) => arguments.add(text),
            Bind::Number(number) => arguments.add(number),
        };
        added.map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

fn request_of(row: &SqliteRow) -> Result<RequestRow, sqlx::Error> {
    let id: &str = row.try_get("id")?;
    let tags: Option<&str> = row.try_get("tags")?;
    let cache: Option<&str> = row.try_get("cache")?;
    Ok(RequestRow {
        id: id.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
        started_at: Timestamp(row.try_get("started_at")?),
        project: text(row, "project")?.unwrap_or_default(),
        key_id: text(row, "key_id")?.unwrap_or_default(),
        user: text(row, "user_id")?,
        session: text(row, "session")?,
        tags: tags.map(tags_of).unwrap_or_default(),
        endpoint: text(row, "endpoint")?.unwrap_or_default(),
        requested_model: text(row, "requested_model")?.unwrap_or_default(),
        provider: text(row, "provider")?,
        model: text(row, "model")?,
        route: text(row, "route")?,
        prompt: text(row, "prompt")?,
        version: row.try_get("version")?,
        stream: row.try_get("stream")?,
        status: Status::read(row.try_get("status")?),
        http_status: row.try_get::<Option<u16>, _>("http_status")?.unwrap_or(0),
        error_code: text(row, "error_code")?,
        cache: CacheState::read(cache),
        usage: usage_of(row)?,
        cost: row.try_get::<Option<i64>, _>("cost")?.map(Nanos),
        unpriced: row.try_get("unpriced")?,
        saved: Nanos(row.try_get("saved")?),
        latency_us: count(row, "latency_us")?.unwrap_or(0),
        first_token_us: count(row, "first_token_us")?,
        overhead_us: count(row, "overhead_us")?,
        trace: None,
    })
}

fn attempt_of(row: &SqliteRow) -> Result<AttemptRow, sqlx::Error> {
    Ok(AttemptRow {
        n: row.try_get("n")?,
        provider: text(row, "provider")?.unwrap_or_default(),
        model: text(row, "model")?.unwrap_or_default(),
        status: Status::read(row.try_get("status")?),
        http_status: row.try_get("http_status")?,
        error_code: text(row, "error_code")?,
        retryable: row.try_get("retryable")?,
        started_at: Timestamp(row.try_get("started_at")?),
        latency_us: count(row, "latency_us")?.unwrap_or(0),
        first_token_us: count(row, "first_token_us")?,
        usage: match usage_of(row)? {
            Some(usage) => Some(Usage { cache_write_1h: count(row, "cache_write_1h_tokens")?.unwrap_or(0), ..usage }),
            None => None,
        },
        cost: row.try_get::<Option<i64>, _>("cost")?.map(Nanos),
        rate: text(row, "rate")?,
        reserved: Nanos(row.try_get("reserved")?),
    })
}

fn key_of(row: &SqliteRow) -> Result<Key, sqlx::Error> {
    let cache: Option<&str> = row.try_get("cache")?;
    Ok(Key {
        hour: row.try_get("hour")?,
        project: text(row, "project")?.unwrap_or_default(),
        key_id: text(row, "key_id")?.unwrap_or_default(),
        user: text(row, "user_id")?,
        provider: text(row, "provider")?,
        model: text(row, "model")?,
        route: text(row, "route")?,
        prompt: text(row, "prompt")?,
        version: row.try_get("version")?,
        status: Status::read(row.try_get("status")?),
        error_code: text(row, "error_code")?,
        cache: CacheState::read(cache),
    })
}

fn sums_of(row: &SqliteRow) -> Result<Sums, sqlx::Error> {
    let mut sums = Sums {
        requests: row.try_get("requests")?,
        priced: row.try_get("priced")?,
        unpriced: row.try_get("unpriced")?,
        tokens: [
            row.try_get("input_tokens")?,
            row.try_get("cached_input_tokens")?,
            row.try_get("cache_write_tokens")?,
            row.try_get("output_tokens")?,
            row.try_get("reasoning_tokens")?,
        ],
        cost: Nanos(row.try_get("cost")?),
        saved: Nanos(row.try_get("saved")?),
        ..Sums::default()
    };
    sums.latency.merge_bytes(row.try_get("latency")?);
    sums.first_token.merge_bytes(row.try_get("first_token")?);
    sums.overhead.merge_bytes(row.try_get("overhead")?);
    Ok(sums)
}

fn usage_of(row: &SqliteRow) -> Result<Option<Usage>, sqlx::Error> {
    let Some(input) = count(row, "input_tokens")? else { return Ok(None) };
    Ok(Some(Usage {
        input,
        cached_input: count(row, "cached_input_tokens")?.unwrap_or(0),
        cache_write: count(row, "cache_write_tokens")?.unwrap_or(0),
        cache_write_1h: 0,
        output: count(row, "output_tokens")?.unwrap_or(0),
        reasoning: count(row, "reasoning_tokens")?.unwrap_or(0),
        estimated: row.try_get("estimated")?,
    }))
}

fn count(row: &SqliteRow, column: &str) -> Result<Option<u64>, sqlx::Error> {
    let value: Option<i64> = row.try_get(column)?;
    Ok(value.map(|value| u64::try_from(value).unwrap_or(0)))
}

fn text(row: &SqliteRow, column: &str) -> Result<Option<Arc<str>>, sqlx::Error> {
    let value: Option<&str> = row.try_get(column)?;
    Ok(value.map(Into::into))
}

fn tags_of(text: &str) -> Vec<(Arc<str>, Arc<str>)> {
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).unwrap_or_default();
    object.into_iter().map(|(name, value)| (name.into(), value.as_str().unwrap_or_default().into())).collect()
}
