//! How many bytes a text of JSON means, without reading its escapes.

/// How many bytes an escaped text means.
#[must_use]
pub fn of_escaped(text: &[u8]) -> usize {
    let mut rest = text;
    let mut count = 0;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        count += at;
        let (skipped, bytes) = match rest.get(at + 1) {
            Some(b'u') => (6, of_unit(rest.get(at + 2..at + 6))),
            _ => (2, 1),
        };
        count += bytes;
        rest = rest.get(at + skipped..).unwrap_or_default();
    }
    count + rest.len()
}

/// The bytes of a UTF-16 unit in UTF-8; each half of a pair is half of four.
fn of_unit(digits: Option<&[u8]>) -> usize {
    let unit = digits.and_then(|digits| u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
    match unit.unwrap_or_default() {
        0..0x80 => 1,
        0x80..0x800 | 0xd800..0xe000 => 2,
        _ => 3,
    }
}
