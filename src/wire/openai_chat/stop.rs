//! Why an answer ended, as a `finish_reason`.

use crate::chat::Stop;

/// What a `finish_reason` means after the parts that came before: some servers send `stop` after a tool call, or `tool_calls`
/// without one, and OpenAI sends `stop` after a refusal.
pub(super) fn read_stop(reason: &str, refused: bool, called: bool) -> Stop {
    match reason {
        "tool_calls" | "function_call" if called => Stop::Tools,
        "stop" | "tool_calls" | "function_call" if refused => Stop::Refused,
        "stop" if called => Stop::Tools,
        "stop" | "tool_calls" | "function_call" => Stop::End,
        "length" => Stop::Length,
        "content_filter" => Stop::Filtered,
        other => Stop::Other(other.to_owned()),
    }
}

/// The `finish_reason`; `refused` says that the answer has the text of a refusal.
pub(super) fn write_stop(stop: &Stop, refused: bool) -> &'static str {
    match stop {
        Stop::Length | Stop::Context => "length",
        Stop::Tools => "tool_calls",
        Stop::Filtered => "content_filter",
        Stop::Refused if !refused => "content_filter",
        Stop::End | Stop::Sequence(_) | Stop::Refused | Stop::Paused | Stop::Other(_) => "stop",
    }
}
