//! The values of one rendering, each read once for all its templates.

use serde_json::Value;

/// Where templates find values by name.
type Find<'v> = Box<dyn Fn(&str) -> Option<&'v Value> + 'v>;

/// The values of one rendering. Those that some template reads are put into Tera's form once.
pub struct Values<'v> {
    find: Find<'v>,
    read: Vec<(String, tera::Value, usize)>,
}

impl<'v> Values<'v> {
    /// Values that `find` looks up.
    pub fn new(find: impl Fn(&str) -> Option<&'v Value> + 'v) -> Self {
        Self { find: Box::new(find), read: Vec::new() }
    }

    /// A value in Tera's form, and what it weighs in bytes.
    pub(super) fn get(&mut self, name: &str) -> Option<(tera::Value, usize)> {
        if let Some((_, value, weight)) = self.read.iter().find(|(known, ..)| known == name) {
            return Some((value.clone(), *weight));
        }
        let value = (self.find)(name)?;
        let (made, weight) = (tera::Value::from_serializable(value), weigh(value));
        self.read.push((name.to_owned(), made.clone(), weight));
        Some((made, weight))
    }
}

/// About the bytes that `value` has as JSON.
#[must_use]
pub fn weigh(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.iter().map(|item| weigh(item) + 1).sum::<usize>() + 2,
        Value::Object(fields) => fields.iter().map(|(name, value)| name.len() + weigh(value) + 4).sum::<usize>() + 2,
    }
}
