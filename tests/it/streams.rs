//! Streams: cut anywhere, torn, endless, and left by their callers.

use std::sync::Arc;

use ::bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::app::{TestApp, UP_KEY, hello, streamed};
use crate::client::Call;
use crate::upstream::{EVENTS, SSE, Script, without_usage};

/// Every event's data, parsed; `[DONE]` as a text.
fn events(text: &str) -> Vec<Value> {
    let data = text.split("\n\n").filter_map(|event| event.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap_or_else(|_| json!(data))).collect()
}

#[tokio::test]
async fn a_stream_passes_as_it_came_without_the_usage_that_only_we_asked_for() {
    let app = TestApp::start().await;
    let answer = app.hello_stream("fast").await;
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    assert_eq!(answer.text(), without_usage());
    assert_eq!(app.up.only().json()["stream_options"], json!({"include_usage": true}));
    let row = app.row(answer.id()).await;
    assert_eq!((&row["input_tokens"], &row["output_tokens"]), (&json!(9), &json!(3)));
    assert_eq!((&row["estimated"], &row["stream"], &row["status"]), (&json!(false), &json!(true), &json!("ok")));
    app.close().await;
}

#[tokio::test]
async fn who_asks_for_usage_gets_every_byte() {
    let app = TestApp::start().await;
    let mut body = streamed(hello("fast"));
    body["stream_options"] = json!({"include_usage": true});
    assert_eq!(app.chat(&body).await.text(), EVENTS.concat());
    app.close().await;
}

#[tokio::test]
async fn a_stream_that_is_cut_at_any_byte_arrives_the_same() {
    let app = TestApp::start().await;
    // Line ends of every kind, a byte order mark, comments, and data over two lines.
    let text = format!(
        "\u{feff}: hello\n\n{}\r\nid: 7\r\nevent: message\r\n{}: ping\r\n\r\ndata: {{\"choices\":\ndata: [{{\"delta\":{{\"content\":\"é€𝄞\"}}}}]}}\n\n{}{}",
        EVENTS[0],
        EVENTS[1].replace('\n', "\r\n"),
        EVENTS[4],
        EVENTS[6]
    );
    let bytes = text.as_bytes();
    app.up.next(Script::stream([bytes]));
    let mut asked = streamed(hello("fast"));
    asked["stream_options"] = json!({"include_usage": true});
    let whole = app.chat(&asked).await;
    assert!(whole.text().contains("é€𝄞") && whole.text().ends_with("[DONE]\n\n"), "{}", whole.text());
    for cut in 1..bytes.len() {
        app.up.next(Script::stream([&bytes[..cut], &bytes[cut..]]));
        assert_eq!(app.chat(&asked).await.body, whole.body, "cut at byte {cut}");
    }
    app.up.next(Script::stream(bytes.chunks(1)));
    assert_eq!(app.chat(&asked).await.body, whole.body, "cut at every byte");
    app.close().await;
}

#[tokio::test]
async fn five_chunks_and_a_reset_arrive_with_an_error_event_and_no_done() {
    let app = TestApp::with("[defaults]\nretries = 2\n").await;
    let gate: Arc<Semaphore> = Semaphore::new(0).into();
    app.up.next(Script::sse().chunks(&EVENTS[..4]).gate(&gate).reset());
    let mut open = app.open(&Call::chat(&streamed(hello("fast"))).key(&app.key)).await;
    let mut text = open.until("\".\"").await;
    gate.add_permits(1);
    let answer = open.rest().await;
    text.push_str(answer.text());
    let events = events(&text);
    assert_eq!(events.len(), 5, "{text}");
    assert_eq!(events[4]["error"]["code"], "upstream_protocol");
    assert!(!text.contains("[DONE]"));
    assert_eq!(app.up.count(), 1, "no retry");
    let row = app.row(answer.id()).await;
    assert_eq!((&row["status"], &row["error_code"]), (&json!("error"), &json!("upstream_protocol")));
    assert_eq!(row["estimated"], true);
    assert!(row["output_tokens"].as_u64().unwrap() > 0 && row["cost_usd"] != "0", "{row:#}");
    app.close().await;
}

