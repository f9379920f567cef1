//! What an answer repeats of its request: clients look there for the format that they asked for, and the tools.

use serde_json::{Map, Value};

use crate::wire::json::Object;

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

/// What the request says of them.
pub(super) fn said(request: &Object) -> Map<String, Value> {
    let said = |name: &str| serde_json::from_str(request.get(name)?).ok().filter(|value: &Value| !value.is_null());
    FIELDS.into_iter().filter_map(|name| Some((name.to_owned(), said(name)?))).collect()
}

/// Puts it into an answer that is written as if the request had said nothing. What the request's `text` and `reasoning`
/// leave out stays as it is.
pub(super) fn repeat(said: &Map<String, Value>, answer: &mut Map<String, Value>) {
    for (name, value) in said {
        match (answer.get_mut(name), value) {
            (Some(Value::Object(there)), Value::Object(said)) => there.extend(said.clone()),
            _ => drop(answer.insert(name.clone(), value.clone())),
        }
    }
}
