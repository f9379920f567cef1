//! Requests that are refused: in OpenAI's shape, with the field at fault, and nothing sent.

use serde_json::{Value, json};

use crate::app::{TestApp, hello};
use crate::client::{Answer, Call};

async fn raw(app: &TestApp, body: impl Into<::bytes::Bytes>) -> Answer {
    app.send(Call::new("POST", "/v1/chat/completions", body).key(&app.key)).await
}

#[tokio::test]
async fn every_field_refuses_junk_by_name_or_passes_it_on() {
    let app = TestApp::start().await;
    let fields = [
        "model",
        "messages",
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "metadata",
        "n",
        "parallel_tool_calls",
        "presence_penalty",
        "response_format",
        "seed",
        "stop",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
        "prompt",
    ];
    for field in fields {
        for junk in [json!(null), json!([]), json!({}), json!(-1), json!(1e99), json!(""), json!([[]]), json!("\u{0}")]
        {
            let mut body = hello("fast");
            body[field] = junk.clone();
            let before = app.up.count();
            let answer = app.chat(&body).await;
            match answer.status {
                200 => assert_eq!(app.up.count(), before + 1),
                status => {
                    assert!(status == 400 || (status == 404 && field == "model"), "{field} {junk}: {}", answer.text());
                    let param = answer.param();
                    assert!(param.starts_with(field), "{field} {junk} is reported as `{param}`: {}", answer.text());
                    assert_eq!(app.up.count(), before, "{field} {junk} went out");
                }
            }
        }
    }
    app.close().await;
}

#[tokio::test]
async fn an_error_has_openais_shape_and_a_row() {
    let app = TestApp::start().await;
    let mut body = hello("fast");
    body["temperature"] = json!(9);
    let answer = app.chat(&body).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let error = answer.json()["error"].clone();
    assert_eq!((&error["type"], &error["param"]), (&json!("invalid_request_error"), &json!("temperature")));
    assert_eq!(error["code"], "invalid_request");
    assert_eq!(error.as_object().unwrap().len(), 4);
    let row = app.row(answer.id()).await;
    assert_eq!((&row["status"], &row["http_status"], &row["cost_usd"]), (&json!("error"), &json!(400), &json!("0")));
    app.close().await;
}

