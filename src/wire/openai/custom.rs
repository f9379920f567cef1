//! Custom tools, whose input is a text, as functions with one text `input`: other dialects have functions only.

use serde_json::{Value, json};

use crate::chat::Tool;

/// The field of the function that holds the text.
const INPUT: &str = "input";

/// What a request notes of a custom tool.
pub const CUSTOM: &str = "custom_tool";

/// The function that stands for a custom tool. A grammar, with its syntax, becomes words for the model: nothing else keeps to it.
pub fn custom_tool(name: String, about: Option<String>, grammar: Option<(String, String)>) -> Tool {
    let mut about = about.unwrap_or_default();
    if let Some((syntax, definition)) = grammar {
        about.push_str(&format!("\n\n`{INPUT}` must match this grammar, in the syntax of {syntax}:\n{definition}"));
    }
    let schema = json!({
        "type": "object", "properties": {INPUT: {"type": "string"}}, "required": [INPUT], "additionalProperties": false,
    });
    let description = Some(about.trim().to_owned()).filter(|about| !about.is_empty());
    Tool { name, description, schema: Some(schema), strict: None, cache: None }
}

/// The arguments of the function for a call with this text.
pub fn arguments_of(input: &str) -> String {
    json!({ INPUT: input }).to_string()
}

/// The text that a call of the function has; the arguments as they are where they have no such text.
pub fn input_of(arguments: &str) -> String {
    let read: Option<Value> = serde_json::from_str(arguments).ok();
    let text = read.as_ref().and_then(|read| read.get(INPUT)?.as_str());
    text.unwrap_or(arguments).to_owned()
}
