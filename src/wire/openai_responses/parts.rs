//! Parts of messages: texts, images, files, refusals and what texts cite, both ways.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::NAME;
use crate::chat::{Citation, Code, Content, Emulated, Error, Part, Source, Unit};
use crate::wire::openai_chat::is_foreign;

/// An `unsupported_feature` at `path`.
pub(super) fn unsupported(path: impl Into<String>, what: &str) -> Error {
    Error::new(Code::UnsupportedFeature, format!("{NAME}: {what}")).at(path)
}

/// A 400 at `path`.
pub(super) fn wrong(path: impl Into<String>, what: &str) -> Error {
    let path = path.into();
    let message = format!("`{path}` {what}");
    Error::field(path, message)
}

/// A text field that must be there.
pub(super) fn required(map: &Map<String, Value>, name: &str, path: &str) -> Result<String, Error> {
    match map.get(name) {
        Some(Value::String(text)) => Ok(text.clone()),
        _ => Err(wrong(format!("{path}.{name}"), "must be a text")),
    }
}

/// A text field that may be missing or `null`.
pub(super) fn optional(map: &Map<String, Value>, name: &str, path: &str) -> Result<Option<String>, Error> {
    match map.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(wrong(format!("{path}.{name}"), "must be a text")),
    }
}

/// Reads a message's `content`, or a tool's `output`.
pub(super) fn read_content(content: &Value, path: &str, emulated: &mut Emulated) -> Result<Vec<Part>, Error> {
    match content {
        Value::String(text) => Ok(vec![Part::text(text)]),
        Value::Array(parts) => {
            let each = |(n, part)| read_part(part, &format!("{path}[{n}]"), emulated);
            parts.iter().enumerate().map(each).collect()
        }
        _ => Err(wrong(path, "must be a text or a list of parts")),
    }
}

fn read_part(part: &Value, path: &str, emulated: &mut Emulated) -> Result<Part, Error> {
    let Value::Object(part) = part else { return Err(wrong(path, "must be an object")) };
    if part.get("prompt_cache_breakpoint").is_some_and(|mark| !mark.is_null()) {
        emulated.note("prompt_cache_breakpoint");
    }
    let content = match required(part, "type", path)?.as_str() {
        "input_text" => Content::Text { text: required(part, "text", path)?, citations: Vec::new() },
        "output_text" => {
            Content::Text { text: required(part, "text", path)?, citations: read_annotations(part.get("annotations")) }
        }
        "refusal" => Content::Refusal(required(part, "refusal", path)?),
        "input_image" => read_image(part, path)?,
        "input_file" => read_file(part, path)?,
        "input_audio" => {
            let path = format!("{path}.input_audio");
            let Some(Value::Object(audio)) = part.get("input_audio") else {
                return Err(wrong(path, "must be an object"));
            };
            Content::Audio { data: required(audio, "data", &path)?, format: required(audio, "format", &path)? }
        }
        other => {
            let what = format!("a part of type `{other}` cannot be said in any other dialect");
            return Err(unsupported(format!("{path}.type"), &what));
        }
    };
    Ok(Part::new(content))
}

fn read_image(part: &Map<String, Value>, path: &str) -> Result<Content, Error> {
    let detail = optional(part, "detail", path)?;
    let source = match (optional(part, "image_url", path)?, optional(part, "file_id", path)?) {
        (Some(url), _) => match read_data_url(&url) {
            Some(data) => data.map_err(|what| wrong(format!("{path}.image_url"), what))?,
            None => Source::Url(url),
        },
        (None, Some(id)) => Source::File(id),
        (None, None) => return Err(wrong(format!("{path}.image_url"), "or `file_id` must be given")),
    };
    Ok(Content::Image { source, detail })
}

fn read_file(part: &Map<String, Value>, path: &str) -> Result<Content, Error> {
    let name = optional(part, "filename", path)?;
    let text = |field: &str| optional(part, field, path);
    let source = if let Some(data) = text("file_data")? {
        match read_data_url(&data) {
            Some(read) => plain_text(read.map_err(|what| wrong(format!("{path}.file_data"), what))?),
            None => Source::Base64 { media_type: "application/pdf".to_owned(), data },
        }
    } else if let Some(url) = text("file_url")? {
        Source::Url(url)
    } else if let Some(id) = text("file_id")? {
        Source::File(id)
    } else {
        return Err(wrong(format!("{path}.file_data"), "or `file_url` or `file_id` must be given"));
    };
    Ok(Content::Document { source, name, cite: false })
}

