//! How long to wait before a retry.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(8);

/// The wait before retry `n` (1 for the first): exponential from 250 ms to 8 s, with full jitter, so that calls
/// that failed together do not come back together.
#[must_use]
pub fn backoff(n: u32, chance: f64) -> Duration {
    let doubled = FIRST.saturating_mul(1 << n.saturating_sub(1).min(16));
    doubled.min(LONGEST).mul_f64(chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_doubles_up_to_its_limit_and_is_spread_down_to_zero() {
        for (n, chance, millis) in
            [(1, 1.0, 250), (2, 1.0, 500), (3, 0.5, 500), (6, 1.0, 8_000), (u32::MAX, 1.0, 8_000), (4, 0.0, 0)]
        {
            assert_eq!(backoff(n, chance), Duration::from_millis(millis), "{n} {chance}");
        }
    }
}
