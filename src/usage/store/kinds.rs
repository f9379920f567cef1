//! What many requests have in common: written once an hour, so that a request's row is little but numbers.

use std::sync::Arc;

use crate::types::QuickMap;
use crate::usage::rows::{AttemptRow, CacheState, RequestRow, Settlement, Status};

/// So many of the last kinds are compared before the others are searched.
const RECENT: usize = 8;

/// What a request has in common with others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::usage) struct Kind {
    pub(in crate::usage) project: Arc<str>,
    pub(in crate::usage) key_id: Arc<str>,
    pub(in crate::usage) endpoint: Arc<str>,
    pub(in crate::usage) requested_model: Arc<str>,
    pub(in crate::usage) provider: Option<Arc<str>>,
    pub(in crate::usage) model: Option<Arc<str>>,
    pub(in crate::usage) route: Option<Arc<str>>,
    pub(in crate::usage) prompt: Option<Arc<str>>,
    pub(in crate::usage) version: Option<u32>,
    pub(in crate::usage) error_code: Option<Arc<str>>,
    /// The rate of the attempt that its request's row holds.
    pub(in crate::usage) rate: Option<Arc<str>>,
    pub(in crate::usage) trace: Option<Arc<str>>,
    pub(in crate::usage) http_status: u16,
    pub(in crate::usage) status: Status,
    pub(in crate::usage) cache: CacheState,
    pub(in crate::usage) stream: bool,
    pub(in crate::usage) estimated: bool,
    pub(in crate::usage) unpriced: bool,
}

/// The kinds that the writer knows.
#[derive(Debug)]
pub(in crate::usage) struct Kinds {
    next: i64,
    at: QuickMap<Kind, i64>,
    /// Those that were met last, which most are of.
    recent: Vec<(i64, Kind)>,
    /// Which of them makes room next.
    oldest: usize,
    /// Those that are not committed.
    new: Vec<(i64, Kind)>,
}

impl Kind {
    pub(in crate::usage) fn of(row: &RequestRow, rate: Option<&Arc<str>>) -> Self {
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
            trace: row.trace.clone(),
            http_status: row.http_status,
            status: row.status,
            cache: row.cache,
            stream: row.stream,
            estimated: row.usage.is_some_and(|usage| usage.estimated),
            unpriced: row.unpriced,
        }
    }

    /// Whether a request is of this kind: as if its own were made and compared, without touching what its texts are counted in,
    /// which other threads have in their caches.
    fn takes(&self, row: &RequestRow, rate: Option<&Arc<str>>) -> bool {
        self.requested_model == row.requested_model
            && self.key_id == row.key_id
            && self.status == row.status
            && self.cache == row.cache
            && self.model == row.model
            && self.provider == row.provider
            && self.route == row.route
            && self.trace == row.trace
            && self.rate.as_ref() == rate
            && self.endpoint == row.endpoint
            && self.project == row.project
            && self.prompt == row.prompt
            && self.version == row.version
            && self.error_code == row.error_code
            && self.http_status == row.http_status
            && self.stream == row.stream
            && self.estimated == row.usage.is_some_and(|usage| usage.estimated)
            && self.unpriced == row.unpriced
    }
}

impl Kinds {
    /// No kinds; their numbers begin with `next`.
    pub(in crate::usage) fn new(next: i64) -> Self {
        Self { next, at: QuickMap::default(), recent: Vec::new(), oldest: 0, new: Vec::new() }
    }

    /// Lets go of all: what was not committed of them is forgotten.
    pub(in crate::usage) fn clear(&mut self) {
        self.at.clear();
        self.recent.clear();
        self.new.clear();
    }

    /// Numbers new kinds from `next` at least.
    pub(in crate::usage) fn number_from(&mut self, next: i64) {
        self.clear();
        self.next = self.next.max(next);
    }

    pub(in crate::usage) fn len(&self) -> usize {
        self.at.len()
    }

    /// The number of a request's kind.
    pub(in crate::usage) fn number(&mut self, row: &RequestRow, rate: Option<&Arc<str>>) -> i64 {
        if let Some((number, _)) = self.recent.iter().find(|(_, kind)| kind.takes(row, rate)) {
            return *number;
        }
        let kind = Kind::of(row, rate);
        let number = match self.at.get(&kind) {
            Some(number) => *number,
            None => {
                let number = self.next;
                self.next += 1;
                self.new.push((number, kind.clone()));
                self.at.insert(kind.clone(), number);
                number
            }
        };
        if self.recent.len() < RECENT {
            self.recent.push((number, kind));
        } else {
            self.recent[self.oldest] = (number, kind);
            self.oldest = (self.oldest + 1) % RECENT;
        }
        number
    }

    /// The kinds that are not committed.
    pub(in crate::usage) fn unwritten(&self) -> &[(i64, Kind)] {
        &self.new
    }

    /// Tells that the new kinds are committed.
    pub(in crate::usage) fn written(&mut self) {
        self.new.clear();
    }
}

impl Settlement {
    /// The attempt that the request's row can hold: the only one, where it says nothing else than the request.
    pub(in crate::usage) fn only_attempt(&self) -> Option<&AttemptRow> {
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
