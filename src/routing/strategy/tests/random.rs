//! Strategies under outcomes at random: whatever happens, they end, and ask no more than they may.

use proptest::prelude::*;
use proptest::strategy::Strategy as _;

use super::*;
use crate::routing::strategy::{Lane, Race, RaceOutcome, RaceStep, Strategy};

/// The most steps of a call: each target has its retries, one other form, and as many other keys as the outcomes give.
const MOST_STEPS: usize = 200;

fn failings() -> impl proptest::strategy::Strategy<Value = Failing> {
    prop_oneof![
        Just(Failing::Form),
        Just(Failing::Key),
        (0u64..12_000).prop_map(|wait| Failing::Throttled(millis(wait))),
        Just(Failing::Briefly),
        Just(Failing::Longer),
        Just(Failing::Finally),
    ]
}

fn outcomes() -> impl proptest::strategy::Strategy<Value = Outcome> {
    prop_oneof![
        Just(Outcome::Unsent),
        failings().prop_map(Outcome::Failed),
        Just(Outcome::Answered),
        Just(Outcome::NotAccepted),
        any::<bool>().prop_map(|may_improve| Outcome::Malformed { may_improve }),
    ]
}

/// What a strategy did with these outcomes.
struct Run {
    tries: Vec<usize>,
    asked_again: usize,
    has_ended: bool,
    accepted: bool,
}

/// Carries out a strategy as a call does: after its end nothing is asked.
fn run(mut strategy: impl Strategy, outcomes: &[Outcome], left: Option<Duration>) -> Run {
    let mut run = Run { tries: Vec::new(), asked_again: 0, has_ended: false, accepted: false };
    let mut step = strategy.first();
    let mut next = outcomes.iter().copied();
    for _ in 0..MOST_STEPS {
        match step {
            Step::Try { place, .. } => run.tries.push(place),
            Step::AskAgain => run.asked_again += 1,
            Step::Accept | Step::GiveUp => {
                (run.has_ended, run.accepted) = (true, step == Step::Accept);
                break;
            }
        }
        // What comes behind the outcomes at random is a failure of no other form and no other key.
        step = strategy.next(next.next().unwrap_or(failed(Failing::Longer)), at(left));
    }
    run
}

fn has_answer(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Answered | Outcome::NotAccepted | Outcome::Malformed { .. })
}

proptest! {
    #[test]
    fn targets_are_asked_in_order_within_their_retries_and_the_call_ends(
        count in 0usize..5,
        most in 0u32..4,
        outcomes in prop::collection::vec(outcomes(), 0..60),
        left in prop::option::of((0u64..20_000).prop_map(millis)),
    ) {
        let (targets, health) = (targets(count), Health::default());
        let plain = run(InTurn::new(&targets, most, &health), &outcomes, left);
        prop_assert!(plain.has_ended && plain.asked_again == 0);
        for steps in plain.tries.windows(2) {
            prop_assert!(steps[1] == steps[0] || steps[1] == steps[0] + 1);
        }
        prop_assert!(plain.tries.iter().all(|place| *place < count));
        for place in 0..count {
            // Another form and another key are no retries.
            let asked = plain.tries.iter().zip(&outcomes).filter(|(asked, _)| **asked == place);
            let retried = asked.filter(|(_, outcome)| {
                matches!(outcome, Outcome::Failed(Failing::Briefly | Failing::Throttled(_)))
            });
            prop_assert!(retried.count() <= most as usize + 1);
        }
    }

    #[test]
    fn an_answer_is_repaired_once_at_most_and_a_cascade_that_has_one_never_gives_up(
        count in 0usize..5,
        outcomes in prop::collection::vec(outcomes(), 0..60),
        left in prop::option::of((0u64..20_000).prop_map(millis)),
    ) {
        let (targets, health) = (targets(count), Health::default());
        let all = run(Repaired::new(Cascading::new(InTurn::new(&targets, 2, &health))), &outcomes, left);
        prop_assert!(all.has_ended && all.asked_again <= 1);
        let used = &outcomes[..outcomes.len().min(all.tries.len() + all.asked_again)];
        prop_assert_eq!(all.accepted, used.iter().any(has_answer));
        // Where an answer was accepted, nothing more is asked.
        if let Some(answered) = used.iter().position(|outcome| *outcome == Outcome::Answered) {
            prop_assert_eq!(answered + 1, used.len());
        }
    }

    #[test]
    fn a_race_asks_two_targets_at_most_each_once_and_ends_with_the_first_answer(
        patience in prop::option::of((0u64..1_000).prop_map(millis)),
        second in prop::option::of(1usize..4),
        may_ask: bool,
        script in prop::collection::vec((any::<bool>(), outcomes()), 0..8),
    ) {
        let mut race = Race::new(patience, second);
        let mut step = race.first();
        let (mut open, mut asked, mut answered) = (vec![Lane::First], vec![0], None);
        let mut script = script.into_iter();
        let mut is_over = false;
        for _ in 0..20 {
            let outcome = match step {
                RaceStep::Over(lane) => {
                    is_over = true;
                    prop_assert_eq!(lane, answered.unwrap_or(Lane::First));
                    prop_assert!(answered.is_some() || open.is_empty(), "one may still answer");
                    break;
                }
                RaceStep::Beside { place } => {
                    prop_assert!(!asked.contains(&place) && open == [Lane::First] && answered.is_none());
                    if may_ask {
                        asked.push(place);
                        open.push(Lane::Second);
                        RaceOutcome::Asked
                    } else {
                        RaceOutcome::Withheld
                    }
                }
                RaceStep::Wait { late } => {
                    let (is_late, outcome) = script.next().unwrap_or((false, Outcome::Unsent));
                    if is_late && late.is_some() {
                        RaceOutcome::Late
                    } else {
                        prop_assert!(!open.is_empty(), "nothing can come any more");
                        let lane = open.remove(usize::from(is_late) % open.len());
                        if has_answer(&outcome) {
                            answered = Some(lane);
                        }
                        RaceOutcome::Ended(lane, outcome)
                    }
                }
            };
            step = race.next(outcome);
        }
        prop_assert!(is_over && asked.len() <= 2);
        prop_assert!(asked.len() == 1 || (patience.is_some() && second == Some(asked[1])));
    }
}
