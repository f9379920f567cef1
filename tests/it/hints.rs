//! Fields that are no part of the question, and words that only OpenAI knows: left out of a translation and named.

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::client::{Answer, Call};
use crate::dialects::{ANSWERING, PROVIDERS};
use crate::upstream::{Script, WHOLE};

/// Sends a body to a model of each dialect but `own`; what came of it, and what went up.
async fn send(app: &TestApp, path: &str, body: &Value, model: &str) -> (Answer, Value) {
    let known = ANSWERING.iter().find(|known| known.model.split('/').next() == model.split('/').next());
    send_for(app, path, (body, model), known.unwrap().whole).await
}

/// The same, where the model answers so.
async fn send_for(app: &TestApp, path: &str, (body, model): (&Value, &str), whole: &str) -> (Answer, Value) {
    app.up.next(Script::json(200, whole));
    let mut body = body.clone();
    if !path.contains("v1beta") {
        body["model"] = model.into();
    }
    let answer = app.send(Call::post(path, &body).key(&app.key)).await;
    let sent = app.up.received().pop().map_or(Value::Null, |sent| sent.json());
    (answer, sent)
}

fn named(answer: &Answer) -> Vec<String> {
    let names = answer.header("x-fulcrum-emulated").unwrap_or_default();
    names.split(", ").map(str::to_owned).collect()
}

const CLAUDE_AT_BEDROCK: &str = "bed/anthropic.claude-sonnet-5";

