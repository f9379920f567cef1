//! Reads a whole request into the internal form.

use serde_json::{Map, Value};

use super::custom;
use super::idiom::{IDIOM, unsupported};
use super::items_read::read_input;
use crate::chat::{Effort, Emulated, Error, Format, Message, Reasoning, Request, Role, Tool, ToolChoice};
use crate::wire::dialect::Asked;
use crate::wire::exact_numbers;
use crate::wire::fields::{FieldError, Path, Place};
use crate::wire::json::Object;
use crate::wire::openai::CUSTOM;

/// Reads a request.
///
/// # Errors
/// A 400 that names the field which is wrong, or which no other dialect has.
pub(super) fn read_request(asked: &Asked, emulated: &mut Emulated) -> Result<Request, Error> {
    let mut request = Request { model: asked.model.clone(), include_usage: true, ..Request::default() };
    let mut messages = Vec::new();
    for (name, json) in asked.object.iter().filter(|(_, json)| *json != "null") {
        let value: Value = exact_numbers::read(json.as_bytes())
            .map_err(|error| FieldError::wrong(name, format_args!("cannot be read: {error}")))?;
        match name {
            // Digits beyond those of a machine number mean nothing here.
            "temperature" => request.sampling.temperature = json.parse().ok(),
            "top_p" => request.sampling.top_p = json.parse().ok(),
            "input" => messages = read_input(value, emulated)?,
            "instructions" => {
                let text = value.as_str().filter(|text| !text.is_empty());
                request.messages.extend(text.map(|text| Message::text(Role::System, text)));
            }
            _ => read_field(name, value, &mut request, emulated)?,
        }
    }
    request.messages.append(&mut messages);
    Ok(request)
}

/// Whether the request that was read of this object has all that the object asks for. Four things it lacks: a wish for
/// proofs of reasoning, which other dialects send unasked; how long a summary of thoughts is to be; whether log-probabilities
/// that are counted are included as well; and `strict` of a tool without that field, whose default is true in this dialect
/// only.
pub(super) fn reads_all(object: &Object, request: &Request) -> bool {
    let include = object.get("include").unwrap_or_default();
    let as_elsewhere = !include.contains("encrypted_content")
        && request.logprobs.is_some() == include.contains("output_text.logprobs");
    let reasoning: Value = object.get("reasoning").and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
    let is_plain = |name: &str| reasoning.get(name).is_none_or(|summary| summary.is_null() || summary == "auto");
    let summaries = is_plain("summary") && is_plain("generate_summary");
    as_elsewhere && summaries && request.tools.iter().all(|tool| tool.strict.is_some())
}

fn read_field(name: &str, value: Value, request: &mut Request, emulated: &mut Emulated) -> Result<(), FieldError> {
    match name {
        "model" => {}
        "stream" => request.stream = value == true,
        "max_output_tokens" => request.max_tokens = value.as_u64(),
        "parallel_tool_calls" => request.parallel_tools = value.as_bool(),
        "prompt_cache_key" => request.prompt_cache_key = text(value),
        "service_tier" => request.service_tier = text(value),
        "store" => request.store = value.as_bool(),
        "top_logprobs" => {
            let alternatives = value.as_u64().filter(|most| *most > 0);
            request.logprobs = alternatives.or(request.logprobs);
        }
        "user" => request.user = text(value),
        "safety_identifier" => request.user = request.user.take().or(text(value)),
        "include" => read_include(&value, request, emulated)?,
        "reasoning" => request.reasoning = read_reasoning(place(value, name)?)?,
        "text" => read_text(place(value, name)?, request)?,
        "tools" => request.tools = read_tools(value, emulated)?,
        "tool_choice" => request.tool_choice = Some(read_choice(value)?),
        "metadata" => request.metadata = object(name, value)?,
        // Padding of events, a bound for hosted tools (which are refused), hints to a cache: none changes an answer.
        "stream_options" => emulated.note("stream_options"),
        "max_tool_calls" => emulated.note("max_tool_calls"),
        "prompt_cache_options" => emulated.note("prompt_cache_options"),
        "prompt_cache_retention" => emulated.note("prompt_cache_retention"),
        "background" if value == false => {}
        "truncation" if value == "disabled" => {}
        // What to do with a conversation that is too long; it is sent whole.
        "truncation" => emulated.note("truncation"),
        "client_metadata" => emulated.note("client_metadata"),
        "context_management" => emulated.note("context_management"),
        _ => return Err(IDIOM.only_here(name)),
    }
    Ok(())
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

fn place<'p>(value: Value, name: &'p str) -> Result<Place<'p>, FieldError> {
    Place::of(value, Path::of(name), &IDIOM)
}

fn object(name: &str, value: Value) -> Result<Map<String, Value>, FieldError> {
    match value {
        Value::Object(map) => Ok(map),
        _ => Err(FieldError::wrong(name, "must be an object")),
    }
}

fn read_include(value: &Value, request: &mut Request, emulated: &mut Emulated) -> Result<(), FieldError> {
    let Value::Array(list) = value else { return Err(FieldError::wrong("include", "must be a list")) };
    for wanted in list {
        match wanted.as_str() {
            // Translated answers have the proof wherever the provider sends one.
            Some("reasoning.encrypted_content") => {}
            Some("message.output_text.logprobs") => request.logprobs = request.logprobs.or(Some(0)),
            // More of what OpenAI's own tools did, which no translated answer has.
            _ => emulated.note("include"),
        }
    }
    Ok(())
}

