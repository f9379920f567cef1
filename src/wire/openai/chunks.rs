//! A stream of chunks that passes: its usage is read, and removed where only Fulcrum asked for it.

use std::sync::LazyLock;

use aho_corasick::packed::{Config, MatchKind, Searcher};
use bytes::Bytes;
use serde_json::{Map, Value};

use super::error::is_failure;
use super::usage::{read_usage, usage_at_groq};
use crate::chat::{Tier, Usage};
use crate::wire::asked::Asked;
use crate::wire::dialect::{Chunk, Tap};
use crate::wire::event_pattern::EventPattern;
use crate::wire::json::{Edits, Object, fields, items, quoted, string_end};
use crate::wire::sse::Event;
use crate::wire::{token_estimate, written};

/// The data of the event that ends a stream.
pub const DONE: &[u8] = b"[DONE]";

/// Appends an event of this data.
pub fn put_event(data: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\n\n");
}

/// The body for a target: the caller's, with the target's model, and with usage asked for in streams.
#[must_use]
pub fn pass(asked: &Asked, model: &str) -> Bytes {
    let mut edits = Edits::default();
    edits.set("model", quoted(model));
    if asked.stream && !asked.include_usage {
        let options = asked.object.get("stream_options").and_then(|json| serde_json::from_str(json).ok());
        let mut options: Map<String, Value> = options.unwrap_or_default();
        options.insert("include_usage".to_owned(), true.into());
        edits.set("stream_options", Value::from(options).to_string());
    }
    asked.object.edited(&edits)
}

/// Reads the usage from a stream that passes.
#[derive(Debug)]
pub struct StreamTap {
    keep_usage: bool,
    /// The field of a chunk with its text.
    content: &'static str,
    /// Whether each choice reports a usage of its own.
    by_choice: bool,
    usage: Option<Usage>,
    tier: Tier,
    has_begun: bool,
    content_bytes: usize,
    ended_choices: u64,
    /// What the chunks have in common that hold texts and nothing else, and the bytes of their other texts.
    pattern: EventPattern,
    other_texts: usize,
    /// The bytes of the texts of the last chunk that was noted for its pattern.
    last_texts: usize,
}

impl StreamTap {
    /// A tap for chat; `keep_usage` says that the caller asked for usage, which else is removed from the stream.
    #[must_use]
    pub fn new(keep_usage: bool) -> Self {
        Self {
            keep_usage,
            content: "content",
            by_choice: false,
            usage: None,
            tier: Tier::default(),
            has_begun: false,
            content_bytes: 0,
            ended_choices: 0,
            pattern: EventPattern::default(),
            other_texts: 0,
            last_texts: 0,
        }
    }

    /// A tap for streams of text completions.
    #[must_use]
    pub fn of_text(keep_usage: bool) -> Self {
        Self { content: "text", ..Self::new(keep_usage) }
    }

    /// The same tap for a server that reports the usage of each choice separately, as llama.cpp does: all choices read the
    /// same input, and each has its own output.
    #[must_use]
    pub fn by_choice(self, by_choice: bool) -> Self {
        Self { by_choice, ..self }
    }
}

impl Tap for StreamTap {
    fn observe(&mut self, event: &Event) -> Chunk {
        if let Some(text) = self.pattern.text_of(event.raw()) {
            self.content_bytes += self.other_texts + text.len();
            return Chunk::Pass(event.raw().clone());
        }
        if self.pattern.is_last(event.raw()) {
            self.content_bytes += self.last_texts;
            return Chunk::Pass(event.raw().clone());
        }
        let Some(data) = event.data() else {
            return Chunk::Pass(event.raw().clone());
        };
        if data.as_ref().trim_ascii() == DONE {
            return Chunk::Done(event.raw().clone());
        }
        if !looks_whole(&data) {
            return Chunk::Broken;
        }
        let seen = Seen::of(&data, self.content);
        self.content_bytes += seen.written(&data);
        self.ended_choices += seen.ended;
        // The tier that serves stands in all chunks or in the first, and in the last at most.
        if !std::mem::replace(&mut self.has_begun, true) {
            self.tier = seen.tier.unwrap_or(self.tier);
        }
        if seen.has_failed {
            return self.failed(data);
        }
        if seen.to_read {
            return self.look_inside(event, data, seen.tier);
        }
        if seen.is_text_alone() {
            self.note_pattern(event, seen.texts);
        }
        Chunk::Pass(event.raw().clone())
    }

