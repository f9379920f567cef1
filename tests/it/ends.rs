//! `kill -9` in the middle of a call of several attempts: those that had ended keep their status and what they cost.

use std::sync::Arc;

use serde_json::{Value, json};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use crate::app::{ADMIN, hello, streamed};
use crate::binary::{Binary, config, fulcrum, read};
use crate::client::{Call, Open, PATIENCE};
use crate::upstream::{EVENTS, Script, Upstream};

/// `cheap` costs $ 1 and $ 2 a million tokens, `strong` $ 3 and $ 4, `judge` $ 1 and $ 1.
const ROUTES: &str = r#"
[providers.second]
kind = "openai"
base_url = "http://{other}/v1"
api_key = "env:OTHER_KEY"
[models.cheap]
provider = "up"
model = "cheap-x"
price = { input = "1", output = "2" }
[models.strong]
provider = "second"
model = "strong-x"
price = { input = "3", output = "4" }
[models.judge]
provider = "second"
model = "judge-x"
price = { input = "1", output = "1" }
[[routes]]
name = "cascade"
models = ["cascade"]
strategy = "cascade"
targets = [{ model = "cheap", accept = { regex = '^[A-Z]' } }, { model = "strong" }]
[[routes]]
name = "judged"
models = ["judged"]
strategy = "cascade"
targets = [{ model = "cheap", accept = { judge = "judge" } }, { model = "strong" }]
[[routes]]
name = "fallback"
strategy = "priority"
models = ["fallback"]
targets = [{ model = "cheap" }, { model = "strong" }]
[[routes]]
name = "again"
models = ["again"]
targets = [{ model = "cheap" }]
retries = 2
[[routes]]
name = "repaired"
models = ["repaired"]
targets = [{ model = "cheap" }]
repair = true
[[routes]]
name = "hedged"
models = ["hedged"]
strategy = "priority"
targets = [{ model = "cheap" }, { model = "strong" }]
hedge = { after = "30ms", max_extra_spend = 1.0 }
"#;

/// Of a whole answer with 10 tokens in and 5 out.
fn saying(text: &str) -> Script {
    let body = json!({"id": "c1", "object": "chat.completion", "created": 1_700_000_000, "model": "m-1",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}});
    Script::json(200, body.to_string())
}

/// A stream that fails after its provider reported 10 tokens in and 5 out.
fn failing_with_usage() -> Script {
    let usage = json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}});
    let error = json!({"error": {"message": "oops", "type": "server_error", "code": null}});
    Script::stream([usage, error].map(|event| format!("data: {event}\n\n")))
}

/// A gateway that is killed while a call of it runs.
struct Killed {
    dir: TempDir,
    up: Upstream,
    other: Upstream,
    binary: Binary,
}

impl Killed {
    async fn new() -> Self {
        let (dir, up, other) = (tempfile::tempdir().unwrap(), Upstream::start().await, Upstream::start().await);
        let text = format!("{}{ROUTES}", config(up.address)).replace("{other}", &other.address.to_string());
        std::fs::write(dir.path().join("fulcrum.toml"), text).unwrap();
        let binary = Binary::start(fulcrum(dir.path())).await;
        Self { dir, up, other, binary }
    }

    /// Begins a call whose answer nobody waits for.
    fn call(&self, body: &Value) {
        let (address, call) = (self.binary.address, Call::chat(body).key(ADMIN));
        tokio::spawn(async move { drop(Open::send(address, &call).await) });
    }

    /// Kills the gateway and starts another: the attempts of the last call, and its request.
    async fn again(mut self) -> (Vec<String>, String) {
        self.binary.kill();
        let mut binary = Binary::start(fulcrum(self.dir.path())).await;
        binary.says("ended without notice").await;
        binary.signal("TERM");
        assert!(binary.ended().await.success());
        let attempts = "select model, role, status, http_status, error_code, input_tokens, output_tokens, cost, reserved \
             from full_attempts where request_id = (select max(id) from full_requests) order by n";
        let request = "select model, null, status, http_status, error_code, input_tokens, output_tokens, cost, 0 \
             from full_requests order by id desc limit 1";
        let requests = read(self.dir.path(), request).await;
        let rows = read(self.dir.path(), attempts).await;
        let sum: i64 = rows.iter().filter_map(|row| row.get::<Option<i64>, _>(7)).sum();
        assert_eq!(requests[0].get::<i64, _>(7), sum, "the request costs what its attempts cost");
        let sums = "select (select sum(cost) from full_requests), (select sum(cost) from full_rollups), \
             (select coalesce(sum(input_tokens), 0) from full_requests), (select sum(input_tokens) from full_rollups)";
        let sums = read(self.dir.path(), sums).await;
        let sum = |at: usize| sums[0].get::<Option<i64>, _>(at);
        assert_eq!((sum(0), sum(2)), (sum(1), sum(3)), "rows and hourly sums");
        (rows.iter().map(shown).collect(), shown(&requests[0]))
    }
}

