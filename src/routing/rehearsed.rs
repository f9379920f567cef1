//! The routes of a configuration under names by which each can be called, whatever its rule says.

use std::sync::Arc;

use super::causes::{Cause, Causes};
use super::plan::Routes;
use super::target::Target;

/// A route that is called by a name of its own.
#[derive(Clone, Debug)]
pub struct Rehearsed {
    /// The route's name; that of a model where there are no routes.
    pub name: Arc<str>,
    /// The model by which requests call it.
    pub model: Arc<str>,
    /// The targets that can be asked, then the fallbacks, each once.
    pub targets: Vec<Arc<Target>>,
    /// The targets of each cause.
    pub causes: Option<Arc<Causes>>,
    /// The models that judge answers.
    pub judges: Vec<Arc<Target>>,
    /// Whether its calls must stay with local providers.
    pub local_only: bool,
}

impl Rehearsed {
    /// The targets for a cause.
    #[must_use]
    pub fn of(&self, cause: Cause) -> &[Arc<Target>] {
        self.causes.as_deref().map_or(&[], |causes| causes.of(cause))
    }

    /// Everyone that a call of the route may ask.
    pub fn asked(&self) -> impl Iterator<Item = &Arc<Target>> {
        let of_causes = Cause::ALL.into_iter().flat_map(|cause| self.of(cause));
        self.targets.iter().chain(of_causes).chain(&self.judges)
    }
}

impl Routes {
    /// The same routes without their rules, each under a name of its own; without routes the models, called directly.
    #[must_use]
    pub fn rehearsed(mut self) -> (Self, Vec<Rehearsed>) {
        if self.routes.is_empty() {
            let mut models: Vec<_> = self.models.iter().collect();
            models.sort_unstable_by(|a, b| a.0.cmp(b.0));
            let direct = |(name, target): (&Arc<str>, &Arc<Target>)| Rehearsed {
                name: name.clone(),
                model: name.clone(),
                targets: vec![target.clone()],
                causes: None,
                judges: Vec::new(),
                local_only: false,
            };
            let rehearsed = models.into_iter().map(direct).collect();
            return (self, rehearsed);
        }
        let mut rehearsed = Vec::new();
        for (n, route) in self.routes.iter_mut().enumerate() {
            let model: Arc<str> = format!("rehearse-{n}").into();
            // A copy off the path of a call is no part of what its caller sees.
            (route.rule, route.shadow) = (None, None);
            route.models = [Box::from(&*model)].into_iter().collect();
            let mut targets: Vec<Arc<Target>> = Vec::new();
            let asked = route.targets.iter().filter(|weighted| route.strategy.asks(weighted.weight));
            for target in asked.map(|weighted| &weighted.target).chain(&route.fallbacks) {
                if !targets.iter().any(|known| known.id == target.id) {
                    targets.push(target.clone());
                }
            }
            let (name, causes, local_only) = (route.name.clone(), route.causes.clone(), route.local_only);
            let judges = route.cascade.iter().flat_map(|cascade| cascade.judges().cloned()).collect();
            rehearsed.push(Rehearsed { name, model: model.clone(), targets, causes, judges, local_only });
            self.known.insert(model.clone());
            self.names.push(model);
        }
        (self, rehearsed)
    }
}
