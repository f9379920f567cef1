//! Reports and lists: what they are asked, and what they answer.

pub(super) mod dimension;
mod figures;
pub(super) mod filter;
mod fold;
mod listing;
mod period;
mod query;
mod requests;
mod row;
mod sort;
mod table;
mod value;

pub use dimension::Dimension;
pub use filter::Filter;
pub use fold::{AsIf, Charge, Measured, Percentiles, Totals};
pub use listing::{Cursor, Listing, Order};
pub use query::Query;
pub use requests::{Page, Recorded, request, requests, requests_csv};
pub use row::ReportRow;
pub use sort::Sort;
pub use table::{Report, inert, report, report_as_if};
pub use value::Value;
