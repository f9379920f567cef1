//! An object of a request whose fields are taken out one by one, each checked for what it must be.

use serde_json::{Map, Value};

use super::error::FieldError;
use super::path::Path;
use crate::wire::exact_numbers;

/// The longest name of an unknown field that a message repeats.
const LONGEST_NAME: usize = 80;

/// How a dialect spells its fields, and its messages for fields that are missing or that no other dialect has.
#[derive(Debug)]
pub struct Idiom {
    /// The text for a required field that is missing.
    pub missing: &'static str,
    /// The text before the name of a field that no other dialect has.
    pub lead: &'static str,
    /// The text after the name of a field that no other dialect has.
    pub only_here: &'static str,
    /// Whether fields are read as Google's own parser reads them: `topP` may be written `top_p` too, and a single object
    /// stands for a list of it.
    pub lenient: bool,
}

impl Idiom {
    /// The mistake of using, towards a target of another dialect, a field that only this dialect has.
    pub fn only_here(&self, path: impl std::fmt::Display) -> FieldError {
        FieldError::unsupported(path, self.only_here).led_by(self.lead)
    }
}

/// An object and where it stands. A field that is `null` is one left out. What is taken moves, so that texts of many
/// megabytes are not copied.
#[derive(Debug)]
pub struct Place<'p> {
    map: Map<String, Value>,
    path: Path<'p>,
    idiom: &'static Idiom,
}

impl<'p> Place<'p> {
    /// The fields of `value`, which stands at `path`.
    pub fn of(value: Value, path: Path<'p>, idiom: &'static Idiom) -> Result<Self, FieldError> {
        match value {
            Value::Object(map) => Ok(Self { map, path, idiom }),
            _ => Err(FieldError::wrong(path, "must be an object")),
        }
    }

    /// The fields of an object, which stands at `path`.
    pub fn of_map(map: Map<String, Value>, path: Path<'p>, idiom: &'static Idiom) -> Self {
        Self { map, path, idiom }
    }

    /// The fields that were not taken.
    pub fn rest(&self) -> &Map<String, Value> {
        &self.map
    }

    /// The fields of a value within this object, which stands at `path`.
    pub fn inner<'q>(&self, value: Value, path: Path<'q>) -> Result<Place<'q>, FieldError> {
        Place::of(value, path, self.idiom)
    }

    /// Where the object stands.
    pub fn path(&self) -> &Path<'p> {
        &self.path
    }

    /// The path of a field.
    pub fn at<'q>(&'q self, name: &'q str) -> Path<'q> {
        self.path.field(name)
    }

    /// The path of the `n`th item of a list among the fields.
    pub fn item<'q>(&'q self, name: &'q str, n: usize) -> Path<'q> {
        self.path.item(name, n)
    }

    /// The mistake of a field that is not what it must be.
    pub fn wrong(&self, name: &str, text: &str) -> FieldError {
        FieldError::wrong(self.at(name), text)
    }

    /// The mistake of a field, or of what it holds, that only this dialect has.
    pub fn only_here(&self, name: &str) -> FieldError {
        self.idiom.only_here(self.at(name))
    }

    /// Whether the field is there.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// A field that stays.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let value = self.map.get(name).filter(|value| !value.is_null());
        let other = || self.map.get(&snake(name)).filter(|value| !value.is_null());
        if self.idiom.lenient { value.or_else(other) } else { value }
    }

    /// Takes a field.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        let other = self.idiom.lenient.then(|| snake(name)).filter(|other| other != name);
        let mut taken = self.map.get_mut(name).map(Value::take);
        if let Some(other) = other.filter(|_| taken.is_none()) {
            taken = self.map.get_mut(&other).map(Value::take);
        }
        taken.filter(|value| !value.is_null())
    }

    /// Takes a field that must be there.
    pub fn need(&mut self, name: &str) -> Result<Value, FieldError> {
        self.take(name).ok_or_else(|| self.wrong(name, self.idiom.missing))
    }

    /// Takes a text that must be there.
    pub fn text(&mut self, name: &str) -> Result<String, FieldError> {
        self.maybe_text(name)?.ok_or_else(|| self.wrong(name, self.idiom.missing))
    }

    /// Takes a text.
    pub fn maybe_text(&mut self, name: &str) -> Result<Option<String>, FieldError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(name, "must be a text")),
        }
    }

    /// Takes `true` or `false`.
    pub fn flag(&mut self, name: &str) -> Result<Option<bool>, FieldError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(self.wrong(name, "must be true or false")),
        }
    }

    /// Takes a number.
    pub fn number(&mut self, name: &str) -> Result<Option<f64>, FieldError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        exact_numbers::as_f64(&value).map(Some).ok_or_else(|| self.wrong(name, "must be a number"))
    }

    /// Takes a whole number of 0 or more.
    pub fn whole(&mut self, name: &str) -> Result<Option<u64>, FieldError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        value.as_u64().map(Some).ok_or_else(|| self.wrong(name, "must be a whole number"))
    }

    /// Takes a list; an absent one is empty.
    pub fn list(&mut self, name: &str) -> Result<Vec<Value>, FieldError> {
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(list)) => Ok(list),
            Some(value @ Value::Object(_)) if self.idiom.lenient => Ok(vec![value]),
            Some(_) => Err(self.wrong(name, "must be a list")),
        }
    }

    /// Takes a list of texts; an absent one is empty.
    pub fn texts(&mut self, name: &str) -> Result<Vec<String>, FieldError> {
        let Some(value) = self.take(name) else { return Ok(Vec::new()) };
        serde_json::from_value(value).map_err(|_| self.wrong(name, "must be a list of texts"))
    }

    /// Takes an object, to read its fields. This object waits until the inner one is read.
    pub fn object<'q>(&'q mut self, name: &'q str) -> Result<Option<Place<'q>>, FieldError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        Place::of(value, self.path.field(name), self.idiom).map(Some)
    }

    /// Takes an object that must be there, to read its fields.
    pub fn need_object<'q>(&'q mut self, name: &'q str) -> Result<Place<'q>, FieldError> {
        let value = self.need(name)?;
        Place::of(value, self.path.field(name), self.idiom)
    }

    /// Refuses every field but these, since what is not read would be lost.
    pub fn only(&self, known: &[&str]) -> Result<(), FieldError> {
        self.refuse(|name| !known.contains(&name))
    }

    /// Refuses what was not taken, since it would be lost.
    pub fn done(self) -> Result<(), FieldError> {
        self.refuse(|_| true)
    }

    fn refuse(&self, unknown: impl Fn(&str) -> bool) -> Result<(), FieldError> {
        match self.map.iter().find(|(name, value)| !value.is_null() && unknown(name)) {
            None => Ok(()),
            Some((name, _)) => {
                let end = name.char_indices().nth(LONGEST_NAME).map_or(name.len(), |(end, _)| end);
                Err(self.only_here(&name[..end]))
            }
        }
    }
}

