//! The connections from one worker to one provider: kept while they are idle, and driven by the call that uses them.
//!
//! hyper's connections do not run by themselves. Given to tasks of their own, as its pooled client does, each call wakes
//! another task several times and hands its pieces through channels between them; here the call that waits for an answer
//! runs its connection meanwhile. Only a connection that negotiated HTTP/2 has a task, since calls share it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{Connection as _, HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tower::Service;

use super::{Provider, tls};

/// How long an idle connection is kept.
const KEPT: Duration = Duration::from_secs(90);
/// The most headers of an answer.
const MAX_HEADERS: usize = 128;

type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;
type Sending = Request<Full<Bytes>>;

/// The connections from one worker to one provider.
pub(super) struct Connections {
    connector: HttpsConnector<HttpConnector>,
    /// The most that are kept idle.
    most: usize,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    /// The idle ones, the last used last.
    idle: VecDeque<(Instant, Line)>,
    /// The one that calls share, where the provider speaks HTTP/2.
    shared: Option<http2::SendRequest<Full<Bytes>>>,
}

/// A connection for one call at a time.
struct Line {
    sender: http1::SendRequest<Full<Bytes>>,
    /// None when it has ended.
    connection: Option<Pin<Box<http1::Connection<Stream, Full<Bytes>>>>>,
}

/// What is sent.
#[derive(Clone, Copy)]
pub(super) struct Sent<'a> {
    pub(super) url: &'a Uri,
    pub(super) host: &'a HeaderValue,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a Bytes,
}

/// Why no answer began.
pub(super) enum Broken {
    /// No connection could be made.
    Connect(Box<dyn std::error::Error + Send + Sync>),
    /// It broke.
    Cut(hyper::Error),
}

/// An answer's body, with the connection that brings it.
pub(super) struct Body {
    incoming: Incoming,
    /// Where the connection goes when all is read; dropped before, it is closed. None where others share it.
    line: Option<(Line, Arc<Mutex<Kept>>, usize)>,
}

impl Connections {
    /// No connections yet: nothing is called. They follow no redirect, ask no proxy, inflate nothing and send small pieces at
    /// once.
    pub(super) fn new(provider: &Provider) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(provider.timeouts.connect));
        let tls = if provider.base_url.starts_with("https:") { tls::config() } else { tls::unused() };
        let connector =
            hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_all_versions();
        Self { connector: connector.wrap_connector(tcp), most: provider.max_in_flight, kept: Arc::default() }
    }

    /// Sends a request and waits for the answer's head. What an idle connection did not begin to send, because its other
    /// side closed it, goes out on another.
    pub(super) async fn send(&self, sent: Sent<'_>) -> Result<Response<Body>, Broken> {
        while let Some(line) = self.idle() {
            match self.send_on(line, sent).await {
                Err(error) if error.message().is_some() => {}
                answer => return answer.map_err(|error| Broken::Cut(error.into_error())),
            }
        }
        // Apart, since a future has room for the largest that it may wait for, and is copied with it.
        Box::pin(self.send_anew(sent)).await
    }

    /// Sends on the connection that calls share, or on one that is made for this call.
    async fn send_anew(&self, sent: Sent<'_>) -> Result<Response<Body>, Broken> {
        let shared = lock(&self.kept).shared.clone();
        if let Some(mut shared) = shared
            && shared.ready().await.is_ok()
        {
            return send_shared(&mut shared, sent).await;
        }
        let stream = self.connect(sent.url.clone()).await.map_err(Broken::Connect)?;
        if !stream.connected().is_negotiated_h2() {
            let line = Line::begin(stream).await.map_err(Broken::Cut)?;
            return self.send_on(line, sent).await.map_err(|error| Broken::Cut(error.into_error()));
        }
        let mut begin = http2::Builder::new(TokioExecutor::new());
        let (mut shared, connection) = begin.timer(TokioTimer::new()).handshake(stream).await.map_err(Broken::Cut)?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to a provider ended badly");
            }
        });
        lock(&self.kept).shared = Some(shared.clone());
        send_shared(&mut shared, sent).await
    }

    /// Closes what has been idle for long.
    pub(super) fn tidy_up(&self) {
        lock(&self.kept).forget_old(Instant::now());
    }

    fn idle(&self) -> Option<Line> {
        let mut kept = lock(&self.kept);
        kept.idle.pop_back().filter(|(since, _)| since.elapsed() < KEPT).map(|(_, line)| line)
    }

    async fn connect(&self, url: Uri) -> Result<Stream, Box<dyn std::error::Error + Send + Sync>> {
        let mut connector = self.connector.clone();
        poll_fn(|context| connector.poll_ready(context)).await?;
        connector.call(url).await
    }

    async fn send_on(
        &self,
        mut line: Line,
        sent: Sent<'_>,
    ) -> Result<Response<Body>, TrySendError<Sending>> {
        let path = sent.url.path_and_query().cloned().map_or_else(Uri::default, Uri::from);
        let mut request = sent.request(path);
        request.headers_mut().insert(HOST, sent.host.clone());
        let mut answer = pin!(line.sender.try_send_request(request));
        let connection = &mut line.connection;
        let answer = poll_fn(|context| {
            if let Poll::Ready(answer) = answer.as_mut().poll(context) {
                return Poll::Ready(answer);
            }
            drive(connection, context);
            answer.as_mut().poll(context)
        });
        let answer = answer.await?;
        Ok(answer.map(|incoming| Body { incoming, line: Some((line, self.kept.clone(), self.most)) }))
    }
}

