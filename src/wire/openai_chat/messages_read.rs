//! Messages of a caller, in the internal form.

use serde_json::{Map, Value};

use super::custom;
use super::idiom::IDIOM;
use super::part_read::{data_url, read_block, read_shown, read_thoughts, thought_signature};
use crate::chat::{CacheTtl, Content, Emulated, Message, Part, PromptMessage, Role, Source, Tool};
use crate::wire::fields::{FieldError, Path, Place};
use crate::wire::openai::CUSTOM;

/// Reads the conversation. Tool messages that follow one another become one message of the user.
pub(super) fn read_messages(messages: Vec<Value>, emulated: &mut Emulated) -> Result<Vec<Message>, FieldError> {
    let messages = messages.into_iter().enumerate();
    together(messages.map(|(n, message)| read_message(message, n, emulated)))
}

/// The messages of a prompt, read in the same way; its own texts are what they say.
pub(super) fn read_prompt_messages(
    messages: Vec<PromptMessage>,
    emulated: &mut Emulated,
) -> Result<Vec<Message>, FieldError> {
    together(messages.into_iter().enumerate().map(|(n, message)| match message {
        PromptMessage::Text { role, content } if content.is_empty() => Ok(Message { role, parts: vec![], name: None }),
        PromptMessage::Text { role, content } => Ok(Message::text(role, content)),
        PromptMessage::Raw(message) => read_message(message, n, emulated),
    }))
}

/// Messages one after another, with tool messages in one.
fn together(messages: impl ExactSizeIterator<Item = Result<Message, FieldError>>) -> Result<Vec<Message>, FieldError> {
    let mut read: Vec<Message> = Vec::with_capacity(messages.len());
    let mut in_results = false;
    for message in messages {
        let message = message?;
        let is_result = matches!(message.parts.first(), Some(Part { content: Content::ToolResult { .. }, .. }));
        match read.last_mut() {
            Some(last) if is_result && in_results => last.parts.extend(message.parts),
            _ => read.push(message),
        }
        in_results = is_result;
    }
    Ok(read)
}

fn read_message(message: Value, n: usize, emulated: &mut Emulated) -> Result<Message, FieldError> {
    let mut message = Place::of(message, Path::of_item("messages", n), &IDIOM)?;
    let name = message.maybe_text("name")?;
    let (role, parts) = match message.text("role")?.as_str() {
        "system" => (Role::System, read_plain(message)?),
        "developer" => (Role::Developer, read_plain(message)?),
        "user" => (Role::User, read_plain(message)?),
        "assistant" => (Role::Assistant, read_assistant(message, emulated)?),
        "tool" => return read_result(message, name),
        _ => return Err(message.only_here("role")),
    };
    Ok(Message { role, parts, name })
}

/// The parts of a message whose only field is its content.
fn read_plain(mut message: Place<'_>) -> Result<Vec<Part>, FieldError> {
    message.only(&["content"])?;
    read_content(&mut message)
}

fn read_result(mut message: Place<'_>, name: Option<String>) -> Result<Message, FieldError> {
    message.only(&["content", "tool_call_id"])?;
    let id = message.text("tool_call_id")?;
    let result = Content::ToolResult { id, name, parts: read_content(&mut message)?, is_error: false };
    Ok(Message { role: Role::User, parts: vec![Part::new(result)], name: None })
}

/// The fields of an answer that a caller may send back.
const OF_ASSISTANT: &[&str] = &[
    "content",
    "refusal",
    "tool_calls",
    "reasoning_content",
    "reasoning",
    "reasoning_details",
    "annotations",
    "images",
    LITELLM,
];

fn read_assistant(mut message: Place<'_>, emulated: &mut Emulated) -> Result<Vec<Part>, FieldError> {
    message.only(OF_ASSISTANT)?;
    note_litellm(message.rest(), emulated);
    if !message.list("annotations")?.is_empty() {
        emulated.note("citations");
    }
    let mut parts = read_thoughts(&mut message)?;
    parts.extend(read_content(&mut message)?);
    for image in message.list("images")? {
        parts.push(read_shown(&image, message.at("images"))?);
    }
    if let Some(refusal) = message.maybe_text("refusal")?.filter(|refusal| !refusal.is_empty()) {
        parts.push(Part::new(Content::Refusal(refusal)));
    }
    for (n, call) in message.list("tool_calls")?.into_iter().enumerate() {
        call.as_object().into_iter().for_each(|call| note_litellm(call, emulated));
        parts.push(read_call(message.inner(call, message.item("tool_calls", n))?)?);
    }
    Ok(parts)
}

/// Fields of an answer that litellm stores beside OpenAI's, and sends back with the answer. Most often there are none.
const LITELLM: &str = "provider_specific_fields";

fn note_litellm(fields: &Map<String, Value>, emulated: &mut Emulated) {
    let is_set = |own: &Value| own.as_object().is_none_or(|own| own.values().any(|value| !value.is_null()));
    if fields.get(LITELLM).filter(|own| !own.is_null()).is_some_and(is_set) {
        emulated.note(LITELLM);
    }
}

