//! Checks a chat request, whose bytes stay as they came.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use crate::chat::{Error, PromptMessage};
use crate::wire::asked::{Asked, MAX_TURNS, Named, check_joined, check_tools};
use crate::wire::fields::{Check, Field, check_fields};
use crate::wire::json::{Object, fields, items, unescaped};

/// What a message's `role` may be.
const ROLES: [&str; 6] = ["developer", "system", "user", "assistant", "tool", "function"];

/// The known fields, from OpenAI's reference. Unknown fields pass.
pub(super) const FIELDS: &[Field] = &[
    ("model", Check::Text, false),
    ("messages", Check::AnyList, false),
    ("audio", Check::Object, true),
    ("frequency_penalty", Check::Number(-2.0..=2.0), true),
    ("function_call", Check::TextOrObject, false),
    ("functions", Check::List, false),
    ("logit_bias", Check::Object, true),
    ("logprobs", Check::Bool, true),
    ("max_completion_tokens", Check::Integer(1..=100_000_000), true),
    ("max_tokens", Check::Integer(1..=100_000_000), true),
    ("metadata", Check::Object, true),
    ("modalities", Check::List, true),
    ("n", Check::Integer(1..=128), true),
    ("parallel_tool_calls", Check::Bool, false),
    ("prediction", Check::Object, true),
    ("presence_penalty", Check::Number(-2.0..=2.0), true),
    ("prompt", Check::Object, false),
    ("prompt_cache_key", Check::Text, false),
    ("reasoning_effort", Check::Text, true),
    ("response_format", Check::Object, false),
    ("safety_identifier", Check::Text, false),
    ("seed", Check::Integer(i64::MIN..=i64::MAX), true),
    ("service_tier", Check::Text, true),
    ("stop", Check::TextOrList, true),
    ("store", Check::Bool, true),
    ("stream", Check::Bool, true),
    ("stream_options", Check::Object, true),
    ("temperature", Check::Number(0.0..=2.0), true),
    ("tool_choice", Check::TextOrObject, false),
    ("tools", Check::List, false),
    ("top_logprobs", Check::Integer(0..=20), true),
    ("top_p", Check::Number(0.0..=1.0), true),
    ("user", Check::Text, false),
    ("verbosity", Check::Text, true),
    ("web_search_options", Check::Object, false),
];

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: Option<bool>,
}

/// Reads and checks a body.
///
/// # Errors
/// A 400 that names the field at fault.
pub(super) fn read(body: Bytes) -> Result<Asked, Error> {
    checked(Object::read(body)?, check_messages)
}

/// Checks an object; `turns` checks its messages, which may be none where it is told so, and counts them.
///
/// # Errors
/// A 400 that names the field at fault.
pub(super) fn checked(object: Object, turns: impl FnOnce(&str, bool) -> Result<usize, Error>) -> Result<Asked, Error> {
    check_fields(&object, FIELDS)?;
    let named = Named::read(&object)?;
    let turns = match object.get("messages") {
        Some(messages) => turns(messages, named.is_prompt())?,
        None if named.is_prompt() => 0,
        None => return Err(Error::field("messages", "`messages` is missing")),
    };
    check_tools(&object)?;
    let stream = object.get("stream") == Some("true");
    let include_usage = match object.get("stream_options") {
        None | Some("null") => false,
        Some(_) if !stream => {
            return Err(Error::field("stream_options", "`stream_options` is only for requests with `stream: true`"));
        }
        Some(json) => read_stream_options(json)?,
    };
    let number = |name| object.get(name).and_then(|json| json.parse().ok());
    let max_tokens = number("max_completion_tokens").or_else(|| number("max_tokens"));
    let choices = number("n").unwrap_or(1);
    let Named { model, prompt } = named;
    Ok(Asked { model, stream, include_usage, max_tokens, choices, turns, prompt, object })
}

