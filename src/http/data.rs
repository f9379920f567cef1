//! The data plane: a request is admitted, handed to the gateway, and its reply is written.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use http::header::{AGE, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use percent_encoding::percent_decode_str;
use tokio::time::Instant;

use super::arrival::Arrival;
use super::auth::{self, Peer};
use super::error::{Refusal, SHOULD_RETRY, guarded, put_id, seconds};
use super::listed;
use crate::app::App;
use crate::cache::Directive;
use crate::chat::{Code, Error};
use crate::gateway::{self, Head, Incoming, Reply, Room, SMALL_BODY};
use crate::keys::Window;
use crate::telemetry::AccessLine;
use crate::types::{RequestId, now, parse_duration};
use crate::wire::dialect::Addressed;
use crate::wire::endpoint::Endpoint;
use crate::wire::form::is_form;

/// Headers of our own. Made once: to make a name is to check each of its letters.
static TAGS: HeaderName = HeaderName::from_static("x-fulcrum-tags");
static SESSION: HeaderName = HeaderName::from_static("x-fulcrum-session");
static USER: HeaderName = HeaderName::from_static("x-fulcrum-user");
static TIMEOUT: HeaderName = HeaderName::from_static("x-fulcrum-timeout");
static CACHE: HeaderName = HeaderName::from_static("x-fulcrum-cache");
static MODEL: HeaderName = HeaderName::from_static("x-fulcrum-model");
static ROUTE: HeaderName = HeaderName::from_static("x-fulcrum-route");
static PROMPT: HeaderName = HeaderName::from_static("x-fulcrum-prompt");
static VARIANT: HeaderName = HeaderName::from_static("x-fulcrum-variant");
static EMULATED: HeaderName = HeaderName::from_static("x-fulcrum-emulated");
static REPAIR: HeaderName = HeaderName::from_static("x-fulcrum-repair");
static COST: HeaderName = HeaderName::from_static("x-fulcrum-cost-usd");
static SIMULATED: HeaderName = HeaderName::from_static("x-fulcrum-simulated");
static ATTEMPTS: HeaderName = HeaderName::from_static("x-fulcrum-attempts");
static LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit-requests");
static REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining-requests");
static RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset-requests");

/// What a body is by its `content-type`.
const JSON: &[u8] = b"application/json";

/// How long a caller may take to send its body.
const BODY_LIMIT: Duration = Duration::from_secs(60);

/// The most tags of a request.
const MAX_TAGS: usize = 32;

/// An endpoint that is called, and what the address says of the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointCall {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// What the address says of the request.
    pub addressed: Addressed,
}

impl EndpointCall {
    /// The endpoint that a `POST` of `uri` calls.
    pub fn at(uri: &Uri) -> Option<Self> {
        if let Some(endpoint) = Endpoint::at(uri.path()) {
            return Some(Self { endpoint, addressed: Addressed::default() });
        }
        let named = ["/v1beta/models/", "/v1/models/"].iter().find_map(|prefix| uri.path().strip_prefix(prefix))?;
        let (model, method) = named.rsplit_once(':')?;
        let (endpoint, stream) = Endpoint::of_method(method)?;
        let model = percent_decode_str(model).decode_utf8().ok()?.into_owned();
        Some(Self { endpoint, addressed: Addressed { model: Some(model), stream } })
    }
}

/// Any endpoint, for requests that come by the router.
pub async fn called(State(app): State<App>, request: Request) -> Response {
    match EndpointCall::at(request.uri()) {
        Some(called) => {
            let peer = request.extensions().get().copied();
            serve(app, called, request, peer).await
        }
        None => super::health::nothing_here(request.method().clone(), request.uri().clone()).await.into_response(),
    }
}

/// Serves a call of the data plane.
pub fn serve(app: App, called: EndpointCall, request: Request, peer: Option<Peer>) -> impl Future<Output = Response> {
    let id = RequestId::new();
    guarded(id, called.endpoint.dialect(), respond_to(app, id, called, request, peer))
}

async fn respond_to(app: App, id: RequestId, called: EndpointCall, request: Request, peer: Option<Peer>) -> Response {
    let endpoint = called.endpoint;
    // Only Google's addresses say whether to stream, and then in which form.
    let as_list = called.addressed.stream && !listed::asks_events(request.uri());
    match admit(&app, id, called, request, peer).await {
        Ok((incoming, window)) => respond(app.gateway().call(incoming).await, window.as_ref(), as_list),
        Err(Unadmitted { error, window, key }) => {
            app.metrics().saw_refusal(endpoint.name());
            app.gateway().parts().access_log.write(|| refused(id, endpoint, &error, key.as_deref()));
            let mut response = Refusal(error).answer_in(endpoint.dialect(), id);
            if let Some(window) = window {
                put_window(response.headers_mut(), &window);
            }
            response
        }
    }
}

