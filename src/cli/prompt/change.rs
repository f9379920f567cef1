//! Commands that change a prompt.

use std::path::PathBuf;

use clap::Args;
use http::Method;
use serde_json::{Value, json};

use super::shared::{Beside, DEFAULT, read_file, split, submit, warn};
use crate::cli::client::{Client, encoded};
use crate::cli::outcome::{By, Failure, Outcome, Where};
use crate::cli::output::{Form, cell, json as print_json, note, say};

#[derive(Args)]
#[command(
    after_help = "Example: fulcrum prompt add drafts/support-reply.toml --message 'Kinder tone' --label staging --parent 1"
)]
pub struct Add {
    /// A file NAME.toml
    file: PathBuf,
    /// Why the version is made
    #[arg(long, default_value = "")]
    message: String,
    /// Labels to point at it
    #[arg(long = "label")]
    labels: Vec<String>,
    /// The version that the file was made from; where a newer one stands, nothing is added and the difference is shown
    #[arg(long, value_name = "VERSION")]
    parent: Option<u32>,
    #[command(flatten)]
    by: By,
    #[arg(long, default_value = "table")]
    format: Form,
    #[command(flatten)]
    place: Where,
}

#[derive(Args)]
#[command(after_help = "Example: fulcrum prompt label support-reply production 3 --reason 'Won the experiment'")]
pub struct Label {
    /// The prompt
    name: String,
    /// The label
    label: String,
    /// The version: its number, latest, or a label that points at it
    version: String,
    /// Why it is moved
    #[arg(long, default_value = "")]
    reason: String,
    /// Protect the label: from then on it needs an admin key
    #[arg(long)]
    protect: Option<bool>,
    #[command(flatten)]
    by: By,
    #[arg(long, default_value = "table")]
    format: Form,
    #[command(flatten)]
    place: Where,
}

#[derive(Args)]
#[command(after_help = "Example: fulcrum prompt unlabel support-reply staging --reason 'The test is over'")]
pub struct Unlabel {
    /// The prompt
    name: String,
    /// The label
    label: String,
    /// Why it is taken away
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    by: By,
    #[arg(long, default_value = "table")]
    format: Form,
    #[command(flatten)]
    place: Where,
}

impl Add {
    pub async fn run(self) -> Outcome {
        let client = Client::to(&self.place).await?.by(&self.by.author);
        let read = read_file(&self.file)?;
        let before = client.get(&split(&read.name).0).await.unwrap_or_default();
        let beside = Beside { message: &self.message, labels: &self.labels, parent: self.parent };
        let saved = submit(&client, &read.name, &read.draft, &beside).await?;
        warn(&read.warnings, &saved);
        match self.format {
            Form::Json => print_json(&saved),
            Form::Table => self.say(&client, (&read.name, &before), &saved).await?,
        }
        Ok(())
    }

    async fn say(&self, client: &Client, (name, before): (&str, &Value), saved: &Value) -> Result<(), Failure> {
        let version = cell(saved.get("version"));
        let prompt = client.get(&split(name).0).await?;
        if saved["created"] == false {
            say(&format!("{name}@{version} unchanged: still version {version}"));
            self.unchanged(&prompt, before, saved).iter().for_each(|line| note(line));
            return Ok(());
        }
        say(&format!("{name}@{version}"));
        if prompt["labels"].get(DEFAULT).is_none() {
            note(&format!(
                "{name} has no label {DEFAULT}: call prompt/{name}@{version}, or set the label: fulcrum prompt label {name} \
                 {DEFAULT} {version}"
            ));
        }
        Ok(())
    }
}

impl Add {
    /// What a file that makes no version leads to: who made the version that says the same, and what became of `--label` and `--message`.
    fn unchanged(&self, prompt: &Value, before: &Value, saved: &Value) -> Vec<String> {
        let version = cell(saved.get("version"));
        let (author, made) = (cell(saved.get("author")), cell(saved.get("created_at")));
        let released = match prompt["labels"].get(DEFAULT) {
            Some(label) => format!("{DEFAULT} is at {}", cell(label.get("version"))),
            None => format!("there is no label {DEFAULT}"),
        };
        let mut lines =
            vec![format!("version {version} has this text already, made by {author} at {made}; {released}")];
        let mut moved = false;
        for label in &self.labels {
            let from = before["labels"].get(label).map(|label| &label["version"]);
            let is_there = from == Some(&saved["version"]);
            moved |= !is_there;
            lines.push(match from {
                Some(_) if is_there => format!("{label} is at {version} already"),
                Some(from) => format!("{label} moved from {from} to {version}"),
                None => format!("{label} set to {version}"),
            });
        }
        if !self.message.is_empty() {
            let kept = if moved { "stands as the reason of the label's move" } else { "is not written down" };
            lines.push(format!("no version was made, so --message {kept}"));
        }
        lines.push(format!("for a new version, edit the file first: {}", self.file.display()));
        lines
    }
}

impl Label {
    pub async fn run(self) -> Outcome {
        let client = Client::to(&self.place).await?.by(&self.by.author);
        let (path, _) = split(&self.name);
        let version = match self.version.parse::<u32>() {
            Ok(version) => version.into(),
            Err(_) => client.get(&format!("{path}/versions/{}", encoded(&self.version))).await?["version"].clone(),
        };
        let mut body = json!({"version": version, "reason": self.reason});
        if let Some(protect) = self.protect {
            body["protected"] = protect.into();
        }
        let moved = client.send(Method::PUT, &format!("{path}/labels/{}", encoded(&self.label)), &body).await?;
        let (name, label) = (&self.name, &self.label);
        match self.format {
            Form::Json => print_json(&moved),
            Form::Table if moved["moved"] == false => {
                say(&format!("{name}@{label} is already {version}"));
                if !self.reason.is_empty() {
                    note("nothing moved, so the reason is not written down");
                }
            }
            Form::Table => say(&format!("{name}@{label} is {version}")),
        }
        Ok(())
    }
}

impl Unlabel {
    pub async fn run(self) -> Outcome {
        let client = Client::to(&self.place).await?.by(&self.by.author);
        let (path, _) = split(&self.name);
        let path = format!("{path}/labels/{}?reason={}", encoded(&self.label), encoded(&self.reason));
        let removed = client.send(Method::DELETE, &path, &Value::Null).await?;
        match self.format {
            Form::Json => print_json(&removed),
            Form::Table => {
                say(&format!("{}@{} is taken away; it was {}", self.name, self.label, cell(removed.get("from"))));
            }
        }
        Ok(())
    }
}
