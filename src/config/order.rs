//! How a route orders its targets: `strategy`, `sticky_by` and `affinity`, and which of them go together.

use super::read::{Field, Section};
use crate::routing::{Affinity, Order, StickyBy};

/// How a route's targets are written.
pub(super) const TARGETS: &str = "[{ model = \"fast\" }]";

/// The largest weight of a target.
pub(super) const MOST_WEIGHT: u32 = 1_000_000;

/// How a route orders its targets.
pub(super) struct Ordering {
    pub(super) strategy: Order,
    pub(super) sticky_by: StickyBy,
    pub(super) affinity: Affinity,
}

/// Reads how a route orders its targets, and refuses what contradicts itself.
pub(super) fn ordering(section: &Section<'_>) -> Ordering {
    let strategy = strategy(section);
    let words =
        [("user", StickyBy::User), ("session", StickyBy::Session), ("key", StickyBy::Key), ("none", StickyBy::None)];
    let sticky_by = section.get("sticky_by").and_then(|field| field.choice(&words)).unwrap_or_default();
    let words = [("none", Affinity::None), ("session", Affinity::Session), ("prompt_cache", Affinity::PromptCache)];
    let affinity = section.get("affinity").and_then(|field| field.choice(&words)).unwrap_or_default();
    check_sticky(section, strategy, sticky_by);
    check_affinity(section, strategy, (affinity, sticky_by));
    check_weights(section, strategy);
    Ordering { strategy, sticky_by, affinity }
}

fn strategy(section: &Section<'_>) -> Order {
    let Some(field) = section.get("strategy") else { return Order::Weighted };
    let known = [
        ("weighted", Order::Weighted),
        ("priority", Order::Priority),
        ("cheapest", Order::Cheapest),
        ("fastest", Order::Fastest),
        ("least_busy", Order::LeastBusy),
        ("cascade", Order::Cascade),
    ];
    field.choice(&known).unwrap_or_default()
}

/// A sticky caller is drawn by the weights, which a strategy that goes by figures does not read.
fn check_sticky(section: &Section<'_>, strategy: Order, sticky_by: StickyBy) {
    if sticky_by == StickyBy::None || !strategy.goes_by_figures() {
        return;
    }
    if let Some(field) = section.get("sticky_by") {
        let problem =
            format!("a caller is kept by the weights, and the strategy `{}` goes by figures", strategy.name());
        field.problem(problem, "take it out, or write affinity = \"session\" in its place");
    }
}

/// A route keeps calls together in one way, and the prompt's beginning takes the place of weights and chance.
fn check_affinity(section: &Section<'_>, strategy: Order, (affinity, sticky_by): (Affinity, StickyBy)) {
    let Some(field) = section.get("affinity").filter(|_| affinity != Affinity::None) else { return };
    if sticky_by != StickyBy::None {
        field.problem("`sticky_by` keeps callers on targets in another way", "keep one of the two");
    }
    if affinity == Affinity::PromptCache && !strategy.is_weighted() {
        let problem = format!(
            "`prompt_cache` chooses the target by the prompt, and the strategy `{}` chooses it too",
            strategy.name()
        );
        field.problem(problem, "take `strategy` out, or write affinity = \"session\"");
    }
}

/// Refuses weights in a cascade, which would ask a target of weight 0 too, and warns of others that nothing reads.
fn check_weights(section: &Section<'_>, strategy: Order) {
    if strategy != Order::Cascade && !strategy.goes_by_figures() {
        return;
    }
    let targets = section.get("targets").map(|field| field.list(TARGETS)).unwrap_or_default();
    let tables = targets.into_iter().filter(|target| !target.is_text()).filter_map(Field::section);
    for weight in tables.filter_map(|target| target.get("weight")) {
        if strategy == Order::Cascade {
            weight.problem("a cascade asks its targets in order, whatever their weights", "take `weight` out");
        } else if weight.whole(0..=MOST_WEIGHT).is_some_and(|weight| weight > 1) {
            let problem = format!("the strategy `{}` reads of a weight only whether it is 0", strategy.name());
            weight.warn(problem, "take the weight out");
        }
    }
}
