//! Pairs of answers that the shadows of routes left.

use axum::Json;
use axum::extract::{Query, State};
use serde_json::{Value, json};

use super::texts::pair_shown;
use crate::app::App;
use crate::chat::Error;
use crate::http::auth::Viewer;
use crate::http::error::Refusal;
use crate::keys::Role;
use crate::types::now;
use crate::usage::{self, Listing};

/// The parameters of a list of pairs.
const PARAMETERS: [&str; 8] = ["route", "project", "from", "to", "last", "tz", "cursor", "limit"];

/// `GET /shadows?route=&project=&from=&to=&last=&tz=&cursor=&limit=`, newest first. They hold texts, so a key sees those of its own
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
    let is_page =
        |limit: &str| limit.parse::<u32>().is_ok_and(|limit| (1..=usage::LARGEST_PAGE_OF_PAIRS).contains(&limit));
    if parameters.iter().any(|(name, value)| name == "limit" && !is_page(value)) {
        return Err(Error::field("limit", format!("use 1 to {}", usage::LARGEST_PAGE_OF_PAIRS)).into());
    }
    let named = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let listing = Listing::parse(named, now())?;
    let own = (!key.allows(Role::Admin)).then_some(&*key.project);
    let page = usage::pairs(app.ledger_db(), &listing, own).await?;
    let rows: Vec<Value> = page.rows.iter().map(pair_shown).collect();
    Ok(Json(json!({"rows": rows, "next_cursor": page.next_cursor})))
}
