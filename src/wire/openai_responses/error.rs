//! Errors within a stream.

use serde_json::{Value, json};

use crate::chat::Error;
use crate::wire::openai::{error_type, kind_of};
use crate::wire::{filtered, too_long};

/// The event of an error, as the `sequence_number`th of its stream. OpenAI's reference has its fields at the top; its SDKs
/// raise only where there is an `error` too.
pub(super) fn error_event(error: &Error, sequence_number: u64) -> Vec<u8> {
    let code = error.upstream_code.as_deref().unwrap_or(error.code.text());
    let message = too_long::for_openai(error);
    let data = json!({
        "type": "error", "code": code, "message": message, "param": error.param,
        "sequence_number": sequence_number,
        "error": {"type": error_type(error.status()), "code": code, "message": message, "param": error.param},
    });
    format!("event: error\ndata: {data}\n\n").into_bytes()
}

/// The error that a provider reports: `{"code", "message", "param"}`, or with these within `error`.
pub(super) fn read_error(reported: &Value) -> Error {
    let reported = reported.get("error").filter(|error| error.is_object()).unwrap_or(reported);
    let text = |name: &str| reported.get(name).and_then(Value::as_str).map(str::to_owned);
    let (code, status) = kind_of(reported);
    let message = text("message").unwrap_or_else(|| "the provider's stream failed without a message".to_owned());
    let read = Error { upstream_code: text("code"), param: text("param"), status, ..Error::new(code, message) };
    filtered::recognized(too_long::recognized(read), reported)
}
