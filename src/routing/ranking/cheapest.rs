//! By what the call is expected to cost.

use super::{Ranked, Ranking, Score};
use crate::routing::figures::Expected;

/// The targets by cost, those without a known price last; equal ones in the file's order.
pub(in crate::routing) fn cheapest(ranking: &Ranking<'_>) -> Vec<Ranked> {
    let figures = ranking.facts.figures;
    let cost = |target: &_| figures.map(|figures| (figures.cost)(target)).unwrap_or_default();
    let mut ranked = ranking.scored(|target| Score::Cost(cost(&target.target)));
    ranked.sort_by_key(|one| match one.score {
        Score::Cost(Expected { cost: Some(cost), .. }) => (false, cost),
        _ => (true, Default::default()),
    });
    ranked
}
