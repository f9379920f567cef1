//! How long OpenAI lets a user's name, a cache's key and `metadata` be (API reference, Chat Completions and Responses).

use serde_json::{Map, Value};

use crate::chat::Emulated;
use crate::wire::hashed::hashed;

/// The most characters of a `user`, a `safety_identifier` and a `prompt_cache_key`.
const LONGEST: usize = 64;

/// The most pairs of `metadata`, and the most characters of a name and of a value.
const PAIRS: (usize, usize, usize) = (16, 64, 512);

/// `text` where OpenAI takes it, else a hash of it: 64 characters, the same for the same text. A hash is noted as `name`.
pub fn short(text: Option<&str>, name: &'static str, emulated: &mut Emulated) -> Option<Value> {
    let text = text?;
    let Some(hash) = hashed(text, LONGEST) else { return Some(text.into()) };
    emulated.note(name);
    Some(hash.into())
}

/// The pairs of `metadata` that OpenAI takes; that others are left out is noted. `None` where none is left.
pub fn metadata(all: &Map<String, Value>, emulated: &mut Emulated) -> Option<Value> {
    let (most, longest_name, longest_value) = PAIRS;
    let fits = |(name, value): &(&String, &Value)| {
        let value = value.as_str().unwrap_or_default();
        name.chars().nth(longest_name).is_none() && value.chars().nth(longest_value).is_none()
    };
    let fitting = all.iter().filter(fits).take(most);
    let fitting: Map<String, Value> = fitting.map(|(name, value)| (name.clone(), value.clone())).collect();
    if fitting.len() < all.len() {
        emulated.note("metadata");
    }
    (!fitting.is_empty()).then(|| fitting.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_name_longer_than_openai_takes_becomes_a_hash_of_it() {
        for (text, is_kept) in [("ada".to_owned(), true), ("\u{e4}".repeat(64), true), ("x".repeat(65), false)] {
            let mut emulated = Emulated::default();
            let written = short(Some(&text), "user", &mut emulated).unwrap();
            assert_eq!(written == text, is_kept);
            assert_eq!(emulated.names().is_empty(), is_kept);
            assert!(written.as_str().unwrap().chars().count() <= 64);
            assert_eq!(short(Some(&text), "user", &mut emulated), Some(written));
        }
        let hashed = |text: String| short(Some(&text), "user", &mut Emulated::default());
        assert_ne!(hashed("x".repeat(65)), hashed("x".repeat(66)));
        assert_eq!(short(None, "user", &mut Emulated::default()), None);
    }

    #[test]
    fn pairs_beyond_openais_bounds_are_left_out_and_named() {
        let mut emulated = Emulated::default();
        let within = json!({"a".repeat(64): "v".repeat(512)});
        assert_eq!(metadata(within.as_object().unwrap(), &mut emulated), Some(within.clone()));
        assert!(emulated.is_empty());
        let beyond = json!({"a".repeat(65): "v", "b": "v".repeat(513), "c": "v"});
        assert_eq!(metadata(beyond.as_object().unwrap(), &mut emulated), Some(json!({"c": "v"})));
        assert_eq!(emulated.names(), ["metadata"]);
        let many: Map<String, Value> = (0..17).map(|n| (n.to_string(), "v".into())).collect();
        assert_eq!(metadata(&many, &mut emulated).unwrap().as_object().unwrap().len(), 16);
        assert_eq!(metadata(&Map::new(), &mut Emulated::default()), None);
    }
}
