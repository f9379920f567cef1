//! The adapters that a llama.cpp server puts on its model by itself, and their scales.
//!
//! A request that names none takes those of the request before, whose cached prompt the server reuses (llama.cpp #26207). So
//! each request names what the server started with, which `GET /lora-adapters` reports.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

/// How long the server may take to report them.
pub(super) const LIMIT: Duration = Duration::from_secs(1);

/// How old a report gets before it is read again, beside the calls.
const FRESH: Duration = Duration::from_secs(5);

/// The most adapters that a request names.
const MOST: usize = 256;

/// The adapters as far as they are known.
#[derive(Debug, Default)]
pub(super) struct Adapters {
    /// As a request's `lora` names them.
    known: ArcSwapOption<String>,
    /// When they were asked for last.
    asked: Mutex<Option<Instant>>,
    /// One asks at a time; calls that need the first answer wait for it.
    pub(super) asking: tokio::sync::Mutex<()>,
}

/// One adapter of the report; its other fields are not needed.
#[derive(Deserialize)]
struct Row {
    id: u32,
    scale: f64,
}

impl Adapters {
    /// The server's own adapters, as `lora` names them; `None` where they are not known.
    pub(super) fn known(&self) -> Option<Arc<String>> {
        self.known.load_full()
    }

    /// Whether a call should ask before it goes out: nothing is known, and somebody asks just now, or nobody did lately.
    pub(super) fn is_unknown(&self, now: Instant) -> bool {
        self.known.load().is_none() && (self.is_due(now) || self.asking.try_lock().is_err())
    }

    /// Whether it is time to ask again.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.is_none_or(|asked| now.saturating_duration_since(asked) >= FRESH)
    }

    /// Notes that somebody asks.
    pub(super) fn ask(&self, now: Instant) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    /// Notes what the server reported; returns whether that differs from what was known. A report that cannot be read changes
    /// nothing.
    pub(super) fn note(&self, report: &[u8]) -> bool {
        let Some(read) = read(report) else { return false };
        let before = self.known.swap(Some(Arc::new(read.clone())));
        before.is_some_and(|before| *before != read)
    }
}

/// A report as `lora` names its adapters.
fn read(report: &[u8]) -> Option<String> {
    let rows: Vec<Row> = serde_json::from_slice(report).ok()?;
    let named: Vec<_> = rows.iter().map(|row| json!({"id": row.id, "scale": row.scale})).collect();
    (rows.len() <= MOST).then(|| json!(named).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_and_what_is_none_changes_nothing() {
        let (adapters, now) = (Adapters::default(), Instant::now());
        assert!(adapters.is_unknown(now));
        adapters.ask(now);
        assert!(!adapters.is_unknown(now) && adapters.is_unknown(now + FRESH));
        let known = || adapters.known().map(|known| known.to_string());
        assert!(!adapters.note(br#"{"error": {"code": 404}}"#));
        assert_eq!(known(), None);
        let report =
            br#"[{"id": 0, "path": "a.gguf", "scale": 1.0, "task_name": ""}, {"id": 2, "path": "b", "scale": 0.25}]"#;
        assert!(!adapters.note(report), "the first report is no change");
        assert_eq!(known().as_deref(), Some(r#"[{"id":0,"scale":1.0},{"id":2,"scale":0.25}]"#));
        assert!(!adapters.note(report) && !adapters.note(b"[{\"id\": -1}]") && !adapters.note(b""));
        assert!(!adapters.is_unknown(now + FRESH) && adapters.is_due(now + FRESH));
        assert!(adapters.note(b"[]"));
        assert_eq!(known().as_deref(), Some("[]"));
    }
}