#[tokio::test]
async fn a_body_that_is_no_object_is_400() {
    let app = TestApp::start().await;
    let deep_list = format!("{{\"model\":\"fast\",\"messages\":{}{}}}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    let deep_object = format!("{{\"model\":\"fast\",\"x\":{}1{}}}", "{\"a\":".repeat(1_000_000), "}".repeat(1_000_000));
    let open = "[".repeat(1_000_000);
    for (name, body) in [
        ("nothing", Vec::new()),
        ("a list", b"[]".to_vec()),
        ("a text", b"\"x\"".to_vec()),
        ("half an object", b"{\"model\":\"fast\"".to_vec()),
        ("trailing garbage", format!("{} x", hello("fast")).into_bytes()),
        ("two objects", format!("{}{}", hello("fast"), hello("fast")).into_bytes()),
        ("invalid UTF-8", b"{\"model\":\"fast\",\"messages\":[{\"role\":\"user\",\"content\":\"\xff\"}]}".to_vec()),
        ("a lone surrogate", br#"{"model":"fast","messages":[{"role":"user","content":"\ud800"}]}"#.to_vec()),
        ("a raw NUL", b"{\"model\":\"fast\",\"messages\":[{\"role\":\"user\",\"content\":\"\0\"}]}".to_vec()),
        ("a field twice", br#"{"model":"fast","model":"spare","messages":[{"role":"user","content":"x"}]}"#.to_vec()),
        ("an escaped name", br#"{"mod\u0065l":"fast","messages":[{"role":"user","content":"x"}]}"#.to_vec()),
        ("NaN", br#"{"model":"fast","temperature":NaN,"messages":[{"role":"user","content":"x"}]}"#.to_vec()),
        ("a million lists", deep_list.into_bytes()),
        ("a million objects", deep_object.into_bytes()),
        ("a million open lists", open.into_bytes()),
        ("a byte order mark", format!("\u{feff}{}", hello("fast")).into_bytes()),
    ] {
        let answer = raw(&app, body).await;
        assert_eq!(answer.outcome(), "400 invalid_request", "{name}: {}", answer.text());
        assert!(answer.body.len() < 2_000, "{name}: the answer repeats the question");
    }
    assert_eq!(app.up.count(), 0);
    app.close().await;
}

#[tokio::test]
async fn a_message_at_fault_is_named_by_its_place() {
    let app = TestApp::start().await;
    let too_many: Vec<Value> = (0..10_001).map(|_| json!({"role": "user", "content": "x"})).collect();
    for (messages, param) in [
        (json!([{"role": "robot", "content": "x"}]), "messages[0].role"),
        (json!([{"role": "user", "content": "x"}, {"role": "user"}]), "messages[1].content"),
        (json!([1]), "messages[0]"),
        (json!(too_many), "messages"),
    ] {
        let answer = app.chat(&json!({"model": "fast", "messages": messages})).await;
        assert_eq!((answer.outcome().as_str(), answer.param().as_str()), ("400 invalid_request", param));
    }
    assert_eq!(app.up.count(), 0);
    app.close().await;
}

#[tokio::test]
async fn a_nul_in_an_escape_is_text() {
    let app = TestApp::start().await;
    let body = br#"{"model":"fast","messages":[{"role":"user","content":"a\u0000b"}],"user":"u\u0000v"}"#.to_vec();
    let answer = raw(&app, body).await;
    assert_eq!(answer.status, 200);
    app.row(answer.id()).await;
    app.close().await;
}

#[tokio::test]
async fn a_body_that_is_not_plain_json_is_415() {
    let app = TestApp::start().await;
    for (name, value) in [
        ("content-type", "text/plain"),
        ("content-type", "multipart/form-data; boundary=x"),
        ("content-encoding", "gzip"),
    ] {
        let call = Call::chat(&hello("fast")).key(&app.key).header(name, value);
        assert_eq!(app.send(call).await.outcome(), "415 unsupported_media_type", "{name}: {value}");
    }
    let call = Call::chat(&hello("fast")).key(&app.key).header("content-type", "Application/JSON; charset=utf-8");
    assert_eq!(app.send(call).await.status, 200);
    app.close().await;
}

#[tokio::test]
async fn headers_that_say_nothing_good_are_400_and_named() {
    let app = TestApp::start().await;
    for (name, value) in [
        ("x-fulcrum-tags", "novalue"),
        ("x-fulcrum-tags", "a=1,a=2"),
        ("x-fulcrum-timeout", "20"),
        ("x-fulcrum-timeout", "0s"),
        ("x-fulcrum-timeout", "-1s"),
        ("x-fulcrum-cache", "sometimes"),
        ("x-fulcrum-session", &"s".repeat(5_000)),
        ("x-fulcrum-user", "caf\u{e9}"),
    ] {
        let answer = app.send(Call::chat(&hello("fast")).key(&app.key).header(name, value)).await;
        assert_eq!((answer.outcome().as_str(), answer.param().as_str()), ("400 invalid_request", name), "{value:.40}");
    }
    assert_eq!(app.up.count(), 0);
    app.close().await;
}

#[tokio::test]
async fn paths_are_taken_as_they_are() {
    let app = TestApp::start().await;
    for path in [
        "//v1/chat/completions",
        "/v1/../v1/chat/completions",
        "/v1/%2e%2e/v1/chat/completions",
        "/v1/chat/completions/",
        "/V1/chat/completions",
        "/v1/chat%2fcompletions",
        "//api/v1/keys",
        "/v1/../api/v1/keys",
        "/nothing",
    ] {
        let answer = app.send(Call::new("POST", path, hello("fast").to_string()).key(&app.key)).await;
        assert_eq!(answer.outcome(), "404 not_found", "{path}");
    }
    let answer = app.send(Call::get("/v1/chat/completions").key(&app.key)).await;
    assert_eq!(answer.outcome(), "405 method_not_allowed");
    assert_eq!(app.up.count(), 0);
    app.close().await;
}

#[tokio::test]
async fn every_answer_names_its_request() {
    let app = TestApp::start().await;
    for call in [
        Call::get("/v1/models"),
        Call::get("/v1/models/fast"),
        Call::get("/v1/models/nope"),
        Call::post("/v1/explain", &hello("fast")),
        Call::get("/api/v1/usage"),
        Call::get("/nothing"),
        Call::chat(&json!({})),
    ] {
        let answer = app.admin(call.clone()).await;
        assert!(answer.header("x-fulcrum-request-id").is_some(), "{} {} names none", call.method, call.path);
    }
    app.close().await;
}

#[tokio::test]
async fn models_are_listed_as_openai_lists_them() {
    let app = TestApp::start().await;
    let list = app.send(Call::get("/v1/models").key(&app.key)).await.json();
    assert_eq!(list["object"], "list");
    let ids: Vec<_> = list["data"].as_array().unwrap().iter().map(|card| card["id"].as_str().unwrap()).collect();
    assert!(ids.contains(&"fast") && ids.contains(&"spare"), "{ids:?}");
    let card = app.send(Call::get("/v1/models/fast").key(&app.key)).await.json();
    assert_eq!((&card["object"], &card["fulcrum"]["provider"]), (&json!("model"), &json!("up")));
    assert_eq!(app.send(Call::get("/v1/models/nope").key(&app.key)).await.outcome(), "404 model_not_found");
    app.close().await;
}
