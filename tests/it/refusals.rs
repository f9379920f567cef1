//! Errors of providers, of each status and in each dialect, as callers of each dialect read them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::app::{TestApp, UP_KEY};
use crate::client::Call;
use crate::dialects::{CLIENTS, PROVIDERS, call};
use crate::upstream::Script;

/// Each status with the error of each dialect's provider: a type or code, and a message.
const ERRORS: [(u16, [&str; 3], &str); 14] = [
    (400, ["invalid_value", "invalid_request_error", "INVALID_ARGUMENT"], "The request is wrong."),
    (400, ["context_length_exceeded", "invalid_request_error", "INVALID_ARGUMENT"], "TOO LONG"),
    (401, ["invalid_api_key", "authentication_error", "UNAUTHENTICATED"], "Bad key KEY."),
    (402, ["billing", "billing_error", "FAILED_PRECONDITION"], "Pay first."),
    (403, ["forbidden", "permission_error", "PERMISSION_DENIED"], "Not for you."),
    (404, ["model_not_found", "not_found_error", "NOT_FOUND"], "No such model."),
    (409, ["conflict", "conflict_error", "ABORTED"], "Busy with it."),
    (413, ["request_too_large", "request_too_large", "INVALID_ARGUMENT"], "Too large."),
    (422, ["unprocessable", "invalid_request_error", "INVALID_ARGUMENT"], "It makes no sense."),
    (429, ["rate_limit_exceeded", "rate_limit_error", "RESOURCE_EXHAUSTED"], "Slow down."),
    (500, ["server_error", "api_error", "INTERNAL"], "It broke, KEY."),
    (503, ["overloaded", "overloaded_error", "UNAVAILABLE"], "Overloaded."),
    (504, ["timeout", "timeout_error", "DEADLINE_EXCEEDED"], "Too slow."),
    (529, ["overloaded", "overloaded_error", "UNAVAILABLE"], "Overloaded."),
];

/// What providers say of a conversation that is too long.
const TOO_LONG: [&str; 3] = [
    "This model's maximum context length is 128000 tokens.",
    "prompt is too long: 203456 tokens > 200000 maximum",
    "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
];

fn refusal(provider: &str, status: u16, kinds: [&str; 3], message: &str) -> Script {
    let place = match provider {
        "claude" => 1,
        "gem" => 2,
        _ => 0,
    };
    let message = if message == "TOO LONG" { TOO_LONG[place] } else { message };
    let message = message.replace("KEY", UP_KEY);
    let body = match provider {
        "claude" => json!({"type": "error", "error": {"type": kinds[1], "message": message}, "request_id": "req_up"}),
        "gem" => json!({"error": {"code": status, "message": message, "status": kinds[2]}}),
        _ => {
            json!({"error": {"message": message, "type": "some_error", "param": "messages", "code": kinds[0]}})
        }
    };
    Script::json(status, body.to_string())
}

