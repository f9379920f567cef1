//! The ledger: usage reports and requests. A reader sees all that was settled before he asked.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use serde_json::Value;

use crate::app::App;
use crate::chat::{Code, Error};
use crate::http::auth::Viewer;
use crate::http::error::Refusal;
use crate::types::{RequestId, now};
use crate::usage::{self, Listing};

type Parameters = Query<Vec<(String, String)>>;

/// `GET /usage`.
pub async fn report(
    State(app): State<App>,
    _viewer: Viewer,
    Query(parameters): Parameters,
) -> Result<Response, Refusal> {
    let format = parameters.iter().find(|(name, _)| name == "format").map_or("json", |(_, value)| value);
    if !["json", "csv"].contains(&format) {
        return Err(Error::field("format", "`format` must be json or csv").into());
    }
    let rest =
        parameters.iter().filter(|(name, _)| name != "format").map(|(name, value)| (name.as_str(), value.as_str()));
    let query = usage::Query::parse(rest, now())?;
    app.ledger().flush().await;
    let report = usage::report(app.ledger_db(), &query).await?;
    if format == "json" {
        return Ok(Json(report.json()).into_response());
    }
    let csv = report.csv().map_err(|error| Error::new(Code::Internal, error.to_string()))?;
    Ok(([(CONTENT_TYPE, "text/csv; charset=utf-8")], csv).into_response())
}

/// `GET /requests`, newest first.
pub async fn requests(
    State(app): State<App>,
    _viewer: Viewer,
    Query(parameters): Parameters,
) -> Result<Json<Value>, Refusal> {
    let parameters = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let listing = Listing::parse(parameters)?;
    app.ledger().flush().await;
    let page = usage::requests(app.ledger_db(), &listing).await?;
    Ok(Json(page.json()))
}

/// `GET /requests/{id}`.
pub async fn request(State(app): State<App>, _viewer: Viewer, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    let found = match id.parse::<RequestId>() {
        Ok(id) => {
            app.ledger().flush().await;
            usage::request(app.ledger_db(), id).await?
        }
        Err(_) => None,
    };
    found.map(|recorded| Json(recorded.json())).ok_or_else(|| Refusal::not_found("there is no request with this id"))
}
