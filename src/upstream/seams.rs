//! Takes out keys that an answer has in parts: the end of one JSON string is a key's beginning, and the next of that name goes on.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use memchr::memmem;

use super::redaction::{Answers, REMOVED, has_escaped};
use crate::wire::event_pattern::EventPattern;
use crate::wire::json::string_end;
use crate::wire::sse::Event;

/// From so many bytes of a key on, its events are held back: they come again in no word of any language.
const LEAST_HELD: usize = 4;

/// The most events that are held back for the rest of a key.
const MOST_HELD: u64 = 512;

/// The most beginnings of keys that are remembered at once.
const MOST_RUNS: usize = 16;

/// What the last events of an answer have in them.
const LAST: [&[u8]; 8] = [
    b"[DONE]",
    b"\"message_stop\"",
    b"response.completed\"",
    b"response.incomplete\"",
    b"response.failed\"",
    b"messageStop",
    b"event: error",
    b"\"error\":{",
];

/// The strings of an answer that may go on in the next one. Events pass at once unless one ends in part of a key.
#[derive(Debug, Default)]
pub(super) struct Seams {
    runs: Vec<Run>,
    held: VecDeque<Held>,
    /// The number of the first event that is held.
    first: u64,
    /// How many of them may go.
    ready: usize,
    /// What the events that pass at once have in common.
    pattern: EventPattern,
}

/// The beginning of a key at the end of a string.
#[derive(Clone, Debug)]
struct Run {
    /// The string's name.
    name: Bytes,
    /// The numbers of the choice, part or call that it is of.
    place: u64,
    text: Vec<u8>,
    /// Where its bytes stand that are still here.
    parts: Vec<Part>,
}

/// Where a part of a run stands.
#[derive(Clone, Debug)]
struct Part {
    event: u64,
    /// Where each byte begins.
    starts: Vec<usize>,
    end: usize,
}

#[derive(Debug)]
struct Held {
    event: Event,
    edits: Vec<(Range<usize>, &'static [u8])>,
}

/// A JSON string as it is meant, with the place of each byte.
struct Text {
    bytes: Vec<u8>,
    starts: Vec<usize>,
    end: usize,
}

/// A string that is looked at.
struct Found<'a> {
    name: &'a Bytes,
    place: u64,
    event: u64,
    text: &'a Text,
}

impl Seams {
    /// Takes the next event, and returns the next that may go.
    pub(super) fn push(&mut self, event: Event, keys: &Answers) -> Option<Event> {
        if self.runs.is_empty() && self.held.is_empty() && self.passes_at_once(event.raw(), keys) {
            self.first += 1;
            return Some(event);
        }
        let raw = event.raw().clone();
        let number = self.first + self.held.len() as u64;
        self.held.push_back(Held { event, edits: Vec::new() });
        self.look(number, &raw, keys);
        if LAST.iter().any(|mark| memmem::find(&raw, mark).is_some()) {
            self.runs.clear();
        }
        let begins = |run: &Run| run.parts.first().map(|part| part.event);
        self.runs.retain(|run| begins(run).is_none_or(|first| first + MOST_HELD > number));
        let oldest = self.runs.iter().filter_map(begins).min().unwrap_or(number + 1);
        self.ready = usize::try_from(oldest - self.first).unwrap_or(usize::MAX);
        self.pop()
    }

    /// Whether no string of an event may be a part of a key, where none before it is.
    fn passes_at_once(&mut self, raw: &Bytes, keys: &Answers) -> bool {
        if let Some(text) = self.pattern.text_of(raw) {
            return begun(text, keys).1 == 0;
        }
        if self.pattern.is_last(raw) {
            return true;
        }
        let is_plain = ends_plainly(raw, keys) || is_plain(raw, keys);
        if is_plain {
            self.pattern.note(raw);
        }
        is_plain
    }

    /// The next event that may go.
    pub(super) fn pop(&mut self) -> Option<Event> {
        self.ready = self.ready.checked_sub(1)?;
        self.first += 1;
        self.held.pop_front().map(Held::edited)
    }

    /// Lets all go that is held: nothing follows.
    pub(super) fn release(&mut self) {
        self.runs.clear();
        self.ready = self.held.len();
    }

