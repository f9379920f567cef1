//! Prometheus metrics: what is counted as it happens, and what is looked at when somebody asks.

mod kind;
mod labels;
mod measured;
mod names;
mod observed;
mod process;
mod text;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus_client::encoding::text as open_metrics;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use self::kind::{Kind, Kinded, Stored};
use self::labels::{
    AttemptLabels, BuildLabels, CostLabels, DifferenceLabels, EndpointLabels, HedgeLabels, LineLabels, Names, OTHER,
    OwnLabels, ProviderLabels, PurposeLabels, RequestLabels, TimeLabels, TokenLabels,
};
use self::observed::Gauges;
use crate::chat::Usage;
use crate::types::QuickMap;

pub use self::measured::{MeasuredSeen, TargetSeen};
pub use self::observed::{CacheSeen, Cooling, LedgerSeen, Observed};
pub use self::text::TextForm;

/// A request as the metrics see it.
pub struct RequestSeen<'a> {
    /// The endpoint, such as `/v1/chat/completions`.
    pub endpoint: &'static str,
    /// The provider that answered, or was tried last.
    pub provider: Option<&'a str>,
    /// The model.
    pub model: Option<&'a str>,
    /// Whose request it is.
    pub project: &'a str,
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
}

/// An attempt as the metrics see it.
pub struct AttemptSeen<'a> {
    /// The provider.
    pub provider: &'a str,
    /// The provider's model.
    pub model: &'a str,
    /// Whose attempt it is.
    pub project: &'a str,
    /// `ok` or the error's code.
    pub outcome: &'static str,
    /// The cost, in nano-dollars.
    pub cost_nanos: i64,
}

/// The counters of one kind of requests, found by one look-up instead of one for each metric. Counters of rare things are
/// made when they are first needed.
#[derive(Debug)]
struct Series {
    provider: Arc<str>,
    model: Arc<str>,
    project: Arc<str>,
    times: TimeLabels,
    requests: Counter,
    tokens: [OnceLock<Counter>; 4],
    latency: Histogram,
    overhead: Histogram,
    first_token: OnceLock<Histogram>,
}

/// The counters of one kind of attempts.
#[derive(Debug)]
struct AttemptSeries {
    attempts: Counter,
    cost: Counter<f64, AtomicU64>,
}

/// The kinds of tokens that are counted, in the order of [`Series`].
const TOKENS: [&str; 4] = ["input", "cached_input", "output", "reasoning"];

/// Callers may name any model of a provider: no more kinds of requests and attempts than this are remembered.
const MOST_SERIES: usize = 4_096;

/// The most pairs of a configured target and a project whose counters stand at 0 before they count.
const MOST_AT_ZERO: usize = 1_000;

/// Every metric.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    attempts: Family<AttemptLabels, Counter>,
    cascade: Family<AttemptLabels, Counter>,
    hedges: Family<HedgeLabels, Counter>,
    tokens: Family<TokenLabels, Counter>,
    cost: Family<CostLabels, Counter<f64, AtomicU64>>,
    latency: Family<TimeLabels, Histogram>,
    first_token: Family<TimeLabels, Histogram>,
    overhead: Family<EndpointLabels, Histogram>,
    refused: Family<EndpointLabels, Counter>,
    in_flight: Gauge,
    connections: Gauge,
    batches: Gauge,
    batch_lines_in_flight: Gauge,
    batch_lines: Family<LineLabels, Counter>,
    embedding_failures: Family<PurposeLabels, Counter>,
    semantic_refused: Family<DifferenceLabels, Counter>,
    own: Family<OwnLabels, Counter>,
    merged: [Family<ProviderLabels, Counter>; 2],
    gauges: Gauges,
    /// Whose page is being written, since what is looked at must not change meanwhile.
    page: Mutex<()>,
    models: Names,
    projects: Names,
    series: ArcSwap<QuickMap<Stored, Arc<Series>>>,
    attempt_series: ArcSwap<QuickMap<Stored, Arc<AttemptSeries>>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.001, 2.0, 18));
        let micros = || Histogram::new(exponential_buckets(0.000_01, 2.0, 16));
        let mut registry = Registry::default();
        let metrics = Self {
            requests: Family::default(),
            attempts: Family::default(),
            cascade: Family::default(),
            hedges: Family::default(),
            tokens: Family::default(),
            cost: Family::default(),
            latency: Family::new_with_constructor(seconds),
            first_token: Family::new_with_constructor(seconds),
            overhead: Family::new_with_constructor(micros),
            refused: Family::default(),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
            batches: Gauge::default(),
            batch_lines_in_flight: Gauge::default(),
            batch_lines: Family::default(),
            embedding_failures: Family::default(),
            semantic_refused: Family::default(),
            own: Family::default(),
            merged: Default::default(),
            gauges: Gauges::register(&mut registry),
            page: Mutex::default(),
            models: Names::default(),
            projects: Names::default(),
            series: ArcSwap::default(),
            attempt_series: ArcSwap::default(),
            registry,
        };
        metrics.registered()
    }
}

