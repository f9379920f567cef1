//! The prompt registry.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use http::header::IF_MATCH;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::body::read;
use crate::app::App;
use crate::chat::{Code, Error, PromptMessage};
use crate::http::auth::{Editor, Viewer};
use crate::http::error::Refusal;
use crate::keys::{Role, VirtualKey};
use crate::prompts::{Author, LabelChange, Move, Prompt, Saved, Selector, Submission, Target, Version};
use crate::types::{BadName, Label, PromptName, now};

type Answer<T> = Result<T, Refusal>;

/// How long a prompt's reading or rendering may wait for a thread of the pool, and run there.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs what parses and renders templates off the threads that serve calls.
async fn aside<T: Send + 'static, E: Into<Error> + Send + 'static>(
    app: &App,
    piece: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Answer<T> {
    let done = app.pool().run(PATIENCE, piece).await;
    let done = done.map_err(|error| Error::new(Code::Overloaded, format!("the prompt cannot be read: {error}")))?;
    Ok(done.map_err(Into::into)?)
}

fn named(name: &str) -> Result<PromptName, Error> {
    name.parse().map_err(|error: BadName| Error::field("name", error.to_string()))
}

fn author(key: &VirtualKey) -> Author {
    Author { key_id: key.id.to_string(), name: key.name.to_string(), admin: key.allows(Role::Admin) }
}

fn version_row(prompt: &Prompt, version: &Version) -> Answer<Json<Value>> {
    let labels = prompt.labels_of(version.version);
    Ok(Json(version.to_json(&labels)?))
}

/// `GET /prompts`.
pub async fn list(State(app): State<App>, _viewer: Viewer) -> Answer<Json<Value>> {
    let prompts = app.prompts().list();
    let read = move || Ok::<_, Error>(prompts.iter().map(|prompt| prompt.to_json()).collect::<Vec<Value>>());
    let rows = aside(&app, read).await?;
    Ok(Json(json!({"rows": rows, "next_cursor": null})))
}

/// `GET /prompts/{name}`.
pub async fn one(State(app): State<App>, _viewer: Viewer, Path(name): Path<String>) -> Answer<Json<Value>> {
    Ok(Json(app.prompts().get(&named(&name)?)?.to_json()))
}

/// `POST /prompts`: a prompt and its version 1.
pub async fn create(
    State(app): State<App>,
    Editor(key): Editor,
    headers: HeaderMap,
    body: Body,
) -> Answer<(StatusCode, Json<Value>)> {
    let body: Value = read(&headers, body).await?;
    let (name, submission) = aside(&app, move || Submission::named(&body)).await?;
    let saved = app.prompts().create(&name, &submission, &author(&key), now()).await?;
    saved_row(&app, &saved).await
}

/// `POST /prompts/{name}/versions`.
pub async fn add_version(
    State(app): State<App>,
    Editor(key): Editor,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer<(StatusCode, Json<Value>)> {
    let (name, body): (_, Value) = (named(&name)?, read(&headers, body).await?);
    let mut submission = aside(&app, move || Submission::from_json(&body)).await?;
    submission.parent = submission.parent.or(if_match(&headers)?);
    let saved = app.prompts().add_version(&name, &submission, &author(&key), now()).await?;
    saved_row(&app, &saved).await
}

/// The version that `If-Match: "3"` says the change began from.
fn if_match(headers: &HeaderMap) -> Result<Option<u32>, Error> {
    let Some(value) = headers.get(IF_MATCH) else { return Ok(None) };
    let version = value.to_str().ok().and_then(|text| text.trim().trim_matches('"').parse().ok());
    let wrong = || Error::field("if-match", "If-Match must be the number of a version, such as \"3\"");
    version.map(Some).ok_or_else(wrong)
}

async fn saved_row(app: &App, saved: &Saved) -> Answer<(StatusCode, Json<Value>)> {
    let version = saved.version.clone();
    // Its first call finds it parsed.
    aside(app, move || version.parse()).await?;
    let prompt = app.prompts().get(&saved.version.name)?;
    let status = if saved.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, version_row(&prompt, &saved.version)?))
}

/// `GET /prompts/{name}/versions`, newest first.
pub async fn versions(State(app): State<App>, _viewer: Viewer, Path(name): Path<String>) -> Answer<Json<Value>> {
    let prompt = app.prompts().get(&named(&name)?)?;
    let read = move || {
        let row = |version: &Arc<Version>| version.to_json(&prompt.labels_of(version.version));
        prompt.versions.iter().rev().map(row).collect::<Result<Vec<Value>, _>>()
    };
    let rows = aside(&app, read).await?;
    Ok(Json(json!({"rows": rows, "next_cursor": null})))
}

