//! Every client dialect served by every provider dialect, whole and streamed: text, tool calls, usage, errors, headers.

use serde_json::{Value, json};

use crate::app::{TestApp, UP_KEY};
use crate::client::{Answer, Call};
use crate::frames;
use crate::upstream::Script;

/// A provider of each dialect, all at the scripted upstream.
pub const PROVIDERS: &str = r#"
[providers.claude]
kind = "anthropic"
base_url = "http://{up}"
api_key = "env:UP_KEY"
[providers.gem]
kind = "gemini"
base_url = "http://{up}/v1beta"
api_key = "env:UP_KEY"
[providers.answers]
kind = "openai"
base_url = "http://{up}/v1"
api_key = "env:UP_KEY"
chat = false
[providers.plain]
kind = "openai"
base_url = "http://{up}/v1"
api_key = "env:UP_KEY"
responses = false
[providers.bed]
kind = "bedrock"
region = "eu-central-1"
base_url = "http://{up}"
api_key = "env:UP_KEY"
[defaults]
retries = 0
"#;

/// A provider of each dialect, which answers with a thought where the dialect has them, a text and a tool call: 9 tokens in,
/// 4 of them cached, 7 out.
pub const ANSWERING: [Answering; 5] = [
    Answering {
        model: "plain/m",
        path: "/v1/chat/completions",
        key: "authorization",
        whole: r#"{"id":"c1","object":"chat.completion","created":1700000000,"model":"m-1","choices":[{"index":0,"message":{"role":"assistant","content":"Hello there.","refusal":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"look","arguments":"{\"city\":\"Bern\"}"}}]},"logprobs":null,"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":9,"completion_tokens":7,"total_tokens":16,"prompt_tokens_details":{"cached_tokens":4}}}"#,
        stream: &[
            "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}],\"usage\":null}\n\n",
            "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hello \"},\"finish_reason\":null}],\"usage\":null}\n\n",
            "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"there.\"},\"finish_reason\":null}],\"usage\":null}\n\n",
            "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"call_1\",\"type\":\"function\",\"function\":{\"name\":\"look\",\"arguments\":\"\"}}]},\"finish_reason\":null}],\"usage\":null}\n\n",
            "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"city\\\":\"}}]},\"finish_reason\":null}],\"usage\":null}\n\n",
            "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"\\\"Bern\\\"}\"}}]},\"finish_reason\":null}],\"usage\":null}\n\n",
            "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}],\"usage\":null}\n\n",
            "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m-1\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":7,\"total_tokens\":16,\"prompt_tokens_details\":{\"cached_tokens\":4}}}\n\n",
            "data: [DONE]\n\n",
        ],
    },
    Answering {
        model: "answers/m",
        path: "/v1/responses",
        key: "authorization",
        whole: r#"{"id":"resp_1","object":"response","created_at":1700000000,"status":"completed","error":null,"incomplete_details":null,"instructions":null,"metadata":{},"model":"m-1","output":[{"type":"message","id":"msg_1","status":"completed","role":"assistant","content":[{"type":"output_text","text":"Hello there.","annotations":[]}]},{"type":"function_call","id":"fc_1","call_id":"call_1","name":"look","arguments":"{\"city\":\"Bern\"}","status":"completed"}],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"usage":{"input_tokens":9,"input_tokens_details":{"cached_tokens":4},"output_tokens":7,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":16}}"#,
        stream: &[
            "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"id\":\"resp_1\",\"object\":\"response\",\"created_at\":1,\"status\":\"in_progress\",\"model\":\"m-1\",\"output\":[],\"usage\":null}}\n\n",
            "event: response.output_item.added\ndata: {\"type\":\"response.output_item.added\",\"sequence_number\":1,\"output_index\":0,\"item\":{\"type\":\"message\",\"id\":\"msg_1\",\"status\":\"in_progress\",\"role\":\"assistant\",\"content\":[]}}\n\n",
            "event: response.content_part.added\ndata: {\"type\":\"response.content_part.added\",\"sequence_number\":2,\"item_id\":\"msg_1\",\"output_index\":0,\"content_index\":0,\"part\":{\"type\":\"output_text\",\"text\":\"\",\"annotations\":[]}}\n\n",
            "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":3,\"item_id\":\"msg_1\",\"output_index\":0,\"content_index\":0,\"delta\":\"Hello \"}\n\n",
            "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":4,\"item_id\":\"msg_1\",\"output_index\":0,\"content_index\":0,\"delta\":\"there.\"}\n\n",
            "event: response.output_text.done\ndata: {\"type\":\"response.output_text.done\",\"sequence_number\":5,\"item_id\":\"msg_1\",\"output_index\":0,\"content_index\":0,\"text\":\"Hello there.\"}\n\n",
            "event: response.content_part.done\ndata: {\"type\":\"response.content_part.done\",\"sequence_number\":6,\"item_id\":\"msg_1\",\"output_index\":0,\"content_index\":0,\"part\":{\"type\":\"output_text\",\"text\":\"Hello there.\",\"annotations\":[]}}\n\n",
            "event: response.output_item.done\ndata: {\"type\":\"response.output_item.done\",\"sequence_number\":7,\"output_index\":0,\"item\":{\"type\":\"message\",\"id\":\"msg_1\",\"status\":\"completed\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":\"Hello there.\",\"annotations\":[]}]}}\n\n",
            "event: response.output_item.added\ndata: {\"type\":\"response.output_item.added\",\"sequence_number\":8,\"output_index\":1,\"item\":{\"type\":\"function_call\",\"id\":\"fc_1\",\"call_id\":\"call_1\",\"name\":\"look\",\"arguments\":\"\",\"status\":\"in_progress\"}}\n\n",
            "event: response.function_call_arguments.delta\ndata: {\"type\":\"response.function_call_arguments.delta\",\"sequence_number\":9,\"item_id\":\"fc_1\",\"output_index\":1,\"delta\":\"{\\\"city\\\":\\\"Bern\\\"}\"}\n\n",
            "event: response.function_call_arguments.done\ndata: {\"type\":\"response.function_call_arguments.done\",\"sequence_number\":10,\"item_id\":\"fc_1\",\"output_index\":1,\"arguments\":\"{\\\"city\\\":\\\"Bern\\\"}\"}\n\n",
            "event: response.output_item.done\ndata: {\"type\":\"response.output_item.done\",\"sequence_number\":11,\"output_index\":1,\"item\":{\"type\":\"function_call\",\"id\":\"fc_1\",\"call_id\":\"call_1\",\"name\":\"look\",\"arguments\":\"{\\\"city\\\":\\\"Bern\\\"}\",\"status\":\"completed\"}}\n\n",
            "event: response.completed\ndata: {\"type\":\"response.completed\",\"sequence_number\":12,\"response\":{\"id\":\"resp_1\",\"object\":\"response\",\"created_at\":1,\"status\":\"completed\",\"model\":\"m-1\",\"output\":[],\"usage\":{\"input_tokens\":9,\"input_tokens_details\":{\"cached_tokens\":4},\"output_tokens\":7,\"output_tokens_details\":{\"reasoning_tokens\":0},\"total_tokens\":16}}}\n\n",
        ],
    },
    Answering {
        model: "claude/m",
        path: "/v1/messages",
        key: "x-api-key",
        whole: r#"{"id":"msg_1","type":"message","role":"assistant","model":"m-1","content":[{"type":"thinking","thinking":"Hm.","signature":"c2ln"},{"type":"text","text":"Hello there."},{"type":"tool_use","id":"toolu_1","name":"look","input":{"city":"Bern"}}],"stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":5,"cache_read_input_tokens":4,"cache_creation_input_tokens":0,"output_tokens":7}}"#,
        stream: &[
            "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m-1\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":5,\"cache_read_input_tokens\":4,\"cache_creation_input_tokens\":0,\"output_tokens\":1}}}\n\n",
            "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}}\n\n",
            "event: ping\ndata: {\"type\":\"ping\"}\n\n",
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"Hm.\"}}\n\n",
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"signature_delta\",\"signature\":\"c2ln\"}}\n\n",
            "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
            "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello \"}}\n\n",
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":\"there.\"}}\n\n",
            "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":1}\n\n",
            "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":2,\"content_block\":{\"type\":\"tool_use\",\"id\":\"toolu_1\",\"name\":\"look\",\"input\":{}}}\n\n",
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":2,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"\"}}\n\n",
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":2,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"city\\\":\\\"Bern\\\"}\"}}\n\n",
            "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":2}\n\n",
            "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":7}}\n\n",
            "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
        ],
    },
    Answering {
        model: "gem/m",
        path: "/v1beta/models/m:",
        key: "x-goog-api-key",
        whole: r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"Hello there."},{"functionCall":{"name":"look","args":{"city":"Bern"}}}]},"index":0,"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":9,"cachedContentTokenCount":4,"candidatesTokenCount":5,"thoughtsTokenCount":2,"totalTokenCount":16},"modelVersion":"m-1","responseId":"r1"}"#,
        stream: &[
            "data: {\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\"Hello \"}]},\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":9,\"totalTokenCount\":9},\"modelVersion\":\"m-1\",\"responseId\":\"r1\"}\r\n\r\n",
            "data: {\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\"there.\"}]},\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":9,\"candidatesTokenCount\":3,\"totalTokenCount\":12},\"modelVersion\":\"m-1\",\"responseId\":\"r1\"}\r\n\r\n",
            "data: {\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"functionCall\":{\"name\":\"look\",\"args\":{\"city\":\"Bern\"}}}]},\"index\":0,\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":9,\"cachedContentTokenCount\":4,\"candidatesTokenCount\":5,\"thoughtsTokenCount\":2,\"totalTokenCount\":16},\"modelVersion\":\"m-1\",\"responseId\":\"r1\"}\r\n\r\n",
        ],
    },
    Answering {
        model: "bed/eu.anthropic.claude-sonnet-5-v1:0",
        path: "/model/eu.anthropic.claude-sonnet-5-v1%3A0/converse",
        key: "authorization",
        whole: r#"{"output":{"message":{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"Hm.","signature":"c2ln"}}},{"text":"Hello there."},{"toolUse":{"toolUseId":"tooluse_1","name":"look","input":{"city":"Bern"}}}]}},"stopReason":"tool_use","usage":{"inputTokens":5,"outputTokens":7,"totalTokens":16,"cacheReadInputTokens":4,"cacheWriteInputTokens":0},"metrics":{"latencyMs":12}}"#,
        // Each is the frame of an event: its name, and its payload.
        stream: &[
            "messageStart {\"p\":\"abc\",\"role\":\"assistant\"}",
            "contentBlockDelta {\"contentBlockIndex\":0,\"delta\":{\"reasoningContent\":{\"text\":\"Hm.\"}},\"p\":\"ab\"}",
            "contentBlockDelta {\"contentBlockIndex\":0,\"delta\":{\"reasoningContent\":{\"signature\":\"c2ln\"}}}",
            "contentBlockStop {\"contentBlockIndex\":0}",
            "contentBlockDelta {\"contentBlockIndex\":1,\"delta\":{\"text\":\"Hello \"},\"p\":\"abcdefgh\"}",
            "contentBlockDelta {\"contentBlockIndex\":1,\"delta\":{\"text\":\"there.\"}}",
            "contentBlockStop {\"contentBlockIndex\":1}",
            "contentBlockStart {\"contentBlockIndex\":2,\"start\":{\"toolUse\":{\"name\":\"look\",\"toolUseId\":\"tooluse_1\"}}}",
            "contentBlockDelta {\"contentBlockIndex\":2,\"delta\":{\"toolUse\":{\"input\":\"{\\\"city\\\":\"}}}",
            "contentBlockDelta {\"contentBlockIndex\":2,\"delta\":{\"toolUse\":{\"input\":\"\\\"Bern\\\"}\"}}}",
            "contentBlockStop {\"contentBlockIndex\":2}",
            "messageStop {\"stopReason\":\"tool_use\"}",
            "metadata {\"metrics\":{\"latencyMs\":12},\"usage\":{\"inputTokens\":5,\"outputTokens\":7,\"totalTokens\":16,\"cacheReadInputTokens\":4,\"cacheWriteInputTokens\":0}}",
        ],
    },
];

