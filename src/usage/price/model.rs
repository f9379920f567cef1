//! The price of one model: its rates, and what a call costs at them.

use std::sync::Arc;

use serde::Serialize;

use super::charge::sum;
use super::rates::{Rates, UnitPrices};
use crate::chat::{Units, Usage, Used};
use crate::types::{Nanos, Rate};

/// What is known of a model beside its price.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct About {
    /// What it does: `chat`, `responses`, `embedding`, `rerank`, `completion`.
    pub mode: String,
    /// The most tokens it reads.
    pub max_input_tokens: Option<u64>,
    /// The most tokens it writes.
    pub max_output_tokens: Option<u64>,
    /// The day its provider switches it off.
    pub retires_on: Option<String>,
    /// What it can do, such as `tools` and `images`.
    pub capabilities: Vec<String>,
}

/// What the book calls the service of a provider's batch API.
const BATCH: &str = "batch";

/// The price of one model, with its steps for long inputs and its service tiers.
#[derive(Clone, Debug)]
pub struct Price {
    pub(super) base: Line,
    /// By threshold, the highest first.
    pub(super) steps: Vec<(u64, Line)>,
    pub(super) services: Vec<(String, Line)>,
    /// Whether it has rates for tokens.
    pub(super) by_tokens: bool,
    /// Whether it is the same in every tier: who sets a price says what calls cost.
    pub(super) is_flat: bool,
    /// Whether each call searches, for a fee that is unknown.
    pub(super) searches: bool,
    pub(super) units: UnitPrices,
}

/// Rates as they hold under some condition, and the text that the ledger keeps of them.
#[derive(Clone, Debug)]
pub(super) struct Line {
    rates: Rates,
    text: Arc<str>,
}

impl Price {
    /// A price without conditions, as a configuration sets it.
    #[must_use]
    pub fn flat(rates: Rates) -> Self {
        Self::of(Some(rates), UnitPrices::default())
    }

    /// A price without conditions, for tokens or for other units or for both.
    #[must_use]
    pub fn of(rates: Option<Rates>, units: UnitPrices) -> Self {
        let by_tokens = rates.is_some();
        let rates = rates.unwrap_or_default();
        let base = match by_tokens && units.is_empty() {
            true => Line::new(rates, None, "config"),
            false => Line { rates, text: unit_text(by_tokens.then_some(rates), &units) },
        };
        Self { base, steps: Vec::new(), services: Vec::new(), by_tokens, is_flat: true, searches: false, units }
    }

    /// The rates that hold where no condition does.
    #[must_use]
    pub fn rates(&self) -> &Rates {
        &self.base.rates
    }

    /// The rates as the ledger keeps them, JSON.
    #[must_use]
    pub fn text(&self) -> Arc<str> {
        self.base.text.clone()
    }

    /// Whether the price is set, so that it holds whatever a provider says of its service.
    #[must_use]
    pub fn is_flat(&self) -> bool {
        self.is_flat
    }

    /// What a call costs, and at which rates. The cost is `None` where it used something that has no price here, or more than
    /// [`Nanos::MOST`], which no call costs: that is unknown, not free.
    #[must_use]
    pub fn cost_of(&self, used: &Used) -> (Option<Nanos>, Arc<str>) {
        let (cost, rates) = self.sum_of(used);
        (cost.filter(|cost| *cost <= Nanos::MOST), rates)
    }

