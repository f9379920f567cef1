//! A chat request: checked, but kept as the bytes it came as.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::chat::{Code, Error};
use crate::wire::dialect::{Asked, PromptRef};
use crate::wire::fields::{Check, Field, check_fields};
use crate::wire::json::{Flaw, Object, fields, items, unescaped};

/// The most messages that a request may have.
const MAX_MESSAGES: usize = 10_000;

/// What a message's `role` may be.
const ROLES: [&str; 6] = ["developer", "system", "user", "assistant", "tool", "function"];

/// What OpenAI's own reference says of each field that we know. Unknown fields pass as they are.
const FIELDS: &[Field] = &[
    ("model", Check::Text, false),
    ("messages", Check::AnyList, false),
    ("audio", Check::Object, true),
    ("frequency_penalty", Check::Number(-2.0..=2.0), true),
    ("function_call", Check::TextOrObject, false),
    ("functions", Check::List, false),
    ("logit_bias", Check::Object, true),
    ("logprobs", Check::Bool, true),
    ("max_completion_tokens", Check::Integer(1..=i64::MAX), true),
    ("max_tokens", Check::Integer(1..=i64::MAX), true),
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

#[derive(Deserialize)]
struct MessageShape<'a> {
    role: Option<Value>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

/// Reads and checks a body.
///
/// # Errors
/// A 400 that names the field at fault.
pub fn read(body: Bytes) -> Result<Asked, Error> {
    let object = Object::read(body)?;
    check_fields(&object, FIELDS)?;
    let prompt = object.get("prompt").map(read_prompt).transpose()?;
    let model = match object.get("model") {
        Some(json) => read_text("model", json)?,
        None if prompt.as_ref().is_some_and(|prompt| prompt.id.is_some()) => String::new(),
        None => return Err(Error::field("model", "`model` is missing")),
    };
    match object.get("messages") {
        Some(messages) => check_messages(messages, prompt.is_some() || model.starts_with("prompt/"))?,
        None if prompt.is_some() || model.starts_with("prompt/") => {}
        None => return Err(Error::field("messages", "`messages` is missing")),
    }
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
    Ok(Asked { model, stream, include_usage, max_tokens, choices, prompt, object })
}

/// Whether a list of messages has an image in it.
#[must_use]
pub fn has_images(messages: &str) -> bool {
    memchr::memmem::find(messages.as_bytes(), b"\"image_url\"").is_some()
}

/// The text of the last message of the user; empty where there is none.
#[must_use]
pub fn last_user_text(messages: &str) -> String {
    let Ok(messages) = serde_json::from_str::<Vec<MessageShape<'_>>>(messages) else { return String::new() };
    let is_user = |message: &&MessageShape<'_>| message.role.as_ref().is_some_and(|role| role == "user");
    let content = messages.iter().rev().find(is_user).and_then(|message| message.content);
    match content.and_then(|content| serde_json::from_str(content.get()).ok()) {
        Some(Value::String(text)) => text,
        Some(Value::Array(parts)) => parts.iter().filter_map(|part| part.get("text")?.as_str()).collect(),
        _ => String::new(),
    }
}

fn read_text(name: &str, json: &str) -> Result<String, Error> {
    serde_json::from_str(json).map_err(|error| Error::field(name, format!("`{name}` cannot be read: {error}")))
}

pub(in crate::wire) fn read_prompt(json: &str) -> Result<PromptRef, Error> {
    let prompt: PromptRef = serde_json::from_str(json).map_err(|error| {
        Error::field("prompt", format!("`prompt` must be {{\"id\", \"version\" or \"label\", \"variables\"}}: {error}"))
    })?;
    if prompt.version.is_some() && prompt.label.is_some() {
        return Err(Error::field("prompt", "`prompt` names a `version` or a `label`, not both"));
    }
    Ok(prompt)
}

fn read_stream_options(json: &str) -> Result<bool, Error> {
    let options: StreamOptions = serde_json::from_str(json).map_err(|_| {
        Error::field("stream_options.include_usage", "`stream_options.include_usage` must be true or false")
    })?;
    Ok(options.include_usage.unwrap_or(false))
}

fn check_messages(json: &str, may_be_empty: bool) -> Result<(), Error> {
    if !json.starts_with('[') {
        return Err(Error::field("messages", "`messages` must be a list"));
    }
    let mut count = 0;
    for (n, message) in items(json).enumerate() {
        count = n + 1;
        if count <= MAX_MESSAGES {
            check_message(message)
                .map_err(|(field, message)| Error::field(format!("messages[{n}]{field}"), message))?;
        }
    }
    if count == 0 && !may_be_empty {
        return Err(Error::field("messages", "`messages` must be a list that is not empty"));
    }
    if count > MAX_MESSAGES {
        return Err(Error::field("messages", format!("{count} messages are more than the {MAX_MESSAGES} allowed")));
    }
    Ok(())
}

fn check_message(json: &str) -> Result<(), (&'static str, String)> {
    if !json.starts_with('{') {
        return Err(("", "a message must be an object with `role` and `content`".to_owned()));
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
    if !ROLES.contains(&&*role) {
        let text = "`role` must be one of developer, system, user, assistant and tool";
        return Err((".role", format!("{text}; it is `{}`", role.chars().take(40).collect::<String>())));
    }
    let content = content.unwrap_or("null");
    let fits = match content.as_bytes().first() {
        Some(b'"') => true,
        Some(b'[') => content[1..].trim_start().starts_with('{'),
        _ => content == "null" && role == "assistant",
    };
    if fits {
        return Ok(());
    }
    Err((".content", "`content` must be a text or a list of parts that is not empty".to_owned()))
}

fn check_tools(object: &Object) -> Result<(), Error> {
    let Some(json) = object.get("tools") else { return Ok(()) };
    let tools: Vec<&RawValue> = serde_json::from_str(json).map_err(|error| Error::field("tools", error.to_string()))?;
    match tools.iter().position(|tool| !tool.get().starts_with('{')) {
        Some(n) => Err(Error::field(format!("tools[{n}]"), "a tool must be an object")),
        None => Ok(()),
    }
}

impl From<Flaw> for Error {
    fn from(flaw: Flaw) -> Self {
        let message = flaw.to_string();
        match flaw {
            Flaw::Twice(name) => Self::field(name, message),
            _ => Self::new(Code::InvalidRequest, message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn a_hundred_thousand_messages_are_refused() {
        let messages = vec![json!({"role": "user", "content": "x"}); 100_000];
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
