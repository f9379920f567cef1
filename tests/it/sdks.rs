//! What the SDKs of OpenAI, Anthropic and Google read beside an answer: the request's id, whether to retry, and errors in the
//! shape of their own vendor, wherever they call.

use serde_json::{Value, json};

use crate::app::{ADMIN, TestApp, hello, streamed};
use crate::client::{Answer, Call};
use crate::upstream::{EVENTS, Script};

/// A call of each dialect's own, with the header that its SDK sends.
fn messages(body: &Value) -> Call {
    Call::post("/v1/messages", body).header("anthropic-version", "2023-06-01")
}

fn conversation(model: &str) -> Value {
    json!({"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "Say hello"}]})
}

fn contents() -> Value {
    json!({"contents": [{"role": "user", "parts": [{"text": "Say hello"}]}]})
}

/// The name of the dialect that an error is written in.
fn shape(answer: &Answer) -> &'static str {
    let body = answer.json();
    match (&body["type"], &body["error"]["status"]) {
        (Value::String(kind), _) if kind == "error" => "anthropic",
        (_, Value::String(_)) => "gemini",
        _ if body["error"]["code"].is_string() => "openai",
        _ => panic!("no dialect has {body}"),
    }
}

#[tokio::test]
async fn every_answer_has_its_id_under_the_names_that_sdks_read() {
    let app = TestApp::start().await;
    app.up.next(Script::stream(EVENTS));
    let too_large = "x".repeat(app.app.max_body() + 1);
    for (status, call) in [
        (200, Call::chat(&streamed(hello("fast"))).key(&app.key)),
        (200, Call::chat(&hello("fast")).key(&app.key)),
        (400, Call::chat(&json!({})).key(&app.key)),
        (401, Call::chat(&hello("fast")).key("fk-none")),
        (401, Call::get("/v1/models")),
        (401, Call::get("/api/v1/keys")),
        (403, Call::get("/api/v1/keys").key(&app.key)),
        (404, Call::get("/nothing")),
        (404, Call::get("/api/v1/nothing").key(ADMIN)),
        (404, Call::get("/v1/models/nope").key(&app.key)),
        (405, Call::get("/v1/chat/completions").key(&app.key)),
        (405, Call::new("DELETE", "/v1/models", "")),
        (413, Call::new("POST", "/v1/chat/completions", too_large.clone()).key(&app.key)),
        (413, Call::new("POST", "/api/v1/keys", too_large.clone()).key(ADMIN)),
        (200, Call::get("/v1/models").key(&app.key)),
        (200, Call::get("/api/v1/usage").key(ADMIN)),
        (400, Call::get("/api/v1/requests?limit=x").key(ADMIN)),
        (200, Call::get("/health/live")),
        (200, Call::get("/health/ready")),
        (200, Call::get("/metrics").key(ADMIN)),
    ] {
        let call = call.header("x-request-id", "callers-own");
        let answer = app.send(call.clone()).await;
        let at = format!("{} {}", call.method, call.path);
        assert_eq!(answer.status, status, "{at}");
        let id = answer.header("x-fulcrum-request-id").unwrap_or_else(|| panic!("{at} has no id"));
        assert_eq!(answer.header("x-request-id"), Some(id), "{at}");
        assert_ne!(id, "callers-own", "{at}: a caller does not choose the ledger's id");
        assert_eq!(answer.header("request-id"), None, "{at}");
    }
    app.close().await;
}

#[tokio::test]
async fn anthropics_clients_read_the_id_under_their_own_name_too() {
    let app = TestApp::start().await;
    let claude = |call: Call| call.header("anthropic-version", "2023-06-01");
    for call in [
        messages(&conversation("fast")).key(&app.key),
        messages(&streamed(conversation("fast"))).key(&app.key),
        messages(&conversation("nope")).key(&app.key),
        messages(&conversation("fast")),
        claude(Call::get("/v1/models")).key(&app.key),
        claude(Call::get("/v1/models")),
        claude(Call::get("/v1/models/nope")).key(&app.key),
        Call::get("/v1/messages").key(&app.key),
        Call::post("/v1/messages/batches", &json!({})).key(&app.key),
        claude(Call::post("/v1/v1/messages", &json!({}))).key(&app.key),
    ] {
        if call.path == "/v1/messages" && call.method == "POST" {
            app.up.always(Script::stream(EVENTS));
        }
        let answer = app.send(call.clone()).await;
        let id = answer.header("x-fulcrum-request-id");
        assert!(id.is_some(), "{} {}", call.method, call.path);
        assert_eq!((answer.header("request-id"), answer.header("x-request-id")), (id, id), "{}", call.path);
        if answer.status >= 400 {
            assert_eq!(shape(&answer), "anthropic", "{}: {}", call.path, answer.text());
            assert_eq!(answer.json()["request_id"].as_str(), id, "{}", call.path);
        }
    }
    app.close().await;
}

#[tokio::test]
async fn an_error_has_the_callers_shape_where_no_route_of_the_dialect_is() {
    let app = TestApp::start().await;
    for (dialect, call) in [
        ("gemini", Call::post("/v1beta/models/fast:batchGenerateContent", &contents()).key(&app.key)),
        ("gemini", Call::get("/v1beta/files").key(&app.key)),
        ("gemini", Call::get("/v1beta/models/nope").header("x-goog-api-key", &app.key)),
        ("gemini", Call::get("/v1beta/models")),
        (
            "gemini",
            Call::post("/v1/v1beta/models/fast:generateContent", &contents()).header("x-goog-api-key", &app.key),
        ),
        ("gemini", Call::new("PUT", "/v1beta/models/fast:generateContent", "{}").key(&app.key)),
        ("anthropic", Call::post("/v1/messages/batches", &json!({})).header("x-api-key", &app.key)),
        ("anthropic", Call::get("/v1/models").header("anthropic-version", "2023-06-01")),
        ("anthropic", Call::new("PUT", "/v1/messages", "{}").header("x-api-key", &app.key)),
        ("anthropic", Call::post("/v1/files", &json!({})).header("anthropic-version", "2023-06-01")),
        ("openai", Call::post("/v1/chat/complete", &json!({})).key(&app.key)),
        ("openai", Call::get("/v1/batches/batch_none").key(&app.key)),
        ("openai", Call::get("/api/v1/nothing").header("x-goog-api-key", ADMIN)),
    ] {
        let answer = app.send(call.clone()).await;
        assert!(answer.status >= 400, "{} {}", call.method, call.path);
        assert_eq!(shape(&answer), dialect, "{} {}: {}", call.method, call.path, answer.text());
        assert_eq!(answer.header("content-type"), Some("application/json"), "{}", call.path);
        let length = answer.header("content-length").map(str::to_owned);
        assert_eq!(length, Some(answer.body.len().to_string()), "{}", call.path);
    }
    app.close().await;
}

#[tokio::test]
async fn a_passed_time_limit_is_not_retried_by_sdks() {
    let app = TestApp::start().await;
    app.up.always(Script::default().stall());
    let gemini = |method: &str| Call::post(&format!("/v1beta/models/fast:{method}"), &contents());
    for call in [
        Call::chat(&hello("fast")),
        Call::chat(&streamed(hello("fast"))),
        Call::post("/v1/responses", &json!({"model": "fast", "input": "hi"})),
        Call::post("/v1/embeddings", &json!({"model": "embed", "input": "hi"})),
        Call::post("/v1/moderations", &json!({"model": "fast", "input": "hi"})),
        messages(&conversation("fast")),
        messages(&streamed(conversation("fast"))),
        gemini("generateContent"),
        gemini("streamGenerateContent?alt=sse"),
    ] {
        let answer = app.send(call.clone().key(&app.key).header("x-fulcrum-timeout", "50ms")).await;
        assert_eq!((answer.status, answer.header("x-should-retry")), (408, Some("false")), "{}", call.path);
    }
    app.close().await;
}

#[tokio::test]
async fn an_error_that_a_retry_cannot_mend_says_so() {
    for (script, retry) in [
        (Script::error(401, "bad key"), Some("false")),
        (Script::error(501, "no such thing"), Some("false")),
        (Script::error(500, "oops"), None),
        (Script::throttled(""), None),
    ] {
        let app = TestApp::start().await;
        app.up.next(script);
        let answer = app.hello("fast").await;
        assert_eq!(answer.header("x-should-retry"), retry, "{}", answer.text());
        app.close().await;
    }
    let app = TestApp::with("[defaults]\nretries = 2\n").await;
    app.up.always(Script::error(501, "no such thing"));
    let answer = app.hello("fast").await;
    assert_eq!((answer.status, app.up.count()), (501, 1), "nor does Fulcrum itself");
    app.close().await;
}

#[tokio::test]
async fn googles_key_in_the_address_opens_geminis_routes_alone() {
    let app = TestApp::start().await;
    for path in ["/v1beta/models/fast:generateContent?key=", "/v1/models/fast:generateContent?alt=json&key="] {
        let answer = app.send(Call::post(&format!("{path}{}", app.key), &contents())).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }
    let stream = format!("/v1beta/models/fast:streamGenerateContent?alt=sse&key={}", app.key.replace('-', "%2D"));
    app.up.next(Script::stream(EVENTS));
    assert_eq!(app.send(Call::post(&stream, &contents())).await.status, 200);
    assert_eq!(app.send(Call::get(&format!("/v1/models?key={}", app.key))).await.status, 200);
    let answer = app.send(Call::post(&format!("/v1/chat/completions?key={}", app.key), &hello("fast"))).await;
    assert_eq!(answer.outcome(), "401 invalid_api_key");
    assert!(answer.text().contains("?key=") && !answer.text().contains(&app.key), "{}", answer.text());
    let answer = app.send(Call::get(&format!("/api/v1/usage?key={ADMIN}"))).await;
    assert_eq!(answer.outcome(), "401 invalid_api_key");
    let answer = app.send(Call::post("/v1beta/models/fast:generateContent?key=fk-wrong", &contents())).await;
    assert_eq!((answer.status, shape(&answer)), (401, "gemini"));
    app.close().await;
}
