//! Fallbacks for one cause: a context that is too long, and a filter.

use serde_json::{Value, json};

use crate::app::{TestApp, hello, streamed};
use crate::client::Call;
use crate::upstream::{EVENTS, Script, WHOLE};

const ROUTE: &str = r#"
[models.last]
provider = "up"
model = "last-x"
price = { input = "1", output = "2" }
[models.claude]
provider = "up"
model = "long-x"
price = { input = "1", output = "2" }
[[routes]]
name = "r"
models = ["auto"]
targets = [{ model = "fast" }]
fallbacks = ["last"]
on_context_length = ["spare"]
on_content_filter = ["spare"]
[defaults]
retries = 0
"#;

const TOO_LONG: &str =
    "This model's maximum context length is 128 tokens. However, your messages resulted in 130 tokens.";

fn filtered() -> String {
    WHOLE.replace("Hello there.", "").replace("\"stop\"", "\"content_filter\"")
}

/// A stream that a filter ends before its first word.
fn filtered_stream() -> Vec<String> {
    let kept = [EVENTS[0], EVENTS[4], EVENTS[5], EVENTS[6]];
    kept.iter().map(|event| event.replace("\"stop\"", "\"content_filter\"")).collect()
}

fn codes(row: &Value) -> Vec<String> {
    let attempts = row["attempts"].as_array().unwrap();
    let model = |attempt: &Value| {
        format!("{} {}", attempt["model"].as_str().unwrap(), attempt["error_code"].as_str().unwrap_or("ok"))
    };
    attempts.iter().map(model).collect()
}

#[tokio::test]
async fn a_request_that_is_too_long_goes_to_the_target_for_that() {
    let app = TestApp::with(ROUTE).await;
    app.up.next(Script::error(400, TOO_LONG));
    let answer = app.hello("auto").await;
    assert_eq!((answer.status, answer.header("x-fulcrum-model")), (200, Some("other/spare-x")));
    assert_eq!(codes(&app.row(answer.id()).await), ["gpt-x context_length_exceeded", "spare-x ok"]);
    // Other refusals are the caller's own.
    app.up.next(Script::error(400, "`temperature` must be a number"));
    assert_eq!(app.hello("auto").await.status, 400);
    assert_eq!((app.up.count(), app.other.count()), (2, 1));
    app.close().await;
}

#[tokio::test]
async fn the_fallbacks_come_after_the_targets_for_the_cause() {
    let app = TestApp::with(ROUTE).await;
    app.up.next(Script::error(400, TOO_LONG));
    app.other.next(Script::error(400, TOO_LONG));
    let answer = app.hello("auto").await;
    assert_eq!(answer.header("x-fulcrum-model"), Some("up/last-x"));
    let expected = ["gpt-x context_length_exceeded", "spare-x context_length_exceeded", "last-x ok"];
    assert_eq!(codes(&app.row(answer.id()).await), expected);
    // Where all refuse, the caller gets the last one's words.
    for _ in 0..2 {
        app.up.next(Script::error(400, TOO_LONG));
    }
    app.other.next(Script::error(400, TOO_LONG));
    let answer = app.hello("auto").await;
    assert_eq!(answer.outcome(), "400 context_length_exceeded");
    app.close().await;
}

#[tokio::test]
async fn a_request_that_a_filter_refuses_goes_to_the_target_for_that() {
    let app = TestApp::with(ROUTE).await;
    let error = json!({"error": {"message": "The response was filtered", "code": "content_filter", "type": null}});
    app.up.next(Script::json(400, error.to_string()));
    let answer = app.hello("auto").await;
    assert_eq!((answer.status, answer.header("x-fulcrum-model")), (200, Some("other/spare-x")));
    assert_eq!(app.row(answer.id()).await["attempts"].as_array().unwrap().len(), 2);
    app.close().await;
}

#[tokio::test]
async fn an_answer_that_a_filter_ended_is_asked_for_elsewhere_and_both_are_paid() {
    let app = TestApp::with(ROUTE).await;
    app.up.next(Script::json(200, filtered()));
    let answer = app.hello("auto").await;
    assert_eq!(answer.json()["choices"][0]["message"]["content"], "Hello there.");
    let row = app.row(answer.id()).await;
    assert_eq!(codes(&row), ["gpt-x content_filter", "spare-x ok"]);
    assert_eq!((&row["attempts"][0]["cost_usd"], &row["cost_usd"]), (&json!("0.000015"), &json!("0.000054")));
    assert_eq!(row["input_tokens"], 18, "what the filter let go to waste was used");
    app.close().await;
}

