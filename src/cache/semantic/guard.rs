//! What must not differ between two texts for the answer to one to serve the other, however similar their vectors are.
//!
//! A vector hardly shows that 10 and 20, *is* and *is not*, or Paris and Rome differ; the answer does. So a text's numbers with
//! their units and signs, negations, quoted words, code, days, opposites and names in capitals are compared apart. Where that
//! refuses a good answer the caller pays a call; the other mistake would be a wrong answer.

use std::collections::BTreeSet;

use serde::Serialize;

use super::marks::Marks;

/// What differs between two texts that are similar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Difference {
    /// Numbers, units, dates or their order.
    Number,
    /// A negation.
    Negation,
    /// Quoted words.
    Quote,
    /// Code, a path, an address or an identifier.
    Code,
    /// A day or another word of time.
    Time,
    /// One of two opposites, such as `before` and `after`.
    Opposite,
    /// A name in capitals.
    Name,
}

impl Difference {
    /// The kind's name.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Negation => "negation",
            Self::Quote => "quote",
            Self::Code => "code",
            Self::Time => "time",
            Self::Opposite => "opposite",
            Self::Name => "name",
        }
    }
}

/// What forbids that the answer to one text serves the other; `None` where nothing does.
#[must_use]
pub fn difference(one: &str, other: &str) -> Option<Difference> {
    if one == other {
        return None;
    }
    let (one, other) = (Marks::of(one), Marks::of(other));
    let found = [
        (one.numbers != other.numbers, Difference::Number),
        (one.negations != other.negations, Difference::Negation),
        (one.quotes != other.quotes, Difference::Quote),
        (one.code != other.code, Difference::Code),
        (one.times != other.times, Difference::Time),
        (are_opposite(&one, &other), Difference::Opposite),
        (are_of_others(&one, &other), Difference::Name),
    ];
    found.into_iter().find(|(differs, _)| *differs).map(|(_, difference)| difference)
}

/// Whether one text has one of two opposites alone, and the other the other.
fn are_opposite(one: &Marks, other: &Marks) -> bool {
    let only = |marks: &Marks| (marks.lefts & !marks.rights, marks.rights & !marks.lefts);
    let ((one_left, one_right), (other_left, other_right)) = (only(one), only(other));
    one_left & other_right != 0 || one_right & other_left != 0
}

/// Whether a name of one text stands nowhere in the other, or their order is another. A word with which a sentence begins has a
/// capital anyway: it is taken for a name only where each text begins with one that the other lacks.
fn are_of_others(one: &Marks, other: &Marks) -> bool {
    let foreign = |names: &[String], words: &BTreeSet<String>| names.iter().any(|name| !words.contains(name));
    if foreign(&one.names, &other.words) || foreign(&other.names, &one.words) {
        return true;
    }
    let common = |names: &[String], others: &[String]| -> Vec<String> {
        names.iter().filter(|name| others.contains(name)).cloned().collect()
    };
    if common(&one.names, &other.names) != common(&other.names, &one.names) {
        return true;
    }
    foreign(&one.openers, &other.words) && foreign(&other.openers, &one.words)
}

#[cfg(test)]
mod tests;
