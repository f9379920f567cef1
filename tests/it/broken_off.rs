//! Streams that end before their end: what their providers had counted is charged, and an estimate of the rest.

use serde_json::{Value, json};

use crate::app::{TestApp, hello, streamed};
use crate::client::Call;
use crate::dialects::PROVIDERS;
use crate::upstream::Script;

/// A stream of Anthropic's that counts 50,000 tokens at its beginning, up to its first words.
fn claude() -> Script {
    let event = |event: Value| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap());
    let usage = json!({"input_tokens": 50_000, "output_tokens": 1});
    Script::sse().chunks([
        event(json!({"type": "message_start", "message": {"id": "m", "type": "message", "role": "assistant",
            "model": "m", "content": [], "stop_reason": null, "usage": usage}})),
        event(json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})),
        event(
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello there"}}),
        ),
    ])
}

/// A stream of a server like vLLM, which counts in every chunk: of these, only the first.
fn plain(counts: &[(u64, &str)]) -> Script {
    let chunk = |(output, text): &(u64, &str)| {
        let usage = json!({"prompt_tokens": 40_000, "completion_tokens": output, "total_tokens": 40_000 + output});
        let choices = json!([{"index": 0, "delta": {"content": text}, "finish_reason": null}]);
        format!("data: {}\n\n", json!({"id": "c", "choices": choices, "usage": usage}))
    };
    Script::sse().chunks(counts.iter().map(chunk))
}

fn calls(model: &str) -> [Call; 2] {
    let messages = json!([{"role": "user", "content": "Hi"}]);
    let claude = json!({"model": model, "stream": true, "max_tokens": 50, "messages": messages});
    [Call::chat(&streamed(hello(model))), Call::post("/v1/messages", &claude)]
}

/// The attempt of a caller that hung up after the first words.
async fn left(app: &TestApp, call: Call, count: usize) -> Value {
    let mut open = app.open(&call.key(&app.key)).await;
    open.until("Hello").await;
    drop(open);
    let rows = app.rows(count).await;
    let row = rows.iter().max_by_key(|row| row["started_at"].as_str().map(str::to_owned)).unwrap();
    assert_eq!(row["status"], "client_closed", "{row:#}");
    row.clone()
}

#[tokio::test]
async fn what_a_provider_counted_before_its_caller_hung_up_is_charged() {
    let app = TestApp::with(PROVIDERS).await;
    let mut count = 0;
    for call in calls("claude/m") {
        count += 1;
        app.up.next(claude().stall());
        let row = left(&app, call, count).await;
        assert_eq!(row["input_tokens"], 50_000, "{row:#}");
        assert!(row["output_tokens"].as_u64().unwrap() > 1 && row["estimated"] == true, "{row:#}");
    }
    for call in calls("plain/m") {
        count += 1;
        app.up.next(plain(&[(0, ""), (2, "Hello")]).stall());
        let row = left(&app, call, count).await;
        let counts = [&row["input_tokens"], &row["output_tokens"], &row["estimated"]];
        assert_eq!(counts, [&json!(40_000), &json!(2), &json!(false)], "{row:#}");
    }
    app.close().await;
}

#[tokio::test]
async fn an_estimate_is_added_only_for_what_came_after_the_last_count() {
    let app = TestApp::with(PROVIDERS).await;
    let text = "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" and more words\"},\"finish_reason\":null}]}\n\n";
    app.up.next(plain(&[(9, "Hello")]).chunks([text]).fin());
    let answer = app.chat(&streamed(hello("plain/m"))).await;
    let row = app.row(answer.id()).await;
    assert_eq!((&row["status"], &row["input_tokens"]), (&json!("error"), &json!(40_000)), "{row:#}");
    let output = row["output_tokens"].as_u64().unwrap();
    assert!((10..20).contains(&output) && row["estimated"] == true, "{row:#}");
    app.close().await;
}
