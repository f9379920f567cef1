//! Providers' own batch APIs: what each takes and gives, and the calls of them.

mod anthropic;
mod api;
mod call;
mod openai;

pub(super) use anthropic::ANTHROPIC;
pub use api::{BatchApi, LineOutcome, ListedBatch, ListedBatches, Order, RemoteBatch, RemoteState, id_of};
pub use call::{BatchApiCall, Payload};
pub(super) use openai::OPENAI;
