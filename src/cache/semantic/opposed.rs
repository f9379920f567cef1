//! Words that are each other's opposites by what they begin or end with: `possible` and `impossible`, `inbound` and `outbound`.

use std::collections::BTreeSet;

/// What turns a word into its opposite.
const DENYING: [&str; 19] = [
    "un", "im", "in", "ir", "il", "dis", "non", "de", "mis", "anti", "dés", "dé", "des", "miss", "ent", "не", "без",
    "от", "раз",
];

/// Beginnings that are each other's opposites.
const BEGINNINGS: [(&str, &str); 29] = [
    ("ein", "aus"),
    ("an", "ab"),
    ("an", "aus"),
    ("auf", "zu"),
    ("auf", "ab"),
    ("hin", "her"),
    ("be", "ent"),
    ("ver", "ent"),
    ("up", "down"),
    ("in", "out"),
    ("on", "off"),
    ("over", "under"),
    ("pre", "post"),
    ("im", "ex"),
    ("im", "em"),
    ("in", "ex"),
    ("in", "de"),
    ("en", "de"),
    ("en", "dis"),
    ("ac", "de"),
    ("a", "de"),
    ("hyper", "hypo"),
    ("macro", "micro"),
    ("maxi", "mini"),
    ("super", "sub"),
    ("ad", "dis"),
    ("up", "out"),
    ("в", "вы"),
    ("при", "от"),
];

/// Whether a word of one text is the opposite of one of the other.
pub(super) fn are_opposed(one: &BTreeSet<String>, other: &BTreeSet<String>) -> bool {
    one.iter().any(|word| is_opposed(word, other)) || other.iter().any(|word| is_opposed(word, one))
}

/// Whether the words have the opposite of a word that they lack.
fn is_opposed(word: &str, others: &BTreeSet<String>) -> bool {
    if others.contains(word) {
        return false;
    }
    let stem = |begin: &str| word.strip_prefix(begin).filter(|stem| stem.chars().count() >= 3);
    let has = |begin: &str, stem: &str| others.contains(&format!("{begin}{stem}"));
    let denied = || DENYING.into_iter().any(|begin| stem(begin).is_some_and(|stem| others.contains(stem)));
    let turned = || {
        let mut both = BEGINNINGS.into_iter().flat_map(|(one, other)| [(one, other), (other, one)]);
        both.any(|(one, other)| stem(one).is_some_and(|stem| has(other, stem)))
    };
    let lacking = || word.strip_suffix("less").is_some_and(|stem| has(stem, "") || has(stem, "ful"));
    denied() || turned() || lacking()
}
