//! The accept loop: bounded connections, bounded headers, and an orderly end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::router;
use crate::app::App;

/// How long ended streams get to send their last event.
const LAST_WORDS: Duration = Duration::from_secs(3);

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

    /// The address, with the port that the system chose where none was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Serves until `stop` is told; then lets running requests end within the configured grace, and ends the rest.
pub async fn serve(app: App, listening: Listening, stop: CancellationToken) {
    let config = app.config();
    let places = Arc::new(Semaphore::new(config.server.max_connections));
    let graceful = GracefulShutdown::new();
    let server =
        Server { builder: builder(config.server.header_timeout), router: router(app.clone()), app: app.clone() };
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { break };
        let stream = tokio::select! {
            accepted = listening.listener.accept() => match accepted {
                Ok((stream, _peer)) => stream,
                Err(error) => {
                    // Out of descriptors, most likely: running requests will free some.
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = stop.cancelled() => break,
        };
        server.connection(stream, place, &graceful);
    }
    drop(listening);
    wind_down(&app, graceful, config.server.shutdown_grace).await;
}

async fn wind_down(app: &App, graceful: GracefulShutdown, grace: Duration) {
    app.stop_welcoming();
    let mut ending = std::pin::pin!(graceful.shutdown());
    if timeout(grace, &mut ending).await.is_ok() {
        return;
    }
    tracing::warn!("requests outlived the grace of {grace:?}; ending them");
    app.end_calls();
    if timeout(LAST_WORDS, ending).await.is_err() {
        tracing::warn!("some callers did not take their last bytes");
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
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(256).max_header_list_size(64 << 10);
    builder
}

struct Server {
    builder: auto::Builder<TokioExecutor>,
    router: Router,
    app: App,
}

impl Server {
    fn connection(&self, stream: TcpStream, place: tokio::sync::OwnedSemaphorePermit, graceful: &GracefulShutdown) {
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let open = self.app.metrics().connection_opens();
        let service = TowerToHyperService::new(self.router.clone());
        let connection = self.builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = %error, "a connection ended badly");
            }
            drop((place, open));
        });
    }
}
