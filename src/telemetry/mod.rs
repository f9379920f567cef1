//! Logs and metrics.

mod access_log;
mod logs;
mod metrics;

pub use access_log::{AccessLine, AccessLog};
pub use logs::{LogFormat, start_logs};
pub use metrics::{
    AttemptSeen, CacheSeen, Cooling, LedgerSeen, MeasuredSeen, Metrics, Observed, RequestSeen, TargetSeen, TextForm,
    Under,
};
