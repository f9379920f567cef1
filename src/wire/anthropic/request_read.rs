//! A caller's request, read into the internal form.

use serde_json::{Map, Value};

use super::part_read::{read_cache, read_content};
use super::place::{Place, only_here, wrong};
use crate::chat::{
    Code, Content, Effort, Emulated, Error, Format, Message, Part, Reasoning, Request, Role, Sampling, Tool, ToolChoice,
};
use crate::wire::dialect::Asked;
use crate::wire::json::{Object, exact};

/// The fields that are read. Of any other, no other dialect has a word.
const FIELDS: [&str; 19] = [
    "model",
    "messages",
    "max_tokens",
    "cache_control",
    "metadata",
    "output_config",
    "prompt",
    "service_tier",
    "speed",
    "stop_sequences",
    "stream",
    "system",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
    "mcp_servers",
];

/// Reads a request.
pub(super) fn read_request(asked: &Asked, emulated: &mut Emulated) -> Result<Request, Error> {
    let map: Map<String, Value> = exact::read(asked.object.bytes())
        .map_err(|error| Error::new(Code::InvalidRequest, format!("the body cannot be read: {error}")))?;
    let top = Place::top(&map);
    top.only(&FIELDS)?;
    if !top.list("mcp_servers")?.is_empty() {
        return Err(only_here("mcp_servers"));
    }
    if top.maybe_text("speed")?.is_some_and(|speed| speed != "standard") {
        return Err(only_here("speed"));
    }
    let (tool_choice, parallel_tools) = read_choice(&top)?;
    let (reasoning, format) = read_thought(&top, emulated)?;
    let stop = top.list("stop_sequences")?.iter().map(|text| text.as_str().map(str::to_owned));
    Ok(Request {
        model: asked.model.clone(),
        messages: read_messages(&top, emulated)?,
        tools: read_tools(&top, emulated)?,
        tool_choice,
        parallel_tools,
        format,
        max_tokens: asked.max_tokens,
        sampling: Sampling {
            temperature: top.number("temperature")?,
            top_p: top.number("top_p")?,
            top_k: top.whole("top_k")?,
            ..Sampling::default()
        },
        stop: stop.collect::<Option<_>>().ok_or_else(|| wrong("stop_sequences", "must be a list of texts"))?,
        reasoning,
        stream: asked.stream,
        include_usage: asked.include_usage,
        user: read_user(&top)?,
        service_tier: top.maybe_text("service_tier")?.map(str::to_owned),
        cache: read_cache(&top)?,
        ..Request::default()
    })
}

fn read_user(top: &Place<'_>) -> Result<Option<String>, Error> {
    let Some(metadata) = top.object("metadata")? else { return Ok(None) };
    metadata.only(&["user_id"])?;
    Ok(metadata.maybe_text("user_id")?.map(str::to_owned))
}

fn read_messages(top: &Place<'_>, emulated: &mut Emulated) -> Result<Vec<Message>, Error> {
    let mut messages = Vec::new();
    if let Some(system) = top.get("system") {
        let parts = read_content(system, "system", emulated)?;
        check_kinds(&parts, Role::System, "system")?;
        messages.extend((!parts.is_empty()).then_some(Message { role: Role::System, parts, name: None }));
    }
    for (n, message) in top.list("messages")?.iter().enumerate() {
        let message = Place::of(message, format!("messages[{n}]"))?;
        message.only(&["role", "content"])?;
        let role = match message.text("role")? {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "system" => Role::System,
            _ => return Err(wrong(&message.at("role"), "must be one of user, assistant and system")),
        };
        let path = message.at("content");
        let mut parts = read_content(message.need("content")?, &path, emulated)?;
        check_kinds(&parts, role, &path)?;
        parts.sort_by_key(|part| !matches!(part.content, Content::ToolResult { .. }));
        messages.extend((!parts.is_empty()).then_some(Message { role, parts, name: None }));
    }
    Ok(messages)
}

/// Refuses parts that a speaker cannot say.
fn check_kinds(parts: &[Part], role: Role, path: &str) -> Result<(), Error> {
    let fits = |part: &Part| match part.content {
        Content::Text { .. } => true,
        Content::Image { .. } | Content::Document { .. } | Content::ToolResult { .. } => role == Role::User,
        Content::Thinking(_) | Content::RedactedThinking(_) | Content::ToolCall { .. } => role == Role::Assistant,
        Content::Refusal(_) | Content::Audio { .. } => false,
    };
    if parts.iter().all(fits) {
        return Ok(());
    }
    Err(wrong(path, "has a block that its role cannot say"))
}

