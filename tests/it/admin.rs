//! The admin API: who may do what, and what a write refuses.

use serde_json::{Value, json};

use crate::app::{TestApp, hello};
use crate::client::Call;

/// Every route, the role it needs, and a body that it takes.
fn routes() -> Vec<(&'static str, &'static str, &'static str, Value)> {
    let prompt = json!({"name": "made", "messages": [{"role": "user", "content": "x"}]});
    let version = json!({"messages": [{"role": "user", "content": "y"}]});
    let messages = json!({"model": "fast", "max_tokens": 9, "messages": [{"role": "user", "content": "y"}]});
    let contents = json!({"contents": [{"parts": [{"text": "y"}]}]});
    let others = vec![
        ("GET", "/api/v1/keys", "admin", Value::Null),
        ("GET", "/api/v1/keys/{id}", "admin", Value::Null),
        ("POST", "/api/v1/keys", "admin", json!({"name": "n"})),
        ("PATCH", "/api/v1/keys/{id}", "admin", json!({"name": "m"})),
        ("POST", "/api/v1/keys/{id}/rotate", "admin", json!({})),
        ("DELETE", "/api/v1/keys/{id}", "admin", Value::Null),
        ("GET", "/api/v1/projects", "admin", Value::Null),
        ("POST", "/api/v1/projects", "admin", json!({"name": "p"})),
        ("GET", "/api/v1/prompts", "viewer", Value::Null),
        ("POST", "/api/v1/prompts", "editor", prompt),
        ("GET", "/api/v1/prompts/greet", "viewer", Value::Null),
        ("GET", "/api/v1/prompts/greet/versions", "viewer", Value::Null),
        ("POST", "/api/v1/prompts/greet/versions", "editor", version),
        ("GET", "/api/v1/prompts/greet/versions/1", "viewer", Value::Null),
        ("PUT", "/api/v1/prompts/greet/labels/staging", "editor", json!({"version": 1, "reason": "r"})),
        ("DELETE", "/api/v1/prompts/greet/labels/staging?reason=over", "editor", Value::Null),
        ("GET", "/api/v1/prompts/greet/labels/production/history", "viewer", Value::Null),
        ("GET", "/api/v1/prompts/greet/history", "viewer", Value::Null),
        ("GET", "/api/v1/prompts/greet/diff?from=1&to=1", "viewer", Value::Null),
        ("POST", "/api/v1/prompts/greet/render", "viewer", json!({"variables": {}})),
        ("DELETE", "/api/v1/prompts/greet?reason=over", "editor", Value::Null),
        ("PATCH", "/api/v1/prompts/greet", "editor", json!({"archived": false, "reason": "r"})),
        ("GET", "/api/v1/usage", "viewer", Value::Null),
        ("GET", "/api/v1/requests", "viewer", Value::Null),
        ("GET", "/api/v1/requests/{request}", "viewer", Value::Null),
        ("GET", "/api/v1/requests/{request}/body", "viewer", Value::Null),
        ("DELETE", "/api/v1/requests/{request}/body", "admin", Value::Null),
        ("GET", "/api/v1/shadows", "viewer", Value::Null),
        ("GET", "/api/v1/feedback", "viewer", Value::Null),
        ("GET", "/api/v1/bodies?user=ann", "viewer", Value::Null),
        ("DELETE", "/api/v1/bodies?user=ann", "admin", Value::Null),
        ("GET", "/api/v1/providers", "viewer", Value::Null),
        ("GET", "/api/v1/models", "viewer", Value::Null),
        ("GET", "/api/v1/routes", "viewer", Value::Null),
        ("GET", "/api/v1/health", "viewer", Value::Null),
        ("GET", "/api/v1/cache", "viewer", Value::Null),
        ("POST", "/api/v1/cache/purge", "admin", json!({"all": true})),
        ("GET", "/metrics", "viewer", Value::Null),
        ("GET", "/v1/models", "any", Value::Null),
        ("GET", "/v1beta/models", "any", Value::Null),
        ("GET", "/v1beta/models/fast", "any", Value::Null),
        ("GET", "/v1/key", "any", Value::Null),
        ("GET", "/api/v1/key", "any", Value::Null),
        ("GET", "/v1/models/fast", "any", Value::Null),
        ("POST", "/v1/chat/completions", "app", hello("fast")),
        ("POST", "/v1/embeddings", "app", json!({"model": "embed", "input": "x"})),
        ("POST", "/v1/explain", "app", hello("fast")),
        ("POST", "/v1/feedback", "app", json!({"request_id": "", "metric": "ok", "value": true})),
        ("POST", "/v1/messages", "app", messages.clone()),
        ("POST", "/v1/messages/count_tokens", "app", messages),
        ("POST", "/v1beta/models/fast:generateContent", "app", contents.clone()),
        ("POST", "/v1/models/fast:generateContent", "app", contents),
    ];
    others.into_iter().chain(measuring_routes()).collect()
}

