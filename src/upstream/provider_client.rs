//! A provider ready to be called: its client, its keys in turn, and its places.

use std::cell::Cell;
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout_at};

use super::address::{Operation, address, names_model};
use super::answer::{Answer, Body, MAX_ANSWER, reason};
use super::connections::{Answered, Broken, Connections, Sent};
use super::failure::{read_refusal, read_retry_after, refuses_key};
use super::sigv4::Signer;
use super::{AwsCredentials, Errand, Failure, Kind, Load, Phase, Provider, aws, simulated, tls};
use crate::chat::Code;
use crate::types::Secret;
use crate::wire::form::is_form;

/// The most bytes of an errand's answer, which may be the results of a large batch.
const LONGEST_ERRAND: usize = 8 << 30;

/// The most bytes of an error's answer that are read.
const MAX_REFUSAL: usize = 64 << 10;

/// What every provider but those whose addresses name the model is asked at addresses known beforehand.
const OPERATIONS: [Operation; 5] =
    [Operation::Chat, Operation::Responses, Operation::Embeddings, Operation::Messages, Operation::CountTokens];

/// The version of Anthropic's API where neither the caller nor the translation names one.
const ANTHROPIC_VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");

/// One call.
pub struct Call<'a> {
    /// What is asked.
    pub operation: Operation,
    /// Of which model.
    pub model: &'a str,
    /// Whether a stream is asked for.
    pub stream: bool,
    /// Headers of the dialect, beside those that every call has.
    pub headers: HeaderMap,
    /// The body, in the provider's dialect.
    pub body: Bytes,
    /// The caller's own limit, if it gave one.
    pub deadline: Option<Instant>,
    /// Whether nobody waits for it: a quarter of the places is left to calls that somebody waits for.
    pub background: bool,
}

thread_local! {
    /// Which worker this thread is; any that is none shares connections with others that are none.
    static WORKER: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Makes this thread worker `n`: it calls through connections of its own, so that no call wakes another thread.
pub fn work_as(n: usize) {
    WORKER.set(n);
}

/// A provider ready to be called.
pub struct ProviderClient {
    provider: Provider,
    /// Those of each worker, and those of all other threads.
    connections: Vec<Connections>,
    urls: HashMap<Operation, (Uri, HeaderValue)>,
    keys: Vec<Key>,
    secrets: Arc<[Secret]>,
    turn: AtomicUsize,
    /// Whether it answered that it has no Responses.
    lacks_responses: AtomicBool,
    /// Whether it refused to write embeddings as base64.
    lacks_base64: AtomicBool,
    places: Arc<Semaphore>,
}

struct Key {
    headers: HeaderMap,
    /// Signs each call, where the provider wants that.
    signer: Option<Signer>,
    refused: AtomicBool,
}

/// Why a provider cannot be called as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum BadAddress {
    /// Its URL is none.
    #[error("base_url `{0}` is not a URL: {1}")]
    Url(String, String),
    /// Its file of certificates is none.
    #[error("ca_file `{0}` cannot be used: {1}")]
    Certificates(PathBuf, String),
    /// A key has characters that no header can carry.
    #[error("a key has characters that no header can carry, such as a line break")]
    Key,
}

impl ProviderClient {
    /// Makes a provider ready. Calls nobody.
    ///
    /// # Errors
    /// Where its URL or a key cannot be used.
    pub fn new(provider: Provider) -> Result<Self, BadAddress> {
        let workers = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let tls = match &provider.ca_file {
            Some(file) => tls::trusting(file).map_err(|reason| BadAddress::Certificates(file.clone(), reason))?,
            None if provider.base_url.starts_with("https:") => tls::config(),
            None => tls::unused(),
        };
        let connections = (0..=workers).map(|_| Connections::new(&provider, tls.clone())).collect();
        let mut urls = HashMap::new();
        for operation in OPERATIONS.into_iter().filter(|_| provider.kind != Kind::Simulated) {
            let bad = |reason: String| BadAddress::Url(provider.base_url.clone(), reason);
            let known = addressed(&address(&provider, operation, "model", false)).map_err(bad)?;
            if !names_model(&provider) {
                urls.insert(operation, known);
            }
        }
        let secrets = provider.api_keys.iter().map(|key| Some(key.expose()));
        let secrets: Vec<_> = if provider.api_keys.is_empty() { vec![None] } else { secrets.collect() };
        let keys = secrets.into_iter().map(|secret| Key::new(&provider, secret)).collect::<Result<_, _>>()?;
        let places = Arc::new(Semaphore::new(provider.max_in_flight));
        let signing = provider.aws.iter().filter_map(|aws| aws.credentials.as_ref());
        let secrets = provider.api_keys.iter().chain(signing.flat_map(AwsCredentials::secrets)).cloned().collect();
        Ok(Self {
            provider,
            connections,
            urls,
            keys,
            secrets,
            turn: AtomicUsize::new(0),
            lacks_responses: AtomicBool::new(false),
            lacks_base64: AtomicBool::new(false),
            places,
        })
    }

