//! Answers in memory: stored under their key, found by it or by a question that means the same, and shared while they still come
//! in.

mod directive;
mod entry;
mod flight;
mod key;
mod question;
mod semantic;
mod translate;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use moka::ops::compute::Op;

use self::flight::{Flights, Place};
use self::semantic::Semantic;
use crate::types::{PromptName, QuickSet, Timestamp};

pub use self::directive::{BadDirective, Directive};
pub use self::entry::{Entry, Replay};
pub use self::flight::{Aborted, Follower, Lead, Outcome, Spent};
pub use self::key::{CacheKey, Keyer, Scope};
pub use self::question::{bucket_key, question_key};
pub use self::semantic::{Difference, Nearest, Question, Scanned, SemanticBounds, Similar, texts};

/// One answer may take this part of the cache, so that it does not evict all others.
const LARGEST: u64 = 8;

/// After so many writes, as a part of the cache, moka is made to evict, which it would otherwise do late.
const UNSETTLED: u64 = 16;

/// No answer is stored longer, whatever its ttl.
const LONGEST: Duration = Duration::from_secs(400 * 86_400);

/// The keys under which the answer to a request may lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    /// The key of the question, the same in every dialect; `None` where only the caller's dialect can ask it.
    pub question: Option<CacheKey>,
    /// The key of the request's fields in its own dialect. Equal calls that run at once share a flight by it.
    pub own: CacheKey,
}

impl Keys {
    /// The key to store under, unless there is another dialect's answer there that this one cannot express.
    #[must_use]
    pub fn first(&self) -> CacheKey {
        self.question.unwrap_or(self.own)
    }
}

/// What a call finds when it looks for a stored answer.
#[derive(Debug)]
pub enum Look<H> {
    /// An answer in the caller's dialect.
    Hit(H),
    /// None; the call's own answer belongs under this key.
    Miss(CacheKey),
}

/// What a call finds when it joins others of its key.
pub enum Join<T> {
    /// An answer that arrived since the caller last looked.
    Hit(Arc<Entry>),
    /// No equal call runs: this call is sent, and others may follow it.
    Lead(Lead<T>),
    /// An equal call runs already.
    Follow(Follower<T>),
}

/// Which answers to forget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purge {
    /// All.
    All,
    /// Answers to a prompt, or to one version of it.
    Prompt {
        /// The prompt.
        name: PromptName,
        /// The version; `None` for all.
        version: Option<u32>,
    },
    /// Answers of a model: `provider/model`, or the model's name at any provider.
    Model(String),
    /// Answers of a provider.
    Provider(Arc<str>),
    /// Answers of a project.
    Project(String),
}

impl Purge {
    fn takes(&self, entry: &Entry) -> bool {
        match self {
            Self::All => true,
            Self::Prompt { name, version } => entry
                .prompt
                .as_ref()
                .is_some_and(|(other, n)| other == name && version.is_none_or(|version| version == *n)),
            Self::Model(model) => {
                let whole = model.strip_prefix(&*entry.provider).and_then(|rest| rest.strip_prefix('/'));
                *model == *entry.model || whole == Some(&*entry.model)
            }
            Self::Provider(provider) => *provider == entry.provider,
            Self::Project(project) => *project == *entry.project,
        }
    }
}

/// Counts since the start, and what is held now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Answers from the cache.
    pub hits: u64,
    /// Look-ups without one. A call that looks, then joins, is one look-up.
    pub misses: u64,
    /// Answers stored.
    pub stored: u64,
    /// Answers held now.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Flights under way.
    pub flights: u64,
    /// Questions that are found by their meaning.
    pub questions: u64,
    /// The bytes of their vectors and texts.
    pub question_bytes: u64,
}

#[derive(Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
    stored: AtomicU64,
    unsettled: AtomicU64,
}

/// The cache. `T` is what followers of a flight learn of an answer before its first byte.
pub struct Cache<T = ()> {
    max_bytes: u64,
    stored: moka::sync::Cache<CacheKey, Arc<Entry>>,
    flights: Arc<Flights<T>>,
    /// The questions that are found by their meaning.
    semantic: Semantic,
    counts: Counts,
}

