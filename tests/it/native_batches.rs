//! Batches that are handed to a provider's own batch API: once, at its batch price, and found again after a crash.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use sqlx::Row;

use crate::app::{OTHER_KEY, TestApp, hello};
use crate::batch_ends::{begun, output, until};
use crate::batches::{CHAT, line};
use crate::binary::{Binary, config, find_secrets, fulcrum, read};
use crate::client::Call;
use crate::upstream::{Received, Script, Upstream, WHOLE};

const OPENAI: &str = "[providers.openly]\nkind = \"openai\"\nbase_url = \"http://{other}/v1\"\napi_key = \"env:OTHER_KEY\"\n\
    batch = \"native\"\n[models.cheap]\nprovider = \"openly\"\nmodel = \"gpt-c\"\nprice = { input = \"1\", output = \"3\" }\n\
    [batches]\npoll = \"20ms\"\n[defaults]\nretries = 0\n";

const ANTHROPIC: &str = "[providers.claudes]\nkind = \"anthropic\"\nbase_url = \"http://{other}\"\napi_key = \"env:OTHER_KEY\"\n\
    batch = \"native\"\n[models.haiku]\nprovider = \"claudes\"\nmodel = \"claude-haiku-x\"\n\
    price = { input = \"2\", output = \"4\" }\n[batches]\npoll = \"20ms\"\n[defaults]\nretries = 0\n";

const MESSAGE: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude-haiku-x","content":[{"type":"text","text":"Hello there."}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":3}}"#;

/// A provider's batch API, as far as it is needed, which records its calls.
#[derive(Default)]
struct Desk {
    /// What was sent last: the file's lines or the requests.
    lines: Vec<Value>,
    /// How often a batch was made.
    made: usize,
    marks: Value,
    /// Whether batches end by themselves.
    ends: bool,
    cancelled: bool,
    /// Whether the next making of a batch is cut off after it was noted.
    cuts: bool,
    /// What the provider adds to its errors, as it stands in JSON.
    said: String,
    dropped: Vec<String>,
}

type Shared = Arc<Mutex<Desk>>;

fn created() -> String {
    "2099-01-01T00:00:00Z".to_owned()
}