    /// The provider's configuration.
    #[must_use]
    pub fn provider(&self) -> &Provider {
        &self.provider
    }

    /// Whether it speaks OpenAI's Responses, as far as is known.
    #[must_use]
    pub fn has_responses(&self) -> bool {
        self.provider.responses && !self.lacks_responses.load(Ordering::Relaxed)
    }

    /// Notes that it has no such route: from now on it is asked in Chat Completions.
    pub fn lacks_responses(&self) {
        self.lacks_responses.store(true, Ordering::Relaxed);
    }

    /// Whether it writes embeddings as base64, or at least does not refuse to, as far as is known.
    #[must_use]
    pub fn has_base64(&self) -> bool {
        !self.lacks_base64.load(Ordering::Relaxed)
    }

    /// Notes that it refuses to: from now on it is asked for numbers.
    pub fn lacks_base64(&self) {
        self.lacks_base64.store(true, Ordering::Relaxed);
    }

    /// Closes connections that have been idle for long.
    pub fn tidy_up(&self) {
        self.connections.iter().for_each(Connections::tidy_up);
    }

    /// How many calls are under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.provider.max_in_flight.saturating_sub(self.places.available_permits())
    }

    /// Sends a call and waits for the answer's head.
    ///
    /// # Errors
    /// Where no 2xx comes in time.
    pub async fn send(&self, call: Call<'_>) -> Result<Answer, Failure> {
        if call.background && self.places.available_permits() <= self.provider.max_in_flight / 4 {
            return Err(Failure::Busy);
        }
        let place = self.places.clone().try_acquire_owned().map_err(|_| Failure::Busy)?;
        let now = Instant::now();
        let total = now + self.provider.timeouts.total;
        let (deadline, phase) = match call.deadline {
            Some(limit) if limit < total => (limit, Phase::Caller),
            _ => (total, Phase::Total),
        };
        let limits = Limits { first: now + self.provider.timeouts.first_token, deadline, phase };
        match self.provider.kind {
            Kind::Simulated => self.simulate(&call, limits, place).await,
            _ => self.send_http(call, limits, place).await,
        }
    }

    async fn send_http(&self, call: Call<'_>, limits: Limits, place: OwnedSemaphorePermit) -> Result<Answer, Failure> {
        let (n, key) = self.next_key();
        let connections = self.connections();
        let made;
        let (url, host) = match self.urls.get(&call.operation) {
            Some(known) => known,
            None => {
                let text = address(&self.provider, call.operation, call.model, call.stream);
                made =
                    addressed(&text).map_err(|reason| Failure::Protocol(format!("its address is none: {reason}")))?;
                &made
            }
        };
        let joined;
        let headers = if call.headers.is_empty() {
            &key.headers
        } else {
            joined = key.with(&call.headers);
            &joined
        };
        let mut sent = Sent { method: &Method::POST, url, host, headers, body: &call.body };
        let signed;
        if let Some(signer) = &key.signer {
            let unsigned = |reason: String| Failure::Protocol(format!("its call cannot be signed: {reason}"));
            signed = signer.signed(&sent, crate::types::now().into()).map_err(unsigned)?;
            sent.headers = &signed;
        }
        let (limit, phase) = limits.first();
        let answer = timeout_at(limit, connections.send(sent)).await.map_err(|_| Failure::TimedOut(phase))?;
        let Answered { status, headers, body } = answer.map_err(|error| transport_failure(&error))?;
        let mut answer = self.answer(Body::Http(body), limits, place);
        answer.told(&headers);
        if status.is_success() {
            key.refused.store(false, Ordering::Relaxed);
            return Ok(answer);
        }
        Err(self.refusal(status, &headers, &mut answer, n).await)
    }

    /// The error that an answer with this status tells, without the provider's keys.
    #[must_use]
    pub fn refused(&self, status: u16, body: &[u8]) -> crate::chat::Error {
        let secrets: Vec<&str> = self.secrets.iter().map(Secret::expose).collect();
        read_refusal(status, body, &secrets)
    }

    /// Runs an errand, and waits for the answer's head.
    ///
    /// # Errors
    /// Where no 2xx comes in time, or the provider has nothing of the kind.
    pub async fn run(&self, errand: Errand<'_>, load: Load) -> Result<Answer, Failure> {
        let none = || Failure::Protocol("it has no batch API that is known".to_owned());
        let text = errand.address(&self.provider).ok_or_else(none)?;
        let (url, host) = addressed(&text).map_err(Failure::Protocol)?;
        let place = self.places.clone().try_acquire_owned().map_err(|_| Failure::Busy)?;
        let (n, key) = self.next_key();
        let mut headers = key.headers.clone();
        headers.insert(CONTENT_TYPE, load.kind);
        let deadline = Instant::now() + load.limit;
        let limits = Limits { first: deadline, deadline, phase: Phase::Total };
        let method = errand.method();
        let sent = Sent { method: &method, url: &url, host: &host, headers: &headers, body: &load.body };
        let connections = self.connections();
        let answer = timeout_at(deadline, connections.send(sent)).await.map_err(|_| Failure::TimedOut(Phase::Total))?;
        let Answered { status, headers, body } = answer.map_err(|error| transport_failure(&error))?;
        let mut answer = self.answer(Body::Http(body), limits, place);
        answer.longest = LONGEST_ERRAND;
        if status.is_success() {
            key.refused.store(false, Ordering::Relaxed);
            return Ok(answer);
        }
        Err(self.refusal(status, &headers, &mut answer, n).await)
    }

    /// This thread's connections.
    fn connections(&self) -> &Connections {
        &self.connections[WORKER.get().min(self.connections.len() - 1)]
    }

    async fn simulate(&self, call: &Call<'_>, limits: Limits, place: OwnedSemaphorePermit) -> Result<Answer, Failure> {
        let (path, profile) = (call.operation.path(), self.provider.profile.as_deref());
        let made = match call.headers.get(CONTENT_TYPE).filter(|kind| is_form(kind.as_bytes())) {
            Some(kind) => simulated::answer_form(path, &call.body, kind.as_bytes(), profile),
            None => simulated::answer(path, &call.body, profile),
        };
        let (limit, phase) = limits.first();
        if timeout_at(limit, sleep(made.after)).await.is_err() {
            return Err(Failure::TimedOut(phase));
        }
        let status = StatusCode::from_u16(made.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut answer = self.answer(Body::Made(made.body), limits, place);
        answer.told(&made.headers);
        if status.is_success() { Ok(answer) } else { Err(self.refusal(status, &made.headers, &mut answer, 0).await) }
    }

    fn answer(&self, body: Body, limits: Limits, place: OwnedSemaphorePermit) -> Answer {
        let Limits { first, deadline, phase } = limits;
        let idle = self.provider.timeouts.idle;
        Answer {
            body,
            idle,
            first,
            deadline,
            phase,
            read: 0,
            longest: MAX_ANSWER,
            is_stream: false,
            kind: None,
            secrets: self.secrets.clone(),
            _place: place,
        }
    }

    /// The next key in turn that was not refused; any key where all were.
    fn next_key(&self) -> (usize, &Key) {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let count = self.keys.len();
        let places = (0..count).map(|n| (turn + n) % count);
        let good = places.clone().find(|n| !self.keys[*n].refused.load(Ordering::Relaxed));
        let n = good.unwrap_or(turn % count);
        (n, &self.keys[n])
    }

    async fn refusal(&self, status: StatusCode, headers: &HeaderMap, answer: &mut Answer, key: usize) -> Failure {
        let body = answer.whole(MAX_REFUSAL).await.unwrap_or_default();
        let secrets: Vec<&str> = self.secrets.iter().map(Secret::expose).collect();
        let mut error = read_refusal(status.as_u16(), &body, &secrets);
        let status = status.as_u16();
        let mut meant = status;
        if self.provider.kind == Kind::Bedrock {
            meant = aws::meant(headers, &body).unwrap_or(status);
            if aws::is_too_long(&error.message) {
                error.code = Code::ContextLengthExceeded;
            }
        }
        match meant {
            429 => {
                let retry_after = read_retry_after(headers, crate::types::now().into());
                Failure::Throttled { retry_after, message: error.message }
            }
            meant if refuses_key(meant, &body) => {
                self.keys[key].refused.store(true, Ordering::Relaxed);
                let another_key = self.keys.iter().any(|key| !key.refused.load(Ordering::Relaxed));
                Failure::Auth { status, another_key }
            }
            408 | 409 | 500..=599 => Failure::Server { status, message: error.message },
            400..=499 => Failure::Refused { status, error: Box::new(error) },
            _ => Failure::Protocol(format!("it answered with status {status}, which is not followed")),
        }
    }
}

