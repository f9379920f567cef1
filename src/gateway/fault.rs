//! Which fault of a target a failed call shows.

use crate::routing::Fault;
use crate::upstream::{Failure, Phase};
use crate::wire::endpoint::Endpoint;

/// What a failure means for the health of its target.
pub fn fault_of(failure: &Failure) -> Option<Fault> {
    match failure {
        // The target is not asked with that key for a while; and a caller's own limit is no fault of anybody's.
        Failure::Throttled { another_key: true, .. }
        | Failure::Auth { another_key: true, .. }
        | Failure::TimedOut(Phase::Caller) => None,
        Failure::Throttled { retry_after, .. } => Some(Fault::Throttled { retry_after: *retry_after }),
        Failure::Server { error, .. } if error.retry_after.is_some() => {
            Some(Fault::Paused { wait: error.retry_after.unwrap_or_default() })
        }
        Failure::Connect(_) | Failure::TimedOut(Phase::Connect) => Some(Fault::Unreachable),
        Failure::TimedOut(_) => Some(Fault::Slow),
        failure if failure.is_targets_fault() => Some(Fault::Broken),
        _ => None,
    }
}

/// Whether a provider lacks a route of its API that is no conversation's: its models answer other calls all the same.
pub fn lacks_other_route(failure: &Failure, endpoint: Endpoint) -> bool {
    !endpoint.is_answer() && matches!(failure, Failure::Refused { .. }) && failure.lacks_route()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_but_the_callers_own_counts_against_a_target() {
        for phase in [Phase::Headers, Phase::FirstToken, Phase::Idle, Phase::Total, Phase::Speed] {
            assert_eq!(fault_of(&Failure::TimedOut(phase)), Some(Fault::Slow), "{phase:?}");
        }
        assert_eq!(fault_of(&Failure::TimedOut(Phase::Connect)), Some(Fault::Unreachable));
        assert_eq!(fault_of(&Failure::TimedOut(Phase::Caller)), None);
    }
}
