//! Commands between the registry and a folder.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use http::Method;
use serde_json::{Value, json};

use super::shared::{Beside, draft_of, split, submit, warn};
use crate::cli::client::{Client, encoded};
use crate::cli::outcome::{By, Failure, Outcome, Where};
use crate::cli::output::{Form, cell, json as print_json, note, say};
use crate::prompts::{Checked, Draft, IMPORTED, check_dir, write_file};
use crate::types::{BadName, Label, PromptName};

#[derive(Args)]
#[command(after_help = "Example: fulcrum prompt import prompts/ --label production")]
pub struct Import {
    /// The folder
    folder: PathBuf,
    /// The label to point at new versions, where it is new or its last move was by an import; a protected label stays
    #[arg(long)]
    label: Option<String>,
    /// Move the label also where it was moved by hand; later imports move it again
    #[arg(long, requires = "label")]
    force: bool,
    #[command(flatten)]
    by: By,
    #[arg(long, default_value = "table")]
    format: Form,
    #[command(flatten)]
    place: Where,
}

#[derive(Args)]
#[command(after_help = "Example: fulcrum prompt export backup/ --at production")]
pub struct Export {
    /// The folder
    folder: PathBuf,
    /// Which version: a label, or latest
    #[arg(long, default_value = "latest")]
    at: String,
    /// Write over files that say something else
    #[arg(long)]
    force: bool,
    #[arg(long, default_value = "table")]
    format: Form,
    #[command(flatten)]
    place: Where,
}

impl Import {
    pub async fn run(self) -> Outcome {
        let client = Client::to(&self.place).await?.by(&self.by.author);
        // Nothing is saved for a label that no prompt can have.
        let label = self.label.as_deref().map(str::parse::<Label>).transpose();
        label.map_err(|error: BadName| Failure::Input(format!("--label: {error}")))?;
        let checked = check_dir(&self.folder).map_err(|error| Failure::Input(error.to_string()))?;
        if checked.is_empty() {
            return Err(Failure::Negative(format!("{} has no files NAME.toml", self.folder.display())));
        }
        let mut rows = Vec::new();
        let mut outcome = Ok(());
        for checked in checked {
            match self.one(&client, checked).await {
                Ok(row) if self.format == Form::Json => rows.push(row),
                Ok(row) => say(&line(&row)),
                Err(failure) => {
                    outcome = Err(failure);
                    break;
                }
            }
        }
        print_rows(self.format, &rows);
        outcome
    }

    /// Imports one prompt; what came of it.
    async fn one(&self, client: &Client, checked: Checked) -> Result<Value, Failure> {
        let Checked { name, draft, warnings } = checked;
        let (name, path) = (name.to_string(), format!("/api/v1/prompts/{}", encoded(name.as_str())));
        let message = format!("{IMPORTED}{}", self.folder.display());
        let before = match &self.label {
            Some(label) => Before::of(client, &path, label).await,
            None => Before::default(),
        };
        let beside = Beside { message: &message, labels: &[], parent: None };
        let mut saved = match submit(client, &name, &draft, &beside).await {
            // An archived prompt, or one with another name by now, stays what it is; the other files are taken.
            Err(Failure::Negative(reason)) => return Ok(json!({"name": name, "left_out": reason})),
            saved => saved?,
        };
        warn(&warnings, &saved);
        let mut row = json!({"name": name, "version": saved["version"], "created": saved["created"]});
        if let Some(label) = &self.label {
            let stays = before.stays(&saved, self.force);
            let moves = stays.is_none() && before.at != saved["version"];
            if moves {
                let body = json!({"version": saved["version"], "reason": message});
                let moved = client.send(Method::PUT, &format!("{path}/labels/{}", encoded(label)), &body).await;
                moved.map_err(|failure| failure.after(&format!("{name}@{} is saved", cell(saved.get("version")))))?;
                saved = client.get(&format!("{path}/versions/{}", saved["version"])).await?;
            }
            row["label"] = json!({"label": label, "from": before.at, "moved": moves, "stays": stays});
        }
        row["labels"] = saved["labels"].clone();
        Ok(row)
    }
}

