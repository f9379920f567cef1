//! Errors as Anthropic's SDKs read them.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::chat::{Code, Error};
use crate::wire::stream_error::{in_answer, reported};
use crate::wire::too_long;

/// The body of an error's answer.
pub(super) fn error_body(error: &Error, request_id: &str) -> Bytes {
    let mut body = shape(error);
    if !request_id.is_empty() {
        body["request_id"] = request_id.into();
    }
    body.to_string().into()
}

/// The event that ends a stream which failed after it began. The SDKs skip events without an `event:` line.
pub(super) fn error_event(error: &Error) -> Bytes {
    format!("event: error\ndata: {}\n\n", shape(error)).into()
}

fn shape(error: &Error) -> Value {
    // The dialect has no other place for the field at fault.
    let is_too_long = error.code == Code::ContextLengthExceeded;
    let message = match &error.param {
        Some(param) if !is_too_long && !error.message.contains(param.as_str()) => {
            format!("{param}: {}", error.message).into()
        }
        _ => too_long::for_anthropic(error),
    };
    let kind = if is_too_long { "invalid_request_error" } else { kind(error.status()) };
    json!({"type": "error", "error": {"type": kind, "message": message}})
}

/// `error.type`, by status.
fn kind(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        408 | 504 => "timeout_error",
        409 => "conflict_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

/// Why a whole answer failed, where it did.
pub(super) fn failure(answer: &Value) -> Option<Error> {
    let is_typed = answer.get("type").is_some_and(|kind| kind == "error");
    let error = in_answer(answer);
    (is_typed || error.is_some()).then(|| match error {
        Some(Value::String(text)) => Error::new(Code::UpstreamError, text.as_str()),
        _ => read_event(answer),
    })
}

/// An `error` event of a provider's stream.
pub(super) fn read_event(event: &Value) -> Error {
    let text = |name: &str| event.get("error")?.get(name)?.as_str();
    let kind = text("type").unwrap_or("api_error");
    let (code, status) = match kind {
        "invalid_request_error" => (Code::InvalidRequest, None),
        "request_too_large" => (Code::RequestTooLarge, None),
        "rate_limit_error" => (Code::UpstreamRateLimited, None),
        "timeout_error" => (Code::UpstreamTimeout, None),
        "overloaded_error" => (Code::UpstreamError, Some(529)),
        "authentication_error" => (Code::UpstreamAuth, None),
        "billing_error" => (Code::UpstreamError, Some(402)),
        "permission_error" => (Code::UpstreamError, Some(403)),
        "not_found_error" => (Code::UpstreamError, Some(404)),
        _ => (Code::UpstreamError, None),
    };
    Error { status, ..reported(code, kind, text("message")) }
}
