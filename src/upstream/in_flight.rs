//! A provider's places: how many calls are under way at once, and how many of them one project may have.
//!
//! Where several projects may call, one of them leaves an eighth of the places free, so that another finds one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::types::QuickMap;

/// The places of a provider.
#[derive(Debug)]
pub(super) struct InFlight {
    most: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    count: usize,
    by_project: QuickMap<Arc<str>, usize>,
}

/// Whose call wants a place.
#[derive(Clone, Copy)]
pub(super) struct Asking<'a> {
    pub(super) project: &'a Arc<str>,
    /// Whether other projects may want one, too.
    pub(super) shares: bool,
    /// Whether nobody waits for the call: a quarter of the places is left to others.
    pub(super) background: bool,
}

/// A place, which is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    of: Arc<InFlight>,
    project: Option<Arc<str>>,
}

impl InFlight {
    pub(super) fn new(most: usize) -> Self {
        Self { most, taken: Mutex::default() }
    }

    /// How many places are taken.
    pub(super) fn count(&self) -> usize {
        self.taken().count
    }

    /// A place for a call; `None` where none is free, or what is free is left to others.
    pub(super) fn take(self: &Arc<Self>, asking: Asking<'_>) -> Option<Place> {
        let mut taken = self.taken();
        let free = self.most.saturating_sub(taken.count);
        let is_kept = asking.background && free <= self.most / 4;
        if free == 0 || is_kept {
            return None;
        }
        match taken.by_project.get_mut(asking.project) {
            Some(held) if asking.shares && *held >= share(self.most) => return None,
            Some(held) => *held += 1,
            None => drop(taken.by_project.insert(asking.project.clone(), 1)),
        }
        taken.count += 1;
        Some(Place { of: self.clone(), project: Some(asking.project.clone()) })
    }

    /// A place for the gateway's own work.
    pub(super) fn take_any(self: &Arc<Self>) -> Option<Place> {
        let mut taken = self.taken();
        if taken.count >= self.most {
            return None;
        }
        taken.count += 1;
        Some(Place { of: self.clone(), project: None })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The most places of one project among others: all but an eighth, and but one where there are fewer than eight. Of one place
/// nothing can be left.
fn share(most: usize) -> usize {
    (most - (most / 8).max(1)).max(1)
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.of.taken();
        taken.count -= 1;
        if let Some(project) = &self.project
            && let Some(held) = taken.by_project.get_mut(project)
        {
            *held -= 1;
            if *held == 0 {
                taken.by_project.remove(project);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(project: &Arc<str>, shares: bool) -> Asking<'_> {
        Asking { project, shares, background: false }
    }

    #[test]
    fn a_project_among_others_leaves_an_eighth_of_the_places() {
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        for (most, share) in [(1, 1), (2, 1), (3, 2), (8, 7), (16, 14), (512, 448)] {
            let places = Arc::new(InFlight::new(most));
            let mut held: Vec<Place> = (0..share).map(|_| places.take(asking(&a, true)).unwrap()).collect();
            assert!(places.take(asking(&a, true)).is_none(), "{most}");
            held.extend((share..most).map(|_| places.take(asking(&b, true)).unwrap()));
            assert!(places.take(asking(&b, true)).is_none() && places.take_any().is_none());
            assert_eq!(places.count(), most);
            drop(held);
            assert!(places.count() == 0 && places.taken().by_project.is_empty());
        }
    }

    #[test]
    fn a_project_without_others_takes_all() {
        let a: Arc<str> = "a".into();
        let places = Arc::new(InFlight::new(8));
        let held: Vec<Place> = (0..8).map(|_| places.take(asking(&a, false)).unwrap()).collect();
        assert!(places.take(asking(&a, false)).is_none());
        drop(held);
        let background = Asking { background: true, ..asking(&a, false) };
        let held: Vec<Place> = std::iter::from_fn(|| places.take(background)).collect();
        assert_eq!(held.len(), 6, "a quarter is left to calls that somebody waits for");
    }
}
