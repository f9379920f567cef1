//! The ledger's requests, listed and one by one, as the admin API shows them.

use serde_json::{Map, Value, json};

use super::fold::millis;
use super::listing::{Cursor, LARGEST_PAGE, Listing, Order};
use super::table::inert;
use crate::chat::Usage;
use crate::db::Db;
use crate::types::RequestId;
use crate::usage::error::Error;
use crate::usage::rows::{AttemptRow, Purpose, RequestRow, Role, Status};
use crate::usage::store::conditions::Conditions;
use crate::usage::store::queries;

/// How many rows a page has by default.
const PAGE: u32 = 50;

/// Some requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The requests.
    pub rows: Vec<RequestRow>,
    /// What to ask for the next page with; `None` on the last.
    pub next_cursor: Option<Cursor>,
}

/// A request with its attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The request.
    pub request: RequestRow,
    /// Its attempts in order.
    pub attempts: Vec<AttemptRow>,
    /// What the gateway asked of its own on its account, in order.
    pub own: Vec<(RequestId, Purpose)>,
}

/// Requests as they are to be sorted, a page at a time.
///
/// # Errors
/// Where the database cannot be read.
pub async fn requests(db: &Db, listing: &Listing) -> Result<Page, Error> {
    let limit = listing.limit.unwrap_or(PAGE).clamp(1, LARGEST_PAGE);
    let mut transaction = db.snapshot().await?;
    let has_period = listing.from.is_some() || listing.to.is_some();
    let skew = if has_period { queries::skew(&mut transaction).await? } else { 0 };
    let conditions = Conditions::on(db.engine()).of_list(listing, skew);
    let mut rows = queries::list(&mut transaction, conditions, listing.order, limit + 1).await?;
    transaction.commit().await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next_cursor = rows.last().filter(|_| more).map(|row| cursor(listing.order, row));
    Ok(Page { rows, next_cursor })
}

/// Where a page ends that ends with this row.
fn cursor(order: Order, row: &RequestRow) -> Cursor {
    let amount = match order {
        Order::Started => 0,
        Order::Cost => row.cost.map_or(-1, |cost| cost.0),
        Order::Latency if row.status == Status::Unknown => -1,
        Order::Latency => i64::try_from(row.latency_us).unwrap_or(i64::MAX),
    };
    Cursor::at(order, amount, row.id)
}

/// One request with its attempts.
///
/// # Errors
/// Where the database cannot be read.
pub async fn request(db: &Db, id: RequestId) -> Result<Option<Recorded>, Error> {
    let mut transaction = db.snapshot().await?;
    let request = queries::request(&mut transaction, id).await?;
    let attempts = queries::attempts(&mut transaction, id).await?;
    let own = queries::own_requests(&mut transaction, id).await?;
    transaction.commit().await?;
    Ok(request.map(|request| Recorded { request, attempts, own }))
}

impl Page {
    /// The page as the admin API shows it.
    #[must_use]
    pub fn json(&self) -> Value {
        let rows: Vec<_> = self.rows.iter().map(|row| Value::Object(request_fields(row))).collect();
        json!({ "rows": rows, "next_cursor": self.next_cursor })
    }

    /// The page as CSV with a head.
    ///
    /// # Errors
    /// Writing to memory does not fail, but its type allows for it.
    pub fn csv(&self) -> Result<String, csv::Error> {
        let rows: Vec<_> = self.rows.iter().map(|row| Value::Object(request_fields(row))).collect();
        requests_csv(&rows)
    }
}

/// The columns of CSV: the fields of a row of a list in their order. Tags are JSON.
const COLUMNS: [&str; 34] = [
    "id",
    "started_at",
    "project",
    "key_id",
    "user",
    "session",
    "tags",
    "endpoint",
    "requested_model",
    "model",
    "route",
    "prompt",
    "version",
    "stream",
    "status",
    "http_status",
    "error_code",
    "cache",
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "estimated",
    "cost_usd",
    "saved_usd",
    "latency_ms",
    "first_token_ms",
    "overhead_us",
    "purpose",
    "of",
    "experiment",
    "arm",
    "propensity",
];

/// Requests, as lists show them, as CSV with a head. A text that a spreadsheet would take for a formula begins with `'`.
///
/// # Errors
/// Writing to memory does not fail, but its type allows for it.
pub fn requests_csv(rows: &[Value]) -> Result<String, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS)?;
    for row in rows {
        writer.write_record(COLUMNS.map(|name| match &row[name] {
            Value::Null => String::new(),
            Value::String(text) => inert(text),
            other => other.to_string(),
        }))?;
    }
    let bytes = writer.into_inner().map_err(csv::IntoInnerError::into_error)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

impl Recorded {
    /// The request as the admin API shows it.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut fields = request_fields(&self.request);
        let attempts: Vec<_> = self.attempts.iter().map(|row| Value::Object(attempt_fields(row))).collect();
        fields.insert("attempts".into(), Value::Array(attempts));
        let own = self.own.iter().map(|(id, purpose)| json!({ "id": id, "purpose": purpose.text() }));
        fields.insert("own_requests".into(), own.collect());
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
        "purpose": row.purpose.map(Purpose::text), "of": row.of,
    })));
    let assigned = row.assigned.as_deref();
    fields.extend(object(json!({
        "experiment": assigned.map(|to| &to.experiment), "arm": assigned.map(|to| &to.arm),
        "propensity": assigned.map(|to| f64::from(to.propensity) / 1_000_000.0),
    })));
    fields
}

fn attempt_fields(row: &AttemptRow) -> Map<String, Value> {
    let mut fields = object(json!({
        "n": row.n, "provider": row.provider, "model": row.model, "status": row.status.text(),
        "http_status": row.http_status, "error_code": row.error_code, "retryable": row.retryable,
        "started_at": row.started_at, "latency_ms": latency(row.status, row.latency_us),
        "first_token_ms": row.first_token_us.map(millis), "role": row.role.map(Role::text),
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
