//! Faults that gateways are known for, each by its name, for every pair of dialects where it could be.

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::client::Call;
use crate::dialects::{CLIENTS, PROVIDERS, data, seen_in_stream, seen_in_whole};
use crate::structured::{schema, wanting};
use crate::upstream::Script;

/// A provider of each dialect.
const MODELS: [&str; 4] = ["plain/m", "answers/m", "claude/m", "gem/m"];

fn event(value: &Value) -> String {
    match value["type"].as_str() {
        Some(kind) => format!("event: {kind}\ndata: {value}\n\n"),
        None => format!("data: {value}\n\n"),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "so that callers write the value where they pass it")]
fn chat_chunk(delta: Value, reason: Value) -> Value {
    json!({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m-1",
        "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})
}

fn chat_usage() -> Value {
    json!({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m-1", "choices": [],
        "usage": {"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16, "prompt_tokens_details": {"cached_tokens": 4}}})
}

#[expect(clippy::needless_pass_by_value, reason = "so that callers write the value where they pass it")]
fn gemini_chunk(parts: Value, reason: Option<&str>) -> Value {
    let mut candidate = json!({"content": {"role": "model", "parts": parts}, "index": 0});
    if let Some(reason) = reason {
        candidate["finishReason"] = reason.into();
    }
    json!({"candidates": [candidate], "modelVersion": "m-1", "responseId": "r1", "usageMetadata": {"promptTokenCount": 9,
        "cachedContentTokenCount": 4, "candidatesTokenCount": 7, "totalTokenCount": 16}})
}

/// A stream that thinks, says `Hello there.`, and ends, as the provider of `model` sends it.
fn thinking(model: &str) -> Vec<String> {
    let events = match model {
        "plain/m" => vec![
            chat_chunk(json!({"role": "assistant", "reasoning_content": "Hm."}), Value::Null),
            chat_chunk(json!({"content": "Hello "}), Value::Null),
            chat_chunk(json!({"content": "there."}), Value::Null),
            chat_chunk(json!({}), json!("stop")),
            chat_usage(),
        ],
        "answers/m" => {
            let usage = json!({"input_tokens": 9, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 7, "total_tokens": 16});
            let response = |status: &str| json!({"id": "resp_1", "created_at": 1, "status": status, "model": "m-1", "output": [], "usage": usage});
            vec![
                json!({"type": "response.created", "sequence_number": 0, "response": response("in_progress")}),
                json!({"type": "response.output_item.added", "sequence_number": 1, "output_index": 0,
                    "item": {"type": "reasoning", "id": "rs_1", "summary": []}}),
                json!({"type": "response.reasoning_summary_text.delta", "sequence_number": 2, "item_id": "rs_1", "output_index": 0,
                    "summary_index": 0, "delta": "Hm."}),
                json!({"type": "response.output_item.done", "sequence_number": 3, "output_index": 0,
                    "item": {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]}}),
                json!({"type": "response.output_item.added", "sequence_number": 4, "output_index": 1,
                    "item": {"type": "message", "id": "msg_1", "role": "assistant", "content": []}}),
                json!({"type": "response.output_text.delta", "sequence_number": 5, "item_id": "msg_1", "output_index": 1,
                    "content_index": 0, "delta": "Hello "}),
                json!({"type": "response.output_text.delta", "sequence_number": 6, "item_id": "msg_1", "output_index": 1,
                    "content_index": 0, "delta": "there."}),
                json!({"type": "response.output_item.done", "sequence_number": 7, "output_index": 1, "item": {"type": "message",
                    "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "Hello there.", "annotations": []}]}}),
                json!({"type": "response.completed", "sequence_number": 8, "response": response("completed")}),
            ]
        }
        "claude/m" => vec![
            json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant", "model": "m-1",
                "content": [], "usage": {"input_tokens": 5, "cache_read_input_tokens": 4, "output_tokens": 1}}}),
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm."}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "c2ln"}}),
            json!({"type": "content_block_stop", "index": 0}),
            json!({"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}}),
            json!({"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Hello "}}),
            json!({"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "there."}}),
            json!({"type": "content_block_stop", "index": 1}),
            json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}}),
            json!({"type": "message_stop"}),
        ],
        _ => vec![
            gemini_chunk(json!([{"text": "Hm.", "thought": true}]), None),
            gemini_chunk(json!([{"text": "Hello "}]), None),
            gemini_chunk(json!([{"text": "there."}]), Some("STOP")),
        ],
    };
    let mut stream: Vec<String> = events.iter().map(event).collect();
    stream.extend((model == "plain/m").then(|| "data: [DONE]\n\n".to_owned()));
    stream
}

fn plain(client: &str, model: &str, stream: bool) -> Call {
    let mut call = match client {
        "chat" => Call::chat(
            &json!({"model": model, "stream": stream, "max_tokens": 50, "stream_options": {"include_usage": true},
            "messages": [{"role": "user", "content": "Hi"}]}),
        ),
        "responses" => Call::post("/v1/responses", &json!({"model": model, "stream": stream, "input": "Hi"})),
        "messages" => Call::post(
            "/v1/messages",
            &json!({"model": model, "stream": stream, "max_tokens": 50,
            "messages": [{"role": "user", "content": "Hi"}]}),
        ),
        _ => {
            let method = if stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
            Call::post(&format!("/v1beta/models/{model}:{method}"), &json!({"contents": [{"parts": [{"text": "Hi"}]}]}))
        }
    };
    if client == "chat" && !stream {
        call = Call::chat(&json!({"model": model, "messages": [{"role": "user", "content": "Hi"}]}));
    }
    call
}

#[tokio::test]
async fn the_first_words_after_a_thought_are_not_dropped_nor_is_usage_zero() {
    let app = TestApp::with(PROVIDERS).await;
    for model in MODELS {
        for client in CLIENTS {
            app.up.next(Script::stream(thinking(model)));
            let answer = app.send(plain(client, model, true).key(&app.key)).await;
            let seen = seen_in_stream(client, &answer);
            assert_eq!(seen.0, "Hello there.", "{client} from {model}: {}", answer.text());
            let usage = match client {
                "chat" => {
                    let events = data(answer.text());
                    let last =
                        events.iter().rev().find(|event| event["usage"].is_object()).cloned().unwrap_or_default();
                    let usage = seen_in_whole("chat", &last);
                    (usage.3, usage.4, usage.5)
                }
                _ => (seen.3, seen.4, seen.5),
            };
            // Cached tokens count once, whichever side counts them how.
            assert_eq!(usage, (9, 4, 7), "{client} from {model}: {}", answer.text());
            assert!(answer.text().contains("Hm."), "{client} from {model}: {}", answer.text());
            let row = app.row(answer.id()).await;
            let counts = ["input_tokens", "cached_input_tokens", "output_tokens"].map(|name| row[name].clone());
            assert_eq!(
                (counts, &row["estimated"]),
                ([json!(9), json!(4), json!(7)], &json!(false)),
                "{client} from {model}"
            );
        }
    }
    app.close().await;
}

#[tokio::test]
async fn usage_that_comes_only_at_the_end_is_heard_and_one_message_begins() {
    let app = TestApp::with(PROVIDERS).await;
    // As servers that speak Anthropic's dialect do: no counts at the start, all of them at the end, and a second start.
    let start = json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant", "model": "m-1",
        "content": [], "usage": {"input_tokens": 0, "output_tokens": 0}}});
    let late = [
        start.clone(),
        start,
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"},
            "usage": {"input_tokens": 5, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 3, "output_tokens": 7}}),
        json!({"type": "message_stop"}),
    ];
    for client in ["chat", "responses", "gemini"] {
        app.up.next(Script::stream(late.iter().map(event)));
        let answer = app.send(plain(client, "claude/m", true).key(&app.key)).await;
        assert_eq!(seen_in_stream(client, &answer).0, "Hi", "{client}: {}", answer.text());
        let row = app.row(answer.id()).await;
        let names = ["input_tokens", "cached_input_tokens", "output_tokens"];
        assert_eq!(names.map(|name| row[name].clone()), [json!(12), json!(4), json!(7)], "{client}: {row:#}");
    }
    // Two chunks with a role, as some servers of OpenAI's dialect send them, are one message.
    let twice = [
        chat_chunk(json!({"role": "assistant", "content": ""}), Value::Null),
        chat_chunk(json!({"role": "assistant", "content": "Hi"}), Value::Null),
        chat_chunk(json!({}), json!("stop")),
        chat_usage(),
    ];
    for client in ["responses", "messages", "gemini"] {
        let done = std::iter::once("data: [DONE]\n\n".to_owned());
        app.up.next(Script::stream(twice.iter().map(event).chain(done)));
        let answer = app.send(plain(client, "plain/m", true).key(&app.key)).await;
        let seen = seen_in_stream(client, &answer);
        assert_eq!((seen.0.as_str(), seen.3, seen.4, seen.5), ("Hi", 9, 4, 7), "{client}: {}", answer.text());
        for start in ["event: message_start\n", "event: response.created\n"] {
            assert!(answer.text().matches(start).count() <= 1, "{client}: {}", answer.text());
        }
    }
    app.close().await;
}

