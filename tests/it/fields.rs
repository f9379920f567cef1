//! Each field of each client's dialect with junk in it: it is refused by its name, or passed on. Never lost, never a 500.

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::client::Call;

/// What stands in a field's place.
fn junk() -> Vec<Value> {
    let values = [json!(null), json!([]), json!({}), json!(-1), json!(1e99), json!(""), json!([[]]), json!("\u{0}")];
    values.into_iter().chain([json!(true), json!({"a": {"b": []}}), json!([null])]).collect()
}

/// A route, a good body, and the fields that its dialect has.
fn dialects() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        (
            "/v1/messages",
            json!({"model": "fast", "max_tokens": 16, "messages": [{"role": "user", "content": "Say hello"}]}),
            "model max_tokens messages system stop_sequences stream temperature top_k top_p tools tool_choice \
             thinking metadata service_tier container context_management prompt",
        ),
        (
            "/v1/messages/count_tokens",
            json!({"model": "fast", "messages": [{"role": "user", "content": "Say hello"}]}),
            "model messages system tools tool_choice thinking",
        ),
        (
            "/v1/responses",
            json!({"model": "fast", "input": "Say hello"}),
            "model input instructions max_output_tokens metadata parallel_tool_calls previous_response_id \
             reasoning store stream temperature text tool_choice tools top_p truncation user include background \
             conversation prompt service_tier top_logprobs max_tool_calls stream_options",
        ),
        (
            "/v1beta/models/fast:generateContent",
            json!({"contents": [{"role": "user", "parts": [{"text": "Say hello"}]}]}),
            "contents systemInstruction tools toolConfig safetySettings generationConfig cachedContent labels",
        ),
        ("/v1/embeddings", json!({"model": "embed", "input": "x"}), "model input dimensions encoding_format user"),
    ]
}

/// A gateway whose model `translated` is always called in Chat Completions.
async fn translating() -> TestApp {
    TestApp::with(
        "[defaults]\nretries = 0\n[providers.plain]\nkind = \"openai\"\nbase_url = \"http://{up}/v1\"\n\
         api_key = \"env:UP_KEY\"\nresponses = false\n[models.translated]\nprovider = \"plain\"\nmodel = \"gpt-x\"\n",
    )
    .await
}

/// Sends a body with junk in a field.
async fn refuses_or_passes(app: &TestApp, path: &str, good: &Value, field: &str, junk: &Value) {
    let mut body = good.clone();
    body[field] = junk.clone();
    let before = app.up.count();
    let answer = app.send(Call::post(path, &body).key(&app.key)).await;
    let described = format!("{path} {field} = {junk}: {} {}", answer.status, answer.text());
    match answer.status {
        200 => {}
        400 => {
            let error = answer.json()["error"].clone();
            assert!(error.to_string().contains(field), "{described}");
            assert_eq!(app.up.count(), before, "it went out: {described}");
        }
        404 => assert_eq!(field, "model", "{described}"),
        _ => panic!("{described}"),
    }
}

#[tokio::test]
async fn every_field_of_every_dialect_refuses_junk_by_name_or_passes_it_on() {
    let app = translating().await;
    for (path, good, fields) in dialects() {
        let (path, mut good) = (path.replace("fast", "translated"), good);
        if good["model"] == "fast" {
            good["model"] = "translated".into();
        }
        let fine = app.send(Call::post(&path, &good).key(&app.key)).await;
        assert_eq!(fine.status, 200, "{path}: {}", fine.text());
        for field in fields.split(' ') {
            for junk in junk() {
                refuses_or_passes(&app, &path, &good, field, &junk).await;
            }
        }
    }
    app.close().await;
}