#[tokio::test]
async fn savings_of_an_anthropic_caller_are_left_out_and_named() {
    let app = TestApp::with(PROVIDERS).await;
    let keep = json!({"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]});
    let clear = json!({"edits": [{"type": "clear_tool_uses_20250919"}]});
    for (field, value, name) in [
        ("context_management", keep, "context_management"),
        ("context_management", clear, "context_management"),
        ("speed", json!("fast"), "speed"),
        ("output_config", json!({"task_budget": {"type": "tokens", "total": 9000}}), "output_config.task_budget"),
        ("metadata", json!({"user_id": "u", "session": "s"}), "metadata"),
    ] {
        for model in ["plain/m", "answers/m", "gem/m", CLAUDE_AT_BEDROCK] {
            let mut body = json!({"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
            body[field] = value.clone();
            let (answer, sent) = send(&app, "/v1/messages?beta=true", &body, model).await;
            assert_eq!(answer.status, 200, "{field} to {model}: {}", answer.text());
            assert!(named(&answer).contains(&name.to_owned()), "{field} to {model}: {:?}", named(&answer));
            assert!(!sent.to_string().contains("clear_t"), "{sent}");
        }
    }
    app.close().await;
}

#[tokio::test]
async fn hints_of_other_callers_are_left_out_and_named() {
    let app = TestApp::with(PROVIDERS).await;
    for (field, value, name) in [
        ("truncation", json!("auto"), "truncation"),
        ("client_metadata", json!({"a": "b"}), "client_metadata"),
        ("text", json!({"verbosity": "low"}), "verbosity"),
        ("store", json!(true), "store"),
        ("include", json!(["web_search_call.action.sources"]), "include"),
    ] {
        for model in ["claude/m", "gem/m", CLAUDE_AT_BEDROCK] {
            let mut body = json!({"input": "hi", "max_output_tokens": 9});
            body[field] = value.clone();
            let (answer, _) = send(&app, "/v1/responses", &body, model).await;
            assert_eq!(answer.status, 200, "{field} to {model}: {}", answer.text());
            assert!(named(&answer).contains(&name.to_owned()), "{field} to {model}: {:?}", named(&answer));
        }
    }
    let prediction = json!({"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9,
        "prediction": {"type": "content", "content": "x"}});
    let (answer, _) = send(&app, "/v1/chat/completions", &prediction, "claude/m").await;
    assert_eq!((answer.status, named(&answer)), (200, vec!["prediction".to_owned()]));
    let gemini = json!({"contents": [{"parts": [{"text": "hi"}]}], "labels": {"team": "a"},
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]});
    let (answer, _) = send(&app, "/v1beta/models/plain/m:generateContent", &gemini, "plain/m").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(named(&answer), ["labels", "safetySettings"]);
    app.close().await;
}

#[tokio::test]
async fn a_reference_to_a_tool_is_a_text_and_the_tool_is_there() {
    let app = TestApp::with(PROVIDERS).await;
    let body = json!({"max_tokens": 9,
        "tools": [{"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"},
            {"name": "ToolSearch", "input_schema": {"type": "object"}},
            {"name": "TaskStop", "input_schema": {"type": "object"}, "defer_loading": true}],
        "messages": [{"role": "user", "content": "hi"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "ToolSearch", "input": {"query": "stop"}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1",
                "content": [{"type": "tool_reference", "tool_name": "TaskStop"}]}]}]});
    for model in ["plain/m", "answers/m", "gem/m", CLAUDE_AT_BEDROCK] {
        let (answer, sent) = send(&app, "/v1/messages", &body, model).await;
        assert_eq!(answer.status, 200, "{model}: {}", answer.text());
        for name in ["tool_search", "defer_loading", "tool_reference"] {
            assert!(named(&answer).contains(&name.to_owned()), "{model}: {:?}", named(&answer));
        }
        assert_eq!(sent.to_string().matches("TaskStop").count(), 2, "{model}: {sent}");
        assert!(!sent.to_string().contains("tool_search_tool"), "{model}: {sent}");
    }
    app.close().await;
}

const SERVERS: &str = r#"
[providers.gem]
kind = "openai"
vendor = "deepseek"
base_url = "http://{up}/v1"
api_key = "env:UP_KEY"
responses = false
[providers.bed]
kind = "openai"
vendor = "mistral"
base_url = "http://{up}/v1"
api_key = "env:UP_KEY"
responses = false
[providers.signed]
kind = "openai"
vendor = "openai"
base_url = "http://{up}/v1"
api_key = "env:UP_KEY"
responses = false
[providers.plain]
kind = "openai"
base_url = "http://{up}/v1"
api_key = "env:UP_KEY"
responses = false
"#;

#[tokio::test]
async fn only_openai_gets_openais_own_words() {
    let app = TestApp::with(SERVERS).await;
    let body = json!({"instructions": "I", "store": false, "metadata": {"a": "b"}, "prompt_cache_key": "k",
        "service_tier": "default", "parallel_tool_calls": true,
        "input": [{"role": "developer", "content": "d"}, {"role": "user", "content": "hi"},
            {"type": "function_call", "call_id": "call_abc", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "call_abc", "output": "x"}],
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}]});
    for (model, developer, has_service) in [
        ("signed/m", "developer", true),
        ("plain/m", "system", true),
        ("gem/m", "system", false),
        ("bed/m", "system", false),
    ] {
        let (answer, sent) = send_for(&app, "/v1/responses", (&body, model), WHOLE).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let roles: Vec<&Value> = sent["messages"].as_array().unwrap().iter().map(|message| &message["role"]).collect();
        assert_eq!(roles, ["system", developer, "user", "assistant", "tool"], "{model}");
        for field in ["store", "metadata", "prompt_cache_key", "service_tier"] {
            // Mistral has two of them.
            let is_there = has_service || (model == "bed/m" && ["metadata", "prompt_cache_key"].contains(&field));
            assert_eq!(sent.get(field).is_some(), is_there, "{model}: {field}");
            assert_eq!(named(&answer).contains(&field.to_owned()), !is_there, "{model}: {field}");
        }
        let id = sent["messages"][3]["tool_calls"][0]["id"].as_str().unwrap();
        assert_eq!(sent["messages"][4]["tool_call_id"], id);
        assert_eq!(id == "call_abc", model != "bed/m", "{id}");
        assert!(id.len() == 9 || model != "bed/m", "{id}");
    }
    app.close().await;
}