    fn usage(&self) -> Option<Usage> {
        self.usage.map(|usage| usage.in_tier(self.tier))
    }

    fn estimated_output(&self) -> u64 {
        token_estimate::of_bytes(self.content_bytes)
    }

    fn finished(&self) -> bool {
        self.ended_choices > 0
    }

    fn ended_choices(&self) -> u64 {
        self.ended_choices
    }

    fn end_mark(&self) -> &'static [u8] {
        b"data: [DONE]\n\n"
    }
}

impl StreamTap {
    /// Looks for what a chunk with `texts` bytes of text has in common with the one before it, but for the text that a model
    /// writes.
    fn note_pattern(&mut self, event: &Event, texts: usize) {
        let noted = self.pattern.note(event.raw());
        if self.pattern.is_last(event.raw()) {
            self.last_texts = texts;
        }
        let Some((before, text)) = noted else { return };
        let name = before[..before.len().saturating_sub(1)].trim_ascii_end();
        let name = name.strip_suffix(b":").map(<[u8]>::trim_ascii_end).and_then(|name| name.strip_suffix(b"\""));
        let is_text =
            name.and_then(|name| name.strip_suffix(self.content.as_bytes())).is_some_and(|name| name.ends_with(b"\""));
        match texts.checked_sub(text.len()).filter(|_| is_text) {
            Some(others) => self.other_texts = others,
            None => self.pattern.forget(),
        }
    }

    /// The provider says that a choice broke off.
    fn failed(&mut self, data: Bytes) -> Chunk {
        if let Ok(object) = Object::read_answer(data.clone()) {
            object.get("usage").and_then(read_usage).into_iter().for_each(|usage| self.count(usage));
        }
        Chunk::Failed(data)
    }

    /// Notes a report. Reports are cumulative, but for those of single choices.
    fn count(&mut self, usage: Usage) {
        let each = self.usage.filter(|_| self.by_choice).map_or(0, |before| before.output);
        let before = self.usage.filter(|_| !self.by_choice);
        self.usage = Some(Usage { output: usage.output.saturating_add(each), ..usage }.after(before));
    }

    fn look_inside(&mut self, event: &Event, data: Bytes, tier: Option<Tier>) -> Chunk {
        let Ok(object) = Object::read_answer(data.clone()) else {
            return Chunk::Pass(event.raw().clone());
        };
        let has_error = object.get("error").is_some_and(|error| error != "null");
        // Older servers send the error itself.
        if has_error || object.get("object") == Some("\"error\"") {
            return self.failed(data);
        }
        if let Some(usage) = object.get("x_groq").and_then(usage_at_groq) {
            self.count(usage);
        }
        let Some(usage) = object.get("usage") else {
            return Chunk::Pass(event.raw().clone());
        };
        if let Some(usage) = read_usage(usage) {
            self.tier = tier.unwrap_or(self.tier);
            self.count(usage);
        }
        if self.keep_usage {
            return Chunk::Pass(event.raw().clone());
        }
        let no_choices = object.get("choices").is_some_and(|choices| choices[1..].trim_start().starts_with(']'));
        if no_choices && usage != "null" {
            return Chunk::Drop;
        }
        let mut edits = Edits::default();
        edits.remove("usage");
        let bytes = object.edited(&edits);
        Chunk::Pass([b"data: ", &bytes[..], b"\n\n"].concat().into())
    }
}

/// Whether the first and the last byte of a chunk are those of an object. Chunks pass without being parsed.
fn looks_whole(data: &[u8]) -> bool {
    let data = data.trim_ascii();
    data.is_empty() || (data.starts_with(b"{") && data.ends_with(b"}"))
}

