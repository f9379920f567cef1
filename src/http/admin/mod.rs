//! The admin API, `/api/v1`: a file a noun.

mod cache;
mod keys;
mod prompts;
mod targets;
mod usage;

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post, put};
use bytes::Bytes;
use http::HeaderMap;
use serde::de::DeserializeOwned;

use super::data::read_body;
use super::error::Refusal;
use crate::app::App;
use crate::chat::{Code, Error};

/// The largest body that an admin route reads.
const MAX_BODY: usize = 1 << 20;

/// The admin API's routes.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/keys", get(keys::list).post(keys::create))
        .route("/keys/{id}", get(keys::one).patch(keys::change).delete(keys::revoke))
        .route("/keys/{id}/rotate", post(keys::rotate))
        .route("/projects", get(keys::projects).post(keys::add_project))
        .route("/prompts", get(prompts::list).post(prompts::create))
        .route("/prompts/{name}", get(prompts::one))
        .route("/prompts/{name}/versions", get(prompts::versions).post(prompts::add_version))
        .route("/prompts/{name}/versions/{n}", get(prompts::version))
        .route("/prompts/{name}/labels/{label}", put(prompts::set_label))
        .route("/prompts/{name}/labels/{label}/history", get(prompts::label_history))
        .route("/prompts/{name}/diff", get(prompts::diff))
        .route("/prompts/{name}/render", post(prompts::render))
        .route("/usage", get(usage::report))
        .route("/requests", get(usage::requests))
        .route("/requests/{id}", get(usage::request))
        .route("/providers", get(targets::providers))
        .route("/models", get(targets::models))
        .route("/routes", get(targets::routes))
        .route("/health", get(targets::health))
        .route("/cache", get(cache::stats))
        .route("/cache/purge", post(cache::purge))
}

/// Reads a JSON body whose unknown fields are refused by its type.
async fn read<T: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<T, Refusal> {
    let bytes: Bytes = read_body(headers, body, MAX_BODY).await?;
    let bytes = if bytes.is_empty() { Bytes::from_static(b"{}") } else { bytes };
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(Error::new(Code::InvalidRequest, "the body must be a JSON object").into());
    }
    serde_json::from_slice(&bytes).map_err(|error| {
        let message = error.to_string();
        let field = message.split('`').nth(1).filter(|_| message.contains("field"));
        let error = Error::new(Code::InvalidRequest, format!("the body cannot be read: {message}"));
        Refusal(match field {
            Some(field) => error.at(field),
            None => error,
        })
    })
}
