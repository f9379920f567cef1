//! Providers and clients of every dialect: what the ones answer, and what the others read of it.

use serde_json::{Value, json};

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
    pub path: &'static str,
    pub key: &'static str,
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
