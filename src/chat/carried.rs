//! Proofs of calls and texts on their way through a dialect that has no place for them: each travels as a redacted thought,
//! before its call or behind its text, and goes back into its part for the provider that made it.

use super::{Content, Part};

/// Where a dialect's answers have a place for a proof, beside thoughts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProofPlaces {
    /// At a tool's call.
    pub calls: bool,
    /// At a text.
    pub texts: bool,
}

impl ProofPlaces {
    /// At each part.
    pub const ALL: Self = Self { calls: true, texts: true };

    /// Whether the proof of such a part must be carried beside it.
    #[must_use]
    pub fn lacks(self, content: &Content) -> bool {
        match content {
            Content::ToolCall { .. } => !self.calls,
            Content::Text { .. } => !self.texts,
            _ => false,
        }
    }
}

/// A proof that is carried beside its part.
#[derive(Debug, PartialEq, Eq)]
pub struct Carried {
    /// The call's id; `None` for the proof of a text.
    call: Option<String>,
    proof: String,
}

impl Carried {
    /// What carries the proof of such a part.
    #[must_use]
    pub fn text_of(content: &Content, proof: &str) -> String {
        match content {
            Content::ToolCall { id, .. } => format!("call:{id}\n{proof}"),
            _ => format!("text:\n{proof}"),
        }
    }

    /// What the data of a redacted thought carries; `None` where it is a thought indeed.
    #[must_use]
    pub fn read(data: &str) -> Option<Self> {
        let (head, proof) = data.split_once('\n')?;
        let call = match head.strip_prefix("call:") {
            Some(id) => Some(id.to_owned()),
            None if head == "text:" => None,
            None => return None,
        };
        Some(Self { call, proof: proof.to_owned() })
    }

    /// Gives the proof back to its part, which stands near `place`; `false` where that part is gone.
    pub fn put_back(self, parts: &mut Vec<Part>, place: usize) -> bool {
        let is_bare = |part: &Part| part.signature.is_none();
        let is_call = |part: &Part| matches!(part.content, Content::ToolCall { .. });
        let is_its =
            |part: &Part| matches!(&part.content, Content::ToolCall { id, .. } if Some(id) == self.call.as_ref());
        let found = match self.call {
            // A caller may have given the call another id.
            Some(_) => parts
                .iter()
                .position(|part| is_bare(part) && is_its(part))
                .or_else(|| (place..parts.len()).find(|n| is_bare(&parts[*n]) && is_call(&parts[*n]))),
            None => {
                let is_text = |n: &usize| parts[*n].as_text().is_some() && is_bare(&parts[*n]);
                (0..place).rev().find(is_text).or_else(|| (place..parts.len()).find(is_text))
            }
        };
        match (found, self.call) {
            (Some(n), _) => parts[n].signature = Some(self.proof),
            // The provider sent its proof with an empty text, which no caller stores.
            (None, None) => parts.insert(place, Part { signature: Some(self.proof), ..Part::text("") }),
            (None, Some(_)) => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(id: &str) -> Part {
        Part::new(Content::ToolCall { id: id.to_owned(), name: "f".to_owned(), arguments: "{}".to_owned() })
    }

    fn signed(parts: &[Part]) -> Vec<Option<&str>> {
        parts.iter().map(|part| part.signature.as_deref()).collect()
    }

    #[test]
    fn a_proof_goes_back_to_the_call_of_its_id_wherever_that_stands() {
        let carried = || Carried::read(&Carried::text_of(&call("b").content, "s\n1")).unwrap();
        let mut parts = vec![Part::text("x"), call("a"), call("b")];
        assert!(carried().put_back(&mut parts, 0));
        assert_eq!(signed(&parts), [None, None, Some("s\n1")]);
        let mut renamed = vec![call("y"), Part::text("x"), call("z")];
        assert!(carried().put_back(&mut renamed, 1));
        assert_eq!(signed(&renamed), [None, None, Some("s\n1")]);
        assert!(!carried().put_back(&mut vec![Part::text("x")], 0), "its call is gone");
    }

    #[test]
    fn a_proof_goes_back_to_the_text_before_it() {
        let carried = || Carried::read(&Carried::text_of(&Part::text("").content, "s")).unwrap();
        let mut parts = vec![Part::text("x"), call("a"), Part::text("y")];
        assert!(carried().put_back(&mut parts, 2));
        assert_eq!(signed(&parts), [Some("s"), None, None]);
        let mut none = vec![call("a")];
        assert!(carried().put_back(&mut none, 1));
        assert_eq!(none[1], Part { signature: Some("s".to_owned()), ..Part::text("") });
    }

    #[test]
    fn what_is_a_thought_carries_nothing() {
        for data in ["", "ErUB", "call:x", "other:\ns", "in:reasoning_details\n{}\nd"] {
            assert_eq!(Carried::read(data), None, "{data}");
        }
    }
}
