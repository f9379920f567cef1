//! Ids of tool calls for an API that does not accept every text: an id that does not fit is replaced, everywhere by the same one.

use std::collections::{HashMap, HashSet};

use crate::chat::{Content, Emulated, Message};

/// Which ids an API accepts.
#[derive(Clone, Copy)]
pub(super) struct Rule {
    /// Whether a letter may stand in it.
    pub(super) fits: fn(char) -> bool,
    /// The most letters.
    pub(super) most: usize,
}

impl Rule {
    fn takes(self, id: &str) -> bool {
        !id.is_empty() && id.chars().count() <= self.most && id.chars().all(self.fits)
    }

    /// The beginning of what an id becomes, with room for an end of `room` letters.
    fn stem(self, id: &str, room: usize) -> String {
        let fitting = id.chars().map(|letter| if (self.fits)(letter) { letter } else { '_' });
        let stem: String = fitting.take(self.most.saturating_sub(room)).collect();
        if stem.is_empty() { "call".to_owned() } else { stem }
    }
}

/// The ids of one conversation, each with its replacement.
#[derive(Default)]
pub(super) struct Ids(HashMap<String, String>);

impl Ids {
    /// Finds new ids for those of a conversation that do not fit.
    pub(super) fn of(messages: &[Message], rule: Rule, emulated: &mut Emulated) -> Self {
        let all: Vec<&str> =
            messages.iter().flat_map(|message| &message.parts).filter_map(|part| id(&part.content)).collect();
        let mut taken: HashSet<String> = all.iter().filter(|id| rule.takes(id)).map(|id| (*id).to_owned()).collect();
        let mut ids = HashMap::new();
        for old in all.into_iter().filter(|id| !rule.takes(id)) {
            if ids.contains_key(old) {
                continue;
            }
            emulated.note("tool_call_id");
            let mut fresh = rule.stem(old, 0);
            for n in 2.. {
                if taken.insert(fresh.clone()) {
                    break;
                }
                let end = format!("_{n}");
                fresh = rule.stem(old, end.len()) + &end;
            }
            ids.insert(old.to_owned(), fresh);
        }
        Self(ids)
    }

    /// What an id becomes.
    pub(super) fn of_id<'a>(&'a self, id: &'a str) -> &'a str {
        self.0.get(id).map_or(id, String::as_str)
    }
}

fn id(content: &Content) -> Option<&str> {
    match content {
        Content::ToolCall { id, .. } | Content::ToolResult { id, .. } => Some(id),
        _ => None,
    }
}

/// Whether a letter may stand in a tool's name, at Anthropic and at Bedrock.
pub(super) fn fitting(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_' || letter == '-'
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{Part, Role};

    #[test]
    fn ids_that_do_not_fit_stay_apart_and_fit() {
        let long = "x".repeat(70);
        let ids = ["a.b", "a_b", "a b", "", &long, &format!("{long}!"), "call"];
        let call = |id: &&str| Content::ToolCall { id: (*id).to_owned(), name: "f".into(), arguments: "{}".into() };
        let parts = ids.iter().map(|id| Part::new(call(id))).collect();
        let messages = [Message { role: Role::Assistant, parts, name: None }];
        let rule = Rule { fits: fitting, most: 64 };
        let mut emulated = Emulated::default();
        let fresh = Ids::of(&messages, rule, &mut emulated);
        let written: Vec<&str> = ids.iter().map(|id| fresh.of_id(id)).collect();
        assert_eq!(written[..3], ["a_b_2", "a_b", "a_b_3"]);
        assert!(written.iter().all(|id| rule.takes(id)), "{written:?}");
        assert_eq!(written.iter().collect::<HashSet<_>>().len(), ids.len(), "{written:?}");
        assert_eq!(emulated.names(), ["tool_call_id"]);
    }
}
