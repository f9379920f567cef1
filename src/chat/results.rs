//! Results of tool calls in the order that every provider takes: directly behind the message of their calls, in the order of
//! the calls. OpenAI's Responses alone lets them stand anywhere.

use super::{Content, Message, Part, Role};

/// Moves each result directly behind the message whose call it answers. A result that answers no call stays where it is.
pub fn order_results(messages: &mut Vec<Message>) {
    if !messages.iter().any(|message| message.parts.iter().any(is_result)) || is_ordered(messages) {
        return;
    }
    let mut ordered: Vec<Message> = Vec::with_capacity(messages.len() + 1);
    let mut left: std::collections::VecDeque<Message> = std::mem::take(messages).into();
    while let Some(message) = left.pop_front() {
        let mut results = Vec::new();
        for id in calls_of(&message) {
            results.extend(left.iter_mut().find_map(|later| take_result(later, id)));
        }
        ordered.push(message);
        if results.is_empty() {
            continue;
        }
        left.retain(|later| !later.parts.is_empty() || later.role != Role::User);
        match left.front_mut().filter(|next| next.role == Role::User && next.parts.iter().any(is_result)) {
            Some(next) => drop(next.parts.splice(0..0, results)),
            None => left.push_front(Message { role: Role::User, parts: results, name: None }),
        }
    }
    *messages = ordered;
}

fn is_result(part: &Part) -> bool {
    matches!(part.content, Content::ToolResult { .. })
}

fn calls_of(message: &Message) -> impl Iterator<Item = &str> {
    message.parts.iter().filter_map(|part| match &part.content {
        Content::ToolCall { id, .. } => Some(id.as_str()),
        _ => None,
    })
}

/// Takes the first result of this call.
fn take_result(message: &mut Message, id: &str) -> Option<Part> {
    let is_its = |part: &Part| matches!(&part.content, Content::ToolResult { id: of, .. } if of == id);
    message.parts.iter().position(is_its).map(|place| message.parts.remove(place))
}

/// Whether the results of each message's calls begin the message behind it, in the order of the calls.
fn is_ordered(messages: &[Message]) -> bool {
    messages.iter().enumerate().all(|(n, message)| {
        let results: Vec<&str> = messages.get(n + 1).map_or_else(Vec::new, |next| {
            let results = next.parts.iter().map_while(|part| match &part.content {
                Content::ToolResult { id, .. } => Some(id.as_str()),
                _ => None,
            });
            results.collect()
        });
        let is_answered_later = |id: &str| {
            let later = messages.iter().skip(n + 1).flat_map(|later| &later.parts);
            later.into_iter().any(|part| matches!(&part.content, Content::ToolResult { id: of, .. } if of == id))
        };
        let mut expected = calls_of(message).filter(|id| results.contains(id) || is_answered_later(id));
        let mut found = results.iter().copied();
        expected.by_ref().all(|id| found.next() == Some(id))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A conversation in a few letters: `a:AB` are calls of the assistant, `u:abx` results and a text of the user.
    fn conversation(text: &str) -> Vec<Message> {
        let part = |role: Role, letter: char| match (role, letter) {
            (Role::Assistant, 'A'..='Z') => {
                let id = letter.to_ascii_lowercase().to_string();
                Part::new(Content::ToolCall { id, name: "f".to_owned(), arguments: "{}".to_owned() })
            }
            (Role::User, 'a'..='h') => {
                let (id, parts) = (letter.to_string(), Vec::new());
                Part::new(Content::ToolResult { id, name: None, parts, is_error: false })
            }
            _ => Part::text(letter.to_string()),
        };
        let message = |word: &str| {
            let (role, letters) = word.split_once(':').unwrap();
            let role = if role == "a" { Role::Assistant } else { Role::User };
            Message { role, parts: letters.chars().map(|letter| part(role, letter)).collect(), name: None }
        };
        text.split(' ').map(message).collect()
    }

    #[test]
    fn results_stand_behind_their_calls_in_the_order_of_the_calls() {
        for (before, after) in [
            ("u:x a:A u:a", "u:x a:A u:a"),
            ("a:AB u:ba", "a:AB u:ab"),
            ("a:AB u:a u:bx", "a:AB u:ab u:x"),
            ("a:A u:x u:a", "a:A u:a u:x"),
            ("a:A u:xa", "a:A u:a u:x"),
            ("a:AB u:axb", "a:AB u:ab u:x"),
            ("a:A a:B u:ab", "a:A u:a a:B u:b"),
            ("a:AB u:a a:z u:b", "a:AB u:ab a:z"),
            ("a:A u:a a:A u:a", "a:A u:a a:A u:a"),
            ("a:A u:x", "a:A u:x"),
            ("u:a a:B u:b", "u:a a:B u:b"),
            ("a:A u:x a:z u:ya", "a:A u:a u:x a:z u:y"),
        ] {
            let mut messages = conversation(before);
            order_results(&mut messages);
            assert_eq!(messages, conversation(after), "{before}");
        }
    }
}
