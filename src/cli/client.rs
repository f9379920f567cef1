//! How a command reaches the admin API: a running gateway over HTTP, or the same router over the configured database.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request};
use http_body_util::BodyExt;
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt;

use super::outcome::{Failure, Where};
use super::output::note;
use crate::app::{self, App};
use crate::config::{self, Config, Secrets};
use crate::db;
use crate::gateway::DRAFT_OF;
use crate::http::{Detail, Operator, router};
use crate::types::{Diagnostic, PromptName};
use crate::upstream;

/// The admin API, wherever it is.
pub struct Client {
    place: Place,
    /// Who acts, as it is written down with changes; empty where the key says so.
    author: String,
}

/// The header by which a command says who acts.
const AUTHOR: &str = "x-fulcrum-author";

enum Place {
    Remote { client: upstream::Client, base: String, key: Option<String> },
    Here { app: Box<App> },
}

/// What the command opened, and the folder of a database that is gone afterwards.
static OPENED: Mutex<Vec<(App, Option<TempDir>)>> = Mutex::new(Vec::new());

/// Writes down what the command did, and closes the databases that it opened: who is the last to close one leaves a single file,
/// without a write-ahead log.
pub async fn close() {
    let opened = std::mem::take(&mut *OPENED.lock().unwrap_or_else(PoisonError::into_inner));
    for (app, _folder) in opened {
        app.close().await;
    }
}

/// A variable of the environment.
pub fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Reads a configuration.
pub fn configuration(file: &Path, secrets: Secrets) -> Result<Config, Failure> {
    config::load(file, secrets, &env).map_err(|problems| Failure::Input(listed(&problems)))
}

/// Reads a configuration in the place of one that is in use.
pub fn configuration_again(path: &Path, old: &Config) -> Result<Config, Failure> {
    config::load_again(path, old, &env).map_err(|problems| Failure::Input(listed(&problems)))
}