#[tokio::test]
async fn results_stand_behind_their_calls_at_every_target() {
    let app = TestApp::with(PROVIDERS).await;
    let call = |id: &str| json!({"type": "function_call", "call_id": id, "name": "f", "arguments": "{}"});
    let output = |id: &str| json!({"type": "function_call_output", "call_id": id, "output": id});
    let say = |text: &str| json!({"role": "user", "content": text});
    let body = json!({"max_output_tokens": 9, "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
        "input": [say("hi"), call("a"), call("b"), say("wait"), output("b"), say("more"), output("a")]});
    let (_, sent) = send(&app, "/v1/responses", &body, "plain/m").await;
    let messages = sent["messages"].as_array().unwrap();
    let seen: Vec<&Value> =
        messages.iter().map(|message| message.get("tool_call_id").unwrap_or(&message["content"])).collect();
    assert_eq!(seen[2..], ["a", "b", "wait", "more"], "{sent}");
    let (_, sent) = send(&app, "/v1/responses", &body, "claude/m").await;
    let blocks = sent["messages"][2]["content"].as_array().unwrap();
    let kinds: Vec<&Value> = blocks.iter().map(|block| block.get("tool_use_id").unwrap_or(&block["text"])).collect();
    assert_eq!(kinds, ["a", "b", "wait", "more"], "{sent}");
    let (_, sent) = send(&app, "/v1/responses", &body, "gem/m").await;
    let parts = sent["contents"][2]["parts"].as_array().unwrap();
    let ids: Vec<&Value> = parts.iter().map(|part| &part["functionResponse"]["id"]).collect();
    assert_eq!(ids[..2], ["a", "b"], "{sent}");
    let (_, sent) = send(&app, "/v1/responses", &body, CLAUDE_AT_BEDROCK).await;
    let blocks = sent["messages"][2]["content"].as_array().unwrap();
    assert_eq!(blocks[0]["toolResult"]["toolUseId"], "a", "{sent}");
    assert_eq!(blocks[1]["toolResult"]["toolUseId"], "b", "{sent}");
    app.close().await;
}

#[tokio::test]
async fn a_file_at_an_address_goes_to_a_gemini_that_fetches_it() {
    let app = TestApp::with(PROVIDERS).await;
    let body = json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "?"},
        {"type": "image_url", "image_url": {"url": "https://a.example/b/c.png?d=1"}}]}]});
    let (answer, sent) = send(&app, "/v1/chat/completions", &body, "gem/gemini-2.5-flash").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let file = json!({"fileUri": "https://a.example/b/c.png?d=1", "mimeType": "image/png"});
    assert_eq!(sent["contents"][0]["parts"][1]["fileData"], file);
    let (answer, _) = send(&app, "/v1/chat/completions", &body, "gem/gemini-2.0-flash").await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    app.close().await;
}

#[tokio::test]
async fn a_document_alone_gets_a_text_beside_it_at_bedrock() {
    let app = TestApp::with(PROVIDERS).await;
    let document =
        json!({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}});
    for (content, is_alone) in [(json!([document]), true), (json!([{"type": "text", "text": "?"}, document]), false)] {
        let body = json!({"max_tokens": 9, "messages": [{"role": "user", "content": content}]});
        let (answer, sent) = send(&app, "/v1/messages", &body, CLAUDE_AT_BEDROCK).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let blocks = sent["messages"][0]["content"].as_array().unwrap();
        assert_eq!(blocks.len(), 2);
        assert!(blocks.iter().any(|block| block["text"].is_string()), "{sent}");
        assert_eq!(named(&answer).contains(&"document_text".to_owned()), is_alone);
    }
    app.close().await;
}

