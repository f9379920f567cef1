//! What a report can group by and a list be filtered by.

use std::fmt;
use std::str::FromStr;

use crate::usage::error::Error;

/// The longest name of a tag.
const LONGEST: usize = 512;

/// What a report can group by and a list be filtered by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the public ones, told in the manual")]
pub enum Dimension {
    Hour,
    Day,
    Month,
    Project,
    Key,
    User,
    Session,
    Provider,
    Model,
    Route,
    Prompt,
    Version,
    Experiment,
    Arm,
    Status,
    Error,
    Cache,
    /// The value of one tag.
    Tag(String),
}

const NAMES: [(&str, Dimension); 17] = [
    ("hour", Dimension::Hour),
    ("day", Dimension::Day),
    ("month", Dimension::Month),
    ("project", Dimension::Project),
    ("key", Dimension::Key),
    ("user", Dimension::User),
    ("session", Dimension::Session),
    ("provider", Dimension::Provider),
    ("model", Dimension::Model),
    ("route", Dimension::Route),
    ("prompt", Dimension::Prompt),
    ("version", Dimension::Version),
    ("experiment", Dimension::Experiment),
    ("arm", Dimension::Arm),
    ("status", Dimension::Status),
    ("error", Dimension::Error),
    ("cache", Dimension::Cache),
];

impl FromStr for Dimension {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        if let Some(tag) = name.strip_prefix("tag:").filter(|tag| !tag.is_empty() && tag.len() <= LONGEST) {
            return Ok(Self::Tag(tag.to_owned()));
        }
        let known = NAMES.iter().find(|(known, _)| *known == name);
        known.map(|(_, dimension)| dimension.clone()).ok_or_else(|| {
            let names: Vec<_> = NAMES.iter().map(|(name, _)| *name).collect();
            let shown: String = name.chars().take(80).collect();
            Error::parameter("by", format!("`{shown}` is not one of {}, tag:NAME", names.join(", ")))
        })
    }
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Tag(tag) = self {
            return write!(f, "tag:{tag}");
        }
        let name = NAMES.iter().find(|(_, dimension)| dimension == self);
        f.write_str(name.map_or("", |(name, _)| name))
    }
}

impl Dimension {
    /// Whether hourly sums do not have it.
    pub(in crate::usage) fn needs_rows(&self) -> bool {
        matches!(self, Self::Session | Self::Tag(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dimension_is_shown_by_the_name_it_is_read_by() {
        assert!(NAMES.iter().all(|(name, dimension)| dimension.to_string() == *name));
    }
}
