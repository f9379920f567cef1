//! Files and batches: what comes out, and who sees it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ::bytes::Bytes;
use fulcrum::db;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use crate::app::{TestApp, hello};
use crate::client::{Answer, Call, PATIENCE};
use crate::upstream::{Script, WHOLE};

pub const CHAT: &str = "/v1/chat/completions";
pub const ONE_AT_A_TIME: &str = "[defaults]\nretries = 0\n[batches]\nconcurrency = 1\n";

/// A form that brings a file, its fields in this order.
fn form(fields: &[(&str, &[u8])]) -> Call {
    let mut body = Vec::new();
    for (name, value) in fields {
        let file = if *name == "file" { "; filename=\"in.jsonl\"\r\ncontent-type: application/jsonl" } else { "" };
        body.extend_from_slice(
            format!("--frontier\r\ncontent-disposition: form-data; name=\"{name}\"{file}\r\n\r\n").as_bytes(),
        );
        body.extend_from_slice(value);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--frontier--\r\n");
    Call::new("POST", "/v1/files", body).header("content-type", "multipart/form-data; boundary=frontier")
}

pub fn upload(text: &str) -> Call {
    form(&[("purpose", b"batch"), ("file", text.as_bytes())])
}

pub fn line(custom_id: &str, endpoint: &str, body: &Value) -> String {
    json!({"custom_id": custom_id, "method": "POST", "url": endpoint, "body": body}).to_string() + "\n"
}

/// A file whose lines say hello.
fn hellos(names: impl IntoIterator<Item = String>) -> String {
    names.into_iter().map(|name| line(&name, CHAT, &hello("fast"))).collect()
}

pub fn numbered(count: usize) -> String {
    hellos((0..count).map(|n| format!("line-{n}")))
}

pub fn wanted(file: &str, endpoint: &str) -> Call {
    Call::post("/v1/batches", &json!({"input_file_id": file, "endpoint": endpoint, "completion_window": "24h"}))
}

/// The lines of a file by their custom_id; each stands there once.
pub fn by_id(text: &str) -> BTreeMap<String, Value> {
    let mut lines = BTreeMap::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let id = line["custom_id"].as_str().unwrap().to_owned();
        assert!(lines.insert(id, line).is_none(), "a custom_id stands twice:\n{text}");
    }
    lines
}

impl TestApp {
    pub async fn mine(&self, call: Call) -> Answer {
        self.send(call.key(&self.key)).await
    }

    async fn file(&self, text: &str) -> String {
        let made = self.mine(upload(text)).await;
        assert_eq!(made.status, 200, "{}", made.text());
        made.json()["id"].as_str().unwrap().to_owned()
    }

    pub async fn begin(&self, text: &str, endpoint: &str) -> String {
        let file = self.file(text).await;
        let made = self.mine(wanted(&file, endpoint)).await;
        assert_eq!(made.status, 200, "{}", made.text());
        made.json()["id"].as_str().unwrap().to_owned()
    }

