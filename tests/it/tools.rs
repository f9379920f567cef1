//! Tools over dialects: ids that Fulcrum makes, names that a target does not take, arguments that a model got wrong, and which
//! tools are allowed.

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::client::{Answer, Call};
use crate::dialects::PROVIDERS;
use crate::upstream::Script;

/// A name as agents make it of a server's and its tool's: longer than OpenAI, Google and Amazon take.
const LONG: &str = "mcp__a-server-with-a-long-name__get_failed_pipeline_jobs_from_merge_request";

const CLIENTS: [&str; 4] = ["chat", "responses", "messages", "gemini"];

fn call(client: &str, model: &str, tool: &str, stream: bool) -> Call {
    let schema = json!({});
    let (path, body) = match client {
        "chat" => (
            "/v1/chat/completions".to_owned(),
            json!({"model": model, "stream": stream, "messages": [{"role": "user", "content": "hi"}],
                "tools": [{"type": "function", "function": {"name": tool, "parameters": schema}}],
                "tool_choice": {"type": "function", "function": {"name": tool}}}),
        ),
        "responses" => (
            "/v1/responses".to_owned(),
            json!({"model": model, "stream": stream, "input": "hi", "tool_choice": {"type": "function", "name": tool},
                "tools": [{"type": "function", "name": tool, "parameters": schema}]}),
        ),
        "messages" => (
            "/v1/messages".to_owned(),
            json!({"model": model, "stream": stream, "max_tokens": 99, "messages": [{"role": "user", "content": "hi"}],
                "tools": [{"name": tool, "input_schema": schema}], "tool_choice": {"type": "tool", "name": tool}}),
        ),
        _ => {
            let how = if stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
            let calling = json!({"mode": "ANY", "allowedFunctionNames": [tool]});
            (
                format!("/v1beta/models/{model}:{how}"),
                json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}],
                    "tools": [{"functionDeclarations": [{"name": tool, "parametersJsonSchema": schema}]}],
                    "toolConfig": {"functionCallingConfig": calling}}),
            )
        }
    };
    Call::post(&path, &body)
}

/// An answer with a call of `tool` without an id, from a server of Chat Completions or of Google's.
fn calling(model: &str, tool: &str, stream: bool) -> Script {
    let chat = model.starts_with("plain");
    let function = json!({"name": tool, "arguments": "{}"});
    let whole = match chat {
        true => json!({"id": "c1", "created": 1, "model": "m", "choices": [{"index": 0, "finish_reason": "tool_calls",
            "message": {"role": "assistant", "content": null, "tool_calls": [{"type": "function", "function": function}]}}]}),
        false => json!({"candidates": [{"index": 0, "finishReason": "STOP",
            "content": {"role": "model", "parts": [{"functionCall": {"name": tool, "args": {}}, "thoughtSignature": "c2ln"}]}}]}),
    };
    if !stream {
        return Script::json(200, whole.to_string());
    }
    if !chat {
        return Script::stream([format!("data: {whole}\r\n\r\n")]);
    }
    let delta = json!({"tool_calls": [{"index": 0, "type": "function", "function": function}]});
    let chunk = json!({"id": "c1", "choices": [{"index": 0, "delta": delta}]});
    let last = json!({"id": "c1", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]});
    Script::stream([format!("data: {chunk}\n\n"), format!("data: {last}\n\n"), "data: [DONE]\n\n".to_owned()])
}

/// All JSON of an answer, whole or streamed.
fn parts(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let lines = answer.text().lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok());
    let events: Vec<Value> = lines.collect();
    if events.is_empty() { vec![answer.json()] } else { events }
}

/// All texts below a field of any of these names.
fn under(value: &Value, names: &[&str], out: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                out.extend(value.as_str().filter(|_| names.contains(&name.as_str())).map(str::to_owned));
                under(value, names, out);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| under(value, names, out)),
        _ => {}
    }
}

/// The ids of an answer's calls.
fn ids(answer: &Answer) -> Vec<String> {
    let mut ids = Vec::new();
    parts(answer).iter().for_each(|part| under(part, &["id", "call_id"], &mut ids));
    ids.retain(|id| id.starts_with("call_"));
    ids.sort();
    ids.dedup();
    ids
}

fn sent(app: &TestApp) -> Value {
    app.up.received().pop().unwrap().json()
}

#[tokio::test]
async fn every_fragment_of_a_call_in_a_chat_stream_has_a_function_and_the_first_has_the_proof() {
    let app = TestApp::with(PROVIDERS).await;
    app.up.next(calling("gem/gemini-3-pro-preview", "look", true));
    let answer = app.send(call("chat", "gem/gemini-3-pro-preview", "look", true).key(&app.key)).await;
    let calls: Vec<Value> = parts(&answer)
        .iter()
        .flat_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"].as_array().cloned().unwrap_or_default())
        .collect();
    assert!(calls.iter().all(|call| call["index"].is_u64() && call["function"].is_object()), "{calls:?}");
    assert_eq!((&calls[0]["function"]["name"], &calls[0]["type"]), (&json!("look"), &json!("function")));
    assert!(calls[0]["extra_content"]["google"]["thought_signature"].is_string(), "{calls:?}");
    assert!(calls[1..].iter().all(|call| call.get("extra_content").is_none()), "{calls:?}");
    app.close().await;
}

