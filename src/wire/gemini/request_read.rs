//! A request of this dialect in the internal form.

use serde_json::Value;

use super::check::field;
use super::fields::{Fields, unsupported};
use super::part_read::{Read, read_part};
use super::schema::to_json_schema;
use crate::chat::{
    Content, Effort, Emulated, Error, Format, Message, Part, Reasoning, Request, Role, Tool, ToolChoice,
};
use crate::wire::dialect::Asked;
use crate::wire::json::{Object, exact};

/// Reads the whole request.
///
/// # Errors
/// A 400 that names the field.
pub fn read_request(asked: &Asked, emulated: &mut Emulated) -> Result<Request, Error> {
    let body = exact::read(asked.object.bytes())
        .map_err(|error| Error::new(crate::chat::Code::InvalidRequest, error.to_string()))?;
    let mut fields = Fields::of("", body)?;
    fields.take("prompt");
    let mut request = Request {
        model: asked.model.clone(),
        stream: asked.stream,
        include_usage: true,
        tools: read_tools(fields.list("tools")?, emulated)?,
        ..Request::default()
    };
    request.messages.extend(read_system(&mut fields)?);
    read_contents(fields.list("contents")?, &mut request.messages, emulated)?;
    if let Some(config) = fields.object("toolConfig")? {
        request.tool_choice = read_tool_config(config)?;
    }
    if let Some(config) = fields.object("generationConfig")? {
        read_config(config, &mut request, emulated)?;
    }
    fields.done()?;
    Ok(request)
}

