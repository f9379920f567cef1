//! Peers that are silent, slow or dead: each is let go of by a deadline, and none costs another its answer.

use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::app::{TestApp, hello, streamed};
use crate::client::{Call, Open, PATIENCE};
use crate::upstream::{EVENTS, Script, WHOLE, without_usage};

/// How a connection of HTTP/2 begins, with settings of no content.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

/// All that a peer may send without asking for anything.
const SILENCE: [&[u8]; 7] =
    [b"", b"P", b"PO", b"PRI * HTTP/2.0", PREFACE, b"\r\n", b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-a: b"];

async fn dial(app: &TestApp) -> TcpStream {
    TcpStream::connect(app.address).await.unwrap()
}

async fn say(app: &TestApp, bytes: &[u8]) -> TcpStream {
    let mut socket = dial(app).await;
    socket.write_all(bytes).await.unwrap();
    socket
}

/// Waits until the gateway closed.
async fn closed(mut socket: TcpStream, what: &[u8]) {
    let mut received = Vec::new();
    let read = timeout(PATIENCE, socket.read_to_end(&mut received)).await;
    drop(read.unwrap_or_else(|_| panic!("{:?} stays open", String::from_utf8_lossy(what))));
}

/// A caller over HTTP/2 whose streams take so many bytes before they wait.
async fn http2(app: &TestApp, window: u32) -> (SendRequest<Full<::bytes::Bytes>>, JoinHandle<hyper::Result<()>>) {
    let mut begin = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    begin.initial_stream_window_size(window);
    let (sender, connection) = begin.handshake(TokioIo::new(dial(app).await)).await.unwrap();
    (sender, tokio::spawn(connection))
}

fn post(app: &TestApp, body: &Value) -> http::Request<Full<::bytes::Bytes>> {
    let head = http::Request::post("http://fulcrum.test/v1/chat/completions");
    let head = head.header("authorization", format!("Bearer {}", app.key)).header("content-type", "application/json");
    head.body(Full::new(::bytes::Bytes::from(body.to_string()))).unwrap()
}

fn get(path: &str) -> http::Request<Full<::bytes::Bytes>> {
    http::Request::get(format!("http://fulcrum.test{path}")).body(Full::default()).unwrap()
}

#[tokio::test]
async fn a_connection_that_asks_for_nothing_is_closed_after_the_header_timeout() {
    let app = TestApp::with("[server]\nheader_timeout = \"300ms\"\n").await;
    let mut silent = Vec::new();
    for bytes in SILENCE {
        silent.push((say(&app, bytes).await, bytes));
    }
    for (socket, bytes) in silent {
        closed(socket, bytes).await;
    }
    assert_eq!(app.hello("fast").await.status, 200);
    app.close().await;
}

#[tokio::test]
async fn a_connection_over_http_2_is_closed_once_it_has_been_idle() {
    let app = TestApp::with("[server]\nheader_timeout = \"300ms\"\n").await;
    let (mut sender, connection) = http2(&app, 1 << 16).await;
    let answer = sender.send_request(post(&app, &hello("fast"))).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), WHOLE);
    drop(timeout(PATIENCE, connection).await.expect("the idle connection is closed"));
    assert!(sender.is_closed());
    app.close().await;
}

#[tokio::test]
async fn a_call_that_takes_longer_than_the_header_timeout_is_served() {
    let app = TestApp::with("[server]\nheader_timeout = \"100ms\"\n").await;
    let slow =
        || Script::default().drip("HTTP/1.1 102 X\r\n\r\n", Duration::from_millis(25)).then(Script::json(200, WHOLE));
    app.up.next(slow());
    app.up.next(slow());
    let (mut sender, connection) = http2(&app, 1 << 16).await;
    let answer = sender.send_request(post(&app, &hello("fast"))).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), WHOLE);
    assert_eq!(app.hello("fast").await.status, 200);
    drop((sender, connection));
    app.close().await;
}