/// What came of one file, for people.
fn line(row: &Value) -> String {
    if let Some(reason) = row["left_out"].as_str() {
        return format!("{} left out: {reason}", cell(row.get("name")));
    }
    let (name, version) = (cell(row.get("name")), cell(row.get("version")));
    let state = if row["created"] == true { "new" } else { "unchanged" };
    let Some(of_label) = row.get("label") else { return format!("{name}@{version} {state}") };
    let (label, from) = (cell(of_label.get("label")), cell(of_label.get("from")));
    let became = match of_label["stays"].as_str() {
        _ if of_label["moved"] == true && from.is_empty() => format!(", {label} set"),
        _ if of_label["moved"] == true => format!(", {label} moved from {from}"),
        Some(reason) => {
            let place = if from.is_empty() { "unset".to_owned() } else { format!("at {from}") };
            format!(", {label} stays {place} since {reason}; fulcrum prompt label {name} {label} {version} releases it")
        }
        None => String::new(),
    };
    format!("{name}@{version} {state}{became}")
}

/// A label before an import.
#[derive(Default)]
struct Before {
    /// The version; null where it is unset.
    at: Value,
    protected: bool,
    /// Whether its last move was no import's.
    by_hand: bool,
}

impl Before {
    async fn of(client: &Client, path: &str, label: &str) -> Self {
        let prompt = client.get(path).await.unwrap_or_default();
        let moves = client.get(&format!("{path}/labels/{}/history", encoded(label))).await.unwrap_or_default();
        Self::read(&prompt["labels"][label], moves.pointer("/rows/0"))
    }

    fn read(label: &Value, last_move: Option<&Value>) -> Self {
        let by_import = |row: &Value| row["reason"].as_str().is_some_and(|reason| reason.starts_with(IMPORTED));
        Self {
            at: label["version"].clone(),
            protected: label["protected"] == true,
            by_hand: last_move.is_some_and(|row| !by_import(row)),
        }
    }

    /// Why an import leaves the label where it is; none where it moves it to the version that it `saved`, or finds it there.
    fn stays(&self, saved: &Value, force: bool) -> Option<&'static str> {
        let made_by_import = saved["message"].as_str().is_some_and(|message| message.starts_with(IMPORTED));
        match self {
            _ if self.at == saved["version"] => None,
            Self { protected: true, .. } => Some("it is protected and needs an admin key"),
            _ if force => None,
            Self { by_hand: true, at: Value::Null, .. } => Some("it was taken away by hand"),
            Self { by_hand: true, .. } => Some("it was moved by hand"),
            _ if !made_by_import => Some("that version was made by hand"),
            _ => None,
        }
    }
}

/// A prompt to write.
struct Leaving {
    name: PromptName,
    version: Value,
    draft: Draft,
    /// Whether a file of its name says something else.
    replaces: bool,
}

impl Export {
    pub async fn run(self) -> Outcome {
        let client = Client::to(&self.place).await?;
        let leaving = self.gather(&client).await?;
        if leaving.is_empty() {
            return Err(Failure::Negative(format!("no prompt has a version {}: nothing is written", self.at)));
        }
        let replaced: Vec<String> = leaving.iter().filter(|one| one.replaces).map(|one| one.name.to_string()).collect();
        if !replaced.is_empty() && !self.force {
            let folder = self.folder.display();
            return Err(Failure::Negative(format!(
                "{folder} has other text for {}: nothing is written; --force writes over it",
                replaced.join(", ")
            )));
        }
        fs::create_dir_all(&self.folder)
            .map_err(|error| Failure::Input(format!("{}: {error}", self.folder.display())))?;
        let mut rows = Vec::new();
        for Leaving { name, version, draft, .. } in leaving {
            let file = write_file(&self.folder, &name, &draft).map_err(|error| Failure::Input(error.to_string()))?;
            let file = file.display().to_string();
            match self.format {
                Form::Json => rows.push(json!({"name": name, "version": version, "file": file})),
                Form::Table => say(&format!("{file} ({name}@{})", cell(Some(&version)))),
            }
        }
        print_rows(self.format, &rows);
        Ok(())
    }

