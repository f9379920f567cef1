//! No byte of an upstream's reaches a text of ours unredacted: providers that echo the key with which they were called.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::app::{TestApp, UP_KEY};
use crate::client::Call;
use crate::upstream::Script;

/// The dialects in which one upstream is spoken to, and a caller's route for each dialect.
const MORE: &str = r#"
[defaults]
retries = 0
[providers.claude]
kind = "anthropic"
base_url = "http://{up}"
api_key = "env:UP_KEY"
[providers.gem]
kind = "gemini"
base_url = "http://{up}"
api_key = "env:UP_KEY"
[providers.answers]
kind = "openai"
base_url = "http://{up}/v1"
api_key = "env:UP_KEY"
chat = false
[providers.bed]
kind = "bedrock"
base_url = "http://{up}"
region = "eu-west-1"
api_key = "env:UP_KEY"
"#;

fn calls(model: &str) -> Vec<(&'static str, Call)> {
    let turns = json!([{"role": "user", "content": "hi"}]);
    let gemini = json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]});
    let address = |verb: &str| format!("/v1beta/models/{model}:{verb}");
    let mut calls = vec![
        ("gemini", Call::post(&address("generateContent"), &gemini)),
        ("gemini stream", Call::post(&address("streamGenerateContent?alt=sse"), &gemini)),
    ];
    for stream in [false, true] {
        let bodies: [(&str, Value); 3] = [
            ("/v1/chat/completions", json!({"model": model, "messages": turns, "stream": stream})),
            ("/v1/responses", json!({"model": model, "input": "hi", "stream": stream})),
            ("/v1/messages", json!({"model": model, "messages": turns, "max_tokens": 9, "stream": stream})),
        ];
        calls.extend(bodies.map(|(path, body)| (path, Call::post(path, &body))));
    }
    calls
}

/// Answers of a provider that has something to say about `key`, each of another form.
fn echoes(key: &str) -> Vec<Script> {
    let said = format!("bad key {key} there");
    let (first, second) = said.split_at(said.len() / 2);
    let unicode: String = key.chars().map(|letter| format!("\\u{:04x}", u32::from(letter))).collect();
    let stream = |data: &str| Script::stream([format!("data: {data}\n\n")]);
    let whole = |body: Value| Script::json(200, body.to_string());
    let mut scripts: Vec<Script> = [400, 401, 403, 404, 408, 413, 422, 429, 500, 503, 529]
        .into_iter()
        .map(|status| Script::error(status, &said))
        .collect();
    scripts.extend([
        Script::json(400, format!(r#"{{"error":{{"message":"bad {unicode}","code":"{unicode}","param":"{unicode}"}}}}"#)),
        Script::json(200, format!(r#"{{"status":"failed","error":{{"message":"bad {unicode}"}}}}"#)),
        Script::reply(200, &format!("content-type: text/{key}\r\n"), "{}"),
        Script::reply(200, &format!("content-type: {key}\r\n"), "x"),
        Script::raw(format!("HTTP/1.1 200 {key}\r\n{key}\r\n\r\n{key}")).fin(),
        Script::raw(format!("{key} / {key}\r\n\r\n")).fin(),
        Script::reply(200, "content-type: text/html\r\n", &said),
        whole(json!({"status": "failed", "error": {"message": said}})),
        whole(json!({"status": said, "object": "response", "output": []})),
        whole(json!({"output": [{"type": said}], "status": "completed"})),
        whole(json!({"content": [{"type": said}], "role": "assistant", "stop_reason": said})),
        whole(json!({"candidates": [{"content": {"parts": [{said.clone(): 1}]}, "finishReason": said}]})),
        whole(json!({"promptFeedback": {"blockReason": said}})),
        whole(json!({"output": {"message": {"role": said, "content": [{said.clone(): 1}]}}, "stopReason": said})),
        whole(json!({"choices": [{"message": {"role": said, "content": {"x": said}}, "finish_reason": said}]})),
        whole(json!({"choices": [{"message": {"role": "assistant", "content": said}, "finish_reason": "stop"}], "id": said})),
        stream(&said),
        stream(&json!({"error": {"message": said, "type": said, "code": said}}).to_string()),
        stream(&json!({"type": "error", "error": {"type": said, "message": said}}).to_string()),
        stream(&json!({"type": "response.failed", "response": {"status": "failed", "error": {"message": said}}}).to_string()),
        stream(&json!({"type": said, "x": said}).to_string()),
        stream(&json!({"candidates": [{"finishReason": said}]}).to_string()),
        stream(&format!(r#"{{"error":{{"message":"{unicode}"}}}}"#)),
        Script::json(
            200,
            format!(r#"{{"choices":[{{"message":{{"role":"assistant","content":"{unicode}"}},"finish_reason":"stop"}}]}}"#),
        ),
        Script::stream([format!("event: {key}\n: {key}\ndata: {{\"choices\":[{{\"delta\":{{\"content\":\"{key}\"}}}}]}}\n\n")]),
        Script::stream([
            "data: {\"choices\":[{\"delta\":{\"content\":\"".to_owned(), first.to_owned(), second.to_owned(),
            "\"}}]}\n\ndata: [DONE]\n\n".to_owned(),
        ]),
        Script::stream([format!("data: {{\"choices\":[],\"x\":\"{key}\"}}\n\n"), "data: [DONE]\n\n".to_owned()]),
    ]);
    scripts
}

#[tokio::test]
async fn no_byte_of_an_upstreams_reaches_a_text_of_ours_unredacted() {
    let app = TestApp::with(MORE).await;
    let encoded = STANDARD.encode(format!("Bearer {UP_KEY}"));
    // What stays the same wherever the key is encoded.
    let core = &encoded[12..encoded.len() - 6];
    for provider in ["up", "claude", "gem", "answers", "bed"] {
        for (route, call) in calls(&format!("{provider}/x")) {
            for script in [UP_KEY, &encoded].into_iter().flat_map(echoes) {
                app.up.next(script);
                let answer = app.send(call.clone().key(&app.key)).await;
                let all = format!("{:?} {}", answer.headers, answer.text());
                assert!(!all.contains(UP_KEY) && !all.contains(core), "{provider} {route}: {all}");
            }
        }
    }
    app.close().await;
}
