//! Usage reports: from hourly sums where they can answer, from rows at the edges and for what only rows know.

use std::collections::HashMap;

use serde_json::{Map, json};

use super::dimension::Dimension;
use super::figures::{AS_IF, FIGURES, Figure, METRIC};
use super::filter::Filter;
use super::fold::{Charge, Fold, Totals};
use super::query::Query;
use super::row::ReportRow;
use crate::db::{Db, Tx};
use crate::types::{Timestamp, Zone};
use crate::usage::error::Error;
use crate::usage::rows::RequestRow;
use crate::usage::store::conditions::Conditions;
use crate::usage::store::{feedback, queries};

const HOUR: i64 = 3_600_000_000;

/// An answer to a [`Query`].
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The dimensions.
    pub by: Vec<Dimension>,
    /// The first moment.
    pub from: Timestamp,
    /// The first moment no more.
    pub to: Timestamp,
    /// Where its dates and times are read.
    pub zone: Zone,
    /// The rows, as they were to be sorted.
    pub rows: Vec<ReportRow>,
    /// How many rows `limit` left out.
    pub left_out: usize,
    /// All rows together, also those that are left out.
    pub total: Totals,
    /// The model whose price for the same tokens is shown beside.
    pub as_if: Option<String>,
    /// The metric whose feedback is shown beside.
    pub metric: Option<String>,
    /// Names of keys by their ids, where they are to be shown.
    pub key_names: Option<HashMap<String, String>>,
}

/// Makes a report.
///
/// # Errors
/// Where the database cannot be read, or the report would be too long.
pub async fn report(db: &Db, query: &Query) -> Result<Report, Error> {
    report_as_if(db, query, None).await
}

/// Makes a report with what `as_if` charges for the same tokens beside, which needs every row.
///
/// # Errors
/// Where the database cannot be read, or the report would be too long.
pub async fn report_as_if(db: &Db, query: &Query, as_if: Option<Charge<'_>>) -> Result<Report, Error> {
    let has_time = query.by.iter().any(Dimension::is_time);
    let needs_rows = as_if.is_some()
        || query.by.iter().any(Dimension::needs_rows)
        || query.filters.iter().any(Filter::needs_rows)
        // The hourly sums are of hours in UTC.
        || (has_time && !query.zone.has_whole_hours(query.from, query.to));
    let parts = if needs_rows { Parts::rows(query) } else { Parts::of(query) };
    let mut fold = Fold::new(&query.by, &query.zone, as_if).of_callers(query.of_callers);
    fold = fold.measured(query.metric.is_some());
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
    if let Some(metric) = &query.metric {
        known(&mut transaction, metric).await?;
        let conditions = Conditions::on(db.engine()).of_requests((query.from.0, query.to.0), skew, &query.filters);
        let see = |row: &RequestRow, number| fold.feedback(row, number);
        feedback::each_measured(&mut transaction, metric, conditions, see).await?;
    }
    transaction.commit().await?;
    let (rows, total) = fold.finish();
    let mut rows: Vec<_> = rows.into_iter().map(|(groups, totals)| ReportRow { groups, totals }).collect();
    query.sort.sort(&mut rows);
    let left_out = rows.len().saturating_sub(query.limit.unwrap_or(usize::MAX));
    rows.truncate(rows.len() - left_out);
    Ok(Report {
        by: query.by.clone(),
        from: query.from,
        to: query.to,
        zone: query.zone.clone(),
        rows,
        left_out,
        total,
        as_if: query.as_if.clone(),
        metric: query.metric.clone(),
        key_names: None,
    })
}

