//! Background work that itself calls the gateway, or joins what it left with what is stored.

mod batches;
pub mod experiments;

pub use batches::{Runner, Work};
