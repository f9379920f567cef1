//! An answer, whole or as it comes.

use serde_json::Value;

use super::{Citation, Content, Error, Part, Usage};

/// A whole answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Response {
    /// The provider's id of the answer.
    pub id: String,
    /// The model that answered, as its provider names it.
    pub model: String,
    /// When the answer was made, in Unix seconds, where the provider reports it.
    pub created: Option<i64>,
    /// The answers, one for each choice asked for.
    pub choices: Vec<Choice>,
    /// The tokens, where the provider counted them.
    pub usage: Option<Usage>,
    /// The tier that served it, by OpenAI's names: `default`, `flex`, `priority`, ….
    pub service_tier: Option<String>,
}

/// One of the answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choice {
    /// Texts, thoughts and calls, in order.
    pub parts: Vec<Part>,
    /// Why the answer ended; `None` where the provider reports no reason.
    pub stop: Option<Stop>,
    /// Log-probabilities in OpenAI's shape: `{"content": [...]}`.
    pub logprobs: Option<Value>,
}

/// Why an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The model ended it.
    End,
    /// At one of the request's stop texts; the text, where the provider reports which.
    Sequence(Option<String>),
    /// At the request's limit of tokens.
    Length,
    /// At the end of the model's context.
    Context,
    /// To have tools called.
    Tools,
    /// The provider filtered it.
    Filtered,
    /// The model refused.
    Refused,
    /// The provider wants the conversation sent again to go on.
    Paused,
    /// For another reason, by the provider's own name.
    Other(String),
}

impl Stop {
    /// Whether an answer that ended so is whole, as far as the request lets it be, so that it may be stored.
    #[must_use]
    pub fn is_good(&self) -> bool {
        matches!(self, Self::End | Self::Sequence(_) | Self::Length | Self::Tools)
    }
}

/// A piece of an answer as it comes.
///
/// A reader gives `Begin` first and once, before any other; then for each choice its parts one after the other, each
/// `Open`, its deltas, `Close`, with at most one part of a choice open at a time (a reader buffers what a provider
/// interleaves); then `Finish` for each choice; `Usage` whenever the provider reports it, cumulative, so that the last one counts; and
/// `End` last, where the provider ended the stream as its dialect asks. `Failed` ends the stream too; only `Usage` may follow it,
/// where the provider counts behind the failure.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The stream begins.
    Begin {
        /// The provider's id of the answer.
        id: String,
        /// The model that answers.
        model: String,
        /// When the answer was made, in Unix seconds, where the provider reports it.
        created: Option<i64>,
    },
    /// A part begins. Parts of a choice are numbered from 0.
    Open {
        /// Which choice.
        choice: u32,
        /// Which part of it.
        part: u32,
        /// What it is: `Text` and `Thinking` empty, a `ToolCall` with empty arguments, a `RedactedThinking` whole.
        content: Content,
    },
    /// More of the open part.
    Delta {
        /// Which choice.
        choice: u32,
        /// Which part of it.
        part: u32,
        /// What is added.
        delta: Delta,
    },
    /// The open part ends.
    Close {
        /// Which choice.
        choice: u32,
        /// Which part of it.
        part: u32,
    },
    /// Log-probabilities of what came since the last, in OpenAI's shape.
    Logprobs {
        /// Which choice.
        choice: u32,
        /// `{"content": [...]}`.
        value: Value,
    },
    /// A choice ends.
    Finish {
        /// Which choice.
        choice: u32,
        /// Why.
        stop: Stop,
    },
    /// Tokens so far.
    Usage(Usage),
    /// The stream ended well.
    End,
    /// The provider reports an error.
    Failed(Error),
}

/// What is added to an open part.
#[derive(Clone, Debug, PartialEq)]
pub enum Delta {
    /// Text, for `Text`, `Refusal` and `Thinking`.
    Text(String),
    /// A piece of a tool call's arguments.
    Arguments(String),
    /// What the text cites.
    Citation(Citation),
    /// The part's proof.
    Signature(String),
}

impl Response {
    /// The answer as the events of a stream.
    #[must_use]
    pub fn into_events(self) -> Vec<Event> {
        let Self { id, model, created, choices, usage, .. } = self;
        let mut events = vec![Event::Begin { id, model, created }];
        let mut stops = Vec::new();
        for (choice, answer) in (0..).zip(choices) {
            for (n, part) in (0..).zip(answer.parts) {
                push_part(&mut events, choice, n, part);
            }
            if let Some(value) = answer.logprobs {
                events.push(Event::Logprobs { choice, value });
            }
            stops.push(Event::Finish { choice, stop: answer.stop.unwrap_or(Stop::End) });
        }
        events.append(&mut stops);
        events.extend(usage.map(Event::Usage));
        events.push(Event::End);
        events
    }
}

