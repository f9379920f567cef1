//! A request as a provider of this dialect gets it.

use serde_json::{Map, Value, json};

use super::idiom::inexpressible;
use super::messages_write::Messages;
use crate::chat::{Effort, Emulated, Error, Format, Reasoning, Request, Sampling, Tool, ToolChoice};
use crate::wire::capabilities::{Capabilities, Thinking, effort_of};
use crate::wire::dialect::Written;
use crate::wire::exact_numbers;
use crate::wire::fields::{FieldError, Path};
use crate::wire::openai::{self, keep_strict, write_tier};

/// Writes the request.
pub(super) fn write_request(request: &Request, emulated: &mut Emulated) -> Result<Written, Error> {
    let known = Capabilities::of(request);
    if request.stop.len() > known.most_stops {
        return Err(
            inexpressible("stop", format_args!("this model takes {} such texts at most", known.most_stops)).into()
        );
    }
    let sampling = known.sampling(request, emulated);
    let mut body = Map::new();
    let mut put = |name: &str, value: Option<Value>| drop(value.and_then(|value| body.insert(name.to_owned(), value)));
    let mut messages = Messages::default();
    for (n, message) in request.messages.iter().enumerate() {
        messages.add(message, &Path::of_item("messages", n), emulated)?;
    }
    put("model", Some(request.model.clone().into()));
    put("messages", Some(messages.finish().into()));
    put(known.limit, request.max_tokens.map(Value::from));
    put("n", request.choices.map(Value::from));
    put("stop", (!request.stop.is_empty()).then(|| request.stop.clone().into()));
    put("tools", (!request.tools.is_empty()).then(|| write_tools(&request.tools, emulated)));
    put("tool_choice", request.tool_choice.as_ref().map(write_choice));
    put("parallel_tool_calls", request.parallel_tools.map(Value::from));
    put("response_format", request.format.as_ref().map(|format| write_format(format, emulated)));
    put("logprobs", request.logprobs.map(|_| true.into()));
    put("top_logprobs", request.logprobs.filter(|top| *top > 0).map(Value::from));
    put(
        "reasoning_effort",
        write_effort(request.reasoning.as_ref(), known, emulated).map(|effort| effort.text().into()),
    );
    put("verbosity", known.verbosity(request.verbosity.as_deref(), emulated).map(Value::from));
    put("user", openai::short(request.user.as_deref(), "user", emulated));
    put("metadata", openai::metadata(&request.metadata, emulated));
    put("service_tier", write_tier(request.service_tier.as_deref(), emulated).map(Value::from));
    put("prompt_cache_key", openai::short(request.prompt_cache_key.as_deref(), "prompt_cache_key", emulated));
    put("store", request.store.map(Value::from));
    put("stream", request.stream.then(|| true.into()));
    put("stream_options", request.stream.then(|| json!({"include_usage": true})));
    if sampling.top_k.is_some() {
        // A wish of how the next token is chosen, for which there is no field.
        emulated.note("top_k");
    }
    for (name, value) in write_sampling(&sampling)? {
        put(name, Some(value));
    }
    if request.cache.is_some() || request.tools.iter().any(|tool| tool.cache.is_some()) {
        emulated.note("cache_control");
    }
    Ok(Written { body: exact_numbers::write(&Value::Object(body)).into(), headers: Vec::new() })
}

fn write_sampling(sampling: &Sampling) -> Result<Vec<(&'static str, Value)>, FieldError> {
    let mut written = Vec::new();
    for (name, value, range) in [
        ("temperature", sampling.temperature, 0.0..=2.0),
        ("top_p", sampling.top_p, 0.0..=1.0),
        ("frequency_penalty", sampling.frequency_penalty, -2.0..=2.0),
        ("presence_penalty", sampling.presence_penalty, -2.0..=2.0),
    ] {
        let Some(value) = value else { continue };
        if !range.contains(&value) {
            let text = format!("it must be from {} to {}, and is {value}", range.start(), range.end());
            return Err(inexpressible(name, text));
        }
        written.push((name, value.into()));
    }
    written.extend(sampling.seed.map(|seed| ("seed", seed.into())));
    Ok(written)
}

fn write_tools(tools: &[Tool], emulated: &mut Emulated) -> Value {
    tools.iter().map(|tool| write_tool(tool, emulated)).collect()
}

fn write_tool(tool: &Tool, emulated: &mut Emulated) -> Value {
    let mut function = Map::new();
    let strict = keep_strict(tool.strict, tool.schema.as_ref(), emulated);
    function.insert("name".to_owned(), tool.name.clone().into());
    for (name, value) in [
        ("description", tool.description.clone().map(Value::from)),
        ("parameters", tool.typed_schema()),
        ("strict", strict.map(Value::from)),
    ] {
        value.and_then(|value| function.insert(name.to_owned(), value));
    }
    json!({"type": "function", "function": function})
}

fn write_choice(choice: &ToolChoice) -> Value {
    match choice {
        ToolChoice::Auto => "auto".into(),
        ToolChoice::None => "none".into(),
        ToolChoice::Any => "required".into(),
        ToolChoice::Tool(name) => named_function(name),
        ToolChoice::Allowed { names, must } => {
            let mode = if *must { "required" } else { "auto" };
            let tools: Vec<Value> = names.iter().map(|name| named_function(name)).collect();
            json!({"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}})
        }
    }
}

fn named_function(name: &str) -> Value {
    json!({"type": "function", "function": {"name": name}})
}

fn write_format(format: &Format, emulated: &mut Emulated) -> Value {
    match format {
        Format::Text => json!({"type": "text"}),
        Format::JsonObject => json!({"type": "json_object"}),
        Format::JsonSchema { name, description, schema, strict } => {
            let mut named = Map::new();
            named.insert("name".to_owned(), name.clone().into());
            for (name, value) in [
                ("description", description.clone().map(Value::from)),
                ("schema", Some(schema.clone())),
                ("strict", keep_strict(*strict, Some(schema), emulated).map(Value::from)),
            ] {
                value.and_then(|value| named.insert(name.to_owned(), value));
            }
            json!({"type": "json_schema", "json_schema": named})
        }
    }
}

/// How hard to think. A budget of tokens, which this dialect lacks, becomes the effort nearest to it.
fn write_effort(reasoning: Option<&Reasoning>, known: &Capabilities, emulated: &mut Emulated) -> Option<Effort> {
    let reasoning = reasoning?;
    if reasoning.budget.is_some() {
        emulated.note("reasoning.budget");
    }
    if reasoning.tell.is_some() {
        // The dialect has no field that asks for thoughts; a server shows them or not.
        emulated.note("reasoning.summary");
    }
    let effort = reasoning.effort.or_else(|| reasoning.budget.map(effort_of))?;
    match known.thinking {
        Thinking::Never => {
            if effort != Effort::None {
                emulated.note("reasoning_effort");
            }
            None
        }
        Thinking::Budget { off: false, .. } if effort == Effort::None => {
            emulated.note("reasoning_effort");
            Some(Effort::Low)
        }
        Thinking::Effort => Some(known.effort(effort, emulated)),
        _ => Some(effort),
    }
}
