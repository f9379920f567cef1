//! `GET /v1/models` and `GET /v1beta/models`: what a key may call, in the shape of the client's own vendor, in pages where that
//! vendor has pages.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Uri};
use serde::Serialize;
use serde_json::{Value, json};

use super::auth::Anyone;
use super::client::dialect_of;
use super::error::Refusal;
use crate::app::App;
use crate::chat::{Code, Error};
use crate::gateway::{ModelCard, models};
use crate::types::did_you_mean;
use crate::wire::DialectId;
use crate::wire::endpoint::ENDPOINTS;

/// OpenAI's list, which has no pages.
#[derive(Serialize)]
struct List {
    object: &'static str,
    data: Vec<ModelCard>,
}

/// The most models of a page, and the usual number, at Anthropic and at Google.
const MOST: usize = 1_000;
const USUAL_AT_ANTHROPIC: usize = 20;
const USUAL_AT_GOOGLE: usize = 50;

/// `GET /v1/models`, `GET /v1beta/models`.
pub async fn list(
    State(app): State<App>,
    Anyone(key): Anyone,
    uri: Uri,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let cards = models(app.gateway(), &key);
    let query = Parameters(query.unwrap_or_default());
    Ok(match dialect_of(&uri, &headers) {
        DialectId::Anthropic => Json(of_anthropic(&cards, &query)?).into_response(),
        DialectId::Gemini => Json(of_google(&cards, &query)?).into_response(),
        DialectId::OpenAiChat | DialectId::OpenAiResponses => {
            Json(List { object: "list", data: cards }).into_response()
        }
    })
}

/// `GET /v1/models/{id}`, `GET /v1beta/models/{id}`.
pub async fn one(
    State(app): State<App>,
    Anyone(key): Anyone,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let cards = models(app.gateway(), &key);
    let Some(card) = cards.iter().find(|card| *card.id == *id) else {
        let near = did_you_mean(&id, cards.iter().map(|card| &*card.id));
        let id: String = id.chars().take(200).collect();
        return Err(Refusal(Error::new(Code::ModelNotFound, format!("there is no model `{id}`{near}")).at("model")));
    };
    Ok(match dialect_of(&uri, &headers) {
        DialectId::Anthropic => Json(anthropic_model(card)).into_response(),
        DialectId::Gemini => Json(google_model(card)).into_response(),
        DialectId::OpenAiChat | DialectId::OpenAiResponses => Json(card).into_response(),
    })
}

/// The parameters of an address.
struct Parameters(String);

impl Parameters {
    fn get(&self, name: &str) -> Option<String> {
        let found = self.0.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
        let text = percent_encoding::percent_decode_str(found).decode_utf8().ok()?;
        Some(text.into_owned()).filter(|text| !text.is_empty())
    }

    /// A number of models: `usual` where there is none, at most [`MOST`].
    fn count(&self, name: &'static str, usual: usize) -> Result<usize, Error> {
        let Some(text) = self.get(name) else { return Ok(usual) };
        let count = text.parse::<usize>().ok().filter(|count| *count > 0);
        let bad = || Error::field(name, format!("`{name}` must be a number from 1 to {MOST}"));
        Ok(count.ok_or_else(bad)?.min(MOST))
    }
}

/// Anthropic's list: the page behind `after_id`, or before `before_id`.
fn of_anthropic(cards: &[ModelCard], query: &Parameters) -> Result<Value, Error> {
    let limit = query.count("limit", USUAL_AT_ANTHROPIC)?;
    let place = |name: &'static str| -> Result<Option<usize>, Error> {
        let Some(id) = query.get(name) else { return Ok(None) };
        let found = cards.iter().position(|card| *card.id == *id);
        found.map(Some).ok_or_else(|| Error::field(name, format!("`{name}` names no model of the list")))
    };
    let (after, before) = (place("after_id")?, place("before_id")?);
    let (page, has_more) = if let Some(end) = before {
        let start = end.saturating_sub(limit);
        (&cards[start..end], start > 0)
    } else {
        let start = after.map_or(0, |after| after + 1);
        let end = cards.len().min(start + limit);
        (&cards[start..end], end < cards.len())
    };
    let id = |card: Option<&ModelCard>| card.map(|card| card.id.clone());
    Ok(json!({
        "data": page.iter().map(anthropic_model).collect::<Vec<_>>(),
        "has_more": has_more, "first_id": id(page.first()), "last_id": id(page.last()),
    }))
}

/// A model as Anthropic's SDKs read it.
fn anthropic_model(card: &ModelCard) -> Value {
    let (input, output) = card.limits();
    json!({
        "type": "model", "id": card.id, "display_name": card.id, "created_at": card.created(),
        "lifecycle": "active", "max_input_tokens": input, "max_tokens": output,
    })
}

/// Google's list: the page at `pageToken`, which is the number of models before it.
fn of_google(cards: &[ModelCard], query: &Parameters) -> Result<Value, Error> {
    let size = query.count("pageSize", USUAL_AT_GOOGLE)?;
    let bad = || Error::field("pageToken", "`pageToken` is none that this list returned");
    let token = query.get("pageToken").map(|text| text.parse::<usize>().map_err(|_| bad())).transpose()?;
    let start = token.unwrap_or(0);
    let rest = cards.get(start..).ok_or_else(bad)?;
    let page = &rest[..rest.len().min(size)];
    let mut list = json!({"models": page.iter().map(google_model).collect::<Vec<_>>()});
    if page.len() < rest.len() {
        list["nextPageToken"] = (start + page.len()).to_string().into();
    }
    Ok(list)
}

/// A model as Google's SDKs read it.
fn google_model(card: &ModelCard) -> Value {
    let methods: Vec<&str> = ENDPOINTS.iter().flat_map(|row| row.methods).map(|(method, _)| *method).collect();
    let name: Arc<str> = format!("models/{}", card.id).into();
    let mut model = json!({
        "name": name, "baseModelId": card.id, "version": "1", "displayName": card.id,
        "description": format!("{} by Fulcrum", card.id), "supportedGenerationMethods": methods,
    });
    let (input, output) = card.limits();
    if let Some(input) = input {
        model["inputTokenLimit"] = input.into();
    }
    if let Some(output) = output {
        model["outputTokenLimit"] = output.into();
    }
    model
}