#[tokio::test]
async fn a_history_of_a_prompt_may_be_in_the_callers_own_shape() {
    let app = TestApp::with(PROVIDERS).await;
    let histories = [
        (
            "/v1/messages",
            json!([{"role": "user", "content": "u"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "f", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "r"}]}]),
        ),
        (
            "/v1/responses",
            json!([{"role": "user", "content": [{"type": "input_text", "text": "u"}]},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "r"}]),
        ),
        (
            "/v1beta/models/prompt/p:generateContent",
            json!([{"role": "user", "parts": [{"text": "u"}]},
            {"role": "model", "parts": [{"functionCall": {"id": "c1", "name": "f", "args": {}}}]},
            {"role": "user", "parts": [{"functionResponse": {"id": "c1", "name": "f", "response": {"output": "r"}}}]}]),
        ),
        (
            "/v1/messages",
            json!([{"role": "user", "content": "u"},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "c1", "type": "function",
                "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "r"}]),
        ),
    ];
    for (n, model) in ["plain/m", "answers/m", "claude/m", "gem/m", CLAUDE_AT_BEDROCK].into_iter().enumerate() {
        let name = format!("p{n}");
        let prompt = json!({"name": name, "labels": ["production"],
            "messages": [{"role": "system", "content": "S"}, {"placeholder": "history"}, {"role": "user", "content": "{{ q }}"}],
            "variables": {"q": {"type": "string"}, "history": {"type": "messages", "default": []}},
            "settings": {"model": model, "max_tokens": 9}});
        let made = app.admin(Call::post("/api/v1/prompts", &prompt)).await;
        assert_eq!(made.status, 201, "{}", made.text());
        for (path, history) in &histories {
            let tool = match *path {
                "/v1/messages" => json!({"name": "f", "input_schema": {"type": "object"}}),
                "/v1/responses" => json!({"type": "function", "name": "f", "parameters": {"type": "object"}}),
                _ => json!({"functionDeclarations": [{"name": "f", "parametersJsonSchema": {"type": "object"}}]}),
            };
            let body = json!({"prompt": {"variables": {"q": "hi", "history": history}}, "tools": [tool]});
            let known = ANSWERING.iter().find(|known| known.model.split('/').next() == model.split('/').next());
            app.up.next(Script::json(200, known.unwrap().whole));
            let mut body = body.clone();
            if !path.contains("beta") {
                body["model"] = format!("prompt/{name}").into();
            }
            let path = path.replace("prompt/p:", &format!("prompt/{name}:"));
            let answer = app.send(Call::post(&path, &body).key(&app.key)).await;
            assert_eq!(answer.status, 200, "{path} to {model}: {}", answer.text());
            let sent = app.up.received().pop().unwrap().json().to_string();
            assert!(sent.matches("c1").count() == 2 && sent.contains("hi"), "{path} to {model}: {sent}");
        }
    }
    app.close().await;
}

#[tokio::test]
async fn a_custom_tool_is_a_function_elsewhere_and_its_calls_come_back_as_custom() {
    let app = TestApp::with(PROVIDERS).await;
    let patch = "*** Begin Patch\n\"x\"\n*** End Patch";
    let tools = json!([{"type": "custom", "name": "apply_patch", "description": "Patches.",
        "format": {"type": "grammar", "syntax": "lark", "definition": "start: \"x\""}}]);
    let first = json!([{"role": "user", "content": "hi"}]);
    let arguments = json!({"input": patch}).to_string();
    let body =
        |input: &Value, stream: bool| json!({"model": "plain/m", "stream": stream, "input": input, "tools": tools});
    for stream in [false, true] {
        let call = json!([{"index": 0, "id": "call_1", "type": "function", "function": {"name": "apply_patch", "arguments": arguments}}]);
        let whole = json!({"id": "c1", "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant",
            "content": null, "tool_calls": call}}], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}});
        let (one, two) = arguments.split_at(12);
        let piece = |delta: Value, reason: Value| {
            format!(
                "data: {}\n\n",
                json!({"id": "c1", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})
            )
        };
        let begun = json!({"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "apply_patch", "arguments": one}}]});
        let more = json!({"tool_calls": [{"index": 0, "function": {"arguments": two}}]});
        let pieces = [
            piece(begun, Value::Null),
            piece(more, Value::Null),
            piece(json!({}), json!("tool_calls")),
            "data: [DONE]\n\n".to_owned(),
        ];
        app.up.next(if stream { Script::stream(pieces) } else { Script::json(200, whole.to_string()) });
        let answer = app.send(Call::post("/v1/responses", &body(&first, stream)).key(&app.key)).await;
        assert_eq!((answer.status, named(&answer)), (200, vec!["custom_tool".to_owned()]), "{}", answer.text());
        let sent = app.up.received().pop().unwrap().json();
        let function = &sent["tools"][0]["function"];
        assert_eq!(function["parameters"]["properties"], json!({"input": {"type": "string"}}));
        assert!(function["description"].as_str().unwrap().contains("start: \"x\""), "{function}");
        let output = if stream {
            assert!(answer.text().contains("event: response.custom_tool_call_input.delta"), "{}", answer.text());
            let last = answer.text().trim_end().rsplit("data: ").next().unwrap();
            serde_json::from_str::<Value>(last).unwrap()["response"]["output"].clone()
        } else {
            answer.json()["output"].clone()
        };
        let item = &output[0];
        assert_eq!(
            (&item["type"], &item["call_id"], &item["input"]),
            (&json!("custom_tool_call"), &json!("call_1"), &json!(patch))
        );
        let input =
            json!([first[0], item, {"type": "custom_tool_call_output", "call_id": "call_1", "output": "Done."}]);
        app.up.next(Script::json(200, whole.to_string()));
        let answer = app.send(Call::post("/v1/responses", &body(&input, false)).key(&app.key)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let sent = app.up.received().pop().unwrap().json();
        let again: Value =
            serde_json::from_str(sent["messages"][1]["tool_calls"][0]["function"]["arguments"].as_str().unwrap())
                .unwrap();
        assert_eq!((&again["input"], &sent["messages"][2]["content"]), (&json!(patch), &json!("Done.")));
    }
    app.close().await;
}

/// A whole answer of Anthropic's that calls `apply_patch` with this input, and its stream.
fn patching(input: &Value) -> (Value, [String; 7]) {
    let block = json!({"type": "tool_use", "id": "t1", "name": "apply_patch", "input": input});
    let whole = json!({"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [block],
        "stop_reason": "tool_use", "usage": {"input_tokens": 1, "output_tokens": 1}});
    let text = input.to_string();
    let (one, two) = text.split_at(12);
    let event = |data: Value| format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap());
    let begun = json!({"type": "tool_use", "id": "t1", "name": "apply_patch", "input": {}});
    let piece = |part: &str| json!({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": part}});
    let mut start = whole.clone();
    start["content"] = json!([]);
    let events = [
        event(json!({"type": "message_start", "message": start})),
        event(json!({"type": "content_block_start", "index": 0, "content_block": begun})),
        event(piece(one)),
        event(piece(two)),
        event(json!({"type": "content_block_stop", "index": 0})),
        event(json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 1}})),
        event(json!({"type": "message_stop"})),
    ];
    (whole, events)
}

