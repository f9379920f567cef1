//! Experiments.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::read;
use super::prompts::author as who;
use crate::app::App;
use crate::chat::Error;
use crate::experiments::{self, Author, Experiment, Seen, Spec};
use crate::http::auth::{Editor, Viewer};
use crate::http::error::Refusal;
use crate::jobs::experiments::{Observed, ObservedArm, create as make, latencies, observe, start as begin};
use crate::keys::VirtualKey;
use crate::types::{ExperimentName, Share, now};

type Answer<T> = Result<T, Refusal>;

/// How long a look at the experiments waits for what another process changed.
const LOOK: Duration = Duration::from_secs(1);

async fn look_again(app: &App) {
    if let Ok(Err(error)) = tokio::time::timeout(LOOK, app.experiments().refresh()).await {
        tracing::warn!(%error, "cannot read the experiments again");
    }
    if let Ok(Err(error)) = tokio::time::timeout(LOOK, app.prompts().refresh()).await {
        tracing::warn!(%error, "cannot read the prompts again");
    }
}

fn author(key: &VirtualKey, headers: &HeaderMap) -> Result<Author, Error> {
    let crate::prompts::Author { key_id, name, admin } = who(key, headers)?;
    Ok(Author { key_id, name, admin })
}

/// The name in the address of an experiment that is there.
fn known(app: &App, name: &str) -> Result<ExperimentName, experiments::Error> {
    Ok(app.experiments().get(name)?.spec.name.clone())
}

/// `GET /experiments`, the newest first.
pub async fn list(State(app): State<App>, _viewer: Viewer) -> Answer<Json<Value>> {
    look_again(&app).await;
    let rows: Vec<Value> = app.experiments().list().iter().map(|experiment| experiment.to_json()).collect();
    Ok(Json(json!({"rows": rows, "next_cursor": null})))
}

/// `GET /experiments/{name}`: with what its arms' requests say by now.
pub async fn one(State(app): State<App>, _viewer: Viewer, Path(name): Path<String>) -> Answer<Json<Value>> {
    look_again(&app).await;
    let experiment = app.experiments().get(&name)?;
    app.ledger().flush().await;
    Ok(Json(shown(&app, &experiment).await?))
}

/// `POST /experiments`: a draft.
pub async fn create(
    State(app): State<App>,
    Editor(key): Editor,
    headers: HeaderMap,
    body: Body,
) -> Answer<(StatusCode, Json<Value>)> {
    let body: Value = read(&headers, body).await?;
    let spec = Spec::from_json(&body).map_err(experiments::Error::Invalid)?;
    look_again(&app).await;
    let made = make((app.gateway().parts(), app.ledger_db()), spec, (author(&key, &headers)?, now())).await?;
    Ok((StatusCode::CREATED, Json(made.to_json())))
}

/// How an experiment starts, or goes on.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Start {
    /// The part of each arm's units that takes part from now on.
    #[serde(default)]
    share: Option<f64>,
}

/// `POST /experiments/{name}/start`: starts a draft, goes on with a frozen one, or gives a running one a larger share.
pub async fn start(
    State(app): State<App>,
    Editor(key): Editor,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer<Json<Value>> {
    let Start { share } = read(&headers, body).await?;
    let share = share.map(|share| {
        let read = Share::of(share).filter(|share| *share > Share::default());
        read.ok_or_else(|| Error::field("share", "share: is a number above 0 and at most 1"))
    });
    look_again(&app).await;
    let (name, by) = (known(&app, &name)?, (author(&key, &headers)?, now()));
    let started = begin(app.gateway().parts(), &name, share.transpose()?, by).await?;
    Ok(Json(started.to_json()))
}

/// `POST /experiments/{name}/stop`: ends it for good.
pub async fn stop(
    State(app): State<App>,
    Editor(key): Editor,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Answer<Json<Value>> {
    look_again(&app).await;
    let (name, by) = (known(&app, &name)?, (author(&key, &headers)?, now()));
    Ok(Json(app.experiments().stop(&name, by).await?.to_json()))
}

/// An experiment with its arms' figures.
async fn shown(app: &App, experiment: &Experiment) -> Result<Value, Error> {
    let mut value = experiment.to_json();
    let now = now();
    let observed = observe(app.ledger_db(), experiment, now).await?;
    let latencies = latencies(app.ledger_db(), experiment, now).await?;
    let Observed { look, arms } = &observed;
    value["e_value"] = json!(look.e_value);
    value["srm_p"] = json!(look.srm_p);
    let rows = value["arms"].as_array_mut().into_iter().flatten();
    for (row, (arm, seen)) in rows.zip(arms.iter().zip(&look.arms)) {
        put_figures(row, arm, seen);
    }
    for (row, latency) in value["arms"].as_array_mut().into_iter().flatten().zip(latencies) {
        row["latency_ms"] = json!(latency);
    }
    Ok(value)
}

fn put_figures(row: &mut Value, arm: &ObservedArm, seen: &Seen) {
    let n = arm.goal.sums.n;
    // Of what is not bounded yet there is nothing to show.
    let known = |number: f64| (n > 0 && number.is_finite()).then_some(number);
    row["assigned"] = json!(arm.assigned);
    row["requests"] = json!(arm.requests);
    row["n"] = json!(n);
    row["mean"] = json!(known(arm.goal.sums.mean));
    row["low"] = json!(known(seen.mean.low));
    row["high"] = json!(known(seen.mean.high));
    row["gain_low"] = json!(known(seen.gain.low));
    row["gain_high"] = json!(known(seen.gain.high));
    row["e_value"] = json!(seen.e_value);
    row["cost_usd"] = json!(arm.cost_usd);
}
