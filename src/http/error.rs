//! Errors as answers.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::client::dialect_of;
use crate::chat::{Code, Error};
use crate::types::RequestId;
use crate::wire::DialectId;

/// The header that names the request.
pub static REQUEST_ID: HeaderName = HeaderName::from_static("x-fulcrum-request-id");

/// The names under which OpenAI's and Anthropic's SDKs read that id.
static OPENAI_ID: HeaderName = HeaderName::from_static("x-request-id");
static ANTHROPIC_ID: HeaderName = HeaderName::from_static("request-id");

/// The header that makes an SDK not retry.
pub static SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// The most bytes of a refusal of axum's own.
const LONGEST_REFUSAL: usize = 4 << 10;

/// Why a request failed, for a command that asks in this process; it goes out to nobody.
#[derive(Clone, Debug)]
pub struct Detail(pub String);

/// An error that ends a request of the admin API, or one that was not admitted.
#[derive(Debug)]
pub struct Refusal(pub Error);

impl<E: Into<Error>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl Refusal {
    /// A 404 for what is not there.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self(Error::new(Code::NotFound, message))
    }

    /// The answer to the request `id`, in OpenAI's shape until [`guard`] knows the caller's dialect.
    pub fn answer(self, id: RequestId) -> Response {
        let mut response = self.answer_in(DialectId::OpenAiChat, id);
        response.extensions_mut().insert(Refused { error: Arc::new(self.0), id });
        response
    }

    /// The answer to the request `id`, as a dialect's callers read it.
    pub fn answer_in(&self, dialect: DialectId, id: RequestId) -> Response {
        let Self(error) = self;
        if let Some(detail) = &error.detail {
            tracing::error!(request = %id.text().as_str(), "{} {detail}", error.message);
        }
        let body = dialect.codec().error_body(error, id.text().as_str());
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if let Some(detail) = error.detail.clone() {
            response.extensions_mut().insert(Detail(detail));
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        put_id(headers, id, dialect);
        if let Some(wait) = error.retry_after {
            headers.insert(RETRY_AFTER, seconds(wait));
        }
        if error.is_final() {
            headers.insert(SHOULD_RETRY.clone(), HeaderValue::from_static("false"));
        }
        if error.code == Code::InvalidApiKey {
            headers.insert(http::header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.answer(RequestId::new())
    }
}

/// An answer, or a 500 where making it panics: a fault in one request ends no other.
pub fn guarded(
    id: RequestId,
    dialect: DialectId,
    answer: impl Future<Output = Response>,
) -> impl Future<Output = Response> {
    AssertUnwindSafe(answer).catch_unwind().map(move |answer| {
        answer.unwrap_or_else(|_panic| {
            tracing::error!(%id, "a request panicked; the panic's own lines say where");
            let error = Error::new(Code::Internal, "the gateway failed on this request; its log says why");
            Refusal(error).answer_in(dialect, id)
        })
    })
}

/// The error that an answer reports, for whoever writes that answer in another dialect.
#[derive(Clone)]
struct Refused {
    error: Arc<Error>,
    id: RequestId,
}

/// [`guarded`], for all that comes by the router. An error is written in the dialect of the caller's client.
pub async fn guard(request: Request, next: Next) -> Response {
    let dialect = dialect_of(request.uri(), request.headers());
    let response = guarded(RequestId::new(), dialect, next.run(request)).await;
    let mut response = named(response, dialect).await;
    if dialect != DialectId::OpenAiChat
        && let Some(Refused { error, id }) = response.extensions_mut().remove::<Refused>()
    {
        *response.body_mut() = Body::from(dialect.codec().error_body(&error, id.text().as_str()));
        response.headers_mut().remove(CONTENT_LENGTH);
        put_id(response.headers_mut(), id, dialect);
    }
    response
}

/// Puts a request's id where our own callers and the SDKs read it.
pub fn put_id(headers: &mut HeaderMap, id: RequestId, dialect: DialectId) {
    let Ok(id) = HeaderValue::from_str(id.text().as_str()) else { return };
    if dialect == DialectId::Anthropic {
        headers.insert(ANTHROPIC_ID.clone(), id.clone());
    }
    headers.insert(OPENAI_ID.clone(), id.clone());
    headers.insert(REQUEST_ID.clone(), id);
}

/// An answer with an id of its own where it has none, and in our shape where it is a refusal of axum's own: a path or a query
/// that its extractors cannot read.
async fn named(mut response: Response, dialect: DialectId) -> Response {
    if response.status() == StatusCode::BAD_REQUEST && !response.headers().get(CONTENT_TYPE).is_some_and(is_json) {
        let text = axum::body::to_bytes(response.into_body(), LONGEST_REFUSAL).await.unwrap_or_default();
        let message: String = String::from_utf8_lossy(&text).chars().take(400).collect();
        let field = message.split('`').nth(1).map(str::to_owned);
        let error = Error { param: field, ..Error::new(Code::InvalidRequest, message) };
        response = Refusal(error).into_response();
    }
    if !response.headers().contains_key(&REQUEST_ID) {
        put_id(response.headers_mut(), RequestId::new(), dialect);
    }
    response
}

fn is_json(kind: &HeaderValue) -> bool {
    kind.as_bytes().starts_with(b"application/json")
}

/// A wait in whole seconds, at least one.
pub fn seconds(wait: std::time::Duration) -> HeaderValue {
    let whole = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    HeaderValue::from(whole.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_500_of_that_request() {
        let id = RequestId::new();
        let answer = guarded(id, DialectId::Anthropic, async { panic!("a handler's own fault") }).await;
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(answer.headers().get(&REQUEST_ID).unwrap(), id.text().as_str());
        let body = axum::body::to_bytes(answer.into_body(), 4_096).await.unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert!(text.contains("api_error") && !text.contains("own fault"), "{text}");
    }
}
