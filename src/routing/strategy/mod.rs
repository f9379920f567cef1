//! Decides what a call does next: state machines over the outcomes of its attempts. No I/O, no clock, no chance.

mod by_cause;
mod cascading;
mod in_turn;
mod race;
mod repaired;

use std::time::Duration;

use super::causes::Cause;
use crate::types::Timestamp;

pub use by_cause::ByCause;
pub use cascading::Cascading;
pub use in_turn::InTurn;
pub use race::{Hedged, Lane, Race, RaceOutcome, RaceStep};
pub use repaired::Repaired;

/// Decides what a call does next. A strategy may wrap another and change some of its decisions.
pub trait Strategy {
    /// What the call does first.
    fn first(&self) -> Step;

    /// What the call does after `outcome`.
    fn next(&mut self, outcome: Outcome, at: At) -> Step;
}

/// What a call does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask a target.
    Try {
        /// The target's place in the plan.
        place: usize,
        /// How long to wait first.
        after: Duration,
    },
    /// Ask the target that answered once more, with a message that says what is wrong with the answer.
    AskAgain,
    /// Return the last answer to the caller.
    Accept,
    /// Return the last failure to the caller.
    GiveUp,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was sent: the target cools, or its dialect cannot express the request.
    Unsent,
    /// The target failed.
    Failed(Failing),
    /// The target answered.
    Answered,
    /// The target answered, and its answer was not accepted.
    NotAccepted,
    /// The target answered, and not in the form that was asked for.
    Malformed {
        /// Whether a second answer may be better.
        may_improve: bool,
    },
    /// The target answered, and a filter of its own ended the answer before its first word.
    Filtered,
}

/// How a target failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failing {
    /// The target lacks the API that was called, and has another.
    Form,
    /// The provider refused the key, and has another.
    Key,
    /// The provider limits the rate of calls with the key, and has another.
    RestingKey,
    /// The target takes calls again after this time.
    Throttled(Duration),
    /// The same target may do better soon.
    Briefly,
    /// Another target may do better.
    Longer,
    /// The target refuses for a cause, and another may not: one that the plan has targets for.
    For(Cause),
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
    /// A random number from 0 to 1, which spreads waits.
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
