//! Errors within a stream.

use bytes::Bytes;
use serde_json::Value;

use crate::chat::Error;
use crate::wire::openai::{error_body, kind_of, put_event};
use crate::wire::{filtered, too_long};

/// The event that ends a stream which failed after it began; no `[DONE]` follows it.
pub(super) fn error_event(error: &Error) -> Bytes {
    let mut out = Vec::new();
    put_event(&error_body(error), &mut out);
    out.into()
}

/// The error that a provider sends after its stream began.
pub(super) fn read_error(error: &Value) -> Error {
    let message = error.as_str().or_else(|| error.get("message").and_then(Value::as_str));
    let message: String = message.unwrap_or("the provider reports an error").chars().take(2_000).collect();
    let upstream_code = error.get("code").and_then(Value::as_str).map(str::to_owned);
    let (code, status) = kind_of(error);
    let read = too_long::recognized(Error { upstream_code, status, ..Error::new(code, message) });
    filtered::recognized(read, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Code;

    #[test]
    fn an_error_has_the_shape_of_openais() {
        let error = Error::new(Code::ModelNotFound, "no `x`").at("model");
        let body =
            r#"{"error":{"message":"no `x`","type":"invalid_request_error","param":"model","code":"model_not_found"}}"#;
        assert_eq!(error_event(&error), format!("data: {body}\n\n"));
    }
}
