//! Errors within a stream.

use serde_json::Value;

use crate::chat::{Code, Error};

/// Reads what stands in an event's `error`: an exception's name and its message.
pub(super) fn read(error: &Value) -> Error {
    let text = |name: &str| error.get(name).and_then(Value::as_str);
    let kind = text("type").unwrap_or("error");
    let code = match kind {
        "throttlingException" => Code::UpstreamRateLimited,
        "validationException" => Code::InvalidRequest,
        "accessDeniedException" => Code::UpstreamAuth,
        _ => Code::UpstreamError,
    };
    // What a provider says of our own key is not for the caller.
    let message = match code {
        Code::UpstreamAuth => "the provider refused the gateway's key",
        _ => text("message").unwrap_or("the provider reported an error in its stream"),
    };
    Error { upstream_code: Some(kind.to_owned()), ..Error::new(code, message) }
}
