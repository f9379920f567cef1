//! The response cache: which answers are stored, for which callers, in which form they come back, and shared calls.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::app::{TestApp, hello, streamed};
use crate::client::{Answer, Call, Open};
use crate::dialects::{ANSWERING, CLIENTS, PROVIDERS, call};
use crate::upstream::{EVENTS, Script, WHOLE, without_usage};

const CACHED: &str = "[defaults]\nretries = 0\ncache = { mode = \"exact\", ttl = \"1h\", scope = \"project\" }\n";

fn cache(answer: &Answer) -> &str {
    answer.header("x-fulcrum-cache").unwrap_or("-")
}

async fn with_header(app: &TestApp, name: &str, value: &str) -> Answer {
    app.send(Call::chat(&hello("fast")).key(&app.key).header(name, value)).await
}

#[tokio::test]
async fn the_second_equal_call_is_a_hit_that_costs_nothing() {
    let app = TestApp::with(CACHED).await;
    let first = app.hello("fast").await;
    let second = app.hello("fast").await;
    assert_eq!((cache(&first), cache(&second)), ("miss", "hit"));
    assert_eq!(first.body, second.body);
    assert!(second.header("age").is_some() && first.header("age").is_none());
    assert_eq!(second.header("x-fulcrum-cost-usd"), Some("0"));
    assert_eq!(second.header("x-fulcrum-model"), Some("up/gpt-x"));
    assert_eq!(app.up.count(), 1);
    let (first, second) = (app.row(first.id()).await, app.row(second.id()).await);
    assert_eq!((&first["cache"], &second["cache"]), (&json!("miss"), &json!("hit")));
    assert_eq!(second["saved_usd"], first["cost_usd"]);
    assert_eq!((&second["cost_usd"], second["attempts"].as_array().unwrap().len()), (&json!("0"), 0));
    app.close().await;
}

#[tokio::test]
async fn without_a_cache_nothing_is_kept_or_told() {
    let app = TestApp::start().await;
    for _ in 0..2 {
        assert_eq!(cache(&app.hello("fast").await), "-");
    }
    assert_eq!(app.up.count(), 2);
    app.close().await;
}

#[tokio::test]
async fn bypass_neither_reads_nor_stores() {
    let app = TestApp::with(CACHED).await;
    assert_eq!(cache(&with_header(&app, "x-fulcrum-cache", "bypass").await), "bypass");
    assert_eq!(cache(&app.hello("fast").await), "miss");
    assert_eq!(cache(&with_header(&app, "x-fulcrum-cache", "bypass").await), "bypass");
    assert_eq!(app.up.count(), 3);
    app.close().await;
}

#[tokio::test]
async fn refresh_calls_and_replaces_what_was_kept() {
    let app = TestApp::with(CACHED).await;
    app.hello("fast").await;
    app.up.next(Script::json(200, WHOLE.replace("Hello", "Goodbye")));
    assert_eq!(cache(&with_header(&app, "x-fulcrum-cache", "refresh").await), "miss");
    let third = app.hello("fast").await;
    assert_eq!(cache(&third), "hit");
    assert!(third.text().contains("Goodbye"));
    app.close().await;
}

#[tokio::test]
async fn only_never_calls() {
    let app = TestApp::with(CACHED).await;
    let none = with_header(&app, "x-fulcrum-cache", "only").await;
    assert_eq!(none.outcome(), "404 not_found");
    assert_eq!(app.up.count(), 0);
    app.hello("fast").await;
    assert_eq!(cache(&with_header(&app, "x-fulcrum-cache", "only").await), "hit");
    assert_eq!(app.up.count(), 1);
    app.close().await;
}

#[tokio::test]
async fn cache_control_is_heeded() {
    let app = TestApp::with(CACHED).await;
    assert_eq!(cache(&with_header(&app, "cache-control", "no-store").await), "miss");
    assert_eq!(cache(&app.hello("fast").await), "miss", "no-store stored nothing");
    assert_eq!(cache(&with_header(&app, "cache-control", "no-cache").await), "miss");
    assert_eq!(cache(&with_header(&app, "cache-control", "max-age=0").await), "miss");
    assert_eq!(cache(&with_header(&app, "cache-control", "max-age=3600").await), "hit");
    assert_eq!(cache(&with_header(&app, "cache-control", "no-store").await), "hit", "no-store may read");
    app.close().await;
}

