//! What is kept of the samples of an arm.

use super::real;

/// The number, the mean and the spread of samples.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sums {
    /// How many there are.
    pub n: u64,
    /// Their mean; 0 where there are none.
    pub mean: f64,
    /// The sum of their squared distances from the mean.
    pub squares: f64,
}

impl Sums {
    /// Of `n` samples with this sum and this sum of squares.
    #[must_use]
    pub fn of(n: u64, sum: f64, sum_of_squares: f64) -> Self {
        let mean = if n == 0 { 0.0 } else { sum / real(n) };
        Self { n, mean, squares: (sum_of_squares - sum * mean).max(0.0) }
    }

    /// Of `hits` ones among `n` samples that are 0 or 1.
    #[must_use]
    pub fn of_hits(hits: u64, n: u64) -> Self {
        Self::of(n, real(hits), real(hits))
    }

    /// One sample more: Welford's update, which loses nothing where samples lie close together.
    pub fn add(&mut self, sample: f64) {
        self.n += 1;
        let off = sample - self.mean;
        self.mean += off / real(self.n);
        self.squares += off * (sample - self.mean);
    }

    /// The mean squared distance from the mean; 0 where there are no samples.
    #[must_use]
    pub fn variance(&self) -> f64 {
        if self.n == 0 { 0.0 } else { self.squares / real(self.n) }
    }

    /// The variance of samples that lie between 0 and 1, with a sample of each added: where all were equal, that they always will be
    /// is not known yet.
    #[must_use]
    pub fn bounded_variance(&self) -> f64 {
        let n = real(self.n);
        let mean = (n * self.mean + 1.0) / (n + 2.0);
        let squares = self.squares + n * (self.mean - mean).powi(2) + mean.powi(2) + (1.0 - mean).powi(2);
        squares / (n + 2.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn samples_that_were_equal_may_differ_later() {
        let all = Sums::of_hits(100, 100);
        assert_eq!((all.variance(), all.mean), (0.0, 1.0));
        // 101 of 102: p(1 - p).
        assert!((all.bounded_variance() - 101.0 / 102.0 / 102.0).abs() < 1e-12);
        assert!((Sums::of_hits(30, 60).bounded_variance() - 0.25).abs() < 1e-12);
        assert!((Sums::default().bounded_variance(), Sums::default().variance()) == (0.25, 0.0));
    }

    proptest! {
        #[test]
        fn added_one_by_one_they_are_what_their_totals_say(samples in prop::collection::vec(-10.0f64..10.0, 1..60)) {
            let mut sums = Sums::default();
            samples.iter().for_each(|sample| sums.add(*sample));
            let sum_of_squares = samples.iter().map(|sample| sample * sample).sum();
            let totals = Sums::of(sums.n, samples.iter().sum(), sum_of_squares);
            prop_assert!((sums.mean - totals.mean).abs() < 1e-9 && (sums.squares - totals.squares).abs() < 1e-6);
        }
    }
}
