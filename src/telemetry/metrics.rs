//! Prometheus metrics and their names, in one table.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::chat::Usage;
use crate::types::QuickMap;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    endpoint: &'static str,
    model: Arc<str>,
    status: &'static str,
    error: &'static str,
    cache: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    provider: Arc<str>,
    model: Arc<str>,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TokenLabels {
    model: Arc<str>,
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LineLabels {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndpointLabels {
    endpoint: &'static str,
}

/// A request as the metrics see it.
pub struct RequestSeen {
    /// The endpoint, such as `chat.completions`.
    pub endpoint: &'static str,
    /// The provider that answered, or was tried last.
    pub provider: Option<Arc<str>>,
    /// The model.
    pub model: Option<Arc<str>>,
    /// The ledger's status.
    pub status: &'static str,
    /// The error's code, or empty.
    pub error: &'static str,
    /// The cache's part.
    pub cache: &'static str,
    /// How long it took.
    pub latency: Duration,
    /// Until the first token, where the answer was a stream.
    pub first_token: Option<Duration>,
    /// The part of it that was Fulcrum's own.
    pub overhead: Duration,
    /// The tokens.
    pub usage: Usage,
    /// The cost, in nano-dollars.
    pub cost_nanos: i64,
}

/// An attempt as the metrics see it.
pub struct AttemptSeen {
    /// The provider.
    pub provider: Arc<str>,
    /// The provider's model.
    pub model: Arc<str>,
    /// `ok` or the error's code.
    pub outcome: &'static str,
}

/// What requests have in common by which they are counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct RequestKind {
    endpoint: &'static str,
    provider: Option<Arc<str>>,
    model: Option<Arc<str>>,
    status: &'static str,
    error: &'static str,
    cache: &'static str,
}

/// The counters of one kind of requests, found by one look-up instead of one for each metric. Counters of rare things are
/// made when they are first needed, so that no metric shows what never happened.
#[derive(Debug)]
struct Series {
    model: Arc<str>,
    requests: Counter,
    tokens: [OnceLock<Counter>; 4],
    latency: Histogram,
    overhead: Histogram,
    first_token: OnceLock<Histogram>,
}

/// The kinds of tokens that are counted, in the order of [`Series`].
const TOKENS: [&str; 4] = ["input", "cached_input", "output", "reasoning"];

/// Callers may name any model of a provider: no more kinds of requests and attempts than this are remembered.
const MOST_SERIES: usize = 4_096;

/// Every metric.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    attempts: Family<AttemptLabels, Counter>,
    tokens: Family<TokenLabels, Counter>,
    cost: Counter<f64, AtomicU64>,
    latency: Family<EndpointLabels, Histogram>,
    first_token: Family<EndpointLabels, Histogram>,
    overhead: Family<EndpointLabels, Histogram>,
    refused: Family<EndpointLabels, Counter>,
    in_flight: Gauge,
    connections: Gauge,
    batches: Gauge,
    batch_lines_in_flight: Gauge,
    batch_lines: Family<LineLabels, Counter>,
    models: Models,
    series: ArcSwap<QuickMap<RequestKind, Arc<Series>>>,
    attempt_series: ArcSwap<QuickMap<AttemptLabels, Counter>>,
}

/// The models that have labels of their own. Callers may name any model of a provider, and a label stays for the life of the process.
#[derive(Debug, Default)]
struct Models(RwLock<KnownModels>);

#[derive(Debug, Default)]
struct KnownModels {
    /// Those that a configuration names, which callers cannot use up.
    configured: HashSet<Arc<str>>,
    named: HashSet<Arc<str>>,
}

impl Models {
    const MOST: usize = 500;

