//! A caller's whole request, in the internal form.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::idiom::IDIOM;
use super::messages_read::{read_messages, read_tool};
use crate::chat::{Effort, Emulated, Error, Format, Reasoning, Request, ToolChoice};
use crate::wire::dialect::Asked;
use crate::wire::exact_numbers;
use crate::wire::fields::{FieldError, Path, Place};
use crate::wire::json::Object;

/// Reads the request. Fields that only this dialect has are refused.
pub(super) fn read_request(asked: &Asked, emulated: &mut Emulated) -> Result<Request, Error> {
    let mut request = Request {
        model: asked.model.clone(),
        max_tokens: asked.max_tokens,
        stream: asked.stream,
        include_usage: asked.include_usage,
        ..Request::default()
    };
    for (name, json) in asked.object.iter().filter(|(_, json)| *json != "null") {
        take(&mut request, (name, json), emulated)?;
    }
    if asked.object.get("top_logprobs").is_some_and(|json| json != "null") && request.logprobs.is_none() {
        return Err(Error::field("top_logprobs", "`top_logprobs` is only for requests with `logprobs: true`"));
    }
    if let Some(json) = asked.object.get("top_logprobs").filter(|json| *json != "null") {
        request.logprobs = Some(read("top_logprobs", json)?);
    }
    if let Some(json) = asked.object.get("safety_identifier").filter(|_| request.user.is_none()) {
        request.user = Some(read("safety_identifier", json)?);
    }
    Ok(request)
}

/// Takes one field. Fields that depend on other fields are taken in [`read_request`].
fn take(request: &mut Request, (name, json): (&str, &str), emulated: &mut Emulated) -> Result<(), FieldError> {
    match name {
        "model" | "stream" | "max_tokens" | "max_completion_tokens" | "prompt" | "top_logprobs" => {}
        "safety_identifier" => emulated.note("safety_identifier"),
        // A guess at the answer, which only saves time, and wishes for more of the usage.
        "prediction" => emulated.note("prediction"),
        "usage" => emulated.note("usage"),
        "prompt_cache_options" => emulated.note("prompt_cache_options"),
        "prompt_cache_retention" => emulated.note("prompt_cache_retention"),
        "messages" => request.messages = read_messages(read(name, json)?, emulated)?,
        "stream_options" => check_stream_options(read(name, json)?, emulated)?,
        "tools" => {
            let tools: Vec<Value> = read(name, json)?;
            let tool = |(n, tool)| read_tool(Place::of(tool, Path::of_item("tools", n), &IDIOM)?, emulated);
            request.tools = tools.into_iter().enumerate().map(tool).collect::<Result<_, _>>()?;
        }
        "tool_choice" => request.tool_choice = Some(read_choice(read(name, json)?)?),
        "response_format" => request.format = Some(read_format(read(name, json)?)?),
        "parallel_tool_calls" => request.parallel_tools = Some(read(name, json)?),
        "stop" => request.stop = read_stop(read(name, json)?)?,
        "n" => request.choices = Some(read(name, json)?),
        "logprobs" => request.logprobs = read::<bool>(name, json)?.then_some(0),
        "reasoning_effort" => request.reasoning = Some(read_effort(&read::<String>(name, json)?)?),
        "verbosity" => request.verbosity = Some(read_verbosity(read(name, json)?)?),
        "user" => request.user = Some(read(name, json)?),
        "metadata" => request.metadata = read(name, json)?,
        "service_tier" => request.service_tier = Some(read(name, json)?),
        "prompt_cache_key" => request.prompt_cache_key = Some(read(name, json)?),
        "store" => request.store = Some(read(name, json)?),
        "modalities" if read::<Value>(name, json)? == serde_json::json!(["text"]) => {}
        "logit_bias" if read::<Map<String, Value>>(name, json)?.is_empty() => {}
        _ => take_sampling(request, name, json)?,
    }
    Ok(())
}

fn take_sampling(request: &mut Request, name: &str, json: &str) -> Result<(), FieldError> {
    let sampling = &mut request.sampling;
    match name {
        "temperature" => sampling.temperature = Some(read(name, json)?),
        "top_p" => sampling.top_p = Some(read(name, json)?),
        "top_k" => sampling.top_k = Some(read(name, json)?),
        "frequency_penalty" => sampling.frequency_penalty = Some(read(name, json)?),
        "presence_penalty" => sampling.presence_penalty = Some(read(name, json)?),
        "seed" => sampling.seed = Some(read(name, json)?),
        _ => return Err(IDIOM.only_here(name.chars().take(80).collect::<String>())),
    }
    Ok(())
}

