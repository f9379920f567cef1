//! What is measured, in which order.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use crate::Result;
use crate::client::Conn;
use crate::contenders::{Asked, Contender, start_all};
use crate::load::{Outcome, closed, open, percentile};
use crate::options::Options;
use crate::pairs;
use crate::process::{Process, Used};
use crate::report::{Report, Row};
use crate::startup;

/// One way to load.
#[derive(Clone, Copy)]
struct Scenario {
    name: &'static str,
    asked: Asked,
    calls: usize,
    load: Load,
}

#[derive(Clone, Copy)]
enum Load {
    Closed(usize),
    Open(u32),
}

const SCENARIOS: &[Scenario] = &[
    Scenario { name: "whole1", asked: Asked::Whole, calls: 5_000, load: Load::Closed(1) },
    Scenario { name: "whole64", asked: Asked::Whole, calls: 40_000, load: Load::Closed(64) },
    Scenario { name: "stream1", asked: Asked::Stream, calls: 500, load: Load::Closed(1) },
    Scenario { name: "stream16", asked: Asked::Stream, calls: 2_000, load: Load::Closed(16) },
    Scenario { name: "paced16", asked: Asked::Paced, calls: 480, load: Load::Closed(16) },
    Scenario { name: "cached64", asked: Asked::Cached, calls: 40_000, load: Load::Closed(64) },
    Scenario { name: "open2000", asked: Asked::Whole, calls: 20_000, load: Load::Open(2_000) },
];

/// Requests between two looks at the memory.
const MEMORY_CALLS: usize = 50_000;
/// Beyond this rate a slow contender only queues.
const SLOW_SHARE: f64 = 0.5;

/// Everything that `options` asks for.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let (mock, port) = Process::start_and_read(Command::new(std::env::current_exe()?).arg("mock"))?;
    let upstream = SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse()?));
    let home = tempfile::tempdir()?;
    let mut report = Report::new(options);
    let binaries = [("fulcrum", Some(&options.fulcrum)), ("before", options.before.as_ref())];
    for (name, binary) in binaries {
        let Some(binary) = binary.filter(|_| options.runs("startup") && options.wants(name)) else { continue };
        match startup::measure(name, binary, upstream, home.path()).await {
            Ok(rows) => report.rows.extend(rows),
            Err(error) => eprintln!("the start-up of {name} is left out: {error}"),
        }
    }
    let contenders = start_all(options, upstream, home.path()).await?;
    report.contenders = contenders.iter().map(|c| (c.name.to_owned(), c.about.clone())).collect();
    for scenario in SCENARIOS.iter().filter(|scenario| options.runs(scenario.name)) {
        measure(options, *scenario, &contenders, upstream, &mut report).await;
    }
    if options.runs("pairs")
        && let Some(contender) = contenders.iter().find(|contender| contender.name == "fulcrum")
    {
        pairs::measure(options, contender, &mut report).await;
    }
    if options.runs("memory") {
        for contender in &contenders {
            memory(options, contender, &mut report).await;
        }
    }
    report.write(options)?;
    for process in contenders.into_iter().filter_map(|contender| contender.process) {
        process.stop();
    }
    mock.stop();
    Ok(())
}

/// Each contender in turn, then all again, so that what the machine does meanwhile hits all alike.
async fn measure(
    options: &Options,
    scenario: Scenario,
    contenders: &[Contender],
    upstream: SocketAddr,
    report: &mut Report,
) {
    let fits = |contender: &&Contender| {
        let too_slow = matches!(scenario.load, Load::Open(_)) && contender.share < SLOW_SHARE;
        !too_slow && (scenario.asked != Asked::Cached || contender.caches)
    };
    let contenders: Vec<&Contender> = contenders.iter().filter(fits).collect();
    for contender in &contenders {
        load(scenario, contender, calls(options, scenario.calls / 20, contender)).await;
    }
    let mut rounds: BTreeMap<&str, Vec<Row>> = BTreeMap::new();
    for round in 1..=options.rounds.max(1) {
        for contender in &contenders {
            let row = once(options, scenario, contender, upstream).await;
            eprintln!("{} round {round} {}", scenario.name, row.line());
            rounds.entry(contender.name).or_default().push(row);
        }
    }
    report.rows.extend(contenders.iter().filter_map(|contender| Row::median(rounds.get(contender.name)?)));
}