#[tokio::test]
async fn when_all_places_are_taken_the_longest_idle_connection_makes_room() {
    let app = TestApp::with("[server]\nmax_connections = 14\nheader_timeout = \"5m\"\n").await;
    let mut idle = Vec::new();
    for bytes in SILENCE.iter().cycle().take(40) {
        idle.push(dial(&app).await);
        // Some are closed before they could say anything.
        drop(idle.last_mut().unwrap().write_all(bytes).await);
    }
    for _ in 0..20 {
        assert_eq!(app.hello("fast").await.status, 200);
        assert_eq!(app.send(Call::get("/health/live")).await.status, 200);
    }
    app.close().await;
}

#[tokio::test]
async fn a_connection_that_serves_a_call_makes_no_room() {
    let app = TestApp::with("[server]\nmax_connections = 2\nheader_timeout = \"5m\"\n").await;
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    app.up.next(Script::default().gate(&gate).then(Script::json(200, WHOLE)));
    let slow = Open::of_call(app.address, Call::chat(&hello("fast")).key(&app.key));
    let slow = tokio::spawn(slow);
    app.up.until("the slow call is under way", |received| received.len() == 1).await;
    for _ in 0..10 {
        assert_eq!(app.hello("fast").await.status, 200);
    }
    gate.add_permits(1);
    assert_eq!(slow.await.unwrap().status, 200);
    app.close().await;
}

#[tokio::test]
async fn whole_answers_over_http_2_that_nobody_takes_are_given_up() {
    let app = TestApp::with("[server]\nwrite_timeout = \"500ms\"\nheader_timeout = \"2s\"\n").await;
    let whole = json!({"choices": [{"message": {"content": "x".repeat(1 << 20)}, "finish_reason": "stop"}]});
    for window in [0, 1, 20_000] {
        app.up.next(Script::json(200, whole.to_string()));
        let (mut sender, connection) = http2(&app, window).await;
        let large = sender.send_request(post(&app, &hello("fast"))).await.unwrap();
        // Small ones, refusals, and other routes as well.
        let small = sender.send_request(post(&app, &hello("fast"))).await.unwrap();
        let refused = sender.send_request(post(&app, &hello("none"))).await.unwrap();
        let models = sender.send_request(get("/v1/nowhere")).await.unwrap();
        assert_eq!((refused.status().as_u16(), models.status().as_u16()), (404, 404));
        drop(timeout(PATIENCE, connection).await.expect("the connection is closed"));
        drop((large, small, refused, models, sender));
    }
    app.close().await;
}

#[tokio::test]
async fn an_answer_over_http_2_that_is_read_slowly_comes_whole() {
    let app = TestApp::with("[server]\nwrite_timeout = \"5s\"\n").await;
    let whole =
        json!({"choices": [{"message": {"content": "x".repeat(1 << 20)}, "finish_reason": "stop"}]}).to_string();
    app.up.next(Script::json(200, &whole));
    let (mut sender, connection) = http2(&app, 3_000).await;
    let answer = sender.send_request(post(&app, &hello("fast"))).await.unwrap();
    assert_eq!(answer.headers()["content-length"], whole.len().to_string().as_str());
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), whole);
    drop(sender);
    drop(connection.await);
    app.close().await;
}

#[tokio::test]
async fn idle_peers_do_not_hold_the_end() {
    let app = TestApp::with("[server]\nshutdown_grace = \"5m\"\nheader_timeout = \"5m\"\n").await;
    let mut idle = Vec::new();
    for bytes in SILENCE {
        idle.push(say(&app, bytes).await);
    }
    let (mut sender, connection) = http2(&app, 1 << 16).await;
    let answer = sender.send_request(post(&app, &streamed(hello("fast")))).await.unwrap();
    drop(answer.into_body().collect().await.unwrap());
    // One that answers no ping as well.
    connection.abort();
    app.close().await;
    drop((idle, sender));
}

