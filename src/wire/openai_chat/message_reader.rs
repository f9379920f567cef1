//! Messages of a caller, in the internal form.

use serde_json::{Map, Value};

use super::fault::{Fault, flag, given, list, needed, object, only, text};
use super::response_reader::read_image as read_answer_image;
use crate::chat::{CacheTtl, Content, Emulated, Message, Part, Role, Source};

type Fields = Map<String, Value>;

/// Reads the conversation. Tool messages that follow one another become one message of the user.
pub(super) fn read_messages(messages: &[Value], emulated: &mut Emulated) -> Result<Vec<Message>, Fault> {
    let mut read: Vec<Message> = Vec::with_capacity(messages.len());
    let mut in_results = false;
    for (n, message) in messages.iter().enumerate() {
        let message = read_message(message, emulated).map_err(|fault| fault.within(format_args!("messages[{n}]")))?;
        let is_result = matches!(message.parts.first(), Some(Part { content: Content::ToolResult { .. }, .. }));
        match read.last_mut() {
            Some(last) if is_result && in_results => last.parts.extend(message.parts),
            _ => read.push(message),
        }
        in_results = is_result;
    }
    Ok(read)
}

fn read_message(message: &Value, emulated: &mut Emulated) -> Result<Message, Fault> {
    let fields = object(message, "")?;
    let name = text(fields, "name")?.map(str::to_owned);
    let (role, parts) = match needed(fields, "role")? {
        "system" => (Role::System, said(fields)?),
        "developer" => (Role::Developer, said(fields)?),
        "user" => (Role::User, said(fields)?),
        "assistant" => (Role::Assistant, read_assistant(fields, emulated)?),
        "tool" => return read_result(fields, name),
        _ => return Err(Fault::only_here("role")),
    };
    Ok(Message { role, parts, name })
}

/// What a message says that has nothing but content.
fn said(fields: &Fields) -> Result<Vec<Part>, Fault> {
    only(fields, &["role", "content", "name"])?;
    read_content(fields)
}

fn read_result(fields: &Fields, name: Option<String>) -> Result<Message, Fault> {
    only(fields, &["role", "content", "name", "tool_call_id"])?;
    let id = needed(fields, "tool_call_id")?.to_owned();
    let result = Content::ToolResult { id, name, parts: read_content(fields)?, is_error: false };
    Ok(Message { role: Role::User, parts: vec![Part::new(result)], name: None })
}

fn read_assistant(fields: &Fields, emulated: &mut Emulated) -> Result<Vec<Part>, Fault> {
    const KNOWN: &[&str] = &[
        "role",
        "content",
        "name",
        "refusal",
        "tool_calls",
        "reasoning_content",
        "reasoning",
        "reasoning_details",
        "annotations",
        "images",
        KEPT,
    ];
    only(fields, KNOWN)?;
    note_kept(fields, emulated);
    if !list(fields, "annotations")?.is_empty() {
        emulated.note("citations");
    }
    let mut parts = read_thoughts(fields)?;
    parts.extend(read_content(fields)?);
    parts.extend(list(fields, "images")?.iter().map(read_answer_image).collect::<Result<Vec<_>, _>>()?);
    if let Some(refusal) = text(fields, "refusal")?.filter(|refusal| !refusal.is_empty()) {
        parts.push(Part::new(Content::Refusal(refusal.to_owned())));
    }
    for (n, call) in list(fields, "tool_calls")?.iter().enumerate() {
        call.as_object().into_iter().for_each(|call| note_kept(call, emulated));
        parts.push(read_call(call).map_err(|fault| fault.within(format_args!("tool_calls[{n}]")))?);
    }
    Ok(parts)
}

/// What litellm keeps of an answer beside OpenAI's own fields, and sends back with it. Most often it says nothing.
const KEPT: &str = "provider_specific_fields";

fn note_kept(fields: &Fields, emulated: &mut Emulated) {
    let says_something = |kept: &Value| kept.as_object().is_none_or(|kept| kept.values().any(|value| !value.is_null()));
    if given(fields, KEPT).is_some_and(says_something) {
        emulated.note(KEPT);
    }
}

