//! Commands that change a whole prompt: its name, and whether it answers at all.

use clap::Args;
use http::Method;
use serde_json::{Value, json};

use super::shared::split;
use crate::cli::client::Client;
use crate::cli::outcome::{By, Failure, Outcome, Where};
use crate::cli::output::{Form, cell, json as print_json, note, say};

/// A prompt, and why it is changed.
#[derive(Args)]
struct Change {
    /// The prompt
    name: String,
    /// Why
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    by: By,
    #[arg(long, default_value = "table")]
    format: Form,
    #[command(flatten)]
    place: Where,
}

#[derive(Args)]
#[command(after_help = "Example: fulcrum prompt archive support-reply --reason 'Nobody calls it'")]
pub struct Archive {
    #[command(flatten)]
    change: Change,
}

#[derive(Args)]
#[command(after_help = "Example: fulcrum prompt unarchive support-reply")]
pub struct Unarchive {
    #[command(flatten)]
    change: Change,
}

#[derive(Args)]
#[command(after_help = "Example: fulcrum prompt rename support-reply support-answer --reason 'One word for it'")]
pub struct Rename {
    #[command(flatten)]
    change: Change,
    /// Its new name
    new: String,
}

impl Archive {
    pub async fn run(self) -> Outcome {
        self.change.archived(true, ["is archived", "is archived already"]).await
    }
}

impl Unarchive {
    pub async fn run(self) -> Outcome {
        self.change.archived(false, ["is back from the archive", "is not archived"]).await
    }
}

impl Change {
    async fn archived(self, archived: bool, [done, already]: [&str; 2]) -> Outcome {
        let body = json!({"archived": archived, "reason": self.reason});
        let changed = patch((&self.name, &self.by, &self.place), &body).await?;
        match self.format {
            Form::Json => print_json(&changed),
            Form::Table if changed["changed"] == false => say(&format!("{} {already}", self.name)),
            Form::Table => say(&format!("{} {done}", self.name)),
        }
        Ok(())
    }
}

impl Rename {
    pub async fn run(self) -> Outcome {
        let Self { change: Change { name, reason, by, format, place }, new } = self;
        let changed = patch((&name, &by, &place), &json!({"name": new, "reason": reason})).await?;
        for warning in changed["warnings"].as_array().into_iter().flatten() {
            note(&format!("warning: {}; {}", cell(warning.get("problem")), cell(warning.get("fix"))));
        }
        match format {
            Form::Json => print_json(&changed),
            Form::Table if changed["changed"] == false => say(&format!("{name} has that name already")),
            Form::Table => {
                say(&format!("{name} is called {new} now"));
                note(&format!("calls of prompt/{name} are refused, and name prompt/{new}"));
            }
        }
        Ok(())
    }
}

/// Changes a prompt as `body` says.
async fn patch((name, by, place): (&str, &By, &Where), body: &Value) -> Result<Value, Failure> {
    let client = Client::to(place).await?.by(&by.author);
    client.send(Method::PATCH, &split(name).0, body).await
}
