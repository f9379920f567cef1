//! The ledger's rows as plain data: what a call leaves behind.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::chat::Usage;
use crate::types::{Nanos, RequestId, Timestamp};

/// The longest text a caller can put into a row, in bytes.
const LONGEST: usize = 256;
/// The most tags of a request.
const MOST_TAGS: usize = 32;

/// How a request or an attempt ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Status {
    /// Whole.
    Ok,
    /// With an error.
    Error,
    /// The caller hung up.
    ClientClosed,
    /// Unknown: the process ended before it did.
    #[default]
    Unknown,
}

impl Status {
    /// All of them.
    pub(super) const ALL: [Self; 4] = [Self::Ok, Self::Error, Self::ClientClosed, Self::Unknown];

    /// The status as the ledger and reports spell it.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::ClientClosed => "client_closed",
            Self::Unknown => "unknown",
        }
    }

    pub(super) fn read(text: &str) -> Self {
        Self::ALL.into_iter().find(|status| status.text() == text).unwrap_or_default()
    }
}

/// What an attempt is for, beside an answer that the caller may get. A new one stands last, since the journal counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// A second target is asked while the first has not begun to answer.
    Hedge,
    /// A model judges the answer of another.
    Judge,
    /// A text is embedded, for the semantic cache or for a rule.
    Embedding,
}

impl Role {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Hedge, Self::Judge, Self::Embedding];

    /// The role as the ledger and reports spell it.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Hedge => "hedge",
            Self::Judge => "judge",
            Self::Embedding => "embedding",
        }
    }
}

/// What the cache had to do with a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CacheState {
    /// Nothing: it is off for this call.
    #[default]
    None,
    /// It answered.
    Hit,
    /// It had no answer.
    Miss,
    /// It was not asked.
    Bypass,
    /// Another request's running call answered.
    Coalesced,
    /// It answered with what a similar request got.
    Semantic,
}

impl CacheState {
    /// All of them.
    pub(super) const ALL: [Self; 6] =
        [Self::None, Self::Hit, Self::Miss, Self::Bypass, Self::Coalesced, Self::Semantic];

    /// The state as headers, the ledger and reports spell it.
    #[must_use]
    pub fn text(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Hit => Some("hit"),
            Self::Miss => Some("miss"),
            Self::Bypass => Some("bypass"),
            Self::Coalesced => Some("coalesced"),
            Self::Semantic => Some("semantic"),
        }
    }

    /// Whether the answer came without a call of its own.
    #[must_use]
    pub fn is_hit(self) -> bool {
        matches!(self, Self::Hit | Self::Coalesced | Self::Semantic)
    }

    pub(super) fn read(text: Option<&str>) -> Self {
        Self::ALL.into_iter().find(|state| state.text() == text).unwrap_or_default()
    }
}

/// Why the gateway made a request of its own. Callers' requests have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Purpose {
    /// To see how a candidate answers what a caller asked.
    Shadow,
    /// To see whether an answer of the semantic cache was right.
    Verify,
}

/// The code of a request that was made to verify a hit, and had another answer than the one that is stored.
pub const SEMANTIC_WRONG: &str = "semantic_wrong";

/// The code of one whose answer could not be compared.
pub const SEMANTIC_UNCOMPARED: &str = "semantic_uncompared";

impl Purpose {
    /// All of them.
    pub(super) const ALL: [Self; 2] = [Self::Shadow, Self::Verify];

    /// The purpose as the ledger and reports spell it.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Shadow => "shadow",
            Self::Verify => "verify",
        }
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.text() == text)
    }
}

/// One request. The journal keeps its fields in their order, so a new one stands last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestRow {
    /// Its id, which the caller has read in `x-fulcrum-request-id`.
    pub id: RequestId,
    /// When it was admitted.
    pub started_at: Timestamp,
    /// The key's project.
    pub project: Arc<str>,
    /// The key's public id.
    pub key_id: Arc<str>,
    /// The caller's own user.
    pub user: Option<Arc<str>>,
    /// The caller's session.
    pub session: Option<Arc<str>>,
    /// The caller's tags.
    pub tags: Vec<(Arc<str>, Arc<str>)>,
    /// The route of the data plane, such as `/v1/chat/completions`.
    pub endpoint: Arc<str>,
    /// The model as the caller named it.
    pub requested_model: Arc<str>,
    /// The provider that answered, or was tried last.
    pub provider: Option<Arc<str>>,
    /// The provider's name of its model.
    pub model: Option<Arc<str>>,
    /// The route that took it.
    pub route: Option<Arc<str>>,
    /// The prompt.
    pub prompt: Option<Arc<str>>,
    /// The prompt's version.
    pub version: Option<u32>,
    /// Whether the caller asked for a stream.
    pub stream: bool,
    /// How it ended.
    pub status: Status,
    /// The HTTP status of the answer; 0 where there was none.
    pub http_status: u16,
    /// The error's public code.
    pub error_code: Option<Arc<str>>,
    /// What the cache had to do with it.
    pub cache: CacheState,
    /// Tokens of the answer, where they are known.
    pub usage: Option<Usage>,
    /// What all attempts cost together. `None` where no price is known.
    pub cost: Option<Nanos>,
    /// Whether some part of it has no known price.
    pub unpriced: bool,
    /// What the cache saved.
    pub saved: Nanos,
    /// From admission to the last byte.
    pub latency_us: u64,
    /// From admission to the first byte of the answer's body.
    pub first_token_us: Option<u64>,
    /// Of the latency, what was spent in Fulcrum itself.
    pub overhead_us: Option<u64>,
    /// Why it went where it went, JSON.
    pub trace: Option<Arc<str>>,
    /// Why the gateway made it of its own; a caller's request has none.
    pub purpose: Option<Purpose>,
    /// The caller's request that it belongs to, where the gateway made it of its own.
    pub of: Option<RequestId>,
    /// The arm that an experiment gave it, answered or not, and whoever answered.
    pub assigned: Option<Box<Assignment>>,
}

