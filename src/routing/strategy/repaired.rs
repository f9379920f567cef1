//! Wraps a strategy: an answer that has not the requested format is asked for once more.

use std::time::Duration;

use super::{At, Outcome, Step, Strategy};

/// Wraps a strategy, and repairs its answers. A second answer is returned in any format; where none comes, the first is.
pub struct Repaired<S> {
    inner: S,
    asked_again: bool,
}

impl<S: Strategy> Repaired<S> {
    /// Wraps `inner`.
    #[must_use]
    pub fn new(inner: S) -> Self {
        Self { inner, asked_again: false }
    }
}

impl<S: Strategy> Strategy for Repaired<S> {
    fn first(&self) -> Step {
        self.inner.first()
    }

    fn next(&mut self, outcome: Outcome, at: At) -> Step {
        match outcome {
            _ if self.asked_again => Step::Accept,
            Outcome::Malformed { may_improve: true } if at.allows(Duration::ZERO) => {
                self.asked_again = true;
                Step::AskAgain
            }
            outcome => self.inner.next(outcome, at),
        }
    }
}
