//! What calls cost: prices, the ledger of requests and attempts, its hourly sums, and reports from them.

mod book;
mod charge;
mod commit;
mod error;
mod fold;
mod histogram;
mod journal;
mod kinds;
mod ledger;
mod line;
mod price;
mod query;
mod recover;
mod report;
mod requests;
mod rollup;
mod rows;
mod statements;
mod store;
#[cfg(test)]
mod tests;
mod turn;
mod writer;

pub use book::{PriceBook, PriceOverride};
pub use charge::{Charge, Extra};
pub use error::{Error, Unavailable};
pub use fold::{Percentiles, Totals};
pub use histogram::Histogram;
pub use journal::Held;
pub use ledger::{Ack, Intended, Ledger, Options};
pub use price::{About, Price, Rates, UnitPrices};
pub use query::{Dimension, Filter, Query};
pub use report::{Report, ReportRow, Value, report};
pub use requests::{Listing, Page, Recorded, request, requests};
pub use rows::{AttemptRow, Bodies, CacheState, Intent, RequestRow, Settlement, Status};
pub use store::prune;
