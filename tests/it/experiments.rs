//! Experiments on their way through calls, and what they decide by themselves.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::tempdir;
use tokio::time::{Instant, sleep};

use crate::app::{ADMIN, TestApp};
use crate::binary::{Binary, config, fulcrum};
use crate::client::{Answer, Call, Open, PATIENCE};
use crate::upstream::{Script, Upstream, WHOLE};

/// Looks so often that a test need not wait.
const LOOKS: &str = "[defaults]\nretries = 0\n[experiments]\nlook_every = \"50ms\"\n";

/// Makes the prompt `greet`: version 1 with the label production, and version 2.
async fn with_greet(app: &TestApp, model: &str) {
    let version = |text: &str, model: &str| json!({"messages": [{"role": "user", "content": text}], "settings": {"model": model, "temperature": 0.5}});
    let mut first = version("one", model);
    (first["name"], first["labels"]) = (json!("greet"), json!(["production"]));
    for (path, body) in [("/api/v1/prompts", first), ("/api/v1/prompts/greet/versions", version("two", model))] {
        let made = app.admin(Call::post(path, &body)).await;
        assert_eq!(made.status, 201, "{}", made.text());
    }
}

/// Makes an experiment of `greet` and starts it.
async fn started(app: &TestApp, changes: &Value) -> Value {
    let mut body = json!({
        "name": "trial", "prompt": "greet", "metric": {"name": "error_rate"}, "min_samples": 10, "min_duration": "0s",
        "arms": [{"name": "old", "version": 1}, {"name": "new", "version": 2}],
    });
    for (name, change) in changes.as_object().unwrap() {
        body[name] = change.clone();
    }
    let made = app.admin(Call::post("/api/v1/experiments", &body)).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let started = app.admin(Call::post("/api/v1/experiments/trial/start", &json!({}))).await;
    assert_eq!(started.status, 200, "{}", started.text());
    started.json()
}

async fn called(app: &TestApp, prompt: &str, user: &str) -> Answer {
    app.chat(&json!({"model": prompt, "user": user})).await
}

async fn shown(app: &TestApp) -> Value {
    app.admin(Call::get("/api/v1/experiments/trial")).await.json()
}

/// Waits until the experiment is in the state.
async fn until(app: &TestApp, state: &str) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let experiment = shown(app).await;
        if experiment["state"] == state {
            return experiment;
        }
        assert!(Instant::now() < deadline, "it does not come to {state}: {experiment:#}");
        sleep(Duration::from_millis(20)).await;
    }
}

