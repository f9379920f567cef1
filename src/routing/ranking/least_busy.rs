//! By the calls that are under way.

use super::{Ranked, Ranking, Score, one_of};
use crate::routing::figures::Load;

/// The targets by the part of their provider's places that is taken, then by their own calls under way; equal ones in an order
/// that turns by chance, so that idle targets share the calls.
pub(in crate::routing) fn least_busy(ranking: &Ranking<'_>) -> Vec<Ranked> {
    let figures = ranking.facts.figures;
    let load = |target: &_| {
        let Some(figures) = figures else { return (Load::default(), 0) };
        let (load, own) = ((figures.load)(target), figures.signals.in_flight(target));
        // A reload gives providers new places, and the calls from before it go on.
        (Load { in_flight: load.in_flight.max(own), ..load }, own)
    };
    let mut ranked = ranking.scored(|target| {
        let (load, own) = load(&target.target);
        Score::Load(load, own)
    });
    if !ranked.is_empty() {
        let (turn, _) = one_of(ranked.len(), ranking.dice);
        ranked.rotate_left(turn);
    }
    ranked.sort_by(|one, other| {
        let ((load, own), (other_load, other_own)) = (busy(one), busy(other));
        load.total_cmp(&other_load).then(own.cmp(&other_own))
    });
    ranked
}

fn busy(one: &Ranked) -> (f64, usize) {
    match one.score {
        Score::Load(load, own) => (load.ratio(), own),
        _ => (0.0, 0),
    }
}
