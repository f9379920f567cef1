//! A request for a target of this dialect: as it came, or with a prompt put in front.

use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;

use super::check::{Shape, checked, field, members};
use super::request_write::write_fields;
use crate::chat::Error;
use crate::wire::asked::{Addressed, Asked, check_joined};
use crate::wire::capabilities::UNKNOWN;
use crate::wire::exact_numbers;
use crate::wire::fields::snake;
use crate::wire::json::{Edits, Object};
use crate::wire::prompt::{Prompted, Said, write};

/// The body for a target of this dialect: as it came, but for the prompt's name.
pub(super) fn pass(asked: &Asked) -> Bytes {
    let mut edits = Edits::default();
    edits.remove("prompt");
    asked.object.edited(&edits)
}

/// The caller's request with a prompt in front.
///
/// # Errors
/// Where the prompt cannot be said, or the two cannot be joined.
pub(super) fn prompted(asked: &Asked, prompt: Said) -> Result<Prompted, Error> {
    let model = prompt.settings.model.clone();
    let (fields, brought) = write(prompt, "contents", |prompt, emulated| write_fields(prompt, &UNKNOWN, emulated))?;
    let turns = asked.turns + fields.get("contents").and_then(Value::as_array).map_or(0, Vec::len);
    let mut edits = Edits::default();
    edits.remove("prompt");
    for (name, value) in &fields {
        let value = match (name.as_str(), field(&asked.object, name)) {
            (_, None) => exact_numbers::write(value),
            ("contents", Some(own)) => joined(value, own, "contents")?,
            ("systemInstruction", Some(own)) => joined_system(value, own)?,
            ("generationConfig", Some(own)) => merged_config(value, own)?,
            (_, Some(_)) => continue,
        };
        if snake(name) != *name {
            edits.remove(&snake(name));
        }
        edits.set(name, value);
    }
    let addressed = Addressed { model: Some(model), stream: asked.stream };
    let object = asked.object.with(&edits)?;
    let asked = checked(object, &addressed, |_, may_be_empty| check_joined(turns, may_be_empty, "contents"))?;
    Ok(Prompted { asked, brought })
}

/// The prompt's members of a list and the caller's, which stay as they came.
fn joined(prompt: &Value, own: &str, name: &str) -> Result<String, Error> {
    let mut list = exact_numbers::write(prompt);
    list.reserve(own.len());
    list.pop();
    for member in members(own, name)? {
        list.push_str(if list.len() > 1 { "," } else { "" });
        list.push_str(member.get());
    }
    list.push(']');
    Ok(list)
}

fn joined_system(prompt: &Value, own: &str) -> Result<String, Error> {
    let content: Shape<'_> = serde_json::from_str(own)
        .map_err(|_| Error::field("systemInstruction", "`systemInstruction` must be an object with `parts`"))?;
    let own = content.parts.map_or("[]", RawValue::get);
    Ok(format!("{{\"parts\":{}}}", joined(&prompt["parts"], own, "systemInstruction.parts")?))
}

/// The prompt's settings under the caller's own.
fn merged_config(prompt: &Value, own: &str) -> Result<String, Error> {
    let own = Object::read(Bytes::copy_from_slice(own.as_bytes())).map_err(Error::from)?;
    // The fields of a format belong together: a caller's own format is not mixed with the prompt's.
    const FORMAT: [&str; 3] = ["responseMimeType", "responseSchema", "responseJsonSchema"];
    let own_format = FORMAT.iter().any(|name| field(&own, name).is_some());
    let mut edits = Edits::default();
    for (name, value) in prompt.as_object().into_iter().flatten() {
        if field(&own, name).is_none() && !(own_format && FORMAT.contains(&name.as_str())) {
            edits.set(name, exact_numbers::write(value));
        }
    }
    Ok(String::from_utf8_lossy(&own.edited(&edits)).into_owned())
}
