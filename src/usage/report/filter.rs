//! What a report or a list is narrowed to.

use super::dimension::{By, Dimension};
use super::period::span;
use crate::types::{Zone, did_you_mean};
use crate::usage::error::Error;
use crate::usage::rows::{CacheState, Purpose, Status};

/// The longest value.
const LONGEST: usize = 512;
const HOUR: i64 = 3_600_000_000;

/// Only requests whose dimension has this value; `None` is for those that have none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The dimension.
    pub dimension: Dimension,
    /// Its value.
    pub value: Option<String>,
    /// Of a time, its start and end in microseconds.
    pub(in crate::usage) span: Option<(i64, i64)>,
}

impl Filter {
    /// Reads `NAME=VALUE`; an empty value means those that have none. Times are UTC.
    ///
    /// # Errors
    /// [`Error::Parameter`] names a dimension or a value that is not understood.
    pub fn parse(name: &str, value: &str) -> Result<Self, Error> {
        Self::parse_in(&Zone::utc(), name, value)
    }

    /// Reads `NAME=VALUE` where somebody reads it in `zone`.
    ///
    /// # Errors
    /// [`Error::Parameter`] names a dimension or a value that is not understood.
    pub fn parse_in(zone: &Zone, name: &str, value: &str) -> Result<Self, Error> {
        let dimension: Dimension = name.parse().map_err(|error| match error {
            Error::Parameter { problem, .. } => Error::parameter(name, problem),
            other => other,
        })?;
        if value.len() > LONGEST {
            return Err(Error::parameter(name, format!("the value is longer than {LONGEST} bytes")));
        }
        if let By::Column(column) = dimension.by()
            && !value.is_empty()
        {
            if column.is_number && value.parse::<u32>().is_err() {
                return Err(Error::parameter(name, format!("a {name} is a number such as 3")));
            }
            one_of_its_words(name, column.name, value)?;
        }
        let span = match dimension.is_time() {
            true => Some(span(dimension.by(), value, zone).ok_or_else(|| {
                Error::parameter(
                    name,
                    "use a time such as 2026-11-23T09:00:00Z, a date such as 2026-11-23, or a month such as 2026-11",
                )
            })?),
            false => None,
        };
        Ok(Self { dimension, value: Some(value.to_owned()).filter(|value| !value.is_empty()), span })
    }

    /// Whether hourly sums cannot answer it.
    pub(super) fn needs_rows(&self) -> bool {
        let is_whole = |(from, to): (i64, i64)| from % HOUR == 0 && to % HOUR == 0;
        self.dimension.needs_rows() || !self.span.is_none_or(is_whole)
    }
}

/// Refuses a value that no request can have, of a column whose values are few.
fn one_of_its_words(name: &str, column: &str, value: &str) -> Result<(), Error> {
    let words: Vec<&str> = match column {
        "status" => Status::ALL.into_iter().map(Status::text).collect(),
        "cache" => CacheState::ALL.into_iter().filter_map(CacheState::text).collect(),
        "purpose" => Purpose::ALL.into_iter().map(Purpose::text).collect(),
        _ => return Ok(()),
    };
    if words.contains(&value) {
        return Ok(());
    }
    let shown: String = value.chars().take(80).collect();
    let near = did_you_mean(value, words.iter().copied());
    Err(Error::parameter(name, format!("`{shown}` is not one of {}{near}", words.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_or_cache_state_that_no_request_can_have_is_refused() {
        for (name, value) in [
            ("status", "bad"),
            ("status", "OK"),
            ("status", "200"),
            ("cache", "hits"),
            ("cache", "none"),
            ("purpose", "shadows"),
        ] {
            let error = Filter::parse(name, value).unwrap_err();
            assert!(matches!(&error, Error::Parameter { name: named, .. } if named == name), "{name}={value}: {error}");
        }
        for (name, value) in [("status", "client_closed"), ("cache", "coalesced"), ("cache", ""), ("error", "any")] {
            assert!(Filter::parse(name, value).is_ok(), "{name}={value}");
        }
    }
}
