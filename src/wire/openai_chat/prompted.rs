//! A prompt, which is said in this dialect, and a request with one put in front.

use serde_json::{Map, Value};

use super::check::{check_prompt, checked};
use super::messages_read::read_prompt_messages;
use super::request_read::read_request;
use crate::chat::{Code, Emulated, Error, Message, PromptMessage, Role};
use crate::wire::asked::{Asked, check_joined};
use crate::wire::json::{Edits, quoted};
use crate::wire::prompt::{Brought, CheckMessages, Prompt, Prompted, Said, Segment};

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
fn read_prompt(prompt: Prompt) -> Result<Said, Error> {
    let Prompt { messages, settings, own, .. } = prompt;
    let mut asked = checked(settings, |_, may_be_empty| check_joined(messages.len(), may_be_empty, "messages"))?;
    let conversation = match own.filter(|_| messages.iter().any(|message| matches!(message, PromptMessage::Raw(_)))) {
        None => vec![Segment::Words(read_here(messages)?)],
        Some(own) => match read_here(messages.clone()) {
            Ok(read) => vec![Segment::Words(read)],
            Err(_) => read_in_own_words(&messages, &own)?,
        },
    };
    let mut foreign = Vec::new();
    loop {
        let error = match read_request(&asked, &mut Emulated::default()) {
            Ok(settings) => return Ok(Said { settings, conversation, foreign }),
            Err(error) => error,
        };
        let name = error.param.as_deref().and_then(|param| param.split(['.', '[']).next()).unwrap_or_default();
        let json = asked.object.get(name).filter(|_| error.code == Code::UnsupportedFeature).map(str::to_owned);
        let Some(json) = json else { return Err(error) };
        let mut edits = Edits::default();
        edits.remove(name);
        asked.object = asked.object.with(&edits)?;
        foreign.push((name.to_owned(), json, error));
    }
}

/// The messages in this dialect.
fn read_here(messages: Vec<PromptMessage>) -> Result<Vec<Message>, Error> {
    check_prompt(&messages)?;
    Ok(read_prompt_messages(messages, &mut Emulated::default())?)
}

/// The messages, of which the caller's may be in the caller's own dialect.
fn read_in_own_words(messages: &[PromptMessage], own: &CheckMessages) -> Result<Vec<Segment>, Error> {
    let mut segments = Vec::new();
    for run in messages.chunk_by(|one, other| is_raw(one) == is_raw(other)) {
        match read_here(run.to_vec()) {
            Ok(words) => segments.push(Segment::Words(words)),
            Err(_) if run.iter().all(is_raw) => {
                let given = run.iter().filter_map(|message| match message {
                    PromptMessage::Raw(message) => Some(message.clone()),
                    PromptMessage::Text { .. } => None,
                });
                let given: Vec<Value> = given.collect();
                own(&given)?;
                segments.push(Segment::Own(given));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(segments)
}

fn is_raw(message: &PromptMessage) -> bool {
    matches!(message, PromptMessage::Raw(_))
}

/// The caller's request with the prompt's messages before its own, and the prompt's settings where it has none.
pub(super) fn prompted(asked: &Asked, prompt: &Prompt) -> Result<Prompted, Error> {
    let mut edits = Edits::default();
    edits.set("messages", joined(&prompt.messages, asked.object.get("messages").unwrap_or("[]")));
    edits.remove("prompt");
    edits.set("model", quoted(&prompt.model));
    let mut brought = Brought::default();
    for (name, json) in prompt.settings.iter().filter(|(name, _)| !["model", "messages"].contains(name)) {
        let is_replaced = LIMITS.contains(&name) && asked.max_tokens.is_some();
        if asked.object.get(name).is_none() && !is_replaced {
            edits.set(name, json.to_owned());
            brought.fields.push(name.to_owned());
        }
    }
    let is_developer = |message: &PromptMessage| matches!(message, PromptMessage::Text { role: Role::Developer, .. });
    let places = prompt.messages.iter().enumerate().filter(|(_, message)| is_developer(message));
    brought.special = places.map(|(n, _)| n).collect();
    let asked = checked(asked.object.with(&edits)?, |_, may_be_empty| {
        check_prompt(&prompt.messages)?;
        check_joined(prompt.messages.len() + asked.turns, may_be_empty, "messages")
    })?;
    Ok(Prompted { asked, brought })
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