#[tokio::test]
async fn a_providers_error_is_told_in_the_callers_dialect_with_its_status_and_without_secrets() {
    let app = TestApp::with(PROVIDERS).await;
    let mut out = String::new();
    let mut calls = 0;
    for (status, kinds, message) in ERRORS {
        writeln!(out, "# {status} {}", kinds[0]).unwrap();
        for client in CLIENTS {
            let mut texts: BTreeMap<String, Vec<&str>> = BTreeMap::new();
            let ways = ["plain", "answers", "claude", "gem"].into_iter().flat_map(|name| [(name, false), (name, true)]);
            for (provider, stream) in ways {
                // A target that failed cools for a while: each call has its own.
                calls += 1;
                let model = format!("{provider}/m{calls}");
                app.up.next(refusal(provider, status, kinds, message));
                let answer = app.send(call(client, &model, stream).key(&app.key)).await;
                assert!(!answer.text().contains(UP_KEY), "{}", answer.text());
                let mut body: Value = answer.json();
                hide(&mut body);
                let text = format!("{} {body}", answer.status).replace(&model, "TARGET");
                // Whole and as a stream, one after the other, so that equal names stand together.
                texts.entry(text).or_default().push(provider);
            }
            for (text, mut names) in texts {
                names.dedup();
                writeln!(out, "{client} from {}: {text}", names.join(", ")).unwrap();
            }
        }
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/wire/golden"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("refusals", out));
    app.close().await;
}

/// Takes out what differs from call to call.
fn hide(body: &mut Value) {
    if let Some(id) = body.get_mut("request_id") {
        *id = "ID".into();
    }
}

/// Providers of every dialect with a fallback, and one whose base URL leads elsewhere.
const FALLBACKS: &str = r#"
[[routes]]
name = "two"
models = ["two"]
targets = [{ model = "pair/m" }]
fallbacks = ["spare"]
"#;

#[tokio::test]
async fn a_status_that_could_be_fulcrums_own_names_the_provider_in_every_dialect() {
    let app = TestApp::with(PROVIDERS).await;
    let mut calls = 0;
    for (status, message) in [(402, "Pay first."), (403, "Country not supported."), (404, "No such model.")] {
        for provider in ["plain", "answers", "claude", "gem", "bed"] {
            for (client, stream) in CLIENTS.into_iter().flat_map(|client| [(client, false), (client, true)]) {
                calls += 1;
                let model = format!("{provider}/m{calls}");
                app.up.next(refusal(provider, status, ["c", "permission_error", "PERMISSION_DENIED"], message));
                let answer = app.send(call(client, &model, stream).key(&app.key)).await;
                let text = answer.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
                // Anthropic's shape has the field at fault in front.
                let text = text.trim_start_matches("messages: ");
                assert_eq!(
                    (answer.status, text),
                    (status, format!("{model} answered {status}: {message}").as_str()),
                    "{client}"
                );
            }
        }
    }
    app.close().await;
}

#[tokio::test]
async fn a_provider_without_a_route_at_its_address_is_a_404_that_names_base_url() {
    let html = "<html><head><title>404 Not Found</title></head></html>";
    let app = TestApp::with(PROVIDERS).await;
    for (n, (status, body, is_elsewhere)) in [
        (404, r#"{"error":{"message":"there is no POST /chat/completions","code":"not_found"}}"#, true),
        (404, html, true),
        (404, "404 page not found", true),
        (404, "", true),
        (404, r#"{"detail":"Not Found"}"#, true),
        (404, r#"{"type":"error","error":{"type":"not_found_error","message":"Not Found"}}"#, true),
        (404, r#"{"error":{"code":404,"message":"File Not Found","type":"not_found_error"}}"#, true),
        (
            404,
            r#"{"error":{"message":"Invalid URL (POST /v1/v1/chat/completions)","type":"invalid_request_error"}}"#,
            true,
        ),
        (405, r#"{"detail":"Method Not Allowed"}"#, true),
        (404, r#"{"error":{"message":"The model `m` does not exist","code":"model_not_found"}}"#, false),
        (404, r#"{"error":{"message":"model \"m\" not found, try pulling it first","type":"api_error"}}"#, false),
        (404, r#"{"error":{"message":"The API deployment does not exist.","code":"DeploymentNotFound"}}"#, false),
        (404, r#"{"error":{"code":404,"message":"models/m is not found for v1beta","status":"NOT_FOUND"}}"#, false),
    ]
    .into_iter()
    .enumerate()
    {
        let model = format!("plain/x{n}");
        app.up.next(Script::json(status, body));
        let answer = app.hello(&model).await;
        assert_eq!(answer.status, status, "{body}");
        let text = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(text.starts_with(&format!("{model} answered {status}: ")), "{text}");
        assert_eq!(text.contains("check base_url"), is_elsewhere, "{body}: {text}");
    }
    app.close().await;
}

#[tokio::test]
async fn a_forbidden_model_is_asked_of_the_next_target_and_its_keys_stay_in_turn() {
    let app = TestApp::with(FALLBACKS).await;
    app.up.next(Script::error(403, "not this model"));
    let answer = app.hello("two").await;
    assert_eq!((answer.status, answer.header("x-fulcrum-model")), (200, Some("other/spare-x")));
    for _ in 0..4 {
        assert_eq!(app.hello("pair/m").await.status, 200);
    }
    let received = app.up.received();
    let with_first = received.iter().filter(|one| one.head.contains(UP_KEY)).count();
    assert!((2..=3).contains(&with_first), "{with_first} of {} calls have the first key", received.len());
    app.close().await;
}

#[tokio::test]
async fn the_last_targets_error_keeps_its_status_and_code_on_every_route() {
    let app = TestApp::start().await;
    let own = r#"{"error":{"message":"no such luck","type":"t","param":null,"code":"own_code"}}"#;
    let form = "--b\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nMODEL\r\n--b\r\ncontent-disposition: \
                form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\nx\r\n--b--\r\n";
    let mut calls = 0;
    for (status, body, code) in [
        (400, own, "own_code"),
        (402, own, "own_code"),
        (403, own, "own_code"),
        (404, own, "own_code"),
        (409, own, "own_code"),
        (418, own, "own_code"),
        (500, own, "own_code"),
        (501, own, "own_code"),
        (503, own, "own_code"),
        (529, own, "own_code"),
        (400, r#"{"error":{"message":"no such luck"}}"#, "upstream_error"),
        (500, "no such luck", "upstream_error"),
        (502, "<html>", "upstream_error"),
    ] {
        for path in
            ["/v1/chat/completions", "/v1/embeddings", "/v1/moderations", "/v1/audio/transcriptions", "/v1/rerank"]
        {
            calls += 1;
            let model = format!("up/m{calls}");
            app.up.next(Script::json(status, body));
            let json = match path {
                "/v1/chat/completions" => crate::app::hello(&model),
                "/v1/rerank" => json!({"model": model, "query": "a", "documents": ["b"]}),
                _ => json!({"model": model, "input": "hi"}),
            };
            let mut call = Call::post(path, &json).key(&app.key);
            if path.ends_with("transcriptions") {
                call = Call::new("POST", path, form.replace("MODEL", &model))
                    .key(&app.key)
                    .header("content-type", "multipart/form-data; boundary=b");
            }
            let answer = app.send(call).await;
            assert_eq!(answer.outcome(), format!("{status} {code}"), "{path}: {}", answer.text());
            let row = app.row(answer.id()).await;
            assert_eq!((&row["http_status"], &row["attempts"][0]["http_status"]), (&json!(status), &json!(status)));
        }
    }
    app.close().await;
}

#[tokio::test]
async fn an_error_in_a_stream_is_named_as_one() {
    let app = TestApp::with("[defaults]\nretries = 0\n").await;
    app.up.next(Script::stream(["data: {\"error\":{\"message\":\"out of memory\",\"code\":\"oom\"}}\n\n"]));
    let answer = app.send(call("chat", "up/early", true).key(&app.key)).await;
    assert_eq!(answer.outcome(), "502 oom");
    assert_eq!(answer.json()["error"]["message"], "up/early failed in its stream: out of memory");
    let error = "data: {\"error\":{\"message\":\"out of memory\",\"code\":\"oom\"}}\n\n";
    app.up.next(Script::stream([crate::upstream::EVENTS[1], error]));
    let answer = app.send(call("chat", "up/late", true).key(&app.key)).await;
    assert!(answer.text().contains("up/late failed in its stream: out of memory"), "{}", answer.text());
    app.close().await;
}

#[tokio::test]
async fn log_probabilities_that_a_target_does_not_have_are_refused_by_name() {
    let app = TestApp::with(PROVIDERS).await;
    for provider in ["claude/m", "bed/m"] {
        let chat = json!({"model": provider, "messages": [{"role": "user", "content": "Hi"}], "logprobs": true});
        let responses = json!({"model": provider, "input": "Hi", "include": ["message.output_text.logprobs"]});
        let gemini = json!({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
            "generationConfig": {"responseLogprobs": true}});
        for (path, body) in [
            ("/v1/chat/completions".to_owned(), chat),
            ("/v1/responses".to_owned(), responses),
            (format!("/v1beta/models/{provider}:generateContent"), gemini),
        ] {
            let answer = app.send(Call::post(&path, &body).key(&app.key)).await;
            let text = answer.text();
            assert!(
                answer.status == 400 && text.contains("unsupported_feature") && text.contains("logprobs"),
                "{path}: {text}"
            );
        }
    }
    assert_eq!(app.up.count(), 0);
    app.close().await;
}
