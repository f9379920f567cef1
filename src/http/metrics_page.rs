//! The metrics without a key, for a scraper on the same machine.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::HeaderMap;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::error::Refusal;
use super::health;
use super::server::Listening;
use crate::app::App;

/// A page is written at once, so nobody needs more connections.
const MOST: usize = 16;

/// How long a connection may last: a scraper makes another.
const LONGEST: Duration = Duration::from_secs(60);

/// How long a head may take to come.
const HEAD_LIMIT: Duration = Duration::from_secs(5);

/// How long to wait after a connection that could not be accepted, as where descriptors are short.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves `GET /metrics` at `listening` until `stop` is cancelled.
pub async fn serve_metrics(app: App, listening: Listening, stop: CancellationToken) {
    let router = Router::new().route("/metrics", get(metrics)).fallback(health::nothing_here).with_state(app);
    let places = Arc::new(Semaphore::new(MOST));
    loop {
        let accepted = tokio::select! {
            accepted = listening.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let Ok(stream) = accepted else {
            sleep(PAUSE).await;
            continue;
        };
        // A connection beyond the bound is closed.
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let (router, stop) = (router.clone(), stop.clone());
        #[expect(clippy::disallowed_methods, reason = "it ends by its own limit, or with the gateway")]
        tokio::spawn(async move {
            tokio::select! {
                () = connection(stream, router) => {}
                () = stop.cancelled() => {}
            }
            drop(place);
        });
    }
}

async fn connection(stream: TcpStream, router: Router) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT).max_headers(100).max_buf_size(64 << 10);
    let served = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // A scraper that went away asks again.
    drop(timeout(LONGEST, served).await);
}

async fn metrics(State(app): State<App>, headers: HeaderMap) -> Result<Response, Refusal> {
    health::page(app, &headers).await
}