/// When a call must have ended, and whose limit that is.
#[derive(Clone, Copy)]
struct Limits {
    first: Instant,
    deadline: Instant,
    phase: Phase,
}

impl Limits {
    /// The limit of an answer's beginning.
    fn first(self) -> (Instant, Phase) {
        if self.first < self.deadline { (self.first, Phase::FirstToken) } else { (self.deadline, self.phase) }
    }
}

impl Key {
    fn new(provider: &Provider, secret: Option<&str>) -> Result<Self, BadAddress> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let accepted = match provider.kind {
            Kind::Bedrock => "application/json, application/vnd.amazon.eventstream",
            _ => "application/json, text/event-stream",
        };
        headers.insert(ACCEPT, HeaderValue::from_static(accepted));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("fulcrum/", env!("CARGO_PKG_VERSION"))));
        if let Some(secret) = secret {
            let (name, value) = match provider.kind {
                Kind::Anthropic => (HeaderName::from_static("x-api-key"), secret.to_owned()),
                Kind::Gemini => (HeaderName::from_static("x-goog-api-key"), secret.to_owned()),
                Kind::Azure if !provider.entra_tokens => (HeaderName::from_static("api-key"), secret.to_owned()),
                _ => (AUTHORIZATION, format!("Bearer {secret}")),
            };
            let mut value: HeaderValue = value.parse().map_err(|_| BadAddress::Key)?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        if provider.kind == Kind::Anthropic {
            headers.insert("anthropic-version", ANTHROPIC_VERSION);
        }
        let signer = provider.aws.as_ref().and_then(Signer::of);
        Ok(Self { headers, signer, refused: AtomicBool::new(false) })
    }

    /// The headers of every call, with those of this one.
    fn with(&self, more: &HeaderMap) -> HeaderMap {
        let mut headers = self.headers.clone();
        for (name, value) in more {
            headers.insert(name.clone(), value.clone());
        }
        headers
    }
}

