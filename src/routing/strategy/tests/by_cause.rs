//! Targets for causes: by tables, and over whatever outcomes come.

use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};

use super::*;
use crate::routing::causes::{Cause, Causes};
use crate::routing::strategy::ByCause;

/// The targets with these numbers.
fn some(numbers: &[usize]) -> Vec<Arc<Target>> {
    let all = targets(10);
    numbers.iter().map(|n| all[*n].clone()).collect()
}

/// The targets that are asked, by their numbers, and the last step, after these outcomes.
fn asked(plan: &[usize], causes: &Causes, most: u32, outcomes: &[Outcome]) -> (Vec<usize>, Step) {
    let (targets, health) = (some(plan), Health::default());
    let in_turn = InTurn::new(&targets, most, &health);
    let mut strategy = Repaired::new(ByCause::new(in_turn, &targets, Some(causes), (most, &health)));
    let (mut asked, mut step) = (Vec::new(), strategy.first());
    let mut outcomes = outcomes.iter();
    loop {
        if let Step::Try { place, .. } = step {
            let target = targets.get(place).or_else(|| causes.all().nth(place - targets.len())).unwrap();
            asked.push(target.provider[1..].parse().unwrap());
        }
        let Some(outcome) = outcomes.next().filter(|_| matches!(step, Step::Try { .. } | Step::AskAgain)) else {
            return (asked, step);
        };
        step = strategy.next(*outcome, at(None));
    }
}

const LONG: Outcome = Outcome::Failed(Failing::For(Cause::ContextLength));
const REFUSED: Outcome = Outcome::Failed(Failing::For(Cause::ContentFilter));
const LONGER: Outcome = Outcome::Failed(Failing::Longer);

#[test]
fn targets_for_a_cause_come_before_the_others_and_each_has_one_turn() {
    let causes = Causes::new(some(&[5, 6]), some(&[7]));
    let of = |outcomes: &[Outcome]| asked(&[0, 1], &causes, 0, outcomes);
    assert_eq!(of(&[LONGER, Outcome::Answered]), (vec![0, 1], Step::Accept));
    assert_eq!(of(&[LONG, Outcome::Answered]), (vec![0, 5], Step::Accept));
    assert_eq!(of(&[LONG, LONG, LONGER, LONGER]), (vec![0, 5, 6, 1], Step::GiveUp));
    assert_eq!(of(&[LONG, REFUSED, Outcome::Answered]), (vec![0, 5, 7], Step::Accept));
    assert_eq!(of(&[Outcome::Filtered, Outcome::Unsent, LONGER]), (vec![0, 7, 1], Step::GiveUp));
    // One that has had its turn is passed over, whichever list it is on.
    let causes = Causes::new(some(&[0, 1]), Vec::new());
    assert_eq!(asked(&[0, 1, 2], &causes, 0, &[LONG, LONG, LONGER]), (vec![0, 1, 2], Step::GiveUp));
    assert_eq!(asked(&[0], &causes, 0, &[REFUSED]), (vec![0], Step::GiveUp), "no target for that");
    assert_eq!(asked(&[0], &causes, 0, &[Outcome::Filtered]), (vec![0], Step::Accept));
    let finally = Outcome::Failed(Failing::Finally);
    assert_eq!(asked(&[0, 2], &causes, 0, &[LONG, finally]), (vec![0, 1], Step::GiveUp));
}

#[test]
fn targets_for_a_cause_have_retries_of_their_own() {
    let causes = Causes::new(some(&[5]), Vec::new());
    let brief = Outcome::Failed(Failing::Briefly);
    assert_eq!(asked(&[0, 1], &causes, 1, &[LONG, brief, brief, LONGER]), (vec![0, 5, 5, 1], Step::GiveUp));
}

fn outcomes() -> impl proptest::strategy::Strategy<Value = Vec<Outcome>> {
    let briefly = Outcome::Failed(Failing::Briefly);
    let waits = Outcome::Failed(Failing::Throttled(Duration::from_millis(5)));
    let all = vec![LONG, REFUSED, LONGER, briefly, waits, Outcome::Unsent, Outcome::Filtered];
    prop::collection::vec(prop::sample::select(all), 200)
}

proptest! {
    #[test]
    fn no_target_has_two_turns_and_the_call_ends(
        plan in prop::sample::subsequence((0..6usize).collect::<Vec<_>>(), 1..5),
        long in prop::collection::vec(0..8usize, 0..4),
        filtered in prop::collection::vec(0..8usize, 0..4),
        most in 0..3u32,
        outcomes in outcomes(),
    ) {
        let causes = Causes::new(some(&long), some(&filtered));
        let (mut asked, last) = asked(&plan, &causes, most, &outcomes);
        // Seven targets at most, with two retries each: 200 outcomes are more than any call has.
        prop_assert!(matches!(last, Step::GiveUp | Step::Accept), "{last:?}");
        asked.dedup();
        let mut once = asked.clone();
        once.sort_unstable();
        once.dedup();
        prop_assert_eq!(once.len(), asked.len(), "{:?}", asked);
    }
}
