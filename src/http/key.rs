//! `GET /v1/key` and `GET /api/v1/key`: what a key may know of itself.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::auth::Anyone;
use super::error::Refusal;
use crate::app::App;
use crate::chat::Error;
use crate::keys::VirtualKey;
use crate::types::now;
use crate::usage;

/// The key that asks: its name, its project, its limits, and what it has spent.
pub async fn own(State(app): State<App>, Anyone(key): Anyone) -> Result<Json<Value>, Refusal> {
    let now = now();
    let today = now.to_string();
    let month = today.get(..7).map(|month| format!("{month}-01"));
    app.ledger().flush().await;
    let spend = json!({
        "month": spent(&app, &key, month.as_deref()).await?,
        "total": spent(&app, &key, Some("1970-01-01")).await?,
    });
    let limit = app.keys().limit_of(&key);
    Ok(Json(json!({
        "id": key.id, "name": key.name, "project": key.project, "role": key.role, "models": key.models,
        "tags": key.tags, "created_at": key.created_at, "expires_at": key.expires_at,
        "limits": {"requests_per_minute": limit}, "spend": spend,
    })))
}

/// What the key has spent since a day.
async fn spent(app: &App, key: &VirtualKey, from: Option<&str>) -> Result<Value, Error> {
    let parameters = [("key", Some(&*key.id)), ("from", from)];
    let parameters = parameters.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let query = usage::Query::parse(parameters, now())?;
    let report = usage::report(app.ledger_db(), &query).await?.json();
    let total = &report["total"];
    let names = [
        "requests",
        "errors",
        "cache_hits",
        "input_tokens",
        "output_tokens",
        "cost_usd",
        "saved_usd",
        "unpriced_requests",
    ];
    let mut spent: serde_json::Map<String, Value> =
        names.iter().map(|name| ((*name).to_owned(), total[name].clone())).collect();
    spent.insert("from".to_owned(), report["from"].clone());
    Ok(spent.into())
}
