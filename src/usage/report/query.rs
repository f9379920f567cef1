//! What a report is asked: its groups, its span and its filters.

use std::time::Duration;

use super::dimension::Dimension;
use super::filter::Filter;
use crate::types::Timestamp;
use crate::usage::error::Error;

/// The most filters and the most dimensions.
const MOST_FILTERS: usize = 64;
const MOST_DIMENSIONS: usize = 16;
/// How far a report goes back by default.
const DEFAULT_SPAN: Duration = Duration::from_secs(30 * 86_400);

/// What a report is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The groups.
    pub by: Vec<Dimension>,
    /// The first moment.
    pub from: Timestamp,
    /// The first moment no more.
    pub to: Timestamp,
    /// Only these; several for one dimension are alternatives.
    pub filters: Vec<Filter>,
}

impl Query {
    /// Reads `by`, `from`, `to` and filters. Without `to` it goes to the end of this hour, without `from` 30 days back.
    ///
    /// # Errors
    /// [`Error::Parameter`] names what is not understood.
    pub fn parse<'a>(parameters: impl IntoIterator<Item = (&'a str, &'a str)>, now: Timestamp) -> Result<Self, Error> {
        let (mut by, mut from, mut to, mut filters) = (Vec::new(), None, None, Vec::new());
        for (name, value) in parameters {
            match name {
                "by" => add_dimensions(&mut by, value)?,
                "from" => from = Some(time(name, value)?),
                "to" => to = Some(time(name, value)?),
                _ => filters.push(Filter::parse(name, value)?),
            }
        }
        if by.len() > MOST_DIMENSIONS || filters.len() > MOST_FILTERS {
            let most = format!("at most {MOST_DIMENSIONS} groups and {MOST_FILTERS} filters");
            return Err(Error::parameter("by", most));
        }
        let to = to.unwrap_or(now.hour().plus(Duration::from_secs(3_600)));
        let from = from.unwrap_or_else(|| Timestamp(to.0.saturating_sub_unsigned(micros(DEFAULT_SPAN))).hour());
        if from > to {
            return Err(Error::parameter("from", format!("from ({from}) is after to ({to})")));
        }
        Ok(Self { by, from, to, filters })
    }
}

fn time(name: &str, value: &str) -> Result<Timestamp, Error> {
    value.parse().map_err(|error| Error::parameter(name, format!("{error}")))
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
            ("from", "yesterday"),
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
