//! A whole answer, read and written.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::citation;
use super::turns::input;
use super::usage::{read_usage, write_usage};
use crate::chat::{Choice, Content, Part, Response, Stop, Usage};
use crate::wire::dialect::{AnswerContext, BadAnswer};
use crate::wire::json::exact;

/// The reasons to stop that have a name in both.
const STOPS: [(&str, Stop); 7] = [
    ("end_turn", Stop::End),
    ("max_tokens", Stop::Length),
    ("model_context_window_exceeded", Stop::Context),
    ("tool_use", Stop::Tools),
    ("refusal", Stop::Refused),
    ("pause_turn", Stop::Paused),
    ("stop_sequence", Stop::Sequence(None)),
];

/// Reads an answer.
pub(super) fn read_response(body: &[u8]) -> Result<Response, BadAnswer> {
    let answer: Value = exact::read(body).map_err(|error| BadAnswer(error.to_string()))?;
    let text = |name: &str| answer.get(name).and_then(Value::as_str);
    let Some(Value::Array(blocks)) = answer.get("content") else {
        return Err(BadAnswer("it has no list `content`".to_owned()));
    };
    let parts = blocks.iter().map(read_block).collect::<Result<_, _>>()?;
    let stop = text("stop_reason").map(|reason| read_stop(reason, text("stop_sequence")));
    let usage = answer.get("usage");
    let tier = usage.and_then(|usage| usage.get("service_tier")?.as_str());
    Ok(Response {
        id: text("id").unwrap_or_default().to_owned(),
        model: text("model").unwrap_or_default().to_owned(),
        created: None,
        choices: vec![Choice { parts, stop, logprobs: None }],
        usage: usage.and_then(read_usage),
        service_tier: tier.map(|tier| if tier == "standard" { "default" } else { tier }.to_owned()),
    })
}

/// Reads a block of an answer.
pub(super) fn read_block(block: &Value) -> Result<Part, BadAnswer> {
    let text = |name: &str| block.get(name).and_then(Value::as_str).map(str::to_owned);
    let need = |name: &str| text(name).ok_or_else(|| BadAnswer(format!("a block has no text `{name}`")));
    let signature = text("signature").filter(|signature| !signature.is_empty());
    let content = match need("type")?.as_str() {
        "text" => {
            let citations = block.get("citations").and_then(Value::as_array);
            let citations = citations.map(|list| list.iter().map(citation::read).collect()).unwrap_or_default();
            Content::Text { text: need("text")?, citations }
        }
        "thinking" => {
            return Ok(Part { signature, ..Part::new(Content::Thinking(need("thinking")?)) });
        }
        "redacted_thinking" => Content::RedactedThinking(need("data")?),
        "tool_use" => {
            let input = block.get("input").cloned().unwrap_or(json!({}));
            if !input.is_object() {
                return Err(BadAnswer("a tool call's `input` is no object".to_owned()));
            }
            Content::ToolCall { id: need("id")?, name: need("name")?, arguments: exact::write(&input) }
        }
        kind => return Err(BadAnswer(format!("a block is of the type `{}`", shown(kind)))),
    };
    Ok(Part::new(content))
}

/// The beginning of a provider's word, for a message.
pub(super) fn shown(word: &str) -> String {
    word.chars().take(40).collect()
}

/// Reads why an answer ended.
pub(super) fn read_stop(reason: &str, sequence: Option<&str>) -> Stop {
    if reason == "stop_sequence" {
        return Stop::Sequence(sequence.map(str::to_owned));
    }
    let known = STOPS.iter().find(|(name, _)| *name == reason).map(|(_, stop)| stop.clone());
    known.unwrap_or_else(|| Stop::Other(reason.to_owned()))
}

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

