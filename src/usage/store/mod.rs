//! The ledger's tables: the one writer with its hourly sums, the queries, and what is deleted.

pub(super) mod commit;
pub(super) mod conditions;
pub(super) mod histogram;
mod kinds;
pub(super) mod queries;
pub(super) mod rollup;
mod statements;
pub(super) mod writer;

pub use histogram::Histogram;
pub use queries::prune;
