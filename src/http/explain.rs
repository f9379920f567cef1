//! `POST /v1/explain`: what a request would get.

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::data::{self, EndpointCall};
use super::error::Refusal;
use crate::app::App;
use crate::gateway::Unexplained;
use crate::types::RequestId;
use crate::wire::DialectId;
use crate::wire::dialect::Addressed;
use crate::wire::endpoint::Endpoint;

/// `POST /v1/explain`.
pub async fn explain(State(app): State<App>, request: Request) -> Response {
    let id = RequestId::new();
    let called = EndpointCall { endpoint: Endpoint::default(), addressed: Addressed::default() };
    let peer = request.extensions().get().copied();
    let explained = match data::admit(&app, id, called, request, peer).await {
        Ok((incoming, _window)) => app.gateway().explain(incoming).await,
        Err(unadmitted) => Err(unadmitted.error.into()),
    };
    match explained {
        Ok(explanation) => Json(explanation).into_response(),
        Err(refused) => refusal(refused, id),
    }
}

/// The error, with the rules beside it where they are known. A caller of another dialect than OpenAI's gets the error alone.
fn refusal(Unexplained { error, trace }: Unexplained, id: RequestId) -> Response {
    let body = DialectId::OpenAiChat.codec().error_body(&error, id.text().as_str());
    let mut response = Refusal(*error).answer(id);
    if let Some(trace) = trace
        && let Ok(mut body) = serde_json::from_slice::<Value>(&body)
    {
        body["trace"] = json!(trace);
        *response.body_mut() = Body::from(body.to_string());
    }
    response
}
