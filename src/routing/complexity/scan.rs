//! Counts what makes a text look hard, in a bounded part of it.

use super::words::work_of;

/// The most bytes of a text that are read; of what is beyond only the length counts.
pub(super) const WINDOW: usize = 16 << 10;

/// A script of which so many letters stand in a text is one of its scripts: a symbol is none.
const LETTERS: u32 = 3;

/// How a line of code may end.
const ENDS: [char; 4] = [';', '{', '}', '\\'];

/// How a line of code may begin.
const BEGINS: [&str; 22] = [
    "def ",
    "fn ",
    "func ",
    "function ",
    "class ",
    "import ",
    "from ",
    "#include",
    "package ",
    "public ",
    "private ",
    "const ",
    "let ",
    "var ",
    "return ",
    "select ",
    "SELECT ",
    "insert into ",
    "INSERT INTO ",
    "$ ",
    "for (",
    "if (",
];

/// What stands in the texts that were read.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Their length, of all of them.
    pub(super) bytes: usize,
    /// Points of words that ask for work, each word once.
    pub(super) work: usize,
    /// Questions, and items of lists.
    pub(super) asks: usize,
    /// Numbers, each once as it stands.
    pub(super) numbers: usize,
    /// Signs of mathematics.
    pub(super) signs: usize,
    /// Lines of code, of which a fence counts three.
    pub(super) code_lines: usize,
    /// Scripts with some letters.
    pub(super) scripts: u32,
    read: usize,
    known_work: u64,
    letters: [u32; 7],
}

impl Scan {
    /// Reads one text.
    pub(super) fn read(&mut self, text: &str) {
        self.bytes += text.len();
        let window = &text[..text.floor_char_boundary(WINDOW - self.read)];
        self.read += window.len();
        if window.is_empty() {
            return;
        }
        self.work += work_of(window, &mut self.known_work);
        window.lines().for_each(|line| self.line(line.trim()));
        self.characters(window);
    }

    fn line(&mut self, line: &str) {
        if line.starts_with("```") {
            self.code_lines += 3;
        } else if line.ends_with(ENDS) || BEGINS.iter().any(|begin| line.starts_with(begin)) {
            self.code_lines += 1;
        }
        self.asks += usize::from(is_item(line));
    }

    fn characters(&mut self, text: &str) {
        let (mut in_number, mut in_question) = (false, false);
        for character in text.chars() {
            let is_digit = character.is_ascii_digit();
            self.numbers += usize::from(is_digit && !in_number);
            in_number = is_digit || (in_number && matches!(character, '.' | ','));
            let asks = matches!(character, '?' | '？' | '؟' | '¿');
            self.asks += usize::from(asks && !in_question && character != '¿');
            in_question = asks;
            self.signs += usize::from(is_sign(character));
            if let Some(script) = script(character) {
                self.letters[script] += 1;
            }
        }
        self.scripts = self.letters.iter().map(|letters| u32::from(*letters >= LETTERS)).sum();
    }
}

/// Whether a line is an item of a list: `- a`, `2. b`, `c) d`.
fn is_item(line: &str) -> bool {
    let Some((mark, rest)) = line.split_once(' ') else { return false };
    if rest.is_empty() || mark.len() > 4 {
        return false;
    }
    let counted = mark.strip_suffix(['.', ')', ':']).is_some_and(|count| {
        let is_number = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
        is_number || (count.len() == 1 && count.bytes().all(|byte| byte.is_ascii_alphabetic()))
    });
    counted || matches!(mark, "-" | "*" | "+" | "•" | "–")
}

fn is_sign(character: char) -> bool {
    matches!(
        character,
        '=' | '^'
            | '%'
            | '√'
            | '∑'
            | '∏'
            | '∫'
            | '∂'
            | '∞'
            | '≤'
            | '≥'
            | '≠'
            | '≈'
            | '×'
            | '÷'
            | '±'
            | 'π'
            | '∈'
            | '∀'
            | '∃'
    )
}

/// The script of a letter, by number.
fn script(letter: char) -> Option<usize> {
    match u32::from(letter) {
        0x41..=0x5A | 0x61..=0x7A | 0xC0..=0x24F => Some(0),
        0x370..=0x3FF => Some(1),
        0x400..=0x52F => Some(2),
        0x590..=0x5FF => Some(3),
        0x600..=0x6FF => Some(4),
        0x900..=0x97F => Some(5),
        0x3040..=0x30FF | 0x3400..=0x9FFF | 0xAC00..=0xD7AF => Some(6),
        _ => None,
    }
}
