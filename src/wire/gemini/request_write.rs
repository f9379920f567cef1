//! A request of the internal form in this dialect.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::bounds::{MOST, at_most, within};
use super::idiom::unsupported;
use super::part_write::write_part;
use super::thought;
use crate::chat::{Code, Content, Emulated, Error, Format, Part, Request, Role, Structured, Tool, ToolChoice};
use crate::wire::capabilities::{Capabilities, Schemas};
use crate::wire::dialect::Written;
use crate::wire::exact_numbers;
use crate::wire::fields::{FieldError, Path};
use crate::wire::prompt::Fields;

/// The most texts at which an answer ends.
const MAX_STOP: usize = 5;

/// Writes the whole request. The model and whether it streams stand in the address.
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
    check_service(request, emulated)?;
    let (system, contents) = write_messages(request, emulated)?;
    let mut body = Map::new();
    body.insert("contents".to_owned(), contents.into());
    if !system.is_empty() {
        body.insert("systemInstruction".to_owned(), json!({"parts": system}));
    }
    if !request.tools.is_empty() {
        let functions: Vec<Value> = request.tools.iter().map(|tool| write_tool(tool, emulated)).collect();
        body.insert("tools".to_owned(), json!([{"functionDeclarations": functions}]));
    }
    if let Some(choice) = &request.tool_choice {
        body.insert("toolConfig".to_owned(), json!({"functionCallingConfig": write_choice(choice)}));
    }
    let config = write_config(request, known, emulated)?;
    if !config.is_empty() {
        body.insert("generationConfig".to_owned(), config.into());
    }
    Ok(body)
}

/// How a model keeps to a format: those before Gemini 3 take no tools together with one.
pub(super) fn structured(request: &Request) -> Structured {
    let alone = Capabilities::of(request).schemas == Schemas::Alone;
    if alone && !request.tools.is_empty() { Structured::Tool } else { Structured::Native }
}

/// What is not about the answer's words: refused where it matters, noted where it does not.
fn check_service(request: &Request, emulated: &mut Emulated) -> Result<(), FieldError> {
    match request.service_tier.as_deref() {
        None => {}
        Some("auto" | "default" | "standard_only") => emulated.note("service_tier"),
        Some(_) => return Err(unsupported("service_tier", "cannot be chosen")),
    }
    let hints = [
        (request.parallel_tools == Some(false) && !request.tools.is_empty(), "parallel_tool_calls"),
        (request.verbosity.is_some(), "verbosity"),
        (request.store.is_some(), "store"),
        (request.user.is_some(), "user"),
        (!request.metadata.is_empty(), "metadata"),
        (request.prompt_cache_key.is_some(), "prompt_cache_key"),
        (request.cache.is_some(), "cache_control"),
    ];
    hints.into_iter().filter(|(is_set, _)| *is_set).for_each(|(_, name)| emulated.note(name));
    Ok(())
}

/// The system text's parts and the contents.
fn write_messages(request: &Request, emulated: &mut Emulated) -> Result<(Vec<Value>, Vec<Value>), FieldError> {
    let (mut system, mut contents) = (Vec::new(), Vec::new());
    let mut calls = HashMap::new();
    let (fetches, wants_proofs) = (fetches(&request.model), wants_proofs(&request.model));
    for (n, message) in request.messages.iter().enumerate() {
        let outer = Path::of_item("messages", n);
        let mut parts = Vec::with_capacity(message.parts.len());
        for (place, part) in message.parts.iter().enumerate() {
            let path = outer.item("content", place);
            if let Content::ToolCall { id, name, .. } = &part.content {
                calls.insert(id.as_str(), name.as_str());
            }
            parts.extend(write_part(path, &*named(path, part, &calls)?, fetches, emulated)?);
        }
        if message.name.is_some() {
            emulated.note("name");
        }
        let instructs = matches!(message.role, Role::System | Role::Developer);
        if instructs && message.parts.iter().any(|part| part.as_text().is_none()) {
            return Err(unsupported(outer.field("content"), "can only be text in a system message"));
        }
        if instructs && contents.is_empty() {
            system.append(&mut parts);
            continue;
        }
        if instructs {
            emulated.note("system_position");
        }
        if wants_proofs && message.role == Role::Assistant {
            prove_first_call(&mut parts, emulated);
        }
        if !parts.is_empty() {
            let role = if message.role == Role::Assistant { "model" } else { "user" };
            contents.push(json!({"role": role, "parts": parts}));
        }
    }
    Ok((system, contents))
}

/// A model's name without the folder that it may stand in.
fn bare(model: &str) -> &str {
    model.rsplit('/').next().unwrap_or(model)
}

/// Whether a model refuses calls without a proof: those from Gemini 3 on do.
fn wants_proofs(model: &str) -> bool {
    let name = bare(model);
    let before = ["gemini-1", "gemini-2", "gemini-pro-vision", "gemini-embedding"];
    name.starts_with("gemini-") && name != "gemini-pro" && !before.iter().any(|before| name.starts_with(before))
}