#[tokio::test]
async fn a_word_that_the_cache_does_not_know_is_400() {
    let app = TestApp::with(CACHED).await;
    let answer = with_header(&app, "x-fulcrum-cache", "off").await;
    assert_eq!((answer.outcome().as_str(), answer.param().as_str()), ("400 invalid_request", "x-fulcrum-cache"));
    assert_eq!(app.up.count(), 0);
    app.close().await;
}

#[tokio::test]
async fn a_hit_crosses_keys_of_one_project_and_never_projects() {
    let app = TestApp::with(CACHED).await;
    assert_eq!(app.admin(Call::post("/api/v1/projects", &json!({"name": "elsewhere"}))).await.status, 201);
    let sister = app.new_key(&json!({"name": "sister"})).await;
    let stranger = app.new_key(&json!({"name": "stranger", "project": "elsewhere"})).await;
    app.hello("fast").await;
    assert_eq!(cache(&app.send(Call::chat(&hello("fast")).key(&sister)).await), "hit");
    assert_eq!(cache(&app.send(Call::chat(&hello("fast")).key(&stranger)).await), "miss");
    // Each caller gets its own form, in any order.
    assert_eq!(cache(&app.send(Call::chat(&hello("fast")).key(&stranger)).await), "hit");
    assert_eq!(cache(&app.hello("fast").await), "hit");
    assert_eq!(app.up.count(), 2);
    app.close().await;
}

#[tokio::test]
async fn a_cache_by_key_does_not_cross_keys() {
    let app = TestApp::with(&CACHED.replace("\"project\"", "\"key\"")).await;
    let sister = app.new_key(&json!({"name": "sister"})).await;
    app.hello("fast").await;
    assert_eq!(cache(&app.send(Call::chat(&hello("fast")).key(&sister)).await), "miss");
    assert_eq!(cache(&app.hello("fast").await), "hit");
    assert_eq!(cache(&app.send(Call::chat(&hello("fast")).key(&sister)).await), "hit");
    assert_eq!(app.up.count(), 2);
    app.close().await;
}

#[tokio::test]
async fn whatever_changes_an_answer_changes_its_key() {
    let app = TestApp::with(CACHED).await;
    app.hello("fast").await;
    let changes = [
        json!({"temperature": 0.5}),
        json!({"tools": [{"type": "function", "function": {"name": "f"}}]}),
        json!({"seed": 7}),
        json!({"n": 2}),
        json!({"response_format": {"type": "json_object"}}),
        json!({"a_field_nobody_knows": 1}),
        json!({"messages": [{"role": "user", "content": "Say hello "}]}),
        json!({"model": "spare"}),
    ];
    for change in &changes {
        let mut body = hello("fast");
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        assert_eq!(cache(&app.chat(&body).await), "miss", "{change}");
        assert_eq!(cache(&app.chat(&body).await), "hit", "{change}");
    }
    app.close().await;
}

#[tokio::test]
async fn what_does_not_change_an_answer_does_not_change_its_key() {
    let app = TestApp::with(CACHED).await;
    app.hello("fast").await;
    let body = r#" {"user":"u","messages":[ {"role":"user","content":"Say hello"} ],
        "metadata":{"a":"b"} , "model":"up/gpt-x"}"#;
    let again = app.send(Call::new("POST", "/v1/chat/completions", body).key(&app.key)).await;
    assert_eq!(cache(&again), "hit");
    app.close().await;
}

#[tokio::test]
async fn a_whole_answer_comes_back_as_a_stream() {
    let app = TestApp::with(CACHED).await;
    app.hello("fast").await;
    let answer = app.hello_stream("fast").await;
    assert_eq!((cache(&answer), answer.header("content-type")), ("hit", Some("text/event-stream")));
    assert!(answer.text().contains("Hello there.") && answer.text().ends_with("data: [DONE]\n\n"));
    assert!(!answer.text().contains("usage"));
    let mut asked = streamed(hello("fast"));
    asked["stream_options"] = json!({"include_usage": true});
    assert!(app.chat(&asked).await.text().contains("\"prompt_tokens\":9"));
    assert_eq!(app.up.count(), 1);
    app.close().await;
}

