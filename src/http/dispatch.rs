//! Sends each request on: calls of the data plane straight to it, all others to the router.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use futures_util::FutureExt;
use http::{Method, Request};
use hyper::body::Incoming;
use hyper::service::Service;
use tower::ServiceExt;

use super::auth::Peer;
use super::data::{self, EndpointCall};
use super::router::router;
use crate::app::App;

/// The service of a worker's connections, or of one of them.
#[derive(Clone)]
pub struct Dispatch {
    app: App,
    router: Router,
    peer: Option<Peer>,
}

impl Dispatch {
    /// Serves every connection of a worker.
    pub fn new(app: App) -> Self {
        let router = router(app.clone());
        Self { app, router, peer: None }
    }

    /// The same for the connection from `peer`.
    pub fn of(&self, peer: Option<SocketAddr>) -> Self {
        Self { peer: peer.map(|peer| Peer(peer.ip())), ..self.clone() }
    }
}

impl Service<Request<Incoming>> for Dispatch {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    /// The router would take a call to the same place; its boxes and copies are a twentieth of the call's CPU.
    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let mut request = request.map(Body::new);
        let called = EndpointCall::at(request.uri()).filter(|_| request.method() == Method::POST);
        let Some(called) = called else {
            if let Some(peer) = self.peer {
                request.extensions_mut().insert(peer);
            }
            return Box::pin(self.router.clone().oneshot(request));
        };
        Box::pin(data::serve(self.app.clone(), called, request, self.peer).map(Ok))
    }
}
