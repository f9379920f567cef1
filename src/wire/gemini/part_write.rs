//! Parts of a content, written.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::idiom::unsupported;
use super::part_read::is_file;
use crate::chat::{Content, Emulated, Part, Source};
use crate::wire::fields::{self, FieldError, Path};

/// Writes a part; `None` where the part is empty or has no form here.
///
/// `fetches` is whether the model fetches files from any address.
pub(super) fn write_part(
    path: Path<'_>,
    part: &Part,
    fetches: bool,
    emulated: &mut Emulated,
) -> Result<Option<Value>, FieldError> {
    if part.cache.is_some() {
        emulated.note("cache_control");
    }
    if let Content::Text { text, .. } | Content::Refusal(text) | Content::Thinking(text) = &part.content
        && text.is_empty()
        && part.signature.is_none()
    {
        return Ok(None);
    }
    let Some(mut out) = write_content(path, &part.content, fetches, emulated)? else { return Ok(None) };
    if let Some(signature) = &part.signature {
        out["thoughtSignature"] = signature.as_str().into();
    }
    Ok(Some(out))
}

fn write_content(
    path: Path<'_>,
    content: &Content,
    fetches: bool,
    emulated: &mut Emulated,
) -> Result<Option<Value>, FieldError> {
    Ok(Some(match content {
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
        Content::Thinking(text) => json!({"text": text, "thought": true}),
        Content::RedactedThinking(_) => {
            emulated.note("redacted_thinking");
            return Ok(None);
        }
        Content::Image { source, detail } => {
            if detail.as_deref().is_some_and(|detail| detail != "auto") {
                emulated.note("image_url.detail");
            }
            write_source(path, source, None, fetches)?
        }
        Content::Document { cite: true, .. } => {
            return Err(unsupported(path.field("citations"), "cannot be asked for"));
        }
        Content::Document { source, name, .. } => write_source(path, source, name.as_deref(), fetches)?,
        Content::Audio { data, format } => {
            json!({"inlineData": {"mimeType": format!("audio/{format}"), "data": data}})
        }
        Content::ToolCall { id, name, arguments } => {
            let args = fields::sent_arguments(arguments, emulated);
            json!({"functionCall": {"id": id, "name": name, "args": args}})
        }
        Content::ToolResult { id, name, parts, is_error } => {
            let (text, data) = write_result(path, parts, fetches, emulated)?;
            let key = if *is_error { "error" } else { "output" };
            let name = name.as_deref().unwrap_or_default();
            let mut response = json!({"id": id, "name": name, "response": {key: text}});
            if !data.is_empty() {
                response["parts"] = data.into();
            }
            json!({"functionResponse": response})
        }
    }))
}

fn write_source(path: Path<'_>, source: &Source, name: Option<&str>, fetches: bool) -> Result<Value, FieldError> {
    let inline = |media_type: &str, data: &str| json!({"inlineData": {"mimeType": media_type, "data": data}});
    let mut out = match source {
        Source::Base64 { media_type, data } => inline(media_type, data),
        Source::Text(text) => inline("text/plain", &STANDARD.encode(text)),
        Source::Url(uri) | Source::File(uri) if is_file(uri) => json!({"fileData": {"fileUri": uri}}),
        Source::Url(uri) if fetches && uri.starts_with("https://") => {
            let mut file = json!({"fileUri": uri});
            if let Some(kind) = type_of(uri) {
                file["mimeType"] = kind.into();
            }
            json!({"fileData": file})
        }
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

/// The type of a file, by the end of its address; `None` where that does not show it.
fn type_of(uri: &str) -> Option<&'static str> {
    const TYPES: [(&str, &str); 12] = [
        ("png", "image/png"),
        ("jpg", "image/jpeg"),
        ("jpeg", "image/jpeg"),
        ("webp", "image/webp"),
        ("gif", "image/gif"),
        ("heic", "image/heic"),
        ("pdf", "application/pdf"),
        ("txt", "text/plain"),
        ("md", "text/markdown"),
        ("csv", "text/csv"),
        ("html", "text/html"),
        ("json", "application/json"),
    ];
    let path = uri.split(['?', '#']).next().unwrap_or_default();
    let end = path.rsplit('/').next()?.rsplit_once('.')?.1.to_ascii_lowercase();
    TYPES.iter().find(|(known, _)| *known == end).map(|(_, kind)| *kind)
}

/// The text of a tool's result, and its files.
fn write_result(
    path: Path<'_>,
    parts: &[Part],
    fetches: bool,
    emulated: &mut Emulated,
) -> Result<(String, Vec<Value>), FieldError> {
    let mut text = String::new();
    let mut data = Vec::new();
    for (n, part) in parts.iter().enumerate() {
        let path = path.item("content", n);
        match &part.content {
            Content::Text { text: more, .. } => text.push_str(more),
            Content::Image { .. } | Content::Document { .. } => data.extend(write_part(path, part, fetches, emulated)?),
            _ => return Err(unsupported(path, "cannot stand in a tool's result")),
        }
    }
    Ok((text, data))
}
