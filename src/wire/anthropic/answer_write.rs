//! A whole answer, written for a caller.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::answer_read::STOPS;
use super::citation;
use super::usage::write_usage;
use crate::chat::{Choice, Content, Part, Response, Stop, Usage};
use crate::wire::dialect::{AnswerContext, BadAnswer};
use crate::wire::exact_numbers;
use crate::wire::fields;
use crate::wire::token_estimate;

/// Writes why an answer ended: `stop_reason` and `stop_sequence`.
pub(super) fn write_stop(stop: &Stop, has_calls: bool) -> (&'static str, Value) {
    let reason = match stop {
        Stop::Sequence(Some(text)) => return ("stop_sequence", text.as_str().into()),
        Stop::End | Stop::Sequence(None) | Stop::Other(_) if has_calls => "tool_use",
        Stop::Sequence(None) | Stop::Other(_) => "end_turn",
        Stop::Filtered => "refusal",
        stop => STOPS.iter().find(|(_, known)| known == stop).map_or("end_turn", |(name, _)| name),
    };
    (reason, Value::Null)
}

/// Writes an answer. Of several choices only the first is written: a caller of this dialect can ask for one only.
pub(super) fn write_response(response: &Response, context: &AnswerContext) -> Bytes {
    let none = Choice::default();
    let choice = response.choices.first().unwrap_or(&none);
    let content: Vec<Value> = choice.parts.iter().enumerate().filter_map(write_block).collect();
    let has_calls = choice.parts.iter().any(|part| matches!(part.content, Content::ToolCall { .. }));
    let (reason, sequence) = write_stop(choice.stop.as_ref().unwrap_or(&Stop::End), has_calls);
    let id = if response.id.is_empty() { &context.id } else { &response.id };
    let model = if context.model.is_empty() { &response.model } else { &context.model };
    let mut usage = match &response.usage {
        Some(usage) => write_usage(usage),
        None => write_usage(&estimated(context, choice.parts.iter().map(content_bytes).sum())),
    };
    add_tier(&mut usage, response.service_tier.as_deref());
    let body = json!({
        "id": id, "type": "message", "role": "assistant", "model": model, "content": content,
        "stop_reason": reason, "stop_sequence": sequence, "usage": usage,
    });
    exact_numbers::write(&body).into()
}

/// Checks that an answer can be written here: a call's arguments must be an object, unless the limit cut them off.
pub(super) fn can_express(response: &Response) -> Result<(), BadAnswer> {
    let Some(choice) = response.choices.first() else { return Ok(()) };
    let cut = matches!(choice.stop, Some(Stop::Length | Stop::Context));
    let bad = |part: &Part| match &part.content {
        Content::ToolCall { arguments, .. } => fields::arguments(arguments).is_none(),
        _ => false,
    };
    if !cut && choice.parts.iter().any(bad) {
        return Err(no_object());
    }
    Ok(())
}

/// What is wrong with an answer whose call has arguments that no block can hold.
pub(super) fn no_object() -> BadAnswer {
    BadAnswer("the arguments of a tool call are no JSON object".to_owned())
}

/// How many bytes of content a part has, as a stream would count them.
fn content_bytes(part: &Part) -> usize {
    match &part.content {
        Content::Text { text, .. } | Content::Refusal(text) | Content::Thinking(text) => text.len(),
        Content::ToolCall { arguments, .. } => arguments.len(),
        _ => 0,
    }
}

/// Usage by size, where the provider did not count.
pub(super) fn estimated(context: &AnswerContext, bytes: usize) -> Usage {
    let output = token_estimate::of_bytes(bytes);
    Usage { input: context.input_tokens, output, estimated: true, ..Usage::default() }
}

fn add_tier(usage: &mut Map<String, Value>, tier: Option<&str>) {
    let tier = match tier {
        Some("default") => "standard",
        Some(tier @ ("priority" | "batch")) => tier,
        _ => return,
    };
    usage.insert("service_tier".to_owned(), tier.into());
}

/// Writes a part of an answer; `None` where the part is empty, or Anthropic's answers have no block for it.
fn write_block((n, part): (usize, &Part)) -> Option<Value> {
    Some(match &part.content {
        Content::Text { text, citations } if text.is_empty() && citations.is_empty() => return None,
        Content::Text { text, citations } => {
            let cited: Vec<Value> = citations.iter().filter_map(citation::write).collect();
            let cited = if cited.is_empty() { Value::Null } else { cited.into() };
            json!({"type": "text", "text": text, "citations": cited})
        }
        Content::Refusal(text) if text.is_empty() => return None,
        Content::Refusal(text) => json!({"type": "text", "text": text, "citations": null}),
        Content::Thinking(thought) => {
            json!({"type": "thinking", "thinking": thought, "signature": part.signature.as_deref().unwrap_or_default()})
        }
        Content::RedactedThinking(data) => json!({"type": "redacted_thinking", "data": data}),
        Content::ToolCall { id, name, arguments } => {
            // What was cut off at the limit is no call yet; see `can_express` for what else is no object.
            let input = fields::arguments(arguments).unwrap_or_else(|| json!({}));
            json!({"type": "tool_use", "id": call_id(id, n), "name": name, "input": input})
        }
        Content::Image { .. } | Content::Document { .. } | Content::Audio { .. } | Content::ToolResult { .. } => {
            return None;
        }
    })
}

/// A call's id; a call without one gets an id made of its place.
pub(super) fn call_id(id: &str, n: usize) -> String {
    if id.is_empty() { format!("toolu_{n}") } else { id.to_owned() }
}
