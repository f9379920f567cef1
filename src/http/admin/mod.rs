//! The admin API, `/api/v1`: a file a noun.

mod cache;
mod keys;
mod prompts;
mod targets;
mod usage;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde::de::DeserializeOwned;

use super::auth::Anyone;
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

/// `GET /api/openapi.json`: these routes as OpenAPI 3.1 describes them.
pub async fn openapi(_anyone: Anyone) -> Response {
    ([(CONTENT_TYPE, "application/json")], include_str!("openapi.json")).into_response()
}

/// Reads a JSON body whose unknown fields are refused by its type.
pub(super) async fn read<T: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<T, Refusal> {
    let bytes: Bytes = read_body(headers, body, MAX_BODY).await?;
    let bytes = if bytes.is_empty() { Bytes::from_static(b"{}") } else { bytes };
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(Error::new(Code::InvalidRequest, "the body must be a JSON object").into());
    }
    let mut reader = serde_json::Deserializer::from_slice(&bytes);
    let read = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let (path, message) = (error.path().to_string(), error.inner().to_string());
        unreadable(&path, &message)
    })?;
    reader.end().map_err(|error| unreadable(".", &error.to_string()))?;
    Ok(read)
}

/// Names the field at fault: the one that the message names, or else the one that was read.
fn unreadable(path: &str, message: &str) -> Refusal {
    let named = message.split('`').nth(1).filter(|_| message.contains("field"));
    let field = named.or(Some(path).filter(|path| *path != "."));
    let error = |message: String| Error::new(Code::InvalidRequest, message);
    Refusal(match field {
        Some(field) if named.is_none() => error(format!("`{field}` cannot be read: {message}")).at(field),
        Some(field) => error(format!("the body cannot be read: {message}")).at(field),
        None => error(format!("the body cannot be read: {message}")),
    })
}
