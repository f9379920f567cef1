//! The figures of a report by name: in CSV, and to sort by.

use super::fold::Totals;
use crate::types::NanoSum;

/// A figure of a group.
pub(super) struct Figure {
    /// Its name, as a column of CSV has it.
    pub(super) name: &'static str,
    /// Its name as a column of a table, where that is another, and others to sort by it. A table's name stands first.
    also: &'static [&'static str],
    /// The figure.
    pub(super) of: fn(&Totals) -> Amount,
}

/// What a figure is; nothing where it is unknown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Amount {
    Count(i64),
    Tokens(i128),
    Money(Option<NanoSum>),
    Number(Option<f64>),
}

impl Amount {
    /// As CSV has it: exact, and empty where it is unknown.
    pub(super) fn text(self) -> String {
        match self {
            Self::Count(count) => count.to_string(),
            Self::Tokens(count) => count.to_string(),
            Self::Money(amount) => amount.map(|amount| amount.to_string()).unwrap_or_default(),
            Self::Number(number) => number.map(|number| number.to_string()).unwrap_or_default(),
        }
    }

    /// To compare it by.
    // Sums beyond 2^53 may compare as equal.
    pub(super) fn number(self) -> Option<f64> {
        match self {
            Self::Count(count) => Some(count as f64),
            Self::Tokens(count) => Some(count as f64),
            Self::Money(amount) => amount.map(|amount| amount.0 as f64),
            Self::Number(number) => number,
        }
    }
}

const fn figure(name: &'static str, also: &'static [&'static str], of: fn(&Totals) -> Amount) -> Figure {
    Figure { name, also, of }
}

/// All figures, in the order of CSV. A new one stands last, so that those who read columns by place find them.
pub(super) static FIGURES: [Figure; 28] = [
    figure("requests", &["requests", "calls"], |totals| Amount::Count(totals.requests)),
    figure("errors", &[], |totals| Amount::Count(totals.errors)),
    figure("cache_hits", &["cache_hits", "hits"], |totals| Amount::Count(totals.cache_hits)),
    figure("input_tokens", &["input_tokens", "input", "tokens"], |totals| Amount::Tokens(totals.input_tokens)),
    figure("cached_input_tokens", &["cached_input_tokens", "cached_input"], |totals| {
        Amount::Tokens(totals.cached_input_tokens)
    }),
    figure("cache_write_tokens", &["cache_write_tokens", "cache_write"], |totals| {
        Amount::Tokens(totals.cache_write_tokens)
    }),
    figure("output_tokens", &["output_tokens", "output"], |totals| Amount::Tokens(totals.output_tokens)),
    figure("reasoning_tokens", &["reasoning_tokens", "reasoning"], |totals| Amount::Tokens(totals.reasoning_tokens)),
    figure("cost_usd", &["cost"], |totals| Amount::Money(totals.cost_usd)),
    figure("saved_usd", &["saved"], |totals| Amount::Money(totals.saved_usd)),
    figure("unpriced_requests", &["unpriced"], |totals| Amount::Count(totals.unpriced_requests)),
    figure("estimated_requests", &["estimated"], |totals| Amount::Count(totals.estimated_requests)),
    figure("estimated_usd", &["estimated_cost"], |totals| Amount::Money(totals.estimated_usd)),
    figure("latency_ms_p50", &["p50"], |totals| Amount::Number(totals.latency_ms.p50)),
    figure("latency_ms_p95", &["p95", "latency"], |totals| Amount::Number(totals.latency_ms.p95)),
    figure("latency_ms_p99", &["p99"], |totals| Amount::Number(totals.latency_ms.p99)),
    figure("first_token_ms_p50", &["first_token"], |totals| Amount::Number(totals.first_token_ms.p50)),
    figure("first_token_ms_p95", &["first_token_p95"], |totals| Amount::Number(totals.first_token_ms.p95)),
    figure("first_token_ms_p99", &[], |totals| Amount::Number(totals.first_token_ms.p99)),
    figure("overhead_us_p50", &["overhead"], |totals| Amount::Number(totals.overhead_us.p50)),
    figure("overhead_us_p99", &[], |totals| Amount::Number(totals.overhead_us.p99)),
    figure("error_rate", &[], |totals| Amount::Number(totals.error_rate)),
    figure("cache_hit_rate", &["cache_hit_rate", "hit_rate"], |totals| Amount::Number(totals.cache_hit_rate)),
    figure("cost_share", &["cost_share", "share"], |totals| Amount::Number(totals.cost_share)),
    figure("cost_per_request_usd", &["cost_per_request"], |totals| Amount::Money(totals.cost_per_request_usd)),
    figure("semantic_hits", &[], |totals| Amount::Count(totals.semantic_hits)),
    figure("semantic_verified", &[], |totals| Amount::Count(totals.semantic_verified)),
    figure("semantic_wrong", &[], |totals| Amount::Count(totals.semantic_wrong)),
];

/// The figures of calls as if another model had answered them.
pub(super) static AS_IF: [Figure; 2] = [
    figure("as_if_usd", &["as_if"], |totals| Amount::Money(totals.as_if.and_then(|as_if| as_if.usd))),
    figure("as_if_unknown_requests", &[], |totals| {
        Amount::Count(totals.as_if.map_or(0, |as_if| as_if.unknown_requests))
    }),
];

/// The figures of feedback.
pub(super) static METRIC: [Figure; 2] = [
    figure("metric_n", &[], |totals| Amount::Count(totals.metric.map_or(0, |metric| metric.n))),
    figure("metric_mean", &["metric_mean", "metric"], |totals| {
        Amount::Number(totals.metric.and_then(|metric| metric.mean))
    }),
];

/// All of them.
fn all() -> impl Iterator<Item = &'static Figure> {
    FIGURES.iter().chain(&AS_IF).chain(&METRIC)
}

/// The figure that is called so.
pub(super) fn named(name: &str) -> Option<&'static Figure> {
    all().find(|figure| figure.name == name || figure.also.contains(&name))
}

/// The name of each figure, as a table's column has it.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    all().map(|figure| figure.also.first().copied().unwrap_or(figure.name))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_name_is_of_one_figure() {
        let mut seen = HashSet::new();
        for figure in all() {
            let others = figure.also.iter().filter(|name| **name != figure.name);
            for name in [&figure.name].into_iter().chain(others) {
                assert!(seen.insert(*name), "{name}");
                assert_eq!(named(name).unwrap().name, figure.name);
            }
        }
        assert!(named("colour").is_none());
    }
}
