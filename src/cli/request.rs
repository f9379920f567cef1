//! `fulcrum request`: one request of the ledger, and the texts that are stored of it.

use clap::{ArgGroup, Args, Subcommand};
use http::Method;
use serde_json::Value;

use super::client::{Client, encoded};
use super::outcome::{Failure, Outcome, Where};
use super::output::{Form, cell, json as print_json, say};

/// Requests of the ledger.
#[derive(Subcommand)]
pub enum Request {
    /// Show a request with its attempts; with --body the stored texts too
    Show(Show),
    /// Erase stored texts for good, and comments and demonstrations: of one request, of a user or of a session
    Erase(Erase),
    /// Print stored texts, a line of JSON for each request
    Export(Export),
}

#[derive(Args)]
#[command(after_help = "Example: fulcrum request show 019abd2c-7f10-7a33-b2c4-5d6e7f8090a1 --body")]
pub struct Show {
    /// The request's id, which the header x-fulcrum-request-id had
    id: String,
    /// Show the stored texts
    #[arg(long)]
    body: bool,
    #[arg(long, default_value = "table")]
    format: Form,
    #[command(flatten)]
    place: Where,
}

#[derive(Args)]
#[command(after_help = "Example: fulcrum request erase 019abd2c-7f10-7a33-b2c4-5d6e7f8090a1\n\
    Example: fulcrum request erase --user ann@example.com")]
#[command(group = ArgGroup::new("which").required(true).multiple(true).args(["id", "user", "session"]))]
pub struct Erase {
    /// The request's id
    #[arg(conflicts_with_all = ["user", "session"])]
    id: Option<String>,
    /// Every request of this user
    #[arg(long)]
    user: Option<String>,
    /// Every request of this session
    #[arg(long)]
    session: Option<String>,
    #[arg(long, default_value = "table")]
    format: Form,
    #[command(flatten)]
    place: Where,
}

#[derive(Args)]
#[command(after_help = "Example: fulcrum request export --user ann@example.com")]
pub struct Export {
    /// Only of this user
    #[arg(long)]
    user: Option<String>,
    /// Only of this session
    #[arg(long)]
    session: Option<String>,
    #[command(flatten)]
    place: Where,
}

impl Request {
    pub async fn run(self) -> Outcome {
        match self {
            Self::Show(command) => command.run().await,
            Self::Erase(command) => command.run().await,
            Self::Export(command) => command.run().await,
        }
    }
}

impl Show {
    async fn run(self) -> Outcome {
        let client = Client::to(&self.place).await?;
        let path = format!("/api/v1/requests/{}", encoded(&self.id));
        let mut row = client.get(&path).await?;
        let texts = match self.body {
            true => Some(client.get(&format!("{path}/body")).await?),
            false => None,
        };
        if self.format == Form::Json {
            if let Some(texts) = texts {
                row["body"] = texts;
            }
            print_json(&row);
            return Ok(());
        }
        show(&row);
        for name in ["request", "response"] {
            if let Some(text) = texts.as_ref().and_then(|texts| texts.get(name)).filter(|text| !text.is_null()) {
                say_text(name, text);
            }
        }
        if let Some(pair) = texts.as_ref().and_then(|texts| texts.get("shadow")) {
            say_text("answer to the caller", &pair["answer"]);
            say_text(&format!("answer of the shadow {}", cell(pair.get("shadow_model"))), &pair["shadow_answer"]);
        }
        Ok(())
    }
}

fn say_text(name: &str, text: &Value) {
    say(&format!("\n{name}:\n{}", text.as_str().map_or_else(|| format!("{text:#}"), ToOwned::to_owned)));
}

fn show(row: &Value) {
    let fields = row.as_object().into_iter().flatten();
    for (name, value) in fields.filter(|(_, value)| !(value.is_null() || value.is_object() || value.is_array())) {
        say(&format!("{name:<22}{}", cell(Some(value))));
    }
    for own in row["own_requests"].as_array().into_iter().flatten() {
        say(&format!("{:<22}{}", format!("own {}", cell(own.get("purpose"))), cell(own.get("id"))));
    }
    for feedback in row["feedback"].as_array().into_iter().flatten() {
        let of = feedback["session_id"].as_str().map_or_else(String::new, |session| format!(" (session {session})"));
        let (metric, value) = (cell(feedback.get("metric")), cell(feedback.get("value")));
        say(&format!("{:<22}{value}{of}", format!("feedback {metric}")));
    }
    for attempt in row["attempts"].as_array().into_iter().flatten() {
        let at = |name: &str| cell(attempt.get(name));
        let role = attempt["role"].as_str().map_or_else(String::new, |role| format!(" ({role})"));
        let (model, error) = (format!("{}/{}{role}", at("provider"), at("model")), at("error_code"));
        say(&format!(
            "attempt {:<14}{model} {} {error} {} ms, $ {}",
            at("n"),
            at("status"),
            at("latency_ms"),
            at("cost_usd")
        ));
    }
}

/// The filters that are named, as a query.
fn filters(user: Option<&str>, session: Option<&str>) -> Result<String, Failure> {
    let named = [("user", user), ("session", session)].into_iter().filter_map(|(name, value)| Some((name, value?)));
    let named: Vec<(&str, &str)> = named.collect();
    if let Some((name, _)) = named.iter().find(|(_, value)| value.is_empty()) {
        return Err(Failure::Input(format!("--{name} is empty; name a value")));
    }
    let pairs: Vec<String> = named.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    Ok(pairs.join("&"))
}

/// What else was erased; empty where nothing was.
fn beside(count: &Value, what: &str) -> String {
    match count.as_u64() {
        None | Some(0) => String::new(),
        Some(count) => format!(", and {count} {what}"),
    }
}

impl Erase {
    async fn run(self) -> Outcome {
        let path = match &self.id {
            Some(id) => format!("/api/v1/requests/{}/body", encoded(id)),
            None => format!("/api/v1/bodies?{}", filters(self.user.as_deref(), self.session.as_deref())?),
        };
        let client = Client::to(&self.place).await?;
        let erased = client.send(Method::DELETE, &path, &Value::Null).await.map_err(|failure| match failure {
            Failure::Unreachable(message) if client.is_here() => Failure::Unreachable(format!(
                "{message}\nIf a gateway runs on this database, name it with --url: it empties its log and forgets its cached \
                 answers."
            )),
            failure => failure,
        })?;
        match self.format {
            Form::Json => print_json(&erased),
            Form::Table => say(&format!(
                "erased the texts of {} of {} requests, and {} answers stored for idempotency keys{}{}",
                cell(erased.get("erased")),
                cell(erased.get("requests")),
                cell(erased.get("idempotent_answers")),
                beside(&erased["feedback"], "comments and demonstrations"),
                beside(&erased["shadow_pairs"], "pairs of an answer and its shadow's")
            )),
        }
        Ok(())
    }
}

impl Export {
    async fn run(self) -> Outcome {
        let query = filters(self.user.as_deref(), self.session.as_deref())?;
        let lines = Client::to(&self.place).await?.get_text(&format!("/api/v1/bodies?{query}")).await?;
        lines.lines().for_each(say);
        Ok(())
    }
}
