//! Tokens of one call, and what else it is charged by.

use serde::{Deserialize, Serialize};

use crate::types::Nanos;

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
    /// What of the service decides the price beside the tokens. Rows have it as the rate that was charged.
    #[serde(skip)]
    pub service: Service,
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
            service: other.service,
        }
    }

    /// The later of two reports on one call. Counts are cumulative: a smaller one does not replace a larger one.
    #[must_use]
    pub fn after(self, earlier: Option<Self>) -> Self {
        let Some(earlier) = earlier else { return self };
        let input = self.input.max(earlier.input);
        let cached_input = self.cached_input.max(earlier.cached_input);
        let cache_write = self.cache_write.max(earlier.cache_write).min(input - cached_input);
        Self {
            input,
            cached_input,
            cache_write,
            cache_write_1h: self.cache_write_1h.max(earlier.cache_write_1h).min(cache_write),
            output: self.output.max(earlier.output),
            reasoning: self.reasoning.max(earlier.reasoning),
            estimated: self.estimated,
            service: self.service.after(earlier.service),
        }
    }
}

/// How a provider served a call, as far as its price depends on that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// The tier that served.
    pub tier: Tier,
    /// Whether it was served within the United States alone, which Anthropic charges a tenth more for.
    pub is_us_only: bool,
    /// Searches that the provider made for the answer, and charges for.
    pub searches: u64,
    /// Whether the provider used something else that it charges for beside the tokens.
    pub has_other_fees: bool,
    /// Of the tokens read, those of sound, which have a rate of their own.
    pub audio_input: u64,
    /// Of the tokens written, those of sound.
    pub audio_output: u64,
    /// Whether tokens were written that have another rate than words and sound, such as an image's.
    pub has_other_output: bool,
    /// What the provider says that the call costs.
    pub reported_cost: Option<Nanos>,
}

impl Service {
    /// The later of two reports on one call.
    fn after(self, earlier: Self) -> Self {
        Self {
            tier: if self.tier == Tier::Unnamed { earlier.tier } else { self.tier },
            is_us_only: self.is_us_only || earlier.is_us_only,
            searches: self.searches.max(earlier.searches),
            has_other_fees: self.has_other_fees || earlier.has_other_fees,
            audio_input: self.audio_input.max(earlier.audio_input),
            audio_output: self.audio_output.max(earlier.audio_output),
            has_other_output: self.has_other_output || earlier.has_other_output,
            reported_cost: self.reported_cost.max(earlier.reported_cost),
        }
    }
}

/// The tier in which a provider served a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tier {
    /// None that is named: the usual one, or the one that was asked for.
    #[default]
    Unnamed,
    /// The usual one.
    Standard,
    /// Cheaper and slower.
    Flex,
    /// Dearer and faster.
    Priority,
    /// A batch's.
    Batch,
    /// Another one, such as capacity that was bought before: what a call costs there is unknown.
    Other,
}

impl Tier {
    /// The tier of this name at any provider.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        match name.strip_prefix("service_tier_").unwrap_or(&name) {
            "" | "auto" | "unspecified" | "traffic_type_unspecified" => Self::Unnamed,
            "default" | "standard" | "standard_only" | "on_demand" => Self::Standard,
            "flex" | "on_demand_flex" => Self::Flex,
            "priority" | "on_demand_priority" => Self::Priority,
            "batch" => Self::Batch,
            _ => Self::Other,
        }
    }

    /// The tier of this name, where JSON has a text for it.
    #[must_use]
    pub fn of_json(json: Option<&str>) -> Self {
        json.and_then(|json| json.strip_prefix('"')?.strip_suffix('"')).map_or(Self::Unnamed, Self::named)
    }

    /// The name by which the price book knows it; `None` for the usual one, and where none is named.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Unnamed | Self::Standard => None,
            Self::Flex => Some("flex"),
            Self::Priority => Some("priority"),
            Self::Batch => Some("batch"),
            Self::Other => Some("other"),
        }
    }
}

impl Usage {
    /// The same tokens, with this many searches made for the answer.
    #[must_use]
    pub fn searched(self, searches: u64) -> Self {
        Self { service: Service { searches, ..self.service }, ..self }
    }

    /// The same tokens, served in this tier.
    #[must_use]
    pub fn in_tier(self, tier: Tier) -> Self {
        Self { service: Service { tier, ..self.service }, ..self }
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

impl Used {
    /// The same, its tokens served in this tier.
    #[must_use]
    pub fn in_tier(self, tier: Tier) -> Self {
        Self { usage: self.usage.map(|usage| usage.in_tier(tier)), ..self }
    }

    /// The tier in which its tokens were served.
    #[must_use]
    pub fn tier(&self) -> Tier {
        self.usage.map(|usage| usage.service.tier).unwrap_or_default()
    }
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
