//! What the data plane asks for, before its dialect is read.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use tokio::time::Instant;

use super::meaning::Judged;
use crate::cache::Directive;
use crate::keys::VirtualKey;
use crate::types::{RequestId, Timestamp};
use crate::usage::Purpose;
use crate::wire::dialect::Addressed;
use crate::wire::endpoint::Endpoint;

/// One request of a caller whose key is good.
#[derive(Clone)]
pub struct Incoming {
    /// Its id.
    pub id: RequestId,
    /// When it came, for durations.
    pub started: Instant,
    /// When it came.
    pub started_at: Timestamp,
    /// Whose it is.
    pub key: Arc<VirtualKey>,
    /// What is called.
    pub endpoint: Endpoint,
    /// What the address says of it.
    pub addressed: Addressed,
    /// The body.
    pub body: Bytes,
    /// The headers, for rules that read them.
    pub headers: HeaderMap,
    /// `x-fulcrum-tags`.
    pub tags: Vec<(Arc<str>, Arc<str>)>,
    /// `x-fulcrum-session`.
    pub session: Option<Arc<str>>,
    /// `x-fulcrum-user`; the body's `user` stands in for it.
    pub user: Option<Arc<str>>,
    /// What it says of the cache.
    pub cache: Directive,
    /// `x-fulcrum-timeout`.
    pub timeout: Option<Duration>,
    /// Whether nobody waits for it: it leaves the providers' last places to others.
    pub background: bool,
    /// What is known of its text's meaning, where the rules read that.
    pub judged: Option<Box<Judged>>,
    /// Why the gateway makes it of its own; `None` for a caller's.
    pub own: Option<Own>,
}

/// Why the gateway makes a request of its own, and on whose account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Own {
    /// What it is for.
    pub purpose: Purpose,
    /// The caller's request that it belongs to.
    pub of: RequestId,
}
