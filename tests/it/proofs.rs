//! What a provider proves or thinks goes back to it from a caller of any dialect, whole and streamed; and what other makers
//! cannot use goes to none of them.

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::client::{Answer, Call};
use crate::dialects::PROVIDERS;
use crate::upstream::Script;

/// Gemini's answer: a text with a proof, and two calls, of which only the first has one.
const CALLS: &str = r#"{"responseId":"r1","candidates":[{"content":{"role":"model","parts":[{"text":"I look.","thoughtSignature":"dGV4dA=="},{"functionCall":{"name":"read_file","args":{"path":"a.txt"}},"thoughtSignature":"c2lnLUE="},{"functionCall":{"name":"read_file","args":{"path":"b.txt"}}}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":1}}"#;

const THOUGHT: &str = r#"{"id":"c1","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"","FIELD":"I must look.","tool_calls":[{"id":"call_1","type":"function","function":{"name":"read_file","arguments":"{\"path\":\"a\"}"}}]},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#;

fn tool(client: &str) -> Value {
    let schema = json!({"type": "object", "properties": {"path": {"type": "string"}}});
    match client {
        "messages" => json!({"name": "read_file", "input_schema": schema}),
        "responses" => json!({"type": "function", "name": "read_file", "parameters": schema}),
        "gemini" => json!({"functionDeclarations": [{"name": "read_file", "parametersJsonSchema": schema}]}),
        _ => json!({"type": "function", "function": {"name": "read_file", "parameters": schema}}),
    }
}

/// A call whose conversation goes on with `more`.
fn call(client: &str, model: &str, more: &[Value], stream: bool) -> Call {
    let list = |first: Value| Value::Array([&[first][..], more].concat());
    let tools = json!([tool(client)]);
    match client {
        "messages" => Call::post(
            "/v1/messages",
            &json!({"model": model, "max_tokens": 9000, "stream": stream, "tools": tools,
                "messages": list(json!({"role": "user", "content": "hi"}))}),
        ),
        "responses" => Call::post(
            "/v1/responses",
            &json!({"model": model, "stream": stream, "tools": tools, "include": ["reasoning.encrypted_content"],
                "input": list(json!({"role": "user", "content": "hi"}))}),
        ),
        "gemini" => Call::post(
            &format!(
                "/v1beta/models/{model}:{}",
                if stream { "streamGenerateContent?alt=sse" } else { "generateContent" }
            ),
            &json!({"tools": tools, "contents": list(json!({"role": "user", "parts": [{"text": "hi"}]}))}),
        ),
        _ => Call::post(
            "/v1/chat/completions",
            &json!({"model": model, "stream": stream, "tools": tools,
                "messages": list(json!({"role": "user", "content": "hi"}))}),
        ),
    }
}

fn events(answer: &Answer) -> Vec<Value> {
    answer.text().lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok()).collect()
}

/// The answer as a caller stores it, whole or from its stream, with a result for each call behind it.
fn goes_on(client: &str, answer: &Answer, stream: bool) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    match client {
        "messages" => {
            let content =
                if stream { blocks(&events(answer)) } else { answer.json()["content"].as_array().unwrap().clone() };
            let calls = content.iter().filter(|block| block["type"] == "tool_use");
            let results: Vec<Value> =
                calls.map(|call| json!({"type": "tool_result", "tool_use_id": call["id"], "content": "x"})).collect();
            vec![json!({"role": "assistant", "content": content}), json!({"role": "user", "content": results})]
        }
        "responses" => {
            let last = events(answer).pop();
            let answer = if stream { last.unwrap()["response"].clone() } else { answer.json() };
            let mut items = answer["output"].as_array().unwrap().clone();
            let calls: Vec<Value> = items.iter().filter(|item| item["type"] == "function_call").cloned().collect();
            let result =
                |call: &Value| json!({"type": "function_call_output", "call_id": call["call_id"], "output": "x"});
            items.extend(calls.iter().map(result));
            items
        }
        _ => {
            let chunks = if stream { events(answer) } else { vec![answer.json()] };
            let parts =
                chunks.iter().flat_map(|chunk| chunk["candidates"][0]["content"]["parts"].as_array().unwrap().clone());
            let parts: Vec<Value> =
                parts.filter(|part| part["text"] != "" || part["thoughtSignature"].is_string()).collect();
            let calls = parts.iter().filter_map(|part| part.get("functionCall"));
            let results: Vec<Value> = calls
                .map(|call| json!({"functionResponse": {"id": call["id"], "name": call["name"], "response": {"output": "x"}}}))
                .collect();
            vec![json!({"role": "model", "parts": parts}), json!({"role": "user", "parts": results})]
        }
    }
}

