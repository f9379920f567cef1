//! Whether an answer that was asked for anew is as good as the one that a caller got.

use bytes::Bytes;

use super::embedder::Embedder;
use crate::chat::Part;
use crate::usage::{SEMANTIC_UNCOMPARED, SEMANTIC_WRONG};
use crate::wire::DialectId;

/// The most bytes of an answer that are compared by meaning.
const LONGEST: usize = 8 << 10;

/// What an answer is compared with.
pub struct Expected {
    /// The answer that a caller got, in the caller's dialect.
    pub stored: Bytes,
    /// Which that is.
    pub dialect: DialectId,
    /// How similar two answers must be that are not the same: the route's threshold for questions.
    pub bound: f64,
    /// Whether texts must stay inside of the organisation.
    pub local_only: bool,
}

impl Expected {
    /// What the row of a request that asked anew says of its answer; nothing where that is as good as the stored one: the same
    /// words, or such that mean the same.
    pub async fn code_of(&self, answer: &Bytes, embedder: Option<Embedder<'_>>) -> Option<&'static str> {
        let (Some(one), Some(other)) = (words(self.dialect, &self.stored), words(self.dialect, answer)) else {
            return Some(SEMANTIC_UNCOMPARED);
        };
        if one == other {
            return None;
        }
        let Some(embedder) = embedder.filter(|embedder| !self.local_only || embedder.is_local()) else {
            return Some(SEMANTIC_UNCOMPARED);
        };
        let window = |text: &'_ str| text.floor_char_boundary(LONGEST);
        match embedder.vectors(&[&one[..window(&one)], &other[..window(&other)]]).await.as_deref() {
            Ok([one, other]) => (one.cosine(other) < self.bound).then_some(SEMANTIC_WRONG),
            _ => Some(SEMANTIC_UNCOMPARED),
        }
    }
}

/// The words of an answer, whatever the space between them.
fn words(dialect: DialectId, answer: &Bytes) -> Option<String> {
    let response = dialect.codec().read_response(answer).ok()?;
    let [choice] = &response.choices[..] else { return None };
    let text: String = choice.parts.iter().filter_map(Part::as_text).collect();
    Some(text.split_whitespace().collect::<Vec<_>>().join(" ")).filter(|words| !words.is_empty())
}
