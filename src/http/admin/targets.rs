//! Providers, models, routes, and how targets fare.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::app::App;
use crate::gateway::{models as cards, seconds};
use crate::http::auth::Viewer;
use crate::routing::TargetHealth;
use crate::types::now;

/// `GET /providers`.
pub async fn providers(State(app): State<App>, _viewer: Viewer) -> Json<Value> {
    let live = app.gateway().live();
    let mut clients: Vec<_> = live.clients.values().collect();
    clients.sort_by(|a, b| a.provider().name.cmp(&b.provider().name));
    let rows: Vec<Value> = clients
        .into_iter()
        .map(|client| {
            let provider = client.provider();
            let row = provider.kind.row();
            json!({
                "name": provider.name, "kind": row.name, "simulated": row.simulated,
                "base_url": provider.base_url, "local": provider.local, "keys": provider.api_keys.len(),
                "in_flight": client.in_flight(), "max_in_flight": provider.max_in_flight,
                "batch_window_ms": provider.batch_window.map(|window| window.as_secs_f64() * 1_000.0),
            })
        })
        .collect();
    Json(json!({"rows": rows, "next_cursor": null}))
}

/// `GET /models`.
pub async fn models(State(app): State<App>, Viewer(key): Viewer) -> Json<Value> {
    Json(json!({"rows": cards(app.gateway(), &key), "next_cursor": null}))
}

/// `GET /routes`.
pub async fn routes(State(app): State<App>, _viewer: Viewer) -> Json<Value> {
    Json(json!({"rows": app.gateway().live().routes.list(), "next_cursor": null}))
}

/// Why an embedding model is not asked for some calls, though it is well.
const IN_HASTE: &str = "did not embed texts within a quarter of what was left of callers' own limits";

/// `GET /health`: the targets that have shown faults, with the last one's cause; every other one is healthy. An embedding model that
/// rests for calls with short limits alone has a row of its own.
pub async fn health(State(app): State<App>, _viewer: Viewer) -> Json<Value> {
    let (parts, now) = (app.gateway().parts(), now());
    let row = |row: TargetHealth, in_haste: bool| {
        let reason = row.reason.or_else(|| parts.target_log.cause(&row.target)).filter(|_| !in_haste);
        json!({
            "target": row.target, "state": row.state, "until": row.until, "keys": row.keys,
            "cooling_seconds": row.until.map(|until| seconds(until - now)),
            "reason": if in_haste { Some(IN_HASTE.into()) } else { reason }, "only_hurried": in_haste,
        })
    };
    let resting = parts.meaning.in_haste.troubled(now).into_iter().filter(|row| row.state != "healthy");
    let troubled = parts.health.troubled(now).into_iter().map(|found| row(found, false));
    let rows: Vec<Value> = troubled.chain(resting.map(|found| row(found, true))).collect();
    Json(
        json!({"rows": rows, "next_cursor": null, "ledger": if parts.ledger.healthy() { "healthy" } else { "unavailable" }}),
    )
}
