//! The chi-squared distribution, and the test of whether arms have the shares they should.

use std::f64::consts::FRAC_1_SQRT_2;

use super::real;

/// The probability that a chi-squared variable of `degrees` of freedom exceeds `x`. 1 where there are no degrees.
///
/// Abramowitz and Stegun, *Handbook of Mathematical Functions*, 26.4.4 for odd degrees and 26.4.5 for even ones: finite sums, whose
/// terms are worked out as logarithms so that none is lost.
#[must_use]
pub fn survival(x: f64, degrees: u32) -> f64 {
    if degrees == 0 || x <= 0.0 {
        return 1.0;
    }
    let half = 0.5 * x;
    let is_odd = degrees % 2 == 1;
    let (first, tail) = if is_odd { (0.5, libm::erfc(x.sqrt() * FRAC_1_SQRT_2)) } else { (0.0, 0.0) };
    let term = |n: u32| {
        let power = f64::from(n) + first;
        (power * half.ln() - half - libm::lgamma(power + 1.0)).exp()
    };
    (tail + (0..degrees / 2).map(term).sum::<f64>()).min(1.0)
}

/// The probability of counts at least as far from `shares` as these, if units fall into arms by `shares`: Pearson's test of
/// sample-ratio mismatch. 1 where nothing was counted, or a share is not positive.
#[must_use]
pub fn sample_ratio(counts: &[u64], shares: &[f64]) -> f64 {
    let (total, whole) = (real(counts.iter().sum()), shares.iter().sum::<f64>());
    if total == 0.0 || counts.len() != shares.len() || shares.iter().any(|share| share.is_nan() || *share <= 0.0) {
        return 1.0;
    }
    let off = |(count, share): (&u64, &f64)| {
        let expected = total * share / whole;
        (real(*count) - expected).powi(2) / expected
    };
    let statistic = counts.iter().zip(shares).map(off).sum();
    survival(statistic, u32::try_from(counts.len().saturating_sub(1)).unwrap_or(u32::MAX))
}

/// The evidence that units do not fall into arms by `shares`; 1/p says at any look what a p-value says at one.
///
/// The likelihood of the counts where the true shares are drawn from a Dirichlet distribution about `shares`, over that of `shares`:
/// Lindon and Malek, *Anytime-valid inference for multinomial count data*, NeurIPS 35 (2022). Of two equal arms it is the paired
/// e-value. 1 where a share is not positive.
#[must_use]
pub fn ratio_e_value(counts: &[u64], shares: &[f64]) -> f64 {
    let whole = shares.iter().sum::<f64>();
    if counts.len() != shares.len() || shares.iter().any(|share| share.is_nan() || *share <= 0.0) {
        return 1.0;
    }
    let weight = 0.5 * real(u64::try_from(shares.len()).unwrap_or(u64::MAX));
    let total = real(counts.iter().sum());
    let term = |(count, share): (&u64, &f64)| {
        let (count, share) = (real(*count), share / whole);
        libm::lgamma(weight * share + count) - libm::lgamma(weight * share) - count * share.ln()
    };
    let ln: f64 = counts.iter().zip(shares).map(term).sum();
    (ln + libm::lgamma(weight) - libm::lgamma(weight + total)).exp().min(f64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tails_are_those_of_tables() {
        for (x, degrees, p) in [
            (3.841_458_820_694_124, 1, 0.05),
            (5.991_464_547_107_979, 2, 0.05),
            (11.344_866_730_144_37, 3, 0.01),
            (18.307_038_053_275_15, 10, 0.05),
        ] {
            assert!((survival(x, degrees) - p).abs() < 1e-12, "{x} of {degrees}: {}", survival(x, degrees));
        }
        assert!((survival(0.0, 3), survival(1.0, 0)) == (1.0, 1.0));
    }

    #[test]
    fn a_ratio_is_judged_at_any_look() {
        // Of two equal arms it is the paired e-value: 14 to 2 gives 30.6.
        assert!((ratio_e_value(&[14, 2], &[1.0, 1.0]) - crate::stats::paired_e_value(14, 2)).abs() < 1e-9);
        assert!(ratio_e_value(&[900, 100], &[90.0, 10.0]) < 1.0 && ratio_e_value(&[900, 200], &[90.0, 10.0]) > 1e6);
        assert!((ratio_e_value(&[0, 0, 0], &[0.2, 0.3, 0.5]) - 1.0).abs() < 1e-9);
        assert!((ratio_e_value(&[1, 2], &[1.0, 0.0]), ratio_e_value(&[1], &[0.5, 0.5])) == (1.0, 1.0));
    }

    #[test]
    fn a_share_that_is_off_is_seen() {
        assert!((sample_ratio(&[500, 500], &[0.5, 0.5]) - 1.0).abs() < 1e-12);
        // (550 - 500)² / 500 twice is 10, whose tail with one degree is 0.001565.
        assert!((sample_ratio(&[550, 450], &[1.0, 1.0]) - 0.001_565_4).abs() < 1e-7);
        assert!(sample_ratio(&[900, 100], &[0.9, 0.1]) > 0.99);
        assert!(sample_ratio(&[900, 130], &[0.9, 0.1]) < 0.01);
        assert!((sample_ratio(&[0, 0], &[0.5, 0.5]), sample_ratio(&[5, 5], &[1.0, 0.0])) == (1.0, 1.0));
    }

    proptest! {
        #[test]
        fn the_next_unit_changes_the_evidence_by_nothing_on_average(
            counts in prop::collection::vec(0u64..60, 3),
            shares in prop::collection::vec(0.05f64..1.0, 3),
        ) {
            let now = ratio_e_value(&counts, &shares);
            let whole: f64 = shares.iter().sum();
            let next = |arm: usize| {
                let mut counts = counts.clone();
                counts[arm] += 1;
                shares[arm] / whole * ratio_e_value(&counts, &shares)
            };
            prop_assert!(((0..3).map(next).sum::<f64>() / now - 1.0).abs() < 1e-6);
        }

        #[test]
        fn a_tail_falls_and_more_degrees_have_more_of_it(x in 0.0f64..200.0, more in 0.01f64..10.0, degrees in 1u32..40) {
            let tail = survival(x, degrees);
            prop_assert!((0.0..=1.0).contains(&tail) && survival(x + more, degrees) <= tail);
            prop_assert!(survival(x, degrees + 1) >= tail - 1e-12);
        }
    }
}
