//! Proofs of reasoning. A provider refuses another's proofs, so a caller of another dialect gets each with its maker's mark.

use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use super::carried::{Carried, ProofPlaces};
use super::thought::without_place;
use super::{Content, Emulated, Message, Part, Response};

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
}

/// Who made what an answer proves: a maker, and the provider, since proofs in Chat Completions hold at one provider alone.
#[derive(Clone, Debug)]
pub struct MadeBy {
    /// The maker.
    pub maker: Maker,
    /// The provider's name.
    pub provider: Arc<str>,
}

/// What stands before a provider's name, in a proof that holds there alone.
const AT: &str = "at:";

impl MadeBy {
    /// A proof with the mark.
    #[must_use]
    pub fn mark(&self, proof: &str) -> String {
        match self.maker {
            Maker::Unknown => self.maker.mark(&format!("{AT}{}\n{proof}", self.provider)),
            maker => maker.mark(proof),
        }
    }

    /// The proof as this maker made it; `None` for another's. A proof without a mark is from the maker of the caller's
    /// dialect, where that is known.
    fn own(&self, caller: Maker, proof: &str) -> Option<String> {
        let Some((maker, proof)) = Maker::of(proof) else {
            let is_own = caller == Maker::Unknown || caller == self.maker;
            let bare = if self.maker == Maker::Unknown { proof } else { without_place(proof) };
            return is_own.then(|| bare.to_owned());
        };
        match proof.strip_prefix(AT).and_then(|placed| placed.split_once('\n')).filter(|_| maker == Maker::Unknown) {
            Some((provider, proof)) => (self.maker == maker && *provider == *self.provider).then(|| proof.to_owned()),
            None => (self.maker == maker).then_some(proof),
        }
    }

    /// Marks the proofs in an answer of this maker's, for a dialect that has these places for them.
    pub fn mark_answer(&self, places: ProofPlaces, response: &mut Response) {
        for choice in &mut response.choices {
            for mut part in std::mem::take(&mut choice.parts) {
                if let Content::RedactedThinking(data) = &mut part.content {
                    *data = self.mark(data);
                }
                let proof = part.signature.take();
                let carried = proof.as_ref().filter(|_| places.lacks(&part.content));
                let carried = carried.map(|proof| self.mark(&Carried::text_of(&part.content, proof)));
                let Some(carried) = carried else {
                    part.signature = proof.map(|proof| self.mark(&proof));
                    choice.parts.push(part);
                    continue;
                };
                let carrier = Part::new(Content::RedactedThinking(carried));
                let is_call = matches!(part.content, Content::ToolCall { .. });
                choice.parts.extend(if is_call { [carrier, part] } else { [part, carrier] });
            }
        }
    }
}

/// What a proof proves beside where its thought stood; empty for nothing.
fn proven(proof: &str) -> String {
    let Some((_, proof)) = Maker::of(proof) else { return without_place(proof).to_owned() };
    let placed = proof.strip_prefix(AT).and_then(|placed| placed.split_once('\n'));
    without_place(placed.map_or(proof.as_str(), |(_, proof)| proof)).to_owned()
}

/// Leaves a target the proofs that the target made, without marks, and drops all others, which the target would refuse.
pub fn sort_proofs(messages: &mut Vec<Message>, (caller, target): (Maker, &MadeBy), emulated: &mut Emulated) {
    let own = |proof: &str| target.own(caller, proof);
    for message in &mut *messages {
        let mut carried = Vec::new();
        let parts = std::mem::take(&mut message.parts);
        message.parts.reserve(parts.len());
        for mut part in parts {
            if let Some(data) = carrying(&part) {
                carried.push((message.parts.len(), own(data).and_then(|data| Carried::read(&data))));
            } else if mend(&mut part, &own, emulated) {
                message.parts.push(part);
            }
        }
        for (place, carried) in carried {
            if !carried.is_some_and(|carried| carried.put_back(&mut message.parts, place)) {
                emulated.note("signature");
            }
        }
    }
    messages.retain(|message| !message.parts.is_empty() || message.role != super::Role::Assistant);
}

/// The data of a part that carries the proof of another.
fn carrying(part: &Part) -> Option<&str> {
    let Content::RedactedThinking(data) = &part.content else { return None };
    Maker::of(data)?;
    Carried::read(&proven(data)).map(|_| data.as_str())
}

/// Mends the proof of one part; `false` where the part has to go.
fn mend(part: &mut Part, own: &impl Fn(&str) -> Option<String>, emulated: &mut Emulated) -> bool {
    if let Some(proof) = part.signature.take() {
        part.signature = own(&proof).filter(|proof| !proof.is_empty());
        if part.signature.is_none() && !proven(&proof).is_empty() {
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

#[cfg(test)]
mod tests {
    use super::super::{Choice, Role, Stop};
    use super::*;

    fn by(maker: Maker) -> MadeBy {
        MadeBy { maker, provider: "p".into() }
    }

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
        by(Maker::Anthropic).mark_answer(ProofPlaces::ALL, &mut marked);
        let answered = || vec![Message { role: Role::Assistant, parts: marked.choices[0].parts.clone(), name: None }];
        for caller in [Maker::Unknown, Maker::Google, Maker::OpenAi, Maker::Anthropic] {
            let (mut messages, mut emulated) = (answered(), Emulated::default());
            sort_proofs(&mut messages, (caller, &by(Maker::Anthropic)), &mut emulated);
            assert_eq!(messages[0].parts, answer().choices[0].parts);
            assert!(emulated.is_empty());
            let mut messages = answered();
            sort_proofs(&mut messages, (caller, &by(Maker::Google)), &mut emulated);
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
            sort_proofs(&mut messages, (caller, &by(target)), &mut emulated);
            assert_eq!(messages[0].parts[0].signature.is_some(), stays, "{caller:?} {target:?}");
            assert_eq!(emulated.is_empty(), stays);
        }
    }
}
