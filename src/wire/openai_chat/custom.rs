//! Custom tools, whose input is a text, and their calls.

use serde_json::{Map, Value, json};

use super::part_read::thought_signature;
use crate::chat::{Content, Part, Tool};
use crate::wire::dialect::AnswerContext;
use crate::wire::fields::{FieldError, Place};
use crate::wire::openai::{arguments_of, custom_tool, input_of};

/// Reads a custom tool, behind its type.
pub(super) fn read_tool(mut tool: Place<'_>) -> Result<Tool, FieldError> {
    tool.only(&["custom"])?;
    let mut custom = tool.need_object("custom")?;
    custom.only(&["name", "description", "format"])?;
    let about = custom.maybe_text("description")?;
    let grammar = custom.object("format")?.map(read_grammar).transpose()?.flatten();
    Ok(custom_tool(custom.text("name")?, about, grammar))
}

/// The syntax and the rules of a grammar; `None` for plain text.
fn read_grammar(mut format: Place<'_>) -> Result<Option<(String, String)>, FieldError> {
    if format.text("type")? != "grammar" {
        return Ok(None);
    }
    let mut grammar = format.need_object("grammar")?;
    Ok(Some((grammar.text("syntax")?, grammar.text("definition")?)))
}

/// Reads a call of a custom tool, behind its type.
pub(super) fn read_call(mut call: Place<'_>) -> Result<Part, FieldError> {
    let signature = thought_signature(call.rest());
    call.take("extra_content");
    call.take("index");
    let id = call.text("id")?;
    call.only(&["custom", "provider_specific_fields"])?;
    let mut custom = call.need_object("custom")?;
    custom.only(&["name", "input"])?;
    let (name, input) = (custom.text("name")?, custom.maybe_text("input")?.unwrap_or_default());
    Ok(Part { signature, ..Part::new(Content::ToolCall { id, name, arguments: arguments_of(&input) }) })
}

/// A call of a custom tool, from the arguments of the function that stands for the tool.
pub(super) fn write_call(id: &str, name: &str, arguments: &str) -> Value {
    json!({"id": id, "type": "custom", "custom": {"name": name, "input": input_of(arguments)}})
}

/// The names of the custom tools of the request that is answered.
pub(super) fn names(context: &AnswerContext) -> Vec<String> {
    let tools = context.request.as_ref().and_then(|request| request.get("tools"));
    let tools: Vec<Map<String, Value>> = tools.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
    let custom = tools.iter().filter(|tool| tool.get("type").is_some_and(|kind| kind == "custom"));
    custom.filter_map(|tool| Some(tool.get("custom")?.get("name")?.as_str()?.to_owned())).collect()
}
