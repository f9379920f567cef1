//! Proofs of reasoning. A provider refuses another's proofs, so a caller of another dialect gets each with its maker's mark.

use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use super::{Content, Delta, Emulated, Event, Message, Part, Response};

/// Who made a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// The maker is not known.
    Unknown,
    /// Anthropic: `signature`, and the data of `redacted_thinking`.
    Anthropic,
    /// Google: `thoughtSignature`.
    Google,
    /// OpenAI: `encrypted_content`.
    OpenAi,
}

/// What stands before a marked proof, within its base64.
const MARK: &[u8; 9] = b"fulcrum/1";

/// The same as base64: a body with a marked proof contains this text.
pub const SEEN: &[u8; 12] = b"ZnVsY3J1bS8x";

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl Maker {
    const LETTERS: [(Self, u8); 4] =
        [(Self::Unknown, b'u'), (Self::Anthropic, b'a'), (Self::Google, b'g'), (Self::OpenAi, b'o')];

    /// A proof of this maker's, with the mark. The result is base64, since Google's clients accept no other proof.
    #[must_use]
    pub fn mark(self, proof: &str) -> String {
        let letter = Self::LETTERS.iter().find(|(maker, _)| *maker == self).map_or(b'u', |(_, letter)| *letter);
        BASE64.encode([&MARK[..], &[letter], proof.as_bytes()].concat())
    }

    /// The maker of a proof, and the proof without the mark; `None` where there is no mark.
    #[must_use]
    pub fn of(proof: &str) -> Option<(Self, String)> {
        if !proof.as_bytes().starts_with(SEEN) {
            return None;
        }
        // Google's clients write base64 in its other alphabet.
        let bytes = BASE64.decode(proof.replace('-', "+").replace('_', "/")).ok()?;
        let (letter, proof) = bytes.strip_prefix(MARK)?.split_first()?;
        let (maker, _) = Self::LETTERS.iter().find(|(_, known)| known == letter)?;
        Some((*maker, String::from_utf8(proof.to_vec()).ok()?))
    }

    /// Marks the proofs in an answer of this maker's.
    pub fn mark_answer(self, response: &mut Response) {
        for part in response.choices.iter_mut().flat_map(|choice| &mut choice.parts) {
            part.signature = part.signature.take().map(|proof| self.mark(&proof));
            if let Content::RedactedThinking(data) = &mut part.content {
                *data = self.mark(data);
            }
        }
    }
}

/// Leaves a target the proofs that the target made, without marks, and drops all others, which the target would refuse. A
/// proof without a mark is from the maker of the caller's dialect, where that is known.
pub fn sort_proofs(messages: &mut Vec<Message>, (caller, target): (Maker, Maker), emulated: &mut Emulated) {
    let own = |proof: &str| match Maker::of(proof) {
        Some((maker, proof)) => (maker == target).then_some(proof),
        None => (caller == Maker::Unknown || caller == target).then(|| proof.to_owned()),
    };
    for message in &mut *messages {
        message.parts.retain_mut(|part| mend(part, &own, emulated));
    }
    messages.retain(|message| !message.parts.is_empty() || message.role != super::Role::Assistant);
}

/// Mends the proof of one part; `false` where the part has to go.
fn mend(part: &mut Part, own: &impl Fn(&str) -> Option<String>, emulated: &mut Emulated) -> bool {
    if let Some(proof) = part.signature.take() {
        part.signature = own(&proof);
        if part.signature.is_none() && !proof.is_empty() {
            emulated.note("signature");
        }
    }
    let Content::RedactedThinking(data) = &mut part.content else { return true };
    let Some(proof) = own(data) else {
        emulated.note("redacted_thinking");
        return false;
    };
    *data = proof;
    true
}

/// Marks the proofs of a stream. Proofs come in pieces, and are sent when their part ends.
#[derive(Debug)]
pub struct Marking {
    maker: Maker,
    /// For each choice, the proof of its open part so far.
    open: Vec<(u32, String)>,
}

impl Marking {
    /// Of a stream of this maker's.
    #[must_use]
    pub fn new(maker: Maker) -> Self {
        Self { maker, open: Vec::new() }
    }

