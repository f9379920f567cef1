//! How `fulcrum usage` shows a report: its head, the columns that fit, and what the figures leave open.

use serde_json::Value;

use super::fitted::{Column as Shown, WIDTH, fitted};
use super::output::{cell, say};
use crate::types::{Timestamp, Zone};

/// A column of figures: its name for `--columns`, its head, where a row has it, how it is written, and its rank: what is left
/// out first where a table is too wide has the highest, and `WIDE` is shown where it is asked for only.
struct Column {
    name: &'static str,
    head: &'static str,
    path: &'static str,
    write: fn(&Value) -> String,
    rank: u8,
}

/// The rank of what only `--wide` and `--columns` show.
const WIDE: u8 = u8::MAX;

const fn column(
    name: &'static str,
    head: &'static str,
    path: &'static str,
    write: fn(&Value) -> String,
    rank: u8,
) -> Column {
    Column { name, head, path, write, rank }
}

static COLUMNS: [Column; 29] = [
    column("requests", "requests", "/requests", count, 0),
    column("errors", "errors", "/errors", count, WIDE),
    column("error_rate", "errors %", "/error_rate", percent, 1),
    column("cache_hits", "cache hits", "/cache_hits", count, WIDE),
    column("semantic_hits", "semantic hits", "/semantic_hits", count, WIDE),
    column("semantic_verified", "verified", "/semantic_verified", count, WIDE),
    column("semantic_wrong", "wrong", "/semantic_wrong", count, WIDE),
    column("cache_hit_rate", "hits %", "/cache_hit_rate", percent, 3),
    column("input_tokens", "tokens in", "/input_tokens", tokens, 5),
    column("cached_input_tokens", "cached in", "/cached_input_tokens", tokens, WIDE),
    column("cache_write_tokens", "cache writes", "/cache_write_tokens", tokens, WIDE),
    column("output_tokens", "tokens out", "/output_tokens", tokens, 6),
    column("reasoning_tokens", "reasoning", "/reasoning_tokens", tokens, WIDE),
    column("cost", "cost $", "/cost_usd", money, 0),
    column("metric_n", "n", "/metric/n", count, 0),
    column("metric_mean", "mean", "/metric/mean", mean, 0),
    column("as_if", "as if $", "/as_if_usd", money, 0),
    column("cost_share", "share %", "/cost_share", percent, WIDE),
    column("cost_per_request", "$ per request", "/cost_per_request_usd", money, WIDE),
    column("saved", "saved $", "/saved_usd", money, WIDE),
    column("unpriced", "without price", "/unpriced_requests", count, WIDE),
    column("estimated", "estimated", "/estimated_requests", count, WIDE),
    column("estimated_cost", "estimated $", "/estimated_usd", money, 4),
    column("p50", "p50 ms", "/latency_ms/p50", millis, WIDE),
    column("p95", "p95 ms", "/latency_ms/p95", millis, 2),
    column("p99", "p99 ms", "/latency_ms/p99", millis, WIDE),
    column("first_token", "time to first token ms", "/first_token_ms/p50", millis, WIDE),
    column("first_token_p95", "first token p95 ms", "/first_token_ms/p95", millis, WIDE),
    column("overhead", "gateway overhead µs", "/overhead_us/p50", micros, WIDE),
];

/// Which columns a table has.
pub enum Choice<'a> {
    /// Those that fit 80 columns.
    Fitting,
    /// All.
    All,
    /// These, in this order.
    Named(&'a [String]),
}

/// The names that `--columns` knows, where one is not among them.
pub fn unknown_column(name: &str) -> Option<String> {
    let known: Vec<&str> = COLUMNS.iter().map(|column| column.name).collect();
    (named(name).is_none()).then(|| format!("`{name}` is not one of {}", known.join(", ")))
}

/// A column by its name, or by the name that JSON has for it.
fn named(name: &str) -> Option<&'static Column> {
    COLUMNS.iter().find(|column| column.name == name || column.path.get(1..) == Some(name))
}

