//! Where a thought stood in an answer of Chat Completions, which has no one field for thoughts: its maker wants the thought
//! back in the field that it came in. This is written in front of the thought's proof, or of the data of a redacted one.

use serde_json::{Map, Value};

/// What the text begins with.
const LEAD: &str = "in:";

/// A field of a message that has thoughts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the fields'")]
pub enum ThoughtField {
    ReasoningContent,
    Reasoning,
    ReasoningDetails,
    Content,
}

impl ThoughtField {
    const NAMES: [(Self, &'static str); 4] = [
        (Self::ReasoningContent, "reasoning_content"),
        (Self::Reasoning, "reasoning"),
        (Self::ReasoningDetails, "reasoning_details"),
        (Self::Content, "content"),
    ];

    /// The field's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(field, _)| *field == self).map_or("reasoning_content", |(_, name)| name)
    }
}

/// A thought's place.
#[derive(Clone, Debug, PartialEq)]
pub struct ThoughtPlace {
    /// The field.
    pub field: ThoughtField,
    /// The entry of a list, without its text, data and signature; empty for a field that is a text.
    pub entry: Map<String, Value>,
}

impl ThoughtPlace {
    /// A field that is a text.
    #[must_use]
    pub fn of_text(field: ThoughtField) -> Self {
        Self { field, entry: Map::new() }
    }

    /// An entry of `reasoning_details`.
    #[must_use]
    pub fn of_entry(entry: &Map<String, Value>) -> Self {
        let content = ["text", "summary", "data", "signature"];
        let entry = entry.iter().filter(|(name, value)| !content.contains(&name.as_str()) && !value.is_null());
        let entry = entry.map(|(name, value)| (name.clone(), value.clone())).collect();
        Self { field: ThoughtField::ReasoningDetails, entry }
    }

    /// A block of `content`, as Mistral's models have them. The thought is a text there, or, most often, a list of texts.
    #[must_use]
    pub fn of_block(block: &Map<String, Value>) -> Self {
        let content = |name: &str, value: &Value| name == "thinking" && !value.is_string();
        let entry = block.iter().filter(|(name, value)| !content(name, value) && !value.is_null());
        let mut entry: Map<String, Value> = entry.map(|(name, value)| (name.clone(), value.clone())).collect();
        if let Some(thinking) = entry.get_mut("thinking") {
            *thinking = "".into();
        }
        Self { field: ThoughtField::Content, entry }
    }

    /// The place as a text, behind which the proof or the data goes.
    #[must_use]
    pub fn lead(&self) -> String {
        let entry = if self.entry.is_empty() { String::new() } else { Value::Object(self.entry.clone()).to_string() };
        format!("{LEAD}{}\n{entry}\n", self.field.name())
    }

    /// The place that a text begins with, and the proof or the data behind it; `None` where it begins with no place.
    #[must_use]
    pub fn read(text: &str) -> Option<(Self, &str)> {
        let (name, rest) = text.strip_prefix(LEAD)?.split_once('\n')?;
        let (field, _) = ThoughtField::NAMES.iter().find(|(_, known)| *known == name)?;
        let (entry, proof) = rest.split_once('\n')?;
        let entry = if entry.is_empty() { Map::new() } else { serde_json::from_str(entry).ok()? };
        Some((Self { field: *field, entry }, proof))
    }
}

/// A proof, or the data of a redacted thought, without the place in front of it.
#[must_use]
pub fn without_place(text: &str) -> &str {
    ThoughtPlace::read(text).map_or(text, |(_, proof)| proof)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_place_is_read_as_it_was_written() {
        let entry = json!({"type": "reasoning.text", "text": "Hm.", "signature": "s", "id": "rs_1", "format": "x\ny"});
        let entry = ThoughtPlace::of_entry(entry.as_object().unwrap());
        assert_eq!(entry.entry.len(), 3);
        let block = json!({"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}], "closed": true});
        let block = ThoughtPlace::of_block(block.as_object().unwrap());
        assert_eq!(block.entry, *json!({"type": "thinking", "closed": true}).as_object().unwrap());
        for place in [entry, block, ThoughtPlace::of_text(ThoughtField::ReasoningContent)] {
            for proof in ["", "sig", "a\nb"] {
                let text = place.lead() + proof;
                assert_eq!(ThoughtPlace::read(&text), Some((place.clone(), proof)));
                assert_eq!(without_place(&text), proof);
            }
        }
        for other in ["", "sig", "in:", "in:reasoning\n", "in:contents\n\n", "in:reasoning\n{\n"] {
            assert_eq!(without_place(other), other);
        }
    }
}
