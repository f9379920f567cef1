//! Pairs of answers: a caller's, and a candidate's to the same request, stored for comparison.

use bytes::Bytes;

use crate::db::{Db, Error as SqlError, Query, Row, assembled, query};
use crate::types::{Nanos, RequestId, Timestamp};
use crate::usage::error::Error;
use crate::usage::report::Listing;

/// The rows of a page, where none are asked for.
const PAGE: u32 = 50;

/// A day, in microseconds.
const DAY: i64 = 86_400_000_000;

/// The most rows of a page.
pub const LARGEST_PAGE_OF_PAIRS: u32 = 100;

/// The columns, in the order of [`read`].
const COLUMNS: &str = "request_id, shadow_id, project, route, model, shadow_model, answer, shadow_answer, error_code, \
    is_cut, cost, shadow_cost, latency_us, shadow_latency_us, stored_at";

/// Two answers to one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pair {
    /// The caller's request.
    pub request: RequestId,
    /// The candidate's.
    pub shadow: RequestId,
    /// Whose they are.
    pub project: String,
    /// The route whose shadow it is.
    pub route: String,
    /// `provider/model` that answered the caller.
    pub model: String,
    /// The candidate.
    pub shadow_model: String,
    /// The caller's answer.
    pub answer: Bytes,
    /// The candidate's; none where it failed.
    pub shadow_answer: Option<Bytes>,
    /// Why the candidate failed, by its public code.
    pub error_code: Option<String>,
    /// Whether an answer was longer than what is stored of it.
    pub is_cut: bool,
    /// What the caller's answer cost; `None` where no price is known.
    pub cost: Option<Nanos>,
    /// What the candidate's cost.
    pub shadow_cost: Option<Nanos>,
    /// How long the caller's call took, in microseconds.
    pub latency_us: u64,
    /// How long the candidate's took.
    pub shadow_latency_us: u64,
    /// When the pair was stored.
    pub stored_at: Timestamp,
}

/// Some pairs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pairs {
    /// The pairs, newest first.
    pub rows: Vec<Pair>,
    /// The last one's request, where there are more.
    pub next_cursor: Option<RequestId>,
}

/// Stores a pair, unless the texts of its request were erased meanwhile, by whatever process.
///
/// # Errors
/// Where the statement fails.
pub async fn store_pair(db: &Db, pair: &Pair) -> Result<(), Error> {
    let mut change = db.begin("ledger").await?;
    let erased = query("select request_id from erased_requests where request_id = $1").bind(pair.request.to_string());
    if erased.fetch_optional(&mut change).await?.is_some() {
        return Ok(());
    }
    let places: Vec<String> = (1..=15).map(|n| format!("${n}")).collect();
    let insert = assembled(format!("insert into shadow_pairs ({COLUMNS}) values ({})", places.join(", ")));
    let micros = |micros: u64| i64::try_from(micros).unwrap_or(i64::MAX);
    let insert = insert.bind(pair.request.to_string()).bind(pair.shadow.to_string());
    let insert = insert.bind(&*pair.project).bind(&*pair.route).bind(&*pair.model).bind(&*pair.shadow_model);
    let insert = insert.bind(&pair.answer[..]).bind(pair.shadow_answer.as_deref()).bind(pair.error_code.as_deref());
    let insert = insert.bind(i64::from(pair.is_cut)).bind(pair.cost.map(|cost| cost.0));
    let insert = insert.bind(pair.shadow_cost.map(|cost| cost.0)).bind(micros(pair.latency_us));
    insert.bind(micros(pair.shadow_latency_us)).bind(pair.stored_at.0).execute(&mut change).await?;
    change.commit().await?;
    Ok(())
}