    fn sum_of(&self, used: &Used) -> (Option<Nanos>, Arc<str>) {
        let usage = used.usage.as_ref().filter(|_| self.by_tokens);
        let service = used.usage.map(|usage| usage.service).unwrap_or_default();
        let searched = (service.searches > 0).then_some(service.searches);
        let units = used.units.or(Units { searches: searched, ..Units::default() });
        let has_unknown_fee =
            service.has_other_fees || self.searches || (searched.is_some() && self.units.search.is_none());
        let by_units = self.units.sum(&units);
        let Some(usage) = usage else {
            let cost = by_units.filter(|_| !has_unknown_fee).map(Rate::round);
            return (cost, self.text());
        };
        let Some(Priced { line, is_us_only }) = self.line(usage) else {
            let tier = service.tier.name().unwrap_or("long input");
            return (None, format!(r#"{{"tier":"{tier}","unknown":true}}"#).into());
        };
        // Who sets a price sets it for all tokens.
        let lacks = |count: u64, rate: Option<Rate>| count > 0 && rate.is_none() && !self.is_flat;
        let has_unknown_fee = has_unknown_fee
            || lacks(service.audio_input, line.rates.input_audio)
            || lacks(service.audio_output, line.rates.output_audio)
            || (service.has_other_output && !self.is_flat);
        let tokens = sum(&line.rates, usage);
        // A tenth more, of all tokens.
        let tokens = if is_us_only { tokens.saturating_mul(11) / 10 } else { tokens };
        let cost = Rate::round(tokens.saturating_add(by_units.unwrap_or(0)));
        let text = if is_us_only { line.with(line.rates, "us, 1.1 times").text } else { line.text.clone() };
        ((!has_unknown_fee).then_some(cost), text)
    }

    /// The price of the same calls where the provider's own batch API runs them: the book's rates for that, else half of
    /// each, which is what OpenAI and Anthropic document for their batch APIs. A long input's rates are halved as well.
    #[must_use]
    pub fn batched(&self) -> Self {
        let known = self.services.iter().find(|(name, _)| name == BATCH).map(|(_, line)| line);
        let base = match known {
            // The book has no rate of its own for a write that stands an hour.
            Some(line) if line.rates.cache_write_1h == self.base.rates.cache_write_1h => {
                let cache_write_1h = line.rates.cache_write_1h.map(Rate::half);
                line.with(Rates { cache_write_1h, ..line.rates }, BATCH)
            }
            Some(line) => line.clone(),
            None => self.base.with(self.base.rates.half(), BATCH),
        };
        let halved =
            |(over, line): &(u64, Line)| (*over, line.with(line.rates.half(), &format!("{BATCH}, input over {over}")));
        let steps = self.steps.iter().map(halved).collect();
        let (by_tokens, searches, units) = (self.by_tokens, self.searches, self.units);
        Self { base, steps, services: Vec::new(), by_tokens, is_flat: true, searches, units }
    }

    /// The line that holds for these tokens; `None` where none is known for their tier.
    ///
    /// An input longer than a step's threshold pays that step's rates for all its tokens. What it pays in another tier than the
    /// usual one no book says.
    fn line(&self, usage: &Usage) -> Option<Priced<'_>> {
        let step = self.steps.iter().find(|(over, _)| usage.input > *over).map(|(_, line)| line);
        let tier = usage.service.tier.name().filter(|_| !self.is_flat);
        let line = match (tier, step) {
            (None, step) => step.unwrap_or(&self.base),
            (Some(_), Some(_)) => return None,
            (Some(tier), None) => self.services.iter().find(|(name, _)| name == tier).map(|(_, line)| line)?,
        };
        Some(Priced { line, is_us_only: usage.service.is_us_only && !self.is_flat })
    }
}

/// The line by which a call is priced, and whether a tenth comes on top.
struct Priced<'a> {
    line: &'a Line,
    is_us_only: bool,
}

impl Line {
    /// Other rates under this condition, from the same day or place.
    fn with(&self, rates: Rates, condition: &str) -> Self {
        let text: serde_json::Value = serde_json::from_str(&self.text).unwrap_or_default();
        Self::new(rates, Some(condition), text["from"].as_str().unwrap_or_default())
    }

    pub(super) fn new(rates: Rates, condition: Option<&str>, source: &str) -> Self {
        #[derive(Serialize)]
        struct Text<'a> {
            #[serde(flatten)]
            rates: Rates,
            #[serde(skip_serializing_if = "Option::is_none")]
            tier: Option<&'a str>,
            from: &'a str,
        }
        let text = Text { rates, tier: condition, from: source };
        Self { rates, text: serde_json::to_string(&text).unwrap_or_default().into() }
    }
}

/// Prices that the configuration sets, as the ledger keeps them. How much was counted follows from them and the cost.
fn unit_text(rates: Option<Rates>, prices: &UnitPrices) -> Arc<str> {
    #[derive(Serialize)]
    struct Text<'a> {
        #[serde(flatten)]
        rates: Option<Rates>,
        #[serde(flatten)]
        prices: &'a UnitPrices,
        from: &'static str,
    }
    let text = Text { rates, prices, from: "config" };
    serde_json::to_string(&text).unwrap_or_default().into()
}
