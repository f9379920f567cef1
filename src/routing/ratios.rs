//! How much each key's calls write for what they read, which tells what a call is likely to cost before it is made.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::recent::Recent;

/// Output for a token of input, of a key that has made no call yet: a third, which is what blended prices are usually reckoned
/// with.
pub const PRIOR: f64 = 1.0 / 3.0;

/// The part of the calls before that counts on at each call: about the last 32 matter.
const KEPT: f64 = 1.0 - 1.0 / 32.0;

/// The keys that are remembered, of each of two generations.
const MOST_KEYS: usize = 5_000;

/// Tokens of a key's calls, later ones for more.
#[derive(Clone, Copy, Debug)]
struct Sums {
    input: f64,
    output: f64,
}

impl Sums {
    /// What is known at a key's first call, which read `input`: a call of the same size, with the ratio that is usual.
    fn prior(input: f64) -> Self {
        Self { input, output: input * PRIOR }
    }

    fn plus(self, input: f64, output: f64) -> Self {
        Self { input: self.input * KEPT + input, output: self.output * KEPT + output }
    }
}

/// The ratio of output to input of each key.
#[derive(Debug)]
pub struct Ratios {
    /// Whether any route reads them.
    are_wanted: AtomicBool,
    keys: Mutex<Recent<Arc<str>, Sums>>,
}

impl Default for Ratios {
    fn default() -> Self {
        Self { are_wanted: AtomicBool::new(false), keys: Mutex::new(Recent::new(MOST_KEYS)) }
    }
}

impl Ratios {
    /// Whether calls are noted from now on.
    pub fn want(&self, are_wanted: bool) {
        self.are_wanted.store(are_wanted, Ordering::Relaxed);
    }

    /// A call of `key` read and wrote so many tokens.
    pub fn note(&self, key: &Arc<str>, input: u64, output: u64) {
        if !self.are_wanted.load(Ordering::Relaxed) || input == 0 {
            return;
        }
        let (input, output) = (tokens(input), tokens(output));
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let known = keys.get(key).copied().unwrap_or_else(|| Sums::prior(input));
        keys.put(key.clone(), known.plus(input, output));
    }

    /// Output tokens of `key`'s calls for each token of input.
    #[must_use]
    pub fn of(&self, key: &str) -> f64 {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.get(key).map_or(PRIOR, |sums| sums.output / sums.input)
    }

    /// How many tokens a call of `key` that reads `input` is expected to write.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an estimate, from 0 up")]
    pub fn expected(&self, key: &str, input: u64) -> u64 {
        (tokens(input) * self.of(key)).round() as u64
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ratio is an estimate")]
fn tokens(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_has_the_prior_and_each_key_its_own_ratio() {
        let ratios = Ratios::default();
        ratios.want(true);
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        assert_eq!(ratios.expected("a", 300), 100);
        ratios.note(&a, 100, 300);
        assert!((ratios.of("a") - (PRIOR * KEPT + 3.0) / (KEPT + 1.0)).abs() < 1e-9);
        (0..200).for_each(|_| ratios.note(&a, 100, 300));
        (0..200).for_each(|_| ratios.note(&b, 100, 1));
        assert!((ratios.of("a") - 3.0).abs() < 0.02 && (ratios.of("b") - 0.01).abs() < 0.02);
        assert_eq!(ratios.of("c"), PRIOR);
        // A key whose calls change is followed.
        (0..100).for_each(|_| ratios.note(&a, 100, 10));
        assert!(ratios.of("a") < 0.3, "{}", ratios.of("a"));
    }

    #[test]
    fn nothing_is_noted_that_no_route_reads_and_calls_without_input_count_for_nothing() {
        let ratios = Ratios::default();
        ratios.note(&"a".into(), 1, 100);
        assert_eq!(ratios.of("a"), PRIOR);
        ratios.want(true);
        ratios.note(&"a".into(), 0, 100);
        assert_eq!(ratios.of("a"), PRIOR);
    }

    #[test]
    fn the_keys_are_bounded() {
        let ratios = Ratios::default();
        ratios.want(true);
        (0..30_000).for_each(|n| ratios.note(&n.to_string().into(), 1, 1));
        assert!(ratios.keys.lock().unwrap().len() <= 2 * MOST_KEYS);
        assert!(ratios.of("29999") > PRIOR);
    }
}
