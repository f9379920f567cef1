//! `fulcrum explain`: what a request would get.

use clap::Args;
use http::Method;
use serde_json::{Map, Value, json};

use super::client::Client;
use super::outcome::{Failure, Outcome, Where};
use super::output::{Form, cell, json as print_json, say, table};
use crate::prompts::names_prompt;

/// Shows the rule, target, prompt, cache key and cost that a request would get; no provider is called.
#[derive(Args)]
#[command(
    after_help = "Example: fulcrum explain --model prompt/support-reply --var product=Acme --var ticket='Where is my order?'\n\
    Example: fulcrum explain --body request.json"
)]
pub struct Explain {
    /// The model to name
    #[arg(long, default_value = "auto")]
    model: String,
    /// The user message
    #[arg(long)]
    message: Option<String>,
    /// A variable of the prompt, as name=value; JSON values are read as such
    #[arg(long = "var")]
    variables: Vec<String>,
    /// A metadata field, as name=value
    #[arg(long = "metadata")]
    metadata: Vec<String>,
    /// A file with a whole request body instead; `-` is standard input
    #[arg(long, conflicts_with_all = ["message", "variables", "metadata"])]
    body: Option<String>,
    #[arg(long, default_value = "table")]
    format: Form,
    #[command(flatten)]
    place: Where,
}

impl Explain {
    pub async fn run(self) -> Outcome {
        let body = self.request()?;
        let client = Client::configured(&self.place).await?;
        let explanation = client.send(Method::POST, "/v1/explain", &body).await?;
        if self.format == Form::Json {
            print_json(&explanation);
            return Ok(());
        }
        show(&explanation);
        Ok(())
    }

    fn request(&self) -> Result<Value, Failure> {
        if let Some(path) = &self.body {
            let text = match path.as_str() {
                "-" => std::io::read_to_string(std::io::stdin()),
                path => std::fs::read_to_string(path),
            };
            let text = text.map_err(|error| Failure::Input(format!("{path}: {error}")))?;
            return serde_json::from_str(&text).map_err(|error| Failure::Input(format!("{path}: {error}")));
        }
        let mut body = json!({"model": self.model, "metadata": pairs(&self.metadata, false)?});
        if names_prompt(&self.model) {
            body["prompt"] = json!({"variables": pairs(&self.variables, true)?});
        }
        if let Some(message) = &self.message {
            body["messages"] = json!([{"role": "user", "content": message}]);
        }
        Ok(body)
    }
}

/// `name=value` texts as an object; values are read as JSON where `typed` and they are.
pub fn pairs(texts: &[String], typed: bool) -> Result<Map<String, Value>, Failure> {
    let mut pairs = Map::new();
    for text in texts {
        let (name, value) =
            text.split_once('=').ok_or_else(|| Failure::Input(format!("`{text}` must be name=value")))?;
        let read = if typed { serde_json::from_str(value).ok() } else { None };
        pairs.insert(name.to_owned(), read.unwrap_or_else(|| value.into()));
    }
    Ok(pairs)
}

/// Prints an explanation.
pub fn show(explanation: &Value) {
    let at = |path: &str| cell(explanation.pointer(path));
    say(&format!("model      {}", at("/requested_model")));
    if explanation["prompt"].is_object() {
        say(&format!("prompt     {}@{} (label {})", at("/prompt/name"), at("/prompt/version"), at("/prompt/label")));
    }
    say(&format!(
        "route      {}",
        if explanation["route"].is_null() { "none: called directly".to_owned() } else { at("/route") }
    ));
    say(&format!("cache      {} {}", at("/cache/mode"), at("/cache/key")));
    say(&format!("tokens     about {} in, at most {} out", at("/tokens/input"), at("/tokens/max_output")));
    let cost = at("/estimated_cost_usd");
    say(&format!(
        "cost       {}\n",
        if cost.is_empty() { "unknown: no price".to_owned() } else { format!("at most about ${cost}") }
    ));
    let rows = |path: &str, heads: &[&str]| -> Vec<Vec<String>> {
        let list = explanation.pointer(path).and_then(Value::as_array).cloned().unwrap_or_default();
        list.iter().map(|row| heads.iter().map(|head| cell(row.get(*head))).collect()).collect()
    };
    let rules = ["route", "when", "result"];
    table(&rules, &rows("/trace/rules", &rules), &[]);
    say("");
    let candidates = ["model", "reason", "state", "estimated_cost_usd"];
    table(&candidates, &rows("/candidates", &candidates), &[3]);
}
