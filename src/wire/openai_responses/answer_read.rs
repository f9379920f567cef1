//! Reads a whole answer.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::error::read_error;
use super::items_read::read_reasoning;
use super::part_read::read_annotations;
use super::usage::read_usage;
use crate::chat::{Choice, Code, Content, Error, Part, Response, Stop, Tier};
use crate::wire::dialect::BadAnswer;
use crate::wire::json::{Edits, Object, items};
use crate::wire::sse::Event;
use crate::wire::stream_error::{broke_off, in_answer};

/// Reads an answer.
///
/// # Errors
/// Where the body is no answer, or the answer failed.
pub(super) fn read_response(body: &[u8]) -> Result<Response, BadAnswer> {
    let answer: Map<String, Value> = serde_json::from_slice(body).map_err(|error| BadAnswer::unread(&error))?;
    let Some(Value::Array(output)) = answer.get("output") else {
        return Err(BadAnswer("it has no `output`".to_owned()));
    };
    let text = |name: &str| answer.get(name).and_then(Value::as_str).map(str::to_owned);
    if let Some(error) = answer.get("error").filter(|error| !error.is_null()) {
        return Err(BadAnswer(format!("it failed: {}", read_error(error).message)));
    }
    let mut parts = Vec::new();
    let mut logprobs = Vec::new();
    for item in output.iter().filter_map(Value::as_object) {
        read_item(item, &mut parts, &mut logprobs);
    }
    let called = parts.iter().any(|part| matches!(part.content, Content::ToolCall { .. }));
    let refused = parts.iter().any(|part| matches!(part.content, Content::Refusal(_)));
    let stop = read_stop(&answer, called, refused)?;
    let logprobs = (!logprobs.is_empty()).then(|| json!({"content": logprobs}));
    Ok(Response {
        id: text("id").unwrap_or_default(),
        model: text("model").unwrap_or_default(),
        created: answer.get("created_at").and_then(read_time),
        choices: vec![Choice { parts, stop: Some(stop), logprobs }],
        usage: answer.get("usage").and_then(read_usage).map(|usage| usage.in_tier(read_tier(&answer))),
        service_tier: text("service_tier"),
    })
}

/// Why a whole answer failed, where it did. One that is cut short at a limit, or still runs, did not.
pub(super) fn failure(answer: &Value) -> Option<Error> {
    match in_answer(answer) {
        Some(Value::String(text)) => return Some(Error::new(Code::UpstreamError, text.as_str())),
        Some(error) => return Some(read_error(error)),
        None => {}
    }
    let status = answer.get("status").and_then(Value::as_str)?;
    matches!(status, "failed" | "cancelled").then(|| broke_off(status))
}

/// Unix seconds, which some servers write as `1.0`.
pub(super) fn read_time(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| serde_json::Number::as_f64(value.as_number()?)?.trunc().to_string().parse().ok())
}

/// The tier that served an answer.
pub(super) fn read_tier(answer: &Map<String, Value>) -> Tier {
    answer.get("service_tier").and_then(Value::as_str).map_or(Tier::Unnamed, Tier::named)
}

/// Why an answer ended, by its `status`.
pub(super) fn read_stop(answer: &Map<String, Value>, called: bool, refused: bool) -> Result<Stop, BadAnswer> {
    match answer.get("status").and_then(Value::as_str) {
        // Some servers send no status with an answer that ended.
        None | Some("completed") if called => Ok(Stop::Tools),
        None | Some("completed") if refused => Ok(Stop::Refused),
        None | Some("completed") => Ok(Stop::End),
        Some("incomplete") => {
            let reason = answer.get("incomplete_details").and_then(|details| details.get("reason")?.as_str());
            Ok(match reason {
                Some("max_output_tokens") | None => Stop::Length,
                Some("content_filter") => Stop::Filtered,
                Some(other) => Stop::Other(other.to_owned()),
            })
        }
        Some(other) => Err(BadAnswer(format!("its status is `{other}`"))),
    }
}

fn read_item(item: &Map<String, Value>, parts: &mut Vec<Part>, logprobs: &mut Vec<Value>) {
    match item.get("type").and_then(Value::as_str) {
        Some("message") => {
            for part in item.get("content").and_then(Value::as_array).into_iter().flatten() {
                parts.extend(read_part(part));
                logprobs.extend(part.get("logprobs").and_then(Value::as_array).into_iter().flatten().cloned());
            }
        }
        Some("function_call") => parts.push(Part::new(read_call(item))),
        Some("reasoning") => parts.extend(read_reasoning(item)),
        // Traces of hosted tools; no translated request asks for such tools.
        _ => {}
    }
}

fn read_part(part: &Value) -> Option<Part> {
    let text = |name: &str| part.get(name).and_then(Value::as_str).map(str::to_owned);
    let content = match part.get("type").and_then(Value::as_str)? {
        "output_text" | "text" => {
            Content::Text { text: text("text")?, citations: read_annotations(part.get("annotations")) }
        }
        "refusal" => Content::Refusal(text("refusal")?),
        _ => return None,
    };
    Some(Part::new(content))
}

/// A function call with its arguments.
pub(super) fn read_call(item: &Map<String, Value>) -> Content {
    let text = |name: &str| item.get(name).and_then(Value::as_str).map(str::to_owned);
    Content::ToolCall {
        id: text("call_id").or_else(|| text("id")).unwrap_or_default(),
        name: text("name").unwrap_or_default(),
        arguments: text("arguments").unwrap_or_default(),
    }
}

#[derive(Deserialize)]
struct Last<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
    #[serde(borrow)]
    item: Option<&'a RawValue>,
}

/// The whole answer that a stream's last event repeats, byte for byte. Some servers leave the list of items empty there: it
/// is made of the items that ended before.
///
/// # Errors
/// Where the stream did not end well.
pub(super) fn as_whole(events: &[Event]) -> Result<Bytes, BadAnswer> {
    for data in events.iter().rev().filter_map(Event::data) {
        let Ok(last) = serde_json::from_slice::<Last<'_>>(&data) else { continue };
        if matches!(last.kind.as_str(), "response.completed" | "response.incomplete")
            && let Some(response) = last.response
        {
            return with_items(data.slice_ref(response.get().as_bytes()), events);
        }
    }
    Err(BadAnswer("the stream did not end well".to_owned()))
}

fn with_items(answer: Bytes, events: &[Event]) -> Result<Bytes, BadAnswer> {
    let object = Object::read_answer(answer.clone())?;
    if object.get("output").is_some_and(|output| items(output).next().is_some()) {
        return Ok(answer);
    }
    let mut ended = Vec::new();
    for data in events.iter().filter_map(Event::data) {
        let Ok(event) = serde_json::from_slice::<Last<'_>>(&data) else { continue };
        let item = event.item.filter(|_| event.kind == "response.output_item.done");
        ended.extend(item.map(|item| item.get().to_owned()));
    }
    let mut edits = Edits::default();
    edits.set("output", format!("[{}]", ended.join(",")));
    Ok(object.edited(&edits))
}
