//! Sends each request on: calls of the data plane straight to it, all others to the router.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, ORIGIN, TRANSFER_ENCODING};
use http::{HeaderValue, Method, Request, Version};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::service::Service;
use tower::ServiceExt;

use super::activity::{Activity, Serving};
use super::auth::Peer;
use super::cors::Page;
use super::data::{self, EndpointCall};
use super::error::Refusal;
use super::router::router;
use super::write_timeout::attended;
use crate::app::App;
use crate::chat::{Code, Error};
use crate::types::RequestId;
use crate::wire::DialectId;

/// An answer that is being made.
type Answering = Pin<Box<dyn Future<Output = Result<http::Response<Served>, Infallible>> + Send>>;

/// The service of a worker's connections.
pub struct Dispatch {
    app: App,
    router: Router,
    write_timeout: Duration,
}

impl Dispatch {
    /// Serves every connection of a worker.
    pub fn new(app: App) -> Self {
        let (router, write_timeout) = (router(app.clone()), app.config().server.write_timeout);
        Self { app, router, write_timeout }
    }

    /// Serves one connection, from `peer`.
    pub fn connection(&self, peer: Option<SocketAddr>, activity: Arc<Activity>) -> ConnectionDispatch {
        let Self { app, router, write_timeout } = self;
        let peer = peer.map(|peer| Peer(peer.ip()));
        ConnectionDispatch { app: app.clone(), router: router.clone(), write_timeout: *write_timeout, peer, activity }
    }
}

/// The service of one connection.
pub struct ConnectionDispatch {
    app: App,
    router: Router,
    write_timeout: Duration,
    peer: Option<Peer>,
    activity: Arc<Activity>,
}

impl Service<Request<Incoming>> for ConnectionDispatch {
    type Response = http::Response<Served>;
    type Error = Infallible;
    type Future = Answering;

    /// The router would take a call to the same place; its boxes and copies are a twentieth of the call's CPU.
    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let request = request.map(Body::new);
        if let Some(wrong) = self.wrong_with(&request) {
            return self.refuse(&request, wrong);
        }
        if request.headers().contains_key(ORIGIN)
            && let Some(page) = Page::of(&self.app, &request)
        {
            return self.for_page(page, request);
        }
        self.pass_on(request)
    }
}

impl ConnectionDispatch {
    /// What is wrong with a request's head, where it may be an attempt to smuggle another, or to be taken for one to another host.
    fn wrong_with(&self, request: &Request<Body>) -> Option<&'static str> {
        if self.activity.is_ambiguous(self.activity.next_request()) {
            return Some("a request has a content-length or a transfer-encoding, not both");
        }
        if request.version() != Version::HTTP_11 {
            return None;
        }
        // RFC 9112, 3.2.
        if request.headers().get_all(HOST).iter().count() != 1 {
            return Some("a request has one `host` header");
        }
        let mut codings = request.headers().get_all(TRANSFER_ENCODING).iter();
        let is_chunked = |coding: &HeaderValue| coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
        let is_known = codings.next().is_none_or(is_chunked) && codings.next().is_none();
        (!is_known).then_some("a transfer-encoding is `chunked`, and nothing else")
    }

    /// The answer to a request whose head is wrong.
    fn refuse(&self, request: &Request<Body>, wrong: &str) -> Answering {
        let dialect = EndpointCall::at(request.uri()).map_or(DialectId::OpenAiChat, |called| called.endpoint.dialect());
        let serving = Serving::begin(&self.activity);
        Box::pin(std::future::ready(Ok(served(wrong_head(dialect, wrong), serving, None))))
    }

    /// The answer to a page in a browser.
    fn for_page(&self, page: Page, request: Request<Body>) -> Answering {
        if let Some(answer) = page.preflight(&request) {
            let serving = Serving::begin(&self.activity);
            return Box::pin(std::future::ready(Ok(served(answer, serving, None))));
        }
        let answering = self.pass_on(request);
        Box::pin(answering.map(move |answer| {
            answer.map(|mut answer| {
                page.mark(answer.headers_mut());
                answer
            })
        }))
    }

    /// The answer of the data plane or of the router.
    fn pass_on(&self, mut request: Request<Body>) -> Answering {
        let serving = Serving::begin(&self.activity);
        // Over HTTP/1.1 a write to the socket fails where the caller reads nothing.
        let patience = (request.version() == Version::HTTP_2).then_some(self.write_timeout);
        let called = EndpointCall::at(request.uri()).filter(|_| request.method() == Method::POST);
        let Some(called) = called else {
            if let Some(peer) = self.peer {
                request.extensions_mut().insert(peer);
            }
            let answer = self.router.clone().oneshot(request);
            return Box::pin(answer.map(move |answer| answer.map(|answer| served(answer, serving, patience))));
        };
        let answer = data::serve(self.app.clone(), called, request, self.peer);
        Box::pin(answer.map(move |answer| Ok(served(answer, serving, patience))))
    }
}

/// The answer to a request whose head is wrong.
fn wrong_head(dialect: DialectId, wrong: &str) -> Response {
    let mut answer = Refusal(Error::new(Code::InvalidRequest, wrong)).answer_in(dialect, RequestId::new());
    // Where this request ends is not certain.
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// An answer's body; its request counts as served until this is dropped.
pub struct Served {
    body: Body,
    _serving: Option<Serving>,
}

/// An answer whose caller must take it within `patience`, where the socket does not see to that.
fn served(answer: Response, serving: Serving, patience: Option<Duration>) -> http::Response<Served> {
    let (mut head, body) = answer.into_parts();
    let Some(limit) = patience.filter(|_| !body.is_end_stream()) else {
        return http::Response::from_parts(head, Served { body, _serving: Some(serving) });
    };
    if let Some(length) = body.size_hint().exact() {
        head.headers.entry(CONTENT_LENGTH).or_insert_with(|| length.into());
    }
    let body = Body::from_stream(attended(body.into_data_stream(), serving, limit));
    http::Response::from_parts(head, Served { body, _serving: None })
}

impl hyper::body::Body for Served {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
