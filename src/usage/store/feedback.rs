//! Feedback as reports read it, with the requests that it is of. The slice `feedback` writes it.

use super::conditions::Conditions;
use super::field::SqlError;
use super::queries::{bound, row_of};
use crate::db::{Executor, query};
use crate::types::did_you_mean;
use crate::usage::columns::{LISTED, names};
use crate::usage::error::Error;
use crate::usage::rows::RequestRow;

/// The most metrics that are named to somebody who asks for an unknown one.
const MOST_NAMED: i64 = 50;

/// Goes through the feedback of a metric on requests under `conditions`, which name a period: each with its request and, where it
/// is no words, its number.
pub(in crate::usage) async fn each_measured<'e>(
    on: impl Into<Executor<'e>>,
    metric: &str,
    conditions: Conditions,
    mut see: impl FnMut(&RequestRow, Option<f64>) -> Result<(), Error>,
) -> Result<(), Error> {
    let columns = names(LISTED.iter().copied());
    let place = conditions.binds.len() + 1;
    // The first two values are the bounds of ids: with them, the feedback of a short period is found without the rest.
    let sql = format!(
        "select {columns}, measured_number from (select request_id as measured, number as measured_number from feedback \
         where metric = ${place} and request_id >= $1 and request_id < $2) as found join full_requests on id = measured \
         where {}",
        conditions.sql
    );
    let statement = bound(sql, conditions.binds).bind(metric);
    let last = LISTED.len();
    statement.each(on, |row| see(&row_of(LISTED.iter().copied(), row)?, row.get(last)?)).await
}

/// What is wrong with a metric that no feedback is of, with those that some is of; `None` where some is of it.
///
/// # Errors
/// Where the database cannot be read.
pub async fn unreported<'e>(on: impl Into<Executor<'e>>, metric: &str) -> Result<Option<String>, Error> {
    let mut on = on.into();
    if is_reported(on.again(), metric).await? {
        return Ok(None);
    }
    let known = metrics(on).await?;
    Ok(Some(match known.is_empty() {
        true => "no feedback is stored yet; callers send it to POST /v1/feedback".to_owned(),
        false => {
            let near = did_you_mean(metric, known.iter().map(String::as_str));
            format!("no feedback is of `{metric}`; there is some of {}{near}", known.join(", "))
        }
    }))
}

/// Whether any feedback is of a metric.
async fn is_reported<'e>(on: impl Into<Executor<'e>>, metric: &str) -> Result<bool, SqlError> {
    let select = query("select 1 from feedback where metric = $1 limit 1").bind(metric);
    Ok(select.fetch_optional(on).await?.is_some())
}

/// The metrics that feedback is of, in order; each is found by the index, whatever the number of rows.
async fn metrics<'e>(on: impl Into<Executor<'e>>) -> Result<Vec<String>, SqlError> {
    let select = "with recursive known (metric) as (select min(metric) from feedback union all \
                  select (select min(metric) from feedback where metric > known.metric) from known \
                  where known.metric is not null) \
                  select metric from known where metric is not null limit $1";
    query(select).bind(MOST_NAMED).fetch_all(on).await?.iter().map(|row| row.get(0)).collect()
}
