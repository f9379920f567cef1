//! How fast a stream comes while all of it is held back: one that crawls is given up for the next target, before a caller has a
//! byte of it.

use tokio::time::Instant;

use crate::routing::MinSpeed;

/// The most events of a stream that are held back to see its speed.
pub const MOST_EVENTS: usize = 4_096;

/// The speed of a stream so far.
pub struct Pace {
    least: MinSpeed,
    began: Option<Instant>,
}

/// What the speed of a stream says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing until then.
    Open(Instant),
    /// It has written in time what it must.
    Fast,
    /// It has not.
    Slow,
}

impl Pace {
    /// The pace of a stream that must have this speed.
    pub fn new(least: MinSpeed) -> Self {
        Self { least, began: None }
    }

    /// What is known now of a stream that wrote so many characters. Its time begins with the first call.
    pub fn verdict(&mut self, chars: usize, now: Instant) -> Verdict {
        let until = *self.began.get_or_insert(now) + self.least.window;
        match () {
            () if chars >= self.least.chars() => Verdict::Fast,
            () if now < until => Verdict::Open(until),
            () => Verdict::Slow,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_stream_is_fast_once_it_wrote_enough_and_slow_once_its_window_passed() {
        let least = MinSpeed { chars_per_second: 5, window: Duration::from_millis(2_500) };
        let (mut pace, now) = (Pace::new(least), Instant::now());
        let until = now + least.window;
        assert_eq!(pace.verdict(0, now), Verdict::Open(until));
        assert_eq!(pace.verdict(12, now + Duration::from_millis(2_499)), Verdict::Open(until));
        assert_eq!(pace.verdict(12, until), Verdict::Slow);
        assert_eq!(pace.verdict(13, until), Verdict::Fast);
        assert_eq!(Pace::new(least).verdict(13, now), Verdict::Fast, "one that comes at once is not held");
    }
}
