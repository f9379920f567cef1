//! Keys that open nothing, counted by the address that they come from.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;

use super::limit::{Limiter, Throttled};
use crate::types::Timestamp;

/// How many counts there are, for any number of addresses: those that fall on the same count share it.
const COUNTS: usize = 4_096;

/// The counts of all addresses, in memory that never grows.
pub(super) struct Guesses {
    counts: Box<[Limiter]>,
    /// The hash has a random key, so that no attacker can choose the addresses that share its count.
    places: RandomState,
}

impl Default for Guesses {
    fn default() -> Self {
        Self { counts: (0..COUNTS).map(|_| Limiter::default()).collect(), places: RandomState::new() }
    }
}

impl Guesses {
    /// Counts one guess from `from`, or returns when the next is admitted.
    pub(super) fn count(&self, from: IpAddr, limit: NonZeroU32, now: Timestamp) -> Result<(), Throttled> {
        let place = usize::try_from(self.places.hash_one(neighbourhood(from)) % (COUNTS as u64)).unwrap_or(0);
        self.counts[place].take(limit, now).map(drop)
    }
}

/// What one guesser has at hand: an address, or of IPv6 a whole /64.
fn neighbourhood(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits() >> 64 << 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_stopped_and_the_next_one_is_not() {
        let guesses = Guesses::default();
        let now = Timestamp(1_700_000_000_000_000);
        let limit = NonZeroU32::new(5).unwrap();
        let guess = |from: &str| guesses.count(from.parse().unwrap(), limit, now).is_ok();
        for _ in 0..5 {
            assert!(guess("192.0.2.1") && guess("2001:db8::1"));
        }
        assert!(!guess("192.0.2.1") && !guess("::ffff:192.0.2.1"));
        assert!(!guess("2001:db8::2") && !guess("2001:db8::ffff:0:0:1"), "a /64 counts as one");
        // By chance a few of these share a count with the two above.
        let counted = (0..200).filter(|n| guess(&format!("198.51.100.{n}"))).count();
        assert!(counted > 190, "{counted}");
    }
}