/// Prints a report as a table, with the sum of all rows below. Money is rounded; JSON and CSV have it exact.
pub fn show(report: &Value, by: &str, filters: &[String], choice: &Choice<'_>) {
    say(&head(report, filters));
    if report.pointer("/total/requests").and_then(Value::as_u64).unwrap_or(0) == 0 {
        say("no requests");
        return;
    }
    let width = matches!(choice, Choice::Fitting).then_some(WIDTH);
    let shown = columns(report, by, choice);
    let notes = notes(report, choice, &shown);
    let fitted = fitted(shown, width);
    say(&fitted.table);
    fitted.note().into_iter().chain(notes).for_each(|note| say(&note));
}

/// The period, its zone and the filters: `2026-10-29 to 2026-11-28 19:00 UTC, only project=search`.
pub fn head(report: &Value, filters: &[String]) -> String {
    let zone_name = report.get("tz").and_then(Value::as_str).unwrap_or("UTC");
    let zone = zone_name.parse().unwrap_or_default();
    let time = |name: &str| {
        let time = report.get(name).and_then(Value::as_str).and_then(|text| text.parse().ok());
        time.map_or_else(|| cell(report.get(name)), |time| shown(time, &zone))
    };
    let only = if filters.is_empty() { String::new() } else { format!(", only {}", filters.join(", ")) };
    format!("{} to {} {zone_name}{only}", time("from"), time("to"))
}

/// A time without what is zero of it.
fn shown(time: Timestamp, zone: &Zone) -> String {
    let civil = zone.civil(time);
    match (civil.hour(), civil.minute()) {
        (0, 0) => civil.date().to_string(),
        (hour, minute) => format!("{} {hour:02}:{minute:02}", civil.date()),
    }
}

/// The columns: the groups, a key's name beside its id, then figures. They are the same whatever the figures are.
fn columns(report: &Value, by: &str, choice: &Choice<'_>) -> Vec<Shown> {
    let rows: Vec<&Value> = report["rows"].as_array().into_iter().flatten().collect();
    let mut groups: Vec<&str> = Vec::new();
    for group in by.split(',').map(str::trim).filter(|group| !group.is_empty()) {
        if !groups.contains(&group) {
            groups.push(group);
        }
        if group == "key" {
            groups.push("key_name");
        }
    }
    // Without groups the one row is the sum.
    let total = if groups.is_empty() { None } else { report.get("total") };
    let group = |(place, name): (usize, &&str)| Shown {
        head: name.replace('_', " "),
        cells: rows
            .iter()
            .map(|row| Some(cell(row.get(*name))).filter(|text| !text.is_empty()).unwrap_or_else(|| "-".to_owned()))
            .chain(total.map(|_| if place == 0 { "all".to_owned() } else { String::new() }))
            .collect(),
        rank: 0,
        is_number: false,
        is_whole: false,
    };
    let figures = picked(report, choice).into_iter().map(|(column, rank)| Shown {
        head: column.head.to_owned(),
        cells: rows.iter().copied().chain(total).map(|row| column.figure(row)).collect(),
        rank,
        is_number: true,
        is_whole: true,
    });
    groups.iter().enumerate().map(group).chain(figures).collect()
}

/// The columns of figures, each with its rank.
fn picked(report: &Value, choice: &Choice<'_>) -> Vec<(&'static Column, u8)> {
    let has_as_if = report.get("as_if").is_some_and(|model| !model.is_null());
    let mut picked: Vec<(&Column, u8)> = match choice {
        Choice::Named(names) => names.iter().filter_map(|name| Some((named(name)?, 0))).collect(),
        Choice::All => COLUMNS.iter().map(|column| (column, 0)).collect(),
        Choice::Fitting => {
            COLUMNS.iter().map(|column| (column, column.rank)).filter(|(_, rank)| *rank < WIDE).collect()
        }
    };
    picked.retain(|(column, _)| column.name != "as_if" || has_as_if);
    let is_measured = report.get("metric").is_some_and(|metric| !metric.is_null());
    picked.retain(|(column, _)| !column.name.starts_with("metric_") || is_measured);
    picked
}

