//! Background work that itself calls the gateway.

mod batches;

pub use batches::{Runner, Work};
