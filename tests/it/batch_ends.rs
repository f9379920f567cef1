//! What ends a batch before its last line, and what it survives.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ::bytes::Bytes;
use serde_json::{Value, json};
use sqlx::Row;
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use crate::app::{ADMIN, TestApp, hello};
use crate::batches::{CHAT, ONE_AT_A_TIME, by_id, line, numbered, upload, wanted};
use crate::binary::{Binary, config, find_secrets, fulcrum, read};
use crate::client::{Call, Open, PATIENCE};
use crate::upstream::{Script, Upstream, WHOLE};

#[tokio::test]
async fn a_cancelled_batch_keeps_what_was_answered() {
    let app = TestApp::with(ONE_AT_A_TIME).await;
    let gate = Arc::new(Semaphore::new(0));
    app.up.next(Script::json(200, WHOLE));
    app.up.next(Script::default().gate(&gate).then(Script::json(200, WHOLE)));
    let id = app.begin(&numbered(5), CHAT).await;
    app.up.until("the second line is sent", |received| received.len() == 2).await;
    let cancel = || app.mine(Call::post(&format!("/v1/batches/{id}/cancel"), &json!({})));
    let cancelled = cancel().await.json();
    assert!(cancelled["status"] == "cancelling" && cancelled["cancelling_at"].is_i64(), "{cancelled:#}");
    assert_eq!(cancel().await.status, 200);
    gate.add_permits(1);
    let batch = app.ended(&id, "cancelled").await;
    assert_eq!(batch["request_counts"], json!({"total": 5, "completed": 2, "failed": 3}));
    assert!(batch["cancelled_at"].is_i64());
    let [output, errors] = app.results(&batch).await;
    assert_eq!(output.keys().collect::<Vec<_>>(), ["line-0", "line-1"]);
    assert_eq!(errors["line-4"]["error"]["code"], "batch_cancelled");
    assert_eq!((errors.len(), app.up.count()), (3, 2));
    app.close().await;
}

#[tokio::test]
async fn a_batch_whose_window_is_over_says_which_lines_did_not_run() {
    let app = TestApp::with(ONE_AT_A_TIME).await;
    let gate = Arc::new(Semaphore::new(0));
    app.up.next(Script::default().gate(&gate).then(Script::json(200, WHOLE)));
    let id = app.begin(&numbered(3), CHAT).await;
    app.up.until("the first line is sent", |received| received.len() == 1).await;
    app.change("update batches set expires_at = 1").await;
    // Whatever happens to another batch has this one looked at.
    app.begin("", CHAT).await;
    gate.add_permits(1);
    let batch = app.ended(&id, "expired").await;
    assert_eq!(batch["request_counts"], json!({"total": 3, "completed": 1, "failed": 2}));
    assert!(batch["expired_at"].is_i64() && batch["finalizing_at"].is_i64());
    let [output, errors] = app.results(&batch).await;
    assert_eq!(output.keys().collect::<Vec<_>>(), ["line-0"]);
    assert_eq!(errors["line-1"]["error"]["code"], "batch_expired");
    assert_eq!((errors["line-2"]["response"].clone(), app.up.count()), (json!(null), 1));
    app.close().await;
}

#[tokio::test]
async fn a_key_that_is_revoked_stops_its_batch() {
    let app = TestApp::with(ONE_AT_A_TIME).await;
    let gate = Arc::new(Semaphore::new(0));
    app.up.next(Script::default().gate(&gate).then(Script::json(200, WHOLE)));
    let id = app.begin(&numbered(3), CHAT).await;
    app.up.until("the first line is sent", |received| received.len() == 1).await;
    let keys = app.admin(Call::get("/api/v1/keys")).await.json();
    let caller = keys["rows"].as_array().unwrap().iter().find(|key| key["name"] == "caller").unwrap();
    let path = format!("/api/v1/keys/{}", caller["id"].as_str().unwrap());
    assert_eq!(app.admin(Call::new("DELETE", &path, Bytes::new())).await.status, 200);
    gate.add_permits(1);
    let deadline = Instant::now() + PATIENCE;
    let batch = loop {
        let batch = app.admin(Call::get(&format!("/v1/batches/{id}"))).await.json();
        if batch["status"] == "failed" {
            break batch;
        }
        assert!(Instant::now() < deadline, "{batch:#}");
        sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(batch["errors"]["data"][0]["code"], "invalid_api_key", "{batch:#}");
    assert_eq!(batch["request_counts"], json!({"total": 3, "completed": 1, "failed": 2}));
    let errors = batch["error_file_id"].as_str().unwrap();
    let errors = app.admin(Call::get(&format!("/v1/files/{errors}/content"))).await;
    assert_eq!(by_id(errors.text())["line-2"]["error"]["code"], "batch_failed");
    app.close().await;
}

/// One that runs four lines of a project at once, and leaves a place to others.
async fn started(dir: &TempDir, up: &Upstream) -> Binary {
    let more = "[batches]\nconcurrency = 5\n";
    std::fs::write(dir.path().join("fulcrum.toml"), format!("{}{more}", config(up.address))).unwrap();
    Binary::start(fulcrum(dir.path())).await
}

pub async fn begun(binary: &Binary, text: &str) -> String {
    let file = binary.send(upload(text)).await.json()["id"].as_str().unwrap().to_owned();
    let made = binary.send(wanted(&file, CHAT)).await;
    assert_eq!(made.status, 200, "{}", made.text());
    made.json()["id"].as_str().unwrap().to_owned()
}

pub async fn until(binary: &Binary, id: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let batch = Open::of_call(binary.address, Call::get(&format!("/v1/batches/{id}")).key(ADMIN)).await.json();
        if holds(&batch) {
            return batch;
        }
        assert!(Instant::now() < deadline, "the batch is never {what}: {batch:#}\n{}", binary.log());
        sleep(Duration::from_millis(20)).await;
    }
}

