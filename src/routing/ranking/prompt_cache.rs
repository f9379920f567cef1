//! By a hash of the prompt's beginning, so that prompts which begin alike go to one target and find its prompt cache warm.
//!
//! Rendezvous hashing: each target has a score for each beginning, and the highest wins. A target that is added takes its share of the
//! beginnings from all others and moves nothing else; one that goes leaves its own to the next best.

use super::{Ranked, Ranking, Score};
use crate::routing::sessions::{hash, mixed};

/// The targets by their scores for the prompt's beginning, weighted by their weights.
pub(in crate::routing) fn by_prefix(ranking: &Ranking<'_>) -> Vec<Ranked> {
    let prefix = ranking.facts.figures.map_or(0, |figures| (figures.prefix)());
    let mut ranked =
        ranking.scored(|target| Score::Prefix(score(prefix, hash(&target.target.id), f64::from(target.weight))));
    ranked.sort_by(|one, other| value(other).total_cmp(&value(one)));
    ranked
}

/// A random number that is the same for the same prefix and target; that of a target with twice the weight is the highest twice as
/// often (-weight / ln u, with u evenly spread over 0 to 1).
#[expect(clippy::cast_precision_loss, reason = "53 bits are kept")]
fn score(prefix: u64, target: u64, weight: f64) -> f64 {
    let bits = mixed(prefix ^ mixed(target)) >> 11;
    let even = (bits as f64 + 0.5) / (1u64 << 53) as f64;
    -weight / even.ln()
}

fn value(one: &Ranked) -> f64 {
    match one.score {
        Score::Prefix(score) => score,
        _ => 0.0,
    }
}
