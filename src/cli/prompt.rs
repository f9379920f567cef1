//! `fulcrum prompt`: the registry.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::client::{Client, encoded};
use super::explain::pairs;
use super::outcome::{Failure, Outcome, Where};
use super::output::{Form, Format, cell, json as print_json, list, note, say};
use crate::prompts::{Draft, check_dir, halves, parse_file, write_file};
use crate::types::{BadName, PromptName};

/// The prompt registry.
#[derive(Subcommand)]
pub enum Prompt {
    /// List the prompts with their labels
    List(List),
    /// Show a prompt, or one version of it as NAME@VERSION or NAME@LABEL
    Show(Show),
    /// Add a version from a file; makes the prompt where there is none
    Add(Add),
    /// Point a label at a version
    Label(Label),
    /// Tell what changed between two versions
    Diff(Diff),
    /// Render a version with variables
    Render(Render),
    /// Add every file of a folder as a new version where its content is new
    Import(Import),
    /// Write each prompt's version to a file of a folder
    Export(Export),
}

#[derive(Args)]
#[command(after_help = "Example: fulcrum prompt list")]
pub struct List {
    #[arg(long, default_value = "table")]
    format: Format,
    #[command(flatten)]
    place: Where,
}

#[derive(Args)]
#[command(after_help = "Example: fulcrum prompt show support-reply@production")]
pub struct Show {
    /// NAME, NAME@VERSION or NAME@LABEL
    reference: String,
    #[arg(long, default_value = "table")]
    format: Form,
    #[command(flatten)]
    place: Where,
}

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
    #[arg(long, default_value = "table")]
    format: Form,
    #[command(flatten)]
    place: Where,
}

#[derive(Args)]
#[command(after_help = "Example: fulcrum prompt diff support-reply 1 2")]
pub struct Diff {
    /// The prompt
    name: String,
    /// A version or label
    from: String,
    /// Another
    to: String,
    #[arg(long, default_value = "table")]
    format: Form,
    #[command(flatten)]
    place: Where,
}

#[derive(Args)]
#[command(
    after_help = "Example: fulcrum prompt render support-reply --var product=Acme --var ticket='Where is my order?'"
)]
pub struct Render {
    /// NAME, NAME@VERSION or NAME@LABEL
    reference: String,
    /// A variable, as name=value; JSON values are read as such
    #[arg(long = "var")]
    variables: Vec<String>,
    #[arg(long, default_value = "table")]
    format: Form,
    #[command(flatten)]
    place: Where,
}

#[derive(Args)]
#[command(after_help = "Example: fulcrum prompt import prompts/ --label production")]
pub struct Import {
    /// The folder
    folder: PathBuf,
    /// The label to point at new versions, where it is unset or still on the version that the last import made
    #[arg(long)]
    label: Option<String>,
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
    #[arg(long, default_value = "table")]
    format: Form,
    #[command(flatten)]
    place: Where,
}

impl Prompt {
    pub async fn run(self) -> Outcome {
        match self {
            Self::List(command) => command.run().await,
            Self::Show(command) => command.run().await,
            Self::Add(command) => command.run().await,
            Self::Label(command) => command.run().await,
            Self::Diff(command) => command.run().await,
            Self::Render(command) => command.run().await,
            Self::Import(command) => command.run().await,
            Self::Export(command) => command.run().await,
        }
    }
}

/// The path of a prompt, and what follows the `@`.
fn split(reference: &str) -> (String, Option<&str>) {
    let (name, at) = halves(reference);
    (format!("/api/v1/prompts/{}", encoded(name)), at)
}

