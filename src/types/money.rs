//! Money in integers: nano-dollars for amounts and their sums, nano-dollars per million tokens for rates.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const NANOS_PER_DOLLAR: i64 = 1_000_000_000;

/// An amount in nano-dollars. Its text is a decimal in dollars, exact, without trailing zeros.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Nanos(pub i64);

impl Add for Nanos {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Nanos {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Nanos {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::default(), Add::add)
    }
}

impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_decimal(self.0.into(), f)
    }
}

impl fmt::Debug for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${self}")
    }
}

/// A text where people read, nano-dollars elsewhere.
impl Serialize for Nanos {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Nanos {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
        } else {
            i64::deserialize(deserializer).map(Self)
        }
    }
}

/// A sum of amounts, in nano-dollars, with the text of an amount. It has room for more amounts than any database holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NanoSum(pub i128);

impl From<Nanos> for NanoSum {
    fn from(Nanos(amount): Nanos) -> Self {
        Self(amount.into())
    }
}

impl<T: Into<Self>> AddAssign<T> for NanoSum {
    fn add_assign(&mut self, other: T) {
        self.0 += other.into().0;
    }
}

impl Sum<Nanos> for NanoSum {
    fn sum<I: Iterator<Item = Nanos>>(amounts: I) -> Self {
        amounts.fold(Self::default(), |mut sum, amount| {
            sum += amount;
            sum
        })
    }
}

impl fmt::Display for NanoSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_decimal(self.0, f)
    }
}

impl fmt::Debug for NanoSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${self}")
    }
}

impl Serialize for NanoSum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A text that is no amount of dollars with at most nine decimals.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a decimal amount in dollars with at most 9 decimals, such as \"0.15\"")]
pub struct BadMoney(String);

impl Nanos {
    /// More than any one call, million tokens or hour costs: what is above it is a mistake, and must not stand in a sum.
    pub const MOST: Self = Self(1_000_000 * NANOS_PER_DOLLAR);
}

impl FromStr for Nanos {
    type Err = BadMoney;

    fn from_str(text: &str) -> Result<Self, BadMoney> {
        parse_decimal(text).map(Self).ok_or_else(|| BadMoney(text.to_owned()))
    }
}

/// A price in dollars per million tokens, held as nano-dollars per million tokens.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Rate(i64);

impl Rate {
    /// What `tokens` cost, in millionths of a nano-dollar, so that parts can be added before one rounding.
    #[must_use]
    pub fn times(self, tokens: u64) -> i128 {
        i128::from(self.0) * i128::from(tokens)
    }

    /// Half of the amount, rounded up to the smallest part.
    #[must_use]
    pub fn half(self) -> Self {
        Self(self.0.saturating_add(1).div_euclid(2))
    }

    /// Rounds a sum of [`Rate::times`] to whole nano-dollars, halves up.
    #[must_use]
    pub fn round(sum: i128) -> Nanos {
        let nanos = sum.saturating_add(500_000).div_euclid(1_000_000);
        Nanos(i64::try_from(nanos).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_decimal(self.0.into(), f)
    }
}

impl fmt::Debug for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${self}/1M")
    }
}

impl FromStr for Rate {
    type Err = BadMoney;

    fn from_str(text: &str) -> Result<Self, BadMoney> {
        match parse_decimal(text) {
            Some(rate) if rate >= 0 => Ok(Self(rate)),
            _ => Err(BadMoney(text.to_owned())),
        }
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// Reads `[-]digits[.digits]` as billionths; more than nine decimals are refused unless they are zeros.
fn parse_decimal(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > 9 {
        return None;
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let billionths: i64 = format!("{fraction:0<9}").parse().ok()?;
    let value = whole.checked_mul(NANOS_PER_DOLLAR)?.checked_add(billionths)?;
    Some(if negative { -value } else { value })
}

fn write_decimal(billionths: i128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let sign = if billionths < 0 { "-" } else { "" };
    let size = billionths.unsigned_abs();
    let dollar = u128::from(NANOS_PER_DOLLAR.unsigned_abs());
    let (whole, fraction) = (size / dollar, size % dollar);
    if fraction == 0 {
        return write!(f, "{sign}{whole}");
    }
    let digits = format!("{fraction:09}");
    write!(f, "{sign}{whole}.{}", digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_is_exact_and_has_no_trailing_zeros() {
        for (nanos, text) in [(0, "0"), (1, "0.000000001"), (1_500_000_000, "1.5"), (-20, "-0.00000002")] {
            assert_eq!(Nanos(nanos).to_string(), text);
        }
    }

    #[test]
    fn a_sum_goes_on_beyond_what_an_amount_holds() {
        let mut sum: NanoSum = [Nanos(i64::MAX); 3].into_iter().sum();
        assert_eq!(sum.to_string(), "27670116110.564327421");
        sum += Nanos(-1);
        assert_eq!(serde_json::to_string(&sum).unwrap(), "\"27670116110.56432742\"");
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in ["", ".", "-", "1e3", "0.0000000001", "1,5", "99999999999999", " 1"] {
            assert!(text.parse::<Nanos>().is_err(), "{text}");
        }
        assert!("-1".parse::<Rate>().is_err());
    }

    #[test]
    fn a_cost_is_rounded_once_halves_up() {
        let rate: Rate = "0.0005".parse().unwrap();
        assert_eq!(Rate::round(rate.times(1)), Nanos(1));
        assert_eq!(Rate::round(rate.times(3)), Nanos(2));
        let rate: Rate = "0.15".parse().unwrap();
        assert_eq!(Rate::round(rate.times(1_000)), Nanos(150_000));
    }

    proptest! {
        #[test]
        fn every_amount_is_read_back(nanos in -i64::MAX / 2..i64::MAX / 2) {
            prop_assert_eq!(Nanos(nanos).to_string().parse::<Nanos>().unwrap(), Nanos(nanos));
        }
    }
}