#[tokio::test]
async fn a_stream_comes_back_as_a_whole_answer() {
    let app = TestApp::with(CACHED).await;
    let first = app.hello_stream("fast").await;
    assert_eq!((cache(&first), first.text()), ("miss", without_usage().as_str()));
    let answer = app.hello("fast").await;
    assert_eq!(cache(&answer), "hit");
    let body = answer.json();
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["choices"][0]["message"], json!({"role": "assistant", "content": "Hello there.", "refusal": null}));
    assert_eq!(body["choices"][0]["finish_reason"], "stop");
    assert_eq!(body["usage"]["completion_tokens"], 3);
    assert_eq!(app.up.count(), 1);
    app.close().await;
}

#[tokio::test]
async fn a_stream_that_is_written_with_spaces_is_kept() {
    let app = TestApp::with(CACHED).await;
    app.up.next(Script::stream(EVENTS.map(|event| event.replace("\":", "\": "))));
    assert_eq!(cache(&app.hello_stream("fast").await), "miss");
    assert_eq!(cache(&app.hello("fast").await), "hit");
    app.close().await;
}

#[tokio::test]
async fn a_cut_answer_is_never_kept() {
    let app = TestApp::with(CACHED).await;
    let unfinished = WHOLE.replace("\"finish_reason\":\"stop\"", "\"finish_reason\":null");
    let early_done = [EVENTS[0], EVENTS[1], EVENTS[6]];
    for (name, stream, script) in [
        ("a reset", true, Script::sse().chunks(&EVENTS[..4]).reset()),
        ("an end without [DONE]", true, Script::stream(&EVENTS[..6])),
        ("a [DONE] without a finish", true, Script::stream(early_done)),
        ("an error event", true, Script::stream([EVENTS[0], "data: {\"error\":{\"message\":\"boom\"}}\n\n"])),
        ("no finish reason", false, Script::json(200, unfinished)),
        ("no choices", false, Script::json(200, WHOLE.replace("[{\"index\"", "[],\"x\":[{\"index\""))),
        ("an error", false, Script::error(500, "down")),
        ("a refusal", false, Script::error(400, "no")),
    ] {
        app.up.next(script);
        let body = if stream { streamed(hello("fast")) } else { hello("fast") };
        assert_eq!(cache(&app.chat(&body).await), "miss", "{name}");
        let only = with_header(&app, "x-fulcrum-cache", "only").await;
        assert_eq!(only.outcome(), "404 not_found", "{name} was stored");
    }
    app.close().await;
}

#[tokio::test]
async fn a_fallbacks_answer_is_not_kept_as_the_first_targets() {
    let app = TestApp::with(
        "[[routes]]\nname = \"r\"\nmodels = [\"auto\"]\nretries = 0\ntargets = [{ model = \"fast\" }]\n\
         fallbacks = [\"spare\"]\ncache = { mode = \"exact\", ttl = \"1h\", scope = \"project\" }\n",
    )
    .await;
    app.up.next(Script::error(500, "down"));
    assert_eq!(app.hello("auto").await.header("x-fulcrum-model"), Some("other/spare-x"));
    let again = app.hello("auto").await;
    assert_eq!((cache(&again), again.header("x-fulcrum-model")), ("miss", Some("up/gpt-x")));
    app.close().await;
}

#[tokio::test]
async fn a_purge_forgets() {
    let app = TestApp::with(CACHED).await;
    for (purge, purged) in [
        (json!({"all": true}), 1),
        (json!({"model": "up/gpt-x"}), 1),
        (json!({"project": "default"}), 1),
        (json!({"model": "other/spare-x"}), 0),
    ] {
        app.hello("fast").await;
        let answer = app.admin(Call::post("/api/v1/cache/purge", &purge)).await;
        assert_eq!((answer.status, answer.json()["purged"].clone()), (200, json!(purged)), "{purge}");
        assert_eq!(cache(&app.hello("fast").await), if purged == 1 { "miss" } else { "hit" }, "{purge}");
    }
    app.close().await;
}

