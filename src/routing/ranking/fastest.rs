//! By the time to the first token: the better of two targets that are drawn at random.
//!
//! Two draws keep most calls at fast targets without sending all of them to the one that was fastest a moment ago. A target that is
//! cold, so that nothing or nothing new is known of its speed, gets a share of the calls until something is.

use std::time::Duration;

use super::{Ranked, Ranking, Score, one_of};
use crate::routing::signals::PROBED;

/// The chosen target, then the others by their figures, then cold ones in the file's order. Where all are cold, all are in that
/// order. A target that takes no calls is not chosen.
pub(in crate::routing) fn fastest(ranking: &Ranking<'_>) -> Vec<Ranked> {
    let facts = ranking.facts;
    let figure = |target: &_| facts.figures?.signals.first_token(target, facts.stream, facts.now);
    let mut ranked = ranking.scored(|target| Score::FirstToken(figure(&target.target)));
    ranked.sort_by_key(time);
    let (mut warm, mut cold) = (Vec::new(), Vec::new());
    for (rank, one) in ranked.iter().enumerate().filter(|(_, one)| ranking.takes_calls(one.place)) {
        if time(one).0 { cold.push(rank) } else { warm.push(rank) }
    }
    if let Some(first) = choose(&warm, &cold, ranking.dice) {
        ranked[..=first].rotate_right(1);
    }
    ranked
}

/// The rank of the target that gets the call. `warm` and `cold` are ranks, the best first.
fn choose(warm: &[usize], cold: &[usize], dice: f64) -> Option<usize> {
    if warm.is_empty() {
        return cold.first().copied();
    }
    let mut dice = dice;
    if !cold.is_empty() {
        if dice < PROBED {
            return Some(cold[one_of(cold.len(), dice / PROBED).0]);
        }
        dice = (dice - PROBED) / (1.0 - PROBED);
    }
    if warm.len() == 1 {
        return warm.first().copied();
    }
    let (first, rest) = one_of(warm.len(), dice);
    let (step, _) = one_of(warm.len() - 1, rest);
    let second = (first + 1 + step) % warm.len();
    Some(warm[first.min(second)])
}

/// Whether a target is cold, and its figure where it is not: the smaller, the better.
fn time(one: &Ranked) -> (bool, Duration) {
    match one.score {
        Score::FirstToken(Some(figure)) if !one.score.is_cold() => (false, figure.time),
        _ => (true, Duration::ZERO),
    }
}