    /// The batch, once it is as `holds` wants it.
    pub async fn batch(&self, id: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let batch = self.mine(Call::get(&format!("/v1/batches/{id}"))).await.json();
            if holds(&batch) {
                return batch;
            }
            assert!(Instant::now() < deadline, "the batch is never {what}: {batch:#}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn ended(&self, id: &str, status: &str) -> Value {
        self.batch(id, status, |batch| batch["status"] == status).await
    }

    /// The batch's output and errors.
    pub async fn results(&self, batch: &Value) -> [BTreeMap<String, Value>; 2] {
        let mut found = Vec::new();
        for name in ["output_file_id", "error_file_id"] {
            let Some(file) = batch[name].as_str() else {
                found.push(BTreeMap::new());
                continue;
            };
            let content = self.mine(Call::get(&format!("/v1/files/{file}/content"))).await;
            assert_eq!(content.status, 200, "{}", content.text());
            found.push(by_id(content.text()));
        }
        found.try_into().unwrap()
    }

    /// Changes the database beside the gateway.
    pub async fn change(&self, sql: &'static str) {
        db::query(sql).execute(self.app.db()).await.unwrap();
    }
}

#[tokio::test]
async fn every_line_is_answered_once_and_accounted_for() {
    let app = TestApp::start().await;
    let mut text = numbered(4);
    text += "\n";
    text += &line("nobody", CHAT, &hello("no-such-model"));
    text += &line("streamed", CHAT, &json!({"model": "fast", "stream": true, "messages": []}));
    text += &line("spare", CHAT, &hello("spare"));
    let id = app.begin(text.trim_end(), CHAT).await;
    let batch = app.ended(&id, "completed").await;
    assert_eq!(batch["request_counts"], json!({"total": 7, "completed": 5, "failed": 2}));
    assert_eq!(batch["usage"]["total_tokens"], 5 * 12);
    assert_eq!(
        (&batch["object"], &batch["errors"], &batch["failed_at"]),
        (&json!("batch"), &json!(null), &json!(null))
    );
    for time in ["created_at", "in_progress_at", "finalizing_at", "completed_at"] {
        assert!(batch[time].as_i64().unwrap() > 1_700_000_000, "{time}");
    }
    assert_eq!(batch["expires_at"].as_i64().unwrap() - batch["created_at"].as_i64().unwrap(), 86_400);
    let [output, errors] = app.results(&batch).await;
    assert_eq!(output.len(), 5);
    for (name, line) in &output {
        assert_eq!((&line["error"], &line["response"]["status_code"]), (&json!(null), &json!(200)), "{name}");
        assert_eq!(line["response"]["body"], serde_json::from_str::<Value>(WHOLE).unwrap());
        let row = app.row(line["response"]["request_id"].as_str().unwrap()).await;
        assert_eq!((&row["tags"]["batch"], &row["endpoint"]), (&json!(id), &json!(CHAT)), "{row:#}");
    }
    assert_eq!(errors["nobody"]["response"]["status_code"], 404);
    assert_eq!(errors["nobody"]["response"]["body"]["error"]["code"], "model_not_found");
    assert_eq!(errors["streamed"]["response"]["body"]["error"]["param"], "stream");
    let usage = app.admin(Call::get("/api/v1/usage?by=tag:batch")).await.json();
    assert_eq!((&usage["rows"][0]["tag:batch"], &usage["rows"][0]["requests"]), (&json!(id), &json!(6)), "{usage:#}");
    assert_eq!(app.metric("fulcrum_batch_lines_total", "completed").await, 5.0);
    assert_eq!(app.metric("fulcrum_batch_lines_in_flight", "").await, 0.0);
    app.close().await;
}

#[tokio::test]
async fn lines_call_every_endpoint_that_they_may() {
    let app = TestApp::start().await;
    let vector = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[1.0]}],"model":"e","usage":{"prompt_tokens":2,"total_tokens":2}}"#;
    app.up.next(Script::json(200, vector));
    let id = app.begin(&line("e", "/v1/embeddings", &json!({"model": "embed", "input": "x"})), "/v1/embeddings").await;
    let batch = app.ended(&id, "completed").await;
    assert_eq!((&batch["usage"]["input_tokens"], &batch["usage"]["output_tokens"]), (&json!(2), &json!(0)));
    let body = json!({"model": "fast", "max_tokens": 9, "messages": [{"role": "user", "content": "Say hello"}]});
    let id = app.begin(&line("m", "/v1/messages", &body), "/v1/messages").await;
    let [output, _] = app.results(&app.ended(&id, "completed").await).await;
    assert_eq!(output["m"]["response"]["body"]["content"][0]["text"], "Hello there.");
    let text = r#"{"id":"c","object":"text_completion","created":1,"model":"gpt-x","choices":[{"index":0,"text":"Hi","logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":2,"completion_tokens":1,"total_tokens":3}}"#;
    app.up.next(Script::json(200, text));
    let id =
        app.begin(&line("c", "/v1/completions", &json!({"model": "fast", "prompt": "x"})), "/v1/completions").await;
    let [output, _] = app.results(&app.ended(&id, "completed").await).await;
    assert_eq!(output["c"]["response"]["body"]["choices"][0]["text"], "Hi");
    // It has no Responses, so it is asked in Chat Completions.
    app.up.next(Script::error(404, "no such route"));
    let id = app.begin(&line("r", "/v1/responses", &json!({"model": "fast", "input": "x"})), "/v1/responses").await;
    let [output, _] = app.results(&app.ended(&id, "completed").await).await;
    assert_eq!(output["r"]["response"]["body"]["object"], "response");
    app.close().await;
}

