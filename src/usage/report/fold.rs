//! Adds rows and hourly sums up into the groups of a report.

use std::collections::HashMap;

use serde::{Serialize, Serializer};

use super::dimension::{By, Dimension};
use super::period::{hour_of, monday};
use super::value::Value;
use crate::chat::Usage;
use crate::types::{NanoSum, Nanos, Zone};
use crate::usage::error::Error;
use crate::usage::rows::{CacheState, Purpose, RequestRow, SEMANTIC_WRONG, Status};
use crate::usage::store::field::Stored;
use crate::usage::store::histogram::Histogram;
use crate::usage::store::sums::Sums;

/// A report has at most this many rows.
const MOST_GROUPS: usize = 50_000;

/// Percentiles of a duration; `None` where nothing was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// Half of the requests were as fast.
    pub p50: Option<f64>,
    /// 95 of 100 were as fast.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p95: Option<f64>,
    /// 99 of 100 were as fast.
    pub p99: Option<f64>,
}

/// What a row of a report says of its group.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Totals {
    /// How many.
    pub requests: i64,
    /// Of them, ended with an error.
    pub errors: i64,
    /// Of them, answered without a call of their own.
    pub cache_hits: i64,
    /// All tokens read.
    #[serde(serialize_with = "count")]
    pub input_tokens: i128,
    /// Of them, from the provider's prompt cache.
    #[serde(serialize_with = "count")]
    pub cached_input_tokens: i128,
    /// Of them, into the provider's prompt cache.
    #[serde(serialize_with = "count")]
    pub cache_write_tokens: i128,
    /// All tokens written.
    #[serde(serialize_with = "count")]
    pub output_tokens: i128,
    /// Of them, spent on reasoning.
    #[serde(serialize_with = "count")]
    pub reasoning_tokens: i128,
    /// What they cost, as far as that is known; `None` where no part of it is known.
    pub cost_usd: Option<NanoSum>,
    /// What the cache saved, as far as that is known; `None` where no part of it is known.
    pub saved_usd: Option<NanoSum>,
    /// How many have a part without a known price.
    pub unpriced_requests: i64,
    /// How many have tokens that are estimated, or were cut off with the process.
    pub estimated_requests: i64,
    /// What these cost, which is part of the cost.
    pub estimated_usd: Option<NanoSum>,
    /// From admission to the last byte, milliseconds.
    pub latency_ms: Percentiles,
    /// From admission to the first byte, milliseconds.
    pub first_token_ms: Percentiles,
    /// Spent in Fulcrum, microseconds.
    pub overhead_us: Percentiles,
    /// The share of requests that ended with an error, 0 to 1; `None` where there are no requests.
    pub error_rate: Option<f64>,
    /// The share of requests that were answered without a call of their own, 0 to 1.
    pub cache_hit_rate: Option<f64>,
    /// The share of the report's known cost, 0 to 1; `None` where nothing of either is known.
    pub cost_share: Option<f64>,
    /// What a request cost on average; `None` where there are none, or one has no price.
    pub cost_per_request_usd: Option<NanoSum>,
    /// Of them, answered by what is stored for a question that means the same.
    pub semantic_hits: i64,
    /// How many of these hits were asked anew, to see whether they were right.
    pub semantic_verified: i64,
    /// Of these, how many had another answer than the one that is stored.
    pub semantic_wrong: i64,
    /// What the same tokens would have cost at another model, where that was requested.
    #[serde(skip)]
    pub as_if: Option<AsIf>,
    /// What the feedback on them says, where a metric was asked for.
    #[serde(skip)]
    pub metric: Option<Measured>,
}

/// What the feedback of a metric says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Measured {
    /// How many.
    pub n: i64,
    /// The mean of its numbers, yes as 1 and no as 0; `None` where there are none.
    pub mean: Option<f64>,
}

/// What calls would have cost at another model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AsIf {
    /// As far as it is known; `None` where no part of it is.
    pub usd: Option<NanoSum>,
    /// Of how many requests it is not known.
    pub unknown_requests: i64,
}

/// What tokens cost at some model; `None` where that is unknown.
pub type Charge<'a> = &'a (dyn Fn(&Usage) -> Option<Nanos> + Sync);