#[tokio::test]
async fn a_stream_that_a_filter_ends_before_its_first_word_is_asked_for_elsewhere() {
    let app = TestApp::with(ROUTE).await;
    app.up.next(Script::stream(filtered_stream()));
    app.other.next(Script::stream(EVENTS));
    let answer = app.chat(&streamed(hello("auto"))).await;
    assert!(answer.text().contains("Hello") && !answer.text().contains("content_filter"), "{}", answer.text());
    let row = app.row(answer.id()).await;
    assert_eq!(codes(&row), ["gpt-x content_filter", "spare-x ok"]);
    assert_eq!(row["attempts"][0]["input_tokens"], 9, "its counts came behind its end");
    // After the first word nothing is asked again.
    let late = EVENTS.map(|event| event.replace("\"stop\"", "\"content_filter\""));
    app.up.next(Script::stream(late));
    assert!(app.chat(&streamed(hello("auto"))).await.text().contains("content_filter"));
    assert_eq!(app.other.count(), 1);
    app.close().await;
}

#[tokio::test]
async fn the_filtered_answer_is_the_callers_where_no_target_has_another() {
    let app = TestApp::with(ROUTE).await;
    for stream in [false, true] {
        app.up.next(if stream { Script::stream(filtered_stream()) } else { Script::json(200, filtered()) });
        app.other.next(Script::error(503, "busy"));
        app.up.next(Script::error(503, "busy"));
        let body = if stream { streamed(hello("auto")) } else { hello("auto") };
        let answer = app.chat(&body).await;
        assert_eq!((answer.status, answer.header("x-fulcrum-model")), (200, Some("up/gpt-x")));
        assert!(answer.text().contains("content_filter"), "{}", answer.text());
        assert_eq!(answer.header("x-fulcrum-attempts"), Some("3"));
        let row = app.row(answer.id()).await;
        assert_eq!((&row["status"], &row["cost_usd"]), (&json!("ok"), &json!("0.000015")), "{row:#}");
    }
    app.close().await;
}

#[tokio::test]
async fn the_refusal_is_the_callers_where_the_targets_for_its_cause_fail() {
    let app = TestApp::with(ROUTE).await;
    let flagged = json!({"error": {"message": "The response was filtered", "code": "content_filter", "type": null}});
    for (refusal, says) in [
        (Script::json(400, flagged.to_string()), "The response was filtered"),
        (Script::error(400, TOO_LONG), "maximum context length"),
    ] {
        for stream in [false, true] {
            app.up.next(refusal.clone());
            app.other.next(Script::error(503, "busy"));
            app.up.next(Script::error(503, "busy"));
            let answer = app.chat(&if stream { streamed(hello("auto")) } else { hello("auto") }).await;
            assert_eq!(answer.status, 400, "{}", answer.text());
            assert!(answer.text().contains(says), "{}", answer.text());
            let row = app.row(answer.id()).await;
            assert_eq!((row["attempts"].as_array().unwrap().len(), &row["http_status"]), (3, &json!(400)), "{row:#}");
        }
    }
    app.close().await;
}

#[tokio::test]
async fn a_request_longer_than_a_known_limit_is_not_sent_there() {
    // The price book knows that gpt-4o reads 128,000 tokens.
    let route = "[models.long]\nprovider = \"other\"\nmodel = \"long-x\"\n[models.gpt]\nprovider = \"up\"\n\
        model = \"gpt-4o\"\n[[routes]]\nname = \"r\"\nmodels = [\"auto\"]\ntargets = [{ model = \"openai/gpt-4o\" }]\n\
        on_context_length = [\"long\"]\n[providers.openai]\nkind = \"openai\"\nbase_url = \"http://{up}/v1\"\n\
        api_key = \"env:UP_KEY\"\nvendor = \"openai\"\n[defaults]\nretries = 0\n";
    let app = TestApp::with(route).await;
    let text = "word ".repeat(140_000);
    let long = json!({"model": "auto", "messages": [{"role": "user", "content": text}]});
    let answer = app.chat(&long).await;
    assert_eq!((answer.status, answer.header("x-fulcrum-model")), (200, Some("other/long-x")), "{}", answer.text());
    assert_eq!((app.up.count(), app.other.count()), (0, 1));
    let skipped = json!({"model": "openai/gpt-4o", "reads": 128_000, "asked_first": "other/long-x"});
    assert_eq!(app.row(answer.id()).await["trace"]["too_long"], skipped);
    let explained = app.send(Call::post("/v1/explain", &long).key(&app.key)).await.json()["causes"].clone();
    assert!(explained["too_long"]["input_tokens"].as_u64() > Some(128_000), "{explained}");
    let summary = explained["summary"].as_str().unwrap();
    assert!(summary.contains("other/long-x is asked first, since openai/gpt-4o reads 128000 tokens"), "{summary}");
    let short = app.send(Call::post("/v1/explain", &hello("auto")).key(&app.key)).await.json();
    assert!(short["causes"]["too_long"].is_null(), "{short}");
    assert_eq!(app.hello("auto").await.header("x-fulcrum-model"), Some("openai/gpt-4o"));
    // Where the other takes no calls, the estimate refuses nobody.
    app.other.always(Script::error(503, "busy"));
    for _ in 0..12 {
        let _cools = app.hello("long").await;
    }
    let answer = app.chat(&long).await;
    assert_eq!(answer.header("x-fulcrum-model"), Some("openai/gpt-4o"), "{}", answer.text());
    app.close().await;
}

