//! What is too large, too slow or broken on the caller's side, on raw sockets.

use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::app::{TestApp, hello, streamed};
use crate::client::{Call, Open, PATIENCE};
use crate::upstream::{EVENTS, Script, without_usage};

async fn dial(app: &TestApp) -> TcpStream {
    TcpStream::connect(app.address).await.unwrap()
}

/// Waits until the gateway closed; returns what came before.
async fn farewell(socket: &mut TcpStream) -> String {
    let mut received = Vec::new();
    let read = socket.read_to_end(&mut received);
    drop(timeout(PATIENCE, read).await.expect("the gateway closes the connection"));
    String::from_utf8_lossy(&received).into_owned()
}

#[tokio::test]
async fn a_body_that_announces_too_much_is_413_before_it_is_sent() {
    let app = TestApp::start().await;
    let mut socket = dial(&app).await;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        app.key,
        33 << 20
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let answer = Open::read(socket).await.unwrap().rest().await;
    assert_eq!(answer.outcome(), "413 request_too_large");
    assert_eq!(app.up.count(), 0);
    app.close().await;
}

#[tokio::test]
async fn a_request_of_too_many_values_is_400_in_every_dialect() {
    let app = TestApp::start().await;
    let text = json!({"type": "text", "text": "x"});
    let parts = |part: &serde_json::Value| vec![part.clone(); 50_001];
    let user = |parts: Vec<serde_json::Value>| json!([{"role": "user", "content": parts}]);
    let hi = json!([{"role": "user", "content": "Hi"}]);
    let schema = json!({"type": "object", "anyOf": parts(&json!({}))});
    let function = json!({"type": "function", "function": {"name": "f", "parameters": schema}});
    let many = json!({"model": "fast", "messages": parts(&json!({"role": "user", "content": "x"}))});
    let input = user(parts(&json!({"type": "input_text", "text": "x"})));
    for (path, body) in [
        ("/v1/chat/completions", json!({"model": "fast", "messages": user(parts(&text))})),
        ("/v1/chat/completions", many.clone()),
        ("/v1/chat/completions", json!({"model": "fast", "messages": hi, "tools": [function]})),
        ("/v1/chat/completions", json!({"model": "fast", "messages": hi, "stop": vec!["x"; 250_001]})),
        ("/v1/chat/completions", json!({"model": "fast", "messages": hi, "metadata": {"n": vec![0; 250_001]}})),
        ("/v1/messages", json!({"model": "fast", "max_tokens": 9, "messages": user(parts(&text))})),
        ("/v1/messages/count_tokens", json!({"model": "fast", "messages": user(parts(&text))})),
        ("/v1/responses", json!({"model": "fast", "input": input})),
        (
            "/v1beta/models/fast:generateContent",
            json!({"contents": [{"role": "user", "parts": parts(&json!({"text": "x"}))}]}),
        ),
        ("/v1/embeddings", json!({"model": "embed", "input": vec!["x"; 250_001]})),
        ("/v1/rerank", json!({"model": "fast", "query": "x", "documents": vec!["x"; 250_001]})),
        ("/v1/explain", many),
    ] {
        let answer = app.send(Call::post(path, &body).key(&app.key)).await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.text());
        assert!(answer.text().contains("the body has more than "), "{path}: {}", answer.text());
    }
    assert_eq!(app.up.count(), 0);
    let vectors: Vec<_> = (0..1_000).map(|index| json!({"index": index, "embedding": [0.5]})).collect();
    app.up.next(Script::json(200, json!({"object": "list", "data": vectors}).to_string()));
    let tokens = json!({"model": "embed", "input": vec![vec![7; 300]; 1_000]});
    assert_eq!(app.send(Call::post("/v1/embeddings", &tokens).key(&app.key)).await.status, 200);
    app.close().await;
}

#[tokio::test]
async fn a_chunked_body_that_grows_too_large_is_413() {
    let app = TestApp::with("[server]\nmax_body = \"64KiB\"\n").await;
    let mut socket = dial(&app).await;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ntransfer-encoding: chunked\r\n\r\n",
        app.key
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..80 {
        if socket.write_all(format!("400\r\n{}\r\n", " ".repeat(1024)).as_bytes()).await.is_err() {
            break;
        }
    }
    let answer = Open::read(socket).await.unwrap().rest().await;
    assert_eq!(answer.outcome(), "413 request_too_large");
    app.close().await;
}

