//! Tests of rules and plans over whole routes.

mod causes;
mod health;
mod ranking;
mod rules;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::types::{Diagnostic, Place, Timestamp};
use crate::upstream::{Kind, Provider, Server, Timeouts};

const NOW: Timestamp = Timestamp(1_795_427_193_000_000); // Monday, 2026-11-23 09:46:33

fn provider(name: &str, local: bool) -> Provider {
    Provider {
        name: name.into(),
        kind: Kind::Simulated,
        server: Server::Generic,
        vendor: None,
        base_url: String::new(),
        ca_file: None,
        api_version: None,
        api_keys: Vec::new(),
        entra_tokens: false,
        aws: None,
        chat: true,
        responses: true,
        local,
        allow_private: false,
        gpu_hour: None,
        requests_per_second: None,
        timeouts: Timeouts::default(),
        batch_window: None,
        max_in_flight: 1,
        native_batches: false,
        list_models: false,
        profile: None,
    }
}

fn spanned(text: &str) -> Spanned {
    Spanned { text: text.to_owned(), at: 0 }
}

fn route(name: &str, targets: &[(&str, u32)]) -> RouteSpec {
    let targets =
        targets.iter().map(|(model, weight)| TargetSpec { model: spanned(model), weight: *weight, accept: None });
    RouteSpec {
        name: spanned(name),
        key: "routes[0]".to_owned(),
        when: None,
        models: Vec::new(),
        targets: targets.collect(),
        fallbacks: Vec::new(),
        strategy: Order::Weighted,
        sticky_by: StickyBy::None,
        affinity: Affinity::None,
        hedge: None,
        retries: None,
        cache: None,
        repair: None,
        min_speed: None,
        local_only: false,
        store_bodies: None,
        causes: CausesSpec::default(),
        shadow: None,
    }
}

fn compile(routes: &[RouteSpec]) -> Result<Routes, Vec<Diagnostic>> {
    compile_with(routes, "lora")
}

/// The same, by another embedding model.
fn compile_with(routes: &[RouteSpec], embedding: &str) -> Result<Routes, Vec<Diagnostic>> {
    let providers = [provider("openai", false), provider("house", true)];
    let models: Vec<ModelSpec> =
        [("fast", "openai", "gpt-4o-mini"), ("smart", "openai", "gpt-4o"), ("lora", "house", "v3")]
            .map(|(name, provider, model)| ModelSpec {
                name: name.into(),
                provider: spanned(provider),
                model: model.into(),
                adapter: None,
                structured: None,
                base_model: None,
                key: format!("models.{name}"),
            })
            .into();
    let examples = ["refund", "failed"].map(|name| ExampleSpec {
        name: spanned(name),
        key: format!("examples.{name}"),
        sentences: vec!["Give me my money back".to_owned()],
    });
    let embedding = Some(&spanned(embedding));
    let defaults = Defaults::default();
    Routes::compile(&Spec { providers: &providers, models: &models, routes, defaults, embedding, examples: &examples })
}

struct Call {
    metadata: Map<String, Value>,
    tags: BTreeMap<String, String>,
}

fn header(name: &str) -> Option<String> {
    (name == "x-team").then(|| "a".to_owned())
}

impl Call {
    fn new() -> Self {
        let metadata = json!({"privacy": "internal", "level": 3, "ratio": 0.5, "big": u64::MAX, "flag": true, "none": null,
            "deep": {"a": {"b": "c"}}, "list": ["x", {"name": "y"}]});
        let tags = BTreeMap::from([("team".to_owned(), "x".to_owned())]);
        Self { metadata: metadata.as_object().unwrap().clone(), tags }
    }

    fn facts<'a>(&'a self, model: &'a str) -> Facts<'a> {
        Facts {
            model,
            stream: true,
            input_tokens: 2_500,
            max_tokens: None,
            has_tools: false,
            has_images: false,
            text: "I want a Refund, please: refund me",
            prompt: None,
            key: KeyFacts { id: "k1", name: "app", project: "shop", tags: &self.tags },
            metadata: Some(&self.metadata),
            header: &header,
            user: Some("u1"),
            session: None,
            now: NOW,
            budget_used: 0.25,
            complexity: 0.5,
            figures: None,
            similar: &|name| if name == "refund" { Similarity::Known(0.8) } else { Similarity::Unknown },
        }
    }
}