/// An address, and the `Host` of its calls.
fn addressed(text: &str) -> Result<(Uri, HeaderValue), String> {
    let url: Uri = text.parse().map_err(|error: http::uri::InvalidUri| error.to_string())?;
    let host = host_of(&url).ok_or("it must begin with http:// or https:// and a host")?;
    Ok((url, host))
}

/// The `Host` of calls of `url`: with its port only where that is not the usual one. `None` where it is no address of HTTP.
fn host_of(url: &Uri) -> Option<HeaderValue> {
    let usual = match url.scheme_str()? {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let host = url.host()?;
    match url.port_u16().filter(|port| *port != usual) {
        Some(port) => format!("{host}:{port}").parse().ok(),
        None => host.parse().ok(),
    }
}

impl Answer {
    /// Notes what its head tells of its body.
    fn told(&mut self, headers: &HeaderMap) {
        let kinds: [&[u8]; 2] = [b"text/event-stream", b"application/vnd.amazon.eventstream"];
        self.kind = headers.get(CONTENT_TYPE).cloned();
        self.is_stream =
            self.kind.as_ref().is_some_and(|told| kinds.iter().any(|kind| told.as_bytes().starts_with(kind)));
    }
}

fn transport_failure(broken: &Broken) -> Failure {
    match broken {
        Broken::Connect(error) if is_timeout(&**error) => Failure::TimedOut(Phase::Connect),
        Broken::Connect(error) => Failure::Connect(reason(&**error)),
        Broken::Cut(error) => Failure::Protocol(reason(&**error)),
    }
}

/// Whether a connector's own limit passed.
fn is_timeout(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::TimedOut) {
            return true;
        }
        cause = error.source();
    }
    false
}
