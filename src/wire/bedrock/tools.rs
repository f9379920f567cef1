//! `toolConfig`: what the model may call, and whether it must.

use serde_json::{Map, Value, json};

use super::family::Family;
use super::idiom::not_here;
use super::part_write::cache_point;
use crate::chat::{Emulated, Request, Tool, ToolChoice};
use crate::wire::capabilities::Capabilities;
use crate::wire::claude_thinking;
use crate::wire::fields::{FieldError, Path};
use crate::wire::tool_ids::fitting;

/// The longest name of a tool.
const LONGEST_NAME: usize = 64;

/// Writes `toolConfig`; `None` where there is no tool. `has_calls` is whether the conversation has calls or results in
/// it, which Converse takes only together with tools.
pub(super) fn write(
    request: &Request,
    family: Family,
    has_calls: bool,
    emulated: &mut Emulated,
) -> Result<Option<Value>, FieldError> {
    if request.tools.is_empty() {
        return Ok(None);
    }
    if request.parallel_tools == Some(false) {
        return Err(not_here("parallel_tool_calls", "they cannot be switched off there"));
    }
    if family.is_claude() && claude_thinking::forces_call(request, Capabilities::of(request)) {
        return Err(not_here("tool_choice", claude_thinking::NO_FORCED_CALL));
    }
    let choice = match &request.tool_choice {
        Some(ToolChoice::None) if has_calls => {
            return Err(not_here("tool_choice", "tools that the conversation has used cannot be forbidden there"));
        }
        // A model cannot call a tool that it does not know.
        Some(ToolChoice::None) => {
            emulated.note("tool_choice");
            return Ok(None);
        }
        None => None,
        Some(ToolChoice::Auto) => Some(json!({"auto": {}})),
        Some(ToolChoice::Any | ToolChoice::Allowed { .. }) => Some(json!({"any": {}})),
        Some(ToolChoice::Tool(name)) => Some(json!({"tool": {"name": name}})),
    };
    let mut tools = Vec::with_capacity(request.tools.len());
    for (n, tool) in request.tools.iter().enumerate() {
        tools.push(write_tool(n, tool, family, emulated)?);
        if let Some(ttl) = tool.cache {
            // Nova caches the conversation, not its tools.
            match family {
                Family::Nova | Family::Nova2 => emulated.note("cache_control"),
                _ => tools.extend(cache_point(ttl, family, emulated)),
            }
        }
    }
    let mut config = json!({"tools": tools});
    if let Some(choice) = choice {
        config["toolChoice"] = choice;
    }
    Ok(Some(config))
}

fn write_tool(n: usize, tool: &Tool, family: Family, emulated: &mut Emulated) -> Result<Value, FieldError> {
    if tool.name.is_empty() || tool.name.len() > LONGEST_NAME || !tool.name.chars().all(fitting) {
        let why = "a tool's name there has 1 to 64 letters, digits, `_` and `-`";
        return Err(not_here(Path::of_item("tools", n).field("name"), why));
    }
    let mut spec = Map::new();
    spec.insert("name".to_owned(), tool.name.as_str().into());
    let description = tool.description.as_deref().filter(|text| !text.is_empty());
    spec.extend(description.map(|text| ("description".to_owned(), text.into())));
    spec.insert("inputSchema".to_owned(), json!({"json": tool.object_schema()}));
    match tool.strict {
        Some(true) if family.has_schemas() => {
            spec.insert("strict".to_owned(), true.into());
        }
        Some(true) => emulated.note("strict"),
        None | Some(false) => {}
    }
    Ok(json!({"toolSpec": spec}))
}
