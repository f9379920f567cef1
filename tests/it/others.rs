//! What one key causes never costs another key its answer.

use std::sync::Arc;

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::app::{OTHER_KEY, TestApp, UP_KEY, hello, streamed};
use crate::client::{Call, Open, PATIENCE};
use crate::upstream::{EVENTS, Script, WHOLE};

const REFUSING: &str = "[defaults]\nretries = 0\nall_cooling = \"refuse\"\n";

/// Asks `model` to say hello with a key.
async fn hello_of(app: &TestApp, key: &str, model: &str) -> String {
    app.send(Call::chat(&hello(model)).key(key)).await.outcome()
}

#[tokio::test]
#[expect(clippy::excessive_nesting, reason = "a table of every caller and target")]
async fn slow_and_failing_calls_of_one_key_close_a_target_for_that_key_only() {
    let app = TestApp::with(REFUSING).await;
    let other = app.new_key(&json!({"name": "other", "project": "b"})).await;
    for (model, script, outcome) in [
        ("hasty/slow", Script::default().stall(), "504 upstream_timeout"),
        ("hasty/stops", Script::sse().chunks(&EVENTS[..1]).stall(), ""),
        ("up/fails", Script::error(500, "down"), ""),
        ("up/breaks", Script::raw("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{").fin(), ""),
    ] {
        for round in 0..2 {
            let mut calls = JoinSet::new();
            for _ in 0..6 {
                app.up.next(script.clone());
            }
            for _ in 0..6 {
                let body = if model == "hasty/stops" { streamed(hello(model)) } else { hello(model) };
                calls.spawn(Open::of_call(app.address, Call::chat(&body).key(&app.key)));
            }
            let outcomes: Vec<String> = calls.join_all().await.iter().map(crate::client::Answer::outcome).collect();
            if round == 0 {
                assert!(outcome.is_empty() || outcomes.iter().any(|one| one == outcome), "{model}: {outcomes:?}");
            }
            // The scripts that no call came for, since the target cools for this key.
            app.up.forget_scripts();
            assert_eq!(hello_of(&app, &other, model).await, "200", "{model}");
        }
        assert_eq!(hello_of(&app, &app.key, model).await, "503 all_targets_cooling", "{model}");
    }
    app.close().await;
}

#[tokio::test]
async fn where_all_targets_cool_the_first_to_recover_is_called_all_the_same() {
    let app = TestApp::start().await;
    app.up.always(Script::error(500, "down"));
    for _ in 0..9 {
        assert_eq!(app.hello("fast").await.status, 500);
    }
    assert_eq!(app.up.count(), 9);
    app.up.next(Script::reply(503, "retry-after: 40\r\ncontent-type: application/json\r\n", "{}"));
    let answer = app.hello("up/busy").await;
    assert_eq!(answer.header("retry-after"), Some("40"), "{}", answer.text());
    app.up.always(Script::json(200, WHOLE));
    for model in ["fast", "up/busy"] {
        assert_eq!(app.hello(model).await.status, 200);
    }
    app.close().await;
}

#[tokio::test]
async fn stored_answers_and_explanations_are_served_while_a_target_cools() {
    let cached = "cache = { mode = \"exact\", ttl = \"1h\", scope = \"project\" }\n";
    let app = TestApp::with(&format!("{REFUSING}{cached}")).await;
    assert_eq!(app.hello("fast").await.status, 200);
    app.up.next(Script::throttled("retry-after: 50\r\n"));
    let other = json!({"model": "fast", "messages": [{"role": "user", "content": "Another"}]});
    assert_eq!(app.chat(&other).await.outcome(), "429 upstream_rate_limited");
    let refused = app.chat(&other).await;
    assert_eq!((refused.outcome().as_str(), refused.header("retry-after")), ("429 upstream_rate_limited", Some("50")));
    let hit = app.hello("fast").await;
    assert_eq!((hit.status, hit.header("x-fulcrum-cache")), (200, Some("hit")));
    let only = app.send(Call::chat(&hello("fast")).key(&app.key).header("x-fulcrum-cache", "only")).await;
    assert_eq!((only.status, only.header("x-fulcrum-cache")), (200, Some("hit")));
    let mut explained = other.clone();
    explained["endpoint"] = "/v1/chat/completions".into();
    let explained = app.send(Call::post("/v1/explain", &explained).key(&app.key)).await;
    assert_eq!(explained.status, 200, "{}", explained.text());
    assert!(explained.text().contains("cooling until"), "{}", explained.text());
    app.close().await;
}

