//! Thoughts on their way back to the provider that made them, each in the field that it came in.

use serde_json::{Map, Value, json};

use crate::chat::{Content, Part, ThoughtField, ThoughtPlace};

/// The thoughts of one message.
#[derive(Default)]
pub(super) struct Thoughts {
    content: String,
    reasoning: String,
    details: Vec<Value>,
    blocks: Vec<Value>,
}

impl Thoughts {
    /// Takes a thought; `false` where its place is not known, since another provider made it.
    pub(super) fn take(&mut self, part: &Part) -> bool {
        let proof = match &part.content {
            Content::RedactedThinking(data) => data,
            _ => part.signature.as_deref().unwrap_or_default(),
        };
        let Some((ThoughtPlace { field, entry }, proof)) = ThoughtPlace::read(proof) else { return false };
        match (&part.content, field) {
            (Content::Thinking(text), ThoughtField::ReasoningContent) => self.content.push_str(text),
            (Content::Thinking(text), ThoughtField::Reasoning) => self.reasoning.push_str(text),
            (Content::Thinking(text), ThoughtField::ReasoningDetails) => {
                let name =
                    if entry.get("type").is_some_and(|kind| kind == "reasoning.summary") { "summary" } else { "text" };
                self.add(entry, [(name, text.as_str()), ("signature", proof)]);
            }
            (Content::Thinking(text), ThoughtField::Content) => self.blocks.push(write_block(entry, text)),
            (_, _) => {
                let signature = part.signature.as_deref().unwrap_or_default();
                self.add(entry, [("data", proof), ("signature", signature)]);
            }
        }
        true
    }

    fn add(&mut self, mut entry: Map<String, Value>, texts: [(&str, &str); 2]) {
        let texts = texts.into_iter().filter(|(_, text)| !text.is_empty());
        entry.extend(texts.map(|(name, text)| (name.to_owned(), text.into())));
        self.details.push(entry.into());
    }

    /// The content of the message: the thoughts that stand there, and what else does.
    pub(super) fn before(&mut self, content: Value) -> Value {
        if self.blocks.is_empty() {
            return content;
        }
        let mut blocks = std::mem::take(&mut self.blocks);
        match content {
            Value::Array(parts) => blocks.extend(parts),
            Value::String(text) if !text.is_empty() => blocks.push(json!({"type": "text", "text": text})),
            _ => {}
        }
        blocks.into()
    }

    /// The other fields of the message.
    pub(super) fn finish(self) -> Vec<(String, Value)> {
        let texts = [(ThoughtField::ReasoningContent, self.content), (ThoughtField::Reasoning, self.reasoning)];
        let texts = texts.into_iter().filter(|(_, text)| !text.is_empty());
        let mut fields: Vec<_> = texts.map(|(field, text)| (field.name().to_owned(), text.into())).collect();
        if !self.details.is_empty() {
            fields.push((ThoughtField::ReasoningDetails.name().to_owned(), self.details.into()));
        }
        fields
    }
}

/// A block of Mistral's.
fn write_block(mut entry: Map<String, Value>, text: &str) -> Value {
    let thinking = match entry.contains_key("thinking") {
        true => text.into(),
        false => json!([{"type": "text", "text": text}]),
    };
    entry.insert("thinking".to_owned(), thinking);
    entry.into()
}

/// A call's proof, in the field where Google's chat completions have it.
pub(super) fn write_signature(signature: &str) -> Value {
    json!({"google": {"thought_signature": signature}})
}
