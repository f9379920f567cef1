//! `POST /v1/feedback`: what a caller reports of an answer, or of a session.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::admin::read_of;
use super::auth::Caller;
use super::batches::welcome;
use super::error::Refusal;
use crate::app::App;
use crate::feedback::{self, Reporter, Subject};
use crate::keys::Role;
use crate::types::now;

/// `POST /v1/feedback`. It is in the database before the answer. It takes nothing of the key's requests a minute, which are for
/// calls.
pub async fn create(
    State(app): State<App>,
    Caller(key): Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    welcome(&app)?;
    let body: feedback::Body = read_of((&app, &key.project), &headers, body).await?;
    let project = (key.role != Role::Admin).then(|| key.project.clone());
    let new = body.read(Reporter { project, key_id: key.id.clone() }, now())?;
    if matches!(new.subject, Subject::Session(_)) {
        // What the session asked last may not be in the database yet.
        app.ledger().flush().await;
    }
    let id = match app.feedback().store(new.clone()).await {
        // The row of a call that has just ended may still be on its way.
        Err(error) if error.is_unknown() => {
            app.ledger().flush().await;
            app.feedback().store(new).await?
        }
        stored => stored?,
    };
    Ok((StatusCode::CREATED, Json(json!({"id": id}))))
}