/// Pairs, newest first: of a period and of routes and projects, as `listing` has filters of these names, and of one project
/// alone where one is named.
///
/// # Errors
/// [`Error::Parameter`] names a filter that pairs do not have; the others where the database cannot be read.
pub async fn pairs(db: &Db, listing: &Listing, project: Option<&str>) -> Result<Pairs, Error> {
    let (mut sql, mut texts, mut times) = (String::new(), Vec::new(), Vec::new());
    for filter in &listing.filters {
        let name = filter.dimension.to_string();
        let value = filter.value.clone().filter(|_| ["route", "project"].contains(&name.as_str()));
        let Some(value) = value else { return Err(Error::parameter(&name, "pairs are filtered by route and project")) };
        texts.push(value);
        sql.push_str(&format!(" and {name} = ${}", texts.len()));
    }
    for (condition, value) in [
        ("project =", project.map(ToOwned::to_owned)),
        ("request_id <", listing.cursor.map(|cursor| cursor.id.to_string())),
    ] {
        let Some(value) = value else { continue };
        texts.push(value);
        sql.push_str(&format!(" and {condition} ${}", texts.len()));
    }
    for (condition, time) in [("stored_at >=", listing.from), ("stored_at <", listing.to)] {
        let Some(Timestamp(time)) = time else { continue };
        times.push(time);
        sql.push_str(&format!(" and {condition} ${}", texts.len() + times.len()));
    }
    let limit = listing.limit.unwrap_or(PAGE).clamp(1, LARGEST_PAGE_OF_PAIRS);
    let all =
        format!("select {COLUMNS} from shadow_pairs where 1 = 1{sql} order by request_id desc limit {}", limit + 1);
    let select = texts.into_iter().fold(assembled(all), Query::bind);
    let found = times.into_iter().fold(select, Query::bind).fetch_all(db).await?;
    let mut rows = found.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let has_more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next_cursor = rows.last().filter(|_| has_more).map(|pair| pair.request);
    Ok(Pairs { rows, next_cursor })
}

/// The pair of a caller's request.
///
/// # Errors
/// Where the database cannot be read.
pub async fn pair(db: &Db, request: RequestId) -> Result<Option<Pair>, Error> {
    let select = assembled(format!("select {COLUMNS} from shadow_pairs where request_id = $1"));
    let found = select.bind(request.to_string()).fetch_optional(db).await?;
    Ok(found.as_ref().map(read).transpose()?)
}

/// What the ledger says that the shadow of `route` has spent since the day of `now` began, in UTC. A call that a crash cut off, or
/// whose cost is unknown, counts with what was reserved for it.
///
/// # Errors
/// Where the database cannot be read.
pub async fn spent_by_shadow(db: &Db, route: &str, now: Timestamp) -> Result<Nanos, Error> {
    let select = query(
        "select cast(coalesce(sum(coalesce(r.cost, (select sum(a.reserved) from attempts a where a.request_id = r.id))), 0) \
         as bigint) from full_requests r where r.purpose = 'shadow' and r.route = $1 and r.started_at >= $2",
    );
    let row = select.bind(route.to_owned()).bind(now.0 - now.0.rem_euclid(DAY)).fetch_one(db).await?;
    Ok(Nanos(row.get(0)?))
}

fn read(row: &Row) -> Result<Pair, SqlError> {
    let id = |at: usize| row.get::<&str>(at)?.parse().map_err(|_| SqlError::unreadable(&at.to_string()));
    let count = |at: usize| row.get::<i64>(at).map(|count| u64::try_from(count).unwrap_or(0));
    Ok(Pair {
        request: id(0)?,
        shadow: id(1)?,
        project: row.get(2)?,
        route: row.get(3)?,
        model: row.get(4)?,
        shadow_model: row.get(5)?,
        answer: row.get::<Vec<u8>>(6)?.into(),
        shadow_answer: row.get::<Option<Vec<u8>>>(7)?.map(Into::into),
        error_code: row.get(8)?,
        is_cut: row.get::<i64>(9)? != 0,
        cost: row.get::<Option<i64>>(10)?.map(Nanos),
        shadow_cost: row.get::<Option<i64>>(11)?.map(Nanos),
        latency_us: count(12)?,
        shadow_latency_us: count(13)?,
        stored_at: Timestamp(row.get(14)?),
    })
}