/// A call of key `k1`, which the facts of a call name too.
fn asking(target: &Target, began: Timestamp) -> Asking<'_> {
    of_key(target, "k1", began)
}

fn of_key<'a>(target: &'a Target, key: &str, began: Timestamp) -> Asking<'a> {
    let key: &'static Arc<str> = Box::leak(Box::new(key.into()));
    Asking { target, key, began }
}

fn with_rule(rule: &str) -> Result<Routes, Vec<Diagnostic>> {
    compile(&[RouteSpec { when: Some(spanned(rule)), ..route("r", &[("fast", 1)]) }])
}

fn ids(plan: &Plan) -> Vec<&str> {
    plan.targets.iter().map(|target| &*target.id).collect()
}

#[test]
fn a_model_is_found_by_route_then_name_then_provider() {
    let call = Call::new();
    let routes = compile(&[
        RouteSpec { models: vec![spanned("auto"), spanned("fast")], ..route("listed", &[("smart", 1)]) },
        RouteSpec {
            models: vec![spanned("chat")],
            when: Some(spanned("request.input_tokens > 9000")),
            ..route("both", &[("smart", 1)])
        },
        RouteSpec { when: Some(spanned("request.model == \"odd\"")), ..route("ruled", &[("lora", 1)]) },
    ])
    .unwrap();
    let health = Health::default();
    for (model, route, target) in [
        ("auto", Some("listed"), "openai/gpt-4o"),
        ("fast", Some("listed"), "openai/gpt-4o"),
        ("odd", Some("ruled"), "house/v3"),
        ("smart", None, "openai/gpt-4o"),
        ("openai/o9-new", None, "openai/o9-new"),
        ("openai/org/model", None, "openai/org/model"),
    ] {
        let plan = routes.plan(&call.facts(model), &health, 0.5).unwrap();
        assert_eq!((plan.route.as_deref(), ids(&plan)), (route, vec![target]), "{model}");
        assert_eq!((plan.retries, plan.cache.mode), (2, CacheMode::Off));
    }
    let error = routes.plan(&call.facts("chat"), &health, 0.5).unwrap_err();
    let expected = "no route takes this call of the model `chat`: route `both` lists it, and its rule is false";
    assert_eq!(error.to_string(), expected);
    assert!(!error.without_names().to_string().contains("both"));
    for model in ["nope", "openai/"] {
        let error = routes.plan(&call.facts(model), &health, 0.5).unwrap_err();
        assert_eq!(error, NoPlan::ModelNotFound(model.to_owned()));
    }
    let error = routes.plan(&call.facts("nobody/x"), &health, 0.5).unwrap_err();
    assert_eq!(error, NoPlan::ProviderNotFound("nobody/x".to_owned()));
    assert_eq!(routes.plan(&call.facts(""), &health, 0.5), Err(NoPlan::NoModel));
    let long = Call { metadata: Map::new(), tags: BTreeMap::new() };
    let plan = routes.plan(&Facts { input_tokens: 9_001, ..long.facts("chat") }, &health, 0.5).unwrap();
    assert_eq!(plan.route.as_deref(), Some("both"));
    assert_eq!(
        routes.models().iter().map(|name| &**name).collect::<Vec<_>>(),
        ["fast", "smart", "lora", "auto", "chat"]
    );
}

#[test]
fn a_route_with_neither_rule_nor_models_takes_everything() {
    let call = Call::new();
    let routes = compile(&[route("all", &[("lora", 1)])]).unwrap();
    for model in ["fast", "nope", ""] {
        assert_eq!(routes.plan(&call.facts(model), &Health::default(), 0.1).unwrap().route.as_deref(), Some("all"));
    }
}