/// A provider: its model, the path and the key's header of calls, and its answers.
pub struct Answering {
    pub model: &'static str,
    path: &'static str,
    key: &'static str,
    pub whole: &'static str,
    pub stream: &'static [&'static str],
}

impl Answering {
    /// The stream of the first `count` of its events.
    pub fn streamed(&self, count: usize) -> Script {
        let events = &self.stream[..count];
        if !self.path.starts_with("/model/") {
            return Script::stream(events);
        }
        let event = |text: &&str| text.split_once(' ').map(|(name, payload)| frames::event(name, payload));
        Script::frames(events.iter().filter_map(event))
    }
}

/// The client dialects.
pub const CLIENTS: [&str; 4] = ["chat", "responses", "messages", "gemini"];

/// A call with a system text, one question and one tool.
pub fn call(client: &str, model: &str, stream: bool) -> Call {
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    match client {
        "chat" => Call::post(
            "/v1/chat/completions",
            &json!({"model": model, "stream": stream, "max_tokens": 50, "messages": [
                {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Weather?"}],
                "tools": [{"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": schema}}]}),
        ),
        "responses" => Call::post(
            "/v1/responses",
            &json!({"model": model, "stream": stream, "max_output_tokens": 50, "instructions": "Be brief.",
                "input": "Weather?",
                "tools": [{"type": "function", "name": "look", "description": "Looks.", "parameters": schema}]}),
        ),
        "messages" => Call::post(
            "/v1/messages",
            &json!({"model": model, "stream": stream, "max_tokens": 50, "system": "Be brief.",
                "messages": [{"role": "user", "content": "Weather?"}],
                "tools": [{"name": "look", "description": "Looks.", "input_schema": schema}]}),
        )
        .header("anthropic-version", "2026-10-21"),
        _ => {
            let method = if stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
            Call::post(
                &format!("/v1beta/models/{model}:{method}"),
                &json!({"systemInstruction": {"parts": [{"text": "Be brief."}]},
                    "contents": [{"role": "user", "parts": [{"text": "Weather?"}]}],
                    "generationConfig": {"maxOutputTokens": 50},
                    "tools": [{"functionDeclarations": [{"name": "look", "description": "Looks.", "parametersJsonSchema": schema}]}]}),
            )
        }
    }
}

/// What an answer says to its client: text, the tool's name and arguments, tokens in, of these cached, and out.
pub type Seen = (String, String, Value, u64, u64, u64);

fn tokens(usage: &Value, place: &str) -> u64 {
    usage.pointer(place).and_then(Value::as_u64).unwrap_or(0)
}

pub fn seen_in_whole(client: &str, answer: &Value) -> Seen {
    let text = |place: &str| answer.pointer(place).and_then(Value::as_str).unwrap_or_default().to_owned();
    let parsed = |text: &str| serde_json::from_str(text).unwrap_or_default();
    let of_type = |list: &str, kind: &str| {
        let list = answer[list].as_array().cloned().unwrap_or_default();
        list.into_iter().find(|item| item["type"] == kind).unwrap_or_default()
    };
    match client {
        "chat" => {
            let call = &answer["choices"][0]["message"]["tool_calls"][0]["function"];
            (
                text("/choices/0/message/content"),
                call["name"].as_str().unwrap_or_default().to_owned(),
                parsed(call["arguments"].as_str().unwrap_or_default()),
                tokens(answer, "/usage/prompt_tokens"),
                tokens(answer, "/usage/prompt_tokens_details/cached_tokens"),
                tokens(answer, "/usage/completion_tokens"),
            )
        }
        "responses" => {
            let (message, call) = (of_type("output", "message"), of_type("output", "function_call"));
            (
                message["content"][0]["text"].as_str().unwrap_or_default().to_owned(),
                call["name"].as_str().unwrap_or_default().to_owned(),
                parsed(call["arguments"].as_str().unwrap_or_default()),
                tokens(answer, "/usage/input_tokens"),
                tokens(answer, "/usage/input_tokens_details/cached_tokens"),
                tokens(answer, "/usage/output_tokens"),
            )
        }
        "messages" => {
            let (texts, call) = (of_type("content", "text"), of_type("content", "tool_use"));
            let cached = tokens(answer, "/usage/cache_read_input_tokens");
            (
                texts["text"].as_str().unwrap_or_default().to_owned(),
                call["name"].as_str().unwrap_or_default().to_owned(),
                call["input"].clone(),
                tokens(answer, "/usage/input_tokens") + cached,
                cached,
                tokens(answer, "/usage/output_tokens"),
            )
        }
        _ => {
            let parts = answer["candidates"][0]["content"]["parts"].as_array().cloned().unwrap_or_default();
            let texts = parts.iter().filter(|part| part["thought"] != true).filter_map(|part| part["text"].as_str());
            let call = parts.iter().find_map(|part| part.get("functionCall")).cloned().unwrap_or_default();
            let usage = &answer["usageMetadata"];
            (
                texts.collect(),
                call["name"].as_str().unwrap_or_default().to_owned(),
                call["args"].clone(),
                tokens(usage, "/promptTokenCount"),
                tokens(usage, "/cachedContentTokenCount"),
                tokens(usage, "/candidatesTokenCount") + tokens(usage, "/thoughtsTokenCount"),
            )
        }
    }
}

/// The data of a stream's events.
pub fn data(text: &str) -> Vec<Value> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("data: "));
    lines.filter_map(|data| serde_json::from_str(data).ok()).collect()
}