/// What a delta adds to what the model wrote, in bytes. A thought stands in one of two fields, or in both.
fn in_delta(delta: &str) -> usize {
    let (mut written, mut thoughts) = (0, [0; 2]);
    for (name, value) in fields(delta) {
        match name {
            "content" if value.starts_with('[') => written += items(value).map(in_part).sum::<usize>(),
            "content" | "refusal" => written += written::of_json(value),
            "reasoning_content" => thoughts[0] = written::of_json(value),
            "reasoning" => thoughts[1] = written::of_json(value),
            "tool_calls" if value.starts_with('[') => written += items(value).map(in_call).sum::<usize>(),
            _ => {}
        }
    }
    written + thoughts.into_iter().find(|thought| *thought > 0).unwrap_or(0)
}

fn in_part(part: &str) -> usize {
    let texts = fields(part).filter(|(name, _)| part.starts_with('{') && *name == "text");
    texts.map(|(_, text)| written::of_json(text)).sum()
}

fn in_call(call: &str) -> usize {
    let functions = fields(call).filter(|(name, value)| *name == "function" && value.starts_with('{'));
    let named = functions.flat_map(|(_, function)| fields(function));
    named.filter(|(name, _)| matches!(*name, "name" | "arguments")).map(|(_, value)| written::of_json(value)).sum()
}

/// The names that a chunk is searched for, in one pass. Within a text quotes are escaped, so a name in quotes is a field's.
static NAMES: LazyLock<Searcher> = LazyLock::new(|| {
    let names = [
        "\"content\"",
        "\"text\"",
        "\"finish_reason\"",
        "\"service_tier\"",
        "\"usage\"",
        "\"error\"",
        "\"tool_calls\"",
        "\"refusal\"",
        "\"reasoning",
    ];
    // The automaton would stop at every quotation mark; this looks at three bytes of a name at once.
    let built = Config::new().match_kind(MatchKind::LeftmostFirst).builder().extend(names).build();
    #[expect(clippy::expect_used, reason = "only a set without a name, or with an empty one, cannot be built")]
    built.expect("nine short names")
});

/// What a search of a chunk finds. Chunks are searched, not parsed: most have a text and nothing else.
#[derive(Default)]
struct Seen {
    /// The bytes of its texts.
    texts: usize,
    /// Whether what the model wrote may stand elsewhere too.
    has_more: bool,
    /// How many choices end in it.
    ended: u64,
    /// Whether one of them ends by a failure.
    has_failed: bool,
    tier: Option<Tier>,
    /// Whether it names its usage or an error.
    to_read: bool,
}

impl Seen {
    /// `content` is the field with a chunk's text.
    fn of(data: &[u8], content: &str) -> Self {
        let mut seen = Self::default();
        for name in NAMES.find_iter(data) {
            let text = || text_after(data, name.end());
            match (name.pattern().as_usize(), content) {
                (0, "content") | (1, "text") => seen.texts += text().map_or(0, written::of_escaped),
                (2, _) => {
                    let Some(reason) = text() else { continue };
                    seen.ended += 1;
                    seen.has_failed |= std::str::from_utf8(reason).is_ok_and(is_failure);
                }
                (3, _) if seen.tier.is_none() => {
                    seen.tier = text().and_then(|tier| std::str::from_utf8(tier).ok()).map(Tier::named);
                }
                (4 | 5, _) => seen.to_read = true,
                (6.., _) => seen.has_more = true,
                _ => {}
            }
        }
        seen
    }

    /// Whether the chunk has a text, and nothing else that is read.
    fn is_text_alone(&self) -> bool {
        self.texts > 0 && !self.has_more && self.ended == 0 && !self.to_read
    }