/// Appends the events of one part.
fn push_part(events: &mut Vec<Event>, choice: u32, number: u32, part: Part) {
    let mut deltas = Vec::new();
    let text = |text: String| (!text.is_empty()).then_some(Delta::Text(text));
    let content = match part.content {
        Content::Text { text: whole, citations } => {
            deltas.extend(text(whole));
            deltas.extend(citations.into_iter().map(Delta::Citation));
            Content::Text { text: String::new(), citations: Vec::new() }
        }
        Content::Refusal(whole) => {
            deltas.extend(text(whole));
            Content::Refusal(String::new())
        }
        Content::Thinking(thought) => {
            deltas.extend(text(thought));
            Content::Thinking(String::new())
        }
        Content::ToolCall { id, name, arguments } => {
            deltas.extend((!arguments.is_empty()).then_some(Delta::Arguments(arguments)));
            Content::ToolCall { id, name, arguments: String::new() }
        }
        whole => whole,
    };
    // A call's proof comes first: some dialects have to write it with the call's beginning, or before.
    let at = if matches!(content, Content::ToolCall { .. }) { 0 } else { deltas.len() };
    deltas.splice(at..at, part.signature.map(Delta::Signature));
    events.push(Event::Open { choice, part: number, content });
    events.extend(deltas.into_iter().map(|delta| Event::Delta { choice, part: number, delta }));
    events.push(Event::Close { choice, part: number });
}

/// Puts the events of a stream together as a whole answer.
#[derive(Debug, Default)]
pub struct Collector {
    response: Response,
    ended: bool,
    failed: Option<Error>,
}

impl Collector {
    /// Takes the next event.
    pub fn take(&mut self, event: Event) {
        match event {
            Event::Begin { id, model, created } => {
                (self.response.id, self.response.model, self.response.created) = (id, model, created);
            }
            Event::Open { choice, content, .. } => self.choice(choice).parts.push(Part::new(content)),
            Event::Delta { choice, part, delta } => {
                let place = usize::try_from(part).unwrap_or(usize::MAX);
                if let Some(part) = self.choice(choice).parts.get_mut(place) {
                    grow(part, delta);
                }
            }
            Event::Close { .. } => {}
            Event::Logprobs { choice, value } => append_logprobs(&mut self.choice(choice).logprobs, value),
            Event::Finish { choice, stop } => self.choice(choice).stop = Some(stop),
            Event::Usage(usage) => self.response.usage = Some(usage),
            Event::End => self.ended = true,
            Event::Failed(error) => self.failed = Some(error),
        }
    }

    /// The answer; `None` where the stream did not end well.
    #[must_use]
    pub fn finish(self) -> Option<Response> {
        (self.ended && self.failed.is_none()).then_some(self.response)
    }

    fn choice(&mut self, choice: u32) -> &mut Choice {
        // A reader numbers choices from 0 and a request asks for at most 128.
        let place = usize::try_from(choice.min(127)).unwrap_or(0);
        let choices = &mut self.response.choices;
        if choices.len() <= place {
            choices.resize_with(place + 1, Choice::default);
        }
        &mut choices[place]
    }
}

fn grow(part: &mut Part, delta: Delta) {
    match (&mut part.content, delta) {
        (Content::Text { text, .. } | Content::Refusal(text) | Content::Thinking(text), Delta::Text(more)) => {
            text.push_str(&more);
        }
        (Content::Text { citations, .. }, Delta::Citation(citation)) => citations.push(citation),
        (Content::ToolCall { arguments, .. }, Delta::Arguments(more)) => arguments.push_str(&more),
        (_, Delta::Signature(more)) => part.signature.get_or_insert_default().push_str(&more),
        _ => {}
    }
}

fn append_logprobs(before: &mut Option<Value>, more: Value) {
    let Some(before) = before else {
        *before = Some(more);
        return;
    };
    let Value::Object(more) = more else { return };
    for (name, value) in more {
        match (before.get_mut(&name), value) {
            (Some(Value::Array(list)), Value::Array(more)) => list.extend(more),
            (Some(place), value) if place.is_null() => *place = value,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer() -> Response {
        let signed = Part { signature: Some("sig".to_owned()), ..Part::new(Content::Thinking("Hm.".to_owned())) };
        let cited = Content::Text {
            text: "Hi".to_owned(),
            citations: vec![Citation { url: Some("https://a".to_owned()), ..Citation::default() }],
        };
        let call = Content::ToolCall { id: "1".to_owned(), name: "f".to_owned(), arguments: "{}".to_owned() };
        let first = Choice {
            parts: vec![signed, Part::new(cited), Part::new(call)],
            stop: Some(Stop::Tools),
            logprobs: Some(json!({"content": [1]})),
        };
        let second = Choice { parts: vec![Part::text("Ho")], stop: Some(Stop::End), logprobs: None };
        Response {
            id: "r".to_owned(),
            model: "m".to_owned(),
            created: Some(1),
            choices: vec![first, second],
            usage: Some(Usage { input: 3, output: 2, ..Usage::default() }),
            service_tier: None,
        }
    }

    #[test]
    fn a_whole_answer_survives_being_told_as_a_stream() {
        let mut collector = Collector::default();
        answer().into_events().into_iter().for_each(|event| collector.take(event));
        assert_eq!(collector.finish(), Some(answer()));
    }

    #[test]
    fn a_stream_without_its_end_is_no_answer() {
        let mut events = answer().into_events();
        events.pop();
        let mut collector = Collector::default();
        events.into_iter().for_each(|event| collector.take(event));
        assert_eq!(collector.finish(), None);
    }
}
