//! The prompt phase: a request that names a prompt becomes the request that the prompt makes of it.

use std::str::FromStr;
use std::sync::Arc;

use serde_json::Value;

use crate::chat::{Code, Error, Message};
use crate::prompts::{Registry, Selector, Version};
use crate::types::{PromptName, Timestamp};
use crate::wire::json::{Edits, quoted};
use crate::wire::openai_chat::{ChatRequest, PromptRef};

/// The prefix of `model` that names a prompt.
const PREFIX: &str = "prompt/";

/// Which prompt a request names.
pub struct Named {
    name: PromptName,
    selector: Selector,
}

impl Named {
    /// The prompt that `request` names by its `model` or its `prompt`, if it does.
    pub fn by(request: &ChatRequest) -> Result<Option<Self>, Error> {
        let by_model = request.model.strip_prefix(PREFIX);
        match (by_model, &request.prompt) {
            (None, None) => Ok(None),
            (Some(reference), None) => Self::parse(reference).map(Some),
            (None, Some(prompt)) => Self::of(prompt, None).map(Some),
            (Some(reference), Some(prompt)) => Self::of(prompt, Some(reference)).map(Some),
        }
    }

    fn parse(reference: &str) -> Result<Self, Error> {
        let (name, selector) = match reference.split_once('@') {
            Some((name, selector)) => (name, selector.parse().map_err(|error| no_prompt(&error, "model"))?),
            None => (reference, Selector::Default),
        };
        let name = PromptName::from_str(name).map_err(|error| no_prompt(&error, "model"))?;
        Ok(Self { name, selector })
    }

    fn of(prompt: &PromptRef, reference: Option<&str>) -> Result<Self, Error> {
        let named = reference.map(Self::parse).transpose()?;
        let selector = match (&prompt.version, &prompt.label) {
            (Some(text), _) | (None, Some(text)) => Some(text.parse().map_err(|error| no_prompt(&error, "prompt"))?),
            (None, None) => None,
        };
        let id = prompt
            .id
            .as_deref()
            .map(PromptName::from_str)
            .transpose()
            .map_err(|error| no_prompt(&error, "prompt.id"))?;
        match (named, id) {
            (Some(named), Some(id)) if named.name != id => Err(Error::field(
                "prompt.id",
                format!("`model` names the prompt {} and `prompt.id` names {id}", named.name),
            )),
            (Some(named), _) => Ok(Self { selector: selector.unwrap_or(named.selector), ..named }),
            (None, Some(name)) => Ok(Self { name, selector: selector.unwrap_or(Selector::Default) }),
            (None, None) => Err(Error::field("prompt.id", "`prompt.id` is missing")),
        }
    }
}

fn no_prompt(error: &impl ToString, param: &str) -> Error {
    Error::new(Code::PromptNotFound, error.to_string()).at(param)
}

/// The prompt that made a request what it is.
pub struct Applied {
    /// The version used.
    pub version: Arc<Version>,
    /// The label it was asked by.
    pub label: Option<String>,
}

/// The request as its prompt makes it: the prompt's messages first, then its own; its own fields win over the settings.
pub fn apply(
    prompts: &Registry,
    named: &Named,
    request: &ChatRequest,
    now: Timestamp,
) -> Result<(ChatRequest, Applied), Error> {
    let param = if request.model.starts_with(PREFIX) { "model" } else { "prompt.id" };
    let version = prompts.resolve(&named.name, &named.selector).map_err(|error| Error::from(error).at(param))?;
    let none = serde_json::Map::new();
    let variables = request.prompt.as_ref().map_or(&none, |prompt| &prompt.variables);
    let messages = version.render(variables)?;
    prompts.touch(&named.name, now);
    let mut edits = Edits::default();
    edits.set("messages", joined(&messages, request.messages()));
    edits.remove("prompt");
    for (name, value) in version.settings() {
        let is_named = if name == "model" { names_model(request) } else { request.object.get(name).is_some() };
        let replaced = name == "max_tokens" && request.max_tokens.is_some();
        if !is_named && !replaced {
            edits.set(name, value.to_string());
        }
    }
    if !names_model(request) && !version.settings().contains_key("model") {
        let message = format!("the prompt {} has no `settings.model`, so the request must name a model", named.name);
        return Err(Error::field("model", message));
    }
    let request = ChatRequest::read(request.object.edited(&edits))?;
    Ok((request, Applied { version, label: named.selector.label().map(str::to_owned) }))
}

fn names_model(request: &ChatRequest) -> bool {
    !request.model.is_empty() && !request.model.starts_with(PREFIX)
}

/// The prompt's messages and the caller's, as one JSON list.
fn joined(prompt: &[Message], own: &str) -> String {
    let mut list = String::from("[");
    for message in prompt {
        if list.len() > 1 {
            list.push(',');
        }
        match message {
            Message::Text { role, content } => {
                let role = serde_json::to_string(role).unwrap_or_default();
                list.push_str(&format!("{{\"role\":{role},\"content\":{}}}", quoted(content)));
            }
            Message::Raw(message) => list.push_str(&Value::to_string(message)),
        }
    }
    let own = own.strip_prefix('[').and_then(|own| own.strip_suffix(']')).unwrap_or_default().trim();
    if !own.is_empty() && list.len() > 1 {
        list.push(',');
    }
    list.push_str(own);
    list.push(']');
    list
}
