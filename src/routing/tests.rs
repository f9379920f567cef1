//! Tests of rules and plans over whole routes.

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
    let targets = targets.iter().map(|(model, weight)| TargetSpec { model: spanned(model), weight: *weight });
    RouteSpec {
        name: spanned(name),
        key: "routes[0]".to_owned(),
        when: None,
        models: Vec::new(),
        targets: targets.collect(),
        fallbacks: Vec::new(),
        strategy: Order::Weighted,
        sticky_by: StickyBy::None,
        retries: None,
        cache: None,
        repair: None,
        local_only: false,
        store_bodies: None,
    }
}

fn compile(routes: &[RouteSpec]) -> Result<Routes, Vec<Diagnostic>> {
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
    Routes::compile(&Spec { providers: &providers, models: &models, routes, defaults: Defaults::default() })
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
        }
    }
}

fn with_rule(rule: &str) -> Result<Routes, Vec<Diagnostic>> {
    compile(&[RouteSpec { when: Some(spanned(rule)), ..route("r", &[("fast", 1)]) }])
}

/// `true`, `false`, or the error of the rule.
fn result(rule: &str, facts: &Facts<'_>) -> String {
    let routes = with_rule(rule).unwrap_or_else(|problems| panic!("{rule}: {problems:?}"));
    match routes.takes(&routes.routes[0], facts) {
        plan::Takes::Yes => "true".to_owned(),
        plan::Takes::No => "false".to_owned(),
        plan::Takes::NotListed => "not listed".to_owned(),
        plan::Takes::Broken(error) => error.to_string(),
    }
}

#[test]
fn a_loop_reads_metadata_once_and_a_rule_that_reads_too_much_ends() {
    let mut call = Call::new();
    call.metadata = (0..128).map(|n| (format!("k{n}"), json!("v"))).collect();
    let linear = r#"metadata.exists(k, metadata[k] == "x")"#;
    assert_eq!(result(linear, &call.facts("fast")), "false");
    let square = r#"metadata.exists(k, metadata.exists(j, metadata[k] == metadata[j] + "x"))"#;
    let texts = r#"metadata.exists(k, request.text.contains(k))"#;
    let long = "y".repeat(4 << 20);
    // What an operator makes of the refused value changes nothing.
    for rule in [square.to_owned(), texts.to_owned(), format!("{square} || true"), format!("{texts} || true")] {
        let facts = Facts { text: &long, ..call.facts("fast") };
        assert!(result(&rule, &facts).contains("more than"), "{rule}");
        let routes = with_rule(&rule).unwrap();
        let refused = routes.plan(&facts, &Health::default(), 0.5).unwrap_err();
        assert!(matches!(&refused, NoPlan::TooLong(name) if &**name == "r"), "{refused}");
        let error = crate::chat::Error::from(refused);
        assert_eq!((error.status(), error.param.as_deref()), (400, Some("metadata")));
    }
}

