//! Targets for one cause: a context that is too long, a filter, a budget of which much is used.

use std::sync::Arc;

use serde_json::json;

use super::compile::Compile;
use super::facts::Facts;
use super::plan::Route;
use super::spec::{RouteSpec, Spanned};
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

/// The targets of a route for causes, as a configuration states them.
#[derive(Clone, Debug, Default)]
pub struct CausesSpec {
    /// `on_context_length`.
    pub context_length: Vec<Spanned>,
    /// `on_content_filter`.
    pub content_filter: Vec<Spanned>,
    /// `on_budget`.
    pub budget: Option<OnBudgetSpec>,
}

/// `on_budget`, as a configuration states it.
#[derive(Clone, Debug)]
pub struct OnBudgetSpec {
    /// The used part of a budget, 0 to 1, above which its models come first.
    pub above: Share,
    /// The models.
    pub models: Vec<Spanned>,
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
    above: Share,
    targets: Vec<Arc<Target>>,
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

impl Route {
    /// The targets that only a cause brings in.
    pub(super) fn by_cause(&self) -> impl Iterator<Item = &Arc<Target>> {
        let of_causes = self.causes.iter().flat_map(|causes| causes.all());
        of_causes.chain(self.on_budget.iter().flat_map(|on_budget| &on_budget.targets))
    }

    /// Whether much of a budget brought a target in.
    pub(super) fn is_for_budget(&self, id: &str) -> bool {
        self.on_budget.iter().flat_map(|on_budget| &on_budget.targets).any(|target| *target.id == *id)
    }

    /// What `GET /routes` shows of the causes.
    pub(super) fn causes_row(&self) -> serde_json::Map<String, serde_json::Value> {
        let ids = |targets: &[Arc<Target>]| targets.iter().map(|target| json!(target.id)).collect::<Vec<_>>();
        let causes = self.causes.as_deref();
        let of = |cause: Cause| causes.map_or_else(Vec::new, |causes| ids(causes.of(cause)));
        let budget = self.on_budget.as_ref();
        let budget = budget.map(|budget| json!({"above": budget.above, "models": ids(&budget.targets)}));
        let lists = Cause::ALL.map(|cause| (cause.key().to_owned(), json!(of(cause))));
        lists.into_iter().chain([("on_budget".to_owned(), json!(budget))]).collect()
    }
}

impl Compile {
    /// The targets for causes; nothing where the route has none.
    pub(super) fn causes(&mut self, spec: &RouteSpec) -> (Option<Arc<Causes>>, Option<OnBudget>) {
        let CausesSpec { context_length, content_filter, budget } = &spec.causes;
        let mut list = |models: &[Spanned], key: &str| -> Vec<Arc<Target>> {
            let models = models.iter().enumerate();
            models.filter_map(|(n, model)| self.target(spec, model, format!("{}.{key}[{n}]", spec.key))).collect()
        };
        let context_length = list(context_length, Cause::ContextLength.key());
        let causes = Causes::new(context_length, list(content_filter, Cause::ContentFilter.key()));
        let on_budget = budget
            .as_ref()
            .map(|budget| OnBudget { above: budget.above, targets: list(&budget.models, "on_budget.models") });
        self.routes.needs.budget_used |= on_budget.is_some();
        let has_any = causes.all().next().is_some();
        (has_any.then(|| Arc::new(causes)), on_budget)
    }
}
