//! The questions that differ in nothing but the words that are compared by meaning, and the exact scan over them.

use std::sync::Arc;

use super::asked::Question;
use super::guard::{Difference, difference};
use super::sketch::{self, Sketch, is_near, most_different, sketch};
use crate::cache::key::CacheKey;
use crate::chat::{UnitVector, dot};
use crate::types::QuickMap;

/// The most similar entries of which the guard is asked.
const MOST_CANDIDATES: usize = 32;

/// What is stored of one question, beside the vector of its last words.
#[derive(Debug)]
struct Row {
    /// Where the answer lies.
    key: CacheKey,
    texts: Box<[Box<str>]>,
    /// The vectors of all texts but the last.
    earlier: Box<[Arc<UnitVector>]>,
    bytes: usize,
    /// Its place in the order of use.
    turn: u64,
}

/// Questions with equal settings and an equal frame. Row *n* of each list is of the same question.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    sketches: Vec<Sketch>,
    /// The vectors of the last words, one after the other.
    numbers: Vec<f32>,
    rows: Vec<Row>,
    places: QuickMap<CacheKey, usize>,
}

/// A question that is similar enough.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Candidate {
    pub(super) key: CacheKey,
    /// The similarity of the least similar texts.
    pub(super) similarity: f64,
}

/// A stored question as an explanation shows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nearest {
    /// The similarity of the least similar texts.
    pub similarity: f64,
    /// What keeps the guard from its answer, however similar it is.
    pub differs: Option<Difference>,
}

/// What a scan found: the similar questions, the most similar first, and what kept the guard from another.
#[derive(Debug, Default)]
pub struct Scanned {
    /// The similar questions.
    pub(super) candidates: Vec<Candidate>,
    /// What kept the guard from one of them.
    pub(super) refused: Option<Difference>,
}

impl Scanned {
    /// How many similar questions were found, of the most similar ones.
    #[must_use]
    pub fn len(&self) -> usize {
        self.candidates.len()
    }

    /// Whether none was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.candidates.is_empty()
    }
}

impl Bucket {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The questions whose texts are each at least so similar.
    pub(super) fn scan(&self, question: &Question, threshold: f64) -> Scanned {
        let Some((last, earlier)) = question.vectors.split_last() else { return Scanned::default() };
        let width = last.numbers().len();
        if self.numbers.len() != width * self.rows.len() {
            return Scanned::default();
        }
        let (asked, most) = (sketch(last.numbers()), most_different(threshold));
        let mut near: Vec<(f64, usize)> = Vec::new();
        for (at, sketch) in self.sketches.iter().enumerate() {
            if !is_near(&asked, sketch, most) {
                continue;
            }
            let mut similarity = dot(last.numbers(), &self.numbers[at * width..(at + 1) * width]);
            if similarity >= threshold {
                let others = earlier.iter().zip(&self.rows[at].earlier).map(|(one, other)| one.cosine(other));
                similarity = others.fold(similarity, f64::min);
            }
            if similarity >= threshold {
                near.push((similarity, at));
            }
        }
        near.sort_by(|(left, _), (right, _)| right.total_cmp(left));
        let mut found = Scanned::default();
        for (similarity, at) in near.into_iter().take(MOST_CANDIDATES) {
            let row = &self.rows[at];
            let pairs = question.texts.iter().zip(&row.texts);
            match pairs.into_iter().find_map(|(one, other)| difference(one, other)) {
                Some(differs) => found.refused = found.refused.or(Some(differs)),
                None => found.candidates.push(Candidate { key: row.key, similarity }),
            }
        }
        found
    }

    /// The most similar question whose answer is usable. No threshold says how similar that must be, so those are compared whose
    /// sketches differ least.
    pub(super) fn nearest(&self, question: &Question, usable: impl Fn(&CacheKey) -> bool) -> Option<Nearest> {
        let (last, earlier) = question.vectors.split_last()?;
        let width = last.numbers().len();
        if self.numbers.len() != width * self.rows.len() {
            return None;
        }
        let asked = sketch(last.numbers());
        let differences = self.sketches.iter().map(|sketch| sketch::difference(&asked, sketch));
        let mut near: Vec<(u32, usize)> = differences.zip(0..).filter(|(_, at)| usable(&self.rows[*at].key)).collect();
        if near.len() > MOST_CANDIDATES {
            near.select_nth_unstable(MOST_CANDIDATES);
            near.truncate(MOST_CANDIDATES);
        }
        let similarity = |at: usize| {
            let similarity = dot(last.numbers(), &self.numbers[at * width..(at + 1) * width]);
            let others = earlier.iter().zip(&self.rows[at].earlier).map(|(one, other)| one.cosine(other));
            others.fold(similarity, f64::min)
        };
        let nearest = near.into_iter().map(|(_, at)| (similarity(at), at));
        let (similarity, at) = nearest.max_by(|(left, _), (right, _)| left.total_cmp(right))?;
        let mut pairs = question.texts.iter().zip(&self.rows[at].texts);
        Some(Nearest { similarity, differs: pairs.find_map(|(one, other)| difference(one, other)) })
    }

    /// Stores a question whose answer lies under `key`; how many bytes that takes. `None` where its vectors are of another model
    /// than those that are stored.
    pub(super) fn put(&mut self, key: CacheKey, question: &Question, turn: u64) -> Option<usize> {
        let (last, earlier) = question.vectors.split_last()?;
        if self.numbers.len() != last.numbers().len() * self.rows.len() {
            return None;
        }
        let (texts, earlier): (Box<[Box<str>]>, Box<[_]>) = (question.texts.clone().into(), earlier.into());
        let words: usize = texts.iter().map(|text| text.len() + size_of::<Box<str>>()).sum();
        let vectors: usize = earlier.iter().map(|vector| vector.weight()).sum();
        let bytes = Self::AROUND + words + vectors + size_of_val(last.numbers());
        self.sketches.push(sketch(last.numbers()));
        self.numbers.extend_from_slice(last.numbers());
        self.places.insert(key, self.rows.len());
        self.rows.push(Row { key, texts, earlier, bytes, turn });
        Some(bytes)
    }

    /// A row, its sketch, its places in the maps and in the order of use.
    const AROUND: usize = size_of::<Row>() + size_of::<Sketch>() + 200;

    /// Removes a question; its turn and how many bytes it took.
    pub(super) fn remove(&mut self, key: &CacheKey) -> Option<(u64, usize)> {
        let at = self.places.remove(key)?;
        let width = self.numbers.len() / self.rows.len().max(1);
        let row = self.rows.swap_remove(at);
        self.sketches.swap_remove(at);
        let last = self.numbers.len() - width;
        self.numbers.copy_within(last.., at * width);
        self.numbers.truncate(last);
        if let Some(moved) = self.rows.get(at) {
            self.places.insert(moved.key, at);
        }
        Some((row.turn, row.bytes))
    }

    /// The questions' keys.
    pub(super) fn keys(&self) -> impl Iterator<Item = CacheKey> + '_ {
        self.rows.iter().map(|row| row.key)
    }

    /// Notes that a question was of use; the turn that it had before.
    pub(super) fn touch(&mut self, key: &CacheKey, turn: u64) -> Option<u64> {
        let row = &mut self.rows[*self.places.get(key)?];
        Some(std::mem::replace(&mut row.turn, turn))
    }
}
