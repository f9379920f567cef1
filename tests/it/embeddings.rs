//! Embeddings.

use serde_json::json;

use crate::app::TestApp;
use crate::client::{Answer, Call};
use crate::upstream::Script;

async fn embed(app: &TestApp, body: &serde_json::Value) -> Answer {
    app.send(Call::post("/v1/embeddings", body).key(&app.key)).await
}

#[tokio::test]
async fn embeddings_pass_and_are_counted() {
    let app = TestApp::start().await;
    let answer = embed(&app, &json!({"model": "embed", "input": ["a", "b"], "dimensions": 2})).await;
    assert_eq!((answer.status, answer.header("x-fulcrum-model")), (200, Some("up/embed-x")));
    assert_eq!(answer.json()["data"][0]["embedding"], json!([0.1, -0.2]));
    let received = app.up.only();
    assert_eq!((received.path.as_str(), &received.json()["model"]), ("/v1/embeddings", &json!("embed-x")));
    let row = app.row(answer.id()).await;
    assert_eq!((&row["endpoint"], &row["input_tokens"]), (&json!("/v1/embeddings"), &json!(4)));
    app.close().await;
}

#[tokio::test]
async fn bad_embedding_requests_are_400_and_named() {
    let app = TestApp::start().await;
    for (body, param) in [
        (json!({"model": "embed"}), "input"),
        (json!({"model": "embed", "input": []}), "input"),
        (json!({"input": "x"}), "model"),
        (json!({"model": "embed", "input": "x", "dimensions": 0}), "dimensions"),
        (json!({"model": "embed", "input": "x", "encoding_format": "int8"}), "encoding_format"),
    ] {
        let answer = embed(&app, &body).await;
        assert_eq!((answer.outcome().as_str(), answer.param().as_str()), ("400 invalid_request", param), "{body}");
    }
    assert_eq!(app.up.count(), 0);
    app.close().await;
}

#[tokio::test]
async fn an_answer_without_data_is_502() {
    let app = TestApp::start().await;
    for body in ["", "{}", "{\"data\":3}", "<html>"] {
        app.up.next(Script::json(200, body));
        assert_eq!(embed(&app, &json!({"model": "embed", "input": "x"})).await.outcome(), "502 upstream_protocol");
    }
    app.close().await;
}

#[tokio::test]
async fn an_answer_without_just_the_vectors_that_were_asked_for_is_502_and_charged_as_reported() {
    let app = TestApp::with(GEMINI).await;
    let one = r#"{"index":0,"embedding":[0.5]}"#;
    let body = |data: &[&str]| format!("{{\"data\":[{}],\"usage\":{{\"prompt_tokens\":4}}}}", data.join(","));
    let other = one.replace('0', "1");
    let call = async |model: &str| embed(&app, &json!({"model": model, "input": ["a", "b"]})).await;
    for data in [&[][..], &[one], &[one, one], &[one, &other, &other], &["3", one]] {
        app.up.next(Script::json(200, body(data)));
        let answer = call("embed").await;
        assert_eq!(answer.outcome(), "502 upstream_protocol", "{data:?}");
        let row = app.row(answer.id()).await;
        assert_eq!((&row["attempts"][0]["input_tokens"], &row["attempts"][0]["status"]), (&json!(4), &json!("error")));
    }
    app.up.next(Script::json(200, body(&[&other, one])));
    assert_eq!(call("embed").await.status, 200, "the order is the provider's");
    for count in [1, 3] {
        let values = vec![json!({"values": [0.5]}); count];
        app.up.next(Script::json(200, json!({"embeddings": values}).to_string()));
        assert_eq!(call("gem/g").await.outcome(), "502 upstream_protocol", "{count} of Gemini");
    }
    let batch = json!({"requests": [{"content": {"parts": [{"text": "a"}]}}, {"content": {"parts": [{"text": "b"}]}}]});
    for (model, answer) in [("gem%2Fg", r#"{"embeddings":[{"values":[1]}]}"#.to_owned()), ("embed", body(&[one]))] {
        app.up.next(Script::json(200, answer));
        let call = Call::post(&format!("/v1beta/models/{model}:batchEmbedContents"), &batch);
        assert_eq!(app.send(call.header("x-goog-api-key", &app.key)).await.status, 502, "{model}");
    }
    app.close().await;
}

#[tokio::test]
async fn embeddings_are_cached_apart_from_chats() {
    let app = TestApp::with("[defaults]\ncache = { mode = \"exact\", ttl = \"1h\" }\n").await;
    let body = json!({"model": "embed", "input": "x"});
    for state in ["miss", "hit"] {
        assert_eq!(embed(&app, &body).await.header("x-fulcrum-cache"), Some(state));
    }
    assert_eq!(app.up.count(), 1);
    app.close().await;
}

const FLOATS: &str = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5,-0.25]}],"model":"e","usage":{"prompt_tokens":4,"total_tokens":4}}"#;
const BASE64: &str = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":"AAAAPwAAgL4="}],"model":"e","usage":{"prompt_tokens":4,"total_tokens":4}}"#;

