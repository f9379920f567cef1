//! Reports and lists: what they are asked, and what they answer.

pub(super) mod dimension;
pub(super) mod filter;
mod fold;
mod query;
mod requests;
mod table;
mod value;

pub use dimension::Dimension;
pub use filter::Filter;
pub use fold::{Percentiles, Totals};
pub use query::Query;
pub use requests::{Listing, Page, Recorded, request, requests};
pub use table::{Report, ReportRow, report};
pub use value::Value;