async fn history(app: &TestApp) -> Vec<Value> {
    let history = app.admin(Call::get("/api/v1/prompts/greet/labels/production/history")).await.json();
    history["rows"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_user_keeps_an_arm_and_gets_its_version_model_and_settings() {
    let app = TestApp::start().await;
    with_greet(&app, "fast").await;
    let new = json!({"name": "new", "version": 2, "model": "spare", "settings": {"temperature": 0}, "weight": 50});
    started(&app, &json!({"arms": [{"name": "old", "version": 1}, new]})).await;
    let mut arms = BTreeMap::new();
    for n in 0..40 {
        let user = format!("user-{n}");
        let (first, second) = (called(&app, "prompt/greet", &user).await, called(&app, "prompt/greet", &user).await);
        assert_eq!((first.status, second.status), (200, 200), "{}", first.text());
        let variant = first.header("x-fulcrum-variant").unwrap().to_owned();
        assert_eq!(second.header("x-fulcrum-variant"), Some(&*variant));
        let (model, prompt) =
            if variant == "trial:new" { ("other/spare-x", "greet@2") } else { ("up/gpt-x", "greet@1") };
        assert_eq!((first.header("x-fulcrum-model"), first.header("x-fulcrum-prompt")), (Some(model), Some(prompt)));
        arms.entry(variant).or_insert_with(Vec::new).push(first.id().to_owned());
    }
    assert_eq!(arms.keys().collect::<Vec<_>>(), ["trial:new", "trial:old"]);
    assert!(arms.values().all(|ids| ids.len() >= 8), "{arms:?}");
    let (old, new) = (app.up.received().last().unwrap().json(), app.other.received().last().unwrap().json());
    assert_eq!((&old["temperature"], &old["messages"][0]["content"]), (&json!(0.5), &json!("one")));
    assert_eq!((&new["temperature"], &new["messages"][0]["content"]), (&json!(0), &json!("two")));
    let row = app.row(&arms["trial:new"][0]).await;
    assert_eq!((&row["experiment"], &row["arm"], &row["propensity"]), (&json!("trial"), &json!("new"), &json!(0.5)));
    let seen = shown(&app).await;
    let assigned: Vec<_> =
        seen["arms"].as_array().unwrap().iter().map(|arm| arm["assigned"].as_u64().unwrap()).collect();
    assert_eq!(assigned, [arms["trial:old"].len() as u64, arms["trial:new"].len() as u64]);
    let usage = app.admin(Call::get("/api/v1/usage?by=experiment,arm")).await.json();
    let groups: Vec<_> = usage["rows"].as_array().unwrap().iter().map(|row| (&row["arm"], &row["requests"])).collect();
    assert_eq!(groups[0], (&json!("new"), &json!(2 * arms["trial:new"].len())), "{usage}");
    app.close().await;
}

#[tokio::test]
async fn a_version_of_the_callers_choice_and_other_labels_are_left_alone() {
    let app = TestApp::start().await;
    with_greet(&app, "fast").await;
    started(&app, &json!({})).await;
    for n in 0..6 {
        let user = format!("user-{n}");
        for prompt in ["prompt/greet@1", "prompt/greet@2", "prompt/greet@latest"] {
            let answer = called(&app, prompt, &user).await;
            assert_eq!((answer.status, answer.header("x-fulcrum-variant")), (200, None), "{prompt}");
        }
        assert!(called(&app, "prompt/greet@production", &user).await.header("x-fulcrum-variant").is_some());
    }
    let explained = app
        .send(
            Call::post(
                "/v1/explain",
                &json!({"endpoint": "/v1/chat/completions", "model": "prompt/greet", "user": "ann"}),
            )
            .key(&app.key),
        )
        .await
        .json();
    assert_eq!((&explained["experiment"]["name"], &explained["experiment"]["unit"]), (&json!("trial"), &json!("user")));
    let stopped = app.admin(Call::post("/api/v1/experiments/trial/stop", &json!({}))).await;
    assert_eq!((stopped.status, &stopped.json()["state"]), (200, &json!("stopped")));
    let answer = called(&app, "prompt/greet", "user-1").await;
    assert_eq!((answer.header("x-fulcrum-variant"), answer.header("x-fulcrum-prompt")), (None, Some("greet@1")));
    app.close().await;
}

#[tokio::test]
async fn a_key_that_may_not_call_every_arm_has_no_part() {
    let app = TestApp::start().await;
    with_greet(&app, "fast").await;
    started(&app, &json!({"arms": [{"name": "old", "version": 1}, {"name": "new", "version": 2, "model": "spare"}]}))
        .await;
    for (models, has_part) in [
        (json!(["fast"]), false),
        (json!(["fast", "spare"]), true),
        (json!(["prompt/greet"]), true),
        (Value::Null, true),
    ] {
        let key = app.new_key(&json!({"name": "narrow", "models": models})).await;
        for n in 0..8 {
            let body = json!({"model": "prompt/greet", "user": format!("user-{n}")});
            let answer = app.send(Call::chat(&body).key(&key)).await;
            assert_eq!((answer.status, answer.header("x-fulcrum-variant").is_some()), (200, has_part), "{models}");
        }
    }
    app.close().await;
}

#[tokio::test]
async fn a_fallback_does_not_change_the_arm() {
    let app = TestApp::with(
        "[defaults]\nretries = 0\n[[routes]]\nname = \"r\"\nmodels = [\"auto\"]\ntargets = [{ model = \"fast\" }]\nfallbacks = [\"spare\"]\n",
    )
    .await;
    with_greet(&app, "auto").await;
    started(&app, &json!({})).await;
    app.up.always(Script::error(500, "down"));
    let answer = called(&app, "prompt/greet", "ann").await;
    assert_eq!((answer.status, answer.header("x-fulcrum-model")), (200, Some("other/spare-x")), "{}", answer.text());
    let row = app.row(answer.id()).await;
    let variant = format!("{}:{}", row["experiment"].as_str().unwrap(), row["arm"].as_str().unwrap());
    assert_eq!(answer.header("x-fulcrum-variant"), Some(&*variant));
    app.close().await;
}

#[tokio::test]
async fn no_arm_answers_from_anothers_cache() {
    let app = TestApp::with(
        "[defaults]\nretries = 0\n[[routes]]\nname = \"r\"\nmodels = [\"auto\"]\ntargets = [{ model = \"fast\" }]\ncache = { mode = \"exact\", ttl = \"1h\" }\n",
    )
    .await;
    with_greet(&app, "auto").await;
    assert_eq!(called(&app, "prompt/greet", "x").await.header("x-fulcrum-cache"), Some("miss"));
    // The arms differ in nothing that the provider sees but the version's number.
    let same =
        json!({"messages": [{"role": "user", "content": "one"}], "settings": {"model": "auto", "temperature": 0.5}});
    assert_eq!(app.admin(Call::post("/api/v1/prompts/greet/versions", &same)).await.status, 201);
    started(&app, &json!({"arms": [{"name": "old", "version": 1}, {"name": "new", "version": 3}]})).await;
    let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for n in 0..12 {
        let answer = called(&app, "prompt/greet", &format!("user-{n}")).await;
        let cache = answer.header("x-fulcrum-cache").unwrap().to_owned();
        seen.entry(answer.header("x-fulcrum-variant").unwrap().to_owned()).or_default().push(cache);
    }
    assert_eq!(seen.len(), 2, "{seen:?}");
    for caches in seen.values() {
        assert_eq!((&*caches[0], caches[1..].iter().all(|cache| cache == "hit")), ("miss", true), "{seen:?}");
    }
    app.close().await;
}

#[tokio::test]
async fn an_arm_that_fails_is_rolled_back_by_itself_with_the_reason() {
    let app = TestApp::with(LOOKS).await;
    with_greet(&app, "fast").await;
    app.other.always(Script::error(500, "broken"));
    started(&app, &json!({"arms": [{"name": "old", "version": 1}, {"name": "new", "version": 2, "model": "spare"}]}))
        .await;
    for n in 0..60 {
        called(&app, "prompt/greet", &format!("user-{n}")).await;
    }
    let harmed = until(&app, "harmed").await;
    let reason = harmed["decision"]["reason"].as_str().unwrap();
    assert!(reason.starts_with("new is worse than old in error_rate: 1 against 0"), "{reason}");
    assert_eq!(harmed["arms"][1]["is_off"], true);
    let history = history(&app).await;
    assert_eq!(history.len(), 2, "{history:?}");
    assert_eq!(history[0]["reason"].as_str().unwrap(), format!("experiment trial: {reason}"));
    assert_eq!(history[0]["author"], "experiment trial");
    for n in 0..10 {
        let answer = called(&app, "prompt/greet", &format!("user-{n}")).await;
        assert_eq!((answer.status, answer.header("x-fulcrum-variant")), (200, None));
    }
    app.close().await;
}

#[tokio::test]
async fn an_arm_that_is_cheaper_gets_the_label_as_a_whole_and_a_holdback_stays() {
    let app = TestApp::with(LOOKS).await;
    with_greet(&app, "spare").await;
    let cheap = json!({"name": "new", "version": 1, "model": "fast", "settings": {"max_tokens": 9}});
    let arms = json!([{"name": "old", "version": 1}, cheap]);
    started(&app, &json!({"arms": arms, "metric": {"name": "cost_usd"}, "on_win": "promote", "holdback": 0.3})).await;
    for n in 0..120 {
        called(&app, "prompt/greet", &format!("user-{n}")).await;
    }
    let won = until(&app, "won").await;
    assert_eq!((&won["decision"]["arm"], &won["is_promoted"]), (&json!("new"), &json!(true)), "{won:#}");
    let version = app.admin(Call::get("/api/v1/prompts/greet/versions/3")).await.json();
    assert_eq!(version["settings"], json!({"model": "fast", "temperature": 0.5, "max_tokens": 9}), "{version}");
    assert_eq!(version["labels"], json!(["production"]));
    let history = history(&app).await;
    assert!(history[0]["reason"].as_str().unwrap().contains("new is better than old in cost_usd"), "{history:?}");
    let mut held = 0;
    for n in 0..60 {
        let answer = called(&app, "prompt/greet", &format!("user-{n}")).await;
        let is_held = answer.header("x-fulcrum-variant") == Some("trial:old");
        let model = if is_held { "other/spare-x" } else { "up/gpt-x" };
        assert_eq!(answer.header("x-fulcrum-model"), Some(model));
        held += usize::from(is_held);
    }
    assert!((5..32).contains(&held), "{held}");
    app.close().await;
}

#[tokio::test]
async fn what_does_not_fit_is_refused_with_its_place() {
    let app = TestApp::start().await;
    with_greet(&app, "fast").await;
    let arms = |second: Value| json!([{"name": "old", "version": 1}, second]);
    let body = |changes: Value| {
        let mut body = json!({
            "name": "e", "prompt": "greet", "metric": {"name": "error_rate"}, "arms": arms(json!({"name": "new", "version": 2})),
        });
        changes.as_object().unwrap().iter().for_each(|(name, change)| body[name] = change.clone());
        body
    };
    for (changes, outcome, param) in [
        (json!({"prompt": "gone"}), "404 prompt_not_found", "prompt"),
        (json!({"arms": arms(json!({"name": "new", "version": 9}))}), "400 invalid_request", "arms[1].version"),
        (json!({"arms": arms(json!({"name": "new", "version": 1}))}), "400 invalid_request", "arms[1]"),
        (
            json!({"arms": arms(json!({"name": "new", "version": 2, "weight": 0}))}),
            "400 invalid_request",
            "arms[1].weight",
        ),
        (
            json!({"arms": arms(json!({"name": "new", "version": 2, "settings": {"temperature": 9}}))}),
            "400 invalid_request",
            "arms[1].settings.temperature",
        ),
        (json!({"metric": {"name": "shadow_preference"}}), "400 invalid_request", "metric.name"),
    ] {
        let answer = app.admin(Call::post("/api/v1/experiments", &body(changes.clone()))).await;
        assert_eq!(
            (answer.outcome().as_str(), answer.param().as_str()),
            (outcome, param),
            "{changes}: {}",
            answer.text()
        );
    }
    assert_eq!(app.admin(Call::post("/api/v1/experiments", &body(json!({})))).await.status, 201);
    assert_eq!(app.admin(Call::post("/api/v1/experiments", &body(json!({})))).await.outcome(), "409 conflict");
    let moved = Call::new("PUT", "/api/v1/prompts/greet/labels/production", json!({"version": 2}).to_string());
    assert_eq!(app.admin(moved).await.status, 200);
    let refused = app.admin(Call::post("/api/v1/experiments/e/start", &json!({}))).await;
    assert_eq!(refused.outcome(), "409 conflict");
    assert!(refused.text().contains("points at version 2, and the control `old` is version 1"), "{}", refused.text());
    for (method, path) in [("GET", ""), ("POST", "/start"), ("POST", "/stop")] {
        let answer = app.admin(Call::new(method, &format!("/api/v1/experiments/nope{path}"), "")).await;
        assert_eq!(answer.outcome(), "404 not_found", "{method} {path}");
    }
    app.close().await;
}

#[tokio::test]
async fn a_decision_after_kill_9_is_made_once() {
    let (dir, up) = (tempdir().unwrap(), Upstream::start().await);
    let write = |look: &str| {
        let more =
            format!("[models.broken]\nprovider = \"up\"\nmodel = \"broken\"\n[experiments]\nlook_every = \"{look}\"\n");
        std::fs::write(dir.path().join("fulcrum.toml"), format!("{}{more}", config(up.address))).unwrap();
    };
    up.answers(|received| {
        let broken = received.json()["model"] == "broken";
        Some(if broken { Script::error(500, "broken") } else { Script::json(200, WHOLE) })
    });
    write("1d");
    let mut binary = Binary::start(fulcrum(dir.path())).await;
    let admin = async |binary: &Binary, call: Call| Open::of_call(binary.address, call.key(ADMIN)).await;
    let post = |path: &str, body: Value| Call::post(path, &body);
    let settings = json!({"model": "fast"});
    let prompt = json!({"name": "greet", "labels": ["production"], "messages": [{"role": "user", "content": "Hi"}], "settings": settings});
    let trial = json!({
        "name": "trial", "prompt": "greet", "metric": {"name": "error_rate"}, "min_samples": 10, "min_duration": "0s",
        "arms": [{"name": "old", "version": 1}, {"name": "new", "version": 1, "model": "broken"}],
    });
    for (path, body, status) in [
        ("/api/v1/prompts", prompt, 201),
        ("/api/v1/experiments", trial, 201),
        ("/api/v1/experiments/trial/start", json!({}), 200),
    ] {
        let answer = admin(&binary, post(path, body)).await;
        assert_eq!(answer.status, status, "{}", answer.text());
    }
    let chat = |n: u32| Call::chat(&json!({"model": "prompt/greet", "user": format!("user-{n}")}));
    let mut variants = Vec::new();
    for n in 0..60 {
        variants.push(admin(&binary, chat(n)).await.header("x-fulcrum-variant").unwrap().to_owned());
    }
    binary.signal("KILL");
    binary.ended().await;
    let mut binary = Binary::start(fulcrum(dir.path())).await;
    for n in 0..10 {
        let again = admin(&binary, chat(n)).await;
        assert_eq!(again.header("x-fulcrum-variant"), Some(&*variants[n as usize]), "a restart moves nobody");
    }
    binary.signal("KILL");
    binary.ended().await;
    write("50ms");
    for _ in 0..3 {
        let mut binary = Binary::start(fulcrum(dir.path())).await;
        let deadline = Instant::now() + PATIENCE;
        while admin(&binary, Call::get("/api/v1/experiments/trial")).await.json()["state"] != "harmed" {
            assert!(Instant::now() < deadline, "no decision comes");
            sleep(Duration::from_millis(20)).await;
        }
        let history = admin(&binary, Call::get("/api/v1/prompts/greet/labels/production/history")).await.json();
        assert_eq!(history["rows"].as_array().unwrap().len(), 2, "{history}");
        binary.signal("KILL");
        binary.ended().await;
    }
}

#[tokio::test]
async fn what_callers_report_decides() {
    let app = TestApp::with(LOOKS).await;
    with_greet(&app, "fast").await;
    let body = json!({"name": "trial", "prompt": "greet", "metric": {"name": "resolvd"},
        "arms": [{"name": "old", "version": 1}, {"name": "new", "version": 2}]});
    let report = async |id: &str, value: bool| {
        let body = json!({"request_id": id, "metric": "resolved", "value": value});
        let reported = app.send(Call::post("/v1/feedback", &body).key(&app.key)).await;
        assert_eq!(reported.status, 201, "{}", reported.text());
    };
    report(called(&app, "prompt/greet", "first").await.id(), true).await;
    let refused = app.admin(Call::post("/api/v1/experiments", &body)).await;
    assert_eq!((refused.outcome().as_str(), refused.param().as_str()), ("400 invalid_request", "metric.name"));
    assert!(refused.text().contains("there is some of resolved; did you mean `resolved`?"), "{}", refused.text());
    started(&app, &json!({"metric": {"name": "resolved"}, "on_win": "promote"})).await;
    for n in 0..70 {
        let answer = called(&app, "prompt/greet", &format!("user-{n}")).await;
        report(answer.id(), answer.header("x-fulcrum-variant") == Some("trial:new")).await;
    }
    let won = until(&app, "won").await;
    assert_eq!((&won["decision"]["arm"], &won["arms"][1]["mean"]), (&json!("new"), &json!(1.0)), "{won:#}");
    let answer = called(&app, "prompt/greet", "ann").await;
    assert_eq!((answer.header("x-fulcrum-variant"), answer.header("x-fulcrum-prompt")), (None, Some("greet@2")));
    app.close().await;
}

#[tokio::test]
async fn a_decision_is_sent_to_the_webhook_until_it_arrives() {
    let hook = Upstream::start().await;
    hook.next(Script::error(500, "later"));
    hook.always(Script::json(200, "{}"));
    let app = TestApp::with(&format!(
        "{LOOKS}webhook = {{ url = \"http://{}/hook\", secret = \"env:UP_KEY\" }}\n",
        hook.address
    ))
    .await;
    with_greet(&app, "fast").await;
    app.other.always(Script::error(500, "broken"));
    started(&app, &json!({"arms": [{"name": "old", "version": 1}, {"name": "new", "version": 2, "model": "spare"}]}))
        .await;
    for n in 0..60 {
        called(&app, "prompt/greet", &format!("user-{n}")).await;
    }
    until(&app, "harmed").await;
    hook.until("a message comes twice", |received| received.len() == 2).await;
    let received = hook.received();
    let (first, second) = (&received[0], &received[1]);
    assert_eq!(
        (first.json(), first.header("x-fulcrum-webhook-id")),
        (second.json(), second.header("x-fulcrum-webhook-id"))
    );
    let body = second.json();
    assert_eq!((&body["experiment"], &body["state"], &body["arm"]), (&json!("trial"), &json!("harmed"), &json!("new")));
    let signature = second.header("x-fulcrum-signature").unwrap();
    assert!(signature.starts_with("t=") && signature.split_once(",v1=").unwrap().1.len() == 64, "{signature}");
    app.close().await;
}
