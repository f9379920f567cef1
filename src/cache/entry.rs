//! One stored answer.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;

use crate::chat::Usage;
use crate::types::{Nanos, PromptName, Timestamp};
use crate::wire::DialectId;

/// A whole answer that ended well, with the fields that the ledger's row of a hit needs.
#[derive(Debug)]
pub struct Entry {
    /// The answer, in the dialect of the caller whose call led to it.
    pub body: Bytes,
    /// The dialect of the body.
    pub dialect: DialectId,
    /// The tokens of the call.
    pub usage: Option<Usage>,
    /// The cost of the call, which a hit saves.
    pub cost: Option<Nanos>,
    /// When the answer was stored.
    pub stored_at: Timestamp,
    /// How long the answer may be used.
    pub ttl: Duration,
    /// The project of the call.
    pub project: Arc<str>,
    /// The provider that answered.
    pub provider: Arc<str>,
    /// The provider's name of the model.
    pub model: Arc<str>,
    /// Whether the answer was made up by a simulated provider.
    pub simulated: bool,
    /// The prompt of the call, with its version.
    pub prompt: Option<(PromptName, u32)>,
    /// The answer as a stream; begin with the default, [`super::Cache::replay`] fills it.
    pub replay: Replay,
}

/// A stored answer's other form, made when first asked for.
#[derive(Debug, Default)]
pub struct Replay(pub(super) OnceLock<Bytes>);

impl Entry {
    /// How old the answer is: the `age` header.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> Duration {
        now - self.stored_at
    }

    /// Whether the answer may be used now, for a caller that accepts none older than `max_age`.
    pub(super) fn is_fresh(&self, now: Timestamp, max_age: Option<Duration>) -> bool {
        let age = self.age(now);
        age < self.ttl && max_age.is_none_or(|most| age <= most && !most.is_zero())
    }

    /// The bytes of the entry: both forms of the answer, the other fields, and the share of the map.
    pub(super) fn weight(&self) -> u64 {
        /// Key, hash table slot, timers and queue nodes of moka, measured and rounded up.
        const AROUND: usize = 400;
        let replay = self.replay.0.get().map_or(0, Bytes::len);
        (size_of::<Self>() + AROUND + self.body.len() + replay) as u64
    }
}
