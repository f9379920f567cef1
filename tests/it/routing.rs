//! Which route takes a call, where it goes, and what `explain` says of it.

use std::collections::BTreeMap;

use serde_json::json;

use crate::app::{TestApp, hello};
use crate::client::Call;
use crate::upstream::Script;

fn route(name: &str, rest: &str) -> String {
    format!("[[routes]]\nname = \"{name}\"\nretries = 0\n{rest}\n")
}

#[tokio::test]
async fn the_first_route_whose_rule_holds_takes_the_call() {
    let routes = [
        route("tagged", "when = 'metadata.team == \"search\"'\ntargets = [{ model = \"spare\" }]"),
        route("header", "when = 'header(\"x-region\") == \"eu\"'\ntargets = [{ model = \"spare\" }]"),
        route("text", "when = 'request.text.contains(\"translate\")'\ntargets = [{ model = \"spare\" }]"),
        route("tools", "when = 'request.has_tools && !request.stream'\ntargets = [{ model = \"spare\" }]"),
        route("big", "when = 'request.max_tokens > 1000'\ntargets = [{ model = \"spare\" }]"),
        route("caller", "when = 'key.name == \"special\"'\ntargets = [{ model = \"spare\" }]"),
        route("rest", "targets = [{ model = \"fast\" }]"),
    ];
    let app = TestApp::with(&routes.concat()).await;
    let with = |more: serde_json::Value| {
        let mut body = hello("anything");
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Call::chat(&body)
    };
    let special = app.new_key(&json!({"name": "special"})).await;
    for (call, expected) in [
        (with(json!({"metadata": {"team": "search"}})).key(&app.key), "tagged"),
        (with(json!({"metadata": {"team": "ads"}})).key(&app.key), "rest"),
        (with(json!({})).header("x-region", "eu").key(&app.key), "header"),
        (with(json!({"messages": [{"role": "user", "content": "please translate"}]})).key(&app.key), "text"),
        (with(json!({"tools": [{"type": "function", "function": {"name": "f"}}]})).key(&app.key), "tools"),
        (with(json!({"max_tokens": 2000})).key(&app.key), "big"),
        (with(json!({})).key(&special), "caller"),
        (with(json!({})).key(&app.key), "rest"),
    ] {
        let answer = app.send(call.clone()).await;
        assert_eq!(answer.header("x-fulcrum-route"), Some(expected), "{call:?} {}", answer.text());
        assert_eq!(app.row(answer.id()).await["route"], expected);
    }
    app.close().await;
}

#[tokio::test]
async fn a_call_of_a_provider_that_there_is_not_says_so() {
    let app = TestApp::start().await;
    let answer = app.hello("nope/x").await;
    assert_eq!((answer.outcome().as_str(), answer.param().as_str()), ("404 model_not_found", "model"));
    assert!(answer.text().contains("there is no provider `nope`"), "{}", answer.text());
    assert!(!app.hello("nope").await.text().contains("provider"));
    app.close().await;
}

#[tokio::test]
async fn simple_calls_go_to_the_cheaper_model_and_explain_says_why() {
    let routes = [
        route("easy", "models = [\"auto\"]\nwhen = 'complexity < 0.3'\ntargets = [{ model = \"spare\" }]"),
        route("hard", "models = [\"auto\"]\ntargets = [{ model = \"fast\" }]"),
    ];
    let app = TestApp::with(&routes.concat()).await;
    let hard = "Prove step by step that the square root of 2 is irrational.";
    for (text, expected) in [("What is the capital of France?", "easy"), (hard, "hard")] {
        let body = json!({"model": "auto", "messages": [{"role": "user", "content": text}]});
        assert_eq!(app.chat(&body).await.header("x-fulcrum-route"), Some(expected), "{text}");
        let explained = app.send(Call::post("/v1/explain", &body).key(&app.key)).await.json();
        let (score, work) = (&explained["complexity"]["score"], &explained["complexity"]["parts"]["work"]);
        assert_eq!(
            (score.as_f64().unwrap() < 0.3, work == 0.4),
            (expected == "easy", expected == "hard"),
            "{explained:#}"
        );
    }
    for (path, body) in [
        ("/v1/responses", json!({"model": "auto", "input": hard})),
        ("/v1/messages", json!({"model": "auto", "max_tokens": 9, "messages": [{"role": "user", "content": hard}]})),
    ] {
        let answer = app.send(Call::post(path, &body).key(&app.key)).await;
        assert_eq!(answer.header("x-fulcrum-route"), Some("hard"), "{path}");
    }
    app.close().await;
}