impl Desk {
    fn status(&self) -> &'static str {
        match (self.cancelled, self.ends) {
            (true, _) => "cancelled",
            (false, true) => "completed",
            _ => "in_progress",
        }
    }

    fn openai(&self) -> Value {
        json!({"id": "batch-up", "object": "batch", "status": self.status(), "output_file_id": "file-out",
            "error_file_id": null, "metadata": self.marks})
    }

    fn anthropic(&self) -> Value {
        let ended = self.ends || self.cancelled;
        json!({"id": "msgbatch_up", "type": "message_batch", "processing_status": if ended { "ended" } else { "in_progress" },
            "created_at": created(), "results_url": "http://127.0.0.1:9/elsewhere",
            "request_counts": {"processing": self.lines.len(), "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0}})
    }

    /// Results, the last line first: their order says nothing. The second line fails.
    fn openai_results(&self) -> String {
        let result = |(n, line): (usize, &Value)| {
            let (status, body) = match n {
                1 => (
                    400,
                    json!({"error": {"message": "no such thing", "type": "invalid_request_error", "code": "bad"}}),
                ),
                _ => (200, serde_json::from_str(WHOLE).unwrap()),
            };
            json!({"id": "r", "custom_id": line["custom_id"], "error": null,
                "response": {"status_code": status, "request_id": "x", "body": body}})
            .to_string()
                + "\n"
        };
        self.lines.iter().enumerate().rev().map(result).collect()
    }

    fn anthropic_results(&self) -> String {
        let result = |(n, line): (usize, &Value)| {
            let result = match n {
                1 => {
                    json!({"type": "errored", "error": {"type": "error", "error": {"type": "invalid_request_error", "message": "no"}}})
                }
                2 => json!({"type": "expired"}),
                _ => json!({"type": "succeeded", "message": serde_json::from_str::<Value>(MESSAGE).unwrap()}),
            };
            json!({"custom_id": line["custom_id"], "result": result}).to_string() + "\n"
        };
        self.lines.iter().enumerate().rev().map(result).collect()
    }

    fn saying(&self, results: &str) -> String {
        let said = |start: &str| format!("{start}{}\"", self.said);
        let mut results = results.to_owned();
        for start in ["\"message\":\"no such thing", "\"message\":\"no"] {
            results = results.replace(&format!("{start}\""), &said(start));
        }
        results
    }

    fn answer(&mut self, received: &Received) -> Option<Script> {
        let method = received.head.split(' ').next().unwrap_or_default();
        let body = String::from_utf8_lossy(&received.body).into_owned();
        let ok = |body: Value| Some(Script::json(200, body.to_string()));
        match (method, received.path.as_str()) {
            ("POST", "/v1/files") => {
                let lines = body.lines().filter(|line| line.starts_with("{\""));
                self.lines = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
                ok(json!({"id": "file-in"}))
            }
            ("POST", "/v1/batches") => {
                let order = received.json();
                assert_eq!(order["input_file_id"], "file-in");
                self.marks = order["metadata"].clone();
                self.made += 1;
                if std::mem::take(&mut self.cuts) { Some(Script::raw("HTTP/1.1 2").fin()) } else { ok(self.openai()) }
            }
            ("POST", "/v1/messages/batches") => {
                self.lines = received.json()["requests"].as_array().unwrap().clone();
                self.made += 1;
                if std::mem::take(&mut self.cuts) {
                    Some(Script::raw("HTTP/1.1 2").fin())
                } else {
                    ok(self.anthropic())
                }
            }
            ("GET", "/v1/batches/batch-up") => ok(self.openai()),
            ("GET", "/v1/messages/batches/msgbatch_up") => ok(self.anthropic()),
            ("GET", "/v1/batches?limit=100") => ok(json!({"data": [
                {"id": "batch-other", "metadata": {"fulcrum_batch": "batch_other", "fulcrum_part": "1"}}, self.openai()],
                "has_more": false})),
            ("GET", "/v1/messages/batches?limit=100") => ok(json!({"data": [self.anthropic()], "has_more": false})),
            ("GET", "/v1/files/file-out/content") => Some(Script::json(200, self.saying(&self.openai_results()))),
            ("GET", "/v1/messages/batches/msgbatch_up/results") => {
                Some(Script::json(200, self.saying(&self.anthropic_results())))
            }
            ("POST", path) if path.ends_with("/cancel") => {
                self.cancelled = true;
                ok(json!({}))
            }
            ("DELETE", path) => {
                self.dropped.push(path.to_owned());
                ok(json!({}))
            }
            _ => None,
        }
    }
}

/// The desk of an upstream.
fn desk(up: &Upstream, desk: Desk) -> Shared {
    let desk = Arc::new(Mutex::new(desk));
    let behind = desk.clone();
    up.api(move |received| behind.lock().unwrap().answer(received));
    desk
}

fn lines(model: &str, count: usize) -> String {
    (0..count).map(|n| line(&format!("line-{n}"), CHAT, &hello(model))).collect()
}

#[tokio::test]
async fn a_batch_goes_to_openais_batch_api_at_half_the_price() {
    let app = TestApp::with(OPENAI).await;
    let desk = desk(&app.other, Desk { ends: true, ..Desk::default() });
    let id = app.begin(&lines("cheap", 3), CHAT).await;
    let batch = app.ended(&id, "completed").await;
    assert_eq!(batch["request_counts"], json!({"total": 3, "completed": 2, "failed": 1}));
    let [output, errors] = app.results(&batch).await;
    assert_eq!(output["line-0"]["response"]["body"], serde_json::from_str::<Value>(WHOLE).unwrap());
    assert_eq!(errors["line-1"]["response"]["status_code"], 400);
    assert_eq!(errors["line-1"]["response"]["body"]["error"]["message"], "no such thing");
    let row = app.row(output["line-2"]["response"]["request_id"].as_str().unwrap()).await;
    // Nine tokens at half a dollar, three at one and a half, for a million.
    assert_eq!((&row["cost_usd"], &row["status"]), (&json!("0.000009"), &json!("ok")), "{row:#}");
    assert_eq!((&row["tags"]["batch"], &row["endpoint"]), (&json!(id), &json!(CHAT)));
    let rate = &row["attempts"][0]["rate"];
    assert_eq!(
        (&rate["tier"], &rate["input"], &rate["output"]),
        (&json!("batch"), &json!("0.5"), &json!("1.5")),
        "{row:#}"
    );
    assert_eq!(row["model"], "openly/gpt-c");
    let bad = app.row(errors["line-1"]["response"]["request_id"].as_str().unwrap()).await;
    assert_eq!((&bad["status"], &bad["cost_usd"], &bad["http_status"]), (&json!("error"), &json!("0"), &json!(400)));
    let usage = app.admin(Call::get("/api/v1/usage?by=tag:batch")).await.json();
    assert_eq!(usage["rows"][0]["requests"], 3);
    let cost = app.metric("fulcrum_cost_dollars_total", "model=\"openly/gpt-c\"").await;
    assert!((cost - 0.000_018).abs() < 1e-12, "the metrics count it too: {cost}");
    assert_eq!(
        app.metric("fulcrum_tokens_total", "model=\"openly/gpt-c\",project=\"default\",kind=\"input\"").await,
        18.0
    );
    {
        let desk = desk.lock().unwrap();
        assert_eq!((desk.made, &desk.marks["fulcrum_batch"]), (1, &json!(id)));
        assert_eq!(desk.dropped, ["/v1/files/file-in", "/v1/files/file-out"], "the copies at the provider are deleted");
        assert_eq!((&desk.lines[0]["url"], &desk.lines[0]["body"]["model"]), (&json!(CHAT), &json!("gpt-c")));
        assert_eq!(desk.lines[0]["method"], "POST");
    }
    assert_eq!(app.up.count(), 0);
    let calls = app.other.received();
    assert!(calls.iter().all(|call| call.header("authorization").is_some_and(|key| key.contains("canary-other"))));
    app.close().await;
}

#[tokio::test]
async fn a_batch_goes_to_anthropics_batch_api_in_its_dialect() {
    let app = TestApp::with(ANTHROPIC).await;
    let desk = desk(&app.other, Desk { ends: true, ..Desk::default() });
    let id = app.begin(&lines("haiku", 4), CHAT).await;
    let batch = app.ended(&id, "completed").await;
    assert_eq!(batch["request_counts"], json!({"total": 4, "completed": 2, "failed": 2}));
    let [output, errors] = app.results(&batch).await;
    let answer = &output["line-3"]["response"]["body"];
    assert_eq!(
        (&answer["object"], &answer["choices"][0]["message"]["content"]),
        (&json!("chat.completion"), &json!("Hello there."))
    );
    assert_eq!(errors["line-1"]["response"]["status_code"], 400);
    assert_eq!(errors["line-2"]["error"]["code"], "batch_expired");
    let row = app.row(output["line-3"]["response"]["request_id"].as_str().unwrap()).await;
    assert_eq!(
        (&row["cost_usd"], &row["attempts"][0]["rate"]["tier"]),
        (&json!("0.000015"), &json!("batch")),
        "{row:#}"
    );
    assert_eq!(desk.lock().unwrap().lines[0]["params"]["messages"][0]["role"], "user");
    app.close().await;
}

#[tokio::test]
async fn no_key_that_a_batch_api_echoes_reaches_a_result_a_row_or_the_log() {
    let unicode: String = OTHER_KEY.chars().map(|letter| format!("\\u{:04x}", u32::from(letter))).collect();
    for (settings, model) in [(OPENAI, "cheap"), (ANTHROPIC, "haiku")] {
        for said in [OTHER_KEY, &unicode] {
            let app = TestApp::with(settings).await;
            let _desk = desk(&app.other, Desk { ends: true, said: format!(" {said}"), ..Desk::default() });
            let id = app.begin(&lines(model, 4), CHAT).await;
            let batch = app.ended(&id, "completed").await;
            let [_, errors] = app.results(&batch).await;
            let shown = errors["line-1"].to_string();
            assert!(shown.contains("[removed]") || shown.contains("****"), "{shown}");
            assert!(!shown.contains(OTHER_KEY), "{shown}");
            app.close().await;
        }
    }
    // A batch that is refused whole.
    let app = TestApp::with(OPENAI).await;
    app.other.api(|received| match received.path.as_str() {
        "/v1/files" => Some(Script::json(200, json!({"id": "file-in"}).to_string())),
        "/v1/batches" => Some(Script::error(400, &format!("bad key {OTHER_KEY}"))),
        _ => Some(Script::json(200, "{}")),
    });
    let id = app.begin(&lines("cheap", 2), CHAT).await;
    let batch = app.ended(&id, "completed").await;
    let [_, errors] = app.results(&batch).await;
    let shown = errors["line-1"].to_string();
    assert!(shown.contains("bad key") && !shown.contains(OTHER_KEY), "{shown}");
    app.close().await;
}

#[tokio::test]
async fn a_batch_whose_lines_lead_to_several_providers_is_run_here() {
    let app = TestApp::with(OPENAI).await;
    let desk = desk(&app.other, Desk::default());
    let text = lines("cheap", 2) + &line("else", CHAT, &hello("fast"));
    let id = app.begin(&text, CHAT).await;
    let batch = app.ended(&id, "completed").await;
    assert_eq!(batch["request_counts"]["completed"], 3);
    assert_eq!((desk.lock().unwrap().made, app.up.count()), (0, 1));
    app.close().await;
}

#[tokio::test]
async fn a_line_that_cannot_be_called_fails_by_itself_and_the_rest_is_handed_over() {
    let app = TestApp::with(OPENAI).await;
    let desk = desk(&app.other, Desk { ends: true, ..Desk::default() });
    let id = app.begin(&(line("nobody", CHAT, &hello("no-such-model")) + &lines("cheap", 1)), CHAT).await;
    let batch = app.ended(&id, "completed").await;
    let [output, errors] = app.results(&batch).await;
    assert_eq!((output.len(), &errors["nobody"]["response"]["status_code"]), (1, &json!(404)));
    // One guard: a second in the same expression would wait for the first for ever.
    let (made, handed) = {
        let desk = desk.lock().unwrap();
        (desk.made, desk.lines.len())
    };
    assert_eq!((made, handed), (1, 1));
    app.close().await;
}

#[tokio::test]
async fn a_provider_without_a_batch_api_has_its_lines_run_here() {
    let app = TestApp::with(OPENAI).await;
    app.other.api(|received| received.path.ends_with("/files").then(|| Script::error(404, "no such route")));
    let id = app.begin(&lines("cheap", 2), CHAT).await;
    assert_eq!(app.ended(&id, "completed").await["request_counts"]["completed"], 2);
    let sent = app.other.received().iter().filter(|one| one.path == "/v1/chat/completions").count();
    assert_eq!(sent, 2);
    app.close().await;
}

#[tokio::test]
async fn a_cancelled_batch_is_cancelled_at_its_provider_and_keeps_what_was_answered() {
    let app = TestApp::with(OPENAI).await;
    let desk = desk(&app.other, Desk::default());
    let id = app.begin(&lines("cheap", 3), CHAT).await;
    app.other.until("it is followed", |received| received.iter().any(|one| one.path == "/v1/batches/batch-up")).await;
    let cancelled = app.mine(Call::post(&format!("/v1/batches/{id}/cancel"), &json!({}))).await.json();
    assert_eq!(cancelled["status"], "cancelling");
    let batch = app.ended(&id, "cancelled").await;
    assert!(desk.lock().unwrap().cancelled);
    assert_eq!(batch["request_counts"], json!({"total": 3, "completed": 2, "failed": 1}));
    app.close().await;
}

#[tokio::test]
async fn a_batch_whose_making_was_cut_off_is_found_and_not_made_again() {
    for (settings, model) in [(OPENAI, "cheap"), (ANTHROPIC, "haiku")] {
        let app = TestApp::with(settings).await;
        let desk = desk(&app.other, Desk { ends: true, cuts: true, ..Desk::default() });
        let id = app.begin(&lines(model, 1), CHAT).await;
        let batch = app.ended(&id, "completed").await;
        assert_eq!(batch["request_counts"]["completed"], 1, "{batch:#}");
        assert_eq!(desk.lock().unwrap().made, 1, "{model}");
        app.close().await;
    }
}

#[tokio::test]
async fn kill_9_while_a_provider_runs_a_batch_loses_nothing_and_submits_nothing_twice() {
    let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::start().await);
    let text =
        config(up.address).replace("api_key = \"env:UP_KEY\"\n", "api_key = \"env:UP_KEY\"\nbatch = \"native\"\n");
    std::fs::write(dir.path().join("fulcrum.toml"), format!("{text}[batches]\npoll = \"20ms\"\n")).unwrap();
    let desk = desk(&up, Desk::default());
    let mut binary = Binary::start(fulcrum(dir.path())).await;
    let id = begun(&binary, &lines("fast", 20)).await;
    up.until("it is followed", |received| received.iter().any(|one| one.path == "/v1/batches/batch-up")).await;
    binary.kill();
    desk.lock().unwrap().ends = true;
    let mut binary = Binary::start(fulcrum(dir.path())).await;
    let batch = until(&binary, &id, "completed", |batch| batch["status"] == "completed").await;
    assert_eq!(batch["request_counts"], json!({"total": 20, "completed": 19, "failed": 1}));
    assert_eq!(output(&binary, &batch).await.len(), 19);
    binary.signal("TERM");
    assert!(binary.ended().await.success());
    assert_eq!(desk.lock().unwrap().made, 1);
    let rows =
        read(dir.path(), "select status, count(*), sum(cost) from full_requests group by status order by status").await;
    let sums: Vec<(String, i64, i64)> = rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    // Each answer: nine tokens at half a dollar, three at one.
    assert_eq!(sums, [("error".to_owned(), 1, 0), ("ok".to_owned(), 19, 19 * 7_500)]);
    let left = "select (select count(*) from batch_lines) + (select count(*) from batch_handovers) \
                + (select count(*) from files where complete = 0)";
    assert_eq!(read(dir.path(), left).await[0].get::<i64, _>(0), 0);
    find_secrets(dir.path(), &binary.log());
}
