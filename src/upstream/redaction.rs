//! Takes the gateway's own keys out of what a provider sends: a provider may echo what it was called with.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use bytes::{Bytes, BytesMut};
use memchr::memmem;
use regex::bytes::{NoExpand, Regex, RegexBuilder};

use super::provider::{AwsCredentials, Provider};
use crate::chat::Error;
use crate::types::Secret;
use crate::wire::sse::Event;

/// The shortest secret that is looked for in texts, and in answers, whose own words a short one may be.
const SHORTEST_IN_TEXTS: usize = 4;
const SHORTEST_IN_ANSWERS: usize = 8;

/// The shortest secret that is looked for in other providers' answers: shorter ones are words that servers of one's own accept.
const SHORTEST_OF_OTHERS: usize = 16;

/// So many bytes of a form are looked for first.
const OPENING: usize = 4;

/// What stands in a text where a key was.
pub(super) const REMOVED: &[u8] = b"[removed]";

/// What stands for each byte of a key in a medium, whose length stays.
const FILLER: u8 = b'*';

/// A signature of Amazon's, as calls carry it.
const SIGNATURE: &str = "Signature=[0-9a-f]{64}";

/// The keys of all providers. Each is looked for in the answers of every provider: two may be one service, or one may have read
/// another's key in a request.
#[derive(Clone, Debug, Default)]
pub struct ProviderKeys {
    secrets: Vec<Secret>,
    answers: Option<Arc<Answers>>,
}

/// Secrets in every form in which calls carry them, ready to be looked for: a provider's own, and those of all others.
#[derive(Debug)]
pub(super) struct Redaction {
    own: Option<Regex>,
    answers: Option<Arc<Answers>>,
}

/// What is looked for in answers.
#[derive(Debug)]
pub(super) struct Answers {
    /// How the forms begin: most answers have nothing of that.
    openings: Regex,
    any: Regex,
    /// A form any of whose characters may be written as JSON's `\u00XX`; looked for only where one is.
    escaped: Regex,
    /// What a raw piece may end in.
    pieces: Beginnings,
    /// What a string may end in that goes on in another: a secret as it is.
    strings: Beginnings,
}

/// What the end of a text may be the beginning of.
#[derive(Debug)]
pub(super) struct Beginnings {
    /// In order, each once.
    forms: Vec<Vec<u8>>,
    /// Which bytes a form may begin with.
    firsts: Box<[bool; 256]>,
    /// Which two bytes a form may begin with, a bit each.
    starts: Box<[u64; 1024]>,
    /// Which two bytes may stand together in a form: a text that ends in no such two ends in no part of a form.
    pairs: Box<[u64; 1024]>,
    longest: usize,
}

impl ProviderKeys {
    /// The keys of these providers.
    #[must_use]
    pub fn of(providers: &[Provider]) -> Self {
        let mut secrets: Vec<Secret> = providers.iter().flat_map(secrets_of).cloned().collect();
        secrets.retain(|secret| secret.expose().len() >= SHORTEST_OF_OTHERS);
        secrets.sort_by(|one, other| one.expose().cmp(other.expose()));
        secrets.dedup();
        let answers = Answers::new(secrets.iter()).map(Arc::new);
        Self { secrets, answers }
    }
}

/// The secrets that calls of this provider carry.
fn secrets_of(provider: &Provider) -> impl Iterator<Item = &Secret> {
    let signing = provider.aws.iter().filter_map(|aws| aws.credentials.as_ref());
    provider.api_keys.iter().chain(signing.flat_map(AwsCredentials::secrets))
}

impl Redaction {
    /// Looks for this provider's secrets, for signatures where its calls are signed, and for the keys of all; `None` where there
    /// is nothing to look for.
    pub(super) fn of(provider: &Provider, all: &ProviderKeys) -> Option<Self> {
        Self::new(secrets_of(provider), provider.aws.is_some(), all)
    }

