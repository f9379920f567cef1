//! `fulcrum usage`: what was used and spent.

use clap::Args;
use serde_json::Value;

use super::client::{Client, encoded};
use super::outcome::{Failure, Outcome, Where};
use super::output::{Format, cell, json as print_json, say, table};

/// Reports what was used and spent.
#[derive(Args)]
#[command(after_help = "Example: fulcrum usage --by model,day --from 2026-11-01 --filter project=search --format csv")]
pub struct Usage {
    /// Groups: hour, day, month, project, key, user, provider, model, route, prompt, version, status, error, cache, tag:NAME
    #[arg(long, default_value = "model")]
    by: String,
    /// From this time or date on [default: 30 days ago]
    #[arg(long)]
    from: Option<String>,
    /// Up to, and without, this time or date [default: the end of this hour]
    #[arg(long)]
    to: Option<String>,
    /// Only where a group has a value, as name=value; may be repeated
    #[arg(long = "filter")]
    filters: Vec<String>,
    #[arg(long, default_value = "table")]
    format: Format,
    #[command(flatten)]
    place: Where,
}

impl Usage {
    pub async fn run(self) -> Outcome {
        let client = Client::to(&self.place).await?;
        let path = self.path()?;
        if self.format == Format::Csv {
            say(client.get_text(&format!("{path}&format=csv")).await?.trim_end());
            return Ok(());
        }
        let report = client.get(&path).await?;
        if self.format == Format::Json {
            print_json(&report);
        } else {
            show(&report, &self.by);
        }
        Ok(())
    }

    fn path(&self) -> Result<String, Failure> {
        let mut path = format!("/api/v1/usage?by={}", encoded(&self.by));
        for (name, value) in [("from", &self.from), ("to", &self.to)] {
            if let Some(value) = value {
                path.push_str(&format!("&{name}={}", encoded(value)));
            }
        }
        for filter in &self.filters {
            let (name, value) =
                filter.split_once('=').ok_or_else(|| Failure::Input(format!("`{filter}` must be name=value")))?;
            path.push_str(&format!("&{}={}", encoded(name), encoded(value)));
        }
        Ok(path)
    }
}

/// A column of figures: its head, where a row has it, and how it is written.
struct Column(&'static str, &'static str, fn(&Value) -> String);

const COLUMNS: &[Column] = &[
    Column("requests", "/requests", count),
    Column("errors", "/errors", count),
    Column("cache\nhits", "/cache_hits", count),
    Column("input\ntokens", "/input_tokens", count),
    Column("cached\ninput", "/cached_input_tokens", count),
    Column("output\ntokens", "/output_tokens", count),
    Column("\ncost $", "/cost_usd", money),
    Column("\nsaved $", "/saved_usd", money),
    Column("no\nprice", "/unpriced_requests", count),
    Column("esti-\nmated", "/estimated_requests", count),
    Column("esti-\nmated $", "/estimated_usd", money),
    Column("p50\nms", "/latency_ms/p50", millis),
    Column("p95\nms", "/latency_ms/p95", millis),
    Column("p99\nms", "/latency_ms/p99", millis),
    Column("first\np50 ms", "/first_token_ms/p50", millis),
    Column("own\np50 µs", "/overhead_us/p50", micros),
];

/// Prints a report as a table, with the sum of all rows below. Money is rounded; JSON and CSV have it exact.
pub fn show(report: &Value, by: &str) {
    let (heads, lines, groups) = lines(report, by);
    let right: Vec<usize> = (groups..heads.len()).collect();
    table(&heads, &lines, &right);
}

/// Heads and lines, without the columns that hold nothing; and how many columns are groups.
fn lines<'a>(report: &Value, by: &'a str) -> (Vec<&'a str>, Vec<Vec<String>>, usize) {
    let groups: Vec<&str> = by.split(',').map(str::trim).filter(|group| !group.is_empty()).collect();
    let rows: Vec<&Value> = report["rows"]
        .as_array()
        .into_iter()
        .flatten()
        .chain(report.get("total"))
        .filter(|row| row.is_object())
        .collect();
    let figures = |column: &Column| -> Vec<String> { rows.iter().map(|row| column.figure(row)).collect() };
    let columns: Vec<(&str, Vec<String>)> = COLUMNS.iter().map(|column| (column.0, figures(column))).collect();
    let columns: Vec<_> = columns.into_iter().filter(|(_, cells)| cells.iter().any(|cell| !is_nothing(cell))).collect();
    let total = report.get("total").map(|_| rows.len() - 1);
    let lines = rows.iter().enumerate().map(|(n, row)| {
        let group = |(place, name): (usize, &&str)| match (Some(n) == total, place) {
            (true, 0) => "all".to_owned(),
            (true, _) => String::new(),
            (false, _) => Some(cell(row.get(*name))).filter(|text| !text.is_empty()).unwrap_or_else(|| "-".to_owned()),
        };
        let figures = columns.iter().map(|(_, cells)| cells[n].clone());
        groups.iter().enumerate().map(group).chain(figures).collect()
    });
    let lines = lines.collect();
    let heads = groups.iter().copied().chain(columns.iter().map(|(head, _)| *head)).collect();
    (heads, lines, groups.len())
}