#[tokio::test]
async fn a_body_just_within_the_limit_passes() {
    let app = TestApp::with("[server]\nmax_body = \"64KiB\"\n").await;
    let mut body = hello("fast").to_string();
    body.push_str(&" ".repeat((64 << 10) - body.len()));
    let call = |body: String| Call::new("POST", "/v1/chat/completions", body).key(&app.key);
    assert_eq!(app.send(call(body.clone())).await.status, 200);
    assert_eq!(app.send(call(body + " ")).await.status, 413);
    app.close().await;
}

#[tokio::test]
async fn an_admin_body_has_its_own_limit() {
    let app = TestApp::start().await;
    let large = json!({"name": "x".repeat(2 << 20)});
    assert_eq!(app.admin(Call::post("/api/v1/keys", &large)).await.outcome(), "413 request_too_large");
    app.close().await;
}

#[tokio::test]
async fn a_key_is_asked_for_before_the_body_is_read() {
    let app = TestApp::start().await;
    let mut socket = dial(&app).await;
    socket
        .write_all(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(Open::read(socket).await.unwrap().rest().await.outcome(), "401 invalid_api_key");
    app.close().await;
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut_off() {
    let app = TestApp::with("[server]\nheader_timeout = \"200ms\"\n").await;
    for start in ["", "POST /v1/chat/compl", "GET / HTTP/1.1\r\nhost: x\r\nx-a: b"] {
        let mut socket = dial(&app).await;
        socket.write_all(start.as_bytes()).await.unwrap();
        if !start.is_empty() {
            farewell(&mut socket).await;
        }
    }
    app.close().await;
}

#[tokio::test]
async fn two_hundred_slow_heads_hurt_nobody_else() {
    let app = TestApp::with("[server]\nheader_timeout = \"30s\"\n").await;
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut socket = dial(&app).await;
        socket.write_all(b"POST /v1/chat/completions HTTP/1.1\r\nx-slow: 1").await.unwrap();
        slow.push(socket);
    }
    for _ in 0..20 {
        assert_eq!(app.hello("fast").await.status, 200);
    }
    drop(slow);
    app.close().await;
}

#[tokio::test]
async fn heads_beyond_all_bounds_are_refused() {
    let app = TestApp::start().await;
    let many: String = (0..200).map(|n| format!("x-{n}: y\r\n")).collect();
    let long = format!("x-long: {}\r\n", "y".repeat(300_000));
    for extra in [many, long] {
        let mut socket = dial(&app).await;
        let head = format!("GET /health/live HTTP/1.1\r\nhost: x\r\n{extra}\r\n");
        drop(socket.write_all(head.as_bytes()).await);
        let received = farewell(&mut socket).await;
        assert!(received.is_empty() || received.starts_with("HTTP/1.1 431"), "{received}");
    }
    app.close().await;
}

#[tokio::test]
async fn lengths_that_contradict_each_other_are_400_and_end_the_connection() {
    let app = TestApp::start().await;
    let body = hello("fast").to_string();
    let length = body.len();
    for lengths in [
        format!("content-length: {length}\r\ncontent-length: {}\r\n", length + 1),
        format!("content-length: {length}, {}\r\n", length - 1),
        format!("content-length: +{length}\r\n"),
        "content-length: x\r\n".to_owned(),
        "content-length: -1\r\n".to_owned(),
        "transfer-encoding: chunked, identity\r\n".to_owned(),
        "transfer-encoding: xchunked\r\n".to_owned(),
    ] {
        let mut socket = dial(&app).await;
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n{lengths}\r\n{body}",
            app.key
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        let received = farewell(&mut socket).await;
        assert!(received.starts_with("HTTP/1.1 400"), "{lengths:?}: {received}");
    }
    assert_eq!(app.up.count(), 0);
    app.close().await;
}

#[tokio::test]
async fn a_length_beside_chunks_smuggles_no_second_request() {
    let app = TestApp::start().await;
    let body = hello("fast").to_string();
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let smuggled = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n", app.key);
    let head = format!("{smuggled}content-length: 6\r\ntransfer-encoding: chunked\r\n\r\n{chunked}");
    let mut socket = dial(&app).await;
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.shutdown().await.unwrap();
    let received = farewell(&mut socket).await;
    assert!(app.up.count() <= 1, "{received}");
    assert!(received.matches("HTTP/1.1 ").count() <= 1, "{received}");
    app.close().await;
}

#[tokio::test]
async fn what_is_no_http_ends_the_connection() {
    let app = TestApp::start().await;
    for bytes in
        [&b"\x16\x03\x01\x02\x00\x01\x00"[..], b"GET\r\n\r\n", b"\r\n\r\n\r\n\x00\x00", b"GET / HTTP/9.9\r\n\r\n"]
    {
        let mut socket = dial(&app).await;
        socket.write_all(bytes).await.unwrap();
        socket.shutdown().await.unwrap();
        let received = farewell(&mut socket).await;
        assert!(
            received.is_empty() || received.starts_with("HTTP/1.1 4") || received.starts_with("HTTP/1.1 5"),
            "{received}"
        );
    }
    assert_eq!(app.hello("fast").await.status, 200);
    app.close().await;
}

#[tokio::test]
async fn a_connection_serves_many_calls_in_turn() {
    let app = TestApp::start().await;
    let mut socket = dial(&app).await;
    let body = hello("fast").to_string();
    let one = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n{body}",
        app.key,
        body.len()
    );
    socket.write_all(one.repeat(5).as_bytes()).await.unwrap();
    let mut received = Vec::new();
    let mut buffer = [0; 8192];
    while String::from_utf8_lossy(&received).matches("HTTP/1.1 200").count() < 5 {
        let read = timeout(PATIENCE, socket.read(&mut buffer)).await.unwrap().unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&received));
        received.extend_from_slice(&buffer[..read]);
    }
    assert_eq!(app.up.count(), 5);
    app.rows(5).await;
    app.close().await;
}