/// What the table leaves open, in words.
fn notes(report: &Value, choice: &Choice<'_>, shown: &[Shown]) -> Vec<String> {
    let total = |name: &str| report.pointer(&format!("/total/{name}")).and_then(Value::as_u64).unwrap_or(0);
    let mut notes = Vec::new();
    let left_out = report["left_out"].as_u64().unwrap_or(0);
    if left_out > 0 {
        notes.push(format!("{left_out} more rows; `all` has them too"));
    }
    let unpriced = total("unpriced_requests");
    let of_cost = shown.iter().find(|column| column.head == "cost $");
    let is_part = of_cost.is_some_and(|column| column.cells.iter().any(|cell| cell.ends_with('?')));
    match unpriced {
        0 => {}
        _ if is_part => notes.push(format!("+N?: the cost of N more requests is unknown; of {unpriced} in all")),
        _ => notes.push(format!("the cost of {unpriced} requests is unknown: no price is known for their models")),
    }
    let rows = report["rows"].as_array().into_iter().flatten().chain(report.get("total"));
    let amounts = || picked(report, choice).into_iter().filter(|(column, _)| column.path.ends_with("_usd"));
    if rows.into_iter().any(|row| amounts().any(|(column, _)| is_rounded(row.pointer(column.path)))) {
        notes.push("$: rounded to a millionth, each for itself; JSON and CSV have them exact".to_owned());
    }
    if let Some(metric) = report["metric"].as_str() {
        notes.push(format!("n, mean: feedback of the metric {metric}; yes counts as 1, no as 0"));
    }
    if let Some(model) = report["as_if"].as_str() {
        notes.push(format!("as if: what the stored tokens cost at the price of {model}"));
        let unknown = total("as_if_unknown_requests");
        if unknown > 0 {
            notes.push(format!("as if: unknown for {unknown} requests"));
        }
    }
    notes
}

impl Column {
    fn figure(&self, row: &Value) -> String {
        let figure = row.pointer(self.path).map(self.write).unwrap_or_default();
        let lacks = match self.name {
            "cost" => "unpriced_requests",
            "as_if" => "as_if_unknown_requests",
            _ => return figure,
        };
        let unknown = row.get(lacks).and_then(Value::as_u64).unwrap_or(0);
        // A sum says what it lacks.
        let is_part = unknown > 0 && row.pointer(self.path).is_some_and(Value::is_string);
        if is_part { format!("{figure}+{unknown}?") } else { figure }
    }
}

fn count(value: &Value) -> String {
    cell(Some(value))
}

/// Thousands and millions from 10,000 on.
fn tokens(value: &Value) -> String {
    let Some(count) = value.as_u64() else { return cell(Some(value)) };
    let of = |unit: u64, name: &str| format!("{}.{}{name}", count / unit, count % unit / (unit / 10));
    match count {
        0..10_000 => count.to_string(),
        10_000..1_000_000 => of(1_000, "k"),
        1_000_000..1_000_000_000 => of(1_000_000, "M"),
        _ => of(1_000_000_000, "G"),
    }
}

/// A share in percent; what is less than a tenth is not printed as 0, and what is not all not as 100.
fn percent(value: &Value) -> String {
    let Some(share) = value.as_f64() else { return "-".to_owned() };
    match format!("{:.1}", share * 100.0) {
        shown if shown == "0.0" && share > 0.0 => "<0.1".to_owned(),
        shown if shown == "100.0" && share < 1.0 => ">99.9".to_owned(),
        shown => shown,
    }
}

/// A mean to a thousandth.
fn mean(value: &Value) -> String {
    let shown = |mean: f64| if mean.abs() < 1e9 { format!("{mean:.3}") } else { format!("{mean:.3e}") };
    value.as_f64().map_or_else(|| "-".to_owned(), shown)
}

fn millis(value: &Value) -> String {
    value.as_f64().map_or_else(|| "-".to_owned(), |ms| if ms < 99.95 { format!("{ms:.1}") } else { format!("{ms:.0}") })
}

fn micros(value: &Value) -> String {
    value.as_f64().map_or_else(|| "-".to_owned(), |us| format!("{us:.0}"))
}