impl Metrics {
    /// Keeps labels free for the models of a configuration, whatever callers name.
    pub fn configure(&self, models: impl IntoIterator<Item = Arc<str>>) {
        self.models.configure(models);
    }

    fn registered(mut self) -> Self {
        let registry = &mut self.registry;
        names::REQUESTS.register(registry, self.requests.clone());
        names::ATTEMPTS.register(registry, self.attempts.clone());
        names::CASCADE.register(registry, self.cascade.clone());
        names::HEDGES.register(registry, self.hedges.clone());
        names::TOKENS.register(registry, self.tokens.clone());
        names::COST.register(registry, self.cost.clone());
        names::LATENCY.register(registry, self.latency.clone());
        names::FIRST_TOKEN.register(registry, self.first_token.clone());
        names::OVERHEAD.register(registry, self.overhead.clone());
        names::REFUSED.register(registry, self.refused.clone());
        names::IN_FLIGHT.register(registry, self.in_flight.clone());
        names::CONNECTIONS.register(registry, self.connections.clone());
        names::BATCHES.register(registry, self.batches.clone());
        names::LINES_IN_FLIGHT.register(registry, self.batch_lines_in_flight.clone());
        names::LINES.register(registry, self.batch_lines.clone());
        names::EMBEDDING_FAILURES.register(registry, self.embedding_failures.clone());
        names::SEMANTIC_REFUSED.register(registry, self.semantic_refused.clone());
        names::OWN.register(registry, self.own.clone());
        names::MERGED.register(registry, self.merged[0].clone());
        names::MERGED_PARTS.register(registry, self.merged[1].clone());
        let commit = match env!("FULCRUM_COMMIT") {
            "" => "unknown",
            commit => commit,
        };
        names::BUILD.register(registry, Info::new(BuildLabels { version: env!("CARGO_PKG_VERSION"), commit }));
        self
    }

    /// Counts a call that goes on without a vector of its text, which was for `what`.
    pub fn embedding_failed(&self, what: &'static str) {
        self.embedding_failures.get_or_create(&PurposeLabels { purpose: what }).inc();
    }

    /// Counts a stored answer that was not taken, since `difference` forbids that.
    pub fn semantic_refused(&self, difference: &'static str) {
        self.semantic_refused.get_or_create(&DifferenceLabels { difference }).inc();
    }

    /// Counts a request that ended.
    pub fn saw_request(&self, seen: &RequestSeen<'_>) {
        let &RequestSeen { endpoint, provider, model, project, status, error, cache, usage, .. } = seen;
        let names = [provider.unwrap_or_default(), model.unwrap_or_default(), project];
        let kind = Kind { names, words: [endpoint, status, error, cache] };
        // Borrowed: a reference count would be written by every thread.
        let known = self.series.load();
        let made;
        let series = match known.get(&kind as &dyn Kinded) {
            Some(series) => series,
            None => {
                made = self.make_series(kind);
                &made
            }
        };
        let tokens = series.tokens.iter().zip(TOKENS).zip(counts(&usage));
        for ((counter, kind), tokens) in tokens.filter(|(_, tokens)| *tokens > 0) {
            counter.get_or_init(|| self.tokens.get_or_create(&series.tokens_of(kind)).clone()).inc_by(tokens);
        }
        series.latency.observe(seen.latency.as_secs_f64());
        series.overhead.observe(seen.overhead.as_secs_f64());
        if let Some(first_token) = seen.first_token {
            let made = || self.first_token.get_or_create(&series.times).clone();
            series.first_token.get_or_init(made).observe(first_token.as_secs_f64());
        }
        series.requests.inc();
    }