#[tokio::test]
async fn a_custom_tool_of_chat_completions_is_a_function_elsewhere_and_its_calls_come_back_as_custom() {
    let app = TestApp::with(PROVIDERS).await;
    let patch = "*** Begin Patch\n\"x\"\n*** End Patch";
    let grammar = json!({"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: \"x\""}});
    let tools =
        json!([{"type": "custom", "custom": {"name": "apply_patch", "description": "Patches.", "format": grammar}}]);
    let body = |more: &[Value], stream: bool| {
        let messages = [&[json!({"role": "user", "content": "hi"})], more].concat();
        json!({"stream": stream, "max_tokens": 9, "messages": messages, "tools": tools,
            "tool_choice": {"type": "custom", "custom": {"name": "apply_patch"}}})
    };
    let input = json!({"input": patch});
    let (whole, events) = patching(&input);
    let wanted = json!({"id": "t1", "type": "custom", "custom": {"name": "apply_patch", "input": patch}});
    for stream in [false, true] {
        app.up.next(if stream { Script::stream(events.clone()) } else { Script::json(200, whole.to_string()) });
        let mut asked = body(&[], stream);
        asked["model"] = "claude/m".into();
        let answer = app.send(Call::post("/v1/chat/completions", &asked).key(&app.key)).await;
        assert_eq!((answer.status, named(&answer)), (200, vec!["custom_tool".to_owned()]), "{}", answer.text());
        let sent = app.up.received().pop().unwrap().json();
        let tool = &sent["tools"][0];
        assert_eq!(tool["input_schema"]["properties"], json!({"input": {"type": "string"}}));
        assert!(tool["description"].as_str().unwrap().contains("start: \"x\""), "{tool}");
        assert_eq!(sent["tool_choice"], json!({"type": "tool", "name": "apply_patch"}));
        let call = if stream {
            let chunks =
                answer.text().lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok());
            let mut calls = chunks.filter_map(|chunk: Value| chunk.pointer("/choices/0/delta/tool_calls/0").cloned());
            let mut call = calls.next().unwrap();
            assert_eq!(call.as_object_mut().unwrap().remove("index"), Some(json!(0)));
            assert_eq!(calls.next(), None);
            call
        } else {
            answer.json()["choices"][0]["message"]["tool_calls"][0].clone()
        };
        assert_eq!(call, wanted);
        let more = [
            json!({"role": "assistant", "content": null, "tool_calls": [call]}),
            json!({"role": "tool", "tool_call_id": "t1", "content": "Done."}),
        ];
        let (answer, sent) =
            send_for(&app, "/v1/chat/completions", (&body(&more, false), "claude/m"), &whole.to_string()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(sent["messages"][1]["content"][0]["input"], input);
        assert_eq!(sent["messages"][2]["content"][0]["content"], "Done.");
    }
    app.close().await;
}

