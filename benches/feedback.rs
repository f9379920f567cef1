//! Feedback a second, each answered once it is committed: over HTTP, and handed to the writer; and what a report of it takes.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use fulcrum::app::{App, Built};
use fulcrum::config;
use fulcrum::feedback::{Feedback, NewFeedback, Subject, Value};
use fulcrum::http::{Listening, serve};
use fulcrum::types::{RequestId, now};
use fulcrum::usage::{self, Query, RequestRow, SegmentRefs, Settlement, Status};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The gateway's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The requests that feedback is of.
const REQUESTS: usize = 40_000;
/// The kernel counts CPU time of a process in hundredths of a second.
const TICK_US: f64 = 10_000.0;

type Failed = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let folder = tempfile::tempdir()?;
    let text = format!(
        "[database]\nurl = \"sqlite://{}/f.db\"\n[providers.sim]\nkind = \"simulated\"\n",
        folder.path().display()
    );
    let config = config::parse(&text, "bench", &|_| None).map_err(|problems| format!("{problems:?}"))?;
    let Built { app, new_admin_key } = runtime.block_on(App::build(config))?;
    let key = new_admin_key.ok_or("a new database has a new key")?;
    let ids = Arc::new(runtime.block_on(requests(&app))?);
    println!("{:>10} {:>8} {:>8} {:>12} {:>14}", "", "at once", "sent", "a second", "us CPU each");
    for (at_once, sent) in [(1usize, 2_000usize), (64, 40_000)] {
        let feedback = app.feedback().clone();
        measure(&runtime, "writer", (at_once, sent), |n| store(feedback.clone(), ids.clone(), (n, at_once, sent)))?;
    }
    let stop = CancellationToken::new();
    let listening = runtime.block_on(Listening::at("127.0.0.1:0".parse()?))?;
    let address = listening.address();
    let server = runtime.spawn(serve(app.clone(), listening, stop.clone()));
    for (at_once, sent) in [(1usize, 2_000usize), (64, 40_000)] {
        let head = format!("authorization: Bearer {}", key.expose());
        measure(&runtime, "HTTP", (at_once, sent), |n| post((address, head.clone()), ids.clone(), (n, at_once, sent)))?;
    }
    report(&runtime, &app)?;
    stop.cancel();
    runtime.block_on(server)??;
    runtime.block_on(app.close());
    Ok(())
}

/// Writes requests that feedback can be of, of some prompts.
async fn requests(app: &App) -> Result<Vec<RequestId>, Failed> {
    let mut ids = Vec::with_capacity(REQUESTS);
    for n in 0..REQUESTS {
        while !app.ledger().healthy() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        let request = RequestRow {
            id: RequestId::new(),
            started_at: now(),
            project: "default".into(),
            key_id: "k7f3q9x2".into(),
            prompt: Some(format!("p{}", n % 7).into()),
            version: Some(1),
            status: Status::Ok,
            ..RequestRow::default()
        };
        ids.push(request.id);
        let settlement = Settlement { request: Box::new(request), attempts: Vec::new(), bodies: None };
        app.ledger().settle(settlement, SegmentRefs::default()).await?;
    }
    app.ledger().flush().await;
    Ok(ids)
}

/// Runs `at_once` senders to their end and prints what they took.
fn measure<S>(
    runtime: &Runtime,
    way: &str,
    (at_once, sent): (usize, usize),
    sender: impl Fn(usize) -> S,
) -> Result<(), Failed>
where
    S: Future<Output = Result<(), Failed>> + Send + 'static,
{
    let (began, before) = (Instant::now(), cpu_us()?);
    runtime.block_on(async {
        let mut senders = JoinSet::new();
        for n in 0..at_once {
            senders.spawn(sender(n));
        }
        while let Some(ended) = senders.join_next().await {
            ended??;
        }
        Ok::<(), Failed>(())
    })?;
    let (took, spent) = (began.elapsed().as_secs_f64(), cpu_us()? - before);
    println!("{way:>10} {at_once:>8} {sent:>8} {:>12.0} {:>14.1}", sent as f64 / took, spent / sent as f64);
    Ok(())
}

/// Hands a sender's share to the writer, one after the other.
async fn store(feedback: Feedback, ids: Arc<Vec<RequestId>>, share: (usize, usize, usize)) -> Result<(), Failed> {
    let (first, at_once, sent) = share;
    for n in (first..sent).step_by(at_once) {
        let new = NewFeedback {
            subject: Subject::Request(ids[n % ids.len()]),
            metric: "resolved".parse()?,
            value: Value::Boolean(n % 3 > 0),
            project: Some("default".into()),
            key_id: "k7f3q9x2".into(),
            at: now(),
        };
        feedback.store(new).await?;
    }
    Ok(())
}

/// Posts a sender's share over one connection, one after the other.
async fn post(
    (address, head): (SocketAddr, String),
    ids: Arc<Vec<RequestId>>,
    (first, at_once, sent): (usize, usize, usize),
) -> Result<(), Failed> {
    let mut socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let mut answer = vec![0; 4_096];
    for n in (first..sent).step_by(at_once) {
        let body = json!({"request_id": ids[n % ids.len()], "metric": "posted", "value": n % 3 > 0}).to_string();
        let length = body.len();
        let text =
            format!("POST /v1/feedback HTTP/1.1\r\nhost: bench\r\n{head}\r\ncontent-length: {length}\r\n\r\n{body}");
        socket.write_all(text.as_bytes()).await?;
        let mut read = 0;
        // The answer is short, and its body ends with the object.
        while !(answer[..read].starts_with(b"HTTP/1.1 201") && answer[..read].ends_with(b"}")) {
            let more = socket.read(&mut answer[read..]).await?;
            if more == 0 {
                return Err(String::from_utf8_lossy(&answer[..read]).into_owned().into());
            }
            read += more;
        }
    }
    Ok(())
}

/// Times a report of one metric by prompt, beside the same without it.
fn report(runtime: &Runtime, app: &App) -> Result<(), Failed> {
    for parameters in [&[("by", "prompt,version")][..], &[("by", "prompt,version"), ("metric", "resolved")]] {
        let query = Query::parse(parameters.iter().copied(), now())?;
        let began = Instant::now();
        let rows = runtime.block_on(usage::report(app.ledger_db(), &query))?.rows.len();
        println!("{parameters:?}: {rows} rows in {:.1} ms", began.elapsed().as_secs_f64() * 1_000.0);
    }
    Ok(())
}

/// User and system time of this process so far.
fn cpu_us() -> Result<f64, Failed> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    Ok(ticks * TICK_US)
}
