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
use crate::app::{App, unanswered};
use crate::chat::{Code, Error, PromptMessage};
use crate::http::auth::{Editor, Viewer};
use crate::http::error::Refusal;
use crate::keys::{Role, VirtualKey};
use crate::prompts::{Author, LabelChange, Move, Prompt, Saved, Selector, Submission, Target, Version};
use crate::types::{BadName, Diagnostic, Label, PromptName, now};

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

/// The header by which whoever acts with a shared key gives a name. The key's id is written down beside it.
const AUTHOR: &str = "x-fulcrum-author";

/// The longest name of an author, in characters.
const LONGEST_AUTHOR: usize = 100;

fn author(key: &VirtualKey, headers: &HeaderMap) -> Result<Author, Error> {
    let name = match headers.get(AUTHOR).map(|value| str::from_utf8(value.as_bytes()).map(str::trim)) {
        None | Some(Ok("")) => key.name.to_string(),
        Some(Ok(name)) if name.chars().count() <= LONGEST_AUTHOR => name.to_owned(),
        Some(_) => {
            let message = format!("must be a name of at most {LONGEST_AUTHOR} characters");
            return Err(Error::field(AUTHOR, format!("{AUTHOR} {message}")));
        }
    };
    Ok(Author { key_id: key.id.to_string(), name, admin: key.allows(Role::Admin) })
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
    let read = move || Submission::named(&body).map(|(name, submission)| (name, Submitted::new(submission)));
    let (name, submitted) = aside(&app, read).await?;
    let saved = app.prompts().create(&name, &submitted.submission, &author(&key, &headers)?, now()).await?;
    saved_row(&app, &saved, submitted.warnings(&app, &name, false)).await
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
    let mut submitted = aside(&app, move || Submission::from_json(&body).map(Submitted::new)).await?;
    let submission = &mut submitted.submission;
    submission.parent = submission.parent.or(if_match(&headers)?);
    let prompt = app.prompts().get(&name)?;
    let newest = prompt.versions.last().cloned();
    let had_tests = move || Ok::<_, Error>(newest.is_some_and(|newest| newest.has_tests()));
    let drops_tests = submission.draft.tests.is_empty() && aside(&app, had_tests).await?;
    let saved = app.prompts().add_version(&name, submission, &author(&key, &headers)?, now()).await?;
    saved_row(&app, &saved, submitted.warnings(&app, &name, drops_tests)).await
}

/// A version as it was sent, with what is no mistake of it and likely to surprise.
struct Submitted {
    submission: Submission,
    doubts: Vec<Diagnostic>,
}

impl Submitted {
    fn new(submission: Submission) -> Self {
        Self { doubts: submission.draft.warnings(), submission }
    }

    fn warnings(self, app: &App, name: &PromptName, drops_tests: bool) -> Vec<Value> {
        let Self { submission, doubts } = self;
        let unanswered = unanswered(&app.gateway().live().routes, name, &submission.draft);
        let dropped = drops_tests.then(|| {
            let problem = "the version before had tests, and this one has none";
            Diagnostic::new("tests", problem).fix("bring them back, unless they are out of date")
        });
        let row = |found: Diagnostic| json!({"key": found.key, "problem": found.problem, "fix": found.fix});
        doubts.into_iter().chain(unanswered).chain(dropped).map(row).collect()
    }
}

/// The version that `If-Match: "3"` says the change began from.
fn if_match(headers: &HeaderMap) -> Result<Option<u32>, Error> {
    let Some(value) = headers.get(IF_MATCH) else { return Ok(None) };
    let version = value.to_str().ok().and_then(|text| text.trim().trim_matches('"').parse().ok());
    let wrong = || Error::field("if-match", "If-Match must be the number of a version, such as \"3\"");
    version.map(Some).ok_or_else(wrong)
}

async fn saved_row(app: &App, saved: &Saved, warnings: Vec<Value>) -> Answer<(StatusCode, Json<Value>)> {
    let version = saved.version.clone();
    // Its first call finds it parsed.
    aside(app, move || version.parse()).await?;
    let prompt = app.prompts().get(&saved.version.name)?;
    let status = if saved.created { StatusCode::CREATED } else { StatusCode::OK };
    let Json(mut row) = version_row(&prompt, &saved.version)?;
    row["created"] = saved.created.into();
    row["warnings"] = warnings.into();
    Ok((status, Json(row)))
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
    let moved = app.prompts().set_label(&name, &change, &author(&key, &headers)?, now()).await?;
    let prompt = app.prompts().get(&name)?;
    let state = prompt.labels.get(&label);
    Ok(Json(json!({
        "name": name, "label": label,
        "version": state.and_then(|state| state.targets.first()).map(|target| target.version),
        "protected": state.is_some_and(|state| state.protected), "moved": moved,
    })))
}

/// `DELETE /prompts/{name}/labels/{label}`.
pub async fn remove_label(
    State(app): State<App>,
    Editor(key): Editor,
    Path((name, label)): Path<(String, String)>,
    Query(why): Query<Why>,
    headers: HeaderMap,
) -> Answer<Json<Value>> {
    let name = named(&name)?;
    let label: Label = label.parse().map_err(|error: BadName| Error::field("label", error.to_string()))?;
    let change = LabelChange::none(label.clone(), why.reason.as_deref().unwrap_or_default());
    let from = app.prompts().resolve(&name, &Selector::Label(label.clone()))?.version;
    app.prompts().set_label(&name, &change, &author(&key, &headers)?, now()).await?;
    Ok(Json(json!({"name": name, "label": label, "from": from, "version": null})))
}

/// Why a change is made.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Why {
    reason: Option<String>,
}

/// Which label's moves.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfLabel {
    label: Option<String>,
}

/// `GET /prompts/{name}/history`, newest first; `?label=` for one label.
pub async fn history(
    State(app): State<App>,
    _viewer: Viewer,
    Path(name): Path<String>,
    Query(OfLabel { label }): Query<OfLabel>,
) -> Answer<Json<Value>> {
    let label = label.map(|label| label.parse::<Label>()).transpose();
    let label = label.map_err(|error: BadName| Error::field("label", error.to_string()))?;
    let moves = app.prompts().history(&named(&name)?, label.as_ref()).await?;
    let rows: Vec<Value> = moves.iter().map(move_row).collect();
    Ok(Json(json!({"rows": rows, "next_cursor": null})))
}

/// `GET /prompts/{name}/labels/{label}/history`, newest first.
pub async fn label_history(
    State(app): State<App>,
    _viewer: Viewer,
    Path((name, label)): Path<(String, String)>,
) -> Answer<Json<Value>> {
    let label: Label = label.parse().map_err(|error: BadName| Error::field("label", error.to_string()))?;
    let moves = app.prompts().history(&named(&name)?, Some(&label)).await?;
    let rows: Vec<Value> = moves.iter().map(move_row).collect();
    Ok(Json(json!({"rows": rows, "next_cursor": null})))
}

fn move_row(change: &Move) -> Value {
    let version = |targets: &[Target]| targets.first().map(|target| target.version);
    json!({
        "label": change.label, "from": change.before.as_deref().and_then(version), "version": version(&change.after),
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
