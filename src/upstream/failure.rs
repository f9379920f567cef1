//! Why a call failed: whose fault it is, and whether it is worth trying again.

use std::time::Duration;

use super::redaction::Redaction;
use crate::chat::{Code, Error};
use crate::wire::{filtered, gone, too_long};

/// The longest time that a provider may ask callers to wait.
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);

/// Which limit passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Until the connection stood.
    Connect,
    /// Until the answer's head.
    Headers,
    /// Until the answer began.
    FirstToken,
    /// Between two pieces.
    Idle,
    /// The whole call.
    Total,
    /// The caller's own limit.
    Caller,
    /// A stream came more slowly than its route allows, before anything of it went down.
    Speed,
}

/// Why a call to a provider failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection: nothing was asked, nothing is charged.
    Connect(String),
    /// A limit passed.
    TimedOut(Phase),
    /// The answer broke off, or is no HTTP or no answer of the dialect.
    Protocol(String),
    /// The provider's own 429.
    Throttled {
        /// When to ask again, where the provider named a time.
        retry_after: Option<Duration>,
        /// The provider's message.
        message: String,
        /// Whether the provider has another key that may not be limited.
        another_key: bool,
    },
    /// The provider refused this key.
    Auth {
        /// The provider's status.
        status: u16,
        /// Whether the provider has another key that may work.
        another_key: bool,
    },
    /// The provider's own fault: 5xx, or 408 and 409, which ask for another try, or an error in its stream.
    Server {
        /// The provider's status: 200 where its stream reports the error.
        status: u16,
        /// The provider's error.
        error: Box<Error>,
    },
    /// The provider refused the request: any other 4xx, or what means that within an answer with the status 200.
    Refused {
        /// The provider's status.
        status: u16,
        /// The error for the caller.
        error: Box<Error>,
    },
    /// As many calls as the configuration allows are under way.
    Busy,
    /// The gateway itself is about to stop.
    Closing,
    /// The gateway has no room for the answer, which was cut off.
    NoRoom(Box<Error>),
}

impl Failure {
    /// The same failure, whose words may be the provider's, without what `redaction` finds.
    #[must_use]
    pub(super) fn redacted(self, redaction: Option<&Redaction>) -> Self {
        let Some(redaction) = redaction else { return self };
        match self {
            Self::Connect(reason) => Self::Connect(redaction.text(reason)),
            Self::Protocol(reason) => Self::Protocol(redaction.text(reason)),
            Self::Throttled { retry_after, message, another_key } => {
                Self::Throttled { retry_after, message: redaction.text(message), another_key }
            }
            Self::Server { status, error } => Self::Server { status, error: Box::new(redaction.error(*error)) },
            Self::Refused { status, error } => Self::Refused { status, error: Box::new(redaction.error(*error)) },
            other @ (Self::TimedOut(_) | Self::Auth { .. } | Self::Busy | Self::Closing | Self::NoRoom(_)) => other,
        }
    }