fn read_system(fields: &mut Fields) -> Result<Option<Message>, Error> {
    let Some(mut system) = fields.object("systemInstruction")? else { return Ok(None) };
    // Its role means nothing, whatever it is.
    system.text("role")?;
    let mut parts = Vec::new();
    for (n, part) in system.list("parts")?.into_iter().enumerate() {
        let mut part = Fields::of(format!("systemInstruction.parts[{n}]"), part)?;
        parts.extend(part.text("text")?.map(Part::text));
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
    /// Whether the id was made up, so that a result cannot know it.
    made: bool,
}

impl Pending {
    /// The id of the call that a result belongs to: its own, or that of the first such tool still waiting.
    fn answered(&mut self, id: Option<String>, name: &str) -> Option<String> {
        let own = self.0.iter().position(|call| Some(&call.id) == id.as_ref());
        let named = |call: &Waiting| call.tool == name && (id.is_none() || call.made);
        match own.or_else(|| self.0.iter().position(named)) {
            Some(place) => Some(self.0.remove(place).id),
            None => id,
        }
    }
}

fn read_contents(contents: Vec<Value>, messages: &mut Vec<Message>, emulated: &mut Emulated) -> Result<(), Error> {
    let mut pending = Pending::default();
    for (turn, content) in contents.into_iter().enumerate() {
        let mut content = Fields::of(format!("contents[{turn}]"), content)?;
        let role = match content.text("role")?.as_deref() {
            None | Some("" | "user" | "function") => Role::User,
            Some("model") => Role::Assistant,
            Some(_) => return Err(content.wrong("role", "user or model")),
        };
        let path = content.at("parts");
        let mut parts = Vec::new();
        for (place, part) in content.list("parts")?.into_iter().enumerate() {
            let path = format!("{path}[{place}]");
            let read = read_part(path.clone(), part, emulated)?;
            parts.push(tied(read, &mut pending, (turn, place), &path)?);
        }
        content.done()?;
        add_message(messages, role, parts);
    }
    Ok(())
}

/// A part whose call or result has its id.
fn tied(read: Read, pending: &mut Pending, (turn, place): (usize, usize), path: &str) -> Result<Part, Error> {
    Ok(match read {
        Read::Whole(part) => part,
        Read::Call { id, name, arguments, signature } => {
            let made = id.is_none();
            let id = id.unwrap_or_else(|| format!("call_{turn}_{place}"));
            pending.0.push(Waiting { id: id.clone(), tool: name.clone(), made });
            Part { signature, ..Part::new(Content::ToolCall { id, name, arguments }) }
        }
        Read::Result { id, name, parts, is_error } => {
            let id = pending.answered(id, &name).ok_or_else(|| {
                let message = format!("the response of `{name}` answers no functionCall before it");
                Error::field(format!("{path}.functionResponse"), message)
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

fn read_tools(list: Vec<Value>, emulated: &mut Emulated) -> Result<Vec<Tool>, Error> {
    let mut tools = Vec::new();
    for (n, value) in list.into_iter().enumerate() {
        let mut tool = Fields::of(format!("tools[{n}]"), value)?;
        let path = tool.at("functionDeclarations");
        for (n, value) in tool.list("functionDeclarations")?.into_iter().enumerate() {
            let mut function = Fields::of(format!("{path}[{n}]"), value)?;
            let schema = match (function.take("parametersJsonSchema"), function.take("parameters")) {
                (Some(_), Some(_)) => {
                    return Err(function.wrong("parameters", "left out where `parametersJsonSchema` is given"));
                }
                (schema, parameters) => schema.or(parameters.map(to_json_schema)),
            };
            let (name, description) = (function.needed("name")?, function.text("description")?);
            // What a function gives is told of each by Google's SDK, and is only a hint.
            for given in ["responseJsonSchema", "response"] {
                if function.take(given).is_some_and(|schema| !schema.is_null()) {
                    emulated.note("functionDeclarations.response");
                }
            }
            function.done()?;
            tools.push(Tool { name, description, schema, strict: None, cache: None });
        }
        tool.done()?;
    }
    Ok(tools)
}

fn read_tool_config(mut config: Fields) -> Result<Option<ToolChoice>, Error> {
    let Some(mut calling) = config.object("functionCallingConfig")? else {
        config.done()?;
        return Ok(None);
    };
    let mode = calling.text("mode")?.unwrap_or_default();
    let mut allowed = calling.texts("allowedFunctionNames")?;
    let choice = match (mode.to_ascii_uppercase().as_str(), allowed.len()) {
        ("ANY", 0) => Some(ToolChoice::Any),
        ("ANY", 1) => allowed.pop().map(ToolChoice::Tool),
        ("AUTO", 0) => Some(ToolChoice::Auto),
        ("NONE", 0) => Some(ToolChoice::None),
        ("" | "MODE_UNSPECIFIED", 0) => None,
        ("ANY" | "AUTO" | "NONE" | "", _) => {
            return Err(unsupported(&calling.at("allowedFunctionNames"), "can name one function only, with mode ANY"));
        }
        _ => return Err(unsupported(&calling.at("mode"), "must be AUTO, NONE or ANY for a target of another kind")),
    };
    calling.done()?;
    config.done()?;
    Ok(choice)
}

fn read_config(mut config: Fields, request: &mut Request, emulated: &mut Emulated) -> Result<(), Error> {
    let sampling = &mut request.sampling;
    sampling.temperature = config.number("temperature")?;
    sampling.top_p = config.number("topP")?;
    sampling.top_k = config.count("topK")?;
    sampling.frequency_penalty = config.number("frequencyPenalty")?;
    sampling.presence_penalty = config.number("presencePenalty")?;
    sampling.seed = config.whole("seed")?;
    request.max_tokens = config.count("maxOutputTokens")?;
    request.choices = config.count("candidateCount")?;
    request.stop = config.texts("stopSequences")?;
    request.format = read_format(&mut config)?;
    request.logprobs = match (config.flag("responseLogprobs")?.unwrap_or(false), config.count("logprobs")?) {
        (true, alternatives) => Some(alternatives.unwrap_or(0)),
        (false, None) => None,
        (false, Some(_)) => return Err(config.wrong("logprobs", "left out without `responseLogprobs`")),
    };
    if let Some(thinking) = config.object("thinkingConfig")? {
        request.reasoning = Some(read_thinking(thinking, emulated)?);
    }
    if config.take("mediaResolution").is_some() {
        emulated.note("mediaResolution");
    }
    let modalities = config.texts("responseModalities")?;
    if modalities.iter().any(|modality| !modality.eq_ignore_ascii_case("text")) {
        return Err(unsupported(&config.at("responseModalities"), "can only be TEXT for a target of another kind"));
    }
    config.done()
}

/// The form that the answer is to have.
pub fn format(object: &Object) -> Option<Format> {
    let config = serde_json::from_str(field(object, "generationConfig")?).ok()?;
    read_format(&mut Fields::of("generationConfig", config).ok()?).ok()?
}

fn read_format(config: &mut Fields) -> Result<Option<Format>, Error> {
    let kind = config.text("responseMimeType")?;
    let schema = match (config.take("responseJsonSchema"), config.take("responseSchema")) {
        (Some(_), Some(_)) => {
            return Err(config.wrong("responseSchema", "left out where `responseJsonSchema` is given"));
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
            Err(config.wrong("responseMimeType", "application/json where a schema is given"))
        }
        (Some(_), _) => Err(unsupported(
            &config.at("responseMimeType"),
            "must be text/plain or application/json for a target of another kind",
        )),
    }
}

fn read_thinking(mut thinking: Fields, emulated: &mut Emulated) -> Result<Reasoning, Error> {
    let mut reasoning = Reasoning { tell: thinking.flag("includeThoughts")?, ..Reasoning::default() };
    if let Some(level) = thinking.text("thinkingLevel")? {
        reasoning.effort = match level.to_ascii_uppercase().as_str() {
            "MINIMAL" => Some(Effort::Minimal),
            "LOW" => Some(Effort::Low),
            "MEDIUM" => Some(Effort::Medium),
            "HIGH" => Some(Effort::High),
            "THINKING_LEVEL_UNSPECIFIED" => None,
            _ => return Err(thinking.wrong("thinkingLevel", "MINIMAL, LOW, MEDIUM or HIGH")),
        };
    }
    match thinking.whole("thinkingBudget")? {
        None => {}
        Some(0) => reasoning.effort = Some(Effort::None),
        // As much as the model likes.
        Some(-1) => emulated.note("thinkingBudget"),
        Some(budget) => match u64::try_from(budget) {
            Ok(budget) => reasoning.budget = Some(budget),
            Err(_) => return Err(thinking.wrong("thinkingBudget", "-1 or more")),
        },
    }
    thinking.done()?;
    Ok(reasoning)
}