    async fn gather(&self, client: &Client) -> Result<Vec<Leaving>, Failure> {
        let list = client.get("/api/v1/prompts").await?;
        let mut leaving = Vec::new();
        for row in list["rows"].as_array().into_iter().flatten() {
            let name = cell(row.get("name"));
            let (path, _) = split(&name);
            let version = match client.get(&format!("{path}/versions/{}", encoded(&self.at))).await {
                Ok(version) => version,
                Err(Failure::Negative(message)) => {
                    note(&format!("{name}: left out: {message}"));
                    continue;
                }
                Err(failure) => return Err(failure),
            };
            let name: PromptName = name.parse().map_err(|error: BadName| Failure::Unreachable(error.to_string()))?;
            let draft = draft_of(&version)?;
            let there = self.folder.join(format!("{name}.toml"));
            let replaces = there.exists() && !says(&there, &draft);
            leaving.push(Leaving { name, version: version["version"].clone(), draft, replaces });
        }
        Ok(leaving)
    }
}

/// Whether a file says what `draft` says, whatever its form.
fn says(file: &std::path::Path, draft: &Draft) -> bool {
    let text = fs::read_to_string(file).unwrap_or_default();
    Draft::from_toml(&text).is_ok_and(|there| there.hash() == draft.hash()) && !text.contains('#')
}

/// Prints what was done as one list, where JSON is asked for.
fn print_rows(format: Form, rows: &[Value]) {
    if format == Form::Json {
        print_json(&json!({"rows": rows, "next_cursor": null}));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_moves_a_label_that_is_new_or_was_moved_by_an_import_last() {
        let row = |version: u32, message: &str| json!({"version": version, "message": message});
        let at = |version: u32, protected: bool| json!({"version": version, "protected": protected});
        let (ours, theirs) = (json!({"reason": "imported from p"}), json!({"reason": "Back"}));
        for (label, last, saved, stays, forced) in [
            (Value::Null, None, row(1, "imported from p"), None, None),
            (at(1, false), Some(&ours), row(2, "imported from p"), None, None),
            (at(2, false), Some(&theirs), row(2, "Kinder"), None, None),
            (at(1, false), Some(&theirs), row(2, "imported from p"), Some("it was moved by hand"), None),
            (Value::Null, Some(&theirs), row(2, "imported from p"), Some("it was taken away by hand"), None),
            (at(1, false), Some(&ours), row(2, "Kinder"), Some("that version was made by hand"), None),
            (Value::Null, None, row(2, "Kinder"), Some("that version was made by hand"), None),
            (
                at(1, true),
                Some(&ours),
                row(2, "imported from p"),
                Some("it is protected and needs an admin key"),
                Some("it is protected and needs an admin key"),
            ),
        ] {
            let before = Before::read(&label, last);
            assert_eq!((before.stays(&saved, false), before.stays(&saved, true)), (stays, forced), "{label} {saved}");
        }
    }

    #[test]
    fn a_line_says_what_came_of_a_file() {
        let label = |from: Value, moved: bool, stays: Value| json!({"label": "production", "from": from, "moved": moved, "stays": stays});
        let row = |created: bool, label: Value| json!({"name": "a", "version": 3, "created": created, "label": label});
        for (row, shown) in [
            (json!({"name": "a", "version": 3, "created": true}), "a@3 new"),
            (json!({"name": "a", "version": 3, "created": false}), "a@3 unchanged"),
            (row(true, label(Value::Null, true, Value::Null)), "a@3 new, production set"),
            (row(true, label(json!(2), true, Value::Null)), "a@3 new, production moved from 2"),
            (row(false, label(json!(3), false, Value::Null)), "a@3 unchanged"),
            (
                row(false, label(Value::Null, false, json!("it was taken away by hand"))),
                "a@3 unchanged, production stays unset since it was taken away by hand; fulcrum prompt label a production 3 \
                 releases it",
            ),
            (
                row(true, label(json!(1), false, json!("it is protected and needs an admin key"))),
                "a@3 new, production stays at 1 since it is protected and needs an admin key; fulcrum prompt label a production 3 releases it",
            ),
        ] {
            assert_eq!(line(&row), shown);
        }
    }
}
