//! Calls all of whose targets cool: who is called all the same, how many at once, and what their callers get.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::app::{OTHER_KEY, TestApp, UP_KEY, hello, streamed};
use crate::client::{Answer, Call, Open};
use crate::upstream::{EVENTS, Script, WHOLE};

#[tokio::test]
async fn a_lone_target_that_fails_answers_for_itself_the_tenth_time_too() {
    let named = "retry-after: 7\r\ncontent-type: application/json\r\n";
    let body = r#"{"error":{"message":"no room","type":"overloaded_error","code":"their_own"}}"#;
    for (script, outcome, wait) in [
        (Script::error(500, "down"), "500 upstream_error", None),
        (Script::reply(529, "content-type: application/json\r\n", body), "529 their_own", None),
        (Script::reply(529, named, body), "529 their_own", Some("7")),
        (Script::throttled(""), "429 upstream_rate_limited", None),
        (Script::error(402, "Insufficient Balance"), "402 upstream_error", None),
        (Script::error(404, "no such model"), "404 upstream_error", None),
        (Script::error(410, "retired"), "410 upstream_error", None),
        (
            Script::json(400, r#"{"error":{"message":"no","code":"model_decommissioned"}}"#),
            "400 model_decommissioned",
            None,
        ),
    ] {
        let app = TestApp::start().await;
        app.up.always(script);
        for n in 0..12 {
            let answer = app.hello("fast").await;
            assert_eq!((answer.outcome().as_str(), answer.header("retry-after")), (outcome, wait), "call {n}");
        }
        assert_eq!(app.up.count(), 12);
        app.close().await;
    }
}

/// Sends so many calls of a key at once.
fn at_once(app: &TestApp, (key, count): (&str, usize), model: &str) -> JoinSet<Answer> {
    let mut calls = JoinSet::new();
    for _ in 0..count {
        calls.spawn(Open::of_call(app.address, Call::chat(&hello(model)).key(key)));
    }
    calls
}

#[tokio::test]
async fn callers_of_a_target_that_is_down_meet_it_one_at_a_time_and_each_gets_its_answer() {
    let app = TestApp::start().await;
    app.up.always(Script::error(500, "down"));
    for _ in 0..5 {
        app.hello("fast").await;
    }
    let gate = Arc::new(Semaphore::new(0));
    app.up.always(Script::default().gate(&gate).then(Script::error(500, "still down")));
    let calls = at_once(&app, (&app.key, 6), "fast");
    for n in 1..=6 {
        app.up.until("the next call comes", |received| received.len() == 5 + n).await;
        // Time enough for another to come along.
        for _ in 0..5 {
            assert_eq!(app.hello("spare").await.status, 200);
        }
        assert_eq!(app.up.count(), 5 + n, "one at a time");
        gate.add_permits(1);
    }
    for answer in calls.join_all().await {
        assert_eq!(answer.outcome(), "500 upstream_error", "{}", answer.text());
        assert!(answer.text().contains("still down"));
    }
    app.close().await;
}

#[tokio::test]
async fn a_target_that_recovers_serves_all_who_waited() {
    let app = TestApp::start().await;
    app.up.always(Script::error(500, "down"));
    for _ in 0..5 {
        app.hello("fast").await;
    }
    let gate = Arc::new(Semaphore::new(0));
    app.up.next(Script::default().gate(&gate).then(Script::json(200, WHOLE)));
    app.up.always(Script::json(200, WHOLE));
    let calls = at_once(&app, (&app.key, 12), "fast");
    app.up.until("the probe comes", |received| received.len() == 6).await;
    gate.add_permits(1);
    assert!(calls.join_all().await.iter().all(|answer| answer.status == 200));
    assert_eq!(app.up.count(), 17);
    app.close().await;
}

#[tokio::test]
async fn one_keys_wait_at_a_target_holds_no_other_keys_call_back() {
    let app = TestApp::start().await;
    let other = app.new_key(&json!({"name": "other", "project": "b"})).await;
    let refused = Script::raw("").reset();
    app.up.always(refused);
    for key in [&app.key, &other, &app.key, &other, &app.key, &other] {
        app.send(Call::chat(&hello("fast")).key(key)).await;
    }
    let gate = Arc::new(Semaphore::new(0));
    app.up.always(Script::default().gate(&gate).then(Script::error(500, "down")));
    let mut calls = at_once(&app, (&app.key, 3), "fast");
    app.up.until("a call of the first key comes", |received| received.len() == 7).await;
    let others = at_once(&app, (&other, 1), "fast");
    app.up.until("the other key's call comes too", |received| received.len() == 8).await;
    gate.add_permits(9);
    assert_eq!(others.join_all().await[0].status, 500);
    while let Some(answer) = calls.join_next().await {
        assert_eq!(answer.unwrap().status, 500);
    }
    app.close().await;
}

#[tokio::test]
async fn a_pause_that_the_provider_asked_for_is_kept_without_a_call() {
    for all_cooling in ["try", "refuse"] {
        let app = TestApp::with(&format!("[defaults]\nretries = 0\nall_cooling = \"{all_cooling}\"\n")).await;
        app.up.next(Script::throttled("retry-after: 30\r\n"));
        let first = app.hello("fast").await;
        assert_eq!((first.outcome().as_str(), first.header("retry-after")), ("429 upstream_rate_limited", Some("30")));
        for body in [hello("fast"), streamed(hello("fast"))] {
            let again = app.chat(&body).await;
            assert_eq!(again.outcome(), "429 upstream_rate_limited", "{all_cooling}");
            let left: u64 = again.header("retry-after").unwrap().parse().unwrap();
            assert!((25..=30).contains(&left), "{left}");
            let row = app.row(again.id()).await;
            assert_eq!((row["attempts"].as_array().unwrap().len(), &row["cost_usd"]), (0, &json!("0")));
        }
        assert_eq!(app.up.count(), 1, "nothing is sent in a pause");
        app.close().await;
    }
}

#[tokio::test]
async fn a_target_that_is_down_is_called_rather_than_one_that_asked_for_a_pause() {
    let route = "[[routes]]\nname = \"r\"\nretries = 0\ntargets = [{ model = \"fast\" }]\nfallbacks = [\"spare\"]\n";
    let app = TestApp::with(route).await;
    app.up.next(Script::throttled("retry-after: 50\r\n"));
    for _ in 0..5 {
        app.other.next(Script::error(500, "down"));
        assert_eq!(app.hello("any").await.status, 500);
    }
    let answer = app.hello("any").await;
    assert_eq!((answer.status, answer.header("x-fulcrum-model")), (200, Some("other/spare-x")), "{}", answer.text());
    assert_eq!(app.up.count(), 1);
    app.close().await;
}

#[tokio::test]
async fn a_provider_key_that_is_limited_rests_and_another_is_used() {
    let app = TestApp::start().await;
    app.up.next(Script::throttled("retry-after: 60\r\n"));
    let answer = app.hello("pair/gpt-x").await;
    assert_eq!((answer.status, answer.header("x-fulcrum-attempts")), (200, Some("2")), "{}", answer.text());
    for _ in 0..6 {
        assert_eq!(app.hello("pair/gpt-x").await.header("x-fulcrum-attempts"), Some("1"));
    }
    let heads: Vec<String> = app.up.received().into_iter().map(|one| one.head).collect();
    let with = |secret: &str| heads.iter().filter(|head| head.contains(secret)).count();
    let (first, second) = (with(UP_KEY), with(OTHER_KEY));
    assert_eq!((first.min(second), first.max(second)), (1, 7));
    let row = app.row(answer.id()).await;
    assert_eq!(
        (&row["attempts"][0]["error_code"], &row["attempts"][0]["cost_usd"]),
        (&json!("upstream_rate_limited"), &json!("0"))
    );
    let health = app.admin(Call::get("/api/v1/health")).await.json();
    assert_eq!(health["rows"], json!([]), "the target itself is well");
    // Now the other rests too: the target is quiet for the shorter time.
    app.up.next(Script::throttled("retry-after: 20\r\n"));
    let both = app.hello("pair/gpt-x").await;
    assert_eq!((both.outcome().as_str(), both.header("retry-after")), ("429 upstream_rate_limited", Some("20")));
    assert_eq!(app.hello("pair/gpt-x").await.outcome(), "429 upstream_rate_limited");
    assert_eq!(app.up.count(), 9, "nothing is sent while all keys rest");
    app.close().await;
}

#[tokio::test]
async fn a_stream_through_a_cooling_target_is_a_probe_until_its_first_token() {
    let app = TestApp::start().await;
    app.up.always(Script::error(500, "down"));
    for _ in 0..5 {
        app.hello("fast").await;
    }
    let gate = Arc::new(Semaphore::new(0));
    app.up.next(Script::sse().chunks(&EVENTS[..2]).gate(&gate).chunks(&EVENTS[2..]).ended());
    app.up.always(Script::json(200, WHOLE));
    let open = app.open(&Call::chat(&streamed(hello("fast"))).key(&app.key)).await;
    assert_eq!(open.status, 200);
    assert_eq!(app.hello("fast").await.status, 200, "the target is known to be well before the stream ends");
    gate.add_permits(1);
    assert!(open.rest().await.text().ends_with("[DONE]\n\n"));
    app.close().await;
}

#[tokio::test]
async fn a_callers_own_limit_cools_nothing() {
    let app = TestApp::start().await;
    app.up.always(Script::default().stall());
    for _ in 0..8 {
        let call = Call::chat(&hello("fast")).key(&app.key).header("x-fulcrum-timeout", "10ms");
        assert_eq!(app.send(call).await.outcome(), "408 request_timeout");
    }
    let health = app.admin(Call::get("/api/v1/health")).await.json();
    assert_eq!(health["rows"], json!([]));
    app.close().await;
}

#[tokio::test]
async fn a_target_that_breaks_every_stream_after_its_first_words_cools_and_the_next_is_asked() {
    let begun = || Script::sse().chunks(&EVENTS[..3]);
    let error = "data: {\"error\":{\"message\":\"out of memory\",\"type\":\"server_error\"}}\n\n";
    for (model, script) in [
        ("fast", begun().fin()),
        ("fast", begun().reset()),
        ("fast", begun().ended()),
        ("fast", begun().chunks([error]).ended()),
        ("hasty/x", begun().stall()),
    ] {
        let route = format!(
            "[[routes]]\nname = \"r\"\nstrategy = \"priority\"\nretries = 0\ntargets = [{{ model = \"{model}\" }}, {{ model = \"spare\" }}]\n"
        );
        let app = TestApp::with(&route).await;
        app.up.always(script);
        let mut broken = 0;
        for n in 0..12 {
            let answer = app.chat(&streamed(hello("any"))).await;
            if answer.text().ends_with("[DONE]\n\n") {
                assert_eq!(answer.header("x-fulcrum-model"), Some("other/spare-x"), "{model} {n}");
            } else {
                broken += 1;
            }
        }
        assert!((5..=7).contains(&broken), "{model}: {broken} of 12 broke");
        assert!(app.other.count() >= 5);
        app.close().await;
    }
}

#[tokio::test]
async fn callers_that_hang_up_on_streams_cool_nothing() {
    let app = TestApp::start().await;
    app.up.always(Script::sse().chunks(&EVENTS[..3]).stall());
    for _ in 0..8 {
        let open = app.open(&Call::chat(&streamed(hello("fast"))).key(&app.key)).await;
        assert_eq!(open.status, 200);
        drop(open);
    }
    app.up.until("the gateway hangs up", |received| received.iter().filter(|one| one.closed).count() == 8).await;
    let health = app.admin(Call::get("/api/v1/health")).await.json();
    assert_eq!(health["rows"], json!([]));
    app.close().await;
}

#[tokio::test]
async fn a_caller_that_hangs_up_while_it_probes_holds_no_other_back() {
    let targets = "targets = [{ model = \"fast\" }, { model = \"spare\" }]\n";
    let app =
        TestApp::with(&format!("[[routes]]\nname = \"r\"\nstrategy = \"priority\"\nretries = 0\n{targets}")).await;
    for _ in 0..5 {
        app.up.next(Script::error(500, "down"));
        assert_eq!(app.hello("any").await.header("x-fulcrum-model"), Some("other/spare-x"));
    }
    app.up.next(Script::default().stall());
    app.up.always(Script::json(200, WHOLE));
    // Until the target has cooled, calls go to the other.
    while app.up.count() < 6 {
        tokio::select! {
            answer = app.hello("any") => assert_eq!(answer.header("x-fulcrum-model"), Some("other/spare-x")),
            () = app.up.until("the target is probed", |received| received.len() == 6) => {}
        }
    }
    app.up.until("the gateway hangs up on the probe", |received| received[5].closed).await;
    let mut calls = 0;
    while app.hello("any").await.header("x-fulcrum-model") == Some("other/spare-x") {
        calls += 1;
        assert!(calls < 40, "the target is not called, though nobody probes it");
    }
    app.close().await;
}
