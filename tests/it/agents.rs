//! What coding agents send, at a target of every dialect. `tests/fixtures/agents` has a request of each kind that the published
//! agents of that version made, with the same fields and structure and short texts of our own.

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::client::Call;
use crate::dialects::{ANSWERING, PROVIDERS};

/// The dialects' targets, and models of which more is known.
const TARGETS: [(&str, &[&str]); 5] = [
    ("plain", &["m", "gpt-4o", "gpt-5-mini", "o4-mini"]),
    ("answers", &["m", "gpt-4.1", "gpt-5.2"]),
    ("claude", &["m", "claude-sonnet-4-5", "claude-sonnet-4-6", "claude-sonnet-5"]),
    ("gem", &["m", "gemini-2.0-flash", "gemini-2.5-pro", "gemini-3-pro-preview"]),
    (
        "bed",
        &[
            "eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "us.anthropic.claude-sonnet-5",
            "amazon.nova-pro-v1:0",
            "us.meta.llama3-3-70b-instruct-v1:0",
        ],
    ),
];

/// The requests, by the file's name.
fn requests() -> Vec<(String, Value)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/agents");
    let mut found: Vec<(String, Value)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            (path.file_stem().unwrap().to_string_lossy().into_owned(), serde_json::from_str(&text).unwrap())
        })
        .collect();
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    assert!(found.len() >= 10, "{}", found.len());
    found
}

/// The recorded call, for a model of ours.
fn call(request: &Value, model: &str, key: &str) -> Call {
    let path = request["path"].as_str().unwrap().replace("/agent:", &format!("/{model}:"));
    let mut body = request["body"].clone();
    if body.get("model").is_some() {
        body["model"] = json!(model);
    }
    let headers = request["headers"].as_object().unwrap();
    let call =
        headers.iter().fold(Call::post(&path, &body), |call, (name, value)| call.header(name, value.as_str().unwrap()));
    call.key(key)
}

#[tokio::test]
#[expect(clippy::excessive_nesting, reason = "a table of every caller and target")]
async fn each_agents_requests_are_answered_by_a_target_of_every_dialect() {
    let app = TestApp::with(PROVIDERS).await;
    let mut refused = Vec::new();
    for (name, request) in requests() {
        for (provider, models) in TARGETS {
            let answering = ANSWERING.iter().find(|answering| answering.model.starts_with(provider)).unwrap();
            for model in models {
                app.up.always(answering.streamed(answering.stream.len()));
                let answer = app.send(call(&request, &format!("{provider}/{model}"), &app.key)).await;
                if answer.status != 200 || !answer.text().contains("Bern") {
                    refused.push(format!("{name} at {provider}/{model}: {} {}", answer.status, answer.text()));
                }
            }
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}
