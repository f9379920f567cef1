//! What hourly sums and the groups of reports add up.

use super::histogram::Histogram;
use crate::chat::Usage;
use crate::types::{NanoSum, Nanos};
use crate::usage::rows::{RequestRow, Status};

/// What is added up. Tokens and money have more room here than a column has: an hourly sum that is full gets a second row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::usage) struct Sums {
    pub(in crate::usage) requests: i64,
    pub(in crate::usage) priced: i64,
    pub(in crate::usage) unpriced: i64,
    /// Tokens read, of them from and into the provider's prompt cache.
    pub(in crate::usage) input: i128,
    pub(in crate::usage) cached_input: i128,
    pub(in crate::usage) cache_write: i128,
    /// Tokens written, of them spent on reasoning.
    pub(in crate::usage) output: i128,
    pub(in crate::usage) reasoning: i128,
    pub(in crate::usage) cost: NanoSum,
    pub(in crate::usage) saved: NanoSum,
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
            // As the row's own column holds it.
            let add = |sum: &mut i128, count| *sum += i128::from(i64::try_from(count).unwrap_or(i64::MAX));
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

    /// Whether columns have room for a request's figures beside what is added up.
    pub(in crate::usage) fn has_room(&self, cost: Nanos, saved: Nanos, usage: Option<Usage>) -> bool {
        let usage = usage.unwrap_or_default();
        let tokens = [
            (self.input, usage.input),
            (self.cached_input, usage.cached_input),
            (self.cache_write, usage.cache_write),
            (self.output, usage.output),
            (self.reasoning, usage.reasoning),
        ];
        let money = [(self.cost, cost), (self.saved, saved)].map(|(sum, more)| sum.0 + i128::from(more.0));
        let sums = tokens.into_iter().map(|(sum, count)| sum + i128::from(count)).chain(money);
        sums.into_iter().all(|sum| i64::try_from(sum).is_ok())
    }

    /// Adds another's sums.
    pub(in crate::usage) fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.priced += other.priced;
        self.unpriced += other.unpriced;
        self.input += other.input;
        self.cached_input += other.cached_input;
        self.cache_write += other.cache_write;
        self.output += other.output;
        self.reasoning += other.reasoning;
        self.cost += other.cost;
        self.saved += other.saved;
        self.latency.merge(&other.latency);
        self.first_token.merge(&other.first_token);
        self.overhead.merge(&other.overhead);
    }
}