#[tokio::test]
async fn an_id_that_a_provider_left_out_is_another_in_each_answer_and_one_within_it() {
    let app = TestApp::with(PROVIDERS).await;
    let mut all = Vec::new();
    for (model, own) in [("plain/m", "chat"), ("gem/gemini-2.5-flash", "gemini")] {
        for client in CLIENTS.into_iter().filter(|client| *client != own && !(own == "chat" && *client == "chat")) {
            for stream in [false, true, false] {
                app.up.next(calling(model, "look", stream));
                let answer = app.send(call(client, model, "look", stream).key(&app.key)).await;
                let ids = ids(&answer);
                assert_eq!(ids.len(), 1, "{client} of {model}: {ids:?} in {}", answer.text());
                all.extend(ids);
            }
        }
    }
    assert!(all.iter().all(|id| id.len() <= 40), "{all:?}");
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count, "{all:?}");
    app.close().await;
}

#[tokio::test]
async fn a_name_that_the_target_does_not_take_goes_shortened_and_comes_back_as_it_was() {
    let app = TestApp::with(PROVIDERS).await;
    let cases =
        [("messages", "plain/m", LONG), ("messages", "gem/gemini-2.5-flash", LONG), ("gemini", "plain/m", "a.b:c")];
    for (client, model, tool) in cases {
        app.up.next(calling(model, "other", false));
        let answer = app.send(call(client, model, tool, false).key(&app.key)).await;
        assert!(answer.header("x-fulcrum-emulated").unwrap_or_default().contains("tool_name"), "{client}");
        let mut names = Vec::new();
        under(&sent(&app), &["name"], &mut names);
        let name = names.pop().unwrap();
        assert!(name != tool && name.len() <= 64 && names.iter().all(|other| *other == name), "{name} {names:?}");
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)), "{name}");
        for stream in [false, true] {
            app.up.next(calling(model, &name, stream));
            let answer = app.send(call(client, model, tool, stream).key(&app.key)).await;
            let mut back = Vec::new();
            parts(&answer).iter().for_each(|part| under(part, &["name"], &mut back));
            assert_eq!(back, [tool], "{client} {model} {stream}");
        }
    }
    for model in ["answers/m", "bed/amazon.nova-pro-v1:0"] {
        app.up.next(Script::error(500, "no"));
        app.send(call("messages", model, LONG, false).key(&app.key)).await;
        let text = sent(&app).to_string();
        assert!(!text.contains(LONG) && text.contains("mcp__a-server-with-a-long-name__get_fai"), "{text}");
    }
    app.up.next(Script::error(500, "no"));
    app.send(call("chat", "claude/claude-sonnet-4-5", LONG, false).key(&app.key)).await;
    assert_eq!(sent(&app)["tools"][0]["name"], LONG, "128 letters fit at Anthropic");
    app.close().await;
}

#[tokio::test]
async fn arguments_that_are_no_object_do_not_end_a_conversation() {
    let app = TestApp::with(PROVIDERS).await;
    let chat = json!([{"role": "user", "content": "q"},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "get", "arguments": "{\"a\":\"1"}}]},
        {"role": "tool", "tool_call_id": "a", "content": "no JSON"}]);
    let input = json!([{"role": "user", "content": "q"},
        {"type": "function_call", "call_id": "a", "name": "get", "arguments": "{\"a\":\"1"},
        {"type": "function_call_output", "call_id": "a", "output": "no JSON"}]);
    let tool = json!({"type": "object", "properties": {}});
    for (model, at) in [
        ("claude/claude-sonnet-4-5", "/messages/1/content/0/input"),
        ("gem/gemini-2.5-flash", "/contents/1/parts/0/functionCall/args"),
        ("bed/amazon.nova-pro-v1:0", "/messages/1/content/0/toolUse/input"),
    ] {
        let calls = [
            Call::chat(&json!({"model": model, "max_tokens": 9, "messages": chat,
                "tools": [{"type": "function", "function": {"name": "get", "parameters": tool}}]})),
            Call::post(
                "/v1/responses",
                &json!({"model": model, "max_output_tokens": 9, "input": input,
                "tools": [{"type": "function", "name": "get", "parameters": tool}]}),
            ),
        ];
        for call in calls {
            app.up.next(Script::error(500, "no"));
            app.send(call.key(&app.key)).await;
            assert_eq!(sent(&app).pointer(at), Some(&json!({"malformed_arguments": "{\"a\":\"1"})), "{model}");
        }
    }
    app.close().await;
}

