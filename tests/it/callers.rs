//! Callers who hang up.

use crate::app::{TestApp, hello, streamed};
use crate::client::Call;
use crate::upstream::Script;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

async fn ask_and_leave(app: &TestApp, stream: bool) {
    let body = if stream { streamed(hello("fast")) } else { hello("fast") }.to_string();
    let mut socket = TcpStream::connect(app.address).await.unwrap();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n{body}",
        app.key,
        body.len()
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    socket.set_zero_linger().unwrap();
}

#[tokio::test]
async fn two_hundred_who_hang_up_before_the_head_leave_nothing_behind() {
    let app = TestApp::start().await;
    app.up.always(Script::default().stall());
    for n in 0..200 {
        ask_and_leave(&app, n % 2 == 0).await;
    }
    let deadline = tokio::time::Instant::now() + crate::client::PATIENCE;
    while app.metric("fulcrum_requests_in_flight", "").await > 0.0 {
        assert!(tokio::time::Instant::now() < deadline, "calls outlive their callers");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    app.up.until("all are closed", |received| received.iter().all(|one| one.closed)).await;
    let rows = app.admin(Call::get("/api/v1/requests?limit=500")).await.json();
    for row in rows["rows"].as_array().unwrap() {
        assert_eq!(row["status"], "client_closed", "{row:#}");
    }
    // A caller's hang-up is not the target's fault.
    app.up.always(Script::json(200, crate::upstream::WHOLE));
    assert_eq!(app.hello("fast").await.status, 200);
    app.close().await;
}

#[tokio::test]
async fn a_caller_who_hangs_up_before_the_head_closes_the_upstream() {
    let app = TestApp::start().await;
    app.up.next(Script::default().stall());
    let body = hello("fast").to_string();
    let mut socket = TcpStream::connect(app.address).await.unwrap();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n{body}",
        app.key,
        body.len()
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    app.up.until("the call goes out", |received| received.len() == 1).await;
    drop(socket);
    app.up.until("the gateway hangs up", |received| received[0].closed).await;
    let row = app.rows(1).await.remove(0);
    assert_eq!(row["status"], "client_closed");
    assert_eq!(app.row(row["id"].as_str().unwrap()).await["attempts"][0]["status"], "client_closed");
    app.close().await;
}

#[tokio::test]
async fn a_caller_who_hangs_up_is_drained_where_the_configuration_says_so() {
    let app = TestApp::with("[client]\non_disconnect = \"drain\"\n").await;
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    app.up.next(
        Script::sse().chunks(&crate::upstream::EVENTS[..3]).gate(&gate).chunks(&crate::upstream::EVENTS[3..]).ended(),
    );
    let mut open = app.open(&Call::chat(&streamed(hello("fast"))).key(&app.key)).await;
    let id = open.header("x-fulcrum-request-id").unwrap().to_owned();
    open.until("Hello").await;
    drop(open);
    // The gateway must notice before the answer goes on, and must not hang up: a second call proves that it had time.
    for _ in 0..20 {
        app.hello("spare").await;
    }
    gate.add_permits(1);
    let row = app.row(&id).await;
    assert_eq!(
        (&row["output_tokens"], &row["estimated"]),
        (&3.into(), &false.into()),
        "the answer is read to its end: {row:#}"
    );
    assert!(!app.up.only().closed);
    app.close().await;
}