#[tokio::test]
async fn a_wanted_schema_reaches_every_provider() {
    let app = TestApp::with(PROVIDERS).await;
    for (model, place) in [
        ("plain/m", "/response_format/json_schema/schema"),
        ("answers/m", "/text/format/schema"),
        ("claude/m", "/output_config/format/schema"),
        ("gem/m", "/generationConfig/responseJsonSchema"),
    ] {
        for client in CLIENTS {
            app.up.next(Script::error(400, "seen"));
            let answer = app.send(wanting(client, model, Some(&schema()), false).key(&app.key)).await;
            assert_eq!(answer.status, 400, "{client} to {model}: {}", answer.text());
            let sent = app.up.received().pop().unwrap().json();
            assert_eq!(sent.pointer(place), Some(&schema()), "{client} to {model}: {sent}");
        }
    }
    app.close().await;
}

/// A tool's input whose numbers no machine number holds.
const LONG_NUMBERS: &str = r#"{"big":123456789012345678901234567890,"max":1.7976931348623157e308,"sum":0.30000000000000004,"id":18446744073709551615}"#;

/// Whether a text of JSON has all those digits.
fn has_long_numbers(text: &str) -> bool {
    // Within a text of JSON the quotes are escaped; a number's own way of writing is its provider's.
    let text = text.replace('\\', "").replace("1.7976931348623157e+308", "1.7976931348623157e308");
    text.contains(r#""big":123456789012345678901234567890,"max":1.7976931348623157e308,"sum":0.30000000000000004,"id":18446744073709551615"#)
}

/// Each provider's answer that calls a tool with it.
fn calls_with_long_numbers() -> [(&'static str, String); 4] {
    let input = LONG_NUMBERS;
    let escaped = serde_json::to_string(input).unwrap();
    [
        (
            "plain/m",
            format!(
                r#"{{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{{"index":0,"message":{{"role":"assistant","content":null,"tool_calls":[{{"id":"call_1","type":"function","function":{{"name":"look","arguments":{escaped}}}}}]}},"finish_reason":"tool_calls"}}],"usage":{{"prompt_tokens":9,"completion_tokens":7,"total_tokens":16}}}}"#
            ),
        ),
        (
            "answers/m",
            format!(
                r#"{{"id":"r","object":"response","created_at":1,"status":"completed","model":"m","output":[{{"type":"function_call","id":"fc_1","call_id":"call_1","name":"look","arguments":{escaped},"status":"completed"}}],"usage":{{"input_tokens":9,"output_tokens":7,"total_tokens":16}}}}"#
            ),
        ),
        (
            "claude/m",
            format!(
                r#"{{"id":"m","type":"message","role":"assistant","model":"m","content":[{{"type":"tool_use","id":"toolu_1","name":"look","input":{input}}}],"stop_reason":"tool_use","stop_sequence":null,"usage":{{"input_tokens":9,"output_tokens":7}}}}"#
            ),
        ),
        (
            "gem/m",
            format!(
                r#"{{"candidates":[{{"content":{{"role":"model","parts":[{{"functionCall":{{"name":"look","args":{input}}}}}]}},"index":0,"finishReason":"STOP"}}],"usageMetadata":{{"promptTokenCount":9,"candidatesTokenCount":7,"totalTokenCount":16}}}}"#
            ),
        ),
    ]
}

/// Each client's request that has such a call in its history.
fn histories_with_long_numbers() -> [Call; 3] {
    let input = LONG_NUMBERS;
    let escaped = serde_json::to_string(input).unwrap();
    [
        Call::new(
            "POST",
            "/v1/chat/completions",
            format!(
                r#"{{"model":"MODEL","max_tokens":5,"messages":[{{"role":"user","content":"Hi"}},{{"role":"assistant","content":null,"tool_calls":[{{"id":"call_1","type":"function","function":{{"name":"look","arguments":{escaped}}}}}]}},{{"role":"tool","tool_call_id":"call_1","content":"ok"}}]}}"#
            ),
        ),
        Call::new(
            "POST",
            "/v1/messages",
            format!(
                r#"{{"model":"MODEL","max_tokens":5,"messages":[{{"role":"user","content":"Hi"}},{{"role":"assistant","content":[{{"type":"tool_use","id":"call_1","name":"look","input":{input}}}]}},{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"call_1","content":"ok"}}]}}]}}"#
            ),
        ),
        Call::new(
            "POST",
            "/v1beta/models/MODEL:generateContent",
            format!(
                r#"{{"contents":[{{"role":"user","parts":[{{"text":"Hi"}}]}},{{"role":"model","parts":[{{"functionCall":{{"id":"call_1","name":"look","args":{input}}}}}]}},{{"role":"user","parts":[{{"functionResponse":{{"id":"call_1","name":"look","response":{{"output":"ok"}}}}}}]}}]}}"#
            ),
        ),
    ]
}

#[tokio::test]
async fn a_tools_input_keeps_every_digit_there_and_back() {
    let app = TestApp::with(PROVIDERS).await;
    for (model, body) in &calls_with_long_numbers() {
        for client in CLIENTS {
            app.up.next(Script::json(200, body));
            let answer = app.send(plain(client, model, false).key(&app.key)).await;
            assert!(has_long_numbers(answer.text()), "{client} from {model}: {}", answer.text());
        }
    }
    for call in histories_with_long_numbers() {
        for model in MODELS {
            let path = call.path.replace("MODEL", model);
            let body = String::from_utf8(call.body.to_vec()).unwrap().replace("MODEL", model);
            app.up.next(Script::error(400, "seen"));
            let answer = app.send(Call::new("POST", &path, body).key(&app.key)).await;
            assert_eq!(answer.status, 400, "{path}: {}", answer.text());
            let sent = app.up.received().pop().unwrap();
            let sent = std::str::from_utf8(&sent.body).unwrap().to_owned();
            assert!(has_long_numbers(&sent), "{path}: {sent}");
        }
    }
    app.close().await;
}

#[tokio::test]
async fn a_proof_of_reasoning_goes_back_to_its_maker_and_to_nobody_else() {
    let app = TestApp::with(PROVIDERS).await;
    // Anthropic thinks for a caller of Chat Completions.
    app.up.next(Script::json(200, r#"{"id":"m","type":"message","role":"assistant","model":"m","content":[{"type":"thinking","thinking":"Hm.","signature":"c2ln"},{"type":"text","text":"Hi"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":7}}"#));
    let answer = app.send(plain("chat", "claude/m", false).key(&app.key)).await.json();
    let message = answer["choices"][0]["message"].clone();
    let proof = message["reasoning_details"][0]["signature"].as_str().unwrap_or_default().to_owned();
    assert!(!proof.is_empty() && proof != "c2ln", "{answer}");
    let next = |model: &str| {
        let messages = json!([{"role": "user", "content": "Hi"}, message, {"role": "user", "content": "And?"}]);
        Call::chat(&json!({"model": model, "max_tokens": 5, "messages": messages}))
    };
    for (model, stays) in [("claude/m", true), ("gem/m", false), ("answers/m", false), ("plain/m", false)] {
        app.up.next(Script::error(400, "seen"));
        let answer = app.send(next(model).key(&app.key)).await;
        let sent = app.up.received().pop().unwrap().json().to_string();
        assert_eq!(sent.contains("c2ln"), stays, "{model}: {sent}");
        assert!(!sent.contains(&proof), "{model}: {sent}");
        assert_eq!(answer.status, 400, "{model}: {}", answer.text());
    }
    // Gemini thinks for a caller of Anthropic's, who then asks Claude: the same dialect, but not its proof.
    app.up.next(Script::json(200, r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"Hm.","thought":true,"thoughtSignature":"Z29vZ2xl"},{"text":"Hi"}]},"index":0,"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":7,"totalTokenCount":16}}"#));
    let answer = app.send(plain("messages", "gem/m", false).key(&app.key)).await.json();
    let next = |model: &str| {
        let messages = json!([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": answer["content"]},
            {"role": "user", "content": "And?"}]);
        Call::post("/v1/messages", &json!({"model": model, "max_tokens": 5, "messages": messages}))
    };
    for (model, stays) in [("gem/m", true), ("claude/m", false)] {
        app.up.next(Script::error(400, "seen"));
        let refused = app.send(next(model).key(&app.key)).await;
        assert_eq!(refused.status, 400, "{model}: {}", refused.text());
        let sent = app.up.received().pop().unwrap().json().to_string();
        assert_eq!((sent.contains("Z29vZ2xl"), sent.contains("ZnVsY3J1bS8x")), (stays, false), "{model}: {sent}");
        assert!(sent.contains("And?"), "{sent}");
    }
    app.close().await;
}

#[tokio::test]
async fn gemini_streams_one_json_list_to_who_asks_for_no_events() {
    let app = TestApp::with(PROVIDERS).await;
    let ask = |model: &str| {
        let path = format!("/v1beta/models/{model}:streamGenerateContent");
        Call::post(&path, &json!({"contents": [{"parts": [{"text": "Hi"}]}]})).key(&app.key)
    };
    for model in MODELS {
        app.up.next(Script::stream(thinking(model)));
        let answer = app.send(ask(model)).await;
        assert_eq!(answer.header("content-type"), Some("application/json"), "{model}");
        let list = answer.json();
        let list = list.as_array().unwrap();
        let text: String = list.iter().map(|chunk| seen_in_whole("gemini", chunk).0).collect();
        assert_eq!(text, "Hello there.", "{model}: {}", answer.text());
        assert_eq!(list.last().unwrap()["candidates"][0]["finishReason"], "STOP", "{model}");
        // One that breaks off ends as a list too, with the error as its last element.
        let stream = thinking(model);
        // Without its usage and `[DONE]` a chat's stream is whole.
        let cut = if model == "plain/m" { 3 } else { 2 };
        app.up.next(Script::stream(&stream[..stream.len() - cut]));
        let answer = app.send(ask(model)).await;
        let list = answer.json();
        assert!(list.as_array().unwrap().last().unwrap()["error"]["message"].is_string(), "{model}: {}", answer.text());
    }
    app.close().await;
}
