//! Thoughts on their way back to the provider that made them, each in the field that it came in.

use serde_json::{Map, Value, json};

use crate::chat::{Content, Part, ThoughtField, ThoughtPlace};

/// The thoughts of one message.
#[derive(Default)]
pub(super) struct Thoughts {
    content: String,
    reasoning: String,
    details: Vec<Value>,
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

    /// The fields of the message.
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

/// A call's proof, in the field where Google's chat completions have it.
pub(super) fn write_signature(signature: &str) -> Value {
    json!({"google": {"thought_signature": signature}})
}
