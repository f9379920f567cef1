//! What the guard compares of a text: its numbers, negations, quotes, code, words of time, opposites and names.

use std::collections::BTreeSet;

use super::symbols::{fold, has_look_alikes, symbols_of};
use super::vocabulary::{
    is_attached, is_negation, is_opener, is_time, negations_in, number_of, opposites_in, sides_of, unit_of,
};

/// The marks of one text. Words are in lower case.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// Numbers with their signs, and units, in their order.
    pub(super) numbers: Vec<String>,
    /// How many negations there are.
    pub(super) negations: usize,
    /// Quoted words, in their order.
    pub(super) quotes: Vec<String>,
    /// Code, paths, addresses and identifiers, in their order.
    pub(super) code: Vec<String>,
    /// Words of time.
    pub(super) times: BTreeSet<&'static str>,
    /// The left and the right sides of pairs of opposites, a bit a pair, and of which pairs the left came first.
    pub(super) lefts: u128,
    pub(super) rights: u128,
    pub(super) lefts_first: u128,
    /// Opposites within words of scripts that do not part them.
    pub(super) within: Vec<&'static str>,
    /// Symbols with the words beside them, in their order.
    pub(super) symbols: Vec<String>,
    /// The parts of words with hyphens, with a space before and behind each.
    pub(super) hyphened: BTreeSet<String>,
    /// Whether a word has letters of two scripts.
    pub(super) has_look_alikes: bool,
    /// Names in capitals, in their order, each once.
    pub(super) names: Vec<String>,
    /// Words in capitals with which a sentence begins, and which are no usual beginning.
    pub(super) openers: Vec<String>,
    /// All words.
    pub(super) words: BTreeSet<String>,
    /// All words in their order, with a space before and behind each.
    pub(super) sentence: String,
    /// Whether the token before had a number.
    after_number: bool,
}

/// Pairs of marks that quote.
const QUOTES: [(char, char); 8] =
    [('"', '"'), ('“', '”'), ('„', '“'), ('«', '»'), ('»', '«'), ('「', '」'), ('『', '』'), ('‹', '›')];

impl Marks {
    pub(super) fn of(text: &str) -> Self {
        let text = fold(text);
        let mut marks = Self { has_look_alikes: has_look_alikes(&text), sentence: " ".to_owned(), ..Self::default() };
        let rest = marks.take_code(&text);
        let rest = marks.take_quotes(&rest);
        marks.negations = negations_in(&rest);
        marks.symbols = symbols_of(&rest);
        marks.within = opposites_in(&rest);
        let mut begins_sentence = true;
        for token in rest.split_whitespace() {
            let numbers = marks.numbers.len();
            begins_sentence = marks.token(token, begins_sentence);
            marks.after_number = marks.numbers.len() > numbers;
        }
        marks
    }

    /// Takes fenced blocks and words between backticks out.
    fn take_code(&mut self, text: &str) -> String {
        let mut rest = String::with_capacity(text.len());
        let mut is_code = false;
        for piece in text.split('`') {
            match is_code {
                true if !piece.trim().is_empty() => self.code.push(piece.trim().to_owned()),
                true => {}
                false => rest.push_str(piece),
            }
            rest.push(' ');
            is_code = !is_code;
        }
        rest
    }

    /// Takes quoted words out. A single quote opens only at a word's beginning and closes only at a word's end.
    fn take_quotes(&mut self, text: &str) -> String {
        let mut rest = String::with_capacity(text.len());
        let mut before = ' ';
        let mut at = 0;
        while let Some(open) = text[at..].chars().next() {
            at += open.len_utf8();
            match quoted(&text[at..], open, before) {
                Some((words, length)) => {
                    self.quotes.push(words.trim().to_owned());
                    // A quote is a word of its sentence.
                    rest.push_str(" § ");
                    at += length;
                    before = ' ';
                }
                None => {
                    rest.push(open);
                    before = open;
                }
            }
        }
        rest
    }