    /// A whole answer without keys that its strings have in parts.
    pub(super) fn whole(body: Bytes, keys: &Answers) -> Bytes {
        let mut seams = Self::default();
        seams.held.push_back(Held { event: Event::default(), edits: Vec::new() });
        seams.look(0, &body, keys);
        seams.held.pop_front().map_or(body.clone(), |held| with_edits(body, held.edits))
    }

    fn look(&mut self, event: u64, raw: &Bytes, keys: &Answers) {
        let mut place = None;
        for (name, value) in Strings::of(raw) {
            let (name, string) = (raw.slice(name), &raw[value.clone()]);
            let is_known = self.runs.iter().any(|run| run.name == name);
            if string.is_empty() || (!is_known && is_plain_string(string, keys)) {
                continue;
            }
            let place = *place.get_or_insert_with(|| place_in(raw));
            let text = Text::of(raw, value);
            self.take(&Found { name: &name, place, event, text: &text }, keys);
        }
    }

    /// Takes a string: it may complete a key, go on with one, or begin one.
    fn take(&mut self, found: &Found<'_>, keys: &Answers) {
        let Found { name, place, event, text } = *found;
        let mut from = 0;
        if let Some((run, key)) = self.completed(found, keys) {
            from = key.end - run.text.len();
            self.cut(&run, key, found);
        }
        for key in keys.found(&text.bytes[from..]).map(|key| key.start + from..key.end + from).collect::<Vec<_>>() {
            self.edit(event, text.range(key.clone()), REMOVED);
            from = key.end;
        }
        let next = if from == 0 { self.run_on(found, keys) } else { begun(&text.bytes[from..], keys) };
        let (before, length) = next;
        let run = (length > 0).then(|| self.grown(found, (before, length)));
        self.runs.retain(|run| run.name != *name || (run.place != place && run.is_held()));
        self.runs.extend(run);
        if self.runs.len() > MOST_RUNS {
            self.runs.remove(0);
        }
    }

    /// The runs that the string may go on with: those of its own place, and of another part of the answer what is held.
    fn before<'a>(&'a self, found: &'a Found<'_>) -> impl Iterator<Item = (usize, &'a Run)> {
        let fits = |run: &Run| run.name == *found.name && (run.place == found.place || run.is_held());
        self.runs.iter().enumerate().filter(move |(_, run)| fits(run))
    }

    /// The run that the string completes to a key, and where the key stands in both together.
    fn completed(&self, found: &Found<'_>, keys: &Answers) -> Option<(Run, Range<usize>)> {
        let text = &found.text.bytes;
        let text = &text[..text.len().min(keys.strings().longest())];
        self.before(found).find_map(|(_, run)| {
            let joined = [&run.text[..], text].concat();
            let over = |key: &Range<usize>| key.start < run.text.len() && key.end > run.text.len();
            let key = keys.found(&joined).find(over)?;
            Some((run.clone(), key))
        })
    }

    /// The run that the string goes on with, and how long that is by now; the last string's own beginning where there is none.
    fn run_on(&self, found: &Found<'_>, keys: &Answers) -> (Option<usize>, usize) {
        let text = &found.text.bytes;
        let grown = self.before(found).filter(|_| text.len() < keys.strings().longest()).filter_map(|(at, run)| {
            let length = keys.strings().begun(&[&run.text[..], text].concat());
            (length > text.len()).then_some((Some(at), length))
        });
        grown.max_by_key(|(_, length)| *length).unwrap_or_else(|| begun(text, keys))
    }

    /// The run that ends with the string, `length` bytes long, of which the first are those of the run `before`.
    fn grown(&self, found: &Found<'_>, (before, length): (Option<usize>, usize)) -> Run {
        let Found { name, place, event, text } = *found;
        let before = before.and_then(|at| self.runs.get(at));
        let joined = [before.map_or(&[][..], |run| &run.text), &text.bytes].concat();
        let mut run =
            Run { name: name.clone(), place, text: joined[joined.len() - length..].to_vec(), parts: Vec::new() };
        if length >= LEAST_HELD {
            let own = length.min(text.bytes.len());
            let parts = before.map_or_else(Vec::new, |run| run.last(length - own));
            let starts = text.starts[text.starts.len() - own..].to_vec();
            run.parts = parts.into_iter().chain([Part { event, starts, end: text.end }]).collect();
        }
        run
    }

    /// Cuts a key out of a run and the string that completes it.
    fn cut(&mut self, run: &Run, key: Range<usize>, found: &Found<'_>) {
        let mut with = REMOVED;
        for part in run.last(run.text.len() - key.start) {
            let range = part.starts.first().map_or(0..0, |start| *start..part.end);
            self.edit(part.event, range, std::mem::take(&mut with));
        }
        self.edit(found.event, found.text.range(0..key.end - run.text.len()), with);
    }

    fn edit(&mut self, event: u64, range: Range<usize>, with: &'static [u8]) {
        let at = event.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        if let Some(held) = at.and_then(|at| self.held.get_mut(at)) {
            held.edits.push((range, with));
        }
    }
}