#[test]
fn an_unknown_model_is_a_404_that_names_it() {
    let model = || "gpt-9".to_owned();
    for error in [NoPlan::ModelNotFound(model()), NoPlan::NotTaken { model: model(), why: String::new() }] {
        let error: crate::chat::Error = error.into();
        assert_eq!(
            (error.status(), error.code.text(), error.param.as_deref()),
            (404, "model_not_found", Some("model"))
        );
        assert!(error.message.contains("gpt-9"));
    }
}

#[test]
fn fallbacks_come_after_the_drawn_target_and_before_the_others() {
    let call = Call::new();
    let spec = RouteSpec {
        fallbacks: vec![spanned("openai/backup"), spanned("fast")],
        ..route("r", &[("lora", 90), ("fast", 10), ("smart", 0)])
    };
    let routes = compile(std::slice::from_ref(&spec)).unwrap();
    let plan = |routes: &Routes, dice| routes.plan(&call.facts("x"), &Health::default(), dice).unwrap();
    assert_eq!(ids(&plan(&routes, 0.0)), ["house/v3", "openai/backup", "openai/gpt-4o-mini"]);
    assert_eq!(ids(&plan(&routes, 0.95)), ["openai/gpt-4o-mini", "openai/backup", "house/v3"]);
    let priority = compile(&[RouteSpec { strategy: Order::Priority, ..spec }]).unwrap();
    let expected = ["house/v3", "openai/gpt-4o-mini", "openai/gpt-4o", "openai/backup"];
    assert_eq!(ids(&plan(&priority, 0.95)), expected);
}

#[test]
fn weights_are_kept_over_many_throws() {
    let call = Call::new();
    let routes = compile(&[route("r", &[("lora", 70), ("fast", 20), ("smart", 10)])]).unwrap();
    let (mut first, mut second) = (BTreeMap::new(), BTreeMap::new());
    for throw in 0..10_000 {
        let plan = routes.plan(&call.facts("x"), &Health::default(), f64::from(throw) / 10_000.0).unwrap();
        *first.entry(plan.targets[0].name.to_string()).or_insert(0u32) += 1;
        if &*plan.targets[0].name == "lora" {
            *second.entry(plan.targets[1].name.to_string()).or_insert(0u32) += 1;
        }
    }
    assert_eq!(first, BTreeMap::from([("fast".into(), 2_000), ("lora".into(), 7_000), ("smart".into(), 1_000)]));
    let share = f64::from(second["fast"]) / 7_000.0;
    assert!((share - 2.0 / 3.0).abs() < 0.01, "the second draw keeps the weights of those left: {share}");
}

