//! What the shadow of a route has spent today.

use super::query::Query;
use super::table::report;
use crate::db::Db;
use crate::types::{Nanos, Timestamp};
use crate::usage::error::Error;

/// What the ledger says that the shadow of `route` has spent since the day of `now` began, in UTC. A call that a crash cut off counts
/// with what was reserved for it.
///
/// # Errors
/// Where the database cannot be read.
pub async fn spent_by_shadow(db: &Db, route: &str, now: Timestamp) -> Result<Nanos, Error> {
    let day = now.to_string();
    let from = day.get(..10).unwrap_or_default();
    let query = Query::parse([("purpose", "shadow"), ("route", route), ("from", from)], now)?;
    let spent = report(db, &query).await?.total.cost_usd.unwrap_or_default();
    Ok(Nanos(i64::try_from(spent.0).unwrap_or(i64::MAX)))
}
