//! A call that probes a target which has cooled. Where it ends without an outcome, such as by its caller's hang-up, the next call
//! probes at once.

use std::sync::Arc;

use super::probe_line::{ProbeLine, ProbePlace, Waiting};
use crate::routing::{Asking, Health};
use crate::types::now;

/// The place of a probe until this is dropped.
pub struct Probe<'a> {
    health: &'a Health,
    asking: Asking<'a>,
    /// Other calls of the key wait in the line for its outcome. Left after the breaker shows that, since they look there.
    _place: Option<ProbePlace>,
}

impl<'a> Probe<'a> {
    /// The probe that `asking` is, as `health` says; with a place in the line, where one is free.
    pub fn new(health: &'a Health, asking: Asking<'a>, line: Option<&Arc<ProbeLine>>) -> Self {
        let whose = Waiting { target: &asking.target.id, key: asking.key };
        Self { health, asking, _place: line.and_then(|line| line.take(whose)) }
    }
}

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        // An outcome that was noted before stands: then the target is not probed any more, or by a later call.
        self.health.abandoned(self.asking, now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::{Entry, Fault, Target};
    use crate::types::Timestamp;

    #[test]
    fn a_probe_that_ends_without_an_outcome_leaves_its_place_to_the_next_call() {
        let id: Arc<str> = "up/m".into();
        let (name, key) = (id.clone(), Arc::from("k"));
        let target = Target {
            provider: "up".into(),
            model: "m".into(),
            name,
            id,
            local: false,
            simulated: false,
            adapter: None,
            structured: None,
            base_model: None,
        };
        let (health, line, long_ago) =
            (Health::default(), Arc::<ProbeLine>::default(), Timestamp(now().0 - 10_000_000));
        let asking = |began| Asking { target: &target, key: &key, began };
        for _ in 0..5 {
            health.failed(asking(long_ago), Fault::Broken, long_ago, 1.0);
        }
        for _ in 0..3 {
            let began = now();
            assert_eq!(health.enter(asking(began)), Entry::Probe);
            assert_eq!(health.enter(asking(began)), Entry::Closed);
            let probe = Probe::new(&health, asking(began), Some(&line));
            assert!(line.take(Waiting { target: &target.id, key: &key }).is_none());
            drop(probe);
        }
        // One with an outcome changes nothing of that.
        let began = now();
        assert_eq!(health.enter(asking(began)), Entry::Probe);
        let probe = Probe::new(&health, asking(began), None);
        health.failed(asking(began), Fault::Broken, began, 1.0);
        drop(probe);
        assert_eq!(health.enter(asking(began)), Entry::Closed);
        assert!(line.take(Waiting { target: &target.id, key: &key }).is_some());
    }
}
