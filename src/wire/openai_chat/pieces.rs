//! Puts the parts of one choice in order: each part's events follow one another, though providers may interleave them.

use std::collections::VecDeque;

use crate::chat::{Content, Delta, Event, ThoughtField, ThoughtPlace, id_by_place};
use crate::wire::dialect::BadAnswer;
use crate::wire::sse::MAX_EVENT;

/// The most parts that one choice may have.
const MAX_PARTS: u32 = 10_000;

/// What a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Refusal,
    Thinking,
    Call,
    /// A part that comes whole.
    Whole,
}

/// The parts that have not ended. The first of them is open, the others wait until it closes.
#[derive(Default)]
pub(super) struct Pieces {
    choice: u32,
    waiting: VecDeque<Piece>,
    /// How many parts were begun, and of which kinds.
    begun: u32,
    kinds: Vec<Kind>,
    /// The calls that have ended: their indices and ids.
    closed: Vec<(u64, String)>,
    calls: u64,
    buffered: usize,
}

struct Piece {
    kind: Kind,
    part: u32,
    /// The content that opens the part. A call's name may come late.
    content: Content,
    /// A call's index at the provider.
    index: u64,
    is_open: bool,
    /// Whether the part is a thought that came as plain text, which a list may repeat.
    is_plain: bool,
    is_signed: bool,
    /// Where a thought stands, and its proof.
    place: Option<ThoughtPlace>,
    proof: String,
    /// Deltas that came before the part could open.
    deltas: Vec<Delta>,
    arguments: Brackets,
}

impl Pieces {
    pub(super) fn new(choice: u32) -> Self {
        Self { choice, ..Self::default() }
    }

    /// Whether a part of this kind has begun.
    pub(super) fn has(&self, kind: Kind) -> bool {
        self.kinds.contains(&kind)
    }

    /// More of a text of this kind.
    pub(super) fn say(&mut self, kind: Kind, more: &str, out: &mut Vec<Event>) -> Result<(), BadAnswer> {
        if more.is_empty() { Ok(()) } else { self.add_to(kind, Delta::Text(more.to_owned()), out) }
    }

    /// More of a thought that stands at this place.
    pub(super) fn think_at(&mut self, place: ThoughtPlace, more: &str, out: &mut Vec<Event>) -> Result<(), BadAnswer> {
        self.say(Kind::Thinking, more, out)?;
        if let Some(last) = self.waiting.back_mut().filter(|last| last.kind == Kind::Thinking) {
            last.stands_at(place);
        }
        Ok(())
    }

    /// More of a thought, from a list that may repeat text which came as plain text.
    pub(super) fn think(&mut self, place: ThoughtPlace, more: &str, out: &mut Vec<Event>) -> Result<(), BadAnswer> {
        let is_repeated =
            self.waiting.back().is_some_and(|last| last.kind == Kind::Thinking && last.is_plain && !last.is_signed);
        self.think_at(place, if is_repeated { "" } else { more }, out)?;
        if let Some(last) = self.waiting.back_mut().filter(|_| !is_repeated && !more.is_empty()) {
            last.is_plain = false;
        }
        Ok(())
    }

    /// The proof of the last thought, which ends it. The proof is sent behind the thought's place.
    pub(super) fn sign_thought(
        &mut self,
        place: ThoughtPlace,
        signature: &str,
        out: &mut Vec<Event>,
    ) -> Result<(), BadAnswer> {
        self.advance(out);
        let fits = self.waiting.back().is_some_and(|last| last.kind == Kind::Thinking && !last.is_signed);
        if !fits {
            self.begin(Kind::Thinking, Content::Thinking(String::new()), 0, out)?;
        }
        self.buffered += signature.len();
        if self.buffered > MAX_EVENT {
            return Err(BadAnswer(format!("`choices[].delta` has proofs of more than {MAX_EVENT} bytes")));
        }
        if let Some(last) = self.waiting.back_mut() {
            last.stands_at(place);
            last.proof.push_str(signature);
            last.is_signed = true;
        }
        Ok(())
    }