impl Run {
    fn is_held(&self) -> bool {
        !self.parts.is_empty()
    }

    /// Where its last `length` bytes stand, as far as they are still here.
    fn last(&self, length: usize) -> Vec<Part> {
        let mut spare = self.parts.iter().map(|part| part.starts.len()).sum::<usize>().saturating_sub(length);
        let mut parts = self.parts.clone();
        parts.retain_mut(|part| {
            let cut = spare.min(part.starts.len());
            spare -= cut;
            part.starts.drain(..cut);
            !part.starts.is_empty()
        });
        parts
    }
}

impl Held {
    fn edited(self) -> Event {
        let Self { event, edits } = self;
        if edits.is_empty() { event } else { event.edited(|raw| with_edits(raw, edits)) }
    }
}

fn with_edits(raw: Bytes, mut edits: Vec<(Range<usize>, &'static [u8])>) -> Bytes {
    if edits.is_empty() {
        return raw;
    }
    edits.sort_by_key(|(range, _)| range.start);
    let (mut out, mut at) = (BytesMut::with_capacity(raw.len()), 0);
    for (range, with) in edits.into_iter().filter(|(range, _)| !range.is_empty()) {
        if range.start >= at {
            out.extend_from_slice(&raw[at..range.start]);
            out.extend_from_slice(with);
            at = range.end;
        }
    }
    out.extend_from_slice(&raw[at..]);
    out.freeze()
}

impl Text {
    fn of(raw: &[u8], range: Range<usize>) -> Self {
        let (mut bytes, mut starts, mut at) =
            (Vec::with_capacity(range.len()), Vec::with_capacity(range.len()), range.start);
        while at < range.end {
            let (byte, length) = match raw[at..range.end] {
                [b'\\', b'u', ref digits @ ..] => (unit(digits), 6),
                // None of the characters that have escapes of their own stands in a key, but the slash.
                [b'\\', b'/', ..] => (b'/', 2),
                [b'\\', ..] => (0, 2),
                [byte, ..] => (byte, 1),
                [] => break,
            };
            bytes.push(byte);
            starts.push(at);
            at += length;
        }
        Self { bytes, starts, end: range.end }
    }

    /// Where these bytes stand.
    fn range(&self, bytes: Range<usize>) -> Range<usize> {
        let start = |at: usize| self.starts.get(at).copied().unwrap_or(self.end);
        start(bytes.start)..start(bytes.end)
    }
}

/// The character of an escape, where it is ASCII.
fn unit(digits: &[u8]) -> u8 {
    let digits = digits.get(..4).and_then(|digits| std::str::from_utf8(digits).ok());
    digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).unwrap_or(0)
}

/// How the last bytes of a string begin a key. One byte at the end of a longer string is no beginning: the rest of a key is
/// found without it.
fn begun(text: &[u8], keys: &Answers) -> (Option<usize>, usize) {
    let length = keys.strings().begun(text);
    (None, if length > 1 || text.len() == 1 { length } else { 0 })
}