/// Prompts of `settings` and `messages` are made, one for each model; its name is `p` and the model's number.
async fn make_prompts(app: &TestApp, models: &[&str], messages: &Value, settings: &Value) {
    for (n, model) in models.iter().enumerate() {
        let mut settings = settings.clone();
        settings["model"] = (*model).into();
        let variables =
            json!({"q": {"type": "string", "default": "hi"}, "history": {"type": "messages", "default": []}});
        let prompt = json!({"name": format!("p{n}"), "labels": ["production"], "messages": messages, "variables": variables, "settings": settings});
        let made = app.admin(Call::post("/api/v1/prompts", &prompt)).await;
        assert_eq!(made.status, 201, "{}", made.text());
    }
}

#[tokio::test]
async fn what_a_prompt_brings_is_in_words_that_its_target_knows_and_what_its_caller_says_stays() {
    let app = TestApp::with(SERVERS).await;
    let messages = json!([{"role": "system", "content": "S"}, {"role": "developer", "content": "D"}, {"role": "user", "content": "{{ q }}"}]);
    let settings = json!({"max_completion_tokens": 9, "verbosity": "low", "store": true, "safety_identifier": "s", "prompt_cache_key": "k", "service_tier": "default"});
    let models = ["signed/m", "plain/m", "gem/m", "bed/m"];
    make_prompts(&app, &models, &messages, &settings).await;
    for (n, developer, limit, is_known) in [
        (0, "developer", "max_completion_tokens", false),
        (1, "system", "max_tokens", false),
        (2, "system", "max_tokens", true),
        (3, "system", "max_tokens", true),
    ] {
        let body = json!({"messages": [{"role": "developer", "content": "mine"}], "metadata": {"a": "b"}});
        let (answer, sent) = send_for(&app, "/v1/chat/completions", (&body, &format!("prompt/p{n}")), WHOLE).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let roles: Vec<&Value> = sent["messages"].as_array().unwrap().iter().map(|message| &message["role"]).collect();
        assert_eq!(roles, ["system", developer, "user", "developer"], "{}: {sent}", models[n]);
        assert_eq!((&sent[limit], &sent["metadata"]), (&json!(9), &json!({"a": "b"})), "{}: {sent}", models[n]);
        for field in ["verbosity", "store", "safety_identifier", "prompt_cache_key", "service_tier"] {
            let is_left = is_known && !(n == 3 && field == "prompt_cache_key");
            assert_eq!(sent.get(field).is_none(), is_left, "{}: {field}", models[n]);
            assert_eq!(named(&answer).contains(&field.to_owned()), is_left, "{}: {field}", models[n]);
        }
        let other = if limit == "max_tokens" { "max_completion_tokens" } else { "max_tokens" };
        assert_eq!(sent.get(other), None, "{}", models[n]);
    }
    app.close().await;
}

#[tokio::test]
async fn a_prompts_late_text_of_the_system_goes_to_a_claude_as_far_as_it_takes_one() {
    let app = TestApp::with(PROVIDERS).await;
    let messages = json!([{"role": "system", "content": "S"}, {"role": "user", "content": "{{ q }}"}, {"role": "developer", "content": "late"}]);
    let models = ["claude/claude-sonnet-4-5", "claude/claude-opus-4-8", "claude/m"];
    make_prompts(&app, &models, &messages, &json!({"max_tokens": 9})).await;
    let more = json!({"messages": [{"role": "user", "content": "more"}]});
    for (n, body, roles, is_named) in [
        (0, json!({"messages": []}), ["user", "user"].as_slice(), true),
        (1, json!({"messages": []}), &["user", "system"], false),
        (1, more.clone(), &["user", "user", "user"], true),
        (2, more, &["user", "system", "user"], false),
    ] {
        let known = ANSWERING.iter().find(|known| known.model.starts_with("claude")).unwrap();
        let (answer, sent) = send_for(&app, "/v1/messages", (&body, &format!("prompt/p{n}")), known.whole).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let seen: Vec<&Value> = sent["messages"].as_array().unwrap().iter().map(|message| &message["role"]).collect();
        assert_eq!(seen, roles, "{}: {sent}", models[n]);
        assert_eq!(named(&answer).contains(&"system_position".to_owned()), is_named, "{}", models[n]);
    }
    app.close().await;
}

