//! Errors of the gateway's own, in each dialect.

use std::fmt::Write as _;
use std::time::Duration;

use fulcrum::chat::{Code, Error};

use crate::fixtures::{DIALECTS, golden};

const CODES: [Code; 30] = [
    Code::InvalidRequest,
    Code::UnsupportedFeature,
    Code::ContextLengthExceeded,
    Code::InvalidVariables,
    Code::InvalidApiKey,
    Code::BudgetExceeded,
    Code::ModelNotAllowed,
    Code::Forbidden,
    Code::ModelNotFound,
    Code::PromptNotFound,
    Code::NotFound,
    Code::MethodNotAllowed,
    Code::RequestTimeout,
    Code::UpstreamTimeout,
    Code::Conflict,
    Code::IdempotencyInProgress,
    Code::IdempotencyMismatch,
    Code::RequestTooLarge,
    Code::UnsupportedMediaType,
    Code::RateLimitExceeded,
    Code::UpstreamRateLimited,
    Code::UpstreamConnect,
    Code::UpstreamProtocol,
    Code::UpstreamError,
    Code::UpstreamAuth,
    Code::AllTargetsCooling,
    Code::LedgerUnavailable,
    Code::Overloaded,
    Code::ClientClosed,
    Code::Internal,
];

#[test]
fn every_code_is_told_as_the_golden_file_says() {
    let mut out = String::new();
    for code in CODES {
        writeln!(out, "# {} {}", code.status(), code.text()).unwrap();
        let error =
            Error { retry_after: Some(Duration::from_secs(2)), ..Error::new(code, "It went wrong.").at("model") };
        for dialect in DIALECTS {
            let body = dialect.codec().error_body(&error, "req-1");
            writeln!(out, "{}: {}", dialect.name, std::str::from_utf8(&body).unwrap()).unwrap();
        }
    }
    writeln!(out, "# as the end of a stream").unwrap();
    for dialect in DIALECTS {
        let event = dialect.codec().error_event(&Error::new(Code::UpstreamProtocol, "It broke."));
        writeln!(out, "{}: {:?}", dialect.name, std::str::from_utf8(&event).unwrap()).unwrap();
    }
    golden("errors", &out);
}
