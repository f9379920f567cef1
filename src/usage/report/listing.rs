//! What a list of requests is asked: its period, its filters, its order, and where the page before ended.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::filter::Filter;
use super::period::{Period, zone};
use crate::types::{Nanos, RequestId, Timestamp};
use crate::usage::error::Error;

/// The most rows of a page.
pub(super) const LARGEST_PAGE: u32 = 500;
/// The most filters.
const MOST_FILTERS: usize = 64;
/// The longest text to search for.
const LONGEST_SEARCH: usize = 256;
/// The orders by name.
const ORDERS: [(&str, Order); 3] = [("started", Order::Started), ("cost", Order::Cost), ("latency", Order::Latency)];

/// What requests are sorted by; what is unknown stands last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The newest first.
    #[default]
    Started,
    /// The dearest first.
    Cost,
    /// The slowest first.
    Latency,
}

/// Where a page ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    order: Order,
    /// The last row's cost or latency, -1 where it is unknown; 0 in the order of starts.
    pub(in crate::usage) amount: i64,
    /// The last row.
    pub(in crate::usage) id: RequestId,
}

/// What a list is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Only these; several for one dimension are alternatives.
    pub filters: Vec<Filter>,
    /// The first moment.
    pub from: Option<Timestamp>,
    /// The first moment no more.
    pub to: Option<Timestamp>,
    /// Only requests that cost this or more.
    pub min_cost: Option<Nanos>,
    /// Only this request.
    pub id: Option<RequestId>,
    /// Only requests that have this text in a field.
    pub search: Option<String>,
    /// What they are sorted by.
    pub order: Order,
    /// Where the page before ended.
    pub cursor: Option<Cursor>,
    /// Rows of a page, at most 500.
    pub limit: Option<u32>,
}

impl Listing {
    /// Reads `from`, `to`, `last`, `tz`, `sort`, `min_cost`, `id`, `q`, `cursor`, `limit` and filters.
    ///
    /// # Errors
    /// [`Error::Parameter`] names what is not understood.
    pub fn parse<'a>(parameters: impl IntoIterator<Item = (&'a str, &'a str)>, now: Timestamp) -> Result<Self, Error> {
        let parameters: Vec<_> = parameters.into_iter().collect();
        let zone = zone(&parameters)?;
        let (mut listing, mut period) = (Self::default(), Period::default());
        for (name, value) in parameters {
            match name {
                "tz" => {}
                _ if period.takes(name, value) || listing.takes(name, value)? => {}
                _ => listing.filters.push(Filter::parse_in(&zone, name, value)?),
            }
        }
        if listing.filters.len() > MOST_FILTERS {
            return Err(Error::parameter("filter", format!("at most {MOST_FILTERS} filters")));
        }
        (listing.from, listing.to) = period.read(&zone, now)?;
        if listing.cursor.is_some_and(|cursor| cursor.order != listing.order) {
            return Err(Error::parameter("cursor", "this cursor is of another `sort`"));
        }
        Ok(listing)
    }

    /// Takes a parameter that is neither a time nor a filter.
    fn takes(&mut self, name: &str, value: &str) -> Result<bool, Error> {
        match name {
            "cursor" => {
                let cursor =
                    value.parse().map_err(|()| Error::parameter(name, "use the next_cursor of the page before"))?;
                self.cursor = Some(cursor);
            }
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=LARGEST_PAGE).contains(limit));
                let limit = limit.ok_or_else(|| Error::parameter(name, format!("use 1 to {LARGEST_PAGE}")))?;
                self.limit = Some(limit);
            }
            "sort" => self.order = order(value)?,
            "min_cost" => {
                let amount = value.parse::<Nanos>().ok().filter(|amount| *amount >= Nanos(0));
                let amount = amount.ok_or_else(|| Error::parameter(name, "use an amount in dollars such as 0.05"))?;
                self.min_cost = Some(amount);
            }
            "id" => {
                let id = value.parse().map_err(|_| Error::parameter(name, "use the id of a request"))?;
                self.id = Some(id);
            }
            "q" => {
                let search = Some(value.to_owned()).filter(|text| (1..=LONGEST_SEARCH).contains(&text.len()));
                self.search = Some(
                    search
                        .ok_or_else(|| Error::parameter(name, format!("use a text of 1 to {LONGEST_SEARCH} bytes")))?,
                );
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn order(name: &str) -> Result<Order, Error> {
    let found = ORDERS.iter().find(|(known, _)| *known == name || (name == "started_at" && *known == "started"));
    found.map(|(_, order)| *order).ok_or_else(|| {
        let shown: String = name.chars().take(80).collect();
        Error::parameter("sort", format!("`{shown}` is not one of started, cost, latency"))
    })
}

impl Cursor {
    /// Where a page in this order ends with a row of this cost or latency.
    pub(super) fn at(order: Order, amount: i64, id: RequestId) -> Self {
        Self { order, amount, id }
    }
}

/// The last row's id; in another order than by start, its name and the row's amount come before.
impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = ORDERS.iter().find(|(_, order)| *order == self.order).map_or("", |(name, _)| name);
        match self.order {
            Order::Started => write!(f, "{}", self.id),
            _ => write!(f, "{name}.{}.{}", self.amount, self.id),
        }
    }
}

impl FromStr for Cursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.splitn(3, '.');
        let (Some(first), second, third) = (parts.next(), parts.next(), parts.next()) else { return Err(()) };
        let (Some(amount), Some(id)) = (second, third) else {
            return text.parse().map(|id| Self::at(Order::Started, 0, id)).map_err(|_| ());
        };
        let order = ORDERS.iter().find(|(name, order)| *name == first && *order != Order::Started).ok_or(())?.1;
        Ok(Self::at(order, amount.parse().map_err(|_| ())?, id.parse().map_err(|_| ())?))
    }
}

impl Serialize for Cursor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_that_is_not_understood_is_named() {
        let cost = Cursor::at(Order::Cost, 5, RequestId::default()).to_string();
        for (name, value) in [
            ("cursor", "x"),
            ("cursor", "colour.5.019abd2c-7f10-7a33-b2c4-5d6e7f8090a1"),
            ("cursor", &cost),
            ("limit", "0"),
            ("limit", "501"),
            ("sort", "colour"),
            ("min_cost", "-1"),
            ("min_cost", "cheap"),
            ("min_cost", "nan"),
            ("id", "x"),
            ("q", ""),
            ("status", "bad"),
            ("from", "last week"),
            ("last", "soon"),
            ("tz", "Mars"),
            ("colour", "red"),
        ] {
            let error = Listing::parse([(name, value)], Timestamp(0)).unwrap_err();
            assert!(matches!(&error, Error::Parameter { name: named, .. } if named == name), "{name}={value}: {error}");
        }
    }

    #[test]
    fn a_cursor_is_read_as_it_is_written() {
        let id = RequestId::default();
        for (order, amount) in [(Order::Started, 0), (Order::Cost, -1), (Order::Cost, i64::MAX), (Order::Latency, 17)] {
            let cursor = Cursor::at(order, amount, id);
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
    }
}
