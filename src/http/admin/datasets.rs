//! Datasets: made, filled by import, looked at and exported. They hold people's texts, so a key reaches those of its own project; an
//! admin's names another by `project`.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use futures_util::stream::try_unfold;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::read;
use crate::app::App;
use crate::chat::{Code, Error};
use crate::datasets::{Dataset, Form, Import, Origin, Placed};
use crate::http::arrival::Arrival;
use crate::http::auth::{Editor, Viewer};
use crate::http::batches::welcome;
use crate::http::error::Refusal;
use crate::keys::{Role, VirtualKey};
use crate::types::now;

type Parameters = Query<Vec<(String, String)>>;

/// How long a caller may take for a whole import.
const TOTAL: std::time::Duration = std::time::Duration::from_secs(3_600);

/// A dataset to make.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    name: String,
    #[serde(default)]
    project: Option<String>,
}

/// What a query names.
#[derive(Default)]
struct Named {
    project: Option<String>,
    version: Option<i64>,
    split: Option<crate::datasets::Split>,
    format: Option<Form>,
    cursor: Option<(i64, i64)>,
    limit: Option<usize>,
}

impl Named {
    /// Reads the parameters of a route that knows these.
    fn read(parameters: &[(String, String)], known: &[&str]) -> Result<Self, Refusal> {
        let mut named = Self::default();
        for (name, value) in parameters {
            if !known.contains(&name.as_str()) {
                let shown: String = name.chars().take(80).collect();
                return Err(Error::field(shown, format!("use one of {}", known.join(", "))).into());
            }
            let number = || value.parse::<i64>().ok().filter(|number| *number >= 0);
            match name.as_str() {
                "version" => named.version = Some(number().ok_or_else(|| Error::field("version", "use a number"))?),
                "split" => named.split = Some(value.parse()?),
                "format" => named.format = Some(value.parse()?),
                "cursor" => named.cursor = Some(cursor(value)?),
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=500).contains(limit));
                    named.limit = Some(limit.ok_or_else(|| Error::field("limit", "use 1 to 500"))?);
                }
                _ => named.project = Some(value.clone()),
            }
        }
        Ok(named)
    }
}

/// The next_cursor of the page before.
fn cursor(text: &str) -> Result<(i64, i64), Error> {
    let read = || {
        let (version, n) = text.split_once('.')?;
        Some((version.parse().ok()?, n.parse().ok()?))
    };
    read().ok_or_else(|| Error::field("cursor", "use the next_cursor of the page before"))
}

/// The project whose datasets a key means: its own, or the one that an admin names. To other keys another project is not there.
fn project_of<'a>(key: &'a VirtualKey, named: Option<&'a str>) -> Result<&'a str, Refusal> {
    match named {
        Some(project) if key.role == Role::Admin || *project == *key.project => Ok(project),
        None => Ok(&key.project),
        Some(project) => {
            let shown: String = project.chars().take(80).collect();
            Err(Refusal::not_found(format!("there is no project `{}` for this key", shown.escape_default())))
        }
    }
}

/// A key's dataset. Another project's is not there.
async fn find(app: &App, key: &VirtualKey, (name, named): (&str, &Named)) -> Result<Dataset, Refusal> {
    let project = project_of(key, named.project.as_deref())?;
    Ok(app.datasets().find(project, name).await?)
}

/// `GET /datasets`: those of the key's project, or all for an admin.
pub async fn list(
    State(app): State<App>,
    Viewer(key): Viewer,
    Query(parameters): Parameters,
) -> Result<Json<Value>, Refusal> {
    let named = Named::read(&parameters, &["project"])?;
    let project = match named.project.as_deref() {
        None if key.role == Role::Admin => None,
        project => Some(project_of(&key, project)?),
    };
    let rows: Vec<Value> = app.datasets().list(project).await?.iter().map(Dataset::json).collect();
    Ok(Json(json!({"rows": rows, "next_cursor": null})))
}

/// `POST /datasets`.
pub async fn create(
    State(app): State<App>,
    Editor(key): Editor,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let wanted: Wanted = read(&headers, body).await?;
    let project = project_of(&key, wanted.project.as_deref())?;
    let dataset = app.datasets().create(project, &wanted.name.parse()?, &key.id, now()).await?;
    Ok((StatusCode::CREATED, Json(dataset.json())))
}

