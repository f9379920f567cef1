//! The places of a plan's targets, and the plan of a call of one target alone.

use std::sync::Arc;

use serde_json::json;

use super::affinity::Follows;
use super::causes::Cause;
use super::facts::Facts;
use super::health::Health;
use super::plan::{Plan, Route};
use super::spec::{AllCooling, CacheMode, CachePolicy, StoreBodies};
use super::target::Target;

impl Route {
    /// The targets that only a cause brings in.
    pub(super) fn by_cause(&self) -> impl Iterator<Item = &Arc<Target>> {
        let of_causes = self.causes.iter().flat_map(|causes| causes.all());
        of_causes.chain(self.on_budget.iter().flat_map(|on_budget| &on_budget.targets))
    }

    /// Whether much of a budget brought a target in.
    pub(super) fn is_for_budget(&self, id: &str) -> bool {
        self.on_budget.iter().flat_map(|on_budget| &on_budget.targets).any(|target| *target.id == *id)
    }

    /// What `GET /routes` shows of the causes.
    pub(super) fn causes_row(&self) -> serde_json::Map<String, serde_json::Value> {
        let ids = |targets: &[Arc<Target>]| targets.iter().map(|target| json!(target.id)).collect::<Vec<_>>();
        let causes = self.causes.as_deref();
        let of = |cause: Cause| causes.map_or_else(Vec::new, |causes| ids(causes.of(cause)));
        let budget = self.on_budget.as_ref();
        let budget = budget.map(|budget| json!({"above": budget.above, "models": ids(&budget.targets)}));
        let lists = Cause::ALL.map(|cause| (cause.key().to_owned(), json!(of(cause))));
        lists.into_iter().chain([("on_budget".to_owned(), json!(budget))]).collect()
    }

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
