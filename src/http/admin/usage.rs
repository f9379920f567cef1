//! The ledger: usage reports and requests. A reader sees all that was settled before he asked.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use serde_json::Value;

use crate::app::App;
use crate::chat::{Code, Error, Usage, Used};
use crate::feedback::Entry;
use crate::gateway::{Pricing, price_of};
use crate::http::auth::Viewer;
use crate::http::error::Refusal;
use crate::keys::Role;
use crate::types::{RequestId, now};
use crate::usage::{self, Charge, Listing};

type Parameters = Query<Vec<(String, String)>>;

/// Where the next page of CSV begins.
const NEXT_CURSOR: &str = "x-fulcrum-next-cursor";

/// `GET /usage`.
pub async fn report(
    State(app): State<App>,
    _viewer: Viewer,
    Query(parameters): Parameters,
) -> Result<Response, Refusal> {
    let (is_csv, rest) = format(&parameters)?;
    let query = usage::Query::parse(rest, now())?;
    let pricing = query.as_if.as_deref().map(|model| priced(&app, model)).transpose()?;
    let charge = pricing.map(|pricing| move |usage: &Usage| pricing.cost(&Used::from(*usage)));
    app.ledger().flush().await;
    let as_if = charge.as_ref().map(|charge| charge as Charge<'_>);
    let mut report = usage::report_as_if(app.ledger_db(), &query, as_if).await?;
    report.key_names = Some(app.keys().list().iter().map(|key| (key.id.to_string(), key.name.to_string())).collect());
    if !is_csv {
        return Ok(Json(report.json()).into_response());
    }
    let csv = report.csv().map_err(|error| Error::new(Code::Internal, error.to_string()))?;
    Ok(text_csv(csv))
}

/// Whether CSV is asked for, and the other parameters.
fn format(parameters: &[(String, String)]) -> Result<(bool, impl Iterator<Item = (&str, &str)>), Error> {
    let format = parameters.iter().find(|(name, _)| name == "format").map_or("json", |(_, value)| value);
    if !["json", "csv"].contains(&format) {
        return Err(Error::field("format", "`format` must be json or csv"));
    }
    let rest = parameters.iter().filter(|(name, _)| name != "format");
    Ok((format == "csv", rest.map(|(name, value)| (name.as_str(), value.as_str()))))
}

/// The price of a model that `as_if` names.
fn priced(app: &App, model: &str) -> Result<Pricing, Error> {
    price_of(app.gateway(), model).ok_or_else(|| {
        let shown: String = model.chars().take(80).collect();
        let message = format!("`{shown}` is no model with a known price; use a name under [models], or provider/model such as openai/gpt-4o-mini");
        Error::field("as_if", message)
    })
}

fn text_csv(csv: String) -> Response {
    ([(CONTENT_TYPE, "text/csv; charset=utf-8")], csv).into_response()
}

/// `GET /requests`, newest first or as `sort` asks.
pub async fn requests(
    State(app): State<App>,
    _viewer: Viewer,
    Query(parameters): Parameters,
) -> Result<Response, Refusal> {
    let (is_csv, rest) = format(&parameters)?;
    let listing = Listing::parse(rest, now())?;
    app.ledger().flush().await;
    let page = usage::requests(app.ledger_db(), &listing).await?;
    if !is_csv {
        return Ok(Json(page.json()).into_response());
    }
    let csv = page.csv().map_err(|error| Error::new(Code::Internal, error.to_string()))?;
    let mut response = text_csv(csv);
    if let Some(Ok(cursor)) = page.next_cursor.map(|cursor| cursor.to_string().parse()) {
        response.headers_mut().insert(NEXT_CURSOR, cursor);
    }
    Ok(response)
}

/// `GET /requests/{id}`.
pub async fn request(
    State(app): State<App>,
    Viewer(key): Viewer,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let found = match id.parse::<RequestId>() {
        Ok(id) => {
            app.ledger().flush().await;
            usage::request(app.ledger_db(), id).await?
        }
        Err(_) => None,
    };
    let recorded = found.ok_or_else(|| Refusal::not_found("there is no request with this id"))?;
    let mut shown = recorded.json();
    // It holds people's words, so a key sees that of its own project.
    let project = (!key.allows(Role::Admin)).then_some(&*key.project);
    let feedback = app.feedback().of(recorded.request.id, project).await?;
    shown["feedback"] = feedback.iter().map(Entry::json).collect();
    Ok(Json(shown))
}
