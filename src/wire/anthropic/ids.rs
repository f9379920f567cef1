//! Ids of tool calls: Anthropic takes only `^[a-zA-Z0-9_-]+$`, so others are rewritten, each one the same way throughout.

use std::collections::{HashMap, HashSet};

use crate::chat::{Content, Emulated, Message};

/// The ids of one conversation and what they become.
#[derive(Default)]
pub(super) struct Ids(HashMap<String, String>);

impl Ids {
    /// Finds new ids for those of a conversation that do not fit.
    pub(super) fn of(messages: &[Message], emulated: &mut Emulated) -> Self {
        let all: Vec<&str> =
            messages.iter().flat_map(|message| &message.parts).filter_map(|part| id(&part.content)).collect();
        let mut taken: HashSet<String> = all.iter().filter(|id| fits(id)).map(|id| (*id).to_owned()).collect();
        let mut ids = HashMap::new();
        for old in all.into_iter().filter(|id| !fits(id)) {
            if ids.contains_key(old) {
                continue;
            }
            emulated.note("tool_call_id");
            let mut fresh: String = old.chars().map(|letter| if fitting(letter) { letter } else { '_' }).collect();
            if fresh.is_empty() {
                fresh.push_str("call");
            }
            let stem = fresh.clone();
            for n in 2.. {
                if taken.insert(fresh.clone()) {
                    break;
                }
                fresh = format!("{stem}_{n}");
            }
            ids.insert(old.to_owned(), fresh);
        }
        Self(ids)
    }

    /// What an id becomes.
    pub(super) fn of_id<'a>(&'a self, id: &'a str) -> &'a str {
        self.0.get(id).map_or(id, String::as_str)
    }
}

fn id(content: &Content) -> Option<&str> {
    match content {
        Content::ToolCall { id, .. } | Content::ToolResult { id, .. } => Some(id),
        _ => None,
    }
}

fn fits(id: &str) -> bool {
    !id.is_empty() && id.chars().all(fitting)
}

/// Whether a letter may stand in a tool call's id or a tool's name.
pub(super) fn fitting(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_' || letter == '-'
}
