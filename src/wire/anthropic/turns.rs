//! A conversation, written as Anthropic wants it: system text apart, no speaker twice in a row, results of tools first,
//! no empty texts.

use serde_json::{Value, json};

use super::part_write::{Blocks, content};
use crate::chat::{Emulated, Message, Role};
use crate::wire::capabilities::{Capabilities, LateSystem};
use crate::wire::fields::FieldError;
use crate::wire::json::{fields, items};
use crate::wire::roles;

/// One turn: its speaker and blocks.
type Turn = (Role, Vec<Value>);

/// Writes a conversation: the system text before it, its messages, and whether a block names an uploaded file.
pub(super) fn write_conversation(
    messages: &[Message],
    late: LateSystem,
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
        if written.is_empty() {
            continue;
        }
        let Some((before, _)) = turns.last() else {
            match role {
                Role::System => system.extend(written),
                role => turns.push((role, written)),
            }
            continue;
        };
        let role = match role {
            Role::System if !stands(late, Some(*before), roles_of(&messages[n + 1..])) => {
                blocks.emulated.note("system_position");
                Role::User
            }
            role => role,
        };
        match turns.last_mut() {
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

/// The roles of the messages that say something.
fn roles_of(messages: &[Message]) -> impl Iterator<Item = Role> {
    messages.iter().filter(|message| !message.parts.is_empty()).map(|message| roles::plain(message.role))
}

/// The messages, of these of the system, that a model of this name does not take where they stand in a list.
pub(super) fn misplaced(messages: &str, places: &[usize], model: &str) -> Vec<usize> {
    let late = Capabilities::named(model).late_system;
    let role_of = |message| match fields(message).find(|(name, _)| *name == "role") {
        Some((_, "\"assistant\"")) => Role::Assistant,
        Some((_, "\"system\"")) => Role::System,
        _ => Role::User,
    };
    let roles: Vec<Role> = items(messages).map(role_of).collect();
    let is_misplaced = |place: &&usize| {
        let (before, behind) = (roles.get(..**place).unwrap_or_default(), roles.get(**place + 1..).unwrap_or_default());
        !stands(late, before.last().copied(), behind.iter().copied())
    };
    places.iter().filter(is_misplaced).copied().collect()
}

/// Whether a text of the system may stand behind a turn of this speaker and before these messages (Anthropic, Mid-conversation
/// system messages). Texts of the system in a row are one.
fn stands(late: LateSystem, before: Option<Role>, mut behind: impl Iterator<Item = Role>) -> bool {
    match late {
        LateSystem::Anywhere => true,
        LateSystem::Nowhere => false,
        LateSystem::BehindUser => {
            let next = behind.find(|role| *role != Role::System);
            matches!(before, Some(Role::User | Role::System)) && next.is_none_or(|role| role == Role::Assistant)
        }
    }
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
