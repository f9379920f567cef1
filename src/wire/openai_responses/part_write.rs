//! Writes parts of messages: texts, images, files and citations.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::idiom::unsupported;
use crate::chat::{Citation, Content, Emulated, Part, Source, Unit};
use crate::wire::fields::{FieldError, Path};
use crate::wire::openai;

/// Writes a part of a message that is not the model's.
pub(super) fn write_part(part: &Part, path: Path<'_>, emulated: &mut Emulated) -> Result<Value, FieldError> {
    if part.cache.is_some() {
        emulated.note("cache_control");
    }
    match &part.content {
        Content::Text { text, .. } => Ok(json!({"type": "input_text", "text": text})),
        Content::Image { source, detail } => write_image(source, detail.as_deref(), path),
        Content::Document { source, name, cite } => {
            if *cite {
                return Err(unsupported(path.field("citations"), "an answer cannot be asked to cite a document"));
            }
            write_file(source, name.as_deref(), path)
        }
        Content::Audio { .. } => Err(unsupported(path, "sound cannot be sent")),
        _ => Err(unsupported(path, "this part cannot stand in a message of this role")),
    }
}

fn write_image(source: &Source, detail: Option<&str>, path: Path<'_>) -> Result<Value, FieldError> {
    let (field, value) = match source {
        Source::Base64 { media_type, data } => ("image_url", format!("data:{media_type};base64,{data}")),
        Source::Url(url) => ("image_url", url.clone()),
        Source::File(id) => ("file_id", own_file(id, path)?),
        Source::Text(_) => return Err(unsupported(path, "an image cannot be sent as text")),
    };
    let mut part = json!({"type": "input_image"});
    part[field] = value.into();
    if let Some(detail) = detail {
        part["detail"] = detail.into();
    }
    Ok(part)
}

/// An uploaded file's id, unless it is one of Anthropic's or of Google's.
fn own_file(id: &str, path: Path<'_>) -> Result<String, FieldError> {
    if openai::is_foreign(id) {
        return Err(unsupported(path, "it is a file of another provider; send it as data"));
    }
    Ok(id.to_owned())
}

fn write_file(source: &Source, name: Option<&str>, path: Path<'_>) -> Result<Value, FieldError> {
    let (field, value, unnamed) = match source {
        Source::Base64 { media_type, data } => {
            ("file_data", format!("data:{media_type};base64,{data}"), Some("document.pdf"))
        }
        Source::Text(text) => {
            ("file_data", format!("data:text/plain;base64,{}", STANDARD.encode(text)), Some("document.txt"))
        }
        Source::Url(url) => ("file_url", url.clone(), None),
        Source::File(id) => ("file_id", own_file(id, path)?, None),
    };
    let mut part = json!({"type": "input_file"});
    part[field] = value.into();
    // OpenAI refuses data without a file name.
    if let Some(name) = name.or(unnamed) {
        part["filename"] = name.into();
    }
    Ok(part)
}

/// A part of an answer's text.
pub(super) fn output_text(text: &str, annotations: &[Value]) -> Value {
    json!({"type": "output_text", "text": text, "annotations": annotations})
}

/// Writes a citation. `text` is the text so far: a citation without a place is of the whole text.
pub(super) fn write_annotation(citation: &Citation, text: &str) -> Value {
    let title = citation.title.as_deref().unwrap_or_default();
    let Some(url) = &citation.url else {
        let index = citation.document.unwrap_or(0);
        return json!({"type": "file_citation", "file_id": "", "filename": title, "index": index});
    };
    let placed = citation.unit == Some(Unit::Answer);
    let start = citation.start.filter(|_| placed).unwrap_or(0);
    let whole = || u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
    let end = citation.end.filter(|_| placed).unwrap_or_else(whole);
    json!({"type": "url_citation", "start_index": start, "end_index": end, "title": title, "url": url})
}
