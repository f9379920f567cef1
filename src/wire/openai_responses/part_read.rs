//! Reads parts of messages: texts, images, files, refusals and citations.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::idiom::{IDIOM, unsupported};
use crate::chat::{Citation, Content, Emulated, Part, Source, Unit};
use crate::wire::fields::{FieldError, Path, Place};

/// Reads a message's `content`, or a tool's `output`.
pub(super) fn read_content(content: Value, path: Path<'_>, emulated: &mut Emulated) -> Result<Vec<Part>, FieldError> {
    match content {
        Value::String(text) => Ok(vec![Part::text(text)]),
        Value::Array(parts) => {
            let each = |(n, part)| read_part(Place::of(part, path.nth(n), &IDIOM)?, emulated);
            parts.into_iter().enumerate().map(each).collect()
        }
        _ => Err(FieldError::wrong(path, "must be a text or a list of parts")),
    }
}

fn read_part(mut part: Place<'_>, emulated: &mut Emulated) -> Result<Part, FieldError> {
    if part.has("prompt_cache_breakpoint") {
        emulated.note("prompt_cache_breakpoint");
    }
    let content = match part.text("type")?.as_str() {
        "input_text" => Content::Text { text: part.text("text")?, citations: Vec::new() },
        "output_text" => {
            Content::Text { text: part.text("text")?, citations: read_annotations(part.get("annotations")) }
        }
        "refusal" => Content::Refusal(part.text("refusal")?),
        "input_image" => read_image(part)?,
        "input_file" => read_file(part)?,
        "input_audio" => {
            let audio = part.take("input_audio").unwrap_or_default();
            let mut audio = part.inner(audio, part.at("input_audio"))?;
            Content::Audio { data: audio.text("data")?, format: audio.text("format")? }
        }
        other => {
            let what = format_args!("a part of type `{other}` cannot be expressed in any other dialect");
            return Err(unsupported(part.at("type"), what));
        }
    };
    Ok(Part::new(content))
}

fn read_image(mut part: Place<'_>) -> Result<Content, FieldError> {
    let detail = part.maybe_text("detail")?;
    let source = match (part.maybe_text("image_url")?, part.maybe_text("file_id")?) {
        (Some(url), _) => match read_data_url(&url) {
            Some(data) => data.map_err(|what| part.wrong("image_url", what))?,
            None => Source::Url(url),
        },
        (None, Some(id)) => Source::File(id),
        (None, None) => return Err(part.wrong("image_url", "or `file_id` must be set")),
    };
    Ok(Content::Image { source, detail })
}

fn read_file(mut part: Place<'_>) -> Result<Content, FieldError> {
    let name = part.maybe_text("filename")?;
    let source = if let Some(data) = part.maybe_text("file_data")? {
        match read_data_url(&data) {
            Some(read) => plain_text(read.map_err(|what| part.wrong("file_data", what))?),
            None => Source::Base64 { media_type: "application/pdf".to_owned(), data },
        }
    } else if let Some(url) = part.maybe_text("file_url")? {
        Source::Url(url)
    } else if let Some(id) = part.maybe_text("file_id")? {
        Source::File(id)
    } else {
        return Err(part.wrong("file_data", "or `file_url` or `file_id` must be set"));
    };
    Ok(Content::Document { source, name, cite: false })
}

/// The content of a `data:` address; `None` for another address.
fn read_data_url(url: &str) -> Option<Result<Source, &'static str>> {
    let rest = url.strip_prefix("data:")?;
    let read = rest.split_once(";base64,").map(|(media_type, data)| Source::Base64 {
        media_type: media_type.split(';').next().unwrap_or_default().to_owned(),
        data: data.to_owned(),
    });
    Some(read.ok_or("must be `data:TYPE;base64,DATA`"))
}

/// A document of plain text as a text, which every dialect has; any other document stays.
fn plain_text(source: Source) -> Source {
    let Source::Base64 { media_type, data } = &source else { return source };
    if media_type != "text/plain" {
        return source;
    }
    let text = STANDARD.decode(data).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    text.map_or(source, Source::Text)
}

/// Reads all `annotations` that the internal form knows.
pub(super) fn read_annotations(annotations: Option<&Value>) -> Vec<Citation> {
    annotations.and_then(Value::as_array).into_iter().flatten().filter_map(read_annotation).collect()
}

/// Reads one annotation; `None` for a type that only hosted tools write.
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
