//! Keys: who may call, what, and how often.

use serde_json::json;

use crate::app::{ADMIN, TestApp, hello};
use crate::client::Call;

#[tokio::test]
async fn without_a_good_key_nothing_is_served_but_health() {
    let app = TestApp::start().await;
    let mut cut = app.key.clone();
    cut.pop();
    let flipped = app.key.replace("fk-", "fk-x");
    for token in ["", "x", "fk-", "fk-a-b-c", &cut, &flipped, "Bearer", &"k".repeat(10_000)] {
        let answer = app.send(Call::chat(&hello("fast")).key(token)).await;
        assert_eq!(answer.outcome(), "401 invalid_api_key", "{token:.40}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        assert!(
            token.len() < 3 || !answer.text().contains(token) || token == "Bearer" || token == "fk-",
            "{}",
            answer.text()
        );
    }
    for path in ["/v1/models", "/v1/models/fast", "/metrics", "/api/v1/usage", "/api/v1/keys"] {
        assert_eq!(app.send(Call::get(path)).await.outcome(), "401 invalid_api_key", "{path}");
    }
    for path in ["/health/live", "/health/ready"] {
        assert_eq!(app.send(Call::get(path)).await.status, 200, "{path}");
    }
    assert_eq!(app.up.count(), 0);
    app.rows(0).await;
    app.close().await;
}

#[tokio::test]
async fn a_key_is_taken_from_three_headers_and_from_no_other_place() {
    let app = TestApp::start().await;
    for (name, value) in [
        ("authorization", format!("Bearer {}", app.key)),
        ("authorization", format!("bearer {}", app.key)),
        ("x-api-key", app.key.clone()),
        ("x-goog-api-key", app.key.clone()),
    ] {
        assert_eq!(app.send(Call::chat(&hello("fast")).header(name, &value)).await.status, 200, "{name}");
    }
    for (name, value) in [
        ("authorization", app.key.clone()),
        ("authorization", format!("Basic {}", app.key)),
        ("cookie", app.key.clone()),
    ] {
        assert_eq!(app.send(Call::chat(&hello("fast")).header(name, &value)).await.status, 401, "{name}");
    }
    let twice = Call::chat(&hello("fast")).key(&app.key).key(ADMIN);
    assert_eq!(app.send(twice).await.outcome(), "401 invalid_api_key");
    let in_query = Call::new("POST", &format!("/v1/chat/completions?key={}", app.key), hello("fast").to_string());
    assert_eq!(app.send(in_query).await.status, 401);
    app.close().await;
}

#[tokio::test]
async fn a_key_calls_only_the_models_it_lists() {
    let app = TestApp::with("[[routes]]\nname = \"r\"\nmodels = [\"auto\"]\ntargets = [{ model = \"spare\" }]\n").await;
    let key = app.new_key(&json!({"name": "narrow", "models": ["fast", "auto"]})).await;
    for (model, status) in
        [("fast", 200), ("auto", 200), ("spare", 403), ("up/gpt-x", 403), ("nope", 403), ("prompt/x", 404)]
    {
        let answer = app.send(Call::chat(&hello(model)).key(&key)).await;
        assert_eq!(answer.status, status, "{model}: {}", answer.text());
        if status == 403 {
            assert_eq!((answer.code().as_str(), answer.param().as_str()), ("model_not_allowed", "model"));
            assert_eq!(answer.json()["error"]["type"], "permission_error");
        }
    }
    let list = app.send(Call::get("/v1/models").key(&key)).await.json();
    let ids: Vec<_> = list["data"].as_array().unwrap().iter().map(|card| card["id"].clone()).collect();
    assert_eq!(ids, [json!("fast"), json!("auto")]);
    assert_eq!(app.send(Call::get("/v1/models/spare").key(&key)).await.status, 404);
    let none = app.new_key(&json!({"name": "none", "models": []})).await;
    assert_eq!(app.send(Call::chat(&hello("fast")).key(&none)).await.status, 403);
    app.close().await;
}

