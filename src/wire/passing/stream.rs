//! Observes streams of images, speech and transcripts, whose events pass unchanged.

use bytes::Bytes;
use memchr::memmem;

use super::answer::{Counted, counted};
use super::route::Passing;
use crate::chat::{Units, Usage};
use crate::wire::dialect::{Chunk, Tap};
use crate::wire::json::Object;
use crate::wire::openai::{self, DONE};
use crate::wire::sse::Event;

/// Observes a stream whose events are named by their `type`.
#[derive(Debug, Default)]
struct StreamTap {
    counted: Counted,
    finished: bool,
}

impl Tap for StreamTap {
    fn observe(&mut self, event: &Event) -> Chunk {
        let Some(data) = event.data() else { return Chunk::Pass(event.raw().clone()) };
        if data.as_ref().trim_ascii() == DONE {
            return Chunk::Done(event.raw().clone());
        }
        // Events of audio and images are long, and only the last has counts.
        let words = ["\"error\"", "\"usage\"", ".done\"", ".completed\""];
        if !words.iter().any(|word| memmem::find(&data, word.as_bytes()).is_some()) {
            let looks_whole = data.starts_with(b"{") && data.trim_ascii_end().ends_with(b"}");
            return if looks_whole { Chunk::Pass(event.raw().clone()) } else { Chunk::Broken };
        }
        self.look_inside(event, data)
    }

    fn usage(&self) -> Option<Usage> {
        self.counted.usage
    }

    fn units(&self) -> Units {
        self.counted.units
    }

    fn estimated_output(&self) -> u64 {
        0
    }

    fn finished(&self) -> bool {
        self.finished
    }

    fn may_end_here(&self) -> bool {
        self.finished
    }
}

impl StreamTap {
    fn look_inside(&mut self, event: &Event, data: Bytes) -> Chunk {
        let Ok(object) = Object::read_answer(data.clone()) else { return Chunk::Broken };
        let kind = object.get("type").unwrap_or_default();
        if kind == "\"error\"" || object.get("error").is_some_and(|error| error != "null") {
            return Chunk::Failed(data);
        }
        let counted = counted(&object);
        self.counted.usage = counted.usage.map(|usage| usage.after(self.counted.usage)).or(self.counted.usage);
        self.counted.units = counted.units.or(self.counted.units);
        self.finished |= kind.ends_with(".done\"") || kind.ends_with(".completed\"");
        Chunk::Pass(event.raw().clone())
    }
}

impl Passing {
    /// A tap for a stream of this route; `by_choice` says that each choice reports a usage of its own.
    #[must_use]
    pub fn tap(self, keep_usage: bool, by_choice: bool) -> Box<dyn Tap> {
        match self {
            Self::Completions => Box::new(openai::StreamTap::of_text(keep_usage).by_choice(by_choice)),
            _ => Box::new(StreamTap::default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::sse::Decoder;

    fn observe(stream: &str) -> (StreamTap, Vec<Chunk>) {
        let (mut tap, mut decoder) = (StreamTap::default(), Decoder::default());
        decoder.push(Bytes::copy_from_slice(stream.as_bytes()));
        let events = std::iter::from_fn(|| decoder.event().unwrap());
        let chunks = events.map(|event| tap.observe(&event)).collect();
        (tap, chunks)
    }

    #[test]
    fn a_stream_ends_after_the_event_that_says_so() {
        let (tap, chunks) = observe(
            "data: {\"type\":\"speech.audio.delta\",\"audio\":\"AAAA\"}\n\n\
             data: {\"type\":\"speech.audio.done\",\"usage\":{\"input_tokens\":3,\"output_tokens\":9,\"total_tokens\":12}}\n\n",
        );
        assert!(matches!(chunks[..], [Chunk::Pass(_), Chunk::Pass(_)]));
        assert!(tap.finished() && tap.may_end_here());
        assert_eq!(tap.usage().map(|usage| (usage.input, usage.output)), Some((3, 9)));
    }

    #[test]
    fn a_delta_is_no_end_though_its_text_names_one() {
        let (tap, _) = observe("data: {\"type\":\"transcript.text.delta\",\"delta\":\"\\\"x.done\\\"\"}\n\n");
        assert!(!tap.may_end_here());
    }

    #[test]
    fn errors_and_nonsense_are_told() {
        let (_, chunks) = observe(
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"message\":\"boom\"}}\n\ndata: <html>\n\ndata: [DONE]\n\n: x\n\n",
        );
        assert!(matches!(chunks[..], [Chunk::Failed(_), Chunk::Broken, Chunk::Done(_), Chunk::Pass(_)]));
    }
}
