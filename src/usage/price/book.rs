//! The price book: which model has which price.
//!
//! The built-in book is one line a model, sorted by provider and model, and stays text: a look-up halves it to the line
//! and reads that line only, so that it costs no start-up time and the memory of the models in use.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::entry::Entry;
use super::model::{About, Price};
use super::rates::{Rates, UnitPrices};

static BOOK: &str = include_str!("../../../config/prices.json");

/// A price that the configuration sets.
#[derive(Clone, Debug)]
pub struct PriceOverride {
    /// The provider's name in the configuration.
    pub provider: String,
    /// The provider's name of the model.
    pub model: String,
    /// What its tokens cost, if it is charged by them.
    pub rates: Option<Rates>,
    /// What else it is charged by.
    pub units: UnitPrices,
}

/// Prices of models, the configuration's before the built-in ones.
#[derive(Clone, Debug)]
pub struct PriceBook {
    overrides: HashMap<String, HashMap<String, Arc<Price>>>,
    as_of: &'static str,
    /// The entries read so far, by where their line begins.
    read: Arc<RwLock<HashMap<usize, Known>>>,
}

#[derive(Clone, Debug)]
struct Known {
    price: Option<Arc<Price>>,
    about: Arc<About>,
}

impl PriceBook {
    /// The book in the binary.
    #[must_use]
    pub fn builtin() -> Self {
        let as_of = between(BOOK, "\"as_of\": \"", "\"").unwrap_or("unknown");
        Self { overrides: HashMap::new(), as_of, read: Arc::default() }
    }

    /// The same book with prices of the configuration in front.
    #[must_use]
    pub fn with(mut self, overrides: Vec<PriceOverride>) -> Self {
        for PriceOverride { provider, model, rates, units } in overrides {
            self.overrides.entry(provider).or_default().insert(model, Arc::new(Price::of(rates, units)));
        }
        self
    }

    /// The price of `model` at `provider`, a name of the configuration. `None` where it is unknown, which is not free.
    ///
    /// Where the book knows no vendor by that name, `vendor` (such as `openai`) is looked up instead; it is for the caller
    /// to know that the provider is that vendor, and `""` for none.
    #[must_use]
    pub fn rate(&self, provider: &str, vendor: &str, model: &str) -> Option<Arc<Price>> {
        self.set(provider, model).or_else(|| self.known(provider, vendor, model)?.price)
    }

    /// The price that the configuration sets for `model` at `provider`.
    #[must_use]
    pub fn set(&self, provider: &str, model: &str) -> Option<Arc<Price>> {
        self.overrides.get(provider)?.get(model).cloned()
    }

    /// What is known of `model` beside its price; the names are those of [`PriceBook::rate`].
    #[must_use]
    pub fn about(&self, provider: &str, vendor: &str, model: &str) -> Option<Arc<About>> {
        Some(self.known(provider, vendor, model)?.about)
    }

    fn known(&self, provider: &str, vendor: &str, model: &str) -> Option<Known> {
        let provider = if is_vendor(provider) { provider } else { vendor };
        let start = find(provider, base_of(model))?;
        let read = self.read.read().unwrap_or_else(PoisonError::into_inner).get(&start).cloned();
        if read.is_some() {
            return read;
        }
        let entry: Entry = serde_json::from_str(line_at(start)).ok()?;
        let price = entry.price(self.as_of).map(Arc::new);
        let known = Known { price, about: Arc::new(entry.about()) };
        self.read.write().unwrap_or_else(PoisonError::into_inner).insert(start, known.clone());
        Some(known)
    }
}

/// OpenAI's fine-tuned models are `ft:BASE:organisation:name:id` and priced by their base.
fn base_of(model: &str) -> &str {
    let Some(rest) = model.strip_prefix("ft:") else { return model };
    rest.find(':').map_or(model, |end| &model[..end + 3])
}

fn is_vendor(name: &str) -> bool {
    let start = search(|line| names(line).0.cmp(name));
    start.is_ok()
}

fn find(provider: &str, model: &str) -> Option<usize> {
    search(|line| names(line).cmp(&(provider, model))).ok()
}

/// Halves the book's lines; `Ok` is where a line begins that `order` finds equal.
fn search(order: impl Fn(&str) -> Ordering) -> Result<usize, ()> {
    let (mut low, mut high) = bounds();
    while low < high {
        let middle = low + (high - low) / 2;
        let start = memchr::memrchr(b'\n', &BOOK.as_bytes()[low..middle]).map_or(low, |at| low + at + 1);
        match order(&BOOK[start..]) {
            Ordering::Equal => return Ok(start),
            Ordering::Greater => high = start,
            Ordering::Less => {
                low = memchr::memchr(b'\n', &BOOK.as_bytes()[middle..high]).map_or(high, |at| middle + at + 1);
            }
        }
    }
    Err(())
}

