//! Questions whose answers are stored, found by their meaning.
//!
//! A question belongs to a bucket, whose key has all of it but the words that are compared by meaning. The answers themselves lie
//! among the exact ones: what is evicted, lapses or is purged there is no hit here.

mod asked;
mod bucket;
mod conversation;
mod guard;
mod marks;
mod opposed;
mod phrases;
mod sketch;
mod symbols;
mod vocabulary;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use self::bucket::Bucket;
use super::key::CacheKey;
use crate::types::{QuickMap, QuickSet};

pub use self::asked::Question;
pub use self::bucket::{Nearest, Scanned};
pub(super) use self::conversation::may_vary;
pub use self::conversation::texts;
pub use self::guard::Difference;

/// How much is stored at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SemanticBounds {
    /// Questions.
    pub entries: usize,
    /// Bytes of vectors and texts; the answers count elsewhere.
    pub bytes: usize,
}

impl Default for SemanticBounds {
    fn default() -> Self {
        Self { entries: 100_000, bytes: 512 << 20 }
    }
}

/// What is found for a question.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Similar<T> {
    /// The answer to a similar one, with the similarity of their least similar texts.
    Hit(T, f64),
    /// One is as similar, and differs in what may not differ.
    Refused(Difference),
    /// None is similar enough.
    None,
}

#[derive(Default)]
struct State {
    buckets: QuickMap<CacheKey, Arc<RwLock<Bucket>>>,
    /// Bucket and question by their turn: the first was used least recently.
    order: BTreeMap<u64, (CacheKey, CacheKey)>,
    turn: u64,
    bytes: usize,
}

/// The questions.
#[derive(Default)]
pub struct Semantic {
    bounds: Mutex<SemanticBounds>,
    state: Mutex<State>,
}

impl Semantic {
    /// Sets other bounds; they hold from the next question on.
    pub fn set_bounds(&self, bounds: SemanticBounds) {
        *self.bounds.lock().unwrap_or_else(PoisonError::into_inner) = bounds;
    }

    /// How many questions the bucket has.
    #[must_use]
    pub fn size(&self, bucket: &CacheKey) -> usize {
        let bucket = self.state().buckets.get(bucket).cloned();
        bucket.map_or(0, |bucket| read(&bucket).len())
    }

    /// The questions that are similar enough.
    #[must_use]
    pub fn scan(&self, question: &Question, threshold: f64) -> Scanned {
        let bucket = self.state().buckets.get(&question.bucket).cloned();
        bucket.map_or_else(Scanned::default, |bucket| read(&bucket).scan(question, threshold))
    }

    /// The most similar question of the bucket whose answer is usable, as an explanation shows it.
    pub fn nearest(&self, question: &Question, usable: impl Fn(&CacheKey) -> bool) -> Option<Nearest> {
        let bucket = self.state().buckets.get(&question.bucket).cloned()?;
        read(&bucket).nearest(question, usable)
    }

    /// The most similar of those that were found, whose answer `usable` finds.
    pub fn pick<T>(
        &self,
        question: &Question,
        scanned: &Scanned,
        mut usable: impl FnMut(CacheKey) -> Option<T>,
    ) -> Similar<T> {
        for candidate in &scanned.candidates {
            if let Some(hit) = usable(candidate.key) {
                self.touch(&question.bucket, &candidate.key);
                return Similar::Hit(hit, candidate.similarity);
            }
        }
        scanned.refused.map_or(Similar::None, Similar::Refused)
    }

    /// Stores a question whose answer lies under `key`. The least recently used make room.
    pub fn put(&self, key: CacheKey, question: &Question) {
        let bounds = *self.bounds.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.state();
        state.remove(&question.bucket, &key);
        state.turn += 1;
        let turn = state.turn;
        if !state.add(key, question, turn) {
            // The model behind the name is another than before.
            state.clear(&question.bucket);
            state.add(key, question, turn);
        }
        while state.order.len() > bounds.entries || state.bytes > bounds.bytes {
            let Some((_, (bucket, key))) = state.order.pop_first() else { break };
            state.remove(&bucket, &key);
        }
    }

    /// Forgets the questions whose answers are gone.
    pub fn forget(&self, gone: &QuickSet<CacheKey>) {
        let mut state = self.state();
        let found: Vec<_> = state.order.values().filter(|(_, key)| gone.contains(key)).copied().collect();
        for (bucket, key) in found {
            state.remove(&bucket, &key);
        }
    }

    /// How many questions are stored, and how many bytes they take.
    #[must_use]
    pub fn stored(&self) -> (usize, usize) {
        let state = self.state();
        (state.order.len(), state.bytes)
    }

    fn touch(&self, bucket: &CacheKey, key: &CacheKey) {
        let mut state = self.state();
        state.turn += 1;
        let turn = state.turn;
        let Some(found) = state.buckets.get(bucket).cloned() else { return };
        if let Some(before) = write(&found).touch(key, turn) {
            state.order.remove(&before);
            state.order.insert(turn, (*bucket, *key));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Adds a question; whether its vectors are as long as those of its bucket.
    fn add(&mut self, key: CacheKey, question: &Question, turn: u64) -> bool {
        let bucket = self.buckets.entry(question.bucket).or_default().clone();
        let Some(bytes) = write(&bucket).put(key, question, turn) else { return false };
        self.bytes += bytes;
        self.order.insert(turn, (question.bucket, key));
        true
    }

    fn clear(&mut self, bucket: &CacheKey) {
        let found = self.buckets.get(bucket).map(|bucket| read(bucket).keys().collect::<Vec<_>>());
        for key in found.unwrap_or_default() {
            self.remove(bucket, &key);
        }
    }

    fn remove(&mut self, bucket: &CacheKey, key: &CacheKey) {
        let Some(found) = self.buckets.get(bucket).cloned() else { return };
        let mut within = write(&found);
        if let Some((turn, bytes)) = within.remove(key) {
            self.order.remove(&turn);
            self.bytes -= bytes;
        }
        if within.len() == 0 {
            self.buckets.remove(bucket);
        }
    }
}

fn read(bucket: &RwLock<Bucket>) -> RwLockReadGuard<'_, Bucket> {
    bucket.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(bucket: &RwLock<Bucket>) -> RwLockWriteGuard<'_, Bucket> {
    bucket.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
