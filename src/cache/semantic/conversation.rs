//! Which conversations may get the answer to a similar one, and what of them is compared by meaning.

use crate::chat::{Content, Message, Request, Role};

/// The longest text, in bytes, that is compared by meaning. A longer one must be the same: an embedding model reads a bounded
/// part of a text, and what is beyond it would not count.
const LONGEST: usize = 2_000;

/// The most texts of one conversation that are compared by meaning.
const MOST: usize = 32;

/// Above this temperature a caller wants another answer each time.
const HOTTEST: f64 = 1.0;

/// Whether a text of such an author may be another with the same meaning. Instructions may not.
pub fn may_vary(role: Role, text: &str) -> bool {
    matches!(role, Role::User | Role::Assistant) && text.len() <= LONGEST && !text.trim().is_empty()
}

/// The texts of a conversation that are compared by meaning, message by message, in their order; `None` where only the same
/// conversation may get its answer: one with files, calls of tools or thoughts, of several answers, with log-probabilities, at a
/// high temperature, that does not end in words of the user's, or that has too many texts.
#[must_use]
pub fn texts(request: &Request) -> Option<Vec<&str>> {
    let is_hot = request.sampling.temperature.is_some_and(|temperature| temperature > HOTTEST);
    if is_hot || request.logprobs.is_some() || request.choices.is_some_and(|choices| choices != 1) {
        return None;
    }
    let mut texts = Vec::new();
    for message in &request.messages {
        for part in &message.parts {
            let Content::Text { text, citations } = &part.content else { return None };
            if !citations.is_empty() || part.signature.is_some() {
                return None;
            }
            if may_vary(message.role, text) {
                texts.push(text.as_str());
            }
        }
    }
    (ends_in_question(request.messages.last()?) && texts.len() <= MOST).then_some(texts)
}

/// Whether the last message is the user's, and has words that may be others.
fn ends_in_question(last: &Message) -> bool {
    let varies = last.parts.last().and_then(|part| part.as_text()).is_some_and(|text| may_vary(last.role, text));
    last.role == Role::User && varies
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{Part, Sampling, Source};

    fn asked(messages: Vec<Message>) -> Request {
        Request { messages, ..Request::default() }
    }

    fn hello() -> Request {
        asked(vec![Message::text(Role::System, "Be brief."), Message::text(Role::User, "Hello")])
    }

    #[test]
    fn every_message_of_the_conversation_counts_and_instructions_are_not_compared_by_meaning() {
        assert_eq!(texts(&hello()), Some(vec!["Hello"]));
        let more = [Message::text(Role::Assistant, "Hi!"), Message::text(Role::User, "How are you?")];
        let request = asked([hello().messages, more.to_vec()].concat());
        assert_eq!(texts(&request), Some(vec!["Hello", "Hi!", "How are you?"]));
        let long = Message::text(Role::User, "x".repeat(LONGEST + 1));
        let request = asked(vec![long.clone(), Message::text(Role::User, "Summarise that.")]);
        assert_eq!(texts(&request), Some(vec!["Summarise that."]));
        assert_eq!(texts(&asked(vec![long])), None);
    }

    #[test]
    fn what_only_an_equal_request_may_share() {
        let with = |change: fn(&mut Request)| {
            let mut request = hello();
            change(&mut request);
            texts(&request).is_some()
        };
        assert!(with(|request| request.sampling = Sampling { temperature: Some(1.0), ..Sampling::default() }));
        assert!(with(|request| request.choices = Some(1)));
        let part = |content: Content| Message {
            role: Role::User,
            parts: vec![Part::new(content), Part::text("?")],
            name: None,
        };
        let image = Content::Image { source: Source::Url("u".to_owned()), detail: None };
        let call = Content::ToolCall { id: "1".to_owned(), name: "f".to_owned(), arguments: String::new() };
        for message in
            [part(image), part(call), part(Content::Thinking("Hm".to_owned())), Message::text(Role::Assistant, "So")]
        {
            assert_eq!(texts(&asked(vec![Message::text(Role::User, "Hi"), message.clone()])), None, "{message:?}");
        }
        assert!(!with(|request| request.sampling = Sampling { temperature: Some(1.1), ..Sampling::default() }));
        assert!(!with(|request| request.choices = Some(2)));
        assert!(!with(|request| request.logprobs = Some(0)));
        assert!(!with(|request| request.messages.clear()));
        assert!(!with(|request| request.messages[1].parts[0].signature = Some("s".to_owned())));
        let many = (0..=MOST).map(|_| Message::text(Role::User, "Hi")).collect();
        assert_eq!(texts(&asked(many)), None);
    }
}
