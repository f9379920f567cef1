//! The HTTP/2 connections from one worker to one provider, each shared by as many calls as the provider lets it carry.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper::rt::{Read, Write};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Instant;

use super::sent::Sent;

/// How often the provider is asked whether it is there, and how long it may take to say so: a connection that a balancer
/// forgot stays open without a word.
const PING: Duration = Duration::from_secs(10);

/// How long a connection takes new calls: later ones go where the provider's name leads then.
const MAX_AGE: Duration = Duration::from_secs(600);

/// Streams of a connection before its provider says how many it takes.
const FIRST_STREAMS: usize = 1;

/// The connections, the oldest first.
#[derive(Default)]
pub(super) struct Shared(Mutex<Vec<Arc<Connection>>>);

struct Connection {
    sender: http2::SendRequest<Full<Bytes>>,
    made: Instant,
    used: Mutex<Instant>,
    streams: AtomicUsize,
    /// How many streams the provider lets it carry.
    most: Arc<AtomicUsize>,
    /// Whether it takes no more calls, since one went without an answer.
    is_suspect: AtomicBool,
}

/// A place on a connection, for one call.
pub(super) struct Stream(Arc<Connection>);

/// Why there is no answer.
pub(super) enum Unanswered {
    /// The provider saw nothing of the request, or says that it did nothing for it.
    Untouched(hyper::Error),
    Broken(hyper::Error),
}

impl Shared {
    /// A place on a connection that stands and has one.
    pub(super) fn place(&self, max_idle: Duration) -> Option<Stream> {
        let mut all = lock(&self.0);
        if all.is_empty() {
            return None;
        }
        all.retain(|one| one.is_good(max_idle));
        all.iter().find_map(Connection::place)
    }

    /// Begins HTTP/2 on `io`; the first call has a place.
    pub(super) async fn add<T: Read + Write + Unpin + Send + 'static>(&self, io: T) -> hyper::Result<Stream> {
        let mut begin = http2::Builder::new(TokioExecutor::new());
        begin
            .timer(TokioTimer::new())
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING)
            .keep_alive_while_idle(true)
            .initial_max_send_streams(FIRST_STREAMS);
        let (sender, mut connection) = begin.handshake(io).await?;
        let most = Arc::new(AtomicUsize::new(FIRST_STREAMS));
        let noted = most.clone();
        #[expect(
            clippy::disallowed_methods,
            reason = "an HTTP/2 connection is shared by calls, so it is driven by none of them"
        )]
        tokio::spawn(async move {
            let driven = poll_fn(|context| {
                let driven = std::pin::Pin::new(&mut connection).poll(context);
                noted.store(connection.current_max_send_streams(), Ordering::Relaxed);
                driven
            });
            if let Err(error) = driven.await {
                tracing::debug!(%error, "a connection to a provider ended badly");
            }
        });
        let now = Instant::now();
        let made = Arc::new(Connection {
            sender,
            made: now,
            used: Mutex::new(now),
            streams: AtomicUsize::new(1),
            most,
            is_suspect: AtomicBool::new(false),
        });
        lock(&self.0).push(made.clone());
        Ok(Stream(made))
    }

    /// Closes connections that have been idle for long.
    pub(super) fn tidy_up(&self, max_idle: Duration) {
        lock(&self.0).retain(|one| one.is_good(max_idle));
    }
}

impl Connection {
    /// Whether it may take calls. One that may not goes on until those that it carries have ended.
    fn is_good(&self, max_idle: Duration) -> bool {
        let is_idle = self.streams.load(Ordering::Acquire) == 0 && lock(&self.used).elapsed() >= max_idle;
        let is_suspect = self.is_suspect.load(Ordering::Acquire);
        !is_idle && !is_suspect && !self.sender.is_closed() && self.made.elapsed() < MAX_AGE
    }

    fn place(self: &Arc<Self>) -> Option<Stream> {
        let has_room = self.streams.load(Ordering::Acquire) < self.most.load(Ordering::Relaxed);
        has_room.then(|| {
            self.streams.fetch_add(1, Ordering::AcqRel);
            Stream(self.clone())
        })
    }
}

impl Stream {
    /// Sends a request and waits for the answer's head.
    pub(super) async fn send(&self, sent: Sent<'_>) -> Result<Response<Incoming>, Unanswered> {
        let mut request = Request::new(Full::new(sent.body.clone()));
        request.method_mut().clone_from(sent.method);
        *request.uri_mut() = sent.url.clone();
        request.headers_mut().clone_from(sent.headers);
        self.0.sender.clone().try_send_request(request).await.map_err(|mut error| {
            let is_unsent = error.take_message().is_some();
            let error = error.into_error();
            if is_unsent || is_refused(&error) { Unanswered::Untouched(error) } else { Unanswered::Broken(error) }
        })
    }

    /// A time limit passed: whether the connection is dead is not certain, so later calls go elsewhere.
    pub(super) fn suspect(&self) {
        self.0.is_suspect.store(true, Ordering::Release);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        *lock(&self.0.used) = Instant::now();
        self.0.streams.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Whether the provider says that it did nothing for the request (RFC 9113, 8.7): it refused the stream, or it leaves in good
/// order and names the last stream that it serves.
fn is_refused(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<h2::Error>());
    cause.is_some_and(|cause| {
        cause.reason() == Some(h2::Reason::REFUSED_STREAM)
            || (cause.is_go_away() && cause.is_remote() && cause.reason() == Some(h2::Reason::NO_ERROR))
    })
}

/// A panic that held the lock leaves at worst a connection too many, so the lock stays in use.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
