//! Reads a request's `input` into messages.

use serde_json::{Map, Value};

use super::custom;
use super::idiom::{IDIOM, unsupported};
use super::part_read::read_content;
use crate::chat::{Content, Emulated, Message, Part, Role};
use crate::wire::fields::{FieldError, Path, Place};

/// Reads `input`. Items of the model in a row are one message of the assistant; results of tools in a row, with the user's
/// messages right after them, are one message of the user.
pub(super) fn read_input(input: Value, emulated: &mut Emulated) -> Result<Vec<Message>, FieldError> {
    let items = match input {
        Value::String(text) => return Ok(vec![Message::text(Role::User, text)]),
        Value::Array(items) => items,
        _ => return Err(FieldError::wrong("input", "must be a text or a list of items")),
    };
    let mut messages: Vec<Message> = Vec::new();
    for (n, item) in items.into_iter().enumerate() {
        let item = Place::of(item, Path::of_item("input", n), &IDIOM)?;
        let (role, parts) = read_item(item, &messages, emulated)?;
        if role == Role::Assistant && parts.is_empty() {
            continue;
        }
        match messages.last_mut() {
            Some(last) if joins(last, role) => last.parts.extend(parts),
            _ => messages.push(Message { role, parts, name: None }),
        }
    }
    Ok(messages)
}

/// Whether the next item belongs to the last message.
fn joins(last: &Message, role: Role) -> bool {
    let is_result = |part: &Part| matches!(part.content, Content::ToolResult { .. });
    match role {
        Role::Assistant => last.role == Role::Assistant,
        Role::User => last.role == Role::User && !last.parts.is_empty() && last.parts.iter().all(is_result),
        _ => false,
    }
}

fn read_item(
    mut item: Place<'_>,
    before: &[Message],
    emulated: &mut Emulated,
) -> Result<(Role, Vec<Part>), FieldError> {
    let kind = item.maybe_text("type")?;
    match kind.as_deref() {
        None | Some("message") => read_message(item, emulated),
        Some("function_call") => {
            if item.has("namespace") {
                return Err(unsupported(item.at("namespace"), "`namespace` cannot be expressed in any other dialect"));
            }
            let call = Content::ToolCall {
                id: item.text("call_id")?,
                name: item.text("name")?,
                arguments: item.text("arguments")?,
            };
            Ok((Role::Assistant, vec![Part::new(call)]))
        }
        Some("custom_tool_call") => Ok((Role::Assistant, vec![Part::new(custom::read_call(item)?)])),
        Some("function_call_output" | "custom_tool_call_output") => {
            let id = item.text("call_id")?;
            let output = item.take("output").unwrap_or_default();
            let mut parts = read_content(output, item.at("output"), emulated)?;
            parts.retain(|part| part.as_text() != Some(""));
            let name = name_of(before, &id);
            Ok((Role::User, vec![Part::new(Content::ToolResult { id, name, parts, is_error: false })]))
        }
        Some("reasoning") => {
            let thought = read_reasoning(item.rest());
            if thought.is_none() {
                // An empty item refers to one that OpenAI stored.
                emulated.note("reasoning");
            }
            Ok((Role::Assistant, thought.into_iter().collect()))
        }
        Some(other) => {
            let what = format_args!("an item of type `{other}` cannot be expressed in any other dialect");
            Err(unsupported(item.at("type"), what))
        }
    }
}

fn read_message(mut item: Place<'_>, emulated: &mut Emulated) -> Result<(Role, Vec<Part>), FieldError> {
    let role = match item.text("role")?.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        "developer" => Role::Developer,
        _ => return Err(item.wrong("role", "must be one of user, assistant, system and developer")),
    };
    if item.has("phase") {
        emulated.note("phase");
    }
    let content = item.take("content").unwrap_or_default();
    Ok((role, read_content(content, item.at("content"), emulated)?))
}

/// The name of the tool that this call called.
fn name_of(before: &[Message], id: &str) -> Option<String> {
    before.iter().rev().flat_map(|message| &message.parts).find_map(|part| match &part.content {
        Content::ToolCall { id: called, name, .. } if called == id => Some(name.clone()),
        _ => None,
    })
}

/// A reasoning item as a part: its summary, or its text where it has no summary, with `encrypted_content` as the proof. An
/// item of `encrypted_content` alone is a redacted thought. `None` for an empty item.
pub(super) fn read_reasoning(item: &Map<String, Value>) -> Option<Part> {
    let texts = |name: &str| -> Vec<&str> {
        let list = item.get(name).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(|part| part.get("text")?.as_str()).collect()
    };
    let encrypted = item.get("encrypted_content").and_then(Value::as_str).map(str::to_owned);
    let mut paragraphs = texts("summary");
    if paragraphs.is_empty() {
        paragraphs = texts("content");
    }
    if paragraphs.is_empty() {
        return encrypted.map(|data| Part::new(Content::RedactedThinking(data)));
    }
    Some(Part { signature: encrypted, ..Part::new(Content::Thinking(paragraphs.join("\n\n"))) })
}
