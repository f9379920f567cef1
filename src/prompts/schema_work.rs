//! How much work it is to check a value by a JSON Schema: counted before the check, which nothing can interrupt.

use serde_json::{Map, Value};

use crate::template::weigh;

/// The most visits of all values of one rendering. One takes about 10 ns.
const MOST: u64 = 5_000_000;

/// Where schema and value together are below this, their visits are not counted one by one.
const SMALL: u64 = 100_000;

/// Bytes of text that cost as much as one visit.
const BYTES: u64 = 16;

/// States of a pattern that are followed at the cost of one, for a byte of text.
const STATES: u64 = 64;

/// Visits that one rendering has left. A visit is one keyword of a schema at one value.
#[derive(Debug)]
pub(super) struct Visits(u64);

impl Default for Visits {
    fn default() -> Self {
        Self(MOST)
    }
}

impl Visits {
    /// Takes the visits of checking `value` by `schema`, whose own work is `work`; `None` where there are too few left.
    pub(super) fn of(&mut self, schema: &Value, work: u64, value: &Value) -> Option<u64> {
        let most = work.saturating_mul(weigh(value) as u64 / 8 + 1);
        if most <= SMALL {
            self.take(most)?;
            return Some(most);
        }
        let before = self.0;
        self.walk(schema, value)?;
        Some(before - self.0)
    }

    fn take(&mut self, visits: u64) -> Option<()> {
        self.0 = self.0.checked_sub(visits)?;
        Some(())
    }

    fn walk(&mut self, schema: &Value, value: &Value) -> Option<()> {
        let Value::Object(keywords) = schema else { return self.take(1) };
        self.take(1 + keywords.len() as u64)?;
        // What no other keyword looked at is found by a second look at all of them.
        let passes = 1 + u8::from(keywords.keys().any(|key| key.starts_with("unevaluated")));
        for _ in 0..passes {
            for (key, part) in keywords {
                self.keyword(key, part, value)?;
            }
        }
        Some(())
    }

    fn keyword(&mut self, key: &str, part: &Value, value: &Value) -> Option<()> {
        match (key, value) {
            ("allOf" | "anyOf" | "oneOf", _) => self.each(part.as_array().into_iter().flatten(), value),
            ("not" | "if" | "then" | "else", _) => self.walk(part, value),
            ("dependentSchemas", Value::Object(_)) => {
                self.each(part.as_object().into_iter().flat_map(Map::values), value)
            }
            ("items" | "contains" | "unevaluatedItems", Value::Array(items)) => {
                items.iter().try_for_each(|item| self.walk(part, item))
            }
            ("prefixItems", Value::Array(items)) => {
                part.as_array().into_iter().flatten().zip(items).try_for_each(|(part, item)| self.walk(part, item))
            }
            ("properties", Value::Object(fields)) => self.properties(part, fields),
            ("additionalProperties" | "unevaluatedProperties", Value::Object(fields)) => {
                fields.values().try_for_each(|field| self.walk(part, field))
            }
            ("patternProperties", Value::Object(fields)) => self.pattern_properties(part, fields),
            ("propertyNames", Value::Object(fields)) => {
                fields.keys().try_for_each(|name| self.walk(part, &Value::String(name.clone())))
            }
            ("enum", _) => part.as_array().into_iter().flatten().try_for_each(|known| self.compare(known, value)),
            ("const", _) => self.compare(part, value),
            ("uniqueItems", Value::Array(_)) => self.take(weigh(value) as u64 / 8),
            ("pattern" | "format" | "contentEncoding" | "contentMediaType", Value::String(text)) => {
                self.take(text_work(part, text))
            }
            ("minLength" | "maxLength", Value::String(text)) => self.take(text.len() as u64 / BYTES),
            ("required" | "dependentRequired", Value::Object(_)) => self.take(weigh(part) as u64 / 8),
            _ => Some(()),
        }
    }

    fn each<'s>(&mut self, mut schemas: impl Iterator<Item = &'s Value>, value: &Value) -> Option<()> {
        schemas.try_for_each(|schema| self.walk(schema, value))
    }

    fn properties(&mut self, part: &Value, fields: &Map<String, Value>) -> Option<()> {
        for (name, schema) in part.as_object().into_iter().flatten() {
            self.take(1)?;
            if let Some(field) = fields.get(name) {
                self.walk(schema, field)?;
            }
        }
        Some(())
    }

    fn pattern_properties(&mut self, part: &Value, fields: &Map<String, Value>) -> Option<()> {
        for (pattern, schema) in part.as_object().into_iter().flatten() {
            for (name, field) in fields {
                self.take(1 + name.len() as u64 * states(pattern) / STATES)?;
                self.walk(schema, field)?;
            }
        }
        Some(())
    }

    fn compare(&mut self, known: &Value, value: &Value) -> Option<()> {
        let same = std::mem::discriminant(known) == std::mem::discriminant(value);
        self.take(1 + if same { weigh(known).min(weigh(value)) as u64 / BYTES } else { 0 })
    }
}

/// What checking the smallest value by `schema` costs at most, in visits.
pub(super) fn work_of(schema: &Value) -> u64 {
    match schema {
        Value::Array(items) => items.iter().map(work_of).sum::<u64>() + 1,
        Value::Object(fields) => {
            let field = |(key, part): (&String, &Value)| states(key) / STATES + work_of(part) + 1;
            fields.iter().map(field).sum::<u64>() + 1
        }
        Value::String(text) => states(text) / STATES + text.len() as u64 / BYTES + 1,
        Value::Null | Value::Bool(_) | Value::Number(_) => 1,
    }
}

fn text_work(part: &Value, text: &str) -> u64 {
    let states = part.as_str().map_or(1, states).max(BYTES);
    1 + (text.len() as u64).saturating_mul(states) / STATES
}

/// About the states of a pattern: its bytes, and what its repetitions count up to.
fn states(pattern: &str) -> u64 {
    let counted = pattern.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    let most =
        counted.filter_map(|counts| counts.split(',').filter_map(|count| count.trim().parse::<u64>().ok()).max());
    most.fold(pattern.len() as u64, u64::saturating_add)
}
