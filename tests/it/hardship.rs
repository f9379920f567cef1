//! What the machine does to the process: a full disk, a database that goes away, logs that nobody reads, endless reloads.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::Row;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::app::{ADMIN, hello, streamed};
use crate::batches::upload;
use crate::binary::{Binary, config, fulcrum, read};
use crate::client::{Answer, Call, Open, PATIENCE};
use crate::upstream::{EVENTS, Script, Upstream};

async fn prepared(more: &str) -> (TempDir, Upstream) {
    let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::start().await);
    std::fs::write(dir.path().join("fulcrum.toml"), format!("{}{more}", config(up.address))).unwrap();
    (dir, up)
}

/// The command, ignoring the signal that a file beyond its limit brings: then writing fails, as on a full disk.
fn on_a_small_disk(dir: &Path) -> Command {
    let plain = fulcrum(dir);
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(plain.get_program()).current_dir(dir).env_clear();
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

fn limit_files(binary: &Binary, limit: &str) {
    let mut set = Command::new("prlimit");
    set.args(["--pid", &binary.child.id().to_string(), &format!("--fsize={limit}")]);
    assert!(set.status().unwrap().success());
}

async fn say_hello(binary: &Binary) -> Answer {
    binary.send(Call::chat(&hello("fast"))).await
}

/// Asks until an answer is as `holds` wants it.
async fn until(binary: &Binary, what: &str, holds: impl Fn(&Answer) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = say_hello(binary).await;
        if holds(&answer) {
            return;
        }
        assert!(Instant::now() < deadline, "{what}: {} {}\n{}", answer.status, answer.text(), binary.log());
        sleep(Duration::from_millis(20)).await;
    }
}

/// A change of each store that callers change.
fn changes(n: usize) -> [Call; 4] {
    let prompt = json!({"name": format!("p{n}"), "messages": [{"role": "user", "content": "x"}]});
    [
        Call::post("/api/v1/keys", &json!({"name": format!("k{n}")})),
        Call::post("/api/v1/projects", &json!({"name": format!("q{n}")})),
        Call::post("/api/v1/prompts", &prompt),
        upload("{}"),
    ]
}

#[tokio::test]
async fn a_full_disk_stops_calls_until_there_is_room_again() {
    let (dir, up) = prepared("").await;
    let mut binary = Binary::start(on_a_small_disk(dir.path())).await;
    assert_eq!(say_hello(&binary).await.status, 200);
    limit_files(&binary, "1:unlimited");
    until(&binary, "a full disk is reported", |answer| answer.outcome() == "503 ledger_unavailable").await;
    let before = up.count();
    for body in [hello("fast"), streamed(hello("fast"))] {
        assert_eq!(binary.send(Call::chat(&body)).await.outcome(), "503 ledger_unavailable");
    }
    assert_eq!(up.count(), before, "nothing is sent that could not be written down");
    assert_eq!(binary.send(Call::get("/health/ready")).await.status, 503);
    assert_eq!(binary.send(Call::get("/health/live")).await.status, 200);
    for _ in 0..20 {
        assert_eq!(say_hello(&binary).await.outcome(), "503 ledger_unavailable", "every call, not every second one");
    }
    for n in 0..3 {
        for call in changes(n) {
            let refused = binary.send(call).await;
            assert_eq!(refused.outcome(), "503 overloaded", "{}", refused.text());
        }
        let once = Call::chat(&hello("fast")).header("idempotency-key", "k");
        assert_eq!(binary.send(once).await.status, 503);
    }
    let lines = |text: &str| binary.log().lines().filter(|line| line.contains(text)).count();
    assert!(lines("cannot be written") <= 2 && lines("can be written again") == 0, "a line a state:\n{}", binary.log());
    limit_files(&binary, "unlimited:unlimited");
    until(&binary, "the ledger recovers", |answer| answer.status == 200).await;
    assert!(lines("cannot be written") <= 2 && lines("can be written again") <= 2, "a line a state:\n{}", binary.log());
    for call in changes(3) {
        let made = binary.send(call).await;
        assert_eq!(made.status / 100, 2, "every store recovers: {}", made.text());
    }
    let once = Call::chat(&hello("fast")).header("idempotency-key", "l");
    assert_eq!(binary.send(once).await.status, 200);
    assert_eq!(binary.send(Call::get("/health/ready")).await.status, 200);
    binary.signal("TERM");
    assert!(binary.ended().await.success());
    let sent: i64 = read(dir.path(), "select count(*) from full_attempts").await[0].get(0);
    assert_eq!(usize::try_from(sent).unwrap(), up.count(), "each attempt has its row");
}

