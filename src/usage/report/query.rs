//! What a report is asked: its groups, its period and its filters.

use std::time::Duration;

use super::dimension::Dimension;
use super::filter::Filter;
use super::period::{Period, zone};
use super::sort::Sort;
use crate::types::{Timestamp, Zone};
use crate::usage::error::Error;
use crate::usage::rows::Purpose;

/// The most filters and the most dimensions.
const MOST_FILTERS: usize = 64;
const MOST_DIMENSIONS: usize = 16;
/// The most rows that `limit` may ask for, which is more than a report can have.
const MOST_ROWS: usize = 100_000;
/// The longest name of a metric.
const LONGEST_METRIC: usize = 64;
/// How far a report goes back by default.
const DEFAULT_SPAN: Duration = Duration::from_secs(30 * 86_400);

/// What a report is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// The groups.
    pub by: Vec<Dimension>,
    /// The first moment.
    pub from: Timestamp,
    /// The first moment no more.
    pub to: Timestamp,
    /// Only these; several for one dimension are alternatives.
    pub filters: Vec<Filter>,
    /// Where its dates and times are read.
    pub zone: Zone,
    /// The order of its rows.
    pub sort: Sort,
    /// The most rows; all without.
    pub limit: Option<usize>,
    /// The model whose price for the same tokens is shown beside.
    pub as_if: Option<String>,
    /// The metric whose feedback is shown beside.
    pub metric: Option<String>,
    /// Whether it is of what callers asked for, as opposed to one that names purposes itself.
    pub(in crate::usage) of_callers: bool,
}

impl Query {
    /// Reads `by`, `from`, `to`, `last`, `tz`, `sort`, `limit`, `as_if`, `metric` and filters. Without `to` it goes to the end of this
    /// hour, without `from` 30 days back; where neither is named, but filters of times are, over these.
    ///
    /// # Errors
    /// [`Error::Parameter`] names what is not understood.
    pub fn parse<'a>(parameters: impl IntoIterator<Item = (&'a str, &'a str)>, now: Timestamp) -> Result<Self, Error> {
        let parameters: Vec<_> = parameters.into_iter().collect();
        let mut query = Self { zone: zone(&parameters)?, ..Self::default() };
        let (mut period, mut sort) = (Period::default(), None);
        for (name, value) in parameters {
            match name {
                "tz" => {}
                "by" => add_dimensions(&mut query.by, value)?,
                "sort" => sort = Some(value),
                "limit" => query.limit = Some(limit(value)?),
                "as_if" => query.as_if = Some(value.to_owned()),
                "metric" => query.metric = Some(metric(value)?),
                _ if period.takes(name, value) => {}
                _ => query.filters.push(Filter::parse_in(&query.zone, name, value)?),
            }
        }
        if query.by.len() > MOST_DIMENSIONS || query.filters.len() > MOST_FILTERS {
            let most = format!("at most {MOST_DIMENSIONS} groups and {MOST_FILTERS} filters");
            return Err(Error::parameter("by", most));
        }
        query.leave_out_our_own();
        query.sort = sort.map_or(Ok(Sort::Groups), |sort| Sort::parse(sort, &query.by))?;
        (query.from, query.to) = match period.read(&query.zone, now)? {
            (None, None) => filtered(&query.filters).unwrap_or_else(|| around(None, None, now)),
            (from, to) => around(from, to, now),
        };
        if query.from > query.to {
            let (from, to) = (query.from, query.to);
            return Err(Error::parameter("from", format!("from ({from}) is after to ({to})")));
        }
        Ok(query)
    }

    /// Narrows it to what callers asked for, unless it names the purpose of requests itself: what the gateway asks of its own
    /// is no part of what a caller used.
    fn leave_out_our_own(&mut self) {
        let mut named = self.by.iter().chain(self.filters.iter().map(|filter| &filter.dimension));
        if !named.any(Dimension::is_purpose) {
            // What verified the cache's hits is counted with these.
            for value in [None, Some(Purpose::Verify.text().to_owned())] {
                self.filters.push(Filter { dimension: Dimension::purpose(), value, span: None });
            }
            self.of_callers = true;
        }
    }
}

/// A period with its defaults.
fn around(from: Option<Timestamp>, to: Option<Timestamp>, now: Timestamp) -> (Timestamp, Timestamp) {
    let to = to.unwrap_or(now.hour().plus(Duration::from_secs(3_600)));
    (from.unwrap_or_else(|| Timestamp(to.0.saturating_sub_unsigned(micros(DEFAULT_SPAN))).hour()), to)
}

