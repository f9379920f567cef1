//! `fulcrum key`: virtual keys.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};

use super::client::{Client, encoded};
use super::outcome::{Failure, Outcome, Where};
use super::output::{Form, Format, cell, json as print_json, list, note, say};

/// Virtual keys.
#[derive(Subcommand)]
pub enum Key {
    /// Make a key; its secret is shown once
    Create(Create),
    /// List the keys
    List(List),
    /// Revoke a key at once and for good
    #[command(after_help = "Example: fulcrum key revoke 59pgdn15m1w9")]
    Revoke(One),
    /// Give a key a new secret; the old one stops
    #[command(after_help = "Example: fulcrum key rotate 59pgdn15m1w9")]
    Rotate(One),
}

#[derive(Args)]
#[command(
    after_help = "Example: fulcrum key create search-team --project search --models fast,prompt/support-reply --rpm 600"
)]
pub struct Create {
    /// What the key is for
    name: String,
    /// The project it belongs to
    #[arg(long, default_value = "default")]
    project: String,
    /// app (calls models), viewer, editor (prompts) or admin
    #[arg(long, default_value = "app")]
    role: String,
    /// The models that it may call, separated by commas; all where this is left out
    #[arg(long, value_delimiter = ',')]
    models: Option<Vec<String>>,
    /// Requests a minute
    #[arg(long = "rpm")]
    requests_per_minute: Option<u32>,
    /// When it ends, such as 2027-01-01T00:00:00Z
    #[arg(long)]
    expires_at: Option<String>,
    /// Tags, as a=b,c=d
    #[arg(long, value_delimiter = ',')]
    tags: Vec<String>,
    #[arg(long, default_value = "table")]
    format: Form,
    #[command(flatten)]
    place: Where,
}

#[derive(Args)]
#[command(after_help = "Example: fulcrum key list --format json")]
pub struct List {
    #[arg(long, default_value = "table")]
    format: Format,
    #[command(flatten)]
    place: Where,
}

#[derive(Args)]
pub struct One {
    /// The key's id, which `key list` shows
    id: String,
    #[arg(long, default_value = "table")]
    format: Form,
    #[command(flatten)]
    place: Where,
}

impl Key {
    pub async fn run(self) -> Outcome {
        match self {
            Self::Create(command) => command.run().await,
            Self::List(command) => command.run().await,
            Self::Revoke(command) => {
                let client = Client::to(&command.place).await?;
                let path = format!("/api/v1/keys/{}", encoded(&command.id));
                let revoked = client.send(Method::DELETE, &path, &Value::Null).await?;
                match command.format {
                    Form::Json => print_json(&revoked),
                    Form::Table => say(&format!("revoked {}", command.id)),
                }
                Ok(())
            }
            Self::Rotate(command) => {
                let client = Client::to(&command.place).await?;
                let path = format!("/api/v1/keys/{}/rotate", encoded(&command.id));
                show_secret(&client.send(Method::POST, &path, &json!({})).await?, command.format);
                Ok(())
            }
        }
    }
}

impl Create {
    async fn run(self) -> Outcome {
        let mut tags = Map::new();
        for tag in &self.tags {
            let (name, value) =
                tag.split_once('=').ok_or_else(|| Failure::Input(format!("`{tag}` is no tag; write a=b")))?;
            tags.insert(name.to_owned(), value.into());
        }
        let mut body = json!({
            "name": self.name, "project": self.project, "role": self.role, "models": self.models, "tags": tags,
            "requests_per_minute": self.requests_per_minute, "expires_at": self.expires_at,
        });
        if let Value::Object(fields) = &mut body {
            fields.retain(|_, value| !value.is_null());
        }
        let client = Client::to(&self.place).await?;
        show_secret(&client.send(Method::POST, "/api/v1/keys", &body).await?, self.format);
        Ok(())
    }
}

fn show_secret(made: &Value, format: Form) {
    if format == Form::Json {
        return print_json(made);
    }
    note(&format!("key {} of project {}, shown this once:", cell(made.get("id")), cell(made.get("project"))));
    say(&cell(made.get("key")));
}

impl List {
    async fn run(self) -> Outcome {
        let client = Client::to(&self.place).await?;
        let keys = client.get("/api/v1/keys").await?;
        let heads = [
            "id",
            "name",
            "project",
            "role",
            "models",
            "requests_per_minute",
            "created_at",
            "expires_at",
            "revoked_at",
        ];
        let rows = keys.get("rows").and_then(Value::as_array).cloned().unwrap_or_default();
        let rows: Vec<Vec<String>> =
            rows.iter().map(|row| heads.iter().map(|head| cell(row.get(*head))).collect()).collect();
        list(&keys, self.format, &heads, &rows, &[5]);
        Ok(())
    }
}