/// One group while it is added up.
#[derive(Clone, Debug, Default)]
pub(in crate::usage) struct Group {
    sums: Sums,
    errors: i64,
    hits: i64,
    /// Hits of which nobody knows what they saved.
    unsaved: i64,
    estimated: i64,
    estimated_unpriced: i64,
    estimated_cost: NanoSum,
    as_if: NanoSum,
    as_if_unknown: i64,
    semantic: Semantic,
    feedback: Numbers,
}

impl Group {
    fn add(&mut self, row: &RequestRow) {
        self.sums.add(row);
        self.semantic.add(row, 1);
        self.errors += i64::from(row.status == Status::Error);
        self.hits += i64::from(row.cache.is_hit());
        self.unsaved += i64::from(row.cache.is_hit() && row.unpriced);
        if is_estimated(row) {
            self.estimated += 1;
            self.estimated_unpriced += i64::from(row.unpriced);
            self.estimated_cost += row.cost.unwrap_or_default();
        }
    }

    fn merge(&mut self, group: &RequestRow, sums: &Sums) {
        self.sums.merge(sums);
        self.semantic.add(group, sums.requests);
        self.errors += if group.status == Status::Error { sums.requests } else { 0 };
        self.hits += if group.cache.is_hit() { sums.requests } else { 0 };
        self.unsaved += if group.cache.is_hit() { sums.unpriced } else { 0 };
        if is_estimated(group) {
            self.estimated += sums.requests;
            self.estimated_unpriced += sums.unpriced;
            self.estimated_cost += sums.cost;
        }
    }

    fn join(&mut self, other: &Self) {
        self.sums.merge(&other.sums);
        self.errors += other.errors;
        self.hits += other.hits;
        self.unsaved += other.unsaved;
        self.estimated += other.estimated;
        self.estimated_unpriced += other.estimated_unpriced;
        self.estimated_cost += other.estimated_cost;
        self.as_if += other.as_if;
        self.as_if_unknown += other.as_if_unknown;
        self.semantic.join(other.semantic);
        self.feedback.join(other.feedback);
    }

    /// Adds what a request would have cost at another model. What the cache answered would have cost nothing there either, and
    /// so would a call of which nothing came.
    fn add_as_if(&mut self, row: &RequestRow, charge: Charge<'_>) {
        let is_free = row.cost == Some(Nanos(0)) && !row.unpriced && row.usage.is_none();
        let cost = match &row.usage {
            _ if row.cache.is_hit() || is_free => Some(Nanos(0)),
            Some(usage) => charge(usage),
            None => None,
        };
        self.as_if += cost.unwrap_or_default();
        self.as_if_unknown += i64::from(cost.is_none());
    }

    fn totals(&self) -> Totals {
        let sums = &self.sums;
        // An unknown price is never shown as 0, whatever else cost nothing beside it.
        let known = |amount: NanoSum, unknown: i64| (unknown == 0 || amount.0 != 0).then_some(amount);
        Totals {
            requests: sums.requests,
            errors: self.errors,
            cache_hits: self.hits,
            input_tokens: sums.input,
            cached_input_tokens: sums.cached_input,
            cache_write_tokens: sums.cache_write,
            output_tokens: sums.output,
            reasoning_tokens: sums.reasoning,
            cost_usd: known(sums.cost, sums.unpriced),
            saved_usd: known(sums.saved, self.unsaved),
            unpriced_requests: sums.unpriced,
            estimated_requests: self.estimated,
            estimated_usd: known(self.estimated_cost, self.estimated_unpriced),
            latency_ms: percentiles(&sums.latency, millis),
            first_token_ms: percentiles(&sums.first_token, millis),
            overhead_us: Percentiles { p95: None, ..percentiles(&sums.overhead, whole) },
            error_rate: share(self.errors, sums.requests),
            cache_hit_rate: share(self.hits, sums.requests),
            cost_share: None,
            cost_per_request_usd: average(sums.cost, sums.requests).filter(|_| sums.unpriced == 0),
            semantic_hits: self.semantic.hits,
            semantic_verified: self.semantic.verified,
            semantic_wrong: self.semantic.wrong,
            as_if: None,
            metric: None,
        }
    }
}

/// Feedback while it is added up.
#[derive(Clone, Copy, Debug, Default)]
struct Numbers {
    n: i64,
    numbers: i64,
    sum: f64,
}