#[tokio::test]
async fn a_length_beside_chunks_is_400() {
    let app = TestApp::start().await;
    let body = hello("fast").to_string();
    let chunks = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    for both in [
        "content-length: 6\r\ntransfer-encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n",
        "TRANSFER-ENCODING: Chunked\r\nx-a: b\r\ncontent-LENGTH: 6\r\n",
    ] {
        for path in ["/v1/chat/completions", "/v1/messages", "/api/v1/keys"] {
            let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n{both}\r\n", app.key);
            let socket = say(&app, format!("{head}{chunks}").as_bytes()).await;
            let answer = Open::read(socket).await.unwrap().rest().await;
            assert_eq!(answer.status, 400, "{both}: {}", answer.text());
            assert!(answer.header("x-fulcrum-request-id").is_some() && answer.text().contains("not both"));
        }
    }
    assert_eq!(app.up.count(), 0);
    app.close().await;
}

#[tokio::test]
async fn a_length_beside_chunks_is_400_behind_other_requests_of_the_connection_too() {
    let app = TestApp::start().await;
    let body = hello("fast").to_string();
    let chunks = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let head = |more: &str| {
        format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n{more}\r\n", app.key)
    };
    let both = format!("{}{chunks}", head("content-length: 6\r\ntransfer-encoding: chunked\r\n"));
    let whole =
        format!("{}{body}", head(&format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len())));
    let chunked = format!("{}{chunks}", head("content-type: application/json\r\ntransfer-encoding: chunked\r\n"));
    for before in [&whole, &chunked] {
        let sent = app.up.count();
        let mut socket = say(&app, format!("{before}{both}").as_bytes()).await;
        let mut read = Vec::new();
        timeout(PATIENCE, socket.read_to_end(&mut read)).await.unwrap().unwrap();
        let read = String::from_utf8_lossy(&read);
        let statuses: Vec<&str> = read.split("HTTP/1.1 ").skip(1).collect();
        assert!(
            matches!(statuses[..], [first, second] if first.starts_with("200") && second.starts_with("400")),
            "{read}"
        );
        assert!(read.contains("not both"), "{read}");
        assert_eq!(app.up.count(), sent + 1);
    }
    app.close().await;
}

#[tokio::test]
async fn a_head_of_two_hosts_or_none_or_of_another_coding_is_400() {
    let app = TestApp::start().await;
    let body = hello("fast").to_string();
    let chunks = format!("transfer-encoding: CHUNKED\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let length = format!("content-length: {}\r\n\r\n{body}", body.len());
    let gzip = chunks.replace("CHUNKED", "gzip, chunked");
    let twice = format!("transfer-encoding: gzip\r\n{chunks}");
    for (hosts, rest, expected) in [
        ("host: a\r\nhost: b\r\n", &length, "one `host`"),
        ("host: a\r\nHost: a\r\n", &chunks, "one `host`"),
        ("", &length, "one `host`"),
        ("host: a\r\n", &gzip, "`chunked`, and nothing else"),
        ("host: a\r\n", &twice, "`chunked`, and nothing else"),
    ] {
        for path in ["/v1/chat/completions", "/v1/messages", "/api/v1/keys", "/health/live"] {
            let head = format!("POST {path} HTTP/1.1\r\n{hosts}authorization: Bearer {}\r\n", app.key);
            let mut socket = say(&app, format!("{head}{rest}").as_bytes()).await;
            let mut read = Vec::new();
            // What hyper refuses by itself has no body.
            drop(timeout(PATIENCE, socket.read_to_end(&mut read)).await.expect("the connection is closed"));
            let read = String::from_utf8_lossy(&read);
            assert!(
                read.starts_with("HTTP/1.1 400") && read.matches("HTTP/1.1 ").count() == 1,
                "{hosts}{rest}: {read}"
            );
            assert!(read.contains(expected) && read.contains("x-fulcrum-request-id"), "{hosts}{rest}: {read}");
        }
    }
    assert_eq!(app.up.count(), 0);
    let kind = "content-type: application/json\r\nconnection: close\r\n";
    for (version, hosts, rest) in [("1.1", "host: a\r\n", &chunks), ("1.0", "", &length)] {
        let head =
            format!("POST /v1/chat/completions HTTP/{version}\r\n{hosts}authorization: Bearer {}\r\n{kind}", app.key);
        let answer = Open::read(say(&app, format!("{head}{rest}").as_bytes()).await).await.unwrap().rest().await;
        assert_eq!(answer.status, 200, "{version}: {}", answer.text());
    }
    app.close().await;
}

#[tokio::test]
async fn a_kept_connection_that_closes_without_a_byte_is_replaced_within_the_attempt() {
    let app = TestApp::start().await;
    let (mut sender, connection) = http2(&app, 1 << 16).await;
    let mut seen = 0;
    app.up.api(move |_| {
        seen += 1;
        (seen == 2).then(|| Script::default().fin())
    });
    for _ in 0..2 {
        let answer = sender.send_request(post(&app, &hello("fast"))).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.headers()["x-fulcrum-attempts"].to_str().unwrap()), (200, "1"));
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), WHOLE);
    }
    assert_eq!(app.up.received().len(), 3);
    assert!(app.rows(2).await.iter().all(|row| row["status"] == "ok"));
    drop((sender, connection));
    app.close().await;
}

