//! Ids, names, money, times, secrets and diagnostics: parsed once, then trusted.

mod diagnostic;
mod duration;
mod id;
mod map;
mod money;
mod name;
mod near;
mod secret;
mod share;
mod time;
mod version;
mod zone;

pub use diagnostic::{Diagnostic, Place, Position};
pub use duration::{parse_duration, parse_size};
pub use id::RequestId;
pub use map::{QuickMap, QuickSet};
pub use money::{NanoSum, Nanos, Rate};
pub use name::{ArmName, BadName, ExperimentName, Label, ModelName, PromptName};
pub use near::{did_you_mean, nearest};
pub use secret::Secret;
pub use share::Share;
pub use time::{Timestamp, now};
pub use version::VERSION;
pub use zone::{BadZone, Zone};
