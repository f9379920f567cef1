//! Plans of routes with targets for causes, and with shadows.

use super::*;
use crate::types::{Nanos, Share};

fn share(number: f64) -> Share {
    Share::of(number).unwrap()
}

#[test]
fn models_for_a_budget_come_first_once_more_than_its_share_is_used() {
    let call = Call::new();
    let budget = Some(OnBudgetSpec { above: share(0.8), models: vec![spanned("lora"), spanned("fast")] });
    let causes = CausesSpec { budget, ..CausesSpec::default() };
    let spec = RouteSpec { causes, fallbacks: vec![spanned("fast")], ..route("r", &[("smart", 1)]) };
    let routes = compile(&[spec]).unwrap();
    let plan = |budget_used| {
        let facts = Facts { budget_used, ..call.facts("x") };
        (routes.plan(&facts, &Health::default(), 0.5).unwrap(), routes.trace(&facts, &Health::default(), 0.5))
    };
    for used in [0.0, 0.8] {
        assert_eq!(ids(&plan(used).0), ["openai/gpt-4o", "openai/gpt-4o-mini"]);
    }
    let (over, trace) = plan(0.81);
    assert_eq!(ids(&over), ["house/v3", "openai/gpt-4o-mini", "openai/gpt-4o"]);
    assert!(over.trace().contains("house/v3"), "no trace of before is shown");
    assert_eq!(trace.candidates[0].reason, "on_budget");
    assert!(routes.needs().budget_used);
}

#[test]
fn targets_for_causes_have_the_places_behind_the_plans() {
    let call = Call::new();
    let causes = CausesSpec {
        context_length: vec![spanned("smart")],
        content_filter: vec![spanned("lora")],
        ..CausesSpec::default()
    };
    let shadow = ShadowSpec { model: spanned("smart"), share: share(0.5), most_a_day: Nanos(5) };
    let spec = RouteSpec { causes, shadow: Some(shadow), ..route("r", &[("fast", 1)]) };
    let routes = compile(&[spec]).unwrap();
    let plan = routes.plan(&call.facts("x"), &Health::default(), 0.5).unwrap();
    let at: Vec<_> = (0..4).map(|place| plan.at(place).map(|target| &*target.id)).collect();
    assert_eq!(at, [Some("openai/gpt-4o-mini"), Some("openai/gpt-4o"), Some("house/v3"), None]);
    let shadow = plan.shadow.as_deref().unwrap();
    assert_eq!([0.0, 0.49, 0.5, 0.99].map(|dice| shadow.takes(dice)), [true, true, false, false]);
    let alone = plan.alone(shadow.target.clone());
    assert_eq!(
        (ids(&alone), alone.retries, alone.causes.is_none(), alone.shadow.is_none()),
        (vec!["openai/gpt-4o"], 0, true, true)
    );
    // What a target of theirs is called is known to metrics and prices.
    assert!(routes.configured().any(|target| &*target.id == "house/v3"));
}
