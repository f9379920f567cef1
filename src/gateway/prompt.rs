//! The prompt phase: a request that names a prompt becomes the request that the prompt makes of it.

use std::str::FromStr;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Endpoint, Incoming};
use crate::chat::{Code, Emulated, Error, PromptMessage};
use crate::prompts::{Reference, Registry, Selector, Version};
use crate::types::{BadName, PromptName, now};
use crate::wire::DialectId;
use crate::wire::dialect::{Addressed, Asked, ClientCodec, PromptRef};
use crate::wire::json::{Edits, Object, quoted};

/// The prefix of `model` that names a prompt.
const PREFIX: &str = "prompt/";

/// The prompt that `request` names by its `model` or its `prompt`, if it does.
pub fn named(request: &Asked) -> Result<Option<Reference>, Error> {
    let by_model = request.model.strip_prefix(PREFIX).map(Reference::from_str).transpose();
    let by_model = by_model.map_err(|error| no_prompt(&error, "model"))?;
    let Some(prompt) = &request.prompt else { return Ok(by_model) };
    let selector = selector(prompt)?;
    let id = prompt.id.as_deref().map(PromptName::from_str).transpose();
    let id = id.map_err(|error| no_prompt(&error, "prompt.id"))?;
    match (by_model, id) {
        (Some(by_model), Some(id)) if by_model.name != id => {
            let message = format!("`model` names the prompt {} and `prompt.id` names {id}", by_model.name);
            Err(Error::field("prompt.id", message))
        }
        (Some(by_model), _) => Ok(Some(Reference { selector: selector.unwrap_or(by_model.selector), ..by_model })),
        (None, Some(name)) => Ok(Some(Reference { name, selector: selector.unwrap_or_default() })),
        (None, None) => Err(Error::field("prompt.id", "`prompt.id` is missing")),
    }
}

/// What the body's `prompt` says of the version: `version` is a number or `latest`, `label` is a label.
fn selector(prompt: &PromptRef) -> Result<Option<Selector>, Error> {
    if let Some(label) = &prompt.label {
        let label = label.parse().map_err(|error: BadName| no_prompt(&error, "prompt.label"))?;
        return Ok(Some(Selector::Label(label)));
    }
    let Some(version) = &prompt.version else { return Ok(None) };
    match version.parse().map_err(|error| no_prompt(&error, "prompt.version"))? {
        Selector::Label(_) | Selector::Default => {
            let message = format!("`prompt.version` is `{version:.40}`; use a number, or `prompt.label`");
            Err(Error::field("prompt.version", message))
        }
        selector => Ok(Some(selector)),
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
    named: &Reference,
    request: &Asked,
    incoming: &Incoming,
) -> Result<(Asked, Applied), Error> {
    let param = if request.model.starts_with(PREFIX) { "model" } else { "prompt.id" };
    let version = prompts.resolve(&named.name, &named.selector).map_err(|error| Error::from(error).at(param))?;
    let none = Map::new();
    let variables = request.prompt.as_ref().map_or(&none, |prompt| &prompt.variables);
    let messages = version.render(variables)?;
    prompts.touch(&named.name, now());
    let model = match version.settings().get("model").and_then(Value::as_str) {
        _ if names_model(request) => request.model.clone(),
        Some(model) => model.to_owned(),
        None => {
            let message =
                format!("the prompt {} has no `settings.model`, so the request must name a model", named.name);
            return Err(Error::field("model", message));
        }
    };
    let prompt = as_chat(&messages, version.settings(), &model)?;
    let codec = incoming.endpoint.dialect().codec();
    let prompt = if incoming.endpoint == Endpoint::Chat { prompt } else { translated(&prompt, codec)? };
    let mut body = codec.prompted(request, &prompt)?;
    if !incoming.endpoint.is_addressed() {
        let mut edits = Edits::default();
        edits.set("model", quoted(&model));
        body = Object::read(body)?.edited(&edits);
    }
    let addressed = Addressed { model: Some(model), stream: request.stream };
    let request = codec.read(body, &addressed)?;
    Ok((request, Applied { version, label: named.selector.label().map(str::to_owned) }))
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

fn names_model(request: &Asked) -> bool {
    !request.model.is_empty() && !request.model.starts_with(PREFIX)
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
mod tests {
    use super::*;
    use serde_json::json;

    fn read(body: &Value) -> Result<Option<Reference>, Error> {
        named(&DialectId::OpenAiChat.codec().read(body.to_string().into(), &Addressed::default())?)
    }

    #[test]
    fn the_prompt_object_is_read_strictly() {
        let of = |prompt: Value| read(&json!({ "prompt": prompt }));
        let selector = |prompt: Value| of(prompt).unwrap().unwrap().selector;
        assert_eq!(selector(json!({"id": "a", "version": "3", "variables": {"x": 1}})), Selector::Version(3));
        assert_eq!(selector(json!({"id": "a", "version": 3})), Selector::Version(3));
        assert_eq!(selector(json!({"id": "a", "version": "latest"})), Selector::Latest);
        assert_eq!(selector(json!({"id": "a", "version": null, "label": "s"})).label(), Some("s"));
        assert_eq!(selector(json!({"id": "a"})), Selector::Default);
        for prompt in [
            json!("a"),
            json!({}),
            json!({"id": 3}),
            json!({"id": "a", "version": "3", "label": "s"}),
            json!({"id": "a", "version": "staging"}),
            json!({"id": "a", "version": true}),
            json!({"id": "a", "version": "0"}),
            json!({"id": "a", "label": "latest"}),
            json!({"id": "a", "label": "3"}),
            json!({"id": "a", "label": []}),
            json!({"id": "a", "variables": []}),
            json!({"id": "a", "vars": {}}),
        ] {
            assert!(of(prompt.clone()).is_err(), "{prompt}");
        }
    }

    #[test]
    fn the_object_completes_what_the_model_names() {
        let of = |prompt: Value| read(&json!({"model": "prompt/a@staging", "prompt": prompt}));
        assert_eq!(of(json!({})).unwrap().unwrap().selector.label(), Some("staging"));
        assert_eq!(of(json!({"version": "2"})).unwrap().unwrap().selector, Selector::Version(2));
        assert_eq!(of(json!({"id": "b"})).unwrap_err().param.as_deref(), Some("prompt.id"));
    }
}
