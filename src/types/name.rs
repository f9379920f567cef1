//! Names that users give: parsed at the edge, proof of their own form inside.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Why a text is not such a name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{name}` is not a {what}: {form}")]
pub struct BadName {
    what: &'static str,
    form: &'static str,
    name: String,
}

fn bad(what: &'static str, form: &'static str, name: &str) -> BadName {
    let name = name.chars().take(80).collect();
    BadName { what, form, name }
}

/// A prompt's name: `a-z0-9-`, 1 to 64 characters, begins with a letter or digit.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PromptName(Arc<str>);

impl FromStr for PromptName {
    type Err = BadName;

    fn from_str(name: &str) -> Result<Self, BadName> {
        if is_slug(name) { Ok(Self(name.into())) } else { Err(bad("prompt name", SLUG, name)) }
    }
}

/// An experiment's name, of the form that a prompt's has.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExperimentName(Arc<str>);

impl FromStr for ExperimentName {
    type Err = BadName;

    fn from_str(name: &str) -> Result<Self, BadName> {
        if is_slug(name) { Ok(Self(name.into())) } else { Err(bad("name of an experiment", SLUG, name)) }
    }
}

/// The name of an arm of an experiment, of the form that a prompt's has.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ArmName(Arc<str>);

impl FromStr for ArmName {
    type Err = BadName;

    fn from_str(name: &str) -> Result<Self, BadName> {
        if is_slug(name) { Ok(Self(name.into())) } else { Err(bad("name of an arm", SLUG, name)) }
    }
}

const SLUG: &str = "use 1 to 64 of a-z, 0-9 and -, beginning with a letter or digit";

fn is_slug(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty() && name.len() <= 64 && !name.starts_with('-') && name.bytes().all(fits)
}

/// A prompt label: `a-z0-9_.-`, 1 to 36 characters; `latest` is reserved and digits alone would read as a version.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Label(Arc<str>);

impl FromStr for Label {
    type Err = BadName;

    fn from_str(label: &str) -> Result<Self, BadName> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.-".contains(&byte);
        if label.is_empty() || label.len() > 36 || !label.bytes().all(fits) {
            return Err(bad("label", "use 1 to 36 of a-z, 0-9, _, . and -", label));
        }
        if label.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(bad("label", "digits alone name a version", label));
        }
        if label == "latest" {
            return Err(bad("label", "`latest` is reserved for the newest version", label));
        }
        Ok(Self(label.into()))
    }
}

/// A model's name as a request gives it: 1 to 256 printable characters, no `..` and no control characters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelName(Arc<str>);

impl FromStr for ModelName {
    type Err = BadName;

    fn from_str(name: &str) -> Result<Self, BadName> {
        let fits = !name.is_empty() && name.len() <= 256 && !name.contains("..");
        if !fits || name.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(bad("model name", "use 1 to 256 printable characters without spaces or `..`", name));
        }
        Ok(Self(name.into()))
    }
}

macro_rules! text_of {
    ($($name:ident),*) => {$(
        impl $name {
            /// The name's text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The name's text, shared.
            #[must_use]
            pub fn shared(&self) -> Arc<str> {
                self.0.clone()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    )*};
}

// These names share one text form; a generic type would cost every reader more than these lines.
text_of!(PromptName, ExperimentName, ArmName, Label, ModelName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_their_form() {
        assert!("support-reply".parse::<PromptName>().is_ok());
        for name in ["", "-a", "A", "a/b", "../x", &"a".repeat(65)] {
            assert!(name.parse::<PromptName>().is_err(), "{name}");
        }
        assert!("v1.2_rc-1".parse::<Label>().is_ok());
        for label in ["", "latest", "12", "Prod", &"a".repeat(37)] {
            assert!(label.parse::<Label>().is_err(), "{label}");
        }
        assert!("openai/gpt-4o-mini".parse::<ModelName>().is_ok());
        for model in ["", "a b", "../../v1/files", "a\n"] {
            assert!(model.parse::<ModelName>().is_err(), "{model}");
        }
    }
}
