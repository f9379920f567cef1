//! One pass over JSON text: its grammar, its depth and its escapes are checked, and nothing is copied or built.

use std::borrow::Cow;
use std::ops::Range;

/// What a pass checks besides the grammar.
#[derive(Clone, Copy, Debug)]
pub(super) struct Checks {
    /// The deepest nesting; the outermost object is one level.
    pub(super) depth: usize,
    /// Whether an escaped surrogate needs its other half.
    pub(super) surrogates: bool,
    /// The most values that are no numbers, at all depths.
    pub(super) values: usize,
    /// The most numbers.
    pub(super) numbers: usize,
    /// The most of them that are objects and lists.
    pub(super) groups: usize,
}

impl Checks {
    /// What is checked of an answer: no more than the grammar.
    pub(super) const fn of_answers() -> Self {
        let most = usize::MAX;
        Self { depth: most, surrogates: false, values: most, numbers: most, groups: most }
    }
}

/// Why a text is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScanError {
    /// The text is no JSON object.
    Syntax,
    /// A name at the top level has an escape.
    EscapedName,
    /// The text is nested too deep.
    Depth,
    /// Half a surrogate pair stands at this byte.
    Surrogate(usize),
    /// There are too many values.
    Values,
    /// There are too many numbers.
    Numbers,
    /// There are too many objects and lists.
    Groups,
}

/// Reads an object, and passes `field` the place of each top-level field: of the name without its quotes, and of the value.
pub(super) fn object(
    text: &str,
    checks: Checks,
    mut field: impl FnMut(Range<usize>, Range<usize>) -> Result<(), ScanError>,
) -> Result<(), ScanError> {
    let mut scan = Scan { bytes: text.as_bytes(), at: 0, checks, values: 0, numbers: 0, groups: 0, open: Vec::new() };
    scan.expect(b'{')?;
    if scan.next()? == b'}' {
        scan.at += 1;
        return scan.end();
    }
    loop {
        scan.expect(b'"')?;
        let start = scan.at;
        scan.string()?;
        let name = start..scan.at - 1;
        if memchr::memchr(b'\\', &scan.bytes[name.clone()]).is_some() {
            return Err(ScanError::EscapedName);
        }
        scan.expect(b':')?;
        scan.next()?;
        let start = scan.at;
        scan.value()?;
        field(name, start..scan.at)?;
        match scan.next()? {
            b',' => scan.at += 1,
            b'}' => {
                scan.at += 1;
                return scan.end();
            }
            _ => return Err(ScanError::Syntax),
        }
    }
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    checks: Checks,
    values: usize,
    numbers: usize,
    groups: usize,
    /// What is open inside a top-level field: `{` or `[`.
    open: Vec<u8>,
}

