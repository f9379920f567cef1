//! Errors that a provider reports within a stream.

use super::{filtered, too_long};
use crate::chat::{Code, Error};

/// The error in an answer's top field `error`, which some send with the status 200, or an answer that is an error itself.
pub(super) fn in_answer(answer: &serde_json::Value) -> Option<&serde_json::Value> {
    let is_itself = || answer.get("object").is_some_and(|kind| kind == "error");
    answer.get("error").filter(|error| is_error(error)).or_else(|| is_itself().then_some(answer))
}

/// Whether the value of a field `error` is an error.
pub(super) fn is_error(error: &serde_json::Value) -> bool {
    match error {
        serde_json::Value::Object(fields) => !fields.is_empty(),
        serde_json::Value::String(text) => !text.is_empty(),
        _ => false,
    }
}

/// The error for a provider that says by `reason` that its answer broke off.
#[must_use]
pub fn broke_off(reason: &str) -> Error {
    let reason: String = reason.chars().take(80).collect();
    Error::new(Code::UpstreamError, format!("its answer ended with the reason `{reason}`"))
}

/// The error for a caller: `kind` is the provider's own code. What a provider says of the gateway's key stays here.
pub(super) fn reported(code: Code, kind: &str, message: Option<&str>) -> Error {
    let message = match code {
        Code::UpstreamAuth => "the provider refused the gateway's key",
        _ => message.unwrap_or("the provider reported an error in its stream"),
    };
    let read = too_long::recognized(Error { upstream_code: Some(kind.to_owned()), ..Error::new(code, message) });
    filtered::recognized(read, &serde_json::Value::Null)
}
