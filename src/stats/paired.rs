//! Two answers to the same question, of which one is better: wins, losses, and ties that say nothing.

use std::f64::consts::LN_2;

use super::real;

/// The evidence of `wins` against `losses` that neither side is as likely to win as the other; act at 1/α or more, at any look.
///
/// The likelihood of the outcomes where the chance of a win is drawn from Beta(½, ½), over that where it is ½:
/// 2^(w+l) · B(½ + w, ½ + l) / B(½, ½). Such a ratio is a martingale where the chance is ½, so by Ville's inequality it ever
/// reaches 1/α with at most probability α (Robbins, *Statistical methods related to the law of the iterated logarithm*, Annals of
/// Mathematical Statistics 41, 1970).
#[must_use]
pub fn e_value(wins: u64, losses: u64) -> f64 {
    let (wins, losses) = (real(wins), real(losses));
    let ln = (wins + losses) * LN_2 + ln_beta(0.5 + wins, 0.5 + losses) - ln_beta(0.5, 0.5);
    ln.exp()
}

fn ln_beta(a: f64, b: f64) -> f64 {
    libm::lgamma(a) + libm::lgamma(b) - libm::lgamma(a + b)
}

/// The probability of an outcome at least this uneven, to either side, where a win is as likely as a loss: the exact test of
/// McNemar, *Note on the sampling error of the difference between correlated proportions*, Psychometrika 12 (1947). For one look.
#[must_use]
pub fn mcnemar(wins: u64, losses: u64) -> f64 {
    let n = wins + losses;
    let mut at_least = wins.max(losses);
    if at_least == wins.min(losses) {
        return 1.0;
    }
    let choose =
        libm::lgamma(real(n) + 1.0) - libm::lgamma(real(at_least) + 1.0) - libm::lgamma(real(n - at_least) + 1.0);
    let mut term = (choose - real(n) * LN_2).exp();
    let mut tail = 0.0;
    while term > tail * f64::EPSILON && at_least <= n {
        tail += term;
        term *= real(n - at_least) / (real(at_least) + 1.0);
        at_least += 1;
    }
    (2.0 * tail).min(1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fourteen_to_two_is_enough_and_fifteen_to_five_is_not() {
        for ((wins, losses), e) in [((14, 2), 30.6), ((15, 5), 2.4), ((30, 10), 23.4), ((0, 0), 1.0)] {
            let tenths = (e_value(wins, losses) * 10.0).round() / 10.0;
            assert!((tenths - e).abs() < 1e-9, "{wins} to {losses}: {tenths}");
        }
    }

    #[test]
    fn an_exact_p_is_that_of_the_binomial_distribution() {
        // 2 · (120 + 16 + 1)/2^16, and scipy.stats.binomtest(15, 20).pvalue.
        for ((wins, losses), p) in
            [((14, 2), 0.004_180_908_203_125), ((15, 5), 0.041_389_465_332_031), ((1, 0), 1.0), ((7, 7), 1.0)]
        {
            assert!((mcnemar(wins, losses) - p).abs() < 1e-9, "{wins} to {losses}: {}", mcnemar(wins, losses));
        }
        assert!((mcnemar(0, 0), mcnemar(500_000, 500_000)) == (1.0, 1.0));
        assert!(mcnemar(501_000, 499_000) < 0.05 && mcnemar(500_900, 499_100) > 0.05);
    }

    proptest! {
        #[test]
        fn it_says_nothing_before_it_is_asked_and_the_sides_are_equal(wins in 0u64..200, losses in 0u64..200) {
            let e = e_value(wins, losses);
            prop_assert!((e / e_value(losses, wins) - 1.0).abs() < 1e-9);
            // A martingale: the mean over the next outcome is what it is now.
            let next = 0.5 * (e_value(wins + 1, losses) + e_value(wins, losses + 1));
            prop_assert!((next / e - 1.0).abs() < 1e-9);
            let p = mcnemar(wins, losses);
            prop_assert!(p > 0.0 && p <= 1.0 && (p - mcnemar(losses, wins)).abs() < 1e-12);
        }
    }
}
