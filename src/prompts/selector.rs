//! Which version a call asks for.

use std::str::FromStr;

use serde_json::{Map, Value};

use super::Error;
use crate::types::{Label, PromptName};

/// The label that a call without one gets.
pub const DEFAULT_LABEL: &str = "production";

/// Which version is asked for: what follows `@` in `prompt/NAME@…`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Selector {
    /// The label `production`.
    #[default]
    Default,
    /// This label.
    Label(Label),
    /// This version.
    Version(u32),
    /// The newest version.
    Latest,
}

impl Selector {
    /// The label that is asked for, where it is one.
    #[must_use]
    pub fn label(&self) -> Option<&str> {
        match self {
            Self::Default => Some(DEFAULT_LABEL),
            Self::Label(label) => Some(label.as_str()),
            Self::Version(_) | Self::Latest => None,
        }
    }
}

impl FromStr for Selector {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text == "latest" {
            return Ok(Self::Latest);
        }
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return match text.parse() {
                Ok(version) if version > 0 => Ok(Self::Version(version)),
                _ => Err(Error::BadReference(format!("`{text:.40}` is not a version; versions are 1, 2, 3, …"))),
            };
        }
        text.parse().map(Self::Label).map_err(|error| Error::BadReference(format!("{error}")))
    }
}

/// A prompt as a call names it, with its variables.
#[derive(Clone, Debug, PartialEq)]
pub struct Reference {
    /// The prompt.
    pub name: PromptName,
    /// Which version.
    pub selector: Selector,
    /// The call's variables.
    pub variables: Map<String, Value>,
}

impl FromStr for Reference {
    type Err = Error;

    /// Reads `NAME`, `NAME@LABEL`, `NAME@VERSION` or `NAME@latest`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let (name, selector) = match text.split_once('@') {
            Some((name, selector)) => (name, selector.parse()?),
            None => (text, Selector::Default),
        };
        let name = name.parse().map_err(|error| Error::BadReference(format!("{error}")))?;
        Ok(Self { name, selector, variables: Map::new() })
    }
}

impl Reference {
    /// Reads the body's `prompt` object: `{"id", "version" or "label", "variables"}`.
    ///
    /// # Errors
    /// Where a field is unknown, missing or of the wrong type.
    pub fn from_json(value: &Value) -> Result<Self, Error> {
        let bad = |message: &str| Error::BadReference(message.to_owned());
        let Value::Object(fields) = value else {
            return Err(bad("`prompt` is an object with `id`, `version` or `label`, and `variables`"));
        };
        let known = ["id", "version", "label", "variables"];
        if let Some(key) = fields.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(Error::BadReference(format!(
                "`prompt.{key:.40}` is unknown; use id, version, label, variables"
            )));
        }
        let given = |key: &str| fields.get(key).filter(|value| !value.is_null());
        let id = given("id").and_then(Value::as_str).ok_or_else(|| bad("`prompt.id` must name a prompt"))?;
        let name = id.parse().map_err(|error| Error::BadReference(format!("{error}")))?;
        let selector = match (given("version"), given("label")) {
            (None, None) => Selector::Default,
            (Some(_), Some(_)) => return Err(bad("give `prompt.version` or `prompt.label`, not both")),
            (Some(version), None) => version_of(version)?,
            (None, Some(label)) => {
                let label = label.as_str().ok_or_else(|| bad("`prompt.label` must be a string"))?;
                Selector::Label(label.parse().map_err(|error| Error::BadReference(format!("{error}")))?)
            }
        };
        let variables = match given("variables") {
            None => Map::new(),
            Some(Value::Object(variables)) => variables.clone(),
            Some(_) => return Err(bad("`prompt.variables` must be an object")),
        };
        Ok(Self { name, selector, variables })
    }
}

fn version_of(value: &Value) -> Result<Selector, Error> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    };
    match text.parse()? {
        Selector::Label(_) | Selector::Default => {
            Err(Error::BadReference(format!("`prompt.version` is `{text:.40}`; use a number, or `prompt.label`")))
        }
        selector => Ok(selector),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_reference_is_a_name_and_what_follows_the_at() {
        let read = |text: &str| text.parse::<Reference>().map(|reference| reference.selector);
        assert_eq!(read("a").unwrap(), Selector::Default);
        assert_eq!(read("a@3").unwrap(), Selector::Version(3));
        assert_eq!(read("a@latest").unwrap(), Selector::Latest);
        assert_eq!(read("a@staging").unwrap().label(), Some("staging"));
        for text in ["", "A", "a@", "a@0", "a@99999999999", "a@b c", "a@b@c", "../a", "a@B"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_prompt_object_is_read_strictly() {
        let read = |value: Value| Reference::from_json(&value);
        let whole = read(json!({"id": "a", "version": "3", "variables": {"x": 1}})).unwrap();
        assert_eq!((whole.selector, whole.variables.len()), (Selector::Version(3), 1));
        assert_eq!(read(json!({"id": "a", "version": null, "label": "s"})).unwrap().selector.label(), Some("s"));
        for value in [
            json!("a"),
            json!({}),
            json!({"id": 3}),
            json!({"id": "a", "version": "3", "label": "s"}),
            json!({"id": "a", "version": "staging"}),
            json!({"id": "a", "version": true}),
            json!({"id": "a", "label": "latest"}),
            json!({"id": "a", "variables": []}),
            json!({"id": "a", "vars": {}}),
        ] {
            assert!(matches!(read(value.clone()), Err(Error::BadReference(_))), "{value}");
        }
    }
}
