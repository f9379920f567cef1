//! Hedges: when a second target is asked beside one that has not begun to answer, and what that may cost.

mod spend;
mod times;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

pub use spend::{Reserved, RouteSpend, SpendShown};
pub use times::Patience;

use self::spend::lock;
use self::times::Times;
use super::spec::{After, HedgeSpec, RouteSpec};
use crate::types::{Diagnostic, QuickMap};

/// The most targets whose times are known, and the most routes whose spend is: callers may name any model of a provider.
const MOST: usize = 4_096;

/// The hedges of a route.
#[derive(Clone, Debug, PartialEq)]
pub struct HedgePolicy {
    /// The route.
    pub route: Arc<str>,
    /// When the second target is asked.
    pub after: After,
    /// The share of the route's spend that hedges may add, 0 to 1.
    pub max_extra_spend: f64,
}

impl Eq for HedgePolicy {}

/// What is known of hedged routes: how soon their targets answer, and what they spend. It outlives a reload of the
/// configuration.
#[derive(Debug, Default)]
pub struct Hedges {
    routes: Mutex<QuickMap<Arc<str>, Arc<RouteSpend>>>,
    times: Mutex<QuickMap<Kind, Times>>,
}

/// A target, and whether its answers are streams: a whole answer takes longer than the first token of one.
type Kind = (Arc<str>, bool);

impl HedgePolicy {
    /// The hedges that a route's table states.
    pub(super) fn of(spec: &RouteSpec, hedge: &HedgeSpec) -> Self {
        Self { route: spec.name.text.as_str().into(), after: hedge.after, max_extra_spend: hedge.max_extra_spend }
    }
}

impl HedgePolicy {
    /// The hedges as the admin API shows them.
    #[must_use]
    pub fn shown(&self) -> Value {
        let after = match self.after {
            After::P95 => json!("p95"),
            After::Time(time) => json!(format!("{}ms", time.as_millis())),
        };
        json!({"after": after, "max_extra_spend": self.max_extra_spend})
    }
}

impl Hedges {
    /// The spend of a route.
    #[must_use]
    pub fn spend_of(&self, route: &Arc<str>) -> Arc<RouteSpend> {
        let mut routes = lock(&self.routes);
        if routes.len() >= MOST && !routes.contains_key(route) {
            routes.clear();
        }
        routes.entry(route.clone()).or_default().clone()
    }

    /// When a second target is asked beside `target`.
    #[must_use]
    pub fn patience(&self, policy: &HedgePolicy, target: &Arc<str>, is_stream: bool) -> Patience {
        match policy.after {
            After::Time(after) => Patience::Known(after),
            After::P95 => {
                let times = lock(&self.times);
                times.get(&(target.clone(), is_stream)).map_or(Patience::TooFew(0), Times::p95)
            }
        }
    }

    /// How many answers of a target must be known before a second is asked.
    #[must_use]
    pub fn fewest() -> usize {
        times::FEWEST
    }

    /// Notes how soon `target` began to answer, or that it had not by then.
    pub fn began_after(&self, target: &Arc<str>, is_stream: bool, after: Duration) {
        let mut times = lock(&self.times);
        let kind = (target.clone(), is_stream);
        if times.len() >= MOST && !times.contains_key(&kind) {
            times.clear();
        }
        times.entry(kind).or_default().note(after);
    }
}

/// What is wrong with the hedges of a route.
pub(super) fn problems(spec: &RouteSpec) -> Vec<Diagnostic> {
    let key = || format!("{}.hedge", spec.key);
    let mut problems = Vec::new();
    if spec.hedge.is_none() {
        return problems;
    }
    if !spec.has_second() {
        let is_never_asked = spec.targets.iter().any(|target| !spec.strategy.asks(target.weight));
        let but = if is_never_asked { "all but one have weight 0" } else { "the route has one" };
        let problem = Diagnostic::new(key(), format!("a hedge needs a second target, and {but}"));
        problems.push(problem.fix("name another target or a fallback, or take `hedge` out"));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_routes_and_targets_is_bounded() {
        let hedges = Hedges::default();
        for n in 0..=MOST {
            let name: Arc<str> = n.to_string().into();
            drop(hedges.spend_of(&name));
            hedges.began_after(&name, false, Duration::ZERO);
        }
        assert!(lock(&hedges.routes).len() <= MOST && lock(&hedges.times).len() <= MOST);
        let route: Arc<str> = "r".into();
        assert!(Arc::ptr_eq(&hedges.spend_of(&route), &hedges.spend_of(&route)), "a route has one spend");
    }

    #[test]
    fn whole_answers_and_streams_are_known_apart() {
        let (hedges, target): (_, Arc<str>) = (Hedges::default(), "p/m".into());
        (0..times::FEWEST).for_each(|_| hedges.began_after(&target, true, Duration::from_millis(7)));
        let mut policy = HedgePolicy { route: "r".into(), after: After::P95, max_extra_spend: 0.1 };
        let patience =
            |policy: &HedgePolicy| [true, false].map(|is_stream| hedges.patience(policy, &target, is_stream));
        assert_eq!(patience(&policy), [Patience::Known(Duration::from_millis(7)), Patience::TooFew(0)]);
        policy.after = After::Time(Duration::from_secs(1));
        assert_eq!(patience(&policy), [Patience::Known(Duration::from_secs(1)); 2]);
    }
}
