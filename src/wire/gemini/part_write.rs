//! Parts of a content, written.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::fields::unsupported;
use super::part_read::is_file;
use crate::chat::{Content, Emulated, Error, Part, Source};
use crate::wire::json::exact;

/// Writes a part; `None` where there is nothing to say.
pub(super) fn write_part(path: &str, part: &Part, emulated: &mut Emulated) -> Result<Option<Value>, Error> {
    if part.cache.is_some() {
        emulated.note("cache_control");
    }
    let mut out = match &part.content {
        Content::Text { text, .. } | Content::Refusal(text) if text.is_empty() && part.signature.is_none() => {
            return Ok(None);
        }
        Content::Text { text, citations } => {
            if !citations.is_empty() {
                emulated.note("citations");
            }
            json!({"text": text})
        }
        Content::Refusal(text) => {
            emulated.note("refusal");
            json!({"text": text})
        }
        Content::Thinking(text) if text.is_empty() && part.signature.is_none() => return Ok(None),
        Content::Thinking(text) => json!({"text": text, "thought": true}),
        Content::RedactedThinking(_) => {
            emulated.note("redacted_thinking");
            return Ok(None);
        }
        Content::Image { source, detail } => {
            if detail.as_deref().is_some_and(|detail| detail != "auto") {
                emulated.note("image_url.detail");
            }
            write_source(path, source, None)?
        }
        Content::Document { source, name, cite } => {
            if *cite {
                return Err(unsupported(&format!("{path}.citations"), "cannot be asked for"));
            }
            write_source(path, source, name.as_deref())?
        }
        Content::Audio { data, format } => {
            json!({"inlineData": {"mimeType": format!("audio/{format}"), "data": data}})
        }
        Content::ToolCall { id, name, arguments } => {
            let args = arguments_of(arguments).ok_or_else(|| {
                Error::field(format!("{path}.arguments"), format!("the arguments of `{name}` are not a JSON object"))
            })?;
            json!({"functionCall": {"id": id, "name": name, "args": args}})
        }
        Content::ToolResult { id, name, parts, is_error } => {
            let name = name.as_deref().unwrap_or_default();
            write_result(path, (id, name), (parts, *is_error), emulated)?
        }
    };
    if let Some(signature) = &part.signature {
        out["thoughtSignature"] = signature.as_str().into();
    }
    Ok(Some(out))
}

/// The arguments of a call as an object; `None` where they are none.
pub(super) fn arguments_of(arguments: &str) -> Option<Value> {
    if arguments.trim().is_empty() {
        return Some(json!({}));
    }
    exact::read(arguments.as_bytes()).ok().filter(Value::is_object)
}

fn write_source(path: &str, source: &Source, name: Option<&str>) -> Result<Value, Error> {
    let inline = |media_type: &str, data: &str| json!({"inlineData": {"mimeType": media_type, "data": data}});
    let mut out = match source {
        Source::Base64 { media_type, data } => inline(media_type, data),
        Source::Text(text) => inline("text/plain", &STANDARD.encode(text)),
        Source::Url(uri) | Source::File(uri) if is_file(uri) => json!({"fileData": {"fileUri": uri}}),
        Source::Url(_) => {
            return Err(unsupported(path, "is at an address that this provider does not fetch; send it as data"));
        }
        Source::File(_) => {
            return Err(unsupported(path, "is a file of another provider; send it as data"));
        }
    };
    if let (Some(name), Some(place)) = (name, out.as_object_mut().and_then(|out| out.values_mut().next())) {
        place["displayName"] = name.into();
    }
    Ok(out)
}

fn write_result(
    path: &str,
    (id, name): (&str, &str),
    (parts, is_error): (&[Part], bool),
    emulated: &mut Emulated,
) -> Result<Value, Error> {
    let mut text = String::new();
    let mut data = Vec::new();
    for (n, part) in parts.iter().enumerate() {
        match &part.content {
            Content::Text { text: said, .. } => text.push_str(said),
            Content::Image { .. } | Content::Document { .. } => {
                data.extend(write_part(&format!("{path}.content[{n}]"), part, emulated)?);
            }
            _ => return Err(unsupported(&format!("{path}.content[{n}]"), "cannot stand in a tool's result")),
        }
    }
    let key = if is_error { "error" } else { "output" };
    let mut response = json!({"id": id, "name": name, "response": {key: text}});
    if !data.is_empty() {
        response["parts"] = data.into();
    }
    Ok(json!({"functionResponse": response}))
}
