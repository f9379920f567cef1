//! What a report or a list is asked: dimensions, filters, and their SQL conditions.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::error::Error;
use super::store::first_id;
use crate::types::Timestamp;

/// The longest value of a filter, the most filters and the most dimensions.
const LONGEST: usize = 512;
const MOST_FILTERS: usize = 64;
const MOST_DIMENSIONS: usize = 16;
/// What a report goes back to where nobody says.
const DEFAULT_SPAN: Duration = Duration::from_secs(30 * 86_400);
const HOUR: i64 = 3_600_000_000;

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
    pub(super) fn needs_rows(&self) -> bool {
        matches!(self, Self::Session | Self::Tag(_))
    }
}

/// Only requests whose dimension has this value; `None` is for those that have none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The dimension.
    pub dimension: Dimension,
    /// Its value.
    pub value: Option<String>,
}

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
                "by" => {
                    for part in value.split(',').map(str::trim).filter(|part| !part.is_empty()) {
                        let dimension: Dimension = part.parse()?;
                        if !by.contains(&dimension) {
                            by.push(dimension);
                        }
                    }
                }
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

impl Filter {
    /// Reads `NAME=VALUE`; an empty value means those that have none.
    ///
    /// # Errors
    /// [`Error::Parameter`] names a dimension or a value that is not understood.
    pub fn parse(name: &str, value: &str) -> Result<Self, Error> {
        let dimension = name.parse().map_err(|error| match error {
            Error::Parameter { problem, .. } => Error::parameter(name, problem),
            other => other,
        })?;
        if value.len() > LONGEST {
            return Err(Error::parameter(name, format!("the value is longer than {LONGEST} bytes")));
        }
        if dimension == Dimension::Version && !value.is_empty() && value.parse::<u32>().is_err() {
            return Err(Error::parameter(name, "a version is a number such as 3"));
        }
        if matches!(dimension, Dimension::Hour | Dimension::Day | Dimension::Month) {
            span(&dimension, value).ok_or_else(|| {
                Error::parameter(
                    name,
                    "use a time such as 2026-11-23T09:00:00Z, a date such as 2026-11-23, or a month such as 2026-11",
                )
            })?;
        }
        Ok(Self { dimension, value: Some(value.to_owned()).filter(|value| !value.is_empty()) })
    }
}

fn time(name: &str, value: &str) -> Result<Timestamp, Error> {
    value.parse().map_err(|error| Error::parameter(name, format!("{error}")))
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// The start and the end of an hour, a day or a month.
fn span(dimension: &Dimension, value: &str) -> Option<(i64, i64)> {
    let month = || format!("{}-01", value.get(..7).unwrap_or(value));
    let start: Timestamp = if *dimension == Dimension::Month { month().parse().ok()? } else { value.parse().ok()? };
    let start = start.hour();
    let end = match dimension {
        Dimension::Hour => start.0.checked_add(HOUR)?,
        Dimension::Day => start.0.checked_add(24 * HOUR)?,
        _ => {
            let date = start.civil().date();
            let next = date.checked_add(jiff::Span::new().months(1)).ok()?;
            next.to_string().parse::<Timestamp>().ok()?.0
        }
    };
    Some((start.0, end))
}

/// A parameter of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Bind {
    Text(String),
    Number(i64),
}

/// A condition in SQL. Its text is made of our own words only; what callers give is bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Conditions {
    pub(super) sql: String,
    pub(super) binds: Vec<Bind>,
}

impl Conditions {
    /// Requests that began in a span. Ids lie at most `skew` microseconds from the start, so the key finds them.
    pub(super) fn of_requests(from: i64, to: i64, skew: i64, filters: &[Filter]) -> Self {
        let mut conditions = Self::default();
        conditions.and("id >= ", Bind::Text(first_id(Timestamp(from.saturating_sub(skew)))));
        conditions.and("id < ", Bind::Text(first_id(Timestamp(to.saturating_add(skew).saturating_add(1_000)))));
        conditions.and("started_at >= ", Bind::Number(from));
        conditions.and("started_at < ", Bind::Number(to));
        conditions.filters(filters, "started_at");
        conditions
    }

    /// Hourly sums of a span.
    pub(super) fn of_rollups(from: i64, to: i64, filters: &[Filter]) -> Self {
        let mut conditions = Self::default();
        conditions.and("hour >= ", Bind::Number(from));
        conditions.and("hour < ", Bind::Number(to));
        conditions.filters(filters, "hour");
        conditions
    }

