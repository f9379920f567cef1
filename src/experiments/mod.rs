//! Experiments: arms that are releases, units that keep their arm, decisions that hold at any look.

mod assign;
mod error;
mod experiment;
mod line;
mod look;
mod metric;
mod notice;
mod read;
mod registry;
mod spec;
mod store;
#[cfg(test)]
mod tests;

pub use assign::{Assigned, Caller};
pub use error::Error;
pub use experiment::{Author, Decision, Experiment, State};
pub use line::{Line, Place};
pub use look::{Look, Samples, Seen, Tally, Verdict};
pub use metric::{Better, Metric, SLOWEST};
pub use notice::Notice;
pub use registry::{Experiments, TOPIC};
pub use spec::{Arm, Goal, Guardrail, Margin, Spec, UnitKind};