#[tokio::test]
async fn explain_shows_the_targets_for_causes() {
    let app = TestApp::with(ROUTE).await;
    let explained = app.send(Call::post("/v1/explain", &hello("auto")).key(&app.key)).await.json();
    let causes = &explained["causes"];
    assert_eq!(causes["on_context_length"], json!(["other/spare-x"]));
    assert_eq!(causes["summary"], "on_context_length: other/spare-x; on_content_filter: other/spare-x");
    let row = app.admin(Call::get("/api/v1/routes")).await.json()["rows"][0].clone();
    assert_eq!(row["on_content_filter"], json!(["other/spare-x"]));
    assert_eq!(app.up.count(), 0);
    app.close().await;
}

/// What a server answers with this status, and the same as an error event of a stream.
fn refused(status: u16, body: &Value) -> [(Script, bool); 2] {
    let error = body.get("error").filter(|error| error.is_object()).unwrap_or(body);
    let event = format!("data: {}\n\n", json!({"error": error}));
    [(Script::json(status, body.to_string()), false), (Script::stream([event]), true)]
}

async fn goes_to_spare(app: &TestApp, (script, stream): (Script, bool), code: &str) {
    app.up.next(script.clone());
    app.other.next(if stream { Script::stream(EVENTS) } else { Script::json(200, WHOLE) });
    let body = if stream { streamed(hello("auto")) } else { hello("auto") };
    let answer = app.chat(&body).await;
    assert_eq!(answer.header("x-fulcrum-model"), Some("other/spare-x"), "{script:?}: {}", answer.text());
    assert_eq!(codes(&app.row(answer.id()).await), [format!("gpt-x {code}"), "spare-x ok".to_owned()], "{script:?}");
}

#[tokio::test]
async fn each_servers_words_for_a_request_that_is_too_long_lead_to_the_target_for_that_in_a_stream_too() {
    let app = TestApp::with(ROUTE).await;
    let error = |message: &str| json!({"error": {"message": message, "type": "BadRequestError", "code": 400}});
    for message in [
        TOO_LONG,
        "The input (12345 tokens) is longer than the model's context length (8192 tokens).",
        "Input length (700001 tokens) exceeds the maximum allowed length (536826 tokens).",
        "Trying to keep the first 9000 tokens when context the overflows.",
        "Context size has been exceeded.",
        "Range of input length should be [1, 129024]",
    ] {
        for case in refused(400, &error(message)) {
            goes_to_spare(&app, case, "context_length_exceeded").await;
        }
    }
    // LM Studio says no more than the words in its event.
    let bare = json!({"error": {"message": "Trying to keep the first 9000 tokens when context the overflows."}});
    for _ in 0..6 {
        goes_to_spare(&app, refused(400, &bare)[1].clone(), "context_length_exceeded").await;
    }
    assert_eq!(app.admin(Call::get("/api/v1/health")).await.json()["rows"], json!([]), "it is the request's fault");
    app.close().await;
}

#[tokio::test]
async fn each_servers_words_for_a_filter_lead_to_the_target_for_that_in_a_stream_too() {
    let app = TestApp::with(ROUTE).await;
    let flagged = "This content was flagged for possible cybersecurity risk.";
    let prompt = "Invalid prompt: your prompt was flagged as potentially violating our usage policy.";
    for (status, error) in [
        (400, json!({"message": "no", "code": "content_filter", "type": "invalid_request_error"})),
        (400, json!({"message": flagged, "code": "cyber_policy", "type": "invalid_request_error"})),
        (400, json!({"message": prompt, "code": "invalid_prompt", "type": "invalid_request_error"})),
        (400, json!({"message": "Content Exists Risk", "code": "invalid_request_error"})),
        (400, json!({"message": "considered high risk", "type": "content_filter"})),
        (400, json!({"message": "不安全或敏感内容", "code": "1301"})),
        (403, json!({"message": "flagged", "code": 403, "metadata": {"reasons": ["violence"], "flagged_input": "x"}})),
    ] {
        for case in refused(status, &json!({"error": error})) {
            goes_to_spare(&app, case, "content_filter").await;
        }
    }
    let refusal = json!({"id": "c", "object": "chat.completion", "choices": [{"index": 0, "finish_reason": "content_filter",
        "message": {"role": "assistant", "content": null, "refusal": "I cannot."}}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}});
    let none = json!({"id": "c", "object": "chat.completion", "choices": [],
        "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {"hate": {"filtered": true}}}]});
    for body in [refusal, none] {
        goes_to_spare(&app, (Script::json(200, body.to_string()), false), "content_filter").await;
    }
    // A 403 for another reason is no filter.
    app.up.next(Script::error(403, "Your team has no access"));
    let answer = app.hello("auto").await;
    assert_eq!(codes(&app.row(answer.id()).await)[0], "gpt-x upstream_error");
    app.close().await;
}