#[tokio::test]
async fn a_database_that_was_deleted_stops_calls_and_says_so() {
    let (dir, up) = prepared("").await;
    let binary = Binary::start(fulcrum(dir.path())).await;
    assert_eq!(say_hello(&binary).await.status, 200);
    let (here, away) = (dir.path().join("fulcrum.db"), dir.path().join("moved.db"));
    std::fs::rename(&here, &away).unwrap();
    until(&binary, "a lost database is reported", |answer| answer.outcome() == "503 ledger_unavailable").await;
    let before = up.count();
    assert_eq!(say_hello(&binary).await.status, 503);
    assert_eq!(up.count(), before);
    binary.says("fulcrum.db was deleted or replaced").await;
    std::fs::rename(&away, &here).unwrap();
    until(&binary, "it is found again", |answer| answer.status == 200).await;
}

#[tokio::test]
async fn logs_that_nobody_reads_hold_up_no_call() {
    let (dir, up) = prepared("[telemetry]\nlog = \"trace\"\n").await;
    let mut command = fulcrum(dir.path());
    command.env("RUST_LOG", "trace").args(["serve", "--config", "fulcrum.toml", "--listen", "127.0.0.1:0"]);
    let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("listening at http://") {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "it never listens");
    }
    let rest = line.split("listening at http://").nth(1).unwrap();
    let end = rest.find(|letter: char| !letter.is_ascii_digit() && !".:".contains(letter)).unwrap();
    let address = rest[..end].parse().unwrap();
    // Far more lines than a pipe holds; nobody reads them.
    for _ in 0..300 {
        let answer = Open::of_call(address, Call::chat(&hello("fast")).key(ADMIN)).await;
        assert_eq!(answer.status, 200);
    }
    assert_eq!(up.count(), 300);
    drop(child.kill());
    drop(child.wait());
}

/// Calls, and reads all of the answer.
async fn called_well(address: SocketAddr, whole: bool) {
    let body = if whole { hello("fast") } else { streamed(hello("fast")) };
    let answer = Open::of_call(address, Call::chat(&body).key(ADMIN)).await;
    assert!(answer.status == 200 && answer.is_whole, "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_reloads_under_load_harm_no_call_and_bad_ones_change_nothing() {
    let (dir, up) = prepared("").await;
    let binary = Binary::start(fulcrum(dir.path())).await;
    let over = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for n in 0..8 {
        let (address, over) = (binary.address, over.clone());
        callers.spawn(async move {
            let mut count = 0;
            while !over.load(Ordering::Relaxed) {
                called_well(address, (n + count) % 2 == 0).await;
                count += 1;
            }
            count
        });
    }
    for round in 0..100 {
        let bad = round % 10 == 9;
        let more =
            if bad { "[[routes]]\nnope = 1\n".to_owned() } else { format!("[models.m{round}]\nprovider = \"up\"\n") };
        let line = if bad { "the new configuration is not used" } else { "the configuration was reloaded" };
        let before = binary.log().matches(line).count();
        std::fs::write(dir.path().join("fulcrum.toml"), format!("{}{more}", config(up.address))).unwrap();
        binary.signal("HUP");
        binary.says_again(line, before).await;
    }
    let last = binary.send(Call::chat(&hello("m98"))).await;
    assert_eq!(last.status, 200, "the last good configuration holds: {}", last.text());
    over.store(true, Ordering::Relaxed);
    let counts = callers.join_all().await;
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    assert_eq!(up.count(), counts.iter().sum::<usize>() + 1);
}

/// The memory that the process has, in MiB.
fn memory(binary: &Binary) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", binary.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() >> 10
}

#[tokio::test]
async fn fifty_who_read_nothing_of_a_large_stream_cost_no_memory() {
    let (dir, up) = prepared("").await;
    let binary = Binary::start(fulcrum(dir.path())).await;
    assert_eq!(say_hello(&binary).await.status, 200);
    let before = memory(&binary);
    let event = format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n", "x".repeat(16_000));
    up.always(Script::sse().chunks(&EVENTS[..1]).repeat_chunk(event.as_bytes()));
    let mut open = Vec::new();
    for _ in 0..50 {
        open.push(Open::send(binary.address, &Call::chat(&streamed(hello("fast"))).key(ADMIN)).await.unwrap());
    }
    assert_eq!(binary.send(Call::get("/v1/models")).await.status, 200);
    let grown = memory(&binary).saturating_sub(before);
    assert!(grown < 100, "50 streams that nobody reads take {grown} MiB");
    drop(open);
}
