//! Retries, cooling and fallbacks.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::app::{TestApp, hello};
use crate::client::{Call, PATIENCE};
use crate::upstream::{EVENTS, Script};

const RETRIES: &str = "[defaults]\nretries = 2\n";

#[tokio::test]
async fn a_reset_before_the_head_is_retried_once_with_two_rows_and_one_answer() {
    let app = TestApp::with(RETRIES).await;
    app.up.next(Script::default().reset());
    let answer = app.hello("fast").await;
    assert_eq!((answer.status, answer.header("x-fulcrum-attempts")), (200, Some("2")));
    let row = app.row(answer.id()).await;
    assert_eq!(row["attempts"].as_array().unwrap().len(), 2);
    assert_eq!(row["attempts"][0]["retryable"], true);
    assert_eq!((&row["input_tokens"], &row["output_tokens"]), (&9.into(), &3.into()), "only the answer's tokens");
    app.close().await;
}

#[tokio::test]
async fn a_server_error_is_retried_as_often_as_configured() {
    let app = TestApp::with(RETRIES).await;
    for _ in 0..3 {
        app.up.next(Script::error(503, "busy"));
    }
    let answer = app.hello("fast").await;
    assert_eq!(answer.outcome(), "503 upstream_error");
    assert_eq!(answer.header("x-should-retry"), Some("false"), "we have retried already");
    assert_eq!(answer.header("x-fulcrum-attempts"), Some("3"));
    assert_eq!(app.up.count(), 3);
    let row = app.row(answer.id()).await;
    assert_eq!(row["cost_usd"], "0", "a 503 costs nothing");
    app.close().await;
}

#[tokio::test]
async fn no_retries_means_one_attempt_and_no_word_against_the_callers_own() {
    let app = TestApp::start().await;
    app.up.next(Script::error(500, "oops"));
    let answer = app.hello("fast").await;
    assert_eq!((answer.outcome().as_str(), answer.header("x-should-retry")), ("500 upstream_error", None));
    assert_eq!(app.up.count(), 1);
    app.close().await;
}

#[tokio::test]
async fn a_client_error_is_never_retried() {
    let app = TestApp::with(RETRIES).await;
    for status in [400, 404, 413, 422] {
        app.up.next(Script::error(status, "no"));
        assert_eq!(app.hello("fast").await.status, status);
    }
    assert_eq!(app.up.count(), 4);
    app.close().await;
}

#[tokio::test]
async fn an_error_event_before_the_first_chunk_is_retried() {
    let app = TestApp::with(RETRIES).await;
    app.up.next(Script::stream(["data: {\"error\":{\"message\":\"overloaded\"}}\n\n"]));
    let answer = app.hello_stream("fast").await;
    assert_eq!(answer.status, 200);
    assert!(answer.text().ends_with("data: [DONE]\n\n"));
    assert_eq!(app.up.count(), 2);
    app.close().await;
}

#[tokio::test]
async fn a_stream_that_ends_before_it_begins_is_retried() {
    let app = TestApp::with(RETRIES).await;
    app.up.next(Script::stream([": ping\n\n"]));
    assert!(app.hello_stream("fast").await.text().ends_with("data: [DONE]\n\n"));
    assert_eq!(app.up.count(), 2);
    app.close().await;
}

#[tokio::test]
async fn a_stream_that_has_begun_is_never_retried() {
    let app = TestApp::with(RETRIES).await;
    app.up.next(Script::sse().chunks(&EVENTS[..2]).reset());
    let answer = app.hello_stream("fast").await;
    assert!(answer.text().contains("\"error\""), "{}", answer.text());
    assert_eq!(app.up.count(), 1);
    app.close().await;
}

#[tokio::test]
async fn a_429_that_names_a_short_wait_is_asked_again() {
    for header in [
        "retry-after: 0\r\n",
        "retry-after: 0.05\r\n",
        "retry-after-ms: 10\r\n",
        "retry-after: Thu, 01 Jan 1970 00:00:00 GMT\r\n",
    ] {
        let app = TestApp::with(RETRIES).await;
        app.up.next(Script::throttled(header));
        let answer = app.hello("fast").await;
        assert_eq!((answer.status, answer.header("x-fulcrum-attempts")), (200, Some("2")), "{header}");
        app.close().await;
    }
}

#[tokio::test]
async fn a_429_that_names_a_long_wait_or_none_goes_back_with_it() {
    for (header, named) in [
        ("retry-after: 3600\r\n", Some("3600")),
        ("retry-after: soon\r\n", None),
        ("retry-after: -1\r\n", None),
        ("retry-after: 1e300\r\n", Some("3600")),
        ("", None),
    ] {
        let app = TestApp::with(RETRIES).await;
        app.up.next(Script::throttled(header));
        let answer = app.hello("fast").await;
        assert_eq!(answer.outcome(), "429 upstream_rate_limited", "{header}");
        assert_eq!(answer.header("retry-after"), named, "{header}");
        assert_eq!(app.up.count(), 1, "{header}");
        app.close().await;
    }
}

#[tokio::test]
async fn a_429_that_names_a_far_date_goes_back_with_a_wait() {
    let app = TestApp::with(RETRIES).await;
    app.up.next(Script::throttled("retry-after: Tue, 31 Dec 2999 23:59:59 GMT\r\n"));
    let answer = app.hello("fast").await;
    assert_eq!(answer.outcome(), "429 upstream_rate_limited");
    assert_eq!(answer.header("retry-after"), Some("3600"), "no more than an hour");
    app.close().await;
}

