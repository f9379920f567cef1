//! One call, from admission to its row in the ledger.

mod attempt;
mod call;
mod embed;
mod explain;
mod feed;
mod incoming;
mod line;
mod memo;
mod meter;
mod once;
mod pass;
mod plan;
mod price;
mod prompt;
mod repair;
mod reply;
mod shared;
mod state;
mod stream;

pub use explain::{Explanation, ModelCard, models};
pub use incoming::{Endpoint, Incoming};
pub use line::{Handed, Owner, Prepared, Said};
pub use price::KnownPrices;
pub use reply::{Body, Cut, Departure, Head, Repair, Reply, refusal};
pub use state::{Gateway, Live, Parts};
