//! The mock's answers and the requests in each dialect: one conversation, written four times.

use bytes::Bytes;
use serde_json::{Value, json};

/// How many pieces of text a stream has.
pub(crate) const PIECES: usize = 100;

const ANSWER: &str = "Thank you for writing to us about your order. The parcel left our warehouse yesterday and should reach you \
    within two working days. If it has not arrived by then, reply to this message and we will send another one at no cost to you.";
const SYSTEM: &str = "You answer customers of Acme, a shop for household goods. Be friendly and short. Name the order's number \
    where the customer gives one. Never promise a refund; say that a colleague will look at it within one working day. \
    Answer in the customer's language. Do not repeat the question. End with the name of the team.";
const USER: &str = "Hello, I ordered an espresso machine two weeks ago (order B-1182) and it still has not arrived. The tracking \
    page has said 'in transit' since last Tuesday. Could you please tell me where it is, and what I can do if it does not \
    come this week? I will be travelling from Friday on and nobody will be at home to take it.";
const PIECE: &str = " reliable";

/// A dialect of callers and providers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Chat,
    Responses,
    Messages,
    Generate,
}

pub(crate) const ALL: [Dialect; 4] = [Dialect::Chat, Dialect::Responses, Dialect::Messages, Dialect::Generate];

impl Dialect {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Responses => "responses",
            Self::Messages => "messages",
            Self::Generate => "generate",
        }
    }

    /// The dialect whose route `path` is.
    pub(crate) fn at(path: &str) -> Self {
        match path {
            path if path.contains("enerateContent") => Self::Generate,
            path if path.ends_with("/messages") => Self::Messages,
            path if path.ends_with("/responses") => Self::Responses,
            _ => Self::Chat,
        }
    }

    /// Where a caller asks for `model`.
    pub(crate) fn path(self, model: &str, stream: bool) -> String {
        match self {
            Self::Chat => "/v1/chat/completions".to_owned(),
            Self::Responses => "/v1/responses".to_owned(),
            Self::Messages => "/v1/messages".to_owned(),
            Self::Generate if stream => format!("/v1beta/models/{model}:streamGenerateContent?alt=sse"),
            Self::Generate => format!("/v1beta/models/{model}:generateContent"),
        }
    }

    /// What a caller asks, about a kilobyte.
    pub(crate) fn request(self, model: &str, stream: bool) -> Value {
        let mut body = match self {
            Self::Chat => json!({
                "model": model, "temperature": 0.2, "max_tokens": 300,
                "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": USER}],
            }),
            Self::Responses => json!({
                "model": model, "temperature": 0.2, "max_output_tokens": 300, "instructions": SYSTEM, "input": USER,
            }),
            Self::Messages => json!({
                "model": model, "temperature": 0.2, "max_tokens": 300, "system": SYSTEM,
                "messages": [{"role": "user", "content": USER}],
            }),
            Self::Generate => json!({
                "systemInstruction": {"parts": [{"text": SYSTEM}]},
                "contents": [{"role": "user", "parts": [{"text": USER}]}],
                "generationConfig": {"temperature": 0.2, "maxOutputTokens": 300},
            }),
        };
        if stream && self != Self::Generate {
            body["stream"] = json!(true);
        }
        body
    }

    /// A whole answer.
    pub(crate) fn whole(self) -> Value {
        match self {
            Self::Chat => json!({
                "id": "chatcmpl-bench", "object": "chat.completion", "created": 1_767_225_600, "model": "bench",
                "choices": [{"index": 0, "message": {"role": "assistant", "content": ANSWER, "refusal": null},
                    "logprobs": null, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 143, "completion_tokens": 52, "total_tokens": 195,
                    "prompt_tokens_details": {"cached_tokens": 0}, "completion_tokens_details": {"reasoning_tokens": 0}},
                "system_fingerprint": "fp_bench",
            }),
            Self::Responses => json!({
                "id": "resp_bench", "object": "response", "created_at": 1_767_225_600, "status": "completed", "model": "bench",
                "output": [item(ANSWER, "completed")], "usage": responses_usage(52),
            }),
            Self::Messages => json!({
                "id": "msg_bench", "type": "message", "role": "assistant", "model": "bench",
                "content": [{"type": "text", "text": ANSWER}], "stop_reason": "end_turn", "stop_sequence": null,
                "usage": {"input_tokens": 143, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 52},
            }),
            Self::Generate => json!({
                "candidates": [{"content": {"parts": [{"text": ANSWER}], "role": "model"}, "finishReason": "STOP", "index": 0}],
                "usageMetadata": {"promptTokenCount": 143, "candidatesTokenCount": 52, "totalTokenCount": 195},
                "modelVersion": "bench", "responseId": "bench",
            }),
        }
    }

    /// A stream's events.
    pub(crate) fn events(self) -> Vec<Bytes> {
        match self {
            Self::Chat => chat_events(),
            Self::Responses => responses_events(),
            Self::Messages => messages_events(),
            Self::Generate => generate_events(),
        }
    }
}

