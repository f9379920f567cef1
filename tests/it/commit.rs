//! When a stream begins to go down: until then a failure is tried elsewhere, after that never.

use serde_json::{Value, json};

use crate::app::{TestApp, hello, streamed};
use crate::client::Answer;
use crate::upstream::{EVENTS, Script};

const ROUTE: &str =
    "[[routes]]\nname = \"r\"\nretries = 0\ntargets = [{ model = \"fast\" }]\nfallbacks = [\"spare\"]\n";

/// An event without content, of about so many bytes.
fn silent(bytes: usize) -> String {
    let delta = json!([{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": null}]);
    format!("data: {}\n\n", json!({"id": "c", "choices": delta, "obfuscation": "x".repeat(bytes)}))
}

/// Asks for a stream whose provider sends this and breaks off; who answered, and how the row's attempts ended.
async fn broken_off(script: Script) -> (Answer, Vec<Value>) {
    let app = TestApp::with(ROUTE).await;
    // Not by a reset, which takes bytes with it that were not read yet.
    app.up.next(script.fin());
    let answer = app.chat(&streamed(hello("any"))).await;
    let row = app.row(answer.id()).await;
    app.close().await;
    (answer, row["attempts"].as_array().unwrap().clone())
}

#[tokio::test]
async fn a_failure_before_the_first_token_goes_to_the_fallback() {
    let ping = ": ping\n\n".to_owned();
    let begun = |count: usize, bytes: usize| vec![silent(bytes); count];
    for (what, events) in [
        ("roles and pings", vec![EVENTS[0].to_owned(), ping.clone(), silent(1), ping]),
        ("63 events", begun(63, 1)),
        ("240 KiB of events", begun(15, 16 << 10)),
    ] {
        let (answer, attempts) = broken_off(Script::sse().chunks(events)).await;
        assert_eq!((answer.status, answer.header("x-fulcrum-model")), (200, Some("other/spare-x")), "{what}");
        assert!(answer.text().ends_with("data: [DONE]\n\n"), "{what}: {}", answer.text());
        assert_eq!(attempts.len(), 2, "{what}");
    }
}

#[tokio::test]
async fn no_failure_after_it_or_beyond_what_is_held_back_does() {
    for (what, events) in [
        ("content", EVENTS[..2].iter().map(|event| (*event).to_owned()).collect()),
        ("64 events", vec![silent(1); 64]),
        ("256 KiB of events", vec![silent(16 << 10); 17]),
    ] {
        let events: Vec<String> = events;
        let (answer, attempts) = broken_off(Script::sse().chunks(events)).await;
        assert_eq!((answer.status, answer.header("x-fulcrum-model")), (200, Some("up/gpt-x")), "{what}");
        assert!(answer.text().contains("\"error\"") && !answer.text().contains("[DONE]"), "{what}");
        assert_eq!(attempts.len(), 1, "{what}");
    }
}

#[tokio::test]
async fn a_stream_that_is_silent_beyond_the_limit_of_its_first_token_goes_to_the_fallback() {
    let route = ROUTE.replace("model = \"fast\"", "model = \"hasty/x\"");
    let app = TestApp::with(&route).await;
    // It goes on within the limit between two pieces.
    let ping = silent(1);
    let chunk = format!("{:x}\r\n{ping}\r\n", ping.len());
    app.up.next(Script::sse().drip(chunk.repeat(40), std::time::Duration::from_millis(1)).stall());
    let answer = app.chat(&streamed(hello("any"))).await;
    assert_eq!(answer.header("x-fulcrum-model"), Some("other/spare-x"), "{}", answer.text());
    let row = app.row(answer.id()).await;
    assert_eq!(row["attempts"][0]["error_code"], "upstream_timeout");
    // Its first token may take 300 ms, all of it 2 s.
    assert!(row["latency_ms"].as_f64().is_some_and(|millis| millis < 1_500.0), "{row}");
    app.close().await;
}

/// A route whose streams must write 100 characters in half a second.
fn brisk(more: &str) -> String {
    format!("{ROUTE}min_speed = {{ chars_per_second = 200, window = \"500ms\" }}\n{more}")
}

/// An event with these words.
fn words(text: &str) -> String {
    format!(
        "data: {}\n\n",
        json!({"id": "c", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}]})
    )
}

#[tokio::test]
async fn a_stream_that_crawls_goes_to_the_next_target_before_a_byte_went_down() {
    let app = TestApp::with(&brisk("")).await;
    app.up.next(Script::sse().chunks([EVENTS[0], &words("Once upon"), &words(" a time")]).stall());
    let answer = app.chat(&streamed(hello("any"))).await;
    assert_eq!((answer.status, answer.header("x-fulcrum-model")), (200, Some("other/spare-x")), "{}", answer.text());
    assert!(answer.text().ends_with("data: [DONE]\n\n") && !answer.text().contains("Once"), "{}", answer.text());
    app.up.until("the slow stream is given up", |received| received[0].closed).await;
    let row = app.row(answer.id()).await;
    let first = &row["attempts"][0];
    assert_eq!((&first["status"], &first["error_code"]), (&json!("unknown"), &json!("upstream_timeout")));
    assert!(first["output_tokens"].as_u64().is_some_and(|tokens| tokens > 0), "what it wrote is charged: {first}");
    app.close().await;
}

#[tokio::test]
async fn a_stream_that_is_fast_enough_short_or_the_last_one_goes_down() {
    let app = TestApp::with(&brisk("")).await;
    let long = words(&"x".repeat(100));
    for (what, script, has) in [
        ("fast", Script::sse().chunks([EVENTS[0], &long]).stall(), "xxx"),
        ("short", Script::stream(EVENTS), "Hello"),
        ("cut short of its end", Script::sse().chunks(&EVENTS[..3]).ended(), "Hello"),
    ] {
        app.up.next(script);
        let mut open = app.open(&crate::client::Call::chat(&streamed(hello("any"))).key(&app.key)).await;
        assert!(open.until(has).await.contains(has), "{what}");
    }
    // Where no other target could take its place, a slow stream is better than none.
    let alone = "[[routes]]\nmodels = [\"alone\"]\nretries = 0\ntargets = [{ model = \"fast\" }]\n";
    app.reload(&format!("{alone}min_speed = {{ chars_per_second = 200, window = \"500ms\" }}\n")).await;
    app.up.next(Script::sse().chunks(&EVENTS[..2]).stall());
    let mut open = app.open(&crate::client::Call::chat(&streamed(hello("alone"))).key(&app.key)).await;
    assert!(open.until("Hello").await.contains("Hello"));
    drop(open);
    app.close().await;
}

#[tokio::test]
async fn what_is_held_back_goes_down_whole() {
    let app = TestApp::with(&brisk("")).await;
    let plain = TestApp::with(ROUTE).await;
    let (held, passed) = (app.chat(&streamed(hello("any"))).await, plain.chat(&streamed(hello("any"))).await);
    assert_eq!(held.text(), passed.text());
    let explained =
        json!({"endpoint": "/v1/chat/completions", "model": "any", "messages": [{"role": "user", "content": "x"}]});
    let explained = app.send(crate::client::Call::post("/v1/explain", &explained).key(&app.key)).await.json();
    let shown = &explained["min_speed"];
    assert_eq!((&shown["chars_per_second"], &shown["window_seconds"]), (&json!(200), &json!(0.5)));
    plain.close().await;
    app.close().await;
}
