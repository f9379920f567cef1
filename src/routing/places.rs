//! The places of a plan's targets, and the plan of a call of one target alone.

use std::sync::Arc;

use super::affinity::Follows;
use super::facts::Facts;
use super::health::Health;
use super::plan::{Plan, Route};
use super::spec::{AllCooling, CacheMode, CachePolicy, StoreBodies};
use super::target::Target;

impl Route {
    /// The targets for a budget of which much is used, then the others.
    pub(super) fn order(&self, facts: &Facts<'_>, health: &Health, dice: f64) -> Vec<Arc<Target>> {
        let drawn = self.drawn(facts, health, dice);
        let Some(on_budget) = &self.on_budget else { return drawn };
        let mut order = on_budget.first(facts).to_vec();
        for target in drawn {
            if !order.iter().any(|known| known.id == target.id) {
                order.push(target);
            }
        }
        order
    }
}

impl Plan {
    /// The target at a place: of the plan, or behind those for a cause.
    #[must_use]
    pub fn at(&self, place: usize) -> Option<&Arc<Target>> {
        let beside = || self.causes.as_ref()?.all().nth(place.checked_sub(self.targets.len())?);
        self.targets.get(place).or_else(beside)
    }

    /// The plan of a call that the gateway makes of its own: `target` once, with no part of the cache.
    #[must_use]
    pub fn alone(&self, target: Arc<Target>) -> Self {
        Self {
            route: self.route.clone(),
            targets: vec![target],
            cascade: None,
            hedge: None,
            retries: 0,
            cache: CachePolicy { mode: CacheMode::Off, ..self.cache },
            repair: false,
            min_speed: None,
            local_only: self.local_only,
            store_bodies: Some(StoreBodies::None),
            cooling: None,
            all_cooling: AllCooling::Refuse,
            follows: Follows::default(),
            similar: None,
            is_unjudged: false,
            causes: None,
            shadow: None,
            usual: None,
        }
    }
}
