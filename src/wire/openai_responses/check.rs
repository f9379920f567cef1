//! Checks a Responses request, whose bytes stay as they came.

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::chat::{Code, Error};
use crate::wire::asked::{self, Asked, MAX_TURNS, Named, check_tools};
use crate::wire::fields::{Check, Field, check_fields};
use crate::wire::json::{Object, fields, text};

/// The known fields, from OpenAI's reference. Unknown fields pass.
pub(super) const FIELDS: &[Field] = &[
    ("model", Check::Text, false),
    ("background", Check::Bool, true),
    ("include", Check::AnyList, true),
    ("max_output_tokens", Check::Integer(1..=100_000_000), true),
    ("max_tool_calls", Check::Integer(1..=i64::MAX), true),
    ("metadata", Check::Object, true),
    ("parallel_tool_calls", Check::Bool, true),
    ("prompt", Check::Object, true),
    ("prompt_cache_key", Check::Text, true),
    ("reasoning", Check::Object, true),
    ("safety_identifier", Check::Text, true),
    ("service_tier", Check::Text, true),
    ("store", Check::Bool, true),
    ("stream", Check::Bool, true),
    ("stream_options", Check::Object, true),
    ("temperature", Check::Number(0.0..=2.0), true),
    ("text", Check::Object, true),
    ("tool_choice", Check::TextOrObject, true),
    ("tools", Check::AnyList, true),
    ("top_logprobs", Check::Integer(0..=20), true),
    ("top_p", Check::Number(0.0..=1.0), true),
    ("truncation", Check::Text, true),
    ("user", Check::Text, true),
];

/// Fields that refer to state which OpenAI stores and Fulcrum does not.
const STATE: [&str; 2] = ["previous_response_id", "conversation"];

/// Reads and checks a body.
///
/// # Errors
/// A 400 that names the field at fault.
pub(super) fn read(body: Bytes) -> Result<Asked, Error> {
    checked(Object::read(body)?, check_input)
}

/// Checks an object; `turns` checks its input, which may be empty where it is told so, and counts its items.
///
/// # Errors
/// A 400 that names the field at fault.
pub(super) fn checked(object: Object, turns: impl FnOnce(&str, bool) -> Result<usize, Error>) -> Result<Asked, Error> {
    check_fields(&object, FIELDS)?;
    refuse_state(&object)?;
    let set = |name| object.get(name).filter(|json| *json != "null");
    let named = Named::read(&object)?;
    let turns = match set("input") {
        Some(input) => turns(input, named.is_prompt())?,
        None if named.is_prompt() => 0,
        None => return Err(Error::field("input", "`input` is missing")),
    };
    if set("instructions").is_some_and(|json| !json.starts_with('"')) {
        return Err(Error::field("instructions", "`instructions` must be a text"));
    }
    check_tools(&object)?;
    let stream = object.get("stream") == Some("true");
    let max_tokens = set("max_output_tokens").and_then(|json| json.parse().ok());
    let Named { model, prompt } = named;
    Ok(Asked { model, stream, include_usage: true, max_tokens, choices: 1, turns, prompt, object })
}

/// Refuses fields that need an answer or a conversation to be stored between requests.
fn refuse_state(object: &Object) -> Result<(), Error> {
    for name in STATE {
        if object.get(name).is_some_and(|json| json != "null") {
            return Err(no_state(name, name));
        }
    }
    if object.get("background") == Some("true") {
        let message = "`background: true` is not supported: Fulcrum keeps no answers to be fetched later; leave it out and \
                       wait for the answer, or stream it";
        return Err(Error::new(Code::UnsupportedFeature, message).at("background"));
    }
    Ok(())
}

fn check_input(json: &str, may_be_empty: bool) -> Result<usize, Error> {
    if json.starts_with('"') {
        return check_items(usize::from(json.len() > 2), may_be_empty);
    }
    let items: Vec<&RawValue> =
        serde_json::from_str(json).map_err(|_| Error::field("input", "`input` must be a text or a list of items"))?;
    let count = check_items(items.len(), may_be_empty)?;
    if let Some(n) = items.iter().position(|item| !item.get().starts_with('{')) {
        return Err(Error::field(format!("input[{n}]"), "an item must be an object"));
    }
    match items.iter().position(|item| refers(item.get())) {
        Some(n) => Err(no_state(&format!("input[{n}].type"), "item_reference")),
        None => Ok(count),
    }
}

/// The longest text of an item that is looked at: a reference has an id and no words.
const LONGEST_REFERENCE: usize = 512;

/// Whether an item stands for one that OpenAI stores: by its type, or, as OpenAI takes it too, by an id alone.
fn refers(item: &str) -> bool {
    if item.len() > LONGEST_REFERENCE {
        return false;
    }
    let field = |wanted: &str| fields(item).find(|(name, _)| *name == wanted).and_then(|(_, value)| text(value));
    match field("type") {
        Some(kind) => kind == "item_reference",
        None => field("id").is_some() && field("role").is_none(),
    }
}

/// The refusal of what needs an answer or a conversation to be stored between requests.
fn no_state(path: &str, what: &str) -> Error {
    let message = format!(
        "`{what}` is not supported: Fulcrum keeps no state between requests; send the whole conversation in `input`"
    );
    Error::new(Code::UnsupportedFeature, message).at(path)
}

/// Checks how many items an input has.
///
/// # Errors
/// Where it has none, but must have some, or too many.
pub(super) fn check_items(count: usize, may_be_empty: bool) -> Result<usize, Error> {
    match count {
        0 if !may_be_empty => Err(Error::field("input", "`input` must not be empty")),
        _ if count > MAX_TURNS => {
            Err(Error::field("input", format!("{count} items are more than the {MAX_TURNS} allowed")))
        }
        _ => Ok(count),
    }
}

/// The text of the last message of the user; empty where there is none.
pub(super) fn last_user_text(input: &str) -> String {
    match input.starts_with('"') {
        true => serde_json::from_str(input).unwrap_or_default(),
        false => asked::last_user_text(input),
    }
}