/// Whether no quotation mark of an event may end a part of a key, as a first look at each shows: nearly all events go no further.
fn ends_plainly(raw: &[u8], keys: &Answers) -> bool {
    let (words, rest) = raw.as_chunks::<8>();
    let mut escapes = 0;
    for (n, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        escapes |= places_of(b'\\', word);
        let mut marks = places_of(b'"', word);
        while marks != 0 {
            if !is_plain_at(raw, n * 8 + (marks.trailing_zeros() / 8) as usize, keys) {
                return false;
            }
            marks &= marks - 1;
        }
    }
    let begun = words.len() * 8;
    let is_plain = |(n, byte): (usize, &u8)| match byte {
        b'\\' => false,
        b'"' => is_plain_at(raw, begun + n, keys),
        _ => true,
    };
    escapes == 0 && rest.iter().enumerate().all(is_plain)
}

/// The highest bit of each byte of a word that is `byte`, and of some behind such a one.
fn places_of(byte: u8, word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let differs = word ^ (ONES * u64::from(byte));
    differs.wrapping_sub(ONES) & !differs & (ONES << 7)
}

/// Whether no part of a key ends before the quotation mark at this place. A name's is none.
fn is_plain_at(raw: &[u8], at: usize, keys: &Answers) -> bool {
    let Some([before, last]) = at.checked_sub(2).map(|from| [raw[from], raw[from + 1]]) else { return true };
    match raw.get(at + 1) {
        Some(b':') => true,
        _ if before == b'"' => !keys.strings().is_first(last),
        _ if !keys.strings().has_pair(before, last) => true,
        _ => {
            let from = memchr::memrchr(b'"', &raw[..at]).map_or(0, |quote| quote + 1);
            begun(&raw[from..at], keys).1 == 0
        }
    }
}

/// Whether no string of an event may be a part of a key.
fn is_plain(raw: &Bytes, keys: &Answers) -> bool {
    Strings::of(raw).all(|(_, value)| is_plain_string(&raw[value], keys))
}

fn is_plain_string(string: &[u8], keys: &Answers) -> bool {
    let is_escaped =
        || memchr::memchr(b'\\', string).is_some() && (has_escaped(string) || memmem::find(string, b"\\/").is_some());
    begun(string, keys).1 == 0 && !is_escaped()
}

/// The numbers of the choice, part and call that an event is of, as one.
fn place_in(raw: &[u8]) -> u64 {
    memmem::find_iter(raw, b"ndex\"").fold(0, |place: u64, at| {
        let rest = raw[at + 5..].trim_ascii_start();
        let rest = rest.strip_prefix(b":").unwrap_or_default().trim_ascii_start();
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
        let number = digits.fold(1, |number: u64, digit| number.wrapping_mul(10).wrapping_add(u64::from(*digit)));
        place.wrapping_mul(1_000_003).wrapping_add(number)
    })
}

/// The strings of a JSON text that are values, each with the name before it.
struct Strings<'a> {
    raw: &'a [u8],
    at: usize,
    name: Range<usize>,
}

impl<'a> Strings<'a> {
    fn of(raw: &'a [u8]) -> Self {
        // In front of the data, an event has words of its own.
        let at = memchr::memchr(b'{', raw).unwrap_or(raw.len());
        Self { raw, at, name: 0..0 }
    }
}