#[tokio::test]
async fn vectors_come_in_the_form_that_the_caller_asked_for() {
    let app = TestApp::start().await;
    for (format, body, got) in [("base64", FLOATS, BASE64), ("float", BASE64, FLOATS), ("base64", BASE64, BASE64)] {
        app.up.next(Script::json(200, body));
        let answer = embed(&app, &json!({"model": "embed", "input": "x", "encoding_format": format})).await;
        assert_eq!(answer.text(), got);
        assert_eq!(app.row(answer.id()).await["input_tokens"], 4);
    }
    app.close().await;
}

#[tokio::test]
async fn a_server_that_refuses_base64_is_asked_for_numbers_from_then_on() {
    let app = TestApp::start().await;
    let body = json!({"model": "embed", "input": "x", "encoding_format": "base64"});
    app.up.next(Script::error(400, "unknown field `encoding_format`"));
    app.up.always(Script::json(200, FLOATS));
    for attempts in ["2", "1"] {
        let answer = embed(&app, &body).await;
        assert_eq!((answer.text(), answer.header("x-fulcrum-attempts")), (BASE64, Some(attempts)));
    }
    let asked: Vec<bool> = app.up.received().iter().map(|sent| sent.json().get("encoding_format").is_some()).collect();
    assert_eq!(asked, [true, false, false]);
    app.up.next(Script::error(400, "encoding_format is wrong"));
    assert_eq!(embed(&app, &body).await.outcome(), "400 upstream_error");
    app.close().await;
}

const GEMINI: &str = r#"
[defaults]
retries = 0
[providers.gem]
kind = "gemini"
base_url = "http://{up}"
api_key = "env:UP_KEY"
[providers.claude]
kind = "anthropic"
base_url = "http://{up}"
api_key = "env:UP_KEY"
"#;

