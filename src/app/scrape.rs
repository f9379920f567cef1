//! What the metrics show of the whole gateway at the moment when somebody asks.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::App;
use crate::cache::Stats;
use crate::routing::TargetHealth;
use crate::telemetry::{CacheSeen, Cooling, LedgerSeen, Observed};
use crate::types::now;
use crate::usage::LedgerState;
use crate::wire::endpoint::ENDPOINTS;

impl App {
    /// Every metric as it is now, in OpenMetrics's text form.
    #[must_use]
    pub fn scrape(&self) -> String {
        let parts = self.gateway().parts();
        let live = self.gateway().live();
        let targets: BTreeSet<_> =
            live.routes.configured().map(|target| (target.provider.clone(), target.model.clone())).collect();
        let projects: BTreeSet<Arc<str>> = self.keys().list().iter().map(|key| key.project.clone()).collect();
        self.metrics().page(&Observed {
            endpoints: ENDPOINTS.iter().map(|row| row.name).collect(),
            targets: targets.into_iter().collect(),
            projects: projects.into_iter().collect(),
            cooling: parts.health.troubled(now()).iter().filter_map(cooling).collect(),
            ledger: ledger(parts.ledger.state()),
            cache: cache(parts.cache.stats()),
        })
    }
}

fn cooling(row: &TargetHealth) -> Option<Cooling> {
    let (provider, model) = row.target.split_once('/').filter(|_| row.until.is_some())?;
    Some(Cooling { provider: provider.into(), model: model.into(), is_for_all: row.keys.is_none() })
}

fn ledger(LedgerState { queue, lag, is_healthy, database, wal, journal }: LedgerState) -> LedgerSeen {
    LedgerSeen { queue, lag, is_writable: is_healthy, database, wal, journal }
}

fn cache(Stats { hits, misses, stored, entries, bytes, flights }: Stats) -> CacheSeen {
    CacheSeen { entries, bytes, flights, hits, misses, stored }
}