/// What the model thought: OpenRouter's list of it, which has the proofs, or else the text alone.
pub(super) fn read_thoughts(fields: &Fields) -> Result<Vec<Part>, Fault> {
    let details = list(fields, "reasoning_details")?;
    let mut parts = Vec::new();
    for (n, detail) in details.iter().enumerate() {
        parts.push(read_detail(detail).map_err(|fault| fault.within(format_args!("reasoning_details[{n}]")))?);
    }
    if !parts.is_empty() {
        return Ok(parts);
    }
    let thought = match text(fields, "reasoning_content")? {
        None => text(fields, "reasoning")?,
        thought => thought,
    };
    let thought = thought.filter(|thought| !thought.is_empty());
    Ok(thought.map(|thought| Part::new(Content::Thinking(thought.to_owned()))).into_iter().collect())
}

fn read_detail(detail: &Value) -> Result<Part, Fault> {
    let detail = object(detail, "")?;
    let thinking = |field| Ok(Content::Thinking(text(detail, field)?.unwrap_or_default().to_owned()));
    let content = match needed(detail, "type")? {
        "reasoning.text" => thinking("text")?,
        "reasoning.summary" => thinking("summary")?,
        "reasoning.encrypted" => Content::RedactedThinking(needed(detail, "data")?.to_owned()),
        _ => return Err(Fault::only_here("type")),
    };
    Ok(Part { signature: text(detail, "signature")?.map(str::to_owned), ..Part::new(content) })
}

fn read_call(call: &Value) -> Result<Part, Fault> {
    let call = object(call, "")?;
    if text(call, "type")?.is_some_and(|kind| kind != "function") {
        return Err(Fault::only_here("type"));
    }
    only(call, &["id", "type", "function", "index", "extra_content", KEPT])?;
    let function = given(call, "function").ok_or_else(|| Fault::wrong("function", "is missing"))?;
    let function = object(function, "function")?;
    let within = |fault: Fault| fault.within("function");
    only(function, &["name", "arguments"]).map_err(within)?;
    let content = Content::ToolCall {
        id: needed(call, "id")?.to_owned(),
        name: needed(function, "name").map_err(within)?.to_owned(),
        arguments: text(function, "arguments").map_err(within)?.unwrap_or_default().to_owned(),
    };
    Ok(Part { signature: thought_signature(call), ..Part::new(content) })
}

/// Google's proof of a thought, where its own chat completions keep it.
pub(super) fn thought_signature(call: &Fields) -> Option<String> {
    let signature = call.get("extra_content")?.pointer("/google/thought_signature")?;
    signature.as_str().map(str::to_owned)
}

fn read_content(fields: &Fields) -> Result<Vec<Part>, Fault> {
    match given(fields, "content") {
        None => Ok(Vec::new()),
        Some(Value::String(said)) if said.is_empty() => Ok(Vec::new()),
        Some(Value::String(said)) => Ok(vec![Part::text(said)]),
        Some(Value::Array(parts)) => {
            let read = |(n, part)| read_part(part).map_err(|fault| fault.within(format_args!("content[{n}]")));
            parts.iter().enumerate().map(read).collect()
        }
        Some(_) => Err(Fault::wrong("content", "must be a text or a list of parts")),
    }
}

fn read_part(part: &Value) -> Result<Part, Fault> {
    let part = object(part, "")?;
    let kind = needed(part, "type")?;
    only(part, &["type", kind, "cache_control"])?;
    let inner = |known: &[&str]| {
        let value = given(part, kind).ok_or_else(|| Fault::wrong(kind, "is missing"))?;
        let fields = object(value, kind)?;
        only(fields, known).map_err(|fault| fault.within(kind))?;
        Ok(fields)
    };
    let content = match kind {
        "text" => Content::Text { text: needed(part, "text")?.to_owned(), citations: Vec::new() },
        "refusal" => Content::Refusal(needed(part, "refusal")?.to_owned()),
        "image_url" => read_image(inner(&["url", "detail"])?).map_err(|fault| fault.within(kind))?,
        "input_audio" => read_audio(inner(&["data", "format"])?).map_err(|fault| fault.within(kind))?,
        "file" => read_file(inner(&["file_data", "file_id", "filename"])?).map_err(|fault| fault.within(kind))?,
        _ => return Err(Fault::only_here("type")),
    };
    Ok(Part { cache: read_cache(part)?, ..Part::new(content) })
}

