//! A request for a target of this dialect: as it came, or with a prompt put in front.

use bytes::Bytes;
use serde_json::value::RawValue;

use super::check::{Shape, field, members};
use crate::chat::Error;
use crate::wire::dialect::Asked;
use crate::wire::fields::snake;
use crate::wire::json::{Edits, Object};

/// The body for a target of this dialect: as it came, but for the prompt's name.
pub(super) fn pass(asked: &Asked) -> Bytes {
    let mut edits = Edits::default();
    edits.remove("prompt");
    asked.object.edited(&edits)
}

/// The caller's object with a prompt's in front.
///
/// # Errors
/// Where the two cannot be joined.
pub(super) fn prompted(asked: &Asked, prompt: &Object) -> Result<Bytes, Error> {
    let caller = &asked.object;
    let mut edits = Edits::default();
    edits.remove("prompt");
    for (name, json) in prompt.iter() {
        let own = field(caller, name);
        let value = match (name, own) {
            (_, None) => json.to_owned(),
            ("contents", Some(own)) => joined(json, own, "contents")?,
            ("systemInstruction", Some(own)) => joined_system(json, own)?,
            ("generationConfig", Some(own)) => merged_config(json, own)?,
            (_, Some(_)) => continue,
        };
        if snake(name) != name {
            edits.remove(&snake(name));
        }
        edits.set(name, value);
    }
    Ok(caller.edited(&edits))
}

/// The members of two lists in one.
fn joined(first: &str, second: &str, name: &str) -> Result<String, Error> {
    let mut all = members(first, name)?;
    all.extend(members(second, name)?);
    let all: Vec<&str> = all.into_iter().map(RawValue::get).collect();
    Ok(format!("[{}]", all.join(",")))
}

fn joined_system(first: &str, second: &str) -> Result<String, Error> {
    let parts = |json: &str| -> Result<String, Error> {
        let content: Shape<'_> = serde_json::from_str(json)
            .map_err(|_| Error::field("systemInstruction", "`systemInstruction` must be an object with `parts`"))?;
        Ok(content.parts.map_or("[]", RawValue::get).to_owned())
    };
    Ok(format!("{{\"parts\":{}}}", joined(&parts(first)?, &parts(second)?, "systemInstruction.parts")?))
}

/// The prompt's settings under the caller's own.
fn merged_config(prompt: &str, own: &str) -> Result<String, Error> {
    let object = |json: &str| Object::read(Bytes::copy_from_slice(json.as_bytes())).map_err(Error::from);
    let (prompt, own) = (object(prompt)?, object(own)?);
    // The fields of a format belong together: a caller's own format is not mixed with the prompt's.
    const FORMAT: [&str; 3] = ["responseMimeType", "responseSchema", "responseJsonSchema"];
    let own_format = FORMAT.iter().any(|name| field(&own, name).is_some());
    let mut edits = Edits::default();
    for (name, json) in prompt.iter() {
        if field(&own, name).is_none() && !(own_format && FORMAT.contains(&name)) {
            edits.set(name, json.to_owned());
        }
    }
    Ok(String::from_utf8_lossy(&own.edited(&edits)).into_owned())
}