/// Problems, a line each.
pub fn listed(problems: &[Diagnostic]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

impl Client {
    /// Reaches what `place` names. Without a configuration that is the usual database, if it is there.
    pub async fn to(place: &Where) -> Result<Self, Failure> {
        if let Some(url) = place.url.as_ref().filter(|url| !url.is_empty()) {
            let base = url.trim_end_matches('/').to_owned();
            if !(base.starts_with("http://") || base.starts_with("https://")) {
                return Err(Failure::Input(format!(
                    "`{url}` does not begin with http:// or https://; write http://{base}"
                )));
            }
            let client = upstream::Client::new(&base, Duration::from_secs(3));
            let client = client.map_err(|error| Failure::Input(error.to_string()))?;
            return Ok(Self { place: Place::Remote { client, base, key: place.key.clone() }, author: String::new() });
        }
        let found = config::find(place.config.clone(), &env);
        let config = match &found {
            Ok(file) => configuration(file, Secrets::Leave)?,
            Err(_) => config::without_file().map_err(|problems| Failure::Input(listed(&problems)))?,
        };
        let app = App::open(config).await.map_err(|error| match (&error, found) {
            (app::Error::NoDatabase(_), Err(missing)) => Failure::Unreachable(format!("{error}\n{missing}")),
            _ => Failure::Unreachable(error.to_string()),
        })?;
        Ok(Self::here(app, None))
    }

    /// Works on the database itself.
    fn here(app: App, folder: Option<TempDir>) -> Self {
        OPENED.lock().unwrap_or_else(PoisonError::into_inner).push((app.clone(), folder));
        Self { place: Place::Here { app: Box::new(app) }, author: String::new() }
    }

    /// Reaches what `place` names, for a command that calls a model.
    pub async fn calling(place: &Where) -> Result<Self, Failure> {
        if place.url.as_ref().is_some_and(|url| !url.is_empty()) {
            return Self::to(place).await;
        }
        let file = config::find(place.config.clone(), &env).map_err(|missing| Failure::Input(missing.to_string()))?;
        let app = App::open_to_call(configuration(&file, Secrets::Read)?).await.map_err(|error| match error {
            app::Error::Usage(error) => Failure::Unreachable(format!("{error}\nName the running gateway with --url.")),
            error => Failure::Unreachable(error.to_string()),
        })?;
        Ok(Self::here(app, None))
    }

    /// The same, for changes that `author` makes.
    pub fn by(self, author: &str) -> Self {
        Self { author: author.trim().to_owned(), ..self }
    }

    /// Whether the command works on the database itself.
    pub fn is_here(&self) -> bool {
        matches!(self.place, Place::Here { .. })
    }

    /// Reaches what `place` names, for a command that asks what a configuration says. Where its database is still to be made,
    /// that is an empty one, which is gone afterwards.
    pub async fn configured(place: &Where) -> Result<Self, Failure> {
        if place.url.as_ref().is_some_and(|url| !url.is_empty()) {
            return Self::to(place).await;
        }
        let file = config::find(place.config.clone(), &env).map_err(|missing| Failure::Input(missing.to_string()))?;
        let mut config = configuration(&file, Secrets::Leave)?;
        let Some(missing) = db::missing_file(&config.database.url) else { return Self::to(place).await };
        note(&format!(
            "no database at {} yet: this is tried on an empty one, with the configuration's prompts, and no keys or earlier calls",
            missing.display()
        ));
        let folder = tempfile::Builder::new().prefix("fulcrum-explain-").tempdir();
        let folder =
            folder.map_err(|error| Failure::Unreachable(format!("no temporary folder can be made: {error}")))?;
        config.database.url = format!("sqlite://{}", folder.path().join("empty.db").display());
        let app = App::open_to_try(config).await.map_err(|error| Failure::Unreachable(error.to_string()))?;
        Ok(Self::here(app, Some(folder)))
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

    /// Sends a text that is no JSON object, such as lines of JSON.
    pub async fn send_text(&self, path: &str, text: String) -> Result<Value, Failure> {
        let headers = self.headers(&Method::POST)?;
        let (status, answer) = self.reply(Method::POST, path, Some(text), headers).await?;
        if status < 300 { read(&answer) } else { Err(self.failure(status, &answer)) }
    }

    /// Sends `body` to `path` with headers of a caller's. What a refusal says comes with it.
    pub async fn send_and_read(
        &self,
        path: &str,
        body: &Value,
        headers: HeaderMap,
    ) -> Result<(Value, Option<Failure>), Failure> {
        let (status, text) = self.reply(Method::POST, path, Some(body.to_string()), headers).await?;
        if status < 300 {
            return Ok((read(&text)?, None));
        }
        Ok((serde_json::from_str(&text).unwrap_or_default(), Some(self.failure(status, &text))))
    }

    /// Sends `body` to `path`, as a draft of the prompt `of` where there is one.
    pub async fn send_draft(&self, path: &str, body: &Value, of: Option<&PromptName>) -> Result<Value, Failure> {
        let mut headers = HeaderMap::new();
        if let Some(value) = of.and_then(|name| HeaderValue::from_str(name.as_str()).ok()) {
            headers.insert(DRAFT_OF, value);
        }
        read(&self.text_with(Method::POST, path, Some(body), headers).await?)
    }

    fn headers(&self, method: &Method) -> Result<HeaderMap, Failure> {
        let mut headers = HeaderMap::new();
        if *method != Method::GET && !self.author.is_empty() {
            let value = HeaderValue::from_bytes(self.author.as_bytes());
            let wrong = |_| Failure::Input("--author has letters that no name has".to_owned());
            headers.insert(AUTHOR, value.map_err(wrong)?);
        }
        Ok(headers)
    }

    async fn text(&self, method: Method, path: &str, body: Option<&Value>) -> Result<String, Failure> {
        let headers = self.headers(&method)?;
        self.text_with(method, path, body, headers).await
    }

    async fn text_with(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: HeaderMap,
    ) -> Result<String, Failure> {
        let (status, text) = self.reply(method, path, body.map(Value::to_string), headers).await?;
        if status < 300 { Ok(text) } else { Err(self.failure(status, &text)) }
    }

    async fn reply(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
        headers: HeaderMap,
    ) -> Result<(u16, String), Failure> {
        Ok(match &self.place {
            Place::Remote { client, base, key } => {
                let url = format!("{base}{path}");
                let unreachable = |error| Failure::Unreachable(format!("{base} cannot be reached: {error}"));
                let asked = client.ask((method, &url), key.as_deref(), headers, body);
                let reply = asked.await.map_err(unreachable)?;
                (reply.status().as_u16(), reply.text().await.map_err(unreachable)?)
            }
            Place::Here { app } => here(app, (method, path), headers, body).await?,
        })
    }

    fn failure(&self, status: u16, text: &str) -> Failure {
        let body: Value = serde_json::from_str(text).unwrap_or_default();
        let message = body.pointer("/error/message").and_then(Value::as_str).unwrap_or(text).to_owned();
        let message = match &self.place {
            Place::Remote { key: None, .. } if status == 401 => {
                format!("{message}\nName a key with --key or $FULCRUM_KEY.")
            }
            _ => message,
        };
        match status {
            404 | 409 => Failure::Negative(message),
            500.. => Failure::Unreachable(message),
            _ => Failure::Input(message),
        }
    }
}

async fn here(
    app: &App,
    (method, path): (Method, &str),
    headers: HeaderMap,
    body: Option<String>,
) -> Result<(u16, String), Failure> {
    let body = body.map_or_else(Body::empty, Body::from);
    let request =
        Request::builder().method(method).uri(path).header(CONTENT_TYPE, "application/json").extension(Operator);
    let mut request = request.body(body).map_err(|error| Failure::Input(error.to_string()))?;
    request.headers_mut().extend(headers);
    debug_assert!(!request.headers().contains_key(AUTHORIZATION));
    let response = match router(app.clone()).oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let status = response.status().as_u16();
    let detail = response.extensions().get::<Detail>().cloned();
    let bytes =
        response.into_body().collect().await.map_err(|error| Failure::Unreachable(error.to_string()))?.to_bytes();
    match detail {
        // A command has no log that would say more.
        Some(Detail(detail)) => Err(Failure::Unreachable(detail)),
        None => Ok((status, String::from_utf8_lossy(&bytes).into_owned())),
    }
}

/// An answer of a gateway in this process, whose body is still to come.
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    body: Body,
}

impl Answer {
    /// The next piece of the body; `None` at its end.
    pub async fn piece(&mut self) -> Option<Bytes> {
        while let Some(Ok(frame)) = self.body.frame().await {
            if let Ok(data) = frame.into_data() {
                return Some(data);
            }
        }
        None
    }

    /// The body as JSON; null where it is none.
    pub async fn json(mut self) -> Value {
        let mut body = Vec::new();
        while let Some(piece) = self.piece().await {
            body.extend_from_slice(&piece);
        }
        serde_json::from_slice(&body).unwrap_or_default()
    }
}

/// Sends a request of a caller's to a gateway in this process.
pub async fn ask(app: &App, request: Request<String>) -> Answer {
    let response = match router(app.clone()).oneshot(request.map(Body::from)).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let (head, body) = response.into_parts();
    Answer { status: head.status.as_u16(), headers: head.headers, body }
}

/// Asks the admin API of a gateway in this process.
pub async fn operate(app: &App, (method, path): (Method, &str), body: Option<&Value>) -> Value {
    let body = body.map_or_else(String::new, Value::to_string);
    let request =
        Request::builder().method(method).uri(path).header(CONTENT_TYPE, "application/json").extension(Operator);
    match request.body(body) {
        Ok(request) => ask(app, request).await.json().await,
        Err(_) => Value::Null,
    }
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
