//! Chance that falls the same way for the same request.

use serde_json::{Map, Value};

/// A small generator (SplitMix64), seeded by what is asked.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    /// Seeded by a request: the order of its fields, its white space, and whether it streams change nothing.
    pub(super) fn of(request: &Map<String, Value>) -> Self {
        let mut fields: Vec<_> = request.iter().filter(|(name, _)| !name.starts_with("stream")).collect();
        fields.sort_by_key(|(name, _)| name.as_str());
        let mut hasher = blake3::Hasher::new();
        for (name, value) in fields {
            hasher.update(name.as_bytes()).update(b"=").update(value.to_string().as_bytes()).update(b"\n");
        }
        Self(first_word(&hasher.finalize()))
    }

    /// Seeded by a text.
    pub(super) fn of_text(text: &str) -> Self {
        Self(first_word(&blake3::hash(text.as_bytes())))
    }

    /// Other dice that depend on these and on `name` only, so that one throw more here moves nothing there.
    pub(super) fn fork(&self, name: &str) -> Self {
        let other = Self::of_text(name);
        let mut forked = Self(self.0 ^ other.0.rotate_left(17));
        forked.next();
        forked
    }

    /// The next 64 bits.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A whole number below `bound`; 0 where `bound` is 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % (bound.max(1) as u64)).unwrap_or(0)
    }

    /// At least 0 and below 1.
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// One of `options`, which are never none.
    pub(super) fn pick<'a, T: ?Sized>(&mut self, options: &[&'a T]) -> &'a T {
        options[self.below(options.len())]
    }

    /// About normally distributed: the sum of twelve throws.
    pub(super) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}

fn first_word(hash: &blake3::Hash) -> u64 {
    let (word, _) = hash.as_bytes().split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
    u64::from_le_bytes(*word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dice(text: &str) -> u64 {
        Dice::of(&serde_json::from_str(text).unwrap()).next()
    }

    #[test]
    fn white_space_order_and_streaming_change_nothing() {
        let plain = dice(r#"{"model":"m","seed":1}"#);
        assert_eq!(plain, dice(r#" { "seed" : 1, "model": "m", "stream": true, "stream_options": {} }"#));
        assert_ne!(plain, dice(r#"{"model":"m","seed":2}"#));
    }

    #[test]
    fn a_unit_stays_in_its_bounds_and_spreads() {
        let mut dice = Dice::of_text("x");
        let throws: Vec<f64> = (0..1000).map(|_| dice.unit()).collect();
        assert!(throws.iter().all(|u| (0.0..1.0).contains(u)));
        let mean = throws.iter().sum::<f64>() / 1000.0;
        assert!((0.45..0.55).contains(&mean), "{mean}");
    }
}
