//! The ledger's queries.

use std::collections::HashSet;

use super::conditions::{Bind, Conditions, amount_of};
use super::field::{Field, Found, SqlError};
use super::sums::Sums;
use crate::db::{self, Executor, Query, Row, assembled, query};
use crate::types::{RequestId, Timestamp};
use crate::usage::columns::{ATTEMPT, Column, GROUPS, LISTED, SUMS, WHOLE, names};
use crate::usage::error::{Cause, Error};
use crate::usage::report::Order;
use crate::usage::rows::{AttemptRow, Purpose, RequestRow};

/// Ids and starts are assumed to lie apart by this much; more than that is stored in the database.
pub(in crate::usage) const LEAST_SKEW: i64 = 5_000_000;

impl From<db::Error> for Error {
    fn from(error: db::Error) -> Self {
        Self::Sql(Cause::of(&error))
    }
}

/// Has SQLite write the WAL back as far as no reader is in the way; returns its length in pages.
pub(in crate::usage) async fn checkpoint<'e>(on: impl Into<Executor<'e>>) -> Result<i64, SqlError> {
    query("pragma wal_checkpoint(passive)").fetch_one(on).await?.get(1)
}

/// The numbers after the last hourly sum's and the last dimensions'.
pub(in crate::usage) async fn next_numbers<'e>(on: impl Into<Executor<'e>>) -> Result<(i64, i64), SqlError> {
    let next = "select (select coalesce(max(id), 0) + 1 from rollups), (select coalesce(max(id), 0) + 1 from kinds)";
    let row = query(next).fetch_one(on).await?;
    Ok((row.get(0)?, row.get(1)?))
}

/// How far the id and the start of any request lie apart at most, in microseconds.
pub(in crate::usage) async fn skew<'e>(on: impl Into<Executor<'e>>) -> Result<i64, SqlError> {
    let row = query("select micros from ledger_skew").fetch_optional(on).await?;
    let kept = row.map_or(Ok(0), |row| row.get::<i64>(0))?;
    Ok(kept.max(LEAST_SKEW))
}

/// Which of these requests have rows.
pub(in crate::usage) async fn known_requests<'e>(
    on: impl Into<Executor<'e>>,
    ids: impl ExactSizeIterator<Item = RequestId>,
) -> Result<HashSet<RequestId>, SqlError> {
    let rows = among("select id from requests where id", ids).fetch_all(on).await?;
    rows.iter().map(|row| RequestId::read(Found::at(row, 0))).collect()
}

/// The numbers of the attempts of these requests that have rows.
pub(in crate::usage) async fn known_attempts<'e>(
    on: impl Into<Executor<'e>>,
    ids: impl ExactSizeIterator<Item = RequestId>,
) -> Result<HashSet<(RequestId, u32)>, SqlError> {
    let rows = among("select request_id, n from full_attempts where request_id", ids).fetch_all(on).await?;
    rows.iter().map(|row| Ok((RequestId::read(Found::at(row, 0))?, u32::read(Found::at(row, 1))?))).collect()
}

fn among(sql: &str, ids: impl ExactSizeIterator<Item = RequestId>) -> Query<'static> {
    let places: Vec<_> = (1..=ids.len()).map(|at| format!("${at}")).collect();
    let query = assembled(format!("{sql} in ({})", places.join(",")));
    ids.fold(query, |query, id| query.bind(id.to_string()))
}

/// A request's row and its trace.
pub(in crate::usage) async fn request<'e>(
    on: impl Into<Executor<'e>>,
    id: RequestId,
) -> Result<Option<RequestRow>, SqlError> {
    let sql = format!("select {} from full_requests where id = $1", names(WHOLE.iter().copied()));
    let row = assembled(sql).bind(id.to_string()).fetch_optional(on).await?;
    row.map(|row| row_of(WHOLE.iter().copied(), &row)).transpose()
}

/// When each prompt was called last, of the requests that began since then and for which a model was chosen.
///
/// # Errors
/// Where the database cannot be read.
pub async fn prompt_uses(db: &db::Db, since: Timestamp) -> Result<Vec<(String, Timestamp)>, Error> {
    let sql = "select prompt, max(started_at) from full_requests where id >= $1 and started_at >= $2 \
               and prompt is not null and trace is not null group by prompt";
    let first = RequestId::first_at(Timestamp(since.0.saturating_sub(skew(db).await?)));
    let rows = query(sql).bind(first.to_string()).bind(since.0).fetch_all(db).await?;
    let uses = rows.iter().map(|row| Ok((row.get(0)?, Timestamp(row.get(1)?))));
    uses.collect::<Result<_, SqlError>>().map_err(Error::from)
}