fn calls(options: &Options, calls: usize, contender: &Contender) -> usize {
    let tenths = if options.quick { 1 } else { 10 };
    let percent = if contender.share >= 1.0 {
        100
    } else if contender.share >= 0.1 {
        10
    } else {
        2
    };
    (calls * tenths * percent / 1_000).max(20)
}

async fn load(scenario: Scenario, contender: &Contender, calls: usize) -> Outcome {
    let (address, request) = (contender.address(scenario.asked), contender.request(scenario.asked));
    let streams = matches!(scenario.asked, Asked::Stream | Asked::Paced);
    match scenario.load {
        Load::Closed(concurrency) => closed(address, &request, (concurrency, calls), streams).await,
        Load::Open(rate) => open(address, &request, (rate, calls)).await,
    }
}

async fn once(options: &Options, scenario: Scenario, contender: &Contender, upstream: SocketAddr) -> Row {
    let calls = calls(options, scenario.calls, contender);
    let used = || contender.process.as_ref().map(Process::used);
    let asked_before = upstream_calls(upstream).await;
    let before = used();
    let outcome = load(scenario, contender, calls).await;
    // What it still has to write belongs to these calls.
    tokio::time::sleep(Duration::from_millis(150)).await;
    let cpu = before.zip(used()).map(|(before, after)| after.cpu.saturating_sub(before.cpu));
    let asked = upstream_calls(upstream).await - asked_before;
    let done = outcome.calls.max(1) as f64;
    let mut row = Row::new(scenario.name, contender.name);
    row.set("calls", outcome.calls as f64);
    row.set("errors", outcome.errors as f64);
    row.set("upstream_calls", asked);
    row.set("calls_per_s", done / outcome.took.as_secs_f64());
    if let Some(cpu) = cpu {
        row.set("cpu_us_per_call", micros(cpu) / done);
    }
    row.set("p50_us", micros(percentile(&outcome.latency, 0.5)));
    row.set("p99_us", micros(percentile(&outcome.latency, 0.99)));
    if outcome.events > 0 {
        row.set("first_p50_us", micros(percentile(&outcome.first, 0.5)));
        row.set("first_p99_us", micros(percentile(&outcome.first, 0.99)));
        row.set("events_per_call", outcome.events as f64 / done);
        row.set("events_per_s", outcome.events as f64 / outcome.took.as_secs_f64());
    }
    if scenario.asked == Asked::Paced {
        row.set("delay_p50_us", micros(percentile(&outcome.delays, 0.5)));
        row.set("delay_p99_us", micros(percentile(&outcome.delays, 0.99)));
    }
    if matches!(scenario.load, Load::Open(_)) {
        row.set("clock_late_p99_us", micros(outcome.clock_late));
    }
    row
}

/// Idle, after so many requests, and after as many again.
async fn memory(options: &Options, contender: &Contender, report: &mut Report) {
    let Some(process) = &contender.process else { return };
    let mut row = Row::new("memory", contender.name);
    let mebibytes = |used: Used| used.resident as f64 / 1024.0;
    let scenario = Scenario { name: "memory", asked: Asked::Whole, calls: MEMORY_CALLS, load: Load::Closed(64) };
    let calls = calls(options, MEMORY_CALLS, contender);
    row.set("calls", calls as f64);
    row.set("before_mib", mebibytes(process.used()));
    for name in ["after_mib", "after_twice_mib"] {
        load(scenario, contender, calls).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        row.set(name, mebibytes(process.used()));
    }
    eprintln!("memory {}", row.line());
    report.rows.push(row);
}

/// How many calls the mock has had.
async fn upstream_calls(upstream: SocketAddr) -> f64 {
    let mut body = Vec::new();
    let request = b"GET /count HTTP/1.1\r\nhost: mock\r\n\r\n";
    let reply = Conn::new(upstream).call(request, &mut |piece| body.extend_from_slice(piece)).await;
    reply.ok().and_then(|_| std::str::from_utf8(&body).ok()?.parse().ok()).unwrap_or(0.0)
}

pub(crate) fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
