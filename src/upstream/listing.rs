//! The models that a provider's server lists itself, asked for beside the calls and kept for a bounded time.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use serde_json::Value;
use tokio::time::Instant;

use crate::types::{ModelName, Timestamp};

/// How long the server may take to list them.
pub(super) const LIMIT: Duration = Duration::from_secs(3);

/// The most bytes of a list.
pub(super) const LONGEST: usize = 4 << 20;

/// How old a list gets before it is asked for again, and how soon one that could not be read is.
const FRESH: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_secs(10);

/// How old a list gets before it counts no more, where its server does not answer.
const KEPT: Duration = Duration::from_secs(600);

/// The most models of a list.
const MOST: usize = 1_000;

/// One model of a server's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedModel {
    /// The server's name for it.
    pub id: ModelName,
    /// When it was made, in seconds since 1970, where the server says so.
    pub created: Option<i64>,
    /// The most tokens that it reads, where the server says so.
    pub context: Option<u64>,
}

/// What a server listed, and when.
#[derive(Debug)]
struct Report {
    at: Instant,
    models: Arc<[ListedModel]>,
}

/// A server's list as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Listing {
    known: ArcSwapOption<Report>,
    /// From when it may be asked for again.
    due: Mutex<Option<Instant>>,
}

impl Listing {
    /// The models; none where no list is known that is new enough.
    pub(super) fn models(&self, now: Instant) -> Arc<[ListedModel]> {
        let report = self.known.load();
        let fresh = report.as_ref().filter(|report| now.saturating_duration_since(report.at) < KEPT);
        fresh.map_or_else(Arc::default, |report| report.models.clone())
    }

    /// Whether it is time to ask; whoever is told so asks, and nobody else meanwhile.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = due.is_none_or(|due| now >= due);
        if is_due {
            *due = Some(now + LIMIT + AGAIN);
        }
        is_due
    }

    /// Notes what the server listed, or that no list could be read.
    pub(super) fn note(&self, models: Option<Vec<ListedModel>>, now: Instant) {
        let after = if models.is_some() { FRESH } else { AGAIN };
        *self.due.lock().unwrap_or_else(PoisonError::into_inner) = Some(now + after);
        if let Some(models) = models {
            self.known.store(Some(Arc::new(Report { at: now, models: models.into() })));
        }
    }
}

/// A server's list, as OpenAI, Anthropic or Google writes it; the first models of a longer one, and none with a name that nobody
/// could call.
pub(super) fn read(list: &[u8]) -> Option<Vec<ListedModel>> {
    let list: Value = serde_json::from_slice(list).ok()?;
    let rows = ["data", "models"].iter().find_map(|name| list.get(*name)?.as_array())?;
    let mut seen = HashSet::new();
    let models = rows.iter().filter_map(read_one).filter(|model| seen.insert(model.id.clone()));
    Some(models.take(MOST).collect())
}

fn read_one(row: &Value) -> Option<ListedModel> {
    let name = ["id", "name"].iter().find_map(|field| row.get(*field)?.as_str())?;
    let id: ModelName = name.strip_prefix("models/").unwrap_or(name).parse().ok()?;
    let made = || Some(row.get("created_at")?.as_str()?.parse::<Timestamp>().ok()?.0 / 1_000_000);
    let created = row.get("created").and_then(Value::as_i64).or_else(made).filter(|seconds| *seconds > 0);
    let lengths = [
        "/max_model_len",
        "/context_length",
        "/context_window",
        "/max_input_tokens",
        "/inputTokenLimit",
        "/meta/n_ctx_train",
    ];
    let context = lengths.iter().find_map(|path| row.pointer(path)?.as_u64().filter(|tokens| *tokens > 0));
    Some(ListedModel { id, created, context })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ids(list: &Value) -> Option<Vec<String>> {
        Some(read(list.to_string().as_bytes())?.iter().map(|model| model.id.to_string()).collect())
    }

    #[test]
    fn lists_of_each_shape_are_read_and_bounded() {
        let openai = json!({"object": "list", "data": [
            {"id": "org/m-1", "created": 1_700_000_000, "max_model_len": 4096}, {"id": "org/m-1"}, {"id": "zero", "max_model_len": 0}, {"id": "a b"}, {"id": 3}, {},
        ]});
        let read_back = read(openai.to_string().as_bytes()).unwrap();
        let only = ListedModel { id: "org/m-1".parse().unwrap(), created: Some(1_700_000_000), context: Some(4_096) };
        let zero = ListedModel { id: "zero".parse().unwrap(), created: None, context: None };
        assert_eq!(read_back, [only, zero]);
        let anthropic = json!({"data": [{"type": "model", "id": "claude", "created_at": "2025-05-14T00:00:00Z"}]});
        assert_eq!(read(anthropic.to_string().as_bytes()).unwrap()[0].created, Some(1_747_180_800));
        assert_eq!(ids(&json!({"models": [{"name": "models/gemini"}]})).unwrap(), ["gemini"]);
        // llama.cpp has both.
        let both = json!({"models": [{"name": "x"}], "data": [{"id": "y", "meta": {"n_ctx_train": 2048}}]});
        assert_eq!(ids(&both).unwrap(), ["y"]);
        let many: Vec<Value> = (0..5_000).map(|n| json!({"id": format!("m{n}")})).collect();
        assert_eq!(ids(&json!({ "data": many })).unwrap().len(), MOST);
        for none in [json!({}), json!([]), json!({"data": "x"}), json!({"error": {"message": "no"}})] {
            assert_eq!(ids(&none), None, "{none}");
        }
        assert!(read(b"<html>").is_none());
    }

    #[test]
    fn a_list_is_asked_for_again_in_time_and_forgotten_in_the_end() {
        let (listing, start) = (Listing::default(), Instant::now());
        let count = |after: Duration| listing.models(start + after).len();
        assert!(listing.is_due(start) && !listing.is_due(start), "one asks");
        assert_eq!(count(Duration::ZERO), 0);
        listing.note(read(br#"{"data": [{"id": "a"}]}"#), start);
        assert!(!listing.is_due(start + Duration::from_secs(59)) && listing.is_due(start + FRESH));
        listing.note(None, start + FRESH);
        assert!(!listing.is_due(start + FRESH) && listing.is_due(start + FRESH + AGAIN));
        assert_eq!(
            (count(KEPT - Duration::from_secs(1)), count(KEPT)),
            (1, 0),
            "a dead server's list counts for a while"
        );
    }
}