/// What the events of a stream bring piece by piece.
#[derive(Default)]
struct Gathered {
    text: String,
    name: String,
    arguments: String,
    /// A whole answer that has the stream's usage, in its dialect.
    last: Value,
}

fn take(place: &mut String, value: &Value) {
    place.push_str(value.as_str().unwrap_or_default());
}

/// A stream put together by its client's own rules.
pub fn seen_in_stream(client: &str, answer: &Answer) -> Seen {
    let (events, whole) = (data(answer.text()), answer.text());
    let Gathered { text, name, arguments, last } = match client {
        "chat" => gathered_chat(&events, whole),
        "responses" => gathered_responses(&events, whole),
        "messages" => gathered_messages(&events, whole),
        _ => gathered_gemini(&events),
    };
    let (.., input, cached, output) = seen_in_whole(client, &last);
    (text, name, serde_json::from_str(&arguments).unwrap_or_default(), input, cached, output)
}

fn gathered_chat(events: &[Value], whole: &str) -> Gathered {
    assert!(whole.ends_with("data: [DONE]\n\n"), "{whole}");
    let mut gathered = Gathered::default();
    for event in events {
        let delta = &event["choices"][0]["delta"];
        take(&mut gathered.text, &delta["content"]);
        take(&mut gathered.name, &delta["tool_calls"][0]["function"]["name"]);
        take(&mut gathered.arguments, &delta["tool_calls"][0]["function"]["arguments"]);
    }
    gathered
}

