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
        assert_eq!((answer.told().as_str(), answer.param().as_str()), ("400 invalid_request", param), "{body}");
    }
    assert_eq!(app.up.count(), 0);
    app.close().await;
}

#[tokio::test]
async fn an_answer_without_data_is_502() {
    let app = TestApp::start().await;
    for body in ["", "{}", "{\"data\":3}", "<html>"] {
        app.up.next(Script::json(200, body));
        assert_eq!(embed(&app, &json!({"model": "embed", "input": "x"})).await.told(), "502 upstream_protocol");
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
    for (format, told, got) in [("base64", FLOATS, BASE64), ("float", BASE64, FLOATS), ("base64", BASE64, BASE64)] {
        app.up.next(Script::json(200, told));
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
    assert_eq!(embed(&app, &body).await.told(), "400 invalid_request");
    app.close().await;
}
