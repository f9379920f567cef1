//! Another strategy, whose answer is asked for once more where it has not the form that was asked for.

use std::time::Duration;

use super::{At, Outcome, Step, Strategy};

/// Repairs the answers that another strategy brings. A second answer goes down whatever its form; where none comes, the first
/// does.
pub struct Repaired<S> {
    inner: S,
    asked_again: bool,
}

impl<S: Strategy> Repaired<S> {
    /// Repairs the answers that `inner` brings.
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
