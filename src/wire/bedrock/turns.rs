//! A conversation, written as Converse wants it: system text apart, no speaker twice in a row, results of tools first, no
//! empty texts.

use serde_json::{Value, json};

use super::family::Family;
use super::idiom::not_here;
use super::part_write::{Blocks, cache_point};
use crate::chat::{Content, Emulated, Message, Request, Role};
use crate::wire::fields::{FieldError, Path};
use crate::wire::roles;

/// A conversation, written.
pub(super) struct Conversation {
    /// The system text's blocks.
    pub(super) system: Vec<Value>,
    /// The messages.
    pub(super) messages: Vec<Value>,
    /// Whether tools were called in it.
    pub(super) has_calls: bool,
}

/// One turn: its speaker, and for each part whether it is a tool's result and its blocks. A cache mark is a block of its
/// own, which stays behind its part.
struct Turn {
    role: Role,
    parts: Vec<(bool, Vec<Value>)>,
}

/// Writes a conversation.
pub(super) fn write(request: &Request, family: Family, emulated: &mut Emulated) -> Result<Conversation, FieldError> {
    let mut blocks = Blocks::new(&request.messages, family, emulated);
    let mut system = Vec::new();
    let mut turns: Vec<Turn> = Vec::new();
    let mut has_calls = false;
    for (n, message) in request.messages.iter().enumerate() {
        if message.name.is_some() {
            return Err(not_here(Path::of_item("messages", n).field("name"), "its speakers have no names"));
        }
        let role = roles::plain(message.role);
        let parts = parts(&mut blocks, message, role, n)?;
        has_calls |= message.parts.iter().any(|part| is_call(&part.content));
        if role == Role::System {
            if !turns.is_empty() && !parts.is_empty() {
                blocks.emulated.note("system_position");
            }
            system.extend(parts.into_iter().flat_map(|(_, blocks)| blocks));
            continue;
        }
        match turns.last_mut() {
            _ if parts.is_empty() => {}
            Some(turn) if turn.role == role => turn.parts.extend(parts),
            _ => turns.push(Turn { role, parts }),
        }
    }
    let Some(last) = turns.last_mut() else {
        return Err(roles::no_message());
    };
    if let Some(ttl) = request.cache {
        last.parts.extend(cache_point(ttl, family, blocks.emulated).map(|mark| (false, vec![mark])));
    }
    let messages = turns.into_iter().map(|turn| message(turn, blocks.emulated)).collect();
    Ok(Conversation { system, messages, has_calls })
}

fn is_call(content: &Content) -> bool {
    matches!(content, Content::ToolCall { .. } | Content::ToolResult { .. })
}

fn parts(
    blocks: &mut Blocks<'_>,
    message: &Message,
    role: Role,
    n: usize,
) -> Result<Vec<(bool, Vec<Value>)>, FieldError> {
    let outer = Path::of_item("messages", n);
    let mut written_parts = Vec::with_capacity(message.parts.len());
    for (place, part) in message.parts.iter().enumerate() {
        let path = outer.item("content", place);
        if !roles::may_have(role, &part.content) {
            return Err(not_here(path, "its role cannot say such a part there"));
        }
        let is_result = matches!(part.content, Content::ToolResult { .. });
        let written = blocks.part(part, &path)?;
        if !written.is_empty() {
            written_parts.push((is_result, written));
        }
    }
    Ok(written_parts)
}

/// The text beside documents without one, which Converse requires.
const WITH_DOCUMENTS: &str = "See the attached document.";

fn message(Turn { role, mut parts }: Turn, emulated: &mut Emulated) -> Value {
    parts.sort_by_key(|(is_result, _)| !is_result);
    let mut content: Vec<Value> = parts.into_iter().flat_map(|(_, blocks)| blocks).collect();
    let has = |name: &str| content.iter().any(|block| block.get(name).is_some());
    if has("document") && !has("text") {
        emulated.note("document_text");
        content.push(json!({"text": WITH_DOCUMENTS}));
    }
    json!({"role": if role == Role::Assistant { "assistant" } else { "user" }, "content": content})
}