#[tokio::test]
async fn an_end_without_done_is_an_error_event() {
    for ended in [true, false] {
        let app = TestApp::start().await;
        let script = Script::sse().chunks(&EVENTS[..3]);
        app.up.next(if ended { script.ended() } else { script.fin() });
        let answer = app.hello_stream("fast").await;
        assert_eq!(events(answer.text()).last().unwrap()["error"]["code"], "upstream_protocol", "{}", answer.text());
        assert_eq!(app.row(answer.id()).await["status"], "error");
        app.close().await;
    }
}

#[tokio::test]
async fn a_half_event_at_the_end_does_not_arrive() {
    let app = TestApp::start().await;
    app.up.next(Script::stream([EVENTS[0], EVENTS[1], &EVENTS[2][..60]]));
    let answer = app.hello_stream("fast").await;
    let events = events(answer.text());
    assert_eq!(events.len(), 3, "{}", answer.text());
    assert!(events[2].get("error").is_some());
    app.close().await;
}

#[tokio::test]
async fn a_stall_after_three_chunks_ends_in_an_error_event() {
    let app = TestApp::start().await;
    app.up.next(Script::sse().chunks(&EVENTS[..3]).stall());
    let answer = app.hello_stream("hasty/gpt-x").await;
    let events = events(answer.text());
    assert_eq!(events.last().unwrap()["error"]["code"], "upstream_timeout");
    assert_eq!(events.len(), 4);
    app.up.until("the gateway hangs up", |received| received[0].closed).await;
    app.close().await;
}

#[tokio::test]
async fn an_error_event_in_the_middle_goes_down_and_ends_the_stream() {
    let app = TestApp::start().await;
    app.up.next(Script::stream([
        EVENTS[0],
        EVENTS[1],
        "data: {\"error\":{\"message\":\"boom\"}}\n\n",
        EVENTS[2],
        EVENTS[6],
    ]));
    let answer = app.hello_stream("fast").await;
    let events = events(answer.text());
    assert_eq!(events.len(), 3, "{}", answer.text());
    assert!(events[2]["error"]["message"].as_str().unwrap().contains("boom"));
    assert_eq!(app.row(answer.id()).await["status"], "error");
    app.close().await;
}

#[tokio::test]
async fn what_comes_in_one_piece_with_an_error_event_goes_down_before_it() {
    let app = TestApp::start().await;
    let piece = format!("{}{}data: {{\"error\":{{\"message\":\"boom\"}}}}\n\n", EVENTS[0], EVENTS[1]);
    app.up.next(Script::stream([&piece]));
    let answer = app.hello_stream("fast").await;
    let events = events(answer.text());
    assert_eq!(events.len(), 3, "{}", answer.text());
    assert!(events[0]["choices"].is_array() && events[1]["choices"].is_array(), "{}", answer.text());
    assert!(events[2]["error"]["message"].as_str().is_some_and(|events| events.contains("boom")), "{}", answer.text());
    app.close().await;
}

#[tokio::test]
async fn an_error_event_that_echoes_the_key_loses_it() {
    let app = TestApp::start().await;
    let echo = format!("data: {{\"error\":{{\"message\":\"bad key {UP_KEY}\"}}}}\n\n");
    for before in [0, 2] {
        app.up.next(Script::sse().chunks(&EVENTS[..before]).chunks([&echo]).ended());
        let answer = app.hello_stream("fast").await;
        assert!(answer.text().contains("bad key [removed]"), "{}", answer.text());
    }
    app.close().await;
}

#[tokio::test]
async fn an_endless_line_is_cut() {
    let app = TestApp::start().await;
    app.up.next(Script::sse().chunks(&EVENTS[..2]).chunks(["data: "]).repeat_chunk(&[b'x'; 65_536]));
    let answer = app.hello_stream("fast").await;
    assert_eq!(events(answer.text()).last().unwrap()["error"]["code"], "upstream_protocol");
    assert!(answer.body.len() < 100_000, "{} bytes went down", answer.body.len());
    app.up.until("it is cut off", |received| received[0].closed).await;
    app.close().await;
}

#[tokio::test]
async fn a_stream_without_usage_is_estimated() {
    let app = TestApp::start().await;
    let plain = EVENTS.map(|event| event.replace(",\"usage\":null", ""));
    app.up.next(Script::stream(plain.iter().filter(|event| !event.contains("\"usage\""))));
    let answer = app.hello_stream("fast").await;
    assert_eq!(answer.text(), without_usage());
    let row = app.row(answer.id()).await;
    assert_eq!((&row["status"], &row["estimated"]), (&json!("ok"), &json!(true)));
    assert!(row["output_tokens"].as_u64().unwrap() > 0);
    app.close().await;
}

