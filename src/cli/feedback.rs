//! `fulcrum feedback`: what is reported of answers and sessions.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use http::Method;
use serde_json::{Value, json};

use super::client::Client;
use super::fitted::{Column, WIDTH, fitted};
use super::outcome::{Failure, Outcome, Where};
use super::output::{Form, Format, cell, json as print_json, list as print_list, say};
use super::pages::{MOST, rows};
use super::usage::{Period, added};
use crate::feedback;

/// The longest text that a file may have, in bytes: that of a demonstration.
const LONGEST: u64 = 256 << 10;

/// Feedback on requests and sessions.
#[derive(Subcommand)]
pub enum Feedback {
    /// Report how an answer or a session was: yes or no, a number, a comment, or the answer as it should have been
    Send(Box<Send>),
    /// List feedback, the latest first
    List(Box<List>),
}

#[derive(Args)]
#[command(
    after_help = "Example: fulcrum feedback send 019abd2c-7f10-7a33-b2c4-5d6e7f8090a1 --metric resolved --value true\n\
    Example: fulcrum feedback send --session chat-7 --metric tone --value 0.8\n\
    Example: fulcrum feedback send 019abd2c-7f10-7a33-b2c4-5d6e7f8090a1 --metric answer --kind demonstration --file answer.txt"
)]
#[command(group = ArgGroup::new("of").required(true).args(["id", "session"]))]
#[command(group = ArgGroup::new("what").required(true).args(["value", "file"]))]
pub struct Send {
    /// The request's id, which the header x-fulcrum-request-id had
    id: Option<String>,
    /// The session, as the header x-fulcrum-session named it
    #[arg(long)]
    session: Option<String>,
    /// What is measured, such as resolved; the same metric again replaces its value
    #[arg(long)]
    metric: String,
    /// true, false, a number or a text
    #[arg(long, allow_hyphen_values = true)]
    value: Option<String>,
    /// A file with the text, or - for what comes on standard input
    #[arg(long)]
    file: Option<PathBuf>,
    /// What the value is [default: what it looks like; a text is a comment]
    #[arg(long)]
    kind: Option<Kind>,
    #[arg(long, default_value = "table")]
    format: Form,
    #[command(flatten)]
    place: Where,
}

/// What a value is. The values have no words of their own, which would take a line each in the help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Boolean,
    Float,
    Comment,
    Demonstration,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Boolean => feedback::Kind::Boolean.text(),
            Self::Float => feedback::Kind::Float.text(),
            Self::Comment => feedback::Kind::Comment.text(),
            Self::Demonstration => feedback::Kind::Demonstration.text(),
        }
    }
}

#[derive(Args)]
#[command(after_help = "Example: fulcrum feedback list --metric resolved --last 7d\n\
    Example: fulcrum feedback list --prompt support-reply --kind demonstration --format json")]
pub struct List {
    /// Only of this metric
    #[arg(long)]
    metric: Option<String>,
    /// Only of this kind
    #[arg(long)]
    kind: Option<Kind>,
    /// Only on requests of this prompt
    #[arg(long)]
    prompt: Option<String>,
    /// Only on requests of this version of the prompt
    #[arg(long = "prompt-version", value_name = "N")]
    version: Option<u32>,
    /// Only on this request
    #[arg(long)]
    request: Option<String>,
    /// Only on this session
    #[arg(long)]
    session: Option<String>,
    /// Only of this project
    #[arg(long)]
    project: Option<String>,
    #[command(flatten)]
    period: Period,
    /// At most this many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST)))]
    limit: u32,
    #[arg(long, default_value = "table")]
    format: Format,
    #[command(flatten)]
    place: Where,
}

impl Feedback {
    pub async fn run(self) -> Outcome {
        match self {
            Self::Send(command) => command.run().await,
            Self::List(command) => command.run().await,
        }
    }
}

impl Send {
    async fn run(self) -> Outcome {
        let body = self.body()?;
        let answer = Client::to(&self.place).await?.send(Method::POST, "/v1/feedback", &body).await?;
        match self.format {
            Form::Json => print_json(&answer),
            Form::Table => say(&format!("stored {} as {}", self.metric, cell(answer.get("id")))),
        }
        Ok(())
    }

    fn body(&self) -> Result<Value, Failure> {
        let value = match (&self.value, &self.file) {
            (Some(text), _) => value_of(text, self.kind)?,
            (None, Some(file)) => Value::String(text_of(file)?),
            (None, None) => Value::Null,
        };
        let mut body = json!({"metric": self.metric, "value": value});
        let fields = [
            ("request_id", self.id.as_deref()),
            ("session_id", self.session.as_deref()),
            ("kind", self.kind.map(Kind::name)),
        ];
        for (name, value) in fields.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            body[name] = value.into();
        }
        Ok(body)
    }
}