/// A hundred equal calls at once, while the first's answer waits at a gate.
async fn hundred(app: &TestApp, body: &Value, gate: &Arc<Semaphore>) -> Vec<Answer> {
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..100 {
        calls.spawn(Open::of_call(app.address, Call::chat(body).key(&app.key)));
    }
    app.up.until("the one call goes out", |received| received.len() == 1).await;
    let deadline = tokio::time::Instant::now() + crate::client::PATIENCE;
    while app.metric("fulcrum_requests_in_flight", "").await < 100.0 {
        assert!(tokio::time::Instant::now() < deadline, "not all calls were admitted");
        tokio::task::yield_now().await;
    }
    gate.add_permits(1);
    calls.join_all().await
}

async fn check_hundred(app: &TestApp, answers: &[Answer]) {
    assert_eq!(app.up.count(), 1, "one call goes out");
    for state in [("miss", 1), ("coalesced", 99)] {
        assert_eq!(answers.iter().filter(|answer| cache(answer) == state.0).count(), state.1, "{state:?}");
    }
    let rows = app.rows(100).await;
    assert!(rows.iter().all(|row| row["status"] == "ok"));
    let paid = rows.iter().filter(|row| row["cost_usd"] != "0").count();
    assert_eq!(paid, 1, "one of them paid");
    for answer in answers {
        let row = app.row(answer.id()).await;
        assert_eq!(row["cache"], cache(answer));
        assert_eq!(row["attempts"].as_array().unwrap().len(), usize::from(cache(answer) == "miss"));
    }
}

#[tokio::test]
async fn a_hundred_equal_calls_at_once_are_one_call_and_a_hundred_rows() {
    let app = TestApp::with(CACHED).await;
    let gate = Arc::new(Semaphore::new(0));
    app.up.next(Script::default().gate(&gate).then(Script::json(200, WHOLE)));
    let answers = hundred(&app, &hello("fast"), &gate).await;
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.text() == WHOLE));
    check_hundred(&app, &answers).await;
    app.close().await;
}

#[tokio::test]
async fn a_hundred_equal_streams_at_once_are_one_stream_and_a_hundred_rows() {
    let app = TestApp::with(CACHED).await;
    let gate = Arc::new(Semaphore::new(0));
    app.up.next(Script::sse().chunks(&EVENTS[..3]).gate(&gate).chunks(&EVENTS[3..]).ended());
    let answers = hundred(&app, &streamed(hello("fast")), &gate).await;
    for answer in &answers {
        assert_eq!(answer.text(), without_usage());
    }
    check_hundred(&app, &answers).await;
    app.close().await;
}

#[tokio::test]
async fn followers_of_a_stream_that_breaks_are_told_so() {
    let app = TestApp::with(CACHED).await;
    let gate = Arc::new(Semaphore::new(0));
    app.up.next(Script::sse().chunks(&EVENTS[..3]).gate(&gate).reset());
    let call = Call::chat(&streamed(hello("fast"))).key(&app.key);
    let mut first = app.open(&call).await;
    first.until("Hello").await;
    let mut second = app.open(&call).await;
    assert_eq!(second.header("x-fulcrum-cache"), Some("coalesced"));
    second.until("Hello").await;
    gate.add_permits(1);
    for open in [first, second] {
        let answer = open.rest().await;
        assert!(answer.text().contains("\"error\"") && !answer.text().contains("[DONE]"), "{}", answer.text());
        assert_eq!(app.row(answer.id()).await["status"], "error");
    }
    app.close().await;
}

