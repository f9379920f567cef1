//! Reads a whole request into the internal form.

use serde_json::{Map, Value};

use super::input::read_input;
use super::parts::{optional, required, unsupported, wrong};
use crate::chat::{Effort, Emulated, Error, Format, Message, Reasoning, Request, Role, Tool, ToolChoice};
use crate::wire::dialect::Asked;
use crate::wire::json::{Object, exact};

/// Reads a request.
///
/// # Errors
/// A 400 that names the field which is wrong, or which no other dialect can say.
pub(super) fn read_request(asked: &Asked, emulated: &mut Emulated) -> Result<Request, Error> {
    let mut request = Request { model: asked.model.clone(), include_usage: true, ..Request::default() };
    let mut messages = Vec::new();
    for (name, json) in asked.object.iter().filter(|(_, json)| *json != "null") {
        let value = exact::read(json.as_bytes()).map_err(|error| wrong(name, &format!("cannot be read: {error}")))?;
        match name {
            // Digits beyond those of a machine number mean nothing here.
            "temperature" => request.sampling.temperature = json.parse().ok(),
            "top_p" => request.sampling.top_p = json.parse().ok(),
            "input" => messages = read_input(&value, emulated)?,
            "instructions" => {
                let text = value.as_str().filter(|text| !text.is_empty());
                request.messages.extend(text.map(|text| Message::text(Role::System, text)));
            }
            _ => read_field(name, &value, &mut request, emulated)?,
        }
    }
    request.messages.append(&mut messages);
    Ok(request)
}

/// Whether the request, read of this object, is all that it asks: not where it asks for proofs of reasoning, which come
/// unasked elsewhere, nor where a tool leaves open whether it is strict, since it is so here and nowhere else.
pub(super) fn reads_all(object: &Object, request: &Request) -> bool {
    let proofs = object.get("include").is_some_and(|include| include.contains("encrypted_content"));
    !proofs && request.tools.iter().all(|tool| tool.strict.is_some())
}

fn read_field(name: &str, value: &Value, request: &mut Request, emulated: &mut Emulated) -> Result<(), Error> {
    let text = || value.as_str().map(str::to_owned);
    match name {
        "model" => {}
        "stream" => request.stream = *value == true,
        "max_output_tokens" => request.max_tokens = value.as_u64(),
        "parallel_tool_calls" => request.parallel_tools = value.as_bool(),
        "prompt_cache_key" => request.prompt_cache_key = text(),
        "service_tier" => request.service_tier = text(),
        "store" => request.store = value.as_bool(),
        "top_logprobs" => {
            let asked = value.as_u64().filter(|most| *most > 0);
            request.logprobs = asked.or(request.logprobs);
        }
        "user" => request.user = text(),
        "safety_identifier" => request.user = request.user.take().or_else(text),
        "include" => read_include(value, request)?,
        "reasoning" => request.reasoning = Some(read_reasoning(object(name, value)?)?),
        "text" => read_text(object(name, value)?, request)?,
        "tools" => request.tools = read_tools(value)?,
        "tool_choice" => request.tool_choice = Some(read_choice(value)?),
        "metadata" => request.metadata = object(name, value)?.clone(),
        // Padding against eavesdroppers; a bound for hosted tools, which are refused; hints to a cache.
        "stream_options" => emulated.note("stream_options"),
        "max_tool_calls" => emulated.note("max_tool_calls"),
        "prompt_cache_options" => emulated.note("prompt_cache_options"),
        "prompt_cache_retention" => emulated.note("prompt_cache_retention"),
        "background" if value == false => {}
        "truncation" if value == "disabled" => {}
        "truncation" => return Err(unsupported(name, "only `truncation: \"disabled\"` can be said in other dialects")),
        _ => return Err(unsupported(name, &format!("`{name}` cannot be said in any other dialect"))),
    }
    Ok(())
}

fn object<'a>(name: &str, value: &'a Value) -> Result<&'a Map<String, Value>, Error> {
    value.as_object().ok_or_else(|| wrong(name, "must be an object"))
}

/// What of a nested object is set, apart from `known`, is refused.
fn refuse_others(map: &Map<String, Value>, known: &[&str], path: &str) -> Result<(), Error> {
    match map.iter().find(|(name, value)| !value.is_null() && !known.contains(&name.as_str())) {
        Some((name, _)) => {
            Err(unsupported(format!("{path}.{name}"), &format!("`{path}.{name}` cannot be said in any other dialect")))
        }
        None => Ok(()),
    }
}

