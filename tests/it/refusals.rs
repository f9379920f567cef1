//! Errors of providers, of each status and in each dialect, as callers of each dialect read them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::app::{TestApp, UP_KEY};
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
    for detail in body.pointer_mut("/error/details").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(id) = detail.get_mut("requestId") {
            *id = "ID".into();
        }
    }
}
