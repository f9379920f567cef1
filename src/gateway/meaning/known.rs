//! Vectors that are known: those of texts a bounded number, those of example sentences until others come.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as AsyncMutex, MutexGuard as AsyncGuard};
use tokio::time::Instant;

use crate::chat::UnitVector;
use crate::routing::{ExampleSet, Health};
use crate::types::QuickMap;
use crate::upstream::Provider;

/// The most bytes of vectors of callers' texts.
const MOST_BYTES: u64 = 32 << 20;

/// What a vector takes in the map beside its numbers.
const AROUND: usize = 200;

/// The most sets of examples that are known at once: those of configurations before go where more come.
const MOST_SETS: usize = 256;

/// How long a set that could not be embedded is left, at first and at most; each failure doubles that.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What a vector is known by: model, whose text, text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TextKey([u8; 32]);

/// An embedding model, by where it is and what it is called there.
#[derive(Clone, Copy, Debug)]
pub struct Model<'a> {
    pub provider: &'a Provider,
    pub model: &'a str,
}

impl Model<'_> {
    /// A key of some texts of this model's. What one project asked shows in no other's times.
    pub fn key<'t>(&self, kind: &str, owner: &str, texts: impl IntoIterator<Item = &'t str>) -> TextKey {
        let mut hasher = blake3::Hasher::new();
        let parts = ["fulcrum meaning 1", kind, &self.provider.name, &self.provider.base_url, self.model, owner];
        let mut add = |part: &str| {
            hasher.update(part.as_bytes());
            hasher.update(&(part.len() as u64).to_le_bytes());
        };
        parts.into_iter().for_each(&mut add);
        texts.into_iter().for_each(&mut add);
        TextKey(*hasher.finalize().as_bytes())
    }

    /// The key of a set of examples, which are nobody's.
    pub fn key_of_set(&self, set: &ExampleSet) -> TextKey {
        self.key("examples", "", set.sentences.iter().map(String::as_str))
    }
}

/// What is known of a set of examples.
#[derive(Clone)]
enum Examples {
    Ready(Arc<[Arc<UnitVector>]>),
    /// The embedding failed: when it may be tried again, and how long to wait after the next failure.
    Failed {
        again: Instant,
        wait: Duration,
    },
}

/// What a set of examples is good for now.
pub enum Set {
    /// Its vectors.
    Ready(Arc<[Arc<UnitVector>]>),
    /// It is to be embedded.
    Open,
    /// It failed lately.
    Failed,
}

/// Vectors that are known.
pub struct Meaning {
    texts: moka::sync::Cache<TextKey, Arc<UnitVector>>,
    examples: Mutex<QuickMap<TextKey, Examples>>,
    /// The texts that are being embedded: calls with the same ones wait for the first.
    running: Mutex<QuickMap<TextKey, Arc<AsyncMutex<()>>>>,
    /// How embedding models fare for callers whose own limits are short: apart from the health that all see.
    pub in_haste: Health,
}

impl Default for Meaning {
    fn default() -> Self {
        let weight =
            |_: &TextKey, vector: &Arc<UnitVector>| u32::try_from(vector.weight() + AROUND).unwrap_or(u32::MAX);
        let texts = moka::sync::Cache::builder().max_capacity(MOST_BYTES).weigher(weight).build();
        Self { texts, examples: Mutex::default(), running: Mutex::default(), in_haste: Health::default() }
    }
}

impl Meaning {
    /// The vector of a text.
    pub fn text(&self, key: &TextKey) -> Option<Arc<UnitVector>> {
        self.texts.get(key)
    }

    /// Keeps the vector of a text.
    pub fn keep(&self, key: TextKey, vector: Arc<UnitVector>) {
        self.texts.insert(key, vector);
    }

    /// What a set of examples is good for.
    pub fn set(&self, key: &TextKey, now: Instant) -> Set {
        match self.examples().get(key) {
            Some(Examples::Ready(vectors)) => Set::Ready(vectors.clone()),
            Some(Examples::Failed { again, .. }) if now < *again => Set::Failed,
            Some(Examples::Failed { .. }) | None => Set::Open,
        }
    }

    /// Keeps what came of embedding a set of examples; `None` where that failed.
    pub fn keep_set(&self, key: TextKey, vectors: Option<Vec<Arc<UnitVector>>>, now: Instant) {
        let mut examples = self.examples();
        let state = match (vectors, examples.get(&key)) {
            (Some(vectors), _) => Examples::Ready(vectors.into()),
            (None, Some(Examples::Failed { wait, .. })) => {
                Examples::Failed { again: now + *wait, wait: (*wait * 2).min(LONGEST_WAIT) }
            }
            (None, _) => Examples::Failed { again: now + FIRST_WAIT, wait: FIRST_WAIT * 2 },
        };
        if examples.len() >= MOST_SETS && !examples.contains_key(&key) {
            examples.clear();
        }
        examples.insert(key, state);
    }

    /// A place among the calls that embed these texts.
    pub fn queue(&self, key: TextKey) -> Queued<'_> {
        let turn = self.running().entry(key).or_default().clone();
        Queued { meaning: self, key, turn: Some(turn) }
    }

    fn examples(&self) -> MutexGuard<'_, QuickMap<TextKey, Examples>> {
        self.examples.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> MutexGuard<'_, QuickMap<TextKey, Arc<AsyncMutex<()>>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among the calls that embed the same texts. The last that leaves ends their queue.
pub struct Queued<'a> {
    meaning: &'a Meaning,
    key: TextKey,
    /// Taken when this is dropped.
    turn: Option<Arc<AsyncMutex<()>>>,
}

impl Queued<'_> {
    /// Waits until it is this call's turn.
    pub async fn turn(&self) -> Option<AsyncGuard<'_, ()>> {
        match &self.turn {
            Some(turn) => Some(turn.lock().await),
            None => None,
        }
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        let mut running = self.meaning.running();
        drop(self.turn.take());
        if running.get(&self.key).is_some_and(|turn| Arc::strong_count(turn) == 1) {
            running.remove(&self.key);
        }
    }
}