/// The blocks of a stream of Anthropic's.
fn blocks(events: &[Value]) -> Vec<Value> {
    let mut blocks: Vec<Value> = Vec::new();
    let mut inputs: Vec<String> = Vec::new();
    for event in events {
        match event["type"].as_str().unwrap() {
            "content_block_start" => {
                blocks.push(event["content_block"].clone());
                inputs.push(String::new());
            }
            "content_block_delta" => {
                let (block, delta) = (blocks.last_mut().unwrap(), &event["delta"]);
                for field in ["text", "thinking", "signature"] {
                    if let Some(more) = delta[field].as_str() {
                        block[field] = format!("{}{more}", block[field].as_str().unwrap_or_default()).into();
                    }
                }
                inputs.last_mut().unwrap().push_str(delta["partial_json"].as_str().unwrap_or_default());
            }
            "content_block_stop" if !inputs.last().unwrap().is_empty() => {
                blocks.last_mut().unwrap()["input"] = serde_json::from_str(inputs.last().unwrap()).unwrap();
            }
            _ => {}
        }
    }
    blocks
}

fn calls_sent(app: &TestApp) -> Value {
    app.up.received().pop().unwrap().json()
}

#[tokio::test]
async fn a_proof_of_a_call_or_a_text_goes_back_to_gemini_from_every_dialect() {
    let app = TestApp::with(PROVIDERS).await;
    let model = "gem/gemini-3-pro-preview";
    for (client, stream) in [("messages", false), ("messages", true), ("responses", false), ("responses", true)] {
        let whole = Script::json(200, CALLS);
        let streamed = Script::stream([format!("data: {CALLS}\r\n\r\n")]);
        app.up.next(if stream { streamed } else { whole });
        let answer = app.send(call(client, model, &[], stream).key(&app.key)).await;
        let more = goes_on(client, &answer, stream);
        app.up.next(Script::json(200, CALLS));
        let answer = app.send(call(client, model, &more, false).key(&app.key)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("x-fulcrum-emulated"), None, "{client}");
        let sent = calls_sent(&app);
        let parts = &sent["contents"][1]["parts"];
        assert_eq!(parts[0], json!({"text": "I look.", "thoughtSignature": "dGV4dA=="}), "{client} {stream}: {parts}");
        assert_eq!(parts[1]["thoughtSignature"], "c2lnLUE=", "{client} {stream}: {parts}");
        assert_eq!(parts[1]["functionCall"]["args"], json!({"path": "a.txt"}));
        assert_eq!(parts[2].get("thoughtSignature"), None, "{client} {stream}: {parts}");
        assert_eq!(parts.as_array().unwrap().len(), 3, "{client} {stream}: {parts}");
    }
    app.close().await;
}