#[tokio::test]
async fn a_file_that_is_not_good_fails_with_its_lines_told() {
    let app = TestApp::with("[defaults]\nretries = 0\n[batches]\nmax_lines = 3\n").await;
    let good = line("a", CHAT, &hello("fast"));
    for (text, code, number, param) in [
        (String::new(), "empty_file", json!(null), json!(null)),
        ("\n \n".to_owned(), "empty_file", json!(null), json!(null)),
        (format!("{good}not json\n"), "invalid_json_line", json!(2), json!(null)),
        (format!("{good}\n{good}"), "duplicate_custom_id", json!(3), json!("custom_id")),
        (good.replace("POST", "GET"), "invalid_method", json!(1), json!("method")),
        (line("a", "/v1/embeddings", &json!({})), "invalid_url", json!(1), json!("url")),
        (good.replace("\"body\"", "\"x\""), "missing_required_parameter", json!(1), json!("body")),
        (numbered(4), "too_many_lines", json!(4), json!(null)),
    ] {
        let id = app.begin(&text, CHAT).await;
        let batch = app.ended(&id, "failed").await;
        let error = &batch["errors"]["data"][0];
        assert_eq!((&error["code"], &error["line"], &error["param"]), (&json!(code), &number, &param), "{batch:#}");
        assert!(!error["message"].as_str().unwrap().is_empty() && batch["failed_at"].is_i64());
        assert_eq!((&batch["output_file_id"], &batch["error_file_id"]), (&json!(null), &json!(null)));
    }
    let id = app.begin("x\ny\nz\n", CHAT).await;
    assert_eq!(app.ended(&id, "failed").await["errors"]["data"].as_array().unwrap().len(), 3);
    assert_eq!(app.up.count(), 0, "no line of a bad file runs");
    app.close().await;
}

#[tokio::test]
async fn files_and_batches_are_seen_by_their_project_only() {
    let app = TestApp::start().await;
    let file = app.file(&numbered(1)).await;
    let batch = app.mine(wanted(&file, CHAT)).await.json()["id"].as_str().unwrap().to_owned();
    app.ended(&batch, "completed").await;
    let theirs = app.new_key(&json!({"name": "theirs", "project": "theirs"})).await;
    let viewer = app.new_key(&json!({"name": "viewer", "role": "viewer"})).await;
    let calls = || {
        [
            Call::get(&format!("/v1/files/{file}")),
            Call::get(&format!("/v1/files/{file}/content")),
            Call::get(&format!("/v1/batches/{batch}")),
            Call::post(&format!("/v1/batches/{batch}/cancel"), &json!({})),
            wanted(&file, CHAT),
            Call::new("DELETE", &format!("/v1/files/{file}"), Bytes::new()),
        ]
    };
    for call in calls() {
        assert_eq!(app.send(call.clone().key(&theirs)).await.outcome(), "404 not_found", "{}", call.path);
        assert_eq!(app.send(call.clone().key(&viewer)).await.outcome(), "403 forbidden", "{}", call.path);
        assert_eq!(app.send(call.clone()).await.outcome(), "401 invalid_api_key", "{}", call.path);
    }
    for list in ["/v1/files", "/v1/batches"] {
        let seen = app.send(Call::get(list).key(&theirs)).await.json();
        assert_eq!(seen, json!({"object": "list", "data": [], "first_id": null, "last_id": null, "has_more": false}));
        assert_eq!(app.admin(Call::get(list)).await.json()["has_more"], false);
        assert!(!app.admin(Call::get(list)).await.json()["data"].as_array().unwrap().is_empty());
        assert_eq!(app.send(Call::get(list).key(&viewer)).await.status, 403);
    }
    assert_eq!(app.admin(Call::get(&format!("/v1/files/{file}"))).await.status, 200);
    assert_eq!(
        app.mine(Call::post(&format!("/v1/batches/{batch}/cancel"), &json!({}))).await.outcome(),
        "409 conflict"
    );
    app.close().await;
}