fn gathered_responses(events: &[Value], whole: &str) -> Gathered {
    let numbers: Vec<u64> = events.iter().map(|event| tokens(event, "/sequence_number")).collect();
    assert!(numbers.iter().copied().eq(0..numbers.len() as u64), "{numbers:?}");
    let end = events.last().cloned().unwrap_or_default();
    assert_eq!(end["type"], "response.completed", "{whole}");
    let last = json!({"usage": end["response"]["usage"], "output": []});
    let mut gathered = Gathered { last, ..Gathered::default() };
    for event in events {
        match event["type"].as_str().unwrap_or_default() {
            "response.output_text.delta" => take(&mut gathered.text, &event["delta"]),
            "response.function_call_arguments.delta" => take(&mut gathered.arguments, &event["delta"]),
            "response.output_item.added" => take(&mut gathered.name, &event["item"]["name"]),
            _ => {}
        }
    }
    gathered
}

fn gathered_messages(events: &[Value], whole: &str) -> Gathered {
    let starts = events.iter().filter(|event| event["type"] == "message_start").count();
    assert_eq!(starts, 1, "{whole}");
    assert!(whole.contains("event: message_stop\n"), "{whole}");
    let mut gathered = Gathered::default();
    let mut usage = Value::Null;
    let mut open = None;
    for event in events {
        match event["type"].as_str().unwrap_or_default() {
            "message_start" => usage = event["message"]["usage"].clone(),
            "content_block_start" => {
                assert_eq!(open.replace(event["index"].clone()), None, "{whole}");
                take(&mut gathered.name, &event["content_block"]["name"]);
            }
            "content_block_delta" => {
                assert_eq!(open.as_ref(), Some(&event["index"]), "{whole}");
                take(&mut gathered.text, &event["delta"]["text"]);
                take(&mut gathered.arguments, &event["delta"]["partial_json"]);
            }
            "content_block_stop" => assert_eq!(open.take(), Some(event["index"].clone())),
            "message_delta" => {
                let counts = event["usage"].as_object().cloned().unwrap_or_default();
                counts.into_iter().for_each(|(name, count)| usage[name] = count);
            }
            _ => {}
        }
    }
    gathered.last = json!({"usage": usage});
    gathered
}

