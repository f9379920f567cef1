//! Parts of a content, read.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::fields::{Fields, unsupported};
use crate::chat::{Content, Emulated, Error, Part, Source};
use crate::wire::json::exact;

/// What reading a part knows of its place.
pub(super) enum Read {
    /// A part that says all of itself.
    Whole(Part),
    /// A call of a tool, perhaps without an id.
    Call {
        /// Its id, where it has one.
        id: Option<String>,
        /// The tool.
        name: String,
        /// A JSON object as text.
        arguments: String,
        /// Its proof.
        signature: Option<String>,
    },
    /// A result of a tool, perhaps without an id.
    Result {
        /// The call's id, where it has one.
        id: Option<String>,
        /// The tool.
        name: String,
        /// What it gave.
        parts: Vec<Part>,
        /// Whether it failed.
        is_error: bool,
    },
}

const KINDS: [&str; 5] = ["text", "inlineData", "fileData", "functionCall", "functionResponse"];

/// Reads one part.
pub(super) fn read_part(path: String, value: Value, emulated: &mut Emulated) -> Result<Read, Error> {
    let mut part = Fields::of(path, value)?;
    let signature = part.text("thoughtSignature")?;
    let thought = part.flag("thought")?.unwrap_or(false);
    let detail = detail(&mut part, emulated)?;
    let kinds = KINDS.iter().filter(|kind| part.has(kind)).count();
    if kinds > 1 {
        return Err(Error::field(part.at("text"), "a part must be one thing; this one is several"));
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
        let text = part.text("text")?;
        if text.is_none() && signature.is_none() && !thought {
            part.done()?;
            return Err(Error::field("contents", "a part has nothing in it: no text, data, file, call or response"));
        }
        let text = text.unwrap_or_default();
        whole(if thought { Content::Thinking(text) } else { Content::Text { text, citations: Vec::new() } })
    };
    part.done()?;
    Ok(read)
}

/// How closely to look at an image.
fn detail(part: &mut Fields, emulated: &mut Emulated) -> Result<Option<String>, Error> {
    let Some(mut asked) = part.object("mediaResolution")? else { return Ok(None) };
    let level = asked.text("level")?.unwrap_or_default();
    asked.done()?;
    match level.as_str() {
        "MEDIA_RESOLUTION_LOW" => Ok(Some("low".to_owned())),
        "MEDIA_RESOLUTION_HIGH" => Ok(Some("high".to_owned())),
        _ => {
            emulated.note("mediaResolution");
            Ok(None)
        }
    }
}

fn read_call(mut call: Fields) -> Result<(Option<String>, String, String), Error> {
    let (id, name) = (id(&mut call)?, call.needed("name")?);
    let arguments = match call.take("args") {
        None => "{}".to_owned(),
        Some(args @ Value::Object(_)) => exact::write(&args),
        Some(_) => return Err(call.wrong("args", "an object")),
    };
    call.done()?;
    Ok((id, name, arguments))
}

fn id(fields: &mut Fields) -> Result<Option<String>, Error> {
    Ok(fields.text("id")?.filter(|id| !id.is_empty()))
}

fn read_result(mut result: Fields, emulated: &mut Emulated) -> Result<Read, Error> {
    let (id, name) = (id(&mut result)?, result.needed("name")?);
    let (text, is_error) = match result.take("response") {
        None => (String::new(), false),
        Some(Value::Object(response)) => result_text(response),
        Some(_) => return Err(result.wrong("response", "an object")),
    };
    let mut parts: Vec<Part> = (!text.is_empty()).then(|| Part::text(text)).into_iter().collect();
    let path = result.at("parts");
    for (n, value) in result.list("parts")?.into_iter().enumerate() {
        let path = format!("{path}[{n}]");
        match read_part(path.clone(), value, emulated)? {
            Read::Whole(part) => parts.push(part),
            _ => return Err(Error::field(path, "a result's part must be data or a file")),
        }
    }
    result.done()?;
    Ok(Read::Result { id, name, parts, is_error })
}

/// A response's text: what stands alone under one of Google's own keys, or the whole object.
fn result_text(response: Map<String, Value>) -> (String, bool) {
    let text = |value: &Value| value.as_str().map_or_else(|| exact::write(value), str::to_owned);
    let mut members = response.iter();
    match (members.next(), members.next()) {
        (Some((key, value)), None) if matches!(key.as_str(), "output" | "result") => (text(value), false),
        (Some((key, value)), None) if key == "error" => (text(value), true),
        _ => (exact::write(&Value::Object(response)), false),
    }
}

fn read_blob(mut blob: Fields, detail: Option<String>) -> Result<Content, Error> {
    let (media_type, data) = (blob.needed("mimeType")?, blob.needed("data")?);
    let name = blob.text("displayName")?;
    let path = blob.at("mimeType");
    let wrong = blob.wrong("data", "base64 of UTF-8 text");
    blob.done()?;
    if let Some(format) = media_type.strip_prefix("audio/") {
        let format = if format == "mpeg" { "mp3" } else { format }.to_owned();
        return Ok(Content::Audio { data, format });
    }
    if media_type.starts_with("image/") {
        return Ok(Content::Image { source: Source::Base64 { media_type, data }, detail });
    }
    if media_type == "text/plain" {
        let text = STANDARD.decode(&data).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or(wrong)?;
        return Ok(Content::Document { source: Source::Text(text), name, cite: false });
    }
    if media_type.starts_with("application/") || media_type.starts_with("text/") {
        return Ok(Content::Document { source: Source::Base64 { media_type, data }, name, cite: false });
    }
    Err(unsupported(&path, &format!("of `{media_type}` cannot be said to a target of another kind")))
}

fn read_file(mut file: Fields, detail: Option<String>) -> Result<Content, Error> {
    let (uri, kind) = (file.needed("fileUri")?, file.text("mimeType")?.unwrap_or_default());
    let name = file.text("displayName")?;
    let path = file.at("mimeType");
    file.done()?;
    if kind.starts_with("audio/") || kind.starts_with("video/") {
        return Err(unsupported(&path, &format!("of `{kind}` cannot be said to a target of another kind")));
    }
    let source = if is_file(&uri) { Source::File(uri) } else { Source::Url(uri) };
    if kind.starts_with("image/") {
        return Ok(Content::Image { source, detail });
    }
    Ok(Content::Document { source, name, cite: false })
}

/// Whether an address is one of Google's own files.
pub(super) fn is_file(uri: &str) -> bool {
    uri.starts_with("gs://")
        || uri.starts_with("https://generativelanguage.googleapis.com/")
        || uri.starts_with("files/")
}