/// Whether a model fetches files from any address: those after Gemini 2.0 do.
fn fetches(model: &str) -> bool {
    let name = bare(model);
    name.starts_with("gemini-")
        && !["gemini-1", "gemini-2.0", "gemini-pro"].iter().any(|before| name.starts_with(before))
}

/// The proof that Google's guide names for calls that another model made, or whose own proof is lost.
const NO_PROOF: &str = "skip_thought_signature_validator";

/// Gives the first call of a step the proof without which Google answers 400.
fn prove_first_call(parts: &mut [Value], emulated: &mut Emulated) {
    let Some(call) = parts.iter_mut().find(|part| part.get("functionCall").is_some()) else { return };
    if call.get("thoughtSignature").is_none() {
        call["thoughtSignature"] = NO_PROOF.into();
        emulated.note("thought_signature");
    }
}

/// A result with its tool's name, which Google requires and most dialects leave out: that of the call it answers.
fn named<'a>(path: Path<'_>, part: &'a Part, calls: &HashMap<&str, &str>) -> Result<Cow<'a, Part>, FieldError> {
    let Content::ToolResult { id, name: None, .. } = &part.content else { return Ok(Cow::Borrowed(part)) };
    let Some(tool) = calls.get(id.as_str()) else {
        let message = format!("the result of the tool call `{id}` answers no call before it");
        return Err(FieldError::new(Code::InvalidRequest, path, message));
    };
    let mut part = part.clone();
    if let Content::ToolResult { name, .. } = &mut part.content {
        *name = Some((*tool).to_owned());
    }
    Ok(Cow::Owned(part))
}

fn write_tool(tool: &Tool, emulated: &mut Emulated) -> Value {
    if tool.strict == Some(true) {
        emulated.note("strict");
    }
    if tool.cache.is_some() {
        emulated.note("cache_control");
    }
    let mut out = json!({"name": tool.name});
    if let Some(description) = &tool.description {
        out["description"] = description.as_str().into();
    }
    out["parametersJsonSchema"] = tool.object_schema();
    out
}

fn write_choice(choice: &ToolChoice) -> Value {
    match choice {
        ToolChoice::Auto => json!({"mode": "AUTO"}),
        ToolChoice::None => json!({"mode": "NONE"}),
        ToolChoice::Any => json!({"mode": "ANY"}),
        ToolChoice::Tool(name) => json!({"mode": "ANY", "allowedFunctionNames": [name]}),
        // Google takes names with these two modes; with the second the model may also answer in words.
        ToolChoice::Allowed { names, must } => {
            json!({"mode": if *must { "ANY" } else { "VALIDATED" }, "allowedFunctionNames": names})
        }
    }
}

fn write_config(
    request: &Request,
    known: &Capabilities,
    emulated: &mut Emulated,
) -> Result<Map<String, Value>, FieldError> {
    let sampling = known.sampling(request, emulated);
    let mut config = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            config.insert(name.to_owned(), value);
        }
    };
    put("temperature", within("temperature", sampling.temperature, (0.0, 2.0))?);
    put("topP", within("top_p", sampling.top_p, (0.0, 1.0))?);
    put("frequencyPenalty", within("frequency_penalty", sampling.frequency_penalty, (-2.0, 2.0))?);
    put("presencePenalty", within("presence_penalty", sampling.presence_penalty, (-2.0, 2.0))?);
    put("topK", at_most("top_k", sampling.top_k, MOST)?);
    put("maxOutputTokens", at_most("max_tokens", request.max_tokens, MOST)?);
    put("candidateCount", at_most("n", request.choices, 8)?);
    if sampling.seed.is_some_and(|seed| i32::try_from(seed).is_err()) {
        return Err(unsupported("seed", "must fit in 32 bits"));
    }
    put("seed", sampling.seed.map(Value::from));
    if request.stop.len() > MAX_STOP {
        return Err(unsupported("stop", "may hold 5 texts at most"));
    }
    put("stopSequences", (!request.stop.is_empty()).then(|| request.stop.clone().into()));
    put("responseLogprobs", request.logprobs.map(|_| true.into()));
    put("logprobs", at_most("top_logprobs", request.logprobs.filter(|count| *count > 0), 20)?);
    write_format(request.format.as_ref(), &mut put);
    if let Some(reasoning) = &request.reasoning {
        put("thinkingConfig", thought::write(reasoning, known, emulated));
    }
    Ok(config)
}

fn write_format(format: Option<&Format>, put: &mut impl FnMut(&str, Option<Value>)) {
    match format {
        None => {}
        Some(Format::Text) => put("responseMimeType", Some("text/plain".into())),
        Some(Format::JsonObject) => put("responseMimeType", Some("application/json".into())),
        // The name has no place here, and every schema is enforced, `strict` or not.
        Some(Format::JsonSchema { description, schema, .. }) => {
            let mut schema = schema.clone();
            if let (Some(description), Some(fields)) = (description, schema.as_object_mut()) {
                fields.entry("description").or_insert_with(|| description.as_str().into());
            }
            put("responseMimeType", Some("application/json".into()));
            put("responseJsonSchema", Some(schema));
        }
    }
}