#[tokio::test]
async fn a_nested_field_with_junk_is_refused_by_its_place_in_every_dialect() {
    let app = translating().await;
    for (path, body, place) in [
        (
            "/v1/messages",
            json!({"model": "translated", "max_tokens": 9, "messages": [{"role": "robot", "content": "x"}]}),
            "messages",
        ),
        (
            "/v1/messages",
            json!({"model": "translated", "max_tokens": 9, "messages": [{"role": "user", "content": [{"type": 3}]}]}),
            "content",
        ),
        (
            "/v1/messages",
            json!({"model": "translated", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}], "tools": [{"name": 1}]}),
            "tools",
        ),
        (
            "/v1/responses",
            json!({"model": "translated", "input": [{"role": "user", "content": [{"type": "input_text", "text": 7}]}]}),
            "input",
        ),
        ("/v1/responses", json!({"model": "translated", "input": [3]}), "input"),
        (
            "/v1beta/models/translated:generateContent",
            json!({"contents": [{"role": "user", "parts": [{"text": []}]}]}),
            "contents",
        ),
        (
            "/v1beta/models/translated:generateContent",
            json!({"contents": [{"role": "user", "parts": [{"text": "x"}]}], "generationConfig": {"temperature": "hot"}}),
            "temperature",
        ),
    ] {
        let answer = app.send(Call::post(path, &body).key(&app.key)).await;
        assert_eq!(answer.status, 400, "{path} {body}: {}", answer.text());
        assert!(answer.text().contains(place), "{path} {body}: {}", answer.text());
    }
    assert_eq!(app.up.count(), 0);
    app.close().await;
}

#[tokio::test]
async fn more_than_ten_thousand_messages_are_400_in_every_dialect() {
    let app = TestApp::start().await;
    for (path, mut body, field) in [
        ("/v1/chat/completions", json!({"model": "fast"}), "messages"),
        ("/v1/messages", json!({"model": "fast", "max_tokens": 9}), "messages"),
        ("/v1/responses", json!({"model": "fast"}), "input"),
        ("/v1beta/models/fast:generateContent", json!({}), "contents"),
    ] {
        let one = json!({"role": "user", "content": "x", "parts": [{"text": "x"}]});
        // So many that the bound on all objects of a request says no before they are counted as messages.
        for (count, bound) in [(10_001, "10000"), (100_000, "50000")] {
            body[field] = vec![one.clone(); count].into();
            let answer = app.send(Call::post(path, &body).key(&app.key)).await;
            assert_eq!(answer.status, 400, "{path}: {}", answer.text());
            assert!(answer.text().contains(bound), "{path}: {}", answer.text());
        }
    }
    assert_eq!(app.up.count(), 0);
    app.close().await;
}

#[tokio::test]
async fn no_dialect_lets_a_caller_choose_a_destination_or_a_key() {
    let app = translating().await;
    let elsewhere = format!("http://{}/v1", app.other.address);
    for (path, mut body, _) in dialects() {
        let path = path.replace("fast", "translated");
        if body["model"] == "fast" {
            body["model"] = "translated".into();
        }
        for field in ["api_base", "base_url", "api_key", "apiKey", "baseUrl", "endpoint", "host"] {
            body[field] = elsewhere.clone().into();
        }
        let call = Call::post(&path, &body).key(&app.key).header("x-api-base", &elsewhere);
        let answer = app.send(call).await;
        assert!([200, 400].contains(&answer.status), "{path}: {}", answer.text());
    }
    assert_eq!(app.other.count(), 0);
    for received in app.up.received() {
        assert!(!received.head.contains(&elsewhere), "{}", received.head);
        assert_eq!(received.header("authorization"), Some(format!("Bearer {}", crate::app::UP_KEY).as_str()));
    }
    app.close().await;
}

#[tokio::test]
async fn bodies_that_are_no_object_are_400_in_every_dialect() {
    let app = TestApp::start().await;
    let deep = format!("{{\"model\":\"fast\",\"x\":{}1{}}}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    for (path, good, _) in dialects() {
        let texts = [
            String::new(),
            "[]".to_owned(),
            "null".to_owned(),
            format!("{good} x"),
            format!("{good}{good}"),
            good.to_string().replace("Say hello", "\\ud800").replace("\"x\"", "\"\\ud800\""),
            good.to_string().replace("Say hello", "\u{0}").replace("\"x\"", "\"\u{0}\""),
            deep.clone(),
        ];
        for text in texts {
            let answer = app.send(Call::new("POST", path, text.clone()).key(&app.key)).await;
            assert_eq!(answer.status, 400, "{path} {text:.60}: {}", answer.text());
            assert!(answer.json()["error"]["message"].is_string(), "{path}: {}", answer.text());
        }
    }
    assert_eq!(app.up.count(), 0);
    app.close().await;
}
