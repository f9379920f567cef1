//! `finishReason`, both ways.

use serde_json::Value;

use super::error::read_error;
use crate::chat::{Code, Error, Stop};
use crate::wire::stream_error::{broke_off, in_answer};

/// Reasons by which Google says that what the model wrote cannot be used.
const FAILED: [&str; 6] = [
    "MALFORMED_FUNCTION_CALL",
    "UNEXPECTED_TOOL_CALL",
    "TOO_MANY_TOOL_CALLS",
    "MISSING_THOUGHT_SIGNATURE",
    "MALFORMED_RESPONSE",
    "NO_IMAGE",
];

/// Why a whole answer failed, where it did. A blocked prompt is an answer: the model was not asked.
pub(super) fn failure(answer: &Value) -> Option<Error> {
    match in_answer(answer) {
        Some(Value::String(text)) => return Some(Error::new(Code::UpstreamError, text.as_str())),
        Some(error) => return Some(read_error(error)),
        None => {}
    }
    let candidates = answer.get("candidates").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if candidates.is_empty() {
        let is_answer = answer.get("candidates").is_some() || answer.get("promptFeedback").is_some();
        let is_blocked = answer["promptFeedback"]["blockReason"].is_string();
        return (is_answer && !is_blocked).then(|| Error::new(Code::UpstreamError, "its answer has no candidates"));
    }
    candidates.iter().find_map(of_candidate)
}

fn of_candidate(candidate: &Value) -> Option<Error> {
    let parts = candidate["content"]["parts"].as_array();
    let is_empty = parts.is_none_or(|parts| parts.iter().all(|part| part.as_object().is_none_or(says_nothing)));
    match candidate["finishReason"].as_str() {
        Some(reason) => of_reason(reason, is_empty),
        None => is_empty.then(|| Error::new(Code::UpstreamError, "its candidate is empty and has no reason to end")),
    }
}

fn says_nothing(part: &serde_json::Map<String, Value>) -> bool {
    part.iter().all(|(name, value)| name.starts_with("thought") || (name == "text" && value == ""))
}

/// The error that a `finishReason` stands for; `is_empty` says that nothing came before it.
pub(super) fn of_reason(reason: &str, is_empty: bool) -> Option<Error> {
    let is_failure = FAILED.contains(&reason) || (is_empty && matches!(reason, "OTHER" | "FINISH_REASON_UNSPECIFIED"));
    is_failure.then(|| broke_off(reason))
}

/// Why an answer ended; `calls` is whether it calls tools.
pub(super) fn read_stop(reason: &str, calls: bool) -> Stop {
    match reason {
        "STOP" if calls => Stop::Tools,
        "STOP" => Stop::End,
        "MAX_TOKENS" => Stop::Length,
        "SAFETY" | "RECITATION" | "LANGUAGE" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "MODEL_ARMOR" => {
            Stop::Filtered
        }
        other if other.starts_with("IMAGE_") => Stop::Filtered,
        other => Stop::Other(other.to_owned()),
    }
}

/// The `finishReason` for it.
pub(super) fn write_stop(stop: &Stop) -> &str {
    // Reasons of Google's own that have no name in the internal form; its SDKs know no others.
    const OWN: [&str; 4] =
        ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MISSING_THOUGHT_SIGNATURE"];
    match stop {
        Stop::End | Stop::Sequence(_) | Stop::Tools => "STOP",
        Stop::Length | Stop::Context => "MAX_TOKENS",
        Stop::Filtered | Stop::Refused => "SAFETY",
        Stop::Other(reason) if OWN.contains(&reason.as_str()) => reason,
        Stop::Other(reason) if reason.is_empty() => "STOP",
        Stop::Paused | Stop::Other(_) => "OTHER",
    }
}