    /// Notes one token; whether the next begins a sentence.
    fn token(&mut self, token: &str, begins_sentence: bool) -> bool {
        let inner = token.trim_matches(|c: char| {
            !c.is_alphanumeric() && !matches!(c, '-' | '−' | '+' | '/' | '%' | '_' | '°' | '$' | '€' | '£' | '¥' | '₹')
        });
        let ends_sentence = token.ends_with(['.', '?', '!', ':', '。']);
        if matches!(inner, "a.m" | "p.m" | "A.M" | "P.M") {
            self.numbers.push(if inner.starts_with(['a', 'A']) { "am" } else { "pm" }.to_owned());
            return ends_sentence;
        }
        if is_code(inner) {
            self.code.push(inner.to_owned());
            return ends_sentence;
        }
        if inner.chars().any(is_digit) {
            self.number(inner);
            return ends_sentence;
        }
        self.hyphened(inner);
        let mut begins = begins_sentence;
        for word in inner.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
            self.word(word, begins);
            begins = false;
        }
        for symbol in inner.chars().filter(|c| matches!(c, '%' | '$' | '€' | '£' | '¥' | '₹' | '°')) {
            self.numbers.push(symbol.to_string());
        }
        // A mark alone, such as a dash of a list, begins nothing and ends nothing.
        if inner.chars().any(char::is_alphanumeric) { ends_sentence } else { begins_sentence || ends_sentence }
    }

    /// Notes the parts of a word with hyphens, save of one with pronouns such as `est-ce`.
    fn hyphened(&mut self, token: &str) {
        let word = token.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
        if word.contains('-') && !word.split('-').skip(1).all(is_attached) {
            let parts: Vec<&str> = word.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty()).collect();
            self.hyphened.insert(format!(" {} ", parts.join(" ")));
        }
    }

    /// Notes a word that says a number, or what part of the day a number means.
    fn number_word(&mut self, word: &str) {
        if word.chars().any(|c| c.is_numeric() && !c.is_ascii_digit()) {
            self.numbers.push(word.to_owned());
        }
        match word {
            "am" | "pm" if self.after_number => self.numbers.push(word.to_owned()),
            "pm" => self.numbers.push(word.to_owned()),
            "one" if self.after_number => self.numbers.push("1".to_owned()),
            _ => {}
        }
    }

    fn word(&mut self, word: &str, begins_sentence: bool) {
        let lower = word.to_lowercase();
        self.number_word(&lower);
        if let Some(number) = number_of(&lower) {
            self.numbers.push(number.to_owned());
        }
        if let Some(unit) = unit_of(&lower) {
            self.numbers.push(unit.to_owned());
        }
        if let Some(time) = is_time(&lower) {
            self.times.insert(time);
        }
        let (lefts, rights) = sides_of(&lower);
        self.lefts |= lefts;
        self.lefts_first |= rights & self.lefts & !self.rights;
        self.rights |= rights;
        let has_capital = word.chars().any(char::is_uppercase);
        let is_plain = is_negation(&lower) || is_opener(&lower);
        let is_only_capitalised = word.chars().enumerate().all(|(at, letter)| (at == 0) == letter.is_uppercase());
        if has_capital && !is_plain {
            let place = if begins_sentence && is_only_capitalised { &mut self.openers } else { &mut self.names };
            if !place.contains(&lower) {
                place.push(lower.clone());
            }
        }
        self.sentence.push_str(&lower);
        self.sentence.push(' ');
        self.words.insert(lower);
    }

    /// Notes a token with digits: its numbers one by one, with signs, and the letters between them.
    fn number(&mut self, token: &str) {
        let mut piece = String::new();
        let mut before = ' ';
        let mut characters = token.chars().peekable();
        while let Some(character) = characters.next() {
            let next = characters.peek().copied().unwrap_or(' ');
            let is_within = is_digit(before) && is_digit(next);
            match character {
                _ if is_digit(character) => {
                    if !piece.is_empty() && !piece.ends_with(['.', '-']) && !piece.chars().all(is_ascii_digit_or_point)
                    {
                        self.push(&mut piece);
                    }
                    piece.extend(ascii_digit(character));
                }
                // Thousands are written with commas, points or not at all; decimals with either.
                ',' if is_within && has_three_digits(characters.clone()) => {}
                '.' | ',' if is_within => piece.push('.'),
                '-' | '−' if is_digit(next) && !before.is_alphanumeric() => {
                    self.push(&mut piece);
                    piece.push('-');
                }
                _ if character.is_alphanumeric() => {
                    if piece.chars().next_back().is_some_and(|last| last.is_ascii_digit()) {
                        self.push(&mut piece);
                    }
                    piece.extend(character.to_lowercase());
                }
                '%' | '$' | '€' | '£' | '¥' | '₹' | '°' | '/' | ':' => {
                    self.push(&mut piece);
                    self.numbers.push(character.to_string());
                }
                _ => self.push(&mut piece),
            }
            before = character;
        }
        self.push(&mut piece);
    }

    fn push(&mut self, piece: &mut String) {
        if piece.is_empty() {
            return;
        }
        let piece = std::mem::take(piece);
        let unit = unit_of(&piece).map(str::to_owned);
        let plain = || match piece.trim_start_matches('0') {
            rest if rest.len() < piece.len() && (rest.is_empty() || rest.starts_with('.')) => format!("0{rest}"),
            rest => rest.to_owned(),
        };
        self.numbers.push(unit.unwrap_or_else(plain));
    }
}

