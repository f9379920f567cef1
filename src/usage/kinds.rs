//! What many requests have in common: written once an hour, so that a request's row is little but numbers.

use std::collections::HashMap;
use std::sync::Arc;

use super::rows::{AttemptRow, CacheState, RequestRow, Settlement, Status};

/// What a request has in common with others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Kind {
    pub(super) project: Arc<str>,
    pub(super) key_id: Arc<str>,
    pub(super) endpoint: Arc<str>,
    pub(super) requested_model: Arc<str>,
    pub(super) provider: Option<Arc<str>>,
    pub(super) model: Option<Arc<str>>,
    pub(super) route: Option<Arc<str>>,
    pub(super) prompt: Option<Arc<str>>,
    pub(super) version: Option<u32>,
    pub(super) error_code: Option<Arc<str>>,
    /// The rate of the attempt that its request's row holds.
    pub(super) rate: Option<Arc<str>>,
    pub(super) http_status: u16,
    pub(super) status: Status,
    pub(super) cache: CacheState,
    pub(super) stream: bool,
    pub(super) estimated: bool,
    pub(super) unpriced: bool,
}

/// The kinds that the writer knows.
#[derive(Debug)]
pub(super) struct Kinds {
    next: i64,
    at: HashMap<Kind, i64>,
    /// Those that are not committed.
    new: Vec<(i64, Kind)>,
}

impl Kind {
    pub(super) fn of(row: &RequestRow, rate: Option<&Arc<str>>) -> Self {
        Self {
            project: row.project.clone(),
            key_id: row.key_id.clone(),
            endpoint: row.endpoint.clone(),
            requested_model: row.requested_model.clone(),
            provider: row.provider.clone(),
            model: row.model.clone(),
            route: row.route.clone(),
            prompt: row.prompt.clone(),
            version: row.version,
            error_code: row.error_code.clone(),
            rate: rate.cloned(),
            http_status: row.http_status,
            status: row.status,
            cache: row.cache,
            stream: row.stream,
            estimated: row.usage.is_some_and(|usage| usage.estimated),
            unpriced: row.unpriced,
        }
    }
}

impl Kinds {
    /// No kinds; their numbers begin with `next`.
    pub(super) fn new(next: i64) -> Self {
        Self { next, at: HashMap::new(), new: Vec::new() }
    }

    /// Lets go of all: what was not committed of them is forgotten.
    pub(super) fn clear(&mut self) {
        self.at.clear();
        self.new.clear();
    }

    /// Numbers new kinds from `next` at least.
    pub(super) fn number_from(&mut self, next: i64) {
        self.clear();
        self.next = self.next.max(next);
    }

    pub(super) fn len(&self) -> usize {
        self.at.len()
    }

    /// The number of a kind.
    pub(super) fn number(&mut self, kind: Kind) -> i64 {
        if let Some(number) = self.at.get(&kind) {
            return *number;
        }
        let number = self.next;
        self.next += 1;
        self.new.push((number, kind.clone()));
        self.at.insert(kind, number);
        number
    }

    /// The kinds that are not committed.
    pub(super) fn unwritten(&self) -> &[(i64, Kind)] {
        &self.new
    }

    /// Tells that the new kinds are committed.
    pub(super) fn written(&mut self) {
        self.new.clear();
    }
}

impl Settlement {
    /// The attempt that the request's row can hold: the only one, where it says nothing else than the request.
    pub(super) fn only_attempt(&self) -> Option<&AttemptRow> {
        let [attempt] = &self.attempts[..] else { return None };
        let row = &self.request;
        let same = attempt.n == 1
            && row.provider.as_ref() == Some(&attempt.provider)
            && row.model.as_ref() == Some(&attempt.model)
            && attempt.status == row.status
            && row.status != Status::Unknown
            && attempt.http_status == Some(row.http_status).filter(|status| *status != 0)
            && attempt.error_code == row.error_code
            && !attempt.retryable
            && attempt.usage == row.usage
            && attempt.cost == row.cost;
        same.then_some(attempt)
    }
}