fn measuring_routes() -> [(&'static str, &'static str, &'static str, Value); 11] {
    [
        ("GET", "/api/v1/datasets", "viewer", Value::Null),
        ("POST", "/api/v1/datasets", "editor", json!({"name": "made"})),
        ("GET", "/api/v1/datasets/facts", "viewer", Value::Null),
        ("GET", "/api/v1/datasets/facts/items", "viewer", Value::Null),
        ("POST", "/api/v1/datasets/facts/items", "editor", json!({"variables": {}})),
        ("GET", "/api/v1/datasets/facts/export", "viewer", Value::Null),
        ("GET", "/api/v1/experiments", "viewer", Value::Null),
        ("POST", "/api/v1/experiments", "editor", experiment("made", "production")),
        ("GET", "/api/v1/experiments/{draft}", "viewer", Value::Null),
        ("POST", "/api/v1/experiments/{draft}/start", "editor", json!({"share": 0.5})),
        ("POST", "/api/v1/experiments/{running}/stop", "editor", Value::Null),
    ]
}

fn experiment(name: &str, label: &str) -> Value {
    let arms = json!([{"name": "a", "version": 1}, {"name": "b", "version": 1, "model": "fast"}]);
    json!({"name": name, "prompt": "greet", "label": label, "arms": arms, "metric": {"name": "error_rate"}})
}

/// Makes an experiment on a label of its own, and starts it where the path asks for a running one; the path with its name.
async fn with_experiment(app: &TestApp, path: String, name: &str) -> String {
    if !path.contains("{draft}") && !path.contains("{running}") {
        return path;
    }
    let labelled = Call::new("PUT", &format!("/api/v1/prompts/greet/labels/{name}"), json!({"version": 1}).to_string());
    assert_eq!(app.admin(labelled).await.status, 200);
    assert_eq!(app.admin(Call::post("/api/v1/experiments", &experiment(name, name))).await.status, 201);
    if path.contains("{running}") {
        let started = app.admin(Call::post(&format!("/api/v1/experiments/{name}/start"), &json!({}))).await;
        assert_eq!(started.status, 200, "{}", started.text());
    }
    path.replace("{draft}", name).replace("{running}", name)
}

fn may(role: &str, needs: &str) -> bool {
    match needs {
        "any" => true,
        "app" => ["app", "admin"].contains(&role),
        "viewer" => ["viewer", "editor", "admin"].contains(&role),
        "editor" => ["editor", "admin"].contains(&role),
        _ => role == "admin",
    }
}

async fn with_greet() -> TestApp {
    let app = TestApp::with("[defaults]\nretries = 0\n[ledger]\nstore_bodies = \"full\"\n").await;
    let greet = json!({"name": "greet", "messages": [{"role": "user", "content": "Hi"}], "labels": ["production"]});
    assert_eq!(app.admin(Call::post("/api/v1/prompts", &greet)).await.status, 201);
    assert_eq!(app.admin(Call::post("/api/v1/datasets", &json!({"name": "facts"}))).await.status, 201);
    app
}

#[tokio::test]
async fn every_route_is_open_to_its_roles_and_to_no_other() {
    let app = with_greet().await;
    let request = app.hello("fast").await.id().to_owned();
    for role in ["none", "app", "viewer", "editor", "admin"] {
        for (n, (method, path, needs, mut body)) in routes().into_iter().enumerate() {
            // A fresh key to look at, change and revoke, and a key of the role to do it with.
            let subject = app.admin(Call::post("/api/v1/keys", &json!({"name": "subject"}))).await.json();
            let id = subject["id"].as_str().unwrap();
            let path = path.replace("{id}", id).replace("{request}", &request);
            let path = with_experiment(&app, path, &format!("{role}-{n}")).await;
            if body.get("name").is_some() {
                body["name"] = format!("{role}-{n}").into();
            }
            if body.get("request_id").is_some() {
                body["request_id"] = request.as_str().into();
            }
            let bytes = if body.is_null() { String::new() } else { body.to_string() };
            let mut call = Call::new(method, &path, bytes);
            if role != "none" {
                call = call.key(&app.new_key(&json!({"name": "actor", "role": role})).await);
            }
            let answer = app.send(call).await;
            let expected = match role {
                "none" => 401,
                _ if !may(role, needs) => 403,
                _ => answer.status,
            };
            assert_eq!(answer.status, expected, "{role}: {method} {path}: {}", answer.text());
            assert!(
                expected != answer.status || expected >= 401 || answer.status < 300,
                "{role}: {method} {path}: {}",
                answer.text()
            );
            if role == "none" {
                assert!(answer.code() == "invalid_api_key" || answer.text().to_lowercase().contains("authentica"));
            } else if expected == 403 {
                assert!(answer.code() == "forbidden" || answer.text().to_lowercase().contains("permission"));
            } else {
                assert!(answer.status < 300, "{role}: {method} {path}: {} {}", answer.status, answer.text());
            }
        }
    }
    app.close().await;
}

/// Whether `path` is one of those that `template` describes.
fn fits(template: &str, path: &str) -> bool {
    let (mine, theirs) = (template.split('/'), path.split('?').next().unwrap().split('/'));
    mine.clone().count() == theirs.clone().count() && mine.zip(theirs).all(|(a, b)| a.starts_with('{') || a == b)
}

#[tokio::test]
async fn openapi_describes_every_admin_route_and_no_other() {
    let app = TestApp::start().await;
    assert_eq!(app.send(Call::get("/api/openapi.json")).await.status, 401);
    let openapi = app.admin(Call::get("/api/openapi.json")).await.json();
    assert_eq!(openapi["openapi"], "3.1.0");
    let described: Vec<(String, String)> = openapi["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            methods.as_object().unwrap().keys().map(move |method| (method.to_uppercase(), format!("/api/v1{path}")))
        })
        .collect();
    let routes = routes();
    let admin: Vec<_> = routes.iter().filter(|(_, path, ..)| path.starts_with("/api/v1")).collect();
    for (method, path, ..) in &admin {
        let found = described.iter().filter(|(known, template)| known == method && fits(template, path)).count();
        assert!(found > 0, "{method} {path} is not described");
    }
    for (method, template) in &described {
        assert!(admin.iter().any(|(known, path, ..)| known == method && fits(template, path)), "{method} {template}");
    }
    // Every reference leads to a part of the document.
    let text = openapi.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(openapi.pointer(pointer).is_some(), "{pointer}");
    }
    app.close().await;
}

