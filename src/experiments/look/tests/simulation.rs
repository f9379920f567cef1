//! How often a look after every sample errs, and how soon it sees what is there. Seeds are fixed.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;

use super::*;

/// Adds a unit to each arm in turn, and looks after each, until the experiment is decided or `most` units are in each arm.
fn run(spec: &Spec, rates: (f64, f64), most: u64, seed: u64) -> Verdict {
    let mut chance = StdRng::seed_from_u64(seed);
    let mut tallies = [Tally::default(), Tally::default()];
    for each in 1..=most {
        for (tally, rate) in tallies.iter_mut().zip([rates.0, rates.1]) {
            tally.units += 1;
            tally.goal.is_bounded = true;
            tally.goal.sums.add(if chance.random_bool(rate) { 1.0 } else { 0.0 });
        }
        if each >= spec.min_samples {
            let verdict = spec.look(&tallies, DAY).verdict;
            if verdict != Verdict::Wait {
                return verdict;
            }
        }
    }
    Verdict::Wait
}

/// The share of `runs` whose end is as `is` says.
fn share(spec: &Spec, (rates, most): ((f64, f64), u64), runs: u64, is: impl Fn(&Verdict) -> bool) -> f64 {
    let ended = (0..runs).filter(|seed| is(&run(spec, rates, most, *seed))).count();
    real(u64::try_from(ended).unwrap()) / real(runs)
}

fn is_won(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Won(..))
}

fn is_harmed(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Harmed(..))
}

#[test]
fn equal_arms_hardly_ever_have_a_winner() {
    let spec = spec(&json!({}));
    let decided = share(&spec, ((0.8, 0.8), 400), 200, |verdict| *verdict != Verdict::Wait);
    assert!(decided <= 0.05, "{decided}");
}

/// The long form: `scripts/simulate`.
#[test]
#[ignore = "two minutes of a processor in a debug build; scripts/simulate runs it optimised"]
fn of_2000_runs_of_equal_arms_at_most_one_in_twenty_has_a_winner() {
    for rate in [0.5, 0.8, 0.95] {
        let spec = spec(&json!({}));
        let ends: Vec<Verdict> = (0..2_000).map(|seed| run(&spec, (rate, rate), 2_000, seed)).collect();
        let of_all = |count: usize| real(u64::try_from(count).unwrap()) / 2_000.0;
        let won = of_all(ends.iter().filter(|end| is_won(end)).count());
        let decided = of_all(ends.iter().filter(|end| **end != Verdict::Wait).count());
        println!("A/A at {rate}: {won} false winners, {decided} decided at all");
        assert!(won <= 0.05 && decided <= 0.05, "{rate}: {won} {decided}");
    }
}

#[test]
fn a_harmful_arm_is_stopped_before_500_units_of_it() {
    let spec = spec(&json!({}));
    let stopped = share(&spec, ((0.9, 0.8), 499), 100, is_harmed);
    assert!(stopped >= 0.9, "{stopped}");
}

/// The long form: `scripts/simulate`.
#[test]
#[ignore = "a long form; scripts/simulate runs it optimised"]
fn harm_of_ten_points_is_stopped_before_500_units_in_nine_runs_of_ten() {
    let spec = spec(&json!({}));
    for rate in [0.95, 0.9, 0.85, 0.8, 0.7] {
        let stopped = share(&spec, ((rate, rate - 0.1), 499), 2_000, is_harmed);
        println!("{rate} to {}: {stopped} stopped before 500 units of each arm", rate - 0.1);
        assert!(rate < 0.9 || stopped >= 0.9, "{rate}: {stopped}");
    }
}

/// The long form: `scripts/simulate`.
#[test]
#[ignore = "a long form; scripts/simulate runs it optimised"]
fn what_is_foretold_of_power_comes_true() {
    for (from, to) in [(0.78, 0.95), (0.8, 0.9), (0.5, 0.6), (0.9, 0.92)] {
        // A single look at the size of the formula, by the test of that formula.
        let size = two_arms_size(from, to, (0.05, 0.8)).unwrap();
        let seen = (0..2_000).filter(|seed| is_seen_at_once((from, to), size, *seed)).count();
        let seen = real(u64::try_from(seen).unwrap()) / 2_000.0;
        // Looks at any time, as far as the size that is foretold for them: more looks can only see more.
        let spec = spec(&json!({"min_samples": size}));
        let foretold =
            sequential_size(&spec.sequence(0.05), to - from, (from * (1.0 - from), to * (1.0 - to)), 0.8).unwrap();
        let runs = if foretold > 2_000 { 200 } else { 1_000 };
        let at_the_end = share_at(&spec, (from, to), foretold, runs);
        println!("{from} to {to}: n {size}, seen {seen}; at any look n {foretold}, seen at its end {at_the_end}");
        assert!((seen / 0.8 - 1.0).abs() <= 0.15, "{seen}");
        assert!((at_the_end / 0.8 - 1.0).abs() <= 0.15, "{at_the_end}");
    }
}

/// Whether a single test of two proportions with `size` in each sees the difference, at α = 0.05.
fn is_seen_at_once((from, to): (f64, f64), size: u64, seed: u64) -> bool {
    let mut chance = StdRng::seed_from_u64(seed);
    let mut hits = |rate: f64| real((0..size).map(|_| u64::from(chance.random_bool(rate))).sum::<u64>()) / real(size);
    let (a, b) = (hits(from), hits(to));
    let spread = (a * (1.0 - a) + b * (1.0 - b)) / real(size);
    (b - a).abs() > 1.959_964 * spread.sqrt()
}

/// The share of runs whose sequence leaves out no difference in one look, at `size` units in each arm.
fn share_at(spec: &Spec, rates: (f64, f64), size: u64, runs: u64) -> f64 {
    let seen = (0..runs).filter(|seed| {
        let mut chance = StdRng::seed_from_u64(*seed);
        let mut arm = |rate: f64| tally((0..size).map(|_| u64::from(chance.random_bool(rate))).sum(), size);
        let tallies = [arm(rates.0), arm(rates.1)];
        matches!(verdict(spec, &tallies), Verdict::Won(..))
    });
    real(u64::try_from(seen.count()).unwrap()) / real(runs)
}
