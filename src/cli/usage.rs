//! `fulcrum usage`: what was used and spent.

use clap::Args;
use serde_json::Value;

use super::client::{Client, encoded};
use super::outcome::{Failure, Outcome, Where};
use super::output::{Format, json as print_json, say};
use super::usage_table::{self, Choice, unknown_column};

/// The groups that are times, by which rows stand in order of time.
const TIMES: [&str; 4] = ["hour", "day", "week", "month"];

/// Reports what was used and spent.
#[derive(Args)]
#[command(after_help = "Example: fulcrum usage --last 7d\n\
    Example: fulcrum usage --by key --month 2026-11 --tz Europe/Berlin\n\
    Example: fulcrum usage --by model,day --from 2026-11-01 --filter project=search --format csv\n\
    Example: fulcrum usage --by user --from yesterday --to today --sort requests --limit 10\n\
    Example: fulcrum usage --by prompt,version --metric resolved\n\
    Example: fulcrum usage --by prompt --as-if anthropic/claude-haiku-4-5 --columns requests,cost,as_if")]
pub struct Usage {
    /// Groups: hour, day, week, month, project, key, user, session, provider, model, route, prompt, version, experiment, arm, status, error, cache, purpose, tag:NAME
    #[arg(long, default_value = "model")]
    by: String,
    #[command(flatten)]
    period: Period,
    /// All of this month, such as 2026-11
    #[arg(long, conflicts_with_all = ["from", "to", "last"])]
    month: Option<String>,
    /// Only where a group has a value, as name=value; may be repeated
    #[arg(long = "filter")]
    filters: Vec<String>,
    /// Sort by a column, the highest first, or by `group` [default: cost; where the first group is a time, group]
    #[arg(long)]
    sort: Option<String>,
    /// At most this many rows
    #[arg(long)]
    limit: Option<u32>,
    /// Show beside the cost what the same tokens cost at the price of this model
    #[arg(long, value_name = "MODEL")]
    as_if: Option<String>,
    /// Show beside them what feedback of this metric says: how many, and their mean
    #[arg(long, value_name = "NAME")]
    metric: Option<String>,
    /// Show every column, however wide; without it a table fits 80 columns
    #[arg(long)]
    wide: bool,
    /// Columns of the table, such as requests,error_rate,cost_share,cost_per_request
    #[arg(long, value_delimiter = ',', conflicts_with = "wide")]
    columns: Vec<String>,
    #[arg(long, default_value = "table")]
    format: Format,
    #[command(flatten)]
    place: Where,
}

/// The period of a report or a list, and the zone in which it is read.
#[derive(Args, Default)]
pub struct Period {
    /// From this time, date or month on, `yesterday`, `today`, or a span ago such as 7d [default: 30 days ago]
    #[arg(long)]
    from: Option<String>,
    /// Up to, and without, this time or date [default: the end of this hour]
    #[arg(long)]
    to: Option<String>,
    /// The last minutes, hours, days or weeks, such as 90m, 24h, 7d or 4w
    #[arg(long, conflicts_with = "from")]
    last: Option<String>,
    /// The time zone of dates and groups, such as Europe/Berlin or +02:00 [default: UTC]
    #[arg(long)]
    tz: Option<String>,
}

impl Period {
    /// The parameters that name it.
    pub fn parameters(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [("from", &self.from), ("to", &self.to), ("last", &self.last), ("tz", &self.tz)];
        all.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }

    /// The zone, if one is named.
    pub fn tz(&self) -> Option<&str> {
        self.tz.as_deref()
    }
}

impl Usage {
    pub async fn run(self) -> Outcome {
        if let Some(problem) = self.columns.iter().find_map(|name| unknown_column(name)) {
            return Err(Failure::Input(problem));
        }
        let path = self.path()?;
        let client = Client::to(&self.place).await?;
        if self.format == Format::Csv {
            say(client.get_text(&format!("{path}&format=csv")).await?.trim_end());
            return Ok(());
        }
        let report = client.get(&path).await?;
        if self.format == Format::Json {
            print_json(&report);
            return Ok(());
        }
        let choice = match (self.wide, self.columns.is_empty()) {
            (true, _) => Choice::All,
            (false, true) => Choice::Fitting,
            (false, false) => Choice::Named(&self.columns),
        };
        usage_table::show(&report, &self.by, &self.filters, &choice);
        Ok(())
    }

    fn path(&self) -> Result<String, Failure> {
        let limit = self.limit.map(|limit| limit.to_string());
        let others = [
            ("month", self.month.as_deref()),
            ("sort", Some(self.sort.as_deref().unwrap_or_else(|| default_sort(&self.by)))),
            ("limit", limit.as_deref()),
            ("as_if", self.as_if.as_deref()),
            ("metric", self.metric.as_deref()),
        ];
        let others = others.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let parameters = self.period.parameters().chain(others);
        let path = format!("/api/v1/usage?by={}", encoded(&self.by));
        with_filters(parameters.fold(path, added), &self.filters)
    }
}

/// People read times in their order, and anything else by what it costs.
fn default_sort(by: &str) -> &'static str {
    let first = by.split(',').map(str::trim).find(|group| !group.is_empty()).unwrap_or_default();
    if TIMES.contains(&first) { "group" } else { "cost" }
}

/// A path with one more parameter.
pub fn added(mut path: String, (name, value): (&str, &str)) -> String {
    path.push_str(&format!("&{}={}", encoded(name), encoded(value)));
    path
}

/// A path with filters that are written as name=value.
pub fn with_filters(path: String, filters: &[String]) -> Result<String, Failure> {
    filters.iter().try_fold(path, |path, filter| {
        let pair = filter.split_once('=').ok_or_else(|| Failure::Input(format!("`{filter}` must be name=value")))?;
        Ok(added(path, pair))
    })
}

/// Prints a report as a table that fits 80 columns.
pub fn show(report: &Value, by: &str) {
    usage_table::show(report, by, &[], &Choice::Fitting);
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        usage: Usage,
    }

    fn path(arguments: &str) -> String {
        Line::try_parse_from(["x"].into_iter().chain(arguments.split_whitespace())).unwrap().usage.path().unwrap()
    }

    #[test]
    fn arguments_are_the_parameters_of_a_report() {
        for (arguments, parameters) in [
            ("", "by=model&sort=cost"),
            ("--by day,model", "by=day%2Cmodel&sort=group"),
            ("--by model,day --sort p95 --limit 3", "by=model%2Cday&sort=p95&limit=3"),
            ("--last 7d --tz Europe/Berlin", "by=model&last=7d&tz=Europe%2FBerlin&sort=cost"),
            ("--month 2026-11 --filter user=a&b", "by=model&month=2026-11&sort=cost&user=a%26b"),
            ("--as-if openai/gpt-4o --by tag:t", "by=tag%3At&sort=cost&as_if=openai%2Fgpt-4o"),
            ("--by prompt,version --metric resolved", "by=prompt%2Cversion&sort=cost&metric=resolved"),
        ] {
            assert_eq!(path(arguments), format!("/api/v1/usage?{parameters}"));
        }
        for refused in ["--month 2026-11 --last 7d", "--from today --last 7d", "--limit x"] {
            assert!(Line::try_parse_from(["x"].into_iter().chain(refused.split_whitespace())).is_err(), "{refused}");
        }
    }
}
