//! A caller's request, read into the internal form.

use serde_json::Value;

use super::check::field;
use super::idiom::{IDIOM, count, unsupported, whole};
use super::part_read::{Read, read_part};
use super::schema::to_json_schema;
use crate::chat::{
    Code, Content, Effort, Emulated, Error, Format, Maker, Message, Part, Reasoning, Request, Role, Tool, ToolChoice,
};
use crate::wire::dialect::Asked;
use crate::wire::exact_numbers;
use crate::wire::fields::{FieldError, Path, Place};
use crate::wire::json::Object;

/// Reads a request.
pub(super) fn read_request(asked: &Asked, emulated: &mut Emulated) -> Result<Request, Error> {
    let body = exact_numbers::read(asked.object.bytes())
        .map_err(|error| Error::new(Code::InvalidRequest, error.to_string()))?;
    let mut top = Place::of(body, Path::ROOT, &IDIOM)?;
    top.take("prompt");
    let mut request = Request {
        model: asked.model.clone(),
        stream: asked.stream,
        include_usage: true,
        tools: read_tools(&mut top, emulated)?,
        ..Request::default()
    };
    request.messages.extend(read_system(&mut top)?);
    read_contents(&mut top, &mut request.messages, emulated)?;
    if let Some(config) = top.object("toolConfig")? {
        request.tool_choice = read_tool_config(config)?;
    }
    if let Some(config) = top.object("generationConfig")? {
        read_config(config, &mut request, emulated)?;
    }
    note_service(&mut top, emulated)?;
    top.done()?;
    Ok(request)
}

/// Notes what is no part of the question: labels of a bill, and filters that are asked to block nothing.
fn note_service(top: &mut Place<'_>, emulated: &mut Emulated) -> Result<(), FieldError> {
    for name in ["labels", "store", "serviceTier"] {
        if top.take(name).is_some() {
            emulated.note(name);
        }
    }
    const OPEN: [&str; 3] = ["BLOCK_NONE", "OFF", "HARM_BLOCK_THRESHOLD_UNSPECIFIED"];
    let is_open = |setting: &Value| setting["threshold"].as_str().is_some_and(|most| OPEN.contains(&most));
    let settings = top.get("safetySettings").and_then(Value::as_array);
    if settings.is_some_and(|settings| settings.iter().all(is_open)) {
        top.take("safetySettings");
        emulated.note("safetySettings");
    }
    Ok(())
}

/// Whether the request that is read of this object has all that the object asks for. It lacks the kind of a file that is not
/// sent itself, and the name that a call or a text gives to data.
pub(super) fn reads_all(object: &Object) -> bool {
    const LOST: [&str; 10] = [
        "\"fileData\"",
        "\"file_data\"",
        "\"displayName\"",
        "\"display_name\"",
        // The order in which the model writes the fields of an object.
        "\"propertyOrdering\"",
        "\"property_ordering\"",
        // An object of any shape, which the internal form holds as a text.
        "\"functionResponse\"",
        "\"function_response\"",
        // Some of its values are an image's `detail`, which this dialect's own targets are asked for only here.
        "\"mediaResolution\"",
        "\"media_resolution\"",
    ];
    LOST.iter().all(|name| memchr::memmem::find(object.bytes(), name.as_bytes()).is_none())
}

fn read_system(top: &mut Place<'_>) -> Result<Option<Message>, FieldError> {
    let Some(mut system) = top.object("systemInstruction")? else { return Ok(None) };
    // The role of a system instruction has no meaning.
    system.maybe_text("role")?;
    let mut parts = Vec::new();
    for (n, part) in system.list("parts")?.into_iter().enumerate() {
        let mut part = system.inner(part, system.item("parts", n))?;
        parts.extend(part.maybe_text("text")?.map(Part::text));
        part.done()?;
    }
    system.done()?;
    Ok((!parts.is_empty()).then_some(Message { role: Role::System, parts, name: None }))
}

/// Calls of tools that have no result yet.
#[derive(Default)]
struct Pending(Vec<Waiting>);

struct Waiting {
    id: String,
    tool: String,
    /// Whether the id was made up, so that no result can name it.
    made_up: bool,
}

impl Pending {
    /// The id of the call that a result belongs to: its own, or that of the first such tool still waiting.
    fn answered(&mut self, id: Option<String>, name: &str) -> Option<String> {
        let own = self.0.iter().position(|call| Some(&call.id) == id.as_ref());
        let named = |call: &Waiting| call.tool == name && (id.is_none() || call.made_up);
        match own.or_else(|| self.0.iter().position(named)) {
            Some(place) => Some(self.0.remove(place).id),
            None => id,
        }
    }
}

