//! The compiled cascade of a route: whose answers are checked, and how.

use std::sync::Arc;

use serde_json::{Value, json};

use super::accept::{Accept, NotAccepted};
use super::spec::{AcceptSpec, RouteSpec, Spanned};
use super::target::Target;
use crate::types::{Diagnostic, Place};

/// Whose answers of a route are checked, and how. Two are equal where they are the same.
#[derive(Debug)]
pub struct Cascade {
    /// The checks of each target that has some, by its `provider/model`.
    accepts: Vec<(Arc<str>, Accept)>,
}

/// What became of one answer of a cascade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CascadeStep {
    /// Whose answer it was, by `provider/model`.
    pub model: Arc<str>,
    /// Why it was not accepted; `None` where it was.
    pub not_accepted: Option<NotAccepted>,
}

impl CascadeStep {
    /// The step as the trace of a request shows it: the same for all requests with that outcome.
    #[must_use]
    pub fn shown(&self) -> Value {
        match self.not_accepted {
            None => json!({"model": self.model, "accepted": true}),
            Some(why) => json!({"model": self.model, "accepted": false, "why": why.why()}),
        }
    }
}

impl PartialEq for Cascade {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Cascade {}

impl Cascade {
    /// What an answer of `target` must be to be accepted; `None` where any is.
    #[must_use]
    pub fn accept_of(&self, target: &Target) -> Option<&Accept> {
        self.accepts.iter().find(|(id, _)| *id == target.id).map(|(_, accept)| accept)
    }

    /// The models that judge answers.
    pub(super) fn judges(&self) -> impl Iterator<Item = &Arc<Target>> {
        self.accepts.iter().filter_map(|(_, accept)| accept.judge.as_ref())
    }

    /// Compiles the cascade of a route, with the judge of each target, where it has one that is known; `find` knows the models.
    pub(super) fn compile(
        spec: &RouteSpec,
        judges: Vec<Option<Arc<Target>>>,
        find: impl Fn(&str) -> Option<Arc<Target>>,
    ) -> (Self, Vec<Diagnostic>) {
        let found = |model: &Spanned| find(&model.text).map(|target| target.id.clone());
        let targets: Vec<Option<Arc<str>>> = spec.targets.iter().map(|target| found(&target.model)).collect();
        let fallbacks: Vec<Option<Arc<str>>> = spec.fallbacks.iter().map(found).collect();
        let (mut accepts, mut problems) = (Vec::new(), Vec::new());
        for (n, (target, judge)) in spec.targets.iter().zip(judges).enumerate() {
            let Some(id) = targets[n].clone() else { continue };
            if targets[..n].contains(&targets[n]) {
                let key = format!("{}.targets[{n}].model", spec.key);
                let problem = Diagnostic::new(key, format!("the cascade names `{id}` twice"));
                problems.push(problem.fix("name each target once").at(Place::Offset(target.model.at)));
            }
            let Some(accept) = &target.accept else { continue };
            let is_own = |judge: &&Arc<Target>| targets.iter().chain(&fallbacks).flatten().any(|own| *own == judge.id);
            if let (Some(own), Some(named)) = (judge.as_ref().filter(is_own), &accept.judge) {
                let problem = format!("the judge `{}` is a target of the cascade itself", own.id);
                let problem = Diagnostic::new(format!("{}.judge", accept.key), problem);
                let fix = "name a model that the route does not ask for answers";
                problems.push(problem.fix(fix).at(Place::Offset(named.at)));
            }
            accepts.push((id, Accept { checks: accept.checks.clone(), judge }));
        }
        (Self { accepts }, problems)
    }
}

/// What is wrong with the cascade of a route, or with an `accept` of one that is none, as far as no model need be known for that.
pub(super) fn problems(spec: &RouteSpec, is_cascade: bool) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    let mut add = |key: String, problem: String, fix: &str| problems.push(Diagnostic::new(key, problem).fix(fix));
    let accepts = || spec.targets.iter().filter_map(|target| target.accept.as_ref());
    if !is_cascade {
        for AcceptSpec { key, .. } in accepts() {
            add(
                key.clone(),
                "`accept` is for the strategy `cascade`".to_owned(),
                "write strategy = \"cascade\", or take it out",
            );
        }
        return problems;
    }
    if spec.targets.len() == 1 {
        let fix = "name the cheap targets first, each with `accept`, and the strong one last";
        add(format!("{}.targets", spec.key), "a cascade has two or more targets".to_owned(), fix);
    }
    for (n, target) in spec.targets.iter().enumerate() {
        let is_last = n + 1 == spec.targets.len();
        if target.accept.is_none() && !is_last {
            let fix = "write accept = { not_refusal = true }, or another check; only the last target needs none";
            add(
                format!("{}.targets[{n}]", spec.key),
                "`accept` is missing, so no later target would be asked".to_owned(),
                fix,
            );
        }
    }
    for accept in accepts().filter(|accept| accept.checks.is_empty() && accept.judge.is_none() && !accept.is_broken) {
        add(
            accept.key.clone(),
            "`accept` has no check, so every answer would be accepted".to_owned(),
            "write not_refusal = true, or another check",
        );
    }
    if spec.repair == Some(true) {
        let fix = "take `repair` out; accept = { json_schema = true } asks the next target instead";
        add(format!("{}.repair", spec.key), "a cascade repairs no answers".to_owned(), fix);
    }
    problems
}
