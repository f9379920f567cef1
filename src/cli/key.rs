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
    /// List the keys, with their last use
    List(List),
    /// Show a key
    #[command(after_help = "Example: fulcrum key show 59pgdn15m1w9")]
    Show(One),
    /// Change a key; what is not named stays
    Update(Update),
    /// Revoke a key at once and for good
    #[command(after_help = "Example: fulcrum key revoke 59pgdn15m1w9")]
    Revoke(One),
    /// Give a key a new secret; the old one stops at once, or after a grace
    Rotate(Rotate),
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

#[derive(Args)]
#[command(after_help = "Example: fulcrum key update 59pgdn15m1w9 --models fast,smart --rpm 60\n\
    Example: fulcrum key update 59pgdn15m1w9 --all-models --no-expiry")]
pub struct Update {
    /// The key's id, which `key list` shows
    id: String,
    /// Another name
    #[arg(long)]
    name: Option<String>,
    /// app (calls models), viewer, editor (prompts) or admin
    #[arg(long)]
    role: Option<String>,
    /// The models that it may call from now on, separated by commas
    #[arg(long, value_delimiter = ',', conflicts_with = "all_models")]
    models: Option<Vec<String>>,
    /// Let it call every model
    #[arg(long)]
    all_models: bool,
    /// Requests a minute
    #[arg(long = "rpm", conflicts_with = "no_rpm")]
    requests_per_minute: Option<u32>,
    /// Take its own limit away: the configured one holds, if there is one
    #[arg(long)]
    no_rpm: bool,
    /// When it ends, such as 2027-01-01T00:00:00Z
    #[arg(long, conflicts_with = "no_expiry")]
    expires_at: Option<String>,
    /// Let it never end
    #[arg(long)]
    no_expiry: bool,
    /// Tags, as a=b,c=d, instead of all there were
    #[arg(long, value_delimiter = ',', conflicts_with = "no_tags")]
    tags: Option<Vec<String>>,
    /// Take all tags away
    #[arg(long)]
    no_tags: bool,
    #[arg(long, default_value = "table")]
    format: Form,
    #[command(flatten)]
    place: Where,
}

#[derive(Args)]
#[command(after_help = "Example: fulcrum key rotate 59pgdn15m1w9 --grace 1h")]
pub struct Rotate {
    /// The key's id, which `key list` shows
    id: String,
    /// How long the old secret opens beside the new one, such as 1h, at most 30d; without it the old one stops at once
    #[arg(long)]
    grace: Option<String>,
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
            Self::Show(command) => {
                let key = Client::to(&command.place).await?.get(&path(&command.id)).await?;
                show(&key, command.format);
                Ok(())
            }
            Self::Update(command) => command.run().await,
            Self::Revoke(command) => {
                let client = Client::to(&command.place).await?;
                let revoked = client.send(Method::DELETE, &path(&command.id), &Value::Null).await?;
                match command.format {
                    Form::Json => print_json(&revoked),
                    Form::Table => say(&format!("revoked {}", command.id)),
                }
                Ok(())
            }
            Self::Rotate(command) => command.run().await,
        }
    }
}

/// The path of a key.
fn path(id: &str) -> String {
    format!("/api/v1/keys/{}", encoded(id))
}

/// Tags as an object.
fn tags_of(tags: &[String]) -> Result<Map<String, Value>, Failure> {
    let mut read = Map::new();
    for tag in tags {
        let (name, value) =
            tag.split_once('=').ok_or_else(|| Failure::Input(format!("`{tag}` is no tag; write a=b")))?;
        read.insert(name.to_owned(), value.into());
    }
    Ok(read)
}

