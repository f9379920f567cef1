//! The routes of a configuration under names by which each can be called, whatever its rule says.

use std::sync::Arc;

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
    /// Whether its calls must stay with local providers.
    pub local_only: bool,
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
            let (name, local_only) = (route.name.clone(), route.local_only);
            rehearsed.push(Rehearsed { name, model: model.clone(), targets, local_only });
            self.known.insert(model.clone());
            self.names.push(model);
        }
        (self, rehearsed)
    }
}
