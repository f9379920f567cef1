//! Pairs of answers that the shadows of routes left.

use axum::Json;
use axum::extract::{Query, State};
use serde_json::{Value, json};

use super::texts::text;
use crate::app::App;
use crate::chat::Error;
use crate::http::auth::Viewer;
use crate::http::error::Refusal;
use crate::keys::Role;
use crate::types::now;
use crate::usage::{self, Listing, Pair};

/// The parameters of a list of pairs.
const PARAMETERS: [&str; 8] = ["route", "project", "from", "to", "last", "tz", "cursor", "limit"];

/// `GET /shadows?route=&project=&from=&to=&cursor=&limit=`, newest first. They hold texts, so a key sees those of its own
/// project; an admin's sees all.
pub async fn list(
    State(app): State<App>,
    Viewer(key): Viewer,
    Query(parameters): Query<Vec<(String, String)>>,
) -> Result<Json<Value>, Refusal> {
    if let Some((name, _)) = parameters.iter().find(|(name, _)| !PARAMETERS.contains(&name.as_str())) {
        let shown: String = name.chars().take(80).collect();
        return Err(Error::field(shown, format!("use one of {}", PARAMETERS.join(", "))).into());
    }
    let named = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let listing = Listing::parse(named, now())?;
    let own = (!key.allows(Role::Admin)).then_some(&*key.project);
    let page = usage::pairs(app.ledger_db(), &listing, own).await?;
    let rows: Vec<Value> = page.rows.iter().map(row).collect();
    Ok(Json(json!({"rows": rows, "next_cursor": page.next_cursor})))
}

#[expect(clippy::cast_precision_loss, reason = "a latency is shown in milliseconds")]
fn row(pair: &Pair) -> Value {
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