/// Refuses a metric that no feedback is of, with those that some is of.
async fn known(transaction: &mut Tx, metric: &str) -> Result<(), Error> {
    match feedback::unreported(transaction, metric).await? {
        Some(problem) => Err(Error::parameter("metric", problem)),
        None => Ok(()),
    }
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
            if let Some(name) = self.key_name(row) {
                object.insert(KEY_NAME.into(), json!(name));
            }
            object.extend(fields(&row.totals));
            serde_json::Value::Object(object)
        });
        let rows: Vec<_> = rows.collect();
        json!({
            "from": self.from, "to": self.to, "tz": self.zone.to_string(), "as_if": self.as_if, "metric": self.metric,
            "rows": rows, "left_out": self.left_out, "total": fields(&self.total),
        })
    }

    /// The names of the columns: the groups, with a key's name beside its id, then the figures.
    #[must_use]
    pub fn columns(&self) -> Vec<String> {
        let groups = self.by.iter().enumerate().flat_map(|(place, name)| {
            let key_name = (self.key_place() == Some(place)).then(|| KEY_NAME.to_owned());
            [name.to_string()].into_iter().chain(key_name)
        });
        groups.chain(self.figures().map(|figure| figure.name.to_owned())).collect()
    }

    /// A row's cells as text, in the order of [`Report::columns`]; what is unknown is empty.
    #[must_use]
    pub fn cells(&self, row: &ReportRow) -> Vec<String> {
        let groups = row.groups.iter().enumerate().flat_map(|(place, value)| {
            let key_name = (self.key_place() == Some(place)).then(|| self.key_name(row).unwrap_or_default().to_owned());
            [value.to_string()].into_iter().chain(key_name)
        });
        groups.chain(self.figures().map(|figure| (figure.of)(&row.totals).text())).collect()
    }

    /// The cells of the sum of all rows.
    #[must_use]
    pub fn total_cells(&self) -> Vec<String> {
        let empty = self.by.len() + usize::from(self.key_place().is_some());
        let figures = self.figures().map(|figure| (figure.of)(&self.total).text());
        (0..empty).map(|_| String::new()).chain(figures).collect()
    }

    fn figures(&self) -> impl Iterator<Item = &'static Figure> {
        let as_if = AS_IF.iter().filter(|_| self.as_if.is_some());
        FIGURES.iter().chain(as_if).chain(METRIC.iter().filter(|_| self.metric.is_some()))
    }

    /// Which group is the key, where names of keys are known.
    fn key_place(&self) -> Option<usize> {
        self.key_names.as_ref()?;
        self.by.iter().position(|dimension| dimension.to_string() == "key")
    }

    /// The name of a row's key.
    fn key_name(&self, row: &ReportRow) -> Option<&str> {
        let id = row.groups.get(self.key_place()?)?.to_string();
        self.key_names.as_ref()?.get(&id).map(String::as_str)
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

const KEY_NAME: &str = "key_name";

fn fields(totals: &Totals) -> Map<String, serde_json::Value> {
    let mut fields = match json!(totals) {
        serde_json::Value::Object(fields) => fields,
        _ => Map::new(),
    };
    // Latencies always have three percentiles, also where nothing was measured.
    for (name, span) in [("latency_ms", totals.latency_ms), ("first_token_ms", totals.first_token_ms)] {
        fields.insert(name.into(), json!({ "p50": span.p50, "p95": span.p95, "p99": span.p99 }));
    }
    if let Some(as_if) = totals.as_if {
        fields.insert("as_if_usd".into(), json!(as_if.usd));
        fields.insert("as_if_unknown_requests".into(), json!(as_if.unknown_requests));
    }
    if let Some(metric) = totals.metric {
        fields.insert("metric".into(), json!(metric));
    }
    fields
}

/// What begins a cell that spreadsheets run; the last four are the wide forms of the first.
const RUN: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];

/// A cell of CSV that no spreadsheet runs: a text that it would take for a formula begins with `'`.
#[must_use]
pub fn inert(cell: &str) -> String {
    let is_number = cell.parse::<f64>().is_ok();
    if !is_number && cell.starts_with(RUN) {
        return format!("'{cell}");
    }
    cell.to_owned()
}
