//! The fields of an object, under the two spellings that Google takes: `generationConfig` and `generation_config`.

use serde_json::{Map, Value};

use crate::chat::{Code, Error};
use crate::wire::json::exact;

/// The other spelling of a name.
pub(super) fn snake(camel: &str) -> String {
    let mut out = String::with_capacity(camel.len() + 4);
    for letter in camel.chars() {
        if letter.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

/// The first spelling of a name.
pub(super) fn camel(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut raise = false;
    for letter in name.chars() {
        match letter {
            '_' if !out.is_empty() => raise = true,
            _ if std::mem::take(&mut raise) => out.push(letter.to_ascii_uppercase()),
            _ => out.push(letter),
        }
    }
    out
}

/// A refusal of what no other dialect can say.
pub(super) fn unsupported(path: &str, what: &str) -> Error {
    Error::new(Code::UnsupportedFeature, format!("Gemini generateContent: `{path}` {what}")).at(path)
}

/// An object whose fields are taken out one by one, so that what is left is what nobody knows.
#[derive(Debug)]
pub(super) struct Fields {
    path: String,
    map: Map<String, Value>,
}

impl Fields {
    /// The fields of `value`, which stands at `path`.
    pub(super) fn of(path: impl Into<String>, value: Value) -> Result<Self, Error> {
        let path = path.into();
        match value {
            Value::Object(map) => Ok(Self { path, map }),
            _ => Err(Error::field(path.clone(), format!("`{path}` must be an object"))),
        }
    }

    /// The path of a field.
    pub(super) fn at(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Whether the field stands here.
    pub(super) fn has(&self, name: &str) -> bool {
        let there = |name: &str| self.map.get(name).is_some_and(|value| !value.is_null());
        there(name) || there(&snake(name))
    }

    /// Takes a field in either spelling; `null` is the same as none.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        let found = self.map.shift_remove(name).or_else(|| self.map.shift_remove(&snake(name)));
        found.filter(|value| !value.is_null())
    }

    /// Takes a text.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Error> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(name, "a text")),
        }
    }

    /// Takes a text that must be there.
    pub(super) fn needed(&mut self, name: &str) -> Result<String, Error> {
        self.text(name)?.ok_or_else(|| self.wrong(name, "there"))
    }

    /// Takes `true` or `false`.
    pub(super) fn flag(&mut self, name: &str) -> Result<Option<bool>, Error> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(self.wrong(name, "true or false")),
        }
    }

    /// Takes a number.
    pub(super) fn number(&mut self, name: &str) -> Result<Option<f64>, Error> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => exact::as_f64(&value).map(Some).ok_or_else(|| self.wrong(name, "a number")),
        }
    }

    /// Takes a whole number. `40.0` is one, since Google's `topK` was a float once.
    pub(super) fn whole(&mut self, name: &str) -> Result<Option<i64>, Error> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let float = || value.to_string().strip_suffix(".0").and_then(|digits| digits.parse().ok());
        value.as_i64().or_else(float).map(Some).ok_or_else(|| self.wrong(name, "a whole number"))
    }

    /// Takes a whole number of 0 or more.
    pub(super) fn count(&mut self, name: &str) -> Result<Option<u64>, Error> {
        let Some(number) = self.whole(name)? else { return Ok(None) };
        u64::try_from(number).map(Some).map_err(|_| self.wrong(name, "0 or more"))
    }

    /// Takes a list; a single value stands for a list of it, as Google's own parser has it.
    pub(super) fn list(&mut self, name: &str) -> Result<Vec<Value>, Error> {
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(list)) => Ok(list),
            Some(value @ Value::Object(_)) => Ok(vec![value]),
            Some(_) => Err(self.wrong(name, "a list")),
        }
    }

    /// Takes a list of texts.
    pub(super) fn texts(&mut self, name: &str) -> Result<Vec<String>, Error> {
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(value) => serde_json::from_value(value).map_err(|_| self.wrong(name, "a list of texts")),
        }
    }

    /// Takes an object's fields.
    pub(super) fn object(&mut self, name: &str) -> Result<Option<Self>, Error> {
        let path = self.at(name);
        self.take(name).map(|value| Self::of(path, value)).transpose()
    }

    /// Refuses what is left.
    pub(super) fn done(self) -> Result<(), Error> {
        match self.map.iter().find(|(_, value)| !value.is_null()) {
            None => Ok(()),
            Some((name, _)) => {
                Err(unsupported(&self.at(name), "cannot be said to a target of another kind; leave it out"))
            }
        }
    }

    /// The error for a field that is not what it must be.
    pub(super) fn wrong(&self, name: &str, what: &str) -> Error {
        let path = self.at(name);
        Error::field(path.clone(), format!("`{path}` must be {what}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_one() {
        for (name, other) in [("generationConfig", "generation_config"), ("topP", "top_p"), ("text", "text")] {
            assert_eq!((snake(name), camel(other)), (other.to_owned(), name.to_owned()));
        }
    }
}