#[tokio::test]
async fn a_lead_that_hangs_up_does_not_take_its_followers_along() {
    let app = TestApp::with(CACHED).await;
    let gate = Arc::new(Semaphore::new(0));
    app.up.next(Script::sse().chunks(&EVENTS[..3]).gate(&gate).chunks(&EVENTS[3..]).ended());
    let call = Call::chat(&streamed(hello("fast"))).key(&app.key);
    let mut first = app.open(&call).await;
    first.until("Hello").await;
    let mut second = app.open(&call).await;
    second.until("Hello").await;
    drop(first);
    gate.add_permits(1);
    assert!(second.rest().await.text().ends_with("[DONE]\n\n"));
    assert_eq!(app.up.count(), 1);
    app.close().await;
}

#[tokio::test]
async fn a_shared_call_ends_when_its_last_caller_hangs_up() {
    let app = TestApp::with(CACHED).await;
    app.up.next(Script::sse().chunks(&EVENTS[..3]).stall());
    let mut open = app.open(&Call::chat(&streamed(hello("fast"))).key(&app.key)).await;
    let id = open.header("x-fulcrum-request-id").unwrap().to_owned();
    open.until("Hello").await;
    drop(open);
    app.up.until("the gateway hangs up", |received| received[0].closed).await;
    assert_eq!(app.row(&id).await["status"], "client_closed");
    app.close().await;
}

#[tokio::test]
async fn a_reload_keeps_what_was_kept() {
    let app = TestApp::with(CACHED).await;
    app.hello("fast").await;
    app.reload(CACHED).await;
    assert_eq!(cache(&app.hello("fast").await), "hit");
    app.close().await;
}

#[tokio::test]
async fn fifty_shared_streams_all_end_well_and_are_kept() {
    let app = TestApp::with(CACHED).await;
    for seed in 0..50 {
        let mut body = streamed(hello("fast"));
        body["seed"] = seed.into();
        assert_eq!(app.chat(&body).await.text(), without_usage(), "stream {seed}");
    }
    let stats = app.admin(Call::get("/api/v1/cache")).await.json();
    assert_eq!(stats["stored"], 50, "{stats:#}");
    app.close().await;
}

#[tokio::test]
async fn followers_get_the_form_that_they_asked_for() {
    let app = TestApp::with(CACHED).await;
    for lead_streams in [true, false] {
        let gate = Arc::new(Semaphore::new(0));
        let script = match lead_streams {
            true => Script::sse().chunks(&EVENTS[..3]).gate(&gate).chunks(&EVENTS[3..]).ended(),
            false => Script::default().gate(&gate).then(Script::json(200, WHOLE)),
        };
        app.up.next(script);
        let before = app.up.count();
        let call = |stream: bool| {
            let mut body = hello("fast");
            body["seed"] = u64::from(lead_streams).into();
            Call::chat(&if stream { streamed(body) } else { body }).key(&app.key)
        };
        let lead = tokio::spawn(Open::of_call(app.address, call(lead_streams)));
        app.up.until("the lead is under way", |received| received.len() > before).await;
        let follower = tokio::spawn(Open::of_call(app.address, call(!lead_streams)));
        let deadline = tokio::time::Instant::now() + crate::client::PATIENCE;
        while app.metric("fulcrum_requests_in_flight", "").await < 2.0 {
            assert!(tokio::time::Instant::now() < deadline, "the follower was not admitted");
            tokio::task::yield_now().await;
        }
        gate.add_permits(1);
        let (lead, follower) = (lead.await.unwrap(), follower.await.unwrap());
        assert_eq!((cache(&lead), cache(&follower)), ("miss", "coalesced"));
        for (answer, stream) in [(&lead, lead_streams), (&follower, !lead_streams)] {
            assert_eq!(answer.text().ends_with("data: [DONE]\n\n"), stream, "{}", answer.text());
            assert!(answer.text().contains("Hello"));
        }
        let whole = if lead_streams { &follower } else { &lead };
        assert_eq!(whole.json()["choices"][0]["message"]["content"], "Hello there.");
        let row = app.row(follower.id()).await;
        assert_eq!((&row["status"], &row["saved_usd"]), (&json!("ok"), &json!("0.000015")));
    }
    app.close().await;
}