impl Scan<'_> {
    /// The next byte that is no white space.
    fn next(&mut self) -> Result<u8, ScanError> {
        while let Some(byte) = self.bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Ok(*byte);
            }
            self.at += 1;
        }
        Err(ScanError::Syntax)
    }

    fn expect(&mut self, wanted: u8) -> Result<(), ScanError> {
        if self.next()? != wanted {
            return Err(ScanError::Syntax);
        }
        self.at += 1;
        Ok(())
    }

    fn end(&mut self) -> Result<(), ScanError> {
        if self.next().is_ok() { Err(ScanError::Syntax) } else { Ok(()) }
    }

    /// Passes one value.
    fn value(&mut self) -> Result<(), ScanError> {
        loop {
            let byte = self.next()?;
            self.count(byte)?;
            let began = match byte {
                b'"' => {
                    self.at += 1;
                    self.string()?;
                    false
                }
                open @ (b'{' | b'[') => self.enter(open)?,
                b'-' | b'0'..=b'9' => {
                    self.number()?;
                    false
                }
                b't' => self.word(b"true")?,
                b'f' => self.word(b"false")?,
                b'n' => self.word(b"null")?,
                _ => return Err(ScanError::Syntax),
            };
            if !began && !self.leave()? {
                return Ok(());
            }
        }
    }

    /// Counts a value that begins with this byte.
    fn count(&mut self, first: u8) -> Result<(), ScanError> {
        if matches!(first, b'-' | b'0'..=b'9') {
            self.numbers += 1;
            return if self.numbers > self.checks.numbers { Err(ScanError::Numbers) } else { Ok(()) };
        }
        self.values += 1;
        if self.values > self.checks.values {
            return Err(ScanError::Values);
        }
        self.groups += usize::from(matches!(first, b'{' | b'['));
        if self.groups > self.checks.groups { Err(ScanError::Groups) } else { Ok(()) }
    }

    /// Opens an object or a list; whether a value in it comes next.
    fn enter(&mut self, open: u8) -> Result<bool, ScanError> {
        self.at += 1;
        if self.open.len() + 2 > self.checks.depth {
            return Err(ScanError::Depth);
        }
        let is_object = open == b'{';
        if self.next()? == if is_object { b'}' } else { b']' } {
            self.at += 1;
            return Ok(false);
        }
        self.open.push(open);
        if is_object {
            self.name()?;
        }
        Ok(true)
    }

    /// After a value: whether another follows in what is open.
    fn leave(&mut self) -> Result<bool, ScanError> {
        while let Some(open) = self.open.last().copied() {
            match (self.next()?, open) {
                (b',', b'{') => {
                    self.at += 1;
                    self.name()?;
                    return Ok(true);
                }
                (b',', _) => {
                    self.at += 1;
                    return Ok(true);
                }
                (b'}', b'{') | (b']', b'[') => {
                    self.at += 1;
                    self.open.pop();
                }
                _ => return Err(ScanError::Syntax),
            }
        }
        Ok(false)
    }

    fn name(&mut self) -> Result<(), ScanError> {
        self.expect(b'"')?;
        self.string()?;
        self.expect(b':')
    }

    fn word(&mut self, word: &[u8]) -> Result<bool, ScanError> {
        if !self.bytes[self.at..].starts_with(word) {
            return Err(ScanError::Syntax);
        }
        self.at += word.len();
        Ok(false)
    }

    fn number(&mut self) -> Result<(), ScanError> {
        self.skip(b"-");
        if !self.skip(b"0") {
            self.digits()?;
        }
        if self.skip(b".") {
            self.digits()?;
        }
        if self.skip(b"eE") {
            self.skip(b"+-");
            self.digits()?;
        }
        Ok(())
    }

    fn skip(&mut self, any: &[u8]) -> bool {
        let found = self.bytes.get(self.at).is_some_and(|byte| any.contains(byte));
        self.at += usize::from(found);
        found
    }

    fn digits(&mut self) -> Result<(), ScanError> {
        let rest = &self.bytes[self.at..];
        let count = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
        self.at += count;
        if count == 0 { Err(ScanError::Syntax) } else { Ok(()) }
    }

    /// Passes the rest of a string, after its first quote.
    fn string(&mut self) -> Result<(), ScanError> {
        loop {
            self.at += plain(&self.bytes[self.at..]);
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                _ => return Err(ScanError::Syntax),
            }
        }
    }

    fn escape(&mut self) -> Result<(), ScanError> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let start = self.at;
                let unit = self.unit()?;
                if self.checks.surrogates && (0xD800..0xE000).contains(&unit) {
                    let is_low = |unit: u32| (0xDC00..0xE000).contains(&unit);
                    let followed = !is_low(unit) && self.bytes[self.at..].starts_with(b"\\u");
                    if !followed || !is_low(self.unit()?) {
                        return Err(ScanError::Surrogate(start));
                    }
                }
            }
            _ => return Err(ScanError::Syntax),
        }
        Ok(())
    }

    /// The unit that `\uXXXX` stands for.
    fn unit(&mut self) -> Result<u32, ScanError> {
        let digits = self.bytes.get(self.at + 2..self.at + 6).ok_or(ScanError::Syntax)?;
        self.at += 6;
        digits.iter().try_fold(0, |unit, digit| {
            let digit = char::from(*digit).to_digit(16).ok_or(ScanError::Syntax)?;
            Ok(unit << 4 | digit)
        })
    }
}

