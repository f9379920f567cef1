//! What an answer repeats of its request: clients look there for the format that they asked for, and the tools.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::wire::json::{Object, exact};

/// The fields that are repeated. The others an answer says of itself.
const FIELDS: [&str; 16] = [
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "parallel_tool_calls",
    "prompt_cache_key",
    "reasoning",
    "safety_identifier",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
];

/// What a request says of the fields that its answer repeats.
#[derive(Debug, Default)]
pub(super) struct Repeated(Map<String, Value>);

/// A field as the request said it, or as it is where the request did not: the SDKs ask for it to be there.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Field<'a, T> {
    Said(&'a Value),
    Unsaid(T),
}

impl Repeated {
    /// What `request` says.
    pub(super) fn of(request: &Object) -> Self {
        let said =
            |name: &str| exact::read(request.get(name)?.as_bytes()).ok().filter(|value: &Value| !value.is_null());
        let mut fields: Map<String, Value> =
            FIELDS.into_iter().filter_map(|name| Some((name.to_owned(), said(name)?))).collect();
        let unsaid = [
            ("text", "format", json!({"type": "text"})),
            ("reasoning", "effort", Value::Null),
            ("reasoning", "summary", Value::Null),
        ];
        for (name, inner, value) in unsaid {
            if let Some(Value::Object(said)) = fields.get_mut(name) {
                said.entry(inner).or_insert(value);
            }
        }
        Self(fields)
    }

    /// The field `name`, which is `unsaid` where the request does not say it.
    pub(super) fn field<T>(&self, name: &str, unsaid: T) -> Field<'_, T> {
        self.0.get(name).map_or(Field::Unsaid(unsaid), Field::Said)
    }

    /// The field `name`, where the request says it.
    pub(super) fn said(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }
}