impl Column {
    fn figure(&self, row: &Value) -> String {
        let figure = row.pointer(self.1).map(self.2).unwrap_or_default();
        let unpriced = row.get("unpriced_requests").and_then(Value::as_u64).unwrap_or(0);
        // A sum says what it lacks.
        let is_part = self.1 == "/cost_usd" && unpriced > 0 && row.get("cost_usd").is_some_and(Value::is_string);
        if is_part { format!("{figure}\n+ {unpriced} unknown") } else { figure }
    }
}

fn is_nothing(cell: &str) -> bool {
    cell.is_empty() || cell == "0"
}

fn count(value: &Value) -> String {
    cell(Some(value))
}

fn millis(value: &Value) -> String {
    value.as_f64().map(|ms| if ms < 99.95 { format!("{ms:.1}") } else { format!("{ms:.0}") }).unwrap_or_default()
}

fn micros(value: &Value) -> String {
    value.as_f64().map(|us| format!("{us:.0}")).unwrap_or_default()
}

/// Dollars, rounded to a millionth; what is less than that is not printed as 0.
fn money(value: &Value) -> String {
    let Some(exact) = value.as_str() else {
        return if value.is_null() { "unknown".to_owned() } else { cell(Some(value)) };
    };
    let Ok(dollars) = exact.parse::<f64>() else { return exact.to_owned() };
    if dollars == 0.0 {
        return "0".to_owned();
    }
    if dollars.abs() < 0.000_001 { "<0.000001".to_owned() } else { format!("{dollars:.6}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_that_hold_nothing_are_left_out() {
        let row = |route: Value, errors: u32| {
            json!({"route": route, "requests": 2, "errors": errors, "cache_hits": 0, "cost_usd": "0.0000123456",
                   "saved_usd": "0", "unpriced_requests": 0, "latency_ms": {"p50": 12.34, "p95": 250.6}})
        };
        let report = json!({"rows": [row("auto".into(), 0), row(Value::Null, 1)], "total": row(Value::Null, 1)});
        let (heads, lines, groups) = lines(&report, "route");
        assert_eq!(heads, ["route", "requests", "errors", "\ncost $", "p50\nms", "p95\nms"]);
        assert_eq!(lines[0], ["auto", "2", "0", "0.000012", "12.3", "251"]);
        assert_eq!((&*lines[1][0], &*lines[2][0], groups), ("-", "all", 1));
    }

    #[test]
    fn a_cost_says_how_many_calls_have_no_price() {
        let row = |cost: Value| json!({"requests": 4, "cost_usd": cost, "saved_usd": null, "unpriced_requests": 3});
        for (cost, shown) in [(json!("0.5"), "0.500000\n+ 3 unknown"), (Value::Null, "unknown")] {
            let report = json!({"rows": [row(cost.clone())], "total": row(cost)});
            let (heads, lines, _) = lines(&report, "day");
            let at = heads.iter().position(|head| head.ends_with("cost $")).unwrap();
            assert!(lines.iter().all(|line| line[at] == shown), "{lines:?}");
        }
    }

    #[test]
    fn money_is_rounded_but_never_to_nothing_and_an_unknown_price_is_told() {
        for (value, printed) in [
            (json!("12.5"), "12.500000"),
            (json!("0.000000004"), "<0.000001"),
            (json!("0"), "0"),
            (Value::Null, "unknown"),
        ] {
            assert_eq!(money(&value), printed);
        }
    }

    #[test]
    fn an_empty_report_is_a_line_of_nothing() {
        let (heads, lines, _) = lines(&json!({"rows": [], "total": {"requests": 0}}), "model,day");
        assert_eq!((heads, lines), (vec!["model", "day"], vec![vec!["all".to_owned(), String::new()]]));
    }
}
