//! The beginning of a prompt that calls of its kind share, as a hash: those with the same one find each other's prompt cache.

use blake3::Hasher;

use super::request::Request;
use crate::wire::json::{fields, items};

/// What stands before the conversation, in any dialect.
const BEFORE: [&str; 6] = ["tools", "functions", "system", "instructions", "systemInstruction", "system_instruction"];

/// The most bytes of each part that count.
const MOST: usize = 16 << 10;

/// The bytes of the first message that count, after the system's words: they tell one conversation from another.
const BEGINNING: usize = 256;

/// A hash of the prompt's name and version, where the request names one. Else of its tools, the system's words and the beginning
/// of the first message behind those, as the bytes of the request have them: any other spelling is another beginning.
pub fn prefix_of(request: &Request) -> u64 {
    let mut hasher = Hasher::new();
    if let Some(resolved) = request.prompt() {
        part(&mut hasher, "prompt", resolved.version.name.as_str(), MOST);
        hasher.update(&resolved.version.version.to_le_bytes());
    } else {
        let rendering = request.first();
        for (name, json) in BEFORE.iter().filter_map(|name| Some((name, rendering.object().get(name)?))) {
            part(&mut hasher, name, json, MOST);
        }
        if let Some(json) = rendering.object().get(rendering.conversation()) {
            opening(&mut hasher, json);
        }
    }
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_le_bytes(first)
}

/// The system's messages, and the beginning of the one behind them; of a conversation that is one text, its beginning.
fn opening(hasher: &mut Hasher, conversation: &str) {
    if !conversation.starts_with('[') {
        return part(hasher, "first", conversation, BEGINNING);
    }
    for message in items(conversation) {
        if !is_systems(message) {
            return part(hasher, "first", message, BEGINNING);
        }
        part(hasher, "system", message, MOST);
    }
}

fn is_systems(message: &str) -> bool {
    let role = message.starts_with('{').then(|| fields(message).find(|(name, _)| *name == "role")).flatten();
    role.is_some_and(|(_, role)| matches!(role, "\"system\"" | "\"developer\""))
}

/// Adds the first bytes of a part, so that no two parts can be taken for one.
fn part(hasher: &mut Hasher, name: &str, text: &str, most: usize) {
    let bytes = &text.as_bytes()[..text.len().min(most)];
    hasher.update(name.as_bytes()).update(&bytes.len().to_le_bytes()).update(bytes);
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::gateway::rendering::Rendering;
    use crate::wire::DialectId;
    use crate::wire::dialect::Addressed;
    use crate::wire::endpoint::Endpoint;

    fn hash(endpoint: Endpoint, dialect: DialectId, body: &Value) -> u64 {
        let asked = dialect.codec().read(body.to_string().into(), &Addressed::default()).unwrap();
        prefix_of(&Request::plain(Rendering::of(endpoint, asked)))
    }

    fn chat(system: &str, first: &str, last: &str) -> u64 {
        let messages = json!([{"role": "system", "content": system}, {"role": "user", "content": first},
            {"role": "assistant", "content": "ok"}, {"role": "user", "content": last}]);
        hash(Endpoint::Chat, DialectId::OpenAiChat, &json!({"model": "m", "messages": messages}))
    }

    #[test]
    fn the_turns_of_a_conversation_share_their_beginning() {
        let long = "x".repeat(400);
        assert_eq!(chat("s", "hi", "one"), chat("s", "hi", "two"));
        assert_eq!(chat("s", &format!("{long}a"), "one"), chat("s", &format!("{long}b"), "one"));
        assert_ne!(chat("s", "hi", "one"), chat("t", "hi", "one"));
        assert_ne!(chat("s", "hi", "one"), chat("s", "hello", "one"));
    }

    #[test]
    fn system_words_and_tools_count_in_every_dialect() {
        let messages = json!([{"role": "user", "content": "hi"}]);
        let claude = |more: Value| {
            let mut body = json!({"model": "m", "max_tokens": 9, "messages": messages});
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            hash(Endpoint::Messages, DialectId::Anthropic, &body)
        };
        assert_ne!(claude(json!({"system": "a"})), claude(json!({"system": "b"})));
        let tool = |name: &str| json!({"tools": [{"name": name, "input_schema": {"type": "object"}}]});
        assert_ne!(claude(tool("a")), claude(tool("b")));
        assert_eq!(claude(json!({"temperature": 0})), claude(json!({"temperature": 1})));
        let responses = |more: Value| hash(Endpoint::Responses, DialectId::OpenAiResponses, &more);
        assert_eq!(
            responses(json!({"model": "m", "input": "hi", "instructions": "a"})),
            responses(json!({"model": "n", "input": "hi", "instructions": "a"}))
        );
        assert_ne!(
            responses(json!({"model": "m", "input": "hi", "instructions": "a"})),
            responses(json!({"model": "m", "input": "hi", "instructions": "b"}))
        );
    }
}