#[tokio::test]
async fn a_file_comes_back_as_it_was_until_it_is_deleted() {
    let app = TestApp::start().await;
    let text = "ä line of some length\n".repeat(50_000);
    let made = app.mine(form(&[("file", text.as_bytes()), ("purpose", b"batch")])).await.json();
    let id = made["id"].as_str().unwrap();
    assert!(id.starts_with("file-") && made["object"] == "file" && made["filename"] == "in.jsonl");
    assert_eq!(
        (&made["bytes"], &made["purpose"], &made["status"]),
        (&json!(text.len()), &json!("batch"), &json!("processed"))
    );
    let path = format!("/v1/files/{id}");
    assert_eq!(app.mine(Call::get(&path)).await.json(), made);
    let content = app.mine(Call::get(&format!("{path}/content"))).await;
    assert!(content.is_whole && content.body == text.as_bytes());
    let second = app.file("x").await;
    let page = app.mine(Call::get("/v1/files?limit=1&order=asc&purpose=batch")).await.json();
    assert_eq!((&page["data"][0]["id"], &page["has_more"], &page["last_id"]), (&json!(id), &json!(true), &json!(id)));
    let rest = app.mine(Call::get(&format!("/v1/files?order=asc&after={id}"))).await.json();
    assert_eq!((&rest["data"][0]["id"], &rest["has_more"]), (&json!(second), &json!(false)));
    for bad in ["limit=0", "limit=x", "order=up", "nonsense=1"] {
        assert_eq!(app.mine(Call::get(&format!("/v1/files?{bad}"))).await.outcome(), "400 invalid_request", "{bad}");
    }
    let deleted = app.mine(Call::new("DELETE", &path, Bytes::new())).await.json();
    assert_eq!(deleted, json!({"id": id, "object": "file", "deleted": true}));
    for gone in [path.clone(), format!("{path}/content")] {
        assert_eq!(app.mine(Call::get(&gone)).await.outcome(), "404 not_found");
    }
    let left = db::query("select count(*) from file_chunks where file_id = $1").bind(id);
    assert_eq!(left.fetch_one(app.app.db()).await.unwrap().get::<i64>(0).unwrap(), 0);
    app.close().await;
}

