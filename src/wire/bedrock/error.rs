//! Errors within a stream.

use serde_json::{Value, json};

use crate::chat::{Code, Error};
use crate::wire::stream_error::{broke_off, in_answer, reported};

/// Reasons to stop by which Bedrock says that a model's answer cannot be used.
const FAILED: [&str; 2] = ["malformed_model_output", "malformed_tool_use"];

/// Why a whole answer failed, where it did: it is an exception, or its model broke off.
pub(super) fn failure(answer: &Value) -> Option<Error> {
    let text = |name: &str| answer.get(name).and_then(Value::as_str);
    if let Some(error) = in_answer(answer) {
        return Some(read(error));
    }
    if answer.get("output").is_none_or(Value::is_null)
        && let Some(message) = text("message").or_else(|| text("Message"))
    {
        let kind = text("__type").map_or("error", |kind| kind.rsplit('#').next().unwrap_or(kind));
        return Some(read(&json!({"type": kind, "message": message})));
    }
    of_reason(text("stopReason")?)
}

/// The error that a reason to stop stands for.
pub(super) fn of_reason(reason: &str) -> Option<Error> {
    FAILED.contains(&reason).then(|| broke_off(reason))
}

/// Reads what stands in an event's `error`: an exception's name and its message.
pub(super) fn read(error: &Value) -> Error {
    let text = |name: &str| error.get(name).and_then(Value::as_str);
    let kind = text("type").unwrap_or("error");
    // In a whole answer the same names begin with a capital letter.
    let is = |name: &str| kind.eq_ignore_ascii_case(name);
    let code = match () {
        () if is("throttlingException") => Code::UpstreamRateLimited,
        () if is("validationException") => Code::InvalidRequest,
        () if is("modelTimeoutException") => Code::UpstreamTimeout,
        () => Code::UpstreamError,
    };
    let status = match () {
        () if is("accessDeniedException") => Some(403),
        () if is("resourceNotFoundException") => Some(404),
        () if is("serviceUnavailableException") || is("modelNotReadyException") => Some(503),
        () => None,
    };
    Error { status, ..reported(code, kind, text("message")) }
}
