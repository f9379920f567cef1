//! Where on the line from 0 to 1 each arm stands, and which point of it a unit has.
//!
//! Without a holdback, `share` 1 and weights 50 and 50, the control has [0, 0.5) and the candidate [0.5, 1). Each arm's piece begins
//! at a place of its own, which the weights alone decide; `share` says how far it reaches. So a larger share moves ends only: a
//! unit that has an arm keeps it. The holdback is the end of the line, and no arm reaches into it.

use sha2::{Digest, Sha256};

use super::spec::Arm;
use crate::types::Share;

/// 2³²: how many buckets there are.
const BUCKETS: f64 = 4_294_967_296.0;

/// The pieces of the arms, in their order, and the holdback.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    pieces: Vec<Piece>,
    /// Where the holdback begins.
    held: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Piece {
    begin: f64,
    end: f64,
}

/// The hash of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place([u8; 8]);

impl Place {
    /// The first bytes of SHA-256 of the salt and the unit.
    #[must_use]
    pub fn of(salt: &str, unit: &str) -> Self {
        let hash = Sha256::new_with_prefix(salt).chain_update(unit).finalize();
        Self(hash.first_chunk().copied().unwrap_or_default())
    }

    /// Where on the line it is: its first four bytes as a part of 2³².
    #[must_use]
    pub fn point(self) -> f64 {
        let [a, b, c, d, ..] = self.0;
        f64::from(u32::from_be_bytes([a, b, c, d])) / BUCKETS
    }

    /// A number that no other unit is likely to have: all eight bytes.
    #[must_use]
    pub fn number(self) -> i64 {
        i64::from_be_bytes(self.0)
    }
}

impl Line {
    /// The line of these arms, of whose units `share` take part, with `holdback` at its end.
    #[must_use]
    pub fn of(arms: &[Arm], share: Share, holdback: Share) -> Self {
        let held = 1.0 - holdback.number();
        let whole: f64 = arms.iter().map(|arm| f64::from(arm.weight)).sum();
        let mut begin = 0.0;
        let pieces = arms.iter().map(|arm| {
            let width = held * f64::from(arm.weight) / whole;
            let piece = Piece { begin, end: begin + width * share.number() };
            begin += width;
            piece
        });
        Self { pieces: pieces.collect(), held }
    }

    /// The arm at a point, by its place; `None` where no arm reaches.
    #[must_use]
    pub fn arm_at(&self, point: f64) -> Option<usize> {
        self.pieces.iter().position(|piece| piece.begin <= point && point < piece.end)
    }

    /// Whether a point is in the holdback.
    #[must_use]
    pub fn is_held(&self, point: f64) -> bool {
        point >= self.held
    }

    /// The probability that a unit gets the arm at `place`.
    #[must_use]
    pub fn propensity(&self, place: usize) -> f64 {
        self.pieces.get(place).map_or(0.0, |piece| piece.end - piece.begin)
    }

    /// The part of the line that is held back.
    #[must_use]
    pub fn holdback(&self) -> f64 {
        1.0 - self.held
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Map;

    use super::*;

    fn arms(weights: &[u32]) -> Vec<Arm> {
        let arm = |(n, weight): (usize, &u32)| Arm {
            name: format!("arm-{n}").parse().unwrap(),
            version: 1,
            model: None,
            settings: Map::new(),
            weight: *weight,
        };
        weights.iter().enumerate().map(arm).collect()
    }

    fn share(number: f64) -> Share {
        Share::of(number).unwrap()
    }

    #[test]
    fn a_point_is_the_first_four_bytes_of_the_hash() {
        assert_eq!(Place::of("salt", "unit"), Place::of("saltun", "it"));
        // SHA-256 of an empty text begins with e3b0c44298fc1c14.
        let empty = Place::of("", "");
        assert!((empty.point() - f64::from(0xe3b0_c442_u32) / BUCKETS).abs() < 1e-15);
        assert_eq!(empty.number(), i64::from_be_bytes([0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14]));
        assert_ne!(Place::of("salt", "a"), Place::of("salt", "b"));
    }

    #[test]
    fn arms_get_their_weights_of_what_is_not_held_back() {
        let line = Line::of(&arms(&[50, 50]), share(0.5), share(0.1));
        assert!((line.propensity(0) - 0.225).abs() < 1e-12 && (line.propensity(1) - 0.225).abs() < 1e-12);
        let at = |point: f64| line.arm_at(point);
        assert_eq!(
            [at(0.0), at(0.2), at(0.3), at(0.46), at(0.7), at(0.95)],
            [Some(0), Some(0), None, Some(1), None, None]
        );
        assert!(!line.is_held(0.89) && line.is_held(0.91) && (line.holdback() - 0.1).abs() < 1e-12);
        assert_eq!(line.propensity(2), 0.0);
    }

    proptest! {
        #[test]
        fn a_larger_share_takes_no_unit_from_its_arm(
            weights in prop::collection::vec(1u32..100, 2..8),
            (low, high) in (0.001f64..1.0, 0.001f64..1.0),
            holdback in 0.0f64..0.5,
            point in 0.0f64..1.0,
        ) {
            let arms = arms(&weights);
            let line = |of: f64| Line::of(&arms, share(of), share(holdback));
            let (small, large) = (line(low.min(high)), line(low.max(high)));
            if let Some(arm) = small.arm_at(point) {
                prop_assert_eq!(large.arm_at(point), Some(arm));
                prop_assert!(!small.is_held(point));
            }
        }

        #[test]
        fn units_fall_by_propensity(seed in 0u64..1_000) {
            let line = Line::of(&arms(&[70, 30]), share(0.8), share(0.05));
            let n = 4_000;
            let salt = seed.to_string();
            let count = (0..n).filter(|unit| line.arm_at(Place::of(&salt, &unit.to_string()).point()) == Some(1)).count();
            let expected = f64::from(n) * line.propensity(1);
            let off = (f64::from(u32::try_from(count).unwrap()) - expected).abs();
            prop_assert!(off < 5.0 * (expected * (1.0 - line.propensity(1))).sqrt(), "{count} of {expected}");
        }
    }
}
