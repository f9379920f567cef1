//! Whether the gateway lives and is ready, its metrics, and what stands nowhere.

use std::time::Duration;

use axum::extract::State;
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, StatusCode, Uri};

use super::auth::Viewer;
use super::elsewhere;
use super::error::Refusal;
use crate::app::App;
use crate::chat::{Code, Error};
use crate::telemetry::TextForm;

/// What stands at `/`, for a person who opens the address in a browser.
const ROOT: &str = "\
Fulcrum, a gateway between applications and language models.

Programs call it as they call OpenAI (base URL of this address, then /v1), Anthropic (this address) or Gemini (this address).
Every call needs a key of this gateway, which its owner makes: fulcrum key create NAME

GET /health/live, /health/ready   whether it runs, and takes calls
GET /v1/models                    the models that a key may call
GET /api/openapi.json             the admin API
docs/guides in the source         the guides
";

/// `GET /`: what this is, and where to read on.
pub async fn root() -> Response {
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], ROOT).into_response()
}

/// `GET /health/live`: the process answers.
pub async fn live() -> Response {
    answer(StatusCode::OK, r#"{"status":"ok"}"#)
}

/// `GET /health/ready`: new requests are welcome.
pub async fn ready(State(app): State<App>) -> Response {
    if app.is_ready() {
        return answer(StatusCode::OK, r#"{"status":"ok"}"#);
    }
    answer(StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"unavailable"}"#)
}

/// How long the metrics may wait for a thread of the pool, and be written there.
const PATIENCE: Duration = Duration::from_secs(10);

/// `GET /metrics`.
pub async fn metrics(State(app): State<App>, _viewer: Viewer, headers: HeaderMap) -> Result<Response, Refusal> {
    page(app, &headers).await
}

/// The metrics, in the form that the caller asks for. A page may be long, and files are looked at, so no worker writes it.
pub async fn page(app: App, headers: &HeaderMap) -> Result<Response, Refusal> {
    let form = TextForm::asked(headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()));
    let seen = app.clone();
    let text = app.pool().run(PATIENCE, move || form.write(seen.scrape())).await;
    let text = text.map_err(|error| Error::new(Code::Overloaded, format!("the metrics cannot be read: {error}")))?;
    Ok(([(CONTENT_TYPE, form.content_type())], text).into_response())
}

/// What stands nowhere.
pub async fn nothing_here(method: Method, uri: Uri) -> Refusal {
    let path: String = uri.path().chars().take(200).collect();
    let hint = elsewhere::hint(&path);
    Refusal::not_found(format!("there is no {method} {path}{hint}"))
}

/// What stands there for another method.
pub async fn wrong_method(method: Method, uri: Uri) -> Refusal {
    let path: String = uri.path().chars().take(200).collect();
    let hint = match method {
        // A browser asks before a page's call.
        Method::OPTIONS => "; pages in browsers may call where [server] cors names their origin, which is off here",
        _ => "",
    };
    Refusal(Error::new(Code::MethodNotAllowed, format!("{path} does not take {method}{hint}")))
}

fn answer(status: StatusCode, body: &'static str) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}
