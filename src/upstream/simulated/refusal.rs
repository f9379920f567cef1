//! Answers that are errors, in OpenAI's shape.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use http::header::RETRY_AFTER;
use serde_json::json;

use super::answer::Simulated;
use super::dice::Dice;
use super::traits::Fault;
use crate::types::now;

/// A request that gets no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    kind: &'static str,
    message: String,
    param: Option<String>,
    code: Option<&'static str>,
    retry: Option<Retry>,
}

/// When to try again: in a second, or at a date two seconds from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Retry {
    Second,
    Date,
}

impl Refusal {
    fn new(status: u16, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, message: message.into(), param: None, code: None, retry: None }
    }

    /// A 400 for one field.
    pub(super) fn field(param: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        let refusal = Self::new(400, "invalid_request_error", message);
        Self { param: Some(param.into()), code: Some(code), ..refusal }
    }

    /// A 400 for a field that is not there.
    pub(super) fn missing(param: &'static str) -> Self {
        Self::field(param, "missing_required_parameter", format!("Missing required parameter: '{param}'."))
    }

    /// A 400 for a body that is no JSON object.
    pub(super) fn not_json() -> Self {
        Self::new(400, "invalid_request_error", "We could not parse the JSON body of your request: expected an object.")
    }

    /// A 404 for a path.
    pub(super) fn no_route(path: &str) -> Self {
        let path: String = path.chars().take(200).collect();
        Self::new(404, "invalid_request_error", format!("Unknown request URL: {path}."))
    }

    /// A 404 for a model.
    pub(super) fn no_model(model: &str) -> Self {
        let model: String = model.chars().take(200).collect();
        Self::field(
            "model",
            "model_not_found",
            format!("The model `{model}` does not exist or you do not have access to it."),
        )
        .with_status(404)
    }

    /// What a fault refuses, where it refuses at all. `flaky` depends on the request alone.
    pub(super) fn of_fault(fault: Fault, dice: &Dice) -> Option<Self> {
        let bad = "invalid_request_error";
        Some(match fault {
            Fault::Status(status) => Self::of_status(status),
            Fault::RateLimited => Self::limited(Retry::Second),
            Fault::RateLimitedDate => Self::limited(Retry::Date),
            Fault::Quota => Self {
                code: Some("insufficient_quota"),
                ..Self::new(429, "insufficient_quota", "You exceeded your current quota (simulated).")
            },
            Fault::Auth => Self {
                code: Some("invalid_api_key"),
                ..Self::new(401, bad, "Incorrect API key provided: sk-sim**********key. (simulated)")
            },
            Fault::Refuse => Self {
                code: Some("content_policy_violation"),
                ..Self::new(400, bad, "This request was refused by the simulated provider.")
            },
            Fault::ContextLength => Self::field(
                "messages",
                "context_length_exceeded",
                "This model's maximum context length is 8192 tokens (simulated). Please reduce the length of the messages.",
            ),
            Fault::Flaky if dice.fork("flaky").below(3) == 0 => Self::of_status(503),
            _ => return None,
        })
    }

    /// A failure of the server.
    pub(super) fn of_status(status: u16) -> Self {
        let message = format!("The simulated provider answers {status}, as the model's name or the profile asks.");
        match status {
            429 => Self::limited(Retry::Second),
            500.. => {
                Self { code: (status == 503).then_some("overloaded"), ..Self::new(status, "server_error", message) }
            }
            _ => Self::new(status, "invalid_request_error", message),
        }
    }

    fn limited(retry: Retry) -> Self {
        let refusal =
            Self::new(429, "requests", "Rate limit reached for requests (simulated). Please try again in 1s.");
        Self { code: Some("rate_limit_exceeded"), retry: Some(retry), ..refusal }
    }

    fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// The body.
    pub(super) fn body(&self) -> Bytes {
        let (message, kind, param, code) = (&self.message, self.kind, &self.param, self.code);
        json!({"error": {"message": message, "type": kind, "param": param, "code": code}}).to_string().into()
    }

    /// The whole answer, at once.
    pub(super) fn answer(self, dice: &Dice) -> Simulated {
        let mut answer = Simulated::json(self.status, self.body(), dice);
        answer.after = Duration::ZERO;
        let retry = self.retry.map(|retry| match retry {
            Retry::Second => HeaderValue::from_static("1"),
            Retry::Date => in_two_seconds(),
        });
        answer.headers.extend(retry.map(|retry| (RETRY_AFTER, retry)));
        answer
    }
}

/// The one thing here that depends on the clock.
fn in_two_seconds() -> HeaderValue {
    let seconds = u64::try_from(now().seconds()).unwrap_or(0) + 2;
    let date = httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_secs(seconds));
    HeaderValue::from_str(&date).unwrap_or(HeaderValue::from_static("2"))
}