/// What a `data:` address holds; `None` where it is none.
fn read_data_url(url: &str) -> Option<Result<Source, &'static str>> {
    let rest = url.strip_prefix("data:")?;
    let read = rest.split_once(";base64,").map(|(media_type, data)| Source::Base64 {
        media_type: media_type.split(';').next().unwrap_or_default().to_owned(),
        data: data.to_owned(),
    });
    Some(read.ok_or("must be `data:TYPE;base64,DATA`"))
}

/// Plain text as such, which every dialect can say; anything else stays.
fn plain_text(source: Source) -> Source {
    let Source::Base64 { media_type, data } = &source else { return source };
    if media_type != "text/plain" {
        return source;
    }
    let text = STANDARD.decode(data).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    text.map_or(source, Source::Text)
}

/// Writes a part that somebody other than the model says.
pub(super) fn write_part(part: &Part, path: &str, emulated: &mut Emulated) -> Result<Value, Error> {
    if part.cache.is_some() {
        emulated.note("cache_control");
    }
    match &part.content {
        Content::Text { text, .. } => Ok(json!({"type": "input_text", "text": text})),
        Content::Image { source, detail } => write_image(source, detail.as_deref(), path),
        Content::Document { source, name, cite } => {
            if *cite {
                return Err(unsupported(format!("{path}.citations"), "an answer cannot be asked to cite a document"));
            }
            write_file(source, name.as_deref(), path)
        }
        Content::Audio { .. } => Err(unsupported(path, "sound cannot be sent")),
        _ => Err(unsupported(path, "this part cannot stand in a message of this role")),
    }
}

fn write_image(source: &Source, detail: Option<&str>, path: &str) -> Result<Value, Error> {
    let (field, value) = match source {
        Source::Base64 { media_type, data } => ("image_url", format!("data:{media_type};base64,{data}")),
        Source::Url(url) => ("image_url", url.clone()),
        Source::File(id) => ("file_id", own_file(id, path)?),
        Source::Text(_) => return Err(unsupported(path, "an image cannot be given as text")),
    };
    let mut part = json!({"type": "input_image"});
    part[field] = value.into();
    if let Some(detail) = detail {
        part["detail"] = detail.into();
    }
    Ok(part)
}

/// An uploaded file's id, unless it is one of Anthropic's or of Google's.
fn own_file(id: &str, path: &str) -> Result<String, Error> {
    if is_foreign(id) {
        return Err(unsupported(path, "it is a file of another provider; send it as data"));
    }
    Ok(id.to_owned())
}

fn write_file(source: &Source, name: Option<&str>, path: &str) -> Result<Value, Error> {
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
    // OpenAI wants a file name with data.
    if let Some(name) = name.or(unnamed) {
        part["filename"] = name.into();
    }
    Ok(part)
}

/// A part of an answer's text.
pub(super) fn output_text(text: &str, annotations: &[Value]) -> Value {
    json!({"type": "output_text", "text": text, "annotations": annotations})
}

/// Reads all `annotations` that the internal form knows.
pub(super) fn read_annotations(annotations: Option<&Value>) -> Vec<Citation> {
    annotations.and_then(Value::as_array).into_iter().flatten().filter_map(read_annotation).collect()
}

/// Reads one annotation; `None` for those which only hosted tools write.
pub(super) fn read_annotation(annotation: &Value) -> Option<Citation> {
    let text = |name: &str| annotation.get(name).and_then(Value::as_str).map(str::to_owned);
    let number = |name: &str| annotation.get(name).and_then(Value::as_u64);
    match annotation.get("type").and_then(Value::as_str)? {
        "url_citation" => Some(Citation {
            url: text("url"),
            title: text("title").filter(|title| !title.is_empty()),
            start: number("start_index"),
            end: number("end_index"),
            unit: Some(Unit::Answer),
            ..Citation::default()
        }),
        "file_citation" => Some(Citation {
            title: text("filename").filter(|title| !title.is_empty()),
            document: number("index").filter(|_| text("file_id").is_none_or(|id| id.is_empty())),
            ..Citation::default()
        }),
        _ => None,
    }
}

/// Writes what a text cites. `said` is the text so far: a citation without a place in it cites all of it.
pub(super) fn write_annotation(citation: &Citation, said: &str) -> Value {
    let title = citation.title.as_deref().unwrap_or_default();
    let Some(url) = &citation.url else {
        let index = citation.document.unwrap_or(0);
        return json!({"type": "file_citation", "file_id": "", "filename": title, "index": index});
    };
    let placed = citation.unit == Some(Unit::Answer);
    let start = citation.start.filter(|_| placed).unwrap_or(0);
    let whole = || u64::try_from(said.chars().count()).unwrap_or(u64::MAX);
    let end = citation.end.filter(|_| placed).unwrap_or_else(whole);
    json!({"type": "url_citation", "start_index": start, "end_index": end, "title": title, "url": url})
}
