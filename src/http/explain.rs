//! `POST /v1/explain`: what a request would get.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};

use super::data::{self, EndpointCall};
use super::error::Refusal;
use crate::app::App;
use crate::types::RequestId;
use crate::wire::dialect::Addressed;
use crate::wire::endpoint::Endpoint;

/// `POST /v1/explain`.
pub async fn explain(State(app): State<App>, request: Request) -> Response {
    let id = RequestId::new();
    let called = EndpointCall { endpoint: Endpoint::default(), addressed: Addressed::default() };
    let peer = request.extensions().get().copied();
    let explained = match data::admit(&app, id, called, request, peer).await {
        Ok((incoming, _window)) => app.gateway().explain(incoming).await,
        Err(unadmitted) => Err(unadmitted.error),
    };
    match explained {
        Ok(explanation) => Json(explanation).into_response(),
        Err(error) => Refusal(error).answer(id),
    }
}
