//! Ids for calls of tools whose provider names none.

use std::fmt::Display;

use super::{Content, Event, Response};

/// The most letters of an answer's own id in a call's: with the call's place no provider's bound for ids is reached, of which
/// the narrowest is 40 (OpenAI Chat Completions).
const MOST: usize = 22;

/// An id by the call's place in its answer, which a call has until [`CallIds`] makes the id one of its answer alone.
#[must_use]
pub fn id_by_place(choice: impl Display, n: impl Display) -> String {
    format!("call_{choice}_{n}")
}

/// Makes ids by place unique over a conversation, which answers of several turns meet in: with the request's id in them.
#[derive(Clone, Debug)]
pub struct CallIds(String);

impl CallIds {
    /// For the answer to the request of this id.
    #[must_use]
    pub fn of(request_id: &str) -> Self {
        // Its end, since ids of one hour begin alike.
        let letters: Vec<char> = request_id.chars().filter(char::is_ascii_alphanumeric).collect();
        Self(letters[letters.len().saturating_sub(MOST)..].iter().collect())
    }

    /// Settles the ids of a whole answer.
    pub fn settle(&self, response: &mut Response) {
        let parts = response.choices.iter_mut().flat_map(|choice| &mut choice.parts);
        parts.for_each(|part| self.settle_call(&mut part.content));
    }

    /// Settles the id in an event of a stream.
    pub fn settle_event(&self, event: &mut Event) {
        if let Event::Open { content, .. } = event {
            self.settle_call(content);
        }
    }

    fn settle_call(&self, content: &mut Content) {
        let Content::ToolCall { id, .. } = content else { return };
        let Some(place) = place_in(id).filter(|_| !self.0.is_empty()) else { return };
        *id = format!("call_{}_{place}", self.0);
    }
}

/// The place that an id consists of.
fn place_in(id: &str) -> Option<&str> {
    let place = id.strip_prefix("call_")?;
    let (choice, n) = place.split_once('_')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (is_number(choice) && is_number(n)).then_some(place)
}

#[cfg(test)]
mod tests {
    use super::super::{Choice, Part};
    use super::*;

    fn settled(id: &str, request: &str) -> String {
        let call = Content::ToolCall { id: id.to_owned(), name: "f".to_owned(), arguments: String::new() };
        let choice = Choice { parts: vec![Part::new(call)], ..Choice::default() };
        let mut response = Response { choices: vec![choice], ..Response::default() };
        let mut events = response.clone().into_events();
        let ids = CallIds::of(request);
        ids.settle(&mut response);
        events.iter_mut().for_each(|event| ids.settle_event(event));
        assert_eq!(events, response.clone().into_events(), "whole and streamed");
        match response.choices.remove(0).parts.remove(0).content {
            Content::ToolCall { id, .. } => id,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_id_by_place_is_of_its_answer_alone_and_any_other_stays() {
        let (one, two) = ("01a226f2-5f52-749f-bba5-d422b2f3e3f2", "01a226f2-5f52-749f-bba5-d422b2f3e3f3");
        let place = id_by_place(127, 9_999);
        let long = settled(&place, one);
        assert!(long.len() <= 40 && long.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{long}");
        assert_ne!(long, settled(&place, two));
        assert_ne!(settled("call_0_0", one), settled("call_0_1", one));
        assert_eq!(settled(&long, two), long, "it is settled once");
        for id in ["call_r1_0_0", "call_0_", "call_0", "call_0_0x", "toolu_1", "call_-1_0", ""] {
            assert_eq!(settled(id, one), id);
        }
        assert_eq!(settled("call_0_0", ""), "call_0_0");
    }
}