#[tokio::test]
async fn a_model_that_is_forbidden_takes_no_provider_key_from_other_models() {
    let app = TestApp::start().await;
    for _ in 0..3 {
        app.up.next(Script::error(403, "not yours"));
        let refused = app.hello("pair/closed-x").await;
        assert_eq!((refused.status, refused.header("x-fulcrum-attempts")), (403, Some("1")), "{}", refused.text());
        assert!(refused.text().contains("pair/closed-x") && refused.text().contains("not yours"), "{}", refused.text());
    }
    let before = app.up.received().len();
    for _ in 0..8 {
        assert_eq!(app.hello("pair/gpt-x").await.status, 200);
    }
    let heads: Vec<String> = app.up.received().split_off(before).into_iter().map(|one| one.head).collect();
    for secret in [UP_KEY, OTHER_KEY] {
        assert_eq!(heads.iter().filter(|head| head.contains(secret)).count(), 4);
    }
    app.close().await;
}

/// The addresses that the first upstream was called at.
fn paths(app: &TestApp) -> Vec<String> {
    app.up.received().iter().map(|one| one.path.clone()).collect()
}

#[tokio::test]
async fn a_model_that_is_not_there_takes_no_api_from_other_models_and_keys() {
    let app = TestApp::start().await;
    let other = app.new_key(&json!({"name": "other", "project": "b"})).await;
    let ask = |model: &str, key: &str| Call::post("/v1/responses", &json!({"model": model, "input": "hi"})).key(key);
    for unknown in [
        r#"{"error":{"message":"The model `nope` does not exist","type":"invalid_request_error","code":"model_not_found"}}"#,
        r#"{"error":{"message":"not found","code":"model_not_found"}}"#,
        r#"{"error":{"message":"`nope` is not there","param":"model"}}"#,
        r#"{"detail":"Unknown deployment"}"#,
    ] {
        for status in [404, 501] {
            app.up.next(Script::json(status, unknown));
            let refused = app.send(ask("up/nope", &app.key)).await;
            assert_eq!(refused.status, status, "the provider's own error: {}", refused.text());
            assert_eq!(refused.header("x-fulcrum-attempts"), Some("1"));
        }
    }
    assert!(paths(&app).iter().all(|path| path == "/v1/responses"), "{:?}", paths(&app));
    // A model for which the route is not there has it not for a while; others have.
    app.up.next(Script::error(404, "Not Found"));
    assert_eq!(app.send(ask("up/old", &app.key)).await.status, 200);
    assert_eq!(app.send(ask("up/old", &other)).await.status, 200);
    assert_eq!(paths(&app)[8..], ["/v1/responses", "/v1/chat/completions", "/v1/chat/completions"]);
    app.send(ask("fast", &other)).await;
    assert_eq!(paths(&app)[11], "/v1/responses");
    app.close().await;
}

#[tokio::test]
async fn one_project_leaves_another_a_place_at_a_provider() {
    let second = "[providers.second]\nkind = \"openai\"\nbase_url = \"http://{other}/v1\"\nmax_in_flight = 8\n";
    let app = TestApp::with(&format!("[defaults]\nretries = 0\n{second}")).await;
    let other = app.new_key(&json!({"name": "other", "project": "b"})).await;
    let gate = Arc::new(Semaphore::new(0));
    let mut held = JoinSet::new();
    for _ in 0..7 {
        app.other.next(Script::default().gate(&gate).then(Script::json(200, WHOLE)));
        held.spawn(Open::of_call(app.address, Call::chat(&hello("second/x")).key(&app.key)));
    }
    app.other.until("seven calls are sent", |received| received.len() == 7).await;
    assert_eq!(hello_of(&app, &app.key, "second/x").await, "503 overloaded");
    for _ in 0..3 {
        assert_eq!(hello_of(&app, &other, "second/x").await, "200");
    }
    gate.add_permits(7);
    assert!(held.join_all().await.iter().all(|answer| answer.status == 200));
    app.close().await;
}

/// A call whose body is announced, and sent but for its last byte.
async fn almost(app: &TestApp, key: &str, size: usize) -> TcpStream {
    let mut socket = TcpStream::connect(app.address).await.unwrap();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-length: {size}\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    // Refused ones are closed while they send.
    drop(socket.write_all(&vec![b' '; size - 1]).await);
    socket
}

#[tokio::test]
async fn the_bodies_of_one_keys_requests_leave_room_for_those_of_others() {
    let app = TestApp::with("[server]\nmax_body = \"1MiB\"\nmax_bodies = \"4MiB\"\n").await;
    let other = app.new_key(&json!({"name": "other"})).await;
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(almost(&app, &app.key, 1 << 20).await);
    }
    let large = |key: &str| {
        let body = json!({"model": "fast", "messages": [{"role": "user", "content": "x".repeat(600_000)}]});
        app.send(Call::chat(&body).key(key))
    };
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let answer = large(&app.key).await;
        if answer.status == 503 {
            assert_eq!(answer.outcome(), "503 overloaded");
            assert_eq!(answer.header("retry-after"), Some("1"));
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "no room is ever taken");
    }
    assert_eq!(large(&other).await.status, 200);
    assert_eq!(hello_of(&app, &app.key, "fast").await, "200", "a small one needs no room");
    drop(held);
    while large(&app.key).await.status != 200 {
        assert!(tokio::time::Instant::now() < deadline, "the room never comes back");
    }
    app.close().await;
}

