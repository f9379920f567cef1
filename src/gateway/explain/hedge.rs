//! When a second target would be asked beside the first, and what hedges cost so far.

use serde_json::Value;

use super::subject::Subject;

/// The hedge of the call; nothing where its route has none.
pub(super) fn part(subject: &Subject<'_>) -> Option<Value> {
    serde_json::to_value(subject.call.attempts().hedge_shown()?).ok()
}
