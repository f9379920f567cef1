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
mod state;
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
    AsIf, Charge, Cursor, Dimension, Filter, Listing, Measured, Order, Page, Percentiles, Query, Recorded, Report,
    ReportRow, Sort, Totals, Value, inert, report, report_as_if, request, requests, requests_csv,
};
pub use rows::{
    Assignment, AttemptRow, Bodies, CacheState, Intent, Purpose, RequestRow, Role, SEMANTIC_UNCOMPARED, SEMANTIC_WRONG,
    Settlement, Status,
};
pub use state::LedgerState;
pub use store::{
    ArmTotals, ErasedTexts, Histogram, LARGEST_PAGE_OF_PAIRS, Moments, Pair, Pairs, Trial, arm_totals, erase, pair,
    pairs, prompt_uses, prune, reported, slow_latency, slower_than, some_requests, spent_by_shadow, store_pair, texts,
    unreported,
};
