//! Answers in a requested format: asked for natively where the target can, else through a tool, else refused.

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::client::Call;
use crate::dialects::{CLIENTS, PROVIDERS, seen_in_stream, seen_in_whole};
use crate::upstream::Script;

/// Models of every way to keep to a form.
const MODELS: &str = r#"
[models.old]
provider = "claude"
model = "claude-3-5-haiku-20241022"
[models.thinker]
provider = "claude"
model = "claude-opus-4-1-20250805"
[models.new]
provider = "claude"
model = "claude-haiku-4-5"
[models.weak]
provider = "plain"
model = "weak-1"
structured = "tool"
[models.none]
provider = "plain"
model = "none-1"
structured = "none"
"#;

/// Anthropic's answer by the tool: idle words, then the answer.
const BY_TOOL: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"m-1","content":[{"type":"text","text":"Here it is:"},{"type":"tool_use","id":"toolu_1","name":"answer","input":{"city":"Bern","code":12345678901234567890123}}],"stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":5,"cache_read_input_tokens":4,"cache_creation_input_tokens":0,"output_tokens":7}}"#;

/// The same as a stream.
const BY_TOOL_STREAMED: [&str; 10] = [
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m-1\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":5,\"cache_read_input_tokens\":4,\"cache_creation_input_tokens\":0,\"output_tokens\":1}}}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Here it is:\"}}\n\n",
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"tool_use\",\"id\":\"toolu_1\",\"name\":\"answer\",\"input\":{}}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"city\\\":\"}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"\\\"Bern\\\",\\\"code\\\":12345678901234567890123}\"}}\n\n",
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":1}\n\n",
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":7}}\n\n",
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
];

pub fn schema() -> Value {
    json!({"type": "object", "properties": {"city": {"type": "string"}, "code": {"type": "integer"}},
        "required": ["city", "code"], "additionalProperties": false})
}

/// A question whose answer is to match `schema`, or to be any JSON object where there is none.
pub fn wanting(client: &str, model: &str, schema: Option<&Value>, stream: bool) -> Call {
    let question = "Which city?";
    match client {
        "chat" => {
            let format = match schema {
                Some(schema) => {
                    json!({"type": "json_schema", "json_schema": {"name": "place", "schema": schema, "strict": true}})
                }
                None => json!({"type": "json_object"}),
            };
            let messages = json!([{"role": "user", "content": question}]);
            Call::post(
                "/v1/chat/completions",
                &json!({"model": model, "stream": stream, "max_tokens": 50, "messages": messages, "response_format": format}),
            )
        }
        "responses" => {
            let format = match schema {
                Some(schema) => json!({"type": "json_schema", "name": "place", "schema": schema, "strict": true}),
                None => json!({"type": "json_object"}),
            };
            Call::post(
                "/v1/responses",
                &json!({"model": model, "stream": stream, "input": question, "text": {"format": format}}),
            )
        }
        "messages" => Call::post(
            "/v1/messages",
            &json!({"model": model, "stream": stream, "max_tokens": 50,
                "messages": [{"role": "user", "content": question}],
                "output_config": {"format": {"type": "json_schema", "schema": schema.unwrap_or(&json!({"type": "object"}))}}}),
        ),
        _ => {
            let mut config = json!({"responseMimeType": "application/json"});
            if let Some(schema) = schema {
                config["responseJsonSchema"] = schema.clone();
            }
            let method = if stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
            Call::post(
                &format!("/v1beta/models/{model}:{method}"),
                &json!({"contents": {"role": "user", "parts": [{"text": question}]}, "generationConfig": config}),
            )
        }
    }
}

/// Why an answer ended, as its client reads it.
fn stop(client: &str, answer: &Value) -> Value {
    match client {
        "chat" => answer["choices"][0]["finish_reason"].clone(),
        "responses" => answer["status"].clone(),
        "messages" => answer["stop_reason"].clone(),
        _ => answer["candidates"][0]["finishReason"].clone(),
    }
}

