//! Maps that every call looks into.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;

/// A map whose hash costs a few nanoseconds. It is seeded anew in each process, but not meant to withstand who sees its answers'
/// times: for maps whose size is bounded otherwise.
pub type QuickMap<K, V> = HashMap<K, V, RandomState>;

/// A set of the same kind.
pub type QuickSet<T> = HashSet<T, RandomState>;