/// Dollars, rounded to a millionth, halves up; what is less than that is not printed as 0.
pub fn money(value: &Value) -> String {
    let Some(exact) = value.as_str() else {
        return if value.is_null() { "unknown".to_owned() } else { cell(Some(value)) };
    };
    if exact == "0" {
        return "0".to_owned();
    }
    let Some((sign, millionths)) = rounded(exact) else { return exact.to_owned() };
    match millionths {
        0 if sign.is_empty() => "<0.000001".to_owned(),
        0 => ">-0.000001".to_owned(),
        _ => format!("{sign}{}.{:06}", millionths / MILLION, millionths % MILLION),
    }
}

const MILLION: u128 = 1_000_000;

/// An exact amount's sign and its millionths of a dollar; what is less than one counts as none. `None` where it is no amount.
fn rounded(exact: &str) -> Option<(&str, u128)> {
    let digits = exact.strip_prefix('-');
    let sign = if digits.is_some() { "-" } else { "" };
    let (whole, fraction) = digits.unwrap_or(exact).split_once('.').unwrap_or((digits.unwrap_or(exact), ""));
    let nanos: u128 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    let whole: u128 = whole.parse().ok()?;
    let millionths = if whole == 0 && nanos < 1_000 { 0 } else { whole.checked_mul(MILLION)? + (nanos + 500) / 1_000 };
    Some((sign, millionths))
}

