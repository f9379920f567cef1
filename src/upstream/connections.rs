//! The connections from one worker to one provider, with those that are idle.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, Uri};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{Connection as _, HttpConnector};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tower::Service;

use super::failure::{Failure, Phase, reason};
use super::http1::{self, BodyReader, Head, write_head};
use super::http2::{self, Unanswered};
use super::place::{Reach, Resolver};
use super::provider::Provider;
use super::sent::Sent;

/// How long an idle connection stays open.
const MAX_IDLE: Duration = Duration::from_secs(90);

type Error = Box<dyn std::error::Error + Send + Sync>;
/// In a box, since it is a kilobyte that each call would move several times.
type Stream = Box<TokioIo<MaybeHttpsStream<TokioIo<TcpStream>>>>;

/// The connections from one worker to one provider.
pub(super) struct Connections {
    connector: HttpsConnector<HttpConnector<Resolver>>,
    /// How long a connection may take to be made, with its TLS.
    patience: Duration,
    pool: Arc<Pool>,
}

/// The connections that calls take and put back.
pub(super) struct Pool {
    /// The most idle connections.
    most: usize,
    /// The idle connections, the last used last.
    idle: Mutex<VecDeque<(Instant, http1::Connection<Stream>)>>,
    /// The connections that calls share, where the provider speaks HTTP/2.
    shared: http2::Shared,
}

/// An answer whose body is still to come.
pub(super) struct Answered {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
}

/// Why no answer began.
pub(super) enum Broken {
    /// No connection could be made.
    Connect(Error),
    /// The connection broke.
    Cut(Error),
    /// The time limit passed.
    Late,
}

/// An answer's body with its connection, which closes where the body is dropped before its end.
pub(super) enum Body {
    /// On a connection of its own; `None` at the end, when the connection is back in the pool.
    Own(Option<BodyReader<Stream>>, Arc<Pool>),
    /// On a connection that calls share.
    Shared(Incoming, http2::Stream),
}

impl Connections {
    /// No connections yet: nothing is called. They follow no redirect, ask no proxy, inflate nothing and send small pieces at
    /// once.
    pub(super) fn new(provider: &Provider, tls: ClientConfig) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(Resolver(Reach::of(provider)));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(provider.timeouts.connect));
        let connector =
            hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_all_versions();
        let pool = Pool { most: provider.max_in_flight, idle: Mutex::default(), shared: http2::Shared::default() };
        let patience = provider.timeouts.connect;
        Self { connector: connector.wrap_connector(tcp), patience, pool: Arc::new(pool) }
    }

    /// Sends a request and waits for the answer's head, until `limit`.
    pub(super) async fn send(&self, sent: Sent<'_>, limit: Instant) -> Result<Answered, Broken> {
        while let Some(mut connection) = self.pool.take() {
            if !connection.is_quiet() {
                continue;
            }
            let answered = timeout_at(limit, self.send_on(connection, sent)).await.map_err(|_| Broken::Late)?;
            return match answered {
                // The provider closed it while the request was on its way there.
                Err(http1::Broken { is_silent: true, .. }) => Box::pin(self.send_anew(sent, limit)).await,
                answered => answered.map_err(|broken| Broken::Cut(broken.error.into())),
            };
        }
        // Apart, since a future has room for the largest that it may wait for, and is copied with it.
        Box::pin(self.send_on_any(sent, limit)).await
    }

    /// Sends on a connection that calls share, or on one that is made for this call.
    async fn send_on_any(&self, sent: Sent<'_>, limit: Instant) -> Result<Answered, Broken> {
        if let Some(stream) = self.pool.shared.place(MAX_IDLE) {
            return match send_shared(stream, sent, limit).await? {
                Ok(answered) => Ok(answered),
                Err(Unanswered::Broken(error)) => Err(Broken::Cut(error.into())),
                Err(Unanswered::Untouched(_)) => self.send_anew(sent, limit).await,
            };
        }
        self.send_anew(sent, limit).await
    }

    /// Sends on a connection that is made for this call.
    async fn send_anew(&self, sent: Sent<'_>, limit: Instant) -> Result<Answered, Broken> {
        let made = timeout_at(limit, self.connect(sent.url.clone())).await.map_err(|_| Broken::Late)?;
        let stream = made.map_err(Broken::Connect)?;
        if !stream.connected().is_negotiated_h2() {
            let connection = http1::Connection::new(Box::new(TokioIo::new(stream)));
            let answered = timeout_at(limit, self.send_on(connection, sent)).await.map_err(|_| Broken::Late)?;
            return answered.map_err(|broken| Broken::Cut(broken.error.into()));
        }
        let begun = timeout_at(limit, self.pool.shared.add(stream)).await.map_err(|_| Broken::Late)?;
        let stream = begun.map_err(|error| Broken::Cut(error.into()))?;
        send_shared(stream, sent, limit).await?.map_err(|unanswered| {
            let (Unanswered::Untouched(error) | Unanswered::Broken(error)) = unanswered;
            Broken::Cut(error.into())
        })
    }

    /// Closes connections that have been idle for long.
    pub(super) fn tidy_up(&self) {
        forget_old(&mut lock(&self.pool.idle), Instant::now());
        self.pool.shared.tidy_up(MAX_IDLE);
    }

    async fn connect(&self, url: Uri) -> Result<MaybeHttpsStream<TokioIo<TcpStream>>, Error> {
        let mut connector = self.connector.clone();
        poll_fn(|context| connector.poll_ready(context)).await?;
        // The connector's own limit ends before TLS begins.
        let late = || std::io::Error::new(std::io::ErrorKind::TimedOut, "no connection stood in time");
        timeout(self.patience, connector.call(url)).await.map_err(|_| late())?
    }

    async fn send_on(&self, connection: http1::Connection<Stream>, sent: Sent<'_>) -> Result<Answered, http1::Broken> {
        let path = sent.url.path_and_query().map_or("/", |path| path.as_str());
        let mut head = Vec::with_capacity(512);
        write_head(&mut head, (sent.method, path), sent.host, sent.headers, sent.body.len());
        let (Head { status, headers, .. }, reading) = connection.call(&head, sent.body).await?;
        Ok(Answered { status, headers, body: Body::Own(Some(reading), self.pool.clone()) })
    }
}

