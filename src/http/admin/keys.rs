//! Virtual keys and projects.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::read;
use crate::app::App;
use crate::chat::Error;
use crate::http::auth::Admin;
use crate::http::error::Refusal;
use crate::keys::{KeyPatch, NewKey, VirtualKey};
use crate::types::{Secret, now, parse_duration};

type Answer<T> = Result<T, Refusal>;

/// `GET /keys`.
pub async fn list(State(app): State<App>, _admin: Admin) -> Answer<Json<Value>> {
    Ok(Json(json!({"rows": app.keys().list(), "next_cursor": null})))
}

/// `GET /keys/{id}`.
pub async fn one(State(app): State<App>, _admin: Admin, Path(id): Path<String>) -> Answer<Json<Value>> {
    Ok(Json(json!(*app.keys().get(&id)?)))
}

/// `POST /keys`.
pub async fn create(
    State(app): State<App>,
    _admin: Admin,
    headers: HeaderMap,
    body: Body,
) -> Answer<(StatusCode, Json<Value>)> {
    let new: NewKey = read(&headers, body).await?;
    let (key, secret) = app.keys().create(new, now()).await?;
    Ok((StatusCode::CREATED, Json(with_secret(&key, &secret))))
}

/// `PATCH /keys/{id}`.
pub async fn change(
    State(app): State<App>,
    _admin: Admin,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer<Json<Value>> {
    let patch: KeyPatch = read(&headers, body).await?;
    Ok(Json(json!(*app.keys().patch(&id, patch, now()).await?)))
}

/// `DELETE /keys/{id}`.
pub async fn revoke(State(app): State<App>, _admin: Admin, Path(id): Path<String>) -> Answer<Json<Value>> {
    Ok(Json(json!(*app.keys().revoke(&id, now()).await?)))
}

/// How to rotate.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotation {
    #[serde(default)]
    grace: Option<String>,
}

/// `POST /keys/{id}/rotate`.
pub async fn rotate(
    State(app): State<App>,
    _admin: Admin,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer<Json<Value>> {
    let rotation: Rotation = read(&headers, body).await?;
    let grace = rotation.grace.as_deref().map(read_grace).transpose()?;
    let (key, secret) = app.keys().rotate(&id, grace, now()).await?;
    Ok(Json(with_secret(&key, &secret)))
}

fn read_grace(text: &str) -> Result<Duration, Error> {
    parse_duration(text).ok_or_else(|| Error::field("grace", "`grace` must be a duration such as 10m"))
}

/// The key's row with its secret, which is shown only once.
fn with_secret(key: &VirtualKey, secret: &Secret) -> Value {
    let mut row = json!(key);
    row["key"] = secret.expose().into();
    row
}

/// `GET /projects`.
pub async fn projects(State(app): State<App>, _admin: Admin) -> Answer<Json<Value>> {
    Ok(Json(json!({"rows": app.keys().projects().await?, "next_cursor": null})))
}

/// A project to make.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewProject {
    name: String,
}

/// `POST /projects`.
pub async fn add_project(
    State(app): State<App>,
    _admin: Admin,
    headers: HeaderMap,
    body: Body,
) -> Answer<(StatusCode, Json<Value>)> {
    let project: NewProject = read(&headers, body).await?;
    app.keys().add_project(&project.name, now()).await?;
    Ok((StatusCode::CREATED, Json(json!({"name": project.name}))))
}