#[tokio::test]
async fn usage_in_the_last_content_chunk_is_counted_and_stripped() {
    let app = TestApp::start().await;
    let last = EVENTS[4].replace("\"usage\":null", "\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3}");
    app.up.next(Script::stream([EVENTS[0], &last, EVENTS[6]]));
    let answer = app.hello_stream("fast").await;
    assert!(!answer.text().contains("usage") && answer.text().contains("\"stop\""), "{}", answer.text());
    assert_eq!(app.row(answer.id()).await["output_tokens"], 3);
    app.close().await;
}

#[tokio::test]
async fn a_whole_answer_to_a_stream_is_told_as_one() {
    let app = TestApp::start().await;
    app.up.next(Script::json(200, crate::upstream::WHOLE));
    let answer = app.hello_stream("fast").await;
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    assert!(answer.text().contains("Hello there.") && answer.text().ends_with("data: [DONE]\n\n"), "{}", answer.text());
    assert_eq!(app.row(answer.id()).await["output_tokens"], 3);
    app.close().await;
}

#[tokio::test]
async fn every_chunk_goes_on_before_the_next_is_there() {
    let app = TestApp::start().await;
    let gate: Arc<Semaphore> = Semaphore::new(0).into();
    // A role alone is held back, since the stream may still fail before its first token.
    let script = Script::sse().chunks(&EVENTS[..1]);
    let script = EVENTS[1..].iter().fold(script, |script, event| script.chunks([event]).gate(&gate));
    app.up.next(script.ended());
    let mut open = app.open(&Call::chat(&streamed(hello("fast"))).key(&app.key)).await;
    for mark in ["Hello", " there", "\".\"", "\"stop\""] {
        open.until(mark).await;
        gate.add_permits(1);
    }
    gate.add_permits(2);
    assert!(open.rest().await.text().ends_with("[DONE]\n\n"));
    app.close().await;
}

#[tokio::test]
async fn a_caller_who_hangs_up_after_chunk_three_closes_the_upstream() {
    let app = TestApp::start().await;
    app.up.next(Script::sse().chunks(&EVENTS[..3]).stall());
    let mut open = app.open(&Call::chat(&streamed(hello("fast"))).key(&app.key)).await;
    let id = open.header("x-fulcrum-request-id").unwrap().to_owned();
    open.until(" there").await;
    drop(open);
    app.up.until("the gateway hangs up", |received| received[0].closed).await;
    let row = app.row(&id).await;
    assert_eq!((&row["status"], &row["error_code"]), (&json!("client_closed"), &json!("client_closed")));
    assert_eq!(row["estimated"], true);
    assert!(row["output_tokens"].as_u64().unwrap() > 0);
    assert_eq!(row["attempts"][0]["status"], "client_closed");
    app.close().await;
}

#[tokio::test]
async fn a_caller_who_hangs_up_right_after_the_last_chunk_is_served() {
    let app = TestApp::start().await;
    for _ in 0..50 {
        let mut open = app.open(&Call::chat(&streamed(hello("fast"))).key(&app.key)).await;
        open.until("[DONE]").await;
    }
    let rows = app.rows(50).await;
    assert!(rows.iter().all(|row| row["status"] == "ok"), "a caller that read [DONE] has a good row");
    app.close().await;
}

#[tokio::test]
async fn a_stream_of_bytes_that_are_no_text_ends_in_an_error() {
    let app = TestApp::start().await;
    let noise: Bytes = [b"data: \xff\xfe\x00\n\n".as_slice(), EVENTS[6].as_bytes()].concat().into();
    app.up.next(Script::raw(SSE).chunks([EVENTS[0].as_bytes(), &noise[..]]).ended());
    let answer = app.hello_stream("fast").await;
    assert_eq!(answer.status, 502, "nothing was said before it: {}", answer.text());
    assert_eq!(app.row(answer.id()).await["status"], "error");
    app.up.next(Script::raw(SSE).chunks([EVENTS[0].as_bytes(), EVENTS[1].as_bytes(), &noise[..]]).ended());
    let answer = app.hello_stream("fast").await;
    assert!(answer.status == 200 && answer.text().contains("\"error\""), "{}", answer.text());
    assert_eq!(app.row(answer.id()).await["status"], "error");
    app.close().await;
}
