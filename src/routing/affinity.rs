//! What keeps calls that belong together on one target.

use std::sync::Arc;

use serde::Serialize;

use super::facts::Facts;
use super::health::Health;
use super::sessions::{SessionKey, Tag};
use super::target::Target;

/// What keeps calls that belong together on one target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Affinity {
    /// Nothing.
    #[default]
    None,
    /// A session goes to the target that answered it well.
    Session,
    /// Prompts that begin alike go to one target.
    PromptCache,
}

/// What is remembered of a call's attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Follows {
    /// Whether calls under way and the time to the first token are measured.
    pub signals: bool,
    /// The session that is bound to the target which answers well.
    pub session: Option<SessionKey>,
}

impl Follows {
    /// Whether anything is.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.signals || self.session.is_some()
    }
}

/// The place, in `targets`, of the one that a session is bound to: where it is among them, and takes calls.
pub(super) fn bound(key: SessionKey, targets: &[Arc<Target>], facts: &Facts<'_>, health: &Health) -> Option<usize> {
    let bound = facts.figures?.sessions.get(key, facts.now)?;
    let place = targets.iter().position(|target| Tag::of(target) == bound)?;
    health.state(&targets[place], facts.key.id, facts.now).is_open().then_some(place)
}
