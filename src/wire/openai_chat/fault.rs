//! What is wrong deep inside a request, and where: the path grows on the way out.

use std::fmt::Display;

use serde_json::{Map, Value};

use super::NAME;
use crate::chat::{Code, Error};

/// A fault at a field. The text goes on where the field's name ends.
#[derive(Debug)]
pub(super) struct Fault {
    code: Code,
    path: String,
    text: String,
}

impl Fault {
    /// A field that holds what it cannot.
    pub(super) fn wrong(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self { code: Code::InvalidRequest, path: path.into(), text: text.into() }
    }

    /// A field of a caller's that no other dialect has.
    pub(super) fn only_here(path: impl Into<String>) -> Self {
        let text = format!("is of {NAME} alone and cannot be translated for this target");
        Self { code: Code::UnsupportedFeature, path: path.into(), text }
    }

    /// A field of a request that this dialect cannot say.
    pub(super) fn unsaid(path: impl Into<String>, text: impl Display) -> Self {
        let text = format!("cannot be said in {NAME}: {text}");
        Self { code: Code::UnsupportedFeature, path: path.into(), text }
    }

    /// The same fault, as seen from the field around it.
    pub(super) fn within(mut self, outer: impl Display) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{outer}{dot}{}", self.path);
        self
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::new(fault.code, format!("`{}` {}", fault.path, fault.text)).at(fault.path)
    }
}

/// A value as an object.
pub(super) fn object<'a>(value: &'a Value, path: &str) -> Result<&'a Map<String, Value>, Fault> {
    value.as_object().ok_or_else(|| Fault::wrong(path, "must be an object"))
}

/// A field that is not null.
pub(super) fn given<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    map.get(name).filter(|value| !value.is_null())
}

/// A field that holds a text, if it is there.
pub(super) fn text<'a>(map: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Fault> {
    let Some(value) = given(map, name) else { return Ok(None) };
    value.as_str().map(Some).ok_or_else(|| Fault::wrong(name, "must be a text"))
}

/// A field that must hold a text.
pub(super) fn needed<'a>(map: &'a Map<String, Value>, name: &str) -> Result<&'a str, Fault> {
    text(map, name)?.ok_or_else(|| Fault::wrong(name, "is missing"))
}

/// A field that holds a list, if it is there.
pub(super) fn list<'a>(map: &'a Map<String, Value>, name: &str) -> Result<&'a [Value], Fault> {
    let Some(value) = given(map, name) else { return Ok(&[]) };
    value.as_array().map(Vec::as_slice).ok_or_else(|| Fault::wrong(name, "must be a list"))
}

/// A field that holds true or false, if it is there.
pub(super) fn flag(map: &Map<String, Value>, name: &str) -> Result<Option<bool>, Fault> {
    let Some(value) = given(map, name) else { return Ok(None) };
    value.as_bool().map(Some).ok_or_else(|| Fault::wrong(name, "must be true or false"))
}

/// Refuses fields that are not `known`, so that none is lost.
pub(super) fn only(map: &Map<String, Value>, known: &[&str]) -> Result<(), Fault> {
    let stranger = |(name, value): &(&String, &Value)| !value.is_null() && !known.contains(&name.as_str());
    match map.iter().find(stranger) {
        Some((name, _)) => Err(Fault::only_here(name.chars().take(80).collect::<String>())),
        None => Ok(()),
    }
}
