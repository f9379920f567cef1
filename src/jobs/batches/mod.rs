//! Runs batches: here, line by line, or in the hands of providers' own batch APIs.

mod ahead;
mod call;
mod finalize;
mod native;
mod places;
mod reader;
mod run;
mod runner;
mod shared;
mod turns;
mod validate;

pub use runner::Runner;
pub use shared::Work;