fn gathered_gemini(events: &[Value]) -> Gathered {
    let mut gathered = Gathered::default();
    for event in events {
        let (texts, called, args, ..) = seen_in_whole("gemini", event);
        gathered.text.push_str(&texts);
        gathered.name.push_str(&called);
        if !args.is_null() {
            gathered.arguments.push_str(&args.to_string());
        }
        gathered.last = json!({"usageMetadata": event["usageMetadata"]});
    }
    gathered
}

fn expected() -> Seen {
    ("Hello there.".to_owned(), "look".to_owned(), json!({"city": "Bern"}), 9, 4, 7)
}

#[tokio::test]
async fn every_client_hears_every_provider_whole() {
    let app = TestApp::with(PROVIDERS).await;
    for provider in &ANSWERING {
        for client in CLIENTS {
            app.up.next(Script::json(200, provider.whole));
            let answer = app.send(call(client, provider.model, false).key(&app.key)).await;
            assert_eq!(answer.status, 200, "{client} from {}: {}", provider.model, answer.text());
            assert_eq!(
                seen_in_whole(client, &answer.json()),
                expected(),
                "{client} from {}: {}",
                provider.model,
                answer.text()
            );
            let sent = app.up.received().pop().unwrap();
            assert!(sent.path.starts_with(provider.path), "{client} to {}: {}", provider.model, sent.path);
            assert!(
                sent.header(provider.key).is_some_and(|key| key.ends_with(UP_KEY)),
                "{client} to {}",
                provider.model
            );
            let body = sent.json().to_string();
            for word in ["Be brief.", "Weather?", "look", "city"] {
                assert!(body.contains(word), "{client} to {}: {body}", provider.model);
            }
            let row = app.row(answer.id()).await;
            let counts = ["input_tokens", "cached_input_tokens", "output_tokens"].map(|name| row[name].clone());
            assert_eq!(counts, [json!(9), json!(4), json!(7)], "{client} from {}", provider.model);
        }
    }
    app.close().await;
}

