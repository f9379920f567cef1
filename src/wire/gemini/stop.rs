//! `finishReason`, both ways.

use crate::chat::Stop;

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
        Stop::Paused | Stop::Other(_) => "OTHER",
    }
}