/// Why a request is not admitted, and where its key's own limit stands if that is why.
pub struct Unadmitted {
    /// Why.
    pub error: Error,
    window: Option<Window>,
    /// Whose request it is, where it went over that key's own limit.
    key: Option<Arc<str>>,
}

impl<E: Into<Error>> From<E> for Unadmitted {
    fn from(error: E) -> Self {
        Self { error: error.into(), window: None, key: None }
    }
}

/// The log line of a request that is not admitted.
fn refused<'a>(request: RequestId, endpoint: Endpoint, error: &'a Error, key: Option<&'a str>) -> AccessLine<'a> {
    AccessLine {
        request,
        key,
        endpoint: endpoint.name(),
        model: "",
        provider: None,
        provider_model: None,
        status: error.status(),
        outcome: "refused",
        error: Some(error.code.text()),
        latency: Duration::ZERO,
        cost: None,
        cache: None,
    }
}

/// Checks the key, its limits and the body's size, and reads what the headers say.
pub async fn admit(
    app: &App,
    id: RequestId,
    called: EndpointCall,
    request: Request,
    peer: Option<Peer>,
) -> Result<(Incoming, Option<Window>), Unadmitted> {
    let (started, started_at) = (Instant::now(), now());
    let EndpointCall { endpoint, addressed } = called;
    if !app.is_welcoming() {
        return Err(
            Error::new(Code::Overloaded, "the gateway is shutting down; ask another, or again in a moment").into()
        );
    }
    let (parts, body) = request.into_parts();
    let key = auth::caller(app, &parts, peer, started_at).await?;
    let window = app.keys().admit(&key, started_at).map_err(|throttled| Unadmitted {
        window: Some(throttled.window),
        key: Some(key.id.clone()),
        error: throttled.into(),
    })?;
    let text = |name: &'static HeaderName| header_text(&parts.headers, name);
    let mut incoming = Incoming {
        id,
        started,
        started_at,
        endpoint,
        addressed,
        body: Bytes::new(),
        tags: read_tags(text(&TAGS)?)?,
        session: text(&SESSION)?.map(Arc::from),
        user: text(&USER)?.map(Arc::from),
        cache: read_directive(text(&CACHE_CONTROL)?, text(&CACHE)?)?,
        timeout: text(&TIMEOUT)?.map(read_timeout).transpose()?,
        key,
        headers: HeaderMap::new(),
        background: false,
        judged: None,
        own: None,
    };
    if !form_of(endpoint, &parts.headers) {
        check_json(&parts.headers)?;
    }
    let room = app.room_for_body(&incoming.key.id);
    let key = incoming.key.clone();
    let arrival = Arrival::of(app, &key.project, BODY_LIMIT);
    incoming.body = read_bytes(&parts.headers, (body, arrival), app.max_body(), Some(room)).await?;
    incoming.headers = parts.headers;
    Ok((incoming, window))
}

fn header_text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Error> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    match value.to_str() {
        Ok(text) if text.len() <= 4_096 => Ok(Some(text)),
        _ => {
            Err(Error::field(name.as_str(), format!("the header {name} must be plain text of at most 4096 characters")))
        }
    }
}

fn read_directive(control: Option<&str>, own: Option<&str>) -> Result<Directive, Error> {
    Directive::parse(control, own).map_err(|error| Error::field("x-fulcrum-cache", error.to_string()))
}

fn read_timeout(text: &str) -> Result<Duration, Error> {
    let limit = parse_duration(text).filter(|limit| !limit.is_zero());
    limit.ok_or_else(|| Error::field("x-fulcrum-timeout", "x-fulcrum-timeout must be a duration such as 500ms or 20s"))
}

/// Names and values.
type Tags = Vec<(Arc<str>, Arc<str>)>;

fn read_tags(text: Option<&str>) -> Result<Tags, Error> {
    let bad = |message: &str| Error::field("x-fulcrum-tags", message);
    let mut tags = Tags::new();
    for pair in text.unwrap_or_default().split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or_else(|| bad("x-fulcrum-tags must be a=b,c=d"))?;
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() || name.len() > 64 || value.len() > 256 {
            return Err(bad("a tag's name has 1 to 64 characters, its value at most 256"));
        }
        if tags.iter().any(|(known, _)| &**known == name) {
            return Err(bad("a tag's name may stand once"));
        }
        tags.push((name.into(), value.into()));
    }
    if tags.len() > MAX_TAGS {
        return Err(bad("a request has at most 32 tags"));
    }
    Ok(tags)
}

