//! Compiles routes, and finds every mistake in them at once.

use std::sync::{Arc, OnceLock};

use cel::Env;

use super::affinity::Affinity;
use super::cascade::{self, Cascade};
use super::facts::Needs;
use super::hedge::{self, HedgePolicy};
use super::infer::nearest;
use super::pick::Weighted;
use super::plan::{ProviderTraits, Route, Routes};
use super::rule::{Rule, environment};
use super::spec::{Order, RouteSpec, Spanned, Spec, StickyBy, TargetSpec};
use super::target::Target;
use crate::types::{Diagnostic, Place, QuickMap, QuickSet};

impl Routes {
    /// Compiles routes and models.
    ///
    /// # Errors
    /// Every mistake, with its byte offset in the file: unknown models and providers, rules that cannot be right, private routes that would leave the
    /// house.
    pub fn compile(spec: &Spec<'_>) -> Result<Self, Vec<Diagnostic>> {
        let mut compile = Compile { routes: empty(spec), problems: Vec::new() };
        compile.models(spec);
        compile.embedding(spec);
        compile.semantic_defaults(spec);
        for route in spec.routes {
            let route = compile.route(route);
            compile.routes.routes.extend(route);
        }
        compile.names(spec);
        if compile.problems.is_empty() { Ok(compile.routes) } else { Err(compile.problems) }
    }
}

fn empty(spec: &Spec<'_>) -> Routes {
    let providers =
        spec.providers.iter().map(|provider| (provider.name.clone(), ProviderTraits::of(provider))).collect();
    Routes {
        env: environment(),
        routes: Vec::with_capacity(spec.routes.len()),
        models: QuickMap::default(),
        names: Vec::new(),
        known: QuickSet::default(),
        providers,
        defaults: spec.defaults,
        needs: Needs::default(),
        embedding: None,
        examples: Vec::new(),
    }
}

pub(super) struct Compile {
    pub(super) routes: Routes,
    pub(super) problems: Vec<Diagnostic>,
}

impl Compile {
    pub(super) fn problem(&mut self, at: usize, key: String, problem: String, fix: String) {
        self.problems.push(Diagnostic::new(key, problem).fix(fix).at(Place::Offset(at)));
    }

    fn models(&mut self, spec: &Spec<'_>) {
        for model in spec.models {
            let Some((provider, traits)) = self.routes.providers.get_key_value(model.provider.text.as_str()) else {
                let fix = self.known_provider(&model.provider.text);
                let problem = format!("there is no provider `{}`", model.provider.text);
                self.problem(model.provider.at, format!("{}.provider", model.key), problem, fix);
                continue;
            };
            let id = format!("{provider}/{}", model.model).into();
            let (provider, name) = (provider.clone(), model.name.clone());
            let ProviderTraits { local, simulated, .. } = *traits;
            let (named, adapter, structured) = (model.model.clone(), model.adapter, model.structured);
            let base_model = model.base_model.clone();
            let target = Target {
                provider,
                model: named,
                name: name.clone(),
                id,
                local,
                simulated,
                adapter,
                structured,
                base_model,
            };
            self.routes.models.insert(name, Arc::new(target));
        }
    }

    fn known_provider(&self, name: &str) -> String {
        let known = self.routes.providers.keys().map(|known| &**known);
        nearest(name, known).map_or_else(
            || format!("add [providers.{name}], or name another provider"),
            |near| format!("did you mean `{near}`?"),
        )
    }

    fn route(&mut self, spec: &RouteSpec) -> Option<Route> {
        let before = self.problems.len();
        let env = self.routes.env.clone();
        let rule = spec.when.as_ref().and_then(|when| self.rule(when, &format!("{}.when", spec.key), &env));
        let targets: Vec<Weighted> = spec
            .targets
            .iter()
            .enumerate()
            .filter_map(|(index, target)| {
                let key = format!("{}.targets[{index}].model", spec.key);
                Some(Weighted { target: self.target(spec, &target.model, key)?, weight: target.weight })
            })
            .collect();
        let fallbacks: Vec<Arc<Target>> = spec
            .fallbacks
            .iter()
            .enumerate()
            .filter_map(|(index, fallback)| self.target(spec, fallback, format!("{}.fallbacks[{index}]", spec.key)))
            .collect();
        let ((causes, on_budget), shadow) = (self.causes(spec), self.shadow(spec));
        self.weights(spec, &targets, before);
        self.semantic(spec, rule.as_ref());
        let cascade = self.cascade(spec);
        self.problems.extend(hedge::problems(spec));
        self.routes.needs.user |= spec.sticky_by == StickyBy::User;
        self.routes.needs.session |= spec.sticky_by == StickyBy::Session || spec.affinity == Affinity::Session;
        if self.problems.len() > before {
            return None;
        }
        Some(Route {
            name: spec.name.text.as_str().into(),
            rule,
            models: spec.models.iter().map(|model| model.text.as_str().into()).collect(),
            targets,
            fallbacks,
            strategy: spec.strategy,
            cascade,
            hedge: spec.hedge.as_ref().map(|hedge| Arc::new(HedgePolicy::of(spec, hedge))),
            sticky_by: spec.sticky_by,
            affinity: spec.affinity,
            retries: spec.retries.unwrap_or(self.routes.defaults.retries),
            cache: spec.cache.unwrap_or(self.routes.defaults.cache),
            repair: spec.repair.unwrap_or(self.routes.defaults.repair) && spec.strategy != Order::Cascade,
            min_speed: spec.min_speed,
            local_only: spec.local_only,
            store_bodies: spec.store_bodies,
            causes,
            on_budget,
            shadow,
            usual: OnceLock::new(),
        })
    }

