//! Custom tools, whose input is a text, as functions with one text `input`: other dialects have functions only.

use serde_json::{Value, json};

use crate::chat::{Content, Tool};
use crate::wire::fields::{FieldError, Place};

/// The field of the function that holds the text.
const INPUT: &str = "input";

/// Reads a custom tool. A grammar becomes words for the model: nothing else keeps to it.
pub(super) fn read_tool(mut tool: Place<'_>) -> Result<Tool, FieldError> {
    tool.only(&["type", "name", "description", "format", "defer_loading"])?;
    let mut about = tool.maybe_text("description")?.unwrap_or_default();
    if let Some(mut format) = tool.object("format")?
        && format.text("type")? == "grammar"
    {
        let (syntax, definition) = (format.text("syntax")?, format.text("definition")?);
        about.push_str(&format!("\n\n`{INPUT}` must match this grammar, in the syntax of {syntax}:\n{definition}"));
    }
    let schema = json!({
        "type": "object", "properties": {INPUT: {"type": "string"}}, "required": [INPUT], "additionalProperties": false,
    });
    let description = Some(about.trim().to_owned()).filter(|about| !about.is_empty());
    Ok(Tool { name: tool.text("name")?, description, schema: Some(schema), strict: None, cache: None })
}

/// Reads a call of a custom tool.
pub(super) fn read_call(mut item: Place<'_>) -> Result<Content, FieldError> {
    let input = item.maybe_text("input")?.unwrap_or_default();
    Ok(Content::ToolCall {
        id: item.text("call_id")?,
        name: item.text("name")?,
        arguments: json!({ INPUT: input }).to_string(),
    })
}

/// The names of the custom tools among a request's tools.
pub(super) fn names(tools: Option<&Value>) -> Vec<String> {
    let tools = tools.and_then(Value::as_array).into_iter().flatten();
    let custom = tools.filter(|tool| tool["type"] == "custom");
    custom.filter_map(|tool| tool["name"].as_str().map(str::to_owned)).collect()
}

/// The text that a call of the function has; the arguments as they are where they have no such text.
pub(super) fn input_of(arguments: &str) -> String {
    let read: Option<Value> = serde_json::from_str(arguments).ok();
    let text = read.as_ref().and_then(|read| read.get(INPUT)?.as_str());
    text.unwrap_or(arguments).to_owned()
}
