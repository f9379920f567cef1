//! A whole answer of a provider, in the internal form.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::fault::{Fault, given, list, text};
use super::message_reader::{data_url, read_thoughts, thought_signature};
use super::stop::read_stop;
use super::usage::read_usage;
use crate::chat::{Choice, Citation, Content, Error, Part, Response, Source, Unit};
use crate::wire::dialect::BadAnswer;

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    model: Value,
    #[serde(default)]
    created: Value,
    choices: Vec<Map<String, Value>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(default)]
    service_tier: Value,
}

/// Reads the answer.
pub(super) fn read_response(body: &[u8]) -> Result<Response, BadAnswer> {
    let answer: Answer<'_> = serde_json::from_slice(body).map_err(|error| BadAnswer(error.to_string()))?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let mut choices = answer.choices;
    choices.sort_by_key(|choice| choice.get("index").and_then(Value::as_u64));
    Ok(Response {
        id: text(&answer.id).unwrap_or_default(),
        model: text(&answer.model).unwrap_or_default(),
        created: answer.created.as_i64(),
        choices: choices.iter().enumerate().map(|(n, choice)| read_choice(n, choice)).collect::<Result<_, _>>()?,
        usage: answer.usage.and_then(|usage| read_usage(usage.get())),
        service_tier: text(&answer.service_tier),
    })
}

fn read_choice(n: usize, choice: &Map<String, Value>) -> Result<Choice, BadAnswer> {
    let message = choice.get("message").and_then(Value::as_object);
    let message = message.ok_or_else(|| BadAnswer(format!("`choices[{n}].message` is no object")))?;
    let bad = |fault: Fault| BadAnswer(Error::from(fault.within(format_args!("choices[{n}].message"))).message);
    let parts = read_parts(n, message).map_err(bad)?;
    let refused = parts.iter().any(|part| matches!(part.content, Content::Refusal(_)));
    let called = parts.iter().any(|part| matches!(part.content, Content::ToolCall { .. }));
    let reason = choice.get("finish_reason").and_then(Value::as_str).filter(|reason| !reason.is_empty());
    Ok(Choice {
        parts,
        stop: reason.map(|reason| read_stop(reason, refused, called)),
        logprobs: given(choice, "logprobs").cloned(),
    })
}

fn read_parts(choice: usize, message: &Map<String, Value>) -> Result<Vec<Part>, Fault> {
    let mut parts = read_thoughts(message)?;
    match given(message, "content") {
        Some(Value::Array(said)) => {
            for (n, part) in said.iter().enumerate() {
                parts.push(read_part(part).map_err(|fault| fault.within(format_args!("content[{n}]")))?);
            }
        }
        _ => parts.extend(text(message, "content")?.filter(|said| !said.is_empty()).map(Part::text)),
    }
    let cited = list(message, "annotations")?.iter().filter_map(read_citation);
    let last_text = parts.iter_mut().rev().find_map(|part| match &mut part.content {
        Content::Text { citations, .. } => Some(citations),
        _ => None,
    });
    if let Some(citations) = last_text {
        citations.extend(cited);
    }
    parts.extend(list(message, "images")?.iter().map(read_image).collect::<Result<Vec<_>, _>>()?);
    if let Some(refusal) = text(message, "refusal")?.filter(|refusal| !refusal.is_empty()) {
        parts.push(Part::new(Content::Refusal(refusal.to_owned())));
    }
    for (n, call) in list(message, "tool_calls")?.iter().enumerate() {
        let read = call.as_object().ok_or_else(|| Fault::wrong("", "must be an object"));
        let read = read.and_then(|call| read_call(call, (choice, n)));
        parts.push(read.map_err(|fault| fault.within(format_args!("tool_calls[{n}]")))?);
    }
    Ok(parts)
}

/// One part of a content that is a list, as Mistral's reasoning models answer.
fn read_part(part: &Value) -> Result<Part, Fault> {
    let said = |value: &Value| value.as_str().map(str::to_owned);
    let texts = |list: &Value| list.as_array().map(|list| list.iter().filter_map(|one| said(&one["text"])).collect());
    let content = match part["type"].as_str() {
        Some("text") => said(&part["text"]).map(|text| Content::Text { text, citations: Vec::new() }),
        Some("refusal") => said(&part["refusal"]).map(Content::Refusal),
        Some("thinking") => said(&part["thinking"]).or_else(|| texts(&part["thinking"])).map(Content::Thinking),
        _ => return Err(Fault::wrong("type", "is not known")),
    };
    content.map(Part::new).ok_or_else(|| Fault::wrong("", "has no text"))
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

/// An image of an answer, as OpenRouter tells it.
pub(super) fn read_image(image: &Value) -> Result<Part, Fault> {
    let url = image.pointer("/image_url/url").and_then(Value::as_str);
    let url = url.ok_or_else(|| Fault::wrong("images", "must have addresses"))?;
    let source = data_url(url, "images")?.unwrap_or_else(|| Source::Url(url.to_owned()));
    Ok(Part::new(Content::Image { source, detail: None }))
}

fn read_call(call: &Map<String, Value>, (choice, n): (usize, usize)) -> Result<Part, Fault> {
    let function = call.get("function").and_then(Value::as_object);
    let function = function.ok_or_else(|| Fault::wrong("function", "must be an object"))?;
    let name = text(function, "name")?.filter(|name| !name.is_empty());
    let id = text(call, "id")?.filter(|id| !id.is_empty());
    let arguments = match given(function, "arguments") {
        // Some servers give the object itself.
        Some(arguments @ Value::Object(_)) => arguments.to_string(),
        _ => text(function, "arguments")?.unwrap_or_default().to_owned(),
    };
    let content = Content::ToolCall {
        id: id.map_or_else(|| made_up_id(choice, n), str::to_owned),
        name: name.ok_or_else(|| Fault::wrong("function.name", "is missing"))?.to_owned(),
        arguments,
    };
    Ok(Part { signature: thought_signature(call), ..Part::new(content) })
}

/// An id for a call that has none, by its place.
pub(super) fn made_up_id(choice: usize, n: usize) -> String {
    format!("call_{choice}_{n}")
}