#[test]
fn rules_read_every_variable_and_what_is_missing_is_empty() {
    let call = Call::new();
    let yes = [
        r#"metadata.privacy == "internal""#,
        r#"metadata["privacy"] == "internal""#,
        r#"metadata.nothing == """#,
        r#"metadata.none == """#,
        r#"metadata.nothing.deeper == """#,
        r#"metadata.deep.a.b == "c""#,
        r#"metadata.deep["a"].b in ["c", "d"]"#,
        r#"metadata.level > 2 && metadata.level < 3.5 && metadata.level == 3u"#,
        "metadata.big > 1 && metadata.ratio < 1",
        "metadata.flag == true",
        r#""privacy" in metadata && !("nothing" in metadata)"#,
        r#""x" in metadata.list && !("z" in metadata.list) && !("q" in metadata.nothing)"#,
        r#"metadata.list[0] == "x""#,
        r#"metadata.list.exists(item, item == "x")"#,
        r#"metadata.list.filter(item, item != "x").all(item, item.name == "y" && item.other == "")"#,
        r#"has(metadata.privacy) && !has(metadata.nothing) && has(metadata.deep.a) && !has(metadata.deep.z)"#,
        r#"metadata.exists(name, name.startsWith("priv"))"#,
        r#"metadata[request.model] == "" && metadata[key.project] == """#,
        "size(metadata) > 3 && metadata.list.size() == 2",
        r#"request.text.contains("refund") && !request.text.contains("REFUND")"#,
        r#"request.text.matches("(?i)^i want") && !request.text.matches("^x")"#,
        r#"matches(request.text, "refund me$")"#,
        r#"metadata.privacy.matches("^int") && !metadata.level.matches("3")"#,
        r#"request.model == "fast" && request.stream"#,
        "request.input_tokens > 2000 && request.input_tokens > 2000u && request.input_tokens > 2000.5",
        "request.input_tokens * 2 + 1 == 5001 && request.input_tokens / 1000 == 2",
        "request.max_tokens == 0 && !has(request.max_tokens)",
        "!request.has_tools && !request.has_images",
        r#"header("x-team") == "a" && header("X-Team") == "a" && header("x-other") == """#,
        r#"prompt.name == "" && prompt.version == 0 && prompt.label == "" && !has(prompt.name)"#,
        r#"key.id == "k1" && key.name == "app" && key.project == "shop""#,
        r#"key.tags.team == "x" && key.tags["team"] == "x" && key.tags.other == "" && "team" in key.tags"#,
        r#"has(key.tags.team) && !has(key.tags.other) && size(key.tags) == 1"#,
        "now.hour >= 9 && now.hour < 10 && now.weekday == 1",
        "budget_used < 0.8 && budget_used * 100 == 25.0 && budget_used < 1",
        r#"request.stream ? key.name == "app" : false"#,
        r#"string(request.input_tokens).endsWith("00") && int("7") == 7 && double(1) < 2"#,
        r#"request.model in ["fast", "smart"]"#,
        r#"{"fast": true}[request.model] == true"#,
        "-request.input_tokens < 0 && 5 % 2 == 1",
    ];
    for rule in yes {
        assert_eq!(result(rule, &call.facts("fast")), "true", "{rule}");
    }
}

