//! A provider ready to be called: its client, its keys in turn, and its places.

use std::cell::Cell;
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use tokio::time::{Instant, timeout_at};

use super::adapters::{self, Adapters};
use super::address::{Operation, parsed};
use super::answer::{Answer, Body, Form, MAX_ANSWER};
use super::batch_api::{BatchApiCall, Payload};
use super::client::{Client, SideCall};
use super::connections::{Answered, Connections};
use super::failure::{Failure, Phase, read_refusal, read_retry_after, read_retry_info, refuses_key, short_code};
use super::in_flight::{Asking, InFlight, Place};
use super::in_process::{InProcess, InProcessCall, InProcessModels, confidence_in};
use super::keys::Keys;
use super::lacking::Lacking;
use super::limits::Limits;
use super::listing::{self, ListedModel, Listing};
use super::place::{Reach, Resolver};
use super::provider::Provider;
use super::redaction::{ProviderKeys, Redaction};
use super::seams::Seams;
use super::sent::Sent;
use super::server_health::Reports;
use super::sigv4::Signer;
use super::tls;
use crate::wire::form::is_form;
use crate::wire::{DialectId, ProviderDialect};

/// The most bytes of an answer of a batch API, which may be the results of a large batch.
const LONGEST_RESULTS: usize = 8 << 30;

/// The most bytes of an error's answer that are read.
const MAX_REFUSAL: usize = 64 << 10;

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
    /// The caller's time limit, if it set one.
    pub deadline: Option<Instant>,
    /// The project whose call it is.
    pub project: &'a Arc<str>,
    /// Whether other projects may call, too: then one never takes all places.
    pub shares: bool,
    /// Whether the call is of a batch, so that no caller waits: a quarter of the places is left to other calls.
    pub background: bool,
}

