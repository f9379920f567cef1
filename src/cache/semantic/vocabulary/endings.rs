//! Endings of English words: what a word may be without its own.

/// The shortest stem.
const SHORTEST: usize = 3;

/// What an ending is taken off, and what the stem may lack then.
const ENDINGS: [(&str, &[&str]); 14] = [
    ("iers", &["y"]),
    ("iest", &["y"]),
    ("ier", &["y"]),
    ("ies", &["y"]),
    ("ied", &["y"]),
    ("ily", &["y"]),
    ("ers", &["", "e"]),
    ("est", &["", "e"]),
    ("ing", &["", "e"]),
    ("es", &["", "e"]),
    ("ed", &["", "e"]),
    ("er", &["", "e"]),
    ("ly", &["", "e"]),
    ("s", &[""]),
];

/// The words that a word may come from by one ending, such as `stop` and `stope` of `stopped`: most of them are none. Empty for a
/// word that is not plain ASCII.
pub(super) fn stems(word: &str) -> Vec<String> {
    let mut stems = Vec::new();
    if !word.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return stems;
    }
    for (ending, lacking) in ENDINGS {
        let Some(stem) = word.strip_suffix(ending).filter(|stem| stem.len() >= SHORTEST - 1) else { continue };
        stems.extend(lacking.iter().map(|lacking| format!("{stem}{lacking}")).filter(|stem| stem.len() >= SHORTEST));
        if let [.., before, last] = stem.as_bytes()
            && before == last
            && stem.len() > SHORTEST
        {
            stems.push(stem[..stem.len() - 1].to_owned());
        }
    }
    stems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_among_the_stems_of_its_inflections() {
        for (word, stem) in [
            ("accepted", "accept"),
            ("received", "receive"),
            ("receiving", "receive"),
            ("stopped", "stop"),
            ("cancelling", "cancel"),
            ("denies", "deny"),
            ("heavier", "heavy"),
            ("heaviest", "heavy"),
            ("larger", "large"),
            ("buyers", "buy"),
            ("safely", "safe"),
            ("risks", "risk"),
        ] {
            assert!(stems(word).iter().any(|found| found == stem), "{word}: {:?}", stems(word));
        }
        for word in ["red", "s", "being", "größer", "", "as"] {
            assert!(stems(word).iter().all(|stem| stem.len() >= SHORTEST), "{word}");
        }
    }
}
