//! A conversation, written as Anthropic wants it: system text apart, no speaker twice in a row, results of tools first,
//! no empty texts.

use serde_json::{Value, json};

use super::part_write::{Blocks, content};
use crate::chat::{Emulated, Message, Role};
use crate::wire::fields::FieldError;
use crate::wire::roles;

/// One turn: its speaker and blocks.
type Turn = (Role, Vec<Value>);

/// Writes a conversation: the system text before it, its messages, and whether a block names an uploaded file.
pub(super) fn write_conversation(
    messages: &[Message],
    emulated: &mut Emulated,
) -> Result<(Option<Value>, Vec<Value>, bool), FieldError> {
    let mut blocks = Blocks::new(messages, emulated);
    let mut system = Vec::new();
    let mut turns: Vec<Turn> = Vec::new();
    for (n, message) in messages.iter().enumerate() {
        let role = roles::plain(message.role);
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
        return Err(roles::no_message());
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
