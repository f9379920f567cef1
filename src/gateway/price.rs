//! What an attempt costs: by tokens where a price is known, by the machine's hour where it is one's own.

use std::borrow::Cow;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::chat::{Tier, Usage, Used};
use crate::routing::Target;
use crate::types::{Nanos, QuickMap};
use crate::upstream::Provider;
use crate::usage::{About, Price, PriceBook};

/// The price of one target's calls.
#[derive(Clone)]
pub enum Pricing {
    /// By tokens, or by what else is counted.
    Tokens(Arc<Price>),
    /// A share of the machine's hour: its price divided by the calls it can serve in an hour.
    Share {
        /// Nano-dollars a call.
        each: Nanos,
        /// The rate as the row keeps it.
        text: Arc<str>,
    },
    /// Nobody knows.
    Unknown,
}

/// Prices by `provider/model`, looked up once for each target of a configuration.
#[derive(Default)]
pub struct KnownPrices(ArcSwap<QuickMap<Arc<str>, Priced>>);

/// The price of a target's calls, and the most tokens that its model writes, where the book knows that.
pub type Priced = (Pricing, Option<u64>);

/// Callers may name any model of a provider: no more than this many prices are remembered.
const MOST_KNOWN: usize = 1_000;

impl KnownPrices {
    /// The price of calls to `target` and its model's limit, looked up in `book` the first time.
    pub fn of(&self, book: &PriceBook, provider: &Provider, target: &Target) -> Priced {
        let Self(known) = self;
        if let Some(priced) = known.load().get(&target.id) {
            return priced.clone();
        }
        let about = known_as(book, provider, target);
        let pricing = (Pricing::of(book, provider, target), about.and_then(|about| about.max_output_tokens));
        if known.load().len() < MOST_KNOWN {
            known.rcu(|known| {
                let mut known = QuickMap::clone(known);
                known.insert(target.id.clone(), pricing.clone());
                known
            });
        }
        pricing
    }
}

impl Pricing {
    /// The price of calls to `target` at `provider`.
    pub fn of(book: &PriceBook, provider: &Provider, target: &Target) -> Self {
        let booked = |model: Cow<'_, str>| book.rate(&provider.name, provider.seller(), &model);
        let set = book.set(&provider.name, &target.model);
        if let Some(price) = set.or_else(|| priced_as(provider, &target.model).find_map(booked)) {
            return Self::Tokens(price);
        }
        match (provider.gpu_hour, provider.requests_per_second) {
            (Some(hour), Some(rate)) if rate > 0.0 => Self::share(hour, rate).unwrap_or(Self::Unknown),
            _ => Self::Unknown,
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "a share is an estimate; money stays below 2^53"
    )]
    fn share(hour: Nanos, rate: f64) -> Option<Self> {
        let each = Nanos((hour.0 as f64 / 3_600.0 / rate).round() as i64);
        let text = format!(r#"{{"gpu_hour":"{hour}","requests_per_second":{rate}}}"#);
        (each <= Nanos::MOST).then(|| Self::Share { each, text: text.into() })
    }

    /// The price of calls that the provider's own batch API makes.
    pub fn batched(&self) -> Self {
        match self {
            Self::Tokens(price) => Self::Tokens(Arc::new(price.batched())),
            other => other.clone(),
        }
    }

    /// What a call that used this costs.
    pub fn cost(&self, used: &Used) -> Option<Nanos> {
        self.charge(used).0
    }

    /// What a call that used this costs, and the rate as the row keeps it.
    pub fn charge(&self, used: &Used) -> (Option<Nanos>, Option<Arc<str>>) {
        match self {
            Self::Tokens(price) => {
                let (cost, rate) = price.cost_of(used);
                match reported(used).filter(|_| !price.is_flat()) {
                    Some(reported) => (Some(reported), Some(REPORTED.into())),
                    None => (cost, Some(rate)),
                }
            }
            Self::Share { each, text } => (Some(*each), Some(text.clone())),
            Self::Unknown => (reported(used), reported(used).map(|_| REPORTED.into())),
        }
    }

    /// What an answer used, in the tier that was asked for where the answer names none and the price depends on it: an
    /// estimate, since a provider may serve in another tier than that.
    pub fn in_tier_of(&self, asked: Used, used: Used) -> Used {
        let depends = matches!(self, Self::Tokens(price) if !price.is_flat()) && reported(&used).is_none();
        if !depends || used.tier() != Tier::Unnamed || asked.tier().name().is_none() {
            return used;
        }
        let used = used.in_tier(asked.tier());
        Used { usage: used.usage.map(|usage| Usage { estimated: true, ..usage }), ..used }
    }

    /// The rate as the row keeps it.
    pub fn text(&self) -> Option<Arc<str>> {
        match self {
            Self::Tokens(price) => Some(price.text()),
            Self::Share { text, .. } => Some(text.clone()),
            Self::Unknown => None,
        }
    }
}

/// The rate of a call whose provider says what it costs.
const REPORTED: &str = r#"{"from":"provider"}"#;

/// What the provider says that a call costs.
fn reported(used: &Used) -> Option<Nanos> {
    used.usage?.service.reported_cost
}

/// What the book knows of a target beside its price.
pub fn known_as(book: &PriceBook, provider: &Provider, target: &Target) -> Option<Arc<About>> {
    let model = target.base_model.as_ref().unwrap_or(&target.model);
    priced_as(provider, model).find_map(|model| book.about(&provider.name, provider.seller(), &model))
}

/// The names under which the book may have a model's price, the most exact first. At Bedrock some prices differ by region,
/// and an ARN ends with the model's name.
fn priced_as<'a>(provider: &Provider, model: &'a str) -> impl Iterator<Item = Cow<'a, str>> {
    let aws = provider.aws.as_ref();
    let plain = aws.and_then(|_| model.strip_prefix("arn:")?.rsplit_once('/')).map_or(model, |(_, name)| name);
    let regional = aws.map(|aws| Cow::Owned(format!("{}/{plain}", aws.region)));
    regional.into_iter().chain([Cow::Borrowed(plain)])
}
