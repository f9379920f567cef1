//! The key of a request, and its rights.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::HeaderName;
use http::header::AUTHORIZATION;
use http::request::Parts;

use super::client::{has_query_key, is_googles, query_key};
use super::error::Refusal;
use crate::app::App;
use crate::chat::{Code, Error};
use crate::keys::{Role, VirtualKey};
use crate::types::{Timestamp, now};

/// Where a connection comes from.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// The key that a request from `peer` carries.
///
/// # Errors
/// 401 where there is none, or it is not good; 429 where too many that are none came from there.
pub async fn key_of(app: &App, parts: &Parts, peer: Option<Peer>, now: Timestamp) -> Result<Arc<VirtualKey>, Error> {
    let token = token(parts)?;
    match app.keys().authenticate(&token, now) {
        Ok(key) => Ok(key),
        // Boxed, so that calls with good keys carry no room for it.
        Err(error) => Ok(Box::pin(app.keys().look_up(&token, error, peer.map(|Peer(from)| from), now)).await?),
    }
}

/// Where Anthropic's SDKs put a key, and where Google's do.
static API_KEYS: [HeaderName; 2] = [HeaderName::from_static("x-api-key"), HeaderName::from_static("x-goog-api-key")];

/// The token in `Authorization: Bearer`, `x-api-key` or `x-goog-api-key`, or in the address as Google's clients write it.
fn token(parts: &Parts) -> Result<Cow<'_, str>, Error> {
    let refused = |message: &str| Error::new(Code::InvalidApiKey, message);
    let headers = &parts.headers;
    if headers.get_all(AUTHORIZATION).iter().count() > 1 {
        return Err(refused("the header Authorization stands twice"));
    }
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let bearer = text(&AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let token = bearer.or_else(|| API_KEYS.iter().find_map(text)).map(Cow::Borrowed);
    let in_query = || query_key(&parts.uri).filter(|_| is_googles(parts.uri.path()));
    match token.or_else(in_query) {
        Some(token) if !token.is_empty() && token.len() <= 512 => Ok(token),
        None if has_query_key(&parts.uri) => Err(refused(
            "no API key: `?key=` is read on Gemini's routes alone; send Authorization: Bearer fk-… and take the key out of the \
             address, where logs may store it",
        )),
        _ => Err(refused(
            "no API key: send Authorization: Bearer fk-…, x-api-key or x-goog-api-key (Gemini's routes take ?key= too)",
        )),
    }
}

/// Marks a request that the command line makes in this process, on its owner's own database. No request from outside
/// can carry it.
#[derive(Clone, Copy)]
pub struct Operator;

/// The key of a request to the data plane.
///
/// # Errors
/// 401 where there is no good key, 403 where its role is only to look or to edit prompts.
pub async fn caller(app: &App, parts: &Parts, peer: Option<Peer>, now: Timestamp) -> Result<Arc<VirtualKey>, Error> {
    if parts.extensions.get::<Operator>().is_some() {
        return Ok(Arc::new(VirtualKey::operator(now)));
    }
    let key = key_of(app, parts, peer, now).await?;
    if key.allows(Role::App) {
        return Ok(key);
    }
    Err(forbidden("this key's role may not call models; use a key with the role app"))
}

fn peer_of(parts: &Parts) -> Option<Peer> {
    parts.extensions.get().copied()
}

fn forbidden(message: &str) -> Error {
    Error::new(Code::Forbidden, message)
}

/// A key of the data plane: app or admin.
pub struct Caller(pub Arc<VirtualKey>);

/// A key that may look: viewer, editor or admin.
pub struct Viewer(pub Arc<VirtualKey>);

/// A key that may change prompts: editor or admin.
pub struct Editor(pub Arc<VirtualKey>);

/// A key that may change everything.
pub struct Admin;

/// Any good key.
pub struct Anyone(pub Arc<VirtualKey>);

async fn need(app: &App, parts: &Parts, role: Role) -> Result<Arc<VirtualKey>, Refusal> {
    if parts.extensions.get::<Operator>().is_some() {
        return Ok(Arc::new(VirtualKey::operator(now())));
    }
    let key = key_of(app, parts, peer_of(parts), now()).await?;
    if key.allows(role) {
        return Ok(key);
    }
    let own = if key.role == Role::App { "; GET /v1/key shows a key's own limits and spend" } else { "" };
    Err(Refusal(forbidden(&format!("this needs a key with the role {role}{own}"))))
}

impl FromRequestParts<App> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        Ok(Self(caller(app, parts, peer_of(parts), now()).await?))
    }
}

impl FromRequestParts<App> for Viewer {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        need(app, parts, Role::Viewer).await.map(Self)
    }
}

impl FromRequestParts<App> for Editor {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        need(app, parts, Role::Editor).await.map(Self)
    }
}

impl FromRequestParts<App> for Admin {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        need(app, parts, Role::Admin).await.map(|_key| Self)
    }
}

impl FromRequestParts<App> for Anyone {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        Ok(Self(key_of(app, parts, peer_of(parts), now()).await?))
    }
}
