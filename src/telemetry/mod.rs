//! Logs and metrics: what the gateway says of itself.

mod logs;
mod metrics;

pub use logs::{LogFormat, start_logs};
pub use metrics::{AttemptSeen, Metrics, RequestSeen, Under};
