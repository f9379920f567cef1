//! The candidate that gets a share of the route's calls.

use serde_json::{Value, json};

use super::subject::Subject;
use crate::keys::Role;
use crate::types::now;

/// Whom a share of the calls also goes to, on which cap, and what is spent of that today as far as this process knows.
pub(super) fn part(subject: &Subject<'_>) -> Option<Value> {
    let call = subject.call;
    let shadow = call.plan.shadow.as_ref()?;
    let acts = call.request.rendering(&shadow.target).is_ok_and(|rendering| rendering.acts());
    let may_be = call.incoming.cache.store && call.request.endpoint.is_answer() && !acts;
    if !call.incoming.key.allows(Role::Viewer) {
        // Whom else a project's callers are compared with is not theirs to read.
        return Some(json!({"may_be_copied": may_be, "summary": "a share of such calls may also go to another model"}));
    }
    let spent = call.parts.shadows.spent(&shadow.route, now());
    let (model, share, cap) = (&shadow.target.id, shadow.share, shadow.most_a_day);
    let summary = match may_be {
        true => format!("{model} gets a copy of {} % of such calls, for at most ${cap} a day", share.number() * 100.0),
        false if acts => format!("{model} gets no copy of a call on which its provider may act: twice is not once"),
        false => format!("{model} gets no copy of such a call"),
    };
    Some(json!({
        "model": model, "share": share, "max_usd_per_day": cap, "spent_today_usd": spent, "may_be_copied": may_be,
        "estimated_cost_usd": call.estimated_copy(&shadow.target), "summary": summary,
    }))
}
