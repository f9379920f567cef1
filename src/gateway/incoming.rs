//! What the data plane asks for, before its dialect is read.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use tokio::time::Instant;

use crate::cache::Directive;
use crate::keys::VirtualKey;
use crate::types::{RequestId, Timestamp};
use crate::wire::DialectId;
use crate::wire::dialect::Addressed;
use crate::wire::passing::Passing;

/// Which of the data plane's routes is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `POST /v1/chat/completions`.
    Chat,
    /// `POST /v1/embeddings`.
    Embeddings,
    /// `POST /v1/responses`.
    Responses,
    /// `POST /v1/messages`.
    Messages,
    /// `POST /v1/messages/count_tokens`.
    CountTokens,
    /// `POST /v1beta/models/{model}:generateContent` and `:streamGenerateContent`.
    Generate,
    /// `POST /v1beta/models/{model}:countTokens`.
    GeminiCount,
    /// `POST /v1beta/models/{model}:embedContent`.
    EmbedContent,
    /// `POST /v1beta/models/{model}:batchEmbedContents`.
    EmbedContents,
    /// Any other of OpenAI's routes, which passes to a provider that has it.
    Pass(Passing),
}

/// All of them.
const ENDPOINTS: [Endpoint; 18] = {
    let own = [
        Endpoint::Chat,
        Endpoint::Embeddings,
        Endpoint::Responses,
        Endpoint::Messages,
        Endpoint::CountTokens,
        Endpoint::Generate,
        Endpoint::GeminiCount,
        Endpoint::EmbedContent,
        Endpoint::EmbedContents,
    ];
    let mut all = [Endpoint::Chat; 18];
    let mut n = 0;
    while n < all.len() {
        all[n] = if n < own.len() { own[n] } else { Endpoint::Pass(Passing::ALL[n - own.len()]) };
        n += 1;
    }
    all
};

impl Endpoint {
    /// The route, as the ledger and the metrics name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Embeddings => "/v1/embeddings",
            Self::Responses => "/v1/responses",
            Self::Messages => "/v1/messages",
            Self::CountTokens => "/v1/messages/count_tokens",
            Self::Generate => "/v1beta/models",
            Self::GeminiCount => "/v1beta/models:countTokens",
            Self::EmbedContent => "/v1beta/models:embedContent",
            Self::EmbedContents => "/v1beta/models:batchEmbedContents",
            Self::Pass(passing) => passing.route(),
        }
    }

    /// The route that is called at `path`.
    #[must_use]
    pub fn at(path: &str) -> Option<Self> {
        ENDPOINTS.into_iter().find(|endpoint| endpoint.name() == path && !endpoint.is_addressed())
    }

    /// The route's name as rows share it.
    #[must_use]
    pub fn shared_name(self) -> Arc<str> {
        static NAMES: LazyLock<[(Endpoint, Arc<str>); 18]> =
            LazyLock::new(|| ENDPOINTS.map(|endpoint| (endpoint, endpoint.name().into())));
        let named = NAMES.iter().find(|(endpoint, _)| *endpoint == self);
        named.map_or_else(|| self.name().into(), |(_, name)| name.clone())
    }

    /// Whether a model answers a conversation here.
    #[must_use]
    pub fn is_answer(self) -> bool {
        matches!(self, Self::Chat | Self::Responses | Self::Messages | Self::Generate)
    }

    /// Whether its address names the model.
    #[must_use]
    pub fn is_addressed(self) -> bool {
        matches!(self, Self::Generate | Self::GeminiCount | Self::EmbedContent | Self::EmbedContents)
    }

    /// Whether its body may be a form.
    #[must_use]
    pub fn takes_form(self) -> bool {
        matches!(self, Self::Pass(passing) if passing.takes_form())
    }

    /// What its callers speak: errors too.
    #[must_use]
    pub fn dialect(self) -> DialectId {
        match self {
            Self::Chat | Self::Embeddings | Self::Pass(_) => DialectId::OpenAiChat,
            Self::Responses => DialectId::OpenAiResponses,
            Self::Messages | Self::CountTokens => DialectId::Anthropic,
            Self::Generate | Self::GeminiCount | Self::EmbedContent | Self::EmbedContents => DialectId::Gemini,
        }
    }

    /// The route that `name` means: with or without `/v1/`, with dots or slashes.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let name = name.trim_start_matches('/').replace('.', "/");
        let bare = name.trim_start_matches("v1beta/").trim_start_matches("v1/");
        ENDPOINTS
            .into_iter()
            .find(|endpoint| endpoint.name().trim_start_matches("/v1beta/").trim_start_matches("/v1/") == bare)
    }
}

/// One request of a caller whose key is good.
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
}