#[test]
fn a_rule_without_metadata_or_with_a_prompt() {
    let call = Call::new();
    let none = Facts { metadata: None, ..call.facts("fast") };
    for (rule, expected) in [
        (r#"metadata.privacy == "internal""#, "false"),
        (r#""a" in metadata"#, "false"),
        ("size(metadata) == 0", "true"),
        (r#"metadata.a.b.contains("x")"#, "false"),
    ] {
        assert_eq!(result(rule, &none), expected, "{rule}");
    }
    let prompt = Some(PromptFacts { name: "support-reply", version: 3, label: "production" });
    let facts = Facts { prompt, max_tokens: Some(10), ..call.facts("fast") };
    let rule = r#"prompt.name == "support-reply" && prompt.version >= 3 && prompt.label == "production" && has(prompt.name)
        && has(request.max_tokens) && request.max_tokens == 10"#;
    assert_eq!(result(rule, &facts), "true");
}

#[test]
fn a_value_of_the_wrong_type_is_told_and_does_not_hold() {
    let call = Call::new();
    for rule in ["metadata.privacy > 3", "metadata.nothing > 3", r#"metadata.level.contains("3")"#] {
        let found = result(rule, &call.facts("fast"));
        assert!(found.contains("no matching overload"), "{rule}: {found}");
        let plan = with_rule(rule).unwrap().plan(&call.facts("smart"), &Health::default(), 0.5).unwrap();
        assert_eq!(plan.route, None);
    }
}

#[test]
fn a_rule_that_cannot_tell_keeps_a_call_in_the_house() {
    let call = Call::new();
    let private =
        RouteSpec { when: Some(spanned("metadata.nothing > 3")), local_only: true, ..route("private", &[("lora", 1)]) };
    let plan = compile(&[private]).unwrap().plan(&call.facts("fast"), &Health::default(), 0.5).unwrap();
    assert_eq!(plan.route.as_deref(), Some("private"));
    assert!(plan.local_only);
}

#[test]
fn mistakes_in_rules_are_reported_with_their_place() {
    let table = [
        ("", 0, "a rule has 1 to 4096 characters"),
        ("request.model ==", 16, "cannot be read"),
        ("\"é\" == request.modl", 8, "has no field `modl`"),
        ("\"é\" == \"é\" ===", 15, "cannot be read"),
        ("a &&& b", 4, "cannot be read"),
        ("true && reqest.model == \"a\"", 8, "unknown variable `reqest`"),
        ("request.modell == \"a\"", 0, "`request` has no field `modell`"),
        ("request == \"a\"", 0, "`request` is no value by itself"),
        ("request.model.x == \"a\"", 0, "has no fields"),
        ("request.model", 0, "must be true or false, this is text"),
        ("request.input_tokens", 0, "this is a number"),
        ("metadata.flag", 0, "may be something else"),
        ("metadata.flag && true", 0, "may be something else"),
        ("request.model == 3", 14, "`==` cannot compare text with a number"),
        ("request.input_tokens > \"3\"", 21, "`>` cannot compare a number with text"),
        ("header(request.model) == \"a\"", 6, "takes one header's name"),
        ("header(\"a b\") == \"a\"", 6, "takes one header's name"),
        ("lower(request.model) == \"a\"", 5, "unknown function `lower`"),
        ("request.text.contain(\"a\")", 0, "unknown function `contain`"),
        ("contains(request.text, \"a\")", 8, "called the wrong way"),
        ("request.text.contains(3)", 0, "does not work with a number"),
        ("request.text.contains()", 0, "wrong number of arguments"),
        ("request.text.matches(\"(\")", 0, "no regular expression"),
        ("request.text.matches(request.model)", 0, "must be a text in quotes"),
        ("\"a\".matches(\"a\")", 0, "a text variable only"),
        ("\"a\" in request.text", 4, "`in` looks into lists and maps, not text"),
        ("budget_used + request.input_tokens > 1.0", 12, "mixes kinds of numbers"),
        ("request.text - 1 == 2", 13, "does not work with text"),
        ("-request.text == 2", 0, "`-` does not work with text"),
        ("request.text.all(c, c == \"a\")", 0, "cannot be looped over"),
        ("int == 3", 0, "is a type"),
        ("has(key.id)", 4, "key.id is always there"),
        ("has(key.idd)", 4, "has no field `idd`"),
        ("Thing{a: 1} == 2", 5, "cannot build objects"),
        ("metadata.?a == 1", 8, "cannot be read"),
        ("[1].all(a, [1].all(b, [1].all(c, a == b && b == c)))", 29, "loops inside a loop"),
    ];
    for (rule, at, problem) in table {
        let problems = with_rule(rule).err().unwrap_or_else(|| panic!("{rule} is taken"));
        assert_eq!(problems.len(), 1, "{rule}: {problems:?}");
        assert!(problems[0].problem.contains(problem), "{rule}: {problems:?}");
        assert_eq!(problems[0].place, Place::Offset(at), "{rule}: {problems:?}");
        assert!(!problems[0].fix.is_empty() && problems[0].key == "routes[0].when", "{problems:?}");
    }
}

#[test]
fn deep_and_long_rules_end_neither_the_stack_nor_the_start() {
    let long = vec!["request.stream"; 200].join(" && ");
    assert!(with_rule(&long).is_ok());
    let most = [
        format!("metadata{} == 1", ".a".repeat(399)),
        format!("{}true", "!".repeat(400)),
        format!("{}1 == 1", "1 * ".repeat(900)),
        format!("{}1 in [1]", "1 in ".repeat(700)),
    ];
    for rule in most {
        let _either = with_rule(&rule).is_ok();
    }
    let deep = [
        format!("{}true{}", "(".repeat(2_000), ")".repeat(2_000)),
        format!("metadata{} == 1", ".a".repeat(2_000)),
        format!("{}true", "!".repeat(4_001)),
        format!("{}1{} == 1", "[".repeat(2_000), "]".repeat(2_000)),
        format!("{}1 == 1", "1+".repeat(2_000)),
        format!("{}true", "true?true:".repeat(400)),
        format!("{}'x'", "{'a':".repeat(800)),
        format!("request.text{} == ''", "['a']".repeat(800)),
    ];
    for rule in deep {
        assert!(with_rule(&rule).is_err(), "{}", &rule[..40]);
    }
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
    for model in ["chat", "nope", "nobody/x", "openai/"] {
        let error = routes.plan(&call.facts(model), &health, 0.5).unwrap_err();
        assert_eq!(error, NoPlan::ModelNotFound(model.to_owned()));
    }
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
    let error: crate::chat::Error = NoPlan::ModelNotFound("gpt-9".to_owned()).into();
    assert_eq!((error.status(), error.param.as_deref()), (404, Some("model")));
    assert!(error.message.contains("gpt-9"));
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
fn a_cooling_target_is_tried_last_and_when_all_cool_the_first_to_recover_is_first() {
    let call = Call::new();
    let routes = compile(&[RouteSpec { fallbacks: vec![spanned("fast")], ..route("r", &[("lora", 1)]) }]).unwrap();
    let health = Health::default();
    let plan = |now| routes.plan(&Facts { now, ..call.facts("x") }, &health, 0.5);
    let (lora, fast) = (routes.target("lora").unwrap(), routes.target("fast").unwrap());
    for _ in 0..5 {
        assert_eq!(ids(&plan(NOW).unwrap()), ["house/v3", "openai/gpt-4o-mini"]);
        health.failed(asking(&lora, NOW), Fault::Broken, NOW, 1.0);
    }
    assert_eq!(ids(&plan(NOW).unwrap()), ["openai/gpt-4o-mini", "house/v3"]);
    assert!(!health.enter(asking(&lora, NOW)));
    health.failed(asking(&fast, NOW), Fault::Throttled { retry_after: Some(Duration::from_secs(9)) }, NOW, 0.5);
    let all_cool = plan(NOW).unwrap();
    assert_eq!(all_cool.cooling, Some(Duration::from_secs(1)));
    assert_eq!(ids(&all_cool), ["house/v3", "openai/gpt-4o-mini"]);
    let later = NOW.plus(Duration::from_secs(1));
    assert_eq!(ids(&plan(later).unwrap()), ["house/v3", "openai/gpt-4o-mini"]);
    assert_eq!(plan(later).unwrap().cooling, None);
    assert!((0..3).all(|_| health.enter(asking(&lora, later))) && !health.enter(asking(&lora, later)), "a few probes");
    assert_eq!(plan(later).unwrap().cooling, Some(Duration::from_secs(1)));
    health.succeeded(asking(&lora, later), later);
    assert!((0..9).all(|_| health.enter(asking(&lora, later))));
    let rows = health.troubled(later);
    assert_eq!(rows.len(), 1);
    assert_eq!((&*rows[0].target, rows[0].state), ("openai/gpt-4o-mini", "cooling"));
}

/// A call of key `k1`, which the facts of a call name too.
fn asking(target: &Target, began: Timestamp) -> Asking<'_> {
    of_key(target, "k1", began)
}

fn of_key<'a>(target: &'a Target, key: &str, began: Timestamp) -> Asking<'a> {
    let key: &'static Arc<str> = Box::leak(Box::new(key.into()));
    Asking { target, key, began }
}

fn states(health: &Health, target: &Target, keys: &[&str], now: Timestamp) -> Vec<bool> {
    keys.iter().map(|key| health.state(target, key, now).is_open()).collect()
}

#[test]
fn the_faults_of_one_keys_calls_cool_a_target_for_that_key_only() {
    let routes = compile(&[]).unwrap();
    let lora = routes.target("lora").unwrap();
    for fault in [Fault::Broken, Fault::Slow, Fault::Throttled { retry_after: None }] {
        let health = Health::default();
        let mut now = NOW;
        for _ in 0..200 {
            let _called_all_the_same = health.enter(of_key(&lora, "a", now));
            health.failed(of_key(&lora, "a", now), fault, now, 1.0);
            assert!(health.enter(of_key(&lora, "b", now)), "{fault:?}");
            now = now.plus(Duration::from_millis(700));
        }
        assert_eq!(health.troubled(now)[0].keys, Some(1));
        let health = Health::default();
        // What it mixes with good answers stays its own as well.
        for n in 0..200 {
            let asking = of_key(&lora, "a", now);
            if n % 6 == 5 {
                health.succeeded(asking, now);
            } else {
                health.failed(asking, fault, now, 1.0);
            }
            assert_eq!(states(&health, &lora, &["b"], now), [true], "{fault:?} {n}");
        }
    }
}

#[test]
fn the_faults_of_several_keys_cool_a_target_for_all() {
    let routes = compile(&[]).unwrap();
    let lora = routes.target("lora").unwrap();
    for (keys, cools) in [(&["a"][..], false), (&["a", "b"], true), (&["a", "b", "c", "d", "e"], true)] {
        for fault in [Fault::Broken, Fault::Slow] {
            let health = Health::default();
            for n in 0..8 {
                health.failed(of_key(&lora, keys[n % keys.len()], NOW), fault, NOW, 1.0);
            }
            assert_eq!(states(&health, &lora, &["stranger"], NOW), [!cools], "{keys:?} {fault:?}");
            assert_eq!(health.troubled(NOW)[0].keys, (!cools).then_some(1));
        }
    }
}

#[test]
fn what_no_call_can_cause_cools_a_target_for_all() {
    let routes = compile(&[]).unwrap();
    let lora = routes.target("lora").unwrap();
    let health = Health::default();
    for _ in 0..5 {
        health.failed(of_key(&lora, "a", NOW), Fault::Unreachable, NOW, 1.0);
    }
    assert_eq!(states(&health, &lora, &["a", "b"], NOW), [false, false]);
    let health = Health::default();
    let named = Fault::Throttled { retry_after: Some(Duration::from_secs(7)) };
    health.failed(of_key(&lora, "a", NOW), named, NOW, 1.0);
    assert_eq!(states(&health, &lora, &["a", "b"], NOW), [false, false]);
}

#[test]
fn slow_answers_are_no_faults_for_all_while_the_target_answers_others() {
    let routes = compile(&[]).unwrap();
    let lora = routes.target("lora").unwrap();
    let health = Health::default();
    let mut now = NOW;
    for n in 0..100 {
        for key in ["a", "b", "c"] {
            health.failed(of_key(&lora, key, now), Fault::Slow, now, 1.0);
        }
        if n % 10 == 0 {
            health.succeeded(of_key(&lora, "good", now), now);
        }
        now = now.plus(Duration::from_secs(1));
        assert!(n == 0 || health.enter(of_key(&lora, "good", now)), "{n}");
    }
}

#[test]
fn after_a_recovery_one_fault_cools_nothing() {
    let routes = compile(&[]).unwrap();
    let lora = routes.target("lora").unwrap();
    let health = Health::default();
    for _ in 0..5 {
        health.failed(asking(&lora, NOW), Fault::Broken, NOW, 1.0);
    }
    let later = NOW.plus(Duration::from_secs(1));
    assert!(health.enter(asking(&lora, later)));
    health.succeeded(asking(&lora, later), later);
    health.failed(asking(&lora, later), Fault::Broken, later, 1.0);
    assert_eq!(states(&health, &lora, &["k1", "b"], later), [true, true]);
}

#[test]
fn keys_with_faults_are_bounded() {
    let routes = compile(&[]).unwrap();
    let lora = routes.target("lora").unwrap();
    let health = Health::default();
    for n in 0..3_000 {
        health.failed(of_key(&lora, &format!("k{n}"), NOW), Fault::Slow, NOW, 1.0);
    }
    assert!(health.troubled(NOW)[0].keys.unwrap_or_default() <= 1_024);
}

#[test]
fn targets_with_faults_are_bounded() {
    let health = Health::default();
    let routes = compile(&[]).unwrap();
    for model in 0..5_000 {
        let target = routes.target(&format!("openai/{model}")).unwrap();
        health.failed(asking(&target, NOW), Fault::Broken, NOW, 0.5);
    }
    assert_eq!(health.troubled(NOW).len(), 4_096);
    let late = NOW.plus(Duration::from_secs(61));
    health.failed(asking(&routes.target("openai/late").unwrap(), late), Fault::Broken, late, 0.5);
    assert_eq!(health.troubled(NOW).len(), 1);
}

#[test]
fn retry_budgets_are_per_provider() {
    let health = Health::default();
    let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
    for _ in 0..10 {
        health.called(&a, NOW);
    }
    assert_eq!((0..20).filter(|_| health.may_retry(&a, NOW)).count(), 5);
    assert_eq!((0..20).filter(|_| health.may_retry(&b, NOW)).count(), 3);
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
fn needs_name_only_what_rules_read() {
    assert_eq!(*compile(&[]).unwrap().needs(), Needs::default());
    let sticky = RouteSpec { sticky_by: StickyBy::User, ..route("r", &[("fast", 1)]) };
    let needs = *compile(&[sticky]).unwrap().needs();
    assert_eq!(needs, Needs { user: true, ..Needs::default() });
    let rule = r#"request.text.matches("a") || header("b") == "c" || "x" in metadata || budget_used > 0.5"#;
    let needs = *with_rule(rule).unwrap().needs();
    let expected = Needs { text: true, headers: true, metadata: true, budget_used: true, ..Needs::default() };
    assert_eq!(needs, expected);
    for rule in [r#"prompt.name == "a""#, "prompt.version > 1", "has(prompt.label)"] {
        assert_eq!(*with_rule(rule).unwrap().needs(), Needs { prompt: true, ..Needs::default() }, "{rule}");
    }
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
