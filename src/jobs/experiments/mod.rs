//! Experiments beside the calls: whether one can be made, what its arms' requests say, and what follows from that.

mod check;
mod decide;
mod runner;
mod seen;

pub use check::{create, start};
pub use runner::ExperimentRunner;
pub use seen::{Observed, ObservedArm, latencies, observe};