    /// The label for `model`: its own, or `other` where callers have named many already.
    fn label(&self, model: Arc<str>) -> Arc<str> {
        let is_known = |known: &KnownModels| known.configured.contains(&model) || known.named.contains(&model);
        if is_known(&self.0.read().unwrap_or_else(PoisonError::into_inner)) {
            return model;
        }
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if is_known(&known) {
            return model;
        }
        if known.named.len() >= Self::MOST {
            return "other".into();
        }
        known.named.insert(model.clone());
        model
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.001, 2.0, 18));
        let micros = || Histogram::new(exponential_buckets(0.000_01, 2.0, 16));
        let mut metrics = Self {
            registry: Registry::with_prefix("fulcrum"),
            requests: Family::default(),
            attempts: Family::default(),
            tokens: Family::default(),
            cost: Counter::default(),
            latency: Family::new_with_constructor(seconds),
            first_token: Family::new_with_constructor(seconds),
            overhead: Family::new_with_constructor(micros),
            refused: Family::default(),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
            batches: Gauge::default(),
            batch_lines_in_flight: Gauge::default(),
            batch_lines: Family::default(),
            models: Models::default(),
            series: ArcSwap::default(),
            attempt_series: ArcSwap::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    /// Keeps labels free for the models of a configuration, whatever callers name.
    pub fn configure(&self, models: impl IntoIterator<Item = Arc<str>>) {
        self.models.0.write().unwrap_or_else(PoisonError::into_inner).configured.extend(models);
    }

    fn register(&mut self) {
        let Self { registry, .. } = self;
        registry.register("requests", "Requests that were admitted", self.requests.clone());
        registry.register("attempts", "Calls to providers", self.attempts.clone());
        registry.register("tokens", "Tokens read and written", self.tokens.clone());
        registry.register("cost_dollars", "What providers charge, as far as prices are known", self.cost.clone());
        registry.register_with_unit("latency", "Until the last byte", Unit::Seconds, self.latency.clone());
        registry.register_with_unit("first_token", "Until the first byte", Unit::Seconds, self.first_token.clone());
        registry.register_with_unit("overhead", "Fulcrum's own part", Unit::Seconds, self.overhead.clone());
        registry.register("refused", "Requests that were not admitted", self.refused.clone());
        registry.register("requests_in_flight", "Requests under way", self.in_flight.clone());
        registry.register("connections", "Open client connections", self.connections.clone());
        registry.register("batches_running", "Batches under way", self.batches.clone());
        let lines = self.batch_lines_in_flight.clone();
        registry.register("batch_lines_in_flight", "Lines of batches under way or waiting for a provider", lines);
        registry.register("batch_lines", "Lines of batches that have a result", self.batch_lines.clone());
    }

    /// Counts a request that ended.
    pub fn saw_request(&self, seen: RequestSeen) {
        let RequestSeen { endpoint, provider, model, status, error, cache, .. } = seen;
        let kind = RequestKind { endpoint, provider, model, status, error, cache };
        // Borrowed: a reference count would be written by every thread.
        let known = self.series.load();
        let made;
        let series = match known.get(&kind) {
            Some(series) => series,
            None => {
                made = self.make_series(&kind);
                &made
            }
        };
        let usage = seen.usage;
        let counts = [usage.input, usage.cached_input, usage.output, usage.reasoning];
        for ((counter, kind), tokens) in series.tokens.iter().zip(TOKENS).zip(counts).filter(|(_, tokens)| *tokens > 0)
        {
            let labels = || TokenLabels { model: series.model.clone(), kind };
            counter.get_or_init(|| self.tokens.get_or_create(&labels()).clone()).inc_by(tokens);
        }
        #[expect(clippy::cast_precision_loss, reason = "a metric is a float; the ledger has the exact sum")]
        self.cost.inc_by(seen.cost_nanos.max(0) as f64 / 1e9);
        series.latency.observe(seen.latency.as_secs_f64());
        series.overhead.observe(seen.overhead.as_secs_f64());
        if let Some(first_token) = seen.first_token {
            let made = || self.first_token.get_or_create(&EndpointLabels { endpoint }).clone();
            series.first_token.get_or_init(made).observe(first_token.as_secs_f64());
        }
        series.requests.inc();
    }

    fn make_series(&self, kind: &RequestKind) -> Arc<Series> {
        let &RequestKind { endpoint, status, error, cache, .. } = kind;
        let model = match (&kind.provider, &kind.model) {
            (Some(provider), Some(model)) => self.models.label(format!("{provider}/{model}").into()),
            _ => "".into(),
        };
        let labels = RequestLabels { endpoint, model: model.clone(), status, error, cache };
        let endpoint = EndpointLabels { endpoint };
        let series = Arc::new(Series {
            model,
            requests: self.requests.get_or_create(&labels).clone(),
            tokens: Default::default(),
            latency: self.latency.get_or_create(&endpoint).clone(),
            overhead: self.overhead.get_or_create(&endpoint).clone(),
            first_token: OnceLock::new(),
        });
        add(&self.series, kind, &series);
        series
    }

    /// Counts an attempt that ended.
    pub fn saw_attempt(&self, seen: AttemptSeen) {
        let AttemptSeen { provider, model, outcome } = seen;
        let labels = AttemptLabels { provider, model, outcome };
        if let Some(counter) = self.attempt_series.load().get(&labels) {
            counter.inc();
            return;
        }
        let bounded = AttemptLabels { model: self.models.label(labels.model.clone()), ..labels.clone() };
        let counter = self.attempts.get_or_create(&bounded).clone();
        counter.inc();
        add(&self.attempt_series, &labels, &counter);
    }

    /// Counts a request that was refused before it was admitted.
    pub fn saw_refusal(&self, endpoint: &'static str) {
        self.refused.get_or_create(&EndpointLabels { endpoint }).inc();
    }

    /// Counts a request in; the guard counts it out.
    #[must_use]
    pub fn request_begins(&self) -> Under {
        Under::new(&self.in_flight)
    }

    /// Counts a connection in; the guard counts it out.
    #[must_use]
    pub fn connection_opens(&self) -> Under {
        Under::new(&self.connections)
    }

    /// Counts a batch in; the guard counts it out.
    #[must_use]
    pub fn batch_begins(&self) -> Under {
        Under::new(&self.batches)
    }

    /// Counts a batch's line in; the guard counts it out.
    #[must_use]
    pub fn batch_line_begins(&self) -> Under {
        Under::new(&self.batch_lines_in_flight)
    }

    /// Counts a batch's line that has a result.
    pub fn saw_batch_line(&self, good: bool) {
        let result = if good { "completed" } else { "failed" };
        self.batch_lines.get_or_create(&LineLabels { result }).inc();
    }

    /// How many requests are under way.
    #[must_use]
    pub fn in_flight(&self) -> i64 {
        self.in_flight.get()
    }

    /// Every metric, in Prometheus's text form.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        if text::encode(&mut out, &self.registry).is_err() {
            out.clear();
        }
        out
    }
}