#[tokio::test]
async fn a_call_without_its_proof_gets_the_one_that_google_takes_instead() {
    let app = TestApp::with(PROVIDERS).await;
    let calls = json!({"role": "assistant", "content": [
        {"type": "tool_use", "id": "a", "name": "read_file", "input": {}},
        {"type": "tool_use", "id": "b", "name": "read_file", "input": {}}]});
    let results = json!({"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "b", "content": "x"}, {"type": "tool_result", "tool_use_id": "a", "content": "y"}]});
    for (model, proof) in
        [("gem/gemini-3-pro-preview", Some("skip_thought_signature_validator")), ("gem/gemini-2.5-pro", None)]
    {
        app.up.next(Script::json(200, CALLS));
        let call = call("messages", model, &[calls.clone(), results.clone()], false);
        let answer = app.send(call.key(&app.key)).await;
        assert_eq!(answer.header("x-fulcrum-emulated"), proof.map(|_| "thought_signature"), "{}", answer.text());
        let sent = calls_sent(&app);
        assert_eq!(sent["contents"][1]["parts"][0]["thoughtSignature"].as_str(), proof);
        assert_eq!(sent["contents"][1]["parts"][1].get("thoughtSignature"), None);
        let answered = [0, 1].map(|n| sent["contents"][2]["parts"][n]["functionResponse"]["id"].clone());
        assert_eq!(answered, ["a", "b"], "results stand in the order of the calls");
    }
    app.close().await;
}

#[tokio::test]
async fn a_thought_goes_back_to_its_maker_in_its_field_and_to_nobody_else() {
    let app = TestApp::with(&format!("{PROVIDERS_OTHER}{PROVIDERS}")).await;
    for field in ["reasoning_content", "reasoning"] {
        for (client, stream) in
            ["messages", "responses", "gemini"].into_iter().flat_map(|client| [(client, false), (client, true)])
        {
            let whole = THOUGHT.replace("FIELD", field);
            let chunks = [
                json!({"id": "c1", "choices": [{"index": 0, "delta": {field: "I must "}}]}),
                json!({"id": "c1", "choices": [{"index": 0, "delta": {field: "look."}}]}),
                json!({"id": "c1", "choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "id": "call_1",
                    "type": "function", "function": {"name": "read_file", "arguments": "{\"path\":\"a\"}"}}]}}]}),
                json!({"id": "c1", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}),
            ];
            let mut lines: Vec<String> = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
            lines.push("data: [DONE]\n\n".to_owned());
            app.up.next(if stream { Script::stream(lines) } else { Script::json(200, &whole) });
            let answer = app.send(call(client, "plain/m", &[], stream).key(&app.key)).await;
            let more = goes_on(client, &answer, stream);
            for (model, is_maker) in [("plain/m", true), ("signed/m", false)] {
                app.up.next(Script::json(200, &whole));
                let answer = app.send(call(client, model, &more, false).key(&app.key)).await;
                assert_eq!(answer.status, 200, "{}", answer.text());
                let sent = calls_sent(&app)["messages"][1].clone();
                let expected = is_maker.then_some("I must look.");
                assert_eq!(sent[field].as_str(), expected, "{client} {stream} {model}: {sent}");
                assert_eq!(sent["tool_calls"][0]["id"], "call_1", "{sent}");
                assert_eq!(answer.header("x-fulcrum-emulated"), (!is_maker).then_some("thinking"), "{client} {stream}");
            }
            app.up.next(Script::json(200, r#"{"id":"r","type":"message","role":"assistant","model":"m","content":[],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}"#));
            let answer = app.send(call(client, "claude/m", &more, false).key(&app.key)).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            let sent = calls_sent(&app);
            assert_eq!(sent["messages"][1]["content"][0]["type"], "tool_use", "{client}: {sent}");
        }
    }
    app.close().await;
}

const PROVIDERS_OTHER: &str = r#"
[providers.signed]
kind = "openai"
base_url = "http://{up}/v1"
api_key = "env:UP_KEY"
responses = false
"#;

#[tokio::test]
async fn the_entries_of_a_list_of_thoughts_go_back_as_they_came() {
    let app = TestApp::with(PROVIDERS).await;
    let details = json!([
        {"type": "reasoning.text", "text": "Hm.", "signature": "s1", "id": "rs_1", "format": "anthropic-claude-v1", "index": 0},
        {"type": "reasoning.encrypted", "data": "ZGF0YQ==", "id": "rs_2", "format": "openai-responses-v1", "index": 1}]);
    let body = json!({"id": "c1", "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant",
        "content": null, "reasoning": "Hm.", "reasoning_details": details,
        "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "read_file", "arguments": "{}"},
            "extra_content": {"google": {"thought_signature": "Zw=="}}}]}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}});
    for client in ["messages", "responses"] {
        app.up.next(Script::json(200, body.to_string()));
        let answer = app.send(call(client, "plain/m", &[], false).key(&app.key)).await;
        let more = goes_on(client, &answer, false);
        app.up.next(Script::json(200, body.to_string()));
        let answer = app.send(call(client, "plain/m", &more, false).key(&app.key)).await;
        assert_eq!(answer.header("x-fulcrum-emulated"), None, "{client}");
        let sent = calls_sent(&app)["messages"][1].clone();
        assert_eq!(sent["reasoning_details"], details, "{client}: {sent}");
        assert_eq!(sent["tool_calls"][0]["extra_content"]["google"]["thought_signature"], "Zw==", "{client}: {sent}");
    }
    app.close().await;
}