/// Where the first model's line begins and the last one's ends.
fn bounds() -> (usize, usize) {
    const OPEN: &str = "\"models\": [\n";
    let low = BOOK.find(OPEN).map_or(0, |at| at + OPEN.len());
    (low, BOOK.rfind("\n]").map_or(low, |at| at + 1))
}

fn line_at(start: usize) -> &'static str {
    let line = BOOK[start..].split('\n').next().unwrap_or_default();
    line.strip_suffix(',').unwrap_or(line)
}

/// Provider and model of the line that begins here. A test makes sure that every line has this form.
fn names(line: &str) -> (&str, &str) {
    let provider = line.strip_prefix("{\"provider\":\"").and_then(|rest| rest.split('"').next()).unwrap_or_default();
    let rest = line.get(provider.len() + 14..).unwrap_or_default();
    let model = rest.strip_prefix(",\"model\":\"").and_then(|rest| rest.split('"').next()).unwrap_or_default();
    (provider, model)
}

fn between<'a>(text: &'a str, open: &str, close: &str) -> Option<&'a str> {
    let start = text.find(open)? + open.len();
    let end = text[start..].find(close)?;
    Some(&text[start..start + end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{Service, Tier, Units, Usage, Used};
    use crate::types::Nanos;

    #[test]
    fn every_model_of_the_book_is_found_by_halving() {
        let book = PriceBook::builtin();
        let all: serde_json::Value = serde_json::from_str(BOOK).unwrap();
        let models = all["models"].as_array().unwrap();
        assert!(models.len() > 1_700);
        for entry in models {
            let (provider, model) = (entry["provider"].as_str().unwrap(), entry["model"].as_str().unwrap());
            let about = book.about(provider, "", base_of(model)).unwrap_or_else(|| panic!("{provider}/{model}"));
            assert_eq!(about.mode, entry["mode"].as_str().unwrap(), "{provider}/{model}");
            let price = book.rate(provider, "", model);
            let by_search = entry["mode"] == "rerank" && entry["rates"]["input"] == "0";
            assert_eq!(price.is_some(), entry["rates"].get("input").is_some() && !by_search, "{provider}/{model}");
            if let Some(price) = price {
                assert_eq!(price.rates().input.to_string(), entry["rates"]["input"].as_str().unwrap());
            }
        }
    }

    #[test]
    fn names_the_book_lacks_have_no_price() {
        let book = PriceBook::builtin();
        for (provider, vendor, model) in [
            ("openai", "", "gpt-4o-mini-2099-01-01"),
            ("groq", "openai", "gpt-4o-mini"),
            ("local", "", "gpt-4o-mini"),
            ("", "", ""),
            ("zzz", "zzz", "zzz"),
            ("openai", "", "\"}"),
        ] {
            assert!(book.rate(provider, vendor, model).is_none(), "{provider}/{model}");
        }
        assert!(book.rate("work", "openai", "gpt-4o-mini").is_some());
        assert!(book.rate("openai", "", "ft:gpt-4o-mini-2024-07-18:acme::x1").is_some());
    }

    #[test]
    fn the_configuration_comes_before_the_book() {
        let rates = Rates { input: "1".parse().unwrap(), output: "2".parse().unwrap(), ..Rates::default() };
        let (rates, units) = (Some(rates), UnitPrices::default());
        let ours = PriceOverride { provider: "openai".into(), model: "gpt-4o-mini".into(), rates, units };
        let book = PriceBook::builtin().with(vec![ours]);
        let usage = Usage { input: 10, output: 10, ..Usage::default() };
        assert_eq!(book.rate("openai", "", "gpt-4o-mini").unwrap().cost_of(&usage.into()).0, Some(Nanos(30_000)));
        assert_eq!(book.rate("openai", "", "gpt-4o").unwrap().cost_of(&usage.into()).0, Some(Nanos(125_000)));
    }

    #[test]
    fn a_providers_batch_costs_what_the_book_says_or_half() {
        let book = PriceBook::builtin();
        let price = book.rate("openai", "", "gpt-5.5").unwrap().batched();
        let cost = |input| {
            let usage = Usage { input, cached_input: 100, output: 10, ..Usage::default() };
            price.cost_of(&usage.into()).0.unwrap()
        };
        assert_eq!(cost(1_000), Nanos(900 * 2_500 + 100 * 250 + 10 * 15_000));
        assert_eq!(cost(272_001), Nanos(271_901 * 5_000 + 100 * 500 + 10 * 22_500));
        let claude = book.rate("anthropic", "", "claude-haiku-4-5").unwrap().batched();
        let written = Usage { input: 30, cache_write: 20, cache_write_1h: 10, ..Usage::default() };
        assert_eq!(claude.cost_of(&written.into()).0.unwrap(), Nanos(10 * 500 + 10 * 625 + 10 * 1_000));
        let rates = Rates { input: "1".parse().unwrap(), output: "0.25".parse().unwrap(), ..Rates::default() };
        let ours = Price::flat(rates).batched();
        assert_eq!(&*ours.text(), r#"{"input":"0.5","output":"0.125","tier":"batch","from":"config"}"#);
    }

    #[test]
    fn what_is_counted_otherwise_has_its_own_price_or_none() {
        let dollars = |text: &str| text.parse::<Nanos>().ok();
        let units = UnitPrices { image: dollars("0.04"), second: dollars("0.0001"), ..UnitPrices::default() };
        let price = Price::of(None, units);
        let used = |units: Units| Used { usage: Some(Usage { input: 9, ..Usage::default() }), units };
        let none = Units::default();
        let two = price.cost_of(&used(Units { images: Some(2), ..none }));
        assert_eq!(two, (Some(Nanos(80_000_000)), r#"{"image":"0.04","second":"0.0001","from":"config"}"#.into()));
        assert_eq!(price.cost_of(&used(Units { milliseconds: Some(12_345), ..none })).0, Some(Nanos(1_234_500)));
        assert_eq!(price.cost_of(&used(Units { images: Some(0), ..none })).0, Some(Nanos(0)));
        assert_eq!(price.cost_of(&used(Units { searches: Some(1), ..none })).0, None);
        let rates = Rates { input: "1".parse().unwrap(), ..Rates::default() };
        let both = Price::of(Some(rates), UnitPrices { request: dollars("0.001"), ..UnitPrices::default() });
        assert_eq!(both.cost_of(&used(none)).0, Some(Nanos(1_009_000)));
        assert_eq!(Price::flat(rates).cost_of(&Used::default()).0, None);
        assert!(PriceBook::builtin().rate("cohere", "", "rerank-v3.5").is_none());
    }

    #[test]
    fn steps_and_services_have_their_own_rates() {
        let price = PriceBook::builtin().rate("openai", "", "gpt-5.5").unwrap();
        let cost = |input, service: &str| {
            let usage = Usage { input, cached_input: 100, output: 10, ..Usage::default() };
            price.cost_of(&usage.in_tier(Tier::named(service)).into())
        };
        let nanos = |nanos: u64| Some(Nanos(i64::try_from(nanos).unwrap()));
        assert_eq!(cost(1_000, "").0, nanos(900 * 5_000 + 100 * 500 + 10 * 30_000));
        assert_eq!(cost(1_000, "default"), cost(1_000, ""));
        assert_eq!(cost(1_000, "batch").0, nanos(900 * 2_500 + 100 * 250 + 10 * 15_000));
        assert_eq!(cost(272_000, "").0, nanos(271_900 * 5_000 + 100 * 500 + 10 * 30_000));
        assert_eq!(cost(272_001, "").0, nanos(271_901 * 10_000 + 100 * 1_000 + 10 * 45_000));
        assert_eq!(
            &*cost(1_000, "batch").1,
            r#"{"input":"2.5","output":"15","cache_read":"0.25","tier":"batch","from":"2026-11-23"}"#
        );
        // No book says what these cost.
        for (input, service) in [(272_001, "priority"), (1_000, "scale"), (1_000, "PROVISIONED_THROUGHPUT")] {
            assert_eq!(cost(input, service).0, None, "{input} {service}");
        }
        let haiku = PriceBook::builtin().rate("anthropic", "", "claude-haiku-4-5").unwrap();
        assert_eq!(haiku.cost_of(&Usage::default().in_tier(Tier::Priority).into()).0, None);
    }

    #[test]
    fn what_comes_beside_the_tokens_is_charged_or_makes_the_cost_unknown() {
        let haiku = PriceBook::builtin().rate("anthropic", "", "claude-haiku-4-5").unwrap();
        let usage = |service| Usage { input: 1_000, output: 100, service, ..Usage::default() };
        let cost = |service| haiku.cost_of(&usage(service).into());
        let us = cost(Service { is_us_only: true, ..Service::default() });
        assert_eq!(us.0, Some(Nanos(1_650_000)));
        assert!(us.1.contains("1.1 times"), "{}", us.1);
        let searched = Service { searches: 2, ..Service::default() };
        assert_eq!(cost(searched).0, None);
        assert_eq!(cost(Service { has_other_fees: true, ..Service::default() }).0, None);
        let search = "0.01".parse::<Nanos>().ok();
        let set = Price::of(Some(*haiku.rates()), UnitPrices { search, ..UnitPrices::default() });
        assert_eq!(set.cost_of(&usage(searched).into()).0, Some(Nanos(1_500_000 + 20_000_000)));
        // Who sets a price says what calls cost, in whatever tier.
        let priority = usage(Service { tier: Tier::Priority, is_us_only: true, ..Service::default() });
        assert_eq!(set.cost_of(&priority.into()).0, Some(Nanos(1_500_000)));
    }
}