impl Sent<'_> {
    fn request(self, url: Uri) -> Sending {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url;
        request.headers_mut().clone_from(self.headers);
        request
    }
}

async fn send_shared(shared: &mut http2::SendRequest<Full<Bytes>>, sent: Sent<'_>) -> Result<Response<Body>, Broken> {
    let answer = shared.send_request(sent.request(sent.url.clone())).await.map_err(Broken::Cut)?;
    Ok(answer.map(|incoming| Body { incoming, line: None }))
}

impl Line {
    async fn begin(stream: Stream) -> Result<Self, hyper::Error> {
        let (sender, connection) = http1::Builder::new().max_headers(MAX_HEADERS).handshake(stream).await?;
        Ok(Self { sender, connection: Some(Box::pin(connection)) })
    }
}

/// Lets a connection send and receive; lets go of it where it has ended, which tells whoever waits for it.
fn drive(connection: &mut Option<Pin<Box<http1::Connection<Stream, Full<Bytes>>>>>, context: &mut Context<'_>) {
    if let Some(open) = connection
        && open.as_mut().poll(context).is_ready()
    {
        *connection = None;
    }
}

impl Body {
    /// The next data; `None` at a clean end. Trailers tell nothing here.
    pub(super) async fn data(&mut self) -> Result<Option<Bytes>, hyper::Error> {
        loop {
            let Some(frame) = poll_fn(|context| self.poll_frame(context)).await else {
                return Ok(None);
            };
            if let Ok(data) = frame?.into_data() {
                return Ok(Some(data));
            }
        }
    }

    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<hyper::body::Frame<Bytes>, hyper::Error>>> {
        let mut frame = Pin::new(&mut self.incoming).poll_frame(context);
        if let (Poll::Pending, Some((line, ..))) = (&frame, &mut self.line) {
            drive(&mut line.connection, context);
            frame = Pin::new(&mut self.incoming).poll_frame(context);
        }
        let frame = ready!(frame);
        if frame.is_none() {
            self.keep(context);
        }
        Poll::Ready(frame)
    }

    /// Keeps the connection for the next call, where it can take one.
    fn keep(&mut self, context: &mut Context<'_>) {
        let Some((mut line, kept, most)) = self.line.take() else { return };
        if !line.sender.is_ready() {
            drive(&mut line.connection, context);
        }
        if line.connection.is_none() || !line.sender.is_ready() {
            return;
        }
        let mut kept = lock(&kept);
        let now = Instant::now();
        kept.forget_old(now);
        if kept.idle.len() < most {
            kept.idle.push_back((now, line));
        }
    }
}

impl Kept {
    fn forget_old(&mut self, now: Instant) {
        while self.idle.front().is_some_and(|(since, _)| now.duration_since(*since) >= KEPT) {
            self.idle.pop_front();
        }
    }
}

/// A panic elsewhere leaves idle connections at worst, so the lock is used on.
fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}
