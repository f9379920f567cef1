//! Lets pages of other origins call, where `[server] cors` names them.

use axum::body::Body;
use axum::response::Response;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, TRANSFER_ENCODING, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};

use super::client::dialect_of;
use super::error::{Refusal, put_id};
use crate::app::App;
use crate::chat::{Code, Error};
use crate::config::Cors;
use crate::types::RequestId;

/// What a page may read of an answer beside its body.
const EXPOSED: &str = "x-request-id, request-id, x-fulcrum-request-id, x-fulcrum-original-request-id, x-fulcrum-model, \
     x-fulcrum-route, x-fulcrum-prompt, x-fulcrum-cache, x-fulcrum-similarity, x-fulcrum-attempts, x-fulcrum-cost-usd, x-fulcrum-emulated, \
     x-fulcrum-repair, x-fulcrum-simulated, x-fulcrum-variant, x-fulcrum-confidence, age, retry-after, x-should-retry, \
     idempotency-replayed, x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests";

/// The methods of all routes.
const METHODS: &str = "GET, POST, PUT, PATCH, DELETE";

/// How long a browser may remember an answer to its question, in seconds.
const REMEMBERED: &str = "600";

/// What a page's request is told, where the configuration lets pages call at all.
pub struct Page {
    /// What `access-control-allow-origin` is; `None` where this page may not call.
    allowed: Option<HeaderValue>,
    /// Whether the answer is the same for every origin.
    is_any: bool,
}

impl Page {
    /// The page that sends this request; `None` where no page does, or no page may call.
    pub fn of<B>(app: &App, request: &Request<B>) -> Option<Self> {
        let origin = request.headers().get(ORIGIN)?;
        match &app.config().server.cors {
            Cors::Off => None,
            Cors::Any => Some(Self { allowed: Some(HeaderValue::from_static("*")), is_any: true }),
            Cors::Origins(origins) => {
                let is_named = origins.iter().any(|known| known.as_bytes() == origin.as_bytes());
                Some(Self { allowed: is_named.then(|| origin.clone()), is_any: false })
            }
        }
    }

    /// The answer to the question that a browser asks before the request itself; `None` where this is no such question.
    pub fn preflight<B>(&self, request: &Request<B>) -> Option<Response> {
        let asks = request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        // A browser's question has no body.
        if request.method() != Method::OPTIONS || !asks || request.headers().contains_key(TRANSFER_ENCODING) {
            return None;
        }
        let dialect = dialect_of(request.uri(), request.headers());
        let id = RequestId::new();
        if self.allowed.is_none() {
            let message = "pages of this origin may not call: [server] cors does not name it";
            let mut refused = Refusal(Error::new(Code::Forbidden, message)).answer_in(dialect, id);
            self.mark(refused.headers_mut());
            return Some(refused);
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        put_id(headers, id, dialect);
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
        // No cookie counts here, so a header that a page sends proves nothing and may be any.
        if let Some(wanted) = request.headers().get(ACCESS_CONTROL_REQUEST_HEADERS) {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
            headers.append(VARY, HeaderValue::from_static("access-control-request-headers"));
        }
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(REMEMBERED));
        self.mark(headers);
        Some(response)
    }

    /// Marks an answer as one that the page may read.
    pub fn mark(&self, headers: &mut HeaderMap) {
        if !self.is_any {
            headers.append(VARY, HeaderValue::from_static("origin"));
        }
        if let Some(origin) = &self.allowed {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        }
    }
}