/// What a word of the command line means, for its kind or by what it looks like.
fn value_of(text: &str, kind: Option<Kind>) -> Result<Value, Failure> {
    let flag = || text.parse::<bool>().ok().map(Value::from);
    let number = || text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from);
    let wrong = |what: &str| Failure::Input(format!("--value must be {what}"));
    match kind {
        Some(Kind::Boolean) => flag().ok_or_else(|| wrong("true or false")),
        Some(Kind::Float) => number().ok_or_else(|| wrong("a number")),
        Some(Kind::Comment | Kind::Demonstration) => Ok(text.into()),
        None => Ok(flag().or_else(number).unwrap_or_else(|| text.into())),
    }
}

/// The text of a file, without the line end that closes it.
fn text_of(file: &Path) -> Result<String, Failure> {
    let failed = |error: std::io::Error| Failure::Input(format!("cannot read {}: {error}", file.display()));
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().lock().take(LONGEST + 2).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|open| open.take(LONGEST + 2).read_to_string(&mut text))
    };
    read.map_err(failed)?;
    Ok(text.strip_suffix('\n').map(ToOwned::to_owned).unwrap_or(text))
}

impl List {
    async fn run(self) -> Outcome {
        let client = Client::to(&self.place).await?;
        let (rows, next_cursor) = rows(&client, &self.path(), self.limit).await?;
        match self.format {
            Format::Json => print_json(&json!({"rows": rows, "next_cursor": next_cursor})),
            Format::Csv => {
                let cells: Vec<Vec<String>> =
                    rows.iter().map(|row| HEADS.iter().map(|name| cell(row.get(*name))).collect()).collect();
                print_list(&Value::Null, Format::Csv, &HEADS, &cells, &[]);
            }
            Format::Table => show(&rows, next_cursor.is_some()),
        }
        Ok(())
    }

    fn path(&self) -> String {
        let version = self.version.map(|version| version.to_string());
        let named = [
            ("metric", self.metric.as_deref()),
            ("kind", self.kind.map(Kind::name)),
            ("prompt", self.prompt.as_deref()),
            ("version", version.as_deref()),
            ("request", self.request.as_deref()),
            ("session", self.session.as_deref()),
            ("project", self.project.as_deref()),
        ];
        let named = named.into_iter().filter_map(|(name, value)| Some((name, value?)));
        self.period.parameters().chain(named).fold("/api/v1/feedback?".to_owned(), added)
    }
}

/// The columns of CSV: the fields of a row in their order.
const HEADS: [&str; 12] = [
    "id",
    "at",
    "project",
    "key_id",
    "request_id",
    "session_id",
    "metric",
    "kind",
    "value",
    "prompt",
    "version",
    "model",
];

/// The length of a request's id.
const ID: usize = 36;

/// A column of the table: its head, its rank, and its cell.
type Field = (&'static str, u8, fn(&Value) -> String);

const FIELDS: [Field; 5] = [
    ("at", 0, |row| cell(row.get("at")).chars().take(16).collect::<String>().replace('T', " ")),
    ("metric", 0, |row| cell(row.get("metric"))),
    ("value", 0, |row| cell(row.get("value"))),
    ("prompt", 2, |row| match (row["prompt"].as_str(), row["version"].as_i64()) {
        (Some(name), Some(version)) => format!("{name}@{version}"),
        _ => String::new(),
    }),
    ("of", 0, of),
];

/// What feedback is of: its request, or its session.
fn of(row: &Value) -> String {
    match row["session_id"].as_str() {
        Some(session) => format!("session {session}"),
        None => cell(row.get("request_id")),
    }
}

fn show(rows: &[Value], has_more: bool) {
    if rows.is_empty() {
        return say("no feedback");
    }
    let column = |(head, rank, cell): Field| Column {
        head: head.to_owned(),
        cells: rows.iter().map(cell).collect(),
        rank,
        is_number: false,
        // An id is there to be copied; a session's name may be long.
        is_whole: head == "at" || (head == "of" && rows.iter().all(|row| of(row).len() <= ID)),
    };
    let shown = fitted(FIELDS.into_iter().map(column).collect(), Some(WIDTH));
    say(&shown.table);
    if has_more {
        say("there is more; raise --limit, or narrow it");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_what_it_looks_like_or_what_its_kind_says() {
        for (text, kind, expected) in [
            ("true", None, json!(true)),
            ("-0.5", None, json!(-0.5)),
            ("1", None, json!(1.0)),
            ("inf", None, json!("inf")),
            ("fine", None, json!("fine")),
            ("true", Some(Kind::Comment), json!("true")),
            ("7", Some(Kind::Demonstration), json!("7")),
        ] {
            assert_eq!(value_of(text, kind).unwrap(), expected, "{text}");
        }
        for (text, kind) in [("1", Kind::Boolean), ("yes", Kind::Boolean), ("true", Kind::Float), ("NaN", Kind::Float)]
        {
            assert!(value_of(text, Some(kind)).is_err(), "{text}");
        }
    }
}
