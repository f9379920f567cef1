//! Model lists in the shape of each vendor's SDK, what a key may know of itself, near names, and pages in browsers.

use serde_json::{Value, json};

use crate::app::{ADMIN, TestApp, UP_KEY, hello, streamed};
use crate::client::{Answer, Call, PATIENCE};
use crate::upstream::{EVENTS, Script};

fn ids(list: &Value, field: &str, name: &str) -> Vec<String> {
    let models = list[field].as_array().unwrap_or_else(|| panic!("{list}"));
    models.iter().map(|model| model[name].as_str().unwrap().to_owned()).collect()
}

fn message(answer: &Answer) -> String {
    answer.json()["error"]["message"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn models_are_listed_in_the_shape_of_each_vendor_and_only_what_the_key_may_call() {
    let app = TestApp::start().await;
    let key = app.new_key(&json!({"name": "narrow", "models": ["fast", "spare"]})).await;
    let claude = |path: &str| Call::get(path).header("x-api-key", &key).header("anthropic-version", "2023-06-01");
    let list = app.send(Call::get("/v1/models").key(&key)).await.json();
    assert_eq!(ids(&list, "data", "id"), ["fast", "spare"]);
    let list = app.send(claude("/v1/models")).await.json();
    assert_eq!(ids(&list, "data", "display_name"), ["fast", "spare"]);
    assert_eq!(
        (&list["has_more"], &list["first_id"], &list["last_id"]),
        (&json!(false), &json!("fast"), &json!("spare"))
    );
    for path in ["/v1beta/models", "/v1/models"] {
        let list = app.send(Call::get(path).header("x-goog-api-key", &key)).await.json();
        assert_eq!(ids(&list, "models", "name"), ["models/fast", "models/spare"], "{path}");
        let methods = list["models"][0]["supportedGenerationMethods"].as_array().unwrap();
        assert!(methods.contains(&json!("generateContent")) && list.get("nextPageToken").is_none(), "{list}");
    }
    let list = app.send(Call::get(&format!("/v1beta/models?key={key}"))).await.json();
    assert_eq!(ids(&list, "models", "displayName"), ["fast", "spare"]);
    let one = app.send(Call::get("/v1beta/models/fast").header("x-goog-api-key", &key)).await.json();
    assert_eq!((&one["name"], &one["displayName"]), (&json!("models/fast"), &json!("fast")));
    let one = app.send(claude("/v1/models/fast")).await.json();
    assert_eq!((&one["type"], &one["id"]), (&json!("model"), &json!("fast")));
    for call in [claude("/v1/models/embed"), Call::get("/v1beta/models/embed").key(&key)] {
        assert_eq!(app.send(call).await.status, 404, "the key may not call it");
    }
    app.close().await;
}

#[tokio::test]
async fn lists_of_models_have_pages_where_the_vendor_has_them() {
    let app = TestApp::start().await;
    let claude = |path: &str| Call::get(path).header("x-api-key", &app.key).header("anthropic-version", "2023-06-01");
    let list = app.send(claude("/v1/models?limit=2")).await.json();
    assert_eq!((ids(&list, "data", "id").len(), &list["has_more"]), (2, &json!(true)));
    let last = list["last_id"].as_str().unwrap().to_owned();
    let next = app.send(claude(&format!("/v1/models?limit=2&after_id={last}"))).await.json();
    assert_eq!((ids(&next, "data", "id").len(), &next["has_more"]), (1, &json!(false)));
    let first = next["first_id"].as_str().unwrap().to_owned();
    let back = app.send(claude(&format!("/v1/models?before_id={first}"))).await.json();
    assert_eq!(back["data"], list["data"]);
    for bad in ["limit=0", "limit=x", "after_id=nope"] {
        let answer = app.send(claude(&format!("/v1/models?{bad}"))).await;
        assert_eq!((answer.status, answer.json()["type"].as_str()), (400, Some("error")), "{bad}");
    }
    let google = |path: &str| Call::get(path).header("x-goog-api-key", &app.key);
    let list = app.send(google("/v1beta/models?pageSize=2")).await.json();
    let token = list["nextPageToken"].as_str().unwrap();
    let next = app.send(google(&format!("/v1beta/models?pageSize=2&pageToken={token}"))).await.json();
    assert_eq!((ids(&list, "models", "name").len(), ids(&next, "models", "name").len()), (2, 1));
    assert!(next.get("nextPageToken").is_none());
    assert_eq!(app.send(google("/v1beta/models?pageToken=99")).await.status, 400);
    app.close().await;
}

/// Providers whose servers list their models, one that refuses connections and one that answers nothing.
const LISTING: &str = r#"
[defaults]
retries = 0
[providers.plain]
kind = "openai"
base_url = "http://{up}/v1"
api_key = "env:UP_KEY"
list_models = true
[providers.claude]
kind = "anthropic"
base_url = "http://{up}"
api_key = "env:UP_KEY"
list_models = true
[providers.google]
kind = "gemini"
base_url = "http://{up}"
api_key = "env:UP_KEY"
list_models = true
[providers.refuses]
kind = "openai"
base_url = "http://127.0.0.1:9/v1"
list_models = true
[providers.silent]
kind = "openai"
base_url = "http://{other}/v1"
api_key = "env:OTHER_KEY"
list_models = true
"#;

#[tokio::test]
async fn models_that_servers_list_are_listed_in_each_shape_and_a_dead_server_is_in_nobodys_way() {
    let app = TestApp::start().await;
    app.other.api(|_| Some(Script::default().stall()));
    app.up.api(|received| {
        let list = match received.path.as_str() {
            "/v1/models" => json!({"data": [
                {"id": "org/m-1", "created": 1_700_000_000, "owned_by": "org", "max_model_len": 4096},
                {"id": UP_KEY}, {"id": "two words"}]}),
            "/v1/models?limit=1000" => {
                json!({"data": [{"type": "model", "id": "opus", "created_at": "2025-05-14T00:00:00Z"}]})
            }
            "/v1beta/models?pageSize=1000" => json!({"models": [{"name": "models/flash", "inputTokenLimit": 9}]}),
            _ => return None,
        };
        Some(Script::json(200, list.to_string()))
    });
    app.reload(LISTING).await;
    let key = app.new_key(&json!({"name": "narrow", "models": ["plain/*", "google/flash"]})).await;
    let get = |path: &str, key: &str| Call::get(path).key(key);
    let expected = ["fast", "spare", "embed", "claude/opus", "google/flash", "plain/org/m-1"];
    let mut listed = Vec::new();
    // They are asked for beside the calls, so the first lists may come without them.
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while listed.len() < expected.len() && tokio::time::Instant::now() < deadline {
        listed = ids(&app.send(get("/v1/models", &app.key)).await.json(), "data", "id");
    }
    assert_eq!(listed, expected);
    let list = app.send(get("/v1/models", &key)).await.json();
    assert_eq!(ids(&list, "data", "id"), ["google/flash", "plain/org/m-1"]);
    assert_eq!(
        (&list["data"][0]["fulcrum"]["context"], &list["data"][1]["created"]),
        (&json!(9), &json!(1_700_000_000))
    );
    let claude = app.send(Call::get("/v1/models").header("x-api-key", &key).header("anthropic-version", "2023-06-01"));
    let claude = claude.await.json();
    assert_eq!(ids(&claude, "data", "id"), ["google/flash", "plain/org/m-1"]);
    assert!(claude["data"][1]["created_at"].as_str().unwrap().starts_with("2023-11-14T22:13:20"), "{claude}");
    let google = app.send(Call::get("/v1beta/models").header("x-goog-api-key", &key)).await.json();
    assert_eq!(ids(&google, "models", "name"), ["models/google/flash", "models/plain/org/m-1"]);
    assert_eq!(app.send(get("/v1/models/plain/org/m-1", &key)).await.status, 200);
    assert_eq!(app.send(get("/v1/models/claude/opus", &key)).await.status, 404);
    app.up.until("the list was asked for once by each", |all| all.len() == 3).await;
    let asked = app.up.received();
    assert!(asked.iter().all(|one| one.head.contains(UP_KEY)), "with the provider's key");
    assert_eq!(app.send(Call::chat(&hello("plain/org/m-1")).key(&key)).await.status, 200);
    app.close().await;
}

#[tokio::test]
async fn what_only_simulated_providers_can_answer_is_marked_in_the_list() {
    let app = TestApp::with(
        "[providers.house]\nkind = \"simulated\"\n[models.toy]\nprovider = \"house\"\n\
         [[routes]]\nname = \"private\"\nwhen = 'metadata.p == \"x\"'\nmodels = [\"toy\"]\ntargets = [{ model = \"fast\" }]\n\
         [[routes]]\nname = \"toys\"\nmodels = [\"play\"]\ntargets = [{ model = \"toy\" }]\n\
         [[routes]]\nname = \"mixed\"\nmodels = [\"mixed\"]\ntargets = [{ model = \"toy\" }]\nfallbacks = [\"fast\"]\n\
         [[routes]]\nname = \"some\"\nmodels = [\"some\"]\nwhen = 'request.stream'\ntargets = [{ model = \"fast\" }]\n\
         [[routes]]\nname = \"rest\"\nmodels = [\"some\"]\ntargets = [{ model = \"toy\" }]\n",
    )
    .await;
    for (name, model) in [("made-up", "play"), ("real", "fast"), ("either", "mixed")] {
        let prompt =
            json!({"name": name, "messages": [{"role": "user", "content": "Hi"}], "settings": {"model": model}});
        assert_eq!(app.admin(Call::post("/api/v1/prompts", &prompt)).await.status, 201);
    }
    let now = fulcrum::types::now().0 / 1_000_000;
    for (id, simulated) in [
        ("toy", true),
        ("play", true),
        ("fast", false),
        ("mixed", false),
        ("some", false),
        ("prompt/made-up", true),
        ("prompt/real", false),
        ("prompt/either", false),
    ] {
        let card = app.send(Call::get(&format!("/v1/models/{id}")).key(&app.key)).await.json();
        assert_eq!(card["fulcrum"]["simulated"], simulated, "{card}");
        let created = card["created"].as_i64().unwrap();
        assert!((0..600).contains(&(now - created).abs()), "{card}");
    }
    let answer = app.hello("toy").await.json();
    assert!((0..600).contains(&(now - answer["created"].as_i64().unwrap()).abs()), "{answer}");
    let one = Call::get("/v1/models/toy").header("x-api-key", &app.key).header("anthropic-version", "2023-06-01");
    let one = app.send(one).await.json();
    assert!(one["created_at"].as_str().unwrap() > "2026", "{one}");
    app.close().await;
}

#[tokio::test]
async fn a_key_knows_itself_and_no_other() {
    let app = TestApp::with("[limits]\nrequests_per_minute = 600\n").await;
    let other = app.new_key(&json!({"name": "other", "project": "b", "requests_per_minute": 7})).await;
    assert_eq!(app.hello("fast").await.status, 200);
    for path in ["/v1/key", "/api/v1/key"] {
        let own = app.send(Call::get(path).key(&app.key)).await.json();
        assert_eq!((&own["name"], &own["project"], &own["role"]), (&json!("caller"), &json!("default"), &json!("app")));
        assert_eq!(own["limits"]["requests_per_minute"], 600);
        for since in ["month", "total"] {
            let spend = &own["spend"][since];
            assert_eq!((&spend["requests"], &spend["cost_usd"]), (&json!(1), &json!("0.000015")), "{own:#}");
        }
        assert!(!own.to_string().contains(&app.key));
        let own = app.send(Call::get(path).key(&other)).await.json();
        assert_eq!((&own["name"], &own["limits"]["requests_per_minute"]), (&json!("other"), &json!(7)));
        assert_eq!(own["spend"]["total"]["requests"], 0);
        assert_eq!(app.send(Call::get(path)).await.status, 401);
    }
    let refused = app.send(Call::get("/api/v1/usage").key(&app.key)).await;
    assert!(refused.status == 403 && message(&refused).contains("GET /v1/key"), "{}", refused.text());
    app.close().await;
}

#[tokio::test]
async fn unknown_prompts_do_not_load_the_database() {
    let app = TestApp::start().await;
    let other = app.new_key(&json!({"name": "other"})).await;
    let registry = fulcrum::prompts::Registry::open(app.app.db().clone()).await.unwrap();
    let author = fulcrum::prompts::Author { key_id: "beside".into(), name: "beside".into(), admin: true };
    let call = |key: &str, name: &str| Call::chat(&hello(&format!("prompt/{name}@1"))).key(key);
    for n in 0..60 {
        assert_eq!(app.send(call(&app.key, &format!("none-{n}"))).await.outcome(), "404 prompt_not_found");
    }
    let text = json!({"messages": [{"role": "user", "content": "Hi"}], "settings": {"model": "fast"}});
    let made = fulcrum::prompts::Submission::from_json(&text).unwrap();
    registry.create(&"new".parse().unwrap(), &made, &author, fulcrum::types::now()).await.unwrap();
    // The key that asked for so many names waits for the clock, which does not tick here; others do not.
    assert_eq!(app.send(call(&app.key, "new")).await.outcome(), "404 prompt_not_found");
    let explained = Call::post("/v1/explain", &hello("prompt/new@1"));
    assert_eq!(app.send(explained.key(&other)).await.status, 200);
    assert_eq!(app.send(call(&app.key, "new")).await.status, 200, "it is known now");
    app.close().await;
}

#[tokio::test]
async fn what_is_not_there_names_what_is_near() {
    let app = TestApp::start().await;
    let made = app.admin(Call::post(
        "/api/v1/prompts",
        &json!({"name": "greeter", "messages": [{"role": "user",
        "content": "Hello {{ name }}"}], "variables": {"name": {"type": "string"}}, "settings": {"model": "fast"}}),
    ));
    assert_eq!(made.await.status, 201);
    let narrow = app.new_key(&json!({"name": "narrow", "models": ["fastt", "prompt/greter"]})).await;
    let chat = |body: &Value| Call::chat(body).key(&app.key);
    for (call, words) in [
        (chat(&hello("fats")), "did you mean `fast`?"),
        (chat(&hello("upp/gpt-x")), "did you mean `up/gpt-x`?"),
        (chat(&hello("prompt/greter")), "did you mean `prompt/greeter`?"),
        (chat(&hello("prompt/greeter")), "call `prompt/greeter@1`"),
        (chat(&hello("prompt/greeter@9")), "its newest is 1"),
        (chat(&json!({"model": "prompt/greeter@1", "variables": {"name": "x"}})), "`variables` stand in `prompt`"),
        (Call::post("/v1/moderations", &json!({"input": "x"})).key(&app.key), "that names no model asks for this one"),
        (Call::get("/v1/models/fats").key(&app.key), "did you mean `fast`?"),
        (Call::get("/api/v1/prompts/greter").key(ADMIN), "did you mean `greeter`?"),
        (Call::get("/api/v1/prompts/greter/versions/1").key(ADMIN), "did you mean `greeter`?"),
        (Call::post("/api/v1/prompts/greter/render", &json!({})).key(ADMIN), "did you mean `greeter`?"),
        (Call::new("DELETE", "/api/v1/prompts/greter/labels/production", "").key(ADMIN), "did you mean `greeter`?"),
        (Call::get("/api/v1/keys/callr").key(ADMIN), "the key named caller?"),
        (Call::get("/api/v1/keys/caller").key(ADMIN), "the key of that name has the id"),
        (Call::post("/chat/completions", &hello("fast")).key(&app.key), "with /v1, once"),
        (Call::post("/v1/v1/messages", &json!({})).key(&app.key), "without /v1."),
        (Call::post("/v1beta/v1beta/models/fast:generateContent", &json!({})).key(&app.key), "without /v1 and /v1beta"),
        (Call::get("/api/v1/promts").key(ADMIN), "did you mean `/api/v1/prompts`?"),
    ] {
        let answer = app.send(call.clone()).await;
        assert!((400..=404).contains(&answer.status), "{}", answer.text());
        assert!(message(&answer).contains(words), "{} {}: {}", call.method, call.path, answer.text());
    }
    for model in ["fastt", "prompt/greter"] {
        let answer = app.send(Call::chat(&hello(model)).key(&narrow)).await;
        assert!(
            answer.status == 404 && !message(&answer).contains("did you mean"),
            "a forbidden name: {}",
            answer.text()
        );
    }
    app.close().await;
}

#[tokio::test]
async fn pages_may_call_where_the_configuration_names_their_origin() {
    const APP: &str = "https://app.example";
    let app = TestApp::with("[server]\ncors = [\"https://app.example\"]\n").await;
    let ask = |path: &str, origin: &str| {
        Call::new("OPTIONS", path, "")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,x-stainless-os")
    };
    for path in
        ["/v1/chat/completions", "/v1/models", "/api/v1/keys", "/v1beta/models/m:generateContent", "/health/live"]
    {
        let answer = app.send(ask(path, APP)).await;
        assert_eq!((answer.status, answer.body.len()), (204, 0), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), Some(APP));
        assert_eq!(answer.header("access-control-allow-headers"), Some("authorization,x-stainless-os"));
        assert!(answer.header("access-control-allow-methods").is_some_and(|methods| methods.contains("DELETE")));
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        let answer = app.send(ask(path, "https://evil.example")).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (403, None), "{path}");
    }
    app.up.next(Script::stream(EVENTS));
    for (status, call) in [
        (200, Call::chat(&streamed(hello("fast"))).key(&app.key)),
        (200, Call::chat(&hello("fast")).key(&app.key)),
        (401, Call::chat(&hello("fast"))),
        (200, Call::get("/api/v1/usage").key(ADMIN)),
        (404, Call::get("/nothing")),
    ] {
        let answer = app.send(call.clone().header("origin", APP)).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (status, Some(APP)), "{}", call.path);
        let exposed = answer.header("access-control-expose-headers").unwrap();
        assert!(exposed.contains("x-request-id") && exposed.contains("x-fulcrum-cost-usd"));
        assert!(answer.headers.iter().any(|(name, value)| name == "vary" && value == "origin"));
        let answer = app.send(call.clone().header("origin", "https://evil.example")).await;
        assert_eq!(answer.header("access-control-allow-origin"), None, "{}", call.path);
    }
    assert_eq!(app.send(Call::chat(&hello("fast")).key(&app.key)).await.header("vary"), None, "no page");
    app.reload("[server]\ncors = \"*\"\n").await;
    let answer = app.send(Call::get("/v1/models").key(&app.key).header("origin", "null")).await;
    assert_eq!((answer.header("access-control-allow-origin"), answer.header("vary")), (Some("*"), None));
    app.reload("").await;
    for (path, allowed) in [
        ("/v1/chat/completions", "POST"),
        ("/v1/models", "GET,HEAD"),
        ("/v1/models/fast", "GET,HEAD,POST"),
        ("/api/v1/keys/x", "GET,HEAD,PATCH,DELETE"),
        ("/v1beta/models/m:generateContent", "GET,HEAD,POST"),
    ] {
        let answer = app.send(ask(path, APP)).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (405, None), "off by default");
        assert_eq!(answer.header("allow"), Some(allowed), "{path}");
        assert!(answer.text().contains("[server] cors"), "{path}: {}", answer.text());
    }
    let answer = app.send(Call::get("/v1/chat/completions").key(&app.key)).await;
    assert!(answer.status == 405 && !answer.text().contains("cors"), "{}", answer.text());
    app.close().await;
}
