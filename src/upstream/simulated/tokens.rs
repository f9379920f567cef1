//! Cuts text into tokens about as real tokenisers do: a word with its leading space, three digits, a sign.

/// The tokens of a text; put together they are the text.
pub(super) fn split(text: &str) -> Vec<&str> {
    iter(text).collect()
}

/// How many tokens a text has.
pub(super) fn count(text: &str) -> usize {
    iter(text).count()
}

fn iter(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (token, after) = rest.split_at(first(rest));
        rest = after;
        Some(token)
    })
}

/// The length in bytes of the first token of a text that is not empty.
fn first(text: &str) -> usize {
    const LONG_WORD: usize = 10;
    const SYLLABLES: usize = 6;
    let space = usize::from(text.starts_with(' '));
    let body = &text[space..];
    let Some(head) = body.chars().next() else {
        return space;
    };
    // Ideographs and kana are a token each.
    if !head.is_alphanumeric() || head >= '\u{2e80}' {
        let blank = head.is_whitespace() && space == 1;
        return if blank { space } else { space + head.len_utf8() };
    }
    if head.is_numeric() {
        return space + prefix(body, 3, char::is_numeric);
    }
    let word = prefix(body, LONG_WORD, |c| c.is_alphabetic() && c < '\u{2e80}');
    let is_long = body[..word].chars().count() == LONG_WORD;
    space + if is_long { prefix(body, SYLLABLES, char::is_alphabetic) } else { word }
}

/// The length in bytes of the first characters that are `wanted`, `most` at most.
fn prefix(text: &str, most: usize, wanted: impl Fn(char) -> bool) -> usize {
    text.chars().take(most).take_while(|&c| wanted(c)).map(char::len_utf8).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_carry_their_space() {
        assert_eq!(split("Hello there, 12345!"), ["Hello", " there", ",", " 123", "45", "!"]);
        assert_eq!(split("configuration"), ["config", "uration"]);
        assert_eq!(split("a  b\n"), ["a", " ", " b", "\n"]);
        assert_eq!(split("你好"), ["你", "好"]);
    }

    proptest! {
        #[test]
        fn tokens_put_together_are_the_text(text in "\\PC*[ \n]*") {
            prop_assert_eq!(split(&text).concat(), text.clone());
            prop_assert_eq!(split(&text).len(), count(&text));
        }
    }
}
