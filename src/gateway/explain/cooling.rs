//! Why a candidate takes no calls just now.

use serde_json::{Value, json};

use super::subject::Subject;
use crate::gateway::cooling::{cause, seconds};
use crate::routing::{Standing, Target};
use crate::types::now;

/// Until when a target cools for the call's key, whether it does for all, and its last failure.
pub(super) fn part(subject: &Subject<'_>, target: &Target) -> Option<Value> {
    let (parts, key, now) = (&subject.call.parts, &subject.call.incoming.key.id, now());
    let Standing::Cooling { until } = parts.health.state(target, key, now) else { return None };
    let for_all = matches!(parts.health.state(target, "", now), Standing::Cooling { .. });
    Some(json!({
        "until": until, "seconds": seconds(until - now), "for": if for_all { "all keys" } else { "this key" },
        "why": cause(parts, target, now),
    }))
}
