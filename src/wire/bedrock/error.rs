//! Errors within a stream.

use serde_json::Value;

use crate::chat::{Code, Error};
use crate::wire::stream_error::reported;

/// Reads what stands in an event's `error`: an exception's name and its message.
pub(super) fn read(error: &Value) -> Error {
    let text = |name: &str| error.get(name).and_then(Value::as_str);
    let kind = text("type").unwrap_or("error");
    let code = match kind {
        "throttlingException" => Code::UpstreamRateLimited,
        "validationException" => Code::InvalidRequest,
        _ => Code::UpstreamError,
    };
    let status = (kind == "accessDeniedException").then_some(403);
    Error { status, ..reported(code, kind, text("message")) }
}
