//! Custom tools, whose input is a text, and their calls.

use serde_json::Value;

use crate::chat::{Content, Tool};
use crate::wire::fields::{FieldError, Place};
use crate::wire::openai::{arguments_of, custom_tool};

/// Reads a custom tool.
pub(super) fn read_tool(mut tool: Place<'_>) -> Result<Tool, FieldError> {
    tool.only(&["type", "name", "description", "format", "defer_loading"])?;
    let about = tool.maybe_text("description")?;
    let grammar = tool.object("format")?.map(read_grammar).transpose()?.flatten();
    Ok(custom_tool(tool.text("name")?, about, grammar))
}

/// The syntax and the rules of a grammar; `None` for plain text.
fn read_grammar(mut format: Place<'_>) -> Result<Option<(String, String)>, FieldError> {
    if format.text("type")? != "grammar" {
        return Ok(None);
    }
    Ok(Some((format.text("syntax")?, format.text("definition")?)))
}

/// Reads a call of a custom tool.
pub(super) fn read_call(mut item: Place<'_>) -> Result<Content, FieldError> {
    let input = item.maybe_text("input")?.unwrap_or_default();
    Ok(Content::ToolCall { id: item.text("call_id")?, name: item.text("name")?, arguments: arguments_of(&input) })
}

/// The names of the custom tools among a request's tools.
pub(super) fn names(tools: Option<&Value>) -> Vec<String> {
    let tools = tools.and_then(Value::as_array).into_iter().flatten();
    let custom = tools.filter(|tool| tool["type"] == "custom");
    custom.filter_map(|tool| tool["name"].as_str().map(str::to_owned)).collect()
}