impl Iterator for Strings<'_> {
    type Item = (Range<usize>, Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let start = self.at + memchr::memchr(b'"', &self.raw[self.at..])? + 1;
            self.at = string_end(self.raw, start);
            let string = start..self.at.saturating_sub(1).max(start);
            match self.raw[self.at..].iter().find(|byte| !byte.is_ascii_whitespace()) {
                Some(b':') => self.name = string,
                _ => return Some((self.name.clone(), string)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::redaction::redaction_of;
    use super::*;

    const KEY: &str = "sk-canary/12+34567890";

    fn event(value: &Value) -> Event {
        Event::named("x", value.to_string().as_bytes())
    }

    /// What goes down of these events, in order.
    fn passed(events: impl IntoIterator<Item = Event>) -> Vec<Event> {
        let (redaction, mut seams, mut out) = (redaction_of(KEY), Seams::default(), Vec::new());
        let keys = redaction.answers().unwrap();
        for event in events {
            out.extend(seams.push(keys.event(event), keys));
            out.extend(std::iter::from_fn(|| seams.pop()));
        }
        seams.release();
        out.extend(std::iter::from_fn(|| seams.pop()));
        out
    }

    fn texts(events: &[Event]) -> String {
        let text = |event: &Event| {
            let value: Value = serde_json::from_slice(&event.data().unwrap()).unwrap();
            value["delta"]["text"].as_str().unwrap_or_default().to_owned()
        };
        events.iter().map(text).collect()
    }

    fn delta(text: &str, index: usize) -> Event {
        event(&json!({"type": "text_delta", "index": index, "delta": {"text": text}}))
    }

    #[test]
    fn an_event_that_ends_in_part_of_a_key_waits_for_the_next() {
        let (redaction, mut seams) = (redaction_of(KEY), Seams::default());
        let keys = redaction.answers().unwrap();
        assert_eq!(seams.push(delta("a task", 0), keys), Some(delta("a task", 0)));
        assert_eq!(seams.push(delta("my sk-ca", 0), keys), None);
        let ping = event(&json!({"type": "ping"}));
        assert_eq!(seams.push(ping.clone(), keys), None);
        assert_eq!(seams.push(delta("pital", 0), keys), Some(delta("my sk-ca", 0)));
        assert_eq!((seams.pop(), seams.pop(), seams.pop()), (Some(ping), Some(delta("pital", 0)), None));
        assert_eq!(seams.push(delta("my sk-ca", 0), keys), None);
        let stop = event(&json!({"type": "message_stop"}));
        assert_eq!(seams.push(stop.clone(), keys), Some(delta("my sk-ca", 0)));
        assert_eq!((seams.pop(), seams.pop()), (Some(stop), None));
    }

    #[test]
    fn parts_of_a_key_meet_across_blocks_choices_and_escapes() {
        let (one, two) = KEY.split_at(9);
        let blocks = [delta(one, 0), event(&json!({"type": "content_block_stop", "index": 0})), delta(two, 1)];
        assert_eq!(texts(&passed(blocks)), "[removed]");
        let choices = [delta(one, 0), delta("Hello", 1), delta(two, 0), delta(" there", 1)];
        assert_eq!(texts(&passed(choices)), "[removed]Hello there");
        let unicode: String = two.chars().map(|letter| format!("\\u{:04x}", u32::from(letter))).collect();
        let escaped = Event::named("x", format!("{{\"index\":0,\"delta\":{{\"text\":\"{unicode} x\"}}}}").as_bytes());
        assert_eq!(texts(&passed([delta(one, 0), escaped])), "[removed] x");
        let body = json!({"content": [{"type": "text", "text": one}, {"type": "text", "text": two}]}).to_string();
        let clean =
            json!({"content": [{"type": "text", "text": "[removed]"}, {"type": "text", "text": ""}]}).to_string();
        assert_eq!(Seams::whole(body.into(), redaction_of(KEY).answers().unwrap()), clean);
    }

    proptest! {
        /// However the deltas cut a text, no key is in what they say together, and nothing else of it changes but the first
        /// four letters of a key, which may be gone before it shows.
        #[test]
        fn no_deltas_say_a_key_together(before in "[a-zsk\\-\n/ ]{0,20}", after in "[a-zsk\\-\n ]{0,20}", cuts in prop::collection::vec(0_usize..70, 0..30)) {
            let whole = format!("{before}{KEY}{after}sk-canar");
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(whole.len())).collect();
            cuts.extend([0, whole.len()]);
            cuts.sort_unstable();
            let events = passed(cuts.windows(2).map(|cut| delta(&whole[cut[0]..cut[1]], 0)));
            prop_assert_eq!(events.len(), cuts.len() - 1);
            let said = texts(&events);
            let possible = (0..=LEAST_HELD).map(|kept| format!("{before}{}[removed]{after}sk-canar", &KEY[..kept]));
            prop_assert!(possible.into_iter().any(|text| text == said), "{said:?}");
        }

        /// Events without a key pass as they are.
        #[test]
        fn what_has_no_key_passes_as_it_is(texts in prop::collection::vec("[sk\\-canry\\\\\"\n]{0,5}", 0..20)) {
            let events: Vec<Event> = texts.iter().map(|text| delta(text, 0)).collect();
            let joined = texts.concat();
            prop_assume!(!joined.contains(&KEY[1..]));
            prop_assert_eq!(passed(events.clone()), events);
        }
    }
}
