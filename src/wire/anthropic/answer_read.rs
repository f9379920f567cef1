//! A whole answer, read.

use serde_json::{Value, json};

use super::citation;
use super::usage::read_usage;
use crate::chat::{Choice, Content, Part, Response, Stop};
use crate::wire::dialect::BadAnswer;
use crate::wire::exact_numbers;

/// The reasons to stop that have a name in both.
pub(super) const STOPS: [(&str, Stop); 7] = [
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
    let answer: Value = exact_numbers::read(body).map_err(|error| BadAnswer::unread(&error))?;
    let text = |name: &str| answer.get(name).and_then(Value::as_str);
    let Some(Value::Array(blocks)) = answer.get("content") else {
        return Err(BadAnswer("it has no list `content`".to_owned()));
    };
    let parts: Vec<Part> = blocks.iter().map(read_block).collect::<Result<_, _>>()?;
    let called = parts.iter().any(|part| matches!(part.content, Content::ToolCall { .. }));
    let stop = text("stop_reason").map(|reason| read_stop(reason, text("stop_sequence"), called));
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
            Content::ToolCall { id: need("id")?, name: need("name")?, arguments: exact_numbers::write(&input) }
        }
        kind => return Err(BadAnswer::of_type("a block", kind)),
    };
    Ok(Part::new(content))
}

/// Reads why an answer ended; `called` says that it calls tools. Without a call there is none to wait for.
pub(super) fn read_stop(reason: &str, sequence: Option<&str>, called: bool) -> Stop {
    match reason {
        "stop_sequence" => return Stop::Sequence(sequence.map(str::to_owned)),
        "tool_use" if !called => return Stop::End,
        _ => {}
    }
    let known = STOPS.iter().find(|(name, _)| *name == reason).map(|(_, stop)| stop.clone());
    known.unwrap_or_else(|| Stop::Other(reason.to_owned()))
}