    fn make_series(&self, kind: Kind<'_>) -> Arc<Series> {
        let Kind { names: [provider, model, project], words: [endpoint, status, error, cache] } = kind;
        let full = format!("{provider}/{model}");
        let provider: Arc<str> = provider.into();
        let (model, timed): (Arc<str>, Arc<str>) = match model {
            "" => (Arc::from(""), Arc::from("")),
            _ if !self.models.is_configured(&full) => {
                // What a caller made up takes counters while there is room, and no histogram, which is twenty lines.
                let is_full = self.series.load().len() >= MOST_SERIES;
                (if is_full { OTHER.into() } else { self.models.label(full.into()) }, OTHER.into())
            }
            _ => (Arc::from(full.as_str()), Arc::from(full)),
        };
        let project = self.projects.label(project.into());
        let times = TimeLabels { endpoint, provider: provider.clone(), model: timed };
        let labels = RequestLabels {
            endpoint,
            provider: provider.clone(),
            model: model.clone(),
            project: project.clone(),
            status,
            error,
            cache,
        };
        let series = Arc::new(Series {
            requests: self.requests.get_or_create(&labels).clone(),
            tokens: Default::default(),
            latency: self.latency.get_or_create(&times).clone(),
            overhead: self.overhead.get_or_create(&EndpointLabels { endpoint }).clone(),
            first_token: OnceLock::new(),
            provider,
            model,
            project,
            times,
        });
        add(&self.series, kind, &series);
        series
    }

    /// Counts an attempt that ended.
    pub fn saw_attempt(&self, seen: &AttemptSeen<'_>) {
        let &AttemptSeen { provider, model, project, outcome, cost_nanos } = seen;
        let kind = Kind { names: [provider, model, project], words: [outcome, "", "", ""] };
        let known = self.attempt_series.load();
        let made;
        let series = match known.get(&kind as &dyn Kinded) {
            Some(series) => series,
            None => {
                made = self.make_attempt_series(kind);
                &made
            }
        };
        series.attempts.inc();
        if cost_nanos > 0 {
            #[expect(clippy::cast_precision_loss, reason = "a metric is a float; the ledger has the exact sum")]
            series.cost.inc_by(cost_nanos as f64 / 1e9);
        }
    }

    /// Counts an answer of a cascade's target, which was accepted, or did not pass this check.
    pub fn saw_cascade(&self, provider: &Arc<str>, model: &Arc<str>, outcome: &'static str) {
        let (provider, model) = (provider.clone(), self.models.label(model.clone()));
        self.cascade.get_or_create(&AttemptLabels { provider, model, outcome }).inc();
    }

    /// Counts what became of a hedge.
    pub fn saw_hedge(&self, route: &Arc<str>, outcome: &'static str) {
        self.hedges.get_or_create(&HedgeLabels { route: route.clone(), outcome }).inc();
    }

    /// Counts the tokens of an attempt that no request of ours waited for.
    pub fn saw_tokens(&self, seen: &AttemptSeen<'_>, usage: &Usage) {
        let &AttemptSeen { provider, model, project, .. } = seen;
        let model = self.models.label(format!("{provider}/{model}").into());
        let project = self.projects.label(project.into());
        for (kind, tokens) in TOKENS.into_iter().zip(counts(usage)).filter(|(_, tokens)| *tokens > 0) {
            let (provider, model, project) = (provider.into(), model.clone(), project.clone());
            self.tokens.get_or_create(&TokenLabels { provider, model, project, kind }).inc_by(tokens);
        }
    }

    fn make_attempt_series(&self, kind: Kind<'_>) -> Arc<AttemptSeries> {
        let Kind { names: [provider, model, project], words: [outcome, ..] } = kind;
        let full = self.models.label(format!("{provider}/{model}").into());
        let provider: Arc<str> = provider.into();
        let attempts = AttemptLabels { provider: provider.clone(), model: self.models.label(model.into()), outcome };
        let cost = CostLabels { provider, model: full, project: self.projects.label(project.into()) };
        let series = Arc::new(AttemptSeries {
            attempts: self.attempts.get_or_create(&attempts).clone(),
            cost: self.cost.get_or_create(&cost).clone(),
        });
        add(&self.attempt_series, kind, &series);
        series
    }

