//! Errors as OpenAI's SDKs read them.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::chat::{Code, Error};
use crate::wire::{gone, too_long};

/// The body of an error's answer.
#[must_use]
pub fn error_body(error: &Error) -> Bytes {
    let code = error.upstream_code.as_deref().unwrap_or(error.code.text());
    let body = json!({"error": {
        "message": too_long::for_openai(error), "type": error_type(error.status()), "param": error.param, "code": code,
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

/// What an error of a provider's stream is, by the number or the names that it has, and the status that it stands for where
/// that is not its code's.
#[must_use]
pub fn kind_of(error: &Value) -> (Code, Option<u16>) {
    let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
    let number = ["code", "status"].iter().find_map(|name| number(error.get(name)?).filter(|n| (400..600).contains(n)));
    let names = ["code", "type"].iter().filter_map(|name| error.get(name)?.as_str());
    let named =
        || names.into_iter().find_map(|name| NAMES.iter().find(|(known, _)| *known == name)).map(|(_, status)| *status);
    match number.and_then(|number| u16::try_from(number).ok()).or_else(named) {
        Some(401) => (Code::UpstreamAuth, None),
        Some(408 | 504) => (Code::UpstreamTimeout, None),
        Some(429) => (Code::UpstreamRateLimited, None),
        Some(status @ (403 | 503 | 529)) => (Code::UpstreamError, Some(status)),
        Some(status) if gone::is_status(status) => (Code::UpstreamError, Some(status)),
        Some(400) => (Code::InvalidRequest, None),
        // A conflict asks for another try, as it does by its status.
        Some(status @ (406..=408 | 410..=499)) => (Code::InvalidRequest, Some(status)),
        _ => (Code::UpstreamError, None),
    }
}

/// Names of errors, and the status that each stands for.
const NAMES: [(&str, u16); 36] = [
    // Faults of the request: OpenAI's, with those by which its Responses fail, and those of servers like it.
    ("invalid_request_error", 400),
    ("invalid_value", 400),
    ("invalid_type", 400),
    ("invalid_prompt", 400),
    ("unsupported_value", 400),
    ("unsupported_parameter", 400),
    ("missing_required_parameter", 400),
    ("invalid_image", 400),
    ("invalid_image_format", 400),
    ("invalid_image_url", 400),
    ("invalid_base64_image", 400),
    ("image_too_large", 400),
    ("image_parse_error", 400),
    ("failed_to_download_image", 400),
    ("BadRequestError", 400),
    ("UnprocessableEntityError", 422),
    // Models that are not there.
    ("model_not_found", 404),
    ("model_decommissioned", 404),
    ("not_found_error", 404),
    ("NotFoundError", 404),
    // Faults of the provider.
    ("server_error", 500),
    ("api_error", 500),
    ("authentication_error", 401),
    ("permission_error", 403),
    ("timeout", 504),
    ("timeout_error", 504),
    ("rate_limit_exceeded", 429),
    ("rate_limit_error", 429),
    ("insufficient_quota", 429),
    ("too_many_requests", 429),
    ("overloaded", 503),
    ("overloaded_error", 503),
    ("engine_overloaded", 503),
    ("engine_overloaded_error", 503),
    ("service_unavailable", 503),
    ("service_unavailable_error", 503),
];

/// `error.type`, by status.
#[must_use]
pub fn error_type(status: u16) -> &'static str {
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

    #[test]
    fn an_error_is_known_by_its_number_or_its_names() {
        for (error, code, status) in [
            (json!({"code": 429}), Code::UpstreamRateLimited, 429),
            (json!({"type": "rate_limit_error", "code": null}), Code::UpstreamRateLimited, 429),
            (json!({"code": "insufficient_quota"}), Code::UpstreamRateLimited, 429),
            (json!({"type": "overloaded_error"}), Code::UpstreamError, 503),
            (json!({"code": 529, "type": "x"}), Code::UpstreamError, 529),
            (json!({"code": "429"}), Code::UpstreamRateLimited, 429),
            (json!({"status": 504}), Code::UpstreamTimeout, 504),
            (json!({"type": "server_error", "code": 500}), Code::UpstreamError, 502),
            (json!({"type": "BadRequestError", "code": 400}), Code::InvalidRequest, 400),
            (json!({"type": "invalid_request_error", "code": null}), Code::InvalidRequest, 400),
            (json!({"type": "invalid_request_error", "code": "server_error"}), Code::UpstreamError, 502),
            (json!({"type": "invalid_request_error", "code": "1301"}), Code::InvalidRequest, 400),
            (json!({"code": 422}), Code::InvalidRequest, 422),
            (json!({"code": 409}), Code::UpstreamError, 502),
            (json!({"code": 402}), Code::UpstreamError, 402),
            (json!({"code": "model_not_found", "type": "invalid_request_error"}), Code::UpstreamError, 404),
            (json!({"code": 1}), Code::UpstreamError, 502),
            (json!({"code": "x", "type": 3}), Code::UpstreamError, 502),
            (json!("gone"), Code::UpstreamError, 502),
        ] {
            let (read, named) = kind_of(&error);
            assert_eq!((read, named.unwrap_or(read.status())), (code, status), "{error}");
        }
    }

    #[test]
    fn an_error_has_the_shape_of_openais() {
        let error = Error::new(Code::ModelNotFound, "no `x`").at("model");
        let body =
            r#"{"error":{"message":"no `x`","type":"invalid_request_error","param":"model","code":"model_not_found"}}"#;
        assert_eq!(error_body(&error), body);
    }
}