#[tokio::test]
async fn a_caller_who_leaves_in_the_middle_of_its_body_reaches_nobody() {
    let app = TestApp::start().await;
    let mut socket = dial(&app).await;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: 500\r\n\r\n{{\"model\"",
        app.key
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    drop(socket);
    assert_eq!(app.hello("fast").await.status, 200);
    assert_eq!(app.up.count(), 1);
    app.close().await;
}

#[tokio::test]
async fn a_slow_reader_holds_back_its_own_stream_only() {
    let app = TestApp::start().await;
    let big = format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n", "x".repeat(60_000));
    app.up.next(Script::sse().chunks(&EVENTS[..1]).repeat_chunk(big.as_bytes()));
    // Nothing is read of this stream: the sockets fill, and the gateway must not take more in.
    let open = app.open(&Call::chat(&streamed(hello("fast"))).key(&app.key)).await;
    for _ in 0..20 {
        assert_eq!(app.hello("fast").await.status, 200);
    }
    let id = open.header("x-fulcrum-request-id").unwrap().to_owned();
    drop(open);
    app.up.until("the endless stream is closed", |received| received[0].closed).await;
    assert_eq!(app.row(&id).await["status"], "client_closed");
    app.close().await;
}

#[tokio::test]
async fn a_caller_who_stops_reading_is_cut_off_and_lets_go_of_his_provider() {
    let app = TestApp::with("[server]\nwrite_timeout = \"300ms\"\n").await;
    let big = format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n", "x".repeat(60_000));
    app.up.next(Script::sse().chunks(&EVENTS[..1]).repeat_chunk(big.as_bytes()));
    let open = app.open(&Call::chat(&streamed(hello("fast"))).key(&app.key)).await;
    app.up.until("the endless stream is closed", |received| received[0].closed).await;
    assert_eq!(app.row(open.header("x-fulcrum-request-id").unwrap()).await["status"], "client_closed");
    drop(open);
    // A whole answer, too: larger than what the sockets hold.
    let whole = json!({"choices": [{"message": {"content": "x".repeat(16 << 20)}, "finish_reason": "stop"}]});
    app.up.next(Script::json(200, whole.to_string()));
    let open = app.open(&Call::chat(&hello("fast")).key(&app.key)).await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while app.metric("fulcrum_connections", "").await > 1.5 {
        assert!(tokio::time::Instant::now() < deadline, "the caller holds his connection for ever");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let cut = open.rest().await;
    assert!(!cut.is_whole, "the gateway gave up on a caller who reads nothing");
    app.close().await;
}

#[tokio::test]
async fn a_caller_over_http_2_who_stops_reading_lets_go_of_his_provider_and_hurts_no_other() {
    let app = TestApp::with("[server]\nwrite_timeout = \"300ms\"\n").await;
    let big = format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n", "x".repeat(60_000));
    app.up.next(Script::sse().chunks(&EVENTS[..1]).repeat_chunk(big.as_bytes()));
    let begin = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (mut sender, connection) = begin.handshake(TokioIo::new(dial(&app).await)).await.unwrap();
    let connection = tokio::spawn(connection);
    let call = |body: serde_json::Value| {
        let head = http::Request::post("http://fulcrum.test/v1/chat/completions");
        let head =
            head.header("authorization", format!("Bearer {}", app.key)).header("content-type", "application/json");
        head.body(Full::new(::bytes::Bytes::from(body.to_string()))).unwrap()
    };
    let unread = sender.send_request(call(streamed(hello("fast")))).await.unwrap();
    app.up.until("the endless stream is closed", |received| received[0].closed).await;
    let id = unread.headers()["x-fulcrum-request-id"].to_str().unwrap();
    assert_eq!(app.row(id).await["status"], "client_closed");
    // The same connection serves on.
    let answer = sender.send_request(call(streamed(hello("fast")))).await.unwrap();
    let text = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(text, without_usage());
    drop((unread, sender));
    connection.abort();
    app.close().await;
}

#[tokio::test]
async fn more_connections_than_allowed_wait_their_turn() {
    let app = TestApp::with("[server]\nmax_connections = 2\n").await;
    let idle = [dial(&app).await, dial(&app).await];
    let waiting = tokio::spawn(Open::of_call(app.address, Call::chat(&hello("fast")).key(&app.key)));
    drop(idle);
    assert_eq!(waiting.await.unwrap().status, 200);
    app.close().await;
}

#[tokio::test]
async fn two_hosts_change_no_destination() {
    let app = TestApp::start().await;
    let host = app.other.address.to_string();
    let answer = app.send(Call::chat(&hello("fast")).key(&app.key).header("host", &host)).await;
    assert!([200, 400].contains(&answer.status), "{}", answer.text());
    assert_eq!(app.other.count(), 0);
    app.close().await;
}

#[tokio::test]
async fn no_answer_goes_out_whole_while_the_ledger_takes_no_rows() {
    let app = TestApp::with("[defaults]\nretries = 0\n[ledger]\ndurability = \"disk\"\n").await;
    let url = format!("sqlite://{}/fulcrum.db", app.dir.path().display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    let lock = pool.begin_with("begin immediate").await.unwrap();
    let whole = app.hello("fast").await;
    assert_eq!(whole.outcome(), "503 ledger_unavailable");
    let before = app.up.count();
    assert_eq!(app.hello("fast").await.outcome(), "503 ledger_unavailable");
    assert_eq!(app.up.count(), before, "nothing is sent that could not be written down");
    assert_eq!(app.send(Call::get("/health/ready")).await.status, 503);
    lock.rollback().await.unwrap();
    pool.close().await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while app.hello("fast").await.status != 200 {
        assert!(tokio::time::Instant::now() < deadline, "the ledger never recovers");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    app.close().await;
}

#[tokio::test]
async fn while_the_ledger_takes_no_rows_a_refusal_waits_for_none() {
    let app = TestApp::with("[defaults]\nretries = 0\n[ledger]\ndurability = \"disk\"\n").await;
    let url = format!("sqlite://{}/fulcrum.db", app.dir.path().display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    let lock = pool.begin_with("begin immediate").await.unwrap();
    assert_eq!(app.hello("fast").await.outcome(), "503 ledger_unavailable");
    let refusals = async {
        for _ in 0..20 {
            assert_eq!(app.hello("fast").await.outcome(), "503 ledger_unavailable");
        }
    };
    timeout(PATIENCE, refusals).await.expect("each refusal waits for its row");
    lock.rollback().await.unwrap();
    pool.close().await;
    app.rows(21).await;
    app.close().await;
}

#[tokio::test]
async fn an_answer_goes_out_over_a_locked_database_and_its_row_follows() {
    let app = TestApp::start().await;
    let url = format!("sqlite://{}/fulcrum.db", app.dir.path().display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    let lock = pool.begin_with("begin immediate").await.unwrap();
    let answer = app.hello("fast").await;
    assert_eq!(answer.status, 200, "the journal has its row: {}", answer.text());
    lock.rollback().await.unwrap();
    pool.close().await;
    app.row(answer.id()).await;
    app.close().await;
}

#[tokio::test]
async fn no_stream_ends_well_while_the_ledger_takes_no_rows() {
    let app = TestApp::with("[defaults]\nretries = 0\n[ledger]\ndurability = \"disk\"\n").await;
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    app.up.next(Script::sse().chunks(&EVENTS[..3]).gate(&gate).chunks(&EVENTS[3..]).ended());
    let mut open = app.open(&Call::chat(&streamed(hello("fast"))).key(&app.key)).await;
    open.until("Hello").await;
    let url = format!("sqlite://{}/fulcrum.db", app.dir.path().display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    let lock = pool.begin_with("begin immediate").await.unwrap();
    gate.add_permits(1);
    let answer = open.rest().await;
    assert!(answer.text().contains("ledger_unavailable") && !answer.text().contains("[DONE]"), "{}", answer.text());
    lock.rollback().await.unwrap();
    pool.close().await;
    app.row(answer.id()).await;
    app.close().await;
}
