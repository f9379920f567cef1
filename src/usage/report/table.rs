//! Usage reports: from hourly sums where they can answer, from rows at the edges and for what only rows know.

use serde_json::{Map, json};

use super::dimension::Dimension;
use super::fold::{Fold, Percentiles, Totals};
use super::query::Query;
use super::value::Value;
use crate::db::Db;
use crate::types::{Nanos, Timestamp};
use crate::usage::error::Error;
use crate::usage::store::conditions::Conditions;
use crate::usage::store::queries;

const HOUR: i64 = 3_600_000_000;

/// One row of a report.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportRow {
    /// The values of the groups, in the order of the report's dimensions.
    pub groups: Vec<Value>,
    /// What was added up.
    pub totals: Totals,
}

/// An answer to a [`Query`].
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The dimensions.
    pub by: Vec<Dimension>,
    /// The first moment.
    pub from: Timestamp,
    /// The first moment no more.
    pub to: Timestamp,
    /// The rows, in the order of their groups.
    pub rows: Vec<ReportRow>,
    /// All of them together.
    pub total: Totals,
}

/// Makes a report.
///
/// # Errors
/// Where the database cannot be read, or the report would be too long.
pub async fn report(db: &Db, query: &Query) -> Result<Report, Error> {
    let dimensions = query.by.iter().chain(query.filters.iter().map(|filter| &filter.dimension));
    let needs_rows = dimensions.into_iter().any(Dimension::needs_rows);
    let parts = if needs_rows { Parts::rows(query) } else { Parts::of(query) };
    let mut fold = Fold::new(&query.by);
    // One transaction, so that sums and rows are of the same moment.
    let mut transaction = db.snapshot().await?;
    let skew = queries::skew(&mut transaction).await?;
    if let Some(span) = parts.hours {
        let conditions = Conditions::on(db.engine()).of_rollups(span, &query.filters);
        queries::each_rollup(&mut transaction, conditions, |key, sums| fold.rollup(key, sums)).await?;
    }
    for span in parts.edges.into_iter().filter(|(from, to)| from < to) {
        let conditions = Conditions::on(db.engine()).of_requests(span, skew, &query.filters);
        queries::each_request(&mut transaction, conditions, |row| fold.row(row)).await?;
    }
    transaction.commit().await?;
    let (rows, total) = fold.finish();
    let rows = rows.into_iter().map(|(groups, totals)| ReportRow { groups, totals }).collect();
    Ok(Report { by: query.by.clone(), from: query.from, to: query.to, rows, total })
}

/// Which time of a report is read from where.
struct Parts {
    /// Whole hours, from the hourly sums.
    hours: Option<(i64, i64)>,
    /// What is left before and after, from rows.
    edges: [(i64, i64); 2],
}

impl Parts {
    fn rows(query: &Query) -> Self {
        Self { hours: None, edges: [(query.from.0, query.to.0), (0, 0)] }
    }

    fn of(query: &Query) -> Self {
        let (from, to) = (query.from.0, query.to.0);
        let first = from.saturating_add(HOUR - 1).div_euclid(HOUR).saturating_mul(HOUR);
        let last = to.div_euclid(HOUR).saturating_mul(HOUR);
        if first >= last {
            return Self::rows(query);
        }
        Self { hours: Some((first, last)), edges: [(from, first), (last, to)] }
    }
}

impl Report {
    /// The report as the admin API shows it.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        let rows = self.rows.iter().map(|row| {
            let groups = self.by.iter().zip(&row.groups);
            let mut object: Map<_, _> = groups.map(|(name, value)| (name.to_string(), json!(value))).collect();
            object.extend(fields(&row.totals));
            serde_json::Value::Object(object)
        });
        let rows: Vec<_> = rows.collect();
        json!({ "from": self.from, "to": self.to, "rows": rows, "total": fields(&self.total) })
    }

    /// The names of the columns: the groups, then the figures.
    #[must_use]
    pub fn columns(&self) -> Vec<String> {
        self.by.iter().map(Dimension::to_string).chain(FIGURES.iter().map(|name| (*name).to_owned())).collect()
    }

    /// A row's cells as text, in the order of [`Report::columns`]; what is unknown is empty.
    #[must_use]
    pub fn cells(&self, row: &ReportRow) -> Vec<String> {
        row.groups.iter().map(Value::to_string).chain(figures(&row.totals)).collect()
    }

    /// The cells of the sum of all rows.
    #[must_use]
    pub fn total_cells(&self) -> Vec<String> {
        self.by.iter().map(|_| String::new()).chain(figures(&self.total)).collect()
    }

    /// The rows as CSV with a head. A text that a spreadsheet would take for a formula begins with `'`.
    ///
    /// # Errors
    /// Writing to memory does not fail, but its type allows for it.
    pub fn csv(&self) -> Result<String, csv::Error> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(self.columns().iter().map(|cell| inert(cell)))?;
        for row in &self.rows {
            writer.write_record(self.cells(row).iter().map(|cell| inert(cell)))?;
        }
        let bytes = writer.into_inner().map_err(csv::IntoInnerError::into_error)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

const FIGURES: [&str; 21] = [
    "requests",
    "errors",
    "cache_hits",
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cost_usd",
    "saved_usd",
    "unpriced_requests",
    "estimated_requests",
    "estimated_usd",
    "latency_ms_p50",
    "latency_ms_p95",
    "latency_ms_p99",
    "first_token_ms_p50",
    "first_token_ms_p95",
    "first_token_ms_p99",
    "overhead_us_p50",
    "overhead_us_p99",
];

fn figures(totals: &Totals) -> Vec<String> {
    let count = |number: i64| number.to_string();
    let money = |amount: Option<Nanos>| amount.map(|amount| amount.to_string()).unwrap_or_default();
    let span = |span: Option<f64>| span.map(|span| span.to_string()).unwrap_or_default();
    let Percentiles { p50, p95, p99 } = totals.latency_ms;
    let first = totals.first_token_ms;
    vec![
        count(totals.requests),
        count(totals.errors),
        count(totals.cache_hits),
        count(totals.input_tokens),
        count(totals.cached_input_tokens),
        count(totals.cache_write_tokens),
        count(totals.output_tokens),
        count(totals.reasoning_tokens),
        money(totals.cost_usd),
        money(totals.saved_usd),
        count(totals.unpriced_requests),
        count(totals.estimated_requests),
        money(totals.estimated_usd),
        span(p50),
        span(p95),
        span(p99),
        span(first.p50),
        span(first.p95),
        span(first.p99),
        span(totals.overhead_us.p50),
        span(totals.overhead_us.p99),
    ]
}

fn fields(totals: &Totals) -> Map<String, serde_json::Value> {
    let mut fields = match json!(totals) {
        serde_json::Value::Object(fields) => fields,
        _ => Map::new(),
    };
    // Latencies always have three percentiles, also where nothing was measured.
    for (name, span) in [("latency_ms", totals.latency_ms), ("first_token_ms", totals.first_token_ms)] {
        fields.insert(name.into(), json!({ "p50": span.p50, "p95": span.p95, "p99": span.p99 }));
    }
    fields
}

/// Spreadsheets run a cell that begins with one of these.
fn inert(cell: &str) -> String {
    let number = cell.parse::<f64>().is_ok();
    if !number && cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        return format!("'{cell}");
    }
    cell.to_owned()
}
