//! Compiles what a route has beside its targets: those for causes, and its shadow.

use std::sync::Arc;

use super::causes::{Cause, Causes, OnBudget};
use super::compile::Compile;
use super::shadow::Shadow;
use super::spec::{CausesSpec, RouteSpec, ShadowSpec, Spanned};
use super::target::Target;

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

    /// The shadow of a route.
    pub(super) fn shadow(&mut self, spec: &RouteSpec) -> Option<Arc<Shadow>> {
        let ShadowSpec { model, share, most_a_day } = spec.shadow.as_ref()?;
        let target = self.target(spec, model, format!("{}.shadow.model", spec.key))?;
        let (share, most_a_day) = (*share, *most_a_day);
        Some(Arc::new(Shadow { route: spec.name.text.as_str().into(), target, share, most_a_day }))
    }
}
