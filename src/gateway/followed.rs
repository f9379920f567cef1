//! What an attempt tells of its target and its session: calls under way, the time to the first token, and who answered well. Only
//! attempts of routes that read it have this.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::Instant;

use super::fault::fault_of;
use super::state::Parts;
use crate::routing::{Follows, SessionKey, Target, Underway};
use crate::types::now;
use crate::upstream::{Failure, Phase};
use crate::usage::Status;

/// An attempt that is followed. Dropped before its target answered or failed, its caller gave it up.
pub struct Followed {
    underway: Option<Underway>,
    session: Option<(SessionKey, Arc<Target>)>,
    began: Instant,
    is_measured: AtomicBool,
    has_ended: AtomicBool,
}

impl Followed {
    /// Begins to follow an attempt at `target`, right before it is sent.
    pub fn begin(parts: &Parts, follows: Follows, target: &Arc<Target>, is_stream: bool) -> Self {
        Self {
            underway: follows.signals.then(|| parts.signals.enter(target, is_stream)),
            session: follows.session.map(|key| (key, target.clone())),
            began: Instant::now(),
            is_measured: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
        }
    }

    /// The first token came, or the whole answer.
    pub fn answered(&self) {
        self.measure(|underway| underway.answered(self.began.elapsed(), now()));
    }

    /// An answer came that says nothing.
    pub fn said_nothing(&self) {
        self.measure(|underway| underway.said_nothing(now()));
    }

    /// No answer came.
    pub fn failed(&self, failure: &Failure) {
        self.measure(|underway| match failure {
            failure if fault_of(failure).is_some() => underway.failed(self.began.elapsed(), now()),
            Failure::TimedOut(Phase::Caller) => underway.given_up(self.began.elapsed(), now()),
            // A request that is refused says nothing of the target's speed.
            _ => {}
        });
    }

    /// The answer broke off after its first token, which was measured.
    pub fn broke(&self, failure: &Failure) {
        if let Some(underway) = self.underway.as_ref().filter(|_| fault_of(failure).is_some()) {
            underway.broke(now());
        }
    }

    /// The attempt ended. The session stays with a target that answered to the end.
    pub fn ended(&self, parts: &Parts, status: Status) {
        if self.has_ended.swap(true, Ordering::AcqRel) || status != Status::Ok {
            return;
        }
        if let Some((key, target)) = &self.session {
            parts.sessions.bind(*key, target, now());
        }
    }

    /// Notes the one thing that is measured of the attempt.
    fn measure(&self, note: impl FnOnce(&Underway)) {
        if let Some(underway) = &self.underway
            && !self.is_measured.swap(true, Ordering::AcqRel)
        {
            note(underway);
        }
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.measure(|underway| underway.given_up(self.began.elapsed(), now()));
    }
}
