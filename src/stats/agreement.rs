//! How far a judge can be trusted, and what a rate that an imperfect judge reports is in truth.

use super::normal::quantile;
use super::{Interval, real};

/// Agreement beyond chance of two judges, of whom `counts[a][b]` items got label `a` from one and `b` from the other: 1 is always, 0 is
/// no more than by chance. `None` where there are no items, or both always say the same.
///
/// Cohen, *A coefficient of agreement for nominal scales*, Educational and Psychological Measurement 20 (1960): (pₒ − pₑ)/(1 − pₑ).
#[must_use]
pub fn kappa(counts: &[Vec<u64>]) -> Option<f64> {
    let at = |a: usize, b: usize| real(counts.get(a).and_then(|row| row.get(b)).copied().unwrap_or(0));
    let labels = counts.iter().map(Vec::len).max().unwrap_or(0).max(counts.len());
    let total: f64 = counts.iter().flatten().map(|count| real(*count)).sum();
    let same: f64 = (0..labels).map(|label| at(label, label)).sum();
    let side = |label: usize| (0..labels).map(|other| at(label, other)).sum::<f64>();
    let across = |label: usize| (0..labels).map(|other| at(other, label)).sum::<f64>();
    let by_chance: f64 = (0..labels).map(|label| side(label) * across(label)).sum::<f64>() / (total * total);
    (by_chance < 1.0).then(|| (same / total - by_chance) / (1.0 - by_chance))
}

/// What is known of a judge from items of which the truth is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judge {
    /// The share of true items that it calls true.
    pub sensitivity: f64,
    /// Of how many true items that is known.
    pub trues: u64,
    /// The share of false items that it calls false.
    pub specificity: f64,
    /// Of how many false items that is known.
    pub falses: u64,
}

/// The true rate where `judge` calls a share `observed` of `n` items true, and its interval at `confidence`; both from 0 to 1. `None`
/// where the judge is no better than chance, or was not tried on both.
///
/// Rogan and Gladen, *Estimating prevalence from the results of a screening test*, American Journal of Epidemiology 107 (1978):
/// (observed + sp − 1)/(se + sp − 1), with the variance by the delta method of the same paper.
#[must_use]
pub fn corrected(observed: f64, n: u64, judge: &Judge, confidence: f64) -> Option<(f64, Interval)> {
    let Judge { sensitivity, trues, specificity, falses } = *judge;
    let gain = sensitivity + specificity - 1.0;
    let is_better_than_chance = gain > 0.0;
    if !is_better_than_chance || n == 0 || trues == 0 || falses == 0 {
        return None;
    }
    let rate = ((observed + specificity - 1.0) / gain).clamp(0.0, 1.0);
    let spread = |share: f64, n: u64| share * (1.0 - share) / real(n);
    let variance = spread(observed, n)
        + rate * rate * spread(sensitivity, trues)
        + (1.0 - rate).powi(2) * spread(specificity, falses);
    let half_width = quantile(0.5 + 0.5 * confidence) * variance.sqrt() / gain;
    Some((rate, Interval::around(rate, half_width).within(0.0, 1.0)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn agreement_is_counted_beyond_chance() {
        // 35 of 50 agree, 0.5 by chance: (0.7 - 0.5)/(1 - 0.5).
        assert!((kappa(&[vec![20, 5], vec![10, 15]]).unwrap() - 0.4).abs() < 1e-12);
        // 60 of 100 agree, 0.54 by chance where the judges' shares differ.
        assert!((kappa(&[vec![45, 15], vec![25, 15]]).unwrap() - 0.06 / 0.46).abs() < 1e-12);
        assert!((kappa(&[vec![5, 0], vec![0, 5]]).unwrap() - 1.0).abs() < 1e-12);
        assert!((kappa(&[vec![5, 5], vec![5, 5]]).unwrap()).abs() < 1e-12);
        assert_eq!([kappa(&[]), kappa(&[vec![0, 0], vec![0, 0]]), kappa(&[vec![9, 0], vec![0, 0]])], [None; 3]);
    }

    #[test]
    fn a_judge_is_corrected_by_what_it_misses() {
        let judge = Judge { sensitivity: 0.9, trues: 200, specificity: 0.8, falses: 200 };
        let (rate, interval) = corrected(0.55, 1_000, &judge, 0.95).unwrap();
        // (0.55 + 0.8 - 1)/(0.9 + 0.8 - 1) = 0.5
        assert!((rate - 0.5).abs() < 1e-12 && interval.low > 0.43 && interval.high < 0.57, "{interval:?}");
        assert_eq!(corrected(0.55, 1_000, &Judge { sensitivity: 0.2, ..judge }, 0.95), None);
        assert_eq!(corrected(0.55, 1_000, &Judge { falses: 0, ..judge }, 0.95), None);
        assert_eq!(corrected(0.1, 1_000, &judge, 0.95).unwrap().0, 0.0);
    }

    proptest! {
        #[test]
        fn a_perfect_judge_is_believed(observed in 0.0f64..=1.0, n in 1u64..10_000) {
            let judge = Judge { sensitivity: 1.0, trues: 10, specificity: 1.0, falses: 10 };
            let (rate, interval) = corrected(observed, n, &judge, 0.95).unwrap();
            prop_assert!((rate - observed).abs() < 1e-12 && interval.holds(rate));
        }
    }
}
