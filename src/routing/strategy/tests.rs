//! Strategies by tables: outcomes, and the steps that follow.

mod by_cause;
mod random;

use std::sync::Arc;
use std::time::Duration;

use super::{At, Cascading, Failing, InTurn, Outcome, Race, RaceOutcome, RaceStep, Repaired, Step, Strategy};
use crate::routing::health::Health;
use crate::routing::target::Target;
use crate::types::Timestamp;

const NOW: Timestamp = Timestamp(1_000_000);

fn targets(count: usize) -> Vec<Arc<Target>> {
    (0..count).map(|n| Arc::new(Target::of(&format!("p{n}"), "m"))).collect()
}

fn at(left: Option<Duration>) -> At {
    At { now: NOW, left, dice: 1.0 }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn ask(place: usize, after: u64) -> Step {
    Step::Try { place, after: millis(after) }
}

fn failed(failing: Failing) -> Outcome {
    Outcome::Failed(failing)
}

/// The steps of a call with `count` targets and two retries each, after these outcomes.
fn steps(count: usize, left: Option<Duration>, outcomes: &[Outcome]) -> Vec<Step> {
    let (targets, health) = (targets(count), Health::default());
    // The budget of the process has room for the retries of each target.
    (0..9).for_each(|_| targets.iter().for_each(|target| health.called(&target.provider, NOW)));
    let mut strategy = Repaired::new(Cascading::new(InTurn::new(&targets, 2, &health)));
    let first = strategy.first();
    [first].into_iter().chain(outcomes.iter().map(|outcome| strategy.next(*outcome, at(left)))).collect()
}

#[test]
fn each_outcome_leads_to_its_step() {
    let wait = |millis| failed(Failing::Throttled(Duration::from_millis(millis)));
    for (outcome, next) in [
        (Outcome::Answered, Step::Accept),
        (Outcome::Malformed { may_improve: false }, Step::Accept),
        (Outcome::Malformed { may_improve: true }, Step::AskAgain),
        (Outcome::Unsent, ask(1, 0)),
        (Outcome::NotAccepted, ask(1, 0)),
        (failed(Failing::Form), ask(0, 0)),
        (failed(Failing::Key), ask(0, 0)),
        (failed(Failing::RestingKey), ask(0, 0)),
        (failed(Failing::Briefly), ask(0, 250)),
        (wait(1_000), ask(0, 1_000)),
        (wait(1_001), ask(1, 0)),
        (failed(Failing::Longer), ask(1, 0)),
        (failed(Failing::Finally), Step::GiveUp),
    ] {
        assert_eq!(steps(2, None, &[outcome]), [ask(0, 0), next], "{outcome:?}");
    }
}

#[test]
fn a_call_without_targets_gives_up() {
    assert_eq!(steps(0, None, &[]), [Step::GiveUp]);
    assert_eq!(steps(1, None, &[failed(Failing::Longer)]), [ask(0, 0), Step::GiveUp]);
}

#[test]
fn each_target_has_its_own_retries() {
    let brief = failed(Failing::Briefly);
    let expected = [ask(0, 0), ask(0, 250), ask(0, 500), ask(1, 0), ask(1, 250), ask(1, 500), Step::GiveUp];
    assert_eq!(steps(2, None, &[brief; 6]), expected);
}

#[test]
fn another_form_and_another_key_take_no_retry_out_of_the_budget() {
    let (targets, health) = (targets(1), Health::default());
    let mut strategy = InTurn::new(&targets, 9, &health);
    for failing in [Failing::Form, Failing::Key] {
        for _ in 0..5 {
            assert_eq!(strategy.next(failed(failing), at(None)), ask(0, 0));
        }
    }
    // The three retries that a budget starts with.
    for _ in 0..3 {
        assert!(matches!(strategy.next(failed(Failing::Briefly), at(None)), Step::Try { .. }));
    }
    assert_eq!(strategy.next(failed(Failing::Briefly), at(None)), Step::GiveUp);
}

#[test]
fn a_key_in_place_of_one_that_rests_is_used_within_the_budget_alone() {
    let (targets, health) = (targets(1), Health::default());
    let mut strategy = InTurn::new(&targets, 0, &health);
    for _ in 0..3 {
        assert_eq!(strategy.next(failed(Failing::RestingKey), at(None)), ask(0, 0));
    }
    assert_eq!(strategy.next(failed(Failing::RestingKey), at(None)), Step::GiveUp);
}

#[test]
fn the_last_target_is_waited_for_longer() {
    let wait = |seconds| failed(Failing::Throttled(Duration::from_secs(seconds)));
    assert_eq!(steps(1, None, &[wait(10)]), [ask(0, 0), ask(0, 10_000)]);
    assert_eq!(steps(1, None, &[wait(11)]), [ask(0, 0), Step::GiveUp]);
}

#[test]
fn no_wait_goes_beyond_the_callers_limit() {
    let brief = failed(Failing::Briefly);
    assert_eq!(steps(2, Some(millis(250)), &[brief]), [ask(0, 0), ask(1, 0)]);
    assert_eq!(steps(2, Some(millis(251)), &[brief]), [ask(0, 0), ask(0, 250)]);
    let malformed = Outcome::Malformed { may_improve: true };
    assert_eq!(steps(2, Some(Duration::ZERO), &[malformed]), [ask(0, 0), Step::Accept]);
}

#[test]
fn a_race_asks_one_second_target() {
    let mut race = Race::new(Some(millis(5)), Some(1));
    assert_eq!(race.first(), RaceStep::Wait { late: Some(millis(5)) });
    assert_eq!(race.next(RaceOutcome::Late), RaceStep::Beside { place: 1 });
    for outcome in [RaceOutcome::Asked, RaceOutcome::Late, RaceOutcome::Withheld] {
        assert_eq!(race.next(outcome), RaceStep::Wait { late: None }, "{outcome:?}");
    }
}

#[test]
fn an_answer_is_repaired_once() {
    let malformed = Outcome::Malformed { may_improve: true };
    for second in [malformed, Outcome::Answered, Outcome::Unsent, failed(Failing::Briefly), failed(Failing::Finally)] {
        assert_eq!(steps(2, None, &[malformed, second]), [ask(0, 0), Step::AskAgain, Step::Accept], "{second:?}");
    }
}

#[test]
fn the_last_answer_is_returned_where_none_is_accepted() {
    let refused = Outcome::NotAccepted;
    assert_eq!(steps(2, None, &[refused, refused]), [ask(0, 0), ask(1, 0), Step::Accept]);
    for last in [failed(Failing::Longer), failed(Failing::Finally), Outcome::Unsent, Outcome::Answered] {
        assert_eq!(steps(2, None, &[refused, last]), [ask(0, 0), ask(1, 0), Step::Accept], "{last:?}");
    }
    // The next is retried as ever.
    let brief = failed(Failing::Briefly);
    assert_eq!(steps(2, None, &[refused, brief]), [ask(0, 0), ask(1, 0), ask(1, 250)]);
    // Where there is no time for the next, there is an answer already.
    assert_eq!(steps(2, Some(Duration::ZERO), &[refused]), [ask(0, 0), Step::Accept]);
}
