//! One call, from admission to its row in the ledger.

mod attempt;
mod call;
mod embed;
mod explain;
mod feed;
mod incoming;
mod line;
mod memo;
mod meter;
mod once;
mod pass;
mod plan;
mod price;
mod prompt;
mod repair;
mod reply;
mod shared;
mod stream;

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cache::Cache;
use crate::idempotency::Idempotency;
use crate::prompts::Registry;
use crate::routing::{Health, Routes, StoreBodies};
use crate::telemetry::Metrics;
use crate::types::QuickMap;
use crate::upstream::ProviderClient;
use crate::usage::{Ledger, PriceBook};

pub use call::refusal;
pub use explain::{Explanation, ModelCard, models};
pub use incoming::{Endpoint, Incoming};
pub use line::{Handed, Owner, Prepared, Said};
pub use price::KnownPrices;
pub use repair::Repair;
pub use reply::{Body, Cut, Head, Reply};
pub use shared::Departure;

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
    /// Providers by name.
    pub clients: QuickMap<Arc<str>, Arc<ProviderClient>>,
    /// Prices.
    pub prices: PriceBook,
    /// Whether requests and answers are kept with their rows.
    pub store_bodies: StoreBodies,
    /// Whether an answer is read to its end though its caller hung up.
    pub drains: bool,
    /// Prices of the targets called so far.
    pub known_prices: KnownPrices,
}

/// What outlives a reload.
pub struct Parts {
    /// Prompts.
    pub prompts: Registry,
    /// Cached answers.
    pub cache: Cache<Departure>,
    /// The ledger.
    pub ledger: Ledger,
    /// Calls that are made once.
    pub idempotency: Idempotency,
    /// How targets fare.
    pub health: Health,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// AnswerContext when the process must end and running calls must too.
    pub closing: CancellationToken,
    /// Calls that run in tasks of their own.
    pub tasks: TaskTracker,
}

impl Gateway {
    /// A gateway of these parts.
    #[must_use]
    pub fn new(parts: Parts, live: Live) -> Self {
        Self { live: Arc::new(ArcSwap::from_pointee(live)), parts: Arc::new(parts) }
    }

    /// Replaces the configuration; calls under way keep the one they began with.
    pub fn replace(&self, live: Live) {
        self.live.store(Arc::new(live));
    }

    /// The configuration now.
    #[must_use]
    pub fn live(&self) -> Arc<Live> {
        self.live.load_full()
    }

    /// What outlives a reload.
    #[must_use]
    pub fn parts(&self) -> &Arc<Parts> {
        &self.parts
    }
}