#[tokio::test]
async fn metadata_that_rules_read_is_bounded_and_other_metadata_is_not() {
    let many = |count: usize| (0..count).map(|n| (format!("k{n}"), json!("v"))).collect::<BTreeMap<_, _>>();
    let with = |count: usize| {
        let mut body = hello("fast");
        body["metadata"] = json!(many(count));
        Call::chat(&body)
    };
    let loops = "when = 'metadata.exists(k, metadata[k] == \"x\")'\ntargets = [{ model = \"spare\" }]";
    let app = TestApp::with(&route("loops", loops)).await;
    assert_eq!(app.send(with(128).key(&app.key)).await.status, 200);
    for count in [129, 20_000] {
        let refused = app.send(with(count).key(&app.key)).await;
        assert_eq!((refused.status, refused.param()), (400, "metadata".to_owned()), "{}", refused.text());
    }
    app.reload("").await;
    assert_eq!(app.send(with(20_000).key(&app.key)).await.status, 200, "no rule reads it");
    app.close().await;
}

#[tokio::test]
async fn a_headers_rule_sees_no_upstream_key() {
    let app = TestApp::with(&route("r", "targets = [{ model = \"fast\" }]")).await;
    let call = Call::chat(&hello("x"))
        .key(&app.key)
        .header("x-region", "eu")
        .header("cookie", "a=b")
        .header("x-forwarded-for", "1.2.3.4");
    app.send(call).await;
    let head = app.up.only().head.to_ascii_lowercase();
    for name in ["x-region", "cookie", "x-forwarded-for", "x-fulcrum", "fulcrum.test"] {
        assert!(!head.contains(name), "{name} goes up: {head}");
    }
    app.close().await;
}

#[tokio::test]
async fn weights_divide_the_calls() {
    let targets = "targets = [{ model = \"fast\", weight = 3 }, { model = \"spare\", weight = 1 }, { model = \"dead/x\", weight = 0 }]";
    let app = TestApp::with(&route("split", targets)).await;
    let mut counts = BTreeMap::new();
    for _ in 0..200 {
        let answer = app.hello("any").await;
        *counts.entry(answer.header("x-fulcrum-model").unwrap().to_owned()).or_insert(0) += 1;
    }
    let (fast, spare) = (counts["up/gpt-x"], counts["other/spare-x"]);
    // Six standard deviations around 150.
    assert!((113..=187).contains(&fast) && fast + spare == 200, "{counts:?}");
    app.close().await;
}

#[tokio::test]
async fn a_sticky_route_keeps_a_user_at_one_target() {
    let targets = "targets = [{ model = \"fast\" }, { model = \"spare\" }]\nsticky_by = \"user\"";
    let app = TestApp::with(&route("split", targets)).await;
    let mut seen = std::collections::BTreeSet::new();
    for user in 0..20 {
        let call = Call::chat(&hello("any")).key(&app.key).header("x-fulcrum-user", &format!("user-{user}"));
        let first = app.send(call.clone()).await.header("x-fulcrum-model").unwrap().to_owned();
        for _ in 0..3 {
            assert_eq!(app.send(call.clone()).await.header("x-fulcrum-model"), Some(first.as_str()));
        }
        seen.insert(first);
    }
    assert_eq!(seen.len(), 2, "all users at one target");
    app.close().await;
}

#[tokio::test]
async fn a_sticky_route_reads_the_bodys_user_too() {
    let targets = "targets = [{ model = \"fast\" }, { model = \"spare\" }]\nsticky_by = \"user\"";
    let app = TestApp::with(&route("split", targets)).await;
    let mut body = hello("any");
    body["user"] = "someone".into();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let answer = app.chat(&body).await;
        seen.insert(answer.header("x-fulcrum-model").unwrap().to_owned());
        assert_eq!(app.row(answer.id()).await["user"], "someone");
    }
    assert_eq!(seen.len(), 1, "one user, two targets");
    app.close().await;
}

