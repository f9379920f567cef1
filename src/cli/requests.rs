//! `fulcrum requests`: the ledger's rows, by time, cost or latency.

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::client::Client;
use super::fitted::{Column, WIDTH, fitted};
use super::outcome::{Failure, Outcome, Where};
use super::output::{Format, cell, json as print_json, say};
use super::pages::{MOST, rows};
use super::usage::{Period, added, with_filters};
use super::usage_table::money;
use crate::types::{Timestamp, Zone};
use crate::usage::requests_csv;

/// Lists requests of the ledger.
#[derive(Args)]
#[command(after_help = "Example: fulcrum requests --last 1d --sort cost --limit 10\n\
    Example: fulcrum requests --last 7d --min-cost 1\n\
    Example: fulcrum requests --from yesterday --to today --tz Europe/Berlin --limit 10000 --format csv\n\
    Example: fulcrum requests --status error --filter project=search --filter tag:team=web\n\
    Example: fulcrum requests --purpose shadow --last 1d")]
pub struct Requests {
    #[command(flatten)]
    period: Period,
    /// Order: the newest, the dearest or the slowest first
    #[arg(long, default_value = "started")]
    sort: Order,
    /// Only requests that cost this many dollars or more
    #[arg(long, value_name = "USD")]
    min_cost: Option<String>,
    /// Only requests that ended so: ok, error, client_closed or unknown
    #[arg(long)]
    status: Option<String>,
    /// Only requests that the gateway made of its own for this: shadow or verify
    #[arg(long)]
    purpose: Option<String>,
    /// Only where a field has a value, as name=value; may be repeated
    #[arg(long = "filter")]
    filters: Vec<String>,
    /// Only requests that have this text in their id, user, session, tags, model, route, prompt or error
    #[arg(long = "search", value_name = "TEXT")]
    search: Option<String>,
    /// At most this many requests
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST)))]
    limit: u32,
    /// Show more columns, however wide; without it a table fits 80 columns
    #[arg(long)]
    wide: bool,
    #[arg(long, default_value = "table")]
    format: Format,
    #[command(flatten)]
    place: Where,
}

/// What requests are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Order {
    Started,
    Cost,
    Latency,
}

impl Order {
    fn name(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Cost => "cost",
            Self::Latency => "latency",
        }
    }
}

impl Requests {
    pub async fn run(self) -> Outcome {
        let path = self.path()?;
        let client = Client::to(&self.place).await?;
        let (rows, next_cursor) = rows(&client, &path, self.limit).await?;
        match self.format {
            Format::Json => print_json(&json!({"rows": rows, "next_cursor": next_cursor})),
            Format::Csv => {
                let csv = requests_csv(&rows).map_err(|error| Failure::Unreachable(error.to_string()))?;
                say(csv.trim_end());
            }
            Format::Table => self.show(&rows, next_cursor.is_some()),
        }
        Ok(())
    }

    fn path(&self) -> Result<String, Failure> {
        let others =
            [("min_cost", &self.min_cost), ("status", &self.status), ("purpose", &self.purpose), ("q", &self.search)];
        let others = others.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
        let parameters = self.period.parameters().chain(others);
        let path = format!("/api/v1/requests?sort={}", self.sort.name());
        with_filters(parameters.fold(path, added), &self.filters)
    }

    fn show(&self, rows: &[Value], has_more: bool) {
        let zone: Zone = self.period.tz().and_then(|name| name.parse().ok()).unwrap_or_default();
        say(&self.head(&zone));
        if rows.is_empty() {
            return say("no requests");
        }
        let width = (!self.wide).then_some(WIDTH);
        let shown = fitted(columns(rows, &zone, self.wide), width);
        say(&shown.table);
        shown.note().iter().for_each(|note| say(note));
        if has_more {
            say("there are more; raise --limit, or narrow them");
        }
    }

