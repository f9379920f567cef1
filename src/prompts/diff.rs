//! What changed between two versions.

use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::draft::Draft;
use super::error::Error;
use super::selector::Selector;
use super::version::Version;
use crate::types::PromptName;

/// One side of a comparison: a version, or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side(pub(super) Option<Selector>);

impl Side {
    /// The version of this number; nothing for 0.
    #[must_use]
    pub fn of(version: u32) -> Self {
        Self((version > 0).then_some(Selector::Version(version)))
    }
}

impl FromStr for Side {
    type Err = Error;

    /// Reads a version or a label, or `0` for nothing.
    fn from_str(text: &str) -> Result<Self, Error> {
        if text == "0" { Ok(Self(None)) } else { text.parse().map(|selector| Self(Some(selector))) }
    }
}

/// What changed between two versions. Version 0 is nothing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Diff {
    /// The older, or first named.
    pub from: u32,
    /// The newer, or second named.
    pub to: u32,
    /// As unified text over the files' form; empty where nothing changed.
    pub unified: String,
    /// Field by field.
    pub changes: Vec<Change>,
}

/// One field that changed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// Which, such as `messages[1].content`.
    pub field: String,
    /// What stood there; none where it is new.
    pub before: Option<Value>,
    /// What stands there; none where it is gone.
    pub after: Option<Value>,
}

pub(super) fn diff(name: &PromptName, from: Option<&Version>, to: Option<&Version>) -> Result<Diff, Error> {
    let draft = |side: Option<&Version>| side.map(Version::draft).transpose();
    let (before, after) = (draft(from)?, draft(to)?);
    let text = |draft: &Option<Draft>| draft.as_ref().map_or_else(String::new, Draft::to_toml);
    let (old, new) = (text(&before), text(&after));
    let number = |side: Option<&Version>| side.map_or(0, |version| version.version);
    let shown =
        |side: Option<&Version>| side.map_or_else(|| "nothing".to_owned(), |side| format!("{name}@{}", side.version));
    let names = (shown(from), shown(to));
    let text = similar::TextDiff::configure().timeout(Duration::from_millis(200)).diff_lines(&old, &new);
    let unified = text.unified_diff().context_radius(3).header(&names.0, &names.1).to_string();
    let unified = if old == new { String::new() } else { unified };
    let mut changes = Vec::new();
    let json = |draft: &Option<Draft>| draft.as_ref().map_or_else(|| json!({}), Draft::to_json);
    compare("", Some(&json(&before)), Some(&json(&after)), &mut changes);
    Ok(Diff { from: number(from), to: number(to), unified, changes })
}

fn compare(field: &str, before: Option<&Value>, after: Option<&Value>, changes: &mut Vec<Change>) {
    match (before, after) {
        (Some(before), Some(after)) if before == after => {}
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let added = new.keys().filter(|key| !old.contains_key(*key));
            for key in old.keys().chain(added) {
                let name = if field.is_empty() { key.clone() } else { format!("{field}.{key}") };
                compare(&name, old.get(key), new.get(key), changes);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => {
            for i in 0..old.len().max(new.len()) {
                compare(&format!("{field}[{i}]"), old.get(i), new.get(i), changes);
            }
        }
        (before, after) => {
            changes.push(Change { field: field.to_owned(), before: before.cloned(), after: after.cloned() });
        }
    }
}
