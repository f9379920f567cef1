//! Tokens of one call, and what else it is charged by.

use serde::{Deserialize, Serialize};

/// Tokens counted by a provider, or estimated where it counted none.
///
/// `input` includes the cached and the cache-write tokens; `output` includes the reasoning tokens. The ledger's journal keeps
/// the fields in their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// All tokens read.
    pub input: u64,
    /// Of these, read from the provider's prompt cache.
    pub cached_input: u64,
    /// Of these, written to the provider's prompt cache.
    pub cache_write: u64,
    /// Of the written ones, those cached for an hour.
    pub cache_write_1h: u64,
    /// All tokens written.
    pub output: u64,
    /// Of these, spent on reasoning.
    pub reasoning: u64,
    /// Whether the counts are estimates, because the provider reported none.
    pub estimated: bool,
}

impl Usage {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            cached_input: self.cached_input.saturating_add(other.cached_input),
            cache_write: self.cache_write.saturating_add(other.cache_write),
            cache_write_1h: self.cache_write_1h.saturating_add(other.cache_write_1h),
            output: self.output.saturating_add(other.output),
            reasoning: self.reasoning.saturating_add(other.reasoning),
            estimated: self.estimated || other.estimated,
        }
    }
}

/// What a call used: tokens, and what else some providers charge by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// The tokens; `None` where the provider counts none.
    pub usage: Option<Usage>,
    /// What else was counted.
    pub units: Units,
}

/// What some providers charge by instead of tokens; `None` where a call has no such thing, or no count is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Units {
    /// Images made.
    pub images: Option<u64>,
    /// Characters read aloud.
    pub characters: Option<u64>,
    /// Audio that was transcribed, in milliseconds.
    pub milliseconds: Option<u64>,
    /// Searches, as rerankers count them.
    pub searches: Option<u64>,
}

impl From<Usage> for Used {
    fn from(usage: Usage) -> Self {
        Self { usage: Some(usage), units: Units::default() }
    }
}

impl Units {
    /// These counts; a count that is `None` here is taken from `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            images: self.images.or(other.images),
            characters: self.characters.or(other.characters),
            milliseconds: self.milliseconds.or(other.milliseconds),
            searches: self.searches.or(other.searches),
        }
    }
}