    /// Adds to the last part if it is of this kind, or else to a new one.
    pub(super) fn add_to(&mut self, kind: Kind, delta: Delta, out: &mut Vec<Event>) -> Result<(), BadAnswer> {
        self.advance(out);
        let fits = self.waiting.back().is_some_and(|last| last.kind == kind && !last.is_signed);
        if !fits {
            let content = match kind {
                Kind::Refusal => Content::Refusal(String::new()),
                Kind::Thinking => Content::Thinking(String::new()),
                _ => Content::Text { text: String::new(), citations: Vec::new() },
            };
            self.begin(kind, content, 0, out)?;
        }
        self.grow(self.waiting.len().saturating_sub(1), delta, out)
    }

    /// A part that comes whole.
    pub(super) fn put_whole(
        &mut self,
        content: Content,
        signature: Option<String>,
        out: &mut Vec<Event>,
    ) -> Result<(), BadAnswer> {
        self.begin(Kind::Whole, content, 0, out)?;
        match signature {
            Some(signature) => self.grow(self.waiting.len().saturating_sub(1), Delta::Signature(signature), out),
            None => Ok(()),
        }
    }

    /// The place of the call that a fragment with this index, id and name is of; `None` where that call has ended.
    pub(super) fn call(
        &mut self,
        (index, id, name): (Option<u64>, &str, &str),
        out: &mut Vec<Event>,
    ) -> Result<Option<usize>, BadAnswer> {
        self.advance(out);
        let is_it = |piece: &Piece| match (&piece.content, index) {
            // Some servers send the index 0 with every call; only the ids differ.
            (Content::ToolCall { id: known, .. }, Some(index)) => {
                piece.index == index && (id.is_empty() || name.is_empty() || known.is_empty() || id == known)
            }
            (Content::ToolCall { id: known, .. }, None) => id.is_empty() && name.is_empty() || id == known,
            _ => false,
        };
        if let Some(at) = self.waiting.iter().rposition(is_it) {
            if let Content::ToolCall { id: known, name: called, .. } = &mut self.waiting[at].content {
                fill(known, id);
                fill(called, name);
            }
            self.open_first(out);
            return Ok(Some(at));
        }
        let index = index.unwrap_or(self.calls);
        let is_same = |known: &str| name.is_empty() || (!id.is_empty() && id == known);
        if self.closed.iter().any(|(closed, known)| *closed == index && is_same(known)) {
            return Ok(None);
        }
        self.calls = self.calls.saturating_add(1);
        let content = Content::ToolCall { id: id.to_owned(), name: name.to_owned(), arguments: String::new() };
        self.begin(Kind::Call, content, index, out)?;
        Ok(Some(self.waiting.len().saturating_sub(1)))
    }

    /// Adds to the part at a place.
    pub(super) fn grow(&mut self, at: usize, delta: Delta, out: &mut Vec<Event>) -> Result<(), BadAnswer> {
        let Some(piece) = self.waiting.get_mut(at) else { return Ok(()) };
        if let Delta::Arguments(more) = &delta {
            piece.arguments.read(more);
        }
        if piece.is_open {
            out.push(Event::Delta { choice: self.choice, part: piece.part, delta });
            return Ok(());
        }
        self.buffered += size(&delta);
        piece.deltas.push(delta);
        if self.buffered > MAX_EVENT {
            return Err(BadAnswer(format!("`choices[].delta` interleaves more than {MAX_EVENT} bytes")));
        }
        Ok(())
    }

    /// Emits every waiting part, and closes it.
    pub(super) fn close_all(&mut self, out: &mut Vec<Event>) -> Result<(), BadAnswer> {
        while !self.waiting.is_empty() {
            self.open_first(out);
            if self.waiting.front().is_some_and(|first| !first.is_open) {
                return Err(BadAnswer("`tool_calls` has a call without a name".to_owned()));
            }
            self.close_first(out);
        }
        Ok(())
    }

    /// Closes the whole parts that stand before a waiting part.
    fn advance(&mut self, out: &mut Vec<Event>) {
        while self.waiting.len() > 1 && self.waiting.front().is_some_and(Piece::may_close) {
            self.close_first(out);
            self.open_first(out);
        }
    }