    fn new<'a>(secrets: impl Iterator<Item = &'a Secret>, signed: bool, all: &ProviderKeys) -> Option<Self> {
        let mut secrets: Vec<&Secret> = secrets.collect();
        // Of two that begin alike, the longer is found first.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
        secrets.retain(|secret| secret.expose().len() >= SHORTEST_IN_TEXTS);
        let mut patterns: Vec<String> =
            secrets.iter().flat_map(|secret| forms(secret.expose())).map(|form| regex::escape(&form)).collect();
        patterns.extend(signed.then(|| SIGNATURE.to_owned()));
        secrets.retain(|secret| secret.expose().len() >= SHORTEST_IN_ANSWERS);
        let answers = match secrets.iter().all(|secret| all.secrets.contains(secret)) {
            true => all.answers.clone(),
            // Few have keys so short that only their own answers are searched for them.
            false => Answers::new(all.secrets.iter().chain(secrets)).map(Arc::new),
        };
        if patterns.is_empty() && answers.is_none() {
            return None;
        }
        let own = if patterns.is_empty() { None } else { Some(any_of(&patterns)?) };
        Some(Self { own, answers })
    }

    /// What is looked for in answers.
    pub(super) fn answers(&self) -> Option<&Answers> {
        self.answers.as_deref()
    }

    /// `text` without any secret.
    pub(super) fn text(&self, text: String) -> String {
        let sought = self.own.iter().chain(self.answers().map(|answers| &answers.any));
        sought.fold(text, |text, found| match found.replace_all(text.as_bytes(), NoExpand(REMOVED)) {
            Cow::Borrowed(_) => text,
            Cow::Owned(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        })
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

    /// Whether there is a secret in `bytes`.
    pub(super) fn finds(&self, bytes: &[u8]) -> bool {
        self.own.iter().chain(self.answers().map(|answers| &answers.any)).any(|sought| sought.is_match(bytes))
    }
}

impl Answers {
    fn new<'a>(secrets: impl Iterator<Item = &'a Secret>) -> Option<Self> {
        let mut secrets: Vec<&str> = secrets.map(Secret::expose).collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        let mut sought: Vec<String> = secrets.iter().flat_map(|secret| forms(secret)).collect();
        // Where an answer comes letter by letter, the first may be gone before it shows what it begins.
        let rests = secrets.iter().filter_map(|secret| secret.get(1..)).map(str::to_owned);
        let plain: Vec<String> = secrets.iter().map(|secret| (*secret).to_owned()).chain(rests.clone()).collect();
        sought.extend(rests);
        let escape = |form: &[u8]| regex::escape(&String::from_utf8_lossy(form));
        let any = any_of(&sought.iter().map(|form| escape(form.as_bytes())).collect::<Vec<_>>())?;
        let escaped = any_of(&sought.iter().map(|form| maybe_escaped(form)).collect::<Vec<_>>())?;
        let (pieces, strings) = (Beginnings::of(sought)?, Beginnings::of(plain)?);
        let mut openings: Vec<String> =
            pieces.forms.iter().map(|form| escape(&form[..form.len().min(OPENING)])).collect();
        openings.dedup();
        Some(Self { openings: any_of(&openings)?, any, escaped, pieces, strings })
    }

    /// Whether `bytes` may have a form in them, or its beginning.
    pub(super) fn suspects(&self, bytes: &[u8]) -> bool {
        self.openings.is_match(bytes) || has_escaped(bytes)
    }

    /// `bytes` without any secret.
    pub(super) fn without(&self, bytes: Bytes) -> Bytes {
        if self.suspects(&bytes) { self.cleared(bytes) } else { bytes }
    }

    fn cleared(&self, bytes: Bytes) -> Bytes {
        let bytes = replaced(&self.any, bytes);
        if has_escaped(&bytes) { replaced(&self.escaped, bytes) } else { bytes }
    }

    /// An event without any secret.
    pub(super) fn event(&self, event: Event) -> Event {
        event.edited(|raw| self.without(raw))
    }

    /// The next piece of an answer without any secret. `held` is the end of what came before, which may be the beginning of
    /// a secret. Of a medium the length stays, and nothing is held back. `is_suspect` is set where the piece may have a secret in it,
    /// or part of one.
    pub(super) fn piece(&self, held: &mut Bytes, piece: Bytes, is_medium: bool, is_suspect: &mut bool) -> Bytes {
        let piece = if held.is_empty() {
            piece
        } else {
            let mut joined = BytesMut::from(&held[..]);
            joined.extend_from_slice(&piece);
            *held = Bytes::new();
            joined.freeze()
        };
        if is_medium {
            return self.filled(piece);
        }
        let mut piece = piece;
        if self.suspects(&piece) {
            *is_suspect = true;
            piece = self.cleared(piece);
        }
        let kept = self.pieces.begun(&piece);
        if kept > 0 {
            *held = piece.split_off(piece.len() - kept);
        }
        piece
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

    /// Where forms stand in `bytes`.
    pub(super) fn found<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = Range<usize>> + 'a {
        self.any.find_iter(bytes).map(|found| found.range())
    }

    /// What a string may end in that goes on in another.
    pub(super) fn strings(&self) -> &Beginnings {
        &self.strings
    }
}

