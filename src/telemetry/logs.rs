//! Logs on stderr: JSON lines, or plain text on a terminal.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// A JSON object a line.
    Json,
    /// Plain text.
    Text,
}

/// Starts the logs, once a process. `RUST_LOG` chooses levels in detail; without it `level` is the least for Fulcrum,
/// and `warn` for the libraries.
pub fn start_logs(level: &str, format: LogFormat) {
    let usual = || EnvFilter::new(format!("warn,fulcrum={level}"));
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| usual());
    let is_json = match format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !stderr().is_terminal(),
    };
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    let started = if is_json {
        logs.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    } else {
        logs.with_ansi(stderr().is_terminal()).with_target(false).compact().try_init()
    };
    if started.is_err() {
        tracing::debug!("logs were started before");
    }
}
