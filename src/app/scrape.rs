//! What the metrics show of the whole gateway at the moment when somebody asks.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::time::Instant;

use super::App;
use crate::cache::Stats;
use crate::gateway::{Live, Parts};
use crate::routing::{Figure, TargetHealth, TargetSignals};
use crate::telemetry::{CacheSeen, Cooling, LedgerSeen, MeasuredSeen, Observed, TargetSeen};
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
            cooling: parts.health.troubled(now()).iter().flat_map(|row| cooling(row, &targets)).collect(),
            targets: targets.into_iter().collect(),
            projects: projects.into_iter().collect(),
            measured: measured(parts, &live),
            ledger: ledger(parts.ledger.state()),
            cache: cache(parts.cache.stats()),
        })
    }
}

/// A target that cools, or each configured one of a server that is down.
fn cooling(row: &TargetHealth, targets: &BTreeSet<(Arc<str>, Arc<str>)>) -> Vec<Cooling> {
    let is_for_all = row.keys.is_none();
    match row.target.split_once('/').filter(|_| row.until.is_some()) {
        None => Vec::new(),
        Some((server, "*")) if row.reason.is_some() => {
            let its = targets.iter().filter(|(provider, _)| **provider == *server);
            its.map(|(provider, model)| Cooling { provider: provider.clone(), model: model.clone(), is_for_all })
                .collect()
        }
        Some((provider, model)) => vec![Cooling { provider: provider.into(), model: model.into(), is_for_all }],
    }
}

/// What routes go by whose strategy reads figures, as far as it is new enough to count.
fn measured(parts: &Parts, live: &Live) -> MeasuredSeen {
    let target = |row: TargetSignals| {
        let (provider, model) = row.target.split_once('/')?;
        let fresh = |kind, figure: Option<Figure>| Some((kind, figure.filter(|figure| figure.is_fresh())?.time));
        let first_token = [fresh("stream", row.stream), fresh("whole", row.whole)].into_iter().flatten().collect();
        Some(TargetSeen { provider: provider.into(), model: model.into(), in_flight: row.in_flight, first_token })
    };
    let at = Instant::now();
    MeasuredSeen {
        targets: parts.signals.list(now()).into_iter().filter_map(target).collect(),
        servers: live.loads.iter().filter_map(|(name, load)| Some((name.clone(), load.others(at)?))).collect(),
        sessions: parts.sessions.len(),
    }
}

fn ledger(LedgerState { queue, lag, is_healthy, database, wal, journal }: LedgerState) -> LedgerSeen {
    LedgerSeen { queue, lag, is_writable: is_healthy, database, wal, journal }
}

fn cache(stats: Stats) -> CacheSeen {
    let Stats { hits, misses, stored, entries, bytes, flights, questions, question_bytes } = stats;
    CacheSeen { entries, bytes, flights, hits, misses, stored, questions, question_bytes }
}
