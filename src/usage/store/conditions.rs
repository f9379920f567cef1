//! What a query is narrowed to, as conditions in SQL.

use crate::types::{RequestId, Timestamp};
use crate::usage::report::dimension::Dimension;
use crate::usage::report::filter::{Filter, span};

/// A parameter of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::usage) enum Bind {
    Text(String),
    Number(i64),
}

/// A condition in SQL. Its text is made of our own words only; what callers give is bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::usage) struct Conditions {
    pub(in crate::usage) sql: String,
    pub(in crate::usage) binds: Vec<Bind>,
}

impl Conditions {
    /// Requests that began in a span. Ids lie at most `skew` microseconds from the start, so the key finds them.
    pub(in crate::usage) fn of_requests(from: i64, to: i64, skew: i64, filters: &[Filter]) -> Self {
        let mut conditions = Self::default();
        conditions.and("id >= ", Bind::Text(RequestId::first_at(Timestamp(from.saturating_sub(skew))).to_string()));
        conditions.and(
            "id < ",
            Bind::Text(RequestId::first_at(Timestamp(to.saturating_add(skew).saturating_add(1_000))).to_string()),
        );
        conditions.and("started_at >= ", Bind::Number(from));
        conditions.and("started_at < ", Bind::Number(to));
        conditions.filters(filters, "started_at");
        conditions
    }

    /// Hourly sums of a span.
    pub(in crate::usage) fn of_rollups(from: i64, to: i64, filters: &[Filter]) -> Self {
        let mut conditions = Self::default();
        conditions.and("hour >= ", Bind::Number(from));
        conditions.and("hour < ", Bind::Number(to));
        conditions.filters(filters, "hour");
        conditions
    }

    /// Requests older than the one with this id.
    pub(in crate::usage) fn before(id: Option<String>, filters: &[Filter]) -> Self {
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
