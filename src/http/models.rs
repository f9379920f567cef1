//! `GET /v1/models`: what a key may call.

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;

use super::auth::Anyone;
use super::error::Refusal;
use crate::app::App;
use crate::chat::{Code, Error};
use crate::gateway::{ModelCard, models};

/// OpenAI's list.
#[derive(Serialize)]
pub struct List {
    object: &'static str,
    data: Vec<ModelCard>,
}

/// `GET /v1/models`.
pub async fn list(State(app): State<App>, Anyone(key): Anyone) -> Json<List> {
    let data = models(app.gateway(), &key);
    Json(List { object: "list", data })
}

/// `GET /v1/models/{id}`.
pub async fn one(
    State(app): State<App>,
    Anyone(key): Anyone,
    Path(id): Path<String>,
) -> Result<Json<ModelCard>, Refusal> {
    let found = models(app.gateway(), &key).into_iter().find(|card| *card.id == *id);
    let id: String = id.chars().take(200).collect();
    found
        .map(Json)
        .ok_or_else(|| Refusal(Error::new(Code::ModelNotFound, format!("there is no model `{id}`")).at("model")))
}
