//! A call with an idempotency-key is made once, whatever happens around it.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::app::{TestApp, hello, streamed};
use crate::binary::{Binary, config, fulcrum};
use crate::client::{Answer, Call, Open};
use crate::upstream::{EVENTS, Script, Upstream, WHOLE};

/// A chat call with the idempotency-key `once`.
fn keyed(app: &TestApp, body: &Value, once: &str) -> Call {
    Call::chat(body).key(&app.key).header("idempotency-key", once)
}

/// Checks that `again` is the answer `first` once more.
fn same(first: &Answer, again: &Answer) {
    assert_eq!((again.status, again.text()), (200, first.text()));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.header("x-fulcrum-original-request-id"), Some(first.id()));
    assert_ne!(again.id(), first.id(), "each request has a row of its own");
    for name in ["content-type", "x-fulcrum-model", "x-fulcrum-route"] {
        assert_eq!(again.header(name), first.header(name), "{name}");
    }
}

#[tokio::test]
async fn the_same_key_in_sequence_is_one_attempt_and_the_same_answer() {
    let app = TestApp::start().await;
    for body in [hello("fast"), streamed(hello("fast"))] {
        let before = app.up.count();
        let once = format!("key-{before}");
        let first = app.send(keyed(&app, &body, &once)).await;
        assert_eq!((first.status, first.header("idempotency-replayed")), (200, None), "{}", first.text());
        for _ in 0..3 {
            let again = app.send(keyed(&app, &body, &once)).await;
            same(&first, &again);
            let row = app.row(again.id()).await;
            assert_eq!((&row["status"], &row["model"]), (&json!("ok"), &json!("up/gpt-x")));
            assert_eq!((&row["cost_usd"], row["attempts"].as_array().unwrap().len()), (&json!("0"), 0));
        }
        assert_eq!(app.up.count(), before + 1);
    }
    app.close().await;
}

#[tokio::test]
async fn every_endpoint_and_every_route_with_a_cache_heeds_the_key() {
    let stored = "[defaults]\nretries = 0\n[[routes]]\nname = \"stored\"\nmodels = [\"stored\"]\ntargets = [{ model = \"fast\" }]\n\
                cache = { mode = \"exact\" }\n";
    let app = TestApp::with(stored).await;
    let says = json!([{"role": "user", "content": "Say hello"}]);
    for (path, body) in [
        ("/v1/chat/completions", streamed(hello("stored"))),
        ("/v1/chat/completions", hello("stored")),
        ("/v1/embeddings", json!({"model": "embed", "input": "x"})),
        ("/v1/messages", json!({"model": "fast", "max_tokens": 9, "messages": says})),
        ("/v1/messages", json!({"model": "fast", "max_tokens": 9, "stream": true, "messages": says})),
        ("/v1beta/models/fast:generateContent", json!({"contents": [{"role": "user", "parts": [{"text": "x"}]}]})),
    ] {
        let call =
            Call::post(path, &body).key(&app.key).header("idempotency-key", &format!("{path}{}", body["stream"]));
        let first = app.send(call.clone()).await;
        assert_eq!(first.status, 200, "{path}: {}", first.text());
        let before = app.up.count() + app.other.count();
        same(&first, &app.send(call).await);
        assert_eq!(app.up.count() + app.other.count(), before, "{path}");
    }
    app.close().await;
}

#[tokio::test]
async fn twenty_at_once_are_one_attempt_and_the_others_are_told_to_wait() {
    let app = TestApp::start().await;
    for body in [hello("fast"), streamed(hello("fast"))] {
        let gate = Arc::new(Semaphore::new(0));
        let answer = if body["stream"] == true { Script::stream(EVENTS) } else { Script::json(200, WHOLE) };
        app.up.next(Script::default().gate(&gate).then(answer));
        let before = app.up.count();
        let once = format!("at-once-{before}");
        let mut calls = JoinSet::new();
        for _ in 0..20 {
            calls.spawn(Open::of_call(app.address, keyed(&app, &body, &once)));
        }
        for _ in 0..19 {
            let refused = calls.join_next().await.unwrap().unwrap();
            assert_eq!(refused.outcome(), "409 idempotency_in_progress");
            assert_eq!((refused.header("retry-after"), refused.param().as_str()), (Some("1"), "idempotency-key"));
        }
        gate.add_permits(1);
        let first = calls.join_next().await.unwrap().unwrap();
        assert_eq!((first.status, app.up.count()), (200, before + 1));
        let mut again = JoinSet::new();
        for _ in 0..20 {
            again.spawn(Open::of_call(app.address, keyed(&app, &body, &once)));
        }
        again.join_all().await.iter().for_each(|again| same(&first, again));
    }
    app.close().await;
}

#[tokio::test]
async fn a_key_is_good_for_one_body_one_endpoint_and_one_virtual_key() {
    let app = TestApp::start().await;
    let first = app.send(keyed(&app, &hello("fast"), "k")).await;
    let mut other = hello("fast");
    other["seed"] = 1.into();
    for body in [other, streamed(hello("fast")), hello("spare")] {
        let refused = app.send(keyed(&app, &body, "k")).await;
        assert_eq!(refused.outcome(), "422 idempotency_mismatch", "{}", refused.text());
        assert_eq!(refused.header("x-fulcrum-original-request-id"), Some(first.id()));
        assert_eq!(app.row(refused.id()).await["error_code"], "idempotency_mismatch");
    }
    let embed = Call::post("/v1/embeddings", &json!({"model": "embed", "input": "x"})).key(&app.key);
    assert_eq!(app.send(embed.header("idempotency-key", "k")).await.status, 200);
    let stranger = app.new_key(&json!({"name": "stranger", "project": "elsewhere"})).await;
    let theirs = app.send(Call::chat(&hello("fast")).key(&stranger).header("idempotency-key", "k")).await;
    assert_eq!((theirs.status, theirs.header("idempotency-replayed")), (200, None));
    assert_eq!(app.up.count(), 3);
    app.close().await;
}

