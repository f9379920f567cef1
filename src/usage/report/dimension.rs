//! What a report can group by and a list be filtered by.

use std::fmt;
use std::str::FromStr;

use crate::usage::columns::{PURPOSE, REQUEST, RequestColumn};
use crate::usage::error::Error;

/// The longest name of a tag.
const LONGEST: usize = 512;
/// The names of times.
const TIMES: [(&str, By); 4] = [("hour", By::Hour), ("day", By::Day), ("week", By::Week), ("month", By::Month)];

/// What a report can group by and a list be filtered by: a time, a column of requests, or a tag.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Dimension(By);

/// What a dimension is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::usage) enum By {
    Hour,
    Day,
    /// From Monday on.
    Week,
    Month,
    Column(&'static RequestColumn),
    /// The value of one tag.
    Tag(String),
}

/// Columns that reports know a name for.
fn columns() -> impl Iterator<Item = &'static RequestColumn> {
    REQUEST.iter().filter(|column| !column.dimension.is_empty())
}

/// The names that are known, but for tags.
fn names() -> impl Iterator<Item = &'static str> {
    TIMES.iter().map(|(name, _)| *name).chain(columns().map(|column| column.dimension))
}

impl FromStr for Dimension {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        if let Some(tag) = name.strip_prefix("tag:").filter(|tag| !tag.is_empty() && tag.len() <= LONGEST) {
            return Ok(Self(By::Tag(tag.to_owned())));
        }
        let time = TIMES.iter().find(|(known, _)| *known == name).map(|(_, time)| time.clone());
        let by = time.or_else(|| columns().find(|column| column.dimension == name).map(By::Column));
        by.map(Self).ok_or_else(|| {
            let known: Vec<_> = names().collect();
            let shown: String = name.chars().take(80).collect();
            Error::parameter("by", format!("`{shown}` is not one of {}, tag:NAME", known.join(", ")))
        })
    }
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            By::Tag(tag) => write!(f, "tag:{tag}"),
            By::Column(column) => f.write_str(column.dimension),
            time => f.write_str(TIMES.iter().find(|(_, known)| known == time).map_or("", |(name, _)| name)),
        }
    }
}

impl Dimension {
    pub(in crate::usage) fn by(&self) -> &By {
        &self.0
    }

    /// Why the gateway made requests of its own.
    pub(super) fn purpose() -> Self {
        Self(By::Column(&REQUEST[PURPOSE]))
    }

    pub(super) fn is_purpose(&self) -> bool {
        *self == Self::purpose()
    }

    /// Whether it is a time.
    pub(super) fn is_time(&self) -> bool {
        TIMES.iter().any(|(_, time)| *time == self.0)
    }

    /// Whether hourly sums do not have it.
    pub(super) fn needs_rows(&self) -> bool {
        match &self.0 {
            By::Column(column) => column.needs_rows(),
            By::Tag(_) => true,
            By::Hour | By::Day | By::Week | By::Month => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_purpose_is_the_column_of_its_name() {
        assert_eq!(Dimension::purpose(), "purpose".parse().unwrap());
    }

    #[test]
    fn a_dimension_is_shown_by_the_name_it_is_read_by() {
        for name in names().chain(["tag:a"]) {
            assert_eq!(name.parse::<Dimension>().unwrap().to_string(), name);
        }
    }
}