/// A request's attempts in order.
pub(in crate::usage) async fn attempts<'e>(
    on: impl Into<Executor<'e>>,
    id: RequestId,
) -> Result<Vec<AttemptRow>, SqlError> {
    let sql = format!("select {} from full_attempts where request_id = $1 order by n", names(&ATTEMPT));
    let rows = assembled(sql).bind(id.to_string()).fetch_all(on).await?;
    rows.iter().map(|row| row_of(&ATTEMPT, row)).collect()
}

/// The requests that the gateway made of its own on account of a caller's, in order.
pub(in crate::usage) async fn own_requests<'e>(
    on: impl Into<Executor<'e>>,
    of: RequestId,
) -> Result<Vec<(RequestId, Purpose)>, SqlError> {
    let sql = "select id, purpose from full_requests where of = $1 order by id";
    let rows = query(sql).bind(of.to_string()).fetch_all(on).await?;
    let read = |row| Ok((RequestId::read(Found::at(row, 0))?, <Purpose as Field>::read(Found::at(row, 1))?));
    rows.iter().map(read).collect()
}

/// Requests under `conditions` in this order, at most `limit`.
pub(in crate::usage) async fn list<'e>(
    on: impl Into<Executor<'e>>,
    conditions: Conditions,
    order: Order,
    limit: u32,
) -> Result<Vec<RequestRow>, SqlError> {
    let listed = names(LISTED.iter().copied());
    let amount = amount_of(order).map_or_else(String::new, |amount| format!("{amount} desc, "));
    let sql =
        format!("select {listed} from full_requests where {} order by {amount}id desc limit {limit}", conditions.sql);
    let rows = bound(sql, conditions.binds).fetch_all(on).await?;
    rows.iter().map(|row| row_of(LISTED.iter().copied(), row)).collect()
}

/// Goes through requests under `conditions`.
pub(in crate::usage) async fn each_request<'e>(
    on: impl Into<Executor<'e>>,
    conditions: Conditions,
    mut see: impl FnMut(&RequestRow) -> Result<(), Error>,
) -> Result<(), Error> {
    let sql = format!("select {} from full_requests where {}", names(LISTED.iter().copied()), conditions.sql);
    bound(sql, conditions.binds).each(on, |row| see(&row_of(LISTED.iter().copied(), row)?)).await
}

/// Goes through hourly sums under `conditions`, each with a request that has what they have in common and began with its hour.
pub(in crate::usage) async fn each_rollup<'e>(
    on: impl Into<Executor<'e>>,
    conditions: Conditions,
    mut see: impl FnMut(&RequestRow, &Sums) -> Result<(), Error>,
) -> Result<(), Error> {
    let (groups, sums) = (names(GROUPS.iter().copied()), names(&SUMS));
    let sql = format!("select {sums}, {groups}, hour from full_rollups where {}", conditions.sql);
    let see_row = |row: &Row| {
        let mut group = RequestRow { started_at: Timestamp(row.get("hour")?), ..RequestRow::default() };
        read(&mut group, GROUPS.iter().copied(), (row, SUMS.len()))?;
        see(&group, &row_of(&SUMS, row)?)
    };
    bound(sql, conditions.binds).each(on, see_row).await
}

pub(super) fn bound<'q>(sql: String, binds: Vec<Bind>) -> Query<'q> {
    binds.into_iter().fold(assembled(sql), |query, bind| match bind {
        Bind::Text(text) => query.bind(text),
        Bind::Number(number) => query.bind(number),
    })
}

/// A row of the columns that a statement selects.
pub(super) fn row_of<R: Default + 'static, H: 'static>(
    columns: impl IntoIterator<Item = &'static Column<R, H>>,
    row: &Row,
) -> Result<R, SqlError> {
    let mut read_row = R::default();
    read(&mut read_row, columns, (row, 0))?;
    Ok(read_row)
}

/// Reads the columns that a statement selects, from a position on.
fn read<R: 'static, H: 'static>(
    into: &mut R,
    columns: impl IntoIterator<Item = &'static Column<R, H>>,
    (row, first): (&Row, usize),
) -> Result<(), SqlError> {
    columns.into_iter().enumerate().try_for_each(|(at, column)| (column.read)(into, Found::at(row, first + at)))
}
