//! A provider that fails before its answer begins, or answers what is none.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::app::{OTHER_KEY, TestApp, UP_KEY, contains, hello};
use crate::client::{Answer, Call, Open};
use crate::dialects::{CLIENTS, PROVIDERS, call};
use crate::upstream::{EVENTS, Script, WHOLE};

/// What an attempt's row says.
fn attempt(row: &Value, n: usize) -> String {
    let attempt = &row["attempts"][n];
    let status = attempt["http_status"].as_u64().map_or("-".to_owned(), |status| status.to_string());
    let text = |name: &str| attempt[name].as_str().unwrap_or("-").to_owned();
    format!("{} {status} {} {}", text("provider"), text("status"), text("error_code"))
}

async fn refused(app: &TestApp, answer: &Answer, counts: &str) -> Value {
    assert_eq!(answer.outcome(), counts, "{}", answer.text());
    let row = app.row(answer.id()).await;
    assert_eq!(row["status"], "error");
    assert_eq!(row["error_code"], answer.code());
    assert_eq!(row["http_status"], answer.status);
    row
}

#[tokio::test]
async fn a_refused_connection_is_502_and_costs_nothing() {
    let app = TestApp::start().await;
    let row = refused(&app, &app.hello("dead/x").await, "502 upstream_connect").await;
    assert_eq!(attempt(&row, 0), "dead - error upstream_connect");
    assert_eq!(row["attempts"][0]["cost_usd"], "0");
    app.close().await;
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_502() {
    let app = TestApp::start().await;
    refused(&app, &app.hello("nowhere/x").await, "502 upstream_connect").await;
    app.close().await;
}

#[tokio::test]
async fn a_refused_connection_goes_on_to_the_fallback() {
    let app = TestApp::with(
        "[[routes]]\nname = \"r\"\ntargets = [{ model = \"dead/x\" }]\nfallbacks = [\"spare\"]\nretries = 0\n",
    )
    .await;
    let answer = app.hello("any").await;
    assert_eq!((answer.status, answer.header("x-fulcrum-model")), (200, Some("other/spare-x")));
    assert_eq!(answer.header("x-fulcrum-attempts"), Some("2"));
    let row = app.row(answer.id()).await;
    assert_eq!(attempt(&row, 0), "dead - error upstream_connect");
    assert_eq!(attempt(&row, 1), "other 200 ok -");
    assert_eq!(row["cost_usd"], row["attempts"][1]["cost_usd"]);
    app.close().await;
}

#[tokio::test]
async fn a_provider_that_never_begins_is_504() {
    let app = TestApp::start().await;
    app.up.next(Script::default().stall());
    let row = refused(&app, &app.hello("hasty/x").await, "504 upstream_timeout").await;
    assert_eq!(attempt(&row, 0), "hasty - unknown upstream_timeout");
    app.up.until("the gateway hangs up", |received| received[0].closed).await;
    app.close().await;
}

#[tokio::test]
async fn headers_that_trickle_are_504() {
    let app = TestApp::start().await;
    app.up.next(
        Script::default().drip("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n", Duration::from_millis(50)),
    );
    refused(&app, &app.hello("hasty/x").await, "504 upstream_timeout").await;
    app.close().await;
}

#[tokio::test]
async fn a_body_that_trickles_is_504_by_the_total_limit() {
    let app = TestApp::start().await;
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", WHOLE.len());
    app.up.next(Script::raw(head).drip(WHOLE, Duration::from_millis(50)));
    refused(&app, &app.hello("hasty/x").await, "504 upstream_timeout").await;
    app.close().await;
}

#[tokio::test]
async fn a_body_that_stalls_is_504() {
    let app = TestApp::start().await;
    app.up.next(Script::raw("HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"choices\":").stall());
    refused(&app, &app.hello("hasty/x").await, "504 upstream_timeout").await;
    app.close().await;
}

#[tokio::test]
async fn the_callers_own_limit_is_408() {
    let app = TestApp::start().await;
    app.up.next(Script::default().stall());
    let answer = app.send(Call::chat(&hello("fast")).key(&app.key).header("x-fulcrum-timeout", "100ms")).await;
    refused(&app, &answer, "408 request_timeout").await;
    app.close().await;
}

#[tokio::test]
async fn a_reset_before_the_head_is_502() {
    let app = TestApp::start().await;
    app.up.next(Script::default().reset());
    let row = refused(&app, &app.hello("fast").await, "502 upstream_protocol").await;
    assert_eq!(attempt(&row, 0), "up - unknown upstream_protocol");
    app.close().await;
}

#[tokio::test]
async fn what_is_no_answer_is_502() {
    let app = TestApp::start().await;
    let html = "content-type: text/html\r\n";
    let json = "content-type: application/json\r\n";
    for (name, script) in [
        ("no HTTP", Script::raw("SSH-2.0-OpenSSH_9.6\r\n\r\n").fin()),
        ("HTML", Script::reply(200, html, "<html>It works!</html>")),
        ("truncated JSON", Script::reply(200, json, &WHOLE[..100])),
        ("an empty body", Script::reply(200, json, "")),
        ("no choices", Script::reply(200, json, "{}")),
        ("a list", Script::reply(200, json, "[]")),
        ("a short body", Script::raw("HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{").fin()),
        ("a stream", Script::stream(EVENTS)),
    ] {
        app.up.next(script);
        let answer = app.hello("fast").await;
        assert_eq!(answer.outcome(), "502 upstream_protocol", "{name}: {}", answer.text());
        // Five faults in a row would cool the target.
        assert_eq!(app.hello("fast").await.status, 200, "{name}");
    }
    app.close().await;
}

#[tokio::test]
async fn a_redirect_is_never_followed() {
    let app = TestApp::start().await;
    for status in [301, 302, 303, 307, 308] {
        let location = format!("location: http://{}/v1/chat/completions\r\n", app.other.address);
        app.up.next(Script::reply(status, &location, ""));
        let answer = app.hello("fast").await;
        assert_eq!(answer.outcome(), "502 upstream_protocol");
        assert!(answer.header("location").is_none() && !answer.text().contains(&app.other.address.to_string()));
        assert_eq!(app.hello("fast").await.status, 200);
    }
    assert_eq!(app.other.count(), 0);
    app.close().await;
}

#[tokio::test]
async fn a_providers_401_is_502_upstream_auth() {
    let app = TestApp::start().await;
    app.up.next(Script::error(401, &format!("Incorrect API key provided: {UP_KEY}")));
    let answer = app.hello("fast").await;
    let row = refused(&app, &answer, "502 upstream_auth").await;
    assert_eq!(attempt(&row, 0), "up 401 error upstream_auth");
    assert!(!contains(&answer.body, "canary"));
    app.close().await;
}

#[tokio::test]
async fn a_refused_key_gives_way_to_the_next() {
    let app = TestApp::start().await;
    app.up.next(Script::error(401, "no"));
    let answer = app.hello("pair/gpt-x").await;
    assert_eq!((answer.status, answer.header("x-fulcrum-attempts")), (200, Some("2")));
    assert_eq!(app.hello("pair/gpt-x").await.status, 200);
    let keys: Vec<_> =
        app.up.received().iter().map(|received| received.header("authorization").unwrap().to_owned()).collect();
    assert_eq!(keys.len(), 3);
    assert!(keys[0] != keys[1] && keys[1] == keys[2], "the refused key rests");
    assert!(keys.iter().all(|key| key.contains(UP_KEY) || key.contains(OTHER_KEY)));
    app.close().await;
}

#[tokio::test]
async fn a_providers_400_keeps_its_status_and_message_without_the_key() {
    let app = TestApp::start().await;
    let body = json!({"error": {"message": format!("bad value; you sent {UP_KEY}"), "type": "x", "param": "top_k",
        "code": "bad_top_k"}});
    app.up.next(Script::json(400, body.to_string()));
    let answer = app.hello("fast").await;
    assert_eq!(answer.outcome(), "400 bad_top_k");
    assert_eq!(answer.param(), "top_k");
    assert_eq!(answer.json()["error"]["message"], "bad value; you sent [removed]");
    assert_eq!(app.up.count(), 1, "a 4xx is not retried");
    app.up.next(Script::json(400, json!({"error": {"message": "m", "param": UP_KEY, "code": UP_KEY}}).to_string()));
    let answer = app.hello("fast").await;
    assert!(!contains(&answer.body, "canary"), "{}", answer.text());
    app.close().await;
}

#[tokio::test]
async fn a_context_that_is_too_long_has_its_own_code() {
    let app = TestApp::start().await;
    app.up.next(Script::json(400, r#"{"error":{"message":"too long","code":"context_length_exceeded"}}"#));
    assert_eq!(app.hello("fast").await.outcome(), "400 context_length_exceeded");
    app.close().await;
}

#[tokio::test]
async fn a_providers_error_of_any_shape_has_the_shape_of_openais() {
    let app = TestApp::start().await;
    for (script, status, message) in [
        (Script::reply(422, "", "<html>"), 422, "status 422"),
        (Script::json(418, r#"{"detail":"short and stout"}"#), 418, "short and stout"),
        (Script::json(404, r#"{"error":"no such model"}"#), 404, "up/gpt-x answered 404: no such model"),
        (Script::json(400, r#"{"error":{"message":"","code":7}}"#), 400, "status 400"),
    ] {
        app.up.next(script);
        let answer = app.hello("fast").await;
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(answer.json()["error"]["message"], message);
        for field in ["message", "type", "param", "code"] {
            assert!(answer.json()["error"].get(field).is_some(), "{field}");
        }
    }
    app.close().await;
}

#[tokio::test]
async fn an_endless_error_body_is_cut() {
    let app = TestApp::start().await;
    let head = "HTTP/1.1 500 X\r\ntransfer-encoding: chunked\r\n\r\n";
    app.up.next(Script::raw(head).repeat_chunk(&[b'x'; 8192]));
    assert_eq!(app.hello("fast").await.outcome(), "500 upstream_error");
    app.up.until("it is cut off", |received| received[0].closed).await;
    app.close().await;
}

#[tokio::test]
async fn an_endless_body_is_cut() {
    let app = TestApp::start().await;
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    app.up.next(Script::raw(head).repeat_chunk(&[b' '; 65_536]));
    assert_eq!(app.hello("fast").await.outcome(), "502 upstream_protocol");
    app.up.until("it is cut off", |received| received[0].closed).await;
    app.close().await;
}

#[tokio::test]
async fn a_gzip_body_is_never_inflated() {
    let app = TestApp::start().await;
    // The smallest gzip of nothing; what matters is that it is not read as gzip.
    let gzip = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00";
    app.up.next(Script::reply(200, "content-type: application/json\r\ncontent-encoding: gzip\r\n", gzip));
    assert_eq!(app.hello("fast").await.outcome(), "502 upstream_protocol");
    assert_eq!(app.up.only().header("accept-encoding"), None);
    app.close().await;
}

#[tokio::test]
async fn a_full_provider_is_503_and_nothing_is_sent() {
    let app = TestApp::start().await;
    let gate: Arc<Semaphore> = Semaphore::new(0).into();
    app.up.next(Script::default().gate(&gate).then(Script::json(200, WHOLE)));
    let first = tokio::spawn(Open::of_call(app.address, Call::chat(&hello("narrow/x")).key(&app.key)));
    app.up.until("the first call is under way", |received| received.len() == 1).await;
    let row = refused(&app, &app.hello("narrow/x").await, "503 overloaded").await;
    assert_eq!(attempt(&row, 0), "narrow - error overloaded");
    gate.add_permits(1);
    assert_eq!(first.await.unwrap().status, 200);
    app.close().await;
}

#[tokio::test]
async fn answers_with_headers_of_their_own_lose_them() {
    let app = TestApp::start().await;
    let headers = "content-type: application/json\r\nset-cookie: a=b\r\nx-api-key: sk-up\r\nopenai-organization: o\r\n\
        authorization: Bearer x\r\nserver: nginx\r\nx-request-id: 7\r\nvia: 1.1 x\r\nx-ratelimit-limit-requests: 1\r\n\
        x-fulcrum-route: forged\r\n";
    app.up.next(Script::reply(200, headers, WHOLE));
    let answer = app.hello("fast").await;
    let mut names: Vec<_> = answer.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "connection",
            "content-length",
            "content-type",
            "date",
            "x-fulcrum-attempts",
            "x-fulcrum-cost-usd",
            "x-fulcrum-model",
            "x-fulcrum-request-id",
            "x-request-id",
        ]
    );
    assert_eq!(answer.header("x-request-id"), Some(answer.id()), "the gateway's id, not the provider's");
    app.close().await;
}

/// Usage as the row of a whole answer with this `usage` shows it.
async fn counted(app: &TestApp, usage: &str) -> (Value, Value, Value) {
    let body = WHOLE.replace(r#"{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}"#, usage);
    app.up.next(Script::json(200, &body));
    let answer = app.hello("fast").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.text(), body, "the answer passes as it came");
    let row = app.row(answer.id()).await;
    assert_eq!(row["status"], "ok");
    (row["input_tokens"].clone(), row["output_tokens"].clone(), row["estimated"].clone())
}

#[tokio::test]
async fn usage_is_counted_as_told() {
    let app = TestApp::start().await;
    let counts = counted(&app, r#"{"prompt_tokens":9,"completion_tokens":3}"#).await;
    assert_eq!(counts, (json!(9), json!(3), json!(false)));
    let zero = counted(&app, r#"{"prompt_tokens":0,"completion_tokens":0}"#).await;
    assert_eq!(zero, (json!(0), json!(0), json!(false)), "an explicit zero stays");
    let whole = counted(&app, r#"{"prompt_tokens":9.0,"completion_tokens":3e0}"#).await;
    assert_eq!(whole, (json!(9), json!(3), json!(false)));
    app.close().await;
}

#[tokio::test]
async fn usage_that_is_missing_or_cannot_be_true_is_estimated_and_flagged() {
    let app = TestApp::start().await;
    for usage in [
        "null",
        "{}",
        "[]",
        "\"many\"",
        r#"{"prompt_tokens":-5,"completion_tokens":3}"#,
        r#"{"prompt_tokens":9,"completion_tokens":-1}"#,
        r#"{"prompt_tokens":9223372036854775807,"completion_tokens":3}"#,
        r#"{"prompt_tokens":1e300,"completion_tokens":3}"#,
    ] {
        let (input, output, estimated) = counted(&app, usage).await;
        assert!(input.as_u64().unwrap() > 0 && output.as_u64().unwrap() > 0, "{usage}");
        assert!(input.as_u64().unwrap() < 1_000 && output.as_u64().unwrap() < 1_000, "{usage}");
        assert_eq!(estimated, true, "{usage}");
    }
    app.close().await;
}

#[tokio::test]
async fn more_cached_tokens_than_there_are_make_an_estimate_in_every_dialect() {
    let app = TestApp::with(PROVIDERS).await;
    for (model, body) in [
        (
            "plain/m",
            json!({"choices": [{"message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12, "prompt_tokens_details": {"cached_tokens": 50}}}),
        ),
        (
            "answers/m",
            json!({"status": "completed", "output": [], "usage": {"input_tokens": 9, "output_tokens": 3, "total_tokens": 12,
            "input_tokens_details": {"cached_tokens": 50}}}),
        ),
        (
            "gem/m",
            json!({"candidates": [{"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 3, "cachedContentTokenCount": 50}}),
        ),
    ] {
        for client in CLIENTS {
            app.up.next(Script::json(200, body.to_string()));
            let answer = app.send(call(client, model, false).key(&app.key)).await;
            let row = app.row(answer.id()).await;
            let seen = [&row["input_tokens"], &row["cached_input_tokens"], &row["output_tokens"], &row["estimated"]];
            assert_eq!(seen, [&json!(9), &json!(9), &json!(3), &json!(true)], "{client} {model}: {row}");
        }
    }
    app.close().await;
}

#[tokio::test]
async fn cached_and_reasoning_tokens_are_priced_apart() {
    let app = TestApp::start().await;
    let usage = r#"{"prompt_tokens":1000,"completion_tokens":100,"prompt_tokens_details":{"cached_tokens":400},"completion_tokens_details":{"reasoning_tokens":60}}"#;
    let body = WHOLE.replace(r#"{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}"#, usage);
    app.up.next(Script::json(200, body));
    let answer = app.hello("fast").await;
    // 600 at $1, 400 at $0.50 and 100 at $2 a million.
    assert_eq!(answer.header("x-fulcrum-cost-usd"), Some("0.001"));
    let row = app.row(answer.id()).await;
    assert_eq!((&row["cached_input_tokens"], &row["reasoning_tokens"]), (&json!(400), &json!(60)));
    assert_eq!(row["cost_usd"], "0.001");
    app.close().await;
}

#[tokio::test]
async fn an_unknown_price_is_null_and_counted() {
    let app = TestApp::start().await;
    let answer = app.hello("up/nobody-priced-this").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-fulcrum-cost-usd"), None);
    assert_eq!(app.row(answer.id()).await["cost_usd"], Value::Null);
    let total = app.admin(Call::get("/api/v1/usage")).await.json()["total"].clone();
    assert_eq!(total["unpriced_requests"], 1);
    app.close().await;
}
