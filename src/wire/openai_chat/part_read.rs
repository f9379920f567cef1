//! Reads parts that callers' messages and providers' answers share: thoughts, images, proofs.

use serde_json::{Map, Value};

use crate::chat::{Citation, Content, Maker, Part, Source, ThoughtField, ThoughtPlace, Unit};
use crate::wire::fields::{FieldError, Path, Place};

/// The thoughts of a message: OpenRouter's list, which has the proofs, and the text alone where the list has none.
pub(super) fn read_thoughts(message: &mut Place<'_>) -> Result<Vec<Part>, FieldError> {
    let details = message.list("reasoning_details")?;
    let mut parts = Vec::with_capacity(details.len());
    for (n, detail) in details.into_iter().enumerate() {
        parts.push(read_detail(message.inner(detail, message.item("reasoning_details", n))?)?);
    }
    let has_text = parts.iter().any(|part| matches!(&part.content, Content::Thinking(text) if !text.is_empty()));
    if let Some((field, thought)) = plain_thought(message)?.filter(|_| !has_text) {
        let signature = Some(ThoughtPlace::of_text(field).lead());
        parts.insert(0, Part { signature, ..Part::new(Content::Thinking(thought)) });
    }
    Ok(parts)
}

/// A thought that stands among the parts of the content, as Mistral's models have them; `None` where the part is none.
pub(super) fn read_block(part: &Value) -> Option<Part> {
    let block = part.as_object().filter(|block| block.get("type").is_some_and(|kind| kind == "thinking"))?;
    let text = match block.get("thinking")? {
        Value::String(text) => text.clone(),
        texts => texts.as_array()?.iter().filter_map(|one| one.get("text")?.as_str()).collect(),
    };
    let signature = Some(ThoughtPlace::of_block(block).lead());
    Some(Part { signature, ..Part::new(Content::Thinking(text)) })
}

/// The thought that stands in a field of its own, and which field that is.
pub(super) fn plain_thought(message: &mut Place<'_>) -> Result<Option<(ThoughtField, String)>, FieldError> {
    for field in [ThoughtField::ReasoningContent, ThoughtField::Reasoning] {
        if let Some(thought) = message.maybe_text(field.name())?.filter(|thought| !thought.is_empty()) {
            return Ok(Some((field, thought)));
        }
    }
    Ok(None)
}

fn read_detail(mut detail: Place<'_>) -> Result<Part, FieldError> {
    let place = ThoughtPlace::of_entry(detail.rest());
    // What another provider proved is nothing for the maker of this list.
    let led = |proof: String| if Maker::of(&proof).is_some() { proof } else { place.lead() + &proof };
    let content = match detail.text("type")?.as_str() {
        "reasoning.text" => Content::Thinking(detail.maybe_text("text")?.unwrap_or_default()),
        "reasoning.summary" => Content::Thinking(detail.maybe_text("summary")?.unwrap_or_default()),
        "reasoning.encrypted" => Content::RedactedThinking(led(detail.text("data")?)),
        _ => return Err(detail.only_here("type")),
    };
    let proof = detail.maybe_text("signature")?;
    let signature = match content {
        Content::Thinking(_) => Some(led(proof.unwrap_or_default())),
        _ => proof,
    };
    Ok(Part { signature, ..Part::new(content) })
}

/// Google's proof of a thought, in the field where its chat completions have it.
pub(super) fn thought_signature(call: &Map<String, Value>) -> Option<String> {
    let signature = call.get("extra_content")?.pointer("/google/thought_signature")?;
    signature.as_str().map(str::to_owned)
}

/// An image of an answer, in OpenRouter's form, from the list at `path`.
pub(super) fn read_shown(image: &Value, path: Path<'_>) -> Result<Part, FieldError> {
    let url = image.pointer("/image_url/url").and_then(Value::as_str);
    let url = url.ok_or_else(|| FieldError::wrong(path, "must have addresses"))?;
    let source = data_url(url, path)?.unwrap_or_else(|| Source::Url(url.to_owned()));
    Ok(Part::new(Content::Image { source, detail: None }))
}

/// What an annotation cites; `None` where it is no address.
pub(super) fn read_citation(annotation: &Value) -> Option<Citation> {
    let cited = annotation.get("url_citation")?;
    let text = |name: &str| cited.get(name).and_then(Value::as_str).map(str::to_owned);
    let place = |name: &str| cited.get(name).and_then(Value::as_u64);
    let (start, end) = (place("start_index"), place("end_index"));
    let unit = (start.is_some() || end.is_some()).then_some(Unit::Answer);
    Some(Citation { url: Some(text("url")?), title: text("title"), start, end, unit, ..Citation::default() })
}

/// What a `data:` address holds; `None` where it is another address.
pub(super) fn data_url(url: &str, path: Path<'_>) -> Result<Option<Source>, FieldError> {
    let Some(rest) = url.strip_prefix("data:") else { return Ok(None) };
    let wrong = || FieldError::wrong(path, "must be a data URL such as `data:image/png;base64,…`");
    let (head, data) = rest.split_once(',').ok_or_else(wrong)?;
    let media_type = head.strip_suffix(";base64").ok_or_else(wrong)?;
    let media_type = media_type.split(';').next().filter(|kind| kind.contains('/')).ok_or_else(wrong)?;
    Ok(Some(Source::Base64 { media_type: media_type.to_owned(), data: data.to_owned() }))
}
