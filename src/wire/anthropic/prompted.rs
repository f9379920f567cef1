//! A prompt put in front of a caller's request.

use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::chat::Error;
use crate::wire::dialect::Asked;
use crate::wire::json::{Edits, Object};

/// The caller's object with the prompt's messages and system text before its own, and the prompt's settings where it
/// has none.
pub(super) fn prompted(asked: &Asked, prompt: &Object) -> Result<Bytes, Error> {
    let caller = |name: &str| asked.object.get(name).filter(|json| *json != "null");
    let mut edits = Edits::default();
    edits.remove("prompt");
    for (name, json) in prompt.iter().filter(|(_, json)| *json != "null") {
        match (name, caller(name)) {
            ("messages", Some(own)) => edits.set(name, joined_lists(json, own)?),
            ("system", Some(own)) => edits.set(name, joined_system(json, own)?),
            ("prompt", _) | (_, Some(_)) => {}
            (_, None) => edits.set(name, json.to_owned()),
        }
    }
    let bytes = asked.object.edited(&edits);
    let joined = Object::read(bytes.clone())?;
    if joined.get("messages").is_none_or(|messages| messages[1..].trim_ascii_start().starts_with(']')) {
        return Err(Error::field("messages", "neither the prompt nor `messages` has a message for the model"));
    }
    Ok(bytes)
}

fn joined_lists(first: &str, second: &str) -> Result<String, Error> {
    let list = |json: &'_ str| -> Result<Vec<Box<RawValue>>, Error> {
        serde_json::from_str(json).map_err(|error| Error::field("messages", error.to_string()))
    };
    let mut all = list(first)?;
    all.append(&mut list(second)?);
    serde_json::to_string(&all).map_err(|error| Error::field("messages", error.to_string()))
}

fn joined_system(first: &str, second: &str) -> Result<String, Error> {
    let read = |json: &str| -> Result<Value, Error> {
        serde_json::from_str(json).map_err(|error| Error::field("system", error.to_string()))
    };
    let joined = match (read(first)?, read(second)?) {
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