/// Whether a list of messages has an image in it.
pub(super) fn has_images(messages: &str) -> bool {
    memchr::memmem::find(messages.as_bytes(), b"\"image_url\"").is_some()
}

fn read_stream_options(json: &str) -> Result<bool, Error> {
    let options: StreamOptions = serde_json::from_str(json).map_err(|_| {
        Error::field("stream_options.include_usage", "`stream_options.include_usage` must be true or false")
    })?;
    Ok(options.include_usage.unwrap_or(false))
}

fn check_messages(json: &str, may_be_empty: bool) -> Result<usize, Error> {
    if !json.starts_with('[') {
        return Err(Error::field("messages", "`messages` must be a list"));
    }
    let mut count = 0;
    for (n, message) in items(json).enumerate() {
        count = n + 1;
        if count <= MAX_TURNS {
            check_message(message).map_err(|fault| at_message(n, fault))?;
        }
    }
    check_joined(count, may_be_empty, "messages")
}

/// What is wrong with a message: the field, and what to say of it.
type Fault = (&'static str, String);

fn at_message(n: usize, (field, message): Fault) -> Error {
    Error::field(format!("messages[{n}]{field}"), message)
}

fn check_message(json: &str) -> Result<(), Fault> {
    if !json.starts_with('{') {
        return Err(no_message());
    }
    let (mut role, mut content) = (None, None);
    for (name, value) in fields(json) {
        let known = match &*unescaped(name) {
            "role" => &mut role,
            "content" => &mut content,
            _ => continue,
        };
        if known.replace(value).is_some() {
            return Err(("", format!("`{name}` stands twice")));
        }
    }
    let role = unescaped(role.and_then(|role| role.strip_prefix('"')?.strip_suffix('"')).unwrap_or_default());
    let content = content.unwrap_or("null");
    let content = match content.as_bytes().first() {
        Some(b'"') => Content::Text,
        Some(b'[') if content[1..].trim_start().starts_with('{') => Content::Parts,
        _ if content == "null" => Content::None,
        _ => Content::Wrong,
    };
    check_shape(&role, content)
}

/// What a message's `content` is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    None,
    Text,
    Parts,
    Wrong,
}

fn check_shape(role: &str, content: Content) -> Result<(), Fault> {
    if !ROLES.contains(&role) {
        let text = "`role` must be one of developer, system, user, assistant and tool";
        return Err((".role", format!("{text}; it is `{}`", role.chars().take(40).collect::<String>())));
    }
    if content == Content::Wrong || (content == Content::None && role != "assistant") {
        return Err((".content", "`content` must be a text or a list of parts that is not empty".to_owned()));
    }
    Ok(())
}

fn no_message() -> Fault {
    ("", "a message must be an object with `role` and `content`".to_owned())
}

/// The same of a message that a caller gave for a placeholder.
fn check_given(message: &Value) -> Result<(), Fault> {
    let Value::Object(fields) = message else { return Err(no_message()) };
    let role = fields.get("role").and_then(Value::as_str).unwrap_or_default();
    let content = match fields.get("content") {
        None | Some(Value::Null) => Content::None,
        Some(Value::String(_)) => Content::Text,
        Some(Value::Array(parts)) if parts.first().is_some_and(Value::is_object) => Content::Parts,
        Some(_) => Content::Wrong,
    };
    check_shape(role, content)
}

