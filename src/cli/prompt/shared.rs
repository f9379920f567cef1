//! What the commands of prompts share.

use std::path::Path;

use http::Method;
use serde_json::{Value, json};

use crate::cli::client::{Client, encoded};
use crate::cli::outcome::Failure;
use crate::cli::output::{cell, note};
use crate::prompts::{Draft, halves, parse_file_with};
use crate::types::Diagnostic;

/// The path of a prompt, and what follows the `@`.
pub fn split(reference: &str) -> (String, Option<&str>) {
    let (name, at) = halves(reference);
    (format!("/api/v1/prompts/{}", encoded(name)), at)
}

/// The draft inside a version's row.
pub fn draft_of(version: &Value) -> Result<Draft, Failure> {
    let mut fields = version.as_object().cloned().unwrap_or_default();
    for name in ["name", "version", "hash", "created_at", "author", "key_id", "message", "labels"] {
        fields.shift_remove(name);
    }
    Draft::of_version(&fields.into()).map_err(|mistakes| {
        let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        Failure::Unreachable(format!("the gateway sent a prompt that cannot be read:\n{}", lines.join("\n")))
    })
}

/// A prompt's file, read and found right.
pub struct Read {
    /// The prompt that the file names.
    pub name: String,
    /// Its text.
    pub draft: Draft,
    /// What is likely to surprise.
    pub warnings: Vec<Diagnostic>,
}

pub fn read_file(path: &Path) -> Result<Read, Failure> {
    let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| Failure::Input(format!("{shown}: {error}")))?;
    let read = parse_file_with(&shown, &text, &Draft::warnings);
    let (draft, warnings) = read.map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Failure::Input(lines.join("\n"))
    })?;
    Ok(Read { name, draft, warnings })
}

/// Prints the warnings of a file, and those that the gateway has beside them.
pub fn warn(found: &[Diagnostic], saved: &Value) {
    found.iter().for_each(|warning| note(&format!("warning: {warning}")));
    for warning in saved["warnings"].as_array().into_iter().flatten() {
        let key = cell(warning.get("key"));
        if !found.iter().any(|found| found.key == key) {
            note(&format!("warning: {key}: {}; {}", cell(warning.get("problem")), cell(warning.get("fix"))));
        }
    }
}

/// What a version is added with.
pub struct Beside<'a> {
    /// Why.
    pub message: &'a str,
    /// Labels to point at it.
    pub labels: &'a [String],
    /// The version that it was made from.
    pub parent: Option<u32>,
}

/// Adds a version; makes the prompt where there is none.
pub async fn submit(client: &Client, name: &str, draft: &Draft, beside: &Beside<'_>) -> Result<Value, Failure> {
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

/// The label that a call without one gets, and a command likewise.
pub const DEFAULT: &str = crate::prompts::DEFAULT_LABEL;

/// The version that a reference names: that of the label `production` where it names none.
pub async fn version_of(client: &Client, reference: &str) -> Result<Value, Failure> {
    let (path, at) = split(reference);
    client.get(&format!("{path}/versions/{}", encoded(at.unwrap_or(DEFAULT)))).await
}
