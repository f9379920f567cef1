//! The response cache: what it holds, and forgetting it.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::read;
use crate::app::App;
use crate::cache::Purge;
use crate::chat::Error;
use crate::http::auth::{Admin, Viewer};
use crate::http::error::Refusal;
use crate::prompts::halves;

/// `GET /cache`.
pub async fn stats(State(app): State<App>, _viewer: Viewer) -> Json<Value> {
    let stats = app.gateway().parts().cache.stats();
    Json(json!({
        "entries": stats.entries, "bytes": stats.bytes, "hits": stats.hits, "misses": stats.misses,
        "stored": stats.stored, "running": stats.flights, "questions": stats.questions,
    }))
}

/// What to forget: one of the fields.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    #[serde(default)]
    prompt: Option<String>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    project: Option<String>,
    #[serde(default)]
    all: bool,
}

/// `POST /cache/purge`.
pub async fn purge(
    State(app): State<App>,
    _admin: Admin,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    let which: Which = read(&headers, body).await?;
    let purge = match which {
        Which { prompt: Some(prompt), model: None, project: None, all: false } => by_prompt(&prompt)?,
        Which { prompt: None, model: Some(model), project: None, all: false } => Purge::Model(model),
        Which { prompt: None, model: None, project: Some(project), all: false } => Purge::Project(project),
        Which { prompt: None, model: None, project: None, all: true } => Purge::All,
        _ => {
            let message = "name one of `prompt` (NAME or NAME@VERSION), `model`, `project` and `all: true`";
            return Err(Error::field("prompt", message).into());
        }
    };
    Ok(Json(json!({"purged": app.gateway().parts().cache.purge(&purge)})))
}

fn by_prompt(text: &str) -> Result<Purge, Error> {
    let (name, version) = halves(text);
    let version = version.map(str::parse).transpose();
    let version = version.map_err(|_| Error::field("prompt", "a version is a number, as in NAME@3"))?;
    let name = name.parse().map_err(|error: crate::types::BadName| Error::field("prompt", error.to_string()))?;
    Ok(Purge::Prompt { name, version })
}
