//! OpenAI's other routes: completions, moderations, images, audio, rerank.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::app::TestApp;
use crate::client::{Answer, Call};
use crate::upstream::Script;

/// Models with prices by what they are charged by.
const MODELS: &str = r#"
[defaults]
retries = 0
[models.text]
provider = "up"
model = "text-x"
price = { input = "1", output = "2" }
[models.image]
provider = "up"
model = "image-x"
price = { image = "0.04" }
[models.voice]
provider = "up"
model = "voice-x"
price = { character = "0.000015" }
[models.ear]
provider = "up"
model = "ear-x"
price = { second = "0.0001" }
[models.rank]
provider = "up"
model = "rank-x"
price = { search = "0.002" }
[models.free]
provider = "up"
model = "omni-moderation-latest"
price = { request = 0 }
[providers.claude]
kind = "anthropic"
base_url = "http://{up}"
api_key = "env:UP_KEY"
"#;

const COMPLETION: &str = r#"{"id":"cmpl-1","object":"text_completion","choices":[{"index":0,"text":" Hi","logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}}"#;

const CHUNKS: [&str; 4] = [
    "data: {\"id\":\"cmpl-1\",\"choices\":[{\"index\":0,\"text\":\" Hi\",\"finish_reason\":null}],\"usage\":null}\n\n",
    "data: {\"id\":\"cmpl-1\",\"choices\":[{\"index\":0,\"text\":\"\",\"finish_reason\":\"stop\"}],\"usage\":null}\n\n",
    "data: {\"id\":\"cmpl-1\",\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":5}}\n\n",
    "data: [DONE]\n\n",
];

async fn post(app: &TestApp, path: &str, body: &Value) -> Answer {
    app.send(Call::post(path, body).key(&app.key)).await
}

/// A form with a file of every byte; `model` stands in the middle.
fn form(model: &str) -> Vec<u8> {
    let mut body = b"--b0undary\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\
        Content-Type: audio/wav\r\n\r\n"
        .to_vec();
    body.extend(0..=255u8);
    body.extend_from_slice(b"\r\n--b0undary\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n");
    body.extend_from_slice(model.as_bytes());
    body.extend_from_slice(
        b"\r\n--b0undary\r\nContent-Disposition: form-data; name=\"language\"\r\n\r\nen\r\n--b0undary--\r\n",
    );
    body
}

const FORM: &str = "multipart/form-data; boundary=b0undary";

async fn post_form(app: &TestApp, path: &str, body: Vec<u8>) -> Answer {
    app.send(Call::new("POST", path, body).header("content-type", FORM).key(&app.key)).await
}

fn audio(kind: &str, bytes: &[u8]) -> Script {
    let headers = format!("content-type: {kind}\r\nset-cookie: a=b\r\nx-upstream: 1\r\n");
    Script::reply(200, &headers, bytes)
}

