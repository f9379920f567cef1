//! Wraps a strategy: where a target refuses for a cause, the targets for that cause are asked before it goes on.

use std::sync::Arc;

use super::{At, Failing, InTurn, Outcome, Step, Strategy};
use crate::routing::causes::{Cause, Causes};
use crate::routing::health::Health;
use crate::routing::target::Target;

/// Wraps a strategy over the targets of a plan. The targets for causes have the places behind the plan's; each target is asked
/// in one turn of its own, whichever list it is on.
pub struct ByCause<'a, S> {
    inner: S,
    turns: Option<Box<Turns<'a>>>,
}

struct Turns<'a> {
    targets: &'a [Arc<Target>],
    causes: &'a Causes,
    /// The most retries of each target.
    most: u32,
    health: &'a Health,
    /// The place that is asked, and those before it.
    place: Option<usize>,
    asked: Vec<usize>,
    /// The targets of a cause, in turn.
    aside: Option<(Cause, InTurn<'a>)>,
}

impl<'a, S: Strategy> ByCause<'a, S> {
    /// Wraps `inner`, which asks `targets`, with `causes`: without these it is `inner`.
    #[must_use]
    pub fn new(inner: S, targets: &'a [Arc<Target>], causes: Option<&'a Causes>, retries: (u32, &'a Health)) -> Self {
        let (most, health) = retries;
        let (place, asked, aside) = (None, Vec::new(), None);
        let turns = causes.map(|causes| Box::new(Turns { targets, causes, most, health, place, asked, aside }));
        Self { inner, turns }
    }
}

impl<S: Strategy> Strategy for ByCause<'_, S> {
    fn first(&self) -> Step {
        self.inner.first()
    }

    fn next(&mut self, outcome: Outcome, at: At) -> Step {
        let Self { inner, turns: Some(turns) } = self else { return self.inner.next(outcome, at) };
        turns.note(turns.place.unwrap_or_default());
        let step = turns.next(inner, outcome, at);
        if let Step::Try { place, .. } = step {
            turns.note(place);
        }
        step
    }
}

impl Turns<'_> {
    /// Notes that a place is asked.
    fn note(&mut self, place: usize) {
        self.place = Some(place);
        if !self.asked.contains(&place) {
            self.asked.push(place);
        }
    }

    fn next(&mut self, inner: &mut impl Strategy, outcome: Outcome, at: At) -> Step {
        let mut outcome = outcome;
        if let Some(cause) = cause_of(outcome) {
            match self.enter(cause, at) {
                Some(step) => return step,
                // No target for it, so that the answer or the error stands.
                None if self.causes.of(cause).is_empty() => return unhandled(outcome),
                None => outcome = Outcome::Failed(Failing::Longer),
            }
        }
        if let Some((cause, mut in_turn)) = self.aside.take() {
            let step = in_turn.next(outcome, at);
            let step = self.skipping(step, self.offset(cause), &mut in_turn, at);
            if step != Step::GiveUp || outcome == Outcome::Failed(Failing::Finally) {
                self.aside = Some((cause, in_turn));
                return step;
            }
            // They did no better than the one before them.
            outcome = Outcome::Failed(Failing::Longer);
        }
        let step = inner.next(outcome, at);
        self.skipping(step, 0, inner, at)
    }

    /// The turn of the first target for a cause that was not asked yet. A turn of another cause ends.
    fn enter(&mut self, cause: Cause, at: At) -> Option<Step> {
        if self.aside.as_ref().is_some_and(|(current, _)| *current == cause) {
            return None;
        }
        let causes = self.causes;
        let mut in_turn = InTurn::new(causes.of(cause), self.most, self.health);
        let first = in_turn.first();
        let step = self.skipping(first, self.offset(cause), &mut in_turn, at);
        if step == Step::GiveUp {
            return None;
        }
        self.aside = Some((cause, in_turn));
        Some(step)
    }

    /// A step of `strategy`, whose places begin at `offset`, or its next one where that target was asked by another place.
    fn skipping(&self, mut step: Step, offset: usize, strategy: &mut impl Strategy, at: At) -> Step {
        while let Step::Try { place, after } = step {
            let place = place + offset;
            if !self.was_asked(place) {
                return Step::Try { place, after };
            }
            step = strategy.next(Outcome::Unsent, at);
        }
        step
    }

    fn offset(&self, cause: Cause) -> usize {
        self.targets.len() + self.causes.before(cause)
    }

    /// Whether the target at `place` had its turn, unless that goes on.
    fn was_asked(&self, place: usize) -> bool {
        if self.place == Some(place) {
            return false;
        }
        let id = |place| self.target(place).map(|target| &*target.id);
        self.asked.iter().any(|asked| id(*asked) == id(place))
    }

    fn target(&self, place: usize) -> Option<&Arc<Target>> {
        self.targets.get(place).or_else(|| self.causes.all().nth(place.checked_sub(self.targets.len())?))
    }
}

/// The cause for which other targets may be asked.
fn cause_of(outcome: Outcome) -> Option<Cause> {
    match outcome {
        Outcome::Failed(Failing::For(cause)) => Some(cause),
        Outcome::Filtered => Some(Cause::ContentFilter),
        _ => None,
    }
}

/// What becomes of an outcome whose cause has no targets.
fn unhandled(outcome: Outcome) -> Step {
    if outcome == Outcome::Filtered { Step::Accept } else { Step::GiveUp }
}
