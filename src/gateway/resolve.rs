//! The resolve phase: which version of a prompt a request names.

use std::str::FromStr;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::chat::{Code, Error};
use crate::experiments::Assigned;
use crate::prompts::{Reference, Registry, Selector, Version, model_name, names_prompt};
use crate::routing::Target;
use crate::types::{BadName, PromptName};
use crate::wire::dialect::{Asked, PromptRef};

/// The prompt that `request` names by its `model` or its `prompt`, if it does.
pub fn named(request: &Asked) -> Result<Option<Reference>, Error> {
    let by_model = Reference::in_model(&request.model).map_err(|error| no_prompt(&error, "model"))?;
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

/// The version of a prompt that a request names.
#[derive(Clone)]
pub struct Resolved {
    /// The version.
    pub version: Arc<Version>,
    /// The label that the request names.
    pub label: Option<String>,
    /// The name that the request calls: its `model`, or the prompt's where it has none.
    pub requested: String,
    /// The model that the request leads to: its own, or the one of the prompt's settings.
    pub model: String,
    /// The arm that an experiment gives the call.
    pub assigned: Option<Assigned>,
    /// The settings of that arm over its version's own, where it has any.
    pub settings: Option<Arc<Map<String, Value>>>,
}

/// What a target gets of a prompt. Equal choices are rendered once in a call.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The version, whose messages and settings are taken.
    pub version: Arc<Version>,
    /// Settings instead of the version's own.
    settings: Option<Arc<Map<String, Value>>>,
}

impl PartialEq for Choice {
    fn eq(&self, other: &Self) -> bool {
        self.version.version == other.version.version
            && self.version.name == other.version.name
            && self.settings == other.settings
    }
}

impl From<Arc<Version>> for Choice {
    fn from(version: Arc<Version>) -> Self {
        Self { version, settings: None }
    }
}

impl Choice {
    /// The settings that hold.
    pub fn settings(&self) -> &Map<String, Value> {
        self.settings.as_deref().unwrap_or_else(|| self.version.settings())
    }
}

impl Resolved {
    /// What `target` gets of the prompt, or what stands for it while no target is chosen. Every target gets the version that the
    /// request names.
    pub fn choice(&self, target: Option<&Target>) -> Choice {
        let _unused = target;
        Choice { version: self.version.clone(), settings: self.settings.clone() }
    }
}

/// Looks up the version that `reference` names, or that of the arm that the call got, and the model that it leads to.
///
/// # Errors
/// Where there is no such version, or neither the request nor the version names a model.
pub fn resolve(
    prompts: &Registry,
    reference: &Reference,
    asked: &Asked,
    assigned: Option<Assigned>,
) -> Result<Resolved, Error> {
    let by_model = names_prompt(&asked.model);
    let param = if by_model { "model" } else { "prompt.id" };
    let Reference { name, selector } = reference;
    let of_arm = assigned.as_ref().map(|assigned| Selector::Version(assigned.arm.version));
    let version = prompts.resolve(name, of_arm.as_ref().unwrap_or(selector));
    let version = version.map_err(|error| Error::from(error).at(param))?;
    let arm = assigned.as_ref().map(|assigned| &assigned.arm).filter(|arm| arm.is_more_than_a_version());
    let settings = arm.map(|arm| Arc::new(arm.settings_over(version.settings())));
    let model = match settings.as_deref().unwrap_or_else(|| version.settings()).get("model").and_then(Value::as_str) {
        _ if !asked.model.is_empty() && !by_model => asked.model.clone(),
        Some(model) => model.to_owned(),
        None => {
            let message = format!("the prompt {name} has no `settings.model`, so the request must name a model");
            return Err(Error::field("model", message));
        }
    };
    let requested = if asked.model.is_empty() { model_name(&version.name) } else { asked.model.clone() };
    Ok(Resolved { version, label: selector.label().map(str::to_owned), requested, model, assigned, settings })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::wire::DialectId;
    use crate::wire::dialect::Addressed;

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
