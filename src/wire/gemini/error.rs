//! Errors as Google's SDKs read them.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::chat::{Code, Error};
use crate::wire::{filtered, too_long};

const TYPES: &str = "type.googleapis.com/google.rpc.";

/// The body of an error's answer. The request's id stands in the headers alone: litellm sorts Gemini's errors by digits anywhere in
/// the body, and an id may hold `403`.
pub(super) fn error_body(error: &Error) -> Bytes {
    let kind = |name: &str| format!("{TYPES}{name}");
    let message = too_long::for_gemini(error);
    let reason = error.upstream_code.as_deref().unwrap_or(error.code.text());
    let mut details = vec![json!({"@type": kind("ErrorInfo"), "reason": reason, "domain": "fulcrum"})];
    if let Some(field) = &error.param {
        let violation = json!({"field": field, "description": message});
        details.push(json!({"@type": kind("BadRequest"), "fieldViolations": [violation]}));
    }
    if let Some(after) = error.retry_after {
        details.push(json!({"@type": kind("RetryInfo"), "retryDelay": seconds(after)}));
    }
    let code = error.status();
    let body = json!({"error": {
        "code": code, "message": message, "status": status_name(code), "details": details,
    }});
    body.to_string().into()
}

/// The event that ends a stream which failed after it began.
pub(super) fn error_event(error: &Error) -> Bytes {
    // Google has no 529: a model that is overloaded is unavailable there.
    let status = if error.status() == 529 { Some(503) } else { error.status };
    let error = Error { status, ..error.clone() };
    [b"data: ", &error_body(&error)[..], b"\r\n\r\n"].concat().into()
}

/// Reads the `error` object of a stream.
pub(super) fn read_error(error: &Value) -> Error {
    let status = error["code"].as_u64().and_then(|code| u16::try_from(code).ok()).filter(|code| *code >= 400);
    let code = match (status, error["status"].as_str()) {
        (Some(401), _) | (None, Some("UNAUTHENTICATED")) => Code::UpstreamAuth,
        (Some(429), _) | (None, Some("RESOURCE_EXHAUSTED")) => Code::UpstreamRateLimited,
        (Some(504), _) | (None, Some("DEADLINE_EXCEEDED")) => Code::UpstreamTimeout,
        (Some(400 | 413 | 414 | 422), _)
        | (None, Some("INVALID_ARGUMENT" | "FAILED_PRECONDITION" | "OUT_OF_RANGE")) => Code::InvalidRequest,
        _ => Code::UpstreamError,
    };
    let message = error["message"].as_str().unwrap_or("the provider reports an error and does not say which");
    let mut read = Error::new(code, message);
    read.retry_after = error["details"].as_array().into_iter().flatten().find_map(retry_delay);
    if code != Code::UpstreamAuth {
        let named = || match error["status"].as_str()? {
            "PERMISSION_DENIED" => Some(403),
            "NOT_FOUND" => Some(404),
            "UNAVAILABLE" => Some(503),
            _ => None,
        };
        read.status = status.filter(|status| *status < 600).or_else(named);
        read.upstream_code = error["status"].as_str().map(str::to_owned);
    }
    filtered::recognized(too_long::recognized(read), error)
}

/// A time as Google writes it, rounded up to tenths of a second: with more digits it might hold some that look like a status.
fn seconds(time: Duration) -> String {
    let tenths = time.as_nanos().div_ceil(100_000_000);
    let text = format!("{}.{}", tenths / 10, tenths % 10);
    format!("{}s", text.trim_end_matches(".0"))
}

/// The longest time that a provider may ask callers to wait.
const LONGEST_DELAY: Duration = Duration::from_secs(3_600);

fn retry_delay(detail: &Value) -> Option<Duration> {
    let seconds: f64 = detail["retryDelay"].as_str()?.strip_suffix('s')?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok().map(|delay| delay.min(LONGEST_DELAY))
}

/// The name that goes with an HTTP status.
fn status_name(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        402 => "FAILED_PRECONDITION",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        408 | 504 => "DEADLINE_EXCEEDED",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        499 => "CANCELLED",
        501 => "UNIMPLEMENTED",
        502 | 503 | 529 => "UNAVAILABLE",
        500.. => "INTERNAL",
        _ => "INVALID_ARGUMENT",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::dialect::ClientCodec;
    use crate::wire::gemini::Gemini;

    #[test]
    fn an_error_has_the_shape_of_googles() {
        let mut error = Error::new(Code::RateLimitExceeded, "slow down").at("contents");
        error.retry_after = Some(Duration::from_millis(1500));
        let body: Value = serde_json::from_slice(&error_body(&error)).unwrap();
        assert_eq!(
            body,
            json!({"error": {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED", "details": [
                {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "rate_limit_exceeded", "domain": "fulcrum"},
                {"@type": "type.googleapis.com/google.rpc.BadRequest",
                    "fieldViolations": [{"field": "contents", "description": "slow down"}]},
                {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1.5s"},
            ]}})
        );
        let event = error_event(&Error::new(Code::Internal, "boom"));
        assert!(event.starts_with(b"data: {\"error\":{\"code\":500,") && event.ends_with(b"}\r\n\r\n"));
    }

    #[test]
    fn a_delay_is_rounded_up_to_tenths_of_a_second() {
        for (micros, text) in [
            (1_510_544, "1.6s"),
            (2_000_000, "2s"),
            (12_403_000, "12.5s"),
            (9_950_000, "10s"),
            (100_000, "0.1s"),
            (7_000, "0.1s"),
            (0, "0s"),
        ] {
            assert_eq!(seconds(Duration::from_micros(micros)), text);
        }
    }

    #[test]
    fn no_digit_of_a_body_is_by_chance() {
        let mut error = Error::new(Code::AllTargetsCooling, "all rest");
        error.retry_after = Some(Duration::from_millis(12_403));
        let body = Gemini.error_body(&error, "019-403-429-404");
        let body = String::from_utf8(body.to_vec()).unwrap();
        let digits: String = body.chars().map(|c| if c.is_ascii_digit() { c } else { ' ' }).collect();
        assert_eq!(digits.split_whitespace().collect::<Vec<_>>(), ["503", "12", "5"], "{body}");
    }

    #[test]
    fn every_status_has_a_name() {
        for (code, name) in [
            (Code::InvalidRequest, "INVALID_ARGUMENT"),
            (Code::InvalidApiKey, "UNAUTHENTICATED"),
            (Code::BudgetExceeded, "FAILED_PRECONDITION"),
            (Code::ModelNotAllowed, "PERMISSION_DENIED"),
            (Code::ModelNotFound, "NOT_FOUND"),
            (Code::UpstreamTimeout, "DEADLINE_EXCEEDED"),
            (Code::ClientClosed, "CANCELLED"),
            (Code::Overloaded, "UNAVAILABLE"),
            (Code::Internal, "INTERNAL"),
        ] {
            assert_eq!(status_name(code.status()), name, "{code:?}");
        }
    }

    #[test]
    fn an_error_is_read_with_its_delay() {
        let error = json!({"code": 429, "message": "quota", "status": "RESOURCE_EXHAUSTED",
            "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "30s"}]});
        let error = read_error(&error);
        assert_eq!((error.code, error.status()), (Code::UpstreamRateLimited, 429));
        assert_eq!(error.retry_after, Some(Duration::from_secs(30)));
        assert_eq!(read_error(&json!({"code": 401, "message": "key"})).status(), 502);
        assert_eq!(read_error(&json!("?")).code, Code::UpstreamError);
    }
}