#[tokio::test]
async fn json_routes_pass_and_are_accounted() {
    let app = TestApp::with(MODELS).await;
    let image = r#"{"created":1,"data":[{"b64_json":"AA"},{"b64_json":"AA"}],"usage":{"input_tokens":5,"output_tokens":90,"total_tokens":95}}"#;
    let ranked = r#"{"results":[{"index":0,"relevance_score":0.5}],"meta":{"billed_units":{"search_units":2}}}"#;
    let cases = [
        (
            "/v1/completions",
            json!({"model": "text", "prompt": "x", "odd": [1, {"b": 2}]}),
            COMPLETION,
            json!(3),
            json!("0.000013"),
        ),
        ("/v1/images/generations", json!({"model": "image", "prompt": "x", "n": 2}), image, json!(5), json!("0.08")),
        ("/v1/rerank", json!({"model": "rank", "query": "q", "documents": ["d"]}), ranked, json!(null), json!("0.004")),
        (
            "/v1/moderations",
            json!({"model": "free", "input": "x"}),
            r#"{"results":[{"flagged":false}]}"#,
            json!(null),
            json!("0"),
        ),
    ];
    for (path, body, answer, tokens, cost) in cases {
        app.up.next(Script::json(200, answer));
        let got = post(&app, path, &body).await;
        assert_eq!((got.status, got.text()), (200, answer), "{path}");
        assert_eq!(got.header("x-fulcrum-cost-usd"), cost.as_str());
        let received = app.up.received().pop().unwrap();
        assert_eq!(received.path, path);
        let model = received.json()["model"].as_str().unwrap().to_owned();
        let named = format!("\"model\":{}", body["model"]);
        assert_eq!(received.body, body.to_string().replace(&named, &format!("\"model\":\"{model}\"")));
        let row = app.row(got.id()).await;
        assert_eq!(
            (&row["endpoint"], &row["status"], &row["model"]),
            (&json!(path), &json!("ok"), &json!(format!("up/{model}")))
        );
        assert_eq!((&row["input_tokens"], &row["cost_usd"]), (&tokens, &cost), "{path}: {row:#}");
        assert_eq!(row["attempts"].as_array().unwrap().len(), 1);
    }
    app.close().await;
}

