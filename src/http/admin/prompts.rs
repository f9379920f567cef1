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
use crate::prompts::{
    Author, LabelChange, Move, Prompt, PromptChange, Saved, Selector, Side, Submission, Target, Version, halves,
    prompt_of as model_prompt,
};
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

pub(super) fn author(key: &VirtualKey, headers: &HeaderMap) -> Result<Author, Error> {
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

/// How long a look at the prompts waits for what another process changed.
const LOOK: Duration = Duration::from_secs(1);

/// Reads what another process changed, such as a command beside the gateway; what is known does where that cannot be read.
async fn look_again(app: &App) {
    if let Ok(Err(error)) = tokio::time::timeout(LOOK, app.prompts().refresh()).await {
        tracing::warn!(%error, "cannot read the prompts again");
    }
}

/// The prompt of this name, as the database has it now.
async fn prompt_of(app: &App, name: &str) -> Answer<Arc<Prompt>> {
    let name = named(name)?;
    look_again(app).await;
    Ok(app.prompts().get(&name)?)
}

/// Which prompts are listed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listing {
    /// Archived ones too.
    #[serde(default)]
    archived: bool,
}

/// `GET /prompts`; `?archived=true` lists archived ones too.
pub async fn list(
    State(app): State<App>,
    _viewer: Viewer,
    Query(Listing { archived }): Query<Listing>,
) -> Answer<Json<Value>> {
    look_again(&app).await;
    let mut prompts = app.prompts().list();
    prompts.retain(|prompt| archived || prompt.archived_at.is_none());
    let read = move || Ok::<_, Error>(prompts.iter().map(|prompt| prompt.to_json()).collect::<Vec<Value>>());
    let rows = aside(&app, read).await?;
    Ok(Json(json!({"rows": rows, "next_cursor": null})))
}

/// `GET /prompts/{name}`.
pub async fn one(State(app): State<App>, _viewer: Viewer, Path(name): Path<String>) -> Answer<Json<Value>> {
    Ok(Json(prompt_of(&app, &name).await?.to_json()))
}

/// A change of a whole prompt.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Patch {
    /// Another name.
    #[serde(default)]
    name: Option<String>,
    /// Whether it is archived.
    #[serde(default)]
    archived: Option<bool>,
    #[serde(default)]
    reason: String,
}