fn read_contents(top: &mut Place<'_>, messages: &mut Vec<Message>, emulated: &mut Emulated) -> Result<(), FieldError> {
    let mut pending = Pending::default();
    for (turn, content) in top.list("contents")?.into_iter().enumerate() {
        let mut content = top.inner(content, Path::of_item("contents", turn))?;
        let role = match content.maybe_text("role")?.as_deref() {
            None | Some("" | "user" | "function") => Role::User,
            Some("model") => Role::Assistant,
            Some(_) => return Err(content.wrong("role", "must be user or model")),
        };
        let mut parts = Vec::new();
        for (place, part) in content.list("parts")?.into_iter().enumerate() {
            let part = content.inner(part, content.item("parts", place))?;
            let path = *part.path();
            add_part(&mut parts, tied(read_part(part, emulated)?, &mut pending, (turn, place), path)?);
        }
        content.done()?;
        add_message(messages, role, parts);
    }
    Ok(())
}

/// Adds a part. Pieces of a thought, as a stream had them, are one thought again, whose proof came with the last.
fn add_part(parts: &mut Vec<Part>, part: Part) {
    let is_more = part.signature.as_deref().is_none_or(|proof| Maker::of(proof).is_some());
    match (parts.last_mut(), &part.content) {
        (Some(Part { content: Content::Thinking(text), signature: last @ None, .. }), Content::Thinking(more))
            if is_more =>
        {
            text.push_str(more);
            *last = part.signature;
        }
        _ => parts.push(part),
    }
}

/// A part whose call or result has its id.
fn tied(read: Read, pending: &mut Pending, (turn, place): (usize, usize), path: Path<'_>) -> Result<Part, FieldError> {
    Ok(match read {
        Read::Whole(part) => part,
        Read::Call { id, name, arguments, signature } => {
            let made_up = id.is_none();
            let id = id.unwrap_or_else(|| format!("call_{turn}_{place}"));
            pending.0.push(Waiting { id: id.clone(), tool: name.clone(), made_up });
            Part { signature, ..Part::new(Content::ToolCall { id, name, arguments }) }
        }
        Read::Result { id, name, parts, is_error } => {
            let id = pending.answered(id, &name).ok_or_else(|| {
                let message = format!("the response of `{name}` answers no functionCall before it");
                FieldError::new(Code::InvalidRequest, path.field("functionResponse"), message)
            })?;
            Part::new(Content::ToolResult { id, name: Some(name), parts, is_error })
        }
    })
}

/// Adds a message; results of tools come first in it, and join those that stand alone before it.
fn add_message(messages: &mut Vec<Message>, role: Role, mut parts: Vec<Part>) {
    let result = |part: &Part| matches!(part.content, Content::ToolResult { .. });
    parts.sort_by_key(|part| !result(part));
    let alone = |last: &&mut Message| last.role == role && last.parts.iter().all(result);
    if parts.first().is_some_and(result)
        && let Some(last) = messages.last_mut().filter(alone)
    {
        last.parts.append(&mut parts);
        return;
    }
    messages.push(Message { role, parts, name: None });
}

fn read_tools(top: &mut Place<'_>, emulated: &mut Emulated) -> Result<Vec<Tool>, FieldError> {
    let mut tools = Vec::new();
    for (n, tool) in top.list("tools")?.into_iter().enumerate() {
        let mut tool = top.inner(tool, Path::of_item("tools", n))?;
        for (n, function) in tool.list("functionDeclarations")?.into_iter().enumerate() {
            let function = tool.inner(function, tool.item("functionDeclarations", n))?;
            tools.push(read_tool(function, emulated)?);
        }
        tool.done()?;
    }
    Ok(tools)
}

fn read_tool(mut function: Place<'_>, emulated: &mut Emulated) -> Result<Tool, FieldError> {
    let schema = match (function.take("parametersJsonSchema"), function.take("parameters")) {
        (Some(_), Some(_)) => {
            return Err(function.wrong("parameters", "must be left out where `parametersJsonSchema` is set"));
        }
        (schema, parameters) => schema.or(parameters.map(to_json_schema)),
    };
    let (name, description) = (function.text("name")?, function.maybe_text("description")?);
    // Google's SDK states what each function returns, which is only a hint.
    for hint in ["responseJsonSchema", "response"] {
        if function.take(hint).is_some() {
            emulated.note("functionDeclarations.response");
        }
    }
    function.done()?;
    Ok(Tool { name, description, schema, strict: None, cache: None })
}

fn read_tool_config(mut config: Place<'_>) -> Result<Option<ToolChoice>, FieldError> {
    let Some(mut calling) = config.object("functionCallingConfig")? else {
        config.done()?;
        return Ok(None);
    };
    let mode = calling.maybe_text("mode")?.unwrap_or_default();
    let mut allowed = calling.texts("allowedFunctionNames")?;
    let choice = match (mode.to_ascii_uppercase().as_str(), allowed.len()) {
        ("ANY", 0) => Some(ToolChoice::Any),
        ("ANY", 1) => allowed.pop().map(ToolChoice::Tool),
        ("AUTO", 0) => Some(ToolChoice::Auto),
        ("NONE", 0) => Some(ToolChoice::None),
        ("" | "MODE_UNSPECIFIED", 0) => None,
        (mode @ ("ANY" | "VALIDATED"), 1..) => {
            Some(ToolChoice::Allowed { names: std::mem::take(&mut allowed), must: mode == "ANY" })
        }
        ("AUTO" | "NONE" | "" | "MODE_UNSPECIFIED", _) => {
            return Err(calling.wrong("allowedFunctionNames", "is for the modes ANY and VALIDATED"));
        }
        _ => return Err(unsupported(calling.at("mode"), "must be AUTO, NONE or ANY for a target of another kind")),
    };
    calling.done()?;
    config.done()?;
    Ok(choice)
}