impl List {
    async fn run(self) -> Outcome {
        let prompts = Client::to(&self.place).await?.get("/api/v1/prompts").await?;
        let rows = prompts.get("rows").and_then(Value::as_array).cloned().unwrap_or_default();
        let rows: Vec<Vec<String>> = rows
            .iter()
            .map(|row| {
                vec![
                    cell(row.get("name")),
                    cell(row.get("newest")),
                    labels(row),
                    cell(row.get("last_used_at")),
                    cell(row.get("description")),
                ]
            })
            .collect();
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
    async fn run(self) -> Outcome {
        let client = Client::to(&self.place).await?;
        let (path, at) = split(&self.reference);
        let version = client.get(&format!("{path}/versions/{}", encoded(at.unwrap_or("latest")))).await?;
        if self.format == Form::Json {
            print_json(&version);
            return Ok(());
        }
        let head = ["name", "version", "labels", "author", "created_at", "message", "hash"];
        head.iter().for_each(|name| say(&format!("# {name}: {}", cell(version.get(*name)))));
        say(&draft_of(&version)?.to_toml());
        Ok(())
    }
}

/// The draft inside a version's row.
fn draft_of(version: &Value) -> Result<Draft, Failure> {
    let mut fields = version.as_object().cloned().unwrap_or_default();
    for name in ["name", "version", "hash", "created_at", "author", "key_id", "message", "labels"] {
        fields.shift_remove(name);
    }
    Draft::from_json(&fields.into()).map_err(|mistakes| {
        let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        Failure::Unreachable(format!("the gateway sent a prompt that cannot be read:\n{}", lines.join("\n")))
    })
}

impl Add {
    async fn run(self) -> Outcome {
        let client = Client::to(&self.place).await?;
        let (name, draft) = read_file(&self.file)?;
        let beside = Beside { message: &self.message, labels: &self.labels, parent: self.parent };
        let saved = submit(&client, &name, &draft, &beside).await?;
        match self.format {
            Form::Json => print_json(&saved),
            Form::Table => say(&format!("{name}@{}", cell(saved.get("version")))),
        }
        Ok(())
    }
}

fn read_file(path: &Path) -> Result<(String, Draft), Failure> {
    let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| Failure::Input(format!("{shown}: {error}")))?;
    let draft = parse_file(&shown, &text).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Failure::Input(lines.join("\n"))
    })?;
    Ok((name, draft))
}

/// What a version is added with.
struct Beside<'a> {
    message: &'a str,
    labels: &'a [String],
    parent: Option<u32>,
}

/// Adds a version; makes the prompt where there is none.
async fn submit(client: &Client, name: &str, draft: &Draft, beside: &Beside<'_>) -> Result<Value, Failure> {
    let mut body = draft.to_json();
    body["message"] = beside.message.into();
    body["labels"] = json!(beside.labels);
    if let Some(parent) = beside.parent {
        body["parent"] = parent.into();
    }
    let path = format!("/api/v1/prompts/{}", encoded(name));
    if client.get(&path).await.is_ok() {
        return client.send(Method::POST, &format!("{path}/versions"), &body).await;
    }
    body["name"] = name.into();
    client.send(Method::POST, "/api/v1/prompts", &body).await
}

impl Label {
    async fn run(self) -> Outcome {
        let client = Client::to(&self.place).await?;
        let (path, _) = split(&self.name);
        let mut body = json!({"version": self.version, "reason": self.reason});
        if let Some(protect) = self.protect {
            body["protected"] = protect.into();
        }
        let moved = client.send(Method::PUT, &format!("{path}/labels/{}", encoded(&self.label)), &body).await?;
        match self.format {
            Form::Json => print_json(&moved),
            Form::Table => say(&format!("{}@{} is {}", self.name, self.label, self.version)),
        }
        Ok(())
    }
}

impl Diff {
    async fn run(self) -> Outcome {
        let client = Client::to(&self.place).await?;
        let (path, _) = split(&self.name);
        let diff = client.get(&format!("{path}/diff?from={}&to={}", encoded(&self.from), encoded(&self.to))).await?;
        if self.format == Form::Json {
            print_json(&diff);
        } else {
            say(cell(diff.get("unified")).trim_end());
        }
        Ok(())
    }
}

