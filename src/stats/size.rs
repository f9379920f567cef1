//! How many samples a comparison needs.

use super::normal::quantile;
use super::{Sequence, whole};

/// Samples of each arm for a single look that sees `to` instead of `from`, two proportions, with probability `power`:
/// (z(1 − α/2) + z(power))² · (p₁q₁ + p₂q₂) / d² (Fleiss, *Statistical Methods for Rates and Proportions*, without the correction
/// for continuity). `None` where they are equal or no proportions.
#[must_use]
pub fn two_arms(from: f64, to: f64, (alpha, power): (f64, f64)) -> Option<u64> {
    let is_share = |share: f64| (0.0..=1.0).contains(&share);
    if !is_share(from) || !is_share(to) || from == to {
        return None;
    }
    let z = quantile(1.0 - 0.5 * alpha) + quantile(power);
    finite(z * z * (from * (1.0 - from) + to * (1.0 - to)) / (to - from).powi(2))
}

/// Pairs for a single look that sees a difference of `d` between two proportions of the same items, of which a share `discordant`
/// has one right and the other wrong: (z(1 − α/2)·√ψ + z(power)·√(ψ − d²))² / d² (Connor, *Sample size for testing differences in
/// proportions for the paired-sample design*, Biometrics 43, 1987). `None` where no such shares are possible.
#[must_use]
pub fn paired(discordant: f64, d: f64, (alpha, power): (f64, f64)) -> Option<u64> {
    let is_share = discordant > 0.0 && discordant <= 1.0;
    if !is_share || d == 0.0 || d.abs() > discordant {
        return None;
    }
    let z = quantile(1.0 - 0.5 * alpha) * discordant.sqrt() + quantile(power) * (discordant - d * d).max(0.0).sqrt();
    finite(z * z / (d * d))
}

/// Samples of each arm after which a confidence sequence leaves out a difference of `d` with probability `power`, where it is
/// looked at once: its half-width plus z(power) standard errors are `d` there. More looks only help. `variances` are the arms' own.
#[must_use]
pub fn sequential(sequence: &Sequence, d: f64, variances: (f64, f64), power: f64) -> Option<u64> {
    let each = 2.0 * (variances.0 + variances.1);
    let is_enough = |n: f64| {
        let both = 2.0 * n;
        sequence.half_width(both, each) + quantile(power) * (each / both).sqrt() <= d.abs()
    };
    let mut high = 1.0;
    while !is_enough(high) {
        high *= 2.0;
        if high > 1e15 {
            return None;
        }
    }
    let mut low = 0.5 * high;
    while high - low > 0.5 {
        let middle = 0.5 * (low + high);
        if is_enough(middle) { high = middle } else { low = middle }
    }
    finite(high)
}

fn finite(size: f64) -> Option<u64> {
    size.is_finite().then(|| whole(size))
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: (f64, f64) = (0.05, 0.8);

    #[test]
    fn a_large_difference_needs_few_samples_and_a_small_one_many() {
        assert_eq!(two_arms(0.78, 0.95, USUAL), Some(60));
        assert_eq!(two_arms(0.90, 0.92, USUAL), Some(3_211));
        assert_eq!([two_arms(0.5, 0.5, USUAL), two_arms(0.5, 1.5, USUAL), two_arms(f64::NAN, 0.5, USUAL)], [None; 3]);
    }

    #[test]
    fn pairs_need_fewer_the_more_they_agree() {
        // (1.95996·√0.2 + 0.84162·√(0.2 − 0.01))² / 0.01 = 154.6
        assert_eq!(paired(0.2, 0.1, USUAL), Some(155));
        assert!(paired(0.12, 0.1, USUAL) < paired(0.2, 0.1, USUAL));
        assert_eq!([paired(0.1, 0.2, USUAL), paired(0.0, 0.0, USUAL), paired(0.2, 0.0, USUAL)], [None; 3]);
    }

    #[test]
    fn to_look_at_any_time_costs_more_samples_than_one_look() {
        let sequence = Sequence::narrowest_at(200.0, 0.05);
        let needed = sequential(&sequence, 0.1, (0.09, 0.16), 0.8).unwrap();
        let single = two_arms(0.9, 0.8, USUAL).unwrap();
        assert!(needed > single && needed < 3 * single, "{needed} against {single}");
        assert_eq!(sequential(&sequence, 0.0, (0.09, 0.16), 0.8), None);
    }
}