/// Model, role, status, HTTP status, code, tokens and cost, which is `reserved` where that was charged.
fn shown(row: &SqliteRow) -> String {
    let text = |at: usize| row.get::<Option<String>, _>(at).unwrap_or_else(|| "-".to_owned());
    let number = |at: usize| row.get::<Option<i64>, _>(at).map_or_else(|| "-".to_owned(), |number| number.to_string());
    let is_reserved = row.get::<i64, _>(8) > 0 && number(7) == number(8);
    let cost = if is_reserved { "reserved".to_owned() } else { number(7) };
    let parts = [text(0), text(1), text(2), number(3), text(4), number(5), number(6), cost];
    parts.join(" ")
}

fn unknown(request: &str, tokens: &str) -> bool {
    request.contains(&format!(" - unknown - - {tokens} "))
}

#[tokio::test]
async fn a_cascades_refused_answer_costs_what_it_did_and_the_second_target_its_reserve() {
    let killed = Killed::new().await;
    killed.up.next(saying("bern"));
    killed.other.next(Script::default().stall());
    killed.call(&hello("cascade"));
    killed.other.until("the second target is asked", |received| received.len() == 1).await;
    let (attempts, request) = killed.again().await;
    assert_eq!(attempts, ["cheap-x - error 200 not_accepted_regex 10 5 20000", "strong-x - unknown - - - - reserved"]);
    assert!(request.starts_with("strong-x ") && unknown(&request, "10 5"), "{request}");
}

#[tokio::test]
async fn an_answer_that_a_judge_looks_at_costs_what_it_did() {
    let killed = Killed::new().await;
    killed.up.next(saying("Bern"));
    killed.other.next(Script::default().stall());
    killed.call(&hello("judged"));
    killed.other.until("the judge is asked", |received| received.len() == 1).await;
    let (attempts, request) = killed.again().await;
    assert_eq!(attempts, ["cheap-x - ok 200 - 10 5 20000", "judge-x judge unknown - - - - reserved"]);
    assert!(request.starts_with("cheap-x ") && unknown(&request, "10 5"), "{request}");
}

#[tokio::test]
async fn what_a_judge_refused_is_refused_after_a_kill_too() {
    let killed = Killed::new().await;
    killed.up.next(saying("Bern"));
    killed.other.next(saying("{\"good\": false}"));
    killed.other.next(Script::sse().chunks(&EVENTS[..2]).stall());
    killed.call(&streamed(hello("judged")));
    killed.other.until("the second target is asked", |received| received.len() == 2).await;
    let (attempts, request) = killed.again().await;
    let judged = ["cheap-x - error 200 not_accepted_judge 10 5 20000", "judge-x judge ok 200 - 10 5 15000"];
    assert_eq!(
        (&attempts[..2], &attempts[2][..]),
        (&judged.map(str::to_owned)[..], "strong-x - unknown - - - - reserved")
    );
    assert!(unknown(&request, "20 10"), "{request}");
}

#[tokio::test]
async fn a_failure_whose_provider_reported_usage_costs_that_and_one_that_did_not_costs_nothing() {
    for (failure, is_stream, expected) in [
        (failing_with_usage(), true, "cheap-x - error 200 upstream_error 10 5 20000"),
        (Script::error(500, "oops"), false, "cheap-x - error 500 upstream_error - - 0"),
    ] {
        let killed = Killed::new().await;
        killed.up.next(failure);
        killed.other.next(Script::default().stall());
        killed.call(&if is_stream { streamed(hello("fallback")) } else { hello("fallback") });
        killed.other.until("the fallback is asked", |received| received.len() == 1).await;
        let (attempts, request) = killed.again().await;
        assert_eq!(attempts, [expected, "strong-x - unknown - - - - reserved"]);
        assert!(unknown(&request, if is_stream { "10 5" } else { "- -" }), "{request}");
    }
}

