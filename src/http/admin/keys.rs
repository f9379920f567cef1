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
use crate::keys::{KeyPatch, NewKey, Role, VirtualKey};
use crate::prompts::{halves, model_name, prompt_of};
use crate::types::{Secret, did_you_mean, nearest, now, parse_duration};

type Answer<T> = Result<T, Refusal>;

/// How long a look at the keys waits for what another process changed.
const LOOK: Duration = Duration::from_secs(1);

/// Reads what another process changed, such as a command beside the gateway; what is known does where that cannot be read.
async fn look_again(app: &App) {
    if let Ok(Err(error)) = tokio::time::timeout(LOOK, app.keys().refresh()).await {
        tracing::warn!(%error, "cannot read the keys again");
    }
}

/// `GET /keys`.
pub async fn list(State(app): State<App>, _admin: Admin) -> Answer<Json<Value>> {
    look_again(&app).await;
    Ok(Json(json!({"rows": app.keys().list(), "next_cursor": null})))
}

/// `GET /keys/{id}`.
pub async fn one(State(app): State<App>, _admin: Admin, Path(id): Path<String>) -> Answer<Json<Value>> {
    look_again(&app).await;
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
    let mut row = with_secret(&key, &secret);
    row["warnings"] = warnings(&app, &key).into();
    Ok((StatusCode::CREATED, Json(row)))
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
    let key = app.keys().patch(&id, patch, now()).await?;
    let mut row = json!(*key);
    row["warnings"] = warnings(&app, &key).into();
    Ok(Json(row))
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

/// What is no mistake of a key, and likely to surprise its owner.
fn warnings(app: &App, key: &VirtualKey) -> Vec<Value> {
    let row = |key: &str, problem: String, fix: &str| json!({"key": key, "problem": problem, "fix": fix});
    let mut found = Vec::new();
    let ids: Vec<_> = app.keys().namesakes(key, now()).iter().map(|other| other.id.to_string()).collect();
    if !ids.is_empty() {
        let problem = format!("another live key of the project has the name `{}`: {}", key.name, ids.join(", "));
        found.push(row("name", problem, "give one another name, or revoke the one that is not needed"));
    }
    if key.allows(Role::App) && app.keys().limit_of(key).is_none() {
        found.push(row("requests_per_minute", "no limit".to_owned(), "--rpm 600 sets requests a minute"));
    }
    for model in key.models.iter().flatten() {
        if let Some(problem) = unknown(app, model.as_str()) {
            found.push(row("models", problem, "name what GET /v1/models lists, or add it to the configuration"));
        }
    }
    found
}

/// What is wrong with a name that a key may call, where nothing has it. Without providers nothing is known of any name.
fn unknown(app: &App, model: &str) -> Option<String> {
    let live = app.gateway().live();
    if live.clients.is_empty() {
        return None;
    }
    if let Some(reference) = prompt_of(model) {
        let (name, _) = halves(reference);
        let names: Vec<String> = app.prompts().names().iter().map(ToString::to_string).collect();
        if name == "*" || names.iter().any(|known| known == name) {
            return None;
        }
        let near = nearest(name, names.iter().map(String::as_str)).and_then(|near| near.parse().ok());
        let near = near.map_or_else(String::new, |near| format!("; did you mean `{}`?", model_name(&near)));
        return Some(format!("there is no prompt `{name}`{near}"));
    }
    if live.routes.known(model).is_some() || live.routes.target(model).is_some() {
        return None;
    }
    let near = did_you_mean(model, live.routes.models().iter().map(|name| &**name));
    Some(format!("no model has the name `{model}`, and no route lists it{near}"))
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