    fn begin(&mut self, kind: Kind, content: Content, index: u64, out: &mut Vec<Event>) -> Result<(), BadAnswer> {
        while self.waiting.front().is_some_and(Piece::may_close) {
            self.close_first(out);
            self.open_first(out);
        }
        self.buffered += 64;
        if self.begun == MAX_PARTS || self.buffered > MAX_EVENT {
            let text = format!("`choices[].delta` has more than {MAX_PARTS} parts, or too many at once");
            return Err(BadAnswer(text));
        }
        if !self.kinds.contains(&kind) {
            self.kinds.push(kind);
        }
        let (part, arguments) = (self.begun, Brackets::default());
        self.begun += 1;
        self.waiting.push_back(Piece {
            kind,
            part,
            content,
            index,
            is_open: false,
            is_plain: kind == Kind::Thinking,
            is_signed: false,
            place: None,
            proof: String::new(),
            deltas: Vec::new(),
            arguments,
        });
        self.open_first(out);
        Ok(())
    }

    fn open_first(&mut self, out: &mut Vec<Event>) {
        let choice = self.choice;
        let Some(first) = self.waiting.front_mut().filter(|first| !first.is_open) else { return };
        let part = first.part;
        if let Content::ToolCall { id, name, .. } = &mut first.content {
            if name.is_empty() {
                return;
            }
            if id.is_empty() {
                *id = id_by_place(choice, part);
            }
        }
        first.is_open = true;
        out.push(Event::Open { choice, part, content: first.content.clone() });
        for delta in first.deltas.drain(..) {
            self.buffered = self.buffered.saturating_sub(size(&delta));
            out.push(Event::Delta { choice, part, delta });
        }
    }

    fn close_first(&mut self, out: &mut Vec<Event>) {
        let Some(first) = self.waiting.pop_front() else { return };
        if let Content::ToolCall { id, .. } = first.content {
            self.closed.push((first.index, id));
        }
        self.buffered = self.buffered.saturating_sub(64 + first.proof.len());
        let (choice, part) = (self.choice, first.part);
        if let Some(place) = first.place {
            out.push(Event::Delta { choice, part, delta: Delta::Signature(place.lead() + &first.proof) });
        }
        out.push(Event::Close { choice, part });
    }
}

impl Piece {
    /// Notes where a thought stands. A list says more than a field that is a text.
    fn stands_at(&mut self, place: ThoughtPlace) {
        match &mut self.place {
            Some(known) if place.field == ThoughtField::ReasoningDetails => {
                known.field = place.field;
                known.entry.extend(place.entry);
            }
            Some(_) => {}
            none => *none = Some(place),
        }
    }

    /// Whether the part is known to be whole before the choice ends: a call is whole when its arguments are.
    fn may_close(&self) -> bool {
        self.is_open && (self.kind != Kind::Call || self.arguments.is_whole())
    }
}

fn size(delta: &Delta) -> usize {
    match delta {
        Delta::Text(text) | Delta::Arguments(text) | Delta::Signature(text) => text.len() + 32,
        Delta::Citation(_) => 256,
    }
}

/// Counts brackets of JSON that comes in pieces, to know when a value is whole.
#[derive(Default)]
struct Brackets {
    depth: usize,
    seen: bool,
    in_text: bool,
    escaped: bool,
}

impl Brackets {
    fn read(&mut self, more: &str) {
        for byte in more.bytes() {
            match byte {
                _ if std::mem::take(&mut self.escaped) => {}
                b'\\' if self.in_text => self.escaped = true,
                b'"' => self.in_text = !self.in_text,
                _ if self.in_text => {}
                b'{' | b'[' => (self.depth, self.seen) = (self.depth + 1, true),
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    fn is_whole(&self) -> bool {
        self.seen && self.depth == 0
    }
}

/// Sets a text that is still empty.
fn fill(place: &mut String, text: &str) {
    if place.is_empty() {
        text.clone_into(place);
    }
}
