//! CPU time of one settlement: a request, its attempt and its share of the hourly sums, by how many come at once.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::error::Error;
use std::sync::Arc;

use fulcrum::chat::{Usage, Used};
use fulcrum::db::Sqlite;
use fulcrum::types::{Nanos, RequestId, now};
use fulcrum::usage::{
    Ack, AttemptRow, CacheState, Intent, Ledger, Options, PriceBook, RequestRow, SegmentRefs, Settlement, Status,
    Unavailable,
};
use tokio::runtime::Runtime;

/// The gateway's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The kernel counts CPU time of a process in hundredths of a second.
const TICK_US: f64 = 10_000.0;

type Failed = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    println!("{:>8} {:>10} {:>14} {:>14}", "at once", "rows", "us CPU/row", "with intent");
    for (at_once, rows) in [(1usize, 20_000usize), (4, 40_000), (16, 100_000), (64, 200_000)] {
        let plain = measure(&runtime, at_once, rows, false)?;
        let intents = measure(&runtime, at_once, rows, true)?;
        println!("{at_once:>8} {rows:>10} {plain:>14.1} {intents:>14.1}");
    }
    let price = price_us()?;
    println!("a price looked up and a cost computed: {price:.2} us");
    Ok(())
}

fn measure(runtime: &Runtime, at_once: usize, rows: usize, intents: bool) -> Result<f64, Failed> {
    let folder = tempfile::tempdir()?;
    let url = format!("sqlite://{}/f.db", folder.path().display());
    let db = runtime.block_on(Sqlite::open(&url, false))?;
    let ledger = runtime.block_on(Ledger::open(&db, Options::default()))?;
    let words = Arc::new(Interned::new());
    // The first batches prepare the statements.
    let run = |rows| runtime.block_on(runtime.spawn(settle(ledger.clone(), words.clone(), (at_once, rows, intents))));
    run(50 * at_once)??;
    runtime.block_on(ledger.flush());
    let before = cpu_us()?;
    run(rows)??;
    runtime.block_on(ledger.flush());
    let spent = cpu_us()? - before;
    runtime.block_on(ledger.close())?;
    runtime.block_on(db.close());
    Ok(spent / rows as f64)
}

/// Settles as a busy gateway does: some at once, on a thread of the runtime, and the next when all are acknowledged.
async fn settle(ledger: Ledger, words: Arc<Interned>, how: (usize, usize, bool)) -> Result<(), Unavailable> {
    let (at_once, rows, intents) = how;
    for _ in 0..rows / at_once {
        while !ledger.healthy() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        let mut acks: Vec<Ack> = Vec::with_capacity(at_once);
        for _ in 0..at_once {
            let (request, attempt) = words.asked();
            let mut held = SegmentRefs::default();
            if intents {
                ledger.intend(&Intent { request: &request, attempt: &attempt, ended: &[] }, &mut held).await?;
            }
            acks.push(ledger.settle(words.ended(request, attempt), held));
        }
        for ack in acks {
            ack.await?;
        }
    }
    Ok(())
}

/// The texts that a gateway shares between its rows.
struct Interned {
    project: Arc<str>,
    key: Arc<str>,
    endpoint: Arc<str>,
    asked: Arc<str>,
    provider: Arc<str>,
    model: Arc<str>,
    route: Arc<str>,
    rate: Arc<str>,
}

impl Interned {
    fn new() -> Self {
        Self {
            project: "default".into(),
            key: "k7f3q9x2".into(),
            endpoint: "/v1/chat/completions".into(),
            asked: "fast".into(),
            provider: "openai".into(),
            model: "gpt-4o-mini".into(),
            route: "support".into(),
            rate: r#"{"input":"0.15","output":"0.6","cache_read":"0.075","from":"2026-11-23"}"#.into(),
        }
    }

    /// A request and its attempt as they are before it is sent.
    fn asked(&self) -> (RequestRow, AttemptRow) {
        let request = RequestRow {
            id: RequestId::new(),
            started_at: now(),
            project: self.project.clone(),
            key_id: self.key.clone(),
            endpoint: self.endpoint.clone(),
            requested_model: self.asked.clone(),
            route: Some(self.route.clone()),
            ..RequestRow::default()
        };
        let attempt = AttemptRow {
            n: 1,
            provider: self.provider.clone(),
            model: self.model.clone(),
            started_at: request.started_at,
            reserved: Nanos(500_000),
            ..AttemptRow::default()
        };
        (request, attempt)
    }

    /// The same when they ended.
    fn ended(&self, request: RequestRow, attempt: AttemptRow) -> Settlement {
        let spread = u64::from(request.id.as_bytes()[15]);
        let usage = Usage { input: 400 + spread, output: 90 + spread, ..Usage::default() };
        let request = RequestRow {
            provider: Some(self.provider.clone()),
            model: Some(self.model.clone()),
            status: Status::Ok,
            http_status: 200,
            cache: CacheState::None,
            usage: Some(usage),
            cost: Some(Nanos(120_000)),
            latency_us: 700_000 + spread * 1_000,
            first_token_us: Some(300_000 + spread * 500),
            overhead_us: Some(80 + spread),
            ..request
        };
        let attempt = AttemptRow {
            status: Status::Ok,
            http_status: Some(200),
            latency_us: request.latency_us,
            first_token_us: request.first_token_us,
            usage: Some(usage),
            cost: request.cost,
            rate: Some(self.rate.clone()),
            ..attempt
        };
        Settlement { request: Box::new(request), attempts: vec![attempt], bodies: None }
    }
}

fn price_us() -> Result<f64, Failed> {
    const TIMES: u32 = 1_000_000;
    let book = PriceBook::builtin();
    let usage = Usage { input: 400, output: 90, ..Usage::default() };
    let used = Used::from(usage);
    let before = cpu_us()?;
    let mut sum = Nanos(0);
    for _ in 0..TIMES {
        sum += book.rate("openai", "", "gpt-4o-mini").and_then(|price| price.cost_of(&used).0).unwrap_or_default();
    }
    assert!(sum > Nanos(0), "the model has a price");
    Ok((cpu_us()? - before) / f64::from(TIMES))
}

/// User and system time of this process so far.
fn cpu_us() -> Result<f64, Failed> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    Ok(ticks * TICK_US)
}
