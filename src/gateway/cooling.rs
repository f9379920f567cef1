//! The error of a call whose targets all cool: which, for how long, and why.

use std::sync::Arc;
use std::time::Duration;

use super::state::Parts;
use crate::chat::{Code, Error};
use crate::routing::{Plan, Standing, Target};
use crate::types::{Timestamp, now};

/// When to ask again where no target says when it recovers.
const SOON: Duration = Duration::from_secs(1);

/// The most targets that are named.
const MOST_NAMED: usize = 4;

/// The error of a call of `key` that no target of `plan` takes.
pub fn all_cooling(parts: &Parts, plan: &Plan, key: &str) -> Error {
    let now = now();
    let named = plan.targets.iter().take(MOST_NAMED).map(|target| state(parts, target, key, now));
    let mut named: Vec<String> = named.collect();
    if plan.targets.len() > MOST_NAMED {
        named.push(format!("and {} more", plan.targets.len() - MOST_NAMED));
    }
    let message = format!("every target of this call is cooling after failures: {}", named.join(", "));
    Error { retry_after: Some(plan.cooling.unwrap_or(SOON)), ..Error::new(Code::AllTargetsCooling, message) }
}

fn state(parts: &Parts, target: &Target, key: &str, now: Timestamp) -> String {
    let until = match parts.health.state(target, key, now) {
        Standing::Cooling { until } => format!("for {} s", seconds(until - now)),
        Standing::Probing => "until a call that is under way answers".to_owned(),
        Standing::Healthy | Standing::Ripe => "is ready again".to_owned(),
    };
    let cause = cause(parts, target, now).map_or_else(String::new, |cause| format!(" ({cause})"));
    format!("{} {until}{cause}", target.id)
}

/// Why a target cools: what its server reports, or how its last call failed.
pub fn cause(parts: &Parts, target: &Target, now: Timestamp) -> Option<Arc<str>> {
    parts.health.server_reason(&target.provider, now).or_else(|| parts.target_log.cause(&target.id))
}

/// Whole seconds, rounded up.
pub fn seconds(left: Duration) -> u64 {
    left.as_secs() + u64::from(left.subsec_nanos() > 0)
}
