//! Each limit of a call by itself, on paused time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use super::address::tests::at;
use super::{
    Call, CpuTime, Failure, InProcess, InProcessAnswer, InProcessCall, InProcessModels, Kind, Operation, Phase,
    Provider, ProviderClient, ProviderKeys, Timeouts,
};

/// Sends its head after a time, and then a piece after each of these.
struct Timed {
    head: Duration,
    pieces: Vec<Duration>,
}

impl InProcess for Timed {
    fn answer<'a>(&'a self, call: InProcessCall<'a>) -> BoxFuture<'a, Result<InProcessAnswer, Failure>> {
        Box::pin(async move {
            sleep(self.head).await;
            let pieces = stream::iter(self.pieces.clone()).then(|after| async move {
                sleep(after).await;
                Ok(Bytes::from_static(b": still here\n\n"))
            });
            let kind = if call.stream { "text/event-stream" } else { "application/json" };
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
            Ok(InProcessAnswer { status: StatusCode::OK, headers, body: pieces.boxed(), cpu: CpuTime::default() })
        })
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn call(stream: bool, limit: Option<Duration>) -> Call<'static> {
    static PROJECT: std::sync::LazyLock<Arc<str>> = std::sync::LazyLock::new(|| "a".into());
    Call {
        operation: Operation::Chat,
        model: "m",
        stream,
        headers: HeaderMap::new(),
        body: Bytes::new(),
        deadline: limit.map(|limit| Instant::now() + limit),
        project: &PROJECT,
        shares: false,
        background: false,
    }
}

fn client_of(model: Timed, timeouts: Timeouts) -> ProviderClient {
    let model: Arc<dyn InProcess> = Arc::new(model);
    let models = InProcessModels::from_iter([("simulated", model)]);
    let provider = Provider { timeouts, ..at(Kind::Simulated, "") };
    ProviderClient::new(provider, &models, &ProviderKeys::default()).unwrap()
}

/// How a call ends, and after how many seconds: at its head, at its first token, or between pieces.
async fn end(model: Timed, timeouts: Timeouts, call: Call<'_>) -> (Result<(), Failure>, u64) {
    let client = client_of(model, timeouts);
    let (began, is_stream) = (Instant::now(), call.stream);
    let read = async {
        let mut answer = client.send(call).await?;
        if is_stream {
            answer.await_token();
        }
        while answer.piece().await?.is_some() {}
        Ok(())
    };
    let read = read.await;
    (read, began.elapsed().as_secs())
}

fn late(phase: Phase, after: u64) -> (Result<(), Failure>, u64) {
    (Err(Failure::TimedOut(phase)), after)
}

/// Limits far apart, so that each shows which one passed.
const LIMITS: Timeouts = Timeouts {
    connect: Duration::from_secs(2),
    headers: None,
    first_token: Duration::from_secs(10),
    idle: Duration::from_secs(20),
    total: Duration::from_secs(100),
};

#[tokio::test(start_paused = true)]
async fn a_connection_that_never_stands_ends_at_its_limit() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // TLS is never answered.
    let base = format!("https://{}/v1", silent.local_addr().unwrap());
    let provider = Provider { timeouts: LIMITS, ..at(Kind::OpenAi, &base) };
    let client = ProviderClient::new(provider, &InProcessModels::default(), &ProviderKeys::default()).unwrap();
    let began = Instant::now();
    assert_eq!(client.send(call(false, None)).await.err(), Some(Failure::TimedOut(Phase::Connect)));
    assert_eq!(began.elapsed().as_secs(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_head_has_a_limit_of_its_own() {
    let never = || Timed { head: seconds(1_000), pieces: Vec::new() };
    assert_eq!(end(never(), LIMITS, call(true, None)).await, late(Phase::FirstToken, 10));
    assert_eq!(end(never(), LIMITS, call(false, None)).await, late(Phase::FirstToken, 10));
    let short = Timeouts { headers: Some(seconds(3)), ..LIMITS };
    assert_eq!(end(never(), short, call(true, None)).await, late(Phase::Headers, 3));
    // A whole answer has its head when it is written; a stream has it before its first token.
    let long = Timeouts { headers: Some(seconds(50)), ..LIMITS };
    assert_eq!(end(never(), long, call(false, None)).await, late(Phase::Headers, 50));
    assert_eq!(end(never(), long, call(true, None)).await, late(Phase::FirstToken, 10));
    let written = Timed { head: seconds(40), pieces: vec![seconds(1)] };
    assert_eq!(end(written, long, call(false, None)).await, (Ok(()), 41));
}

#[tokio::test(start_paused = true)]
async fn the_first_token_has_a_limit_whatever_comes_before_it() {
    let silent = || Timed { head: seconds(1), pieces: vec![seconds(1); 50] };
    assert_eq!(end(silent(), LIMITS, call(true, None)).await, late(Phase::FirstToken, 10));
    assert_eq!(
        end(silent(), LIMITS, call(false, None)).await,
        (Ok(()), 51),
        "a whole answer began with its first byte"
    );
    let stalls = Timed { head: seconds(1), pieces: vec![seconds(60)] };
    assert_eq!(end(stalls, LIMITS, call(false, None)).await, late(Phase::FirstToken, 10));
}

#[tokio::test(start_paused = true)]
async fn pieces_have_a_limit_between_two_of_them_and_all_have_one() {
    let stalls = Timed { head: seconds(1), pieces: vec![seconds(1), seconds(15), seconds(30)] };
    assert_eq!(end(stalls, LIMITS, call(false, None)).await, late(Phase::Idle, 1 + 1 + 15 + 20));
    let endless = Timed { head: seconds(1), pieces: vec![seconds(5); 50] };
    assert_eq!(end(endless, LIMITS, call(false, None)).await, late(Phase::Total, 100));
}

#[tokio::test(start_paused = true)]
async fn what_only_keeps_a_connection_open_does_not_put_off_the_limit_between_pieces() {
    let kept = Timed { head: seconds(1), pieces: vec![seconds(5); 50] };
    let client = client_of(kept, LIMITS);
    let began = Instant::now();
    let mut answer = client.send(call(true, None)).await.unwrap();
    let ended = loop {
        match answer.piece().await {
            Ok(Some(_comment)) => answer.kept_alive(),
            other => break other,
        }
    };
    assert_eq!((ended.err(), began.elapsed().as_secs()), (Some(Failure::TimedOut(Phase::Idle)), 1 + 20));
}

#[tokio::test(start_paused = true)]
async fn the_callers_own_limit_is_nobodys_fault() {
    let never = Timed { head: seconds(1_000), pieces: Vec::new() };
    assert_eq!(end(never, LIMITS, call(true, Some(seconds(4)))).await, late(Phase::Caller, 4));
    let slow = Timed { head: seconds(1), pieces: vec![seconds(5); 50] };
    assert_eq!(end(slow, LIMITS, call(false, Some(seconds(33)))).await, late(Phase::Caller, 33));
    let failure = Failure::TimedOut(Phase::Caller);
    assert!(!failure.is_targets_fault() && !failure.is_retryable());
}