/// `GET /datasets/{name}?version=`.
pub async fn one(
    State(app): State<App>,
    Viewer(key): Viewer,
    Path(name): Path<String>,
    Query(parameters): Parameters,
) -> Result<Json<Value>, Refusal> {
    let named = Named::read(&parameters, &["project", "version"])?;
    let dataset = find(&app, &key, (&name, &named)).await?;
    Ok(Json(app.datasets().overview(dataset, named.version).await?.json()))
}

/// `GET /datasets/{name}/items?version=&split=&cursor=&limit=`.
pub async fn items(
    State(app): State<App>,
    Viewer(key): Viewer,
    Path(name): Path<String>,
    Query(parameters): Parameters,
) -> Result<Json<Value>, Refusal> {
    let named = Named::read(&parameters, &["project", "version", "split", "cursor", "limit"])?;
    let dataset = find(&app, &key, (&name, &named)).await?;
    let page = (named.cursor, named.limit);
    let (items, next) = app.datasets().items((&dataset, named.version), named.split, page).await?;
    let rows: Vec<Value> = items.iter().map(Placed::json).collect();
    let next_cursor = next.map(|(version, n)| format!("{version}.{n}"));
    Ok(Json(json!({"rows": rows, "next_cursor": next_cursor})))
}

/// `POST /datasets/{name}/items?format=jsonl|csv`: the body's items are the next version, all of them or none.
pub async fn import(
    State(app): State<App>,
    Editor(key): Editor,
    Path(name): Path<String>,
    Query(parameters): Parameters,
    request: Request,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    welcome(&app)?;
    let (parts, body) = request.into_parts();
    let headers = parts.headers;
    let named = Named::read(&parameters, &["project", "format"])?;
    if headers.contains_key(http::header::CONTENT_ENCODING) {
        let message = "a compressed body is not read: send it without content-encoding";
        return Err(Error::new(Code::UnsupportedMediaType, message).into());
    }
    let form = named.format.unwrap_or_else(|| form_of(&headers));
    let dataset = find(&app, &key, (&name, &named)).await?;
    let mut import = app.datasets().import(app.pool(), dataset, form);
    if let Err(refused) = take(&app, &key, &mut import, body).await {
        import.discard().await;
        return Err(refused);
    }
    let origin = Origin { source: "import", note: None, key_id: key.id.clone() };
    let version = import.finish(origin, now()).await?;
    Ok((StatusCode::CREATED, Json(version.json())))
}

/// The form of a body that says what it is by its `content-type`.
fn form_of(headers: &HeaderMap) -> Form {
    let is_csv = headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/csv"));
    if is_csv { Form::Csv } else { Form::Jsonl }
}

/// Takes a body as it comes.
async fn take(app: &App, key: &VirtualKey, import: &mut Import<'_>, mut body: Body) -> Result<(), Refusal> {
    let mut arrival = Arrival::of(app, &key.project, TOTAL);
    while let Some(frame) = arrival.next(body.frame()).await? {
        let frame = frame.map_err(|error| {
            Error::new(Code::InvalidRequest, format!("the body broke off: {error}; nothing was imported"))
        })?;
        let Ok(data) = frame.into_data() else { continue };
        arrival.note(data.len());
        import.push(&data).await?;
    }
    Ok(())
}

/// `GET /datasets/{name}/export?format=jsonl|csv&version=&split=`.
pub async fn export(
    State(app): State<App>,
    Viewer(key): Viewer,
    Path(name): Path<String>,
    Query(parameters): Parameters,
) -> Result<Response, Refusal> {
    let named = Named::read(&parameters, &["project", "version", "split", "format"])?;
    let dataset = find(&app, &key, (&name, &named)).await?;
    let form = named.format.unwrap_or_default();
    let export = app.datasets().export((dataset, named.version), named.split, form).await?;
    let pieces = try_unfold(export, |mut export| async move {
        let piece = export.piece().await.map_err(|error| std::io::Error::other(error.to_string()))?;
        Ok::<_, std::io::Error>(piece.map(|piece| (piece, export)))
    });
    let kind = match form {
        Form::Jsonl => "application/x-ndjson",
        Form::Csv => "text/csv; charset=utf-8",
    };
    Ok(([(CONTENT_TYPE, kind)], Body::from_stream(pieces)).into_response())
}
