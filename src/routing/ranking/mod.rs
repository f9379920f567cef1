//! Ranks a route's targets by figures: what calls cost, how fast targets answer, how busy they are, or whose prompt cache has the
//! prompt's beginning. Time, chance and figures are arguments. Targets of weight 0 are left out.

mod cheapest;
mod fastest;
mod least_busy;
mod prompt_cache;
mod score;

use super::facts::Facts;
use super::health::Health;
use super::pick::Weighted;

pub(super) use cheapest::cheapest;
pub(super) use fastest::fastest;
pub(super) use least_busy::least_busy;
pub(super) use prompt_cache::by_prefix;
pub use score::{Score, Scored};

/// One target in its rank.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ranked {
    /// The target's place in the route.
    pub(super) place: usize,
    pub(super) score: Score,
}

/// The call that targets are ranked for.
#[derive(Clone, Copy)]
pub(super) struct Ranking<'a> {
    pub(super) targets: &'a [Weighted],
    pub(super) facts: &'a Facts<'a>,
    pub(super) health: &'a Health,
    /// From 0 to 1, drawn anew for every call.
    pub(super) dice: f64,
}

impl Ranking<'_> {
    /// The targets that may be picked, each with its score, in the file's order.
    fn scored(&self, score: impl Fn(&Weighted) -> Score) -> Vec<Ranked> {
        let weighted = self.targets.iter().enumerate().filter(|(_, target)| target.weight > 0);
        weighted.map(|(place, target)| Ranked { place, score: score(target) }).collect()
    }

    /// Whether a target takes calls just now.
    fn takes_calls(&self, place: usize) -> bool {
        self.health.state(&self.targets[place].target, self.facts.key.id, self.facts.now).is_open()
    }
}

/// One of `count` things, by a number from 0 to 1; and how far the number is into the thing's share, again from 0 to 1.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "counts are of a route's targets"
)]
fn one_of(count: usize, dice: f64) -> (usize, f64) {
    let point = dice.clamp(0.0, 1.0) * count as f64;
    let place = (point as usize).min(count.saturating_sub(1));
    (place, (point - place as f64).clamp(0.0, 1.0))
}
