//! A line of the price book, as it is written, and the price it stands for.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::model::{About, Line, Price};
use super::rates::{Rates, UnitPrices};
use crate::types::Rate;

/// A line of the price book, as it is written.
#[derive(Deserialize)]
pub(super) struct Entry {
    provider: String,
    model: String,
    mode: String,
    rates: Partial,
    #[serde(default)]
    tiers: Vec<Step>,
    #[serde(default)]
    service_tiers: BTreeMap<String, Partial>,
    max_input_tokens: Option<u64>,
    max_output_tokens: Option<u64>,
    retires_on: Option<String>,
    #[serde(default)]
    capabilities: Vec<String>,
}

#[derive(Deserialize)]
struct Step {
    input_over: u64,
    rates: Partial,
}

/// Some of the rates; the others hold as before.
#[derive(Deserialize)]
struct Partial {
    input: Option<Rate>,
    output: Option<Rate>,
    cache_read: Option<Rate>,
    cache_write: Option<Rate>,
    cache_write_1h: Option<Rate>,
    reasoning: Option<Rate>,
    input_audio: Option<Rate>,
    output_audio: Option<Rate>,
}

impl Partial {
    fn over(&self, base: Rates) -> Rates {
        Rates {
            input: self.input.unwrap_or(base.input),
            output: self.output.unwrap_or(base.output),
            cache_read: self.cache_read.or(base.cache_read),
            cache_write: self.cache_write.or(base.cache_write),
            cache_write_1h: self.cache_write_1h.or(base.cache_write_1h),
            reasoning: self.reasoning.or(base.reasoning),
            // What sound costs in another tier than the usual one is not what it costs there.
            input_audio: self.input_audio,
            output_audio: self.output_audio,
        }
    }
}

impl Entry {
    /// The price, from the day `from`. `None` where the book has no rate for input: part of a price is no price. Rerankers
    /// that cost nothing by tokens cost something by the search, which the book does not know.
    pub(super) fn price(&self, from: &str) -> Option<Price> {
        let input = self.rates.input?;
        if self.mode == "rerank" && input == Rate::default() {
            return None;
        }
        let base = self.rates.over(Rates::default());
        let mut steps: Vec<_> = self.tiers.iter().map(|step| (step.input_over, step.line(base, from))).collect();
        steps.sort_by_key(|(over, _)| std::cmp::Reverse(*over));
        let services = self.service_tiers.iter();
        let services = services.map(|(name, some)| (name.clone(), Line::new(some.over(base), Some(name), from)));
        let (services, units) = (services.collect(), UnitPrices::default());
        let searches = self.always_searches();
        Some(Price {
            base: Line::new(base, None, from),
            services,
            steps,
            by_tokens: true,
            is_flat: false,
            searches,
            units,
        })
    }

    /// Whether each call of it searches the web, which has a fee that no answer reports and the book does not know.
    fn always_searches(&self) -> bool {
        let of_openai = || ["-search-preview", "-search-api"].iter().any(|part| self.model.contains(part));
        match self.provider.as_str() {
            "openai" | "azure" => of_openai(),
            "perplexity" => self.model.contains("sonar"),
            _ => false,
        }
    }

    pub(super) fn about(self) -> About {
        About {
            mode: self.mode,
            max_input_tokens: self.max_input_tokens,
            max_output_tokens: self.max_output_tokens,
            retires_on: self.retires_on,
            capabilities: self.capabilities,
        }
    }
}

impl Step {
    fn line(&self, base: Rates, from: &str) -> Line {
        Line::new(self.rates.over(base), Some(&format!("input over {}", self.input_over)), from)
    }
}