/// Reads a JSON body of at most `limit` bytes; of `owner` where that has a share of the bodies that are waited for.
pub async fn read_body(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    owner: Option<(&App, &Arc<str>)>,
) -> Result<Bytes, Error> {
    check_json(headers)?;
    let arrival = match owner {
        Some((app, project)) => Arrival::of(app, project, BODY_LIMIT),
        None => Arrival::of_nobody(BODY_LIMIT),
    };
    read_bytes(headers, (body, arrival), limit, None).await
}

fn check_json(headers: &HeaderMap) -> Result<(), Error> {
    let kind = headers.get(CONTENT_TYPE).map_or(JSON, HeaderValue::as_bytes);
    if !kind.get(..JSON.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(JSON)) {
        return Err(Error::new(
            Code::UnsupportedMediaType,
            "the body must be JSON, or a form where the route takes one: send content-type: application/json, or \
             multipart/form-data",
        ));
    }
    Ok(())
}

/// Whether the body is a form, for a route that takes one.
fn form_of(endpoint: Endpoint, headers: &HeaderMap) -> bool {
    endpoint.takes_form() && headers.get(CONTENT_TYPE).is_some_and(|kind| is_form(kind.as_bytes()))
}

/// Reads a body of at most `limit` bytes, where there is room for it.
async fn read_bytes(
    headers: &HeaderMap,
    (body, arrival): (Body, Arrival<'_>),
    limit: usize,
    room: Option<Room>,
) -> Result<Bytes, Error> {
    if headers.contains_key(http::header::CONTENT_ENCODING) {
        return Err(Error::new(
            Code::UnsupportedMediaType,
            "a compressed body is not read: send it without content-encoding",
        ));
    }
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large(limit));
    }
    let room = room.filter(|_| announced.is_none_or(|length| length > SMALL_BODY));
    collect((Limited::new(body, limit), arrival), announced, room, limit).await
}

