//! A prompt put in front of a caller's request.

use serde_json::{Value, json};

use super::check::checked;
use super::request_write::write_fields;
use crate::chat::Error;
use crate::wire::asked::{Asked, check_joined};
use crate::wire::capabilities::UNKNOWN;
use crate::wire::exact_numbers;
use crate::wire::json::{Edits, items, quoted};
use crate::wire::prompt::{Prompted, Said, write};

/// The caller's request with the prompt's messages and system text before its own, and the prompt's settings where it
/// has none.
pub(super) fn prompted(asked: &Asked, prompt: Said) -> Result<Prompted, Error> {
    let model = prompt.settings.model.clone();
    let (fields, mut brought) =
        write(prompt, "messages", |prompt, emulated| Ok(write_fields(prompt, &UNKNOWN, emulated)?.fields))?;
    // The caller's own limit stands.
    brought.noted.retain(|name| *name != "max_tokens" || asked.max_tokens.is_none());
    let places = fields.get("messages").and_then(Value::as_array).into_iter().flatten().enumerate();
    brought.special = places.filter(|(_, message)| message["role"] == "system").map(|(n, _)| n).collect();
    let caller = |name: &str| asked.object.get(name).filter(|json| *json != "null");
    brought.settle(|name| caller(name).is_some());
    let turns = asked.turns + fields.get("messages").and_then(Value::as_array).map_or(0, Vec::len);
    let mut edits = Edits::default();
    edits.remove("prompt");
    for (name, value) in fields {
        let own = caller(&name);
        match (name.as_str(), own) {
            ("model", _) => edits.set("model", quoted(&model)),
            ("messages", Some(own)) => edits.set("messages", joined_lists(&value, own)),
            ("system", Some(own)) => edits.set("system", joined_system(value, own)?),
            (_, Some(_)) => {}
            (_, None) => edits.set(&name, exact_numbers::write(&value)),
        }
    }
    let asked =
        checked(asked.object.with(&edits)?, true, |_, may_be_empty| check_joined(turns, may_be_empty, "messages"))?;
    Ok(Prompted { asked, brought })
}

/// The prompt's messages and the caller's, which stay as they came but for the space between them.
fn joined_lists(prompt: &Value, own: &str) -> String {
    let mut list = exact_numbers::write(prompt);
    list.reserve(own.len());
    list.pop();
    for message in items(own) {
        list.push_str(if list.len() > 1 { "," } else { "" });
        list.push_str(message);
    }
    list.push(']');
    list
}

fn joined_system(prompt: Value, own: &str) -> Result<String, Error> {
    let own = serde_json::from_str(own).map_err(|error| Error::field("system", error.to_string()))?;
    let joined = match (prompt, own) {
        (Value::String(first), Value::String(second)) if first.is_empty() || second.is_empty() => {
            (first + &second).into()
        }
        (Value::String(first), Value::String(second)) => format!("{first}\n\n{second}").into(),
        (first, second) => Value::Array([blocks(first), blocks(second)].concat()),
    };
    Ok(joined.to_string())
}

fn blocks(system: Value) -> Vec<Value> {
    match system {
        Value::Array(blocks) => blocks,
        Value::String(text) if text.is_empty() => Vec::new(),
        text => vec![json!({"type": "text", "text": text})],
    }
}