#[tokio::test]
async fn a_field_that_a_write_does_not_know_is_400_and_named() {
    let app = with_greet().await;
    let subject = app.admin(Call::post("/api/v1/keys", &json!({"name": "subject"}))).await.json();
    let id = subject["id"].as_str().unwrap();
    for (method, path, _, body) in routes() {
        if body.is_null() || !path.starts_with("/api/") {
            continue;
        }
        let mut body = body;
        body["colour"] = "red".into();
        let answer = app.admin(Call::new(method, &path.replace("{id}", id), body.to_string())).await;
        assert_eq!(answer.status, 400, "{method} {path}: {}", answer.text());
        assert!(answer.text().contains("colour"), "{method} {path}: {}", answer.text());
    }
    app.close().await;
}

#[tokio::test]
async fn a_field_of_the_wrong_kind_is_400_and_named() {
    let app = with_greet().await;
    for (path, body, field) in [
        ("/api/v1/keys", json!({"name": 3}), "name"),
        ("/api/v1/keys", json!({"name": "n", "requests_per_minute": "many"}), "requests_per_minute"),
        ("/api/v1/keys", json!({"name": "n", "tags": {"a": []}}), "tags.a"),
        ("/api/v1/prompts/greet/render", json!({"version": []}), "version"),
        ("/api/v1/cache/purge", json!({"all": "yes"}), "all"),
    ] {
        let answer = app.admin(Call::post(path, &body)).await;
        assert_eq!(answer.outcome(), "400 invalid_request", "{path} {body}");
        assert_eq!(answer.param(), field, "{path} {body}: {}", answer.text());
    }
    app.close().await;
}

#[tokio::test]
async fn a_write_that_is_no_object_is_400() {
    let app = with_greet().await;
    for (method, path, _, body) in routes() {
        if body.is_null() || !path.starts_with("/api/") || path.contains("{id}") {
            continue;
        }
        for text in ["[]", "3", "null", "{", "{\"a\":1}{}", &"[".repeat(10_000)] {
            let answer = app.admin(Call::new(method, path, text.to_owned())).await;
            assert_eq!(answer.status, 400, "{method} {path} {text:.20}: {}", answer.text());
        }
    }
    app.close().await;
}

