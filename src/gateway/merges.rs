//! Calls for embeddings that wait a moment for others like them, to be one call of the provider.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::merge_limits::{MergeLimits, Trial};
use crate::types::{Nanos, QuickMap};
use crate::upstream::Failure;
use crate::wire::json::Object;
use crate::wire::merged_embeddings::{Inputs, Share};

/// The most bytes of one merged call.
pub const MOST_BYTES: usize = 1 << 20;

/// The calls that wait for others.
#[derive(Default)]
pub struct Merges {
    waiting: Mutex<QuickMap<Like, Waiting>>,
    /// How many may be one call.
    pub limits: Arc<MergeLimits>,
}

/// What calls have in common that can be one. Those of two projects never are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Like {
    /// Whose they are.
    pub project: Arc<str>,
    /// The target.
    pub target: Arc<str>,
    /// The fields beside their input.
    pub settings: String,
    /// Whether their inputs are texts.
    pub are_texts: bool,
    /// Which configuration's client calls, by its address: a reload makes new ones.
    pub client: usize,
}

/// A caller's part of a merged call.
pub struct Member {
    /// Its request as it would go out alone.
    pub request: Object,
    /// What it asks.
    pub inputs: Inputs,
    /// Its tokens by estimate, which say how much of the call's it is charged.
    pub weight: u64,
    /// Whether nobody waits for it.
    pub background: bool,
    /// Whose key it is.
    pub key: Arc<str>,
    /// The most inputs of the call that it may be part of.
    pub most: usize,
}

/// What a caller gets of a merged call.
pub enum Part {
    /// Its part of the answer, and what that cost; `None` where no price is known.
    Answer(Share, Option<Nanos>),
    /// The call failed.
    Failed {
        /// Why.
        failure: Failure,
        /// Whether this caller's attempt is the one where the target's health is noted, for its key or for all.
        is_first: bool,
    },
    /// The call failed so, which may be one text's fault: each asks by itself. What becomes of that is noted where the call may
    /// have been too large.
    Alone(Failure, Option<Arc<Trial>>),
}

/// Calls that go out as one.
#[derive(Default)]
pub struct Waiting {
    /// Each with the one who waits for its part.
    pub members: Vec<(Member, oneshot::Sender<Part>)>,
    inputs: usize,
    bytes: usize,
}

/// How a call joined others.
pub struct Joined {
    /// Where its part arrives.
    pub part: oneshot::Receiver<Part>,
    /// Whether it is the first, whose caller takes all that have come once the window is over.
    pub is_first: bool,
    /// Calls that had no room for it, and go out now.
    pub full: Option<Waiting>,
}

impl Merges {
    /// Joins the calls that wait, or begins to wait for others.
    pub fn join(&self, like: &Like, member: Member) -> Joined {
        let (sender, part) = oneshot::channel();
        let mut waiting = self.lock();
        if let Some(open) = waiting.get_mut(like).filter(|open| open.has_room(&member)) {
            open.add(member, sender);
            return Joined { part, is_first: false, full: None };
        }
        let mut open = Waiting::default();
        open.add(member, sender);
        let full = waiting.insert(like.clone(), open);
        Joined { part, is_first: true, full }
    }

    /// Takes those that wait.
    pub fn take(&self, like: &Like) -> Option<Waiting> {
        self.lock().remove(like)
    }

    /// A panic that held the lock leaves at worst calls without an answer, which their deadlines end.
    fn lock(&self) -> MutexGuard<'_, QuickMap<Like, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn has_room(&self, Member { inputs, most, .. }: &Member) -> bool {
        self.inputs + inputs.count <= *most && self.bytes + inputs.bytes <= MOST_BYTES
    }

    fn add(&mut self, member: Member, sender: oneshot::Sender<Part>) {
        self.inputs += member.inputs.count;
        self.bytes += member.inputs.bytes;
        self.members.push((member, sender));
    }
}

#[cfg(test)]
mod tests {
    use super::super::merge_limits::MOST_INPUTS;
    use super::*;

    fn like(settings: &str) -> Like {
        Like { project: "p".into(), target: "t".into(), settings: settings.to_owned(), are_texts: true, client: 1 }
    }

    fn member(count: usize, bytes: usize) -> Member {
        let inputs = Inputs { count, bytes, are_texts: true };
        Member {
            request: Object::read("{}".into()).unwrap(),
            inputs,
            weight: 1,
            background: false,
            key: "k".into(),
            most: MOST_INPUTS,
        }
    }

    #[test]
    fn calls_join_those_that_are_like_them_as_far_as_there_is_room() {
        let merges = Merges::default();
        assert!(merges.join(&like("a"), member(MOST_INPUTS - 1, 1)).is_first);
        assert!(merges.join(&like("b"), member(1, 1)).is_first);
        assert!(!merges.join(&like("a"), member(1, 1)).is_first);
        let third = merges.join(&like("a"), member(1, 1));
        assert!(third.is_first && third.full.unwrap().members.len() == 2);
        let fourth = merges.join(&like("a"), member(1, MOST_BYTES));
        assert!(fourth.is_first && fourth.full.unwrap().members.len() == 1);
        assert_eq!(merges.take(&like("a")).unwrap().members.len(), 1);
        assert!(merges.take(&like("a")).is_none());
        assert_eq!(merges.take(&like("b")).unwrap().members.len(), 1);
    }
}
