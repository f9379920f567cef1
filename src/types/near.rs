//! The known word nearest to an unknown one.

/// The most known words that are compared, and the longest word.
const MOST: usize = 2_000;
const LONGEST: usize = 200;

/// How many letters may differ: a third, and no more than this of a long word.
const MOST_APART: usize = 4;

/// The known word nearest to `word`, where one is near enough to be meant: of short words one letter differs, of words of one or
/// two letters none, since nearly all of them are near each other.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().take(LONGEST + 1).count();
    if length > LONGEST {
        return None;
    }
    let most = (length / 3).min(MOST_APART);
    let may_be_near = |name: &&str| name.chars().take(length + most + 1).count().abs_diff(length) <= most;
    let scored = known.into_iter().take(MOST).filter(may_be_near);
    let scored = scored.map(|name| (strsim::damerau_levenshtein(word, name), name));
    let (distance, name) = scored.min_by_key(|(distance, _)| *distance)?;
    (distance <= most && distance > 0).then_some(name)
}

/// The end of a message about an unknown word; empty where none is near.
#[must_use]
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, known).map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_word_is_found_and_a_far_one_is_not() {
        let known = ["smart", "fast", "house/support-v3"];
        assert_eq!(nearest("fats", known), Some("fast"));
        assert_eq!(nearest("house/suport-v3", known), Some("house/support-v3"));
        assert_eq!(did_you_mean("smrt", known), "; did you mean `smart`?");
        for far in ["gpt-9", "", "fast", "x", "fo", "past-it", "art", "house/gpt-4o-mini", &"f".repeat(500)] {
            assert_eq!(did_you_mean(far, known), "", "{far:.20}");
        }
    }
}
