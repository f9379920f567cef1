//! What is measured of targets, and how many sessions are bound: what routes with strategies and affinity go by.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::names;

/// What is measured of targets at a moment.
#[derive(Clone, Debug, Default)]
pub struct MeasuredSeen {
    /// The targets that are measured.
    pub targets: Vec<TargetSeen>,
    /// The calls of others at local servers, by provider.
    pub servers: Vec<(Arc<str>, usize)>,
    /// The sessions that are remembered.
    pub sessions: usize,
}

/// What is measured of one target.
#[derive(Clone, Debug)]
pub struct TargetSeen {
    /// Its provider.
    pub provider: Arc<str>,
    /// The provider's model.
    pub model: Arc<str>,
    /// Calls under way.
    pub in_flight: usize,
    /// The time to the first token, by the kind of answer: `stream` or `whole`.
    pub first_token: Vec<(&'static str, Duration)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MeasuredLabels {
    provider: Arc<str>,
    model: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    provider: Arc<str>,
    model: Arc<str>,
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServerLabels {
    provider: Arc<str>,
}

/// The gauges of what is measured.
#[derive(Debug, Default)]
pub(super) struct MeasuredGauges {
    in_flight: Family<MeasuredLabels, Gauge>,
    first_token: Family<KindLabels, Gauge<f64, AtomicU64>>,
    servers: Family<ServerLabels, Gauge>,
    sessions: Gauge,
}

impl MeasuredGauges {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let gauges = Self::default();
        names::TARGET_IN_FLIGHT.register(registry, gauges.in_flight.clone());
        names::TARGET_FIRST_TOKEN.register(registry, gauges.first_token.clone());
        names::SERVER_CALLS.register(registry, gauges.servers.clone());
        names::BOUND_SESSIONS.register(registry, gauges.sessions.clone());
        gauges
    }

    /// Shows what is measured now, and nothing of what no route reads any more.
    pub(super) fn set(&self, seen: &MeasuredSeen) {
        self.in_flight.clear();
        self.first_token.clear();
        self.servers.clear();
        for TargetSeen { provider, model, in_flight, first_token } in &seen.targets {
            let labels = MeasuredLabels { provider: provider.clone(), model: model.clone() };
            self.in_flight.get_or_create(&labels).set(whole(*in_flight));
            for (kind, time) in first_token {
                let labels = KindLabels { provider: provider.clone(), model: model.clone(), kind };
                self.first_token.get_or_create(&labels).set(time.as_secs_f64());
            }
        }
        for (provider, calls) in &seen.servers {
            self.servers.get_or_create(&ServerLabels { provider: provider.clone() }).set(whole(*calls));
        }
        self.sessions.set(whole(seen.sessions));
    }
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
