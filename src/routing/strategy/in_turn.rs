//! The targets of a plan in turn: each again where that is worth a retry, then the next.

use std::sync::Arc;
use std::time::Duration;

use super::{At, Failing, Outcome, Step, Strategy};
use crate::routing::backoff::backoff;
use crate::routing::health::Health;
use crate::routing::target::Target;

/// The longest wait for a rate-limited target while another could be asked.
const PATIENCE: Duration = Duration::from_secs(1);

/// The longest wait for a rate-limited target where there is no other.
const LAST_PATIENCE: Duration = Duration::from_secs(10);

/// Asks the targets of a plan in turn.
pub struct InTurn<'a> {
    targets: &'a [Arc<Target>],
    /// The most retries of each target.
    most: u32,
    /// The retry budgets of the providers.
    health: &'a Health,
    place: usize,
    /// Retries of the target whose turn it is.
    retries: u32,
}

impl<'a> InTurn<'a> {
    /// Asks `targets` in turn, each again at most `most` times.
    #[must_use]
    pub fn new(targets: &'a [Arc<Target>], most: u32, health: &'a Health) -> Self {
        Self { targets, most, health, place: 0, retries: 0 }
    }

    fn ask(&self, after: Duration) -> Step {
        if self.place < self.targets.len() { Step::Try { place: self.place, after } } else { Step::GiveUp }
    }

    fn next_target(&mut self) -> Step {
        self.place += 1;
        self.retries = 0;
        self.ask(Duration::ZERO)
    }

    /// The same target again, where the plan and the budget of its provider allow a retry.
    fn retry(&mut self, wait: Duration, at: At) -> Step {
        let target = self.targets.get(self.place).filter(|_| self.retries < self.most);
        match target {
            Some(target) if self.health.may_retry(&target.provider, at.now) => self.again(wait, at),
            _ => self.next_target(),
        }
    }

    /// The same target with another key, where the budget of its provider allows one more call, whatever the plan allows: no call
    /// is repeated to the key that is limited.
    fn with_another_key(&mut self, at: At) -> Step {
        match self.targets.get(self.place) {
            Some(target) if self.health.may_retry(&target.provider, at.now) => self.again(Duration::ZERO, at),
            _ => self.next_target(),
        }
    }

    /// The same target again, where there is time for that.
    fn again(&mut self, wait: Duration, at: At) -> Step {
        if !at.allows(wait) {
            return self.next_target();
        }
        self.retries += 1;
        self.ask(wait)
    }

    fn patience(&self) -> Duration {
        if self.place + 1 < self.targets.len() { PATIENCE } else { LAST_PATIENCE }
    }
}

impl Strategy for InTurn<'_> {
    fn first(&self) -> Step {
        self.ask(Duration::ZERO)
    }

    fn next(&mut self, outcome: Outcome, at: At) -> Step {
        match outcome {
            Outcome::Answered | Outcome::Malformed { .. } | Outcome::Filtered => Step::Accept,
            Outcome::Failed(Failing::Finally | Failing::For(_)) => Step::GiveUp,
            Outcome::Failed(Failing::Form) => self.ask(Duration::ZERO),
            Outcome::Failed(Failing::Key) => self.again(Duration::ZERO, at),
            Outcome::Failed(Failing::RestingKey) => self.with_another_key(at),
            Outcome::Failed(Failing::Throttled(wait)) if wait <= self.patience() => self.retry(wait, at),
            Outcome::Failed(Failing::Briefly) => self.retry(backoff(self.retries + 1, at.dice), at),
            Outcome::Unsent | Outcome::NotAccepted | Outcome::Failed(Failing::Throttled(_) | Failing::Longer) => {
                self.next_target()
            }
        }
    }
}
