//! Prometheus metrics and their names, in one table.

use std::collections::HashSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::chat::Usage;

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
struct EndpointLabels {
    endpoint: &'static str,
}

/// A request as the metrics see it.
pub struct RequestSeen {
    /// The endpoint, such as `chat.completions`.
    pub endpoint: &'static str,
    /// `provider/model`, or empty.
    pub model: Arc<str>,
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
    /// What of it was Fulcrum's own.
    pub overhead: Duration,
    /// Its tokens.
    pub usage: Usage,
    /// Its cost, in nano-dollars.
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
    models: Models,
}

/// The models that have labels of their own. Callers may name any model of a provider, and every label is kept for ever.
#[derive(Debug, Default)]
struct Models(RwLock<HashSet<Arc<str>>>);

impl Models {
    const MOST: usize = 500;

    /// The label for `model`: its own, or `other` where there are many already.
    fn label(&self, model: Arc<str>) -> Arc<str> {
        if self.0.read().unwrap_or_else(PoisonError::into_inner).contains(&model) {
            return model;
        }
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= Self::MOST {
            return "other".into();
        }
        known.insert(model.clone());
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
            models: Models::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
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
    }

    /// Counts a request that ended.
    pub fn saw_request(&self, seen: RequestSeen) {
        let RequestSeen { endpoint, status, error, cache, .. } = seen;
        let model = self.models.label(seen.model);
        for (kind, tokens) in [
            ("input", seen.usage.input),
            ("cached_input", seen.usage.cached_input),
            ("output", seen.usage.output),
            ("reasoning", seen.usage.reasoning),
        ] {
            if tokens > 0 {
                self.tokens.get_or_create(&TokenLabels { model: model.clone(), kind }).inc_by(tokens);
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "a metric is a float; the ledger has the exact sum")]
        self.cost.inc_by(seen.cost_nanos.max(0) as f64 / 1e9);
        let labels = EndpointLabels { endpoint };
        self.latency.get_or_create(&labels).observe(seen.latency.as_secs_f64());
        self.overhead.get_or_create(&labels).observe(seen.overhead.as_secs_f64());
        if let Some(first_token) = seen.first_token {
            self.first_token.get_or_create(&labels).observe(first_token.as_secs_f64());
        }
        self.requests.get_or_create(&RequestLabels { endpoint, model, status, error, cache }).inc();
    }

    /// Counts an attempt that ended.
    pub fn saw_attempt(&self, seen: AttemptSeen) {
        let AttemptSeen { provider, outcome, .. } = seen;
        let model = self.models.label(seen.model);
        self.attempts.get_or_create(&AttemptLabels { provider, model, outcome }).inc();
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

    /// How many requests are under way.
    #[must_use]
    pub fn in_flight(&self) -> i64 {
        self.in_flight.get()
    }

    /// All of it, in Prometheus's text form.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        if text::encode(&mut out, &self.registry).is_err() {
            out.clear();
        }
        out
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
