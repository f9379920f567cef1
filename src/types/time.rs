//! Points in time: microseconds since 1970, UTC.

use std::fmt;
use std::ops::Sub;
use std::str::FromStr;
use std::time::Duration;

use jiff::civil;
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

/// The time now. Rules take the time as an argument; only edges call this.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_microsecond())
}

impl Timestamp {
    const HOUR: i64 = 3_600_000_000;

    /// The start of this time's hour.
    #[must_use]
    pub fn hour(self) -> Self {
        Self(self.0 - self.0.rem_euclid(Self::HOUR))
    }

    /// Whole seconds since 1970.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// This time and `span` later.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// The calendar's view of this time, in UTC.
    #[must_use]
    pub fn civil(self) -> civil::DateTime {
        TimeZone::UTC.to_datetime(self.jiff())
    }

    pub(super) fn jiff(self) -> jiff::Timestamp {
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
    }
}

impl From<Timestamp> for std::time::SystemTime {
    fn from(time: Timestamp) -> Self {
        Self::UNIX_EPOCH + Duration::from_micros(u64::try_from(time.0).unwrap_or(0))
    }
}

impl Sub for Timestamp {
    type Output = Duration;

    /// Zero where `earlier` is later.
    fn sub(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}", self.jiff())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text where people read, microseconds elsewhere.
impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
        } else {
            i64::deserialize(deserializer).map(Self)
        }
    }
}

/// A text that is neither an RFC 3339 time nor a date.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is neither a time such as 2026-11-23T09:00:00Z nor a date such as 2026-11-23")]
pub struct BadTimestamp(String);

impl FromStr for Timestamp {
    type Err = BadTimestamp;

    fn from_str(text: &str) -> Result<Self, BadTimestamp> {
        if let Ok(time) = text.parse::<jiff::Timestamp>() {
            return Ok(Self(time.as_microsecond()));
        }
        let date: civil::Date = text.parse().map_err(|_| BadTimestamp(text.chars().take(80).collect()))?;
        let midnight = TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0)).map_err(|_| BadTimestamp(text.to_owned()))?;
        Ok(Self(midnight.as_microsecond()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_its_midnight_in_utc() {
        let day: Timestamp = "2026-11-23".parse().unwrap();
        assert_eq!(day.to_string(), "2026-11-23T00:00:00.000000Z");
        assert_eq!("2026-11-23T02:30:00+02:30".parse::<Timestamp>().unwrap(), day);
        assert!("yesterday".parse::<Timestamp>().is_err());
    }
}
