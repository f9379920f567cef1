//! `kill -9` under load, twenty times: no answer that a caller received whole is missing from the ledger or in it twice,
//! every attempt that the upstream saw has its row, and the sums are those of the rows.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use sqlx::Row;
use tokio::task::JoinSet;

use crate::app::{ADMIN, hello, streamed};
use crate::binary::{Binary, config, fulcrum, read};
use crate::client::{Call, Open};
use crate::upstream::Upstream;

const STORED: &str = "[[routes]]\nname = \"stored\"\nmodels = [\"stored\"]\ntargets = [{ model = \"fast\" }]\n\
    cache = { mode = \"exact\", ttl = \"1h\" }\n";
const ROUNDS: u64 = 20;
const CALLERS: u64 = 32;

/// Calls until the gateway is gone; the ids of the answers that came whole.
async fn call_on(address: SocketAddr, name: String, over: Arc<AtomicBool>) -> Vec<String> {
    let mut whole = Vec::new();
    for n in 0.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        // A third goes by a route with a cache, where callers share answers and running calls.
        let mut body = hello(if n % 3 == 2 { "stored" } else { "fast" });
        body["user"] = format!("{name}-{n}").into();
        body["seed"] = n.into();
        let body = if n % 2 == 0 { body } else { streamed(body) };
        let Ok(open) = Open::send(address, &Call::chat(&body).key(ADMIN)).await else { continue };
        let answer = open.rest().await;
        let came = if n % 2 == 0 { answer.is_whole } else { answer.text().contains("data: [DONE]") };
        if answer.status == 200 && came {
            whole.push(answer.id().to_owned());
        }
    }
    whole
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_twenty_times_under_load_loses_no_answer_and_counts_none_twice() {
    let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::start().await);
    std::fs::write(dir.path().join("fulcrum.toml"), format!("{}{STORED}", config(up.address))).unwrap();
    let mut dice = StdRng::seed_from_u64(20_261_123);
    let mut whole = Vec::new();
    for round in 0..ROUNDS {
        let mut binary = Binary::start(fulcrum(dir.path())).await;
        let over = Arc::new(AtomicBool::new(false));
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            callers.spawn(call_on(binary.address, format!("r{round}-c{caller}"), over.clone()));
        }
        // The moment of the kill is a number of calls, drawn anew each time.
        let until = up.count() + dice.random_range(1..400);
        up.until("calls come", |received| received.len() >= until).await;
        binary.kill();
        over.store(true, Ordering::Relaxed);
        whole.extend(callers.join_all().await.into_iter().flatten());
    }
    let mut binary = Binary::start(fulcrum(dir.path())).await;
    let total = binary.send(Call::get("/api/v1/usage")).await.json()["total"].clone();
    binary.signal("TERM");
    assert!(binary.ended().await.success());
    audit_answers(dir.path(), &whole).await;
    audit_attempts(dir.path(), &up).await;
    audit_sums(dir.path(), &total).await;
}

async fn audit_answers(dir: &Path, whole: &[String]) {
    assert!(whole.len() > 500, "only {} answers came whole: there was no load", whole.len());
    assert_eq!(whole.iter().collect::<HashSet<_>>().len(), whole.len(), "two answers have one id");
    let rows = read(dir, "select id, status from full_requests").await;
    let statuses: HashMap<String, String> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(statuses.len(), rows.len());
    for id in whole {
        assert_eq!(statuses.get(id).map(String::as_str), Some("ok"), "the answer {id} came whole");
    }
}

async fn audit_attempts(dir: &Path, up: &Upstream) {
    let sql = "select requests.user_id, attempts.status from full_attempts attempts join full_requests requests on requests.id = attempts.request_id";
    let rows = read(dir, sql).await;
    let all: i64 = read(dir, "select count(*) from full_attempts").await[0].get(0);
    assert_eq!(usize::try_from(all).unwrap(), rows.len(), "an attempt has no request");
    let mut seen: HashMap<String, usize> = HashMap::new();
    for received in up.received() {
        *seen.entry(received.json()["user"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    let mut stored: HashMap<String, usize> = HashMap::new();
    for row in &rows {
        let (user, status): (String, String) = (row.get(0), row.get(1));
        assert!(seen.contains_key(&user) || status != "ok", "{user}: an attempt that nobody saw ended well");
        *stored.entry(user).or_default() += 1;
    }
    for (user, count) in &seen {
        assert_eq!(stored.get(user), Some(count), "{user}: attempts seen and stored");
    }
    assert!(rows.len() >= up.count());
    let cut = rows.iter().filter(|row| row.get::<String, _>(1) == "unknown").count();
    assert!(cut > 0, "no kill cut off a call: the test shows nothing");
    // What was intended and never sent can be no more than was under way at the kills.
    assert!(rows.len() - up.count() <= usize::try_from(ROUNDS * CALLERS).unwrap());
}

async fn audit_sums(dir: &Path, total: &Value) {
    let of_rows = "select count(*), sum(input_tokens), sum(output_tokens), sum(cost), sum(unpriced) from full_requests";
    let of_rollups =
        "select sum(requests), sum(input_tokens), sum(output_tokens), sum(cost), sum(unpriced) from full_rollups";
    let of_attempts = "select sum(cost) from full_attempts";
    let sums =
        |row: &sqlx::sqlite::SqliteRow| (0..5).map(|n| row.get::<Option<i64>, _>(n).unwrap_or(0)).collect::<Vec<_>>();
    let (rows, rollups) = (sums(&read(dir, of_rows).await[0]), sums(&read(dir, of_rollups).await[0]));
    assert_eq!(rows, rollups, "the sums of rows and rollups");
    assert_eq!(read(dir, of_attempts).await[0].get::<i64, _>(0), rows[3], "attempts cost what requests cost");
    let reported = ["requests", "input_tokens", "output_tokens"].map(|name| total[name].as_i64().unwrap());
    assert_eq!(reported[..], rows[..3], "the report");
    let nanos: fulcrum::types::Nanos = total["cost_usd"].as_str().unwrap().parse().unwrap();
    assert_eq!(nanos.0, rows[3], "the report's cost");
}
