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
    after_help = "Example: fulcrum prompt add prompts/support-reply.toml --message 'Kinder tone' --label staging --parent 1"
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
    /// The version
    version: u32,
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
        let beside = Beside { message: &self.message, labels: &self.labels, parent: self.parent };
        let saved = submit(&client, &read.name, &read.draft, &beside).await?;
        warn(&read.warnings, &saved);
        match self.format {
            Form::Json => print_json(&saved),
            Form::Table => self.say(&client, &read.name, &saved).await?,
        }
        Ok(())
    }

    async fn say(&self, client: &Client, name: &str, saved: &Value) -> Result<(), Failure> {
        let version = cell(saved.get("version"));
        if saved["created"] == false {
            say(&format!("{name}@{version} unchanged: still version {version}"));
            note(&format!("{} says what version {version} says: edit the file first", self.file.display()));
            return Ok(());
        }
        say(&format!("{name}@{version}"));
        let prompt = client.get(&split(name).0).await?;
        if prompt["labels"].get(DEFAULT).is_none() {
            note(&format!(
                "{name} has no label {DEFAULT}: call prompt/{name}@{version}, or set the label: fulcrum prompt label {name} \
                 {DEFAULT} {version}"
            ));
        }
        Ok(())
    }
}

impl Label {
    pub async fn run(self) -> Outcome {
        let client = Client::to(&self.place).await?.by(&self.by.author);
        let (path, _) = split(&self.name);
        let mut body = json!({"version": self.version, "reason": self.reason});
        if let Some(protect) = self.protect {
            body["protected"] = protect.into();
        }
        let moved = client.send(Method::PUT, &format!("{path}/labels/{}", encoded(&self.label)), &body).await?;
        let (name, label, version) = (&self.name, &self.label, self.version);
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