/// Writes an answer. Of several choices the first is told: a caller of this dialect can ask for one only.
pub(super) fn write_response(response: &Response, told: &AnswerContext) -> Bytes {
    let none = Choice::default();
    let choice = response.choices.first().unwrap_or(&none);
    let content: Vec<Value> = choice.parts.iter().enumerate().filter_map(write_block).collect();
    let has_calls = choice.parts.iter().any(|part| matches!(part.content, Content::ToolCall { .. }));
    let (reason, sequence) = write_stop(choice.stop.as_ref().unwrap_or(&Stop::End), has_calls);
    let id = if response.id.is_empty() { &told.id } else { &response.id };
    let model = if told.model.is_empty() { &response.model } else { &told.model };
    let mut usage = match &response.usage {
        Some(usage) => write_usage(usage),
        None => write_usage(&guessed(told, choice.parts.iter().map(said).sum())),
    };
    add_tier(&mut usage, response.service_tier.as_deref());
    let body = json!({
        "id": id, "type": "message", "role": "assistant", "model": model, "content": content,
        "stop_reason": reason, "stop_sequence": sequence, "usage": usage,
    });
    exact::write(&body).into()
}

/// Whether an answer can be told here: a call's arguments must be an object, unless they were cut off at the limit.
pub(super) fn can_tell(response: &Response) -> Result<(), BadAnswer> {
    let Some(choice) = response.choices.first() else { return Ok(()) };
    let cut = matches!(choice.stop, Some(Stop::Length | Stop::Context));
    let bad = |part: &Part| match &part.content {
        Content::ToolCall { arguments, .. } => input(arguments).is_none(),
        _ => false,
    };
    if !cut && choice.parts.iter().any(bad) {
        return Err(BadAnswer("the arguments of a tool call are no JSON object".to_owned()));
    }
    Ok(())
}

/// How many bytes a part says, as a stream would count them.
fn said(part: &Part) -> usize {
    match &part.content {
        Content::Text { text, .. } | Content::Refusal(text) | Content::Thinking(text) => text.len(),
        Content::ToolCall { arguments, .. } => arguments.len(),
        _ => 0,
    }
}

/// Usage by size, where nobody counted.
pub(super) fn guessed(told: &AnswerContext, bytes: usize) -> Usage {
    let output = u64::try_from(bytes.div_ceil(4)).unwrap_or(0);
    Usage { input: told.input_tokens, output, estimated: true, ..Usage::default() }
}

fn add_tier(usage: &mut Map<String, Value>, tier: Option<&str>) {
    let tier = match tier {
        Some("default") => "standard",
        Some(tier @ ("priority" | "batch")) => tier,
        _ => return,
    };
    usage.insert("service_tier".to_owned(), tier.into());
}

/// Writes a part of an answer; nothing where it says nothing, or what Anthropic's answers have no block for.
fn write_block((n, part): (usize, &Part)) -> Option<Value> {
    Some(match &part.content {
        Content::Text { text, citations } if text.is_empty() && citations.is_empty() => return None,
        Content::Text { text, citations } => {
            let told: Vec<Value> = citations.iter().filter_map(citation::write).collect();
            let told = if told.is_empty() { Value::Null } else { told.into() };
            json!({"type": "text", "text": text, "citations": told})
        }
        Content::Refusal(text) if text.is_empty() => return None,
        Content::Refusal(text) => json!({"type": "text", "text": text, "citations": null}),
        Content::Thinking(thought) => {
            json!({"type": "thinking", "thinking": thought, "signature": part.signature.as_deref().unwrap_or_default()})
        }
        Content::RedactedThinking(data) => json!({"type": "redacted_thinking", "data": data}),
        Content::ToolCall { id, name, arguments } => {
            // What was cut off at the limit is no call yet; see `can_tell` for what else is no object.
            let input = input(arguments).unwrap_or_else(|| json!({}));
            json!({"type": "tool_use", "id": call_id(id, n), "name": name, "input": input})
        }
        Content::Image { .. } | Content::Document { .. } | Content::Audio { .. } | Content::ToolResult { .. } => {
            return None;
        }
    })
}

/// A call's id; made up from its place where there is none.
pub(super) fn call_id(id: &str, n: usize) -> String {
    if id.is_empty() { format!("toolu_{n}") } else { id.to_owned() }
}
