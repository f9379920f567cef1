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
use crate::prompts::{Checked, Draft, check_dir, write_file};
use crate::types::{BadName, PromptName};

#[derive(Args)]
#[command(after_help = "Example: fulcrum prompt import prompts/ --label production")]
pub struct Import {
    /// The folder
    folder: PathBuf,
    /// The label to point at new versions, where it is unset or still on the version that the last import made
    #[arg(long)]
    label: Option<String>,
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
        let checked = check_dir(&self.folder).map_err(|error| Failure::Input(error.to_string()))?;
        if checked.is_empty() {
            return Err(Failure::Negative(format!("{} has no files NAME.toml", self.folder.display())));
        }
        let mut rows = Vec::new();
        for checked in checked {
            let row = self.one(&client, checked).await?;
            match self.format {
                Form::Json => rows.push(row),
                Form::Table => say(&line(&row)),
            }
        }
        print_rows(self.format, &rows);
        Ok(())
    }

    /// Imports one prompt; what came of it.
    async fn one(&self, client: &Client, checked: Checked) -> Result<Value, Failure> {
        let Checked { name, draft, warnings } = checked;
        let (name, path) = (name.to_string(), format!("/api/v1/prompts/{}", encoded(name.as_str())));
        let before = client.get(&format!("{path}/versions")).await.unwrap_or_default();
        let message = format!("{IMPORTED}{}", self.folder.display());
        let beside = Beside { message: &message, labels: &[], parent: None };
        let mut saved = match submit(client, &name, &draft, &beside).await {
            // An archived prompt, or one with another name by now, stays what it is; the other files are taken.
            Err(Failure::Negative(reason)) => return Ok(json!({"name": name, "left_out": reason})),
            saved => saved?,
        };
        warn(&warnings, &saved);
        let created = saved["created"].clone();
        let mut row = json!({"name": name, "version": saved["version"], "created": created});
        if let Some(label) = &self.label {
            let from = labelled(&before, label);
            let moves = follows(&before, &saved, label);
            if moves {
                let body = json!({"version": saved["version"], "reason": message});
                client.send(Method::PUT, &format!("{path}/labels/{}", encoded(label)), &body).await?;
                saved = client.get(&format!("{path}/versions/{}", saved["version"])).await?;
            }
            row["label"] = json!({"label": label, "from": from, "moved": moves && from != saved["version"]});
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
    let from = cell(row["label"].get("from"));
    let label = match row.get("label") {
        None => String::new(),
        Some(label) if label["moved"] == true && from.is_empty() => format!(", {} set", cell(label.get("label"))),
        Some(label) if label["moved"] == true => format!(", {} moved from {from}", cell(label.get("label"))),
        Some(_) if from == version => String::new(),
        Some(label) if from.is_empty() => format!(", {} stays unset", cell(label.get("label"))),
        Some(label) => {
            format!(
                ", {} stays at {from} since it was moved by hand, or the version made by hand",
                cell(label.get("label"))
            )
        }
    };
    format!("{name}@{version} {state}{label}")
}

/// How the messages of versions begin that an import made.
const IMPORTED: &str = "imported from ";

/// The version under `label` among a prompt's versions; null where there is none.
fn labelled(versions: &Value, label: &str) -> Value {
    let has_label =
        |row: &&Value| row["labels"].as_array().is_some_and(|labels| labels.iter().any(|name| name == label));
    let row = versions["rows"].as_array().into_iter().flatten().find(has_label);
    row.map(|row| row["version"].clone()).unwrap_or_default()
}

/// Whether an import moves `label` to the version that it saved: that was made by an import, and the label is unset or still on
/// the version that the import before made. `before` are the prompt's versions as they were, newest first.
fn follows(before: &Value, saved: &Value, label: &str) -> bool {
    let by_import = |row: &Value| row["message"].as_str().is_some_and(|message| message.starts_with(IMPORTED));
    let labelled = labelled(before, label);
    let last = before["rows"].as_array().into_iter().flatten().find(|row| by_import(row)).map(|row| &row["version"]);
    by_import(saved) && (labelled.is_null() || Some(&labelled) == last)
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
    fn an_import_moves_a_label_only_among_versions_that_imports_made() {
        let row = |version: u32, message: &str, labels: &[&str]| json!({"version": version, "message": message, "labels": labels});
        let (ours, theirs) = ("imported from p", "Kinder");
        let saved = row(3, ours, &[]);
        for (before, saved, follows_it) in [
            (vec![], row(1, ours, &[]), true),
            (vec![row(2, ours, &["production"]), row(1, ours, &[])], saved.clone(), true),
            (vec![row(2, ours, &[]), row(1, ours, &["production"])], saved.clone(), false),
            (vec![row(2, theirs, &["production"]), row(1, ours, &[])], saved.clone(), false),
            (vec![row(2, theirs, &["staging"]), row(1, ours, &["production"])], saved.clone(), true),
            // The file holds what somebody else made.
            (vec![row(2, theirs, &["staging"]), row(1, ours, &["production"])], row(2, theirs, &["staging"]), false),
            (vec![row(2, theirs, &["staging"])], row(2, theirs, &["staging"]), false),
            (vec![row(2, ours, &[])], row(2, ours, &[]), true),
        ] {
            let before = json!({"rows": before});
            assert_eq!(follows(&before, &saved, "production"), follows_it, "{before} {saved}");
        }
    }

    #[test]
    fn a_line_says_what_came_of_a_file() {
        let label = |from: Value, moved: bool| json!({"label": "production", "from": from, "moved": moved});
        let row = |created: bool, label: Value| json!({"name": "a", "version": 3, "created": created, "label": label});
        for (row, shown) in [
            (json!({"name": "a", "version": 3, "created": true}), "a@3 new"),
            (json!({"name": "a", "version": 3, "created": false}), "a@3 unchanged"),
            (row(true, label(Value::Null, true)), "a@3 new, production set"),
            (row(true, label(json!(2), true)), "a@3 new, production moved from 2"),
            (row(false, label(json!(3), false)), "a@3 unchanged"),
            (row(false, label(Value::Null, false)), "a@3 unchanged, production stays unset"),
        ] {
            assert_eq!(line(&row), shown);
        }
        let stays = line(&row(true, label(json!(1), false)));
        assert!(stays.starts_with("a@3 new, production stays at 1 since it was moved by hand"), "{stays}");
    }
}
