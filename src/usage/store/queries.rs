//! The ledger's queries.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments, AssertSqlSafe, Executor, Row, SqliteConnection};

use super::conditions::{Bind, Conditions};
use super::field::Found;
use super::sums::Sums;
use crate::db::Sqlite as Db;
use crate::types::{RequestId, Timestamp};
use crate::usage::columns::{ATTEMPT, Column, GROUPS, LISTED, SUMS, WHOLE, names};
use crate::usage::error::Error;
use crate::usage::rows::{AttemptRow, RequestRow};

/// Ids and starts are assumed to lie apart by this much; more than that is stored in the database.
pub(super) const LEAST_SKEW: i64 = 5_000_000;

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error.to_string())
    }
}

/// The writer's connection: another task writes the WAL back, and a lock that others hold is an error soon.
pub(in crate::usage) async fn connect_writer(db: &Db, patience: Duration) -> Result<SqliteConnection, sqlx::Error> {
    let mut connection = db.connect().await?;
    connection.execute("pragma wal_autocheckpoint = 0").await?;
    let patience = format!("pragma busy_timeout = {}", patience.as_millis());
    connection.execute(AssertSqlSafe(patience)).await?;
    Ok(connection)
}

/// The numbers after the last hourly sum's and the last dimensions'.
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

/// Writes the WAL back as far as no reader is in the way; returns its length in pages.
pub(in crate::usage) async fn checkpoint(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query("pragma wal_checkpoint(passive)").fetch_one(connection).await?.try_get(1)
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
    let sql = format!("select {} from full_requests where id = $1", names(WHOLE.iter().copied()));
    let row = sqlx::query(AssertSqlSafe(sql)).bind(id.to_string()).fetch_optional(connection).await?;
    row.map(|row| row_of(WHOLE.iter().copied(), &row)).transpose()
}

/// A request's attempts in order.
pub(in crate::usage) async fn attempts(
    connection: &mut SqliteConnection,
    id: RequestId,
) -> Result<Vec<AttemptRow>, sqlx::Error> {
    let sql = format!("select {} from full_attempts where request_id = $1 order by n", names(&ATTEMPT));
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(id.to_string()).fetch_all(connection).await?;
    rows.iter().map(|row| row_of(&ATTEMPT, row)).collect()
}

/// Requests under `conditions`, newest first, at most `limit`.
pub(in crate::usage) async fn list(
    db: &Db,
    conditions: Conditions,
    limit: u32,
) -> Result<Vec<RequestRow>, sqlx::Error> {
    let listed = names(LISTED.iter().copied());
    let sql = format!("select {listed} from full_requests where {} order by id desc limit {limit}", conditions.sql);
    let rows = sqlx::query_with(AssertSqlSafe(sql), arguments(conditions.binds)?).fetch_all(db.read()).await?;
    rows.iter().map(|row| row_of(LISTED.iter().copied(), row)).collect()
}

/// Goes through requests under `conditions`.
pub(in crate::usage) async fn each_request(
    connection: &mut SqliteConnection,
    conditions: Conditions,
    mut see: impl FnMut(&RequestRow) -> Result<(), Error>,
) -> Result<(), Error> {
    let sql = format!("select {} from full_requests where {}", names(LISTED.iter().copied()), conditions.sql);
    let mut rows = sqlx::query_with(AssertSqlSafe(sql), arguments(conditions.binds)?).fetch(connection);
    while let Some(row) = rows.try_next().await? {
        see(&row_of(LISTED.iter().copied(), &row)?)?;
    }
    Ok(())
}

/// Goes through hourly sums under `conditions`, each with a request that has what they have in common and began with its hour.
pub(in crate::usage) async fn each_rollup(
    connection: &mut SqliteConnection,
    conditions: Conditions,
    mut see: impl FnMut(&RequestRow, &Sums) -> Result<(), Error>,
) -> Result<(), Error> {
    let (groups, sums) = (names(GROUPS.iter().copied()), names(&SUMS));
    let sql = format!("select {sums}, {groups}, hour from full_rollups where {}", conditions.sql);
    let mut rows = sqlx::query_with(AssertSqlSafe(sql), arguments(conditions.binds)?).fetch(connection);
    while let Some(row) = rows.try_next().await? {
        let mut group = RequestRow { started_at: Timestamp(row.try_get("hour")?), ..RequestRow::default() };
        read(&mut group, GROUPS.iter().copied(), (&row, SUMS.len()))?;
        see(&group, &row_of(&SUMS, &row)?)?;
    }
    Ok(())
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

/// A row of the columns that a statement selects.
fn row_of<R: Default + 'static, H: 'static>(
    columns: impl IntoIterator<Item = &'static Column<R, H>>,
    row: &SqliteRow,
) -> Result<R, sqlx::Error> {
    let mut read_row = R::default();
    read(&mut read_row, columns, (row, 0))?;
    Ok(read_row)
}

/// Reads the columns that a statement selects, from a position on.
fn read<R: 'static, H: 'static>(
    into: &mut R,
    columns: impl IntoIterator<Item = &'static Column<R, H>>,
    (row, first): (&SqliteRow, usize),
) -> Result<(), sqlx::Error> {
    columns.into_iter().enumerate().try_for_each(|(at, column)| (column.read)(into, Found::at(row, first + at)))
}