#[tokio::test]
async fn a_limit_of_the_callers_own_is_one_on_a_cached_route_too() {
    let app = TestApp::with(CACHED).await;
    for body in [hello("fast"), streamed(hello("fast"))] {
        app.up.next(Script::default().stall());
        let answer = app.send(Call::chat(&body).key(&app.key).header("x-fulcrum-timeout", "300ms")).await;
        assert_eq!(answer.outcome(), "408 request_timeout");
        assert_eq!(answer.header("x-fulcrum-attempts"), Some("1"));
        let row = app.row(answer.id()).await;
        assert_eq!((&row["http_status"], &row["error_code"]), (&json!(408), &json!("request_timeout")));
    }
    app.close().await;
}

#[tokio::test]
async fn followers_of_a_lead_that_ran_out_of_its_own_time_share_the_next_call() {
    let app = TestApp::with(CACHED).await;
    let gate = Arc::new(Semaphore::new(0));
    app.up.next(Script::default().stall());
    app.up.next(Script::default().gate(&gate).then(Script::json(200, WHOLE)));
    let call = Call::chat(&hello("fast")).key(&app.key);
    let lead = tokio::spawn(Open::of_call(app.address, call.clone().header("x-fulcrum-timeout", "1s")));
    app.up.until("the lead is under way", |received| received.len() == 1).await;
    let followers: Vec<_> = (0..3).map(|_| tokio::spawn(Open::of_call(app.address, call.clone()))).collect();
    let deadline = tokio::time::Instant::now() + crate::client::PATIENCE;
    while app.metric("fulcrum_requests_in_flight", "").await < 4.0 {
        assert!(tokio::time::Instant::now() < deadline, "the followers were not admitted");
        tokio::task::yield_now().await;
    }
    assert_eq!(lead.await.unwrap().outcome(), "408 request_timeout");
    app.up.until("one call for all followers", |received| received.len() == 2).await;
    gate.add_permits(1);
    for follower in followers {
        let answer = follower.await.unwrap();
        assert_eq!((answer.status, answer.text()), (200, WHOLE));
    }
    assert_eq!(app.up.count(), 2);
    app.close().await;
}

#[tokio::test]
async fn an_error_of_a_shared_call_is_that_of_a_plain_one() {
    let plain = TestApp::start().await;
    let shared = TestApp::with(CACHED).await;
    let limited = |app: &TestApp| Call::chat(&streamed(hello("fast"))).key(&app.key).header("x-fulcrum-timeout", "1s");
    let mut seen = Vec::new();
    for app in [&plain, &shared] {
        let mut told = Vec::new();
        for script in [Script::sse().chunks(&EVENTS[..3]).stall(), Script::sse().chunks(&EVENTS[..3]).reset()] {
            app.up.next(script);
            let answer = app.send(limited(app)).await;
            let row = app.row(answer.id()).await;
            let last = answer.text().rsplit("data: ").next().unwrap_or_default();
            let error: Value = serde_json::from_str(last.trim()).unwrap();
            told.push((error["error"]["code"].clone(), error["error"]["type"].clone(), row["error_code"].clone()));
        }
        app.up.next(Script::error(400, "no"));
        let answer = app.send(limited(app)).await;
        let attempts = answer.header("x-fulcrum-attempts").map(str::to_owned);
        told.push((answer.status.into(), answer.code().into(), attempts.into()));
        seen.push(told);
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[1][0].0, "request_timeout");
    plain.close().await;
    shared.close().await;
}