/// Checks the messages of a prompt, of which its own texts are right.
///
/// # Errors
/// A 400 that names the message by its place.
pub(super) fn check_prompt(messages: &[PromptMessage]) -> Result<(), Error> {
    for (n, message) in messages.iter().enumerate().take(MAX_TURNS) {
        if let PromptMessage::Raw(message) = message {
            check_given(message).map_err(|fault| at_message(n, fault))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::asked::last_user_text;
    use serde_json::json;

    fn read(body: &Value) -> Result<Asked, Error> {
        super::read(body.to_string().into())
    }

    #[test]
    fn a_request_of_any_known_field_is_read() {
        let body = json!({
            "model": "fast", "messages": [{"role": "user", "content": "Hi"}], "stream": true, "n": 2,
            "stream_options": {"include_usage": true}, "max_tokens": 9, "max_completion_tokens": 7, "stop": null,
            "temperature": 0, "tools": [{"type": "function"}], "tool_choice": "auto", "top_k": 40, "user": "u",
        });
        let request = read(&body).unwrap();
        assert!(request.stream && request.include_usage && request.object.get("tools").is_some());
        assert_eq!((request.max_tokens, request.choices, request.object.get("user")), (Some(7), 2, Some("\"u\"")));
    }

    #[test]
    fn every_field_refuses_what_it_cannot_hold_and_is_named() {
        let junk = [json!(null), json!([]), json!({}), json!(-1), json!(1e99), json!("")];
        for (name, check, nullable) in FIELDS {
            for value in &junk {
                let text = value.to_string();
                let fits = check.holds(&text) || (*nullable && value.is_null());
                let inner = ["prompt", "stream_options", "messages"].contains(name);
                let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": true});
                body[*name] = value.clone();
                match read(&body) {
                    Ok(_) => assert!(fits || inner, "{name} took {text}"),
                    Err(error) => {
                        assert!(!fits || inner, "{name} refused {text}: {error}");
                        assert_eq!(error.param.as_deref(), Some(*name));
                        assert_eq!(error.status(), 400);
                    }
                }
            }
        }
    }

    #[test]
    fn a_message_at_fault_is_named_by_its_place() {
        for (messages, param) in [
            (json!([3]), "messages[0]"),
            (json!([{"role": "user", "content": "x"}, {"role": "robot", "content": "x"}]), "messages[1].role"),
            (json!([{"content": "x"}]), "messages[0].role"),
            (json!([{"role": "user"}]), "messages[0].content"),
            (json!([{"role": "user", "content": []}]), "messages[0].content"),
            (json!([{"role": "user", "content": 1}]), "messages[0].content"),
        ] {
            let error = read(&json!({"model": "m", "messages": messages})).unwrap_err();
            assert_eq!(error.param.as_deref(), Some(param));
        }
        assert!(read(&json!({"model": "m", "messages": [{"role": "assistant", "tool_calls": []}]})).is_ok());
    }

    #[test]
    fn more_than_ten_thousand_messages_are_refused() {
        let messages = vec![json!({"role": "user", "content": "x"}); 10_001];
        let error = read(&json!({"model": "m", "messages": messages})).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("messages"));
    }

    #[test]
    fn a_prompt_may_stand_for_model_and_messages() {
        let request = read(&json!({"prompt": {"id": "p", "version": "3", "variables": {"a": 1}}})).unwrap();
        assert_eq!(request.prompt.unwrap().version.as_deref(), Some("3"));
        assert!(read(&json!({"model": "prompt/p@production"})).is_ok());
        assert!(read(&json!({"model": "prompt/p", "messages": []})).is_ok());
        for prompt in [json!({"id": "p", "version": "3", "label": "x"}), json!({"id": "p", "api_base": "x"})] {
            assert_eq!(read(&json!({"prompt": prompt})).unwrap_err().param.as_deref(), Some("prompt"));
        }
        assert_eq!(read(&json!({"prompt": {}})).unwrap_err().param.as_deref(), Some("model"));
    }

    #[test]
    fn text_and_images_are_seen() {
        let image = json!([
            {"role": "user", "content": [{"type": "text", "text": "What is "}, {"type": "text", "text": "this?"},
             {"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{}", "A".repeat(40_000))}}]},
            {"role": "assistant", "content": "A cat"},
        ])
        .to_string();
        assert_eq!(last_user_text(&image), "What is this?");
        assert!(has_images(&image));
        assert_eq!(last_user_text("[]"), "");
    }
}