/// Sends on a connection that calls share. Where no answer comes in time, later calls go elsewhere.
async fn send_shared(
    stream: http2::Stream,
    sent: Sent<'_>,
    limit: Instant,
) -> Result<Result<Answered, Unanswered>, Broken> {
    let Ok(answer) = timeout_at(limit, stream.send(sent)).await else {
        stream.suspect();
        return Err(Broken::Late);
    };
    Ok(answer.map(|answer| {
        let (head, body) = answer.into_parts();
        Answered { status: head.status, headers: head.headers, body: Body::Shared(body, stream) }
    }))
}

impl Broken {
    /// What the error means for the call.
    ///
    /// `phase` is whose limit it is that may have passed.
    pub(super) fn failure(&self, phase: Phase) -> Failure {
        match self {
            Self::Late => Failure::TimedOut(phase),
            Self::Connect(error) if is_timeout(&**error) => Failure::TimedOut(Phase::Connect),
            Self::Connect(error) => Failure::Connect(reason(&**error)),
            Self::Cut(error) => Failure::Protocol(reason(&**error)),
        }
    }
}

impl Body {
    /// The next data; `None` at a clean end. Trailers are ignored.
    pub(super) async fn data(&mut self) -> Result<Option<Bytes>, Error> {
        match self {
            Self::Own(reading, pool) => {
                let Some(open) = reading else { return Ok(None) };
                let data = open.data().await?;
                if data.is_none() {
                    pool.put_back(reading.take().and_then(BodyReader::into_connection));
                }
                Ok(data)
            }
            Self::Shared(incoming, _) => {
                while let Some(frame) = incoming.frame().await {
                    if let Ok(data) = frame?.into_data() {
                        return Ok(Some(data));
                    }
                }
                Ok(None)
            }
        }
    }
}

impl Body {
    /// No data came in time: where calls share the connection, later ones go elsewhere.
    pub(super) fn suspect(&self) {
        if let Self::Shared(_, stream) = self {
            stream.suspect();
        }
    }
}

impl Pool {
    fn take(&self) -> Option<http1::Connection<Stream>> {
        let last = lock(&self.idle).pop_back();
        last.filter(|(since, _)| since.elapsed() < MAX_IDLE).map(|(_, connection)| connection)
    }

    fn put_back(&self, connection: Option<http1::Connection<Stream>>) {
        let Some(connection) = connection else { return };
        let mut idle = lock(&self.idle);
        let now = Instant::now();
        forget_old(&mut idle, now);
        if idle.len() < self.most {
            idle.push_back((now, connection));
        }
    }
}

fn forget_old(idle: &mut VecDeque<(Instant, http1::Connection<Stream>)>, now: Instant) {
    while idle.front().is_some_and(|(since, _)| now.duration_since(*since) >= MAX_IDLE) {
        idle.pop_front();
    }
}

/// A panic that held the lock leaves at worst idle connections, so the lock stays in use.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