impl Create {
    async fn run(self) -> Outcome {
        let mut body = json!({
            "name": self.name, "project": self.project, "role": self.role, "models": self.models,
            "tags": tags_of(&self.tags)?, "requests_per_minute": self.requests_per_minute, "expires_at": self.expires_at,
        });
        if let Value::Object(fields) = &mut body {
            fields.retain(|_, value| !value.is_null());
        }
        let client = Client::to(&self.place).await?;
        let made = client.send(Method::POST, "/api/v1/keys", &body).await?;
        if self.format == Form::Table {
            warn(&made);
        }
        show_secret(&made, self.format);
        Ok(())
    }
}

impl Update {
    async fn run(self) -> Outcome {
        let body = self.patch()?;
        let changed = Client::to(&self.place).await?.send(Method::PATCH, &path(&self.id), &body).await?;
        if self.format == Form::Table {
            warn(&changed);
        }
        show(&changed, self.format);
        Ok(())
    }

    /// What is to change; `null` takes a limit away.
    fn patch(&self) -> Result<Value, Failure> {
        let tags = self.tags.as_deref().map(tags_of).transpose()?;
        let named = [
            ("name", self.name.clone().map(Value::from)),
            ("role", self.role.clone().map(Value::from)),
            ("models", self.models.clone().map(Value::from).or(self.all_models.then_some(Value::Null))),
            ("requests_per_minute", self.requests_per_minute.map(Value::from).or(self.no_rpm.then_some(Value::Null))),
            ("expires_at", self.expires_at.clone().map(Value::from).or(self.no_expiry.then_some(Value::Null))),
            ("tags", tags.map(Value::from).or(self.no_tags.then(|| json!({})))),
        ];
        let patch: Map<String, Value> =
            named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        if patch.is_empty() {
            let message =
                "nothing to change is named; name one of --name, --role, --models, --rpm, --expires-at, --tags";
            return Err(Failure::Input(message.to_owned()));
        }
        Ok(patch.into())
    }
}

impl Rotate {
    async fn run(self) -> Outcome {
        let client = Client::to(&self.place).await?;
        let body = self.grace.as_ref().map_or_else(|| json!({}), |grace| json!({ "grace": grace }));
        let rotated = client.send(Method::POST, &format!("{}/rotate", path(&self.id)), &body).await?;
        match &self.grace {
            _ if self.format == Form::Json => {}
            Some(grace) => note(&format!("the old secret opens for {grace} more")),
            None => note("the old secret has stopped"),
        }
        show_secret(&rotated, self.format);
        Ok(())
    }
}

/// Prints what is likely to surprise the key's owner.
fn warn(key: &Value) {
    for warning in key["warnings"].as_array().into_iter().flatten() {
        note(&format!("warning: {}: {}", cell(warning.get("problem")), cell(warning.get("fix"))));
    }
}

fn show_secret(made: &Value, format: Form) {
    if format == Form::Json {
        return print_json(made);
    }
    note(&format!("key {} of project {}, shown this once:", cell(made.get("id")), cell(made.get("project"))));
    say(&cell(made.get("key")));
}

/// Prints a key, a line each field.
fn show(key: &Value, format: Form) {
    if format == Form::Json {
        return print_json(key);
    }
    let or = |name: &str, absent: &str| match key.get(name) {
        None | Some(Value::Null) => absent.to_owned(),
        value => cell(value),
    };
    let tags = key["tags"].as_object().into_iter().flatten();
    let tags: Vec<String> = tags.map(|(name, value)| format!("{name}={}", cell(Some(value)))).collect();
    for (name, value) in [
        ("id", or("id", "")),
        ("name", or("name", "")),
        ("project", or("project", "")),
        ("role", or("role", "")),
        ("models", or("models", "all")),
        ("requests_per_minute", or("requests_per_minute", "as [limits] says")),
        ("created_at", or("created_at", "")),
        ("last_used_at", or("last_used_at", "never")),
        ("expires_at", or("expires_at", "never")),
        ("revoked_at", or("revoked_at", "never")),
        ("tags", tags.join(", ")),
    ] {
        say(format!("{name:<21}{value}").trim_end());
    }
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
            "last_used_at",
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