/// The mark of Anthropic's that callers set on parts and tools for providers which ask for it.
pub(super) fn read_cache(fields: &Fields) -> Result<Option<CacheTtl>, Fault> {
    let Some(mark) = given(fields, "cache_control") else { return Ok(None) };
    let mark = object(mark, "cache_control")?;
    match (mark.get("type").and_then(Value::as_str), mark.get("ttl").and_then(Value::as_str)) {
        (Some("ephemeral"), None | Some("5m")) => Ok(Some(CacheTtl::FiveMinutes)),
        (Some("ephemeral"), Some("1h")) => Ok(Some(CacheTtl::Hour)),
        _ => Err(Fault::wrong("cache_control", "must be {\"type\": \"ephemeral\"}, with a `ttl` of 5m or 1h")),
    }
}

fn read_image(image: &Fields) -> Result<Content, Fault> {
    let url = needed(image, "url")?;
    let source = match data_url(url, "url")? {
        Some(source) => source,
        None => Source::Url(url.to_owned()),
    };
    Ok(Content::Image { source, detail: text(image, "detail")?.map(str::to_owned) })
}

fn read_audio(audio: &Fields) -> Result<Content, Fault> {
    Ok(Content::Audio { data: needed(audio, "data")?.to_owned(), format: needed(audio, "format")?.to_owned() })
}

fn read_file(file: &Fields) -> Result<Content, Fault> {
    let source = match (text(file, "file_data")?, text(file, "file_id")?) {
        (Some(data), None) => match data_url(data, "file_data")? {
            Some(source) => source,
            // OpenAI takes bare base64 for what it takes without a type: PDF.
            None => Source::Base64 { media_type: "application/pdf".to_owned(), data: data.to_owned() },
        },
        (None, Some(id)) => Source::File(id.to_owned()),
        _ => return Err(Fault::wrong("", "needs one of `file_data` and `file_id`")),
    };
    Ok(Content::Document { source, name: text(file, "filename")?.map(str::to_owned), cite: false })
}

/// What a `data:` address holds; `None` where it is another address.
pub(super) fn data_url(url: &str, field: &str) -> Result<Option<Source>, Fault> {
    let Some(rest) = url.strip_prefix("data:") else { return Ok(None) };
    let wrong = || Fault::wrong(field, "must be a data URL such as `data:image/png;base64,…`");
    let (head, data) = rest.split_once(',').ok_or_else(wrong)?;
    let media_type = head.strip_suffix(";base64").ok_or_else(wrong)?;
    let media_type = media_type.split(';').next().filter(|kind| kind.contains('/')).ok_or_else(wrong)?;
    Ok(Some(Source::Base64 { media_type: media_type.to_owned(), data: data.to_owned() }))
}

/// Reads one tool of a request.
pub(super) fn read_tool(tool: &Value) -> Result<crate::chat::Tool, Fault> {
    let tool = object(tool, "")?;
    if needed(tool, "type")? != "function" {
        return Err(Fault::only_here("type"));
    }
    only(tool, &["type", "function", "cache_control"])?;
    let function = given(tool, "function").ok_or_else(|| Fault::wrong("function", "is missing"))?;
    let function = object(function, "function")?;
    let within = |fault: Fault| fault.within("function");
    only(function, &["name", "description", "parameters", "strict"]).map_err(within)?;
    let schema = given(function, "parameters");
    if schema.is_some_and(|schema| !schema.is_object()) {
        return Err(Fault::wrong("function.parameters", "must be a JSON Schema"));
    }
    Ok(crate::chat::Tool {
        name: needed(function, "name").map_err(within)?.to_owned(),
        description: text(function, "description").map_err(within)?.map(str::to_owned),
        schema: schema.cloned(),
        strict: flag(function, "strict").map_err(within)?,
        cache: read_cache(tool)?,
    })
}
