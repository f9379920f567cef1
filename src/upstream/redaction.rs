//! Takes the gateway's own keys out of what a provider sends: a provider may echo what it was called with.

use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use bytes::{Bytes, BytesMut};
use regex::bytes::{Regex, RegexBuilder};

use crate::chat::Error;
use crate::types::Secret;
use crate::wire::sse::Event;

/// The shortest secret that is looked for in texts, and in answers, whose own words a short one may be.
const SHORTEST_IN_TEXTS: usize = 4;
const SHORTEST_IN_ANSWERS: usize = 8;

/// What stands in a text where a key was.
const REMOVED: &[u8] = b"[removed]";

/// What stands for each byte of a key in a medium, whose length stays.
const FILLER: u8 = b'*';

/// A signature of Amazon's, as calls carry it.
const SIGNATURE: &str = "Signature=[0-9a-f]{64}";

/// A provider's secrets in every form in which calls carry them, ready to be looked for.
#[derive(Debug)]
pub(super) struct Redaction {
    texts: Regex,
    answers: Option<Answers>,
}

#[derive(Debug)]
struct Answers {
    forms: Vec<String>,
    any: Regex,
    /// A form any of whose characters may be written as JSON's `\u00XX`; looked for only where one is.
    escaped: Regex,
    /// Which bytes a form may have before its last: a piece that ends in none of them ends in no part of a form.
    within: Box<[bool; 256]>,
    longest: usize,
}

impl Redaction {
    /// Looks for `secrets`, and for signatures where calls are signed; `None` where there is nothing to look for.
    pub(super) fn new<'a>(secrets: impl Iterator<Item = &'a Secret>, signed: bool) -> Option<Self> {
        let mut secrets: Vec<&str> = secrets.map(Secret::expose).collect();
        // Of two that begin alike, the longer is found first.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.retain(|secret| secret.len() >= SHORTEST_IN_TEXTS);
        let forms: Vec<String> = secrets.iter().flat_map(|secret| forms(secret)).collect();
        let mut patterns: Vec<String> = forms.iter().map(|form| regex::escape(form)).collect();
        patterns.extend(signed.then(|| SIGNATURE.to_owned()));
        if patterns.is_empty() {
            return None;
        }
        let long = secrets.iter().filter(|secret| secret.len() >= SHORTEST_IN_ANSWERS);
        let answers = Answers::new(&long.copied().collect::<Vec<_>>());
        Some(Self { texts: any_of(&patterns)?, answers })
    }

    /// `text` without any secret.
    pub(super) fn text(&self, text: String) -> String {
        match self.texts.replace_all(text.as_bytes(), regex::bytes::NoExpand(REMOVED)) {
            std::borrow::Cow::Borrowed(_) => text,
            std::borrow::Cow::Owned(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        }
    }

    /// `error` without any secret in what came from the provider.
    pub(super) fn error(&self, error: Error) -> Error {
        Error {
            message: self.text(error.message),
            param: error.param.map(|param| self.text(param)),
            upstream_code: error.upstream_code.map(|code| self.text(code)),
            ..error
        }
    }

    /// An event without any secret.
    pub(super) fn event(&self, event: Event) -> Event {
        event.edited(|raw| self.body(raw))
    }

    /// A whole body without any secret.
    pub(super) fn body(&self, body: Bytes) -> Bytes {
        match &self.answers {
            Some(answers) => answers.without(body),
            None => body,
        }
    }

    /// Whether there is a secret in `bytes`.
    pub(super) fn finds(&self, bytes: &[u8]) -> bool {
        self.texts.is_match(bytes)
    }

    /// The next piece of an answer without any secret. `held` is the end of what came before, which may be the beginning of
    /// a secret. Of a medium the length stays, and nothing is held back.
    pub(super) fn piece(&self, held: &mut Bytes, piece: Bytes, is_medium: bool) -> Bytes {
        let Some(answers) = &self.answers else { return piece };
        let piece = if held.is_empty() {
            piece
        } else {
            let mut joined = BytesMut::from(&held[..]);
            joined.extend_from_slice(&piece);
            *held = Bytes::new();
            joined.freeze()
        };
        if is_medium {
            return answers.filled(piece);
        }
        let mut piece = answers.without(piece);
        let kept = answers.begun(&piece);
        if kept > 0 {
            *held = piece.split_off(piece.len() - kept);
        }
        piece
    }
}

impl Answers {
    fn new(secrets: &[&str]) -> Option<Self> {
        let forms: Vec<String> = secrets.iter().flat_map(|secret| forms(secret)).collect();
        let longest = forms.iter().map(String::len).max()?;
        let mut within = Box::new([false; 256]);
        for form in &forms {
            form.as_bytes().iter().rev().skip(1).for_each(|byte| within[usize::from(*byte)] = true);
        }
        let any = any_of(&forms.iter().map(|form| regex::escape(form)).collect::<Vec<_>>())?;
        let escaped = any_of(&forms.iter().map(|form| maybe_escaped(form)).collect::<Vec<_>>())?;
        Some(Self { forms, any, escaped, within, longest })
    }

    fn without(&self, piece: Bytes) -> Bytes {
        let piece = replaced(&self.any, piece);
        if memchr::memmem::find(&piece, b"\\u00").is_some() { replaced(&self.escaped, piece) } else { piece }
    }