    /// Whether another try, of this target or another, may do better.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Refused { .. } | Self::TimedOut(Phase::Caller) | Self::Closing | Self::NoRoom(_) => false,
            Self::Auth { another_key, .. } => *another_key,
            _ => true,
        }
    }

    /// Whether the failure is a fault of the target, and not of the request.
    #[must_use]
    pub fn is_targets_fault(&self) -> bool {
        let is_other = matches!(
            self,
            Self::Refused { .. } | Self::TimedOut(Phase::Caller) | Self::Busy | Self::Closing | Self::NoRoom(_)
        );
        !is_other || self.is_gone()
    }

    /// Whether the target answers nobody for now, whatever is asked: it is out of credit, retired, or not there.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Refused { status, error } | Self::Server { status: status @ 200, error } => {
                gone::is_gone(meant(*status, error), error)
            }
            _ => false,
        }
    }

    /// Whether the target may not be used for the request with this key, and another may.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        match self {
            Self::Refused { status, error } | Self::Server { status: status @ 200, error } => {
                meant(*status, error) == 403
            }
            _ => false,
        }
    }

    /// Whether the provider may have worked, and charges, though no answer came.
    #[must_use]
    pub fn may_be_charged(&self) -> bool {
        let cut_off = matches!(self, Self::Protocol(_) | Self::Closing | Self::NoRoom(_));
        cut_off || matches!(self, Self::TimedOut(phase) if *phase != Phase::Connect)
    }

    /// Whether the provider has nothing at the address that was called: not only no such model there.
    #[must_use]
    pub fn lacks_route(&self) -> bool {
        match self {
            Self::Refused { status: 404 | 405, error } | Self::Server { status: 501, error } => !names_model(error),
            _ => false,
        }
    }

    /// The provider's status, if an answer came.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Throttled { .. } => Some(429),
            Self::Auth { status, .. } | Self::Server { status, .. } | Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The code that an attempt's row shows.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Connect(_) => Code::UpstreamConnect,
            Self::TimedOut(Phase::Caller) => Code::RequestTimeout,
            Self::TimedOut(_) => Code::UpstreamTimeout,
            Self::Protocol(_) => Code::UpstreamProtocol,
            Self::Throttled { .. } => Code::UpstreamRateLimited,
            Self::Auth { .. } => Code::UpstreamAuth,
            Self::Server { .. } => Code::UpstreamError,
            Self::Refused { error, .. } => error.code,
            Self::Busy | Self::Closing | Self::NoRoom(_) => Code::Overloaded,
        }
    }

    /// The error for the caller, whose call to `target` failed so.
    #[must_use]
    pub fn into_error(self, target: &str) -> Error {
        let code = self.code();
        let error = |message: String| Error::new(code, message);
        match self {
            Self::Connect(reason) => error(format!("{target} cannot be reached: {reason}")),
            Self::TimedOut(Phase::Connect) => error(format!("{target} did not accept a connection in time")),
            Self::TimedOut(Phase::Headers) => error(format!("{target} did not send the head of its answer in time")),
            Self::TimedOut(Phase::Speed) => error(format!("{target} wrote more slowly than its route's min_speed")),
            Self::TimedOut(Phase::FirstToken) => error(format!("{target} did not begin its answer in time")),
            Self::TimedOut(Phase::Idle) => error(format!("{target} stopped in the middle of its answer")),
            Self::TimedOut(Phase::Total) => error(format!("{target} did not finish its answer in time")),
            Self::TimedOut(Phase::Caller) => error("the time that x-fulcrum-timeout gave has passed".to_owned()),
            Self::Protocol(reason) => error(format!("{target} broke its answer: {reason}")),
            Self::Throttled { retry_after, message, .. } => {
                Error { retry_after, ..error(format!("{target} is rate limited: {message}")) }
            }
            Self::Auth { status, .. } => error(format!(
                "{target} refused every key that Fulcrum has for it (status {status}); your own key is fine"
            )),
            Self::Server { status: 200, error } => {
                error.says(|message| format!("{target} failed in its stream: {message}"))
            }
            Self::Server { status, error } => {
                error.says(|message| format!("{target} failed with status {status}: {message}"))
            }
            // A caller could take these for Fulcrum's own: of its key, its budget, its routes.
            Self::Refused { status: status @ (402..=405), error } => {
                let hint = if is_elsewhere(status, &error) { ELSEWHERE } else { "" };
                error.says(|message| format!("{target} answered {status}: {message}{hint}"))
            }
            Self::Refused { error, .. } | Self::NoRoom(error) => *error,
            Self::Busy => error(format!(
                "{target} already has as many calls as its max_in_flight allows, of all or of your project"
            )),
            Self::Closing => error("the gateway is shutting down, and this call outlived its grace".to_owned()),
        }
    }
}

/// The status that an error means, where it stands in an answer with the status 200.
fn meant(status: u16, error: &Error) -> u16 {
    if status == 200 { error.status.unwrap_or(status) } else { status }
}

/// What follows the message of a provider that has nothing at the address that was called.
const ELSEWHERE: &str = "; check base_url: the provider has no such route there";

/// Whether a provider has nothing at the address that was called, rather than no such model there.
fn is_elsewhere(status: u16, error: &Error) -> bool {
    matches!(status, 404 | 405) && !names_model(error)
}