/// `topP` as `top_p`.
pub fn snake(camel: &str) -> String {
    let mut out = String::with_capacity(camel.len() + 4);
    for letter in camel.chars() {
        if letter.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{Code, Error};
    use serde_json::json;

    static PLAIN: Idiom = Idiom { missing: "is missing", lead: "", only_here: "is strange", lenient: false };
    static LENIENT: Idiom = Idiom { missing: "must be there", lead: "Lenient: ", lenient: true, ..PLAIN };

    fn place(value: Value, idiom: &'static Idiom) -> Place<'static> {
        Place::of(value, Path::of_item("messages", 1), idiom).unwrap()
    }

    fn message(error: FieldError) -> (String, Option<String>, Code) {
        let error = Error::from(error);
        (error.message.to_string(), error.param.map(|param| param.to_string()), error.code)
    }

    #[test]
    fn a_field_is_taken_once_and_null_is_none() {
        let mut place = place(json!({"a": "x", "b": null, "n": 1.5, "list": ["y"], "inner": {"flag": true}}), &PLAIN);
        assert_eq!(place.text("a").unwrap(), "x");
        assert_eq!(place.maybe_text("a").unwrap(), None);
        assert!(!place.has("b") && place.take("b").is_none());
        assert_eq!(place.number("n").unwrap(), Some(1.5));
        assert_eq!(place.texts("list").unwrap(), ["y"]);
        assert_eq!(place.object("inner").unwrap().unwrap().flag("flag").unwrap(), Some(true));
        place.done().unwrap();
    }

    #[test]
    fn a_mistake_names_its_path() {
        let mut outer = place(json!({"a": 1, "inner": {"b": [], "odd": 1}}), &PLAIN);
        let wrong = |text: &str| (text.to_owned(), Code::InvalidRequest);
        let shown = |error| {
            let (message, _, code) = message(error);
            (message, code)
        };
        assert_eq!(shown(outer.text("none").unwrap_err()), wrong("`messages[1].none` is missing"));
        assert_eq!(shown(outer.text("a").unwrap_err()), wrong("`messages[1].a` must be a text"));
        let mut inner = outer.object("inner").unwrap().unwrap();
        assert_eq!(shown(inner.whole("b").unwrap_err()), wrong("`messages[1].inner.b` must be a whole number"));
        assert_eq!(
            message(inner.done().unwrap_err()),
            (
                "`messages[1].inner.odd` is strange".to_owned(),
                Some("messages[1].inner.odd".to_owned()),
                Code::UnsupportedFeature
            )
        );
        assert_eq!(shown(Place::of(json!(1), Path::of("x"), &PLAIN).unwrap_err()), wrong("`x` must be an object"));
    }

    #[test]
    fn a_lenient_dialect_has_two_spellings_and_lists_of_one() {
        for (name, other) in [("generationConfig", "generation_config"), ("topP", "top_p"), ("text", "text")] {
            assert_eq!(snake(name), other);
        }
        let mut place = place(json!({"topP": 1, "top_k": 2, "odd_one": 3, "one": {}}), &LENIENT);
        assert_eq!((place.whole("topP").unwrap(), place.whole("topK").unwrap()), (Some(1), Some(2)));
        assert_eq!(place.list("one").unwrap(), [json!({})]);
        assert_eq!(message(place.only(&["x"]).unwrap_err()).0, "Lenient: `messages[1].odd_one` is strange");
        assert_eq!(message(place.text("x").unwrap_err()).0, "`messages[1].x` must be there");
    }

    #[test]
    fn a_name_without_end_is_cut() {
        let place = place(json!({ "x".repeat(1_000): 1 }), &PLAIN);
        assert!(message(place.done().unwrap_err()).0.len() < 200);
    }
}
