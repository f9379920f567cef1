//! Marks the proofs of a stream as it comes.

use super::carried::{Carried, ProofPlaces};
use super::proof::MadeBy;
use super::{Content, Delta, Event};

/// Marks the proofs of a stream. Proofs come in pieces, and are sent when their part ends.
#[derive(Debug)]
pub struct Marking {
    by: MadeBy,
    /// The places for proofs in the caller's dialect.
    places: ProofPlaces,
    choices: Vec<Choice>,
}

/// The state of one choice.
#[derive(Debug, Default)]
struct Choice {
    /// The open part as it began, where its proof has no place in the part.
    open: Option<Content>,
    /// Whether the part is still held back: a call's proof goes before the call.
    is_held: bool,
    /// The proof of the open part so far.
    proof: String,
    /// How many parts were added, which carry proofs.
    added: u32,
}

impl Marking {
    /// Of a stream of this maker's, for a dialect that has these places for proofs.
    #[must_use]
    pub fn new(by: MadeBy, places: ProofPlaces) -> Self {
        Self { by, places, choices: Vec::new() }
    }

    /// Takes an event; appends the events that replace it.
    pub fn take(&mut self, event: Event, out: &mut Vec<Event>) {
        let Some(number) = number_of(&event) else { return out.push(event) };
        // A request asks for at most 128.
        let place = usize::try_from(number.min(127)).unwrap_or(0);
        if self.choices.len() <= place {
            self.choices.resize_with(place + 1, Choice::default);
        }
        let Self { by, places, choices } = self;
        choices[place].take((by, *places), event, out);
    }
}

fn number_of(event: &Event) -> Option<u32> {
    match event {
        Event::Open { choice, .. } | Event::Delta { choice, .. } | Event::Close { choice, .. } => Some(*choice),
        _ => None,
    }
}

impl Choice {
    fn take(&mut self, (by, places): (&MadeBy, ProofPlaces), event: Event, out: &mut Vec<Event>) {
        match event {
            Event::Open { choice, part, content } => {
                self.proof.clear();
                self.open = places.lacks(&content).then(|| content.clone());
                self.is_held = self.open.is_some() && matches!(content, Content::ToolCall { .. });
                let content = match content {
                    Content::RedactedThinking(data) => Content::RedactedThinking(by.mark(&data)),
                    content => content,
                };
                if !self.is_held {
                    out.push(Event::Open { choice, part: part + self.added, content });
                }
            }
            Event::Delta { delta: Delta::Signature(more), .. } => self.proof.push_str(&more),
            Event::Delta { choice, part, delta } => {
                self.release(by, (choice, part), out);
                // A call's proof that came before the arguments is whole, and is written with the call's beginning.
                if matches!(delta, Delta::Arguments(_)) && self.open.is_none() && !self.proof.is_empty() {
                    let delta = Delta::Signature(by.mark(&std::mem::take(&mut self.proof)));
                    out.push(Event::Delta { choice, part: part + self.added, delta });
                }
                out.push(Event::Delta { choice, part: part + self.added, delta });
            }
            Event::Close { choice, part } => {
                self.release(by, (choice, part), out);
                let proof = std::mem::take(&mut self.proof);
                let open = self.open.take();
                let place = part + self.added;
                if open.is_none() && !proof.is_empty() {
                    let delta = Delta::Signature(by.mark(&proof));
                    out.push(Event::Delta { choice, part: place, delta });
                }
                out.push(Event::Close { choice, part: place });
                if let Some(content) = open.filter(|_| !proof.is_empty()) {
                    self.carry(by, (choice, place + 1), &content, (&proof, out));
                }
            }
            event => out.push(event),
        }
    }

    /// Sends the call that is held back, its proof before it where that has come.
    fn release(&mut self, by: &MadeBy, (choice, part): (u32, u32), out: &mut Vec<Event>) {
        if !std::mem::take(&mut self.is_held) {
            return;
        }
        let Some(content) = self.open.clone() else { return };
        let proof = std::mem::take(&mut self.proof);
        if !proof.is_empty() {
            self.carry(by, (choice, part + self.added), &content, (&proof, out));
        }
        out.push(Event::Open { choice, part: part + self.added, content });
    }

    /// Sends a part that carries a proof.
    fn carry(
        &mut self,
        by: &MadeBy,
        (choice, part): (u32, u32),
        content: &Content,
        (proof, out): (&str, &mut Vec<Event>),
    ) {
        let data = by.mark(&Carried::text_of(content, proof));
        out.push(Event::Open { choice, part, content: Content::RedactedThinking(data) });
        out.push(Event::Close { choice, part });
        self.added += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Collector, Maker, Part, Response, Stop};
    use super::*;

    fn signed(content: Content) -> Part {
        Part { signature: Some("sig+/=".to_owned()), ..Part::new(content) }
    }

    fn answer() -> Response {
        let call = |id: &str| Content::ToolCall { id: id.to_owned(), name: "f".to_owned(), arguments: "{}".to_owned() };
        let parts = vec![
            signed(Content::Thinking("Hm.".to_owned())),
            Part::new(Content::RedactedThinking("data".to_owned())),
            signed(Part::text("Hi").content),
            signed(call("a")),
            Part::new(call("b")),
        ];
        let choice = super::super::Choice { parts, stop: Some(Stop::Tools), logprobs: None };
        Response { choices: vec![choice], ..Response::default() }
    }

    /// The answer's events, with each proof in two pieces, and before a call's arguments where it is `early`.
    fn events(is_early: bool) -> Vec<Event> {
        let mut events: Vec<Event> = Vec::new();
        let mut late = Vec::new();
        for event in answer().into_events() {
            let Event::Delta { choice, part, delta: Delta::Signature(proof) } = event else {
                events.push(event);
                events.append(&mut late);
                continue;
            };
            let (first, second) = proof.split_at(2);
            let pieces =
                [first, second].map(|text| Event::Delta { choice, part, delta: Delta::Signature(text.to_owned()) });
            let is_call = matches!(events.last(), Some(Event::Open { content: Content::ToolCall { .. }, .. }));
            if is_call && !is_early { late.extend(pieces) } else { events.extend(pieces) }
        }
        events
    }

    fn marked(events: Vec<Event>, places: ProofPlaces) -> Response {
        let by = MadeBy { maker: Maker::Google, provider: "p".into() };
        let (mut marking, mut collector, mut out) = (Marking::new(by, places), Collector::default(), Vec::new());
        events.into_iter().for_each(|event| marking.take(event, &mut out));
        out.into_iter().for_each(|event| collector.take(event));
        collector.finish().unwrap()
    }

    #[test]
    fn a_stream_marks_as_a_whole_answer_does() {
        let by = MadeBy { maker: Maker::Google, provider: "p".into() };
        for places in
            [ProofPlaces::ALL, ProofPlaces { calls: true, texts: false }, ProofPlaces { calls: false, texts: false }]
        {
            let mut whole = answer();
            by.mark_answer(places, &mut whole);
            assert_eq!(marked(events(true), places), whole, "{places:?}");
        }
    }

    #[test]
    fn a_proof_that_comes_after_its_call_began_is_carried_behind_it() {
        let places = ProofPlaces { calls: false, texts: false };
        let parts = marked(events(false), places).choices.remove(0).parts;
        let is_carrier = |part: &Part| matches!(part.content, Content::RedactedThinking(_));
        let carriers: Vec<bool> = parts.iter().map(is_carrier).collect();
        assert_eq!(carriers, [false, true, false, true, false, true, false]);
    }
}