/// How many bytes a string goes on before a quote, a backslash or a control character.
fn plain(bytes: &[u8]) -> usize {
    // Most strings are names and short values: two words, then longer ones.
    let (words, _) = bytes.as_chunks::<8>();
    for (n, word) in words.iter().take(2).enumerate() {
        if let Some(at) = special_in(word) {
            return n * 8 + at;
        }
    }
    let passed = words.len().min(2) * 8;
    let rest = &bytes[passed..];
    let end = memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
    // Valid text has no control characters, so all of it is looked at without a branch for each.
    let has_controls = rest[..end].iter().fold(false, |found, byte| found | (*byte < 0x20));
    let controls = || rest[..end].iter().position(|byte| *byte < 0x20);
    passed + if has_controls { controls().unwrap_or(end) } else { end }
}

/// The first special byte of eight, found by arithmetic on all of them: a byte's high bit is set where it is special. A borrow
/// may set it in bytes behind the first, which this search ignores.
fn special_in(word: &[u8; 8]) -> Option<usize> {
    let word = u64::from_le_bytes(*word);
    first_in(below(word, 0x20) | marks_in(word))
}

const EACH: u64 = u64::from_ne_bytes([1; 8]);

fn below(word: u64, least: u8) -> u64 {
    word.wrapping_sub(EACH * u64::from(least)) & !word & (EACH << 7)
}

fn marks_in(word: u64) -> u64 {
    below(word ^ (EACH * u64::from(b'"')), 1) | below(word ^ (EACH * u64::from(b'\\')), 1)
}

fn first_in(found: u64) -> Option<usize> {
    (found != 0).then(|| (found.trailing_zeros() / 8) as usize)
}

/// The items of a list whose text is known to be valid.
pub fn items(list: &str) -> impl Iterator<Item = &str> {
    let mut rest = list.get(1..).unwrap_or_default();
    std::iter::from_fn(move || {
        rest = behind(rest, b',');
        let (item, after) = rest.split_at(value_end(rest.as_bytes()));
        rest = after;
        (!item.is_empty()).then_some(item)
    })
}

/// The fields of an object whose text is known to be valid: the name as it stands between its quotes, and the value.
pub fn fields(object: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = object.get(1..).unwrap_or_default();
    std::iter::from_fn(move || {
        rest = behind(rest, b',');
        let (name, after) = rest.split_at(value_end(rest.as_bytes()));
        let after = behind(after, b':');
        let (value, after) = after.split_at(value_end(after.as_bytes()));
        rest = after;
        Some((name.get(1..name.len().checked_sub(1)?)?, value))
    })
}

/// What comes behind `mark` and white space.
fn behind(text: &str, mark: u8) -> &str {
    let passed = |byte: &u8| *byte == mark || matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
    let count = text.as_bytes().iter().take_while(|byte| passed(byte)).count();
    text.get(count..).unwrap_or_default()
}

/// A name as it is meant.
pub fn unescaped(name: &str) -> Cow<'_, str> {
    if !name.contains('\\') {
        return name.into();
    }
    serde_json::from_str::<String>(&format!("\"{name}\"")).map_or(name.into(), Cow::Owned)
}

/// The text that a valid JSON string means; `None` where it is none.
pub fn text(json: &str) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(inner.into());
    }
    serde_json::from_str::<String>(json).ok().map(Cow::Owned)
}

/// Where the value ends that valid JSON begins with; 0 where none begins.
fn value_end(json: &[u8]) -> usize {
    let mut depth = 0usize;
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => at = string_end(json, at + 1),
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' | b',' | b':' | b' ' | b'\n' | b'\r' | b'\t' if depth == 0 => return at,
            b'}' | b']' => {
                depth -= 1;
                at += 1;
            }
            _ => {
                at += 1;
                continue;
            }
        }
        if depth == 0 {
            return at;
        }
    }
    json.len()
}