#[tokio::test]
async fn a_burst_of_exactly_the_limit_is_admitted() {
    let app = TestApp::start().await;
    let key = app.new_key(&json!({"name": "slow", "requests_per_minute": 3})).await;
    for left in ["2", "1", "0"] {
        let answer = app.send(Call::chat(&hello("fast")).key(&key)).await;
        assert_eq!((answer.status, answer.header("x-ratelimit-remaining-requests")), (200, Some(left)));
        assert_eq!(answer.header("x-ratelimit-limit-requests"), Some("3"));
    }
    let answer = app.send(Call::chat(&hello("fast")).key(&key)).await;
    assert_eq!(answer.outcome(), "429 rate_limit_exceeded");
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=20).contains(&wait), "{wait}");
    assert_eq!(answer.json()["error"]["type"], "rate_limit_error");
    assert_eq!(app.hello("fast").await.status, 200, "another key has its own limit");
    assert_eq!(app.up.count(), 4);
    app.close().await;
}

#[tokio::test]
async fn a_limited_caller_is_told_its_limit() {
    let app = TestApp::start().await;
    let key = app.new_key(&json!({"name": "slow", "requests_per_minute": 1})).await;
    app.send(Call::chat(&hello("fast")).key(&key)).await;
    let answer = app.send(Call::chat(&hello("fast")).key(&key)).await;
    assert_eq!(answer.status, 429);
    assert_eq!(answer.header("x-ratelimit-limit-requests"), Some("1"));
    assert_eq!(answer.header("x-ratelimit-remaining-requests"), Some("0"));
    app.close().await;
}

#[tokio::test]
async fn a_hundred_at_once_get_no_more_than_the_limit() {
    let app = TestApp::start().await;
    let key = app.new_key(&json!({"name": "slow", "requests_per_minute": 10})).await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..100 {
        calls.spawn(crate::client::Open::of_call(app.address, Call::chat(&hello("fast")).key(&key)));
    }
    let answers = calls.join_all().await;
    let served = answers.iter().filter(|answer| answer.status == 200).count();
    // One more is due every six seconds, and a slow machine may take that long.
    assert!((10..=13).contains(&served), "{served} of 100 were served");
    assert_eq!(app.up.count(), served);
    app.close().await;
}

#[tokio::test]
async fn a_revoked_key_is_refused_at_once() {
    let app = TestApp::start().await;
    let made = app.admin(Call::post("/api/v1/keys", &json!({"name": "gone"}))).await.json();
    let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    assert_eq!(app.send(Call::chat(&hello("fast")).key(key)).await.status, 200);
    assert_eq!(app.admin(Call::new("DELETE", &format!("/api/v1/keys/{id}"), "")).await.status, 200);
    assert_eq!(app.send(Call::chat(&hello("fast")).key(key)).await.outcome(), "401 invalid_api_key");
    app.close().await;
}

#[tokio::test]
async fn a_rotated_key_ends_the_old_secret() {
    let app = TestApp::start().await;
    let made = app.admin(Call::post("/api/v1/keys", &json!({"name": "turn"}))).await.json();
    let path = format!("/api/v1/keys/{}/rotate", made["id"].as_str().unwrap());
    let rotated = app.admin(Call::post(&path, &json!({}))).await.json();
    assert_eq!(rotated["id"], made["id"]);
    let call = |key: &serde_json::Value| Call::chat(&hello("fast")).key(key.as_str().unwrap());
    assert_eq!(app.send(call(&made["key"])).await.status, 401);
    assert_eq!(app.send(call(&rotated["key"])).await.status, 200);
    app.close().await;
}

#[tokio::test]
async fn an_expired_key_is_refused() {
    let app = TestApp::start().await;
    let made =
        app.admin(Call::post("/api/v1/keys", &json!({"name": "old", "expires_at": "2020-01-01T00:00:00Z"}))).await;
    if made.status == 201 {
        let key = made.json()["key"].as_str().unwrap().to_owned();
        assert_eq!(app.send(Call::chat(&hello("fast")).key(&key)).await.outcome(), "401 invalid_api_key");
    } else {
        assert_eq!((made.status, made.param().as_str()), (400, "expires_at"));
    }
    app.close().await;
}