/// `PATCH /prompts/{name}`: renames it, archives it, or takes it out of the archive.
pub async fn change(
    State(app): State<App>,
    Editor(key): Editor,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer<Json<Value>> {
    let Patch { name: to, archived, reason } = read(&headers, body).await?;
    let (mut prompt, author, now) = (prompt_of(&app, &name).await?, author(&key, &headers)?, now());
    let mut changed = false;
    if to.is_none() && archived.is_none() {
        return Err(Error::field("name", "name what to change: `name` or `archived`").into());
    }
    if let Some(archived) = archived {
        changed |= app.prompts().archive(&prompt.name, archived, &reason, (&author, now)).await?;
    }
    let mut warnings = Vec::new();
    if let Some(to) = to {
        let to = named(&to)?;
        changed |= app.prompts().rename(&prompt.name, &to, &reason, (&author, now)).await?;
        warnings = left_behind(&app, &prompt.name, &to);
        prompt = app.prompts().get(&to)?;
    }
    let mut row = app.prompts().get(&prompt.name)?.to_json();
    row["changed"] = changed.into();
    row["warnings"] = warnings.into();
    Ok(Json(row))
}

/// `DELETE /prompts/{name}`: archives it, since its versions and its history stay.
pub async fn archive(
    State(app): State<App>,
    Editor(key): Editor,
    Path(name): Path<String>,
    Query(why): Query<Why>,
    headers: HeaderMap,
) -> Answer<Json<Value>> {
    let prompt = prompt_of(&app, &name).await?;
    let reason = why.reason.unwrap_or_default();
    let changed = app.prompts().archive(&prompt.name, true, &reason, (&author(&key, &headers)?, now())).await?;
    let mut row = app.prompts().get(&prompt.name)?.to_json();
    row["changed"] = changed.into();
    Ok(Json(row))
}

/// What still says the old name of a prompt that was renamed.
fn left_behind(app: &App, old: &PromptName, new: &PromptName) -> Vec<Value> {
    let row = |key: &str, problem: String, fix: String| json!({"key": key, "problem": problem, "fix": fix});
    let mut found = Vec::new();
    if old == new {
        return found;
    }
    let names_it = |model: &str| model_prompt(model).is_some_and(|reference| halves(reference).0 == old.as_str());
    for key in app.keys().list().iter().filter(|key| key.is_live(now())) {
        if key.models.iter().flatten().any(|model| names_it(model.as_str())) {
            let problem = format!("the key {} ({}) may call {old} and not {new}", key.id, key.name);
            found.push(row("models", problem, format!("fulcrum key update {} --models", key.id)));
        }
    }
    if app.gateway().live().routes.speaks_of(old.as_str()) {
        let problem = format!("a route's rule speaks of {old}");
        found.push(row("routes", problem, format!("write {new} in the configuration")));
    }
    found
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
    let prompt = prompt_of(&app, name.as_str()).await?;
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
    let prompt = prompt_of(&app, &name).await?;
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
    let selector = n.parse::<Selector>()?;
    let prompt = prompt_of(&app, &name).await?;
    let version = prompt.resolve(&selector)?;
    version_row(&prompt, &version)
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
    look_again(&app).await;
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
    let from = prompt_of(&app, name.as_str()).await?.resolve(&Selector::Label(label.clone()))?.version;
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
    let name = prompt_of(&app, &name).await?.name.clone();
    let moves = app.prompts().history(&name, label.as_ref()).await?;
    let changes = if label.is_none() { app.prompts().changes(&name).await? } else { Vec::new() };
    let of_labels = moves.iter().map(|change| (change.at, move_row(change)));
    let mut rows: Vec<_> = of_labels.chain(changes.iter().map(|change| (change.at, change_row(change)))).collect();
    rows.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    let rows: Vec<Value> = rows.into_iter().map(|(_, row)| row).collect();
    Ok(Json(json!({"rows": rows, "next_cursor": null})))
}

/// `GET /prompts/{name}/labels/{label}/history`, newest first.
pub async fn label_history(
    State(app): State<App>,
    _viewer: Viewer,
    Path((name, label)): Path<(String, String)>,
) -> Answer<Json<Value>> {
    let label: Label = label.parse().map_err(|error: BadName| Error::field("label", error.to_string()))?;
    let name = prompt_of(&app, &name).await?.name.clone();
    let moves = app.prompts().history(&name, Some(&label)).await?;
    let rows: Vec<Value> = moves.iter().map(move_row).collect();
    Ok(Json(json!({"rows": rows, "next_cursor": null})))
}

fn move_row(change: &Move) -> Value {
    let version = |targets: &[Target]| targets.first().map(|target| target.version);
    json!({
        "change": "label", "label": change.label, "from": change.before.as_deref().and_then(version), "version": version(&change.after),
        "protected": change.protected, "reason": change.reason, "author": change.author, "key_id": change.key_id,
        "at": change.at,
    })
}

fn change_row(change: &PromptChange) -> Value {
    json!({
        "change": change.change, "renamed_from": change.renamed_from, "label": null, "from": null, "version": null,
        "reason": change.reason, "author": change.author, "key_id": change.key_id, "at": change.at,
    })
}

/// Two versions.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Two {
    from: String,
    to: String,
}

/// `GET /prompts/{name}/diff?from=1&to=2`; labels do as well, and 0 is nothing.
pub async fn diff(
    State(app): State<App>,
    _viewer: Viewer,
    Path(name): Path<String>,
    Query(two): Query<Two>,
) -> Answer<Json<Value>> {
    let (from, to) = (two.from.parse::<Side>()?, two.to.parse::<Side>()?);
    let (registry, name) = (app.prompts().clone(), prompt_of(&app, &name).await?.name.clone());
    let diff = aside(&app, move || registry.diff(&name, from, to)).await?;
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
    let (registry, name) = (app.prompts().clone(), prompt_of(&app, &name).await?.name.clone());
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
