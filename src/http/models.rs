//! `GET /v1/models`: what a key may call.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use serde::Serialize;

use super::auth::Anyone;
use super::error::Refusal;
use crate::app::App;
use crate::chat::{Code, Error};
use crate::gateway::{ModelCard, models};
use crate::types::RequestId;
use crate::wire::DialectId;

/// OpenAI's list.
#[derive(Serialize)]
pub struct List {
    object: &'static str,
    data: Vec<ModelCard>,
}

/// Anthropic's list.
#[derive(Serialize)]
struct AnthropicList {
    data: Vec<AnthropicModel>,
    has_more: bool,
    first_id: Option<Arc<str>>,
    last_id: Option<Arc<str>>,
}

/// A model as Anthropic's SDKs read it.
#[derive(Clone, Serialize)]
struct AnthropicModel {
    r#type: &'static str,
    id: Arc<str>,
    display_name: Arc<str>,
    created_at: &'static str,
    lifecycle: &'static str,
}

impl AnthropicModel {
    fn of(card: &ModelCard) -> Self {
        let (id, display_name) = (card.id.clone(), card.id.clone());
        // When a provider got a model is not known; OpenAI's form has the epoch too.
        Self { r#type: "model", id, display_name, created_at: "1970-01-01T00:00:00Z", lifecycle: "active" }
    }
}

/// Whether the caller is one of Anthropic's SDKs.
fn speaks_anthropic(headers: &HeaderMap) -> bool {
    headers.contains_key("anthropic-version")
}

/// `GET /v1/models`.
pub async fn list(State(app): State<App>, Anyone(key): Anyone, headers: HeaderMap) -> Response {
    let data = models(app.gateway(), &key);
    if !speaks_anthropic(&headers) {
        return Json(List { object: "list", data }).into_response();
    }
    let data: Vec<_> = data.iter().map(AnthropicModel::of).collect();
    let id = |model: Option<&AnthropicModel>| model.map(|model| model.id.clone());
    let (first_id, last_id) = (id(data.first()), id(data.last()));
    Json(AnthropicList { data, has_more: false, first_id, last_id }).into_response()
}

/// `GET /v1/models/{id}`.
pub async fn one(State(app): State<App>, Anyone(key): Anyone, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let found = models(app.gateway(), &key).into_iter().find(|card| *card.id == *id);
    let id: String = id.chars().take(200).collect();
    let anthropic = speaks_anthropic(&headers);
    match found {
        Some(card) if anthropic => Json(AnthropicModel::of(&card)).into_response(),
        Some(card) => Json(card).into_response(),
        None => {
            let refusal = Refusal(Error::new(Code::ModelNotFound, format!("there is no model `{id}`")).at("model"));
            refusal.answer_in(if anthropic { DialectId::Anthropic } else { DialectId::OpenAiChat }, RequestId::new())
        }
    }
}
