//! What must not differ between two texts for the answer to one to serve the other, however similar their vectors are.
//!
//! A vector hardly shows that 10 and 20, *is* and *is not*, or Paris and Rome differ; the answer does. So a text's numbers with
//! their units and signs, negations, quoted words, code, symbols, days, opposites and names in capitals are compared apart. Where that
//! refuses a good answer the caller pays a call; the other mistake would be a wrong answer.

use std::collections::BTreeSet;

use serde::Serialize;

use super::marks::Marks;
use super::opposed::are_opposed;
use super::phrases::Phrases;

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
    /// Code, a path, an address, an identifier, a symbol or the words beside it, or letters that cannot be compared.
    Code,
    /// A day or another word of time.
    Time,
    /// One of two opposites, such as `before` and `after`, or something else that is measured or done.
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
        (one.code != other.code || one.symbols != other.symbols, Difference::Code),
        (one.has_look_alikes || other.has_look_alikes || are_hyphened_apart(&one, &other), Difference::Code),
        (one.times != other.times, Difference::Time),
        (are_opposite(&one, &other), Difference::Opposite),
        (are_of_others(&one, &other), Difference::Name),
    ];
    found.into_iter().find(|(differs, _)| *differs).map(|(_, difference)| difference)
}

/// Whether both texts have words of one pair of opposites, and not the same ones in the same order.
fn are_opposite(one: &Marks, other: &Marks) -> bool {
    let in_both = (one.lefts | one.rights) & (other.lefts | other.rights);
    let differ = (one.lefts ^ other.lefts) | (one.rights ^ other.rights) | (one.lefts_first ^ other.lefts_first);
    let phrases = || Phrases::of(&one.sentence).are_opposed(&Phrases::of(&other.sentence));
    in_both & differ != 0 || one.within != other.within || are_opposed(&one.words, &other.words) || phrases()
}

/// Whether a word with hyphens of one text stands nowhere in the other, neither with hyphens nor with spaces nor in one.
fn are_hyphened_apart(one: &Marks, other: &Marks) -> bool {
    let lacks = |one: &Marks, other: &Marks| {
        let stands = |parts: &String| other.sentence.contains(parts) || other.words.contains(&parts.replace(' ', ""));
        !one.hyphened.iter().all(stands)
    };
    lacks(one, other) || lacks(other, one)
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
mod refused;
#[cfg(test)]
mod tests;
