//! The accept loop and its workers: bounded connections, bounded headers, and an orderly end.
//!
//! Each worker is a thread with a runtime of its own: a call stays on the core that its connection came to, and so do the
//! connections to providers, which saves the waking of other threads several times a call.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::activity::{Activity, Crowd};
use super::dispatch::{ConnectionDispatch, Dispatch};
use super::write_timeout::WriteTimeout;
use crate::app::App;
use crate::telemetry::Under;
use crate::upstream;

/// How long ended streams get to send their last event.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// How many connections may wait for their worker.
const WAITING: usize = 1_024;

/// How long a connection that is to end gets for a request that is on its way.
const LAST_REQUEST: Duration = Duration::from_secs(1);

/// How long a connection that was asked to end gets for that, before another is asked.
const ROOM_LIMIT: Duration = Duration::from_millis(100);

/// How often a peer over HTTP/2 is asked whether it is there, and how long it may take to say so.
const PING: Duration = Duration::from_secs(20);

/// A socket that connections wait at.
pub struct Listening {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listening {
    /// Listens at `address`.
    ///
    /// # Errors
    /// Where the system refuses, for one because another process listens there.
    pub async fn at(address: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// The next connection.
    ///
    /// # Errors
    /// Where the system has none to give, such as for want of descriptors.
    pub(super) async fn accept(&self) -> std::io::Result<TcpStream> {
        self.listener.accept().await.map(|(stream, _peer)| stream)
    }

    /// The address, with the port that the system chose where none was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A connection on its way to a worker.
struct Visitor {
    stream: std::net::TcpStream,
    activity: Arc<Activity>,
    place: OwnedSemaphorePermit,
    open: Under,
}

/// Serves until `stop` is cancelled. Then new requests are refused, and running ones that do not end within the configured
/// grace are cut off.
///
/// # Errors
/// Where no worker can be started.
pub async fn serve(app: App, listening: Listening, stop: CancellationToken) -> std::io::Result<()> {
    let places = Arc::new(Semaphore::new(app.config().server.max_connections));
    let (done, mut all_done) = mpsc::channel::<()>(1);
    let mut workers = Vec::new();
    for n in 0..worker_count() {
        let (visitors, waiting) = mpsc::channel(WAITING);
        let worker = Worker { app: app.clone(), stop: stop.clone() };
        let done = done.clone();
        thread::Builder::new().name(format!("fulcrum-{n}")).spawn(move || worker.work(n, waiting, done))?;
        workers.push(visitors);
    }
    drop(done);
    let (mut turn, mut crowd) = (0, Crowd::default());
    loop {
        let stream = tokio::select! {
            accepted = listening.accept() => accepted,
            _ = all_done.recv() => break,
        };
        let open = app.metrics().connection_opens();
        match stream.and_then(prepared) {
            Ok(stream) => {
                let place = tokio::select! {
                    place = place_for(&places, &mut crowd) => place,
                    _ = all_done.recv() => break,
                };
                let activity = Arc::new(Activity::new());
                crowd.joined_by(&activity);
                turn = (turn + 1) % workers.len();
                // A worker that has ended takes no more: the process is about to end as well.
                let _taken = workers[turn].send(Visitor { stream, activity, place, open }).await;
            }
            Err(error) => {
                // Out of descriptors, most likely: running requests will free some, and idle connections can.
                tracing::warn!(%error, "cannot accept a connection");
                crowd.make_room();
                sleep(ROOM_LIMIT).await;
            }
        }
    }
    Ok(())
}

/// A place for a connection. Where there is none, the connection that has been idle for longest makes room.
async fn place_for(places: &Arc<Semaphore>, crowd: &mut Crowd) -> OwnedSemaphorePermit {
    loop {
        if let Ok(place) = places.clone().try_acquire_owned() {
            return place;
        }
        crowd.make_room();
        if let Ok(Ok(place)) = timeout(ROOM_LIMIT, places.clone().acquire_owned()).await {
            return place;
        }
    }
}

/// As many workers as cores.
pub fn worker_count() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// A connection that sends small pieces at once, taken out of this thread's runtime.
fn prepared(stream: TcpStream) -> std::io::Result<std::net::TcpStream> {
    stream.set_nodelay(true)?;
    stream.into_std()
}

struct Worker {
    app: App,
    stop: CancellationToken,
}

impl Worker {
    /// The life of a worker's thread.
    fn work(self, n: usize, waiting: mpsc::Receiver<Visitor>, done: mpsc::Sender<()>) {
        upstream::work_as(n);
        match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(self.serve(waiting, done)),
            Err(error) => tracing::error!(%error, "a worker cannot start"),
        }
    }

    /// Serves until the gateway stops and every worker's calls have ended; drops `done` when this worker's have.
    async fn serve(&self, mut waiting: mpsc::Receiver<Visitor>, done: mpsc::Sender<()>) {
        let config = self.app.config();
        let server = Server {
            builder: builder(config.server.header_timeout),
            dispatch: Dispatch::new(self.app.clone()),
            header_timeout: config.server.header_timeout,
            write_timeout: config.server.write_timeout,
            open: TaskTracker::new(),
            ending: Arc::default(),
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "the accept loop and the ledger end on their own signal, which shutdown waits for"
        )]
        drop(tokio::spawn(self.app.ledger().clone().write_by_ticks()));
        loop {
            tokio::select! {
                visitor = waiting.recv() => match visitor {
                    Some(visitor) => server.connection(visitor),
                    None => break,
                },
                () = self.stop.cancelled() => break,
            }
        }
        self.wind_down(&server, &mut waiting).await;
        drop(done);
        while let Some(visitor) = waiting.recv().await {
            server.connection(visitor);
        }
    }