fn read_include(value: &Value, request: &mut Request) -> Result<(), Error> {
    let Value::Array(list) = value else { return Err(wrong("include", "must be a list")) };
    for (n, wanted) in list.iter().enumerate() {
        match wanted.as_str() {
            // It is told wherever a provider gives it.
            Some("reasoning.encrypted_content") => {}
            Some("message.output_text.logprobs") => request.logprobs = request.logprobs.or(Some(0)),
            _ => return Err(unsupported(format!("include[{n}]"), &format!("{wanted} is for OpenAI's own tools"))),
        }
    }
    Ok(())
}

fn read_reasoning(map: &Map<String, Value>) -> Result<Reasoning, Error> {
    let effort =
        match optional(map, "effort", "reasoning")? {
            Some(name) => {
                let known = Effort::named(&name);
                Some(known.ok_or_else(|| {
                    wrong("reasoning.effort", "must be none, minimal, low, medium, high, xhigh or max")
                })?)
            }
            None => None,
        };
    let summary = optional(map, "summary", "reasoning")?.or(optional(map, "generate_summary", "reasoning")?);
    let plain = |name: &str, plain: &str| map.get(name).is_none_or(|value| value == plain);
    let mut known = vec!["effort", "summary", "generate_summary"];
    known.extend(plain("context", "auto").then_some("context"));
    known.extend(plain("mode", "standard").then_some("mode"));
    refuse_others(map, &known, "reasoning")?;
    Ok(Reasoning { effort, budget: None, tell: summary.map(|summary| summary != "none") })
}

fn read_text(map: &Map<String, Value>, request: &mut Request) -> Result<(), Error> {
    refuse_others(map, &["format", "verbosity"], "text")?;
    request.verbosity = optional(map, "verbosity", "text")?;
    if let Some(format) = map.get("format").filter(|format| !format.is_null()) {
        request.format = Some(read_format(format)?);
    }
    Ok(())
}

/// The form that the answer is to have.
pub(super) fn format(asked: &Object) -> Option<Format> {
    let text: Map<String, Value> = serde_json::from_str(asked.get("text")?).ok()?;
    read_format(text.get("format")?).ok()
}

fn read_format(format: &Value) -> Result<Format, Error> {
    let format = object("text.format", format)?;
    let path = "text.format";
    Ok(match required(format, "type", path)?.as_str() {
        "text" => Format::Text,
        "json_object" => Format::JsonObject,
        "json_schema" => {
            let Some(schema @ Value::Object(_)) = format.get("schema") else {
                return Err(wrong("text.format.schema", "must be an object"));
            };
            Format::JsonSchema {
                name: required(format, "name", path)?,
                description: optional(format, "description", path)?,
                schema: schema.clone(),
                strict: flag(format, "strict", path)?,
            }
        }
        other => return Err(unsupported("text.format.type", &format!("no other dialect has the format `{other}`"))),
    })
}

fn flag(map: &Map<String, Value>, name: &str, path: &str) -> Result<Option<bool>, Error> {
    match map.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(_) => Err(wrong(format!("{path}.{name}"), "must be true or false")),
    }
}

fn read_tools(value: &Value) -> Result<Vec<Tool>, Error> {
    let Value::Array(tools) = value else { return Err(wrong("tools", "must be a list")) };
    tools.iter().enumerate().map(|(n, tool)| read_tool(tool, &format!("tools[{n}]"))).collect()
}

fn read_tool(tool: &Value, path: &str) -> Result<Tool, Error> {
    let Value::Object(tool) = tool else { return Err(wrong(path, "must be an object")) };
    let kind = required(tool, "type", path)?;
    if kind != "function" {
        let what = format!("the tool `{kind}` runs at OpenAI only; other providers have functions");
        return Err(unsupported(format!("{path}.type"), &what));
    }
    refuse_others(tool, &["type", "name", "description", "parameters", "strict"], path)?;
    let schema = match tool.get("parameters") {
        None | Some(Value::Null) => None,
        Some(schema @ Value::Object(_)) => Some(schema.clone()),
        Some(_) => return Err(wrong(format!("{path}.parameters"), "must be an object")),
    };
    Ok(Tool {
        name: required(tool, "name", path)?,
        description: optional(tool, "description", path)?,
        schema,
        strict: flag(tool, "strict", path)?,
        cache: None,
    })
}

fn read_choice(value: &Value) -> Result<ToolChoice, Error> {
    if let Value::Object(choice) = value {
        let kind = required(choice, "type", "tool_choice")?;
        if kind == "function" {
            return Ok(ToolChoice::Tool(required(choice, "name", "tool_choice")?));
        }
        return Err(unsupported("tool_choice.type", &format!("no other dialect has the choice `{kind}`")));
    }
    match value.as_str() {
        Some("auto") => Ok(ToolChoice::Auto),
        Some("none") => Ok(ToolChoice::None),
        Some("required") => Ok(ToolChoice::Any),
        _ => Err(wrong("tool_choice", "must be auto, none, required or an object")),
    }
}