    /// Counts a request that Fulcrum made of its own, or did not make: `result` is its status, or why.
    pub fn saw_own_request(&self, purpose: &'static str, result: &'static str) {
        self.own.get_or_create(&OwnLabels { purpose, result }).inc();
    }

    /// Counts a call for embeddings that was made for several requests.
    pub fn saw_merged(&self, provider: &Arc<str>, parts: usize) {
        let labels = ProviderLabels { provider: provider.clone() };
        self.merged[0].get_or_create(&labels).inc();
        self.merged[1].get_or_create(&labels).inc_by(parts as u64);
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

    /// Every metric, in OpenMetrics's text form, with what was seen just now.
    #[must_use]
    pub fn page(&self, observed: &Observed) -> String {
        let _page = self.page.lock().unwrap_or_else(PoisonError::into_inner);
        self.begin_at_zero(observed);
        self.gauges.set(observed, &self.models);
        self.text()
    }

    /// Every metric as it stands, in OpenMetrics's text form.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        if open_metrics::encode(&mut out, &self.registry).is_err() {
            out.clear();
        }
        out
    }

    /// Makes the counters of what is known beforehand, so that a first count is seen as an increase.
    fn begin_at_zero(&self, observed: &Observed) {
        for &endpoint in &observed.endpoints {
            drop(self.refused.get_or_create(&EndpointLabels { endpoint }));
        }
        for result in ["completed", "failed"] {
            drop(self.batch_lines.get_or_create(&LineLabels { result }));
        }
        for purpose in names::PURPOSES {
            drop(self.embedding_failures.get_or_create(&PurposeLabels { purpose }));
        }
        for difference in names::DIFFERENCES {
            drop(self.semantic_refused.get_or_create(&DifferenceLabels { difference }));
        }
        for (provider, model) in &observed.targets {
            let (provider, model) = (provider.clone(), model.clone());
            drop(self.attempts.get_or_create(&AttemptLabels { provider, model, outcome: "ok" }));
        }
        let pairs = observed.targets.iter().flat_map(|target| observed.projects.iter().map(move |of| (target, of)));
        for ((provider, model), project) in pairs.take(MOST_AT_ZERO) {
            let model: Arc<str> = format!("{provider}/{model}").into();
            self.begin_target_at_zero(observed, (provider, &model, &self.projects.label(project.clone())));
        }
    }

    fn begin_target_at_zero(&self, observed: &Observed, names: (&Arc<str>, &Arc<str>, &Arc<str>)) {
        let (provider, model, project) = (names.0.clone(), names.1.clone(), names.2.clone());
        let cost = CostLabels { provider: provider.clone(), model: model.clone(), project: project.clone() };
        drop(self.cost.get_or_create(&cost));
        for kind in TOKENS {
            let (provider, model, project) = (provider.clone(), model.clone(), project.clone());
            drop(self.tokens.get_or_create(&TokenLabels { provider, model, project, kind }));
        }
        if let Some(&endpoint) = observed.endpoints.first() {
            let (status, error, cache) = ("ok", "", "off");
            drop(self.requests.get_or_create(&RequestLabels {
                endpoint,
                provider,
                model,
                project,
                status,
                error,
                cache,
            }));
        }
    }
}

impl Series {
    fn tokens_of(&self, kind: &'static str) -> TokenLabels {
        let Self { provider, model, project, .. } = self;
        TokenLabels { provider: provider.clone(), model: model.clone(), project: project.clone(), kind }
    }
}

/// The tokens in the order of [`TOKENS`].
fn counts(usage: &Usage) -> [u64; 4] {
    [usage.input, usage.cached_input, usage.output, usage.reasoning]
}

/// Adds to a map that is read far more often than it grows, while there is room.
fn add<V: Clone>(map: &ArcSwap<QuickMap<Stored, V>>, kind: Kind<'_>, value: &V) {
    if map.load().len() < MOST_SERIES {
        map.rcu(|known| {
            let mut known = QuickMap::clone(known);
            known.insert(kind.into(), value.clone());
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
mod tests;
