//! The gateway's state: what a configuration decides, and what stays over its reloads.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::bodies::{Bodies, RoomBound};
use super::meaning::Meaning;
use super::merges::Merges;
use super::price::{KnownPrices, Priced, Pricing};
use super::probe_line::ProbeLine;
use super::reply::Departure;
use super::shadows::Shadows;
use super::side_calls::SideCalls;
use super::slow_bodies::SlowBodies;
use super::target_log::TargetLog;
use crate::cache::Cache;
use crate::experiments::Experiments;
use crate::idempotency::Idempotency;
use crate::pool::Pool;
use crate::prompts::Registry;
use crate::routing::{Health, Hedges, Ratios, Routes, Sessions, Signals, StoreBodies, Target};
use crate::telemetry::{AccessLog, Metrics};
use crate::types::{QuickMap, Timestamp};
use crate::upstream::{Provider, ProviderClient, ServerLoad};
use crate::usage::{Ledger, PriceBook};

/// Everything a call needs. Cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    live: Arc<ArcSwap<Live>>,
    parts: Arc<Parts>,
}

/// What a configuration decides, replaced as a whole by a reload.
pub struct Live {
    /// Rules and models.
    pub routes: Arc<Routes>,
    /// Whether a provider must be asked something before its first call.
    pub asks_servers: bool,
    /// Providers by name.
    pub clients: QuickMap<Arc<str>, Arc<ProviderClient>>,
    /// How busy local servers are, by provider: of those that a route's strategy reads.
    pub loads: QuickMap<Arc<str>, Arc<ServerLoad>>,
    /// Prices.
    pub prices: PriceBook,
    /// Whether requests and answers are stored with their rows.
    pub store_bodies: StoreBodies,
    /// Whether an answer is read to its end though its caller hung up.
    pub drains: bool,
    /// The room for whole answers.
    pub answers: RoomBound,
    /// Prices of the targets called so far.
    pub known_prices: KnownPrices,
}

/// What stays over a reload of the configuration.
pub struct Parts {
    /// When the process began.
    pub started: Timestamp,
    /// Prompts.
    pub prompts: Registry,
    /// Experiments.
    pub experiments: Experiments,
    /// Cached answers.
    pub cache: Cache<Departure>,
    /// Vectors of texts.
    pub meaning: Meaning,
    /// The ledger.
    pub ledger: Ledger,
    /// Calls that are made once.
    pub idempotency: Idempotency,
    /// How targets fare.
    pub health: Health,
    /// What is measured of targets.
    pub signals: Signals,
    /// The targets that sessions are bound to.
    pub sessions: Sessions,
    /// How much keys' calls write.
    pub ratios: Ratios,
    /// Who probes those that cool, and who waits for that.
    pub probe_line: Arc<ProbeLine>,
    /// How soon the targets of hedged routes answer, and what hedges may cost.
    pub hedges: Hedges,
    /// What the log has of them.
    pub target_log: TargetLog,
    /// The log lines of calls.
    pub access_log: AccessLog,
    /// The room that bodies of requests take.
    pub bodies: Arc<Bodies>,
    /// The room that whole answers take until their callers have them.
    pub answers: Arc<Bodies>,
    /// The bodies of requests that are waited for.
    pub slow_bodies: Arc<SlowBodies>,
    /// The threads for work on large bodies.
    pub pool: Arc<Pool>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Cancelled when the process must end and running calls must too.
    pub closing: CancellationToken,
    /// Calls that run in tasks of their own.
    pub tasks: TaskTracker,
    /// The places of calls that the gateway makes of its own.
    pub side_calls: Arc<SideCalls>,
    /// Calls for embeddings that wait for others like them.
    pub merges: Merges,
    /// What the shadows of routes may spend, and their calls under way.
    pub shadows: Shadows,
}

impl Gateway {
    /// A gateway of these parts.
    #[must_use]
    pub fn new(parts: Parts, live: Live) -> Self {
        Self { live: Arc::new(ArcSwap::from_pointee(live)), parts: Arc::new(parts) }
    }

    /// Replaces the configuration; running calls end with the one that they began with.
    pub fn replace(&self, live: Live) {
        self.live.store(Arc::new(live));
    }

    /// The configuration now.
    #[must_use]
    pub fn live(&self) -> Arc<Live> {
        self.live.load_full()
    }

    /// What stays over a reload.
    #[must_use]
    pub fn parts(&self) -> &Arc<Parts> {
        &self.parts
    }
}

impl Live {
    /// The price of calls to `target`.
    pub(super) fn pricing(&self, provider: &Provider, target: &Target) -> Pricing {
        self.priced(provider, target).0
    }

    /// The price of calls to `target`, and the most tokens that its model writes.
    pub(super) fn priced(&self, provider: &Provider, target: &Target) -> Priced {
        self.known_prices.of(&self.prices, provider, target)
    }
}
