//! What calls cost: prices, the ledger of requests and attempts, its hourly sums, and reports from them.

mod columns;
mod error;
mod journal;
mod ledger;
mod lock;
mod price;
mod report;
mod rows;
mod settling;
mod shared;
mod store;
#[cfg(test)]
mod tests;

pub use error::{Error, Unavailable};
pub use journal::SegmentRefs;
#[cfg(any(test, fuzzing))]
pub(crate) use journal::checked;
pub use ledger::{Ack, Intended, Ledger, Options};
pub use price::{About, Price, PriceBook, PriceOverride, Rates, UnitPrices};
pub use report::{
    Dimension, Filter, Listing, Page, Percentiles, Query, Recorded, Report, ReportRow, Totals, Value, report, request,
    requests,
};
pub use rows::{AttemptRow, Bodies, CacheState, Intent, RequestRow, Settlement, Status};
pub use store::{Histogram, erase, prune, some_requests, texts};