#[tokio::test]
async fn every_client_hears_every_provider_streamed() {
    let app = TestApp::with(PROVIDERS).await;
    for provider in &ANSWERING {
        for client in CLIENTS {
            app.up.next(provider.streamed(provider.stream.len()));
            let answer = app.send(call(client, provider.model, true).key(&app.key)).await;
            assert_eq!(answer.status, 200, "{client} from {}: {}", provider.model, answer.text());
            let mut seen = seen_in_stream(client, &answer);
            if client == "chat" {
                // Its caller did not ask for usage.
                (seen.3, seen.4, seen.5) = (9, 4, 7);
            }
            assert_eq!(seen, expected(), "{client} from {}: {}", provider.model, answer.text());
            let row = app.row(answer.id()).await;
            let counts = ["input_tokens", "cached_input_tokens", "output_tokens"].map(|name| row[name].clone());
            assert_eq!(counts, [json!(9), json!(4), json!(7)], "{client} from {}", provider.model);
            assert_eq!((&row["status"], &row["estimated"]), (&json!("ok"), &json!(false)));
        }
    }
    app.close().await;
}

#[tokio::test]
async fn a_stream_that_is_cut_ends_as_an_error_in_every_dialect() {
    let app = TestApp::with(PROVIDERS).await;
    for provider in &ANSWERING {
        for client in CLIENTS {
            let cut = provider.stream.len() - if provider.stream.len() > 3 { 3 } else { 1 };
            app.up.next(provider.streamed(cut));
            let answer = app.send(call(client, provider.model, true).key(&app.key)).await;
            let text = answer.text();
            let ends_in_error = match client {
                "chat" => text.contains("data: {\"error\":") && !text.contains("[DONE]"),
                "responses" => text.contains("event: error\n") && !text.contains("response.completed"),
                "messages" => text.contains("event: error\n") && !text.contains("message_stop"),
                _ => text.contains("\"error\":") && !text.contains("finishReason"),
            };
            assert!(ends_in_error, "{client} from {}: {text}", provider.model);
            let row = app.row(answer.id()).await;
            assert_eq!((&row["status"], &row["estimated"]), (&json!("error"), &row["estimated"]));
        }
    }
    app.close().await;
}