    /// Requests older than the one with this id.
    pub(super) fn before(id: Option<String>, filters: &[Filter]) -> Self {
        let mut conditions = Self { sql: "1 = 1".into(), binds: Vec::new() };
        if let Some(id) = id {
            conditions.and("id < ", Bind::Text(id));
        }
        conditions.filters(filters, "started_at");
        conditions
    }

    fn and(&mut self, left: &str, bind: Bind) {
        if !self.sql.is_empty() {
            self.sql.push_str(" and ");
        }
        self.sql.push_str(left);
        self.bind(bind);
    }

    fn bind(&mut self, bind: Bind) {
        self.binds.push(bind);
        self.sql.push_str(&format!("${}", self.binds.len()));
    }

    fn filters(&mut self, filters: &[Filter], time: &str) {
        let mut done: Vec<&Dimension> = Vec::new();
        for Filter { dimension, .. } in filters {
            if done.contains(&dimension) {
                continue;
            }
            done.push(dimension);
            self.sql.push_str(" and (");
            let values = filters.iter().filter(|other| other.dimension == *dimension);
            for (at, filter) in values.enumerate() {
                self.sql.push_str(if at > 0 { " or " } else { "" });
                self.filter(filter, time);
            }
            self.sql.push(')');
        }
    }

    fn filter(&mut self, filter: &Filter, time: &str) {
        let column = match &filter.dimension {
            Dimension::Hour | Dimension::Day | Dimension::Month => return self.span(filter, time),
            Dimension::Tag(tag) => return self.tag(tag, filter.value.as_deref()),
            Dimension::Experiment | Dimension::Arm => {
                return self.sql.push_str(if filter.value.is_none() { "1 = 1" } else { "1 = 0" });
            }
            Dimension::Model => return self.model(filter.value.as_deref()),
            Dimension::Version => return self.version(filter.value.as_deref()),
            Dimension::Project => "project",
            Dimension::Key => "key_id",
            Dimension::User => "user_id",
            Dimension::Session => "session",
            Dimension::Provider => "provider",
            Dimension::Route => "route",
            Dimension::Prompt => "prompt",
            Dimension::Status => "status",
            Dimension::Error => "error_code",
            Dimension::Cache => "cache",
        };
        self.sql.push_str(column);
        match &filter.value {
            None => self.sql.push_str(" is null"),
            Some(value) => {
                self.sql.push_str(" = ");
                self.bind(Bind::Text(value.clone()));
            }
        }
    }

    fn span(&mut self, filter: &Filter, time: &str) {
        let value = filter.value.as_deref().unwrap_or_default();
        let (from, to) = span(&filter.dimension, value).unwrap_or((0, 0));
        self.sql.push_str(&format!("{time} >= "));
        self.bind(Bind::Number(from));
        self.sql.push_str(&format!(" and {time} < "));
        self.bind(Bind::Number(to));
    }

    /// `provider/model` as reports write it, or the model's name alone.
    fn model(&mut self, value: Option<&str>) {
        let Some(value) = value else { return self.sql.push_str("model is null") };
        self.sql.push_str("model = ");
        self.bind(Bind::Text(value.to_owned()));
        self.sql.push_str(" or provider || '/' || model = ");
        self.bind(Bind::Text(value.to_owned()));
    }

    fn version(&mut self, value: Option<&str>) {
        let Some(number) = value.and_then(|value| value.parse().ok()) else {
            return self.sql.push_str("version is null");
        };
        self.sql.push_str("version = ");
        self.bind(Bind::Number(number));
    }

    fn tag(&mut self, tag: &str, value: Option<&str>) {
        self.sql.push_str(if value.is_none() { "not " } else { "" });
        self.sql.push_str("exists (select 1 from json_each(tags) as tag where tag.key = ");
        self.bind(Bind::Text(tag.to_owned()));
        if let Some(value) = value {
            self.sql.push_str(" and tag.value = ");
            self.bind(Bind::Text(value.to_owned()));
        }
        self.sql.push(')');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(query.by, [Dimension::Day, Dimension::Model]);
        assert_eq!(query.to.to_string(), "2026-11-23T10:00:00.000000Z");
        assert_eq!(query.from.to_string(), "2026-10-24T10:00:00.000000Z");
        let conditions = Conditions::of_rollups(0, 1, &query.filters);
        assert!(!conditions.sql.contains("or 1=1"), "{}", conditions.sql);
    }

    #[test]
    fn a_month_ends_where_the_next_begins() {
        let (from, to) = span(&Dimension::Month, "2028-02").unwrap();
        assert_eq!((to - from) / HOUR, 29 * 24);
        assert!(NAMES.iter().all(|(name, dimension)| dimension.to_string() == *name));
    }
}
