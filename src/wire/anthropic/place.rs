//! An object within a request, with the path to it, so that an error names its field.

use serde_json::{Map, Value};

use super::NAME;
use crate::chat::{Code, Error};
use crate::wire::json::exact;

/// An object and where it stands. A field that is `null` is one left out.
pub(super) struct Place<'a> {
    map: &'a Map<String, Value>,
    path: String,
}

impl<'a> Place<'a> {
    pub(super) fn of(value: &'a Value, path: String) -> Result<Self, Error> {
        match value {
            Value::Object(map) => Ok(Self { map, path }),
            _ => Err(wrong(&path, "must be an object")),
        }
    }

    pub(super) fn top(map: &'a Map<String, Value>) -> Self {
        Self { map, path: String::new() }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The path of one of its fields.
    pub(super) fn at(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn need(&self, name: &str) -> Result<&'a Value, Error> {
        self.get(name).ok_or_else(|| wrong(&self.at(name), "is missing"))
    }

    pub(super) fn object(&self, name: &str) -> Result<Option<Self>, Error> {
        self.get(name).map(|value| Self::of(value, self.at(name))).transpose()
    }

    pub(super) fn list(&self, name: &str) -> Result<&'a [Value], Error> {
        match self.get(name) {
            None => Ok(&[]),
            Some(Value::Array(list)) => Ok(list),
            Some(_) => Err(wrong(&self.at(name), "must be a list")),
        }
    }

    pub(super) fn maybe_text(&self, name: &str) -> Result<Option<&'a str>, Error> {
        let text = |value: &'a Value| value.as_str().ok_or_else(|| wrong(&self.at(name), "must be a text"));
        self.get(name).map(text).transpose()
    }

    pub(super) fn text(&self, name: &str) -> Result<&'a str, Error> {
        self.maybe_text(name)?.ok_or_else(|| wrong(&self.at(name), "is missing"))
    }

    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Error> {
        let flag = |value: &Value| value.as_bool().ok_or_else(|| wrong(&self.at(name), "must be true or false"));
        self.get(name).map(flag).transpose()
    }

    pub(super) fn whole(&self, name: &str) -> Result<Option<u64>, Error> {
        let whole = |value: &Value| value.as_u64().ok_or_else(|| wrong(&self.at(name), "must be a whole number"));
        self.get(name).map(whole).transpose()
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<f64>, Error> {
        let number = |value: &Value| exact::as_f64(value).ok_or_else(|| wrong(&self.at(name), "must be a number"));
        self.get(name).map(number).transpose()
    }

    /// Refuses every field but these, since what is not read would be lost.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Error> {
        let unknown = |(name, value): &(&String, &Value)| !value.is_null() && !known.contains(&name.as_str());
        match self.map.iter().find(unknown) {
            Some((name, _)) => Err(only_here(&self.at(name))),
            None => Ok(()),
        }
    }
}

/// A 400 for a field that holds what it cannot.
pub(super) fn wrong(path: &str, message: &str) -> Error {
    Error::field(path, format!("`{path}` {message}"))
}

/// A 400 for a field of a caller of this dialect that the target's dialect has no word for.
pub(super) fn only_here(path: &str) -> Error {
    let text = format!("`{path}` is a feature of {NAME} that cannot be translated for the target of this request");
    Error::new(Code::UnsupportedFeature, text).at(path)
}

/// A 400 for what a caller of another dialect asked and this one cannot say.
pub(super) fn not_here(path: &str, why: &str) -> Error {
    Error::new(Code::UnsupportedFeature, format!("`{path}` cannot be sent to {NAME}: {why}")).at(path)
}