#[tokio::test]
async fn whole_answers_that_nobody_reads_have_a_bound() {
    let app = TestApp::with("[server]\nmax_bodies = \"1MiB\"\n[defaults]\nretries = 0\n").await;
    let long = WHOLE.replacen("\"choices\"", &format!("\"x\":\"{}\",\"choices\"", "y".repeat(33 << 20)), 1);
    app.up.always(Script::json(200, &long));
    let unread = app.open(&Call::chat(&hello("fast")).key(&app.key)).await;
    let refused = app.send(Call::chat(&hello("fast")).key(&app.key)).await;
    assert_eq!((refused.outcome(), refused.header("retry-after")), ("503 overloaded".to_owned(), Some("1")));
    assert!(refused.text().contains("whole answers"), "{}", refused.text());
    let row = app.row(refused.id()).await;
    assert_eq!(row["error_code"], "overloaded", "{row}");
    app.up.always(Script::json(200, WHOLE));
    assert_eq!(hello_of(&app, &app.key, "fast").await, "200", "a small one needs no room");
    app.up.always(Script::json(200, &long));
    drop(unread);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while hello_of(&app, &app.key, "fast").await != "200" {
        assert!(tokio::time::Instant::now() < deadline, "the room never comes back");
    }
    app.close().await;
}

#[tokio::test]
async fn requests_that_wait_for_their_bodies_leave_connections_to_other_projects() {
    let app = TestApp::with("[server]\nmax_connections = 8\n").await;
    let other = app.new_key(&json!({"name": "other", "project": "other"})).await;
    let form = "content-type: multipart/form-data; boundary=X\r\ncontent-length: 9999\r\n\r\n--X\r\n";
    let json = "content-type: application/json\r\ncontent-length: 9999\r\n\r\n{";
    for (path, rest) in [
        ("/v1/chat/completions", json),
        ("/v1/messages", json),
        ("/v1/explain", json),
        ("/v1/batches", json),
        ("/v1/audio/transcriptions", form),
        ("/v1/files", form),
    ] {
        let stalled = async || {
            let mut socket = TcpStream::connect(app.address).await.unwrap();
            let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n{rest}", app.key);
            socket.write_all(head.as_bytes()).await.unwrap();
            socket
        };
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(stalled().await);
        }
        // One of the five is refused: which came last is for the workers to say.
        held.push(stalled().await);
        let answers =
            held.drain(..).map(|socket| Box::pin(async move { Open::read(socket).await.unwrap().rest().await }));
        let (refused, _, waiting) =
            timeout(PATIENCE, futures_util::future::select_all(answers)).await.expect("one is refused");
        assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{path}: {}", refused.text());
        assert_eq!(hello_of(&app, &other, "fast").await, "200", "{path}");
        drop(waiting);
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while hello_of(&app, &app.key, "fast").await != "200" {
            assert!(tokio::time::Instant::now() < deadline, "{path}: the share never comes back");
        }
    }
    app.close().await;
}

#[tokio::test]
async fn a_slow_reader_of_a_shared_call_holds_back_its_own_provider_only() {
    let cached = "[defaults]\nretries = 0\ncache = { mode = \"exact\", ttl = \"1h\", scope = \"project\" }\n";
    let app = TestApp::with(cached).await;
    let call = Call::chat(&streamed(hello("fast"))).key(&app.key);
    assert_held_back(app, call).await;
}

#[tokio::test]
async fn a_slow_reader_of_a_call_with_an_idempotency_key_holds_back_its_own_provider_only() {
    let app = TestApp::with("[defaults]\nretries = 0\n").await;
    let call = Call::chat(&streamed(hello("fast"))).key(&app.key).header("idempotency-key", "slow");
    assert_held_back(app, call).await;
}

/// Reads nothing of a long answer until others were served, and then all of it.
async fn assert_held_back(app: TestApp, call: Call) {
    let piece = format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n", "x".repeat(60_000));
    let gate = Arc::new(Semaphore::new(0));
    // 48 MB, which the sockets on the way do not take.
    let script = Script::sse().chunks(&EVENTS[..1]).chunks(vec![piece.as_str(); 800]);
    app.up.next(script.send_signal(&gate).chunks(&EVENTS[4..]).ended());
    let open = app.open(&call).await;
    for _ in 0..20 {
        assert_eq!(hello_of(&app, &app.key, "up/gpt-y").await, "200");
    }
    assert_eq!(gate.available_permits(), 0, "the provider is held back");
    let whole = open.rest().await;
    assert!(whole.is_whole && whole.text().ends_with("[DONE]\n\n"));
    assert_eq!(gate.available_permits(), 1);
    app.close().await;
}