/// Answers that did not end as an answer should, by provider: whole, and as a stream's last words.
fn badly_ended() -> Vec<(&'static str, Value, Vec<Value>)> {
    let chat = |reason: Value| {
        let whole = json!({"id": "c", "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": reason}]});
        let events = vec![
            json!({"id": "c", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hi"}, "finish_reason": null}]}),
            json!({"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}),
            json!("[DONE]"),
        ];
        ("plain", whole, events)
    };
    let gemini = |reason: &str| {
        let whole = json!({"candidates": [{"content": {"parts": [{"text": "Hi"}]}, "finishReason": reason}]});
        ("gem", whole.clone(), vec![whole])
    };
    let claude = |reason: Value| {
        let whole =
            json!({"id": "m", "type": "message", "content": [{"type": "text", "text": "Hi"}], "stop_reason": reason});
        let events = vec![
            json!({"type": "message_start", "message": {"id": "m", "content": []}}),
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "Hi"}}),
            json!({"type": "content_block_stop", "index": 0}),
            json!({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 1}}),
            json!({"type": "message_stop"}),
        ];
        ("claude", whole, events)
    };
    let answers = |kind: &str, status: &str, why: Value| {
        let name = if kind == "refusal" { "refusal" } else { "text" };
        let whole = json!({"id": "r", "status": status, "incomplete_details": why, "output": [
            {"type": "message", "id": "m", "role": "assistant", "content": [{"type": kind, name: "Hi"}]}]});
        let created = json!({"type": "response.created", "sequence_number": 0, "response": {"id": "r", "status": "in_progress", "output": []}});
        let last = json!({"type": format!("response.{status}"), "sequence_number": 1, "response": whole});
        ("answers", whole, vec![created, last])
    };
    let refused = json!({"id": "c", "choices": [{"index": 0, "message": {"role": "assistant", "content": null, "refusal": "No"}, "finish_reason": "stop"}]});
    let refusing = vec![
        json!({"id": "c", "choices": [{"index": 0, "delta": {"role": "assistant", "refusal": "No"}, "finish_reason": null}]}),
        json!({"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}),
        json!("[DONE]"),
    ];
    vec![
        chat(json!("content_filter")),
        chat(json!("who_knows")),
        chat(Value::Null),
        ("plain", refused, refusing),
        gemini("SAFETY"),
        gemini("RECITATION"),
        gemini("PROHIBITED_CONTENT"),
        gemini("WHO_KNOWS"),
        claude(json!("refusal")),
        claude(json!("pause_turn")),
        claude(json!("who_knows")),
        answers("refusal", "completed", Value::Null),
        answers("output_text", "incomplete", json!({"reason": "content_filter"})),
    ]
}

#[tokio::test]
async fn an_answer_that_ended_badly_is_stored_neither_whole_nor_streamed() {
    let app =
        TestApp::with(&format!("{PROVIDERS}cache = {{ mode = \"exact\", ttl = \"1h\", scope = \"project\" }}\n")).await;
    let event = |value: &Value| match value.as_str() {
        Some(text) => format!("data: {text}\n\n"),
        None => format!("data: {value}\n\n"),
    };
    for (n, (provider, whole, events)) in badly_ended().into_iter().enumerate() {
        for (client, stream) in CLIENTS.into_iter().flat_map(|client| [(client, false), (client, true)]) {
            let streamed = Script::stream(events.iter().map(event));
            app.up.next(if stream { streamed } else { Script::json(200, whole.to_string()) });
            let model = format!("{provider}/m{n}");
            let ask = |cache: &str| call(client, &model, stream).key(&app.key).header("x-fulcrum-cache", cache);
            let answer = app.send(ask("refresh")).await;
            assert_eq!(answer.status, 200, "{client} {model} {whole}: {}", answer.text());
            let only = app.send(ask("only")).await;
            assert_eq!(only.status, 404, "{client} {model} {stream} {whole} was stored");
        }
    }
    app.close().await;
}

#[tokio::test]
async fn an_answer_that_ended_well_is_stored_whole_and_streamed() {
    let app =
        TestApp::with(&format!("{PROVIDERS}cache = {{ mode = \"exact\", ttl = \"1h\", scope = \"project\" }}\n")).await;
    for answering in &ANSWERING {
        for (client, stream) in CLIENTS.into_iter().flat_map(|client| [(client, false), (client, true)]) {
            let streamed = answering.streamed(answering.stream.len());
            app.up.next(if stream { streamed } else { Script::json(200, answering.whole) });
            let ask =
                |cache: &str| call(client, answering.model, stream).key(&app.key).header("x-fulcrum-cache", cache);
            assert_eq!(app.send(ask("refresh")).await.status, 200);
            let only = app.send(ask("only")).await;
            assert_eq!(only.status, 200, "{client} {} {stream}: {}", answering.model, only.text());
        }
    }
    app.close().await;
}
