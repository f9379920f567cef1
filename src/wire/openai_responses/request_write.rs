//! Writes a request of the internal form.

use serde_json::{Map, Value, json};

use super::idiom::unsupported;
use super::items_write::write_message;
use crate::chat::{Content, Effort, Emulated, Error, Format, Message, Reasoning, Request, Role, Tool, ToolChoice};
use crate::wire::capabilities::{Capabilities, Thinking, effort_of};
use crate::wire::dialect::Written;
use crate::wire::exact_numbers;
use crate::wire::fields::{FieldError, Path};
use crate::wire::openai::{self, is_tier, keep_strict, write_tier};
use crate::wire::prompt::Fields;

/// Writes a request. `store` is always false: no later request could ask for the stored answer.
///
/// # Errors
/// `unsupported_feature` that names the field which Responses cannot express.
pub(super) fn write_request(request: &Request, emulated: &mut Emulated) -> Result<Written, Error> {
    let fields = write_fields(request, Capabilities::of(request), emulated)?;
    Ok(Written { body: exact_numbers::write(&fields).into(), headers: Vec::new() })
}

/// Writes the fields of a request for a model of which this is known.
pub(super) fn write_fields(
    request: &Request,
    known: &Capabilities,
    emulated: &mut Emulated,
) -> Result<Fields, FieldError> {
    refuse(request)?;
    let sampling = known.sampling(request, emulated);
    let mut body = Map::new();
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(name.to_owned(), value);
        }
    };
    let (instructions, messages) = split_instructions(&request.messages);
    let mut items = Vec::new();
    let skipped = request.messages.len() - messages.len();
    for (n, message) in messages.iter().enumerate() {
        write_message(message, &Path::of_item("messages", n + skipped), &mut items, emulated)?;
    }
    set("model", Some(json!(request.model)));
    set("instructions", instructions.map(Value::from));
    set("input", Some(items.into()));
    let tools: Vec<Value> = request.tools.iter().map(|tool| write_tool(tool, emulated)).collect();
    set("tools", (!tools.is_empty()).then(|| tools.into()));
    set("tool_choice", request.tool_choice.as_ref().map(write_choice));
    set("parallel_tool_calls", request.parallel_tools.map(Value::from));
    set("text", write_text(request, known, emulated));
    set("reasoning", request.reasoning.as_ref().and_then(|reasoning| write_reasoning(reasoning, known, emulated)));
    set("include", write_include(request, known));
    set("max_output_tokens", request.max_tokens.map(Value::from));
    set("temperature", sampling.temperature.map(Value::from));
    set("top_p", sampling.top_p.map(Value::from));
    set("top_logprobs", request.logprobs.filter(|most| *most > 0).map(Value::from));
    set("user", openai::short(request.user.as_deref(), "user", emulated));
    set("metadata", openai::metadata(&request.metadata, emulated));
    set("prompt_cache_key", openai::short(request.prompt_cache_key.as_deref(), "prompt_cache_key", emulated));
    set("service_tier", write_tier(request.service_tier.as_deref(), emulated).map(Value::from));
    set("stream", request.stream.then_some(Value::Bool(true)));
    set("store", Some(Value::Bool(false)));
    if request.store == Some(true) {
        emulated.note("store");
    }
    if sampling.top_k.is_some() {
        // A wish of how the next token is chosen, for which there is no field.
        emulated.note("top_k");
    }
    if request.cache.is_some() {
        emulated.note("cache_control");
    }
    Ok(body)
}

/// Refuses settings that Responses lacks.
fn refuse(request: &Request) -> Result<(), FieldError> {
    let sampling = &request.sampling;
    let set = |value: Option<f64>| value.is_some_and(|value| value != 0.0);
    let outside = |value: Option<f64>, most: f64| value.is_some_and(|value| !(0.0..=most).contains(&value));
    let tier = request.service_tier.as_deref().filter(|tier| *tier != "standard_only");
    let checks: [(&str, bool, &str); 10] = [
        ("stop", !request.stop.is_empty(), "it has no stop texts"),
        ("n", request.choices.is_some_and(|choices| choices > 1), "it gives one answer"),
        ("frequency_penalty", set(sampling.frequency_penalty), "it has no penalties"),
        ("presence_penalty", set(sampling.presence_penalty), "it has no penalties"),
        ("seed", sampling.seed.is_some(), "it has no `seed`"),
        ("temperature", outside(sampling.temperature, 2.0), "it is 0 to 2"),
        ("top_p", outside(sampling.top_p, 1.0), "it is 0 to 1"),
        ("top_logprobs", request.logprobs.is_some_and(|most| most > 20), "it gives at most 20 alternatives"),
        ("max_tokens", request.max_tokens == Some(0), "an answer has at least one token"),
        ("service_tier", tier.is_some_and(|tier| !is_tier(tier)), "it has no such tier"),
    ];
    match checks.into_iter().find(|(_, wanted, _)| *wanted) {
        Some((field, _, why)) => Err(unsupported(field, format_args!("`{field}` cannot be sent as asked: {why}"))),
        None => Ok(()),
    }
}

