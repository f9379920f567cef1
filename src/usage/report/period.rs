//! The period of a report or a list: from when to when, in the zone of who reads it.

use std::time::Duration;

use jiff::Span;
use jiff::civil::Date;

use super::dimension::By;
use crate::types::{Timestamp, Zone};
use crate::usage::error::Error;

const HOUR: i64 = 3_600_000_000;
/// The longest `last`: a hundred years.
const LONGEST: u64 = 876_600;

/// What a period is asked with. A later parameter of the same name takes the place of an earlier one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Period<'a> {
    from: Option<&'a str>,
    to: Option<&'a str>,
    last: Option<&'a str>,
}

impl<'a> Period<'a> {
    /// Takes a parameter, where it is one of a period.
    pub(super) fn takes(&mut self, name: &str, value: &'a str) -> bool {
        let place = match name {
            "from" => &mut self.from,
            "to" => &mut self.to,
            "last" => &mut self.last,
            _ => return false,
        };
        *place = Some(value);
        true
    }

    /// The first moment and the first moment no more, where they are named.
    ///
    /// # Errors
    /// [`Error::Parameter`] names what is not understood.
    pub(super) fn read(&self, zone: &Zone, now: Timestamp) -> Result<(Option<Timestamp>, Option<Timestamp>), Error> {
        let time = |name, text: Option<&str>| text.map(|text| moment(name, text, zone, now)).transpose();
        let (mut from, to) = (time("from", self.from)?, time("to", self.to)?);
        if let Some(last) = self.last {
            if from.is_some() {
                return Err(Error::parameter("last", "use `last` or `from`, not both"));
            }
            let ago = ago(last).ok_or_else(|| {
                Error::parameter("last", format!("`{}` is no span; use one such as 24h, 7d or 4w", cut(last)))
            })?;
            from = Some(back(to.unwrap_or(now), ago));
        }
        if let (Some(from), Some(to)) = (from, to)
            && from > to
        {
            return Err(Error::parameter("from", format!("from ({from}) is after to ({to})")));
        }
        Ok((from, to))
    }
}

/// A time, a date, a word for a day, or a span before now.
fn moment(name: &str, text: &str, zone: &Zone, now: Timestamp) -> Result<Timestamp, Error> {
    let today = zone.civil(now).date();
    let day = |date: Option<Date>| date.and_then(|date| zone.start_of(date));
    let found = match text {
        "now" => Some(now),
        "today" => day(Some(today)),
        "yesterday" => day(today.yesterday().ok()),
        "tomorrow" => day(today.tomorrow().ok()),
        text => match text.parse::<jiff::Timestamp>() {
            Ok(time) => Some(Timestamp(time.as_microsecond())),
            Err(_) => date(text).map_or_else(|| ago(text).map(|ago| back(now, ago)), |date| day(Some(date))),
        },
    };
    found.ok_or_else(|| {
        let known = "a time such as 2026-11-23T09:00:00Z, a date such as 2026-11-23, a month such as 2026-11, today, yesterday, or a span before now such as 7d";
        Error::parameter(name, format!("`{}` is not {known}", cut(text)))
    })
}

/// A date; of a month its first.
fn date(text: &str) -> Option<Date> {
    match text.len() {
        7 => format!("{text}-01").parse().ok(),
        10 => text.parse().ok(),
        _ => None,
    }
}

/// A span such as `90m`, `24h`, `7d` or `4w`.
fn ago(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let minutes = match unit {
        'm' => 1,
        'h' => 60,
        'd' => 24 * 60,
        'w' => 7 * 24 * 60,
        _ => return None,
    };
    let digits = text.strip_suffix(unit)?;
    let count: u64 = digits.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    let span = count.checked_mul(minutes).filter(|span| (1..=LONGEST * 60).contains(span))?;
    Some(Duration::from_secs(span * 60))
}

fn back(from: Timestamp, span: Duration) -> Timestamp {
    Timestamp(from.0.saturating_sub_unsigned(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)))
}

fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

/// The start and the end of the hour, day, week or month that a text names or lies in.
pub(super) fn span(by: &By, text: &str, zone: &Zone) -> Option<(i64, i64)> {
    let time = text.parse::<jiff::Timestamp>().ok().map(|time| Timestamp(time.as_microsecond()));
    if *by == By::Hour {
        let time = match time {
            Some(time) => time,
            None => zone.start_of(text.parse().ok()?)?,
        };
        let start = hour_of(time, zone).0;
        return Some((start, start.checked_add(HOUR)?));
    }
    let date = match time {
        Some(time) => zone.civil(time).date(),
        None if *by == By::Month && text.len() == 7 => format!("{text}-01").parse().ok()?,
        None => text.parse().ok()?,
    };
    let (first, next) = match by {
        By::Month => (date.first_of_month(), date.first_of_month().checked_add(Span::new().months(1)).ok()?),
        By::Week => (monday(date), monday(date).checked_add(Span::new().days(7)).ok()?),
        _ => (date, date.tomorrow().ok()?),
    };
    Some((zone.start_of(first)?.0, zone.start_of(next)?.0))
}

/// The start of the hour that clocks show.
pub(super) fn hour_of(time: Timestamp, zone: &Zone) -> Timestamp {
    let ahead = i64::from(zone.offset(time)) * 1_000_000;
    Timestamp(Timestamp(time.0.saturating_add(ahead)).hour().0.saturating_sub(ahead))
}

