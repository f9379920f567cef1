//! Targets for one cause: a context that is too long, a filter, a budget of which much is used.

use std::sync::Arc;

use super::facts::Facts;
use super::target::Target;
use crate::types::Share;

/// Why a target refuses a request that another may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The request is longer than the target's model reads.
    ContextLength,
    /// A filter of the target's lets the request or its answer not pass.
    ContentFilter,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::ContextLength, Self::ContentFilter];

    /// The key of a route that has its targets.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::ContextLength => "on_context_length",
            Self::ContentFilter => "on_content_filter",
        }
    }
}

/// The targets that are asked where one refuses for a cause, before the fallbacks.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Causes {
    context_length: Vec<Arc<Target>>,
    content_filter: Vec<Arc<Target>>,
}

/// The targets that come first once much of a budget is used.
#[derive(Debug)]
pub(super) struct OnBudget {
    pub(super) above: Share,
    pub(super) targets: Vec<Arc<Target>>,
}

impl Causes {
    /// Targets for these causes.
    #[must_use]
    pub(super) fn new(context_length: Vec<Arc<Target>>, content_filter: Vec<Arc<Target>>) -> Self {
        Self { context_length, content_filter }
    }

    /// The targets for a cause.
    #[must_use]
    pub fn of(&self, cause: Cause) -> &[Arc<Target>] {
        match cause {
            Cause::ContextLength => &self.context_length,
            Cause::ContentFilter => &self.content_filter,
        }
    }

    /// How many targets come before those of a cause, where all are counted in one line.
    #[must_use]
    pub(super) fn before(&self, cause: Cause) -> usize {
        match cause {
            Cause::ContextLength => 0,
            Cause::ContentFilter => self.context_length.len(),
        }
    }

    /// The targets of all causes in one line.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Target>> {
        self.context_length.iter().chain(&self.content_filter)
    }
}

impl OnBudget {
    /// The targets that come first, where so much of a budget is used.
    pub(super) fn first(&self, facts: &Facts<'_>) -> &[Arc<Target>] {
        if facts.budget_used > self.above.number() { &self.targets } else { &[] }
    }
}
