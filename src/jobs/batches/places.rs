//! The places of lines that run at once: where several wait for one, projects take turns, then keys. One project never holds all,
//! since its lines may take long: another would wait for them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// A fixed number of places.
#[derive(Clone, Debug)]
pub(super) struct Places(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    free: usize,
    /// The most that one project holds.
    share: usize,
    /// Places by project, and by key.
    held: [HashMap<Arc<str>, usize>; 2],
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    owner: Owner,
    taken: oneshot::Sender<Place>,
}

/// A project and a key.
type Owner = [Arc<str>; 2];

/// A place, which is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    owner: Owner,
}

impl Places {
    pub(super) fn new(count: usize) -> Self {
        let share = share(count);
        let state = State { free: count, share, held: [HashMap::new(), HashMap::new()], waiting: VecDeque::new() };
        Self(Arc::new(Mutex::new(state)))
    }

    /// A place for a line of this project and key, when their turn comes.
    pub(super) async fn take(&self, project: &Arc<str>, key: &Arc<str>) -> Place {
        loop {
            let (taken, place) = oneshot::channel();
            self.state().waiting.push_back(Waiting { owner: [project.clone(), key.clone()], taken });
            self.share();
            // Whoever would answer holds the list, which lives as long as this.
            if let Ok(place) = place.await {
                return place;
            }
        }
    }

    /// Gives what is free to those whose turn it is.
    fn share(&self) {
        loop {
            let mut state = self.state();
            let Some(waiting) = state.next() else { return };
            for (held, owner) in state.held.iter_mut().zip(&waiting.owner) {
                *held.entry(owner.clone()).or_default() += 1;
            }
            state.free -= 1;
            drop(state);
            let place = Place { places: self.clone(), owner: waiting.owner };
            // A place that nobody waits for any more is free again when it is dropped here, which shares it anew.
            let _unwanted = waiting.taken.send(place);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All places but a quarter, and but one where there are fewer than four. Of one place nothing can be left.
fn share(count: usize) -> usize {
    (count - (count / 4).max(1).min(count)).max(1)
}

impl State {
    /// Whose turn it is: the project that holds the fewest places, of it the key that does, of that the first. A project that has its
    /// share waits.
    fn next(&mut self) -> Option<Waiting> {
        self.waiting.retain(|waiting| !waiting.taken.is_closed());
        if self.free == 0 {
            return None;
        }
        let held = |n: usize, waiting: &Waiting| self.held[n].get(&waiting.owner[n]).copied().unwrap_or(0);
        let share = |at: &usize| self.waiting.get(*at).map(|waiting| (held(0, waiting), held(1, waiting), *at));
        let may = |at: &usize| self.waiting.get(*at).is_some_and(|waiting| held(0, waiting) < self.share);
        let first = (0..self.waiting.len()).filter(may).min_by_key(share)?;
        self.waiting.remove(first)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.places.state();
        state.free += 1;
        for (held, owner) in state.held.iter_mut().zip(&self.owner) {
            if let Some(count) = held.get_mut(owner) {
                *count -= 1;
                if *count == 0 {
                    held.remove(owner);
                }
            }
        }
        drop(state);
        self.places.share();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn owner(project: &str, key: &str) -> (Arc<str>, Arc<str>) {
        (project.into(), key.into())
    }

    #[tokio::test]
    async fn projects_take_turns_then_keys() {
        let places = Places::new(4);
        let owners = [("c", "4"), ("c", "4"), ("a", "1"), ("a", "1"), ("a", "1"), ("a", "2"), ("b", "3")];
        let owners = owners.map(|(project, key)| owner(project, key));
        let mut waiting: Vec<_> = owners.iter().map(|(project, key)| Box::pin(places.take(project, key))).collect();
        let mut held: Vec<Option<Place>> = waiting.iter_mut().map(|place| place.as_mut().now_or_never()).collect();
        assert_eq!(held.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, true, true, false, false, false]);
        drop(held[2].take());
        held[6] = waiting[6].as_mut().now_or_never();
        assert!(held[6].is_some(), "the other project is next");
        drop(held[3].take());
        held[5] = waiting[5].as_mut().now_or_never();
        held[4] = waiting[4].as_mut().now_or_never();
        assert_eq!((held[4].is_some(), held[5].is_some()), (true, false), "of equal keys the first");
        drop(held[6].take());
        assert!(waiting[5].as_mut().now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_project_never_holds_all_places() {
        for (count, share) in [(1, 1), (2, 1), (3, 2), (4, 3), (8, 6), (16, 12)] {
            let places = Places::new(count);
            let ((a, key), (b, other)) = (owner("a", "1"), owner("b", "2"));
            let mut slow: Vec<_> = (0..count + 1).map(|_| Box::pin(places.take(&a, &key))).collect();
            let mut held: Vec<Place> = slow.iter_mut().filter_map(|place| place.as_mut().now_or_never()).collect();
            assert_eq!(held.len(), share, "{count}");
            if count > 1 {
                assert!(places.take(&b, &other).now_or_never().is_some(), "another project finds a place at once");
            }
            held.pop();
            let freed = slow.iter_mut().skip(share).filter_map(|place| place.as_mut().now_or_never());
            let next: Vec<Place> = freed.collect();
            assert_eq!(next.len(), 1, "a place that comes free goes to the next");
        }
    }

    #[tokio::test]
    async fn a_place_that_is_no_longer_waited_for_goes_to_the_next() {
        let places = Places::new(1);
        let (project, key) = owner("a", "1");
        let first = places.take(&project, &key).await;
        let mut gone = Box::pin(places.take(&project, &key));
        let mut next = Box::pin(places.take(&project, &key));
        assert!(gone.as_mut().now_or_never().is_none() && next.as_mut().now_or_never().is_none());
        drop(gone);
        drop(first);
        assert!(next.as_mut().now_or_never().is_some());
        assert_eq!(places.state().held[0].get("a"), None);
    }
}