fn read<T: DeserializeOwned>(name: &str, json: &str) -> Result<T, FieldError> {
    // The digits of a number beyond those of a machine number mean nothing here.
    let read = exact_numbers::read(json.as_bytes()).or_else(|_| serde_json::from_str(json));
    read.map_err(|error| FieldError::wrong(name, format_args!("cannot be read: {error}")))
}

fn check_stream_options(options: Map<String, Value>, emulated: &mut Emulated) -> Result<(), FieldError> {
    let options = Place::of_map(options, Path::of("stream_options"), &IDIOM);
    // `include_obfuscation` only pads the events.
    if options.get("include_obfuscation").is_some_and(|value| *value == true) {
        emulated.note("stream_options.include_obfuscation");
    }
    options.only(&["include_usage", "include_obfuscation"])
}

fn read_choice(choice: Value) -> Result<ToolChoice, FieldError> {
    let path = Path::of("tool_choice");
    match choice.as_str() {
        Some("auto") => return Ok(ToolChoice::Auto),
        Some("none") => return Ok(ToolChoice::None),
        Some("required") => return Ok(ToolChoice::Any),
        Some(_) => {
            let text = "must be auto, none, required or an object that names a function";
            return Err(FieldError::wrong(path, text));
        }
        None => {}
    }
    let mut choice = Place::of(choice, path, &IDIOM)?;
    if choice.get("type").is_some_and(|kind| kind == "allowed_tools") {
        choice.text("type")?;
        choice.only(&["allowed_tools"])?;
        return read_allowed(choice.need_object("allowed_tools")?);
    }
    Ok(ToolChoice::Tool(read_named(choice)?))
}

/// The name of the tool that an object names by its type.
fn read_named(mut named: Place<'_>) -> Result<String, FieldError> {
    let kind = named.text("type")?;
    if kind != "function" && kind != "custom" {
        return Err(named.only_here("type"));
    }
    named.only(&[&kind])?;
    named.need_object(&kind)?.text("name")
}

fn read_allowed(mut allowed: Place<'_>) -> Result<ToolChoice, FieldError> {
    allowed.only(&["mode", "tools"])?;
    let must = match allowed.text("mode")?.as_str() {
        "auto" => false,
        "required" => true,
        _ => return Err(allowed.wrong("mode", "must be auto or required")),
    };
    let mut names = Vec::new();
    for (n, tool) in allowed.list("tools")?.into_iter().enumerate() {
        names.push(read_named(allowed.inner(tool, allowed.item("tools", n))?)?);
    }
    match names.is_empty() {
        true => Err(allowed.wrong("tools", "must name a tool")),
        false => Ok(ToolChoice::Allowed { names, must }),
    }
}

/// The format that the request asks for.
pub(super) fn format(object: &Object) -> Option<Format> {
    read_format(serde_json::from_str(object.get("response_format")?).ok()?).ok()
}

fn read_format(format: Value) -> Result<Format, FieldError> {
    let mut format = Place::of(format, Path::of("response_format"), &IDIOM)?;
    match format.text("type")?.as_str() {
        "text" => Ok(Format::Text),
        "json_object" => Ok(Format::JsonObject),
        "json_schema" => read_schema(format.need_object("json_schema")?),
        _ => Err(format.only_here("type")),
    }
}

fn read_schema(mut named: Place<'_>) -> Result<Format, FieldError> {
    named.only(&["name", "description", "schema", "strict"])?;
    let schema = named.take("schema").unwrap_or_else(|| Map::new().into());
    if !schema.is_object() {
        return Err(named.wrong("schema", "must be a JSON Schema"));
    }
    Ok(Format::JsonSchema {
        name: named.text("name")?,
        description: named.maybe_text("description")?,
        schema,
        strict: named.flag("strict")?,
    })
}

fn read_stop(stop: Value) -> Result<Vec<String>, FieldError> {
    let texts = match stop {
        Value::String(text) => return Ok(vec![text]),
        Value::Array(texts) => texts,
        _ => return Err(FieldError::wrong("stop", "must be a text or a list of texts")),
    };
    let text = |(n, text)| match text {
        Value::String(text) => Ok(text),
        _ => Err(FieldError::wrong(Path::of_item("stop", n), "must be a text")),
    };
    texts.into_iter().enumerate().map(text).collect()
}

fn read_effort(effort: &str) -> Result<Reasoning, FieldError> {
    let text = "must be one of none, minimal, low, medium, high, xhigh and max";
    let effort = Effort::named(effort).ok_or_else(|| FieldError::wrong("reasoning_effort", text))?;
    Ok(Reasoning { effort: Some(effort), ..Reasoning::default() })
}

fn read_verbosity(verbosity: String) -> Result<String, FieldError> {
    if ["low", "medium", "high"].contains(&verbosity.as_str()) {
        return Ok(verbosity);
    }
    Err(FieldError::wrong("verbosity", "must be low, medium or high"))
}