/// The text of a leading system message, and the messages after it.
fn split_instructions(messages: &[Message]) -> (Option<&str>, &[Message]) {
    if let [Message { role: Role::System, parts, name: None }, rest @ ..] = messages
        && let [part] = &parts[..]
        && let Content::Text { text, .. } = &part.content
        && part.cache.is_none()
        && !text.is_empty()
    {
        return (Some(text), rest);
    }
    (None, messages)
}

fn write_tool(tool: &Tool, emulated: &mut Emulated) -> Value {
    if tool.cache.is_some() {
        emulated.note("cache_control");
    }
    let mut written = json!({"type": "function", "name": tool.name});
    if let Some(description) = &tool.description {
        written["description"] = description.as_str().into();
    }
    written["parameters"] = tool.typed_schema().unwrap_or_default();
    // The default of `strict` is true in this dialect, and false in every other.
    written["strict"] = keep_strict(tool.strict, tool.schema.as_ref(), emulated).unwrap_or(false).into();
    written
}

fn write_choice(choice: &ToolChoice) -> Value {
    match choice {
        ToolChoice::Auto => json!("auto"),
        ToolChoice::None => json!("none"),
        ToolChoice::Any => json!("required"),
        ToolChoice::Tool(name) => json!({"type": "function", "name": name}),
        ToolChoice::Allowed { names, must } => {
            let tools: Vec<Value> = names.iter().map(|name| json!({"type": "function", "name": name})).collect();
            json!({"type": "allowed_tools", "mode": if *must { "required" } else { "auto" }, "tools": tools})
        }
    }
}

fn write_text(request: &Request, known: &Capabilities, emulated: &mut Emulated) -> Option<Value> {
    let mut text = Map::new();
    if let Some(format) = &request.format {
        text.insert("format".to_owned(), write_format(format, emulated));
    }
    if let Some(verbosity) = known.verbosity(request.verbosity.as_deref(), emulated) {
        text.insert("verbosity".to_owned(), verbosity.into());
    }
    (!text.is_empty()).then_some(Value::Object(text))
}

fn write_format(format: &Format, emulated: &mut Emulated) -> Value {
    match format {
        Format::Text => json!({"type": "text"}),
        Format::JsonObject => json!({"type": "json_object"}),
        Format::JsonSchema { name, description, schema, strict } => {
            let mut written = json!({"type": "json_schema", "name": name, "schema": schema});
            if let Some(description) = description {
                written["description"] = description.as_str().into();
            }
            if let Some(strict) = keep_strict(*strict, Some(schema), emulated) {
                written["strict"] = strict.into();
            }
            written
        }
    }
}

/// How hard to think, and whether to show it. `None` for a model that does not think.
fn write_reasoning(reasoning: &Reasoning, known: &Capabilities, emulated: &mut Emulated) -> Option<Value> {
    if known.thinking == Thinking::Never {
        if !reasoning.is_off() {
            emulated.note("reasoning_effort");
        }
        return None;
    }
    let mut written = Map::new();
    if reasoning.budget.is_some() {
        emulated.note("reasoning.budget");
    }
    if let Some(effort) = reasoning.effort.or(reasoning.budget.map(effort_of)) {
        written.insert("effort".to_owned(), known.effort(effort, emulated).text().into());
    }
    if reasoning.tell == Some(true) {
        written.insert("summary".to_owned(), "auto".into());
    }
    Some(Value::Object(written))
}

fn write_include(request: &Request, known: &Capabilities) -> Option<Value> {
    let may_think = known.thinking != Thinking::Never;
    let thinks =
        may_think && request.reasoning.as_ref().is_some_and(|reasoning| reasoning.effort != Some(Effort::None));
    let mut include = Vec::new();
    include.extend(thinks.then_some("reasoning.encrypted_content"));
    include.extend(request.logprobs.map(|_| "message.output_text.logprobs"));
    (!include.is_empty()).then(|| include.into())
}