#[tokio::test]
async fn a_key_shows_its_last_use_whatever_it_was_used_for() {
    let app = TestApp::start().await;
    let made = app.admin(Call::post("/api/v1/keys", &json!({"name": "viewer", "role": "viewer"}))).await.json();
    assert_eq!(made["last_used_at"], json!(null), "{made}");
    let path = format!("/api/v1/keys/{}", made["id"].as_str().unwrap());
    assert_eq!(app.send(Call::get("/api/v1/usage").key(made["key"].as_str().unwrap())).await.status, 200);
    let used = app.admin(Call::get(&path)).await.json()["last_used_at"].clone();
    assert!(used.is_string(), "{used}");
    let list = app.admin(Call::get("/api/v1/keys")).await.json();
    let row = list["rows"].as_array().unwrap().iter().find(|row| row["id"] == made["id"]).unwrap().clone();
    assert_eq!(row["last_used_at"], used);
    // A change of any key reads all of them again, and forgets no use.
    app.new_key(&json!({"name": "other"})).await;
    assert_eq!(app.admin(Call::get(&path)).await.json()["last_used_at"], used);
    app.close().await;
}

#[tokio::test]
async fn what_surprises_the_owner_of_a_key_is_named_as_it_is_made_or_changed() {
    let app = TestApp::with("[[routes]]\nname = \"r\"\nmodels = [\"auto\"]\ntargets = [{ model = \"spare\" }]\n").await;
    let greet = json!({"name": "greet", "messages": [{"role": "user", "content": "Hi"}]});
    assert_eq!(app.admin(Call::post("/api/v1/prompts", &greet)).await.status, 201);
    let known = json!(["fast", "auto", "up/gpt-9", "up/*", "prompt/greet", "prompt/greet@2", "prompt/*"]);
    let made = app.admin(Call::post("/api/v1/keys", &json!({"name": "a", "models": known, "requests_per_minute": 9})));
    let made = made.await.json();
    assert_eq!(made["warnings"], json!([]), "{made:#}");
    let bad = json!({"name": "a", "models": ["fats", "prompt/gret", "upp/*"]});
    let second = app.admin(Call::post("/api/v1/keys", &bad)).await.json();
    let problems: Vec<_> =
        second["warnings"].as_array().unwrap().iter().map(|row| row["problem"].as_str().unwrap().to_owned()).collect();
    assert_eq!(problems.len(), 5, "{problems:#?}");
    for (problem, words) in problems.iter().zip([
        made["id"].as_str().unwrap(),
        "no limit",
        "did you mean `fast`?",
        "did you mean `prompt/greet`?",
        "`upp/*`",
    ]) {
        assert!(problem.contains(words), "{words}: {problem}");
    }
    let path = format!("/api/v1/keys/{}", second["id"].as_str().unwrap());
    let good = json!({"name": "b", "models": null, "requests_per_minute": 9});
    let changed = app.admin(Call::new("PATCH", &path, good.to_string())).await.json();
    assert_eq!(changed["warnings"], json!([]), "{changed:#}");
    // A revoked namesake takes nobody's place, nor does one of another project.
    assert_eq!(app.admin(Call::new("DELETE", &path, "")).await.status, 200);
    for fields in
        [json!({"name": "b", "requests_per_minute": 1}), json!({"name": "a", "project": "p", "requests_per_minute": 1})]
    {
        assert_eq!(app.admin(Call::post("/api/v1/keys", &fields)).await.json()["warnings"], json!([]));
    }
    app.close().await;
}

#[tokio::test]
async fn a_secret_is_shown_once() {
    let app = TestApp::start().await;
    let made = app.admin(Call::post("/api/v1/keys", &json!({"name": "once"}))).await.json();
    let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    for path in ["/api/v1/keys".to_owned(), format!("/api/v1/keys/{id}")] {
        assert!(!app.admin(Call::get(&path)).await.text().contains(key), "{path}");
    }
    app.close().await;
}

#[tokio::test]
async fn no_header_makes_a_caller_the_operator() {
    let app = TestApp::start().await;
    for name in ["x-operator", "operator", "x-fulcrum-operator", "x-forwarded-user"] {
        assert_eq!(app.send(Call::get("/api/v1/keys").header(name, "1")).await.status, 401, "{name}");
    }
    app.close().await;
}

