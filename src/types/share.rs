//! A part of a whole, 0 to 1, to the millionth.

use std::fmt;

use serde::{Serialize, Serializer};

const WHOLE: f64 = 1_000_000.0;

/// A part of a whole, 0 to 1, to the millionth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Share(u32);

impl Share {
    /// The nearest share; `None` where the number is not within 0 and 1.
    #[must_use]
    pub fn of(number: f64) -> Option<Self> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to a million")]
        (0.0..=1.0).contains(&number).then(|| Self((number * WHOLE).round() as u32))
    }

    /// The nearest share, within 0 and 1.
    #[must_use]
    pub fn clamped(number: f64) -> Self {
        Self::of(number.clamp(0.0, 1.0)).unwrap_or_default()
    }

    /// The share as a number.
    #[must_use]
    pub fn number(self) -> f64 {
        f64::from(self.0) / WHOLE
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.number(), f)
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_within_its_bounds() {
        for (number, shown) in [(0.0, "0"), (0.92, "0.92"), (0.000_001, "0.000001"), (1.0, "1")] {
            assert_eq!(Share::of(number).unwrap().to_string(), shown);
        }
        for number in [-0.01, 1.01, f64::NAN, f64::INFINITY] {
            assert_eq!(Share::of(number), None);
            assert!(Share::clamped(number) <= Share::clamped(1.0));
        }
    }
}