#[tokio::test]
async fn a_prompts_settings_need_fit_only_the_target_that_is_called() {
    let app = TestApp::with(PROVIDERS).await;
    let messages = json!([{"role": "system", "content": "S"}, {"role": "user", "content": "{{ q }}"}]);
    let settings = json!({"seed": 7, "temperature": 1.5, "stop": ["END"], "frequency_penalty": 0.5, "verbosity": "low",
        "min_p": 0.1, "response_format": {"type": "json_object"}, "max_tokens": 9});
    make_prompts(&app, &["plain/m", "claude/m", "gem/m"], &messages, &settings).await;
    let callers = [
        ("/v1/chat/completions", json!({})),
        ("/v1/responses", json!({})),
        ("/v1/messages", json!({})),
        ("/v1beta/models/prompt/pN:generateContent", json!({"contents": []})),
    ];
    for (path, body) in &callers {
        let (answer, sent) = send_for(&app, &path.replace("pN", "p0"), (body, "prompt/p0"), WHOLE).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        for (name, value) in settings.as_object().unwrap() {
            assert_eq!(sent.get(name), Some(value), "{path}: {name}: {sent}");
        }
        let (answer, _) = send_for(&app, &path.replace("pN", "p1"), (body, "prompt/p1"), WHOLE).await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.text());
        let text = answer.text();
        assert!(settings.as_object().unwrap().keys().any(|name| text.contains(name)), "{path}: {text}");
    }
    app.close().await;
}

#[tokio::test]
async fn a_history_in_the_callers_own_shape_goes_to_a_target_of_that_dialect_as_it_came() {
    let app = TestApp::with(PROVIDERS).await;
    let messages = json!([{"role": "system", "content": "S"}, {"role": "user", "content": "before"}, {"placeholder": "history"}, {"role": "user", "content": "{{ q }}"}]);
    let models = ["plain/m", "answers/m", "claude/m", "gem/gemini-3-pro-preview"];
    make_prompts(&app, &models, &messages, &json!({"max_tokens": 9})).await;
    let histories = [
        (
            "/v1/chat/completions",
            "messages",
            json!([{"role": "user", "content": [{"type": "text", "text": "u"}], "name": "ann"},
            {"role": "assistant", "content": "", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "[1"}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "r"}]),
        ),
        (
            "/v1/responses",
            "input",
            json!([{"role": "user", "content": [{"type": "input_text", "text": "u"}]},
            {"type": "web_search_call", "id": "ws_1", "status": "completed"},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}", "namespace": "n"},
            {"type": "function_call_output", "call_id": "c1", "output": "r"}]),
        ),
        (
            "/v1/messages",
            "messages",
            json!([{"role": "user", "content": "u"},
            {"role": "assistant", "content": [{"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}}, {"type": "tool_use", "id": "c.1", "name": "f", "input": {}}]},
            {"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "tool_result", "tool_use_id": "c.1", "content": "r"}]}]),
        ),
        (
            "/v1beta/models/prompt/p3:generateContent",
            "contents",
            json!([{"role": "user", "parts": [{"text": "u"}]},
            {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "c2ln"}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"b": 1, "a": [2]}, "willContinue": false}}]}]),
        ),
    ];
    for (n, (path, list, history)) in histories.iter().enumerate() {
        let body = json!({"prompt": {"variables": {"q": "hi", "history": history}}});
        let known =
            ANSWERING.iter().find(|known| known.model.split('/').next() == models[n].split('/').next()).unwrap();
        let (answer, sent) = send_for(&app, path, (&body, &format!("prompt/p{n}")), known.whole).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let turns = sent[list].as_array().unwrap();
        let start = turns.iter().position(|turn| turn.to_string().contains("before")).unwrap() + 1;
        assert_eq!(turns[start..turns.len() - 1], *history.as_array().unwrap(), "{path}: {sent}");
        assert!(turns[turns.len() - 1].to_string().contains("hi"), "{path}: {sent}");
    }
    app.close().await;
}