    fn filled(&self, piece: Bytes) -> Bytes {
        if !self.any.is_match(&piece) {
            return piece;
        }
        let mut bytes = BytesMut::from(&piece[..]);
        for found in self.any.find_iter(&piece) {
            bytes[found.range()].fill(FILLER);
        }
        bytes.freeze()
    }

    /// How many of the last bytes may be the beginning of a form.
    fn begun(&self, piece: &[u8]) -> usize {
        if !piece.last().is_some_and(|last| self.within[usize::from(*last)]) {
            return 0;
        }
        let longest = piece.len().min(self.longest - 1);
        let begins = |tail: &[u8]| self.forms.iter().any(|form| form.as_bytes().starts_with(tail));
        (1..=longest).rev().find(|length| begins(&piece[piece.len() - length..])).unwrap_or(0)
    }
}

/// A secret as it may be written: as it is, with JSON's or an address's escapes, and in base64 at any place of what is encoded,
/// so that `Bearer KEY` and `user:KEY` are found too.
fn forms(secret: &str) -> Vec<String> {
    let mut forms = vec![secret.to_owned(), secret.replace('/', "\\/"), escaped(secret)];
    if secret.len() >= SHORTEST_IN_ANSWERS {
        for before in 0..3 {
            let mut bytes = vec![0; before];
            bytes.extend_from_slice(secret.as_bytes());
            let (from, to) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
            for text in [STANDARD_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)] {
                forms.push(text[from..to].to_owned());
            }
        }
    }
    forms.sort();
    forms.dedup();
    forms
}

fn replaced(found: &Regex, piece: Bytes) -> Bytes {
    match found.replace_all(&piece, regex::bytes::NoExpand(REMOVED)) {
        std::borrow::Cow::Borrowed(_) => piece,
        std::borrow::Cow::Owned(bytes) => bytes.into(),
    }
}

/// What matches a form of which any character may be written as `\u00XX`, and a slash as `\/`.
fn maybe_escaped(form: &str) -> String {
    form.bytes().fold(String::new(), |mut pattern, byte| {
        let slash = if byte == b'/' { r"|\\/" } else { "" };
        let _infallible = write!(pattern, r"(?:\x{byte:02x}{slash}|\\u00(?i:{byte:02x}))");
        pattern
    })
}

fn escaped(secret: &str) -> String {
    secret.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _infallible = write!(text, "%{byte:02X}");
        }
        text
    })
}

fn any_of(patterns: &[String]) -> Option<Regex> {
    // A pattern of so many literals stays far below the limit; a regex that cannot be made would let keys pass.
    RegexBuilder::new(&patterns.join("|")).unicode(false).size_limit(usize::MAX).build().ok()
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "sk-canary/12+34567890";

    fn redaction() -> Redaction {
        Redaction::new([Secret::new(KEY), Secret::new("brief")].iter(), true).unwrap()
    }

    #[test]
    fn a_text_loses_every_form_of_a_secret() {
        let signature = format!("Credential=x, Signature={}", "0a".repeat(32));
        for secret in [
            KEY.to_owned(),
            "sk-canary\\/12+34567890".to_owned(),
            "sk-canary%2F12%2B34567890".to_owned(),
            STANDARD.encode(KEY),
            STANDARD.encode(format!("Bearer {KEY}")),
            STANDARD.encode(format!("user:{KEY}")),
            URL_SAFE_NO_PAD.encode(format!("us:{KEY}")),
            "brief".to_owned(),
            signature,
        ] {
            let text = redaction().text(format!("bad key ({secret}), sorry"));
            assert!(text.starts_with("bad key (") && text.ends_with("), sorry"), "{text}");
            assert!(text.contains("[removed]") && !text.contains(&secret), "{text}");
        }
    }

    #[test]
    fn an_answer_loses_a_secret_whose_characters_are_escaped_one_by_one() {
        let all: String = KEY.bytes().map(|byte| format!("\\u{byte:04X}")).collect();
        for secret in [KEY.replace('+', "\\u002B"), KEY.replace('+', "\\u002b").replace('/', "\\/"), all] {
            let piece = Bytes::from(format!("{{\"content\":\"my {secret} key\"}}"));
            let clean = redaction().piece(&mut Bytes::new(), piece, false);
            assert_eq!(clean, "{\"content\":\"my [removed] key\"}", "{secret}");
        }
    }

    proptest! {
        /// However an answer is cut into pieces, no key is in it, and nothing else of it changes.
        #[test]
        fn no_piece_brings_a_secret(before in "[a-zsk\\-\n]{0,30}", after in "[a-zsk\\-\n]{0,30}", cuts in prop::collection::vec(0_usize..90, 0..6)) {
            let whole = format!("{before}{KEY}{after}sk-canar");
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(whole.len())).collect();
            cuts.extend([0, whole.len()]);
            cuts.sort_unstable();
            let (redaction, mut held, mut out) = (redaction(), Bytes::new(), Vec::new());
            for cut in cuts.windows(2) {
                let piece = Bytes::copy_from_slice(&whole.as_bytes()[cut[0]..cut[1]]);
                out.extend_from_slice(&redaction.piece(&mut held, piece, false));
            }
            out.extend_from_slice(&held);
            let expected = whole.replace(KEY, "[removed]");
            prop_assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