#[tokio::test]
async fn private_calls_fail_rather_than_leave_the_house() {
    let app = TestApp::with(&format!(
        "{}{}",
        route(
            "private",
            "when = 'metadata.privacy == \"internal\"'\ntargets = [{ model = \"spare\" }]\nlocal_only = true"
        ),
        route("rest", "targets = [{ model = \"fast\" }]")
    ))
    .await;
    app.other.always(Script::error(500, "down"));
    let mut body = hello("fast");
    body["metadata"] = json!({"privacy": "internal"});
    for _ in 0..8 {
        let answer = app.chat(&body).await;
        assert!(answer.status >= 500, "{}", answer.text());
    }
    assert_eq!(app.up.count(), 0, "private traffic left the house");
    assert_eq!(app.hello("fast").await.status, 200);
    app.close().await;
}

#[tokio::test]
async fn a_private_route_with_an_outside_target_does_not_load() {
    let text = "[providers.out]\nkind = \"openai\"\nbase_url = \"http://127.0.0.1:1/v1\"\n\
        [[routes]]\nname = \"p\"\nlocal_only = true\ntargets = [{ model = \"out/x\" }]\n";
    let problems = fulcrum::config::parse(text, "test", &crate::app::env).unwrap_err();
    assert!(problems.iter().any(|problem| problem.to_string().contains("local")), "{problems:?}");
}

#[tokio::test]
async fn models_are_named_in_three_ways_and_nothing_else() {
    let app = TestApp::start().await;
    for (model, sent) in [("fast", "gpt-x"), ("up/gpt-x", "gpt-x"), ("up/a/b:c", "a/b:c")] {
        assert_eq!(app.hello(model).await.status, 200, "{model}");
        assert_eq!(app.up.received().last().unwrap().json()["model"], sent);
    }
    for model in ["nope", "nobody/x", "up/", "/x", "FAST", "http://127.0.0.1/v1"] {
        let answer = app.hello(model).await;
        assert_eq!((answer.outcome().as_str(), answer.param().as_str()), ("404 model_not_found", "model"), "{model}");
    }
    assert_eq!(app.up.count(), 3);
    app.close().await;
}

#[tokio::test]
async fn a_model_that_looks_like_a_path_stays_in_the_body() {
    let app = TestApp::start().await;
    for model in ["up/../../v1/files", "up/x?y=z", "up/%2e%2e/files", "up/x#y"] {
        app.hello(model).await;
    }
    for received in app.up.received() {
        assert_eq!(received.path, "/v1/chat/completions");
    }
    app.close().await;
}

#[tokio::test]
async fn a_caller_never_chooses_a_destination() {
    let app = TestApp::start().await;
    let mut body = hello("fast");
    let elsewhere = format!("http://{}/v1", app.other.address);
    for field in ["api_base", "base_url", "api_key", "custom_llm_provider", "endpoint", "api_version", "host"] {
        body[field] = elsewhere.clone().into();
    }
    body["metadata"] = json!({"api_base": elsewhere});
    let call = Call::chat(&body).key(&app.key).header("x-api-base", &elsewhere).header("x-target-url", &elsewhere);
    assert_eq!(app.send(call).await.status, 200);
    assert_eq!((app.up.count(), app.other.count()), (1, 0));
    assert_eq!(app.up.only().header("host"), Some(app.up.address.to_string().as_str()));
    app.close().await;
}

