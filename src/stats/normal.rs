//! The standard normal distribution.

use std::f64::consts::SQRT_2;

/// Beyond this many standard deviations a tail is below the smallest float.
const FARTHEST: f64 = 40.0;

/// The probability of more than `z`.
#[must_use]
pub fn survival(z: f64) -> f64 {
    0.5 * libm::erfc(z / SQRT_2)
}

/// The value that is exceeded with probability `1 - p`: 1.96 for `p` = 0.975. Infinite at 0 and 1, and not a number outside.
#[must_use]
pub fn quantile(p: f64) -> f64 {
    match p {
        _ if !(0.0..=1.0).contains(&p) => f64::NAN,
        0.0 => f64::NEG_INFINITY,
        1.0 => f64::INFINITY,
        _ if p < 0.5 => -exceeded_with(p),
        _ => exceeded_with(1.0 - p),
    }
}

/// The value that is exceeded with probability `tail`, at most 0.5, by halving: a tail only falls.
fn exceeded_with(tail: f64) -> f64 {
    let (mut low, mut high) = (0.0, FARTHEST);
    for _ in 0..70 {
        let middle = 0.5 * (low + high);
        if survival(middle) > tail {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quantiles_are_those_of_tables() {
        for (p, z) in [
            (0.5, 0.0),
            (0.8, 0.841_621_233_572_914),
            (0.975, 1.959_963_984_540_054),
            (0.999, 3.090_232_306_167_813),
            (1e-10, -6.361_340_902_404_056),
        ] {
            assert!((quantile(p) - z).abs() < 1e-12, "{p}: {}", quantile(p));
        }
        assert!(quantile(1.5).is_nan() && quantile(0.0).is_infinite());
    }

    proptest! {
        #[test]
        fn a_quantile_is_exceeded_as_often_as_it_says(p in 0.000_001f64..0.999_999) {
            prop_assert!((survival(quantile(p)) - (1.0 - p)).abs() < 1e-12);
        }
    }
}
