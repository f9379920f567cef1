//! The ledger's tables: the one writer with its hourly sums, the queries, and what is deleted.

mod batch;
pub(super) mod commit;
pub(super) mod conditions;
mod dimensions;
pub(super) mod feedback;
pub(super) mod field;
pub(super) mod histogram;
mod pairs;
#[cfg(test)]
pub(super) mod portable;
mod prune;
pub(super) mod queries;
mod rare;
mod rollup;
mod statements;
pub(super) mod sums;
mod texts;
pub(super) mod trials;
mod values;
pub(super) mod writer;

pub use feedback::unreported;
pub use histogram::Histogram;
pub use pairs::{LARGEST_PAGE_OF_PAIRS, Pair, Pairs, pair, pairs, spent_by_shadow, store_pair};
pub use prune::prune;
pub use queries::prompt_uses;
pub use texts::{ErasedTexts, erase, some_requests, texts};
pub use trials::{ArmTotals, Moments, Trial, arm_totals, reported, slow_latency, slower_than};