fn read_config(mut config: Place<'_>, request: &mut Request, emulated: &mut Emulated) -> Result<(), FieldError> {
    let sampling = &mut request.sampling;
    sampling.temperature = config.number("temperature")?;
    sampling.top_p = config.number("topP")?;
    sampling.top_k = count(&mut config, "topK")?;
    sampling.frequency_penalty = config.number("frequencyPenalty")?;
    sampling.presence_penalty = config.number("presencePenalty")?;
    sampling.seed = whole(&mut config, "seed")?;
    request.max_tokens = count(&mut config, "maxOutputTokens")?;
    request.choices = count(&mut config, "candidateCount")?;
    request.stop = config.texts("stopSequences")?;
    request.format = read_format(&mut config)?;
    let has_logprobs = config.flag("responseLogprobs")?.unwrap_or(false);
    request.logprobs = match (has_logprobs, count(&mut config, "logprobs")?) {
        (true, alternatives) => Some(alternatives.unwrap_or(0)),
        (false, None) => None,
        (false, Some(_)) => return Err(config.wrong("logprobs", "must be left out without `responseLogprobs`")),
    };
    if let Some(thinking) = config.object("thinkingConfig")? {
        request.reasoning = read_thinking(thinking, emulated)?;
    }
    if config.take("mediaResolution").is_some() {
        emulated.note("mediaResolution");
    }
    let modalities = config.texts("responseModalities")?;
    if modalities.iter().any(|modality| !modality.eq_ignore_ascii_case("text")) {
        return Err(unsupported(config.at("responseModalities"), "can only be TEXT for a target of another kind"));
    }
    config.done()
}

/// The format that the answer is to have.
pub(super) fn format(object: &Object) -> Option<Format> {
    let config = serde_json::from_str(field(object, "generationConfig")?).ok()?;
    read_format(&mut Place::of(config, Path::of("generationConfig"), &IDIOM).ok()?).ok()?
}

fn read_format(config: &mut Place<'_>) -> Result<Option<Format>, FieldError> {
    let kind = config.maybe_text("responseMimeType")?;
    let schema = match (config.take("responseJsonSchema"), config.take("responseSchema")) {
        (Some(_), Some(_)) => {
            return Err(config.wrong("responseSchema", "must be left out where `responseJsonSchema` is set"));
        }
        (schema, other) => schema.or(other.map(to_json_schema)),
    };
    match (kind.as_deref(), schema) {
        (None, None) => Ok(None),
        (Some("text/plain"), None) => Ok(Some(Format::Text)),
        (Some("application/json"), None) => Ok(Some(Format::JsonObject)),
        (Some("application/json"), Some(schema)) => {
            Ok(Some(Format::JsonSchema { name: "response".to_owned(), description: None, schema, strict: None }))
        }
        (None | Some("text/plain"), Some(_)) => {
            Err(config.wrong("responseMimeType", "must be application/json where a schema is set"))
        }
        (Some(_), _) => Err(unsupported(
            config.at("responseMimeType"),
            "must be text/plain or application/json for a target of another kind",
        )),
    }
}

/// How much to think; `None` where the object asks for nothing.
fn read_thinking(mut thinking: Place<'_>, emulated: &mut Emulated) -> Result<Option<Reasoning>, FieldError> {
    let mut reasoning = Reasoning { tell: thinking.flag("includeThoughts")?, ..Reasoning::default() };
    if let Some(level) = thinking.maybe_text("thinkingLevel")? {
        reasoning.effort = match level.to_ascii_uppercase().as_str() {
            "MINIMAL" => Some(Effort::Minimal),
            "LOW" => Some(Effort::Low),
            "MEDIUM" => Some(Effort::Medium),
            "HIGH" => Some(Effort::High),
            "THINKING_LEVEL_UNSPECIFIED" => None,
            _ => return Err(thinking.wrong("thinkingLevel", "must be MINIMAL, LOW, MEDIUM or HIGH")),
        };
    }
    let budget = whole(&mut thinking, "thinkingBudget")?;
    match budget {
        None => {}
        Some(0) => reasoning.effort = Some(Effort::None),
        // As much as the model likes.
        Some(-1) => emulated.note("thinkingBudget"),
        Some(budget) => match u64::try_from(budget) {
            Ok(budget) => reasoning.budget = Some(budget),
            Err(_) => return Err(thinking.wrong("thinkingBudget", "must be -1 or more")),
        },
    }
    thinking.done()?;
    Ok((budget.is_some() || reasoning != Reasoning::default()).then_some(reasoning))
}
