//! Requests a minute of one key, counted without a lock.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::types::Timestamp;

/// In nanoseconds.
const MINUTE: i64 = 60_000_000_000;

/// No honest state lies further ahead than a minute; this much further, the clock went back.
const CLOCK_WENT_BACK: i64 = MINUTE + 1_000_000_000;

/// What a key may still do: OpenAI's `x-ratelimit-limit-requests`, `-remaining-requests` and `-reset-requests`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Requests a minute, and at once after a pause.
    pub limit: u32,
    /// Requests that would be admitted now.
    pub remaining: u32,
    /// Until `remaining` is `limit` again, if nothing more is asked.
    pub reset: Duration,
}

/// A request over the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("This key's limit of {} requests a minute is reached", window.limit)]
pub struct Throttled {
    /// Until the next request is admitted.
    pub retry_after: Duration,
    /// The key's window, with nothing remaining.
    pub window: Window,
}

/// The state of one key's limit: the generic cell rate algorithm (ITU-T I.371), one atomic number.
///
/// A burst of the whole limit is admitted, then one request each `minute / limit`.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    /// When all admitted requests will have been paid for, in nanoseconds since 1970.
    paid_at: AtomicI64,
}

impl Limiter {
    /// Admits one request, or returns when the next would be.
    pub(super) fn take(&self, limit: NonZeroU32, now: Timestamp) -> Result<Window, Throttled> {
        let now = now.0.clamp(0, i64::MAX / 2_000) * 1_000;
        let slot = MINUTE / i64::from(limit.get());
        let full = slot * i64::from(limit.get());
        let mut seen = self.paid_at.load(Ordering::Relaxed);
        loop {
            let paid_at = if seen > now + CLOCK_WENT_BACK { now + full } else { seen.max(now) };
            let excess = paid_at + slot - (now + full);
            let next = if excess <= 0 { paid_at + slot } else { paid_at };
            match self.paid_at.compare_exchange_weak(seen, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return answer(limit, slot, next - now, excess),
                Err(other) => seen = other,
            }
        }
    }
}

fn answer(limit: NonZeroU32, slot: i64, ahead: i64, excess: i64) -> Result<Window, Throttled> {
    let free = slot * i64::from(limit.get()) - ahead;
    let remaining = u32::try_from(free.max(0) / slot).unwrap_or(0);
    let window = Window { limit: limit.get(), remaining, reset: span(ahead) };
    if excess > 0 { Err(Throttled { retry_after: span(excess), window }) } else { Ok(window) }
}

fn span(nanos: i64) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: Timestamp = Timestamp(1_700_000_000_000_000);

    fn limit(n: u32) -> NonZeroU32 {
        NonZeroU32::new(n).unwrap()
    }

    fn after(millis: u64) -> Timestamp {
        START.plus(Duration::from_millis(millis))
    }

    #[test]
    fn a_burst_of_the_limit_then_one_each_slot() {
        let limiter = Limiter::default();
        for left in (0..60).rev() {
            assert_eq!(limiter.take(limit(60), START).unwrap().remaining, left);
        }
        let refused = limiter.take(limit(60), START).unwrap_err();
        assert_eq!(refused.retry_after, Duration::from_secs(1));
        assert_eq!(refused.window, Window { limit: 60, remaining: 0, reset: Duration::from_secs(60) });
        assert_eq!(limiter.take(limit(60), after(999)).unwrap_err().retry_after, Duration::from_millis(1));
        assert!(limiter.take(limit(60), after(1_000)).is_ok());
        assert!(limiter.take(limit(60), after(1_000)).is_err());
        assert_eq!(limiter.take(limit(60), after(61_000)).unwrap().remaining, 59);
    }

    #[test]
    fn a_changed_limit_holds_from_the_next_request() {
        let limiter = Limiter::default();
        for _ in 0..10 {
            limiter.take(limit(60), START).unwrap();
        }
        assert!(limiter.take(limit(2), START).is_ok());
        assert!(limiter.take(limit(2), START).is_err());
        assert!(limiter.take(limit(600), START).is_ok());
    }

    #[test]
    fn a_clock_set_back_a_day_does_not_lock_the_key_out() {
        let limiter = Limiter::default();
        let day_before = Timestamp(START.0 - 86_400_000_000);
        for _ in 0..3 {
            limiter.take(limit(3), START).unwrap();
        }
        assert!(limiter.take(limit(3), day_before).unwrap_err().retry_after <= Duration::from_secs(20));
        assert!(limiter.take(limit(3), day_before.plus(Duration::from_secs(20))).is_ok());
    }

    #[test]
    fn threads_share_the_limit_exactly() {
        let limiter = Limiter::default();
        let admitted = || (0..100).filter(|_| limiter.take(limit(333), START).is_ok()).count();
        let all: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(admitted)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(all, 333);
    }

    proptest! {
        #[test]
        fn the_time_told_is_when_the_next_is_admitted(n in 1u32..10_000, gaps in prop::collection::vec(0u64..2_000, 1..300)) {
            let limiter = Limiter::default();
            let mut at = 0;
            for gap in gaps {
                at += gap;
                let Err(refused) = limiter.take(limit(n), after(at)) else { continue };
                let micros = Duration::from_micros(u64::try_from(refused.retry_after.as_nanos().div_ceil(1_000)).unwrap());
                prop_assert!(limiter.take(limit(n), after(at).plus(micros)).is_ok());
                at += u64::try_from(micros.as_millis()).unwrap() + 1;
            }
        }

        #[test]
        fn a_minute_admits_at_most_twice_the_limit(n in 1u32..200, gaps in prop::collection::vec(0u64..400, 1..600)) {
            let limiter = Limiter::default();
            let mut at = 0;
            let mut admitted = 0;
            for gap in gaps {
                at += gap;
                if at > 60_000 { break; }
                admitted += u32::from(limiter.take(limit(n), after(at)).is_ok());
            }
            prop_assert!(admitted <= 2 * n);
        }
    }
}