impl Render {
    async fn run(self) -> Outcome {
        let client = Client::to(&self.place).await?;
        let (path, at) = split(&self.reference);
        let mut body = json!({"variables": pairs(&self.variables, true)?});
        match at.map(|at| (at, at.parse::<u32>())) {
            Some((_, Ok(version))) => body["version"] = version.into(),
            Some((label, Err(_))) => body["label"] = label.into(),
            None => {}
        }
        let rendered = client.send(Method::POST, &format!("{path}/render"), &body).await?;
        if self.format == Form::Json {
            print_json(&rendered);
            return Ok(());
        }
        for message in rendered.get("messages").and_then(Value::as_array).cloned().unwrap_or_default() {
            say(&format!("[{}]\n{}\n", cell(message.get("role")), cell(message.get("content"))));
        }
        note(&format!(
            "{}@{}, about {} tokens",
            cell(rendered.get("name")),
            cell(rendered.get("version")),
            cell(rendered.get("tokens"))
        ));
        Ok(())
    }
}

impl Import {
    async fn run(self) -> Outcome {
        let client = Client::to(&self.place).await?;
        let drafts = check_dir(&self.folder).map_err(|error| Failure::Input(error.to_string()))?;
        let mut rows = Vec::new();
        for (name, draft) in drafts {
            let name = name.to_string();
            let before = client.get(&format!("/api/v1/prompts/{}/versions", encoded(&name))).await.unwrap_or_default();
            let message = format!("{IMPORTED}{}", self.folder.display());
            let beside = Beside { message: &message, labels: &[], parent: None };
            let mut saved = submit(&client, &name, &draft, &beside).await?;
            if let Some(label) = self.label.as_ref().filter(|label| follows(&before, &saved, label)) {
                let body = json!({"version": saved["version"], "reason": message});
                let path = format!("/api/v1/prompts/{}/labels/{}", encoded(&name), encoded(label));
                client.send(Method::PUT, &path, &body).await?;
                saved =
                    client.get(&format!("/api/v1/prompts/{}/versions/{}", encoded(&name), saved["version"])).await?;
            }
            match self.format {
                Form::Json => rows.push(json!({"name": name, "version": saved["version"], "labels": saved["labels"]})),
                Form::Table => say(&format!("{name}@{}", cell(saved.get("version")))),
            }
        }
        print_rows(self.format, &rows);
        Ok(())
    }
}

/// How the messages of versions begin that an import made.
const IMPORTED: &str = "imported from ";

/// Whether an import moves `label` to the version that it saved: that was made by an import, and the label is unset or still on
/// the version that the import before made. `before` are the prompt's versions as they were, newest first.
fn follows(before: &Value, saved: &Value, label: &str) -> bool {
    let by_import = |row: &Value| row["message"].as_str().is_some_and(|message| message.starts_with(IMPORTED));
    let has_label =
        |row: &&Value| row["labels"].as_array().is_some_and(|labels| labels.iter().any(|name| name == label));
    let rows = || before["rows"].as_array().into_iter().flatten();
    let labelled = rows().find(has_label).map(|row| &row["version"]);
    let last = rows().find(|row| by_import(row)).map(|row| &row["version"]);
    by_import(saved) && (labelled.is_none() || labelled == last)
}

impl Export {
    async fn run(self) -> Outcome {
        let client = Client::to(&self.place).await?;
        let list = client.get("/api/v1/prompts").await?;
        let mut rows = Vec::new();
        std::fs::create_dir_all(&self.folder)
            .map_err(|error| Failure::Input(format!("{}: {error}", self.folder.display())))?;
        for row in list.get("rows").and_then(Value::as_array).cloned().unwrap_or_default() {
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
            let named: PromptName = name.parse().map_err(|error: BadName| Failure::Unreachable(error.to_string()))?;
            let written = write_file(&self.folder, &named, &draft_of(&version)?);
            let file = written.map_err(|error| Failure::Input(error.to_string()))?;
            let file = file.display().to_string();
            match self.format {
                Form::Json => rows.push(json!({"name": name, "version": version["version"], "file": file})),
                Form::Table => say(&format!("{file} ({name}@{})", cell(version.get("version")))),
            }
        }
        print_rows(self.format, &rows);
        Ok(())
    }
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
}
