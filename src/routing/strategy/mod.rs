//! What a call does next: state machines that learn how its attempts ended, and decide. No I/O, no clock, no chance.

mod in_turn;
mod repaired;

use std::time::Duration;

use crate::types::Timestamp;

pub use in_turn::InTurn;
pub use repaired::Repaired;

/// Decides what a call does next. A strategy may stand around another and change some of its decisions.
pub trait Strategy {
    /// What the call does first.
    fn first(&self) -> Step;

    /// What the call does after `outcome`.
    fn next(&mut self, outcome: Outcome, at: At) -> Step;
}

/// What a call does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It asks a target.
    Try {
        /// The target's place in the plan.
        place: usize,
        /// The wait before that.
        after: Duration,
    },
    /// It asks the target that answered once more, and says what is wrong with the answer.
    AskAgain,
    /// The last answer goes down.
    Accept,
    /// The last failure goes down.
    GiveUp,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was sent: the target cools, or has no words for the request.
    Unsent,
    /// The target failed.
    Failed(Failing),
    /// The target answered.
    Answered,
    /// The target answered, and not in the form that was asked for.
    Malformed {
        /// Whether a second answer may be better.
        may_improve: bool,
    },
}

/// How a target failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failing {
    /// It lacks the form in which it was asked, and has another.
    Form,
    /// It refused the key, and its provider has another.
    Key,
    /// It takes calls again after this time.
    Throttled(Duration),
    /// It may do better soon.
    Briefly,
    /// Another target may do better.
    Longer,
    /// No target would do better: the request is at fault, or there is no time left.
    Finally,
}

/// The moment at which a step ended.
#[derive(Clone, Copy, Debug)]
pub struct At {
    /// The time.
    pub now: Timestamp,
    /// The time until the caller's own limit, where there is one.
    pub left: Option<Duration>,
    /// Chance, from 0 to 1: spreads what waits.
    pub dice: f64,
}

impl At {
    /// Whether a wait ends before the caller's limit.
    fn allows(&self, wait: Duration) -> bool {
        self.left.is_none_or(|left| wait < left)
    }
}

#[cfg(test)]
mod tests;
