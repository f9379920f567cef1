//! Wraps a strategy: an answer that was not accepted stays, for where no later one is.

use std::time::Duration;

use super::{At, Outcome, Step, Strategy};

/// Wraps a strategy, which asks the next target where an answer was not accepted. Where no later target answers, or there is no
/// time for one, the last answer is returned.
pub struct Cascading<S> {
    inner: S,
    has_answer: bool,
}

impl<S: Strategy> Cascading<S> {
    /// Wraps `inner`.
    #[must_use]
    pub fn new(inner: S) -> Self {
        Self { inner, has_answer: false }
    }
}

impl<S: Strategy> Strategy for Cascading<S> {
    fn first(&self) -> Step {
        self.inner.first()
    }

    fn next(&mut self, outcome: Outcome, at: At) -> Step {
        self.has_answer |= outcome == Outcome::NotAccepted;
        if self.has_answer && !at.allows(Duration::ZERO) {
            return Step::Accept;
        }
        match self.inner.next(outcome, at) {
            Step::GiveUp if self.has_answer => Step::Accept,
            step => step,
        }
    }
}
