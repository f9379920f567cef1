//! Which part of a dataset an item belongs to: by its unit, so that all items of a unit are on one side.

use std::str::FromStr;

use sha2::{Digest, Sha256};

use super::error::Error;
use crate::types::did_you_mean;

/// A part of a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// 80 of 100 units, to train from.
    Train,
    /// 10 of 100, to choose by while training.
    Validation,
    /// 10 of 100, to judge by at the end.
    Test,
}

impl Split {
    /// Every part.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// The part's name in JSON and SQL.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }

    /// The part of a unit: the first four bytes of SHA-256 of the unit, as a number from 0 below 1; train below 0.8, validation
    /// below 0.9. It is the same in every version, dataset and process.
    #[must_use]
    pub fn of(unit: &str) -> Self {
        let digest = Sha256::digest(unit.as_bytes());
        let bucket = digest.iter().take(4).fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
        // Tenths of 2^32, without a rounding.
        match bucket * 10 / (1 << 32) {
            0..8 => Self::Train,
            8 => Self::Validation,
            _ => Self::Test,
        }
    }
}

impl FromStr for Split {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|split| split.text() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::text);
            Error::field("split", format!("use one of {}{}", known.join(", "), did_you_mean(text, known)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_always_in_the_same_part_and_parts_have_their_shares() {
        // SHA-256 of these begins with 0x2c…, 0xe3… and 0xca…: tenths 1, 8 and 7.
        for (unit, part) in [("hello", Split::Train), ("", Split::Validation), ("a", Split::Train)] {
            assert_eq!(Split::of(unit), part, "{unit}");
        }
        let mut counts = [0_u32; 3];
        for n in 0..10_000 {
            let split = Split::of(&format!("user-{n}"));
            counts[Split::ALL.iter().position(|one| *one == split).unwrap()] += 1;
        }
        let [train, validation, test] = counts;
        assert!((7_850..8_150).contains(&train), "{counts:?}");
        assert!((900..1_100).contains(&validation) && (900..1_100).contains(&test), "{counts:?}");
        assert!("tets".parse::<Split>().unwrap_err().to_string().contains("did you mean `test`?"));
    }
}
