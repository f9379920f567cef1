//! What hourly sums and the groups of reports add up.

use super::histogram::Histogram;
use crate::types::Nanos;
use crate::usage::rows::{RequestRow, Status};

/// What is added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::usage) struct Sums {
    pub(in crate::usage) requests: i64,
    pub(in crate::usage) priced: i64,
    pub(in crate::usage) unpriced: i64,
    /// Tokens read, of them from and into the provider's prompt cache.
    pub(in crate::usage) input: i64,
    pub(in crate::usage) cached_input: i64,
    pub(in crate::usage) cache_write: i64,
    /// Tokens written, of them spent on reasoning.
    pub(in crate::usage) output: i64,
    pub(in crate::usage) reasoning: i64,
    pub(in crate::usage) cost: Nanos,
    pub(in crate::usage) saved: Nanos,
    pub(in crate::usage) latency: Histogram,
    pub(in crate::usage) first_token: Histogram,
    pub(in crate::usage) overhead: Histogram,
}

impl Sums {
    /// Adds a request.
    pub(in crate::usage) fn add(&mut self, row: &RequestRow) {
        self.requests += 1;
        self.priced += i64::from(row.cost.is_some() && !row.unpriced);
        self.unpriced += i64::from(row.unpriced);
        if let Some(usage) = &row.usage {
            let add = |sum: &mut i64, count| *sum = sum.saturating_add(i64::try_from(count).unwrap_or(i64::MAX));
            add(&mut self.input, usage.input);
            add(&mut self.cached_input, usage.cached_input);
            add(&mut self.cache_write, usage.cache_write);
            add(&mut self.output, usage.output);
            add(&mut self.reasoning, usage.reasoning);
        }
        self.cost += row.cost.unwrap_or_default();
        self.saved += row.saved;
        // A request that the process did not survive has no measured latency.
        if row.status != Status::Unknown {
            self.latency.record(row.latency_us);
        }
        row.first_token_us.into_iter().for_each(|value| self.first_token.record(value));
        row.overhead_us.into_iter().for_each(|value| self.overhead.record(value));
    }

    /// Adds another's sums.
    pub(in crate::usage) fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.priced += other.priced;
        self.unpriced += other.unpriced;
        self.input = self.input.saturating_add(other.input);
        self.cached_input = self.cached_input.saturating_add(other.cached_input);
        self.cache_write = self.cache_write.saturating_add(other.cache_write);
        self.output = self.output.saturating_add(other.output);
        self.reasoning = self.reasoning.saturating_add(other.reasoning);
        self.cost += other.cost;
        self.saved += other.saved;
        self.latency.merge(&other.latency);
        self.first_token.merge(&other.first_token);
        self.overhead.merge(&other.overhead);
    }
}
