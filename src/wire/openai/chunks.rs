//! A stream of chunks that passes: its usage is read, and removed where only Fulcrum asked for it.

use bytes::Bytes;
use memchr::memmem;
use serde_json::{Map, Value};

use super::usage::{read_usage, usage_at_groq};
use crate::chat::Usage;
use crate::wire::asked::Asked;
use crate::wire::dialect::{Chunk, Tap};
use crate::wire::json::{Edits, Object, quoted};
use crate::wire::sse::Event;

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
    chunks: u64,
    content_bytes: usize,
    finished: bool,
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
            chunks: 0,
            content_bytes: 0,
            finished: false,
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
        let Some(data) = event.data() else {
            return Chunk::Pass(event.raw().clone());
        };
        if data.as_ref().trim_ascii() == DONE {
            return Chunk::Done(event.raw().clone());
        }
        if !looks_whole(&data) {
            return Chunk::Broken;
        }
        self.chunks += 1;
        self.content_bytes += content_bytes(&data, self.content);
        self.finished |= text_of(&data, "finish_reason").is_some();
        let has_usage = memmem::find(&data, b"\"usage\"").is_some();
        if has_usage || memmem::find(&data, b"\"error\"").is_some() {
            return self.look_inside(event, data);
        }
        Chunk::Pass(event.raw().clone())
    }

    fn usage(&self) -> Option<Usage> {
        self.usage
    }

    fn estimated_output(&self) -> u64 {
        let by_bytes = u64::try_from(self.content_bytes.div_ceil(4)).unwrap_or(0);
        by_bytes.max(self.chunks.saturating_sub(1))
    }

    fn finished(&self) -> bool {
        self.finished
    }
}

impl StreamTap {
    fn look_inside(&mut self, event: &Event, data: Bytes) -> Chunk {
        let Ok(object) = Object::read_answer(data.clone()) else {
            return Chunk::Pass(event.raw().clone());
        };
        if object.get("error").is_some_and(|error| error != "null") {
            return Chunk::Failed(data);
        }
        if let Some(usage) = object.get("x_groq").and_then(usage_at_groq) {
            self.usage = Some(usage);
        }
        let Some(usage) = object.get("usage") else {
            return Chunk::Pass(event.raw().clone());
        };
        if let Some(usage) = read_usage(usage) {
            let before = self.usage.filter(|_| self.by_choice).map_or(0, |usage| usage.output);
            self.usage = Some(Usage { output: usage.output.saturating_add(before), ..usage });
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

/// The length of the first text of this name in a chunk, without parsing it.
fn content_bytes(data: &[u8], name: &str) -> usize {
    let Some(start) = text_of(data, name) else { return 0 };
    memchr::memchr(b'"', &data[start..]).unwrap_or(0)
}

/// Where the text of the first field of this name begins that holds a text, whatever space stands around its colon. The
/// bytes are searched, not parsed: within a text quotes are escaped, so a name in quotes is a field's name.
fn text_of(json: &[u8], name: &str) -> Option<usize> {
    memmem::find_iter(json, name.as_bytes()).find_map(|at| {
        let quoted = at > 0 && json[at - 1] == b'"';
        let rest = json[at + name.len()..].strip_prefix(b"\"").filter(|_| quoted)?;
        let value = rest.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
        Some(json.len() - value.len())
    })
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
    fn a_text_is_found_with_and_without_spaces() {
        for (json, text) in [
            (r#"{"content":"Hi"}"#, Some("Hi\"}")),
            (r#"{"content" : "Hi"}"#, Some("Hi\"}")),
            (r#"{"content":null,"x":{"content": "Ho"}}"#, Some("Ho\"}}")),
            (r#"{"content":null}"#, None),
            (r#"{"x":"\"content\":\"Hi\""}"#, None),
            (r#"{"my_content":"Hi","contents":"Ho"}"#, None),
        ] {
            assert_eq!(text_of(json.as_bytes(), "content").map(|at| &json[at..]), text, "{json}");
        }
    }
}
