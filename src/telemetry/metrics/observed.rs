//! What is looked at when somebody asks for the metrics: gauges, and counters that another part of Fulcrum keeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::labels::{FileLabels, Names, TargetLabels};
use super::measured::{MeasuredGauges, MeasuredSeen};
use super::names;
use super::process::Process;

/// What is seen at a moment.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The endpoints that can be called.
    pub endpoints: Vec<&'static str>,
    /// The targets that the configuration names: provider and model.
    pub targets: Vec<(Arc<str>, Arc<str>)>,
    /// The projects that have keys.
    pub projects: Vec<Arc<str>>,
    /// The targets that cool.
    pub cooling: Vec<Cooling>,
    /// What is measured of targets.
    pub measured: MeasuredSeen,
    /// The ledger.
    pub ledger: LedgerSeen,
    /// The cache.
    pub cache: CacheSeen,
}

/// A target that cools.
#[derive(Clone, Debug)]
pub struct Cooling {
    /// Its provider.
    pub provider: Arc<str>,
    /// The provider's model.
    pub model: Arc<str>,
    /// Whether the target cools for all calls, or for those of some keys.
    pub is_for_all: bool,
}

/// How the ledger is.
#[derive(Clone, Copy, Debug, Default)]
pub struct LedgerSeen {
    /// The settlements that wait for the writer.
    pub queue: usize,
    /// How long the oldest settlement has waited for its commit.
    pub lag: Duration,
    /// Whether calls can be recorded.
    pub is_writable: bool,
    /// The size of the database's file, in bytes.
    pub database: u64,
    /// The size of its write-ahead log.
    pub wal: u64,
    /// The size of the ledger's journal.
    pub journal: u64,
}

/// How the cache is.
#[derive(Clone, Copy, Debug, Default)]
pub struct CacheSeen {
    /// Answers held.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Flights under way.
    pub flights: u64,
    /// Answers from the cache since the start.
    pub hits: u64,
    /// Look-ups without one.
    pub misses: u64,
    /// Answers stored.
    pub stored: u64,
    /// Questions that are found by meaning.
    pub questions: u64,
    /// The bytes of their vectors and texts.
    pub question_bytes: u64,
}

/// The metrics that are set and not counted.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    cooling: Family<TargetLabels, Gauge>,
    measured: MeasuredGauges,
    queue: Gauge,
    lag: Gauge<f64, AtomicU64>,
    writable: Gauge,
    files: Family<FileLabels, Gauge<i64, AtomicI64>>,
    entries: Gauge,
    bytes: Gauge,
    flights: Gauge,
    hits: Counter,
    misses: Counter,
    stored: Counter,
    questions: Gauge,
    question_bytes: Gauge,
    process: Option<Process>,
}

impl Gauges {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let mut gauges = Self::default();
        names::COOLING.register(registry, gauges.cooling.clone());
        gauges.measured = MeasuredGauges::register(registry);
        names::LEDGER_QUEUE.register(registry, gauges.queue.clone());
        names::LEDGER_LAG.register(registry, gauges.lag.clone());
        names::LEDGER_WRITABLE.register(registry, gauges.writable.clone());
        names::DATABASE.register(registry, gauges.files.clone());
        names::CACHE_ENTRIES.register(registry, gauges.entries.clone());
        names::CACHE_BYTES.register(registry, gauges.bytes.clone());
        names::CACHE_FLIGHTS.register(registry, gauges.flights.clone());
        names::CACHE_HITS.register(registry, gauges.hits.clone());
        names::CACHE_MISSES.register(registry, gauges.misses.clone());
        names::CACHE_STORED.register(registry, gauges.stored.clone());
        names::QUESTIONS.register(registry, gauges.questions.clone());
        names::QUESTION_BYTES.register(registry, gauges.question_bytes.clone());
        gauges.process = Process::register(registry);
        gauges
    }

    pub(super) fn set(&self, observed: &Observed, models: &Names) {
        self.set_cooling(observed, models);
        self.measured.set(&observed.measured);
        let LedgerSeen { queue, lag, is_writable, database, wal, journal } = observed.ledger;
        self.queue.set(i64::try_from(queue).unwrap_or(i64::MAX));
        self.lag.set(lag.as_secs_f64());
        self.writable.set(i64::from(is_writable));
        for (file, size) in [("database", database), ("wal", wal), ("journal", journal)] {
            self.files.get_or_create(&FileLabels { file }).set(whole(size));
        }
        let CacheSeen { entries, bytes, flights, hits, misses, stored, questions, question_bytes } = observed.cache;
        self.questions.set(whole(questions));
        self.question_bytes.set(whole(question_bytes));
        self.entries.set(whole(entries));
        self.bytes.set(whole(bytes));
        self.flights.set(whole(flights));
        for (counter, count) in [(&self.hits, hits), (&self.misses, misses), (&self.stored, stored)] {
            counter.inner().store(count, Ordering::Relaxed);
        }
        if let Some(process) = &self.process {
            process.refresh();
        }
    }

    /// A target that callers made up is shown while it cools only.
    fn set_cooling(&self, observed: &Observed, models: &Names) {
        self.cooling.clear();
        let labels = |provider: &Arc<str>, model: Arc<str>, is_for_all: bool| TargetLabels {
            provider: provider.clone(),
            model,
            scope: if is_for_all { "all" } else { "keys" },
        };
        for (provider, model) in &observed.targets {
            self.cooling.get_or_create(&labels(provider, model.clone(), true)).set(0);
        }
        for Cooling { provider, model, is_for_all } in &observed.cooling {
            self.cooling.get_or_create(&labels(provider, models.label(model.clone()), *is_for_all)).set(1);
        }
    }
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
