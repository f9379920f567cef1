//! What the end of a stream says of its target's health. Its head says nothing: a target may begin well and break every stream.

use super::fault::fault_of;
use super::meter::Meter;
use super::state::Parts;
use super::target_log::Met;
use crate::routing::{Asking, Target};
use crate::types::now;
use crate::upstream::Failure;

impl Meter {
    /// Notes that `target` failed after its answer had begun.
    pub fn showed(&self, target: &Target, failure: &Failure) {
        let Some(fault) = fault_of(failure) else { return };
        let mut whose = None;
        self.with_row(|row| whose = Some((row.id, row.key_id.clone(), row.started_at, row.purpose.is_some())));
        if let Some((request, key, began, is_own)) = whose {
            let (Parts { health, target_log, .. }, now) = (&**self.parts(), now());
            // What the gateway asks of its own cools no target for callers.
            if !is_own {
                health.failed(Asking { target, key: &key, began }, fault, now, rand::random());
            }
            target_log.failed(Met { target, key: &key, request }, failure, health, now);
        }
    }

    /// Notes that an answer of `target` came to a good end after it had begun. Nothing is done while all targets are well.
    pub fn came_whole(&self, target: &Target) {
        let health = &self.parts().health;
        if !health.has_troubled() {
            return;
        }
        let mut key = None;
        self.with_row(|row| key = Some(row.key_id.clone()));
        if let Some(key) = key {
            health.ended_well(target, &key, now());
        }
    }
}
