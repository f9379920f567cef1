//! A prompt, which is said in this dialect, and a request with one put in front.

use serde_json::{Map, Value};

use super::check::{check_prompt, checked};
use super::messages_read::read_prompt_messages;
use super::request_read::read_request;
use crate::chat::{Emulated, Error, Message, PromptMessage, Request};
use crate::wire::asked::{Asked, check_joined};
use crate::wire::json::{Edits, quoted};
use crate::wire::prompt::{Prompt, ReadMessages};

/// The two names of one field. A caller that sets either replaces the prompt's setting under both.
const LIMITS: [&str; 2] = ["max_tokens", "max_completion_tokens"];

/// A rendered prompt for a request that leads to `model`.
///
/// # Errors
/// Where a setting has a name that no request can have, or there are too many.
pub fn prompt(messages: Vec<PromptMessage>, settings: &Map<String, Value>, model: &str) -> Result<Prompt, Error> {
    Ok(Prompt::new(messages, settings, model, read_prompt)?)
}

/// Reads a prompt as a chat completion of its own.
fn read_prompt(prompt: Prompt) -> Result<Request, Error> {
    let Prompt { messages, settings, own, .. } = prompt;
    let asked = checked(settings, |_, may_be_empty| check_joined(messages.len(), may_be_empty, "messages"))?;
    let mut emulated = Emulated::default();
    let messages = match own.filter(|_| messages.iter().any(|message| matches!(message, PromptMessage::Raw(_)))) {
        None => read_here(messages, &mut emulated)?,
        Some(own) => match read_here(messages.clone(), &mut emulated) {
            Ok(read) => read,
            Err(_) => read_in_own_words(messages, &own)?,
        },
    };
    Ok(Request { messages, ..read_request(&asked, &mut emulated)? })
}

/// The messages in this dialect.
fn read_here(messages: Vec<PromptMessage>, emulated: &mut Emulated) -> Result<Vec<Message>, Error> {
    check_prompt(&messages)?;
    Ok(read_prompt_messages(messages, emulated)?)
}

/// The messages, of which the caller's are in the caller's own dialect.
fn read_in_own_words(messages: Vec<PromptMessage>, own: &ReadMessages) -> Result<Vec<Message>, Error> {
    let mut read = Vec::with_capacity(messages.len());
    let mut run = Vec::new();
    for message in messages {
        match message {
            PromptMessage::Raw(message) => run.push(message),
            PromptMessage::Text { role, content } => {
                read.extend(own(&std::mem::take(&mut run))?);
                read.push(Message::text(role, content));
            }
        }
    }
    read.extend(own(&run)?);
    Ok(read)
}

/// The caller's request with the prompt's messages before its own, and the prompt's settings where it has none.
pub(super) fn prompted(asked: &Asked, prompt: &Prompt) -> Result<Asked, Error> {
    let mut edits = Edits::default();
    edits.set("messages", joined(&prompt.messages, asked.object.get("messages").unwrap_or("[]")));
    edits.remove("prompt");
    edits.set("model", quoted(&prompt.model));
    for (name, json) in prompt.settings.iter().filter(|(name, _)| !["model", "messages"].contains(name)) {
        let is_replaced = LIMITS.contains(&name) && asked.max_tokens.is_some();
        if asked.object.get(name).is_none() && !is_replaced {
            edits.set(name, json.to_owned());
        }
    }
    checked(asked.object.with(&edits)?, |_, may_be_empty| {
        check_prompt(&prompt.messages)?;
        check_joined(prompt.messages.len() + asked.turns, may_be_empty, "messages")
    })
}

/// The prompt's messages and the caller's, as one JSON list.
fn joined(prompt: &[PromptMessage], own: &str) -> String {
    let own = own.strip_prefix('[').and_then(|own| own.strip_suffix(']')).unwrap_or_default().trim();
    // Writing to memory cannot fail.
    let mut list = serde_json::to_string(prompt).unwrap_or_else(|_| "[]".to_owned());
    if !own.is_empty() {
        list.reserve(own.len() + 1);
        list.pop();
        list.push_str(if prompt.is_empty() { "" } else { "," });
        list.push_str(own);
        list.push(']');
    }
    list
}