fn read_tools(top: &Place<'_>, emulated: &mut Emulated) -> Result<Vec<Tool>, Error> {
    let mut tools = Vec::new();
    for (n, tool) in top.list("tools")?.iter().enumerate() {
        let tool = Place::of(tool, format!("tools[{n}]"))?;
        if tool.maybe_text("type")?.is_some_and(|kind| kind != "custom") {
            return Err(only_here(&tool.at("type")));
        }
        let known = ["type", "name", "description", "input_schema", "strict", "cache_control"];
        let hints = ["eager_input_streaming", "defer_loading"];
        tool.only(&[&known[..], &hints].concat())?;
        if tool.flag("defer_loading")? == Some(true) {
            return Err(only_here(&tool.at("defer_loading")));
        }
        if tool.flag("eager_input_streaming")? == Some(true) {
            emulated.note("eager_input_streaming");
        }
        tools.push(Tool {
            name: tool.text("name")?.to_owned(),
            description: tool.maybe_text("description")?.map(str::to_owned),
            schema: tool.object("input_schema")?.and_then(|_| tool.get("input_schema")).cloned(),
            strict: tool.flag("strict")?,
            cache: read_cache(&tool)?,
        });
    }
    Ok(tools)
}

fn read_choice(top: &Place<'_>) -> Result<(Option<ToolChoice>, Option<bool>), Error> {
    let Some(choice) = top.object("tool_choice")? else { return Ok((None, None)) };
    choice.only(&["type", "name", "disable_parallel_tool_use"])?;
    let told = match choice.text("type")? {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Any,
        "none" => ToolChoice::None,
        "tool" => ToolChoice::Tool(choice.text("name")?.to_owned()),
        _ => return Err(wrong(&choice.at("type"), "must be one of auto, any, tool and none")),
    };
    Ok((Some(told), choice.flag("disable_parallel_tool_use")?.map(|disabled| !disabled)))
}

/// Reads `thinking` and `output_config`, which share how hard to think.
fn read_thought(top: &Place<'_>, emulated: &mut Emulated) -> Result<(Option<Reasoning>, Option<Format>), Error> {
    let mut effort = None;
    let mut format = None;
    if let Some(config) = top.object("output_config")? {
        config.only(&["effort", "format"])?;
        let named = |name: &str| {
            Effort::named(name)
                .ok_or_else(|| wrong("output_config.effort", "must be one of low, medium, high, xhigh and max"))
        };
        effort = config.maybe_text("effort")?.map(named).transpose()?;
        format = config.object("format")?.map(|format| read_format(&format)).transpose()?;
    }
    let Some(thinking) = top.object("thinking")? else {
        let reasoning = effort.map(|effort| Reasoning { effort: Some(effort), ..Reasoning::default() });
        return Ok((reasoning, format));
    };
    thinking.only(&["type", "budget_tokens", "display"])?;
    let tell = match thinking.maybe_text("display")? {
        None => None,
        Some("summarized") => Some(true),
        Some("omitted") => Some(false),
        Some(_) => return Err(wrong("thinking.display", "must be `summarized` or `omitted`")),
    };
    let reasoning = match thinking.text("type")? {
        "adaptive" => Reasoning { effort, budget: None, tell },
        "enabled" => {
            let budget =
                thinking.whole("budget_tokens")?.ok_or_else(|| wrong("thinking.budget_tokens", "is missing"))?;
            // Models that think by a budget tell their thoughts, unless they are asked not to.
            Reasoning { effort, budget: Some(budget), tell: tell.or(Some(true)) }
        }
        "disabled" => {
            // Without thinking, effort says only how wordy to be.
            if effort.is_some() {
                emulated.note("output_config.effort");
            }
            Reasoning { effort: Some(Effort::None), ..Reasoning::default() }
        }
        _ => return Err(wrong("thinking.type", "must be one of adaptive, enabled and disabled")),
    };
    Ok((Some(reasoning), format))
}

/// The form that the answer is to have.
pub(super) fn format(object: &Object) -> Option<Format> {
    let config: Value = serde_json::from_str(object.get("output_config")?).ok()?;
    let format = config.get("format").filter(|format| !format.is_null())?;
    read_format(&Place::of(format, String::new()).ok()?).ok()
}

fn read_format(format: &Place<'_>) -> Result<Format, Error> {
    format.only(&["type", "schema"])?;
    if format.text("type")? != "json_schema" {
        return Err(wrong("output_config.format.type", "must be `json_schema`"));
    }
    let schema = format.need("schema")?;
    if !schema.is_object() {
        return Err(wrong("output_config.format.schema", "must be an object"));
    }
    Ok(Format::JsonSchema {
        name: "response".to_owned(),
        description: None,
        schema: schema.clone(),
        strict: Some(true),
    })
}
