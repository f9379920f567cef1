//! Stored texts: what was asked and answered, where the configuration says that it is stored, and what people wrote of it. To
//! read, to export, to erase.

use std::io;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::stream::try_unfold;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};

use crate::app::App;
use crate::cache::Purge;
use crate::chat::{Code, Error};
use crate::http::auth::{Admin, Viewer};
use crate::http::error::Refusal;
use crate::types::RequestId;
use crate::usage::{self, Bodies, ErasedTexts, Filter, Pair, RequestRow};

type Parameters = Query<Vec<(String, String)>>;

/// `GET /requests/{id}/body`.
pub async fn one(State(app): State<App>, _viewer: Viewer, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    let id = known(&app, &id).await?.id;
    let texts = stored(&app, id).await?;
    let none = || Refusal::not_found("no texts of this request are stored: store_bodies was none, or they were erased");
    texts.map(Json).ok_or_else(none)
}

/// `DELETE /requests/{id}/body`.
pub async fn erase_one(State(app): State<App>, _admin: Admin, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    let request = known(&app, &id).await?;
    let mut erased = Erased::default();
    erased.erase(&app, &[request]).await?;
    erased.finish(&app).await
}

/// `GET /bodies?user=&session=&request=`, or any other filter of requests: a line of JSON each, newest first.
pub async fn export(
    State(app): State<App>,
    _viewer: Viewer,
    Query(parameters): Parameters,
) -> Result<Response, Refusal> {
    let (filters, request) = narrowed(&parameters)?;
    app.ledger().flush().await;
    let mut exporting = Exporting { app, filters, cursor: None, waiting: Vec::new(), at_end: false };
    if let Some(request) = request {
        exporting.waiting = known(&exporting.app, &request).await.into_iter().map(|row| row.id).collect();
        exporting.at_end = true;
    }
    let lines = try_unfold(exporting, |mut exporting| async move {
        let line = exporting.line().await.map_err(|error| io::Error::other(error.to_string()))?;
        Ok::<_, io::Error>(line.map(|line| (line, exporting)))
    });
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

/// `DELETE /bodies?user=&session=&request=`, or any other filter of requests.
pub async fn erase(
    State(app): State<App>,
    _admin: Admin,
    Query(parameters): Parameters,
) -> Result<Json<Value>, Refusal> {
    let (filters, request) = narrowed(&parameters)?;
    if filters.is_empty() && request.is_none() {
        let message = "name whose texts to erase: user, session, request, or another filter of requests";
        return Err(Error::field("user", message).into());
    }
    app.ledger().flush().await;
    let mut erased = Erased::default();
    if let Some(request) = request {
        let row = known(&app, &request).await?;
        erased.erase(&app, &[row]).await?;
        return erased.finish(&app).await;
    }
    let mut cursor = None;
    loop {
        // Answers of idempotency keys are stored without the texts of their requests, too.
        let some = usage::some_requests(app.ledger_db(), &filters, cursor, false).await?;
        let Some(last) = some.last() else { break };
        cursor = Some(last.id);
        erased.erase(&app, &some).await?;
    }
    erased.finish(&app).await
}

/// The row of a request.
async fn known(app: &App, id: &str) -> Result<RequestRow, Refusal> {
    let none = || Refusal::not_found("there is no request with this id");
    let id: RequestId = id.parse().map_err(|_| none())?;
    app.ledger().flush().await;
    let found = usage::request(app.ledger_db(), id).await?;
    found.map(|recorded| recorded.request).ok_or_else(none)
}

/// The filters, and the one request that is named. An empty value would mean requests without the field, so it is refused.
fn narrowed(parameters: &[(String, String)]) -> Result<(Vec<Filter>, Option<String>), Refusal> {
    let (mut filters, mut request) = (Vec::new(), None);
    for (name, value) in parameters {
        if value.is_empty() {
            return Err(Error::field(name.clone(), format!("`{name}` is empty; name a value")).into());
        }
        match name.as_str() {
            "request" => request = Some(value.clone()),
            name => filters.push(Filter::parse(name, value)?),
        }
    }
    if request.is_some() && !filters.is_empty() {
        return Err(Error::field("request", "name a `request` or filters, not both").into());
    }
    Ok((filters, request))
}

/// What was erased.
#[derive(Default)]
struct Erased {
    requests: u64,
    texts: u64,
    feedback: u64,
    pairs: u64,
    items: u64,
    answers: u64,
    cached: u64,
}

impl Erased {
    async fn erase(&mut self, app: &App, rows: &[RequestRow]) -> Result<(), Refusal> {
        let ids: Vec<RequestId> = rows.iter().map(|row| row.id).collect();
        self.requests += ids.len() as u64;
        let ErasedTexts { requests, feedback, shadow_pairs } = usage::erase(app.ledger_db(), &ids).await?;
        self.texts += requests;
        self.feedback += feedback;
        self.pairs += shadow_pairs;
        self.items += app.datasets().erase(&ids).await?;
        let parts = app.gateway().parts();
        self.answers += parts.idempotency.erase(ids).await?;
        let mut projects: Vec<&str> = rows.iter().map(|row| &*row.project).collect();
        projects.sort_unstable();
        projects.dedup();
        // A cached answer does not know its requests, so those of the project go.
        self.cached +=
            projects.iter().map(|project| parts.cache.purge(&Purge::Project((*project).to_owned()))).sum::<u64>();
        Ok(())
    }

    /// Sees to it that no older page with the texts stays in a file of the database.
    async fn finish(self, app: &App) -> Result<Json<Value>, Refusal> {
        let Self { requests, texts, feedback, pairs, items, answers, cached } = self;
        let emptied = match app.ledger_db().sqlite() {
            Ok(sqlite) => sqlite.empty_log().await,
            Err(_) => Ok(true),
        };
        let is_empty = emptied.unwrap_or_else(|error| {
            tracing::warn!(%error, "the write-ahead log cannot be emptied");
            false
        });
        if !is_empty {
            let message = "the texts are deleted, but the database's write-ahead log is in use and may still hold them: ask again";
            return Err(Error::new(Code::Overloaded, message).into());
        }
        tracing::info!(requests, texts, feedback, pairs, items, answers, "stored texts were erased");
        Ok(Json(json!({
            "erased": texts, "requests": requests, "feedback": feedback, "shadow_pairs": pairs, "dataset_items": items,
            "idempotent_answers": answers, "cached_answers": cached,
        })))
    }
}

/// Requests whose texts are written one by one, so that only those of one are in memory.
struct Exporting {
    app: App,
    filters: Vec<Filter>,
    cursor: Option<RequestId>,
    /// Requests of the page, the next one last.
    waiting: Vec<RequestId>,
    at_end: bool,
}

impl Exporting {
    async fn line(&mut self) -> Result<Option<Bytes>, usage::Error> {
        loop {
            while let Some(id) = self.waiting.pop() {
                if let Some(texts) = stored(&self.app, id).await? {
                    return Ok(Some(format!("{texts}\n").into()));
                }
            }
            if self.at_end {
                return Ok(None);
            }
            let some = usage::some_requests(self.app.ledger_db(), &self.filters, self.cursor, true).await?;
            self.cursor = some.last().map(|row| row.id);
            self.at_end = some.is_empty();
            self.waiting = some.iter().rev().map(|row| row.id).collect();
        }
    }
}

/// What is stored of a request's texts, with the pair of answers that a shadow left; `None` where there is nothing.
async fn stored(app: &App, id: RequestId) -> Result<Option<Value>, usage::Error> {
    let texts = usage::texts(app.ledger_db(), id).await?;
    let pair = usage::pair(app.ledger_db(), id).await?;
    if texts.is_none() && pair.is_none() {
        return Ok(None);
    }
    let Bodies { request, response } = texts.unwrap_or_default();
    let mut shown = json!({"id": id, "request": text(&request), "response": text(&response)});
    if let Some(pair) = pair {
        shown["shadow"] = pair_shown(&pair);
    }
    Ok(Some(shown))
}

/// A pair of answers.
#[expect(clippy::cast_precision_loss, reason = "a latency is shown in milliseconds")]
pub(super) fn pair_shown(pair: &Pair) -> Value {
    let millis = |micros: u64| micros as f64 / 1_000.0;
    json!({
        "request_id": pair.request, "shadow_id": pair.shadow, "project": pair.project, "route": pair.route,
        "at": pair.stored_at, "model": pair.model, "shadow_model": pair.shadow_model,
        "answer": text(&pair.answer), "shadow_answer": pair.shadow_answer.as_ref().map(|answer| text(answer)),
        "error_code": pair.error_code, "is_cut": pair.is_cut,
        "cost_usd": pair.cost, "shadow_cost_usd": pair.shadow_cost,
        "latency_ms": millis(pair.latency_us), "shadow_latency_ms": millis(pair.shadow_latency_us),
    })
}

/// A text as JSON where it is JSON, as text, or as base64 where it is neither; null where there is none.
fn text(bytes: &[u8]) -> Value {
    if bytes.is_empty() {
        return Value::Null;
    }
    if let Ok(value) = serde_json::from_slice(bytes) {
        return value;
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => json!({"base64": BASE64_STANDARD.encode(bytes)}),
    }
}