#[tokio::test]
async fn what_is_not_there_is_404() {
    let app = TestApp::start().await;
    for call in [
        Call::get("/api/v1/keys/nope"),
        Call::get("/api/v1/prompts/nope"),
        Call::get("/api/v1/prompts/nope/versions"),
        Call::get("/api/v1/prompts/nope/versions/1"),
        Call::get("/api/v1/requests/nope"),
        Call::get("/api/v1/requests/01890000-0000-7000-8000-000000000000"),
        Call::new("DELETE", "/api/v1/keys/nope", ""),
        Call::get("/api/v1/nope"),
    ] {
        let answer = app.admin(call.clone()).await;
        assert_eq!(answer.status, 404, "{}: {}", call.path, answer.text());
        assert!(!answer.code().is_empty());
    }
    app.close().await;
}

#[tokio::test]
async fn a_path_or_query_that_cannot_be_read_is_400_in_the_usual_shape() {
    let app = with_greet().await;
    for (path, field) in [
        ("/api/v1/prompts/greet/diff", "from"),
        ("/api/v1/prompts/greet/diff?from=1", "to"),
        ("/api/v1/prompts/greet/diff?from=1&to=1&colour=red", "colour"),
        ("/api/v1/keys/%ff", "id"),
        ("/api/v1/requests/%ff", "id"),
        ("/v1/models/%ff", "id"),
    ] {
        let answer = app.admin(Call::get(path)).await;
        assert_eq!((answer.outcome().as_str(), answer.param().as_str()), ("400 invalid_request", field), "{path}");
        assert!(answer.header("x-fulcrum-request-id").is_some(), "{path}");
    }
    app.close().await;
}

#[tokio::test]
async fn what_a_filter_says_stays_a_value() {
    let app = TestApp::start().await;
    app.hello("fast").await;
    app.rows(1).await;
    let attack = "x%27%20or%20%271%27%3D%271";
    for name in ["project", "user", "model", "route", "prompt", "session", "tag:a", "key", "error"] {
        for path in ["usage", "requests"] {
            let answer = app.admin(Call::get(&format!("/api/v1/{path}?{name}={attack}"))).await;
            assert_eq!(answer.status, 200, "{path} {name}: {}", answer.text());
            assert_eq!(answer.json()["rows"].as_array().unwrap().len(), 0, "{path} {name}");
        }
    }
    // No request can have such a status or cache state.
    for query in [format!("status={attack}"), format!("cache={attack}")] {
        for path in ["usage", "requests"] {
            let answer = app.admin(Call::get(&format!("/api/v1/{path}?{query}"))).await;
            assert_eq!(answer.outcome(), "400 invalid_request", "{path} {query}: {}", answer.text());
        }
    }
    for query in ["by=nope", "by=tag:", "from=last-week", "limit=0", "limit=501", "cursor=x", "order=id", "version=x"] {
        let path = if query.starts_with("by") || query.starts_with("from") { "usage" } else { "requests" };
        let answer = app.admin(Call::get(&format!("/api/v1/{path}?{query}"))).await;
        assert_eq!(answer.outcome(), "400 invalid_request", "{query}: {}", answer.text());
    }
    let long = "%25".repeat(20_000);
    assert_eq!(app.admin(Call::get(&format!("/api/v1/requests?user={long}"))).await.status, 400);
    app.close().await;
}

#[tokio::test]
async fn what_a_header_says_stays_a_value() {
    let app = TestApp::start().await;
    let attack = "x' or '1'='1'; drop table requests --";
    for name in ["x-fulcrum-user", "x-fulcrum-session"] {
        let call = Call::chat(&hello("fast")).key(&app.key).header(name, attack);
        let id = app.send(call.header("x-fulcrum-tags", "t=%25%00';--")).await.id().to_owned();
        let row = app.row(&id).await;
        assert_eq!((&row[&name[10..]], &row["tags"]["t"]), (&json!(attack), &json!("%25%00';--")));
    }
    let percent = "%".repeat(4_000);
    app.row(app.send(Call::chat(&hello("fast")).key(&app.key).header("x-fulcrum-user", &percent)).await.id()).await;
    let found = app.admin(Call::get("/api/v1/requests?tag:t=%2525%2500';--")).await.json();
    assert_eq!(found["rows"].as_array().unwrap().len(), 2);
    let any = app.admin(Call::get("/api/v1/requests?user=%25")).await.json();
    assert_eq!(any["rows"].as_array().unwrap().len(), 0, "a percent sign is no pattern");
    app.close().await;
}

