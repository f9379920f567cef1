//! What the data plane asks for, before its dialect is read.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use tokio::time::Instant;

use crate::cache::Directive;
use crate::keys::VirtualKey;
use crate::types::{RequestId, Timestamp};

/// Which of the data plane's routes is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// `POST /v1/chat/completions`.
    Chat,
    /// `POST /v1/embeddings`.
    Embeddings,
}

impl Api {
    /// The route, as the ledger and the metrics name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Embeddings => "/v1/embeddings",
        }
    }

    /// The route that is called at `path`.
    #[must_use]
    pub fn at(path: &str) -> Option<Self> {
        [Self::Chat, Self::Embeddings].into_iter().find(|api| api.name() == path)
    }

    /// The route's name as rows share it.
    #[must_use]
    pub fn shared_name(self) -> Arc<str> {
        static NAMES: LazyLock<[Arc<str>; 2]> =
            LazyLock::new(|| [Api::Chat, Api::Embeddings].map(|api| api.name().into()));
        NAMES[self as usize].clone()
    }

    /// The same route below a provider's base URL.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Chat => "/chat/completions",
            Self::Embeddings => "/embeddings",
        }
    }

    /// The route that `name` means: with or without `/v1/`, with dots or slashes.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let bare = name.trim_start_matches('/').trim_start_matches("v1/").replace('.', "/");
        [Self::Chat, Self::Embeddings].into_iter().find(|api| api.path()[1..] == bare)
    }
}

/// One request of a caller whose key is good.
pub struct Ask {
    /// Its id.
    pub id: RequestId,
    /// When it came, for durations.
    pub started: Instant,
    /// When it came.
    pub started_at: Timestamp,
    /// Whose it is.
    pub key: Arc<VirtualKey>,
    /// What is called.
    pub api: Api,
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
}
