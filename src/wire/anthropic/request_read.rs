//! A caller's request, read into the internal form.

use serde_json::Value;

use super::idiom::IDIOM;
use super::part_read::{TOOL_SEARCH, read_cache, read_content};
use crate::chat::{
    Code, Content, Effort, Emulated, Error, Format, Message, Part, Reasoning, Request, Role, Sampling, Tool, ToolChoice,
};
use crate::wire::dialect::Asked;
use crate::wire::exact_numbers;
use crate::wire::fields::{FieldError, Path, Place};
use crate::wire::json::Object;

/// The fields that are read. No other dialect has a form for any other field.
const FIELDS: [&str; 22] = [
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
    "context_management",
    "anthropic_beta",
    "anthropic_version",
];

/// Reads a request.
pub(super) fn read_request(asked: &Asked, emulated: &mut Emulated) -> Result<Request, Error> {
    let body = exact_numbers::read(asked.object.bytes())
        .map_err(|error| Error::new(Code::InvalidRequest, format!("the body cannot be read: {error}")))?;
    let mut top = Place::of(body, Path::ROOT, &IDIOM)?;
    top.only(&FIELDS)?;
    if !top.list("mcp_servers")?.is_empty() {
        return Err(top.only_here("mcp_servers").into());
    }
    note_savings(&mut top, emulated)?;
    let (tool_choice, parallel_tools) = read_choice(&mut top)?;
    let (effort, format) = read_output(&mut top, emulated)?;
    let leaves_thinking = effort.is_some() && !top.has("thinking");
    let reasoning = read_thinking(&mut top, effort, emulated)?;
    Ok(Request {
        model: asked.model.clone(),
        messages: read_messages(&mut top, emulated)?,
        tools: read_tools(&mut top, emulated)?,
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
        stop: top.texts("stop_sequences")?,
        reasoning,
        leaves_thinking,
        stream: asked.stream,
        include_usage: asked.include_usage,
        user: read_user(&mut top, emulated)?,
        service_tier: top.maybe_text("service_tier")?,
        cache: read_cache(&mut top)?,
        ..Request::default()
    })
}

/// Whether the request that is read of this object asks, in every dialect, for what the object asks. Two things it asks here
/// only: that an effort without `thinking` does not turn thinking on, and that a budget without `display` leaves to the model
/// what it shows.
pub(super) fn reads_all(object: &Object) -> bool {
    let field = |name: &str| object.get(name).and_then(|json| serde_json::from_str::<Value>(json).ok());
    let is_set = |value: &Value, name: &str| value.get(name).is_some_and(|value| !value.is_null());
    match field("thinking").filter(|thinking| !thinking.is_null()) {
        None => !field("output_config").is_some_and(|config| is_set(&config, "effort")),
        Some(thinking) => thinking["type"] != "enabled" || is_set(&thinking, "display"),
    }
}

/// Notes the fields that save time or tokens, and are no part of the question.
fn note_savings(top: &mut Place<'_>, emulated: &mut Emulated) -> Result<(), FieldError> {
    if top.maybe_text("speed")?.is_some_and(|speed| speed != "standard") {
        emulated.note("speed");
    }
    // An edit clears or sums up what the model has read already; without it the model reads the whole.
    for name in ["context_management", "anthropic_beta"] {
        if top.take(name).is_some() {
            emulated.note(name);
        }
    }
    Ok(())
}

fn read_user(top: &mut Place<'_>, emulated: &mut Emulated) -> Result<Option<String>, FieldError> {
    let Some(mut metadata) = top.object("metadata")? else { return Ok(None) };
    let user = metadata.maybe_text("user_id")?;
    if metadata.rest().values().any(|value| !value.is_null()) {
        emulated.note("metadata");
    }
    Ok(user)
}

fn read_messages(top: &mut Place<'_>, emulated: &mut Emulated) -> Result<Vec<Message>, FieldError> {
    let mut messages = Vec::new();
    if let Some(system) = top.take("system") {
        let path = Path::of("system");
        let parts = read_content(system, &path, emulated)?;
        check_kinds(&parts, Role::System, &path)?;
        messages.extend((!parts.is_empty()).then_some(Message { role: Role::System, parts, name: None }));
    }
    for (n, message) in top.list("messages")?.into_iter().enumerate() {
        let mut message = top.inner(message, Path::of_item("messages", n))?;
        message.only(&["role", "content"])?;
        let role = match message.text("role")?.as_str() {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "system" => Role::System,
            _ => return Err(message.wrong("role", "must be one of user, assistant and system")),
        };
        let content = message.need("content")?;
        let path = message.at("content");
        let mut parts = read_content(content, &path, emulated)?;
        check_kinds(&parts, role, &path)?;
        parts.sort_by_key(|part| !matches!(part.content, Content::ToolResult { .. }));
        messages.extend((!parts.is_empty()).then_some(Message { role, parts, name: None }));
    }
    Ok(messages)
}

/// Refuses parts that a role cannot have.
fn check_kinds(parts: &[Part], role: Role, path: &Path<'_>) -> Result<(), FieldError> {
    let fits = |part: &Part| match part.content {
        Content::Text { .. } => true,
        Content::Image { .. } | Content::Document { .. } | Content::ToolResult { .. } => role == Role::User,
        Content::Thinking(_) | Content::RedactedThinking(_) | Content::ToolCall { .. } => role == Role::Assistant,
        Content::Refusal(_) | Content::Audio { .. } => false,
    };
    if parts.iter().all(fits) {
        return Ok(());
    }
    Err(FieldError::wrong(path, "has a block that its role cannot say"))
}