/// Adds to a map that is read far more often than it grows, while there is room.
fn add<K: Clone + Eq + Hash, V: Clone>(map: &ArcSwap<QuickMap<K, V>>, key: &K, value: &V) {
    if map.load().len() < MOST_SERIES {
        map.rcu(|known| {
            let mut known = QuickMap::clone(known);
            known.insert(key.clone(), value.clone());
            known
        });
    }
}

/// Something under way, counted for as long as this lives.
#[derive(Debug)]
pub struct Under(Gauge);

impl Under {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Under {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_that_callers_make_up_take_no_label_of_a_configured_one() {
        let metrics = Metrics::default();
        metrics.configure([Arc::from("up/gpt-x"), Arc::from("gpt-x")]);
        let attempt = |model: &str| {
            let outcome = "ok";
            metrics.saw_attempt(AttemptSeen { provider: "up".into(), model: model.into(), outcome });
        };
        (0..600).for_each(|n| attempt(&format!("made-up-{n}")));
        attempt("gpt-x");
        assert_eq!(&*metrics.models.label("up/gpt-x".into()), "up/gpt-x");
        assert_eq!(&*metrics.models.label("up/made-up".into()), "other");
        let text = metrics.text();
        assert!(text.contains("model=\"gpt-x\"") && text.contains("model=\"other\""), "{text}");
    }

    #[test]
    fn names_begin_with_fulcrum_and_gauges_fall_back() {
        let metrics = Metrics::default();
        let under = metrics.request_begins();
        metrics.saw_refusal("models");
        let text = metrics.text();
        assert!(text.contains("fulcrum_requests_in_flight 1"), "{text}");
        assert!(text.contains("fulcrum_refused_total{endpoint=\"models\"} 1"), "{text}");
        drop(under);
        assert_eq!(metrics.in_flight(), 0);
    }
}
