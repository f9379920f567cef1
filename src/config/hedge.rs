//! `hedge` of a route: when a second target is asked, and what that may cost.

use std::time::Duration;

use super::read::{Field, Section};
use crate::routing::{After, HedgeSpec, Order};
use crate::types::parse_duration;

/// The share of a route's spend that hedges may add where the route names none.
const SHARE: f64 = 0.05;

/// The times after which a second target may be asked.
const LEAST: Duration = Duration::from_millis(1);
const MOST: Duration = Duration::from_secs(600);

/// The inline table `hedge` of a route. On a cascade it is checked, and ignored with a warning.
pub(super) fn hedge(route: &Section<'_>, strategy: Order) -> Option<HedgeSpec> {
    let section = route.inline("hedge", "hedge = { after = \"p95\" }")?;
    let field = section.get("after");
    if field.is_none() {
        section.problem("`after` is missing", "write after = \"p95\", or a time such as \"800ms\"");
    }
    // A wrong value has a problem of its own; the route is checked as if it were right.
    let after = field.and_then(|field| after(&field)).unwrap_or(After::P95);
    let share = section.get("max_extra_spend").map_or(Some(SHARE), |field| field.decimal(0.0..=1.0));
    section.done();
    if strategy == Order::Cascade {
        if let Some(field) = route.get("hedge") {
            let problem = "this is ignored: a cascade asks its targets one after the other, and has no hedges";
            field.warn(problem, "take `hedge` out, or use another strategy");
        }
        return None;
    }
    Some(HedgeSpec { after, max_extra_spend: share.unwrap_or(SHARE) })
}

fn after(field: &Field<'_>) -> Option<After> {
    let text = field.text("\"p95\", or a time such as \"800ms\"")?;
    if text == "p95" {
        return Some(After::P95);
    }
    let time = parse_duration(text).filter(|time| (LEAST..=MOST).contains(time));
    if time.is_none() {
        let shown: String = text.chars().take(40).collect();
        field.problem(
            format!("`{shown}` is neither p95 nor a time from 1ms to 10m"),
            "write \"p95\", or a time such as \"800ms\"",
        );
    }
    time.map(After::Time)
}