#[tokio::test]
async fn a_model_that_cannot_keep_to_a_schema_answers_by_a_tool_and_no_caller_sees_it() {
    let app = TestApp::with(&format!("{PROVIDERS}{MODELS}")).await;
    let text = r#"{"city":"Bern","code":12345678901234567890123}"#;
    for client in ["chat", "responses", "gemini"] {
        app.up.next(Script::json(200, BY_TOOL));
        let answer = app.send(wanting(client, "old", Some(&schema()), false).key(&app.key)).await;
        assert_eq!(answer.status, 200, "{client}: {}", answer.text());
        let emulated = answer.header("x-fulcrum-emulated").unwrap_or_default();
        assert!(emulated.split(", ").any(|name| name == "response_format"), "{client}: {emulated}");
        let whole = answer.json();
        assert_eq!(seen_in_whole(client, &whole), (text.to_owned(), String::new(), Value::Null, 9, 4, 7), "{client}");
        let ended = [json!("stop"), json!("completed"), json!("STOP")];
        assert!(ended.contains(&stop(client, &whole)), "{client}: {whole}");
        let sent = app.up.received().pop().unwrap().json();
        assert_eq!(sent["tool_choice"], json!({"type": "tool", "name": "answer"}), "{sent}");
        assert_eq!(sent["tools"][0]["input_schema"], schema(), "{sent}");
        assert_eq!(sent["output_config"], Value::Null);

        app.up.next(Script::stream(BY_TOOL_STREAMED));
        let answer = app.send(wanting(client, "old", Some(&schema()), true).key(&app.key)).await;
        let seen = seen_in_stream(client, &answer);
        assert_eq!((seen.0.as_str(), seen.1.as_str()), (text, ""), "{client}: {}", answer.text());
        let hidden = ["toolu_1", "Here it is", "\"tool_calls\"", "function_call"];
        assert!(hidden.iter().all(|word| !answer.text().contains(word)), "{client}: {}", answer.text());
        let row = app.row(answer.id()).await;
        assert_eq!((&row["input_tokens"], &row["output_tokens"]), (&json!(9), &json!(7)), "{client}");
    }
    app.close().await;
}

#[tokio::test]
async fn a_model_that_can_is_asked_for_the_schema_itself() {
    let app = TestApp::with(&format!("{PROVIDERS}{MODELS}")).await;
    let text = BY_TOOL.replace("Here it is:", "{}").replace(
        r#"{"type":"tool_use","id":"toolu_1","name":"answer","input":{"city":"Bern","code":12345678901234567890123}}"#,
        r#"{"type":"text","text":""}"#,
    );
    app.up.always(Script::json(200, text.replace("tool_use", "end_turn")));
    for client in ["chat", "responses", "gemini"] {
        let mut open = schema();
        open.as_object_mut().unwrap().remove("additionalProperties");
        let answer = app.send(wanting(client, "new", Some(&open), false).key(&app.key)).await;
        assert_eq!(answer.status, 200, "{client}: {}", answer.text());
        let sent = app.up.received().pop().unwrap().json();
        // What Anthropic asks of every object in a schema.
        assert_eq!(sent["output_config"]["format"], json!({"type": "json_schema", "schema": schema()}), "{client}");
        assert_eq!((&sent["tools"], &sent["tool_choice"]), (&Value::Null, &Value::Null));
        assert!(!answer.header("x-fulcrum-emulated").unwrap_or_default().contains("response_format"), "{client}");

        // Any JSON object, and a bound that its own enforcement refuses, are a tool's.
        let mut bounded = schema();
        bounded["properties"]["code"]["minimum"] = json!(1);
        for wanted in [None, Some(&bounded)] {
            let answer = app.send(wanting(client, "new", wanted, false).key(&app.key)).await;
            assert_eq!(answer.status, 200, "{client}: {}", answer.text());
            let sent = app.up.received().pop().unwrap().json();
            let expected = wanted.cloned().unwrap_or(json!({"type": "object", "additionalProperties": true}));
            assert_eq!(sent["tools"][0]["input_schema"], expected, "{client}: {sent}");
            assert_eq!(sent["output_config"], Value::Null);
        }
    }
    app.close().await;
}