/// Whether a provider's error speaks of the model.
fn names_model(error: &Error) -> bool {
    const MODELS: [&str; 5] = ["model", "deployment", "engine", "adapter", "inference profile"];
    let speaks = |text: &str| MODELS.iter().any(|word| text.to_ascii_lowercase().contains(word));
    [Some(&error.message), error.upstream_code.as_ref(), error.param.as_ref()]
        .into_iter()
        .flatten()
        .any(|text| speaks(text))
}

/// Reads a provider's error answer, taking out what `redaction` finds.
pub(super) fn read_refusal(status: u16, body: &[u8], redaction: Option<&Redaction>) -> Error {
    let scrubbed = |text: String| match redaction {
        Some(redaction) => redaction.text(text),
        None => text,
    };
    let fields: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let error = fields.get("error").unwrap_or(&fields);
    let text = |value: Option<&serde_json::Value>| value.and_then(|value| value.as_str()).map(str::to_owned);
    let message = text(error.get("message")).or_else(|| text(Some(error))).or_else(|| text(fields.get("detail")));
    let message = message.filter(|message| !message.is_empty()).unwrap_or_else(|| format!("status {status}"));
    let message: String = scrubbed(message).chars().take(2_000).collect();
    let upstream_code = own_code(&fields, error);
    let is_too_long =
        [upstream_code.as_deref(), text(error.get("type")).as_deref()].into_iter().flatten().any(too_long::is_code)
            || (matches!(status, 400 | 413 | 422) && too_long::is_said(&message));
    let read = Error {
        param: text(error.get("param")).map(scrubbed),
        status: Some(if is_too_long && status < 500 { 400 } else { status }),
        upstream_code: if is_too_long { None } else { upstream_code.map(|code| short_code(scrubbed(code))) },
        ..Error::new(if is_too_long { Code::ContextLengthExceeded } else { Code::UpstreamError }, message)
    };
    filtered::recognized(read, error)
}

/// The provider's own code: `code` at OpenAI, `status` at Google, `type` at Anthropic.
fn own_code(fields: &serde_json::Value, error: &serde_json::Value) -> Option<String> {
    let is_anthropics = fields.get("type").is_some_and(|kind| kind == "error");
    let places = ["code", "status", if is_anthropics { "type" } else { "" }];
    let code = places.iter().find_map(|place| error.get(place)?.as_str()).filter(|code| !code.is_empty())?;
    Some(code.to_owned())
}

/// A code that is cut where it is long: what is cut before a key is looked for may hold most of one.
pub(super) fn short_code(code: String) -> String {
    if code.len() <= MOST_OF_CODE { code } else { code.chars().take(MOST_OF_CODE).collect() }
}

/// The most characters of a provider's code.
const MOST_OF_CODE: usize = 200;

/// Whether an answer refuses the key itself. Google says 400 where others say 401.
pub(super) fn refuses_key(status: u16, body: &[u8]) -> bool {
    match status {
        401 => true,
        400 | 403 => memchr::memmem::find(body, b"\"API_KEY_INVALID\"").is_some(),
        _ => false,
    }
}

/// Reads `retry-after-ms`, or `retry-after` in seconds or as an HTTP date. Nonsense is `None`, and more than an hour, however
/// large the number, is an hour.
pub(super) fn read_retry_after(headers: &http::HeaderMap, now: std::time::SystemTime) -> Option<Duration> {
    named_wait(headers, now).map(|wait| wait.min(LONGEST_WAIT))
}

/// Reads a number of units of so many seconds, cut to an hour; `None` for what is negative or no number.
fn amount(text: &str, unit: f64) -> Option<Duration> {
    // Words such as `inf` and `nan` are floats to Rust, and no number in a header.
    let is_word = !text.bytes().any(|byte| byte.is_ascii_digit());
    let number = text.parse::<f64>().ok().filter(|number| *number >= 0.0 && !is_word)?;
    Some(Duration::from_secs_f64((number * unit).min(LONGEST_WAIT.as_secs_f64())))
}

