//! Renders a prompt into the request that names it.

use serde_json::{Map, Value};

use super::resolve::Resolved;
use crate::chat::{Emulated, Error, PromptMessage};
use crate::wire::DialectId;
use crate::wire::dialect::{Addressed, Asked, ClientCodec};
use crate::wire::endpoint::Endpoint;
use crate::wire::json::{Edits, Object, quoted};

/// The request as its prompt makes it: the prompt's messages first, then its own; its own fields win over the settings.
///
/// # Errors
/// Where variables are missing or wrong, or the caller's dialect has no words for the prompt.
pub fn render(resolved: &Resolved, asked: &Asked, endpoint: Endpoint) -> Result<Asked, Error> {
    let Resolved { version, model, .. } = resolved;
    let none = Map::new();
    let variables = asked.prompt.as_ref().map_or(&none, |prompt| &prompt.variables);
    let messages = version.render(variables)?;
    let prompt = as_chat(&messages, version.settings(), model)?;
    let codec = endpoint.dialect().codec();
    let prompt = if endpoint.dialect() == DialectId::OpenAiChat { prompt } else { translated(&prompt, codec)? };
    let mut body = codec.prompted(asked, &prompt)?;
    if !endpoint.is_addressed() {
        let mut edits = Edits::default();
        edits.set("model", quoted(model));
        body = Object::read(body)?.edited(&edits);
    }
    let addressed = Addressed { model: Some(model.clone()), stream: asked.stream };
    codec.read(body, &addressed)
}

/// The prompt and its settings as a chat completion of its own.
fn as_chat(messages: &[PromptMessage], settings: &Map<String, Value>, model: &str) -> Result<Object, Error> {
    let mut body = format!("{{\"model\":{},\"messages\":{}", quoted(model), joined(messages));
    for (name, value) in settings.iter().filter(|(name, _)| *name != "model") {
        body.push_str(&format!(",{}:{value}", quoted(name)));
    }
    body.push('}');
    Ok(Object::read(body.into())?)
}

/// The prompt in the caller's own dialect.
fn translated(prompt: &Object, codec: &dyn ClientCodec) -> Result<Object, Error> {
    let chat = DialectId::OpenAiChat.codec();
    let mut emulated = Emulated::default();
    let asked = chat.read(prompt.bytes().clone(), &Addressed::default())?;
    let request = chat.read_request(&asked, &mut emulated)?;
    Ok(Object::read(codec.write_request(&request, &mut emulated)?.body)?)
}

/// The prompt's messages as a JSON list.
fn joined(prompt: &[PromptMessage]) -> String {
    let mut list = String::from("[");
    for message in prompt {
        if list.len() > 1 {
            list.push(',');
        }
        match message {
            PromptMessage::Text { role, content } => {
                let role = serde_json::to_string(role).unwrap_or_default();
                list.push_str(&format!("{{\"role\":{role},\"content\":{}}}", quoted(content)));
            }
            PromptMessage::Raw(message) => list.push_str(&Value::to_string(message)),
        }
    }
    list.push(']');
    list
}

#[cfg(test)]
mod tests;