impl Numbers {
    fn add(&mut self, number: Option<f64>) {
        self.n += 1;
        self.numbers += i64::from(number.is_some());
        self.sum += number.unwrap_or(0.0);
    }

    fn join(&mut self, other: Self) {
        self.n += other.n;
        self.numbers += other.numbers;
        self.sum += other.sum;
    }

    fn measured(self) -> Measured {
        Measured { n: self.n, mean: (self.numbers > 0).then(|| self.sum / self.numbers as f64) }
    }
}

/// Hits of the semantic cache, and what came of asking some of them anew.
#[derive(Clone, Copy, Debug, Default)]
struct Semantic {
    hits: i64,
    verified: i64,
    wrong: i64,
}

impl Semantic {
    /// Adds so many requests that have in common what `row` has.
    fn add(&mut self, row: &RequestRow, requests: i64) {
        let of = |counts: bool| if counts { requests } else { 0 };
        let answered = row.purpose == Some(Purpose::Verify) && row.status == Status::Ok;
        let is_wrong = row.error_code.as_deref() == Some(SEMANTIC_WRONG);
        self.hits += of(row.cache == CacheState::Semantic && row.purpose.is_none());
        self.verified += of(answered && (is_wrong || row.error_code.is_none()));
        self.wrong += of(answered && is_wrong);
    }

    fn join(&mut self, other: Self) {
        self.hits += other.hits;
        self.verified += other.verified;
        self.wrong += other.wrong;
    }
}

/// A count of tokens as JSON has it: a text where no JSON number of 64 bits is exact.
fn count<S: Serializer>(count: &i128, serializer: S) -> Result<S::Ok, S::Error> {
    match i64::try_from(*count) {
        Ok(count) => serializer.serialize_i64(count),
        Err(_) => serializer.collect_str(count),
    }
}

/// A part of a whole, to a millionth.
fn share(part: impl Into<i128>, whole: impl Into<i128>) -> Option<f64> {
    let millionths = part.into().checked_mul(1_000_000)?.checked_div(whole.into())?;
    Some(millionths as f64 / 1_000_000.0)
}

/// A sum by a count, rounded up: what cost something is never nothing.
fn average(sum: NanoSum, count: i64) -> Option<NanoSum> {
    let count = i128::from(count);
    (count > 0).then(|| NanoSum(-(-sum.0).div_euclid(count)))
}

/// Whether a request's cost is an estimate: its tokens are, or it is charged what was reserved since the process ended before it.
fn is_estimated(row: &RequestRow) -> bool {
    row.usage.is_some_and(|usage| usage.estimated) || row.status == Status::Unknown
}

fn percentiles(histogram: &Histogram, unit: fn(u64) -> f64) -> Percentiles {
    let at = |percent| histogram.percentile(percent).map(unit);
    Percentiles { p50: at(50), p95: at(95), p99: at(99) }
}

/// Microseconds as milliseconds with three decimals.
pub(in crate::usage) fn millis(micros: u64) -> f64 {
    whole(micros) / 1_000.0
}

fn whole(micros: u64) -> f64 {
    micros as f64
}

/// The groups of a report while they are added up.
pub(in crate::usage) struct Fold<'a> {
    by: &'a [Dimension],
    zone: &'a Zone,
    as_if: Option<Charge<'a>>,
    /// Whether the report is of callers' requests: what was asked to verify a hit is counted with the hits then.
    of_callers: bool,
    /// Whether feedback is shown.
    is_measured: bool,
    groups: HashMap<Vec<Value>, Group>,
}

impl<'a> Fold<'a> {
    pub(in crate::usage) fn new(by: &'a [Dimension], zone: &'a Zone, as_if: Option<Charge<'a>>) -> Self {
        Self { by, zone, as_if, of_callers: false, is_measured: false, groups: HashMap::new() }
    }

    /// The same, of what callers asked for alone.
    pub(in crate::usage) fn of_callers(self, of_callers: bool) -> Self {
        Self { of_callers, ..self }
    }

    /// The same, with what feedback says.
    pub(in crate::usage) fn measured(self, is_measured: bool) -> Self {
        Self { is_measured, ..self }
    }

