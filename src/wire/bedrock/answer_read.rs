//! A whole answer, read.

use serde_json::Value;

use super::{citation, usage};
use crate::chat::{Choice, Content, Part, Response, Stop};
use crate::wire::dialect::BadAnswer;
use crate::wire::exact_numbers;

/// Reads an answer. It names neither itself nor its model.
pub(super) fn read_response(body: &[u8]) -> Result<Response, BadAnswer> {
    let answer: Value = exact_numbers::read(body).map_err(|error| BadAnswer::unread(&error))?;
    let Some(Value::Array(blocks)) = answer.pointer("/output/message/content") else {
        return Err(BadAnswer("it has no list `output.message.content`".to_owned()));
    };
    let parts: Vec<Part> = blocks.iter().map(read_block).collect::<Result<_, _>>()?;
    let called = parts.iter().any(|part| matches!(part.content, Content::ToolCall { .. }));
    Ok(Response {
        choices: vec![Choice { parts, stop: read_stop(&answer, called), logprobs: None }],
        usage: usage::read_with_service(&answer),
        service_tier: answer.pointer("/serviceTier/type").and_then(Value::as_str).map(str::to_owned),
        ..Response::default()
    })
}

fn read_block(block: &Value) -> Result<Part, BadAnswer> {
    let need = |pointer: &str| {
        let text = block.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        text.ok_or_else(|| BadAnswer(format!("a block has no text `{}`", pointer.trim_start_matches('/'))))
    };
    let is = |name: &str| block.get(name).is_some_and(|value| !value.is_null());
    if is("text") {
        return Ok(Part::text(need("/text")?));
    }
    if is("citationsContent") {
        return Ok(read_cited(&block["citationsContent"]));
    }
    if is("reasoningContent") {
        if block.pointer("/reasoningContent/redactedContent").is_some() {
            return Ok(Part::new(Content::RedactedThinking(need("/reasoningContent/redactedContent")?)));
        }
        let signature = need("/reasoningContent/reasoningText/signature").ok().filter(|text| !text.is_empty());
        let thought = Content::Thinking(need("/reasoningContent/reasoningText/text")?);
        return Ok(Part { signature, ..Part::new(thought) });
    }
    if is("toolUse") {
        let input = block.pointer("/toolUse/input").cloned().unwrap_or_default();
        let arguments = match input {
            Value::Null => "{}".to_owned(),
            Value::Object(_) => exact_numbers::write(&input),
            _ => return Err(BadAnswer("a tool call's `input` is no object".to_owned())),
        };
        let (id, name) = (need("/toolUse/toolUseId")?, need("/toolUse/name")?);
        return Ok(Part::new(Content::ToolCall { id, name, arguments }));
    }
    let kind = block.as_object().and_then(|block| block.keys().next()).map_or("nothing", String::as_str);
    Err(BadAnswer::of_type("a block", kind))
}

fn read_cited(cited: &Value) -> Part {
    let list = |name: &str| cited.get(name).and_then(Value::as_array).into_iter().flatten();
    let text = list("content").filter_map(|part| part.get("text")?.as_str()).collect();
    Part::new(Content::Text { text, citations: list("citations").map(citation::read).collect() })
}

/// Reads why an answer ended: of a whole answer, or of a stream's `messageStop`; `called` says that it calls tools. Without a
/// call there is none to wait for.
pub(super) fn read_stop(ending: &Value, called: bool) -> Option<Stop> {
    let sequence = || {
        let text = ending.pointer("/additionalModelResponseFields/stop_sequence").and_then(Value::as_str);
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    Some(match ending.get("stopReason")?.as_str()? {
        "end_turn" => Stop::End,
        "tool_use" if !called => Stop::End,
        "tool_use" => Stop::Tools,
        "max_tokens" => Stop::Length,
        "stop_sequence" => Stop::Sequence(sequence()),
        "guardrail_intervened" | "content_filtered" => Stop::Filtered,
        "model_context_window_exceeded" => Stop::Context,
        "refusal" => Stop::Refused,
        other => Stop::Other(other.chars().take(80).collect()),
    })
}