fn read_call(mut call: Place<'_>) -> Result<Part, FieldError> {
    match call.maybe_text("type")?.as_deref() {
        None | Some("function") => {}
        Some("custom") => return custom::read_call(call),
        Some(_) => return Err(call.only_here("type")),
    }
    call.only(&["id", "function", "index", "extra_content", LITELLM])?;
    let signature = thought_signature(call.rest());
    let mut function = call.need_object("function")?;
    function.only(&["name", "arguments"])?;
    let (name, arguments) = (function.text("name"), function.maybe_text("arguments"));
    let id = call.text("id")?;
    let content = Content::ToolCall { id, name: name?, arguments: arguments?.unwrap_or_default() };
    Ok(Part { signature, ..Part::new(content) })
}

fn read_content(message: &mut Place<'_>) -> Result<Vec<Part>, FieldError> {
    match message.take("content") {
        None => Ok(Vec::new()),
        Some(Value::String(text)) if text.is_empty() => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![Part::text(text)]),
        Some(Value::Array(parts)) => {
            let read = |(n, part)| match read_block(&part) {
                Some(thought) => Ok(thought),
                None => read_part(message.inner(part, message.item("content", n))?),
            };
            parts.into_iter().enumerate().map(read).collect()
        }
        Some(_) => Err(message.wrong("content", "must be a text or a list of parts")),
    }
}

fn read_part(mut part: Place<'_>) -> Result<Part, FieldError> {
    let kind = part.text("type")?;
    part.only(&[&kind, "cache_control"])?;
    let content = match kind.as_str() {
        "text" => Content::Text { text: part.text("text")?, citations: Vec::new() },
        "refusal" => Content::Refusal(part.text("refusal")?),
        "image_url" => read_image(part.need_object("image_url")?)?,
        "input_audio" => read_audio(part.need_object("input_audio")?)?,
        "file" => read_file(part.need_object("file")?)?,
        _ => return Err(part.only_here("type")),
    };
    Ok(Part { cache: read_cache(&mut part)?, ..Part::new(content) })
}

/// Anthropic's mark of a cached prefix, which callers set on parts and tools.
fn read_cache(of: &mut Place<'_>) -> Result<Option<CacheTtl>, FieldError> {
    let Some(mark) = of.object("cache_control")? else { return Ok(None) };
    let text = |name: &str| mark.get(name).and_then(Value::as_str);
    match (text("type"), text("ttl")) {
        (Some("ephemeral"), None | Some("5m")) => Ok(Some(CacheTtl::FiveMinutes)),
        (Some("ephemeral"), Some("1h")) => Ok(Some(CacheTtl::Hour)),
        _ => Err(FieldError::wrong(mark.path(), "must be {\"type\": \"ephemeral\"}, with a `ttl` of 5m or 1h")),
    }
}

fn read_image(mut image: Place<'_>) -> Result<Content, FieldError> {
    image.only(&["url", "detail"])?;
    let url = image.text("url")?;
    let source = data_url(&url, image.at("url"))?.unwrap_or(Source::Url(url));
    Ok(Content::Image { source, detail: image.maybe_text("detail")? })
}

fn read_audio(mut audio: Place<'_>) -> Result<Content, FieldError> {
    audio.only(&["data", "format"])?;
    Ok(Content::Audio { data: audio.text("data")?, format: audio.text("format")? })
}

fn read_file(mut file: Place<'_>) -> Result<Content, FieldError> {
    file.only(&["file_data", "file_id", "filename"])?;
    let source = match (file.maybe_text("file_data")?, file.maybe_text("file_id")?) {
        (Some(data), None) => {
            // OpenAI reads base64 without a type as a PDF.
            let bare = |data| Source::Base64 { media_type: "application/pdf".to_owned(), data };
            data_url(&data, file.at("file_data"))?.unwrap_or_else(|| bare(data))
        }
        (None, Some(id)) => Source::File(id),
        _ => return Err(FieldError::wrong(file.path(), "needs one of `file_data` and `file_id`")),
    };
    Ok(Content::Document { source, name: file.maybe_text("filename")?, cite: false })
}

/// Reads one tool of a request.
pub(super) fn read_tool(mut tool: Place<'_>, emulated: &mut Emulated) -> Result<Tool, FieldError> {
    match tool.text("type")?.as_str() {
        "function" => {}
        "custom" => {
            emulated.note(CUSTOM);
            return custom::read_tool(tool);
        }
        _ => return Err(tool.only_here("type")),
    }
    tool.only(&["function", "cache_control"])?;
    let mut function = tool.need_object("function")?;
    function.only(&["name", "description", "parameters", "strict"])?;
    let schema = function.take("parameters");
    if schema.as_ref().is_some_and(|schema| !schema.is_object()) {
        return Err(function.wrong("parameters", "must be a JSON Schema"));
    }
    let (name, description) = (function.text("name")?, function.maybe_text("description")?);
    let strict = function.flag("strict")?;
    Ok(Tool { name, description, schema, strict, cache: read_cache(&mut tool)? })
}
