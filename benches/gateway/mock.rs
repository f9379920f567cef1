//! The upstream: answers a canned chat completion, or a hundred chunks, at once; where another dialect's route is called, in that.

use std::convert::Infallible;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use memchr::memmem;
use tokio::net::TcpListener;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::Result;
use crate::dialect::{ALL, Dialect};

/// How many chunks with text a stream has.
pub(crate) const CHUNKS: usize = 100;
/// A message with this word gets its chunks [`PACE`] apart, each with the time of its sending.
pub(crate) const PACED: &str = "PACED";
const PACE: Duration = Duration::from_millis(2);

const WHOLE: &str = r#"{"id":"chatcmpl-bench","object":"chat.completion","created":1767225600,"model":"bench","choices":[{"index":0,"message":{"role":"assistant","content":"Thank you for writing to us about your order. The parcel left our warehouse yesterday and should reach you within two working days. If it has not arrived by then, reply to this message and we will send another one at no cost to you.","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":143,"completion_tokens":52,"total_tokens":195,"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}},"system_fingerprint":"fp_bench"}"#;

type Answer = Response<Either<Full<Bytes>, Either<Chunks, Canned>>>;

/// The answer in each dialect: whole, and as a stream.
static SPOKEN: LazyLock<[(Bytes, Vec<Bytes>); 4]> =
    LazyLock::new(|| ALL.map(|dialect| (dialect.whole().to_string().into(), dialect.events())));

/// Serves until it is killed; prints its port on the first line of standard output.
pub(crate) async fn run() -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("{}", listener.local_addr()?.port());
    std::io::stdout().flush()?;
    let count = Arc::new(AtomicU64::new(0));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let count = Arc::clone(&count);
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, Arc::clone(&count)));
            // A broken connection is the contender's affair.
            http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
        });
    }
}

async fn answer(request: Request<Incoming>, count: Arc<AtomicU64>) -> std::result::Result<Answer, Infallible> {
    if request.method() == Method::GET {
        let count = count.load(Ordering::Relaxed).to_string();
        return Ok(Response::new(Either::Left(Full::from(count))));
    }
    let dialect = Dialect::at(request.uri().path());
    let by_path = request.uri().path().contains(":stream");
    let Ok(body) = request.into_body().collect().await else {
        return Ok(typed("text/plain", Either::Left(Full::default())));
    };
    count.fetch_add(1, Ordering::Relaxed);
    let body = body.to_bytes();
    if dialect != Dialect::Chat {
        let (whole, events) = &SPOKEN[dialect as usize];
        if by_path || streams(&body) {
            return Ok(typed("text/event-stream", Either::Right(Either::Right(Canned { left: events, rest: false }))));
        }
        return Ok(typed("application/json", Either::Left(Full::from(whole.clone()))));
    }
    if !streams(&body) {
        return Ok(typed("application/json", Either::Left(Full::from(WHOLE))));
    }
    let paced = memmem::find(&body, PACED.as_bytes()).map(|_| {
        let mut interval = interval(PACE);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        interval
    });
    let usage = memmem::find(&body, b"include_usage").is_some();
    let chunks = Chunks { sent: 0, rest: false, paced, usage };
    Ok(typed("text/event-stream", Either::Right(Either::Left(chunks))))
}

fn typed(content_type: &'static str, body: Either<Full<Bytes>, Either<Chunks, Canned>>) -> Answer {
    let mut answer = Response::new(body);
    answer.headers_mut().insert("content-type", HeaderValue::from_static(content_type));
    answer
}

fn streams(body: &[u8]) -> bool {
    memmem::find(body, b"\"stream\":").is_some_and(|at| body[at + 9..].trim_ascii_start().starts_with(b"true"))
}

/// The stream's body. Between two chunks it is not ready, so that each goes out in a write of its own.
struct Chunks {
    sent: usize,
    rest: bool,
    paced: Option<Interval>,
    usage: bool,
}

impl Chunks {
    fn next(&self) -> Option<Bytes> {
        let after = self.sent.checked_sub(CHUNKS + 2);
        Some(match (self.sent, after) {
            (0, _) => chunk(r#"{"role":"assistant","content":"","refusal":null}"#, "null"),
            (sent, None) if sent <= CHUNKS => {
                let time = self.paced.as_ref().map_or(0, |_| jiff::Timestamp::now().as_nanosecond());
                chunk(&format!(r#"{{"content":" t={time};"}}"#), "null")
            }
            (_, None) => chunk("{}", r#""stop""#),
            (_, Some(0)) if self.usage => Bytes::from_static(
                b"data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1767225600,\"model\":\"bench\",\"choices\":[],\"usage\":{\"prompt_tokens\":143,\"completion_tokens\":100,\"total_tokens\":243}}\n\n",
            ),
            (_, Some(after)) if after == usize::from(self.usage) => Bytes::from_static(b"data: [DONE]\n\n"),
            _ => return None,
        })
    }
}

fn chunk(delta: &str, finish: &str) -> Bytes {
    format!(
        "data: {{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1767225600,\"model\":\"bench\",\
         \"system_fingerprint\":\"fp_bench\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"logprobs\":null,\"finish_reason\":{finish}}}]}}\n\n"
    )
    .into()
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, Infallible>>> {
        if let Some(interval) = &mut self.paced {
            ready!(interval.poll_tick(cx));
        } else if self.rest {
            self.rest = false;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let next = self.next();
        self.sent += 1;
        self.rest = true;
        Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// A stream in another dialect, each event in a write of its own.
struct Canned {
    left: &'static [Bytes],
    rest: bool,
}

impl Body for Canned {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, Infallible>>> {
        if std::mem::replace(&mut self.rest, false) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some((next, left)) = self.left.split_first() else { return Poll::Ready(None) };
        self.left = left;
        self.rest = true;
        Poll::Ready(Some(Ok(Frame::data(next.clone()))))
    }
}
