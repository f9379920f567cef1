//! No byte of an upstream's reaches a text of ours unredacted: providers that echo the key with which they were called.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::app::{OTHER_KEY, TestApp, UP_KEY};
use crate::client::{Answer, Call};
use crate::dialects::{ANSWERING, Answering, CLIENTS, PROVIDERS, call, seen_in_stream, seen_in_whole};
use crate::frames;
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

/// The streams of a provider that says these pieces one after the other where its fixture says `Hello there.`
fn saying(provider: &Answering, pieces: &[String]) -> Script {
    let mut events: Vec<String> = Vec::new();
    for event in provider.stream.iter().filter(|event| !event.contains("\"there.\"")) {
        let said = |piece: &String| event.replace("\"Hello \"", &json!(piece).to_string());
        if event.contains("\"Hello \"") {
            events.extend(pieces.iter().map(said));
        } else {
            events.push(event.replace("Hello there.", &pieces.concat()));
        }
    }
    let numbered = |(n, event): (usize, String)| match event.split_once("\"sequence_number\":") {
        Some((before, after)) => {
            let rest = after.trim_start_matches(|letter: char| letter.is_ascii_digit());
            format!("{before}\"sequence_number\":{n}{rest}")
        }
        None => event,
    };
    let events = events.into_iter().enumerate().map(numbered);
    if !provider.model.starts_with("bed/") {
        return Script::stream(events);
    }
    Script::frames(
        events.filter_map(|event| Some(event.split_once(' ')?).map(|(name, data)| frames::event(name, data))),
    )
}

/// A text cut into pieces, each way as a model or a proxy may cut it.
fn cuts(text: &str) -> Vec<Vec<String>> {
    let cut = |at: usize| vec![text[..at].to_owned(), text[at..].to_owned()];
    let pieces = |size: usize| {
        let letters: Vec<char> = text.chars().collect();
        letters.chunks(size).map(|piece| piece.iter().collect()).collect()
    };
    vec![cut(4), cut(5), cut(9), cut(14), cut(text.len() - 5), pieces(1), pieces(2), pieces(3), pieces(7)]
}

fn assert_clean(answer: &Answer, said: &str, key: &str, what: &str) {
    assert!(
        !said.contains(&key[3..]) && said.contains("[removed]") && said.ends_with(" x"),
        "{what}: {said}\n{}",
        answer.text()
    );
    assert!(!answer.text().contains(&key[3..]), "{what}: {}", answer.text());
}

fn cached(call: Call, directive: &str) -> Call {
    call.header("x-fulcrum-cache", directive)
}

#[tokio::test]
async fn a_key_that_comes_in_parts_goes_down_in_none() {
    let stored = format!("{PROVIDERS}cache = {{ mode = \"exact\", ttl = \"1h\", scope = \"project\" }}\n");
    let app = TestApp::with(&format!("{stored}[ledger]\nstore_bodies = \"full\"\n")).await;
    for provider in &ANSWERING {
        let said = [UP_KEY, OTHER_KEY]
            .into_iter()
            .flat_map(|key| cuts(&format!("my {key} x")).into_iter().map(move |pieces| (key, pieces)));
        for (key, pieces) in said {
            for client in CLIENTS {
                app.up.next(saying(provider, &pieces));
                let what = format!("{} {client} {pieces:?}", provider.model);
                let ask = |stream, cache| cached(call(client, provider.model, stream).key(&app.key), cache);
                let answer = app.send(ask(true, "refresh")).await;
                assert_clean(&answer, &seen_in_stream(client, &answer).0, key, &what);
                let stored = app.send(ask(false, "only")).await;
                assert_clean(&stored, &seen_in_whole(client, &stored.json()).0, key, &what);
                let text = app.admin(Call::get(&format!("/api/v1/requests/{}/body", answer.id()))).await;
                assert!(text.status == 200 && !text.text().contains(&key[3..]), "{what}: {}", text.text());
            }
        }
    }
    app.close().await;
}

#[tokio::test]
async fn a_whole_answer_has_no_key_in_parts_nor_another_providers() {
    let app = TestApp::with(PROVIDERS).await;
    let (one, two) = UP_KEY.split_at(12);
    let bodies = [
        (
            "claude",
            json!({"content": [{"type": "text", "text": one}, {"type": "text", "text": two}], "stop_reason": "end_turn"}),
        ),
        (
            "gem",
            json!({"candidates": [{"content": {"parts": [{"text": one}, {"text": two}]}, "finishReason": "STOP"}]}),
        ),
        (
            "bed",
            json!({"output": {"message": {"role": "assistant", "content": [{"text": one}, {"text": two}]}}, "stopReason": "end_turn"}),
        ),
        (
            "answers",
            json!({"status": "completed", "output": [{"type": "message", "role": "assistant", "content": [
            {"type": "output_text", "text": one}, {"type": "output_text", "text": two}]}]}),
        ),
        (
            "plain",
            json!({"choices": [{"message": {"role": "assistant", "content": OTHER_KEY}, "finish_reason": "stop"}]}),
        ),
    ];
    for (provider, body) in bodies {
        for client in CLIENTS {
            app.up.next(Script::json(200, body.to_string()));
            let answer = app.send(call(client, &format!("{provider}/m"), false).key(&app.key)).await;
            let text = answer.text();
            assert!(
                text.contains("[removed]") && !text.contains(&two[2..]) && !text.contains(&OTHER_KEY[3..]),
                "{provider} {client}: {text}"
            );
        }
    }
    app.up.next(Script::error(400, &format!("no {OTHER_KEY}")));
    let refused = app.send(call("chat", "plain/m", false).key(&app.key)).await;
    assert!(refused.text().contains("no [removed]"), "{}", refused.text());
    app.close().await;
}

/// What a caller and the ledger get of a call to a provider that answers so.
async fn seen_of(app: &TestApp, provider: &str, script: Script) -> String {
    app.up.next(script);
    let answer = app.send(call("chat", &format!("{provider}/m"), false).key(&app.key)).await;
    let row = app.row(answer.header("x-fulcrum-request-id").unwrap()).await;
    format!("{}{row}", answer.text())
}

#[tokio::test]
async fn a_key_at_the_place_where_a_text_is_cut_is_taken_out_before() {
    let app = TestApp::with(PROVIDERS).await;
    for pad in [0, 15, 25, 39, 85, 99, 185, 199] {
        let echoed = format!("{}{UP_KEY}", "x".repeat(pad));
        for name in ["content-encoding", "content-type", "x-amzn-errortype", "retry-after"] {
            for (status, provider) in [(200, "bed"), (200, "plain"), (400, "bed"), (400, "plain"), (500, "bed")] {
                let script = Script::reply(status, &format!("{name}: {echoed}\r\n"), "{}");
                let seen = seen_of(&app, provider, script).await;
                assert!(!seen.contains(&UP_KEY[..6]), "{pad} {name} {status}: {seen}");
            }
        }
    }
    app.close().await;
}