#[tokio::test]
async fn openais_embeddings_are_asked_of_gemini_and_told_as_openais() {
    let app = TestApp::with(GEMINI).await;
    app.up.always(Script::json(200, r#"{"embeddings":[{"values":[0.5,-0.25]},{"values":[1]}]}"#));
    let body = json!({"model": "gem/g", "input": ["a", "b"], "dimensions": 2, "encoding_format": "base64"});
    let answer = embed(&app, &body).await;
    let body = answer.json();
    assert_eq!((&body["data"][0]["embedding"], &body["data"][1]["index"]), (&json!("AAAAPwAAgL4="), &json!(1)));
    assert_eq!(body["model"], "gem/g");
    let sent = app.up.only();
    assert_eq!(sent.path, "/v1beta/models/g:batchEmbedContents");
    let one =
        |text: &str| json!({"model": "models/g", "content": {"parts": [{"text": text}]}, "outputDimensionality": 2});
    assert_eq!(sent.json(), json!({"requests": [one("a"), one("b")]}));
    let row = app.row(answer.id()).await;
    assert!(row["estimated"] == true && row["input_tokens"].as_u64() > Some(0) && row["output_tokens"] == 0, "{row:#}");
    let answer = embed(&app, &json!({"model": "gem/g", "input": [[1, 2]]})).await;
    assert_eq!((answer.outcome().as_str(), answer.param().as_str()), ("400 unsupported_feature", "input"));
    let answer = embed(&app, &json!({"model": "claude/c", "input": "x"})).await;
    assert_eq!(answer.outcome(), "400 unsupported_feature");
    app.close().await;
}

#[tokio::test]
async fn geminis_embeddings_pass_to_gemini_and_are_translated_for_openai() {
    let app = TestApp::with(GEMINI).await;
    let batch =
        json!({"requests": [{"model": "models/x", "content": {"parts": [{"text": "a"}]}, "taskType": "CLUSTERING"}]});
    let call = |model: &str, method: &str, body: &serde_json::Value| {
        Call::post(&format!("/v1beta/models/{model}:{method}"), body).header("x-goog-api-key", &app.key)
    };
    let answer = r#"{"embeddings":[{"values":[0.5]}],"usageMetadata":{"promptTokenCount":3}}"#;
    app.up.next(Script::json(200, answer));
    let got = app.send(call("gem%2Fg", "batchEmbedContents", &batch)).await;
    assert_eq!((got.status, got.text()), (200, answer));
    let sent = app.up.received().pop().unwrap();
    assert_eq!(sent.path, "/v1beta/models/g:batchEmbedContents");
    assert_eq!(String::from_utf8_lossy(&sent.body), batch.to_string().replace("models/x", "models/g"));
    let row = app.row(got.id()).await;
    assert_eq!((&row["endpoint"], &row["input_tokens"]), (&json!("/v1beta/models:batchEmbedContents"), &json!(3)));

    app.up.next(Script::json(200, FLOATS));
    let got = app.send(call("embed", "batchEmbedContents", &batch)).await;
    assert_eq!(got.json()["embeddings"], json!([{"values": [0.5, -0.25]}]));
    assert_eq!(got.header("x-fulcrum-emulated"), Some("taskType"));
    let sent = app.up.received().pop().unwrap();
    assert_eq!(sent.json(), json!({"model": "embed-x", "input": ["a"]}));
    app.up.next(Script::json(200, FLOATS));
    let got = app.send(call("embed", "embedContent", &batch["requests"][0])).await;
    assert_eq!(got.json()["embedding"], json!({"values": [0.5, -0.25]}));
    let wrong = app.send(call("embed", "embedContent", &json!({}))).await;
    assert_eq!((wrong.status, &wrong.json()["error"]["status"]), (400, &json!("INVALID_ARGUMENT")));
    app.close().await;
}

#[tokio::test]
async fn geminis_count_of_tokens_is_asked_of_gemini_and_estimated_for_others() {
    let app = TestApp::with(GEMINI).await;
    let body = json!({"contents": [{"role": "user", "parts": [{"text": "How many are these?"}]}]});
    let count =
        |model: &str| Call::post(&format!("/v1/models/{model}:countTokens"), &body).header("x-goog-api-key", &app.key);
    app.up.next(Script::json(200, r#"{"totalTokens":6}"#));
    let body = app.send(count("gem/g")).await;
    assert_eq!((body.text(), body.header("x-fulcrum-emulated")), (r#"{"totalTokens":6}"#, None));
    assert_eq!(app.up.only().path, "/v1beta/models/g:countTokens");
    let body = app.send(count("fast")).await;
    assert!(body.json()["totalTokens"].as_u64() > Some(3));
    assert_eq!(body.header("x-fulcrum-emulated"), Some("count_tokens"));
    assert_eq!(app.up.count(), 1);
    app.close().await;
}