#[test]
fn unknown_targets_and_private_routes_that_leave_the_house_are_refused() {
    let private = RouteSpec {
        local_only: true,
        fallbacks: vec![spanned("openai/gpt-4o")],
        ..route("private", &[("lora", 1), ("fast", 1)])
    };
    let problems = compile(&[private, route("b", &[("fats", 1)]), route("c", &[("lora", 0)])]).unwrap_err();
    let shown: Vec<String> = problems.iter().map(|p| format!("{}: {}; {}", p.key, p.problem, p.fix)).collect();
    insta::assert_snapshot!(shown.join("\n"), @r"
    routes[0].targets[1].model: `openai/gpt-4o-mini` would leave the house on a route with local_only = true; use models of providers with local = true only
    routes[0].fallbacks[0]: `openai/gpt-4o` would leave the house on a route with local_only = true; use models of providers with local = true only
    routes[0].targets[0].model: there is no model `fats`; did you mean `fast`?
    routes[0].targets[0].weight: every target has weight 0, so no call could go anywhere; give one a weight
    ");
}

#[test]
fn a_trace_tells_every_rule_and_candidate() {
    let call = Call::new();
    let routes = compile(&[
        RouteSpec { models: vec![spanned("auto")], ..route("listed", &[("smart", 1)]) },
        RouteSpec { when: Some(spanned("request.has_tools")), ..route("tools", &[("smart", 1)]) },
        RouteSpec { when: Some(spanned("metadata.privacy > 2")), ..route("broken", &[("smart", 1)]) },
        RouteSpec {
            when: Some(spanned("request.stream")),
            fallbacks: vec![spanned("fast")],
            ..route("taken", &[("lora", 9), ("smart", 1)])
        },
        route("rest", &[("smart", 1)]),
    ])
    .unwrap();
    let health = Health::default();
    health.failed(
        asking(&routes.target("fast").unwrap(), NOW),
        Fault::Throttled { retry_after: Some(Duration::from_secs(5)) },
        NOW,
        0.5,
    );
    let trace = routes.trace(&call.facts("x"), &health, 0.1);
    let rules: Vec<String> = trace.rules.iter().map(|rule| format!("{}: {}", rule.route, rule.result)).collect();
    insta::assert_snapshot!(rules.join("\n"), @r"
    listed: model not listed
    tools: false
    broken: error: found no matching overload for '_>_' applied to '(string, int)'
    taken: taken
    rest: not reached
    ");
    insta::assert_snapshot!(serde_json::to_string(&trace.candidates).unwrap(), @r#"[{"model":"house/v3","name":"lora","reason":"target, weight 9 of 10","state":"healthy"},{"model":"openai/gpt-4o","name":"smart","reason":"target, weight 1 of 10","state":"healthy"},{"model":"openai/gpt-4o-mini","name":"fast","reason":"fallback","state":"cooling until 2026-11-23T09:46:38.000000Z"}]"#);
    assert_eq!((trace.route.as_deref(), trace.decision.as_deref()), (Some("taken"), Some("house/v3")));
    let spec = RouteSpec {
        strategy: Order::Priority,
        fallbacks: vec![spanned("smart")],
        ..route("p", &[("lora", 1), ("fast", 1)])
    };
    let in_turn = compile(&[spec]).unwrap().trace(&call.facts("x"), &Health::default(), 0.9);
    let reasons: Vec<&str> = in_turn.candidates.iter().map(|candidate| &*candidate.reason).collect();
    assert_eq!(reasons, ["target, first of 2", "target, second of 2", "fallback"]);
    let plan = routes.plan(&call.facts("x"), &health, 0.1).unwrap();
    assert_eq!(
        &*plan.trace(),
        r#"{"rule":"taken","candidates":["house/v3","openai/gpt-4o","openai/gpt-4o-mini"],"decision":"house/v3"}"#
    );
}

proptest! {
    #[test]
    fn a_sticky_caller_stays_and_moves_only_with_the_share_that_moved(user in "[a-z0-9@.]{1,20}", dice in 0.0..1.0f64) {
        let call = Call::new();
        let routes = |weights: [u32; 2]| {
            let targets = [("lora", weights[0]), ("fast", weights[1])];
            compile(&[RouteSpec { sticky_by: StickyBy::User, ..route("r", &targets) }]).unwrap()
        };
        let first = |routes: &Routes, dice| {
            let facts = Facts { user: Some(&user), ..call.facts("x") };
            routes.plan(&facts, &Health::default(), dice).unwrap().targets[0].name.clone()
        };
        let (before, after) = (routes([50, 50]), routes([80, 20]));
        prop_assert_eq!(first(&before, dice), first(&before, 0.0));
        if &*first(&before, dice) == "lora" {
            prop_assert_eq!(&*first(&after, dice), "lora");
        }
    }

    #[test]
    fn every_target_with_a_weight_is_planned_once(weights in proptest::collection::vec(0u32..100, 1..4), dice in 0.0..1.0f64) {
        prop_assume!(weights.iter().any(|weight| *weight > 0));
        let call = Call::new();
        let names = ["fast", "smart", "lora"];
        let targets: Vec<_> = names.iter().copied().zip(weights.iter().copied()).collect();
        let plan = compile(&[route("r", &targets)]).unwrap().plan(&call.facts("x"), &Health::default(), dice).unwrap();
        let mut planned: Vec<_> = plan.targets.iter().map(|target| target.name.to_string()).collect();
        planned.sort();
        let mut expected: Vec<_> = targets.iter().filter(|(_, weight)| *weight > 0).map(|(name, _)| (*name).to_owned()).collect();
        expected.sort();
        prop_assert_eq!(planned, expected);
    }
}
