//! Errors as OpenAI's SDKs read them.

use bytes::Bytes;
use serde_json::json;

use crate::chat::Error;
use crate::wire::too_long;

/// The body of an error's answer.
#[must_use]
pub fn error_body(error: &Error) -> Bytes {
    let code = error.upstream_code.as_deref().unwrap_or(error.code.text());
    let body = json!({"error": {
        "message": too_long::for_openai(error), "type": kind(error.status()), "param": error.param, "code": code,
    }});
    body.to_string().into()
}

/// Whether a `finish_reason` says that the answer broke off at the provider: OpenRouter's and Mistral's word for it,
/// DeepSeek's, Zhipu's, and what engines write where they stop a request.
#[must_use]
pub fn is_failure(reason: &str) -> bool {
    const REASONS: [&str; 8] = [
        "error",
        "insufficient_system_resource",
        "network_error",
        "abort",
        "aborted",
        "cancelled",
        "internal_error",
        "server_error",
    ];
    REASONS.iter().any(|known| reason.eq_ignore_ascii_case(known))
}

/// `error.type`, by status.
fn kind(status: u16) -> &'static str {
    match status {
        402 => "insufficient_quota",
        403 => "permission_error",
        408 | 504 => "timeout_error",
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    }
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
        assert_eq!(error_body(&error), body);
    }
}
