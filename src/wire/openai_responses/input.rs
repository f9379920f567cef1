//! Reads a request's `input` into messages.

use serde_json::{Map, Value};

use super::parts::{optional, read_content, required, unsupported, wrong};
use crate::chat::{Content, Emulated, Error, Message, Part, Role};

/// Reads `input`. What the model said in a row is one message of the assistant; results of tools in a row, with what the
/// user says right after them, are one message of the user.
pub(super) fn read_input(input: &Value, emulated: &mut Emulated) -> Result<Vec<Message>, Error> {
    let items = match input {
        Value::String(text) => return Ok(vec![Message::text(Role::User, text)]),
        Value::Array(items) => items,
        _ => return Err(wrong("input", "must be a text or a list of items")),
    };
    let mut messages: Vec<Message> = Vec::new();
    for (n, item) in items.iter().enumerate() {
        let path = format!("input[{n}]");
        let Value::Object(item) = item else { return Err(wrong(path, "must be an object")) };
        let (role, parts) = read_item(item, &path, &messages, emulated)?;
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

/// Whether what comes belongs to the last message.
fn joins(last: &Message, role: Role) -> bool {
    let is_result = |part: &Part| matches!(part.content, Content::ToolResult { .. });
    match role {
        Role::Assistant => last.role == Role::Assistant,
        Role::User => last.role == Role::User && !last.parts.is_empty() && last.parts.iter().all(is_result),
        _ => false,
    }
}

fn read_item(
    item: &Map<String, Value>,
    path: &str,
    before: &[Message],
    emulated: &mut Emulated,
) -> Result<(Role, Vec<Part>), Error> {
    let kind = optional(item, "type", path)?;
    match kind.as_deref() {
        None | Some("message") => read_message(item, path, emulated),
        Some("function_call") => {
            refuse_set(item, "namespace", path)?;
            let call = Content::ToolCall {
                id: required(item, "call_id", path)?,
                name: required(item, "name", path)?,
                arguments: required(item, "arguments", path)?,
            };
            Ok((Role::Assistant, vec![Part::new(call)]))
        }
        Some("function_call_output") => {
            let id = required(item, "call_id", path)?;
            let output = item.get("output").unwrap_or(&Value::Null);
            let mut parts = read_content(output, &format!("{path}.output"), emulated)?;
            parts.retain(|part| part.as_text() != Some(""));
            let name = name_of(before, &id);
            Ok((Role::User, vec![Part::new(Content::ToolResult { id, name, parts, is_error: false })]))
        }
        Some("reasoning") => {
            let thought = read_reasoning(item);
            if thought.is_none() {
                // An item with nothing in it points at what OpenAI kept.
                emulated.note("reasoning");
            }
            Ok((Role::Assistant, thought.into_iter().collect()))
        }
        Some(other) => {
            let what = format!("an item of type `{other}` cannot be said in any other dialect");
            Err(unsupported(format!("{path}.type"), &what))
        }
    }
}

fn refuse_set(item: &Map<String, Value>, name: &str, path: &str) -> Result<(), Error> {
    match item.get(name) {
        None | Some(Value::Null) => Ok(()),
        Some(_) => Err(unsupported(format!("{path}.{name}"), &format!("`{name}` cannot be said in any other dialect"))),
    }
}

fn read_message(item: &Map<String, Value>, path: &str, emulated: &mut Emulated) -> Result<(Role, Vec<Part>), Error> {
    let role = match required(item, "role", path)?.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        "developer" => Role::Developer,
        _ => return Err(wrong(format!("{path}.role"), "must be one of user, assistant, system and developer")),
    };
    if item.get("phase").is_some_and(|phase| !phase.is_null()) {
        emulated.note("phase");
    }
    let content = item.get("content").unwrap_or(&Value::Null);
    Ok((role, read_content(content, &format!("{path}.content"), emulated)?))
}

/// The name of the tool that this call called.
fn name_of(before: &[Message], id: &str) -> Option<String> {
    before.iter().rev().flat_map(|message| &message.parts).find_map(|part| match &part.content {
        Content::ToolCall { id: called, name, .. } if called == id => Some(name.clone()),
        _ => None,
    })
}

/// A reasoning item as a part: its summary, or its own words where it has no summary, with `encrypted_content` as its
/// proof; only `encrypted_content` is a thought that only OpenAI reads. `None` for an item with nothing in it.
pub(super) fn read_reasoning(item: &Map<String, Value>) -> Option<Part> {
    let texts = |name: &str| -> Vec<&str> {
        let list = item.get(name).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(|part| part.get("text")?.as_str()).collect()
    };
    let encrypted = item.get("encrypted_content").and_then(Value::as_str).map(str::to_owned);
    let mut said = texts("summary");
    if said.is_empty() {
        said = texts("content");
    }
    if said.is_empty() {
        return encrypted.map(|data| Part::new(Content::RedactedThinking(data)));
    }
    Some(Part { signature: encrypted, ..Part::new(Content::Thinking(said.join("\n\n"))) })
}
