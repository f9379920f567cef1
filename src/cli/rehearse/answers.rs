//! Answers of a rehearsal, in the dialect of each call.

use bytes::Bytes;
use serde_json::json;

use crate::chat::Response;
use crate::upstream::{InProcessCall, Operation};
use crate::wire::DialectId;
use crate::wire::dialect::AnswerContext;

/// The words of every good answer, by which a caller's stream shows that its content began.
pub const WORDS: &str = "rehearsed";

/// What a judge says of each.
pub const JUDGEMENT: &str = "{\"good\": true}";

/// A good answer to one call.
pub struct Answers {
    /// The dialect that the call is of.
    pub dialect: DialectId,
    body: Bytes,
    context: AnswerContext,
}

impl Answers {
    /// The answer to `call` in these words; `None` where it asks for what is not rehearsed.
    pub fn of(call: &InProcessCall<'_>, words: &str, has_usage: bool) -> Option<Self> {
        let dialect = match call.operation {
            Operation::Chat => DialectId::OpenAiChat,
            Operation::Responses => DialectId::OpenAiResponses,
            Operation::Messages => DialectId::Anthropic,
            Operation::Generate => DialectId::Gemini,
            _ => return None,
        };
        let context = AnswerContext {
            model: call.model.to_owned(),
            include_usage: has_usage,
            choices: 1,
            input_tokens: 9,
            id: "rehearsal".to_owned(),
            ..AnswerContext::default()
        };
        let usage = json!({"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12});
        let mut chat = json!({
            "id": "rehearsal", "object": "chat.completion", "created": 1_700_000_000, "model": call.model,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": words}, "finish_reason": "stop"}],
        });
        if has_usage {
            chat["usage"] = usage;
        }
        let chat = Bytes::from(chat.to_string());
        let body = match dialect {
            DialectId::OpenAiChat => chat,
            dialect => {
                let response = DialectId::OpenAiChat.codec().read_response(&chat).ok()?;
                dialect.codec().write_response(&response, &context)
            }
        };
        Some(Self { dialect, body, context })
    }

    /// All of it.
    pub fn whole(&self) -> Bytes {
        self.body.clone()
    }

    /// Its events, and the place of the first that has content.
    pub fn events(&self) -> (Vec<Bytes>, usize) {
        let codec = self.dialect.codec();
        let mut writer = codec.stream_writer(&self.context);
        let mut events = Vec::new();
        for event in codec.read_response(&self.body).map(Response::into_events).unwrap_or_default() {
            let mut out = Vec::new();
            writer.write(event, &mut out);
            writer.flush(&mut out);
            events.push(Bytes::from(out));
        }
        events.retain(|event| !event.is_empty());
        let content = events.iter().position(|event| memchr::memmem::find(event, WORDS.as_bytes()).is_some());
        let content = content.unwrap_or_default();
        (events, content)
    }
}

/// An error as a server of the dialect writes it.
pub fn error_body(dialect: DialectId, status: u16, message: &str) -> Bytes {
    let error = match dialect {
        DialectId::OpenAiChat | DialectId::OpenAiResponses => {
            json!({"error": {"message": message, "type": "server_error", "param": null, "code": null}})
        }
        DialectId::Anthropic => json!({"type": "error", "error": {"type": "api_error", "message": message}}),
        DialectId::Gemini => json!({"error": {"code": status, "message": message, "status": "UNKNOWN"}}),
    };
    Bytes::from(error.to_string())
}

/// An event that says that the stream failed.
pub fn error_event(dialect: DialectId) -> Bytes {
    let body = match dialect {
        DialectId::OpenAiResponses => {
            json!({"type": "error", "code": "server_error", "message": "rehearsed error", "param": null, "sequence_number": 0})
                .to_string()
        }
        dialect => String::from_utf8_lossy(&error_body(dialect, 503, "rehearsed error")).into_owned(),
    };
    let name = match dialect {
        DialectId::Anthropic | DialectId::OpenAiResponses => "event: error\n",
        DialectId::OpenAiChat | DialectId::Gemini => "",
    };
    Bytes::from(format!("{name}data: {body}\n\n"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn call<'a>(operation: Operation, body: &'a Bytes) -> InProcessCall<'a> {
        let form: Option<&'a HeaderValue> = None;
        let deadline = tokio::time::Instant::now();
        InProcessCall { operation, model: "m", stream: true, body, form, profile: None, deadline }
    }

    #[tokio::test]
    async fn every_dialect_has_an_answer_and_a_stream_with_content() {
        let body = Bytes::new();
        for operation in [Operation::Chat, Operation::Responses, Operation::Messages, Operation::Generate] {
            let answers = Answers::of(&call(operation, &body), WORDS, true).unwrap();
            let read = answers.dialect.codec().read_response(&answers.whole()).unwrap();
            assert!(read.usage.is_some(), "{operation:?}");
            let (events, content) = answers.events();
            assert!(
                content < events.len() && String::from_utf8_lossy(&events[content]).contains(WORDS),
                "{operation:?}"
            );
        }
        assert!(Answers::of(&call(Operation::CountTokens, &body), WORDS, true).is_none());
    }
}