/// Whether a table shows an amount otherwise than it is.
fn is_rounded(value: Option<&Value>) -> bool {
    let fraction = value.and_then(Value::as_str).and_then(|exact| exact.split_once('.'));
    fraction.is_some_and(|(_, fraction)| fraction.len() > 6)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(model: &str, cost: &Value, errors: u32) -> Value {
        json!({"model": model, "requests": 2_000, "errors": errors, "error_rate": f64::from(errors) / 2_000.0, "cache_hits": 0,
            "cache_hit_rate": 0.25, "input_tokens": 123_456, "output_tokens": 7_654_321, "cost_usd": cost, "saved_usd": "0",
            "unpriced_requests": 0, "estimated_requests": 0, "estimated_usd": "0", "cost_share": 0.5,
            "latency_ms": {"p50": 12.34, "p95": 250.6, "p99": null}})
    }

    fn report(rows: &[Value]) -> Value {
        json!({"from": "2026-10-29T00:00:00.000000Z", "to": "2026-11-28T19:00:00.000000Z", "tz": "UTC", "as_if": null,
            "left_out": 0, "rows": rows, "total": row("", &json!("1234.5"), 10)})
    }

    fn heads(report: &Value, by: &str, choice: &Choice<'_>) -> Vec<String> {
        columns(report, by, choice).into_iter().map(|column| column.head).collect()
    }

    #[test]
    fn a_table_has_its_columns_whatever_the_figures_are_and_fits_80() {
        let names = ["openai/gpt-4o-mini", "anthropic/claude-sonnet-4-5-20250929", &"x".repeat(120)];
        for name in names {
            for errors in [0, 7] {
                let report = report(&[row(name, &json!("0.0000123456"), errors), row("b", &json!("1234.567891"), 0)]);
                let table = fitted(columns(&report, "model", &Choice::Fitting), Some(WIDTH)).table;
                assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
                for head in ["requests", "cost $"] {
                    assert!(table.lines().next().unwrap().contains(head), "{table}");
                }
                assert!(table.contains("1234.567891") && table.contains("0.000012"), "no number is broken: {table}");
            }
        }
        let short = report(&[row("openai/gpt-4o-mini", &json!("0.5"), 0)]);
        let table = fitted(columns(&short, "model", &Choice::Fitting), Some(WIDTH)).table;
        for head in ["requests", "errors %", "hits %", "cost $", "estimated $", "p95 ms"] {
            assert!(table.lines().next().unwrap().contains(head), "{head}: {table}");
        }
        assert!(heads(&short, "model", &Choice::All).contains(&"time to first token ms".to_owned()));
        let named = ["cost_share".to_owned(), "requests".to_owned(), "cost_usd".to_owned()];
        assert_eq!(heads(&short, "model,model", &Choice::Named(&named)), ["model", "share %", "requests", "cost $"]);
        assert!(unknown_column("colour").unwrap().contains("cost_share") && unknown_column("p95").is_none());
    }

    #[test]
    fn groups_are_named_and_the_last_line_is_all() {
        let mut keyed = row("", &json!("1"), 0);
        keyed["key"] = json!("59pgdn15m1w9");
        keyed["key_name"] = json!("search-team");
        let mut without = row("", &json!("1"), 0);
        without["key"] = Value::Null;
        let report = report(&[keyed, without]);
        let shown = columns(&report, "key", &Choice::Fitting);
        assert_eq!(shown[0].cells, ["59pgdn15m1w9", "-", "all"]);
        assert_eq!(
            (&*shown[1].head, &shown[1].cells),
            ("key name", &vec!["search-team".to_owned(), "-".into(), String::new()])
        );
        let sum = columns(&report, "", &Choice::Fitting);
        assert_eq!((&*sum[0].head, sum[0].cells.len()), ("requests", 2), "a row each, and no sum below the one sum");
    }

    #[test]
    fn the_head_says_period_zone_and_filters() {
        let mut report = report(&[]);
        assert_eq!(head(&report, &[]), "2026-10-29 to 2026-11-28 19:00 UTC");
        report["tz"] = json!("Europe/Berlin");
        report["from"] = json!("2026-10-31T23:00:00.000000Z");
        let filters = ["project=search".to_owned(), "status=error".to_owned()];
        let found = head(&report, &filters);
        assert_eq!(found, "2026-11-01 to 2026-11-28 20:00 Europe/Berlin, only project=search, status=error");
    }

    #[test]
    fn a_cost_says_how_many_calls_have_no_price() {
        for (cost, shown) in [(json!("0.5"), "0.500000+3?"), (Value::Null, "unknown")] {
            let mut row = row("a", &cost, 0);
            row["unpriced_requests"] = json!(3);
            let report = json!({"rows": [row], "total": row});
            let columns = columns(&report, "day", &Choice::Fitting);
            let cells = &columns.iter().find(|column| column.head == "cost $").unwrap().cells;
            assert!(cells.iter().all(|cell| cell == shown), "{cells:?}");
            let note = &notes(&report, &Choice::Fitting, &columns)[0];
            assert!(note.contains("unknown") && note.starts_with("+N?") == shown.contains('?'), "{note}");
        }
    }

    #[test]
    fn money_is_rounded_but_never_to_nothing_and_an_unknown_price_is_named() {
        for (value, printed) in [
            (json!("12.5"), "12.500000"),
            (json!("0.000000004"), "<0.000001"),
            (json!("0.000000999"), "<0.000001"),
            (json!("0.000001"), "0.000001"),
            (json!("0.0000015"), "0.000002"),
            (json!("0.999999999"), "1.000000"),
            (json!("-0.5"), "-0.500000"),
            (json!("27670116110.564327421"), "27670116110.564327"),
            (json!("0"), "0"),
            (Value::Null, "unknown"),
        ] {
            assert_eq!(money(&value), printed);
        }
    }

    #[test]
    fn what_is_rounded_is_said_and_no_share_looks_like_none_or_all() {
        let exact = row("a", &json!("0.000001"), 0);
        let report = |cost: &str| report(&[exact.clone(), row("b", &json!(cost), 0)]);
        let said = |cost: &str| notes(&report(cost), &Choice::Fitting, &[]).iter().any(|note| note.contains("rounded"));
        assert!(said("0.0000015") && said("0.000000004") && !said("0.000002") && !said("3"));
        let tokens = ["requests".to_owned()];
        assert!(notes(&report("0.0000015"), &Choice::Named(&tokens), &[]).is_empty(), "no amount is shown");
        for (share, printed) in
            [(0.0, "0.0"), (0.000_4, "<0.1"), (0.006, "0.6"), (0.5, "50.0"), (0.999_9, ">99.9"), (1.0, "100.0")]
        {
            assert_eq!(percent(&json!(share)), printed);
        }
    }

    #[test]
    fn tokens_are_written_in_thousands_and_millions() {
        for (count, printed) in [
            (0_u64, "0"),
            (9_999, "9999"),
            (10_000, "10.0k"),
            (123_456, "123.4k"),
            (999_999, "999.9k"),
            (7_654_321, "7.6M"),
            (2_500_000_000, "2.5G"),
        ] {
            assert_eq!(tokens(&json!(count)), printed);
        }
    }
}
