//! Confidence sequences: intervals that hold at all looks together.

use super::{Interval, Sums, real};

/// An average, or the difference of two, as it stands now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// What it is.
    pub value: f64,
    /// Of how many samples, of both arms where it is a difference.
    pub n: f64,
    /// The variance of one sample: that of `value` is `variance / n`.
    pub variance: f64,
}

impl Estimate {
    /// The mean of one arm, whose samples vary by `variance`.
    #[must_use]
    pub fn mean(sums: &Sums, variance: f64) -> Self {
        Self { value: sums.mean, n: real(sums.n), variance }
    }

    /// `of` minus `ratio` times `from`, two arms that got their samples by chance; nothing is known where one has none.
    ///
    /// The variance is that of the average of the samples of both, each weighed by the chance of its arm: with a share π of the
    /// samples in an arm, var/π (section 3 of the paper that [`Sequence`] names).
    #[must_use]
    pub fn difference(of: Self, from: Self, ratio: f64) -> Self {
        let n = of.n + from.n;
        let spread = of.variance / of.n + ratio * ratio * from.variance / from.n;
        Self {
            value: of.value - ratio * from.value,
            n,
            variance: if spread.is_nan() { f64::INFINITY } else { n * spread },
        }
    }
}

/// An asymptotic confidence sequence, narrowest about a chosen number of samples.
///
/// Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, *Time-uniform central limit theory and asymptotic confidence sequences*, Annals
/// of Statistics 52 (2024), with variance v: the half-width after n samples is √((nvρ² + 1)/(n²ρ²) · ln((nvρ² + 1)/α²)). The ρ that
/// makes it narrowest at n is the one of its section 2, √((−2 ln α + ln(1 − 2 ln α)) / (nv)); v is taken as it is known at a look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sequence {
    alpha: f64,
    /// ρ² of samples with variance 1.
    squared: f64,
}

impl Sequence {
    /// That errs with probability `alpha` at most, in all looks from about `samples` on, where it is narrowest.
    #[must_use]
    pub fn narrowest_at(samples: f64, alpha: f64) -> Self {
        let twice = -2.0 * alpha.ln();
        Self { alpha, squared: (twice + (1.0 + twice).ln()) / samples.max(1.0) }
    }

    /// The half-width of the interval, in the unit of the samples; infinite where there are none.
    #[must_use]
    pub fn half_width(&self, n: f64, variance: f64) -> f64 {
        if n <= 0.0 || !variance.is_finite() {
            return f64::INFINITY;
        }
        if variance <= 0.0 {
            return 0.0;
        }
        half_width(n, variance, self.squared / variance, self.alpha)
    }

    /// The interval about an estimate.
    #[must_use]
    pub fn interval(&self, estimate: &Estimate) -> Interval {
        Interval::around(estimate.value, self.half_width(estimate.n, estimate.variance))
    }

    /// The evidence that the quantity is not `null`: 1/α or more exactly where the interval leaves `null` out.
    ///
    /// The sequence is the set of values whose mixture martingale is below 1/α; this is that martingale:
    /// exp(½ · n²d²ρ² / (v · (nρ² + 1))) / √(nρ² + 1), with d the distance from `null` and ρ that of variance 1.
    #[must_use]
    pub fn e_value(&self, estimate: &Estimate, null: f64) -> f64 {
        let Estimate { value, n, variance } = *estimate;
        let off = value - null;
        if n <= 0.0 || !variance.is_finite() || off == 0.0 && variance <= 0.0 {
            return 1.0;
        }
        if variance <= 0.0 {
            return f64::MAX;
        }
        let spread = n * self.squared + 1.0;
        let ln = 0.5 * (n * off).powi(2) * self.squared / (variance * spread) - 0.5 * spread.ln();
        ln.exp().min(f64::MAX)
    }
}

/// √((nvρ² + 1)/(n²ρ²) · ln((nvρ² + 1)/α²)).
fn half_width(n: f64, variance: f64, squared: f64, alpha: f64) -> f64 {
    let spread = n * variance * squared + 1.0;
    (spread / (n * n * squared) * (spread / (alpha * alpha)).ln()).sqrt()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_half_width_is_that_of_the_paper() {
        // By hand: nvρ² + 1 = 100 · 0.25 · 0.04 + 1 = 2; 2/(100² · 0.04) · ln(2/0.0025) = 0.005 · 6.6846 = 0.033423.
        assert!((half_width(100.0, 0.25, 0.04, 0.05) - 0.033_423_058_6_f64.sqrt()).abs() < 1e-8);
    }

    #[test]
    fn it_is_narrowest_where_it_was_asked_to_be() {
        let at = |samples: f64| Sequence::narrowest_at(samples, 0.05).half_width(100.0, 0.25);
        for other in [10.0, 50.0, 80.0, 125.0, 200.0, 1_000.0] {
            assert!(at(100.0) < at(other), "{other}");
        }
        // About three standard errors, against 1.96 of a single look.
        assert!((at(100.0) / 0.05 - 3.03).abs() < 0.01, "{}", at(100.0) / 0.05);
    }

    #[test]
    fn of_what_has_no_samples_nothing_is_known() {
        let sequence = Sequence::narrowest_at(100.0, 0.05);
        let none = Estimate::mean(&Sums::default(), 0.25);
        let some = Estimate { value: 0.9, n: 100.0, variance: 0.09 };
        let difference = Estimate::difference(some, none, 1.0);
        assert!(sequence.interval(&difference).high.is_infinite() && sequence.interval(&none).low.is_infinite());
        assert!((sequence.e_value(&difference, 0.0), sequence.e_value(&none, 1.0)) == (1.0, 1.0));
        let certain = Estimate { value: 1.0, n: 10.0, variance: 0.0 };
        assert!((sequence.e_value(&certain, 1.0), sequence.e_value(&certain, 2.0)) == (1.0, f64::MAX));
    }

    #[test]
    fn a_difference_of_uneven_arms_has_the_variance_of_both() {
        let (of, from) =
            (Estimate { value: 3.0, n: 10.0, variance: 2.0 }, Estimate { value: 1.0, n: 90.0, variance: 4.0 });
        let difference = Estimate::difference(of, from, 1.5);
        assert!((difference.value - 1.5).abs() < 1e-12 && (difference.n - 100.0).abs() < 1e-12);
        assert!((difference.variance / difference.n - (0.2 + 2.25 * 4.0 / 90.0)).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn evidence_reaches_its_bound_where_the_interval_leaves_the_value_out(
            value in -1.0f64..1.0, n in 1.0f64..10_000.0, variance in 0.001f64..4.0, alpha in 0.001f64..0.3,
        ) {
            let sequence = Sequence::narrowest_at(200.0, alpha);
            let estimate = Estimate { value, n, variance };
            let is_out = !sequence.interval(&estimate).holds(0.0);
            let e = sequence.e_value(&estimate, 0.0);
            prop_assert!((e * alpha - 1.0).abs() < 1e-6 || is_out == (e >= 1.0 / alpha), "{e}");
        }

        #[test]
        fn the_unit_of_the_samples_does_not_matter(n in 1.0f64..10_000.0, variance in 0.001f64..4.0, scale in 0.001f64..1_000.0) {
            let sequence = Sequence::narrowest_at(200.0, 0.05);
            let ratio = sequence.half_width(n, variance * scale * scale) / sequence.half_width(n, variance);
            prop_assert!((ratio / scale - 1.0).abs() < 1e-9);
        }
    }
}
