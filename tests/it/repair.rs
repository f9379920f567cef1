//! Answers that were to be JSON and are not: asked for once more, where the route says so.

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::client::{Answer, Call};
use crate::dialects::{CLIENTS, PROVIDERS, seen_in_whole};
use crate::structured::{schema, wanting};
use crate::upstream::Script;

/// Routes that repair, with and without a cache.
const ROUTES: &str = r#"
[models.cheap]
provider = "plain"
model = "cheap-1"
price = { input = "1", output = "2" }
[[routes]]
name = "stored"
models = ["stored"]
targets = [{ model = "plain/m" }]
cache = { mode = "exact", ttl = "1h" }
repair = true
[[routes]]
name = "mended"
models = ["mended"]
targets = [{ model = "cheap" }]
repair = true
[[routes]]
name = "native"
models = ["native"]
targets = [{ model = "claude/claude-haiku-4-5" }]
repair = true
"#;

const GOOD: &str = r#"{"city":"Bern","code":7}"#;

/// An answer in Chat Completions that says `text`.
fn saying(text: &str) -> Script {
    ended(text, "stop")
}

fn ended(text: &str, reason: &str) -> Script {
    let body = json!({"id": "c1", "object": "chat.completion", "created": 1_700_000_000, "model": "m-1",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": reason}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}});
    Script::json(200, body.to_string())
}

fn attempts(row: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = row["attempts"].as_array().cloned().unwrap_or_default();
    list.iter().map(|attempt| (text(&attempt["status"]), text(&attempt["error_code"]))).collect()
}

fn both() -> Vec<(String, String)> {
    vec![("error".to_owned(), "invalid_output".to_owned()), ("ok".to_owned(), String::new())]
}

fn head(answer: &Answer) -> (Option<&str>, Option<&str>) {
    (answer.header("x-fulcrum-repair"), answer.header("x-fulcrum-attempts"))
}

#[tokio::test]
async fn a_bad_answer_is_asked_for_once_more_in_every_dialect() {
    let app = TestApp::with(&format!("{PROVIDERS}{ROUTES}")).await;
    for client in CLIENTS {
        app.up.next(saying("The city is Bern."));
        app.up.next(saying(GOOD));
        let answer = app.send(wanting(client, "mended", Some(&schema()), false).key(&app.key)).await;
        assert_eq!(answer.status, 200, "{client}: {}", answer.text());
        assert_eq!(seen_in_whole(client, &answer.json()).0, GOOD, "{client}: {}", answer.text());
        assert_eq!(head(&answer), (Some("repaired"), Some("2")), "{client}");
        // Both are paid: 2 × (10 × $1 + 5 × $2) a million.
        assert_eq!(answer.header("x-fulcrum-cost-usd"), Some("0.00004"), "{client}");
        let row = app.row(answer.id()).await;
        assert_eq!(attempts(&row), both(), "{client}: {row:#}");
        assert_eq!((&row["status"], &row["cost_usd"]), (&json!("ok"), &json!("0.00004")), "{client}");
        assert_eq!((&row["input_tokens"], &row["output_tokens"]), (&json!(20), &json!(10)), "{client}");
        let second = app.up.received().pop().unwrap().json();
        let turns = second["messages"].as_array().or(second["input"].as_array()).cloned().unwrap_or_default();
        assert_eq!(turns.len(), 3, "{client}: {second}");
        assert!(turns[1].to_string().contains("The city is Bern.") && turns[1]["role"] == "assistant", "{second}");
        assert!(turns[2].to_string().contains("not valid JSON") && turns[2]["role"] == "user", "{second}");
    }
    app.close().await;
}

#[tokio::test]
async fn a_call_in_the_providers_own_dialect_is_repaired_too_and_its_bytes_stay() {
    let app = TestApp::with(&format!("{PROVIDERS}{ROUTES}")).await;
    let answered = |text: &str| {
        let body = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
            "stop_sequence": null, "content": [{"type": "text", "text": text}],
            "usage": {"input_tokens": 5, "output_tokens": 7}});
        Script::json(200, body.to_string())
    };
    app.up.next(answered(r#"{"city":"Bern"}"#));
    app.up.next(answered(GOOD));
    let body = format!(
        r#"{{"model":"native","max_tokens":50,"x_new":{{"b":1}},"messages":[ {{"role":"user","content":"Which?"}} ],"output_config":{{"format":{{"type":"json_schema","schema":{}}}}}}}"#,
        schema()
    );
    let call = Call::new("POST", "/v1/messages", body.clone()).header("anthropic-beta", "b-1").key(&app.key);
    let answer = app.send(call).await;
    assert_eq!(answer.json()["content"][0]["text"], GOOD);
    assert_eq!(head(&answer), (Some("repaired"), Some("2")));
    let sent = app.up.received();
    assert_eq!(std::str::from_utf8(&sent[0].body).unwrap(), body.replace("native", "claude-haiku-4-5"));
    let second = std::str::from_utf8(&sent[1].body).unwrap();
    assert!(
        second.contains(r#""x_new":{"b":1},"messages":[{"role":"user","content":"Which?"},{"role":"assistant""#),
        "{second}"
    );
    assert!(second.contains("code") && second.contains("required"), "{second}");
    assert_eq!(sent[1].header("anthropic-beta"), Some("b-1"));
    app.close().await;
}

#[tokio::test]
async fn an_answer_that_stays_bad_goes_down_as_it_is_and_says_so() {
    let app = TestApp::with(&format!("{PROVIDERS}{ROUTES}")).await;
    app.up.next(saying("one"));
    app.up.next(saying("two"));
    let answer = app.send(wanting("chat", "mended", None, false).key(&app.key)).await;
    assert_eq!(seen_in_whole("chat", &answer.json()).0, "two");
    assert_eq!(head(&answer), (Some("failed"), Some("2")));
    let row = app.row(answer.id()).await;
    let codes: Vec<String> = attempts(&row).into_iter().map(|(_, code)| code).collect();
    assert_eq!((codes, &row["status"]), (vec!["invalid_output".to_owned(); 2], &json!("ok")), "{row:#}");

    // Where no second answer comes, the first goes down.
    app.up.next(saying("[1]"));
    app.up.next(Script::error(503, "busy"));
    let answer = app.send(wanting("chat", "mended", None, false).key(&app.key)).await;
    assert_eq!((answer.status, seen_in_whole("chat", &answer.json()).0.as_str()), (200, "[1]"));
    assert_eq!(head(&answer), (Some("failed"), Some("2")));
    let row = app.row(answer.id()).await;
    assert_eq!(attempts(&row)[0].1, "invalid_output", "{row:#}");
    assert_eq!((&row["input_tokens"], &row["output_tokens"]), (&json!(10), &json!(5)), "{row:#}");
    app.close().await;
}

#[tokio::test]
async fn what_has_no_form_to_keep_to_is_left_alone() {
    let app = TestApp::with(&format!("{PROVIDERS}{ROUTES}")).await;
    let mut sent = 0;
    for (script, call) in [
        (saying(GOOD), wanting("chat", "mended", Some(&schema()), false)),
        (ended("{\"city\":", "length"), wanting("chat", "mended", Some(&schema()), false)),
        (saying("words"), Call::chat(&json!({"model": "mended", "messages": [{"role": "user", "content": "Hi"}]}))),
        (saying("words"), wanting("chat", "cheap", Some(&schema()), false)),
    ] {
        app.up.next(script);
        let answer = app.send(call.key(&app.key)).await;
        sent += 1;
        assert_eq!((answer.status, head(&answer)), (200, (None, Some("1"))), "{}", answer.text());
        assert_eq!(app.up.count(), sent);
    }
    app.close().await;
}

#[tokio::test]
async fn only_a_good_answer_is_cached() {
    let app = TestApp::with(&format!("{PROVIDERS}{ROUTES}")).await;
    let ask = |stream| wanting("chat", "stored", Some(&schema()), stream).key(&app.key);
    let chunk = |delta: Value, reason: Value| {
        let choices = json!([{"index": 0, "delta": delta, "finish_reason": reason}]);
        format!(
            "data: {}\n\n",
            json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices})
        )
    };
    // A stream goes down as it comes: it is not repaired, nor stored where it is bad.
    let streamed =
        [chunk(json!({"content": "no"}), Value::Null), chunk(json!({}), json!("stop")), "data: [DONE]\n\n".to_owned()];
    app.up.next(Script::stream(streamed));
    let answer = app.send(ask(true)).await;
    assert_eq!((answer.header("x-fulcrum-cache"), head(&answer)), (Some("miss"), (None, Some("1"))));
    app.up.next(saying("bad"));
    app.up.next(saying("bad"));
    let answer = app.send(ask(false)).await;
    assert_eq!((answer.header("x-fulcrum-cache"), head(&answer)), (Some("miss"), (Some("failed"), Some("2"))));
    app.up.next(saying("bad"));
    app.up.next(saying(GOOD));
    let answer = app.send(ask(false)).await;
    assert_eq!((answer.header("x-fulcrum-cache"), head(&answer)), (Some("miss"), (Some("repaired"), Some("2"))));
    let answer = app.send(ask(false)).await;
    assert_eq!(
        (answer.header("x-fulcrum-cache"), seen_in_whole("chat", &answer.json()).0.as_str()),
        (Some("hit"), GOOD)
    );
    app.close().await;
}

#[tokio::test]
async fn only_an_answer_that_was_checked_is_repaired_and_no_other_is_cached() {
    let app = TestApp::with(&format!("{PROVIDERS}{ROUTES}")).await;
    let ask = || wanting("chat", "stored", Some(&schema()), false).key(&app.key);
    let call = json!({"id": "c1", "object": "chat.completion", "created": 1, "model": "m-1", "choices": [{"index": 0,
        "message": {"role": "assistant", "content": null, "tool_calls": [{"id": "t", "type": "function",
            "function": {"name": "f", "arguments": "{}"}}]}, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}});
    for second in [ended("{\"city\":", "length"), Script::json(200, call.to_string())] {
        app.up.next(saying("bad"));
        app.up.next(second);
        let answer = app.send(ask()).await;
        assert_eq!((answer.header("x-fulcrum-cache"), head(&answer)), (Some("miss"), (Some("failed"), Some("2"))));
    }
    // One that is cut off at once is not asked for again, nor stored.
    app.up.next(ended("{\"city\":", "length"));
    let answer = app.send(ask()).await;
    assert_eq!((answer.header("x-fulcrum-cache"), head(&answer)), (Some("miss"), (None, Some("1"))));
    app.up.next(ended(GOOD, "length"));
    assert_eq!(app.send(ask()).await.header("x-fulcrum-cache"), Some("miss"));
    assert_eq!(app.send(ask()).await.header("x-fulcrum-cache"), Some("hit"));
    app.close().await;
}

#[tokio::test]
async fn on_a_cached_route_the_first_answer_goes_down_where_the_limit_passes_before_a_second() {
    let app = TestApp::with(&format!("{PROVIDERS}{ROUTES}")).await;
    app.up.next(saying("bad"));
    app.up.next(Script::default().stall());
    let ask = wanting("chat", "stored", Some(&schema()), false).header("x-fulcrum-timeout", "1s");
    let answer = app.send(ask.key(&app.key)).await;
    assert_eq!((answer.status, head(&answer)), (200, (Some("failed"), Some("2"))), "{}", answer.text());
    assert_eq!(app.row(answer.id()).await["status"], "ok");
    app.close().await;
}
