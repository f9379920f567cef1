//! Symbols of a text, such as operators, arrows and emoji, with the words next to them; and the letters that look like others.

/// So many characters around a symbol are read for the words beside it.
const NEAR: usize = 64;

/// The symbols of a text in their order, each run with the words beside it: `5 < x` is another than `x < 5`.
pub(super) fn symbols_of(text: &str) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < characters.len() {
        let end = run(&characters, at, |at| is_symbol(&characters, at));
        if end == at {
            at += 1;
            continue;
        }
        let (left, right) = (before(&characters, at), after(&characters, end));
        let signs: String = characters[at..end].iter().collect();
        found.push(match standing(&signs) {
            Standing::Alone => signs,
            Standing::Attached => {
                let touches =
                    |at: Option<usize>| at.and_then(|at| characters.get(at)).is_some_and(|c| c.is_alphanumeric());
                let left = if touches(at.checked_sub(1)) { left.as_str() } else { "" };
                let right = if touches(Some(end)) { right.as_str() } else { "" };
                format!("{left} {signs} {right}")
            }
            Standing::Between => format!("{left} {signs} {right}"),
        });
        at = end;
    }
    found
}

/// Which words belong to a run of symbols.
enum Standing {
    /// None: emoji.
    Alone,
    /// Those that touch it: `#this`, `@that`, `C++`.
    Attached,
    /// Those on both sides: operators.
    Between,
}

fn standing(signs: &str) -> Standing {
    match signs {
        "#" | "@" | "++" => Standing::Attached,
        _ if signs.chars().all(|c| matches!(c, '\u{2600}'..='\u{27BF}' | '\u{1F000}'..)) => Standing::Alone,
        _ => Standing::Between,
    }
}

/// The end of the run that begins at a place.
fn run(characters: &[char], from: usize, is_in: impl Fn(usize) -> bool) -> usize {
    (from..characters.len()).find(|at| !is_in(*at)).unwrap_or(characters.len())
}

/// The last word before a place, in lower case.
fn before(characters: &[char], end: usize) -> String {
    let is_apart = |c: &&char| !c.is_alphanumeric();
    let word =
        characters[end.saturating_sub(NEAR)..end].iter().rev().skip_while(is_apart).take_while(|c| c.is_alphanumeric());
    let mut word: Vec<char> = word.flat_map(|c| c.to_lowercase()).collect();
    word.reverse();
    word.into_iter().collect()
}

/// The first word from a place on, in lower case.
fn after(characters: &[char], begin: usize) -> String {
    let is_apart = |c: &&char| !c.is_alphanumeric();
    let word = characters[begin..].iter().take(NEAR).skip_while(is_apart).take_while(|c| c.is_alphanumeric());
    word.flat_map(|c| c.to_lowercase()).collect()
}

/// Whether the character at a place is no letter, digit, space or sentence punctuation. Some punctuation is a part of operators.
fn is_symbol(characters: &[char], at: usize) -> bool {
    let neighbour = |step: isize| at.checked_add_signed(step).and_then(|at| characters.get(at)).copied();
    let is_sign = |step| neighbour(step).is_some_and(is_always_symbol);
    match characters[at] {
        '!' => {
            let is_word = |step| neighbour(step).is_some_and(char::is_alphanumeric);
            is_sign(1) || (is_word(1) && !is_word(-1))
        }
        '-' => is_sign(1) || is_sign(-1) || is_minus(characters, at),
        ':' | '?' => is_sign(1),
        character => is_always_symbol(character),
    }
}

/// Whether a dash between spaces is a minus: before a number or a letter.
fn is_minus(characters: &[char], at: usize) -> bool {
    let is_space = |at: Option<usize>| at.and_then(|at| characters.get(at)).is_none_or(|c| c.is_whitespace());
    let next = after(characters, at);
    let is_short = next.chars().count() == 1 || next.starts_with(|c: char| c.is_numeric());
    is_space(at.checked_sub(1)) && is_space(at.checked_add(1)) && is_short
}

/// Signs of money, `%` and `°` are compared with the numbers.
fn is_always_symbol(character: char) -> bool {
    match character {
        // U+0334 to U+0338 strike the letter before out, such as an equals sign.
        '#'
        | '@'
        | '<'
        | '>'
        | '='
        | '+'
        | '*'
        | '/'
        | '\\'
        | '|'
        | '&'
        | '^'
        | '~'
        | '['
        | ']'
        | '{'
        | '}'
        | '¦'
        | '©'
        | '¬'
        | '®'
        | '±'
        | '¶'
        | '·'
        | '×'
        | '÷'
        | '‰'
        | '‱'
        | '′'
        | '″'
        | '‴'
        | '⁄'
        | '\u{334}'..='\u{338}' => true,
        '\u{20A0}'..='\u{20CF}' => !matches!(character, '€' | '₹'),
        '\u{2100}'..='\u{214F}' | '\u{2190}'..='\u{2BFF}' | '\u{1F000}'..='\u{1FAFF}' | '\u{E0020}'..='\u{E007F}' => {
            !character.is_alphanumeric()
        }
        _ => false,
    }
}

/// A text with wide letters, dashes and apostrophes as ASCII has them, and without what is not seen, such as soft hyphens.
pub(super) fn fold(text: &str) -> String {
    let seen = text
        .chars()
        .filter(|c| !matches!(c, '\u{AD}' | '\u{200B}' | '\u{2060}' | '\u{FE0E}' | '\u{FE0F}' | '\u{FEFF}'));
    seen.map(|character| match character {
        '\u{FF01}'..='\u{FF5E}' => char::from_u32(u32::from(character) - 0xFEE0).unwrap_or(character),
        '\u{3000}' => ' ',
        '‐' | '‑' | '‒' | '–' | '−' | '﹣' => '-',
        'ʼ' | '´' | '’' => '\'',
        _ => character,
    })
    .collect()
}

/// Whether a word has letters of two scripts that look alike, or letters of mathematics: what it says cannot be compared.
pub(super) fn has_look_alikes(text: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric()).any(|word| {
        let is_latin =
            |c: char| c.is_alphabetic() && matches!(c, 'A'..='z' | '\u{C0}'..='\u{24F}' | '\u{1E00}'..='\u{1EFF}');
        let is_other = |c: char| matches!(c, '\u{370}'..='\u{52F}' | '\u{1F00}'..='\u{1FFF}');
        word.chars().any(is_latin) && word.chars().any(is_other)
            || word.chars().any(|c| matches!(c, '\u{1D400}'..='\u{1D7FF}'))
    })
}
