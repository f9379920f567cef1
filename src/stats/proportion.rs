//! Intervals of a proportion.

use super::normal::quantile;
use super::{Interval, real};

/// The interval of a proportion of which `hits` of `n` were seen, at `confidence` such as 0.95; from 0 to 1 where nothing was seen.
///
/// Wilson, *Probable inference, the law of succession, and statistical inference*, Journal of the American Statistical Association
/// 22 (1927): centre (p + z²/2n) / (1 + z²/n), half-width z / (1 + z²/n) · √(p(1 − p)/n + z²/4n²).
#[must_use]
pub fn wilson(hits: u64, n: u64, confidence: f64) -> Interval {
    if n == 0 {
        return Interval { low: 0.0, high: 1.0 };
    }
    let (n, p) = (real(n), real(hits.min(n)) / real(n));
    let z = quantile(0.5 + 0.5 * confidence);
    let shrink = 1.0 + z * z / n;
    let centre = (p + z * z / (2.0 * n)) / shrink;
    let half_width = z / shrink * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    Interval::around(centre, half_width).within(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn seventy_eight_of_a_hundred_is_from_68_9_to_85_0_per_cent() {
        let interval = wilson(78, 100, 0.95);
        let tenths = |share: f64| (share * 1_000.0).round() / 10.0;
        assert_eq!((tenths(interval.low), tenths(interval.high)), (68.9, 85.0));
        // statsmodels.stats.proportion.proportion_confint(78, 100, method="wilson")
        assert!(
            (interval.low - 0.689_296_5).abs() < 1e-6 && (interval.high - 0.849_987_2).abs() < 1e-6,
            "{interval:?}"
        );
        assert_eq!(wilson(0, 0, 0.95), Interval { low: 0.0, high: 1.0 });
    }

    proptest! {
        #[test]
        fn it_holds_the_proportion_and_narrows_with_samples(n in 1u64..100_000, share in 0.0f64..=1.0) {
            let hits = super::super::whole(real(n) * share).min(n);
            let (some, more) = (wilson(hits, n, 0.95), wilson(hits * 4, n * 4, 0.95));
            prop_assert!(some.holds(real(hits) / real(n)) && some.low >= 0.0 && some.high <= 1.0);
            prop_assert!(more.high - more.low < some.high - some.low);
        }
    }
}