pub async fn output(binary: &Binary, batch: &Value) -> BTreeMap<String, Value> {
    let file = batch["output_file_id"].as_str().unwrap();
    by_id(binary.send(Call::get(&format!("/v1/files/{file}/content"))).await.text())
}

/// How often each line was sent, by the user that its body names.
fn sent(up: &Upstream) -> BTreeMap<String, usize> {
    let mut sent = BTreeMap::new();
    for received in up.received() {
        *sent.entry(received.json()["user"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    sent
}

fn named(count: usize) -> String {
    let body = |n: usize| {
        let mut body = hello("fast");
        body["user"] = format!("user-{n}").into();
        body
    };
    (0..count).map(|n| line(&format!("line-{n}"), CHAT, &body(n))).collect()
}

#[tokio::test]
async fn kill_9_in_the_middle_of_a_batch_runs_again_only_what_was_under_way() {
    let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::start().await);
    let gate = Arc::new(Semaphore::new(0));
    for n in 0..24 {
        let answer = Script::json(200, WHOLE);
        // The last four of these are under way when the process dies.
        up.next(if n < 20 { answer } else { Script::default().gate(&gate).then(answer) });
    }
    let mut binary = started(&dir, &up).await;
    let id = begun(&binary, &named(50)).await;
    up.until("four lines are held", |received| received.len() == 24).await;
    until(&binary, &id, "as far as the gate", |batch| batch["request_counts"]["completed"] == 20).await;
    binary.kill();
    let mut binary = started(&dir, &up).await;
    let batch = until(&binary, &id, "completed", |batch| batch["status"] == "completed").await;
    assert_eq!(batch["request_counts"], json!({"total": 50, "completed": 50, "failed": 0}));
    assert_eq!(output(&binary, &batch).await.len(), 50);
    binary.signal("TERM");
    assert!(binary.ended().await.success());
    let sent = sent(&up);
    assert_eq!((sent.len(), sent.values().sum::<usize>()), (50, 54), "{sent:?}");
    let rows = read(dir.path(), "select status, count(*) from full_requests group by status order by status").await;
    let counts: Vec<(String, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(counts, [("ok".to_owned(), 50), ("unknown".to_owned(), 4)]);
    let left = "select (select count(*) from batch_lines) + (select count(*) from batch_results)";
    assert_eq!(read(dir.path(), left).await[0].get::<i64, _>(0), 0, "an ended batch leaves no lines");
    find_secrets(dir.path(), &binary.log());
}

#[tokio::test]
async fn sigterm_lets_lines_under_way_end_and_the_next_start_goes_on() {
    let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::start().await);
    let gate = Arc::new(Semaphore::new(0));
    for _ in 0..4 {
        up.next(Script::default().gate(&gate).then(Script::json(200, WHOLE)));
    }
    let mut binary = started(&dir, &up).await;
    let id = begun(&binary, &named(30)).await;
    up.until("four lines are held", |received| received.len() == 4).await;
    binary.signal("TERM");
    binary.says("stopping").await;
    gate.add_permits(4);
    assert!(binary.ended().await.success());
    assert_eq!(up.count(), 4, "no line begins after the signal");
    let done = read(dir.path(), "select completed from batches").await[0].get::<i64, _>(0);
    assert_eq!(done, 4, "results of running lines are stored");
    let mut binary = started(&dir, &up).await;
    let batch = until(&binary, &id, "completed", |batch| batch["status"] == "completed").await;
    assert_eq!((output(&binary, &batch).await.len(), up.count()), (30, 30));
    binary.signal("TERM");
    assert!(binary.ended().await.success());
}
