//! Words of English that differ in what stands before them: where to and where from, how much of what, who did what.

use std::collections::BTreeSet;

/// What a text asks by words beside each other.
#[derive(Debug, Default)]
pub(super) struct Phrases {
    /// What it goes to, and what it comes from.
    to: BTreeSet<String>,
    from: BTreeSet<String>,
    /// What of it is measured: `tall` of `how tall`.
    how: BTreeSet<String>,
    /// What somebody did: `wrote` of `who wrote`.
    who: BTreeSet<String>,
}

/// Words between a preposition and its noun.
const DETERMINERS: &[&str] = &[
    "the", "a", "an", "my", "your", "his", "her", "its", "our", "their", "this", "that", "these", "those", "all",
    "any", "another",
];

/// Words that follow `how` or `who` in a question of any kind: what is asked stands behind them.
const PLAIN: &[&str] = &[
    "is", "are", "am", "was", "were", "be", "been", "do", "does", "did", "can", "could", "should", "would", "will",
    "shall", "may", "might", "must", "has", "have", "had", "to", "i", "you", "we", "they", "he", "she", "it", "one",
    "s", "re", "ve", "d", "ll", "m", "t", "the", "a", "an", "my", "your", "our", "their", "his", "her", "its", "this",
    "that", "these", "those", "about", "come", "and", "or", "else", "best",
];

impl Phrases {
    /// Those of a text's words in lower case, in their order.
    pub(super) fn of(sentence: &str) -> Self {
        let mut phrases = Self::default();
        let mut before = "";
        for word in sentence.split_whitespace() {
            if DETERMINERS.contains(&word) && matches!(before, "to" | "into" | "from") {
                continue;
            }
            let place = match before {
                "to" | "into" => Some(&mut phrases.to),
                "from" => Some(&mut phrases.from),
                "how" if !PLAIN.contains(&word) => Some(&mut phrases.how),
                "who" if !PLAIN.contains(&word) => Some(&mut phrases.who),
                _ => None,
            };
            if let Some(place) = place {
                place.insert(word.to_owned());
            }
            before = word;
        }
        phrases
    }

    /// Whether one text goes to what the other comes from, or both ask how much or who, and not of the same.
    pub(super) fn are_opposed(&self, other: &Self) -> bool {
        let turned =
            |one: &Self, other: &Self| one.to.iter().any(|word| other.from.contains(word) && !other.to.contains(word));
        let differ =
            |one: &BTreeSet<String>, other: &BTreeSet<String>| !one.is_empty() && !other.is_empty() && one != other;
        turned(self, other) || turned(other, self) || differ(&self.how, &other.how) || differ(&self.who, &other.who)
    }
}
