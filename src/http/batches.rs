//! `/v1/batches`: batches as OpenAI's SDKs make, follow and cancel them.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use http::HeaderMap;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::admin::read_of;
use super::auth::Caller;
use super::error::Refusal;
use crate::app::App;
use crate::batches::{NewBatch, Part, Scope};
use crate::chat::{Code, Error};
use crate::keys::{Role, VirtualKey};
use crate::types::now;

type Answer = Result<Json<Value>, Refusal>;

/// The longest list, and the default length.
const MOST: u32 = 100;
const USUAL: u32 = 20;

/// What a key may see: its project's, or everybody's where it is an admin's.
pub fn scope(key: &VirtualKey) -> Scope<'_> {
    if key.role == Role::Admin { Scope::All } else { Scope::Project(&key.project) }
}

/// Refuses what would make something, where the gateway is about to stop.
pub fn welcome(app: &App) -> Result<(), Error> {
    if app.is_welcoming() {
        return Ok(());
    }
    Err(Error::new(Code::Overloaded, "the gateway is shutting down; ask another, or again in a moment"))
}

/// Counts a request that makes something against the key's limit, unless the gateway is about to stop.
pub fn admit(app: &App, key: &Arc<VirtualKey>) -> Result<(), Error> {
    welcome(app)?;
    app.keys().admit(key, now()).map(drop).map_err(Error::from)
}

/// How long files are stored, as the maker of a batch writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpiresAfter {
    anchor: String,
    seconds: u64,
}

/// A batch to make.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    input_file_id: String,
    endpoint: String,
    completion_window: String,
    #[serde(default)]
    metadata: Option<Map<String, Value>>,
    #[serde(default)]
    output_expires_after: Option<ExpiresAfter>,
}

/// `POST /v1/batches`.
pub async fn create(State(app): State<App>, Caller(key): Caller, headers: HeaderMap, body: Body) -> Answer {
    admit(&app, &key)?;
    let wanted: Wanted = read_of((&app, &key.project), &headers, body).await?;
    let anchored = |after: &ExpiresAfter| after.anchor == "created_at";
    if !wanted.output_expires_after.as_ref().is_none_or(anchored) {
        return Err(Error::field("output_expires_after", "`anchor` must be `created_at`").into());
    }
    let new = NewBatch {
        project: key.project.clone(),
        key_id: key.id.clone(),
        input_file_id: wanted.input_file_id,
        endpoint: wanted.endpoint,
        completion_window: wanted.completion_window,
        metadata: wanted.metadata,
        output_expires_after: wanted.output_expires_after.map(|after| after.seconds),
    };
    Ok(Json(app.batches().create(scope(&key), new, now()).await?.json()))
}

/// `GET /v1/batches`, newest first.
pub async fn list(
    State(app): State<App>,
    Caller(key): Caller,
    Query(parameters): Query<Vec<(String, String)>>,
) -> Answer {
    let mut page = Listed { limit: USUAL, ..Listed::default() };
    for (name, value) in parameters {
        match name.as_str() {
            "limit" => page.limit = limit(&value, MOST)?,
            "after" => page.after = Some(value),
            _ => return Err(unknown(&name)),
        }
    }
    let (batches, has_more) = app.batches().list(scope(&key), page.part()).await?;
    let rows: Vec<_> = batches.iter().map(crate::batches::Batch::json).collect();
    Ok(Json(listed(&rows, has_more)))
}

/// `GET /v1/batches/{id}`.
pub async fn one(State(app): State<App>, Caller(key): Caller, Path(id): Path<String>) -> Answer {
    Ok(Json(app.batches().batch(scope(&key), &id).await?.json()))
}

/// `POST /v1/batches/{id}/cancel`.
pub async fn cancel(State(app): State<App>, Caller(key): Caller, Path(id): Path<String>) -> Answer {
    Ok(Json(app.batches().cancel(scope(&key), &id, now()).await?.json()))
}

/// Which part of a list is asked for.
#[derive(Default)]
pub struct Listed {
    pub after: Option<String>,
    pub limit: u32,
    pub ascending: bool,
}

impl Listed {
    pub fn part(&self) -> Part<'_> {
        Part { after: self.after.as_deref(), limit: self.limit, ascending: self.ascending }
    }
}

/// A list's length, from a query.
pub fn limit(text: &str, most: u32) -> Result<u32, Refusal> {
    let limit = text.parse().ok().filter(|limit| (1..=most).contains(limit));
    limit.ok_or_else(|| Error::field("limit", format!("`limit` must be 1 to {most}")).into())
}

/// A parameter that no list has.
pub fn unknown(name: &str) -> Refusal {
    let name: String = name.chars().take(80).collect();
    Error::field(name.clone(), format!("there is no parameter `{name}`")).into()
}

/// A list as OpenAI's API shows it.
pub fn listed(data: &[Value], has_more: bool) -> Value {
    let id = |row: Option<&Value>| row.map(|row| row["id"].clone());
    let (first, last) = (id(data.first()), id(data.last()));
    json!({"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": has_more})
}