#[tokio::test]
async fn what_has_no_price_is_unpriced_and_not_free() {
    let app = TestApp::with(MODELS).await;
    app.up.next(Script::json(200, r#"{"results":[]}"#));
    // As OpenAI's SDKs send it: without a model.
    let answer = post(&app, "/v1/moderations", &json!({"input": "x"})).await;
    assert_eq!(answer.outcome(), "404 model_not_found");
    let answer = post(&app, "/v1/moderations", &json!({"model": "up/other-moderation", "input": "x"})).await;
    assert_eq!((answer.status, answer.header("x-fulcrum-cost-usd")), (200, None));
    assert_eq!(app.row(answer.id()).await["cost_usd"], json!(null));
    let usage = app.admin(Call::get("/api/v1/usage?by=model")).await.json();
    assert_eq!(usage["total"]["unpriced_requests"], 1, "{usage:#}");
    app.close().await;
}

#[tokio::test]
async fn a_model_that_is_left_out_is_openais_default() {
    let app = TestApp::with(&format!("{MODELS}[models.omni-moderation-latest]\nprovider = \"up\"\n")).await;
    app.up.next(Script::json(200, r#"{"results":[]}"#));
    let answer = post(&app, "/v1/moderations", &json!({"input": "x"})).await;
    assert_eq!((answer.status, answer.header("x-fulcrum-model")), (200, Some("up/omni-moderation-latest")));
    assert_eq!(app.up.only().json(), json!({"input": "x", "model": "omni-moderation-latest"}));
    app.close().await;
}

#[tokio::test]
async fn a_form_passes_but_for_its_model() {
    let app = TestApp::with(MODELS).await;
    app.up.next(Script::json(200, r#"{"text":"Hi","usage":{"type":"duration","seconds":12.5}}"#));
    let answer = post_form(&app, "/v1/audio/transcriptions", form("ear")).await;
    assert_eq!((answer.status, answer.header("x-fulcrum-cost-usd")), (200, Some("0.00125")), "{}", answer.text());
    let received = app.up.only();
    assert_eq!((received.header("content-type"), &received.body[..]), (Some(FORM), &form("ear-x")[..]));
    let row = app.row(answer.id()).await;
    assert_eq!(row["attempts"][0]["rate"], json!({"second": "0.0001", "from": "config"}));
    assert_eq!((&row["requested_model"], &row["input_tokens"]), (&json!("ear"), &json!(null)));
    app.close().await;
}

#[tokio::test]
async fn transcripts_are_text_where_the_caller_asks_for_text() {
    let app = TestApp::with(MODELS).await;
    app.up.next(Script::reply(200, "content-type: text/plain; charset=utf-8\r\n", "Hello.\n"));
    let answer = post_form(&app, "/v1/audio/translations", form("ear")).await;
    let seen = (answer.status, answer.header("content-type"), answer.text());
    assert_eq!(seen, (200, Some("text/plain; charset=utf-8"), "Hello.\n"));
    app.up.next(Script::reply(200, "content-type: text/html\r\n", "<script>"));
    assert_eq!(post_form(&app, "/v1/audio/translations", form("ear")).await.outcome(), "502 upstream_protocol");
    app.close().await;
}

#[tokio::test]
async fn a_transcript_streams_and_its_usage_is_heard() {
    let app = TestApp::with(MODELS).await;
    let events = [
        "data: {\"type\":\"transcript.text.delta\",\"delta\":\"Hi\"}\n\n",
        "data: {\"type\":\"transcript.text.done\",\"text\":\"Hi\",\"usage\":{\"type\":\"duration\",\"seconds\":3}}\n\n",
    ];
    app.up.next(Script::stream(events));
    let part = "--b0undary\r\nContent-Disposition: form-data; name=\"stream\"\r\n\r\ntrue\r\n";
    let body = [part.as_bytes(), &form("ear")].concat();
    let answer = post_form(&app, "/v1/audio/transcriptions", body).await;
    assert_eq!((answer.header("content-type"), answer.text()), (Some("text/event-stream"), &*events.concat()));
    let row = app.row(answer.id()).await;
    assert_eq!((&row["stream"], &row["cost_usd"]), (&json!(true), &json!("0.0003")));
    app.close().await;
}

#[tokio::test]
async fn speech_passes_byte_by_byte_with_its_kind_and_nothing_else() {
    let app = TestApp::with(MODELS).await;
    let sound: Vec<u8> = (0..200_000u32).flat_map(u32::to_le_bytes).collect();
    app.up.next(audio("audio/mpeg", &sound));
    let answer = post(&app, "/v1/audio/speech", &json!({"model": "voice", "input": "Grüezi", "voice": "alloy"})).await;
    assert!(answer.is_whole && answer.body == sound);
    assert_eq!(
        (answer.header("content-type"), answer.header("x-fulcrum-model")),
        (Some("audio/mpeg"), Some("up/voice-x"))
    );
    assert_eq!((answer.header("set-cookie"), answer.header("x-upstream")), (None, None));
    let row = app.row(answer.id()).await;
    assert_eq!((&row["status"], &row["cost_usd"]), (&json!("ok"), &json!("0.00009")), "{row:#}");
    app.close().await;
}

#[tokio::test]
async fn the_first_bytes_of_speech_do_not_wait_for_the_last() {
    let app = TestApp::with(MODELS).await;
    let gate = Arc::new(Semaphore::new(0));
    let head = "HTTP/1.1 200 OK\r\ncontent-type: audio/wav\r\ncontent-length: 6\r\n\r\nabc";
    app.up.next(Script::raw(head).gate(&gate).send("def"));
    let body = json!({"model": "voice", "input": "Hi"});
    let mut open = app.open(&Call::post("/v1/audio/speech", &body).key(&app.key)).await;
    assert_eq!(open.until("ab").await, "ab");
    gate.add_permits(1);
    let rest = open.rest().await;
    assert!(rest.is_whole);
    assert_eq!(rest.text(), "cdef");
    app.close().await;
}

#[tokio::test]
async fn speech_that_breaks_off_is_no_whole_answer() {
    let app = TestApp::with(MODELS).await;
    let head = "HTTP/1.1 200 OK\r\ncontent-type: audio/wav\r\ncontent-length: 60\r\n\r\nabcdef";
    app.up.next(Script::raw(head).reset());
    let answer = post(&app, "/v1/audio/speech", &json!({"model": "voice", "input": "Hi"})).await;
    assert!(answer.status == 200 && !answer.is_whole && answer.body.len() < 6);
    let row = app.row(answer.id()).await;
    assert_eq!((&row["status"], &row["error_code"]), (&json!("error"), &json!("upstream_protocol")));
    assert_eq!((&row["cost_usd"], app.up.count()), (&json!("0.00003"), 1));
    app.close().await;
}

#[tokio::test]
async fn a_caller_who_hangs_up_ends_the_call_and_is_accounted() {
    let app = TestApp::with(MODELS).await;
    let head = "HTTP/1.1 200 OK\r\ncontent-type: audio/wav\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n";
    app.up.next(Script::raw(head).stall());
    let body = json!({"model": "voice", "input": "Hi"});
    let mut open = app.open(&Call::post("/v1/audio/speech", &body).key(&app.key)).await;
    open.until("ab").await;
    drop(open);
    app.up.until("the call ends", |received| received[0].closed).await;
    let rows = app.rows(1).await;
    assert_eq!((&rows[0]["status"], &rows[0]["cost_usd"]), (&json!("client_closed"), &json!("0.00003")));
    app.close().await;
}

#[tokio::test]
async fn failures_before_the_first_byte_are_retried_and_fall_back() {
    let routes = r#"
[[routes]]
name = "speech"
models = ["speech"]
strategy = "priority"
targets = [{ model = "claude/sonnet" }, { model = "voice" }]
fallbacks = ["other/voice-y"]
retries = 1
"#;
    let app = TestApp::with(&format!("{MODELS}{routes}")).await;
    app.up.next(Script::error(503, "busy"));
    app.up.next(audio("text/html", b"<html>"));
    app.other.next(audio("audio/wav", b"RIFF"));
    let answer = post(&app, "/v1/audio/speech", &json!({"model": "speech", "input": "Hi"})).await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b"RIFF"[..]));
    let seen =
        (answer.header("x-fulcrum-attempts"), answer.header("x-fulcrum-model"), answer.header("x-fulcrum-route"));
    assert_eq!(seen, (Some("3"), Some("other/voice-y"), Some("speech")));
    assert_eq!(app.other.only().json()["model"], "voice-y");
    app.close().await;
}

#[tokio::test]
async fn providers_of_other_kinds_are_refused_by_name() {
    let app = TestApp::with(MODELS).await;
    for (path, body) in [
        ("/v1/completions", json!({"model": "claude/x", "prompt": "x"})),
        ("/v1/moderations", json!({"model": "claude/x", "input": "x"})),
        ("/v1/images/generations", json!({"model": "claude/x", "prompt": "x"})),
        ("/v1/audio/speech", json!({"model": "claude/x", "input": "x"})),
        ("/v1/rerank", json!({"model": "claude/x", "query": "x", "documents": ["x"]})),
    ] {
        let answer = post(&app, path, &body).await;
        assert_eq!((answer.outcome().as_str(), answer.param().as_str()), ("400 unsupported_feature", "model"));
        assert!(answer.text().contains(path) && answer.text().contains("claude"), "{}", answer.text());
    }
    let answer = post_form(&app, "/v1/images/edits", form("claude/x")).await;
    assert_eq!((answer.outcome().as_str(), answer.param().as_str()), ("400 invalid_request", "image"));
    assert_eq!(app.up.count(), 0);
    app.close().await;
}

#[tokio::test]
async fn bad_requests_are_named_and_reach_nobody() {
    let app = TestApp::with(&format!("{MODELS}[server]\nmax_body = \"4KiB\"\n")).await;
    for (path, body, param) in [
        ("/v1/completions", json!({"prompt": "x"}), "model"),
        ("/v1/completions", json!({"model": "text"}), "prompt"),
        ("/v1/completions", json!({"model": "text", "prompt": "x", "n": 0}), "n"),
        ("/v1/moderations", json!({"model": "free", "input": []}), "input"),
        ("/v1/images/generations", json!({"model": "image", "prompt": ""}), "prompt"),
        ("/v1/audio/speech", json!({"model": "voice", "input": 3}), "input"),
        ("/v1/rerank", json!({"model": "rank", "query": "q", "documents": []}), "documents"),
    ] {
        let answer = post(&app, path, &body).await;
        assert_eq!((answer.outcome().as_str(), answer.param().as_str()), ("400 invalid_request", param), "{body}");
    }
    let twice =
        [&b"--b0undary\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nfree\r\n"[..], &form("ear")].concat();
    let answer = post_form(&app, "/v1/audio/transcriptions", twice).await;
    assert_eq!((answer.outcome().as_str(), answer.param().as_str()), ("400 invalid_request", "model"));
    let answer = post_form(&app, "/v1/audio/transcriptions", form("ear")[..200].to_vec()).await;
    assert_eq!(answer.outcome(), "400 invalid_request");
    let answer = post_form(&app, "/v1/audio/transcriptions", vec![b'x'; 5_000]).await;
    assert_eq!(answer.outcome(), "413 request_too_large");
    let answer = post_form(&app, "/v1/completions", form("text")).await;
    assert_eq!(answer.outcome(), "415 unsupported_media_type");
    assert_eq!(app.up.count(), 0);
    app.close().await;
}

#[tokio::test]
async fn a_key_calls_only_what_it_may_and_as_often_as_it_may() {
    let app = TestApp::with(MODELS).await;
    let key = app.new_key(&json!({"name": "deaf", "models": ["voice"], "requests_per_minute": 2})).await;
    let call = || Call::new("POST", "/v1/audio/transcriptions", form("ear")).header("content-type", FORM).key(&key);
    assert_eq!(app.send(call()).await.outcome(), "403 model_not_allowed");
    assert_eq!(app.send(call()).await.outcome(), "403 model_not_allowed");
    assert_eq!(app.send(call()).await.outcome(), "429 rate_limit_exceeded");
    let bare = Call::new("POST", "/v1/audio/transcriptions", form("ear")).header("content-type", FORM);
    assert_eq!(app.send(bare).await.outcome(), "401 invalid_api_key");
    assert_eq!(app.up.count(), 0);
    app.close().await;
}

#[tokio::test]
async fn a_completions_stream_is_freed_of_usage_that_only_we_asked_for() {
    let app = TestApp::with(MODELS).await;
    app.up.always(Script::stream(CHUNKS));
    let mut body = json!({"model": "text", "prompt": "x", "stream": true});
    let answer = post(&app, "/v1/completions", &body).await;
    assert_eq!(answer.text(), [CHUNKS[0], CHUNKS[1], CHUNKS[3]].concat().replace(",\"usage\":null", ""));
    assert_eq!(app.up.only().json()["stream_options"], json!({"include_usage": true}));
    let row = app.row(answer.id()).await;
    assert_eq!((&row["output_tokens"], &row["cost_usd"]), (&json!(5), &json!("0.000013")));
    body["stream_options"] = json!({"include_usage": true});
    assert_eq!(post(&app, "/v1/completions", &body).await.text(), CHUNKS.concat());
    app.close().await;
}

#[tokio::test]
async fn a_completions_stream_that_fails_ends_in_an_error_event() {
    let app = TestApp::with(MODELS).await;
    app.up.next(Script::sse().chunks([CHUNKS[0]]).reset());
    let answer = post(&app, "/v1/completions", &json!({"model": "text", "prompt": "x", "stream": true})).await;
    let (first, last) = answer.text().split_once("\n\n").unwrap();
    assert!(first.contains(" Hi") && last.starts_with("data: {\"error\":{") && !last.contains("[DONE]"), "{last}");
    let row = app.row(answer.id()).await;
    assert_eq!((&row["status"], &row["estimated"]), (&json!("error"), &json!(true)));
    app.close().await;
}

#[tokio::test]
async fn a_provider_that_lacks_a_route_is_not_cooled() {
    let app = TestApp::with(MODELS).await;
    let body = json!({"model": "text", "query": "q", "documents": ["d"]});
    for _ in 0..30 {
        app.up.next(Script::error(501, "not here"));
        assert_eq!(post(&app, "/v1/rerank", &body).await.outcome(), "501 upstream_error");
    }
    assert_eq!(app.hello("text").await.status, 200);
    app.close().await;
}

#[tokio::test]
async fn a_providers_error_keeps_status_and_message() {
    let app = TestApp::with(MODELS).await;
    app.up.next(Script::error(404, "no such deployment"));
    let answer = post_form(&app, "/v1/audio/transcriptions", form("ear")).await;
    assert_eq!(answer.outcome(), "404 upstream_error");
    assert!(answer.text().contains("no such deployment"));
    app.close().await;
}

#[tokio::test]
async fn answers_that_may_be_shared_are_cached_and_others_are_not() {
    let app =
        TestApp::with(&MODELS.replace("retries = 0", "retries = 0\ncache = { mode = \"exact\", ttl = \"1h\" }")).await;
    app.up.next(Script::json(200, COMPLETION));
    let body = json!({"model": "text", "prompt": "x"});
    for state in ["miss", "hit"] {
        let answer = post(&app, "/v1/completions", &body).await;
        assert_eq!((answer.header("x-fulcrum-cache"), answer.text()), (Some(state), COMPLETION));
    }
    app.up.next(Script::stream(CHUNKS));
    let mut streamed = body.clone();
    streamed["stream"] = true.into();
    assert_eq!(post(&app, "/v1/completions", &streamed).await.header("x-fulcrum-cache"), None);
    let only = Call::post("/v1/completions", &streamed).key(&app.key).header("x-fulcrum-cache", "only");
    assert_eq!(app.send(only).await.outcome(), "404 not_found");
    for _ in 0..2 {
        app.up.next(audio("audio/wav", b"RIFF"));
        let answer = post(&app, "/v1/audio/speech", &json!({"model": "voice", "input": "Hi"})).await;
        assert_eq!((answer.header("x-fulcrum-cache"), answer.body.len()), (None, 4));
    }
    assert_eq!(app.up.count(), 4);
    app.close().await;
}

#[tokio::test]
async fn explain_tells_of_them_and_calls_nobody() {
    let app = TestApp::with(MODELS).await;
    for (endpoint, body, cost) in [
        ("/v1/images/generations", json!({"model": "image", "prompt": "x", "n": 3}), json!("0.12")),
        ("audio.speech", json!({"model": "voice", "input": "1234567890"}), json!("0.00015")),
        ("/v1/audio/transcriptions", json!({"model": "ear"}), json!(null)),
    ] {
        let mut body = body;
        body["endpoint"] = endpoint.into();
        let seen = post(&app, "/v1/explain", &body).await.json();
        assert_eq!(seen["estimated_cost_usd"], cost, "{seen:#}");
    }
    assert_eq!(app.up.count(), 0);
    app.close().await;
}

#[tokio::test]
async fn the_simulated_provider_answers_all_of_them() {
    let app = TestApp::with("[providers.sim]\nkind = \"simulated\"\nprofile = \"instant\"\n").await;
    for (path, body, pointer) in [
        ("/v1/completions", json!({"model": "sim/m", "prompt": "Say hello"}), "/choices/0/text"),
        ("/v1/moderations", json!({"model": "sim/m", "input": "x"}), "/results/0/flagged"),
        ("/v1/images/generations", json!({"model": "sim/m", "prompt": "x"}), "/data/0/b64_json"),
        ("/v1/rerank", json!({"model": "sim/m", "query": "q", "documents": ["d"]}), "/results/0/relevance_score"),
    ] {
        let answer = post(&app, path, &body).await;
        assert!(answer.status == 200 && answer.json().pointer(pointer).is_some(), "{path} {}", answer.text());
    }
    let answer = post_form(&app, "/v1/audio/transcriptions", form("sim/m")).await;
    assert!(answer.json()["text"].as_str().is_some_and(|text| text.len() > 20), "{}", answer.text());
    let answer = post(&app, "/v1/audio/speech", &json!({"model": "sim/m", "input": "Hello there"})).await;
    assert!(answer.body.starts_with(b"RIFF") && answer.header("content-type") == Some("audio/wav"));
    for path in ["/v1/completions", "/v1/audio/speech"] {
        let body = json!({"model": "sim/m-error-500", "prompt": "x", "input": "x"});
        assert_eq!(post(&app, path, &body).await.outcome(), "500 upstream_error");
    }
    app.close().await;
}

#[tokio::test]
async fn a_form_that_comes_again_with_its_key_gets_its_answer_again() {
    let app = TestApp::with(MODELS).await;
    app.up.next(Script::json(200, r#"{"text":"Hi"}"#));
    for (boundary, replayed) in [("b0undary", None), ("0ther", Some("true"))] {
        let body: Vec<u8> = replaced(&form("ear"), b"b0undary", boundary.as_bytes());
        let call = Call::new("POST", "/v1/audio/transcriptions", body)
            .header("content-type", &format!("multipart/form-data; boundary={boundary}"))
            .header("idempotency-key", "one")
            .key(&app.key);
        let answer = app.send(call).await;
        assert_eq!((answer.text(), answer.header("idempotency-replayed")), (r#"{"text":"Hi"}"#, replayed));
    }
    let other = Call::new("POST", "/v1/audio/transcriptions", form("voice")).header("content-type", FORM);
    assert_eq!(
        app.send(other.header("idempotency-key", "one").key(&app.key)).await.outcome(),
        "422 idempotency_mismatch"
    );
    assert_eq!(app.up.count(), 1);
    app.close().await;
}

/// `bytes` with every `old` replaced.
fn replaced(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some(at) = memchr::memmem::find(rest, old) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(new);
        rest = &rest[at + old.len()..];
    }
    out.extend_from_slice(rest);
    out
}

#[tokio::test]
async fn an_idempotency_key_gives_sound_and_transcripts_again_as_they_were() {
    let app = TestApp::with(MODELS).await;
    let sound: Vec<u8> = (0..50_000u32).flat_map(u32::to_le_bytes).collect();
    app.up.next(audio("audio/mpeg", &sound));
    let body = json!({"model": "voice", "input": "Hi", "voice": "alloy"});
    let call = Call::post("/v1/audio/speech", &body).key(&app.key).header("idempotency-key", "sound");
    for replayed in [None, Some("true")] {
        let answer = app.send(call.clone()).await;
        assert!(answer.status == 200 && answer.is_whole && answer.body == sound);
        let seen = (answer.header("content-type"), answer.header("idempotency-replayed"));
        assert_eq!(seen, (Some("audio/mpeg"), replayed));
    }
    app.up.next(Script::reply(200, "content-type: text/plain; charset=utf-8\r\n", "Hello.\n"));
    for (boundary, replayed) in [("b0undary", None), ("another-0ne", Some("true"))] {
        // Clients draw what parts a form anew for each try.
        let body = String::from_utf8_lossy(&form("ear")).replace("b0undary", boundary);
        let call = Call::new("POST", "/v1/audio/translations", body).key(&app.key);
        let kind = format!("multipart/form-data; boundary={boundary}");
        let answer = app.send(call.header("content-type", &kind).header("idempotency-key", "words")).await;
        assert_eq!((answer.status, answer.text()), (200, "Hello.\n"));
        let seen = (answer.header("content-type"), answer.header("idempotency-replayed"));
        assert_eq!(seen, (Some("text/plain; charset=utf-8"), replayed));
    }
    assert_eq!(app.up.count(), 2);
    app.close().await;
}