/// The arm of an experiment that a request got.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The experiment.
    pub experiment: Arc<str>,
    /// The arm.
    pub arm: Arc<str>,
    /// The probability that its unit gets that arm, in millionths.
    pub propensity: u32,
    /// Its unit, such as its user, as a number that is the same for all requests of that unit in the experiment.
    pub unit: i64,
}

/// One attempt at an upstream. The journal keeps its fields in their order, so a new one stands last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptRow {
    /// 1, 2, 3, … within the request.
    pub n: u32,
    /// The provider.
    pub provider: Arc<str>,
    /// The provider's name of its model.
    pub model: Arc<str>,
    /// How it ended.
    pub status: Status,
    /// The upstream's HTTP status, where it answered.
    pub http_status: Option<u16>,
    /// What went wrong, by its public code.
    pub error_code: Option<Arc<str>>,
    /// Whether the failure was one to retry.
    pub retryable: bool,
    /// When it was sent.
    pub started_at: Timestamp,
    /// From sending to the end.
    pub latency_us: u64,
    /// From sending to the first byte of the answer's body.
    pub first_token_us: Option<u64>,
    /// Tokens, where they are known.
    pub usage: Option<Usage>,
    /// What it cost. `None` where no price is known.
    pub cost: Option<Nanos>,
    /// The rate it was charged at, JSON.
    pub rate: Option<Arc<str>>,
    /// What was set aside for it before it was sent.
    pub reserved: Nanos,
    /// What it is for; `None` for an attempt at the caller's answer.
    pub role: Option<Role>,
}

/// Bodies to keep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bodies {
    /// What the caller sent.
    pub request: Bytes,
    /// What the caller got.
    pub response: Bytes,
}

/// Everything a finished request leaves behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settlement {
    /// The request.
    pub request: Box<RequestRow>,
    /// Its attempts.
    pub attempts: Vec<AttemptRow>,
    /// Its bodies, where the configuration keeps them.
    pub bodies: Option<Bodies>,
}

/// An attempt that is about to be sent: what is known of its rows by then.
#[derive(Clone, Copy, Debug)]
pub struct Intent<'a> {
    /// The request so far.
    pub request: &'a RequestRow,
    /// The attempt: `n`, `provider`, `model`, `started_at`, `reserved` and `role` are read.
    pub attempt: &'a AttemptRow,
    /// Attempts of the request that ended before, of which no record says so yet.
    pub ended: &'a [AttemptRow],
}

impl Settlement {
    /// The attempt that the request's row can hold: the only one, where it says nothing else than the request.
    pub(super) fn only_attempt(&self) -> Option<&AttemptRow> {
        let [attempt] = &self.attempts[..] else { return None };
        let row = &self.request;
        let same = attempt.n == 1
            && row.provider.as_ref() == Some(&attempt.provider)
            && row.model.as_ref() == Some(&attempt.model)
            && attempt.status == row.status
            && row.status != Status::Unknown
            && attempt.http_status == Some(row.http_status).filter(|status| *status != 0)
            && attempt.error_code == row.error_code
            && !attempt.retryable
            && attempt.usage == row.usage
            && attempt.cost == row.cost
            && attempt.role.is_none();
        same.then_some(attempt)
    }
}

impl RequestRow {
    /// What an intent says of its request: nothing of how it ended.
    pub(super) fn intended(self) -> Self {
        Self {
            provider: None,
            model: None,
            status: Status::default(),
            http_status: 0,
            error_code: None,
            cache: CacheState::default(),
            usage: None,
            cost: None,
            unpriced: false,
            saved: Nanos(0),
            latency_us: 0,
            first_token_us: None,
            overhead_us: None,
            trace: None,
            ..self
        }
    }

    /// Shortens what a caller could make long.
    pub(super) fn bound(&mut self) {
        let optional = [&mut self.user, &mut self.session, &mut self.error_code];
        optional.into_iter().flatten().for_each(shorten);
        shorten(&mut self.requested_model);
        self.tags.truncate(MOST_TAGS);
        for (name, value) in &mut self.tags {
            shorten(name);
            shorten(value);
        }
    }
}

impl AttemptRow {
    /// What an intent says of its attempt: nothing of how it ended.
    pub(super) fn intended(self) -> Self {
        Self {
            status: Status::default(),
            http_status: None,
            error_code: None,
            retryable: false,
            latency_us: 0,
            first_token_us: None,
            usage: None,
            cost: None,
            rate: None,
            ..self
        }
    }
}

fn shorten(text: &mut Arc<str>) {
    if text.len() <= LONGEST {
        return;
    }
    let end = text.floor_char_boundary(LONGEST);
    *text = text[..end].into();
}