#[tokio::test]
async fn a_tool_without_parameters_goes_as_one_of_an_object() {
    let app = TestApp::with(PROVIDERS).await;
    for (model, at) in [
        ("plain/m", "/tools/0/function/parameters/type"),
        ("answers/m", "/tools/0/parameters/type"),
        ("claude/claude-sonnet-4-5", "/tools/0/input_schema/type"),
        ("gem/gemini-2.5-flash", "/tools/0/functionDeclarations/0/parametersJsonSchema/type"),
        ("bed/amazon.nova-pro-v1:0", "/toolConfig/tools/0/toolSpec/inputSchema/json/type"),
    ] {
        let own = match model.split('/').next() {
            Some("plain") => "chat",
            Some("answers") => "responses",
            Some("claude") => "messages",
            Some("gem") => "gemini",
            _ => "",
        };
        for client in CLIENTS.into_iter().filter(|client| *client != own) {
            app.up.next(Script::error(500, "no"));
            app.send(call(client, model, "get", false).key(&app.key)).await;
            assert_eq!(sent(&app).pointer(at), Some(&json!("object")), "{client} to {model}: {}", sent(&app));
        }
    }
    app.close().await;
}

const ALL: [&str; 3] = ["x", "y", "z"];

/// How a dialect says that `x` and `y` are allowed.
fn allowed(client: &str, mode: &str) -> Value {
    let two = &ALL[..2];
    match client {
        "chat" => {
            let named: Vec<Value> =
                two.iter().map(|name| json!({"type": "function", "function": {"name": name}})).collect();
            json!({"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": named}})
        }
        "responses" => {
            let named: Vec<Value> = two.iter().map(|name| json!({"type": "function", "name": name})).collect();
            json!({"type": "allowed_tools", "mode": mode, "tools": named})
        }
        _ => json!({"mode": if mode == "auto" { "VALIDATED" } else { "ANY" }, "allowedFunctionNames": two}),
    }
}

/// A call that offers three tools and allows two.
fn allowing(client: &str, model: &str, mode: &str) -> Call {
    let choice = allowed(client, mode);
    let functions = |function: fn(&str) -> Value| ALL.map(function).to_vec();
    match client {
        "chat" => Call::chat(
            &json!({"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "q"}], "tool_choice": choice,
                "tools": functions(|name| json!({"type": "function", "function": {"name": name}}))}),
        ),
        "responses" => Call::post(
            "/v1/responses",
            &json!({"model": model, "max_output_tokens": 9, "input": "q", "tool_choice": choice,
                "tools": functions(|name| json!({"type": "function", "name": name, "parameters": null}))}),
        ),
        _ => Call::post(
            &format!("/v1beta/models/{model}:generateContent"),
            &json!({"contents": [{"role": "user", "parts": [{"text": "q"}]}],
                "tools": [{"functionDeclarations": functions(|name| json!({"name": name}))}],
                "toolConfig": {"functionCallingConfig": choice}}),
        ),
    }
}

#[tokio::test]
async fn allowed_tools_are_named_where_the_target_can_be_told_and_are_the_only_ones_elsewhere() {
    let app = TestApp::with(PROVIDERS).await;
    let targets = [
        ("plain/m", "chat", "/tool_choice"),
        ("answers/m", "responses", "/tool_choice"),
        ("gem/gemini-2.5-flash", "gemini", "/toolConfig/functionCallingConfig"),
    ];
    for (mode, how) in [("auto", "auto"), ("required", "any")] {
        for client in ["chat", "responses", "gemini"] {
            for (model, own, at) in targets.into_iter().filter(|(_, own, _)| *own != client) {
                app.up.next(Script::error(500, "no"));
                app.send(allowing(client, model, mode).key(&app.key)).await;
                assert_eq!(sent(&app).pointer(at), Some(&allowed(own, mode)), "{client}: {}", sent(&app));
            }
            app.up.next(Script::json(200, r#"{"id":"m","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}"#));
            let answer = app.send(allowing(client, "claude/claude-sonnet-4-5", mode).key(&app.key)).await;
            let emulated = answer.header("x-fulcrum-emulated").unwrap_or_default();
            assert!(emulated.contains("allowed_tools"), "{}", answer.text());
            let sent_to_claude = sent(&app);
            let tools = sent_to_claude["tools"].as_array().unwrap();
            assert_eq!((tools.len(), &tools[1]["name"]), (2, &json!("y")));
            assert_eq!(sent_to_claude["tool_choice"]["type"], how);
            app.up.next(Script::error(500, "no"));
            app.send(allowing(client, "bed/amazon.nova-pro-v1:0", mode).key(&app.key)).await;
            assert_eq!(sent(&app)["toolConfig"]["tools"].as_array().unwrap().len(), 2);
            assert!(sent(&app)["toolConfig"]["toolChoice"][how].is_object());
        }
    }
    app.close().await;
}
