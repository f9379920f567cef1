//! A made-up answer: status, headers, and a body that comes in time.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::body::Body;
use super::dice::Dice;

/// An answer as a server would send it.
#[derive(Debug)]
pub struct Simulated {
    /// The HTTP status.
    pub status: u16,
    /// `content-type`, `x-request-id`, `x-simulated` and, with some faults, `retry-after`.
    pub headers: HeaderMap,
    /// How long until status and headers come; [`Duration::MAX`] for never.
    pub after: Duration,
    /// What follows them.
    pub body: Body,
}

impl Simulated {
    pub(super) fn json(status: u16, bytes: Bytes, dice: &Dice) -> Self {
        Self { status, headers: headers("application/json", dice), after: Duration::ZERO, body: Body::whole(bytes) }
    }
}

pub(super) fn headers(content_type: &'static str, dice: &Dice) -> HeaderMap {
    let id = format!("req_sim_{:016x}", dice.fork("request id").next());
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(HeaderName::from_static("x-simulated"), HeaderValue::from_static("true"));
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    headers
}