#[tokio::test]
async fn each_provider_is_listed_with_its_own_kind() {
    let app = TestApp::with(crate::dialects::PROVIDERS).await;
    let listed = app.admin(Call::get("/api/v1/providers")).await.json();
    let kind_of = |name: &str| {
        let row = listed["rows"].as_array().unwrap().iter().find(|row| row["name"] == name).unwrap();
        (row["kind"].as_str().unwrap().to_owned(), row["simulated"].as_bool().unwrap())
    };
    for (name, kind) in [("claude", "anthropic"), ("gem", "gemini"), ("plain", "openai"), ("bed", "bedrock")] {
        assert_eq!(kind_of(name), (kind.to_owned(), false), "{name}");
    }
    app.close().await;
}

#[tokio::test]
async fn usage_adds_up() {
    let app = TestApp::start().await;
    for n in 0..12 {
        let call = Call::chat(&hello(if n % 3 == 0 { "spare" } else { "fast" })).key(&app.key);
        app.send(call.header("x-fulcrum-user", &format!("u{}", n % 2))).await;
    }
    app.up.next(crate::upstream::Script::error(500, "down"));
    app.hello("fast").await;
    let report = app.admin(Call::get("/api/v1/usage?by=model,user")).await.json();
    let sum =
        |name: &str| -> u64 { report["rows"].as_array().unwrap().iter().map(|row| row[name].as_u64().unwrap()).sum() };
    assert_eq!((sum("requests"), sum("errors"), sum("input_tokens")), (13, 1, 108));
    let total = &report["total"];
    assert_eq!((&total["requests"], &total["errors"]), (&json!(13), &json!(1)));
    // 8 of fast at 9 × $1 + 3 × $2, 4 of spare at 9 × $3 + 3 × $4, a million tokens each.
    assert_eq!(total["cost_usd"], "0.000276");
    let csv = app.admin(Call::get("/api/v1/usage?by=model&format=csv")).await;
    assert!(csv.text().lines().next().unwrap().starts_with("model,"), "{}", csv.text());
    assert_eq!(csv.text().lines().filter(|line| !line.is_empty()).count(), 3, "{}", csv.text());
    app.close().await;
}

#[tokio::test]
async fn requests_are_paged_newest_first() {
    let app = TestApp::start().await;
    for _ in 0..7 {
        app.hello("fast").await;
    }
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = app.admin(Call::get(&format!("/api/v1/requests?limit=3{cursor}"))).await.json();
        seen.extend(page["rows"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 7);
    assert!(seen.is_sorted_by(|a, b| a > b), "{seen:?}");
    app.close().await;
}

#[tokio::test]
async fn metrics_count_what_happened() {
    let app = TestApp::start().await;
    app.hello("fast").await;
    app.up.next(crate::upstream::Script::error(500, "down"));
    app.hello("fast").await;
    app.send(Call::chat(&hello("fast"))).await;
    assert!((app.metric("fulcrum_requests_total", "up/gpt-x").await - 2.0).abs() < 0.1);
    assert!((app.metric("fulcrum_attempts_total", "outcome=\"ok\"").await - 1.0).abs() < 0.1);
    assert!((app.metric("fulcrum_refused_total", "").await - 1.0).abs() < 0.1);
    assert!((app.metric("fulcrum_tokens_total", "kind=\"input\"").await - 9.0).abs() < 0.1);
    app.close().await;
}

#[tokio::test]
async fn names_that_nobody_configured_make_no_endless_metrics() {
    let app = TestApp::start().await;
    for n in 0..50 {
        app.hello(&format!("made-up-{n}")).await;
    }
    let text = app.admin(Call::get("/metrics")).await;
    assert!(!text.text().contains("made-up"), "a caller chooses a metric's label");
    app.close().await;
}

#[tokio::test]
async fn the_last_admin_stays() {
    let app = TestApp::start().await;
    let keys = app.admin(Call::get("/api/v1/keys")).await.json();
    let admin = keys["rows"].as_array().unwrap().iter().find(|key| key["role"] == "admin").unwrap()["id"].clone();
    let answer = app.admin(Call::new("DELETE", &format!("/api/v1/keys/{}", admin.as_str().unwrap()), "")).await;
    assert_eq!(answer.outcome(), "409 conflict");
    app.close().await;
}
