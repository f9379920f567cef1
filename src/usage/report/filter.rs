//! What a report or a list is narrowed to.

use super::dimension::{By, Dimension};
use crate::types::Timestamp;
use crate::usage::error::Error;

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
}

impl Filter {
    /// Reads `NAME=VALUE`; an empty value means those that have none.
    ///
    /// # Errors
    /// [`Error::Parameter`] names a dimension or a value that is not understood.
    pub fn parse(name: &str, value: &str) -> Result<Self, Error> {
        let dimension: Dimension = name.parse().map_err(|error| match error {
            Error::Parameter { problem, .. } => Error::parameter(name, problem),
            other => other,
        })?;
        if value.len() > LONGEST {
            return Err(Error::parameter(name, format!("the value is longer than {LONGEST} bytes")));
        }
        let is_number = matches!(dimension.by(), By::Column(column) if column.is_number);
        if is_number && !value.is_empty() && value.parse::<u32>().is_err() {
            return Err(Error::parameter(name, format!("a {name} is a number such as 3")));
        }
        if matches!(dimension.by(), By::Hour | By::Day | By::Month) {
            span(dimension.by(), value).ok_or_else(|| {
                Error::parameter(
                    name,
                    "use a time such as 2026-11-23T09:00:00Z, a date such as 2026-11-23, or a month such as 2026-11",
                )
            })?;
        }
        Ok(Self { dimension, value: Some(value.to_owned()).filter(|value| !value.is_empty()) })
    }
}

/// The start and the end of an hour, a day or a month.
pub(in crate::usage) fn span(by: &By, value: &str) -> Option<(i64, i64)> {
    let month = || format!("{}-01", value.get(..7).unwrap_or(value));
    let start: Timestamp = if *by == By::Month { month().parse().ok()? } else { value.parse().ok()? };
    let start = start.hour();
    let end = match by {
        By::Hour => start.0.checked_add(HOUR)?,
        By::Day => start.0.checked_add(24 * HOUR)?,
        _ => {
            let date = start.civil().date();
            let next = date.checked_add(jiff::Span::new().months(1)).ok()?;
            next.to_string().parse::<Timestamp>().ok()?.0
        }
    };
    Some((start.0, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_ends_where_the_next_begins() {
        let (from, to) = span(&By::Month, "2028-02").unwrap();
        assert_eq!((to - from) / HOUR, 29 * 24);
    }
}