    /// Counts what was asked to verify hits with the hits themselves; whether it was such.
    fn verified(&mut self, row: &RequestRow, requests: i64) -> Result<bool, Error> {
        if !self.of_callers || row.purpose != Some(Purpose::Verify) {
            return Ok(false);
        }
        let hit = RequestRow { cache: CacheState::Semantic, purpose: None, error_code: None, ..row.clone() };
        let values = self.by.iter().map(|dimension| value_of(dimension, &hit, self.zone));
        self.group(values.collect())?.semantic.add(row, requests);
        Ok(true)
    }

    /// Adds a request.
    ///
    /// # Errors
    /// Where it would be one group too many.
    pub(in crate::usage) fn row(&mut self, row: &RequestRow) -> Result<(), Error> {
        if self.verified(row, 1)? {
            return Ok(());
        }
        let values = self.by.iter().map(|dimension| value_of(dimension, row, self.zone));
        let as_if = self.as_if;
        let group = self.group(values.collect())?;
        group.add(row);
        as_if.into_iter().for_each(|charge| group.add_as_if(row, charge));
        Ok(())
    }

    /// Adds feedback on a request.
    ///
    /// # Errors
    /// Where it would be one group too many.
    pub(in crate::usage) fn feedback(&mut self, row: &RequestRow, number: Option<f64>) -> Result<(), Error> {
        let values = self.by.iter().map(|dimension| value_of(dimension, row, self.zone));
        self.group(values.collect())?.feedback.add(number);
        Ok(())
    }

    /// Adds an hourly sum of requests that have in common what `group` has.
    ///
    /// # Errors
    /// Where it would be one group too many.
    pub(in crate::usage) fn rollup(&mut self, group: &RequestRow, sums: &Sums) -> Result<(), Error> {
        if self.verified(group, sums.requests)? {
            return Ok(());
        }
        let values = self.by.iter().map(|dimension| value_of(dimension, group, self.zone));
        self.group(values.collect())?.merge(group, sums);
        Ok(())
    }

    /// The groups in order, and all of them together.
    pub(in crate::usage) fn finish(self) -> (Vec<(Vec<Value>, Totals)>, Totals) {
        let mut total = Group::default();
        self.groups.values().for_each(|group| total.join(group));
        let asked = self.as_if.is_some();
        let figures = |group: &Group| {
            let known = group.as_if_unknown == 0 || group.as_if.0 != 0;
            let as_if = AsIf { usd: known.then_some(group.as_if), unknown_requests: group.as_if_unknown };
            let totals = group.totals();
            let cost_share = totals.cost_usd.and_then(|cost| share(cost.0, total.sums.cost.0));
            let metric = self.is_measured.then(|| group.feedback.measured());
            Totals { cost_share, as_if: asked.then_some(as_if), metric, ..totals }
        };
        let mut rows: Vec<_> = self.groups.iter().map(|(values, group)| (values.clone(), figures(group))).collect();
        rows.sort_by(|(a, _), (b, _)| a.cmp(b));
        (rows, figures(&total))
    }

    fn group(&mut self, values: Vec<Value>) -> Result<&mut Group, Error> {
        if self.groups.len() >= MOST_GROUPS && !self.groups.contains_key(&values) {
            return Err(Error::TooManyRows(MOST_GROUPS));
        }
        Ok(self.groups.entry(values).or_default())
    }
}

fn value_of(dimension: &Dimension, row: &RequestRow, zone: &Zone) -> Value {
    let date = || zone.civil(row.started_at).date();
    match dimension.by() {
        By::Hour => {
            let hour = hour_of(row.started_at, zone);
            Value::Hour(hour, zone.offset(hour))
        }
        By::Day => Value::Day(date()),
        By::Week => Value::Day(monday(date())),
        By::Month => Value::Month(date().first_of_month()),
        By::Column(column) => match (column.name, &row.provider, &row.model) {
            ("model", Some(provider), Some(model)) => Value::Text(format!("{provider}/{model}").into()),
            _ => value((column.stored)(row)),
        },
        By::Tag(name) => {
            let tag = row.tags.iter().rev().find(|(tag, _)| **tag == **name);
            tag.map_or(Value::Null, |(_, value)| Value::Text(value.clone()))
        }
    }
}

fn value(stored: Stored<'_>) -> Value {
    match stored {
        Stored::Null | Stored::Bytes(_) => Value::Null,
        Stored::Number(number) => Value::Number(number),
        Stored::Text(text) => Value::Text(text.clone()),
        Stored::Word(word) => Value::Text(word.into()),
        Stored::Made(text) => Value::Text(text),
    }
}