#[tokio::test]
async fn wrong_keys_beyond_the_limit_are_429_and_good_ones_from_the_same_address_pass() {
    let app = TestApp::with("[limits]\nwrong_keys_per_minute = 5\n").await;
    let unknown = app.new_key(&json!({"name": "rotated"})).await;
    let id =
        app.admin(Call::get("/api/v1/keys")).await.json()["rows"].as_array().unwrap().last().unwrap()["id"].clone();
    let path = format!("/api/v1/keys/{}/rotate", id.as_str().unwrap());
    assert_eq!(app.admin(Call::post(&path, &json!({}))).await.status, 200);
    for n in 0..5 {
        let wrong = if n % 2 == 0 { unknown.clone() } else { format!("fk-guess-{n}") };
        assert_eq!(app.send(Call::chat(&hello("fast")).key(&wrong)).await.outcome(), "401 invalid_api_key");
    }
    for call in [
        Call::chat(&hello("fast")),
        Call::get("/api/v1/usage"),
        Call::get("/v1/models"),
        Call::post("/v1/explain", &hello("fast")),
        Call::post("/v1/messages", &json!({})),
    ] {
        let refused = app.send(call.clone().key("fk-guess")).await;
        assert_eq!(refused.status, 429, "{} {}", call.path, refused.text());
        assert!(refused.header("retry-after").is_some() && refused.text().contains("wrong keys"), "{}", refused.text());
    }
    assert_eq!(app.send(Call::chat(&hello("fast")).key("fk-guess")).await.code(), "rate_limit_exceeded");
    assert_eq!(app.hello("fast").await.status, 200, "a good key passes");
    assert_eq!(app.admin(Call::get("/api/v1/usage")).await.status, 200, "the admin's too");
    assert_eq!(app.send(Call::chat(&hello("fast"))).await.status, 401, "no key is no guess");
    app.close().await;
}

#[tokio::test]
async fn a_key_that_was_right_once_is_no_guess() {
    let app = TestApp::with("[limits]\nwrong_keys_per_minute = 1\n").await;
    let made = app.admin(Call::post("/api/v1/keys", &json!({"name": "gone"}))).await.json();
    let path = format!("/api/v1/keys/{}", made["id"].as_str().unwrap());
    assert!(app.admin(Call::new("DELETE", &path, "")).await.status < 300);
    for _ in 0..5 {
        let refused = app.send(Call::chat(&hello("fast")).key(made["key"].as_str().unwrap())).await;
        assert_eq!(refused.outcome(), "401 invalid_api_key");
    }
    app.close().await;
}

#[tokio::test]
async fn a_name_is_checked_as_it_is_called() {
    let app = TestApp::start().await;
    let key = app.new_key(&json!({"name": "narrow", "models": ["up/base", "fast"]})).await;
    let turns = json!([{"role": "user", "content": "hi"}]);
    let contents = json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]});
    for model in ["up/base@x", "fast@x", "fast@production", "up/base@", "up/base@x@y", "@fast"] {
        let address = |verb: &str| format!("/v1beta/models/{model}:{verb}");
        for (path, body) in [
            ("/v1/chat/completions", json!({"model": model, "messages": turns})),
            ("/v1/responses", json!({"model": model, "input": "hi"})),
            ("/v1/messages", json!({"model": model, "max_tokens": 9, "messages": turns})),
            ("/v1/messages/count_tokens", json!({"model": model, "messages": turns})),
            ("/v1/embeddings", json!({"model": model, "input": "hi"})),
            ("/v1/completions", json!({"model": model, "prompt": "hi"})),
            ("/v1/moderations", json!({"model": model, "input": "hi"})),
            ("/v1/explain", json!({"model": model, "messages": turns})),
            (&address("generateContent"), contents.clone()),
            (&address("countTokens"), contents.clone()),
            (&address("embedContent"), json!({"content": {"parts": [{"text": "hi"}]}})),
        ] {
            let answer = app.send(Call::post(path, &body).key(&key)).await;
            assert_eq!(answer.status, 403, "{path} {model}: {}", answer.text());
        }
    }
    assert_eq!(app.up.count(), 0);
    assert_eq!(app.send(Call::chat(&hello("up/base")).key(&key)).await.status, 200);
    app.close().await;
}
