//! Time zones: what a date means where somebody reads a report.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, DateTime};
use jiff::fmt::temporal::DateTimeParser;
use jiff::tz::TimeZone;

use super::Timestamp;

/// The longest name.
const LONGEST: usize = 64;
const HOUR_SECONDS: i32 = 3_600;

/// A time zone, by its IANA name or a fixed distance from UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    zone: TimeZone,
    name: String,
}

impl Zone {
    /// UTC.
    #[must_use]
    pub fn utc() -> Self {
        Self { zone: TimeZone::UTC, name: "UTC".to_owned() }
    }

    /// The calendar's view of a time.
    #[must_use]
    pub fn civil(&self, time: Timestamp) -> DateTime {
        self.zone.to_datetime(time.jiff())
    }

    /// The start of the day; where the clocks skip midnight, the first moment of the date. `None` past the calendar's end.
    #[must_use]
    pub fn start_of(&self, date: Date) -> Option<Timestamp> {
        let start = self.zone.to_timestamp(date.at(0, 0, 0, 0)).ok()?;
        Some(Timestamp(start.as_microsecond()))
    }

    /// Seconds that clocks are ahead of UTC at a time.
    #[must_use]
    pub fn offset(&self, time: Timestamp) -> i32 {
        self.zone.to_offset(time.jiff()).seconds()
    }

    /// Whether clocks differ from UTC by whole hours from `from` to `to`, so that its hours are hours of UTC.
    #[must_use]
    pub fn has_whole_hours(&self, from: Timestamp, to: Timestamp) -> bool {
        let is_whole = |seconds: i32| seconds % HOUR_SECONDS == 0;
        let mut changes = self.zone.following(from.jiff()).take_while(|change| change.timestamp() < to.jiff());
        is_whole(self.offset(from))
            && changes.all(|change| {
                is_whole(change.offset().seconds()) && change.timestamp().as_second() % i64::from(HOUR_SECONDS) == 0
            })
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self::utc()
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// A text that names no time zone.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is no time zone; use a name such as Europe/Berlin, a distance such as +02:00, or UTC")]
pub struct BadZone(String);

impl FromStr for Zone {
    type Err = BadZone;

    fn from_str(text: &str) -> Result<Self, BadZone> {
        let bad = || BadZone(text.chars().take(80).collect());
        // A `+` that a URL does not escape arrives as a space.
        let name = if text.starts_with(' ') { format!("+{}", text.trim()) } else { text.to_owned() };
        if name.is_empty() || name.len() > LONGEST {
            return Err(bad());
        }
        if name.eq_ignore_ascii_case("utc") || name == "Z" {
            return Ok(Self::utc());
        }
        let zone = DateTimeParser::new().parse_time_zone(&name).map_err(|_| bad())?;
        let name = zone.iana_name().map_or(name, ToOwned::to_owned);
        Ok(Self { zone, name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_as_long_as_its_zone_makes_it() {
        for (zone, date, start, hours) in [
            ("UTC", "2026-11-01", "2026-11-01T00:00:00Z", 24),
            ("Europe/Berlin", "2026-11-01", "2026-10-31T23:00:00Z", 24),
            ("europe/berlin", "2026-03-29", "2026-03-28T23:00:00Z", 23),
            ("Europe/Berlin", "2026-10-25", "2026-10-24T22:00:00Z", 25),
            ("America/New_York", "2026-11-01", "2026-11-01T04:00:00Z", 25),
            ("Asia/Kolkata", "2026-11-01", "2026-10-31T18:30:00Z", 24),
            ("+02:00", "2026-11-01", "2026-10-31T22:00:00Z", 24),
            (" 05:30", "2026-11-01", "2026-10-31T18:30:00Z", 24),
            // Midnight is skipped there.
            ("America/Santiago", "2026-09-06", "2026-09-06T04:00:00Z", 23),
        ] {
            let zone: Zone = zone.parse().unwrap();
            let date: Date = date.parse().unwrap();
            let from = zone.start_of(date).unwrap();
            let to = zone.start_of(date.tomorrow().unwrap()).unwrap();
            assert_eq!(from, start.parse().unwrap(), "{zone} {date}");
            assert_eq!((to - from).as_secs(), hours * 3_600, "{zone} {date}");
            assert_eq!(zone.civil(from).date(), date);
        }
    }

    #[test]
    fn a_text_that_names_no_zone_is_refused() {
        for text in ["", "Mars/Olympus", "berlin", "+99:00", "../../etc/passwd", &"x".repeat(100)] {
            assert!(text.parse::<Zone>().is_err(), "{text}");
        }
        assert_eq!("europe/berlin".parse::<Zone>().unwrap().to_string(), "Europe/Berlin");
    }

    #[test]
    fn zones_of_half_hours_are_known() {
        let (from, to) = ("2026-01-01".parse().unwrap(), "2027-01-01".parse().unwrap());
        for (zone, whole) in [
            ("UTC", true),
            ("Europe/Berlin", true),
            ("America/New_York", true),
            ("Asia/Kolkata", false),
            ("Australia/Lord_Howe", false),
            ("+05:45", false),
        ] {
            assert_eq!(zone.parse::<Zone>().unwrap().has_whole_hours(from, to), whole, "{zone}");
        }
    }
}
