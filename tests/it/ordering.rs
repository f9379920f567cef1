//! Strategies that order targets by figures, and what keeps a session or a prompt at one target.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use crate::app::{ADMIN, TestApp, hello, streamed};
use crate::client::{Answer, Call, Open, PATIENCE};
use crate::upstream::{EVENTS, Script, Upstream, WHOLE};

const UP: &str = "up/gpt-x";
const OTHER: &str = "other/spare-x";

fn route(how: &str) -> String {
    format!(
        "[[routes]]\nname = \"r\"\nretries = 0\ntargets = [{{ model = \"fast\" }}, {{ model = \"spare\" }}]\n{how}\n"
    )
}

/// Who answered.
fn model(answer: &Answer) -> &str {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.header("x-fulcrum-model").unwrap()
}

async fn explain(app: &TestApp, call: &Value, session: Option<&str>) -> Value {
    let call = Call::post("/v1/explain", call).key(&app.key);
    let call = session.into_iter().fold(call, |call, session| call.header("x-fulcrum-session", session));
    let answer = app.send(call).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// A long request: about a thousand tokens.
fn long(more: &Value) -> Value {
    let mut body = json!({"model": "any", "messages": [{"role": "user", "content": "word ".repeat(800)}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// Two targets: one that is cheap to read to, one that is cheap to let write. They cost the same at 1 token out for 8 in.
const PRICED: &str = r#"
[models.terse]
provider = "up"
model = "terse"
price = { input = "1", output = "20" }
[models.wordy]
provider = "other"
model = "wordy"
price = { input = "3", output = "4" }
[models.unpriced]
provider = "up"
model = "nobody-prices-this"
[[routes]]
name = "r"
retries = 0
models = ["any"]
strategy = "cheapest"
targets = [{ model = "unpriced" }, { model = "terse" }, { model = "wordy" }]
"#;

#[tokio::test]
async fn the_cheapest_is_picked_and_a_keys_own_ratio_of_output_moves_it() {
    let app = TestApp::with(PRICED).await;
    let brief =
        WHOLE.replace("\"prompt_tokens\":9,\"completion_tokens\":3", "\"prompt_tokens\":1000,\"completion_tokens\":1");
    app.up.always(Script::json(200, &brief));
    app.other.always(Script::json(200, &brief));
    let call = |key: &str| app.send(Call::chat(&long(&json!({}))).key(key));
    assert_eq!(model(&call(&app.key).await), "other/wordy", "a new key is reckoned to write a third of what it reads");
    let mut moved = 0;
    while model(&call(&app.key).await) != "up/terse" {
        moved += 1;
        assert!(moved < 20, "a key whose calls write nothing never gets the target that is cheap to read to");
    }
    let stranger = app.new_key(&json!({"name": "stranger"})).await;
    assert_eq!(model(&call(&stranger).await), "other/wordy", "the ratio of one key is no other's");
    app.close().await;
}

#[tokio::test]
async fn what_a_call_may_write_bounds_what_it_is_expected_to_cost() {
    let app = TestApp::with(PRICED).await;
    let shown = &app;
    let first = async |body: Value| {
        let explained = explain(shown, &body, None).await;
        explained["candidates"].as_array().unwrap().clone()
    };
    let open = first(long(&json!({}))).await;
    assert_eq!(open[0]["model"], "other/wordy");
    let bounded = first(long(&json!({"max_tokens": 1}))).await;
    assert_eq!(bounded[0]["model"], "up/terse");
    let score = &bounded[0]["score"];
    let tokens = explain(&app, &long(&json!({"max_tokens": 1})), None).await["tokens"]["input"].as_u64().unwrap();
    let cost = format!("{:.6}", (tokens as f64 + 20.0) / 1e6);
    assert_eq!((score["value"].as_str(), &score["unit"]), (Some(cost.trim_end_matches('0')), &json!("usd")));
    assert_eq!(bounded[2]["model"], "up/nobody-prices-this");
    assert!(
        bounded[2]["score"]["value"].is_null() && bounded[2]["score"]["why"].as_str().unwrap().contains("no price")
    );
    assert_eq!((app.up.count(), app.other.count()), (0, 0));
    app.close().await;
}

/// Calls until both targets have been measured.
async fn warm(app: &TestApp) {
    for _ in 0..2_000 {
        assert_eq!(app.hello("any").await.status, 200);
        if app.up.count() > 0 && app.other.count() > 0 {
            return;
        }
    }
    panic!("a cold target is never probed");
}

/// What the request that [`spoil`] waits for says.
const SPOILT: &str = "Spoil this";

fn spoilt() -> Value {
    json!({"model": "any", "messages": [{"role": "user", "content": SPOILT}]})
}

/// The first request that says so gets this, at whichever target: which one is asked may change with every answer before.
fn spoil(app: &TestApp, script: Script) {
    let waiting = Arc::new(Mutex::new(Some(script)));
    for upstream in [&app.up, &app.other] {
        let waiting = waiting.clone();
        upstream.answers(move |received| match received.json().to_string().contains(SPOILT) {
            true => waiting.lock().unwrap().take(),
            false => None,
        });
    }
}

/// The target that was asked by it alone, and the name of the other.
fn spoilt_by(app: &TestApp) -> (&Upstream, &'static str) {
    let is_up = app.up.received().iter().any(|received| received.json().to_string().contains(SPOILT));
    if is_up { (&app.up, OTHER) } else { (&app.other, UP) }
}

#[tokio::test]
async fn the_fastest_route_leaves_a_target_that_becomes_slow() {
    let app = TestApp::with(&route("strategy = \"fastest\"")).await;
    assert_eq!(model(&app.hello("any").await), UP, "all are cold: in the file's order");
    warm(&app).await;
    spoil(&app, Script::default().stall());
    let limited = Call::chat(&spoilt()).key(&app.key).header("x-fulcrum-timeout", "1s");
    assert_eq!(app.send(limited).await.outcome(), "408 request_timeout");
    let (_, quick) = spoilt_by(&app);
    for _ in 0..10 {
        assert_eq!(model(&app.hello("any").await), quick, "its caller gave it up, so it takes longer than that");
    }
    let explained = explain(&app, &hello("any"), None).await;
    let scores: Vec<f64> =
        explained["candidates"].as_array().unwrap().iter().map(|one| one["score"]["value"].as_f64().unwrap()).collect();
    assert!(scores[0] < scores[1] && scores[1] > 50.0, "{scores:?}");
    app.close().await;
}

#[tokio::test]
async fn a_target_that_fails_at_once_is_not_the_fastest() {
    let app = TestApp::with(&route("strategy = \"fastest\"")).await;
    warm(&app).await;
    spoil(&app, Script::error(500, "down"));
    let failed = app.chat(&spoilt()).await;
    let (fails, well) = if model(&failed) == UP { (&app.other, UP) } else { (&app.up, OTHER) };
    assert_eq!(failed.header("x-fulcrum-attempts"), Some("2"));
    let before = fails.count();
    for _ in 0..20 {
        assert_eq!(model(&app.hello("any").await), well);
    }
    assert_eq!(fails.count(), before, "one fault cools nothing, and is enough to look slow");
    app.close().await;
}

#[tokio::test]
async fn a_target_that_begins_a_stream_at_once_and_breaks_it_is_not_the_fastest() {
    let app = TestApp::with(&route("strategy = \"fastest\"")).await;
    let stream = streamed(hello("any"));
    while app.up.count() == 0 || app.other.count() == 0 {
        assert_eq!(app.chat(&stream).await.status, 200);
    }
    spoil(&app, Script::sse().chunks(&EVENTS[..3]).fin());
    assert!(app.chat(&streamed(spoilt())).await.text().contains("\"error\""));
    let (breaks, well) = spoilt_by(&app);
    let before = breaks.count();
    for _ in 0..20 {
        assert_eq!(model(&app.chat(&stream).await), well);
    }
    assert_eq!(breaks.count(), before);
    app.close().await;
}

#[tokio::test]
async fn a_target_whose_answers_say_nothing_is_not_the_fastest() {
    let nothing = WHOLE.replace("Hello there.", "").replace("\"completion_tokens\":3", "\"completion_tokens\":0");
    let events = [EVENTS[0], EVENTS[4], EVENTS[6]];
    for (call, script) in
        [(hello("any"), Script::json(200, &nothing)), (streamed(hello("any")), Script::sse().chunks(events).ended())]
    {
        let app = TestApp::with(&route("strategy = \"fastest\"")).await;
        app.up.always(script);
        while app.other.count() == 0 {
            assert_eq!(app.chat(&call).await.status, 200);
        }
        let before = app.up.count();
        for _ in 0..20 {
            assert_eq!(model(&app.chat(&call).await), OTHER);
        }
        assert!(before > 0 && app.up.count() == before);
        app.close().await;
    }
}

/// A call that is under way until its gate opens.
fn held(app: &TestApp, gate: &Arc<Semaphore>, model: &str) -> tokio::task::JoinHandle<Answer> {
    let script = Script::default().gate(gate).then(Script::json(200, WHOLE));
    app.up.always(script.clone());
    app.other.always(script);
    tokio::spawn(Open::of_call(app.address, Call::chat(&hello(model)).key(&app.key)))
}

async fn under_way(app: &TestApp, calls: usize) {
    let deadline = Instant::now() + PATIENCE;
    while app.up.count() + app.other.count() < calls {
        assert!(Instant::now() < deadline, "no call {calls} comes");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn the_least_busy_target_gets_the_next_call_whoever_keeps_the_other_busy() {
    let app = TestApp::with(&route("models = [\"any\"]\nstrategy = \"least_busy\"")).await;
    let gate = Arc::new(Semaphore::new(0));
    let mut calls = Vec::new();
    for n in 1..=6 {
        calls.push(held(&app, &gate, "any"));
        under_way(&app, n).await;
    }
    assert_eq!((app.up.count(), app.other.count()), (3, 3), "calls are spread");
    // Direct calls are not of the route, and keep the provider busy all the same.
    for n in 7..=8 {
        calls.push(held(&app, &gate, "fast"));
        under_way(&app, n).await;
    }
    for n in 9..=10 {
        calls.push(held(&app, &gate, "any"));
        under_way(&app, n).await;
    }
    assert_eq!((app.up.count(), app.other.count()), (5, 5));
    let explained = explain(&app, &hello("any"), None).await;
    let why = explained["candidates"][0]["score"]["why"].as_str().unwrap();
    assert!(why.starts_with("5 of 512 calls of its provider are under way; "), "{why}");
    assert_eq!(app.metric("fulcrum_target_in_flight", "").await, 8.0, "of the route's own calls");
    gate.add_permits(10);
    for call in calls {
        assert_eq!(call.await.unwrap().status, 200);
    }
    let explained = explain(&app, &hello("any"), None).await;
    let whys: Vec<_> =
        explained["candidates"].as_array().unwrap().iter().map(|one| one["score"]["why"].clone()).collect();
    let idle = json!("0 of 512 calls of its provider are under way; 0 are its own");
    assert_eq!(whys, [idle.clone(), idle]);
    app.close().await;
}

#[tokio::test]
async fn a_call_that_is_hung_up_on_is_under_way_no_more() {
    let app = TestApp::with(&route("models = [\"any\"]\nstrategy = \"least_busy\"")).await;
    app.up.always(Script::sse().chunks(&EVENTS[..2]).stall());
    app.other.always(Script::sse().chunks(&EVENTS[..2]).stall());
    let call = Call::chat(&streamed(hello("any"))).key(&app.key);
    let mut open = app.open(&call).await;
    open.until("Hello").await;
    let busy = explain(&app, &hello("any"), None).await.to_string();
    assert!(busy.contains("under way; 1 are its own"), "{busy}");
    drop(open);
    let deadline = Instant::now() + PATIENCE;
    while explain(&app, &hello("any"), None).await.to_string().contains("1 are its own") {
        assert!(Instant::now() < deadline, "it stays under way");
        sleep(Duration::from_millis(10)).await;
    }
    app.close().await;
}

#[tokio::test]
async fn a_local_servers_own_queue_counts() {
    let served = "[providers.second]\nkind = \"openai\"\nserver = \"llamacpp\"\nbase_url = \"http://{other}/v1\"\n\
        api_key = \"env:OTHER_KEY\"\nlocal = true\n\
        [[routes]]\nname = \"r\"\nmodels = [\"any\"]\nstrategy = \"least_busy\"\nretries = 0\n\
        targets = [{ model = \"second/m\" }, { model = \"fast\" }]\n";
    let app = TestApp::start().await;
    let (asked, page) = (Arc::new(Semaphore::new(0)), "llamacpp:requests_processing 3\nllamacpp:requests_deferred 4\n");
    let seen = asked.clone();
    app.other.api(move |received| {
        let is_load = received.path == "/metrics" && received.head.starts_with("GET ");
        is_load.then(|| {
            seen.add_permits(1);
            Script::reply(200, "content-type: text/plain\r\n", page)
        })
    });
    app.reload(served).await;
    let deadline = Instant::now() + PATIENCE;
    loop {
        app.app.refresh().await;
        let explained = explain(&app, &hello("any"), None).await.to_string();
        if explained.contains("0 of 512 calls of its provider are under way, 7 of others at its server") {
            break;
        }
        assert!(Instant::now() < deadline, "the server's queue is never read: {explained}");
        sleep(Duration::from_millis(50)).await;
    }
    for _ in 0..10 {
        assert_eq!(model(&app.hello("any").await), UP);
    }
    assert!(asked.available_permits() > 0);
    // No route reads it any more, so nobody asks.
    app.reload("[[routes]]\nname = \"r\"\ntargets = [{ model = \"fast\" }]\n").await;
    let before = asked.available_permits();
    for _ in 0..3 {
        app.app.refresh().await;
    }
    app.hello("any").await;
    assert_eq!(asked.available_permits(), before);
    app.close().await;
}

fn in_session(app: &TestApp, session: &str) -> Call {
    Call::chat(&hello("any")).key(&app.key).header("x-fulcrum-session", session)
}

async fn bound_to(app: &TestApp, session: &str) -> Option<String> {
    let explained = explain(app, &hello("any"), Some(session)).await;
    let first = &explained["candidates"][0];
    let is_bound = first["reason"].as_str().unwrap().contains("where this session was answered last");
    is_bound.then(|| first["model"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_session_stays_where_it_was_answered_follows_after_a_fault_and_outlives_a_reload() {
    let app = TestApp::with(&route("affinity = \"session\"")).await;
    let mut homes = BTreeSet::new();
    for n in 0..12 {
        let call = in_session(&app, &format!("s{n}"));
        let home = model(&app.send(call.clone()).await).to_owned();
        for _ in 0..4 {
            assert_eq!(model(&app.send(call.clone()).await), home);
        }
        homes.insert(home);
    }
    assert_eq!(homes.len(), 2, "all sessions at one target");
    assert_eq!(app.metric("fulcrum_bound_sessions", "").await, 12.0);
    let home = bound_to(&app, "s0").await.unwrap();
    let (ill, other) = if home == UP { (&app.up, OTHER) } else { (&app.other, UP) };
    ill.next(Script::error(500, "down"));
    for _ in 0..3 {
        assert_eq!(model(&app.send(in_session(&app, "s0")).await), other, "it follows where it was answered");
    }
    app.reload(&route("affinity = \"session\"\nfallbacks = [\"dead/x\"]")).await;
    assert_eq!(bound_to(&app, "s0").await.as_deref(), Some(other));
    // The session of another project, of the same name, is another.
    let theirs = app.new_key(&json!({"name": "theirs", "project": "elsewhere"})).await;
    let call = Call::post("/v1/explain", &hello("any")).key(&theirs).header("x-fulcrum-session", "s0");
    assert!(!app.send(call).await.text().contains("answered last"));
    app.close().await;
}

#[tokio::test]
async fn a_session_is_bound_by_a_good_answer_alone() {
    let app = TestApp::with(&route("affinity = \"session\"")).await;
    app.up.next(Script::error(500, "down"));
    app.other.next(Script::error(500, "down"));
    assert_eq!(app.send(in_session(&app, "s")).await.status, 500);
    assert_eq!(bound_to(&app, "s").await, None);
    // A stream that breaks off is no good answer, either.
    let torn = Script::sse().chunks(&EVENTS[..2]).reset();
    app.up.next(torn.clone());
    app.other.next(torn);
    let mut stream = hello("any");
    stream["stream"] = true.into();
    let call = |session: &str| Call::chat(&stream).key(&app.key).header("x-fulcrum-session", session);
    assert!(app.send(call("s")).await.text().contains("\"error\""));
    assert_eq!(bound_to(&app, "s").await, None);
    app.up.forget_scripts();
    app.other.forget_scripts();
    let answer = app.send(call("s")).await;
    assert!(answer.text().ends_with("data: [DONE]\n\n"));
    assert_eq!(bound_to(&app, "s").await.as_deref(), Some(model(&answer)));
    app.close().await;
}

#[tokio::test]
async fn a_session_revives_no_target_that_is_out() {
    let weights = |fast: u32, spare: u32| {
        let targets = format!(
            "targets = [{{ model = \"fast\", weight = {fast} }}, {{ model = \"spare\", weight = {spare} }}]\naffinity = \"session\""
        );
        format!("[[routes]]\nname = \"r\"\nmodels = [\"any\"]\nretries = 0\n{targets}\n[defaults]\nretries = 0\n")
    };
    let app = TestApp::with(&weights(1, 0)).await;
    assert_eq!(model(&app.send(in_session(&app, "s")).await), UP);
    app.reload(&weights(0, 1)).await;
    for _ in 0..5 {
        assert_eq!(model(&app.send(in_session(&app, "s")).await), OTHER);
    }
    app.reload(&weights(1, 1)).await;
    assert_eq!(bound_to(&app, "s").await.as_deref(), Some(OTHER), "it follows");
    // Five faults cool its target.
    app.other.always(Script::error(500, "down"));
    for _ in 0..5 {
        assert_eq!(app.hello("spare").await.status, 500);
    }
    let explained = explain(&app, &hello("any"), Some("s")).await;
    let mut candidates = explained["candidates"].as_array().unwrap().iter();
    let is_bound = |one: &Value| one["reason"].as_str().unwrap().contains("this session");
    assert!(!candidates.any(is_bound), "it is bound to nothing that cools: {explained:#}");
    let answer = app.send(in_session(&app, "s")).await;
    assert_eq!((model(&answer), answer.header("x-fulcrum-attempts")), (UP, Some("1")), "what cools is not called");
    app.close().await;
}

#[tokio::test]
async fn prompts_that_begin_alike_go_to_one_target_and_others_are_spread() {
    let app = TestApp::with(&route("affinity = \"prompt_cache\"")).await;
    let mut homes = BTreeSet::new();
    for n in 0..16 {
        let ask = |last: &str| {
            json!({"model": "any", "messages": [{"role": "system", "content": format!("You are number {n}.")},
                {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}, {"role": "user", "content": last}]})
        };
        let home = model(&app.chat(&ask("a")).await).to_owned();
        for last in ["b", "c"] {
            assert_eq!(model(&app.chat(&ask(last)).await), home);
        }
        homes.insert(home);
    }
    assert_eq!(homes.len(), 2);
    let rows = app.send(Call::get("/api/v1/routes").key(ADMIN)).await.json();
    assert_eq!(
        (&rows["rows"][0]["strategy"], &rows["rows"][0]["affinity"]),
        (&json!("weighted"), &json!("prompt_cache"))
    );
    app.close().await;
}

#[tokio::test]
async fn a_session_in_a_cascade_goes_on_where_its_answer_was_accepted() {
    let route = "[[routes]]\nname = \"r\"\nretries = 0\nstrategy = \"cascade\"\naffinity = \"session\"\n\
        targets = [{ model = \"fast\", accept = { regex = \"^Brief\" } }, { model = \"spare\" }]\n";
    let app = TestApp::with(route).await;
    let ask = async |session: &str| {
        let answer = app.send(in_session(&app, session)).await;
        (model(&answer).to_owned(), answer.header("x-fulcrum-attempts").unwrap().to_owned())
    };
    let (up, other) = (UP.to_owned(), OTHER.to_owned());
    assert_eq!(ask("hard").await, (other.clone(), "2".to_owned()), "the cheap answer is not accepted");
    for _ in 0..3 {
        assert_eq!(ask("hard").await, (other.clone(), "1".to_owned()));
    }
    app.up.always(Script::json(200, WHOLE.replace("Hello there.", "Brief.")));
    for _ in 0..3 {
        assert_eq!(ask("easy").await, (up.clone(), "1".to_owned()));
    }
    assert_eq!(ask("hard").await, (other, "1".to_owned()), "each session has its own");
    app.close().await;
}
