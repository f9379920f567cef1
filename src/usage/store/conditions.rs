//! What a query is narrowed to, as conditions in SQL.

use crate::types::{RequestId, Timestamp};
use crate::usage::columns::{Home, RequestColumn};
use crate::usage::report::dimension::{By, Dimension};
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
        let value = filter.value.as_deref();
        match filter.dimension.by() {
            By::Hour | By::Day | By::Month => self.span(filter, time),
            By::Tag(tag) => self.tag(tag, value),
            By::Column(column) => self.column(column, value),
        }
    }

    fn column(&mut self, column: &RequestColumn, value: Option<&str>) {
        if column.home == Home::Nowhere {
            return self.sql.push_str(if value.is_none() { "1 = 1" } else { "1 = 0" });
        }
        let Some(value) = value else { return self.sql.push_str(&format!("{} is null", column.name)) };
        self.sql.push_str(&format!("{} = ", column.name));
        match value.parse() {
            Ok(number) if column.is_number => self.bind(Bind::Number(number)),
            _ => self.bind(Bind::Text(value.to_owned())),
        }
        // Reports write a model as `provider/model`; its name alone will do.
        if column.name == "model" {
            self.sql.push_str(" or provider || '/' || model = ");
            self.bind(Bind::Text(value.to_owned()));
        }
    }

    fn span(&mut self, filter: &Filter, time: &str) {
        let value = filter.value.as_deref().unwrap_or_default();
        let (from, to) = span(filter.dimension.by(), value).unwrap_or((0, 0));
        self.sql.push_str(&format!("{time} >= "));
        self.bind(Bind::Number(from));
        self.sql.push_str(&format!(" and {time} < "));
        self.bind(Bind::Number(to));
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
