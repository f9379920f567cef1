//! What a part of an explanation is made from, and what it is.

use serde_json::Value;

use crate::gateway::planned::Planned;
use crate::routing::Target;

/// The call that is explained.
pub(super) struct Subject<'a> {
    pub(super) call: &'a Planned,
}

/// What a feature says of a call: an object, whose `summary` `fulcrum explain` prints; nothing where it has no part in the call.
pub(super) type Part = fn(&Subject<'_>) -> Option<Value>;

/// What a feature says of a candidate: nothing where it has no part in it.
pub(super) type CandidatePart = fn(&Subject<'_>, &Target) -> Option<Value>;
