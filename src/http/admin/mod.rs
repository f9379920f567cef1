//! The admin API, `/api/v1`: a file a noun.

mod body;
mod cache;
mod datasets;
mod experiments;
mod feedback;
mod keys;
mod prompts;
mod shadows;
mod targets;
mod texts;
mod usage;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use http::header::CONTENT_TYPE;

use super::auth::Anyone;
use super::key::own;
use crate::app::App;

pub(super) use body::read_of;

/// The admin API's routes.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/key", get(own))
        .route("/keys", get(keys::list).post(keys::create))
        .route("/keys/{id}", get(keys::one).patch(keys::change).delete(keys::revoke))
        .route("/keys/{id}/rotate", post(keys::rotate))
        .route("/projects", get(keys::projects).post(keys::add_project))
        .route("/prompts", get(prompts::list).post(prompts::create))
        .route("/prompts/{name}", get(prompts::one).patch(prompts::change).delete(prompts::archive))
        .route("/prompts/{name}/versions", get(prompts::versions).post(prompts::add_version))
        .route("/prompts/{name}/versions/{n}", get(prompts::version))
        .route("/prompts/{name}/labels/{label}", put(prompts::set_label).delete(prompts::remove_label))
        .route("/prompts/{name}/history", get(prompts::history))
        .route("/prompts/{name}/labels/{label}/history", get(prompts::label_history))
        .route("/prompts/{name}/diff", get(prompts::diff))
        .route("/prompts/{name}/render", post(prompts::render))
        .route("/experiments", get(experiments::list).post(experiments::create))
        .route("/experiments/{name}", get(experiments::one))
        .route("/experiments/{name}/start", post(experiments::start))
        .route("/experiments/{name}/stop", post(experiments::stop))
        .route("/usage", get(usage::report))
        .route("/requests", get(usage::requests))
        .route("/requests/{id}", get(usage::request))
        .route("/requests/{id}/body", get(texts::one).delete(texts::erase_one))
        .route("/datasets", get(datasets::list).post(datasets::create))
        .route("/datasets/{name}", get(datasets::one))
        .route("/datasets/{name}/items", get(datasets::items).post(datasets::import))
        .route("/datasets/{name}/export", get(datasets::export))
        .route("/feedback", get(feedback::list))
        .route("/shadows", get(shadows::list))
        .route("/bodies", get(texts::export).delete(texts::erase))
        .route("/providers", get(targets::providers))
        .route("/models", get(targets::models))
        .route("/routes", get(targets::routes))
        .route("/health", get(targets::health))
        .route("/cache", get(cache::stats))
        .route("/cache/purge", post(cache::purge))
}

/// `GET /api/openapi.json`: these routes as OpenAPI 3.1 describes them.
pub async fn openapi(_anyone: Anyone) -> Response {
    ([(CONTENT_TYPE, "application/json")], include_str!("openapi.json")).into_response()
}