/// The Monday of a date's week.
pub(super) fn monday(date: Date) -> Date {
    let days = date.weekday().to_monday_zero_offset();
    date.checked_sub(Span::new().days(days)).unwrap_or(date)
}

/// The zone that `tz` names.
pub(super) fn zone(parameters: &[(&str, &str)]) -> Result<Zone, Error> {
    let named = parameters.iter().rev().find(|(name, _)| *name == "tz");
    named.map_or(Ok(Zone::utc()), |(name, value)| {
        value.parse().map_err(|error| Error::parameter(name, format!("{error}")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &'static str)], zone: &str) -> Result<(String, String), Error> {
        let mut period = Period::default();
        for (name, value) in pairs {
            assert!(period.takes(name, value));
        }
        let now = "2026-11-28T18:20:30Z".parse().unwrap();
        let (from, to) = period.read(&zone.parse().unwrap(), now)?;
        let show = |time: Option<Timestamp>| time.map(|time| time.to_string()[..16].to_owned()).unwrap_or_default();
        Ok((show(from), show(to)))
    }

    #[test]
    fn times_are_named_by_date_by_word_and_by_span() {
        for (pairs, zone, from, to) in [
            (&[("from", "yesterday"), ("to", "today")][..], "UTC", "2026-11-27T00:00", "2026-11-28T00:00"),
            (&[("from", "yesterday")], "Asia/Tokyo", "2026-11-27T15:00", ""),
            (&[("from", "2026-11-01"), ("to", "2026-12-01")], "Europe/Berlin", "2026-10-31T23:00", "2026-11-30T23:00"),
            (&[("from", "2026-11"), ("to", "2026-12")], "UTC", "2026-11-01T00:00", "2026-12-01T00:00"),
            (&[("from", "2026-11-01T00:00:00+01:00")], "Asia/Tokyo", "2026-10-31T23:00", ""),
            (&[("last", "7d")], "UTC", "2026-11-21T18:20", ""),
            (&[("last", "24h")], "Europe/Berlin", "2026-11-27T18:20", ""),
            (&[("last", "4w"), ("to", "2026-11-28")], "UTC", "2026-10-31T00:00", "2026-11-28T00:00"),
            (&[("last", "90m")], "UTC", "2026-11-28T16:50", ""),
            (&[("from", "7d"), ("to", "now")], "UTC", "2026-11-21T18:20", "2026-11-28T18:20"),
        ] {
            assert_eq!(read(pairs, zone).unwrap(), (from.to_owned(), to.to_owned()), "{pairs:?} {zone}");
        }
    }

    #[test]
    fn a_time_that_is_not_understood_is_named() {
        for (name, value) in [
            ("from", "last week"),
            ("from", "2026-13-01"),
            ("from", "2026-13"),
            ("to", "-7d"),
            ("to", "+7d"),
            ("last", "0d"),
            ("last", "7"),
            ("last", "d"),
            ("last", "7y"),
            ("last", "é"),
            ("last", "99999999999999999999d"),
            ("last", "100000w"),
            ("to", ""),
        ] {
            let error = read(&[(name, value)], "UTC").unwrap_err();
            assert!(matches!(&error, Error::Parameter { name: named, .. } if named == name), "{name}={value}: {error}");
        }
        assert!(read(&[("last", "7d"), ("from", "today")], "UTC").is_err());
        assert!(read(&[("from", "today"), ("to", "yesterday")], "UTC").is_err());
    }

    #[test]
    fn a_span_is_the_hour_day_week_or_month_of_its_zone() {
        for (by, text, zone, from, hours) in [
            (By::Month, "2028-02", "UTC", "2028-02-01T00:00:00Z", 29 * 24),
            (By::Month, "2026-10", "Europe/Berlin", "2026-09-30T22:00:00Z", 31 * 24 + 1),
            (By::Month, "2026-11-15", "Europe/Berlin", "2026-10-31T23:00:00Z", 30 * 24),
            (By::Day, "2026-10-25", "Europe/Berlin", "2026-10-24T22:00:00Z", 25),
            (By::Day, "2026-10-25T23:30:00Z", "Europe/Berlin", "2026-10-25T23:00:00Z", 24),
            (By::Week, "2026-11-29", "UTC", "2026-11-23T00:00:00Z", 7 * 24),
            (By::Week, "2026-11-23", "Europe/Berlin", "2026-11-22T23:00:00Z", 7 * 24),
            (By::Hour, "2026-11-23T09:59:59Z", "UTC", "2026-11-23T09:00:00Z", 1),
            (By::Hour, "2026-11-23T09:59:59Z", "Asia/Kolkata", "2026-11-23T09:30:00Z", 1),
        ] {
            let (start, end) = span(&by, text, &zone.parse().unwrap()).unwrap();
            assert_eq!(Timestamp(start), from.parse().unwrap(), "{text} {zone}");
            assert_eq!((end - start) / HOUR, hours, "{text} {zone}");
        }
        for (by, text) in
            [(By::Month, "2026-1"), (By::Month, "2026-11-1x"), (By::Day, "2026-11"), (By::Week, "48"), (By::Hour, "9")]
        {
            assert_eq!(span(&by, text, &Zone::utc()), None, "{text}");
        }
    }
}