#[tokio::test]
async fn a_call_that_failed_is_made_again() {
    let app = TestApp::start().await;
    for (n, script) in [
        Script::error(500, "down"),
        Script::error(400, "no"),
        Script::throttled(""),
        Script::raw("no HTTP\r\n\r\n").fin(),
        Script::stream(&EVENTS[..3]),
    ]
    .into_iter()
    .enumerate()
    {
        let body = if n == 4 { streamed(hello("fast")) } else { hello("fast") };
        let once = format!("again-{n}");
        app.up.next(script);
        let failed = app.send(keyed(&app, &body, &once)).await;
        assert!(failed.status != 200 || failed.text().contains("\"error\""), "{}", failed.text());
        let second = app.send(keyed(&app, &body, &once)).await;
        assert_eq!((second.status, second.header("idempotency-replayed")), (200, None), "{n}: {}", second.text());
        same(&second, &app.send(keyed(&app, &body, &once)).await);
    }
    assert_eq!(app.send(keyed(&app, &json!({"model": "fast"}), "bad")).await.status, 400);
    assert_eq!(app.send(keyed(&app, &hello("fast"), "bad")).await.status, 200, "what was refused used no key");
    for bad in ["", &"k".repeat(256), "a\tb"] {
        let refused = app.send(keyed(&app, &hello("fast"), bad)).await;
        assert_eq!((refused.outcome().as_str(), refused.param().as_str()), ("400 invalid_request", "idempotency-key"));
    }
    app.close().await;
}

#[tokio::test]
async fn a_caller_who_hangs_up_gets_the_answer_when_he_comes_again() {
    let app = TestApp::start().await;
    for body in [hello("fast"), streamed(hello("fast"))] {
        let gate = Arc::new(Semaphore::new(0));
        let before = app.up.count();
        let once = format!("back-{before}");
        let call = keyed(&app, &body, &once);
        if body["stream"] == true {
            app.up.next(Script::sse().chunks(&EVENTS[..3]).gate(&gate).chunks(&EVENTS[3..]).ended());
            app.open(&call).await.until("Hello").await;
        } else {
            app.up.next(Script::default().gate(&gate).then(Script::json(200, WHOLE)));
            let waiting = tokio::spawn(Open::of_call(app.address, call.clone()));
            app.up.until("the call comes", |received| received.len() > before).await;
            waiting.abort();
        }
        assert_eq!(app.send(call.clone()).await.outcome(), "409 idempotency_in_progress");
        gate.add_permits(1);
        let answer = loop {
            let answer = app.send(call.clone()).await;
            if answer.status == 200 {
                break answer;
            }
            assert_eq!(answer.outcome(), "409 idempotency_in_progress");
        };
        assert!(answer.text().contains("there"), "{}", answer.text());
        assert_eq!((answer.header("idempotency-replayed"), app.up.count()), (Some("true"), before + 1));
    }
    app.close().await;
}

async fn ask(binary: &Binary, body: &Value, once: &str) -> Answer {
    binary.send(Call::chat(body).header("idempotency-key", once)).await
}

async fn killed_and_started(mut binary: Binary, dir: &Path) -> Binary {
    binary.kill();
    Binary::start(fulcrum(dir)).await
}

#[tokio::test]
async fn a_crash_makes_no_call_twice() {
    let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::start().await);
    std::fs::write(dir.path().join("fulcrum.toml"), config(up.address)).unwrap();
    let binary = Binary::start(fulcrum(dir.path())).await;
    let answered = ask(&binary, &hello("fast"), "answered").await;
    let streaming = ask(&binary, &streamed(hello("fast")), "streamed").await;
    up.next(Script::default().stall());
    let cut = tokio::spawn({
        let call = Call::chat(&hello("fast")).key(crate::app::ADMIN).header("idempotency-key", "cut");
        let address = binary.address;
        async move { Open::send(address, &call).await.is_err() }
    });
    up.until("the call comes", |received| received.len() == 3).await;
    let binary = killed_and_started(binary, dir.path()).await;
    assert!(cut.await.unwrap(), "no answer came");
    same(&answered, &ask(&binary, &hello("fast"), "answered").await);
    same(&streaming, &ask(&binary, &streamed(hello("fast")), "streamed").await);
    for _ in 0..2 {
        let refused = ask(&binary, &hello("fast"), "cut").await;
        assert_eq!(refused.outcome(), "409 conflict", "{}", refused.text());
        assert_eq!(refused.header("x-should-retry"), Some("false"));
        let first = refused.header("x-fulcrum-original-request-id").unwrap();
        assert_eq!(binary.send(Call::get(&format!("/api/v1/requests/{first}"))).await.json()["status"], "unknown");
    }
    assert_eq!(up.count(), 3, "each call was made once");
}