/// How much to think; `None` where the object asks for nothing.
fn read_reasoning(mut reasoning: Place<'_>) -> Result<Option<Reasoning>, FieldError> {
    let effort = match reasoning.maybe_text("effort")? {
        None => None,
        Some(name) => Some(
            Effort::named(&name)
                .ok_or_else(|| reasoning.wrong("effort", "must be none, minimal, low, medium, high, xhigh or max"))?,
        ),
    };
    let (summary, older) = (reasoning.maybe_text("summary")?, reasoning.maybe_text("generate_summary")?);
    for (name, plain) in [("context", "auto"), ("mode", "standard")] {
        if reasoning.get(name).is_some_and(|value| value == plain) {
            reasoning.take(name);
        }
    }
    reasoning.done()?;
    let read = Reasoning { effort, budget: None, tell: summary.or(older).map(|summary| summary != "none") };
    Ok((read != Reasoning::default()).then_some(read))
}

fn read_text(mut text: Place<'_>, request: &mut Request) -> Result<(), FieldError> {
    text.only(&["format", "verbosity"])?;
    request.verbosity = text.maybe_text("verbosity")?;
    if let Some(format) = text.take("format") {
        request.format = Some(read_format(format)?);
    }
    Ok(())
}

/// The format that the request asks for.
pub(super) fn format(asked: &Object) -> Option<Format> {
    let mut text: Map<String, Value> = serde_json::from_str(asked.get("text")?).ok()?;
    read_format(text.get_mut("format")?.take()).ok()
}

fn read_format(format: Value) -> Result<Format, FieldError> {
    let mut format = place(format, "text.format")?;
    Ok(match format.text("type")?.as_str() {
        "text" => Format::Text,
        "json_object" => Format::JsonObject,
        "json_schema" => {
            let Some(schema @ Value::Object(_)) = format.take("schema") else {
                return Err(format.wrong("schema", "must be an object"));
            };
            Format::JsonSchema {
                name: format.text("name")?,
                description: format.maybe_text("description")?,
                schema,
                strict: format.flag("strict")?,
            }
        }
        other => {
            return Err(unsupported(format.at("type"), format_args!("no other dialect has the format `{other}`")));
        }
    })
}

fn read_tools(value: Value, emulated: &mut Emulated) -> Result<Vec<Tool>, FieldError> {
    let Value::Array(tools) = value else { return Err(FieldError::wrong("tools", "must be a list")) };
    let is_offered = tools.iter().any(|tool| tool["type"] == "function" || tool["type"] == "custom");
    let all = tools.len();
    let asked = tools.into_iter().enumerate().filter(|(_, tool)| !(is_offered && is_extra(tool)));
    let read = |(n, tool)| read_tool(Place::of(tool, Path::of_item("tools", n), &IDIOM)?, emulated);
    let tools = asked.map(read).collect::<Result<Vec<_>, _>>()?;
    if tools.len() < all {
        emulated.note("tools");
    }
    Ok(tools)
}

/// Whether a tool is one that Codex offers with every request beside its functions, and that a model can do without: a group of
/// further tools, and a search that may not leave OpenAI's own store of pages.
fn is_extra(tool: &Value) -> bool {
    match tool["type"].as_str() {
        Some("namespace") => true,
        Some("web_search") => tool["external_web_access"] == false,
        _ => false,
    }
}

fn read_tool(mut tool: Place<'_>, emulated: &mut Emulated) -> Result<Tool, FieldError> {
    let kind = tool.text("type")?;
    if kind == "custom" {
        emulated.note(CUSTOM);
        return custom::read_tool(tool);
    }
    if kind != "function" {
        let what = format_args!("the tool `{kind}` runs at OpenAI only; other providers have functions");
        return Err(unsupported(tool.at("type"), what));
    }
    tool.only(&["type", "name", "description", "parameters", "strict"])?;
    let schema = tool.take("parameters");
    if schema.as_ref().is_some_and(|schema| !schema.is_object()) {
        return Err(tool.wrong("parameters", "must be an object"));
    }
    Ok(Tool {
        name: tool.text("name")?,
        description: tool.maybe_text("description")?,
        schema,
        strict: tool.flag("strict")?,
        cache: None,
    })
}

fn read_choice(value: Value) -> Result<ToolChoice, FieldError> {
    match value.as_str() {
        Some("auto") => return Ok(ToolChoice::Auto),
        Some("none") => return Ok(ToolChoice::None),
        Some("required") => return Ok(ToolChoice::Any),
        _ => {}
    }
    if value.is_object() {
        let mut choice = place(value, "tool_choice")?;
        let kind = choice.text("type")?;
        if kind == "function" || kind == "custom" {
            return Ok(ToolChoice::Tool(choice.text("name")?));
        }
        if kind == "allowed_tools" {
            return read_allowed(choice);
        }
        return Err(unsupported(choice.at("type"), format_args!("no other dialect has the choice `{kind}`")));
    }
    Err(FieldError::wrong("tool_choice", "must be auto, none, required or an object"))
}

fn read_allowed(mut choice: Place<'_>) -> Result<ToolChoice, FieldError> {
    let must = match choice.maybe_text("mode")?.as_deref() {
        None | Some("auto") => false,
        Some("required") => true,
        Some(_) => return Err(choice.wrong("mode", "must be auto or required")),
    };
    let mut names = Vec::new();
    for (n, tool) in choice.list("tools")?.into_iter().enumerate() {
        let mut tool = choice.inner(tool, choice.item("tools", n))?;
        let kind = tool.text("type")?;
        if kind != "function" && kind != "custom" {
            let what = format_args!("the tool `{kind}` runs at OpenAI only; other providers have functions");
            return Err(unsupported(tool.at("type"), what));
        }
        names.push(tool.text("name")?);
    }
    match names.is_empty() {
        true => Err(choice.wrong("tools", "must name a tool")),
        false => Ok(ToolChoice::Allowed { names, must }),
    }
}