fn unnamed(data: &Value) -> Bytes {
    format!("data: {data}\n\n").into()
}

/// An event that is named by its own type.
fn named(data: &Value) -> Bytes {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap_or_default()).into()
}

fn chat_events() -> Vec<Bytes> {
    let chunk = |choices: Value, usage: Option<Value>| {
        let mut chunk = json!({
            "id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1_767_225_600, "model": "bench",
            "system_fingerprint": "fp_bench", "choices": choices,
        });
        if let Some(usage) = usage {
            chunk["usage"] = usage;
        }
        unnamed(&chunk)
    };
    let choice =
        |delta: Value, finish: Value| json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]);
    let first = chunk(choice(json!({"role": "assistant", "content": "", "refusal": null}), Value::Null), None);
    let pieces = (0..PIECES).map(|_| chunk(choice(json!({"content": PIECE}), Value::Null), None));
    let usage = json!({"prompt_tokens": 143, "completion_tokens": PIECES, "total_tokens": 143 + PIECES});
    let last = [
        chunk(choice(json!({}), json!("stop")), None),
        chunk(json!([]), Some(usage)),
        Bytes::from_static(b"data: [DONE]\n\n"),
    ];
    std::iter::once(first).chain(pieces).chain(last).collect()
}

fn item(text: &str, status: &str) -> Value {
    let part = json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []});
    json!({"id": "msg_bench", "type": "message", "status": status, "role": "assistant", "content": [part]})
}

fn responses_usage(output: usize) -> Value {
    json!({"input_tokens": 143, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 143 + output})
}

fn responses_events() -> Vec<Bytes> {
    let whole = PIECE.repeat(PIECES);
    let response = |status: &str, output: Value, usage: Value| {
        json!({"id": "resp_bench", "object": "response", "created_at": 1_767_225_600, "status": status, "model": "bench",
            "output": output, "usage": usage})
    };
    let begun = response("in_progress", json!([]), Value::Null);
    let ended = response("completed", json!([item(&whole, "completed")]), responses_usage(PIECES));
    let part = |text: &str| json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []});
    let mut all = vec![
        json!({"type": "response.created", "response": begun}),
        json!({"type": "response.in_progress", "response": begun}),
        json!({"type": "response.output_item.added", "output_index": 0, "item":
            {"id": "msg_bench", "type": "message", "status": "in_progress", "role": "assistant", "content": []}}),
        json!({"type": "response.content_part.added", "item_id": "msg_bench", "output_index": 0, "content_index": 0,
            "part": part("")}),
    ];
    all.extend((0..PIECES).map(|_| {
        json!({"type": "response.output_text.delta", "item_id": "msg_bench", "output_index": 0, "content_index": 0,
            "delta": PIECE, "logprobs": []})
    }));
    all.extend([
        json!({"type": "response.output_text.done", "item_id": "msg_bench", "output_index": 0, "content_index": 0,
            "text": whole, "logprobs": []}),
        json!({"type": "response.content_part.done", "item_id": "msg_bench", "output_index": 0, "content_index": 0,
            "part": part(&whole)}),
        json!({"type": "response.output_item.done", "output_index": 0, "item": item(&whole, "completed")}),
        json!({"type": "response.completed", "response": ended}),
    ]);
    let numbered = all.into_iter().enumerate().map(|(n, mut event)| {
        event["sequence_number"] = json!(n);
        named(&event)
    });
    numbered.collect()
}

fn messages_events() -> Vec<Bytes> {
    let usage = json!({"input_tokens": 143, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 1});
    let message = json!({"id": "msg_bench", "type": "message", "role": "assistant", "model": "bench", "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": usage});
    let mut all = vec![
        named(&json!({"type": "message_start", "message": message})),
        named(&json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})),
        named(&json!({"type": "ping"})),
    ];
    let delta = json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": PIECE}});
    all.extend(std::iter::repeat_n(named(&delta), PIECES));
    all.extend([
        named(&json!({"type": "content_block_stop", "index": 0})),
        named(&json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null},
            "usage": {"output_tokens": PIECES}})),
        named(&json!({"type": "message_stop"})),
    ]);
    all
}

fn generate_events() -> Vec<Bytes> {
    let chunk = |text: &str, finish: bool, count: usize| {
        let mut candidate = json!({"content": {"parts": [{"text": text}], "role": "model"}, "index": 0});
        if finish {
            candidate["finishReason"] = json!("STOP");
        }
        unnamed(&json!({"candidates": [candidate], "modelVersion": "bench", "responseId": "bench",
            "usageMetadata": {"promptTokenCount": 143, "candidatesTokenCount": count, "totalTokenCount": 143 + count}}))
    };
    (1..=PIECES).map(|n| chunk(PIECE, n == PIECES, n)).collect()
}