#[tokio::test]
async fn a_429_goes_to_the_next_target_rather_than_wait() {
    let app =
        TestApp::with("[[routes]]\nname = \"r\"\ntargets = [{ model = \"fast\" }]\nfallbacks = [\"spare\"]\n").await;
    app.up.next(Script::throttled("retry-after: 30\r\n"));
    let answer = app.hello("any").await;
    assert_eq!((answer.status, answer.header("x-fulcrum-model")), (200, Some("other/spare-x")));
    // The target named its own time, so it is left alone until then.
    assert_eq!(app.hello("any").await.header("x-fulcrum-model"), Some("other/spare-x"));
    assert_eq!(app.up.count(), 1);
    app.close().await;
}

#[tokio::test]
async fn an_outage_costs_at_most_a_fifth_more_attempts_and_then_cools() {
    let app = TestApp::with(&format!("{RETRIES}all_cooling = \"refuse\"\n")).await;
    app.up.always(Script::error(503, "down"));
    let calls = 50;
    let mut cooled = 0;
    for _ in 0..calls {
        let answer = app.hello("fast").await;
        match answer.outcome().as_str() {
            "503 upstream_error" => {}
            "503 all_targets_cooling" => {
                cooled += 1;
                assert!(answer.header("retry-after").is_some());
            }
            other => panic!("{other}"),
        }
    }
    assert!(app.up.count() <= calls + calls / 5 + 3, "{} attempts", app.up.count());
    assert!(cooled > 0, "the target never cooled");
    let health = app.admin(Call::get("/api/v1/health")).await.json();
    assert_eq!(health["rows"][0]["target"], "up/gpt-x");
    app.close().await;
}

#[tokio::test]
async fn a_refusal_since_all_cool_says_which_for_how_long_and_why() {
    let route = "[[routes]]\nmodels = [\"auto\"]\ntargets = [{ model = \"fast\" }]\nfallbacks = [\"dead/x\"]\n";
    let app = TestApp::with(&format!("[defaults]\nretries = 0\nall_cooling = \"refuse\"\n{route}")).await;
    app.up.always(Script::throttled("retry-after: 50\r\n"));
    for _ in 0..5 {
        app.hello("auto").await;
    }
    let refused = app.hello("auto").await;
    assert_eq!(refused.outcome(), "503 all_targets_cooling");
    let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
    for part in ["up/gpt-x for ", " s (limits the rate of calls (429), for 50 s)", "dead/x ", "(cannot be reached: "] {
        assert!(message.contains(part), "{part} is not in {message}");
    }
    let health = app.admin(Call::get("/api/v1/health")).await.json();
    let row = health["rows"].as_array().unwrap().iter().find(|row| row["target"] == "up/gpt-x").unwrap();
    assert_eq!(
        (&row["state"], &row["reason"]),
        (&json!("cooling"), &json!("limits the rate of calls (429), for 50 s"))
    );
    assert!(row["until"].is_string() && (1..=50).contains(&row["cooling_seconds"].as_u64().unwrap()), "{row}");
    app.close().await;
}

#[tokio::test]
async fn one_probe_ends_the_cooling() {
    let app = TestApp::with("[defaults]\nretries = 0\nall_cooling = \"refuse\"\n").await;
    for _ in 0..5 {
        app.up.next(Script::error(500, "down"));
    }
    for _ in 0..5 {
        assert_eq!(app.hello("fast").await.status, 500);
    }
    assert_eq!(app.hello("fast").await.outcome(), "503 all_targets_cooling");
    assert_eq!(app.up.count(), 5, "a cooling target is not called");
    let deadline = Instant::now() + PATIENCE;
    while app.hello("fast").await.status != 200 {
        assert!(Instant::now() < deadline, "the target never recovers");
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(app.up.count(), 6, "the first call after the cooling is the probe");
    assert_eq!(app.hello("fast").await.status, 200);
    app.close().await;
}

#[tokio::test]
async fn a_cooling_target_stands_behind_its_fallback() {
    let app = TestApp::with(
        "[[routes]]\nname = \"r\"\nretries = 0\ntargets = [{ model = \"fast\" }]\nfallbacks = [\"spare\"]\n",
    )
    .await;
    for _ in 0..5 {
        app.up.next(Script::error(500, "down"));
        assert_eq!(app.hello("any").await.header("x-fulcrum-attempts"), Some("2"));
    }
    assert_eq!(app.hello("any").await.header("x-fulcrum-attempts"), Some("1"));
    assert_eq!(app.up.count(), 5);
    app.close().await;
}

#[tokio::test]
async fn a_callers_mistakes_cool_nothing() {
    let app = TestApp::start().await;
    for _ in 0..10 {
        app.up.next(Script::error(400, "no"));
        assert_eq!(app.hello("fast").await.status, 400);
    }
    assert_eq!(app.hello("fast").await.status, 200);
    app.close().await;
}

#[tokio::test]
async fn retries_end_at_the_callers_limit() {
    let app = TestApp::with(RETRIES).await;
    app.up.next(Script::error(500, "down"));
    app.up.next(Script::default().stall());
    let answer = app.send(Call::chat(&hello("fast")).key(&app.key).header("x-fulcrum-timeout", "700ms")).await;
    assert!(["408 request_timeout", "502 upstream_error"].contains(&answer.outcome().as_str()), "{}", answer.outcome());
    app.close().await;
}