/// The words behind an opening mark up to its end, and their length with the end.
fn quoted(rest: &str, open: char, before: char) -> Option<(&str, usize)> {
    if matches!(open, '\'' | '‘') && !before.is_alphanumeric() {
        let ends = |(at, mark): &(usize, char)| {
            let next = rest[at + mark.len_utf8()..].chars().next().unwrap_or(' ');
            matches!(mark, '\'' | '’') && *at > 0 && !next.is_alphanumeric()
        };
        let (at, mark) = rest.char_indices().find(ends)?;
        return Some((&rest[..at], at + mark.len_utf8()));
    }
    let (_, close) = QUOTES.iter().find(|(known, _)| *known == open)?;
    let at = rest.find(*close)?;
    Some((&rest[..at], at + close.len_utf8()))
}

fn is_digit(character: char) -> bool {
    ascii_digit(character).is_some()
}

fn is_ascii_digit_or_point(character: char) -> bool {
    character.is_ascii_digit() || matches!(character, '.' | '-')
}

/// A digit of a script in use, as ASCII has it.
fn ascii_digit(character: char) -> Option<char> {
    const ZEROS: [u32; 7] = [0x30, 0x660, 0x6F0, 0x966, 0x9E6, 0xE50, 0xFF10];
    let digit = ZEROS.iter().find_map(|zero| u32::from(character).checked_sub(*zero).filter(|digit| *digit < 10))?;
    char::from_digit(digit, 10)
}

fn has_three_digits(mut rest: impl Iterator<Item = char>) -> bool {
    (0..3).all(|_| rest.next().is_some_and(is_digit)) && !rest.next().is_some_and(is_digit)
}

/// Abbreviations that have a point within.
const ABBREVIATIONS: [&str; 10] = ["e.g", "i.e", "z.b", "d.h", "u.a", "p.ex", "p.s", "u.s", "u.k", "a.k.a"];

/// Whether a token is an identifier, a path, an address or a call, as opposed to a word.
fn is_code(token: &str) -> bool {
    let has_letters = token.chars().any(char::is_alphabetic);
    let joined = |mark: &str| token.split_once(mark).is_some_and(|(left, right)| !left.is_empty() && !right.is_empty());
    let is_dotted = token.split_once('.').is_some_and(|(left, right)| {
        let ends = |text: &str, last: bool| {
            let mut characters = text.chars();
            let character = if last { characters.next_back() } else { characters.next() };
            character.is_some_and(char::is_alphabetic)
        };
        ends(left, true) && ends(right, false) && !ABBREVIATIONS.contains(&token.to_lowercase().as_str())
    });
    let is_switch = token.strip_prefix(['-', '$']).is_some_and(|rest| rest.starts_with(|c: char| c.is_alphabetic()));
    has_letters
        && (token.contains(['_', '@', '\\', '{', '<', '='])
            || token.contains("::")
            || token.contains("()")
            || token.contains("://")
            || token.starts_with("--")
            || token.starts_with('/')
            || joined("(")
            || is_switch
            || is_dotted)
}