    /// Waits for running requests to end; new ones get the error that the gateway is not ready.
    async fn wind_down(&self, server: &Server, waiting: &mut mpsc::Receiver<Visitor>) {
        self.app.stop_welcoming();
        let grace = self.app.config().server.shutdown_grace;
        server.ending.begin();
        server.open.close();
        let ended = timeout(grace, async {
            loop {
                tokio::select! {
                    () = server.open.wait() => return,
                    Some(visitor) = waiting.recv() => server.connection(visitor),
                }
            }
        });
        if ended.await.is_ok() {
            return;
        }
        tracing::warn!("requests outlived the grace of {grace:?}; ending them");
        self.app.end_calls();
        if timeout(LAST_WORDS, server.open.wait()).await.is_err() {
            tracing::warn!("some callers did not take their last bytes");
        }
    }
}

fn builder(header_timeout: Duration) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_headers(100)
        .max_buf_size(128 << 10);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .max_concurrent_streams(256)
        .max_header_list_size(64 << 10);
    builder
}

struct Server {
    builder: auto::Builder<TokioExecutor>,
    dispatch: Dispatch,
    header_timeout: Duration,
    write_timeout: Duration,
    /// The connections that came before the end began.
    open: TaskTracker,
    ending: Arc<Ending>,
}

/// The signal for a worker's connections to take no more requests.
#[derive(Default)]
struct Ending {
    begun: AtomicBool,
    begins: Notify,
}

impl Ending {
    fn begin(&self) {
        self.begun.store(true, Ordering::Release);
        self.begins.notify_waiters();
    }

    fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }
}

impl Server {
    fn connection(&self, visitor: Visitor) {
        let Visitor { stream, activity, place, open } = visitor;
        let Ok(stream) = TcpStream::from_std(stream) else { return };
        let dispatch = self.dispatch.connection(stream.peer_addr().ok(), activity.clone());
        let stream = TokioIo::new(WriteTimeout::new(stream, self.write_timeout, activity.clone()));
        let connection = self.builder.serve_connection(stream, dispatch).into_owned();
        // A connection that comes while the gateway ends gets an error, and shutdown does not wait for it.
        let ending = (!self.ending.has_begun()).then(|| self.ending.clone());
        let waited_for = ending.as_ref().map(|_| self.open.token());
        let watch = Watch { activity, patience: self.header_timeout, ending };
        #[expect(
            clippy::disallowed_methods,
            reason = "the accept loop and the ledger end on their own signal, which shutdown waits for"
        )]
        tokio::spawn(async move {
            if let Err(error) = watch.run(connection).await {
                tracing::debug!(error = %error, "a connection ended badly");
            }
            drop((place, open, waited_for));
        });
    }
}

type Connection = auto::Connection<'static, TokioIo<WriteTimeout>, ConnectionDispatch, TokioExecutor>;
type Ended = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Sees to it that a connection ends: where it has been idle for too long, another needs its place, or the gateway stops.
struct Watch {
    activity: Arc<Activity>,
    /// How long the connection may serve nothing.
    patience: Duration,
    /// `None` for a connection that came while the gateway stops.
    ending: Option<Arc<Ending>>,
}

impl Watch {
    /// Runs a connection. Where it must end, it finishes the requests that it has and takes no other.
    async fn run(self, connection: Connection) -> Ended {
        let mut connection = pin!(connection);
        let mut begins = pin!(self.ending.as_ref().map(|ending| ending.begins.notified()));
        let mut timer = pin!(sleep(self.patience));
        let (mut listens, mut ends) = (false, false);
        poll_fn(|context| {
            // Registered once: a connection is polled several times a request, and each look at a `Notify` takes its lock.
            if !listens {
                listens = true;
                self.activity.listen(context.waker());
                let _wakes_us = begins.as_mut().as_pin_mut().map(|begins| begins.poll(context));
            }
            if !ends && self.ending.as_ref().is_some_and(|ending| ending.has_begun()) {
                ends = true;
                connection.as_mut().graceful_shutdown();
                timer.as_mut().reset(Instant::now() + LAST_REQUEST);
            }
            if let Poll::Ready(ended) = connection.as_mut().poll(context) {
                return Poll::Ready(ended);
            }
            if self.makes_room(context) {
                // Polled once more, to say goodbye.
                connection.as_mut().graceful_shutdown();
                let _ended = connection.as_mut().poll(context);
                return Poll::Ready(Ok(()));
            }
            if self.has_expired(timer.as_mut(), ends, context) {
                if ends {
                    return Poll::Ready(Ok(()));
                }
                ends = true;
                connection.as_mut().graceful_shutdown();
                timer.as_mut().reset(Instant::now() + LAST_REQUEST);
                context.waker().wake_by_ref();
            }
            Poll::Pending
        })
        .await
    }

    /// Whether the connection has been idle for as long as it may.
    fn has_expired(&self, mut timer: Pin<&mut Sleep>, ends: bool, context: &mut Context<'_>) -> bool {
        while timer.as_mut().poll(context).is_ready() {
            match self.due(ends) {
                Some(due) => timer.as_mut().reset(due),
                None => return true,
            }
        }
        false
    }

    /// Whether another connection gets the place of this one.
    fn makes_room(&self, context: &Context<'_>) -> bool {
        let asked = self.activity.takes_leave();
        if asked {
            self.activity.listen(context.waker());
        }
        asked && self.activity.is_idle()
    }

    /// When to look again; `None` where the connection has been idle for as long as it may.
    fn due(&self, ends: bool) -> Option<Instant> {
        let (now, patience) = (Instant::now(), if ends { LAST_REQUEST } else { self.patience });
        if !self.activity.is_idle() {
            return Some(now + patience);
        }
        Some(self.activity.idle_since() + patience).filter(|due| now < *due)
    }
}