#[tokio::test]
async fn a_text_beside_encrypted_entries_is_read_and_goes_back_with_them() {
    let app = TestApp::with(PROVIDERS).await;
    let details = json!([{"type": "reasoning.encrypted", "data": "ZGF0YQ==", "id": "rs_2", "format": "openai-responses-v1", "index": 0}]);
    let body = json!({"id": "c1", "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant",
        "content": null, "reasoning": "Hm.", "reasoning_details": details,
        "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "read_file", "arguments": "{}"}}]}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}});
    let delta = |delta: Value| format!("data: {}\n\n", json!({"id": "c1", "choices": [{"index": 0, "delta": delta}]}));
    let chunks = || {
        let calls = json!([{"index": 0, "id": "call_1", "type": "function", "function": {"name": "read_file", "arguments": "{}"}}]);
        let end = json!({"id": "c1", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]});
        [
            delta(json!({"reasoning": "H"})),
            delta(json!({"reasoning": "m."})),
            delta(json!({"reasoning_details": details})),
            delta(json!({"tool_calls": calls})),
            format!("data: {end}\n\n"),
            "data: [DONE]\n\n".to_owned(),
        ]
    };
    for (client, stream) in ["messages", "responses"].into_iter().flat_map(|client| [(client, false), (client, true)]) {
        app.up.next(if stream { Script::stream(chunks()) } else { Script::json(200, body.to_string()) });
        let answer = app.send(call(client, "plain/m", &[], stream).key(&app.key)).await;
        assert!(stream || answer.text().contains("Hm."), "{client}: {}", answer.text());
        let more = goes_on(client, &answer, stream);
        app.up.next(Script::json(200, body.to_string()));
        let answer = app.send(call(client, "plain/m", &more, false).key(&app.key)).await;
        assert_eq!(answer.header("x-fulcrum-emulated"), None, "{client} {stream}");
        let sent = calls_sent(&app)["messages"][1].clone();
        assert_eq!(
            (&sent["reasoning"], &sent["reasoning_details"]),
            (&json!("Hm."), &details),
            "{client} {stream}: {sent}"
        );
    }
    app.close().await;
}

#[tokio::test]
async fn a_thought_among_the_parts_of_the_content_goes_back_there() {
    let app = TestApp::with(&format!("{PROVIDERS_OTHER}{PROVIDERS}")).await;
    let block = |text: &str| json!({"type": "thinking", "thinking": [{"type": "text", "text": text}]});
    let calls =
        json!([{"index": 0, "id": "call_1", "type": "function", "function": {"name": "read_file", "arguments": "{}"}}]);
    let say = json!({"type": "text", "text": "Wait."});
    let body = json!({"id": "c1", "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant",
        "content": [block("I must look."), say], "tool_calls": calls}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}});
    let delta = |delta: Value| format!("data: {}\n\n", json!({"id": "c1", "choices": [{"index": 0, "delta": delta}]}));
    let end = json!({"id": "c1", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]});
    let chunks = || {
        [
            delta(json!({"content": [block("I must ")]})),
            delta(json!({"content": [block("look.")]})),
            delta(json!({"content": "Wait."})),
            delta(json!({"tool_calls": calls})),
            format!("data: {end}\n\n"),
            "data: [DONE]\n\n".to_owned(),
        ]
    };
    for (client, stream) in
        ["messages", "responses", "gemini"].into_iter().flat_map(|client| [(client, false), (client, true)])
    {
        app.up.next(if stream { Script::stream(chunks()) } else { Script::json(200, body.to_string()) });
        let answer = app.send(call(client, "plain/m", &[], stream).key(&app.key)).await;
        let more = goes_on(client, &answer, stream);
        for (model, content, named) in
            [("plain/m", json!([block("I must look."), say]), None), ("signed/m", json!("Wait."), Some("thinking"))]
        {
            app.up.next(Script::json(200, body.to_string()));
            let answer = app.send(call(client, model, &more, false).key(&app.key)).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert_eq!(calls_sent(&app)["messages"][1]["content"], content, "{client} {stream} {model}");
            assert_eq!(answer.header("x-fulcrum-emulated"), named, "{client} {stream} {model}");
        }
    }
    app.close().await;
}

#[tokio::test]
async fn a_thought_that_openai_did_not_encrypt_is_no_item_for_openai() {
    let app = TestApp::with(PROVIDERS).await;
    let answered = r#"{"id":"resp_1","object":"response","created_at":1,"status":"completed","model":"m","output":[],"usage":{"input_tokens":1,"output_tokens":1,"total_tokens":2}}"#;
    for client in ["messages", "gemini", "chat"] {
        app.up.next(Script::json(200, THOUGHT.replace("FIELD", "reasoning_content")));
        let answer = app.send(call(client, "plain/m", &[], false).key(&app.key)).await;
        let more = match client {
            "chat" => {
                let result = json!({"role": "tool", "tool_call_id": "call_1", "content": "x"});
                vec![answer.json()["choices"][0]["message"].clone(), result]
            }
            _ => goes_on(client, &answer, false),
        };
        app.up.next(Script::json(200, answered));
        let answer = app.send(call(client, "answers/m", &more, false).key(&app.key)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let input = calls_sent(&app)["input"].clone();
        let kinds: Vec<&Value> = input.as_array().unwrap().iter().map(|item| &item["type"]).collect();
        assert_eq!(kinds, ["message", "function_call", "function_call_output"], "{client}: {input}");
        assert!(answer.header("x-fulcrum-emulated").unwrap_or_default().contains("thinking"), "{client}");
    }
    app.close().await;
}
