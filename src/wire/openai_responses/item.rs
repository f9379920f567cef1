//! The items of an answer as its stream builds them.

use serde_json::{Value, json};

use super::part_write::output_text;
use crate::wire::openai::input_of;

/// The item that is open.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) id: String,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// A message: its parts that ended, and the open one.
    Message {
        content: Vec<Value>,
        open: Option<OpenPart>,
    },
    /// A thought and its proof.
    Reasoning {
        text: Option<String>,
        proof: Option<String>,
    },
    Call {
        call_id: String,
        name: String,
        arguments: String,
    },
    /// A call of a custom tool, whose text stands within the arguments.
    Custom {
        call_id: String,
        name: String,
        arguments: String,
    },
}

/// The open part of a message.
#[derive(Debug, Default)]
pub(super) struct OpenPart {
    pub(super) refusal: bool,
    pub(super) text: String,
    pub(super) annotations: Vec<Value>,
    pub(super) logprobs: Vec<Value>,
    /// How many of the log-probabilities were sent with a delta.
    sent: usize,
}

impl Item {
    /// The item; without its content where it is `fresh`.
    pub(super) fn written(&self, status: &str, fresh: bool) -> Value {
        match &self.kind {
            Kind::Message { content, .. } => {
                json!({"id": self.id, "type": "message", "status": status, "role": "assistant", "content": content})
            }
            Kind::Reasoning { text, proof } => {
                let text = text.as_ref().filter(|_| !fresh);
                let summary: Vec<Value> =
                    text.map(|text| json!({"type": "summary_text", "text": text})).into_iter().collect();
                let mut item = json!({"id": self.id, "type": "reasoning", "summary": summary});
                if let Some(proof) = proof {
                    item["encrypted_content"] = proof.as_str().into();
                }
                item
            }
            Kind::Custom { call_id, name, arguments } => {
                let input = if fresh { String::new() } else { input_of(arguments) };
                json!({
                    "id": self.id, "type": "custom_tool_call", "status": status, "call_id": call_id, "name": name,
                    "input": input,
                })
            }
            Kind::Call { call_id, name, arguments } => {
                let arguments = if fresh { "" } else { or_empty(arguments) };
                json!({
                    "id": self.id, "type": "function_call", "status": status, "call_id": call_id, "name": name,
                    "arguments": arguments,
                })
            }
        }
    }
}

impl OpenPart {
    /// An empty part.
    pub(super) fn new(refusal: bool) -> Self {
        Self { refusal, ..Self::default() }
    }

    pub(super) fn written(&self) -> Value {
        if self.refusal {
            return json!({"type": "refusal", "refusal": self.text});
        }
        let mut part = output_text(&self.text, &self.annotations);
        part["logprobs"] = self.logprobs.clone().into();
        part
    }

    /// The log-probabilities that were not sent yet.
    pub(super) fn unsent(&mut self) -> Vec<Value> {
        let unsent = self.logprobs.get(self.sent..).unwrap_or_default().to_vec();
        self.sent = self.logprobs.len();
        unsent
    }
}

/// A call's arguments; an empty object for a call without any.
pub(super) fn or_empty(arguments: &str) -> &str {
    if arguments.is_empty() { "{}" } else { arguments }
}

/// A token's log-probability with the fields that the SDKs' types require.
pub(super) fn complete_logprob(logprob: &Value) -> Value {
    let mut logprob = logprob.clone();
    if let Value::Object(fields) = &mut logprob {
        if fields.get("bytes").is_none_or(Value::is_null) {
            fields.insert("bytes".to_owned(), json!([]));
        }
        fields.entry("top_logprobs").or_insert_with(|| json!([]));
    }
    logprob
}