    /// Whose answers are checked on a route that is a cascade.
    fn cascade(&mut self, spec: &RouteSpec) -> Option<Arc<Cascade>> {
        let is_cascade = spec.strategy == Order::Cascade;
        self.problems.extend(cascade::problems(spec, is_cascade));
        if !is_cascade {
            return None;
        }
        let judge = |(n, target): (usize, &TargetSpec)| {
            let named = target.accept.as_ref()?.judge.as_ref()?;
            self.target(spec, named, format!("{}.targets[{n}].accept.judge", spec.key))
        };
        let judges = spec.targets.iter().enumerate().map(judge).collect();
        let (cascade, problems) = Cascade::compile(spec, judges, |model| self.routes.target(model));
        self.problems.extend(problems);
        Some(Arc::new(cascade))
    }

    fn weights(&mut self, spec: &RouteSpec, targets: &[Weighted], before: usize) {
        if self.problems.len() > before || targets.is_empty() {
            return;
        }
        if targets.iter().all(|target| target.weight == 0) {
            // Without an offset: a weight has no name, and is found by its key.
            let problem = "every target has weight 0, so no call could go anywhere";
            let key = format!("{}.targets[0].weight", spec.key);
            self.problems.push(Diagnostic::new(key, problem).fix("give one a weight"));
        }
    }

    fn rule(&mut self, when: &Spanned, key: &str, env: &Env) -> Option<Rule> {
        let sets = self.routes.examples.clone();
        match Rule::compile(&when.text, env, &sets) {
            Ok(rule) => {
                rule.note(&mut self.routes.needs);
                Some(rule)
            }
            Err((at, bad)) => {
                let place = Place::Offset(when.at + at);
                self.problems.push(Diagnostic { key: key.to_owned(), ..bad }.at(place));
                None
            }
        }
    }

    pub(super) fn target(&mut self, route: &RouteSpec, model: &Spanned, key: String) -> Option<Arc<Target>> {
        let Some(target) = self.routes.target(&model.text) else {
            let (problem, fix) = self.no_model(&model.text);
            self.problem(model.at, key, problem, fix);
            return None;
        };
        if route.local_only && !target.local {
            let problem = format!("`{}` would leave the house on a route with local_only = true", target.id);
            let fix = "use models of providers with local = true only".to_owned();
            self.problem(model.at, key, problem, fix);
            return None;
        }
        Some(target)
    }

    /// What is wrong with a model that there is not, and what to do.
    pub(super) fn no_model(&self, name: &str) -> (String, String) {
        let problem = format!("there is no model `{name}`");
        if let Some(near) = nearest(name, self.routes.models.keys().map(|known| &**known)) {
            return (problem, format!("did you mean `{near}`?"));
        }
        let Some((provider, model)) = name.split_once('/').filter(|_| self.routes.lacks_provider(name)) else {
            return (problem, "name one under [models], or provider/model".to_owned());
        };
        let fix = match nearest(provider, self.routes.providers.keys().map(|known| &**known)) {
            Some(near) => format!("did you mean `{near}/{model}`?"),
            None => format!("add [providers.{provider}], or name another provider"),
        };
        (format!("{problem}, since there is no provider `{provider}`"), fix)
    }

    /// The names in the file's order, each once.
    fn names(&mut self, spec: &Spec<'_>) {
        let mut names: Vec<Arc<str>> = spec.models.iter().map(|model| model.name.clone()).collect();
        for listed in spec.routes.iter().flat_map(|route| &route.models) {
            if !names.iter().any(|name| **name == *listed.text) {
                names.push(listed.text.as_str().into());
            }
        }
        self.routes.known = names.iter().cloned().collect();
        self.routes.names = names;
    }
}
