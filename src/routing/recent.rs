//! A map of bounded size that forgets what was not put lately.

use std::borrow::Borrow;
use std::hash::Hash;

use crate::types::QuickMap;

/// A map of two generations: when the young one is full it becomes the old one, and what was old is forgotten. So it holds the
/// last `most` keys that were put, and at most twice as many.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    most: usize,
    young: QuickMap<K, V>,
    old: QuickMap<K, V>,
}

impl<K: Eq + Hash, V> Recent<K, V> {
    /// A map with so many keys in each generation.
    pub(super) fn new(most: usize) -> Self {
        Self { most, young: QuickMap::default(), old: QuickMap::default() }
    }

    /// The value of `key`, where it is not forgotten.
    pub(super) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    /// Puts a value, and remembers the key for at least as long as `most` others are put.
    pub(super) fn put(&mut self, key: K, value: V) {
        if self.young.len() >= self.most && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    /// No fewer than the keys that are remembered.
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_last_keys_are_remembered_with_their_last_values(keys in proptest::collection::vec(0u8..40, 1..200), most in 1usize..20) {
            let mut recent = Recent::new(most);
            for (n, key) in keys.iter().enumerate() {
                recent.put(*key, n);
                prop_assert!(recent.len() <= 2 * most);
            }
            let mut distinct = Vec::new();
            for (n, key) in keys.iter().enumerate().rev() {
                if !distinct.contains(key) {
                    distinct.push(*key);
                    if distinct.len() <= most {
                        prop_assert_eq!(recent.get(key), Some(&n));
                    }
                }
            }
        }
    }
}
