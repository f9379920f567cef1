//! Feedback: stored once a metric, of the project's own requests and sessions alone, read back in lists and reports.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::app::{ADMIN, TestApp, contains, hello, logged, streamed};
use crate::binary::{Binary, config, fulcrum, read, run};
use crate::client::{Answer, Call, Open};
use crate::upstream::{EVENTS, Script, Upstream};

fn of(request: &str, metric: &str, value: impl Into<Value>) -> Value {
    json!({"request_id": request, "metric": metric, "value": value.into()})
}

/// Sends feedback with the caller's key.
async fn send(app: &TestApp, body: &Value) -> Answer {
    app.send(Call::post("/v1/feedback", body).key(&app.key)).await
}

async fn get(app: &TestApp, path: &str) -> Value {
    let answer = app.admin(Call::get(&format!("/api/v1{path}"))).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

/// All feedback under a filter.
async fn listed(app: &TestApp, filter: &str) -> Vec<Value> {
    get(app, &format!("/feedback?{filter}")).await["rows"].as_array().unwrap().clone()
}

#[tokio::test]
async fn feedback_right_after_the_answer_is_stored_and_the_same_metric_again_replaces_it() {
    let app = TestApp::start().await;
    let request = app.hello("fast").await.id().to_owned();
    let first = send(&app, &of(&request, "resolved", false)).await;
    assert_eq!(first.status, 201, "{}", first.text());
    let id = first.json()["id"].clone();
    assert_eq!(first.json(), json!({"id": id}));
    let again = send(&app, &json!({"request_id": request, "metric": "resolved", "kind": "float", "value": 1})).await;
    assert_eq!((again.status, &again.json()["id"]), (201, &id));
    assert_eq!(send(&app, &of(&request, "why", "it helped")).await.status, 201);
    let rows = listed(&app, "metric=resolved").await;
    assert_eq!(rows.len(), 1);
    let row = &rows[0];
    assert_eq!((&row["id"], &row["kind"], &row["value"]), (&id, &json!("float"), &json!(1.0)));
    assert_eq!((&row["request_id"], &row["session_id"]), (&json!(request), &Value::Null));
    assert_eq!((&row["project"], &row["model"]), (&json!("default"), &json!("up/gpt-x")));
    let shown = app.row(&request).await["feedback"].clone();
    assert_eq!((&shown[0]["metric"], &shown[1]["metric"]), (&json!("why"), &json!("resolved")));
    assert_eq!(listed(&app, "kind=comment&last=1h").await[0]["value"], "it helped");
    app.close().await;
}

#[tokio::test]
async fn a_request_that_is_not_known_or_anothers_is_404() {
    let app = TestApp::start().await;
    let request = app.hello("fast").await.id().to_owned();
    let other = app.new_key(&json!({"name": "other", "project": "search"})).await;
    for (key, request) in [
        (&other, request.as_str()),
        (&app.key, "019abd2c-7f10-7a33-b2c4-5d6e7f8090a1"),
        (&app.key, "no-id"),
        (&app.key, ""),
    ] {
        let answer = app.send(Call::post("/v1/feedback", &of(request, "ok", true)).key(key)).await;
        assert_eq!((answer.outcome().as_str(), answer.param().as_str()), ("404 not_found", "request_id"), "{request}");
    }
    assert_eq!(app.admin(Call::post("/v1/feedback", &of(&request, "ok", true))).await.status, 201);
    assert_eq!(listed(&app, "").await.len(), 1);
    app.close().await;
}

#[tokio::test]
async fn a_stream_has_feedback_once_it_has_ended() {
    let app = TestApp::start().await;
    let gate = Arc::new(Semaphore::new(0));
    app.up.next(Script::sse().chunks(&EVENTS[..2]).gate(&gate).chunks(&EVENTS[2..]).ended());
    let mut open = app.open(&Call::chat(&streamed(hello("fast"))).key(&app.key)).await;
    open.until("Hello").await;
    let request = open.header("x-fulcrum-request-id").unwrap().to_owned();
    let early = send(&app, &of(&request, "ok", true)).await;
    assert!(early.status == 404 && early.text().contains("once its answer has ended"), "{}", early.text());
    gate.add_permits(1);
    assert!(open.rest().await.text().ends_with("data: [DONE]\n\n"));
    assert_eq!(send(&app, &of(&request, "ok", true)).await.status, 201);
    app.close().await;
}

#[tokio::test]
async fn a_session_has_feedback_of_its_own_at_its_last_request() {
    let app = TestApp::start().await;
    let ask = async || {
        let call = Call::chat(&hello("fast")).key(&app.key).header("x-fulcrum-session", "chat-7");
        app.send(call).await.id().to_owned()
    };
    let body = |value: f64| json!({"session_id": "chat-7", "metric": "tone", "value": value});
    assert_eq!(send(&app, &body(0.5)).await.outcome(), "404 not_found");
    let first = ask().await;
    let stored = send(&app, &body(0.5)).await;
    assert_eq!(stored.status, 201, "{}", stored.text());
    let last = ask().await;
    assert_eq!(send(&app, &body(0.75)).await.json(), stored.json());
    let rows = listed(&app, "session=chat-7").await;
    assert_eq!(rows.len(), 1);
    assert_eq!((&rows[0]["request_id"], &rows[0]["value"]), (&json!(last), &json!(0.75)));
    let other = app.new_key(&json!({"name": "other", "project": "search"})).await;
    let answer = app.send(Call::post("/v1/feedback", &body(1.0)).key(&other)).await;
    assert_eq!((answer.status, answer.param()), (404, "session_id".to_owned()));
    // It counts once, in the group of that request.
    assert_eq!(send(&app, &of(&first, "tone", 0.25)).await.status, 201);
    let report = get(&app, "/usage?by=session&metric=tone").await;
    assert_eq!(report["rows"][0]["metric"], json!({"n": 2, "mean": 0.5}));
    app.close().await;
}

#[tokio::test]
async fn a_report_has_satisfaction_beside_errors_cost_and_latency() {
    let app = TestApp::start().await;
    for content in ["Hi", "Hello"] {
        let version = json!({"name": "greet", "messages": [{"role": "user", "content": content}],
            "settings": {"model": "fast"}, "labels": ["production"]});
        let path = if content == "Hi" { "/api/v1/prompts" } else { "/api/v1/prompts/greet/versions" };
        let mut version = version;
        if content == "Hello" {
            version.as_object_mut().unwrap().remove("name");
        }
        assert_eq!(app.admin(Call::post(path, &version)).await.status, 201);
    }
    let mut last = String::new();
    for (version, values) in [(1, &[true, false, false, true][..]), (2, &[true, true, true])] {
        for value in values {
            let body = json!({"model": format!("prompt/greet@{version}"), "messages": []});
            last = app.chat(&body).await.id().to_owned();
            assert_eq!(send(&app, &of(&last, "resolved", *value)).await.status, 201);
        }
    }
    app.hello("fast").await;
    assert_eq!(send(&app, &of(&last, "note", "fine")).await.status, 201);
    let report = get(&app, "/usage?by=prompt,version&metric=resolved").await;
    assert_eq!(report["metric"], "resolved");
    let seen: Vec<_> = report["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (&row["version"], &row["requests"], &row["metric"]))
        .collect();
    let expected = [
        (&Value::Null, &json!(1), &json!({"n": 0, "mean": null})),
        (&json!(1), &json!(4), &json!({"n": 4, "mean": 0.5})),
        (&json!(2), &json!(3), &json!({"n": 3, "mean": 1.0})),
    ];
    assert_eq!(seen, expected);
    for name in ["errors", "cost_usd", "latency_ms"] {
        assert!(!report["rows"][1][name].is_null(), "{name}");
    }
    let mean = report["total"]["metric"]["mean"].as_f64().unwrap();
    assert!((mean - 5.0 / 7.0).abs() < 1e-12 && report["total"]["metric"]["n"] == 7, "{report:#}");
    // Words have a number only, and a group may be a time.
    let notes = get(&app, "/usage?by=day&metric=note&last=2h").await;
    assert_eq!(notes["rows"][0]["metric"], json!({"n": 1, "mean": null}));
    let sorted = get(&app, "/usage?by=version&metric=resolved&sort=metric&limit=1").await;
    assert_eq!(sorted["rows"][0]["version"], 2);
    assert!(get(&app, "/usage?by=version").await["rows"][0].get("metric").is_none());
    let csv = app.admin(Call::get("/api/v1/usage?by=version&metric=resolved&format=csv")).await;
    let lines: Vec<&str> = csv.text().lines().collect();
    assert!(lines[0].ends_with(",metric_n,metric_mean") && lines[2].ends_with(",4,0.5"), "{lines:?}");
    let unknown = app.admin(Call::get("/api/v1/usage?by=version&metric=resolvd")).await;
    assert_eq!((unknown.outcome().as_str(), unknown.param().as_str()), ("400 invalid_request", "metric"));
    assert!(unknown.text().contains("note, resolved; did you mean `resolved`?"), "{}", unknown.text());
    app.close().await;
}

#[tokio::test]
async fn a_metric_is_unknown_while_nobody_reports_any() {
    let app = TestApp::start().await;
    let unknown = app.admin(Call::get("/api/v1/usage?metric=resolved")).await;
    assert!(unknown.status == 400 && unknown.text().contains("POST /v1/feedback"), "{}", unknown.text());
    app.close().await;
}

#[tokio::test]
async fn a_viewer_lists_its_own_projects_feedback_and_an_app_key_none() {
    let app = TestApp::start().await;
    let search = app.new_key(&json!({"name": "s", "project": "search"})).await;
    for key in [&app.key, &search] {
        let asked = app.send(Call::chat(&hello("fast")).key(key)).await.id().to_owned();
        let body = of(&asked, "why", "words of somebody");
        assert_eq!(app.send(Call::post("/v1/feedback", &body).key(key)).await.status, 201);
    }
    let viewer = app.new_key(&json!({"name": "v", "role": "viewer", "project": "search"})).await;
    let list = async |filter: &str| app.send(Call::get(&format!("/api/v1/feedback{filter}")).key(&viewer)).await.json();
    let rows = list("").await["rows"].clone();
    assert_eq!((rows.as_array().unwrap().len(), &rows[0]["project"]), (1, &json!("search")));
    assert_eq!(list("?project=default").await["rows"], json!([]));
    let foreign = listed(&app, "project=default").await[0]["request_id"].as_str().unwrap().to_owned();
    let shown = app.send(Call::get(&format!("/api/v1/requests/{foreign}")).key(&viewer)).await.json();
    assert_eq!((&shown["id"], &shown["feedback"]), (&json!(foreign), &json!([])));
    assert_eq!(app.send(Call::get("/api/v1/feedback").key(&app.key)).await.status, 403);
    for role in ["viewer", "editor"] {
        let key = app.new_key(&json!({"name": role, "role": role})).await;
        let answer = app.send(Call::post("/v1/feedback", &of(&foreign, "ok", true)).key(&key)).await;
        assert_eq!(answer.status, 403, "{role}");
    }
    for wrong in ["metric=A", "kind=x", "version=x", "request=x", "cursor=x", "limit=0", "colour=red", "from=soon"] {
        let answer = app.admin(Call::get(&format!("/api/v1/feedback?{wrong}"))).await;
        assert_eq!((answer.status, answer.param().as_str()), (400, wrong.split('=').next().unwrap()), "{wrong}");
    }
    app.close().await;
}

#[tokio::test]
async fn any_body_is_stored_or_a_400_that_names_the_field() {
    let app = TestApp::start().await;
    let request = app.hello("fast").await.id().to_owned();
    let values = [json!(true), json!(0), json!(-1e99), json!("x"), json!(""), Value::Null, json!([]), json!({"a": 1})];
    let mut stored = 0;
    for kind in
        [json!("boolean"), json!("float"), json!("comment"), json!("demonstration"), json!("x"), json!(1), Value::Null]
    {
        for value in &values {
            let body = json!({"request_id": request, "metric": "m", "kind": kind, "value": value});
            let answer = send(&app, &body).await;
            stored += usize::from(answer.status == 201);
            let named = ["kind", "value"].contains(&answer.json()["error"]["param"].as_str().unwrap_or_default());
            assert!(answer.status == 201 || (answer.status == 400 && named), "{body}: {}", answer.text());
        }
    }
    assert_eq!(stored, 1 + 2 + 1 + 1 + 4);
    for (body, field) in [
        (json!({}), "metric"),
        (json!({"metric": "ok", "value": true}), "request_id"),
        (json!({"request_id": request, "session_id": "s", "metric": "ok", "value": true}), "session_id"),
        (json!({"request_id": request, "metric": "Not Plain", "value": true}), "metric"),
        (json!({"request_id": 7, "metric": "ok", "value": true}), "request_id"),
        (json!({"request_id": request, "metric": "ok", "value": true, "colour": 1}), "colour"),
    ] {
        let answer = send(&app, &body).await;
        assert_eq!((answer.outcome().as_str(), answer.param().as_str()), ("400 invalid_request", field), "{body}");
    }
    for text in ["", "[]", "{", "null", "\"x\"", "{\"value\": 1e999}"] {
        let answer = app.send(Call::new("POST", "/v1/feedback", text).key(&app.key)).await;
        assert_eq!(answer.outcome(), "400 invalid_request", "{text}");
    }
    let long =
        |n: usize| json!({"request_id": request, "metric": "d", "kind": "demonstration", "value": "x".repeat(n)});
    assert_eq!(send(&app, &long(256 << 10)).await.status, 201);
    assert_eq!(send(&app, &long((256 << 10) + 1)).await.status, 400);
    assert_eq!(send(&app, &long(1 << 20)).await.status, 413);
    assert_eq!(app.send(Call::post("/v1/feedback", &of(&request, "ok", true))).await.status, 401);
    assert_eq!(app.send(Call::get("/v1/feedback").key(&app.key)).await.status, 405);
    app.close().await;
}

/// The files of the database that hold `text`.
fn holding(dir: &Path, text: &str) -> usize {
    let files = std::fs::read_dir(dir).unwrap().flatten().filter(|entry| entry.path().is_file());
    files.filter(|entry| contains(&std::fs::read(entry.path()).unwrap(), text)).count()
}

#[tokio::test]
async fn what_people_wrote_is_erased_with_the_texts_and_is_in_no_log() {
    let app = TestApp::start().await;
    let ask = async |session: &str| {
        let call = Call::chat(&hello("fast")).key(&app.key).header("x-fulcrum-user", "ann");
        app.send(call.header("x-fulcrum-session", session)).await.id().to_owned()
    };
    let (first, other) = (ask("s").await, ask("t").await);
    let demonstration =
        json!({"request_id": first, "metric": "answer", "kind": "demonstration", "value": "canary-shown"});
    let session = json!({"session_id": "s", "metric": "why", "value": "canary-of-session"});
    for body in [&of(&first, "why", "canary-said"), &demonstration, &session, &of(&first, "resolved", true)] {
        assert_eq!(send(&app, body).await.status, 201);
    }
    assert_eq!(send(&app, &of(&other, "why", "canary-other")).await.status, 201);
    // A later request of the session is no reason to keep its words.
    ask("s").await;
    assert!(holding(app.dir.path(), "canary-said") > 0);
    let erased = app.admin(Call::new("DELETE", &format!("/api/v1/requests/{first}/body"), "")).await;
    assert_eq!((erased.status, &erased.json()["feedback"]), (200, &json!(3)), "{}", erased.text());
    for canary in ["canary-said", "canary-shown", "canary-of-session"] {
        assert_eq!(holding(app.dir.path(), canary), 0, "{canary}");
    }
    let left: Vec<_> = listed(&app, "").await.iter().map(|row| row["value"].clone()).collect();
    assert_eq!(left, [json!("canary-other"), json!(true)]);
    let erased = app.admin(Call::new("DELETE", "/api/v1/bodies?user=ann", "")).await;
    assert_eq!(erased.json()["feedback"], 1);
    assert_eq!(holding(app.dir.path(), "canary-other"), 0);
    assert_eq!(logged("canary-said").len() + logged("canary-shown").len(), 0);
    app.close().await;
}

/// Sends feedback until the gateway is gone; the last value that was answered for each request.
async fn send_on(
    binary: std::net::SocketAddr,
    ids: Arc<Vec<String>>,
    over: Arc<AtomicBool>,
    sender: usize,
) -> HashMap<String, u64> {
    let mut answered = HashMap::new();
    for n in 1_u64.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        // Each sender has requests of its own, and replaces their values.
        let id = &ids[sender * 10 + usize::try_from(n).unwrap() % 10];
        let call = Call::post("/v1/feedback", &of(id, "turn", n)).key(ADMIN);
        let Ok(open) = Open::send(binary, &call).await else { break };
        if open.status == 201 {
            answered.insert(id.clone(), n);
        }
    }
    answered
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_answered_is_lost_after_kill_9() {
    let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::start().await);
    std::fs::write(dir.path().join("fulcrum.toml"), config(up.address)).unwrap();
    let mut binary = Binary::start(fulcrum(dir.path())).await;
    let mut ids = Vec::new();
    for _ in 0..80 {
        ids.push(binary.send(Call::chat(&hello("fast"))).await.id().to_owned());
    }
    let (ids, mut count, mut last) = (Arc::new(ids), 0, HashMap::new());
    for round in 0..4 {
        let over = Arc::new(AtomicBool::new(false));
        let mut senders = JoinSet::new();
        for sender in 0..8 {
            senders.spawn(send_on(binary.address, ids.clone(), over.clone(), sender));
        }
        // The moment is that of another answer, which comes among theirs.
        for n in 0..=round * 5 {
            let body = of(&ids[0], "other", n);
            assert_eq!(binary.send(Call::post("/v1/feedback", &body)).await.status, 201);
        }
        binary.kill();
        over.store(true, Ordering::Relaxed);
        last.clear();
        for answered in senders.join_all().await {
            count += answered.len();
            last.extend(answered);
        }
        binary = Binary::start(fulcrum(dir.path())).await;
        let sql = "select request_id, cast(number as integer) from feedback where metric = 'turn'";
        let rows = read(dir.path(), sql).await;
        let stored: HashMap<String, i64> =
            rows.iter().map(|row| (sqlx::Row::get(row, 0), sqlx::Row::get(row, 1))).collect();
        for (id, n) in &last {
            // A later one may have been written, and cut off before its answer.
            let found = stored.get(id).copied().unwrap_or_default();
            assert!(found >= i64::try_from(*n).unwrap(), "round {round}: {id} has {found}, and {n} was answered");
        }
    }
    assert!(count > 40, "only {count} were answered: there was no load");
}

#[tokio::test]
async fn the_command_line_sends_and_lists_feedback() {
    let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::start().await);
    std::fs::write(dir.path().join("fulcrum.toml"), config(up.address)).unwrap();
    std::fs::write(dir.path().join("answer.txt"), "As it should be\n").unwrap();
    let binary = Binary::start(fulcrum(dir.path())).await;
    let call = Call::chat(&hello("fast")).header("x-fulcrum-session", "chat-7");
    let id = binary.send(call).await.id().to_owned();
    let url = format!("http://{}", binary.address);
    let there = |words: &[&str]| run(fulcrum(dir.path()).args(words).args(["--url", &url, "--key", ADMIN]));
    let here = |words: &[&str]| run(fulcrum(dir.path()).args(words).args(["--config", "fulcrum.toml"]));
    let (code, output) = there(&["feedback", "send", &id, "--metric", "resolved", "--value", "true"]);
    assert!(code == 0 && output.starts_with("stored resolved as "), "{output}");
    let (code, output) = here(&["feedback", "send", "--session", "chat-7", "--metric", "tone", "--value", "-0.5"]);
    assert_eq!(code, 0, "{output}");
    let file = ["feedback", "send", &id, "--metric", "answer", "--kind", "demonstration", "--file", "answer.txt"];
    let (code, output) = there(&[&file[..], &["--format", "json"]].concat());
    assert!(code == 0 && serde_json::from_str::<Value>(&output).unwrap()["id"].is_string(), "{output}");
    let (code, output) = here(&["feedback", "list", "--last", "1h"]);
    assert!(code == 0 && output.lines().count() == 4, "{output}");
    for text in ["resolved", "true", "-0.5", "As it should be", "session chat-7", &id] {
        assert!(output.contains(text), "{text}: {output}");
    }
    let (code, output) = there(&["feedback", "list", "--metric", "tone", "--format", "json"]);
    assert_eq!((code, &serde_json::from_str::<Value>(&output).unwrap()["rows"][0]["value"]), (0, &json!(-0.5)));
    let (code, output) = there(&["request", "show", &id]);
    assert!(code == 0 && output.contains("feedback resolved     true"), "{output}");
    let (code, output) = there(&["usage", "--by", "model", "--metric", "resolved"]);
    assert!(code == 0 && output.contains("mean") && output.contains("1.000"), "{output}");
    let (code, output) = there(&["usage", "--metric", "nothing"]);
    assert!(code == 2 && output.contains("answer, resolved, tone"), "{output}");
    for (words, code) in [
        (&["feedback", "send", "019abd2c-7f10-7a33-b2c4-5d6e7f8090a1", "--metric", "a", "--value", "1"][..], 1),
        (&["feedback", "send", &id, "--metric", "A", "--value", "1"], 2),
        (&["feedback", "send", &id, "--metric", "a", "--kind", "boolean", "--value", "1"], 2),
        (&["feedback", "send", &id, "--metric", "a"], 2),
        (&["feedback", "send", "--metric", "a", "--value", "1"], 2),
    ] {
        assert_eq!(there(words).0, code, "{words:?}");
    }
}
