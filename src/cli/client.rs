//! How a command reaches the admin API: a running gateway over HTTP, or the same router over the configured database.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::Body;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, Method, Request};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use super::outcome::{Failure, Where};
use super::output::note;
use crate::app::App;
use crate::config::{self, Config};
use crate::http::{Operator, router};
use crate::types::Diagnostic;
use crate::upstream;

/// The admin API, wherever it is.
pub struct Client {
    place: Place,
}

enum Place {
    Remote { client: upstream::Client, base: String, key: Option<String> },
    Here { app: Box<App> },
}

/// The file that a command names, else `$FULCRUM_CONFIG`, else the usual one where it is there.
pub fn file(named: Option<PathBuf>) -> Option<PathBuf> {
    let from_env = || std::env::var_os("FULCRUM_CONFIG").filter(|name| !name.is_empty()).map(PathBuf::from);
    let usual = || Some(PathBuf::from(config::DEFAULT_FILE)).filter(|usual| usual.is_file());
    named.or_else(from_env).or_else(usual)
}

/// Reads a configuration; the defaults where there is no file.
pub fn configuration(path: Option<&Path>) -> Result<Config, Failure> {
    config::load(path, &|name| std::env::var(name).ok()).map_err(|problems| Failure::Input(listed(&problems)))
}

/// Problems, a line each.
pub fn listed(problems: &[Diagnostic]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

impl Client {
    /// Reaches what `place` names.
    pub async fn to(place: &Where) -> Result<Self, Failure> {
        if let Some(url) = &place.url {
            let base = url.trim_end_matches('/').to_owned();
            let client = upstream::Client::new(&base, Duration::from_secs(3));
            let client = client.map_err(|error| Failure::Input(error.to_string()))?;
            return Ok(Self { place: Place::Remote { client, base, key: place.key.clone() } });
        }
        let config = configuration(file(place.config.clone()).as_deref())?;
        let built = App::open(config).await.map_err(|error| Failure::Unreachable(error.to_string()))?;
        if let Some(key) = built.new_admin_key {
            note(&format!("admin key, shown this once: {}", key.expose()));
        }
        Ok(Self { place: Place::Here { app: Box::new(built.app) } })
    }

    /// Asks for `path`; a JSON answer, or the failure that its status means.
    pub async fn get(&self, path: &str) -> Result<Value, Failure> {
        read(&self.text(Method::GET, path, None).await?)
    }

    /// Asks for `path`, as text.
    pub async fn get_text(&self, path: &str) -> Result<String, Failure> {
        self.text(Method::GET, path, None).await
    }

    /// Sends `body` to `path`.
    pub async fn send(&self, method: Method, path: &str, body: &Value) -> Result<Value, Failure> {
        read(&self.text(method, path, Some(body)).await?)
    }

    async fn text(&self, method: Method, path: &str, body: Option<&Value>) -> Result<String, Failure> {
        let (status, text) = match &self.place {
            Place::Remote { client, base, key } => {
                let url = format!("{base}{path}");
                let body = body.map(Value::to_string);
                let unreachable = |error| Failure::Unreachable(format!("{base} cannot be reached: {error}"));
                let asked = client.ask((method, &url), key.as_deref(), HeaderMap::new(), body);
                let reply = asked.await.map_err(unreachable)?;
                (reply.status().as_u16(), reply.text().await.map_err(unreachable)?)
            }
            Place::Here { app } => here(app, method, path, body).await?,
        };
        if status < 300 {
            return Ok(text);
        }
        let body: Value = serde_json::from_str(&text).unwrap_or_default();
        let message = body.pointer("/error/message").and_then(Value::as_str).unwrap_or(&text).to_owned();
        Err(match status {
            404 | 409 => Failure::Negative(message),
            500.. => Failure::Unreachable(message),
            _ => Failure::Input(message),
        })
    }
}

async fn here(app: &App, method: Method, path: &str, body: Option<&Value>) -> Result<(u16, String), Failure> {
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    let request =
        Request::builder().method(method).uri(path).header(CONTENT_TYPE, "application/json").extension(Operator);
    let request = request.body(body).map_err(|error| Failure::Input(error.to_string()))?;
    debug_assert!(!request.headers().contains_key(AUTHORIZATION));
    let response = match router(app.clone()).oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let status = response.status().as_u16();
    let bytes =
        response.into_body().collect().await.map_err(|error| Failure::Unreachable(error.to_string()))?.to_bytes();
    Ok((status, String::from_utf8_lossy(&bytes).into_owned()))
}

fn read(text: &str) -> Result<Value, Failure> {
    if text.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(text).map_err(|error| Failure::Unreachable(format!("the gateway answered no JSON: {error}")))
}

/// A text inside a URL's path or query.
pub fn encoded(text: &str) -> String {
    use std::fmt::Write;
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _infallible = write!(out, "%{byte:02X}");
        }
    }
    out
}
