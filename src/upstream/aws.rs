//! What an error of Amazon's means: the error's name says more than the status.

use http::HeaderMap;
use serde_json::Value;

use crate::chat::{Code, Error};
use crate::wire::too_long;

/// Names, and the status that says what each means. Some come with another: a model that is not ready with 429, though the
/// caller did not ask too often.
const NAMES: [(&str, u16); 17] = [
    ("ThrottlingException", 429),
    ("Throttling", 429),
    ("TooManyRequestsException", 429),
    ("ServiceQuotaExceededException", 429),
    ("AccessDeniedException", 403),
    ("UnrecognizedClientException", 401),
    ("InvalidClientTokenId", 401),
    ("ExpiredTokenException", 401),
    ("ExpiredToken", 401),
    ("InvalidSignatureException", 401),
    ("IncompleteSignatureException", 401),
    ("MissingAuthenticationTokenException", 401),
    ("ModelNotReadyException", 503),
    ("ModelErrorException", 503),
    ("ModelTimeoutException", 503),
    ("InternalServerException", 503),
    ("ServiceUnavailableException", 503),
];

/// Corrects what was read of an error's answer, and returns the status that says what the answer means.
pub(super) fn correct(status: u16, headers: &HeaderMap, body: &[u8], error: &mut Error) -> u16 {
    if too_long::is_said(&error.message) {
        error.code = Code::ContextLengthExceeded;
        error.status = Some(if status < 500 { 400 } else { status });
    }
    let Some(name) = name(headers, body) else { return status };
    let meant = NAMES.iter().find(|(known, _)| *known == name).map(|(_, status)| *status);
    if error.code != Code::ContextLengthExceeded {
        error.upstream_code = Some(name);
    }
    meant.unwrap_or(status)
}

/// The name of an error.
fn name(headers: &HeaderMap, body: &[u8]) -> Option<String> {
    let named = headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let name = named.or_else(|| {
        let fields: Value = serde_json::from_slice(body).ok()?;
        ["__type", "code"].iter().find_map(|field| fields.get(field)?.as_str().map(str::to_owned))
    })?;
    // `com.amazon.coral.service#Name`, or `Name:http://...`.
    let name = name.rsplit('#').next()?.split(':').next()?.trim();
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_errors_name_is_found_wherever_it_stands() {
        let header =
            |value: &'static str| HeaderMap::from_iter([("x-amzn-errortype".parse().unwrap(), value.parse().unwrap())]);
        let none = HeaderMap::new();
        let cases = [
            (header("ThrottlingException"), "", Some(429)),
            (header("ModelErrorException:http://internal.amazon.com/coral/x/"), "", Some(503)),
            (header("ValidationException"), "", None),
            (header("AccessDeniedException"), r#"{"__type":"ValidationException"}"#, Some(403)),
            (none.clone(), r#"{"__type":"com.amazon.coral.service#ExpiredTokenException"}"#, Some(401)),
            (none.clone(), r#"{"code":"ModelNotReadyException"}"#, Some(503)),
            (none.clone(), r#"{"message":"Too many"}"#, None),
            (header("SomethingNewException"), "", None),
            (none, "<html>", None),
        ];
        for (headers, body, expected) in cases {
            let mut error = Error::new(Code::UpstreamError, "no");
            let meant = correct(0, &headers, body.as_bytes(), &mut error);
            assert_eq!(Some(meant).filter(|meant| *meant > 0), expected, "{headers:?} {body}");
        }
    }
}
