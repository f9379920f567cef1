//! Shadows: a share of a route's calls also goes to a candidate, off their callers' path.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use crate::app::{TestApp, hello, streamed};
use crate::binary::{Binary, config, fulcrum};
use crate::client::{Call, PATIENCE};
use crate::upstream::{EVENTS, Script, Upstream, WHOLE};

/// A route whose calls all have a shadow.
fn route(cap: &str) -> String {
    format!(
        "[[routes]]\nname = \"r\"\nmodels = [\"auto\"]\ntargets = [{{ model = \"fast\" }}]\n\
         shadow = {{ model = \"spare\", share = 1, max_usd_per_day = \"{cap}\" }}\n[defaults]\nretries = 2\n"
    )
}

/// The pairs, once there are `count`.
async fn pairs(app: &TestApp, count: usize) -> Vec<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = app.admin(Call::get("/api/v1/shadows?route=r")).await.json();
        let rows = answer["rows"].as_array().unwrap().clone();
        if rows.len() == count {
            return rows;
        }
        assert!(Instant::now() < deadline && rows.len() < count, "{} pairs, not {count}", rows.len());
        sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until the metric of requests of our own has this value for a result.
async fn until_own(app: &TestApp, result: &str, count: f64) {
    let deadline = Instant::now() + PATIENCE;
    while app.metric("fulcrum_own_requests_total", &format!("result=\"{result}\"")).await < count {
        assert!(Instant::now() < deadline, "{result} is not counted {count} times");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_call_is_copied_to_the_candidate_and_both_answers_are_stored() {
    let app = TestApp::with(&route("5")).await;
    app.other.always(Script::json(200, WHOLE.replace("Hello there.", "Good day.")));
    let gate = Arc::new(Semaphore::new(0));
    app.other.next(Script::default().gate(&gate).then(Script::json(200, WHOLE.replace("Hello", "Later"))));
    let answer = app.hello("auto").await;
    assert_eq!(
        (answer.status, answer.header("x-fulcrum-model")),
        (200, Some("up/gpt-x")),
        "the caller waits for nothing"
    );
    assert_eq!(
        (answer.header("x-fulcrum-attempts"), answer.header("x-fulcrum-cost-usd")),
        (Some("1"), Some("0.000015"))
    );
    gate.add_permits(1);
    let pair = pairs(&app, 1).await.remove(0);
    assert_eq!(pair["request_id"], answer.id());
    assert_eq!((&pair["model"], &pair["shadow_model"]), (&json!("up/gpt-x"), &json!("other/spare-x")));
    assert_eq!(pair["answer"]["choices"][0]["message"]["content"], "Hello there.");
    assert_eq!(pair["shadow_answer"]["choices"][0]["message"]["content"], "Later there.");
    assert_eq!((&pair["cost_usd"], &pair["shadow_cost_usd"]), (&json!("0.000015"), &json!("0.000039")));
    assert_eq!(pair["is_cut"], false);

    let shadow = app.row(pair["shadow_id"].as_str().unwrap()).await;
    assert_eq!((&shadow["purpose"], &shadow["of"]), (&json!("shadow"), &json!(answer.id())));
    assert_eq!((&shadow["route"], &shadow["cost_usd"]), (&json!("r"), &json!("0.000039")));
    assert_eq!(shadow["attempts"].as_array().unwrap().len(), 1);
    let caller = app.row(answer.id()).await;
    assert_eq!(caller["own_requests"], json!([{"id": pair["shadow_id"], "purpose": "shadow"}]));
    assert_eq!(caller["cost_usd"], "0.000015", "the caller's costs have nothing of it");

    let total = app.admin(Call::get("/api/v1/usage?by=key")).await.json()["total"].clone();
    assert_eq!((&total["requests"], &total["cost_usd"]), (&json!(1), &json!("0.000015")));
    let by = app.admin(Call::get("/api/v1/usage?by=purpose")).await.json();
    assert_eq!(by["rows"][1]["purpose"], "shadow");
    assert_eq!(by["total"]["cost_usd"], "0.000054");
    let spend = app.send(Call::get("/v1/key").key(&app.key)).await.json()["spend"]["total"].clone();
    assert_eq!((&spend["requests"], &spend["cost_usd"]), (&json!(1), &json!("0.000015")));
    assert!(app.metric("fulcrum_requests_total", "model=\"other/spare-x\"").await.abs() < 0.1);
    app.close().await;
}

#[tokio::test]
async fn a_streams_shadow_is_asked_for_a_whole_answer() {
    let app = TestApp::with(&route("5")).await;
    app.up.next(Script::stream(EVENTS));
    let answer = app.chat(&streamed(hello("auto"))).await;
    assert!(answer.text().ends_with("data: [DONE]\n\n"));
    let pair = pairs(&app, 1).await.remove(0);
    let asked = app.other.only().json();
    assert_eq!((asked.get("stream"), asked.get("stream_options")), (None, None));
    assert_eq!(asked["messages"], hello("auto")["messages"]);
    for name in ["answer", "shadow_answer"] {
        assert_eq!(pair[name]["choices"][0]["message"]["content"], "Hello there.", "{name}");
    }
    app.close().await;
}

#[tokio::test]
async fn a_prompt_is_rendered_for_the_candidate() {
    let app = TestApp::with(&route("5")).await;
    let prompt = json!({"name": "greet", "messages": [{"role": "system", "content": "Greet {{ who }}."}],
        "variables": {"who": {"type": "string"}}, "settings": {"model": "auto"}, "labels": ["production"]});
    assert_eq!(app.admin(Call::post("/api/v1/prompts", &prompt)).await.status, 201);
    let body =
        json!({"model": "prompt/greet", "prompt": {"variables": {"who": "Ann"}}, "stream": true, "messages": []});
    app.up.next(Script::stream(EVENTS));
    assert_eq!(app.chat(&body).await.status, 200);
    let pair = pairs(&app, 1).await.remove(0);
    assert_eq!(app.other.only().json()["messages"], json!([{"role": "system", "content": "Greet Ann."}]));
    let row = app.row(pair["shadow_id"].as_str().unwrap()).await;
    assert_eq!(
        (&row["prompt"], &row["version"], &row["requested_model"]),
        (&json!("greet"), &json!(1), &json!("prompt/greet"))
    );
    app.close().await;
}

#[tokio::test]
async fn a_candidate_that_fails_is_asked_once_and_cools_for_no_caller() {
    let app = TestApp::with(&route("5")).await;
    app.other.always(Script::error(503, "busy"));
    for n in 1..=3 {
        assert_eq!(app.hello("auto").await.status, 200);
        let pair = pairs(&app, n).await.remove(0);
        assert_eq!((&pair["shadow_answer"], &pair["error_code"]), (&Value::Null, &json!("upstream_error")));
    }
    assert_eq!(app.other.count(), 3, "no retries");
    // After three failures in a row it is left alone for a while.
    for _ in 0..3 {
        assert_eq!(app.hello("auto").await.status, 200);
    }
    until_own(&app, "cooling", 3.0).await;
    assert_eq!(app.other.count(), 3);
    let health = app.admin(Call::get("/api/v1/health")).await.json();
    assert_eq!(health["rows"], json!([]), "callers' breakers know nothing of it");
    app.other.always(Script::json(200, WHOLE));
    assert_eq!(app.hello("spare").await.status, 200);
    app.close().await;
}

#[tokio::test]
async fn the_cap_of_a_day_holds_over_parallel_calls_and_gives_back_what_was_not_spent() {
    // One call reserves about 0.0164 dollars: 4,096 tokens at 4 dollars a million, and costs 0.000039.
    let app = TestApp::with(&route("0.036")).await;
    let gate = Arc::new(Semaphore::new(0));
    for _ in 0..2 {
        app.other.next(Script::default().gate(&gate).then(Script::json(200, WHOLE)));
    }
    for _ in 0..5 {
        assert_eq!(app.hello("auto").await.status, 200);
    }
    until_own(&app, "over_cap", 3.0).await;
    app.other.until("two are asked", |received| received.len() == 2).await;
    gate.add_permits(2);
    pairs(&app, 2).await;
    // What was set aside and not spent is free again.
    assert_eq!(app.hello("auto").await.status, 200);
    pairs(&app, 3).await;
    let explained = app.admin(Call::post("/v1/explain", &hello("auto"))).await.json();
    assert_eq!(explained["shadow"]["spent_today_usd"], "0.000117");
    app.close().await;
}

#[tokio::test]
async fn calls_that_forbid_storing_and_cached_answers_make_no_shadow() {
    let cached = format!("{}cache = {{ mode = \"exact\", ttl = \"1h\" }}\n", route("5"));
    let app = TestApp::with(&cached).await;
    let forbidden = [("cache-control", "no-store"), ("x-fulcrum-cache", "bypass")];
    for header in forbidden {
        let call = Call::chat(&hello("auto")).key(&app.key).header(header.0, header.1);
        assert_eq!(app.send(call).await.status, 200);
    }
    assert_eq!(app.other.count(), 0);
    assert_eq!(app.hello("auto").await.header("x-fulcrum-cache"), Some("miss"));
    pairs(&app, 1).await;
    assert_eq!(app.hello("auto").await.header("x-fulcrum-cache"), Some("hit"));
    app.up.next(Script::error(400, "no"));
    let other = json!({"model": "auto", "messages": [{"role": "user", "content": "Other"}]});
    assert_eq!(app.chat(&other).await.status, 400);
    app.rows(6).await;
    assert_eq!(app.other.count(), 1, "a hit and a failed call make none");
    app.close().await;
}

#[tokio::test]
async fn pairs_are_seen_in_their_project_erased_with_their_request_and_filtered() {
    let app = TestApp::with(&route("5")).await;
    let first = app.hello("auto").await.id().to_owned();
    pairs(&app, 1).await;
    app.hello("auto").await;
    let newest = pairs(&app, 2).await.remove(0);
    assert_ne!(newest["request_id"], json!(first));
    let viewer = |project: &str| json!({"name": "v", "role": "viewer", "project": project});
    for (project, count) in [("default", 2), ("elsewhere", 0)] {
        let key = app.new_key(&viewer(project)).await;
        let seen = app.send(Call::get("/api/v1/shadows").key(&key)).await.json();
        assert_eq!(seen["rows"].as_array().unwrap().len(), count, "{project}");
    }
    let page = app.admin(Call::get("/api/v1/shadows?limit=1")).await.json();
    let cursor = page["next_cursor"].as_str().unwrap();
    let page = app.admin(Call::get(&format!("/api/v1/shadows?limit=1&cursor={cursor}"))).await.json();
    assert_eq!((&page["rows"][0]["request_id"], &page["next_cursor"]), (&json!(first), &Value::Null));
    for (query, status, count) in [
        ("route=x", 200, 0),
        ("to=2026-01-01", 200, 0),
        ("last=1h", 200, 2),
        ("user=x", 400, 0),
        ("x=y", 400, 0),
        ("limit=100", 200, 2),
        ("limit=101", 400, 0),
        ("limit=0", 400, 0),
    ] {
        let answer = app.admin(Call::get(&format!("/api/v1/shadows?{query}"))).await;
        assert_eq!(answer.status, status, "{query}: {}", answer.text());
        assert_eq!(answer.json()["rows"].as_array().map_or(0, Vec::len), count, "{query}");
    }
    // The texts themselves are not stored here; what is stored of a request is exported all the same.
    let export = app.admin(Call::get("/api/v1/bodies?route=r")).await;
    assert_eq!(export.text().matches("\"shadow\"").count(), 2, "{}", export.text());
    let body = app.admin(Call::get(&format!("/api/v1/requests/{first}/body"))).await.json();
    assert_eq!(body["shadow"]["shadow_answer"]["choices"][0]["message"]["content"], "Hello there.");
    let erased = app.admin(Call::new("DELETE", &format!("/api/v1/requests/{first}/body"), String::new())).await;
    assert_eq!((erased.status, &erased.json()["shadow_pairs"]), (200, &json!(1)), "{}", erased.text());
    assert_eq!(pairs(&app, 1).await[0]["request_id"], newest["request_id"]);
    // By the shadow's own id, too.
    let shadow = newest["shadow_id"].as_str().unwrap();
    let erased = app.admin(Call::new("DELETE", &format!("/api/v1/requests/{shadow}/body"), String::new())).await;
    assert_eq!((erased.status, &erased.json()["shadow_pairs"]), (200, &json!(1)), "{}", erased.text());
    pairs(&app, 0).await;
    app.close().await;
}

#[tokio::test]
async fn what_is_erased_while_its_shadow_runs_leaves_no_pair() {
    let app = TestApp::with(&route("5")).await;
    let gate = Arc::new(Semaphore::new(0));
    app.other.next(Script::default().gate(&gate).then(Script::json(200, WHOLE)));
    let answer = app.hello("auto").await;
    app.other.until("the candidate is asked", |received| received.len() == 1).await;
    let path = format!("/api/v1/requests/{}/body", answer.id());
    assert_eq!(app.admin(Call::new("DELETE", &path, String::new())).await.status, 200);
    gate.add_permits(1);
    until_own(&app, "ok", 1.0).await;
    app.hello("auto").await;
    assert_ne!(pairs(&app, 1).await[0]["request_id"], json!(answer.id()));
    app.close().await;
}

#[tokio::test]
async fn a_share_of_the_calls_is_copied() {
    let app = TestApp::with(&route("5").replace("share = 1", "share = 0.5")).await;
    for _ in 0..40 {
        assert_eq!(app.hello("auto").await.status, 200);
    }
    // 40 draws of one half: below 8 or above 32 once in ten thousand.
    sleep(Duration::ZERO).await;
    let deadline = Instant::now() + PATIENCE;
    while !(8..=32).contains(&app.other.count()) {
        assert!(Instant::now() < deadline, "{} of 40", app.other.count());
        sleep(Duration::from_millis(10)).await;
    }
    app.close().await;
}

#[tokio::test]
async fn explain_and_the_list_of_routes_show_the_shadow_and_call_nobody() {
    let app = TestApp::with(&route("5")).await;
    let callers = app.send(Call::post("/v1/explain", &hello("auto")).key(&app.key)).await.json();
    let mut names: Vec<&String> = callers["shadow"].as_object().unwrap().keys().collect();
    names.sort_unstable();
    assert_eq!(names, ["may_be_copied", "summary"], "an app key reads no more than that there is one");
    let explained = app.admin(Call::post("/v1/explain", &hello("auto"))).await.json();
    let shadow = &explained["shadow"];
    assert_eq!(
        (&shadow["model"], &shadow["share"], &shadow["max_usd_per_day"]),
        (&json!("other/spare-x"), &json!(1.0), &json!("5"))
    );
    assert_eq!((&shadow["spent_today_usd"], &shadow["may_be_copied"]), (&Value::Null, &json!(true)));
    assert!(
        shadow["estimated_cost_usd"].is_string() && shadow["summary"].as_str().unwrap().contains("100 %"),
        "{shadow}"
    );
    let routes = app.admin(Call::get("/api/v1/routes")).await.json();
    assert_eq!(routes["rows"][0]["shadow"], json!({"model": "other/spare-x", "share": 1.0, "max_usd_per_day": "5"}));
    assert_eq!((app.up.count(), app.other.count()), (0, 0));
    app.close().await;
}

/// The line of a metric of requests of our own in a running gateway: how many ended so.
async fn own_of(binary: &Binary, result: &str) -> u64 {
    let metrics = binary.send(Call::get("/metrics")).await;
    let line = format!("fulcrum_own_requests_total{{purpose=\"shadow\",result=\"{result}\"}} ");
    metrics.text().lines().find_map(|found| found.strip_prefix(&line)?.parse().ok()).unwrap_or_default()
}

#[tokio::test]
async fn a_cap_of_a_day_knows_after_kill_9_what_was_spent_before() {
    let (dir, up, other) = (tempfile::tempdir().unwrap(), Upstream::start().await, Upstream::start().await);
    let write = |cap: &str| {
        let route = route(cap).replace("[defaults]\nretries = 2\n", "");
        let more = format!(
            "[providers.other]\nkind = \"openai\"\nbase_url = \"http://{}/v1\"\napi_key = \"env:OTHER_KEY\"\n[models.spare]\n\
             provider = \"other\"\nmodel = \"spare-x\"\nprice = {{ input = \"3\", output = \"4\" }}\n{route}",
            other.address
        );
        std::fs::write(dir.path().join("fulcrum.toml"), config(up.address) + &more).unwrap();
    };
    write("5");
    let mut binary = Binary::start(fulcrum(dir.path())).await;
    let shadow = async |binary: &Binary| {
        let explained = binary.send(Call::post("/v1/explain", &hello("auto"))).await.json();
        explained["shadow"].clone()
    };
    // The cap is just what one call sets aside.
    let reserve = shadow(&binary).await["estimated_cost_usd"].as_str().unwrap().to_owned();
    binary.kill();
    write(&reserve);
    let mut binary = Binary::start(fulcrum(dir.path())).await;
    assert_eq!(binary.send(Call::chat(&hello("auto"))).await.status, 200);
    let deadline = Instant::now() + PATIENCE;
    while shadow(&binary).await["spent_today_usd"] != "0.000039" {
        assert!(Instant::now() < deadline, "{}", shadow(&binary).await);
        sleep(Duration::from_millis(10)).await;
    }
    binary.kill();
    let mut binary = Binary::start(fulcrum(dir.path())).await;
    assert_eq!(binary.send(Call::chat(&hello("auto"))).await.status, 200);
    while own_of(&binary, "over_cap").await == 0 {
        assert!(Instant::now() < deadline && own_of(&binary, "ok").await == 0, "the cap forgot what was spent");
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(shadow(&binary).await["spent_today_usd"], "0.000039");
    assert_eq!(other.count(), 1);
    binary.kill();
}

#[tokio::test]
async fn no_call_is_copied_on_which_its_provider_may_act() {
    let app = TestApp::with(&route("5")).await;
    let function = json!({"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}});
    let acting = [
        json!({"tools": [function, {"type": "web_search"}]}),
        json!({"web_search_options": {}, "store": true}),
        json!({"store": true}),
    ];
    for (n, more) in acting.iter().enumerate() {
        let mut body = hello("auto");
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(app.chat(&body).await.status, 200, "{more}");
        until_own(&app, "acts", f64::from(u32::try_from(n + 1).unwrap())).await;
        let explained = app.admin(Call::post("/v1/explain", &body)).await.json();
        assert_eq!(explained["shadow"]["may_be_copied"], false, "{more}");
    }
    let mut harmless = hello("auto");
    harmless["tools"] = json!([function]);
    harmless["store"] = json!(false);
    assert_eq!(app.chat(&harmless).await.status, 200);
    pairs(&app, 1).await;
    assert_eq!(app.other.count(), 1);
    app.close().await;
}

#[tokio::test]
async fn an_answer_without_a_bound_gets_one_in_its_copy_that_is_set_aside_for_each_choice() {
    // A copy reserves 0.0164 dollars for each choice.
    let app = TestApp::with(&route("0.05")).await;
    let several = |n: u32| {
        let mut body = hello("auto");
        body["n"] = n.into();
        body
    };
    assert_eq!(app.chat(&several(4)).await.status, 200);
    until_own(&app, "over_cap", 1.0).await;
    assert_eq!(app.chat(&several(2)).await.status, 200);
    pairs(&app, 1).await;
    let asked = app.other.only().json();
    assert_eq!((&asked["max_tokens"], &asked["n"]), (&json!(4_096), &json!(2)));
    let mut bounded = hello("auto");
    bounded["max_completion_tokens"] = json!(17);
    assert_eq!(app.chat(&bounded).await.status, 200);
    pairs(&app, 2).await;
    let asked = app.other.received().pop().unwrap().json();
    assert_eq!((asked.get("max_tokens"), &asked["max_completion_tokens"]), (None, &json!(17)));
    app.close().await;
}

#[tokio::test]
async fn no_call_is_hedged_on_which_its_provider_may_act() {
    let app = TestApp::with(
        "[[routes]]\nname = \"h\"\nmodels = [\"twice\"]\nstrategy = \"priority\"\n\
         targets = [{ model = \"fast\" }, { model = \"spare\" }]\n\
         hedge = { after = \"1ms\", max_extra_spend = 1.0 }\n",
    )
    .await;
    let gate = Arc::new(Semaphore::new(0));
    app.up.next(Script::default().gate(&gate).then(Script::json(200, WHOLE)));
    let mut body = hello("twice");
    body["tools"] = json!([{"type": "web_search"}]);
    let release = async {
        let deadline = Instant::now() + PATIENCE;
        while app.metric("fulcrum_hedges_total", "outcome=\"acts\"").await < 1.0 {
            assert!(Instant::now() < deadline, "the first target is not late");
            sleep(Duration::from_millis(10)).await;
        }
        gate.add_permits(1);
    };
    let (answer, ()) = tokio::join!(app.chat(&body), release);
    assert_eq!((answer.status, app.other.count()), (200, 0), "{}", answer.text());
    assert_eq!(app.row(answer.id()).await["trace"]["hedge"], "acts");
    app.close().await;
}