#[tokio::test]
async fn the_callers_own_tools_stay_callable_and_thinking_is_refused_by_name() {
    let app = TestApp::with(&format!("{PROVIDERS}{MODELS}")).await;
    app.up.next(Script::json(200, BY_TOOL.replace("\"answer\"", "\"look\"").replace("Here it is:", "I look.")));
    let mut body = json!({"model": "old", "messages": [{"role": "user", "content": "Weather?"}], "max_tokens": 50,
        "response_format": {"type": "json_object"},
        "tools": [{"type": "function", "function": {"name": "look", "parameters": schema()}}]});
    let answer = app.send(Call::post("/v1/chat/completions", &body).key(&app.key)).await;
    let answered = answer.json();
    assert_eq!(answered["choices"][0]["finish_reason"], "tool_calls", "{answered}");
    assert_eq!(answered["choices"][0]["message"]["tool_calls"][0]["function"]["name"], "look");
    assert_eq!(answered["choices"][0]["message"]["content"], "I look.");
    let sent = app.up.only().json();
    assert_eq!(sent["tool_choice"], json!({"type": "any"}), "{sent}");
    assert_eq!([&sent["tools"][0]["name"], &sent["tools"][1]["name"]], [&json!("look"), &json!("answer")]);

    // A model that does not think is not asked to; one that does cannot be made to call a tool then.
    (body["reasoning_effort"], body["model"], body["max_tokens"]) = ("low".into(), "thinker".into(), 2_000.into());
    let answer = app.send(Call::post("/v1/chat/completions", &body).key(&app.key)).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "unsupported_feature"), "{}", answer.text());
    assert_eq!(answer.param(), "response_format");
    assert_eq!(app.up.count(), 1);
    app.close().await;
}

#[tokio::test]
async fn the_configuration_says_how_a_model_keeps_to_a_form() {
    let app = TestApp::with(&format!("{PROVIDERS}{MODELS}")).await;
    let by_tool = r#"{"id":"c1","object":"chat.completion","created":1700000000,"model":"weak-1","choices":[{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"answer","arguments":"{\"value\":[1.50]}"}}]},"logprobs":null,"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":9,"completion_tokens":7,"total_tokens":16}}"#;
    // A list is no tool's input: it stands in a field of one.
    let list = json!({"type": "array", "items": {"type": "number"}});
    for client in CLIENTS {
        app.up.next(Script::json(200, by_tool));
        let answer = app.send(wanting(client, "weak", Some(&list), false).key(&app.key)).await;
        assert_eq!(answer.status, 200, "{client}: {}", answer.text());
        assert_eq!(seen_in_whole(client, &answer.json()).0, "[1.50]", "{client}: {}", answer.text());
        let sent = app.up.received().pop().unwrap().json();
        assert_eq!(sent["response_format"], Value::Null, "{client}: {sent}");
        assert_eq!(sent["tools"][0]["function"]["parameters"]["properties"]["value"], list, "{client}: {sent}");
    }
    let count = app.up.count();
    for client in CLIENTS {
        let answer = app.send(wanting(client, "none", Some(&list), false).key(&app.key)).await;
        assert_eq!(answer.status, 400, "{client}: {}", answer.text());
        assert!(answer.text().contains("response_format"), "{client}: {}", answer.text());
    }
    assert_eq!(app.up.count(), count);
    // Without a form nothing of it matters: the bytes pass.
    app.up.next(Script::json(200, by_tool));
    let body = r#"{"messages":[{"role":"user","content":"Hi"}], "model":"none","x_new":1}"#;
    let answer = app.send(Call::new("POST", "/v1/chat/completions", body).key(&app.key)).await;
    assert_eq!(answer.text(), by_tool);
    assert_eq!(std::str::from_utf8(&app.up.received().pop().unwrap().body).unwrap(), body.replace("none", "none-1"));
    app.close().await;
}
