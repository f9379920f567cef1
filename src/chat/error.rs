//! The one error a caller can get, before a dialect writes it.

use std::fmt;
use std::time::Duration;

/// What went wrong, by its public code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the public codes, which the manual explains")]
pub enum Code {
    InvalidRequest,
    UnsupportedFeature,
    ContextLengthExceeded,
    InvalidVariables,
    InvalidApiKey,
    BudgetExceeded,
    ModelNotAllowed,
    Forbidden,
    ModelNotFound,
    PromptNotFound,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    UpstreamTimeout,
    Conflict,
    IdempotencyInProgress,
    IdempotencyMismatch,
    RequestTooLarge,
    UnsupportedMediaType,
    RateLimitExceeded,
    UpstreamRateLimited,
    UpstreamConnect,
    UpstreamProtocol,
    UpstreamError,
    UpstreamAuth,
    InvalidOutput,
    ContentFilter,
    AllTargetsCooling,
    LedgerUnavailable,
    Overloaded,
    ClientClosed,
    Internal,
}

impl Code {
    const ALL: [Self; 32] = [
        Self::InvalidRequest,
        Self::UnsupportedFeature,
        Self::ContextLengthExceeded,
        Self::InvalidVariables,
        Self::InvalidApiKey,
        Self::BudgetExceeded,
        Self::ModelNotAllowed,
        Self::Forbidden,
        Self::ModelNotFound,
        Self::PromptNotFound,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::UpstreamTimeout,
        Self::Conflict,
        Self::IdempotencyInProgress,
        Self::IdempotencyMismatch,
        Self::RequestTooLarge,
        Self::UnsupportedMediaType,
        Self::RateLimitExceeded,
        Self::UpstreamRateLimited,
        Self::UpstreamConnect,
        Self::UpstreamProtocol,
        Self::UpstreamError,
        Self::UpstreamAuth,
        Self::InvalidOutput,
        Self::ContentFilter,
        Self::AllTargetsCooling,
        Self::LedgerUnavailable,
        Self::Overloaded,
        Self::ClientClosed,
        Self::Internal,
    ];

    /// The HTTP status that goes with the code.
    #[must_use]
    pub fn status(self) -> u16 {
        self.row().0
    }

    /// The code as callers read it.
    #[must_use]
    pub fn text(self) -> &'static str {
        self.row().1
    }

    /// The code of this text.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.text() == text)
    }

    const fn row(self) -> (u16, &'static str) {
        match self {
            Self::InvalidRequest => (400, "invalid_request"),
            Self::UnsupportedFeature => (400, "unsupported_feature"),
            Self::ContextLengthExceeded => (400, "context_length_exceeded"),
            Self::InvalidVariables => (400, "invalid_variables"),
            Self::InvalidApiKey => (401, "invalid_api_key"),
            Self::BudgetExceeded => (402, "budget_exceeded"),
            Self::ModelNotAllowed => (403, "model_not_allowed"),
            Self::Forbidden => (403, "forbidden"),
            Self::ModelNotFound => (404, "model_not_found"),
            Self::PromptNotFound => (404, "prompt_not_found"),
            Self::NotFound => (404, "not_found"),
            Self::MethodNotAllowed => (405, "method_not_allowed"),
            Self::RequestTimeout => (408, "request_timeout"),
            Self::UpstreamTimeout => (504, "upstream_timeout"),
            Self::Conflict => (409, "conflict"),
            Self::IdempotencyInProgress => (409, "idempotency_in_progress"),
            Self::IdempotencyMismatch => (422, "idempotency_mismatch"),
            Self::RequestTooLarge => (413, "request_too_large"),
            Self::UnsupportedMediaType => (415, "unsupported_media_type"),
            Self::RateLimitExceeded => (429, "rate_limit_exceeded"),
            Self::UpstreamRateLimited => (429, "upstream_rate_limited"),
            Self::UpstreamConnect => (502, "upstream_connect"),
            Self::UpstreamProtocol => (502, "upstream_protocol"),
            Self::UpstreamError => (502, "upstream_error"),
            Self::UpstreamAuth => (502, "upstream_auth"),
            Self::InvalidOutput => (502, "invalid_output"),
            Self::ContentFilter => (400, "content_filter"),
            Self::AllTargetsCooling => (503, "all_targets_cooling"),
            Self::LedgerUnavailable => (503, "ledger_unavailable"),
            Self::Overloaded => (503, "overloaded"),
            Self::ClientClosed => (499, "client_closed"),
            Self::Internal => (500, "internal_error"),
        }
    }
}

/// An error, before it is written in the caller's dialect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    /// What went wrong.
    pub code: Code,
    /// One or two sentences: what, where, and what to do.
    pub message: String,
    /// The field at fault, where there is one.
    pub param: Option<String>,
    /// When it is worth asking again.
    pub retry_after: Option<Duration>,
    /// The provider's status, which the caller gets instead of the code's.
    pub status: Option<u16>,
    /// The provider's code, which the caller gets instead of ours.
    pub upstream_code: Option<String>,
    /// Whether we retried already, so that the caller's SDK should not.
    pub retried: bool,
    /// Whether a simulated provider made it up.
    pub simulated: bool,
    /// What the operator may know of it, and the caller may not: the log's, and a command's on the operator's own database.
    pub detail: Option<String>,
}

impl Error {
    /// An error with nothing but a code and a message.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            code,
            message,
            param: None,
            retry_after: None,
            status: None,
            upstream_code: None,
            retried: false,
            simulated: false,
            detail: None,
        }
    }

    /// An error of the gateway itself, whose reason only its operator may read.
    #[must_use]
    pub fn internal(message: impl Into<String>, detail: &impl ToString) -> Self {
        Self { detail: Some(detail.to_string()), ..Self::new(Code::Internal, message) }
    }

    /// A 503 for what can be done in a moment, whose reason only the operator may read.
    #[must_use]
    pub fn busy(message: impl Into<String>, detail: &impl ToString) -> Self {
        let error = Self { detail: Some(detail.to_string()), ..Self::new(Code::Overloaded, message) };
        Self { retry_after: Some(Duration::from_secs(1)), ..error }
    }

    /// A 400 that names the field at fault.
    #[must_use]
    pub fn field(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self { param: Some(param.into()), ..Self::new(Code::InvalidRequest, message) }
    }

    /// The same error, naming the field at fault.
    #[must_use]
    pub fn at(self, param: impl Into<String>) -> Self {
        Self { param: Some(param.into()), ..self }
    }

    /// The same error with another message, made of its own.
    #[must_use]
    pub fn says(self, message: impl FnOnce(&str) -> String) -> Self {
        Self { message: message(&self.message), ..self }
    }

    /// The HTTP status of the answer.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status.unwrap_or_else(|| self.code.status())
    }

    /// Whether a client should not send the request once more, though clients do after such a status: Fulcrum retried already,
    /// or the same request would end in the same way.
    #[must_use]
    pub fn is_final(&self) -> bool {
        let same_again = matches!(self.code, Code::RequestTimeout | Code::Conflict | Code::UpstreamAuth);
        self.retried || same_again || matches!(self.status(), 408 | 501 | 505)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