#[tokio::test]
async fn errors_have_the_callers_own_shape() {
    let app = TestApp::with(PROVIDERS).await;
    for client in CLIENTS {
        let answer = app.send(call(client, "no-such-model", false).key(&app.key)).await;
        assert_eq!(answer.status, 404, "{client}: {}", answer.text());
        let error = answer.json();
        let kind = match client {
            "messages" => {
                assert_eq!((&error["type"], error["request_id"].is_string()), (&json!("error"), true));
                error["error"]["type"].clone()
            }
            "gemini" => {
                assert_eq!(error["error"]["code"], 404);
                error["error"]["status"].clone()
            }
            _ => error["error"]["code"].clone(),
        };
        let expected = match client {
            "messages" => "not_found_error",
            "gemini" => "NOT_FOUND",
            _ => "model_not_found",
        };
        assert_eq!(kind, expected, "{client}: {error}");
        let unknown = app.send(call(client, "claude/m", false).key("fk-nope")).await;
        assert_eq!(unknown.status, 401, "{client}");
    }
    assert_eq!(app.up.count(), 0);
    app.close().await;
}

#[tokio::test]
async fn the_same_dialect_passes_byte_for_byte_but_for_the_model() {
    let app = TestApp::with(PROVIDERS).await;
    let body = "{ \"model\" : \"claude/m\", \"max_tokens\":5,\n \"x_new\": {\"b\":1,\"a\":2}, \"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"\\u0048i\",\"cache_control\":{\"type\":\"ephemeral\",\"ttl\":\"1h\"}}]}]}";
    app.up.next(Script::json(200, ANSWERING[2].whole));
    let call = Call::new("POST", "/v1/messages", body)
        .header("anthropic-version", "2026-10-21")
        .header("anthropic-beta", "a-1,b-2")
        .header("x-stainless-lang", "python")
        .key(&app.key);
    let answer = app.send(call).await;
    assert_eq!(answer.text(), ANSWERING[2].whole);
    let sent = app.up.only();
    assert_eq!(std::str::from_utf8(&sent.body).unwrap(), body.replace("claude/m", "m"));
    assert_eq!(sent.header("anthropic-version"), Some("2026-10-21"));
    assert_eq!(sent.header("anthropic-beta"), Some("a-1,b-2"));
    assert_eq!(sent.header("x-stainless-lang"), None);
    app.close().await;
}

#[tokio::test]
async fn what_cannot_be_said_is_refused_by_name_and_sent_nowhere() {
    let app = TestApp::with(PROVIDERS).await;
    let chat = |more: Value| {
        let mut body = json!({"model": "claude/m", "messages": [{"role": "user", "content": "Hi"}]});
        body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        Call::post("/v1/chat/completions", &body)
    };
    for (more, param) in [
        (json!({"n": 2}), "n"),
        (json!({"logit_bias": {"1": 2}}), "logit_bias"),
        (json!({"seed": 7}), "seed"),
        (json!({"temperature": 1.5}), "temperature"),
        (json!({"grammar": "x"}), "grammar"),
    ] {
        let answer = app.send(chat(more).key(&app.key)).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "unsupported_feature"), "{}", answer.text());
        assert_eq!(answer.param(), param);
    }
    assert_eq!(app.up.count(), 0);
    app.close().await;
}

#[tokio::test]
async fn a_prompt_is_called_in_every_dialect() {
    let app = TestApp::with(PROVIDERS).await;
    let prompt = json!({"name": "greet", "messages": [
        {"role": "system", "content": "You greet {{ who }}."}, {"role": "user", "content": "Greet!"}],
        "variables": {"who": {"type": "string"}}, "settings": {"model": "claude/m", "max_tokens": 33},
        "labels": ["production"]});
    let made = app.admin(Call::post("/api/v1/prompts", &prompt)).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let variables = json!({"id": "greet", "variables": {"who": "Ada"}});
    let calls = [
        Call::post("/v1/chat/completions", &json!({"prompt": variables})),
        Call::post("/v1/responses", &json!({"prompt": variables})),
        Call::post("/v1/messages", &json!({"model": "prompt/greet", "prompt": variables})),
        Call::post("/v1beta/models/prompt/greet:generateContent", &json!({"prompt": variables})),
    ];
    for call in calls {
        app.up.next(Script::json(200, ANSWERING[2].whole));
        let answer = app.send(call.key(&app.key)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("x-fulcrum-prompt"), Some("greet@1"));
        let sent = app.up.received().pop().unwrap().json();
        assert!(sent["system"].to_string().contains("You greet Ada."), "{sent}");
        assert!(sent["messages"].to_string().contains("Greet!"), "{sent}");
        assert_eq!((&sent["model"], &sent["max_tokens"], &sent["prompt"]), (&json!("m"), &json!(33), &Value::Null));
    }
    app.close().await;
}