#[tokio::test]
async fn a_new_connection_that_closes_without_a_byte_is_a_failure() {
    let app = TestApp::start().await;
    app.up.next(Script::default().fin());
    assert_eq!(app.hello("fast").await.outcome(), "502 upstream_protocol");
    assert_eq!(app.up.count(), 1);
    app.close().await;
}

#[tokio::test]
async fn a_mark_before_an_answer_is_passed_over() {
    let app = TestApp::start().await;
    let marked = format!("\u{feff}{WHOLE}");
    app.up.next(Script::json(200, &marked));
    assert_eq!(app.hello("fast").await.text(), WHOLE);
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", marked.len());
    app.up.next(Script::raw(head).drip(marked[..4].to_owned(), Duration::from_millis(5)).send(marked[4..].to_owned()));
    assert_eq!(app.hello("fast").await.text(), WHOLE);
    let mut events: Vec<&[u8]> = vec![b"\xef", b"\xbb\xbf"];
    events.extend(EVENTS.iter().map(|event| event.as_bytes()));
    app.up.next(Script::stream(events));
    assert_eq!(app.hello_stream("fast").await.text(), without_usage());
    app.close().await;
}

#[tokio::test]
async fn a_compressed_answer_is_refused_by_name() {
    let app = TestApp::start().await;
    for coding in ["gzip", "br", "deflate"] {
        let headers = format!("content-type: application/json\r\ncontent-encoding: {coding}\r\n");
        app.up.next(Script::reply(200, &headers, b"\x1f\x8b\x08"));
        let refused = app.hello(&format!("up/{coding}")).await;
        assert_eq!(refused.outcome(), "502 upstream_protocol");
        assert!(refused.text().contains(&format!("content-encoding {coding}")), "{}", refused.text());
    }
    app.up.next(Script::reply(200, "content-type: application/json\r\ncontent-encoding: identity\r\n", WHOLE));
    assert_eq!(app.hello("fast").await.text(), WHOLE);
    app.close().await;
}

#[tokio::test]
async fn a_time_that_a_provider_names_is_waited_for_and_passed_on() {
    let app = TestApp::with("[defaults]\nretries = 1\n").await;
    for (n, status) in [429, 500, 502, 503, 504, 408, 529].into_iter().enumerate() {
        let model = format!("up/named-{n}");
        // Each call adds a fifth of a retry to the provider's budget.
        for _ in 0..5 {
            assert_eq!(app.hello("fast").await.status, 200);
        }
        let named = "retry-after-ms: 20\r\ncontent-type: application/json\r\n";
        app.up.next(Script::reply(status, named, r#"{"error":{"message":"busy"}}"#));
        assert_eq!(app.hello(&model).await.status, 200, "{status}");
        app.up.next(Script::reply(status, "retry-after: 33\r\n", r#"{"error":{"message":"busy"}}"#));
        let refused = app.hello(&model).await;
        assert_eq!(refused.header("retry-after"), Some("33"), "{status}: {}", refused.text());
    }
    app.close().await;
}
