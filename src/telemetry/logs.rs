//! Logs on stderr: JSON lines, or plain text on a terminal. A reader that stops reading them delays no call.

use std::io::{IsTerminal, stderr};

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use super::access_log::TARGET;

/// So many lines wait for a reader; beyond them lines are lost rather than calls held up.
const LINES_WAITING: usize = 16_384;

/// Writes the waiting logs when it is dropped, as far as they are read.
#[must_use = "the last lines are written when this goes"]
#[derive(Debug)]
pub struct Logs(#[expect(dead_code, reason = "it works by being dropped")] WorkerGuard);

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

/// What is logged where `RUST_LOG` says nothing. Lines of calls are written only where they are asked for, at a level of their
/// own: an owner of many calls may want these and no other line below a warning.
fn usual(level: &str) -> String {
    match level {
        "error" | "warn" => format!("warn,fulcrum={level},{TARGET}=info"),
        _ => format!("warn,fulcrum={level}"),
    }
}

/// Starts the logs, once a process. `RUST_LOG` chooses levels in detail; without it `level` is the least for Fulcrum,
/// and `warn` for the libraries.
pub fn start_logs(level: &str, format: LogFormat) -> Logs {
    let usual = || EnvFilter::new(usual(level));
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| usual());
    let is_json = match format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !stderr().is_terminal(),
    };
    let (writer, guard) =
        NonBlockingBuilder::default().lossy(true).buffered_lines_limit(LINES_WAITING).finish(stderr());
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    let started = if is_json {
        logs.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    } else {
        logs.with_ansi(stderr().is_terminal()).with_target(false).compact().try_init()
    };
    if started.is_err() {
        tracing::debug!("logs were started before");
    }
    Logs(guard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_calls_that_an_owner_asks_for_are_written_at_any_level_but_off() {
        let shown = ["off", "error", "warn", "info", "debug"].map(usual);
        assert_eq!(
            shown,
            [
                "warn,fulcrum=off",
                "warn,fulcrum=error,fulcrum::access=info",
                "warn,fulcrum=warn,fulcrum::access=info",
                "warn,fulcrum=info",
                "warn,fulcrum=debug",
            ]
        );
        assert!(shown.iter().all(|filter| filter.parse::<EnvFilter>().is_ok()));
    }
}