    /// Takes an event; appends the events that replace it.
    pub fn take(&mut self, event: Event, out: &mut Vec<Event>) {
        match event {
            Event::Delta { choice, delta: Delta::Signature(more), .. } => {
                match self.open.iter_mut().find(|(open, _)| *open == choice) {
                    Some((_, proof)) => proof.push_str(&more),
                    None => self.open.push((choice, more)),
                }
            }
            Event::Open { choice, part, content: Content::RedactedThinking(data) } => {
                let content = Content::RedactedThinking(self.maker.mark(&data));
                out.push(Event::Open { choice, part, content });
            }
            Event::Close { choice, part } => {
                if let Some(place) = self.open.iter().position(|(open, _)| *open == choice) {
                    let (_, proof) = self.open.swap_remove(place);
                    let delta = Delta::Signature(self.maker.mark(&proof));
                    out.push(Event::Delta { choice, part, delta });
                }
                out.push(Event::Close { choice, part });
            }
            event => out.push(event),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Choice, Collector, Role, Stop};
    use super::*;

    fn thought(proof: &str) -> Part {
        Part { signature: Some(proof.to_owned()), ..Part::new(Content::Thinking("Hm.".to_owned())) }
    }

    fn answer() -> Response {
        let parts = vec![thought("sig+/="), Part::new(Content::RedactedThinking("data".to_owned())), Part::text("Hi")];
        let choice = Choice { parts, stop: Some(Stop::End), logprobs: None };
        Response { choices: vec![choice], ..Response::default() }
    }

    #[test]
    fn a_marked_proof_tells_its_maker_in_either_alphabet() {
        for maker in [Maker::Unknown, Maker::Anthropic, Maker::Google, Maker::OpenAi] {
            let marked = maker.mark("sig?>~ÿ+/=");
            assert!(marked.as_bytes().starts_with(SEEN), "{marked}");
            assert_eq!(Maker::of(&marked), Some((maker, "sig?>~ÿ+/=".to_owned())));
            let other = marked.replace('+', "-").replace('/', "_");
            assert_eq!(Maker::of(other.trim_end_matches('=')), Some((maker, "sig?>~ÿ+/=".to_owned())));
        }
        for not in ["", "c2ln", "ZnVsY3J1bS8x", "ZnVsY3J1bS8xeA==", "ZnVsY3J1bS8x!!"] {
            assert_eq!(Maker::of(not), None, "{not}");
        }
    }

    #[test]
    fn a_target_gets_its_own_proofs_back_and_no_others() {
        let mut marked = answer();
        Maker::Anthropic.mark_answer(&mut marked);
        let answered = || vec![Message { role: Role::Assistant, parts: marked.choices[0].parts.clone(), name: None }];
        for caller in [Maker::Unknown, Maker::Google, Maker::OpenAi, Maker::Anthropic] {
            let (mut messages, mut emulated) = (answered(), Emulated::default());
            sort_proofs(&mut messages, (caller, Maker::Anthropic), &mut emulated);
            assert_eq!(messages[0].parts, answer().choices[0].parts);
            assert!(emulated.is_empty());
            let mut messages = answered();
            sort_proofs(&mut messages, (caller, Maker::Google), &mut emulated);
            assert_eq!(messages[0].parts, vec![Part::new(Content::Thinking("Hm.".to_owned())), Part::text("Hi")]);
            assert_eq!(emulated.names(), ["signature", "redacted_thinking"]);
        }
    }

    #[test]
    fn a_proof_without_a_mark_is_of_who_speaks_as_its_caller_does() {
        for (caller, target, stays) in [
            (Maker::Anthropic, Maker::Anthropic, true),
            (Maker::Anthropic, Maker::Google, false),
            (Maker::Google, Maker::Anthropic, false),
            (Maker::Unknown, Maker::Anthropic, true),
            (Maker::OpenAi, Maker::Unknown, false),
        ] {
            let mut messages = vec![Message { role: Role::Assistant, parts: vec![thought("s")], name: None }];
            let mut emulated = Emulated::default();
            sort_proofs(&mut messages, (caller, target), &mut emulated);
            assert_eq!(messages[0].parts[0].signature.is_some(), stays, "{caller:?} {target:?}");
            assert_eq!(emulated.is_empty(), stays);
        }
    }

    #[test]
    fn a_stream_marks_as_a_whole_answer_does() {
        let mut whole = answer();
        Maker::Google.mark_answer(&mut whole);
        let (mut marking, mut collector, mut out) = (Marking::new(Maker::Google), Collector::default(), Vec::new());
        for event in answer().into_events() {
            // A proof may come in pieces.
            let pieces = match &event {
                Event::Delta { choice, part, delta: Delta::Signature(proof) } => {
                    let piece = |text: &str| Delta::Signature(text.to_owned());
                    let (first, second) = proof.split_at(2);
                    vec![first, second]
                        .into_iter()
                        .map(|text| Event::Delta { choice: *choice, part: *part, delta: piece(text) })
                        .collect()
                }
                _ => vec![event],
            };
            pieces.into_iter().for_each(|event| marking.take(event, &mut out));
        }
        out.into_iter().for_each(|event| collector.take(event));
        assert_eq!(collector.finish(), Some(whole));
    }
}
