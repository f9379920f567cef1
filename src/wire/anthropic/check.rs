//! A caller's body: its top level is checked, and its bytes stay as they are.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::chat::Error;
use crate::wire::asked::{Asked, Named, check_count, check_tools};
use crate::wire::fields::{Check, Field, check_fields};
use crate::wire::json::Object;

/// The fields that Anthropic's own reference describes. Other fields pass as they are.
const FIELDS: &[Field] = &[
    ("model", Check::Text, false),
    ("messages", Check::AnyList, false),
    ("max_tokens", Check::Integer(1..=100_000_000), false),
    ("cache_control", Check::Object, true),
    ("container", Check::TextOrObject, true),
    ("context_management", Check::Object, true),
    ("mcp_servers", Check::AnyList, false),
    ("metadata", Check::Object, true),
    ("output_config", Check::Object, true),
    ("prompt", Check::Object, false),
    ("service_tier", Check::Text, true),
    ("speed", Check::Text, true),
    ("stop_sequences", Check::AnyList, true),
    ("stream", Check::Bool, true),
    ("temperature", Check::Number(0.0..=1.0), true),
    ("thinking", Check::Object, true),
    ("tool_choice", Check::Object, true),
    ("tools", Check::AnyList, true),
    ("top_k", Check::Integer(0..=i64::MAX), true),
    ("top_p", Check::Number(0.0..=1.0), true),
];

#[derive(Deserialize)]
struct MessageShape<'a> {
    role: Option<Value>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

/// Reads and checks a body. Counting tokens needs no `max_tokens`.
pub(super) fn read(body: Bytes, needs_limit: bool) -> Result<Asked, Error> {
    checked(Object::read(body)?, needs_limit, check_messages)
}

/// Checks an object; `turns` checks its messages, which may be none where it is told so, and counts them.
pub(super) fn checked(
    object: Object,
    needs_limit: bool,
    turns: impl FnOnce(&str, bool) -> Result<usize, Error>,
) -> Result<Asked, Error> {
    check_fields(&object, FIELDS)?;
    let named = Named::read(&object)?;
    let turns = match object.get("messages") {
        Some(messages) => turns(messages, named.is_prompt())?,
        None if named.is_prompt() => 0,
        None => return Err(Error::field("messages", "`messages` is missing")),
    };
    if let Some(system) = object.get("system") {
        check_system(system)?;
    }
    check_tools(&object)?;
    let max_tokens = object.get("max_tokens").and_then(|json| json.parse().ok());
    if needs_limit && max_tokens.is_none() && !named.is_prompt() {
        return Err(Error::field("max_tokens", "`max_tokens` is missing"));
    }
    let stream = object.get("stream") == Some("true");
    let Named { model, prompt } = named;
    Ok(Asked { model, stream, include_usage: true, max_tokens, choices: 1, turns, prompt, object })
}

/// Whether a list of messages has an image in it: a block of type `image`, however it is spaced.
pub(super) fn has_images(messages: &str) -> bool {
    let is_type = |before: &str| {
        before.trim_ascii_end().strip_suffix(':').is_some_and(|before| before.trim_ascii_end().ends_with("\"type\""))
    };
    memchr::memmem::find_iter(messages.as_bytes(), b"\"image\"").any(|at| messages.get(..at).is_some_and(is_type))
}

fn check_system(json: &str) -> Result<(), Error> {
    if json == "null" || json.starts_with('"') || json.starts_with('[') {
        return Ok(());
    }
    Err(Error::field("system", "`system` must be a text or a list of text blocks"))
}

fn check_messages(json: &str, may_be_empty: bool) -> Result<usize, Error> {
    let messages: Vec<&RawValue> =
        serde_json::from_str(json).map_err(|error| Error::field("messages", error.to_string()))?;
    if messages.is_empty() && !may_be_empty {
        return Err(Error::field("messages", "`messages` must be a list that is not empty"));
    }
    check_count(messages.len(), "messages")?;
    for (n, message) in messages.iter().enumerate() {
        check_message(message.get())
            .map_err(|(field, message)| Error::field(format!("messages[{n}]{field}"), message))?;
    }
    Ok(messages.len())
}

fn check_message(json: &str) -> Result<(), (&'static str, String)> {
    if !json.starts_with('{') {
        return Err(("", "a message must be an object with `role` and `content`".to_owned()));
    }
    let message: MessageShape<'_> = serde_json::from_str(json).map_err(|error| ("", error.to_string()))?;
    let role = message.role.unwrap_or_default();
    if !["user", "assistant", "system"].iter().any(|known| role == *known) {
        return Err((".role", format!("`role` must be one of user, assistant and system; it is `{role}`")));
    }
    let content = message.content.map_or("null", RawValue::get);
    if content.starts_with('"') || content.starts_with('[') {
        return Ok(());
    }
    Err((".content", "`content` must be a text or a list of blocks".to_owned()))
}
