//! Which batches are under way: projects take turns, then keys, and a batch that others wait for rests after a while.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::batches::ActiveBatch;

/// The most batches that run at once, and the most that are validated at once beside them; the others wait their turn.
const RUNNING: usize = 16;
const VALIDATED: usize = 4;

/// How long a batch runs at least while others wait for its turn.
const SLICE: Duration = Duration::from_secs(60);

/// A batch that is under way.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) batch: ActiveBatch,
    began: Instant,
    /// Ends the turn.
    pub(super) over: CancellationToken,
}

impl Turn {
    pub(super) fn new(batch: ActiveBatch, over: CancellationToken) -> Self {
        Self { batch, began: Instant::now(), over }
    }
}

/// How many batches of a batch's project are under way, and how many of its key.
fn share(batch: &ActiveBatch, under_way: &[&Turn]) -> (usize, usize) {
    let of_project = under_way.iter().filter(|turn| turn.batch.project == batch.project);
    let of_key = under_way.iter().filter(|turn| turn.batch.key_id == batch.key_id);
    (of_project.count(), of_key.count())
}

/// The turns that have not ended: a batch whose turn has ended begins no more lines, and only waits for the last.
fn lasting<'a>(under_way: &[&'a Turn]) -> Vec<&'a Turn> {
    under_way.iter().copied().filter(|turn| !turn.over.is_cancelled()).collect()
}

/// The next batch to begin of those that wait, oldest first: of the project with the fewest under way, then of the key with
/// the fewest. `None` where there is no place.
pub(super) fn next(waiting: &[ActiveBatch], under_way: &[&Turn]) -> Option<ActiveBatch> {
    let under_way = &lasting(under_way);
    let place = |validating: bool| {
        let most = if validating { VALIDATED } else { RUNNING };
        under_way.iter().filter(|turn| turn.batch.validating == validating).count() < most
    };
    let fits: Vec<&ActiveBatch> = waiting.iter().filter(|batch| place(batch.validating)).collect();
    fits.into_iter().min_by_key(|batch| share(batch, under_way)).cloned()
}

/// The turn that must end because another batch waits: of the project with the most batches, then of the key with the most,
/// then the longest. A project or key that has no more than the waiting one ends a turn only after a while.
pub(super) fn resting<'a>(waiting: &[ActiveBatch], under_way: &[&'a Turn], now: Instant) -> Option<&'a Turn> {
    let mut running = lasting(under_way);
    running.retain(|turn| !turn.batch.validating);
    let next = waiting.iter().filter(|batch| !batch.validating).min_by_key(|batch| share(batch, &running))?;
    if running.len() < RUNNING {
        return None;
    }
    let (projects, keys) = share(next, &running);
    let rests = |turn: &&&Turn| {
        let (of_project, of_key) = share(&turn.batch, &running);
        let same = turn.batch.project == next.project;
        let larger = if same { of_key > keys + 1 } else { of_project > projects + 1 };
        larger || now.duration_since(turn.began) >= SLICE
    };
    let age = |turn: &Turn| now.duration_since(turn.began);
    running.iter().filter(rests).max_by_key(|turn| (share(&turn.batch, &running), age(turn))).copied()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn batch(id: usize, project: &str, key: &str, validating: bool) -> ActiveBatch {
        let id: Arc<str> = format!("batch_{id}").into();
        ActiveBatch { id, project: project.into(), key_id: key.into(), validating }
    }

    /// Begins what has a place; the rest.
    fn filled(mut waiting: Vec<ActiveBatch>) -> (Vec<Turn>, Vec<ActiveBatch>) {
        let mut turns: Vec<Turn> = Vec::new();
        while let Some(begun) = next(&waiting, &turns.iter().collect::<Vec<_>>()) {
            waiting.retain(|batch| batch.id != begun.id);
            turns.push(Turn::new(begun, CancellationToken::new()));
        }
        (turns, waiting)
    }

    #[test]
    fn a_project_with_many_batches_makes_room_for_another() {
        let (turns, mut waiting) = filled((0..60).map(|n| batch(n, "a", "k", false)).collect());
        assert_eq!((turns.len(), waiting.len()), (RUNNING, 60 - RUNNING));
        let turns: Vec<&Turn> = turns.iter().collect();
        assert!(resting(&waiting, &turns, Instant::now()).is_none(), "its own wait a while");
        waiting.push(batch(60, "b", "l", false));
        assert!(resting(&waiting, &turns, Instant::now()).is_some(), "another project does not");
        let (turns, waiting) = filled((0..60).map(|n| batch(n, "a", if n < 59 { "k" } else { "l" }, false)).collect());
        assert!(turns.iter().any(|turn| &*turn.batch.key_id == "l"), "nor another key of the project");
        assert!(resting(&waiting, &turns.iter().collect::<Vec<_>>(), Instant::now() + SLICE).is_some());
    }

    #[test]
    fn validation_has_places_of_its_own() {
        let (turns, waiting) = filled((0..30).map(|n| batch(n, "a", "k", false)).collect());
        let turns: Vec<&Turn> = turns.iter().collect();
        assert!(next(&waiting, &turns).is_none());
        let later = batch(31, "a", "k", true);
        assert_eq!(next(std::slice::from_ref(&later), &turns).map(|batch| batch.id), Some(later.id));
    }

    #[test]
    fn as_many_projects_as_there_are_places_each_have_one() {
        let mut all: Vec<ActiveBatch> = (0..40).map(|n| batch(n, "a", "k", false)).collect();
        all.extend((40..40 + RUNNING).map(|n| batch(n, &format!("p{n}"), "l", false)));
        let (turns, _) = filled(all);
        let projects: std::collections::BTreeSet<_> = turns.iter().map(|turn| turn.batch.project.clone()).collect();
        assert_eq!(projects.len(), RUNNING);
    }
}
