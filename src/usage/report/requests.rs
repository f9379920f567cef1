//! The ledger's requests, listed and one by one, as the admin API shows them.

use serde_json::{Map, Value, json};

use super::filter::Filter;
use super::fold::millis;
use crate::chat::Usage;
use crate::db::Db;
use crate::types::RequestId;
use crate::usage::error::Error;
use crate::usage::rows::{AttemptRow, RequestRow, Status};
use crate::usage::store::conditions::Conditions;
use crate::usage::store::queries;

/// The most rows of a page, and how many it has by default.
const LARGEST_PAGE: u32 = 500;
const PAGE: u32 = 50;

/// What a list is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Only these; several for one dimension are alternatives.
    pub filters: Vec<Filter>,
    /// Where the page before ended.
    pub cursor: Option<RequestId>,
    /// Rows of a page, at most 500.
    pub limit: Option<u32>,
}

/// Some requests, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The requests.
    pub rows: Vec<RequestRow>,
    /// What to ask for the next page with; `None` on the last.
    pub next_cursor: Option<RequestId>,
}

/// A request with its attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The request.
    pub request: RequestRow,
    /// Its attempts in order.
    pub attempts: Vec<AttemptRow>,
}

impl Listing {
    /// Reads `cursor`, `limit` and filters.
    ///
    /// # Errors
    /// [`Error::Parameter`] names what is not understood.
    pub fn parse<'a>(parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, Error> {
        let mut listing = Self::default();
        for (name, value) in parameters {
            match name {
                "cursor" => {
                    let cursor =
                        value.parse().map_err(|_| Error::parameter(name, "use the next_cursor of the page before"))?;
                    listing.cursor = Some(cursor);
                }
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=LARGEST_PAGE).contains(limit));
                    let limit = limit.ok_or_else(|| Error::parameter(name, format!("use 1 to {LARGEST_PAGE}")))?;
                    listing.limit = Some(limit);
                }
                _ => listing.filters.push(Filter::parse(name, value)?),
            }
        }
        Ok(listing)
    }
}

/// Requests, newest first, a page at a time.
///
/// # Errors
/// Where the database cannot be read.
pub async fn requests(db: &Db, listing: &Listing) -> Result<Page, Error> {
    let limit = listing.limit.unwrap_or(PAGE).clamp(1, LARGEST_PAGE);
    let cursor = listing.cursor.map(|id| id.to_string());
    let conditions = Conditions::on(db.engine()).before(cursor, &listing.filters);
    let mut rows = queries::list(db, conditions, limit + 1).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next_cursor = rows.last().filter(|_| more).map(|row| row.id);
    Ok(Page { rows, next_cursor })
}

/// One request with its attempts.
///
/// # Errors
/// Where the database cannot be read.
pub async fn request(db: &Db, id: RequestId) -> Result<Option<Recorded>, Error> {
    let mut transaction = db.snapshot().await?;
    let request = queries::request(&mut transaction, id).await?;
    let attempts = queries::attempts(&mut transaction, id).await?;
    transaction.commit().await?;
    Ok(request.map(|request| Recorded { request, attempts }))
}

impl Page {
    /// The page as the admin API shows it.
    #[must_use]
    pub fn json(&self) -> Value {
        let rows: Vec<_> = self.rows.iter().map(|row| Value::Object(request_fields(row))).collect();
        json!({ "rows": rows, "next_cursor": self.next_cursor })
    }
}

impl Recorded {
    /// The request as the admin API shows it.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut fields = request_fields(&self.request);
        let attempts: Vec<_> = self.attempts.iter().map(|row| Value::Object(attempt_fields(row))).collect();
        fields.insert("attempts".into(), Value::Array(attempts));
        fields.insert("trace".into(), embedded(self.request.trace.as_deref()));
        Value::Object(fields)
    }
}

fn request_fields(row: &RequestRow) -> Map<String, Value> {
    let tags: Map<_, _> = row.tags.iter().map(|(name, value)| (name.to_string(), json!(value))).collect();
    let model = match (&row.provider, &row.model) {
        (Some(provider), Some(model)) => Some(format!("{provider}/{model}")),
        (_, model) => model.as_ref().map(ToString::to_string),
    };
    let mut fields = object(json!({
        "id": row.id, "started_at": row.started_at, "project": row.project, "key_id": row.key_id, "user": row.user,
        "session": row.session, "tags": tags, "endpoint": row.endpoint, "requested_model": row.requested_model,
        "model": model, "route": row.route, "prompt": row.prompt, "version": row.version, "stream": row.stream,
        "status": row.status.text(), "http_status": (row.http_status != 0).then_some(row.http_status),
        "error_code": row.error_code, "cache": row.cache.text(),
    }));
    fields.extend(token_fields(row.usage.as_ref()));
    fields.extend(object(json!({
        "cost_usd": row.cost, "saved_usd": (!(row.cache.is_hit() && row.unpriced)).then_some(row.saved), "latency_ms": latency(row.status, row.latency_us),
        "first_token_ms": row.first_token_us.map(millis), "overhead_us": row.overhead_us,
    })));
    fields
}

fn attempt_fields(row: &AttemptRow) -> Map<String, Value> {
    let mut fields = object(json!({
        "n": row.n, "provider": row.provider, "model": row.model, "status": row.status.text(),
        "http_status": row.http_status, "error_code": row.error_code, "retryable": row.retryable,
        "started_at": row.started_at, "latency_ms": latency(row.status, row.latency_us),
        "first_token_ms": row.first_token_us.map(millis),
    }));
    fields.extend(token_fields(row.usage.as_ref()));
    let written = row.usage.map(|usage| usage.cache_write_1h);
    fields.extend(object(
        json!({ "cache_write_1h_tokens": written, "cost_usd": row.cost, "rate": embedded(row.rate.as_deref()) }),
    ));
    fields
}

fn token_fields(usage: Option<&Usage>) -> Map<String, Value> {
    object(json!({
        "input_tokens": usage.map(|usage| usage.input),
        "cached_input_tokens": usage.map(|usage| usage.cached_input),
        "cache_write_tokens": usage.map(|usage| usage.cache_write),
        "output_tokens": usage.map(|usage| usage.output),
        "reasoning_tokens": usage.map(|usage| usage.reasoning),
        "estimated": usage.is_some_and(|usage| usage.estimated),
    }))
}

fn latency(status: Status, micros: u64) -> Option<f64> {
    (status != Status::Unknown).then(|| millis(micros))
}

/// JSON that the ledger keeps as text.
fn embedded(text: Option<&str>) -> Value {
    text.map_or(Value::Null, |text| serde_json::from_str(text).unwrap_or_else(|_| json!(text)))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