/// From the first to the last moment that filters of times leave.
fn filtered(filters: &[Filter]) -> Option<(Timestamp, Timestamp)> {
    let spans = || filters.iter().filter_map(|filter| filter.span);
    Some((Timestamp(spans().map(|(from, _)| from).min()?), Timestamp(spans().map(|(_, to)| to).max()?)))
}

fn limit(value: &str) -> Result<usize, Error> {
    let limit = value.parse().ok().filter(|limit| (1..=MOST_ROWS).contains(limit));
    limit.ok_or_else(|| Error::parameter("limit", format!("use 1 to {MOST_ROWS}")))
}

/// The name of a metric.
fn metric(value: &str) -> Result<String, Error> {
    if value.is_empty() || value.len() > LONGEST_METRIC {
        return Err(Error::parameter("metric", format!("use the name of a metric, of 1 to {LONGEST_METRIC} letters")));
    }
    Ok(value.to_owned())
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// Adds the dimensions that `by` lists, each once.
fn add_dimensions(by: &mut Vec<Dimension>, list: &str) -> Result<(), Error> {
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let dimension: Dimension = part.parse()?;
        if !by.contains(&dimension) {
            by.push(dimension);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Engine;
    use crate::usage::store::conditions::Conditions;

    #[test]
    fn a_parameter_that_is_not_understood_is_named() {
        let now: Timestamp = "2026-11-23T09:30:00Z".parse().unwrap();
        for (name, value) in [
            ("by", "model,colour"),
            ("from", "last week"),
            ("last", "7"),
            ("tz", "Mars/Olympus"),
            ("sort", "colour"),
            ("limit", "0"),
            ("metric", ""),
            ("status", "bad"),
            ("colour", "red"),
            ("version", "three"),
            ("day", "2026-13-01"),
            ("month", "x"),
            ("from", "2027-01-01"),
            ("tag:", "x"),
        ] {
            let error = Query::parse([(name, value)], now).unwrap_err();
            assert!(
                matches!(&error, Error::Parameter { name: named, .. } if named == name),
                "{name}={value}: {error:?}"
            );
        }
    }

    #[test]
    fn a_filter_of_a_time_is_the_period_where_no_other_is_named() {
        let now: Timestamp = "2026-11-23T09:30:00Z".parse().unwrap();
        let period = |parameters: &[(&str, &str)]| {
            let query = Query::parse(parameters.iter().copied(), now).unwrap();
            [query.from, query.to].map(|time| time.to_string()[..13].to_owned())
        };
        assert_eq!(period(&[("month", "2026-03"), ("tz", "Europe/Berlin")]), ["2026-02-28T23", "2026-03-31T22"]);
        assert_eq!(period(&[("day", "2025-11-01"), ("day", "2025-11-03")]), ["2025-11-01T00", "2025-11-04T00"]);
        assert_eq!(period(&[("day", "2025-11-01"), ("from", "2025-10-30")]), ["2025-10-30T00", "2026-11-23T10"]);
    }

    #[test]
    fn requests_of_our_own_are_left_out_where_their_purpose_is_not_named() {
        let filters = |parameters: &[(&str, &str)]| {
            let query = Query::parse(parameters.iter().copied(), Timestamp(0)).unwrap();
            let filters = query.filters.into_iter().map(|filter| (filter.dimension.to_string(), filter.value));
            filters.collect::<Vec<_>>()
        };
        let purpose = |value: Option<&str>| ("purpose".to_owned(), value.map(ToOwned::to_owned));
        assert_eq!(filters(&[("by", "model")]), [purpose(None), purpose(Some("verify"))]);
        assert_eq!(filters(&[("by", "model,purpose")]), []);
        assert_eq!(filters(&[("purpose", "shadow")]), [purpose(Some("shadow"))]);
        assert_eq!(filters(&[("purpose", "")]), [purpose(None)]);
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let now: Timestamp = "2026-11-23T09:30:00Z".parse().unwrap();
        let query = Query::parse([("by", "day, model,day"), ("tag:team", "a' or 1=1 --")], now).unwrap();
        assert_eq!(query.by, ["day", "model"].map(|name| name.parse::<Dimension>().unwrap()));
        assert_eq!(query.to.to_string(), "2026-11-23T10:00:00.000000Z");
        assert_eq!(query.from.to_string(), "2026-10-24T10:00:00.000000Z");
        for engine in [Engine::Sqlite, Engine::Postgres] {
            let conditions = Conditions::on(engine).of_rollups((0, 1), &query.filters);
            assert!(!conditions.sql.contains("or 1=1"), "{}", conditions.sql);
        }
    }
}
