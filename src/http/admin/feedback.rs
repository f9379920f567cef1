//! Feedback on requests and sessions, as it was reported.

use axum::Json;
use axum::extract::{Query, State};
use serde_json::{Value, json};

use crate::app::App;
use crate::chat::Error;
use crate::feedback::{Entry, Listing};
use crate::http::auth::Viewer;
use crate::http::error::Refusal;
use crate::keys::Role;
use crate::types::now;
use crate::usage;

/// The parameters of a list of feedback.
const PARAMETERS: [&str; 13] = [
    "metric", "kind", "prompt", "version", "request", "session", "project", "from", "to", "last", "tz", "cursor",
    "limit",
];

/// `GET /feedback?metric=&kind=&prompt=&version=&request=&session=&project=&from=&to=&cursor=&limit=`, the latest first. It holds
/// people's words, so a key sees that of its own project; an admin's sees all.
pub async fn list(
    State(app): State<App>,
    Viewer(key): Viewer,
    Query(parameters): Query<Vec<(String, String)>>,
) -> Result<Json<Value>, Refusal> {
    let mut listing = read(&parameters)?;
    if !key.allows(Role::Admin) {
        if listing.project.as_deref().is_some_and(|project| project != &*key.project) {
            return Ok(Json(json!({"rows": [], "next_cursor": null})));
        }
        listing.project = Some(key.project.to_string());
    }
    app.ledger().flush().await;
    let page = app.feedback().list(&listing).await?;
    let rows: Vec<Value> = page.rows.iter().map(Entry::json).collect();
    Ok(Json(json!({"rows": rows, "next_cursor": page.next_cursor.map(|cursor| cursor.to_string())})))
}

fn read(parameters: &[(String, String)]) -> Result<Listing, Refusal> {
    let (mut listing, mut period) = (Listing::default(), Vec::new());
    for (name, value) in parameters {
        let text = || Some(value.clone());
        match name.as_str() {
            "metric" => listing.metric = Some(value.parse()?),
            "kind" => listing.kind = Some(value.parse()?),
            "prompt" => listing.prompt = text(),
            "version" => listing.version = Some(number(name, value)?),
            "request" => {
                let id = value.parse().map_err(|_| Error::field(name.as_str(), "use the id of a request"))?;
                listing.request = Some(id);
            }
            "session" => listing.session = text(),
            "project" => listing.project = text(),
            "cursor" => listing.cursor = Some(value.parse()?),
            name if PARAMETERS.contains(&name) => period.push((name, value.as_str())),
            name => {
                let shown: String = name.chars().take(80).collect();
                return Err(Error::field(shown, format!("use one of {}", PARAMETERS.join(", "))).into());
            }
        }
    }
    let usage::Listing { from, to, limit, .. } = usage::Listing::parse(period, now())?;
    Ok(Listing { from, to, limit, ..listing })
}

fn number(name: &str, value: &str) -> Result<u32, Error> {
    value.parse().map_err(|_| Error::field(name, format!("a {name} is a number such as 3")))
}
