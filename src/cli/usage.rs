//! `fulcrum usage`: what was used and spent.

use clap::Args;
use serde_json::Value;

use super::client::{Client, encoded};
use super::output::{Format, cell, json as print_json, say, table};
use super::{Failure, Outcome, Where};

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
    /// Up to, and without, this time or date [default: now]
    #[arg(long)]
    to: Option<String>,
    /// Only where a group has a value, as name=value; may be given several times
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

/// Prints a report as a table, with the sum of all rows below.
pub fn show(report: &Value, by: &str) {
    let groups: Vec<&str> = by.split(',').map(str::trim).filter(|group| !group.is_empty()).collect();
    let figures = ["requests", "errors", "cache_hits", "input_tokens", "cached_input_tokens", "output_tokens"];
    let money = ["cost_usd", "saved_usd", "unpriced_requests"];
    let spans = [
        ("p50 ms", "/latency_ms/p50"),
        ("p95 ms", "/latency_ms/p95"),
        ("p99 ms", "/latency_ms/p99"),
        ("first p50", "/first_token_ms/p50"),
        ("own µs p50", "/overhead_us/p50"),
    ];
    let heads: Vec<&str> =
        groups.iter().copied().chain(figures).chain(money).chain(spans.map(|(head, _)| head)).collect();
    let line = |row: &Value, of_group: &dyn Fn(&str) -> String| -> Vec<String> {
        let counts = figures.iter().chain(&money).map(|name| cell(row.get(*name)));
        let times = spans.iter().map(|(_, path)| rounded(row.pointer(path)));
        groups.iter().map(|group| of_group(group)).chain(counts).chain(times).collect()
    };
    let rows = report.get("rows").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut lines: Vec<Vec<String>> = rows.iter().map(|row| line(row, &|group| cell(row.get(group)))).collect();
    let total = report.get("total").cloned().unwrap_or_default();
    lines.push(line(&total, &|group| if Some(&group) == groups.first() { "all".to_owned() } else { String::new() }));
    let right: Vec<usize> = (groups.len()..heads.len()).collect();
    table(&heads, &lines, &right);
}

fn rounded(value: Option<&Value>) -> String {
    value.and_then(Value::as_f64).map(|number| format!("{number:.1}")).unwrap_or_default()
}