#[tokio::test]
async fn a_bad_answer_that_is_asked_for_once_more_costs_what_it_did() {
    let killed = Killed::new().await;
    killed.up.next(saying("no JSON"));
    killed.up.next(Script::default().stall());
    let mut body = hello("repaired");
    body["response_format"] = json!({"type": "json_object"});
    killed.call(&body);
    killed.up.until("it is asked once more", |received| received.len() == 2).await;
    let (attempts, request) = killed.again().await;
    assert_eq!(attempts, ["cheap-x - error 200 invalid_output 10 5 20000", "cheap-x - unknown - - - - reserved"]);
    assert!(unknown(&request, "10 5"), "{request}");
}

#[tokio::test]
async fn an_attempt_before_a_pause_costs_nothing_where_its_provider_let_nothing_in() {
    let killed = Killed::new().await;
    killed.up.next(Script::throttled("retry-after: 8\r\n"));
    killed.call(&hello("again"));
    let journal = killed.dir.path().to_owned();
    let deadline = Instant::now() + PATIENCE;
    let holds = |text: &str| {
        let files = std::fs::read_dir(&journal).unwrap().flatten();
        let mut files = files.filter(|file| file.file_name().to_string_lossy().contains("-ledger."));
        files.any(|file| crate::app::contains(&std::fs::read(file.path()).unwrap_or_default(), text))
    };
    while !holds("upstream_rate_limited") {
        assert!(Instant::now() < deadline, "the journal never has the attempt's end");
        sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(killed.up.count(), 1, "the call waits");
    let (attempts, request) = killed.again().await;
    assert_eq!(attempts, ["cheap-x - error 429 upstream_rate_limited - - 0"]);
    assert_eq!(request, "cheap-x - unknown - - - - 0");
}

/// A gateway whose hedged route has spent something, so that it may hedge.
async fn ready_to_hedge() -> Killed {
    let killed = Killed::new().await;
    for _ in 0..3 {
        assert_eq!(killed.binary.send(Call::chat(&streamed(hello("hedged")))).await.status, 200);
    }
    killed
}

#[tokio::test]
async fn a_hedges_loser_costs_what_it_did_while_the_winner_goes_on() {
    let gate = Arc::new(Semaphore::new(0));
    let winner = Script::sse().chunks(&EVENTS[..2]).gate(&gate).chunks(&EVENTS[2..3]).stall();
    let killed = ready_to_hedge().await;
    killed.up.next(Script::default().stall());
    killed.other.next(winner);
    let call = Call::chat(&streamed(hello("hedged"))).key(ADMIN);
    let mut open = Open::send(killed.binary.address, &call).await.unwrap();
    open.until("Hello").await;
    // What a tick of the event loop notes is written before its next events are read.
    gate.add_permits(1);
    open.until("there").await;
    let (attempts, request) = killed.again().await;
    assert_eq!(attempts, ["cheap-x - client_closed - hedge_lost - - 0", "strong-x hedge unknown - - - - reserved"]);
    assert!(unknown(&request, "- -"), "{request}");
}

#[tokio::test]
async fn a_hedge_that_failed_beside_the_first_costs_what_its_provider_reported() {
    let gate = Arc::new(Semaphore::new(0));
    let first = Script::sse().gate(&gate).chunks(&EVENTS[..2]).gate(&gate).chunks(&EVENTS[2..3]).stall();
    let killed = ready_to_hedge().await;
    killed.up.next(first);
    killed.other.next(failing_with_usage());
    let address = killed.binary.address;
    let call = Call::chat(&streamed(hello("hedged"))).key(ADMIN);
    let opened = tokio::spawn(async move { Open::send(address, &call).await.unwrap() });
    killed.other.until("the second is asked", |received| received.len() == 1).await;
    // The second must have failed before the first begins, which a metric says.
    let deadline = Instant::now() + PATIENCE;
    while !killed.binary.send(Call::get("/metrics")).await.text().contains("model=\"strong-x\"") {
        assert!(Instant::now() < deadline, "the hedge never ends");
    }
    gate.add_permits(2);
    let mut open = opened.await.unwrap();
    open.until("there").await;
    let (attempts, request) = killed.again().await;
    assert_eq!(attempts, ["cheap-x - unknown - - - - reserved", "strong-x hedge error 200 upstream_error 10 5 50000"]);
    assert!(unknown(&request, "10 5"), "{request}");
}