/// `GET /prompts/{name}/versions/{n}`; a label does as well.
pub async fn version(
    State(app): State<App>,
    _viewer: Viewer,
    Path((name, n)): Path<(String, String)>,
) -> Answer<Json<Value>> {
    let name = named(&name)?;
    let version = app.prompts().resolve(&name, &n.parse::<Selector>()?)?;
    version_row(&*app.prompts().get(&name)?, &version)
}

/// `PUT /prompts/{name}/labels/{label}`.
pub async fn set_label(
    State(app): State<App>,
    Editor(key): Editor,
    Path((name, label)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Answer<Json<Value>> {
    let name = named(&name)?;
    let label: Label = label.parse().map_err(|error: BadName| Error::field("label", error.to_string()))?;
    let change = LabelChange::from_json(label.clone(), &read(&headers, body).await?)?;
    app.prompts().set_label(&name, &change, &author(&key), now()).await?;
    let prompt = app.prompts().get(&name)?;
    let state = prompt.labels.get(&label);
    Ok(Json(json!({
        "name": name, "label": label,
        "version": state.and_then(|state| state.targets.first()).map(|target| target.version),
        "protected": state.is_some_and(|state| state.protected),
    })))
}

/// `GET /prompts/{name}/labels/{label}/history`, newest first.
pub async fn label_history(
    State(app): State<App>,
    _viewer: Viewer,
    Path((name, label)): Path<(String, String)>,
) -> Answer<Json<Value>> {
    let label: Label = label.parse().map_err(|error: BadName| Error::field("label", error.to_string()))?;
    let moves = app.prompts().label_history(&named(&name)?, &label).await?;
    let rows: Vec<Value> = moves.iter().map(move_row).collect();
    Ok(Json(json!({"rows": rows, "next_cursor": null})))
}

fn move_row(change: &Move) -> Value {
    let version = |targets: &[Target]| targets.first().map(|target| target.version);
    json!({
        "from": change.before.as_deref().and_then(version), "version": version(&change.after),
        "protected": change.protected, "reason": change.reason, "author": change.author, "key_id": change.key_id,
        "at": change.at,
    })
}

/// Two versions.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Two {
    from: String,
    to: String,
}

/// `GET /prompts/{name}/diff?from=1&to=2`; labels do as well.
pub async fn diff(
    State(app): State<App>,
    _viewer: Viewer,
    Path(name): Path<String>,
    Query(two): Query<Two>,
) -> Answer<Json<Value>> {
    let (from, to) = (two.from.parse::<Selector>()?, two.to.parse::<Selector>()?);
    let (registry, name) = (app.prompts().clone(), named(&name)?);
    let diff = aside(&app, move || registry.diff(&name, &from, &to)).await?;
    Ok(Json(json!(diff)))
}

/// What to render.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rendering {
    #[serde(default)]
    version: Option<u32>,
    #[serde(default)]
    label: Option<String>,
    #[serde(default)]
    variables: Map<String, Value>,
}

/// `POST /prompts/{name}/render`.
pub async fn render(
    State(app): State<App>,
    _viewer: Viewer,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer<Json<Value>> {
    let Rendering { version, label, variables } = read(&headers, body).await?;
    let selector = match (version, label) {
        (Some(version), None) => Selector::Version(version),
        (None, Some(label)) => label.parse()?,
        (None, None) => Selector::Default,
        (Some(_), Some(_)) => return Err(Error::field("label", "name a `version` or a `label`, not both").into()),
    };
    let (registry, name) = (app.prompts().clone(), named(&name)?);
    let rendered = aside(&app, move || registry.render(&name, &selector, &variables)).await?;
    let messages: Vec<Value> = rendered.messages.iter().map(message).collect();
    Ok(Json(json!({
        "name": rendered.version.name, "version": rendered.version.version, "hash": rendered.version.hash,
        "messages": messages, "tokens": rendered.chars.div_ceil(4), "tokens_estimated": true,
        "settings": rendered.version.settings(), "includes": [],
    })))
}

fn message(message: &PromptMessage) -> Value {
    match message {
        PromptMessage::Text { role, content } => json!({"role": role, "content": content}),
        PromptMessage::Raw(value) => value.clone(),
    }
}