/// Collects a body as it comes: what is announced and does not come takes no room. One that comes in one piece is not copied.
async fn collect(
    (mut body, mut arrival): (Limited<Body>, Arrival<'_>),
    announced: Option<usize>,
    mut room: Option<Room>,
    limit: usize,
) -> Result<Bytes, Error> {
    let (mut first, mut all) = (Bytes::new(), BytesMut::new());
    while let Some(frame) = arrival.next(body.frame()).await? {
        let Ok(data) = frame.map_err(|error| broken(&*error, limit))?.into_data() else { continue };
        arrival.note(data.len());
        let length = first.len() + all.len() + data.len();
        if let Some(room) = &mut room {
            room.reach(length)?;
        }
        if length == data.len() {
            first = data;
            continue;
        }
        if all.is_empty() {
            // The system gives memory where it is written to.
            all.reserve(announced.unwrap_or(length).max(length));
            all.extend_from_slice(&std::mem::take(&mut first));
        }
        all.extend_from_slice(&data);
    }
    let whole = if all.is_empty() { first } else { all.freeze() };
    Ok(match room {
        Some(room) => room.hold(whole),
        None => whole,
    })
}

fn too_large(limit: usize) -> Error {
    Error::new(Code::RequestTooLarge, format!("the body is larger than the {limit} bytes allowed"))
}

fn broken(error: &(dyn std::error::Error + Send + Sync + 'static), limit: usize) -> Error {
    if error.is::<LengthLimitError>() {
        return too_large(limit);
    }
    Error::new(Code::InvalidRequest, format!("the body broke off: {error}"))
}

fn respond(reply: Reply, window: Option<&Window>, as_list: bool) -> Response {
    let Reply { head, body } = reply;
    let (kind, body) = match body {
        gateway::Body::Whole(bytes) => ("application/json", Body::from(bytes)),
        gateway::Body::Events(bytes) if as_list => ("application/json", Body::from(listed::list(bytes))),
        gateway::Body::Events(bytes) => ("text/event-stream", Body::from(bytes)),
        gateway::Body::Stream(events) if as_list => ("application/json", Body::from_stream(listed::listed(events))),
        gateway::Body::Stream(events) => ("text/event-stream", Body::from_stream(events)),
        gateway::Body::Bytes(pieces) => ("application/octet-stream", Body::from_stream(pieces)),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(head.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.reserve(9);
    headers.insert(CONTENT_TYPE, head.kind.clone().unwrap_or(HeaderValue::from_static(kind)));
    if kind == "text/event-stream" {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    put_head(headers, &head);
    if let Some(window) = window {
        put_window(headers, window);
    }
    response
}

fn put_head(headers: &mut HeaderMap, head: &Head) {
    let mut put = |name: &HeaderName, text: &str| {
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(name.clone(), value);
        }
    };
    if let Some(model) = &head.model {
        put(&MODEL, model);
    }
    if let Some(route) = &head.route {
        put(&ROUTE, route);
    }
    if let Some((name, version)) = &head.prompt {
        put(&PROMPT, &format!("{name}@{version}"));
    }
    if let Some(variant) = &head.variant {
        put(&VARIANT, variant);
    }
    if !head.emulated.is_empty() {
        put(&EMULATED, &head.emulated.names().join(", "));
    }
    if let Some(repair) = head.repair {
        put(&REPAIR, repair.text());
    }
    if let Some(cost) = head.cost {
        put(&COST, &cost.to_string());
    }
    if head.simulated {
        headers.insert(SIMULATED.clone(), HeaderValue::from_static("true"));
    }
    if let Some(cache) = head.cache {
        headers.insert(CACHE.clone(), HeaderValue::from_static(cache));
    }
    if head.attempts > 0 {
        let attempts = if head.attempts == 1 { HeaderValue::from_static("1") } else { head.attempts.into() };
        headers.insert(ATTEMPTS.clone(), attempts);
    }
    put_id(headers, head.id, head.dialect);
    if let Some(first) = head.first
        && let Ok(first) = HeaderValue::from_str(first.text().as_str())
    {
        headers.insert(HeaderName::from_static("x-fulcrum-original-request-id"), first);
    }
    if head.replayed {
        headers.insert(HeaderName::from_static("idempotency-replayed"), HeaderValue::from_static("true"));
    }
    if let Some(age) = head.age {
        headers.insert(AGE, HeaderValue::from(age.as_secs()));
    }
    if let Some(similarity) = head.similarity
        && let Ok(similarity) = HeaderValue::from_str(&format!("{similarity:.4}"))
    {
        headers.insert(HeaderName::from_static("x-fulcrum-similarity"), similarity);
    }
    if let Some(wait) = head.retry_after {
        headers.insert(RETRY_AFTER, seconds(wait));
    }
    if head.is_final {
        headers.insert(SHOULD_RETRY.clone(), HeaderValue::from_static("false"));
    }
}

fn put_window(headers: &mut HeaderMap, window: &Window) {
    headers.insert(LIMIT.clone(), HeaderValue::from(window.limit));
    headers.insert(REMAINING.clone(), HeaderValue::from(window.remaining));
    if let Ok(reset) = HeaderValue::from_str(&format!("{}ms", window.reset.as_millis())) {
        headers.insert(RESET.clone(), reset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_within_bounds() {
        let tags = read_tags(Some("team=search, env = prod ,")).unwrap();
        assert_eq!(
            tags.iter().map(|(name, value)| format!("{name}:{value}")).collect::<Vec<_>>(),
            ["team:search", "env:prod"]
        );
        for text in ["x", "=1", "a=1,a=2", &format!("{}=1", "a".repeat(65)), &format!("a={}", "b".repeat(257))] {
            assert_eq!(read_tags(Some(text)).unwrap_err().status(), 400, "{text}");
        }
        let many: Vec<String> = (0..33).map(|n| format!("t{n}=x")).collect();
        assert!(read_tags(Some(&many.join(","))).is_err());
    }

    #[tokio::test]
    async fn large_bodies_are_worked_on_by_the_pool_and_small_ones_do_without() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f.db");
        let text =
            format!("[database]\nurl = \"sqlite://{}\"\n[providers.sim]\nkind = \"simulated\"\n", file.display());
        let built = App::build(crate::config::parse(&text, "test", &|_| None).unwrap()).await.unwrap();
        let (app, key) = (built.app, built.new_admin_key.unwrap());
        assert!(app.pool().close().await);
        let status = async |path: &str, text: String| {
            let message = serde_json::json!({"role": "user", "content": text});
            let body = serde_json::json!({"model": "sim/small", "max_tokens": 9, "messages": [message]});
            let request = Request::post(path).header("authorization", format!("Bearer {}", key.expose()));
            let called = EndpointCall::at(&path.parse().unwrap()).unwrap();
            serve(app.clone(), called, request.body(Body::from(body.to_string())).unwrap(), None)
                .await
                .status()
                .as_u16()
        };
        for path in ["/v1/chat/completions", "/v1/messages"] {
            assert_eq!(status(path, "short".to_owned()).await, 200, "{path}");
            // There is no thread left for it.
            assert_eq!(status(path, "x".repeat(300 << 10)).await, 503, "{path}");
        }
        app.close().await;
    }

    #[test]
    fn a_timeout_has_a_unit() {
        assert_eq!(read_timeout("20s"), Ok(Duration::from_secs(20)));
        assert!(read_timeout("20").is_err() && read_timeout("0s").is_err());
    }
}
