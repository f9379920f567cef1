//! A conversation, written as Anthropic wants it: system text apart, no speaker twice in a row, results of tools first,
//! no empty texts.

use serde_json::{Value, json};

use super::part_write::{Blocks, content};
use crate::chat::{Emulated, Message, Role};
use crate::wire::fields::Diagnostic;

/// One turn: its speaker and blocks.
type Turn = (Role, Vec<Value>);

/// Writes a conversation: the system text before it, its messages, and whether a block names an uploaded file.
pub(super) fn write_conversation(
    messages: &[Message],
    emulated: &mut Emulated,
) -> Result<(Option<Value>, Vec<Value>, bool), Diagnostic> {
    let mut blocks = Blocks::new(messages, emulated);
    let mut system = Vec::new();
    let mut turns: Vec<Turn> = Vec::new();
    for (n, message) in messages.iter().enumerate() {
        let role = match message.role {
            Role::System | Role::Developer => Role::System,
            Role::User | Role::Tool => Role::User,
            Role::Assistant => Role::Assistant,
        };
        if message.name.is_some() {
            blocks.emulated.note("name");
        }
        let written = blocks.message(message, role, n)?;
        match turns.last_mut() {
            _ if written.is_empty() => {}
            None if role == Role::System => system.extend(written),
            Some((before, all)) if *before == role => all.extend(written),
            _ => turns.push((role, written)),
        }
    }
    if turns.is_empty() {
        let text = "must hold a message that is not empty, besides those of the system";
        return Err(Diagnostic::wrong("messages", text));
    }
    let system = (!system.is_empty()).then(|| content(system));
    Ok((system, turns.into_iter().map(write_turn).collect(), blocks.files))
}

fn write_turn((role, mut blocks): Turn) -> Value {
    blocks.sort_by_key(|block| block.get("type") != Some(&json!("tool_result")));
    let role = match role {
        Role::Assistant => "assistant",
        Role::System | Role::Developer => "system",
        Role::User | Role::Tool => "user",
    };
    json!({"role": role, "content": content(blocks)})
}
