//! What a query is narrowed to, as conditions in SQL.

use crate::db::Engine;
use crate::types::{Nanos, RequestId, Timestamp};
use crate::usage::columns::RequestColumn;
use crate::usage::report::dimension::{By, Dimension};
use crate::usage::report::filter::Filter;
use crate::usage::report::{Cursor, Listing, Order};

/// The columns that a search looks into.
const SEARCHED: [&str; 9] =
    ["id", "user_id", "session", "requested_model", "model", "route", "prompt", "error_code", "tags"];

/// What stands for an order's amount in SQL; nothing where ids give the order.
pub(in crate::usage) fn amount_of(order: Order) -> Option<&'static str> {
    match order {
        Order::Started => None,
        Order::Cost => Some("coalesce(cost, -1)"),
        Order::Latency => Some("coalesce(latency_us, -1)"),
    }
}

/// A parameter of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::usage) enum Bind {
    Text(String),
    Number(i64),
}

/// A condition in SQL. Its text is made of our own words only; what callers give is bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::usage) struct Conditions {
    engine: Engine,
    pub(in crate::usage) sql: String,
    pub(in crate::usage) binds: Vec<Bind>,
}

impl Conditions {
    /// None yet.
    pub(in crate::usage) fn on(engine: Engine) -> Self {
        Self { engine, sql: String::new(), binds: Vec::new() }
    }

    /// Requests that began in a span. Ids lie at most `skew` microseconds from the start, so the key finds them.
    pub(in crate::usage) fn of_requests(mut self, (from, to): (i64, i64), skew: i64, filters: &[Filter]) -> Self {
        self.and("id >= ", Bind::Text(RequestId::first_at(Timestamp(from.saturating_sub(skew))).to_string()));
        self.and(
            "id < ",
            Bind::Text(RequestId::first_at(Timestamp(to.saturating_add(skew).saturating_add(1_000))).to_string()),
        );
        self.and("started_at >= ", Bind::Number(from));
        self.and("started_at < ", Bind::Number(to));
        self.filters(filters, "started_at");
        self
    }

    /// Hourly sums of a span.
    pub(in crate::usage) fn of_rollups(mut self, (from, to): (i64, i64), filters: &[Filter]) -> Self {
        self.and("hour >= ", Bind::Number(from));
        self.and("hour < ", Bind::Number(to));
        self.filters(filters, "hour");
        self
    }

    /// Requests older than the one with this id.
    pub(in crate::usage) fn before(mut self, id: Option<String>, filters: &[Filter]) -> Self {
        self.sql.push_str("1 = 1");
        if let Some(id) = id {
            self.and("id < ", Bind::Text(id));
        }
        self.filters(filters, "started_at");
        self
    }

    /// Requests of a list after the page before. Ids lie at most `skew` microseconds from the start.
    pub(in crate::usage) fn of_list(mut self, listing: &Listing, skew: i64) -> Self {
        self.sql.push_str("1 = 1");
        if let Some(Timestamp(from)) = listing.from {
            self.and("id >= ", Bind::Text(RequestId::first_at(Timestamp(from.saturating_sub(skew))).to_string()));
            self.and("started_at >= ", Bind::Number(from));
        }
        if let Some(Timestamp(to)) = listing.to {
            let last = to.saturating_add(skew).saturating_add(1_000);
            self.and("id < ", Bind::Text(RequestId::first_at(Timestamp(last)).to_string()));
            self.and("started_at < ", Bind::Number(to));
        }
        if let Some(Nanos(cost)) = listing.min_cost {
            self.and("cost >= ", Bind::Number(cost));
        }
        if let Some(id) = listing.id {
            self.and("id = ", Bind::Text(id.to_string()));
        }
        listing.search.iter().for_each(|text| self.search(text));
        if let Some(cursor) = &listing.cursor {
            self.after(cursor, amount_of(listing.order));
        }
        self.filters(&listing.filters, "started_at");
        self
    }

    /// Rows after a page's last in the order of an amount.
    fn after(&mut self, cursor: &Cursor, amount: Option<&str>) {
        let id = Bind::Text(cursor.id.to_string());
        let Some(amount) = amount else { return self.and("id < ", id) };
        self.and(&format!("({amount} < "), Bind::Number(cursor.amount));
        self.sql.push_str(&format!(" or ({amount} = "));
        self.bind(Bind::Number(cursor.amount));
        self.and("id < ", id);
        self.sql.push_str("))");
    }

    /// Rows that have a text in a field, whatever the case of its letters.
    fn search(&mut self, text: &str) {
        let escaped = text.replace('!', "!!").replace('%', "!%").replace('_', "!_");
        self.sql.push_str(" and (");
        for (at, column) in SEARCHED.iter().enumerate() {
            self.sql.push_str(if at > 0 { " or " } else { "" });
            self.sql.push_str(&format!("lower({column}) like lower("));
            self.text(&format!("%{escaped}%"));
            self.sql.push_str(") escape '!'");
        }
        self.sql.push(')');
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

    /// A value of a caller's, as it stands in rows.
    fn text(&mut self, value: &str) {
        self.bind(Bind::Text(self.engine.storable(value).into_owned()));
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
            By::Hour | By::Day | By::Week | By::Month => self.span(filter, time),
            By::Tag(tag) => self.tag(tag, value),
            By::Column(column) => self.column(column, value),
        }
    }

    fn column(&mut self, column: &RequestColumn, value: Option<&str>) {
        let Some(value) = value else { return self.sql.push_str(&format!("{} is null", column.name)) };
        self.sql.push_str(&format!("{} = ", column.name));
        match value.parse() {
            Ok(number) if column.is_number => self.bind(Bind::Number(number)),
            _ => self.text(value),
        }
        // Reports write a model as `provider/model`; its name alone will do.
        if column.name == "model" {
            self.sql.push_str(" or provider || '/' || model = ");
            self.text(value);
        }
    }

    fn span(&mut self, filter: &Filter, time: &str) {
        let (from, to) = filter.span.unwrap_or((0, 0));
        self.sql.push_str(&format!("{time} >= "));
        self.bind(Bind::Number(from));
        self.sql.push_str(&format!(" and {time} < "));
        self.bind(Bind::Number(to));
    }

    fn tag(&mut self, tag: &str, value: Option<&str>) {
        self.sql.push_str(if value.is_none() { "not " } else { "" });
        self.sql.push_str(&format!("exists (select 1 from {} as tag where tag.key = ", self.engine.members("tags")));
        self.text(tag);
        if let Some(value) = value {
            self.sql.push_str(" and tag.value = ");
            self.text(value);
        }
        self.sql.push(')');
    }
}
