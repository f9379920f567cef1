//! What tokens and other units cost, each for itself.

use serde::Serialize;

use crate::chat::Units;
use crate::types::{Nanos, Rate};

/// Dollars for a million tokens of each kind.
///
/// A kind without a rate of its own costs what it is part of: cached and cache-write tokens the input's rate,
/// reasoning tokens the output's, a write for an hour what a write for five minutes costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rates {
    /// Tokens read.
    pub input: Rate,
    /// Tokens written.
    pub output: Rate,
    /// Tokens read from the provider's prompt cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<Rate>,
    /// Tokens written to the provider's prompt cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<Rate>,
    /// Tokens written to the provider's prompt cache for an hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<Rate>,
    /// Tokens spent on reasoning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Rate>,
    /// Tokens of sound that are read. Without a rate of their own, what they cost is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_audio: Option<Rate>,
    /// Tokens of sound that are written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_audio: Option<Rate>,
}

/// Dollars for one of each kind that is not charged by tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct UnitPrices {
    /// A call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<Nanos>,
    /// An image made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<Nanos>,
    /// A character read aloud.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub character: Option<Nanos>,
    /// A second of audio transcribed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second: Option<Nanos>,
    /// A search of a reranker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search: Option<Nanos>,
}

impl UnitPrices {
    /// Whether none is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What a call costs by these, in millionths of a nano-dollar; `None` where it has nothing that they are for.
    pub(super) fn sum(&self, units: &Units) -> Option<i128> {
        let times = |price: Option<Nanos>, count: Option<u64>, scale: i128| {
            Some(i128::from(price?.0) * i128::from(count?) * scale)
        };
        let parts = [
            times(self.request, Some(1), 1_000_000),
            times(self.image, units.images, 1_000_000),
            times(self.character, units.characters, 1_000_000),
            times(self.second, units.milliseconds, 1_000),
            times(self.search, units.searches, 1_000_000),
        ];
        let known = parts.iter().any(Option::is_some);
        known.then(|| parts.into_iter().flatten().fold(0, i128::saturating_add))
    }
}

impl Rates {
    /// Half of each.
    pub(super) fn half(&self) -> Self {
        let half = |rate: Option<Rate>| rate.map(Rate::half);
        Self {
            input: self.input.half(),
            output: self.output.half(),
            cache_read: half(self.cache_read),
            cache_write: half(self.cache_write),
            cache_write_1h: half(self.cache_write_1h),
            reasoning: half(self.reasoning),
            input_audio: half(self.input_audio),
            output_audio: half(self.output_audio),
        }
    }
}