/// The place behind the closing quote of the string whose text goes on at `at`; the end where no quote closes it.
pub fn string_end(json: &[u8], mut at: usize) -> usize {
    while let Some(rest) = json.get(at..) {
        let Some(mark) = mark_in(rest) else { break };
        at += mark;
        if json[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    json.len()
}

/// The place of the first quotation mark or backslash. Most strings end within the first words.
fn mark_in(bytes: &[u8]) -> Option<usize> {
    let (words, _) = bytes.as_chunks::<8>();
    let near = words.len().min(2);
    for (n, word) in words[..near].iter().enumerate() {
        if let Some(at) = first_in(marks_in(u64::from_le_bytes(*word))) {
            return Some(n * 8 + at);
        }
    }
    Some(near * 8 + memchr::memchr2(b'"', b'\\', &bytes[near * 8..])?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;
    use serde_json::value::RawValue;

    const LENIENT: Checks = Checks::of_answers();

    /// Text that is JSON, or nearly: pieces of it in any order.
    fn nearly() -> impl Strategy<Value = String> {
        let pieces = vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"",
            "\\",
            "\"a\"",
            "\"b\"",
            "0",
            "-1",
            "1.5e+3",
            "01",
            "1.",
            "-",
            "e",
            "true",
            "fals",
            "null",
            " ",
            "\n",
            "\\u00e9",
            "\\ud83d",
            "\\ude00",
            "\\u12",
            "\\n",
            "\\x",
            "é",
            "\u{1f600}",
            "\t",
            "\u{1}",
            "{\"k\":[1,{}]}",
        ];
        prop::collection::vec(prop::sample::select(pieces), 0..14).prop_map(|pieces| pieces.concat())
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[ a\\\\\"\t{}:,é\u{1f600}]{0,40}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("[a-c \"\\\\]{0,3}", inner), 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_first_special_byte_is_found_wherever_it_stands(
            bytes in prop::collection::vec(prop_oneof![20 => 0x20u8.., 1 => any::<u8>()], 0..120), from in 0usize..9,
        ) {
            let bytes = &bytes[from.min(bytes.len())..];
            let first = bytes.iter().position(|byte| *byte < 0x20 || matches!(*byte, b'"' | b'\\')).unwrap_or(bytes.len());
            prop_assert_eq!(plain(bytes), first);
            prop_assert_eq!(mark_in(bytes), bytes.iter().position(|byte| matches!(byte, b'"' | b'\\')));
        }
    }

    fn agrees(text: &str) -> Result<(), TestCaseError> {
        let is_object = serde_json::from_str::<&RawValue>(text).is_ok_and(|raw| raw.get().starts_with('{'));
        let ours = object(text, LENIENT, |_, _| Ok(()));
        // What serde_json takes for a name with an escape is the only thing that is refused beyond it.
        prop_assert_eq!(
            ours.is_ok() || (is_object && ours == Err(ScanError::EscapedName)),
            is_object,
            "{}: {:?}",
            text,
            ours
        );
        Ok(())
    }

    proptest! {
        #[test]
        fn nearly_json_is_judged_as_serde_json_judges_it(text in nearly()) {
            agrees(&text)?;
            agrees(&format!("{{\"a\":{text}}}"))?;
        }

        #[test]
        fn damaged_json_is_judged_as_serde_json_judges_it(value in json(), at: usize, byte in 0u8..128, pretty: bool) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
            let text = format!("{{\"a\":{text},\"b\":1}}");
            agrees(&text)?;
            let mut bytes = text.into_bytes();
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(text) = std::str::from_utf8(&bytes) {
                agrees(text)?;
            }
            bytes.remove(at);
            if let Ok(text) = std::str::from_utf8(&bytes) {
                agrees(text)?;
            }
        }

        #[test]
        fn items_and_fields_are_found(list in prop::collection::vec(json(), 0..5), pretty: bool) {
            let write = |value: &Value| if pretty { format!("{value:#}") } else { value.to_string() };
            let text = write(&Value::from(list.clone()));
            let found: Vec<Value> = items(&text).map(|item| serde_json::from_str(item).unwrap()).collect();
            // A number may come back as its neighbour, so both sides are read.
            prop_assert_eq!(found, serde_json::from_str::<Vec<Value>>(&text).unwrap());
            let object: serde_json::Map<_, _> = list.into_iter().enumerate().map(|(n, value)| (format!("\"{n}"), value)).collect();
            let text = write(&Value::Object(object.clone()));
            let found: serde_json::Map<_, _> = fields(&text)
                .map(|(name, value)| (serde_json::from_str(&format!("\"{name}\"")).unwrap(), serde_json::from_str(value).unwrap()))
                .collect();
            prop_assert_eq!(found, serde_json::from_str::<serde_json::Map<_, _>>(&text).unwrap());
        }

        #[test]
        fn invalid_lists_and_objects_end(text in nearly()) {
            items(&text).count();
            fields(&text).count();
        }
    }
}