impl Beginnings {
    /// Of at least one form, none of them empty.
    fn of(forms: Vec<String>) -> Option<Self> {
        let mut forms: Vec<Vec<u8>> = forms.into_iter().map(String::into_bytes).collect();
        forms.sort();
        forms.dedup();
        let longest = forms.iter().map(Vec::len).max()?;
        let mut firsts = Box::new([false; 256]);
        let (mut starts, mut pairs) = (Box::new([0; 1024]), Box::new([0; 1024]));
        for form in &forms {
            firsts[usize::from(form[0])] = true;
            let mut places = form.windows(2).map(|pair| place_of(pair[0], pair[1])).peekable();
            places.peek().into_iter().for_each(|(at, bit)| starts[*at] |= bit);
            places.for_each(|(at, bit)| pairs[at] |= bit);
        }
        Some(Self { forms, firsts, starts, pairs, longest })
    }

    /// How many of the last bytes may be the beginning of a form.
    pub(super) fn begun(&self, bytes: &[u8]) -> usize {
        let may_be_begun = match *bytes {
            [] => false,
            [only] => self.is_first(only),
            [.., before, last] => self.is_first(last) || self.has_pair(before, last),
        };
        if !may_be_begun {
            return 0;
        }
        let tail = &bytes[bytes.len() - bytes.len().min(self.longest - 1)..];
        let begins = |at: &usize| match tail[*at..] {
            [] => false,
            [only] => self.is_first(only),
            [first, second, ..] => {
                let (place, bit) = place_of(first, second);
                self.starts[place] & bit != 0 && self.begins(&tail[*at..])
            }
        };
        (0..tail.len()).find(begins).map_or(0, |at| tail.len() - at)
    }

    /// Whether a form begins with this byte.
    pub(super) fn is_first(&self, byte: u8) -> bool {
        self.firsts[usize::from(byte)]
    }

    /// Whether these two bytes stand together in a form.
    pub(super) fn has_pair(&self, before: u8, last: u8) -> bool {
        let (place, bit) = place_of(before, last);
        self.pairs[place] & bit != 0
    }

    /// Whether a form begins so.
    fn begins(&self, tail: &[u8]) -> bool {
        let at = self.forms.partition_point(|form| form.as_slice() < tail);
        self.forms.get(at).is_some_and(|form| form.starts_with(tail))
    }

    /// The longest form's length.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }
}

/// Where the bit of two bytes is.
fn place_of(before: u8, last: u8) -> (usize, u64) {
    let place = usize::from(before) << 8 | usize::from(last);
    (place / 64, 1 << (place % 64))
}

/// Whether there is an escape of JSON's by which a key's characters may be written.
pub(super) fn has_escaped(json: &[u8]) -> bool {
    memmem::find_iter(json, b"\\u00").any(|at| json.get(at + 4).is_none_or(|digit| (b'2'..=b'7').contains(digit)))
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
    match found.replace_all(&piece, NoExpand(REMOVED)) {
        Cow::Borrowed(_) => piece,
        Cow::Owned(bytes) => bytes.into(),
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

/// A redaction that looks for this key alone.
#[cfg(test)]
pub(super) fn redaction_of(key: &str) -> Redaction {
    Redaction::new([Secret::new(key)].iter(), false, &ProviderKeys::default()).unwrap()
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "sk-canary/12+34567890";

    fn redaction() -> Redaction {
        Redaction::new([Secret::new(KEY), Secret::new("brief")].iter(), true, &ProviderKeys::default()).unwrap()
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
            let clean = redaction().answers().unwrap().piece(&mut Bytes::new(), piece, false, &mut false);
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
                out.extend_from_slice(&redaction.answers().unwrap().piece(&mut held, piece, false, &mut false));
            }
            out.extend_from_slice(&held);
            let expected = whole.replace(KEY, "[removed]");
            prop_assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
