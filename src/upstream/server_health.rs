//! Whether a local server is well, as it reports itself: asked now and then, beside the calls.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::failure::Failure;

/// How often a server is asked.
const EVERY: Duration = Duration::from_secs(5);

/// How long a server may take to report.
pub(super) const LIMIT: Duration = Duration::from_secs(2);

/// How long a report counts where no other follows.
pub const REPORT_COUNTS: Duration = Duration::from_secs(15);

/// The most bytes of a report that are read.
pub(super) const LONGEST: usize = 4 << 10;

/// A server that is busy may be late once.
const LATE: u32 = 2;

/// When a server was asked, and how often in a row it was late.
#[derive(Debug, Default)]
pub(super) struct Reports {
    asked: Mutex<Option<Instant>>,
    late: AtomicU32,
}

/// What a server reports of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerHealth {
    /// It takes calls, or says nothing of its health.
    Well,
    /// It takes none, for this reason.
    Down(String),
    /// It was late once: what was known still holds.
    Unknown,
}

impl Reports {
    /// Whether the server is to be asked now; whoever is told so asks.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = asked.is_none_or(|asked| now.saturating_duration_since(asked) >= EVERY);
        if is_due {
            *asked = Some(now);
        }
        is_due
    }

    /// What an answer to the question for its health says of the server.
    pub(super) fn note(&self, answer: Result<(u16, Vec<u8>), Failure>) -> ServerHealth {
        let late = match &answer {
            Err(Failure::TimedOut(_)) => self.late.fetch_add(1, Ordering::Relaxed) + 1,
            _ => {
                self.late.store(0, Ordering::Relaxed);
                0
            }
        };
        meaning(answer, late)
    }
}

/// What an answer says, or that there is none; `late` is how many in a row did not come in time.
fn meaning(answer: Result<(u16, Vec<u8>), Failure>, late: u32) -> ServerHealth {
    let down = |reason: &str| ServerHealth::Down(reason.to_owned());
    match answer {
        Ok((503, body)) if loads(&body) => down("its server loads a model (503)"),
        Ok((503, _)) => down("its server reports that it is not ready (503)"),
        Ok((status @ 500..=599, _)) => ServerHealth::Down(format!("its server reports an error ({status})")),
        // Another address than that of its health: nothing is known, so calls show it.
        Ok(_) => ServerHealth::Well,
        Err(Failure::TimedOut(_)) if late < LATE => ServerHealth::Unknown,
        Err(Failure::TimedOut(_)) => down("its server does not report its health in time"),
        Err(Failure::Connect(_)) => down("its server cannot be reached"),
        Err(_) => down("its server broke off the report of its health"),
    }
}

/// Whether a server says that it loads its model, as llama.cpp does.
fn loads(body: &[u8]) -> bool {
    let said = String::from_utf8_lossy(body).to_ascii_lowercase();
    said.contains("loading")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Phase;

    #[test]
    fn a_report_means_what_its_status_says() {
        let down = |reason: &str| ServerHealth::Down(reason.to_owned());
        let loading = br#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#;
        for (status, body, health) in [
            (200, &br#"{"status":"ok"}"#[..], ServerHealth::Well),
            (404, b"", ServerHealth::Well),
            (401, b"", ServerHealth::Well),
            (503, loading, down("its server loads a model (503)")),
            (503, b"", down("its server reports that it is not ready (503)")),
            (500, b"", down("its server reports an error (500)")),
        ] {
            assert_eq!(meaning(Ok((status, body.to_vec())), 0), health, "{status}");
        }
        let late = || Err(Failure::TimedOut(Phase::Total));
        assert_eq!(meaning(late(), 1), ServerHealth::Unknown);
        assert_eq!(meaning(late(), 2), down("its server does not report its health in time"));
        assert_eq!(meaning(Err(Failure::Connect("refused".to_owned())), 0), down("its server cannot be reached"));
    }
}
