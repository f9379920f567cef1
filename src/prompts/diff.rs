//! What changed between two versions.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::error::Error;
use super::version::Version;

/// What changed between two versions.
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

pub(super) fn diff(from: &Version, to: &Version) -> Result<Diff, Error> {
    let (before, after) = (from.draft()?, to.draft()?);
    let (old, new) = (before.to_toml(), after.to_toml());
    let names = (format!("{}@{}", from.name, from.version), format!("{}@{}", to.name, to.version));
    let text = similar::TextDiff::configure().timeout(Duration::from_millis(200)).diff_lines(&old, &new);
    let unified = text.unified_diff().context_radius(3).header(&names.0, &names.1).to_string();
    let unified = if old == new { String::new() } else { unified };
    let mut changes = Vec::new();
    compare("", Some(&before.to_json()), Some(&after.to_json()), &mut changes);
    Ok(Diff { from: from.version, to: to.version, unified, changes })
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