    /// What the chunk adds to what the model wrote, in bytes.
    fn written(&self, data: &Bytes) -> usize {
        if self.texts > 0 && !self.has_more {
            return self.texts;
        }
        let Ok(object) = Object::read_answer(data.clone()) else { return self.texts };
        let choices = object.get("choices").filter(|choices| choices.starts_with('['));
        let in_choice = |choice: &str| -> usize {
            let of_field = |(name, value): (&str, &str)| match name {
                "delta" if value.starts_with('{') => in_delta(value),
                "text" => written::of_json(value),
                _ => 0,
            };
            fields(choice).filter(|_| choice.starts_with('{')).map(of_field).sum()
        };
        choices.map_or(0, |choices| items(choices).map(in_choice).sum())
    }
}

/// The text that follows a field's name, whatever space stands around the colon; `None` where a value of another type does.
fn text_after(json: &[u8], name_end: usize) -> Option<&[u8]> {
    let value = json[name_end..].trim_ascii_start().strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
    let start = json.len() - value.len();
    Some(&json[start..string_end(json, start).saturating_sub(1).max(start)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::sse::Decoder;

    fn observe(tap: &mut StreamTap, stream: &str) -> Vec<Chunk> {
        let mut decoder = Decoder::default();
        decoder.push(Bytes::copy_from_slice(stream.as_bytes()));
        std::iter::from_fn(|| decoder.event().unwrap()).map(|event| tap.observe(&event)).collect()
    }

    const STREAM: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}],\"usage\":null}\n\n\
        data: {\"choices\":[{\"delta\":{\"content\":\"Hi, \\\"usage\\\"\"},\"finish_reason\":\"stop\"}],\"usage\":null}\n\n\
        data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}\n\n\
        data: [DONE]\n\n";

    #[test]
    fn usage_is_heard_and_stripped_for_who_did_not_ask() {
        let mut tap = StreamTap::new(false);
        let chunks = observe(&mut tap, STREAM);
        let pass = |text: &'static str| Chunk::Pass(Bytes::from_static(text.as_bytes()));
        assert_eq!(
            chunks,
            [
                pass("data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n"),
                pass(
                    "data: {\"choices\":[{\"delta\":{\"content\":\"Hi, \\\"usage\\\"\"},\"finish_reason\":\"stop\"}]}\n\n"
                ),
                Chunk::Drop,
                Chunk::Done(Bytes::from_static(b"data: [DONE]\n\n")),
            ]
        );
        assert_eq!(tap.usage().map(|usage| (usage.input, usage.output)), Some((5, 2)));
        assert!(tap.finished());
    }

    #[test]
    fn the_usage_of_each_choice_is_added_where_each_tells_its_own() {
        let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}\n\n";
        for (by_choice, output) in [(false, 2), (true, 4)] {
            let mut tap = StreamTap::new(false).by_choice(by_choice);
            observe(&mut tap, &[usage, usage].concat());
            assert_eq!(tap.usage().map(|usage| (usage.input, usage.output)), Some((5, output)));
        }
    }

    #[test]
    fn who_asked_gets_every_byte() {
        let mut tap = StreamTap::new(true);
        let bytes: Vec<u8> = observe(&mut tap, STREAM)
            .into_iter()
            .flat_map(|chunk| match chunk {
                Chunk::Pass(bytes) | Chunk::Done(bytes) => bytes,
                Chunk::Drop | Chunk::Failed(_) | Chunk::Broken => panic!("nothing is dropped"),
            })
            .collect();
        assert_eq!(bytes, STREAM.as_bytes());
    }

    #[test]
    fn an_error_event_is_told_apart_from_text_about_errors() {
        let mut tap = StreamTap::new(false);
        let chunks = observe(
            &mut tap,
            "data: {\"error\":{\"message\":\"boom\"}}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"\\\"error\\\"\"}}]}\n\n: ping\n\n",
        );
        assert!(matches!(&chunks[..], [Chunk::Failed(_), Chunk::Pass(_), Chunk::Pass(_)]));
    }

    #[test]
    fn a_chunk_that_comes_again_counts_again() {
        let chunk = |text: &str| format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n");
        let numbered =
            |n: usize| format!("data: {{\"n\":{n},\"choices\":[{{\"delta\":{{\"content\":\"abcd\"}}}}]}}\n\n");
        for (events, bytes) in [
            (vec![chunk("la"), chunk("la"), chunk("la")], 6),
            (vec![chunk("la"), chunk("la"), chunk("long"), chunk("long"), chunk("la"), chunk("la")], 16),
            // More than are searched for a pattern, the last of which comes again.
            ((0..40).map(numbered).chain([chunk("la"), numbered(39), numbered(15)]).collect(), 170),
        ] {
            let mut tap = StreamTap::new(false);
            observe(&mut tap, &events.concat());
            assert_eq!(tap.content_bytes, bytes, "{events:?}");
        }
    }

    #[test]
    fn what_is_no_object_is_no_chunk() {
        for data in ["<html>busy</html>", "{\"choices\": [", "[1]", "hello", "null"] {
            let chunks = observe(&mut StreamTap::new(false), &format!("data: {data}\n\n"));
            assert_eq!(chunks, [Chunk::Broken], "{data}");
        }
        for data in ["", "{}", "  {\"choices\":[]} "] {
            let chunks = observe(&mut StreamTap::new(false), &format!("data: {data}\n\n"));
            assert!(matches!(chunks[..], [Chunk::Pass(_)]), "{data}");
        }
    }

    #[test]
    fn a_cut_stream_is_estimated_from_what_came() {
        let mut tap = StreamTap::new(false);
        observe(&mut tap, &"data: {\"choices\":[{\"delta\":{\"content\":\"word \"}}]}\n\n".repeat(5));
        assert_eq!(tap.estimated_output(), 7);
        assert!(!tap.finished());
    }

    #[test]
    fn chunks_that_differ_in_their_text_alone_are_counted_as_all_others() {
        let chunk =
            |text: &str| format!("data: {{\"id\":\"c\",\"choices\":[{{\"delta\":{{\"content\":{text}}}}}]}}\n\n");
        let texts = ["\"He\"", "\"Hello\"", "\"\"", "\" you\"", "\"\\u00e9\\n\"", "\"é\"", "null", "\"!\""];
        let mut tap = StreamTap::new(false);
        let passed = observe(&mut tap, &texts.map(chunk).concat());
        assert_eq!(passed.len(), 8);
        assert_eq!(tap.content_bytes, 2 + 5 + 4 + 3 + 2 + 1);
        // Neither another field's text nor one that a name only ends in is what a model writes.
        let other = |name: &str, text: &str| format!("data: {{\"{name}\":\"{text}\",\"content\":\"ab\"}}\n\n");
        for name in ["id", "my_content"] {
            let mut tap = StreamTap::new(false);
            observe(&mut tap, &["x", "yy", "zzz", "zzzz"].map(|text| other(name, text)).concat());
            assert_eq!(tap.content_bytes, 8, "{name}");
        }
        let mut tap = StreamTap::new(false);
        let two = |text: &str| format!("data: {{\"a\":{{\"content\":\"abc\"}},\"b\":{{\"content\":\"{text}\"}}}}\n\n");
        observe(&mut tap, &["x", "yy", "zzz", "zzzz"].map(two).concat());
        assert_eq!(tap.content_bytes, 4 * 3 + 10);
    }

    #[test]
    fn a_text_is_found_with_and_without_spaces() {
        for (json, text) in [
            (r#"{"content":"Hi"}"#, Some("Hi")),
            (r#"{"content" : "Hi"}"#, Some("Hi")),
            (r#"{"content":null,"x":{"content": "Ho"}}"#, Some("Ho")),
            (r#"{"content":"a \"b\" \\"}"#, Some(r#"a \"b\" \\"#)),
            (r#"{"content":null}"#, None),
            (r#"{"x":"\"content\":\"Hi\""}"#, None),
            (r#"{"my_content":"Hi","contents":"Ho"}"#, None),
        ] {
            let mut names = NAMES.find_iter(json).filter(|name| name.pattern().as_usize() == 0);
            let found = names.find_map(|name| text_after(json.as_bytes(), name.end()));
            assert_eq!(found, text.map(str::as_bytes), "{json}");
        }
    }
}
