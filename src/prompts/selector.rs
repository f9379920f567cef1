//! Which version a call asks for.

use std::str::FromStr;

use super::error::Error;
use crate::types::{Label, PromptName};

/// The label that a call without one gets.
pub const DEFAULT_LABEL: &str = "production";

/// What stands before a prompt's name where a request names it as its model.
const PREFIX: &str = "prompt/";

/// Whether a model's name is that of a prompt, `prompt/…`, well formed or not.
#[must_use]
pub fn names_prompt(model: &str) -> bool {
    model.starts_with(PREFIX)
}

/// The reference in a model's name that is that of a prompt, well formed or not; `None` where it is no prompt's.
#[must_use]
pub fn prompt_of(model: &str) -> Option<&str> {
    model.strip_prefix(PREFIX)
}

/// The name by which a request calls a prompt as its model.
#[must_use]
pub fn model_name(prompt: &PromptName) -> String {
    format!("{PREFIX}{prompt}")
}

/// A reference's two halves, unchecked: a prompt's name, and what follows the `@` where there is one.
#[must_use]
pub fn halves(reference: &str) -> (&str, Option<&str>) {
    reference.split_once('@').map_or((reference, None), |(name, selector)| (name, Some(selector)))
}

/// Which version is requested: what follows `@` in `prompt/NAME@…`.
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

    /// The selector as it stands behind `@`; the label `production` where nothing stands there.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Version(version) => version.to_string(),
            Self::Latest => "latest".to_owned(),
            Self::Default | Self::Label(_) => self.label().unwrap_or_default().to_owned(),
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

/// A prompt as a call names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The prompt.
    pub name: PromptName,
    /// Which version.
    pub selector: Selector,
}

impl Reference {
    /// The prompt that a request's `model` names, where it names one: `prompt/NAME`, and what may follow the name.
    ///
    /// # Errors
    /// Where what follows `prompt/` is no reference.
    pub fn in_model(model: &str) -> Result<Option<Self>, Error> {
        model.strip_prefix(PREFIX).map(str::parse).transpose()
    }
}

impl FromStr for Reference {
    type Err = Error;

    /// Reads `NAME`, `NAME@LABEL`, `NAME@VERSION` or `NAME@latest`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let (name, selector) = halves(text);
        let selector = selector.map(str::parse).transpose()?.unwrap_or_default();
        let name = name.parse().map_err(|error| Error::BadReference(format!("{error}")))?;
        Ok(Self { name, selector })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_may_name_a_prompt() {
        let name: PromptName = "support-reply".parse().unwrap();
        let read = Reference::in_model(&model_name(&name)).unwrap().unwrap();
        assert_eq!(read, Reference { name, selector: Selector::Default });
        let labelled = Reference::in_model("prompt/a@staging").unwrap().unwrap();
        assert_eq!(labelled.selector.label(), Some("staging"));
        assert_eq!(Reference::in_model("gpt-4o").unwrap(), None);
        assert_eq!(Reference::in_model("prompts/a").unwrap(), None);
        assert!(Reference::in_model("prompt/").is_err() && Reference::in_model("prompt/a@").is_err());
        assert!(names_prompt("prompt/A B") && !names_prompt("openai/prompt/a"));
    }

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
}
