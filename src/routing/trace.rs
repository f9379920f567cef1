//! Explains a routing decision: every rule with its result, every candidate with its health.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Serialize;

use super::breaker::Standing;
use super::facts::Facts;
use super::health::Health;
use super::plan::{Plan, Route, Routes, Takes};
use super::ranking::{Ranked, Score, Scored};
use super::spec::Order;
use super::target::Target;

/// The explanation of one decision.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trace {
    /// The model that the request named.
    pub model: String,
    /// Every route, in order.
    pub rules: Vec<RuleTrace>,
    /// The route that took the call; none for a direct call.
    pub route: Option<Arc<str>>,
    /// The targets, in the order in which they would be tried.
    pub candidates: Vec<Candidate>,
    /// `provider/model` of the first target that takes calls.
    pub decision: Option<Arc<str>>,
    /// Why there is no decision.
    pub error: Option<String>,
}

/// One route, and whether it took the call.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuleTrace {
    /// The route's name.
    pub route: Arc<str>,
    /// The route's rule, as written.
    pub when: Option<Arc<str>>,
    /// `taken`, `model not listed`, `false`, `not reached`, or the error that the rule met.
    pub result: String,
}

/// One target.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Candidate {
    /// `provider/model`.
    pub model: Arc<str>,
    /// The target's name under `[models]`.
    pub name: Arc<str>,
    /// `direct`, `target` with its weight or place, or `fallback`; and whether the call's session is bound to it.
    pub reason: String,
    /// How the route's strategy rates it, where that goes by figures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<Scored>,
    /// `healthy`, `probing`, or `cooling until …`.
    pub state: String,
}

impl Trace {
    /// The trace with no rule but the one that took the call.
    #[must_use]
    pub fn of_its_own(mut self) -> Self {
        self.rules.retain(|rule| Some(&rule.route) == self.route.as_ref());
        self
    }
}

impl Routes {
    /// Explains what [`Routes::plan`] would decide. Changes nothing and calls no provider.
    #[must_use]
    pub fn trace(&self, facts: &Facts<'_>, health: &Health, dice: f64) -> Trace {
        let mut rules = Vec::with_capacity(self.routes.len());
        let mut taken: Option<&Route> = None;
        for route in &self.routes {
            let result = if taken.is_some() { "not reached".to_owned() } else { self.result(route, facts, &mut taken) };
            let when = route.rule.as_ref().map(|rule| rule.text.clone());
            rules.push(RuleTrace { route: route.name.clone(), when, result });
        }
        let before = taken.map_or_else(|| self.direct(facts).ok(), |route| Some(route.plan(facts, health, dice)));
        let planned = self.plan(facts, health, dice);
        let ordered = planned.as_ref().ok().or(before.as_ref());
        Trace {
            model: facts.model.to_owned(),
            rules,
            route: taken.map(|route| route.name.clone()),
            candidates: ordered.map_or_else(Vec::new, |plan| candidates(plan, taken, (health, facts, dice))),
            decision: planned.as_ref().ok().and_then(|plan| plan.targets.first()).map(|target| target.id.clone()),
            error: planned.err().map(|error| error.to_string()),
        }
    }

    fn result<'a>(&self, route: &'a Route, facts: &Facts<'_>, taken: &mut Option<&'a Route>) -> String {
        let takes = self.takes(route, facts);
        if route.wins(&takes) {
            *taken = Some(route);
        }
        match takes {
            Takes::Yes => "taken".to_owned(),
            Takes::NotListed => "model not listed".to_owned(),
            Takes::No => "false".to_owned(),
            Takes::Broken(error) if route.local_only => format!("taken, since it may be private: {error}"),
            Takes::Broken(error) => format!("error: {error}"),
        }
    }
}

fn candidates(plan: &Plan, route: Option<&Route>, (health, facts, dice): (&Health, &Facts<'_>, f64)) -> Vec<Candidate> {
    let ranked = route.and_then(|route| route.ranked(facts, health, dice)).unwrap_or_default();
    let key = route.and_then(|route| route.session(facts));
    let bound = key.zip(route).and_then(|(key, route)| route.bound(key, &plan.targets, facts, health));
    let state = |standing| match standing {
        Standing::Healthy => "healthy".to_owned(),
        Standing::Ripe | Standing::Probing => "probing".to_owned(),
        Standing::Cooling { until } => format!("cooling until {until}"),
    };
    let row = |(place, target): (usize, &Arc<Target>)| {
        let ranked_as = |one: &Ranked| route.is_some_and(|route| route.targets[one.place].target.id == target.id);
        let rank = ranked.iter().position(ranked_as).map(|rank| (rank, ranked[rank].score));
        let of_session = if bound == Some(place) { ", where this session was answered last" } else { "" };
        Candidate {
            model: target.id.clone(),
            name: target.name.clone(),
            reason: format!("{}{of_session}", reason(route, &target.id, rank)),
            score: rank.map(|(_, score)| score.into()),
            state: state(health.state(target, facts.key.id, facts.now)),
        }
    };
    plan.targets.iter().enumerate().map(row).collect()
}

/// Why a target is in the plan; `rank` is its place by its route's strategy, where that goes by figures.
fn reason(route: Option<&Route>, id: &Arc<str>, rank: Option<(usize, Score)>) -> String {
    let Some(route) = route else { return "direct".to_owned() };
    let is_target = route.targets.iter().any(|target| target.target.id == *id);
    if !is_target && route.is_for_budget(id) {
        return "on_budget".to_owned();
    }
    let Some(place) = route.targets.iter().position(|target| target.target.id == *id) else {
        return "fallback".to_owned();
    };
    let (rank, is_cold) = rank.map_or((place, false), |(rank, score)| (rank, score.is_cold()));
    let (is_first, rank) = (rank == 0, nth(rank));
    match route.strategy {
        Order::Weighted => {
            let total: u64 = route.targets.iter().map(|target| u64::from(target.weight)).sum();
            format!("target, weight {} of {total}", route.targets[place].weight)
        }
        Order::Priority => format!("target, {rank} of {}", route.targets.len()),
        Order::Cascade => format!("cascade, {rank} of {}", route.targets.len()),
        Order::Cheapest => format!("target, {rank} by expected cost"),
        Order::Fastest if is_first && is_cold => "target, to be measured".to_owned(),
        Order::Fastest if is_first => "target, the faster of two drawn".to_owned(),
        Order::Fastest => format!("target, {rank} by speed"),
        Order::LeastBusy => format!("target, {rank} by calls under way"),
    }
}

/// A place in an order, counted from 0, in words.
fn nth(place: usize) -> Cow<'static, str> {
    const WORDS: [&str; 5] = ["first", "second", "third", "fourth", "fifth"];
    WORDS.get(place).map_or_else(|| format!("number {}", place + 1).into(), |word| Cow::Borrowed(*word))
}
