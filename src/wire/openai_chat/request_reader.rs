//! A caller's whole request, in the internal form.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::fault::{Fault, flag, given, needed, object, only, text};
use super::message_reader::{read_messages, read_tool};
use crate::chat::{Effort, Emulated, Error, Format, Reasoning, Request, ToolChoice};
use crate::wire::dialect::Asked;
use crate::wire::json::{Object, exact};

/// Reads the request. What only this dialect can say is refused.
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

/// Takes one field. Fields that other fields tell of are taken in [`read_request`].
fn take(request: &mut Request, (name, json): (&str, &str), emulated: &mut Emulated) -> Result<(), Fault> {
    match name {
        "model" | "stream" | "max_tokens" | "max_completion_tokens" | "prompt" | "top_logprobs" => {}
        "safety_identifier" => emulated.note("safety_identifier"),
        "prompt_cache_options" => emulated.note("prompt_cache_options"),
        "prompt_cache_retention" => emulated.note("prompt_cache_retention"),
        "messages" => request.messages = read_messages(&read::<Vec<Value>>(name, json)?, emulated)?,
        "stream_options" => check_stream_options(&read(name, json)?, emulated)?,
        "tools" => {
            let tools: Vec<Value> = read(name, json)?;
            let tool = |(n, tool)| read_tool(tool).map_err(|fault| fault.within(format_args!("tools[{n}]")));
            request.tools = tools.iter().enumerate().map(tool).collect::<Result<_, _>>()?;
        }
        "tool_choice" => {
            let choice = read_choice(&read(name, json)?).map_err(|fault| fault.within(name))?;
            request.tool_choice = Some(choice);
        }
        "response_format" => {
            request.format = Some(read_format(&read(name, json)?).map_err(|fault| fault.within(name))?);
        }
        "parallel_tool_calls" => request.parallel_tools = Some(read(name, json)?),
        "stop" => request.stop = read_stop(&read(name, json)?)?,
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

fn take_sampling(request: &mut Request, name: &str, json: &str) -> Result<(), Fault> {
    let sampling = &mut request.sampling;
    match name {
        "temperature" => sampling.temperature = Some(read(name, json)?),
        "top_p" => sampling.top_p = Some(read(name, json)?),
        "top_k" => sampling.top_k = Some(read(name, json)?),
        "frequency_penalty" => sampling.frequency_penalty = Some(read(name, json)?),
        "presence_penalty" => sampling.presence_penalty = Some(read(name, json)?),
        "seed" => sampling.seed = Some(read(name, json)?),
        _ => return Err(Fault::only_here(name.chars().take(80).collect::<String>())),
    }
    Ok(())
}

fn read<T: DeserializeOwned>(name: &str, json: &str) -> Result<T, Fault> {
    // A number that is to be one may have more digits than count.
    let read = exact::read(json.as_bytes()).or_else(|_| serde_json::from_str(json));
    read.map_err(|error| Fault::wrong(name, format!("cannot be read: {error}")))
}

fn check_stream_options(options: &Map<String, Value>, emulated: &mut Emulated) -> Result<(), Fault> {
    // It only pads the events.
    if given(options, "include_obfuscation").is_some_and(|value| *value == true) {
        emulated.note("stream_options.include_obfuscation");
    }
    only(options, &["include_usage", "include_obfuscation"]).map_err(|fault| fault.within("stream_options"))
}

fn read_choice(choice: &Value) -> Result<ToolChoice, Fault> {
    match choice.as_str() {
        Some("auto") => return Ok(ToolChoice::Auto),
        Some("none") => return Ok(ToolChoice::None),
        Some("required") => return Ok(ToolChoice::Any),
        Some(_) => return Err(Fault::wrong("", "must be auto, none, required or an object that names a function")),
        None => {}
    }
    let choice = object(choice, "")?;
    if needed(choice, "type")? != "function" {
        return Err(Fault::only_here("type"));
    }
    only(choice, &["type", "function"])?;
    let function = given(choice, "function").ok_or_else(|| Fault::wrong("function", "is missing"))?;
    let name = needed(object(function, "function")?, "name").map_err(|fault| fault.within("function"))?;
    Ok(ToolChoice::Tool(name.to_owned()))
}

/// The form that the answer is to have.
pub(super) fn format(object: &Object) -> Option<Format> {
    read_format(&serde_json::from_str(object.get("response_format")?).ok()?).ok()
}

fn read_format(format: &Value) -> Result<Format, Fault> {
    let format = object(format, "")?;
    match needed(format, "type")? {
        "text" => Ok(Format::Text),
        "json_object" => Ok(Format::JsonObject),
        "json_schema" => {
            let schema = given(format, "json_schema").ok_or_else(|| Fault::wrong("json_schema", "is missing"))?;
            read_schema(object(schema, "json_schema")?).map_err(|fault| fault.within("json_schema"))
        }
        _ => Err(Fault::only_here("type")),
    }
}

fn read_schema(named: &Map<String, Value>) -> Result<Format, Fault> {
    only(named, &["name", "description", "schema", "strict"])?;
    let schema = match given(named, "schema") {
        None => Value::Object(Map::new()),
        Some(schema) if schema.is_object() => schema.clone(),
        Some(_) => return Err(Fault::wrong("schema", "must be a JSON Schema")),
    };
    Ok(Format::JsonSchema {
        name: needed(named, "name")?.to_owned(),
        description: text(named, "description")?.map(str::to_owned),
        schema,
        strict: flag(named, "strict")?,
    })
}

fn read_stop(stop: &Value) -> Result<Vec<String>, Fault> {
    let texts = match stop {
        Value::String(text) => return Ok(vec![text.clone()]),
        Value::Array(texts) => texts,
        _ => return Err(Fault::wrong("stop", "must be a text or a list of texts")),
    };
    let text = |(n, text): (usize, &Value)| {
        text.as_str().map(str::to_owned).ok_or_else(|| Fault::wrong(format!("stop[{n}]"), "must be a text"))
    };
    texts.iter().enumerate().map(text).collect()
}

fn read_effort(effort: &str) -> Result<Reasoning, Fault> {
    let effort = Effort::named(effort);
    let wrong = || Fault::wrong("reasoning_effort", "must be one of none, minimal, low, medium, high, xhigh and max");
    Ok(Reasoning { effort: Some(effort.ok_or_else(wrong)?), ..Reasoning::default() })
}

fn read_verbosity(verbosity: String) -> Result<String, Fault> {
    if ["low", "medium", "high"].contains(&verbosity.as_str()) {
        return Ok(verbosity);
    }
    Err(Fault::wrong("verbosity", "must be low, medium or high"))
}
