//! Writes messages as the items of a request's `input`.

use serde_json::{Value, json};

use super::idiom::unsupported;
use super::part_write::{output_text, write_annotation, write_part};
use crate::chat::{Content, Emulated, Message, Part, Role};
use crate::wire::fields::{FieldError, Path};

/// Appends the items of one message to `items`.
pub(super) fn write_message(
    message: &Message,
    path: &Path<'_>,
    items: &mut Vec<Value>,
    emulated: &mut Emulated,
) -> Result<(), FieldError> {
    if message.name.is_some() {
        emulated.note("name");
    }
    match message.role {
        Role::Assistant => write_assistant(message, path, items, emulated),
        role => write_other(message, role, path, items, emulated),
    }
}

fn write_other(
    message: &Message,
    role: Role,
    path: &Path<'_>,
    items: &mut Vec<Value>,
    emulated: &mut Emulated,
) -> Result<(), FieldError> {
    let role = match role {
        Role::System => "system",
        Role::Developer => "developer",
        _ => "user",
    };
    let mut content = Vec::new();
    for (n, part) in message.parts.iter().enumerate() {
        let path = path.item("content", n);
        if matches!(part.content, Content::ToolResult { .. }) {
            flush(role, &mut content, items);
            items.push(write_result(part, path, emulated)?);
        } else {
            content.push(write_part(part, path, emulated)?);
        }
    }
    if message.parts.is_empty() {
        items.push(json!({"type": "message", "role": role, "content": []}));
    }
    flush(role, &mut content, items);
    Ok(())
}

fn flush(role: &str, content: &mut Vec<Value>, items: &mut Vec<Value>) {
    if !content.is_empty() {
        let content = std::mem::take(content);
        items.push(json!({"type": "message", "role": role, "content": content}));
    }
}

fn write_result(part: &Part, path: Path<'_>, emulated: &mut Emulated) -> Result<Value, FieldError> {
    let Content::ToolResult { id, parts, is_error, .. } = &part.content else {
        return Err(unsupported(path, "this part is no result of a tool"));
    };
    if part.cache.is_some() {
        emulated.note("cache_control");
    }
    if *is_error {
        // The dialect has no field for a failed result; the model reads of it in the result's text.
        emulated.note("is_error");
    }
    let output = match &parts[..] {
        [] => json!(""),
        [part] if part.as_text().is_some() => json!(part.as_text()),
        parts => {
            let each = |(n, part)| write_part(part, path.item("content", n), emulated);
            parts.iter().enumerate().map(each).collect::<Result<Value, FieldError>>()?
        }
    };
    Ok(json!({"type": "function_call_output", "call_id": id, "output": output}))
}

fn write_assistant(
    message: &Message,
    path: &Path<'_>,
    items: &mut Vec<Value>,
    emulated: &mut Emulated,
) -> Result<(), FieldError> {
    let mut content = Vec::new();
    for (n, part) in message.parts.iter().enumerate() {
        if part.cache.is_some() {
            emulated.note("cache_control");
        }
        let item = match &part.content {
            Content::Text { text, citations } => {
                let annotations: Vec<_> = citations.iter().map(|citation| write_annotation(citation, text)).collect();
                content.push(output_text(text, &annotations));
                continue;
            }
            Content::Refusal(text) => {
                content.push(json!({"type": "refusal", "refusal": text}));
                continue;
            }
            // A thought that OpenAI did not encrypt is an item that it should have stored, which it looks for in vain.
            Content::Thinking(_) if part.signature.is_none() => {
                emulated.note("thinking");
                continue;
            }
            Content::Thinking(text) => reasoning(Some(text), part.signature.as_deref()),
            Content::RedactedThinking(data) => reasoning(None, Some(data)),
            Content::ToolCall { id, name, arguments } => {
                let arguments = if arguments.is_empty() { "{}" } else { arguments };
                json!({"type": "function_call", "call_id": id, "name": name, "arguments": arguments})
            }
            _ => {
                let what = "the assistant's own messages hold text, refusals, thoughts and tool calls";
                return Err(unsupported(path.item("content", n), what));
            }
        };
        flush_assistant(&mut content, items);
        items.push(item);
    }
    flush_assistant(&mut content, items);
    Ok(())
}

fn flush_assistant(content: &mut Vec<Value>, items: &mut Vec<Value>) {
    if !content.is_empty() {
        let content = std::mem::take(content);
        items.push(json!({"type": "message", "role": "assistant", "status": "completed", "content": content}));
    }
}

/// A reasoning item; without an id, since no item is stored.
fn reasoning(text: Option<&str>, proof: Option<&str>) -> Value {
    let summary: Vec<Value> = text.map(|text| json!({"type": "summary_text", "text": text})).into_iter().collect();
    let mut item = json!({"type": "reasoning", "summary": summary});
    if let Some(proof) = proof {
        item["encrypted_content"] = proof.into();
    }
    item
}
