//! How soon one target began to answer, of its last answers.

use std::time::Duration;

/// How many answers are remembered.
const MOST: usize = 256;

/// Of fewer answers than this, no percentile is taken.
pub(super) const FEWEST: usize = 20;

/// When a second target is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// After this time.
    Known(Duration),
    /// Not yet: so few answers of the target are known.
    TooFew(usize),
}

/// The times of a target's last answers.
#[derive(Debug, Default)]
pub(super) struct Times {
    micros: Vec<u32>,
    /// Where the next is written, once there are [`MOST`].
    next: usize,
}

impl Times {
    /// Notes how soon an answer began.
    pub(super) fn note(&mut self, after: Duration) {
        let micros = u32::try_from(after.as_micros()).unwrap_or(u32::MAX);
        if self.micros.len() < MOST {
            self.micros.push(micros);
        } else {
            self.micros[self.next] = micros;
            self.next = (self.next + 1) % MOST;
        }
    }

    /// The time by which 95 of 100 answers had begun.
    pub(super) fn p95(&self) -> Patience {
        if self.micros.len() < FEWEST {
            return Patience::TooFew(self.micros.len());
        }
        let mut sorted = self.micros.clone();
        // The smallest time that at least 95 % do not exceed.
        let place = (sorted.len() * 95).div_ceil(100) - 1;
        let (_, micros, _) = sorted.select_nth_unstable(place);
        Patience::Known(Duration::from_micros((*micros).into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_percentile_is_of_the_last_answers_and_needs_some() {
        let mut times = Times::default();
        for n in 1..FEWEST {
            times.note(Duration::from_millis(1));
            assert_eq!(times.p95(), Patience::TooFew(n));
        }
        times.note(Duration::from_secs(1));
        assert_eq!(times.p95(), Patience::Known(Duration::from_millis(1)), "19 of 20 are within it");
        times.note(Duration::from_secs(1));
        assert_eq!(times.p95(), Patience::Known(Duration::from_secs(1)));
        (0..MOST).for_each(|_| times.note(Duration::from_millis(7)));
        assert_eq!(times.p95(), Patience::Known(Duration::from_millis(7)));
        assert_eq!(times.micros.len(), MOST);
        // Each of the last takes the place of the oldest: 13 of 256 are more than 5 of 100.
        (0..12).for_each(|_| times.note(Duration::from_secs(1)));
        assert_eq!(times.p95(), Patience::Known(Duration::from_millis(7)));
        times.note(Duration::from_secs(1));
        assert_eq!(times.p95(), Patience::Known(Duration::from_secs(1)));
    }
}