impl<T> Cache<T> {
    /// A cache of at most this many bytes; 0 stores nothing, and flights are shared all the same.
    #[must_use]
    pub fn new(max_bytes: u64) -> Self {
        let stored = moka::sync::Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|_, entry: &Arc<Entry>| u32::try_from(entry.weight()).unwrap_or(u32::MAX))
            .expire_after(Lapse)
            .build();
        Self { max_bytes, stored, flights: Arc::default(), semantic: Semantic::default(), counts: Counts::default() }
    }

    /// The answer stored under `key`, unless it has expired or is older than `max_age`.
    #[must_use]
    pub fn get(&self, key: &CacheKey, now: Timestamp, max_age: Option<Duration>) -> Option<Arc<Entry>> {
        let found = self.find(key, now, max_age);
        let count = if found.is_some() { &self.counts.hits } else { &self.counts.misses };
        count.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// Looks for an answer that `translate` can write in the caller's dialect. An answer that it cannot stays stored,
    /// and the call's own goes under the key of its own dialect.
    pub fn look<H>(
        &self,
        keys: &Keys,
        now: Timestamp,
        max_age: Option<Duration>,
        translate: impl Fn(CacheKey, &Arc<Entry>) -> Option<H>,
    ) -> Look<H> {
        let mut place = keys.first();
        for key in keys.question.into_iter().chain([keys.own]) {
            let Some(entry) = self.find(&key, now, max_age) else { continue };
            if let Some(hit) = translate(key, &entry) {
                self.counts.hits.fetch_add(1, Ordering::Relaxed);
                return Look::Hit(hit);
            }
            place = keys.own;
        }
        self.counts.misses.fetch_add(1, Ordering::Relaxed);
        Look::Miss(place)
    }

    /// Stores an answer; only a whole one that ended well may be. `false` where it is too large to be stored, which
    /// is an eighth of the cache.
    pub fn put(&self, key: CacheKey, entry: Entry) -> bool {
        // A slice would hold the whole buffer that it was read into.
        let entry = Entry { body: Bytes::copy_from_slice(&entry.body), ..entry };
        let weight = entry.weight();
        if weight > self.max_bytes / LARGEST || entry.ttl.is_zero() {
            return false;
        }
        self.stored.insert(key, Arc::new(entry));
        self.counts.stored.fetch_add(1, Ordering::Relaxed);
        self.settle(weight);
        true
    }

    /// The other form of a stored answer, made once with `make` and weighed from then on.
    pub fn replay(&self, key: CacheKey, entry: &Arc<Entry>, make: impl FnOnce() -> Bytes) -> Bytes {
        let mut made = false;
        let bytes = entry.replay.0.get_or_init(|| {
            made = true;
            Bytes::copy_from_slice(&make())
        });
        if made {
            // Put in again, since moka weighs an entry when it is written; unless it was purged or replaced in the meantime.
            let _result = self.stored.entry(key).and_compute_with(|held| match held {
                Some(held) if Arc::ptr_eq(held.value(), entry) => Op::Put(entry.clone()),
                _ => Op::Nop,
            });
            self.settle(bytes.len() as u64);
        }
        bytes.clone()
    }

    /// Forgets what `purge` names, and returns how many that were. None of them serves a call after that.
    pub fn purge(&self, purge: &Purge) -> u64 {
        let mut forgotten = QuickSet::default();
        for (key, entry) in &self.stored {
            if purge.takes(&entry) {
                self.stored.invalidate(&*key);
                forgotten.insert(*key);
            }
        }
        self.stored.run_pending_tasks();
        self.semantic.forget(&forgotten);
        forgotten.len() as u64
    }

    /// Sets how many questions are found by their meaning.
    pub fn set_semantic(&self, bounds: SemanticBounds) {
        self.semantic.set_bounds(bounds);
    }

    /// How many questions a scan for one of this bucket goes over.
    #[must_use]
    pub fn similar_size(&self, bucket: &CacheKey) -> usize {
        self.semantic.size(bucket)
    }

    /// The stored questions that are at least so similar.
    #[must_use]
    pub fn scan(&self, question: &Question, threshold: f64) -> Scanned {
        self.semantic.scan(question, threshold)
    }

    /// The most similar stored question of the bucket, as an explanation shows it.
    #[must_use]
    pub fn nearest(&self, question: &Question) -> Option<Nearest> {
        self.semantic.nearest(question, |key| self.stored.contains_key(key))
    }

    /// The answer to the most similar of the questions that were found, which `translate` can write in the caller's dialect.
    /// Called after a look that found nothing.
    pub fn similar<H>(
        &self,
        question: &Question,
        scanned: &Scanned,
        (now, max_age): (Timestamp, Option<Duration>),
        translate: impl Fn(CacheKey, &Arc<Entry>) -> Option<H>,
    ) -> Similar<H> {
        let mut gone = QuickSet::default();
        let found = self.semantic.pick(question, scanned, |key| {
            let Some(entry) = self.stored.get(&key) else {
                gone.insert(key);
                return None;
            };
            translate(key, &entry).filter(|_| entry.is_fresh(now, max_age))
        });
        if !gone.is_empty() {
            self.semantic.forget(&gone);
        }
        if matches!(found, Similar::Hit(..)) {
            self.counts.misses.fetch_sub(1, Ordering::Relaxed);
            self.counts.hits.fetch_add(1, Ordering::Relaxed);
        }
        found
    }

    /// Stores that the answer under `key` is one to this question.
    pub fn put_similar(&self, key: CacheKey, question: &Question) {
        self.semantic.put(key, question);
    }

    /// Joins the calls of this `flight`, after a look that found nothing; their answer belongs under `place`.
    ///
    /// A lead that stores its answer does so before it finishes its flight; then of any number of equal calls at
    /// once, one is sent. `max_age` is for an answer that arrived since; following a flight is always fresh.
    pub fn join(&self, flight: CacheKey, place: CacheKey, now: Timestamp, max_age: Option<Duration>) -> Join<T> {
        match self.flights.join(flight, || self.find(&place, now, max_age)) {
            Place::Lead(lead) => Join::Lead(lead),
            Place::Follow(follower) => Join::Follow(follower),
            Place::Landed(entry) => {
                self.counts.misses.fetch_sub(1, Ordering::Relaxed);
                self.counts.hits.fetch_add(1, Ordering::Relaxed);
                Join::Hit(entry)
            }
        }
    }

    /// Counts, and what is held now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stored.run_pending_tasks();
        let (questions, question_bytes) = self.semantic.stored();
        Stats {
            hits: self.counts.hits.load(Ordering::Relaxed),
            misses: self.counts.misses.load(Ordering::Relaxed),
            stored: self.counts.stored.load(Ordering::Relaxed),
            entries: self.stored.entry_count(),
            bytes: self.stored.weighted_size(),
            flights: self.flights.len() as u64,
            questions: questions as u64,
            question_bytes: question_bytes as u64,
        }
    }

    fn find(&self, key: &CacheKey, now: Timestamp, max_age: Option<Duration>) -> Option<Arc<Entry>> {
        self.stored.get(key).filter(|entry| entry.is_fresh(now, max_age))
    }

    /// Has moka evict where much was written since it last did.
    fn settle(&self, written: u64) {
        let unsettled = self.counts.unsettled.fetch_add(written, Ordering::Relaxed) + written;
        if unsettled > self.max_bytes / UNSETTLED {
            self.counts.unsettled.store(0, Ordering::Relaxed);
            self.stored.run_pending_tasks();
        }
    }
}

/// Frees an answer's memory at the end of its time, by moka's own clock. What may serve is decided by
/// [`Entry::is_fresh`], by the time that a call is handed.
struct Lapse;

impl moka::Expiry<CacheKey, Arc<Entry>> for Lapse {
    fn expire_after_create(&self, _: &CacheKey, entry: &Arc<Entry>, _: Instant) -> Option<Duration> {
        Some(entry.ttl.min(LONGEST))
    }

    fn expire_after_update(
        &self,
        _: &CacheKey,
        entry: &Arc<Entry>,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(entry.ttl.min(LONGEST))
    }
}

#[cfg(test)]
mod tests;
