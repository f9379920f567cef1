//! Translates a stored answer for a caller of another dialect.

use bytes::Bytes;

use super::Entry;
use crate::chat::{CallIds, Content, Part, Response, Stop};
use crate::wire::DialectId;
use crate::wire::dialect::AnswerContext;

impl Entry {
    /// The whole answer in another dialect; `None` where that dialect cannot express every part, so that the caller's request
    /// has to be sent.
    #[must_use]
    pub fn translated(&self, dialect: DialectId, context: &AnswerContext) -> Option<Bytes> {
        let mut response = self.dialect.codec().read_response(&self.body).ok()?;
        CallIds::of(&context.id).settle(&mut response);
        // Where the provider counted nothing, the answer's row has an estimate.
        response.usage = response.usage.or(self.usage);
        let codec = dialect.codec();
        let is_whole = is_common(&response) && codec.can_express(&response).is_ok();
        is_whole.then(|| codec.write_response(&response, context))
    }
}

/// Whether every dialect can express the answer, with nothing lost: one choice of texts and calls of tools. Thoughts
/// and their proofs, citations, log-probabilities and media have a form of their own in each.
fn is_common(response: &Response) -> bool {
    let [choice] = &response.choices[..] else { return false };
    let ended = matches!(choice.stop, Some(Stop::End | Stop::Length | Stop::Tools));
    ended && choice.logprobs.is_none() && choice.parts.iter().all(is_common_part)
}

fn is_common_part(part: &Part) -> bool {
    let common = match &part.content {
        Content::Text { citations, .. } => citations.is_empty(),
        Content::ToolCall { .. } => true,
        _ => false,
    };
    common && part.signature.is_none()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cache::Replay;
    use crate::chat::{Choice, Citation, Usage};
    use crate::types::now;
    use crate::wire::sse::{Decoder, Event};

    const ALL: [DialectId; 4] =
        [DialectId::OpenAiChat, DialectId::OpenAiResponses, DialectId::Anthropic, DialectId::Gemini];

    fn context() -> AnswerContext {
        let (model, id) = ("fast".to_owned(), "018f".to_owned());
        AnswerContext { model, id, include_usage: true, choices: 1, input_tokens: 3, created: 7, request: None }
    }

    fn entry(dialect: DialectId, response: &Response) -> Entry {
        Entry {
            body: dialect.codec().write_response(response, &context()),
            dialect,
            usage: response.usage,
            cost: None,
            stored_at: now(),
            ttl: Duration::from_secs(60),
            project: "default".into(),
            provider: "up".into(),
            model: "gpt-x".into(),
            simulated: false,
            prompt: None,
            replay: Replay::default(),
        }
    }

    fn answer(parts: Vec<Part>, stop: Stop) -> Response {
        let usage = Usage { input: 12, output: 5, ..Usage::default() };
        let choices = vec![Choice { parts, stop: Some(stop), logprobs: None }];
        Response { id: "r1".to_owned(), model: "gpt-x".to_owned(), choices, usage: Some(usage), ..Response::default() }
    }

    fn call() -> Part {
        let arguments = r#"{"city":"Oslo"}"#.to_owned();
        Part::new(Content::ToolCall { id: "call_1".to_owned(), name: "weather".to_owned(), arguments })
    }

    fn events(bytes: Bytes) -> Vec<Event> {
        let mut decoder = Decoder::default();
        decoder.push(bytes);
        std::iter::from_fn(|| decoder.event().unwrap()).collect()
    }

    /// The parts of an answer, without ids that each dialect makes up.
    fn parts(dialect: DialectId, body: &[u8]) -> (Vec<Content>, Option<Stop>, Option<(u64, u64)>) {
        let response = dialect.codec().read_response(body).unwrap();
        let [choice] = &response.choices[..] else { panic!("{response:?}") };
        let content = choice.parts.iter().map(|part| match part.content.clone() {
            Content::ToolCall { name, arguments, .. } => Content::ToolCall { id: String::new(), name, arguments },
            content => content,
        });
        let usage = response.usage.map(|usage| (usage.input, usage.output));
        (content.collect(), choice.stop.clone(), usage)
    }

    #[test]
    fn every_dialect_expresses_every_others_answers_whole_and_as_streams() {
        let answers = [
            answer(vec![Part::text("Hello!")], Stop::End),
            answer(vec![Part::text("Hel")], Stop::Length),
            answer(vec![call()], Stop::Tools),
            answer(vec![Part::text("Let me look."), call()], Stop::Tools),
        ];
        for answer in &answers {
            for from in ALL {
                let entry = entry(from, answer);
                for into in ALL.into_iter().filter(|into| *into != from) {
                    let body = entry.translated(into, &context());
                    let body = body.unwrap_or_else(|| panic!("{from:?} into {into:?}: {answer:?}"));
                    assert_eq!(parts(into, &body), parts(from, &entry.body), "{from:?} into {into:?}");
                    let stream = into.codec().as_stream(&body, &context()).unwrap();
                    let whole = into.codec().as_whole(&events(stream), &context()).unwrap();
                    assert_eq!(parts(into, &whole), parts(from, &entry.body), "{from:?} as a stream into {into:?}");
                }
            }
        }
    }

    #[test]
    fn what_another_dialect_may_lose_is_not_translated() {
        let citation = Citation { url: Some("https://example.com".to_owned()), ..Citation::default() };
        let cited = Content::Text { text: "Oslo".to_owned(), citations: vec![citation] };
        let signed = Part { signature: Some("proof".to_owned()), ..call() };
        let two = |response: Response| {
            let choices = [&response.choices[..], &response.choices[..]].concat();
            Response { choices, ..response }
        };
        let logged = |mut response: Response| {
            response.choices[0].logprobs = Some(serde_json::json!({"content": []}));
            response
        };
        let hello = || answer(vec![Part::text("Hello!")], Stop::End);
        let lossy = [
            (
                DialectId::Anthropic,
                answer(vec![Part::new(Content::Thinking("Hm".to_owned())), Part::text("x")], Stop::End),
            ),
            (DialectId::OpenAiChat, answer(vec![Part::new(cited)], Stop::End)),
            (DialectId::OpenAiChat, answer(vec![Part::new(Content::Refusal("No".to_owned()))], Stop::Refused)),
            (DialectId::Gemini, answer(vec![signed], Stop::Tools)),
            (DialectId::OpenAiChat, two(hello())),
            (DialectId::OpenAiChat, logged(hello())),
            (DialectId::Anthropic, answer(vec![Part::text("x")], Stop::Sequence(Some("y".to_owned())))),
        ];
        for (from, response) in lossy {
            let entry = entry(from, &response);
            for into in ALL.into_iter().filter(|into| *into != from) {
                assert_eq!(entry.translated(into, &context()), None, "{from:?} into {into:?}: {response:?}");
            }
        }
        let torn = Entry { body: Bytes::from_static(b"{}"), ..entry(DialectId::OpenAiChat, &hello()) };
        assert_eq!(torn.translated(DialectId::Anthropic, &context()), None);
    }
}