thread_local! {
    /// Which worker this thread is; any that is none shares connections with others that are none.
    static WORKER: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Makes this thread worker `n`, with connections of its own, so that no call wakes another thread.
pub fn work_as(n: usize) {
    WORKER.set(n);
}

/// A provider ready to be called.
pub struct ProviderClient {
    provider: Provider,
    transport: Transport,
    /// The client of the batch API, made at its first call.
    side: OnceLock<Client>,
    keys: Keys<Key>,
    /// Looks for its keys in what it answers; none where it has none.
    redaction: Option<Arc<Redaction>>,
    /// The models for which the provider answered that it has no Responses.
    lacks_responses: Lacking,
    /// Whether the provider refused to write embeddings as base64.
    lacks_base64: AtomicBool,
    /// What a llama.cpp server puts on its model.
    adapters: Adapters,
    /// The models that its server lists.
    listing: Listing,
    /// What its server reports of its health.
    pub(super) reports: Reports,
    places: Arc<InFlight>,
}

/// How calls reach a provider.
enum Transport {
    /// Over the network.
    Http {
        /// The connections of each worker, and those of all other threads.
        connections: Vec<Connections>,
        /// The addresses that are the same for every model.
        urls: HashMap<Operation, (Uri, HeaderValue)>,
    },
    /// Not at all: its models answer in this process.
    InProcess(Arc<dyn InProcess>),
}

struct Key {
    headers: HeaderMap,
    /// Signs each call, where the provider wants that.
    signer: Option<Signer>,
}

/// Why a provider cannot be called as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum BadAddress {
    /// The base URL is no address.
    #[error("base_url `{0}` is not a URL: {1}")]
    Url(String, String),
    /// The file of certificates cannot be read.
    #[error("ca_file `{0}` cannot be used: {1}")]
    Certificates(PathBuf, String),
    /// A key has characters that no header can carry.
    #[error("a key has characters that no header can carry, such as a line break")]
    Key,
    /// The models of this kind answer in the process, and this build has none.
    #[error("this build has no models of kind `{0}`")]
    NoModels(&'static str),
}

impl Transport {
    fn of(provider: &Provider, models: &InProcessModels) -> Result<Self, BadAddress> {
        let row = provider.kind.row();
        // Those of a kind that is called over the network stand in for its servers.
        if let Some(model) = models.get(row.name) {
            return Ok(Self::InProcess(model.clone()));
        }
        if row.in_process {
            return Err(BadAddress::NoModels(row.name));
        }
        let workers = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let tls = tls_of(provider)?;
        let connections = (0..=workers).map(|_| Connections::new(provider, tls.clone())).collect();
        let mut urls = HashMap::new();
        for operation in row.operations {
            let bad = |reason: String| BadAddress::Url(provider.base_url.clone(), reason);
            let known = parsed(&(row.address)(provider, *operation, "model", false)).map_err(bad)?;
            if !row.names_model {
                urls.insert(*operation, known);
            }
        }
        Ok(Self::Http { connections, urls })
    }
}

fn tls_of(provider: &Provider) -> Result<rustls::ClientConfig, BadAddress> {
    tls::of(&provider.base_url, provider.ca_file.as_deref())
        .map_err(|reason| BadAddress::Certificates(provider.ca_file.clone().unwrap_or_default(), reason))
}

impl ProviderClient {
    /// Prepares a provider without calling it. `models` are those that may answer in this process; `all` are the keys that are
    /// looked for in its answers beside its own.
    ///
    /// # Errors
    /// Where its URL or a key cannot be used.
    pub fn new(provider: Provider, models: &InProcessModels, all: &ProviderKeys) -> Result<Self, BadAddress> {
        let transport = Transport::of(&provider, models)?;
        let secrets = provider.api_keys.iter().map(|key| Some(key.expose()));
        let secrets: Vec<_> = if provider.api_keys.is_empty() { vec![None] } else { secrets.collect() };
        let keys = secrets.into_iter().map(|secret| Key::new(&provider, secret)).collect::<Result<_, _>>()?;
        let places = Arc::new(InFlight::new(provider.max_in_flight));
        // A model in this process is given no key.
        let none = ProviderKeys::default();
        let all = if provider.kind.row().in_process { &none } else { all };
        let redaction = Redaction::of(&provider, all).map(Arc::new);
        Ok(Self {
            provider,
            transport,
            side: OnceLock::new(),
            keys: Keys::new(keys),
            redaction,
            lacks_responses: Lacking::default(),
            lacks_base64: AtomicBool::new(false),
            adapters: Adapters::default(),
            listing: Listing::default(),
            reports: Reports::default(),
            places,
        })
    }

    /// The provider's configuration.
    #[must_use]
    pub fn provider(&self) -> &Provider {
        &self.provider
    }

    /// The dialect of calls to `model` for a caller whose dialect is `own`: the same, where the provider speaks that.
    #[must_use]
    pub fn dialect_for(&self, own: DialectId, model: &str) -> ProviderDialect {
        let (row, responses) = (self.provider.kind.row(), DialectId::OpenAiResponses);
        let may_have = row.has(Operation::Responses);
        if may_have && ((own == responses && self.has_responses(model)) || !self.provider.chat) {
            return responses.into();
        }
        row.dialect
    }

    /// Whether the provider speaks OpenAI's Responses for `model`, as far as is known.
    #[must_use]
    pub fn has_responses(&self, model: &str) -> bool {
        self.provider.responses && !self.lacks_responses.has(model, Instant::now)
    }

    /// Notes that the provider has no Responses for `model`: calls to it use Chat Completions for some minutes.
    pub fn lacks_responses(&self, model: &str) {
        self.lacks_responses.note(model, Instant::now());
    }

    /// Whether the provider may be asked for embeddings as base64, as far as is known.
    #[must_use]
    pub fn has_base64(&self) -> bool {
        !self.lacks_base64.load(Ordering::Relaxed)
    }

    /// Notes that the provider refuses base64: later calls ask for numbers.
    pub fn lacks_base64(&self) {
        self.lacks_base64.store(true, Ordering::Relaxed);
    }

    /// The adapters that the server puts on its model by itself, as a request's `lora` names them; `None` where they are not
    /// known, or the server has no such field.
    #[must_use]
    pub fn own_adapters(&self) -> Option<Arc<String>> {
        self.adapters.known()
    }

    /// Whether the server has adapters of its own that each call must name.
    #[must_use]
    pub fn has_adapters(&self) -> bool {
        self.provider.server.row().lora_field
    }

    /// Whether the server's own adapters should be asked for before a call goes out.
    #[must_use]
    pub fn lacks_adapters(&self) -> bool {
        self.has_adapters() && self.adapters.is_unknown(Instant::now())
    }

    /// Asks a server for its own adapters, where they were not asked for lately; returns whether they changed.
    pub async fn ask_adapters(&self) -> bool {
        if !self.has_adapters() {
            return false;
        }
        let _one_at_a_time = self.adapters.asking.lock().await;
        if !self.adapters.is_due(Instant::now()) {
            return false;
        }
        self.adapters.ask(Instant::now());
        let base = &self.provider.base_url;
        let url = format!("{}/lora-adapters", base.strip_suffix("/v1").unwrap_or(base));
        let headers = self.keys.next(Instant::now()).1.headers.clone();
        let asked = async {
            let reply =
                self.side().ok()?.send(SideCall { method: Method::GET, url: &url, headers, body: Bytes::new() });
            let reply = reply.await.ok().filter(|reply| reply.status().is_success())?;
            reply.text().await.ok()
        };
        match timeout_at(Instant::now() + adapters::LIMIT, asked).await {
            Ok(Some(report)) => self.adapters.note(report.as_bytes()),
            _ => {
                tracing::debug!(provider = %self.provider.name, "the server's adapters cannot be read");
                false
            }
        }
    }

    /// The models that its server lists, where that is asked for and known. Memory only.
    #[must_use]
    pub fn listed_models(&self) -> Arc<[ListedModel]> {
        if self.provider.list_models { self.listing.models(Instant::now()) } else { Arc::default() }
    }

    /// Whether its server is to be asked for its models now; whoever is told so asks.
    #[must_use]
    pub fn is_listing_due(&self) -> bool {
        self.provider.list_models && self.listing.is_due(Instant::now())
    }

    /// Asks its server for its models, for a bounded time and of a bounded length.
    pub async fn ask_models(&self) {
        let asked = timeout_at(Instant::now() + listing::LIMIT, self.read_models()).await;
        let models = asked.ok().flatten();
        if models.is_none() {
            tracing::debug!(provider = %self.provider.name, "the server's models cannot be read");
        }
        self.listing.note(models, Instant::now());
    }

    async fn read_models(&self) -> Option<Vec<ListedModel>> {
        let row = self.provider.kind.row();
        let url = format!("{}{}", (row.list?)(&self.provider), row.list_page);
        let headers = self.keys.next(Instant::now()).1.headers.clone();
        let asked = self.side().ok()?.send(SideCall { method: Method::GET, url: &url, headers, body: Bytes::new() });
        let mut reply = asked.await.ok().filter(|reply| reply.status().is_success())?;
        let mut list = Vec::new();
        while let Some(piece) = reply.piece().await.ok()? {
            if list.len() + piece.len() > listing::LONGEST {
                return None;
            }
            list.extend_from_slice(&piece);
        }
        let mut models = listing::read(&list)?;
        // A name that holds one of our keys is shown to nobody.
        models.retain(|model| self.redacted_text(model.id.to_string()) == model.id.as_str());
        Some(models)
    }

    /// Closes connections that have been idle for long.
    pub fn tidy_up(&self) {
        if let Transport::Http { connections, .. } = &self.transport {
            connections.iter().for_each(Connections::tidy_up);
        }
    }

    /// How many calls are under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.places.count()
    }

    /// Sends a call and waits for the answer's head.
    ///
    /// # Errors
    /// Where no 2xx comes in time.
    pub async fn send(&self, call: Call<'_>) -> Result<Answer, Failure> {
        let Call { project, shares, background, .. } = call;
        let place = self.places.take(Asking { project, shares, background }).ok_or(Failure::Busy)?;
        let now = Instant::now();
        let total = now + self.provider.timeouts.total;
        let (deadline, phase) = match call.deadline {
            Some(limit) if limit < total => (limit, Phase::Caller),
            _ => (total, Phase::Total),
        };
        let limits = Limits::of(&self.provider.timeouts, now, call.stream, (deadline, phase));
        match &self.transport {
            Transport::Http { connections, urls } => {
                let connections = &connections[WORKER.get().min(connections.len() - 1)];
                self.send_http((connections, urls), call, limits, place).await
            }
            Transport::InProcess(model) => Box::pin(self.answer_here(&**model, &call, limits, place)).await,
        }
    }

    async fn send_http(
        &self,
        (connections, urls): (&Connections, &HashMap<Operation, (Uri, HeaderValue)>),
        call: Call<'_>,
        limits: Limits,
        place: Place,
    ) -> Result<Answer, Failure> {
        let (n, key) = self.keys.next(Instant::now());
        let made;
        let (url, host) = match urls.get(&call.operation) {
            Some(known) => known,
            None => {
                let address = self.provider.kind.row().address;
                let text = address(&self.provider, call.operation, call.model, call.stream);
                made = parsed(&text).map_err(|reason| Failure::Protocol(format!("its address is none: {reason}")))?;
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
        let (limit, phase) = limits.head();
        let answer = connections.send(sent, limit).await;
        let Answered { status, headers, body } = answer.map_err(|broken| broken.failure(phase))?;
        let mut answer = self.answer(Body::Http(body), limits, place);
        answer.note_head(&headers);
        if status.is_success() {
            self.keys.accepted(n);
            // Our requests ask for no coding, and none is undone.
            return match headers
                .get(CONTENT_ENCODING)
                .filter(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
            {
                Some(coding) => Err(Failure::Protocol(format!(
                    "it is compressed (content-encoding {:.40}), which was not asked for",
                    // What is cut first may be a key no more, and most of it.
                    self.redacted_text(coding.to_str().unwrap_or_default().to_owned())
                ))),
                None => Ok(answer),
            };
        }
        // Apart, since a future has room for the largest that it may wait for, and is copied with it, once for each that waits for it.
        Err(Box::pin(self.refusal((status, &headers), &mut answer, n)).await)
    }

    /// The error in an answer with this status, without the provider's keys.
    #[must_use]
    pub fn refused(&self, status: u16, body: &[u8]) -> crate::chat::Error {
        read_refusal(status, body, self.redaction.as_deref())
    }

    /// `text`, which may be the provider's, without the gateway's keys.
    #[must_use]
    pub fn redacted_text(&self, text: String) -> String {
        match &self.redaction {
            Some(redaction) => redaction.text(text),
            None => text,
        }
    }

    /// `failure`, whose words may be the provider's, without the gateway's keys.
    #[must_use]
    pub fn redacted(&self, failure: Failure) -> Failure {
        failure.redacted(self.redaction.as_deref())
    }

    /// What an answer with this status means, whose keys stay in turn: one that came with others, as a batch's.
    #[must_use]
    pub fn failure(&self, status: u16, headers: &HeaderMap, body: &[u8]) -> Failure {
        let mut error = self.refused(status, body);
        let meant = (self.provider.kind.row().correct)(status, headers, body, &mut error);
        // A code may stand in a header, which is as it arrived.
        error.upstream_code = error.upstream_code.map(|code| short_code(self.redacted_text(code)));
        error.retry_after = read_retry_after(headers, crate::types::now().into()).or_else(|| read_retry_info(body));
        match meant {
            429 => Failure::Throttled { retry_after: error.retry_after, message: error.message, another_key: false },
            meant if refuses_key(meant, body) => Failure::Auth { status, another_key: false },
            408 | 409 | 500..=599 => Failure::Server { status, error: Box::new(error) },
            400..=499 => Failure::Refused { status, error: Box::new(error) },
            _ => Failure::Protocol(format!("it answered with status {status}, which is not followed")),
        }
    }

    /// Calls its batch API, and waits for the answer's head.
    ///
    /// # Errors
    /// Where no 2xx comes in time, or the provider has no batch API.
    pub async fn call_batch_api(&self, call: BatchApiCall<'_>, payload: Payload) -> Result<Answer, Failure> {
        let none = || Failure::Protocol("it has no batch API that is known".to_owned());
        let api = self.provider.kind.row().batch_api.ok_or_else(none)?;
        let url = call.address(api, &self.provider.base_url);
        let place = self.places.take_any().ok_or(Failure::Busy)?;
        let (n, key) = self.keys.next(Instant::now());
        let mut headers = key.headers.clone();
        headers.insert(CONTENT_TYPE, payload.kind);
        let deadline = Instant::now() + payload.limit;
        let limits = Limits { head: (deadline, Phase::Total), first: deadline, deadline, phase: Phase::Total };
        let sent = SideCall { method: call.method(), url: &url, headers, body: payload.body };
        let answer = timeout_at(deadline, self.side()?.send(sent)).await;
        let answer = answer.map_err(|_| Failure::TimedOut(Phase::Total))?.map_err(|failure| self.redacted(failure))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut answer = self.answer(Body::Side(answer), limits, place);
        answer.longest = LONGEST_RESULTS;
        if status.is_success() {
            self.keys.accepted(n);
            return Ok(answer);
        }
        Err(self.refusal((status, &headers), &mut answer, n).await)
    }

    /// The headers of a call with each of its keys.
    pub(super) fn key_headers(&self) -> Vec<HeaderMap> {
        self.keys.all().iter().map(|key| key.headers.clone()).collect()
    }

    /// The client for what is on no call's path.
    pub(super) fn side(&self) -> Result<&Client, Failure> {
        if let Some(client) = self.side.get() {
            return Ok(client);
        }
        let tls = tls_of(&self.provider).map_err(|error| Failure::Connect(error.to_string()))?;
        let resolver = Resolver(Reach::of(&self.provider));
        let made = Client::with(tls, self.provider.timeouts.connect, Some(resolver));
        let made = made.map_err(|error| Failure::Connect(error.to_string()))?;
        Ok(self.side.get_or_init(|| made))
    }

    async fn answer_here(
        &self,
        model: &dyn InProcess,
        call: &Call<'_>,
        limits: Limits,
        place: Place,
    ) -> Result<Answer, Failure> {
        let asked = InProcessCall {
            operation: call.operation,
            model: call.model,
            stream: call.stream,
            body: &call.body,
            form: call.headers.get(CONTENT_TYPE).filter(|kind| is_form(kind.as_bytes())),
            profile: self.provider.profile.as_deref(),
            deadline: limits.deadline,
        };
        let (limit, phase) = limits.head();
        let made = timeout_at(limit, model.answer(asked)).await.map_err(|_| Failure::TimedOut(phase))??;
        let mut answer = self.answer(Body::InProcess(made.body, made.cpu), limits, place);
        answer.note_head(&made.headers);
        answer.confidence = confidence_in(&made.headers);
        let status = made.status;
        if status.is_success() {
            return Ok(answer);
        }
        Err(self.refusal((status, &made.headers), &mut answer, self.keys.next(Instant::now()).0).await)
    }

    fn answer(&self, body: Body, limits: Limits, place: Place) -> Answer {
        let Limits { first, deadline, phase, .. } = limits;
        let idle = self.provider.timeouts.idle;
        Answer {
            body,
            idle,
            first,
            deadline,
            phase,
            read: 0,
            since: None,
            // Set before it is read.
            waited_since: first,
            awaits_token: false,
            longest: MAX_ANSWER,
            is_stream: false,
            kind: None,
            redaction: self.redaction.clone(),
            held: Bytes::new(),
            seams: Seams::default(),
            is_suspect: false,
            has_ended: false,
            form: Form::Text,
            confidence: None,
            _place: place,
        }
    }

    async fn refusal(&self, (status, headers): (StatusCode, &HeaderMap), answer: &mut Answer, key: usize) -> Failure {
        let body = answer.whole(MAX_REFUSAL).await.unwrap_or_default();
        let mut failure = self.failure(status.as_u16(), headers, &body);
        let now = Instant::now();
        match &mut failure {
            Failure::Auth { another_key, .. } => *another_key = self.keys.refused(key, now),
            Failure::Throttled { retry_after, another_key, .. } if self.keys.all().len() > 1 => {
                *another_key = self.keys.limited(key, *retry_after, now);
                if !*another_key {
                    // The provider takes calls again once the first of its keys may be used.
                    *retry_after = retry_after.map(|named| named.min(self.keys.soonest(now)));
                }
            }
            _ => {}
        }
        failure
    }
}

impl Key {
    fn new(provider: &Provider, secret: Option<&str>) -> Result<Self, BadAddress> {
        let row = provider.kind.row();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static(row.accept));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("fulcrum/", env!("CARGO_PKG_VERSION"))));
        if let Some(secret) = secret {
            let (name, value) = (row.auth)(provider, secret);
            let mut value: HeaderValue = value.parse().map_err(|_| BadAddress::Key)?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        for (name, value) in row.headers {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let signer = provider.aws.as_ref().and_then(Signer::of);
        Ok(Self { headers, signer })
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
