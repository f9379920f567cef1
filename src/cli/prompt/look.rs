//! Commands that look at prompts.

use clap::Args;
use serde_json::Value;

use super::shared::{DEFAULT, draft_of, split, version_of};
use crate::cli::client::{Client, encoded};
use crate::cli::outcome::{Failure, Outcome, Where};
use crate::cli::output::{Form, Format, cell, json as print_json, list, note, say};

#[derive(Args)]
#[command(after_help = "Example: fulcrum prompt list")]
pub struct List {
    /// List archived prompts too
    #[arg(long)]
    archived: bool,
    #[arg(long, default_value = "table")]
    format: Format,
    #[command(flatten)]
    place: Where,
}

#[derive(Args)]
#[command(
    after_help = "Example: fulcrum prompt show support-reply\nExample: fulcrum prompt show support-reply@staging"
)]
pub struct Show {
    /// NAME, which is NAME@production as in a call; NAME@VERSION, NAME@LABEL or NAME@latest
    reference: String,
    #[arg(long, default_value = "table")]
    format: Form,
    #[command(flatten)]
    place: Where,
}

#[derive(Args)]
#[command(after_help = "Example: fulcrum prompt versions support-reply")]
pub struct Versions {
    /// The prompt
    name: String,
    #[arg(long, default_value = "table")]
    format: Format,
    #[command(flatten)]
    place: Where,
}

#[derive(Args)]
#[command(
    after_help = "Example: fulcrum prompt history support-reply\nExample: fulcrum prompt history support-reply production"
)]
pub struct History {
    /// The prompt
    name: String,
    /// One label only
    label: Option<String>,
    #[arg(long, default_value = "table")]
    format: Format,
    #[command(flatten)]
    place: Where,
}

#[derive(Args)]
#[command(
    after_help = "Example: fulcrum prompt diff support-reply 1 2\nExample: fulcrum prompt diff support-reply 0 staging"
)]
pub struct Diff {
    /// The prompt
    name: String,
    /// A version or label; 0 for nothing, against which all is new
    from: String,
    /// Another
    to: String,
    #[arg(long, default_value = "table")]
    format: Form,
    #[command(flatten)]
    place: Where,
}

/// The rows of a list of the admin API.
fn rows(list: &Value) -> impl Iterator<Item = &Value> {
    list["rows"].as_array().into_iter().flatten()
}

impl List {
    pub async fn run(self) -> Outcome {
        let path = if self.archived { "/api/v1/prompts?archived=true" } else { "/api/v1/prompts" };
        let prompts = Client::to(&self.place).await?.get(path).await?;
        let row = |row: &Value| {
            let cells = ["name", "newest", "last_used_at", "description"].map(|name| cell(row.get(name)));
            let [mut name, newest, used, description] = cells;
            if row["archived_at"].is_string() {
                name.push_str(" (archived)");
            }
            vec![name, newest, labels(row), used, description]
        };
        let rows: Vec<Vec<String>> = rows(&prompts).map(row).collect();
        list(&prompts, self.format, &["name", "newest", "labels", "last used", "description"], &rows, &[1]);
        Ok(())
    }
}

fn labels(row: &Value) -> String {
    let labels = row.get("labels").and_then(Value::as_object).cloned().unwrap_or_default();
    let labels: Vec<String> =
        labels.iter().map(|(label, state)| format!("{label}={}", cell(state.get("version")))).collect();
    labels.join(" ")
}

impl Show {
    pub async fn run(self) -> Outcome {
        let client = Client::to(&self.place).await?;
        let version = self.version(&client).await?;
        if self.format == Form::Json {
            print_json(&version);
            return Ok(());
        }
        let head = ["name", "version", "labels", "author", "created_at", "message", "hash"];
        head.iter().for_each(|name| say(&format!("# {name}: {}", cell(version.get(*name)))));
        say(&draft_of(&version)?.to_toml());
        Ok(())
    }

    /// The version that a call would get; the newest, with a note, of a prompt that no call can name without a version yet.
    async fn version(&self, client: &Client) -> Result<Value, Failure> {
        let (path, at) = split(&self.reference);
        match version_of(client, &self.reference).await {
            Err(Failure::Negative(_)) if at.is_none() && client.get(&path).await.is_ok() => {
                let newest = client.get(&format!("{path}/versions/latest")).await?;
                if self.format == Form::Json {
                    return Ok(newest);
                }
                let (name, version) = (&self.reference, cell(newest.get("version")));
                note(&format!(
                    "{name} has no label {DEFAULT}, so calls of {name} fail; this is the newest, {name}@{version}"
                ));
                Ok(newest)
            }
            version => version,
        }
    }
}

impl Versions {
    pub async fn run(self) -> Outcome {
        let (path, _) = split(&self.name);
        let versions = Client::to(&self.place).await?.get(&format!("{path}/versions")).await?;
        let heads = ["version", "labels", "author", "created_at", "message"];
        let rows: Vec<Vec<String>> =
            rows(&versions).map(|row| heads.iter().map(|head| cell(row.get(*head))).collect()).collect();
        list(&versions, self.format, &["version", "labels", "author", "created", "message"], &rows, &[0]);
        Ok(())
    }
}

impl History {
    pub async fn run(self) -> Outcome {
        let (path, _) = split(&self.name);
        let label = self.label.as_ref().map_or_else(String::new, |label| format!("?label={}", encoded(label)));
        let history = Client::to(&self.place).await?.get(&format!("{path}/history{label}")).await?;
        let fields = ["at", "label", "from", "version", "author", "reason"];
        let row = |row: &Value| {
            let mut cells: Vec<String> = fields.iter().map(|field| cell(row.get(*field))).collect();
            if cells[1].is_empty() {
                let from = cell(row.get("renamed_from"));
                let from = if from.is_empty() { from } else { format!(" from {from}") };
                cells[1] = format!("({}{from})", cell(row.get("change")));
            }
            cells
        };
        let rows: Vec<Vec<String>> = rows(&history).map(row).collect();
        list(&history, self.format, &["at", "label", "from", "to", "author", "reason"], &rows, &[2, 3]);
        Ok(())
    }
}

impl Diff {
    pub async fn run(self) -> Outcome {
        let client = Client::to(&self.place).await?;
        let (path, _) = split(&self.name);
        let diff = client.get(&format!("{path}/diff?from={}&to={}", encoded(&self.from), encoded(&self.to))).await?;
        if self.format == Form::Json {
            print_json(&diff);
            return Ok(());
        }
        let unified = cell(diff.get("unified"));
        match unified.trim_end() {
            "" => note(&format!("{} and {} of {} say the same", self.from, self.to, self.name)),
            unified => say(unified),
        }
        Ok(())
    }
}
