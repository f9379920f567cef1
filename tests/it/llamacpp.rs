//! What `server = "llamacpp"` needs: adapters named in each request, and the tokens of every choice.

use serde_json::{Value, json};

use crate::app::{TestApp, hello, streamed};
use crate::client::Call;
use crate::upstream::Script;

const LLAMA: &str = r#"
[defaults]
retries = 0
cache = { mode = "exact", ttl = "1h" }
[providers.plain]
kind = "openai"
server = "llamacpp"
base_url = "http://{up}/v1"
api_key = "env:UP_KEY"
[models.base]
provider = "plain"
model = "m"
[models.tuned]
provider = "plain"
model = "m"
adapter = 3
"#;

/// A gateway whose server reports these adapters. It is asked anew by a reload, since it was asked at the start.
async fn with_adapters(more: &str, report: &str) -> TestApp {
    let app = TestApp::with(more).await;
    app.up.adapters(report);
    app.reload(more).await;
    app
}

fn choice(index: usize, text: &str, finish: &str) -> Value {
    json!({"index": index, "message": {"role": "assistant", "content": text}, "finish_reason": finish})
}

#[tokio::test]
async fn each_request_names_its_adapters() {
    let app = with_adapters(LLAMA, "[]").await;
    for (model, more, lora) in [
        ("base", json!(null), json!([])),
        ("tuned", json!(null), json!([{"id": 3, "scale": 1.0}])),
        ("tuned", json!([{"id": 0, "scale": 0.5}]), json!([{"id": 0, "scale": 0.5}])),
    ] {
        let mut body = hello(model);
        if !more.is_null() {
            body["lora"] = more;
        }
        assert_eq!(app.chat(&body).await.status, 200);
        let sent = app.up.received().pop().unwrap();
        assert_eq!(sent.json()["lora"], lora);
        // The rest is as it came.
        let text = body.to_string().replace(&format!("\"model\":\"{model}\""), "\"model\":\"m\"");
        let sent = String::from_utf8(sent.body.to_vec()).unwrap();
        assert!(sent.starts_with(&text[..text.len() - 1]), "{sent}");
    }
    assert_eq!(app.up.count(), 3, "an adapter's answer is no other's");
    let body = json!({"model": "tuned", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]});
    app.send(Call::post("/v1/messages", &body).key(&app.key)).await;
    app.send(Call::post("/v1/completions", &json!({"model": "base", "prompt": "x"})).key(&app.key)).await;
    let sent: Vec<Value> = app.up.received()[3..].iter().map(|sent| sent.json()["lora"].clone()).collect();
    assert_eq!(sent, [json!([{"id": 3, "scale": 1.0}]), json!([])]);
    app.close().await;
}

#[tokio::test]
async fn the_tokens_of_all_choices_are_counted_or_estimated() {
    let app = TestApp::with(LLAMA).await;
    let mut body = hello("base");
    body["n"] = 2.into();
    body["max_tokens"] = 8.into();
    for (second, tokens, estimated) in
        [(choice(1, "12345678", "length"), 16, false), (choice(1, "1234", "stop"), 13, true)]
    {
        let usage = json!({"prompt_tokens": 33, "completion_tokens": 8, "total_tokens": 41});
        let answer = json!({"choices": [choice(0, "12345678", "length"), second], "usage": usage}).to_string();
        app.up.next(Script::json(200, &answer));
        let call = Call::chat(&body).key(&app.key).header("x-fulcrum-cache", "bypass");
        let got = app.send(call).await;
        assert_eq!(got.text(), answer);
        let row = app.row(got.id()).await;
        assert_eq!((&row["input_tokens"], &row["output_tokens"]), (&json!(33), &json!(tokens)));
        assert_eq!(row["estimated"], estimated);
    }
    app.close().await;
}

#[tokio::test]
async fn the_choices_of_a_stream_are_added_up() {
    let app = TestApp::with(LLAMA).await;
    let finish = |index| json!({"choices": [{"index": index, "delta": {"content": "x"}, "finish_reason": "length"}]});
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 33, "completion_tokens": 4, "total_tokens": 37}});
    let events = [finish(0), usage.clone(), finish(1), usage].map(|event| format!("data: {event}\n\n"));
    app.up.next(Script::stream(events.iter().map(String::as_str).chain(["data: [DONE]\n\n"])));
    let mut body = streamed(hello("base"));
    body["n"] = 2.into();
    let answer = app.chat(&body).await;
    assert!(answer.text().ends_with("[DONE]\n\n") && !answer.text().contains("usage"), "{}", answer.text());
    let row = app.row(answer.id()).await;
    assert_eq!(
        (&row["input_tokens"], &row["output_tokens"], &row["estimated"]),
        (&json!(33), &json!(8), &json!(false))
    );
    app.close().await;
}

#[tokio::test]
async fn its_errors_have_a_code_that_is_text() {
    let app = TestApp::with(LLAMA).await;
    let error = r#"{"error":{"code":404,"message":"File Not Found","type":"not_found_error"}}"#;
    app.up.next(Script::json(404, error));
    assert_eq!(app.hello("base").await.json()["error"]["code"], "upstream_error");
    app.close().await;
}

/// The `lora` of each call that came.
fn named(app: &TestApp) -> Vec<Value> {
    app.up.received().iter().map(|sent| sent.json().get("lora").cloned().unwrap_or_default()).collect()
}

#[tokio::test]
async fn a_plain_request_gets_what_the_server_started_with_whatever_came_before() {
    let more = LLAMA.replace("mode = \"exact\", ttl = \"1h\"", "mode = \"off\"");
    let report = r#"[{"id":0,"path":"a.gguf","scale":1.0},{"id":1,"path":"b.gguf","scale":0.25}]"#;
    let app = with_adapters(&more, report).await;
    let mut without = hello("base");
    without["lora"] = json!([{"id": 0, "scale": 0}]);
    assert_eq!(app.hello("base").await.status, 200);
    let looks = app.up.looks();
    for body in [without.clone(), hello("base"), streamed(hello("base"))] {
        assert_eq!(app.chat(&body).await.status, 200);
    }
    let responses = json!({"model": "base", "input": "Hi"});
    let messages = json!({"model": "plain/m", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]});
    for (path, body) in [("/v1/responses", &responses), ("/v1/messages", &messages)] {
        assert_eq!(app.send(Call::post(path, body).key(&app.key)).await.status, 200);
    }
    let own = json!([{"id": 0, "scale": 1.0}, {"id": 1, "scale": 0.25}]);
    assert_eq!(named(&app), [&own, &without["lora"], &own, &own, &own, &own].map(Clone::clone));
    assert_eq!(app.up.looks(), looks, "no call asks again");
    app.close().await;
}

#[tokio::test]
async fn a_server_that_reports_no_adapters_gets_requests_as_they_came() {
    let app = TestApp::with(LLAMA).await;
    for _ in 0..3 {
        let call = Call::chat(&hello("base")).key(&app.key).header("x-fulcrum-cache", "bypass");
        assert_eq!(app.send(call).await.status, 200);
    }
    assert_eq!((named(&app), app.up.looks()), (vec![Value::Null; 3], 1));
    app.close().await;
}