    /// The order, the zone, the period and the filters.
    fn head(&self, zone: &Zone) -> String {
        let order = match self.sort {
            Order::Started => "the newest first",
            Order::Cost => "the dearest first",
            Order::Latency => "the slowest first",
        };
        let period = self.period.parameters().filter(|(name, _)| *name != "tz");
        let period: String = period.map(|(name, value)| format!(", {name} {value}")).collect();
        let status = self.status.iter().map(|status| format!("status={status}"));
        let status = status.chain(self.purpose.iter().map(|purpose| format!("purpose={purpose}")));
        let cost = self.min_cost.iter().map(|cost| format!("cost>={cost}"));
        let search = self.search.iter().map(|text| format!("q={text}"));
        let only: Vec<String> = status.chain(cost).chain(search).chain(self.filters.iter().cloned()).collect();
        let only = if only.is_empty() { String::new() } else { format!(", only {}", only.join(", ")) };
        format!("requests, {order}, times in {zone}{period}{only}")
    }
}

/// What a row of the table shows: a head, its rank, and the cell.
type Field = (&'static str, u8, fn(&Value, &Zone) -> String);

/// The columns of a table. Numbers stand to the right.
const FIELDS: [Field; 7] = [
    ("id", 0, |row, _| cell(row.get("id"))),
    ("started", 0, started),
    ("model", 0, |row, _| short_model(row)),
    ("status", 0, |row, _| cell(row.get("status"))),
    ("cost $", 0, |row, _| money(&row["cost_usd"])),
    ("ms", 1, |row, _| row["latency_ms"].as_f64().map_or_else(|| "-".to_owned(), |ms| format!("{ms:.0}"))),
    ("out", 2, |row, _| cell(row.get("output_tokens"))),
];

/// What stands in place of the status where all requests failed: the reason is what differs.
const ERROR: Field = ("error", 0, |row, _| cell(row.get("error_code")));

/// What marks requests that the gateway made of its own, where some of those that are shown are.
const PURPOSE: Field = ("for", 0, |row, _| cell(row.get("purpose")));

/// What `--wide` shows beside, by its name in JSON.
const WIDE: [&str; 14] = [
    "http_status",
    "error_code",
    "cache",
    "project",
    "key_id",
    "user",
    "session",
    "route",
    "prompt",
    "version",
    "input_tokens",
    "first_token_ms",
    "purpose",
    "of",
];

fn columns(rows: &[Value], zone: &Zone, wide: bool) -> Vec<Column> {
    let numbers = ["cost $", "ms", "out", "http_status", "version", "input_tokens", "first_token_ms"];
    let column = |head: &str, rank: u8, cells: Vec<String>| {
        // A status shall stay whole, and an id even more.
        let is_number = numbers.contains(&head);
        Column {
            head: head.replace('_', " "),
            cells,
            rank,
            is_number,
            is_whole: is_number || !["model", "error"].contains(&head),
        }
    };
    let all_failed = rows.iter().all(|row| row["status"] == "error");
    let has_own = !wide && rows.iter().any(|row| row["purpose"].is_string());
    let shown = FIELDS.iter().map(|field| match field {
        ("status", ..) if all_failed && !wide => ERROR,
        (head @ ("cost $" | "ms"), _, write) if all_failed && !wide => (*head, 1, *write),
        (head @ "status", _, write) if has_own => (*head, 1, *write),
        field => *field,
    });
    let shown = shown.chain(has_own.then_some(PURPOSE));
    let fields = shown.map(|(head, rank, write)| {
        let write = |row: &Value| if wide && head == "model" { cell(row.get("model")) } else { write(row, zone) };
        column(head, rank, rows.iter().map(write).collect())
    });
    let more = WIDE.iter().filter(|_| wide);
    let more = more.map(|name| column(name, 0, rows.iter().map(|row| cell(row.get(*name))).collect()));
    fields.chain(more).collect()
}

/// The month, the day and the time; the id and JSON have the year.
fn started(row: &Value, zone: &Zone) -> String {
    let Some(time) = row["started_at"].as_str().and_then(|text| text.parse::<Timestamp>().ok()) else {
        return String::new();
    };
    let at = zone.civil(time);
    format!("{:02}-{:02} {:02}:{:02}:{:02}", at.month(), at.day(), at.hour(), at.minute(), at.second())
}

/// The model without its provider, or as it was requested where none answered.
fn short_model(row: &Value) -> String {
    let model = row["model"].as_str().or_else(|| row["requested_model"].as_str()).unwrap_or_default();
    model.split_once('/').map_or(model, |(_, name)| name).to_owned()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        requests: Requests,
    }

    fn parsed(arguments: &str) -> Requests {
        Line::try_parse_from(["x"].into_iter().chain(arguments.split_whitespace())).unwrap().requests
    }

    #[test]
    fn arguments_are_the_parameters_of_a_list() {
        for (arguments, parameters) in [
            ("", "sort=started"),
            ("--last 1d --sort cost --min-cost 1", "sort=cost&last=1d&min_cost=1"),
            ("--status error --filter tag:team=a --search x%", "sort=started&status=error&q=x%25&tag%3Ateam=a"),
            ("--purpose shadow", "sort=started&purpose=shadow"),
            ("--from yesterday --to today --tz +02:00", "sort=started&from=yesterday&to=today&tz=%2B02%3A00"),
        ] {
            assert_eq!(parsed(arguments).path().unwrap(), format!("/api/v1/requests?{parameters}"));
        }
        let head = parsed("--last 1d --min-cost 1 --tz Europe/Berlin").head(&"Europe/Berlin".parse().unwrap());
        assert_eq!(head, "requests, the newest first, times in Europe/Berlin, last 1d, only cost>=1");
    }

    #[test]
    fn a_list_of_failures_says_why_each_failed() {
        let id = "019abd2c-7f10-7a33-b2c4-5d6e7f8090a1";
        let row = |status: &str, code: &str| {
            json!({"id": id, "started_at": "2026-11-23T23:30:05Z", "model": "openai/gpt-4o-mini", "status": status,
                "cost_usd": "0", "latency_ms": 12.3, "output_tokens": 0, "error_code": code})
        };
        for code in ["upstream_connect", "upstream_rate_limited", "unsupported_media_type"] {
            let shown = fitted(columns(&[row("error", code)], &"UTC".parse().unwrap(), false), Some(WIDTH));
            assert!(shown.table.lines().all(|line| line.chars().count() <= 80), "{}", shown.table);
            assert!(shown.table.contains(&code[..15]) && shown.table.contains(id), "{}", shown.table);
        }
        let mixed =
            fitted(columns(&[row("error", "x_code"), row("ok", "")], &"UTC".parse().unwrap(), false), None).table;
        assert!(mixed.contains("status") && !mixed.contains("x_code"), "{mixed}");
    }

    #[test]
    fn requests_of_our_own_are_marked() {
        let id = "019abd2c-7f10-7a33-b2c4-5d6e7f8090a1";
        let row = |purpose: Value| {
            json!({"id": id, "started_at": "2026-11-23T23:30:05Z", "model": "openai/gpt-4o-mini", "status": "client_closed",
                "cost_usd": "1234.5", "latency_ms": 12_345.6, "output_tokens": 1_024, "purpose": purpose})
        };
        let table = |rows: &[Value]| fitted(columns(rows, &"UTC".parse().unwrap(), false), Some(WIDTH)).table;
        let marked = table(&[row(json!("shadow")), row(Value::Null)]);
        assert!(marked.contains("for") && marked.contains("shadow") && marked.contains(id), "{marked}");
        assert!(marked.lines().all(|line| line.chars().count() <= 80), "{marked}");
        assert!(!table(&[row(Value::Null)]).contains("for"));
    }

    #[test]
    fn a_table_fits_80_columns_and_has_whole_ids() {
        let id = "019abd2c-7f10-7a33-b2c4-5d6e7f8090a1";
        for model in ["openai/gpt-4o-mini", "anthropic/claude-sonnet-4-5-20250929", "x"] {
            for (status, cost) in
                [("ok", json!("0.000123")), ("client_closed", Value::Null), ("error", json!("1234.5"))]
            {
                let row = json!({"id": id, "started_at": "2026-11-23T23:30:05.123456Z", "model": model, "status": status,
                    "cost_usd": cost, "latency_ms": 12_345.6, "output_tokens": 1_024});
                let table = fitted(columns(&[row], &"Europe/Berlin".parse().unwrap(), false), Some(WIDTH)).table;
                assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
                assert!(table.contains(id) && table.contains("11-24 00:30:05") && table.contains(status), "{table}");
            }
        }
    }
}
