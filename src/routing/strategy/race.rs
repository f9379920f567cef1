//! Two targets of one call at once: the second is asked where the first has not begun to answer in time, and the first answer
//! ends the race.

use std::time::Duration;

use super::Outcome;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// The target whose turn it is.
    First,
    /// The one that is asked beside it.
    Second,
}

/// What a race does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RaceStep {
    /// Wait for what comes first: the outcome of a target that is asked, or the end of this time, where there is one.
    Wait {
        /// The time.
        late: Option<Duration>,
    },
    /// Ask the target at this place of the plan as well.
    Beside {
        /// The place.
        place: usize,
    },
    /// The race is over: the other target, if it is still asked, is asked no more.
    Over(Lane),
}

/// What happened in a race.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RaceOutcome {
    /// The time has passed.
    Late,
    /// The second may not be asked.
    Withheld,
    /// The second is asked.
    Asked,
    /// What was asked of one of them has ended.
    Ended(Lane, Outcome),
}

/// A race of one target, and of another at most.
#[derive(Debug)]
pub struct Race {
    patience: Option<Duration>,
    /// The place of the second, which is asked once at most.
    second: Option<usize>,
    /// Whether the two are asked just now.
    runs: [bool; 2],
}

/// What became of a call's hedge, of which there is one at most.
#[derive(Clone, Copy, Debug)]
pub struct Hedged {
    /// The place of the second target.
    pub place: usize,
    /// How it ended without an answer, so that it is not asked again.
    pub failed: Option<Outcome>,
}

impl Race {
    /// The target whose turn it is is asked; after `patience` the one at `second` may be.
    #[must_use]
    pub fn new(patience: Option<Duration>, second: Option<usize>) -> Self {
        Self { patience: patience.filter(|_| second.is_some()), second, runs: [true, false] }
    }

    /// What is done first.
    #[must_use]
    pub fn first(&self) -> RaceStep {
        RaceStep::Wait { late: self.patience }
    }

    /// What is done after `outcome`.
    pub fn next(&mut self, outcome: RaceOutcome) -> RaceStep {
        match outcome {
            RaceOutcome::Late => match self.second.take() {
                Some(place) => RaceStep::Beside { place },
                None => RaceStep::Wait { late: None },
            },
            RaceOutcome::Withheld => RaceStep::Wait { late: None },
            RaceOutcome::Asked => {
                self.runs[1] = true;
                RaceStep::Wait { late: None }
            }
            RaceOutcome::Ended(lane, outcome) => self.ended(lane, outcome),
        }
    }

    fn ended(&mut self, lane: Lane, outcome: Outcome) -> RaceStep {
        let place = usize::from(lane == Lane::Second);
        self.runs[place] = false;
        if matches!(outcome, Outcome::Answered | Outcome::NotAccepted | Outcome::Malformed { .. }) {
            return RaceStep::Over(lane);
        }
        // One may still answer. Where none does, the outcome is that of the one whose turn it is.
        if self.runs.contains(&true) { RaceStep::Wait { late: None } } else { RaceStep::Over(Lane::First) }
    }
}
