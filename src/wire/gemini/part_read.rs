//! Parts of a content, read.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::idiom::unsupported;
use crate::chat::{Code, Content, Emulated, Part, Source};
use crate::wire::exact_numbers;
use crate::wire::fields::{FieldError, Place};

/// A part, as far as it can be read without the parts before it.
pub(super) enum Read {
    /// A part that is complete.
    Whole(Part),
    /// A call of a tool, perhaps without an id.
    Call {
        /// The call's id, where there is one.
        id: Option<String>,
        /// The tool.
        name: String,
        /// A JSON object as text.
        arguments: String,
        /// The call's proof.
        signature: Option<String>,
    },
    /// A result of a tool, perhaps without an id.
    Result {
        /// The call's id, where it has one.
        id: Option<String>,
        /// The tool.
        name: String,
        /// The result itself.
        parts: Vec<Part>,
        /// Whether it failed.
        is_error: bool,
    },
}

/// The fields of which a part has one.
const KINDS: [&str; 5] = ["text", "inlineData", "fileData", "functionCall", "functionResponse"];

/// Reads one part.
pub(super) fn read_part(mut part: Place<'_>, emulated: &mut Emulated) -> Result<Read, FieldError> {
    let signature = part.maybe_text("thoughtSignature")?;
    let is_thought = part.flag("thought")?.unwrap_or(false);
    let detail = read_detail(&mut part, emulated)?;
    if KINDS.iter().filter(|kind| part.has(kind)).count() > 1 {
        return Err(FieldError::new(
            Code::InvalidRequest,
            part.at("text"),
            "a part must be one thing; this one is several",
        ));
    }
    let whole = |content| Read::Whole(Part { signature: signature.clone(), ..Part::new(content) });
    let read = if let Some(call) = part.object("functionCall")? {
        let (id, name, arguments) = read_call(call)?;
        Read::Call { id, name, arguments, signature }
    } else if let Some(result) = part.object("functionResponse")? {
        read_result(result, emulated)?
    } else if let Some(blob) = part.object("inlineData")? {
        whole(read_blob(blob, detail)?)
    } else if let Some(file) = part.object("fileData")? {
        whole(read_file(file, detail)?)
    } else {
        let text = part.maybe_text("text")?;
        if text.is_none() && signature.is_none() && !is_thought {
            part.done()?;
            let message = "a part has nothing in it: no text, data, file, call or response";
            return Err(FieldError::new(Code::InvalidRequest, "contents", message));
        }
        let text = text.unwrap_or_default();
        whole(if is_thought { Content::Thinking(text) } else { Content::Text { text, citations: Vec::new() } })
    };
    part.done()?;
    Ok(read)
}

/// How closely to look at an image.
fn read_detail(part: &mut Place<'_>, emulated: &mut Emulated) -> Result<Option<String>, FieldError> {
    let Some(mut resolution) = part.object("mediaResolution")? else { return Ok(None) };
    let level = resolution.maybe_text("level")?.unwrap_or_default();
    resolution.done()?;
    match level.as_str() {
        "MEDIA_RESOLUTION_LOW" => Ok(Some("low".to_owned())),
        "MEDIA_RESOLUTION_HIGH" => Ok(Some("high".to_owned())),
        _ => {
            emulated.note("mediaResolution");
            Ok(None)
        }
    }
}

fn read_call(mut call: Place<'_>) -> Result<(Option<String>, String, String), FieldError> {
    let (id, name) = (read_id(&mut call)?, call.text("name")?);
    let arguments = match call.take("args") {
        None => "{}".to_owned(),
        Some(args @ Value::Object(_)) => exact_numbers::write(&args),
        Some(_) => return Err(call.wrong("args", "must be an object")),
    };
    call.done()?;
    Ok((id, name, arguments))
}

fn read_id(place: &mut Place<'_>) -> Result<Option<String>, FieldError> {
    Ok(place.maybe_text("id")?.filter(|id| !id.is_empty()))
}

fn read_result(mut result: Place<'_>, emulated: &mut Emulated) -> Result<Read, FieldError> {
    let (id, name) = (read_id(&mut result)?, result.text("name")?);
    let (text, is_error) = match result.take("response") {
        None => (String::new(), false),
        Some(Value::Object(response)) => result_text(response),
        // Google asks for an object; what a tool gave without one says the same.
        Some(bare) => (text_of(&bare), false),
    };
    let mut parts: Vec<Part> = (!text.is_empty()).then(|| Part::text(text)).into_iter().collect();
    for (n, value) in result.list("parts")?.into_iter().enumerate() {
        let part = result.inner(value, result.item("parts", n))?;
        let path = *part.path();
        match read_part(part, emulated)? {
            Read::Whole(part) => parts.push(part),
            _ => return Err(FieldError::new(Code::InvalidRequest, path, "a result's part must be data or a file")),
        }
    }
    result.done()?;
    Ok(Read::Result { id, name, parts, is_error })
}

/// A response's text: what stands alone under one of Google's own keys, or the whole object.
fn result_text(response: Map<String, Value>) -> (String, bool) {
    let mut members = response.iter();
    match (members.next(), members.next()) {
        (Some((key, value)), None) if matches!(key.as_str(), "output" | "result") => (text_of(value), false),
        (Some((key, value)), None) if key == "error" => (text_of(value), true),
        _ => (exact_numbers::write(&Value::Object(response)), false),
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| exact_numbers::write(value), str::to_owned)
}

fn read_blob(mut blob: Place<'_>, detail: Option<String>) -> Result<Content, FieldError> {
    let (media_type, data) = (blob.text("mimeType")?, blob.text("data")?);
    let name = blob.maybe_text("displayName")?;
    blob.only(&[])?;
    if let Some(format) = media_type.strip_prefix("audio/") {
        let format = if format == "mpeg" { "mp3" } else { format }.to_owned();
        return Ok(Content::Audio { data, format });
    }
    if media_type.starts_with("image/") {
        return Ok(Content::Image { source: Source::Base64 { media_type, data }, detail });
    }
    if media_type == "text/plain" {
        let text = STANDARD.decode(&data).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let text = text.ok_or_else(|| blob.wrong("data", "must be base64 of UTF-8 text"))?;
        return Ok(Content::Document { source: Source::Text(text), name, cite: false });
    }
    if media_type.starts_with("application/") || media_type.starts_with("text/") {
        return Ok(Content::Document { source: Source::Base64 { media_type, data }, name, cite: false });
    }
    Err(other_kind(&blob, &media_type))
}

fn read_file(mut file: Place<'_>, detail: Option<String>) -> Result<Content, FieldError> {
    let (uri, kind) = (file.text("fileUri")?, file.maybe_text("mimeType")?.unwrap_or_default());
    let name = file.maybe_text("displayName")?;
    file.only(&[])?;
    if kind.starts_with("audio/") || kind.starts_with("video/") {
        return Err(other_kind(&file, &kind));
    }
    let source = if is_file(&uri) { Source::File(uri) } else { Source::Url(uri) };
    if kind.starts_with("image/") {
        return Ok(Content::Image { source, detail });
    }
    Ok(Content::Document { source, name, cite: false })
}

fn other_kind(place: &Place<'_>, media_type: &str) -> FieldError {
    unsupported(place.at("mimeType"), format_args!("of `{media_type}` cannot be sent to a target of another kind"))
}

/// Whether an address is one of Google's own files.
pub(super) fn is_file(uri: &str) -> bool {
    uri.starts_with("gs://")
        || uri.starts_with("https://generativelanguage.googleapis.com/")
        || uri.starts_with("files/")
}