#[tokio::test]
async fn explain_tells_and_calls_nobody() {
    let app = TestApp::with(&format!(
        "{}{}",
        route("private", "when = 'metadata.privacy == \"internal\"'\ntargets = [{ model = \"spare\" }]"),
        route(
            "rest",
            "targets = [{ model = \"fast\" }]\nfallbacks = [\"spare\"]\ncache = { mode = \"exact\", ttl = \"1h\" }"
        )
    ))
    .await;
    let mut body = hello("any");
    body["endpoint"] = "/v1/chat/completions".into();
    let answer = app.send(Call::post("/v1/explain", &body).key(crate::app::ADMIN)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let explained = answer.json();
    assert_eq!(explained["route"], "rest");
    let candidates: Vec<_> =
        explained["candidates"].as_array().unwrap().iter().map(|one| one["model"].clone()).collect();
    assert_eq!(candidates, [json!("up/gpt-x"), json!("other/spare-x")]);
    assert!(explained["cache"]["key"].is_string() && explained["estimated_cost_usd"].is_string(), "{explained:#}");
    assert!(explained["trace"].to_string().contains("private"), "{explained:#}");
    assert_eq!((app.up.count(), app.other.count()), (0, 0));
    app.rows(0).await;
    app.close().await;
}

#[tokio::test]
async fn explain_refuses_what_the_call_would_be_refused() {
    let app = TestApp::start().await;
    for (body, explained) in [
        (hello("nope"), "404 model_not_found"),
        (json!({"model": "fast"}), "400 invalid_request"),
        (json!({"model": "prompt/nope"}), "404 prompt_not_found"),
        (json!({"model": "fast", "endpoint": "/v1/files", "messages": []}), "400 invalid_request"),
    ] {
        let answer = app.send(Call::post("/v1/explain", &body).key(&app.key)).await;
        assert_eq!(answer.outcome(), explained, "{body}");
    }
    assert_eq!(app.send(Call::post("/v1/explain", &hello("fast"))).await.outcome(), "401 invalid_api_key");
    app.close().await;
}

#[tokio::test]
async fn a_reload_takes_effect_for_the_next_call_and_leaves_running_ones() {
    let app = TestApp::with(&route("one", "targets = [{ model = \"fast\" }]")).await;
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    app.up.next(Script::default().gate(&gate).then(Script::json(200, crate::upstream::WHOLE)));
    let call = Call::chat(&hello("any")).key(&app.key);
    let running = tokio::spawn(crate::client::Open::of_call(app.address, call));
    app.up.until("it is under way", |received| received.len() == 1).await;
    app.reload(&route("two", "targets = [{ model = \"spare\" }]")).await;
    assert_eq!(app.hello("any").await.header("x-fulcrum-route"), Some("two"));
    gate.add_permits(1);
    let running = running.await.unwrap();
    assert_eq!((running.status, running.header("x-fulcrum-route")), (200, Some("one")));
    app.close().await;
}

#[tokio::test]
async fn explain_shows_an_app_key_no_rule_but_its_own() {
    let app = TestApp::with(
        "[[routes]]\nname = \"acme-secret\"\nwhen = 'key.project == \"acme-secret\"'\ntargets = [{ model = \"spare\" }]\n\
         [[routes]]\nname = \"ours\"\nwhen = 'request.model == \"fast\"'\ntargets = [{ model = \"fast\" }]\n\
         [[routes]]\nname = \"zeta-secret\"\nwhen = 'request.model == \"spare\"'\ntargets = [{ model = \"spare\" }]\n",
    )
    .await;
    let explain = |key: &str| app.send(Call::post("/v1/explain", &hello("fast")).key(key));
    let shown = explain(&app.key).await;
    assert!(!shown.text().contains("secret"), "{}", shown.text());
    let rules = shown.json()["trace"]["rules"].clone();
    assert_eq!((rules.as_array().unwrap().len(), &rules[0]["route"]), (1, &serde_json::json!("ours")));
    assert!(explain(crate::app::ADMIN).await.text().contains("zeta-secret"));
    app.close().await;
}

#[tokio::test]
async fn explain_shows_who_may_see_them_the_rules_where_none_takes_the_call() {
    let app = TestApp::with(
        "[[routes]]\nname = \"hdr\"\nmodels = [\"auto\"]\nwhen = 'header(\"x-team\") == \"ml\"'\ntargets = [{ model = \"fast\" }]\n",
    )
    .await;
    let explain = |key: &str| app.send(Call::post("/v1/explain", &hello("auto")).key(key));
    let shown = explain(crate::app::ADMIN).await;
    assert_eq!(shown.outcome(), "404 model_not_found");
    let body = shown.json();
    assert!(
        body["error"]["message"].as_str().unwrap().ends_with("route `hdr` lists it, and its rule is false"),
        "{body}"
    );
    assert_eq!(
        body["trace"]["rules"],
        json!([{"route": "hdr", "when": "header(\"x-team\") == \"ml\"", "result": "false"}])
    );
    for refused in [explain(&app.key).await, app.hello("auto").await] {
        assert_eq!(refused.outcome(), "404 model_not_found");
        assert!(!refused.text().contains("hdr") && refused.text().contains("a route lists it"), "{}", refused.text());
    }
    app.close().await;
}