fn named_wait(headers: &http::HeaderMap, now: std::time::SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(delay) = text("retry-after-ms").and_then(|text| amount(text, 0.001)) {
        return Some(delay);
    }
    let text = text("retry-after")?;
    if let Some(delay) = amount(text, 1.0) {
        return Some(delay);
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// Reads Google's `RetryInfo`, which stands in an error's details: `"retryDelay": "34.07s"`. Nonsense is `None`, and more than
/// an hour is an hour.
pub(super) fn read_retry_info(body: &[u8]) -> Option<Duration> {
    memchr::memmem::find(body, b"retryDelay")?;
    let fields: serde_json::Value = serde_json::from_slice(body).ok()?;
    // As a stream, the error is the one element of a list.
    let fields = fields.get(0).unwrap_or(&fields);
    let details = fields.get("error")?.get("details")?.as_array()?;
    let delay = details.iter().find_map(|detail| detail.get("retryDelay")?.as_str())?;
    amount(delay.strip_suffix('s')?, 1.0)
}

/// The message of a transport error's first cause.
pub(super) fn reason(error: &dyn std::error::Error) -> String {
    let mut cause = error.source();
    let mut text = error.to_string();
    while let Some(error) = cause {
        text = error.to_string();
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::redaction::redaction_of;
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn retry_after_is_read_in_all_its_forms() {
        let epoch = SystemTime::UNIX_EPOCH;
        for (name, value, seconds) in [
            ("retry-after", "2", Some(2.0)),
            ("retry-after", "0.5", Some(0.5)),
            ("retry-after-ms", "250", Some(0.25)),
            ("retry-after", "Thu, 01 Jan 1970 00:00:30 GMT", Some(30.0)),
            ("retry-after", "86400", Some(3_600.0)),
            ("retry-after-ms", "999999999", Some(3_600.0)),
            ("retry-after", "Fri, 31 Dec 9999 23:59:59 GMT", Some(3_600.0)),
            ("retry-after", "soon", None),
            ("retry-after", "-1", None),
            ("retry-after", "4294967296", Some(3_600.0)),
            ("retry-after", "99999999999999999999999999", Some(3_600.0)),
            ("retry-after-ms", "4294967296000", Some(3_600.0)),
            ("retry-after", "1e300", Some(3_600.0)),
            ("retry-after", "-4294967296", None),
            ("retry-after", "NaN", None),
            ("retry-after", "inf", None),
        ] {
            let headers = std::iter::once((http::HeaderName::from_static(name), value.parse().unwrap())).collect();
            assert_eq!(read_retry_after(&headers, epoch), seconds.map(Duration::from_secs_f64), "{value}");
        }
    }

    #[test]
    fn googles_retry_info_is_read() {
        let body = |delay: &str| {
            format!(
                r#"{{"error":{{"code":429,"details":[{{"@type":"x"}},{{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"{delay}"}}]}}}}"#
            )
        };
        for (delay, seconds) in [
            ("34.5s", Some(34.5)),
            ("2s", Some(2.0)),
            ("90000s", Some(3_600.0)),
            ("0s", Some(0.0)),
            ("soon", None),
            ("-1s", None),
            ("1e300s", Some(3_600.0)),
            ("5", None),
        ] {
            assert_eq!(read_retry_info(body(delay).as_bytes()), seconds.map(Duration::from_secs_f64), "{delay}");
            assert_eq!(read_retry_info(format!("[{}]", body(delay)).as_bytes()), seconds.map(Duration::from_secs_f64));
        }
        assert_eq!(read_retry_info(br#"{"error":{"message":"retryDelay"}}"#), None);
    }

    #[test]
    fn a_failure_loses_secrets_wherever_the_provider_may_have_put_them() {
        const KEY: &str = "sk-canary/12+34567890";
        let redaction = redaction_of(KEY);
        let said = || format!("no {KEY}");
        let error = Error { param: Some(said()), ..Error::new(Code::InvalidRequest, said()) };
        let error = Box::new(Error { upstream_code: Some(said()), ..error });
        for failure in [
            Failure::Connect(said()),
            Failure::Protocol(said()),
            Failure::Throttled { retry_after: None, message: said(), another_key: false },
            Failure::Server { status: 500, error: error.clone() },
            Failure::Refused { status: 400, error },
        ] {
            let clean = failure.redacted(Some(&redaction));
            assert!(!format!("{clean:?}").contains(KEY), "{clean:?}");
        }
    }

    #[test]
    fn a_refusal_keeps_its_message_and_loses_secrets() {
        let body = br#"{"error":{"message":"bad key sk-12345 given","param":"x","code":"invalid_value"}}"#;
        let redaction = redaction_of("sk-12345");
        let error = read_refusal(400, body, Some(&redaction));
        assert_eq!(error.message, "bad key [removed] given");
        assert_eq!(
            (error.status(), error.param.as_deref(), error.upstream_code.as_deref()),
            (400, Some("x"), Some("invalid_value"))
        );
        assert_eq!(read_refusal(422, b"<html>", None).message, "status 422");
        let long =
            read_refusal(400, br#"{"error":{"code":400,"type":"exceed_context_size_error","message":"long"}}"#, None);
        assert_eq!((long.code, long.upstream_code), (Code::ContextLengthExceeded, None));
        for (message, code) in [
            ("prompt is too long: 203456 tokens > 200000 maximum", Code::ContextLengthExceeded),
            (
                "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
                Code::ContextLengthExceeded,
            ),
            ("your prompt is fine", Code::UpstreamError),
        ] {
            let body = format!(r#"{{"error":{{"type":"invalid_request_error","message":"{message}"}}}}"#);
            assert_eq!(read_refusal(400, body.as_bytes(), None).code, code, "{message}");
            let larger = read_refusal(413, body.as_bytes(), None);
            let status = if code == Code::ContextLengthExceeded { 400 } else { 413 };
            assert_eq!((larger.code, larger.status()), (code, status), "{message}");
        }
    }

    #[test]
    fn a_target_that_is_gone_is_at_fault_and_a_request_is_not() {
        let refused = |status: u16, code: &str| {
            let body = format!(r#"{{"error":{{"message":"no","code":"{code}"}}}}"#);
            Failure::Refused { status, error: Box::new(read_refusal(status, body.as_bytes(), None)) }
        };
        let within = |status: u16| {
            let error = Error { status: Some(status), ..Error::new(Code::UpstreamError, "no") };
            Failure::Server { status: 200, error: Box::new(error) }
        };
        for failure in
            [refused(402, ""), refused(404, ""), refused(410, ""), refused(400, "model_not_found"), within(404)]
        {
            assert!(failure.is_gone() && failure.is_targets_fault() && !failure.is_forbidden(), "{failure:?}");
        }
        for failure in
            [refused(400, ""), refused(403, ""), refused(422, "invalid_value"), refused(404, "content_filter")]
        {
            assert!(!failure.is_gone() && !failure.is_targets_fault(), "{failure:?}");
        }
        assert!(refused(403, "").is_forbidden() && within(403).is_forbidden() && !within(503).is_gone());
    }

    #[test]
    fn a_refusal_by_a_filter_has_its_code() {
        for (status, body) in [
            (400, r#"{"error":{"message":"no","code":"cyber_policy"}}"#),
            (400, r#"{"error":{"message":"high risk","type":"content_filter"}}"#),
            (403, r#"{"error":{"code":403,"message":"no","metadata":{"reasons":["violence"],"flagged_input":"x"}}}"#),
        ] {
            let error = read_refusal(status, body.as_bytes(), None);
            assert_eq!((error.code, error.status()), (Code::ContentFilter, status), "{body}");
        }
        assert_eq!(read_refusal(403, br#"{"error":{"message":"no"}}"#, None).code, Code::UpstreamError);
    }

    #[test]
    fn a_bad_key_is_told_by_status_or_by_googles_reason() {
        let body = br#"{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}"#;
        assert!(refuses_key(400, body) && refuses_key(401, b"") && refuses_key(403, body));
        assert!(!refuses_key(403, b""), "a 403 is of the model");
        assert!(!refuses_key(400, br#"{"error":{"message":"no"}}"#) && !refuses_key(429, body));
    }
}