#[tokio::test]
async fn tokens_are_counted_by_the_provider_or_by_estimate() {
    let app = TestApp::with(PROVIDERS).await;
    let call = |model: &str| {
        let body = json!({"model": model, "messages": [{"role": "user", "content": "How many tokens is this?"}]});
        Call::post("/v1/messages/count_tokens", &body)
    };
    app.up.next(Script::json(200, r#"{"input_tokens":14}"#));
    let counted = app.send(call("claude/m").key(&app.key)).await;
    assert_eq!((counted.status, counted.json()), (200, json!({"input_tokens": 14})), "{}", counted.text());
    assert_eq!(app.up.only().path, "/v1/messages/count_tokens");
    for model in ["plain/m", "bed/m"] {
        let estimated = app.send(call(model).key(&app.key)).await;
        assert!(estimated.json()["input_tokens"].as_u64().is_some_and(|tokens| tokens > 5), "{}", estimated.text());
        assert_eq!(estimated.header("x-fulcrum-emulated"), Some("count_tokens"), "{model}");
    }
    assert_eq!(app.up.count(), 1);
    app.close().await;
}

#[tokio::test]
async fn models_are_listed_as_the_caller_reads_them() {
    let app = TestApp::with(PROVIDERS).await;
    let listed = app.send(Call::get("/v1/models").header("anthropic-version", "2026-10-21").key(&app.key)).await.json();
    assert_eq!((&listed["has_more"], &listed["data"][0]["type"]), (&json!(false), &json!("model")), "{listed}");
    assert_eq!(listed["first_id"], listed["data"][0]["id"]);
    let one = app.send(Call::get("/v1/models/fast").header("anthropic-version", "2026-10-21").key(&app.key)).await;
    assert_eq!((&one.json()["id"], &one.json()["type"]), (&json!("fast"), &json!("model")));
    let none = app.send(Call::get("/v1/models/nope").header("anthropic-version", "2026-10-21").key(&app.key)).await;
    assert_eq!((none.status, &none.json()["error"]["type"]), (404, &json!("not_found_error")));
    app.close().await;
}

#[tokio::test]
async fn a_provider_without_responses_is_asked_in_chat_from_then_on() {
    let app = TestApp::with(PROVIDERS).await;
    app.up.next(Script::error(404, "no such route"));
    app.up.next(Script::json(200, ANSWERING[0].whole));
    app.up.next(Script::json(200, ANSWERING[0].whole));
    for attempts in ["2", "1"] {
        let answer = app.send(call("responses", "up/m", false).key(&app.key)).await;
        assert_eq!(seen_in_whole("responses", &answer.json()), expected(), "{}", answer.text());
        assert_eq!(answer.header("x-fulcrum-attempts"), Some(attempts));
    }
    let paths: Vec<String> = app.up.received().into_iter().map(|sent| sent.path).collect();
    assert_eq!(paths, ["/v1/responses", "/v1/chat/completions", "/v1/chat/completions"]);
    app.close().await;
}

#[tokio::test]
async fn writes_to_a_cache_for_an_hour_are_charged_and_told_apart() {
    let price = r#"
[models.hour]
provider = "claude"
model = "m"
price = { input = "1", output = "1", cache_write = "2", cache_write_1h = "3" }
"#;
    let app = TestApp::with(&format!("{PROVIDERS}{price}")).await;
    let usage = json!({"input_tokens": 1, "cache_creation_input_tokens": 9, "cache_read_input_tokens": 0, "output_tokens": 1,
        "cache_creation": {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 4}});
    let answer = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
        "content": [{"type": "text", "text": "Hi"}], "usage": usage});
    app.up.always(Script::json(200, answer.to_string()));
    let body = json!({"model": "hour", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]});
    let row = app.row(app.send(Call::post("/v1/messages", &body).key(&app.key)).await.id()).await;
    let attempt = &row["attempts"][0];
    assert_eq!((&attempt["cache_write_tokens"], &attempt["cache_write_1h_tokens"]), (&json!(9), &json!(4)));
    assert_eq!(attempt["cost_usd"], "0.000024");
    app.close().await;
}
