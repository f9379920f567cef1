//! What an answer of a candidate must be, in a cascade.

use serde_json::Value;

use super::subject::Subject;
use crate::routing::Target;

/// The checks that an answer of `target` must pass; nothing where any is accepted.
pub(super) fn part(subject: &Subject<'_>, target: &Target) -> Option<Value> {
    Some(subject.call.plan.cascade.as_ref()?.accept_of(target)?.shown())
}