fn read_tools(top: &mut Place<'_>, emulated: &mut Emulated) -> Result<Vec<Tool>, FieldError> {
    const KNOWN: [&str; 10] = [
        "type",
        "name",
        "description",
        "input_schema",
        "strict",
        "cache_control",
        "eager_input_streaming",
        "defer_loading",
        "allowed_callers",
        "input_examples",
    ];
    let list = top.list("tools")?;
    let mut tools = Vec::with_capacity(list.len());
    for (n, tool) in list.into_iter().enumerate() {
        let mut tool = top.inner(tool, Path::of_item("tools", n))?;
        let kind = tool.maybe_text("type")?.unwrap_or_else(|| "custom".to_owned());
        if kind.starts_with(TOOL_SEARCH) {
            // What it would find is among the tools.
            emulated.note("tool_search");
            continue;
        }
        if kind != "custom" {
            return Err(tool.only_here("type"));
        }
        tool.only(&KNOWN)?;
        for hint in ["defer_loading", "eager_input_streaming"] {
            if tool.flag(hint)? == Some(true) {
                emulated.note(hint);
            }
        }
        if !tool.list("input_examples")?.is_empty() {
            emulated.note("input_examples");
        }
        // Code that runs at Anthropic calls tools there only; the model itself may call them everywhere.
        if tool.texts("allowed_callers")?.iter().any(|caller| caller != "direct") {
            return Err(tool.only_here("allowed_callers"));
        }
        let (name, description) = (tool.text("name")?, tool.maybe_text("description")?);
        let schema = tool.take("input_schema");
        if schema.as_ref().is_some_and(|schema| !schema.is_object()) {
            return Err(tool.wrong("input_schema", "must be an object"));
        }
        tools.push(Tool { name, description, schema, strict: tool.flag("strict")?, cache: read_cache(&mut tool)? });
    }
    Ok(tools)
}

fn read_choice(top: &mut Place<'_>) -> Result<(Option<ToolChoice>, Option<bool>), FieldError> {
    let Some(mut choice) = top.object("tool_choice")? else { return Ok((None, None)) };
    choice.only(&["type", "name", "disable_parallel_tool_use"])?;
    let chosen = match choice.text("type")?.as_str() {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Any,
        "none" => ToolChoice::None,
        "tool" => ToolChoice::Tool(choice.text("name")?),
        _ => return Err(choice.wrong("type", "must be one of auto, any, tool and none")),
    };
    Ok((Some(chosen), choice.flag("disable_parallel_tool_use")?.map(|disabled| !disabled)))
}

/// Reads `output_config`: how hard to think, and the format of the answer.
fn read_output(top: &mut Place<'_>, emulated: &mut Emulated) -> Result<(Option<Effort>, Option<Format>), FieldError> {
    let Some(mut config) = top.object("output_config")? else { return Ok((None, None)) };
    if config.take("task_budget").is_some() {
        emulated.note("output_config.task_budget");
    }
    config.only(&["effort", "format"])?;
    let effort = match config.maybe_text("effort")? {
        None => None,
        Some(name) => Some(
            Effort::named(&name)
                .ok_or_else(|| config.wrong("effort", "must be one of low, medium, high, xhigh and max"))?,
        ),
    };
    Ok((effort, config.object("format")?.map(read_format).transpose()?))
}

/// Reads `thinking`, which shares with `output_config` how hard to think.
fn read_thinking(
    top: &mut Place<'_>,
    effort: Option<Effort>,
    emulated: &mut Emulated,
) -> Result<Option<Reasoning>, FieldError> {
    let Some(mut thinking) = top.object("thinking")? else {
        return Ok(effort.map(|effort| Reasoning { effort: Some(effort), ..Reasoning::default() }));
    };
    thinking.only(&["type", "budget_tokens", "display"])?;
    let tell = match thinking.maybe_text("display")?.as_deref() {
        None => None,
        Some("summarized") => Some(true),
        Some("omitted") => Some(false),
        Some(_) => return Err(thinking.wrong("display", "must be `summarized` or `omitted`")),
    };
    Ok(Some(match thinking.text("type")?.as_str() {
        "adaptive" => Reasoning { effort, budget: None, tell },
        "enabled" => {
            let budget = thinking.whole("budget_tokens")?;
            let budget = budget.ok_or_else(|| thinking.wrong("budget_tokens", "is missing"))?;
            // Models that think by a budget show their thoughts unless the request forbids it.
            Reasoning { effort, budget: Some(budget), tell: tell.or(Some(true)) }
        }
        "disabled" => {
            // Without thinking, effort only sets how wordy the answer is.
            if effort.is_some() {
                emulated.note("output_config.effort");
            }
            Reasoning { effort: Some(Effort::None), ..Reasoning::default() }
        }
        _ => return Err(thinking.wrong("type", "must be one of adaptive, enabled and disabled")),
    }))
}

/// The format that the answer is to have.
pub(super) fn format(object: &Object) -> Option<Format> {
    let mut config: Value = serde_json::from_str(object.get("output_config")?).ok()?;
    let format = config.get_mut("format").map(Value::take).filter(|format| !format.is_null())?;
    read_format(Place::of(format, Path::ROOT, &IDIOM).ok()?).ok()
}

fn read_format(mut format: Place<'_>) -> Result<Format, FieldError> {
    format.only(&["type", "schema"])?;
    if format.text("type")? != "json_schema" {
        return Err(format.wrong("type", "must be `json_schema`"));
    }
    let schema = format.need("schema")?;
    if !schema.is_object() {
        return Err(format.wrong("schema", "must be an object"));
    }
    Ok(Format::JsonSchema { name: "response".to_owned(), description: None, schema, strict: Some(true) })
}