#[tokio::test]
async fn a_form_that_is_not_good_is_refused_and_leaves_nothing() {
    let app = TestApp::with("[defaults]\nretries = 0\n[files]\nmax_size = \"100KiB\"\n").await;
    let large = vec![b'x'; 200 << 10];
    let just_over = vec![b'x'; (100 << 10) + 1];
    let long_life: &[(&str, &[u8])] = &[
        ("purpose", b"batch"),
        ("file", b"x"),
        ("expires_after[anchor]", b"created_at"),
        ("expires_after[seconds]", b"1"),
    ];
    type Parts<'a> = &'a [(&'a str, &'a [u8])];
    let cases: [(Parts<'_>, &str, &str); 8] = [
        (&[("purpose", b"fine-tune"), ("file", b"x")], "400 invalid_request", "purpose"),
        (&[("file", b"x"), ("purpose", b"assistants")], "400 invalid_request", "purpose"),
        (&[("file", b"x")], "400 invalid_request", "purpose"),
        (&[("purpose", b"batch")], "400 invalid_request", "file"),
        (&[("purpose", b"batch"), ("file", b"x"), ("file", b"y")], "400 invalid_request", "file"),
        (&[("purpose", b"batch"), ("file", &large)], "413 request_too_large", "file"),
        (&[("purpose", b"batch"), ("file", &just_over)], "413 request_too_large", "file"),
        (long_life, "400 invalid_request", "expires_after"),
    ];
    for (fields, cancelled, param) in cases {
        let answer = app.mine(form(fields)).await;
        assert_eq!((answer.outcome().as_str(), answer.param().as_str()), (cancelled, param), "{}", answer.text());
    }
    assert_eq!(app.mine(Call::post("/v1/files", &json!({}))).await.outcome(), "415 unsupported_media_type");
    let cut = form(&[("purpose", b"batch"), ("file", b"x")]);
    let cut = Call { body: cut.body.slice(..cut.body.len() - 20), ..cut };
    assert_eq!(app.mine(cut).await.outcome(), "400 invalid_request");
    let rows = db::query("select (select count(*) from files) + (select count(*) from file_chunks)");
    assert_eq!(rows.fetch_one(app.app.db()).await.unwrap().get::<i64>(0).unwrap(), 0);
    for (body, param) in [
        (json!({"input_file_id": "f", "endpoint": CHAT}), "completion_window"),
        (json!({"input_file_id": "f", "endpoint": CHAT, "completion_window": "1h"}), "completion_window"),
        (json!({"input_file_id": "f", "endpoint": "/v1/images", "completion_window": "24h"}), "endpoint"),
        (json!({"input_file_id": "f", "endpoint": CHAT, "completion_window": "24h", "base_url": "x"}), "base_url"),
        (json!({"input_file_id": "f", "endpoint": CHAT, "completion_window": "24h", "metadata": {"a": 1}}), "metadata"),
    ] {
        let answer = app.mine(Call::post("/v1/batches", &body)).await;
        assert_eq!(
            (answer.outcome().as_str(), answer.param().as_str()),
            ("400 invalid_request", param),
            "{}",
            answer.text()
        );
    }
    app.close().await;
}

#[tokio::test]
async fn a_line_waits_for_a_provider_that_wants_quiet() {
    let app = TestApp::start().await;
    app.up.next(Script::throttled("retry-after: 1\r\n"));
    let id = app.begin(&numbered(1), CHAT).await;
    let batch = app.ended(&id, "completed").await;
    assert_eq!(batch["request_counts"], json!({"total": 1, "completed": 1, "failed": 0}));
    assert_eq!(app.up.count(), 2);
    // One that waits for nothing fails.
    app.reload("[defaults]\nretries = 0\n[batches]\npatience = \"0s\"\n").await;
    app.up.next(Script::throttled("retry-after: 1\r\n"));
    let id = app.begin(&numbered(1), CHAT).await;
    let [_, errors] = app.results(&app.ended(&id, "completed").await).await;
    assert_eq!(errors["line-0"]["response"]["status_code"], 429);
    app.close().await;
}

#[tokio::test]
async fn lines_yield_to_calls_that_somebody_waits_for() {
    let app = TestApp::with("[defaults]\nretries = 0\n[batches]\nyield_above = 0\n").await;
    let gate = Arc::new(Semaphore::new(0));
    app.up.next(Script::default().gate(&gate).then(Script::json(200, WHOLE)));
    let call = Call::chat(&hello("fast")).key(&app.key);
    let waited_for = app.open(&call);
    let beside = async {
        app.up.until("the call is sent", |received| received.len() == 1).await;
        let id = app.begin(&numbered(2), CHAT).await;
        app.batch(&id, "running", |batch| batch["status"] == "in_progress").await;
        // Each of these calls is answered while the lines wait.
        for _ in 0..20 {
            assert_eq!(app.hello("spare").await.status, 200);
        }
        assert_eq!(app.up.count(), 1, "a line ran beside a call that somebody waits for");
        gate.add_permits(1);
        id
    };
    let (answer, id) = tokio::join!(waited_for, beside);
    assert_eq!(answer.rest().await.status, 200);
    assert_eq!(app.ended(&id, "completed").await["request_counts"]["completed"], 2);
    app.close().await;
}

#[tokio::test]
async fn a_quarter_of_a_providers_places_is_kept_for_calls_that_somebody_waits_for() {
    let app = TestApp::with("[defaults]\nretries = 0\n[providers.four]\nkind = \"openai\"\nbase_url = \"http://{other}/v1\"\nmax_in_flight = 4\n").await;
    let gate = Arc::new(Semaphore::new(0));
    app.other.always(Script::default().gate(&gate).then(Script::json(200, WHOLE)));
    let text: String = (0..8).map(|n| line(&format!("line-{n}"), CHAT, &hello("four/x"))).collect();
    let id = app.begin(&text, CHAT).await;
    app.other.until("three lines are sent", |received| received.len() == 3).await;
    let call = Call::chat(&hello("four/x")).key(&app.key);
    let held = app.open(&call);
    let beside = async {
        app.other.until("the call finds a place", |received| received.len() == 4).await;
        app.other.always(Script::json(200, WHOLE));
        gate.add_permits(100);
    };
    let (answer, ()) = tokio::join!(held, beside);
    assert_eq!(answer.rest().await.status, 200);
    assert_eq!(app.ended(&id, "completed").await["request_counts"]["completed"], 8);
    app.close().await;
}

#[tokio::test]
async fn lines_wait_for_the_requests_a_minute_of_their_key() {
    let app = TestApp::with(ONE_AT_A_TIME).await;
    let key = app.new_key(&json!({"name": "slow", "requests_per_minute": 4})).await;
    let file = app.send(upload(&numbered(60)).key(&key)).await.json();
    let made = app.send(wanted(file["id"].as_str().unwrap(), CHAT).key(&key)).await;
    assert_eq!(made.status, 200, "{}", made.text());
    // The upload and the batch took two of the four.
    app.up.until("two lines run", |received| received.len() == 2).await;
    // Another key's batch is not held up by the lines that wait.
    let others = app.send(upload(&numbered(3)).key(&app.key)).await.json();
    app.send(wanted(others["id"].as_str().unwrap(), CHAT).key(&app.key)).await;
    app.up.until("the other key's lines run", |received| received.len() == 5).await;
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let now = app.send(Call::get(&format!("/v1/batches/{id}")).key(&app.key)).await.json();
    assert_eq!((&now["status"], &now["request_counts"]["failed"]), (&json!("in_progress"), &json!(0)), "{now}");
    app.close().await;
}

#[tokio::test]
async fn a_project_with_many_batches_holds_up_no_other() {
    let app = TestApp::with("[defaults]\nretries = 0\n[batches]\nconcurrency = 2\n").await;
    let gate = Arc::new(Semaphore::new(0));
    app.up.always(Script::default().gate(&gate).then(Script::json(200, WHOLE)));
    let key = |project: &str| json!({"name": project, "project": project});
    let (a, b) = (app.new_key(&key("a")).await, app.new_key(&key("b")).await);
    let body = json!({"model": "up/x", "messages": [{"role": "user", "content": "held"}]});
    let text: String = (0..4).map(|n| line(&format!("l{n}"), CHAT, &body)).collect();
    let others: String = (0..5).map(|n| line(&format!("l{n}"), CHAT, &hello("spare"))).collect();
    for _ in 0..30 {
        let file = app.send(upload(&text).key(&a)).await.json();
        assert_eq!(app.send(wanted(file["id"].as_str().unwrap(), CHAT).key(&a)).await.status, 200);
    }
    let file = app.send(upload(&others).key(&b)).await.json();
    let made = app.send(wanted(file["id"].as_str().unwrap(), CHAT).key(&b)).await.json();
    let id = made["id"].as_str().unwrap().to_owned();
    let deadline = Instant::now() + PATIENCE;
    loop {
        // Each place that comes free goes to the project that holds fewer.
        gate.add_permits(1);
        let now = app.send(Call::get(&format!("/v1/batches/{id}")).key(&b)).await.json();
        if now["status"] == "completed" {
            break;
        }
        assert!(Instant::now() < deadline, "{now}");
        sleep(Duration::from_millis(20)).await;
    }
    let listed = app.send(Call::get("/v1/batches?limit=100").key(&a)).await.json();
    let ended = listed["data"].as_array().unwrap().iter().filter(|batch| batch["status"] == "completed").count();
    assert!(ended < 30, "the others still run");
    gate.add_permits(1_000);
    app.close().await;
}

#[tokio::test]
async fn uploads_at_once_stay_within_the_quota_together() {
    let app = TestApp::with("[files]\nmax_total = \"256KiB\"\nmax_size = \"64KiB\"\n").await;
    let text = "x".repeat(60 << 10);
    let uploads = (0..24).map(|_| app.send(upload(&text).key(&app.key)));
    let answers = futures_util::future::join_all(uploads).await;
    let good = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(good, 4, "{:?}", answers.iter().map(Answer::outcome).collect::<Vec<_>>());
    assert!(answers.iter().all(|answer| [200, 413].contains(&answer.status)));
    // What was refused holds no room.
    let files = app.send(Call::get("/v1/files").key(&app.key)).await.json();
    let first = files["data"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(app.send(Call::new("DELETE", &format!("/v1/files/{first}"), "").key(&app.key)).await.status, 200);
    assert_eq!(app.send(upload(&text).key(&app.key)).await.status, 200);
    app.close().await;
}
