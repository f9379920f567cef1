//! Reads a template's tags exactly as Tera's own lexer does, since what Tera would run is what must be checked.

/// The version of Tera whose lexer this follows.
#[cfg(test)]
pub(super) const FOLLOWS: &str = "2.4.0";

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Ident,
    Number,
    Text,
    Sign,
}

/// A word, number, string or sign inside a tag.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
    /// The first byte in the source.
    pub(super) at: usize,
}

impl Token<'_> {
    pub(super) fn is(&self, kind: Kind, text: &str) -> bool {
        self.kind == kind && self.text == text
    }
}

/// One `{{ … }}` or `{% … %}`.
#[derive(Debug)]
pub(super) struct Tag<'a> {
    /// Whether it is a `{% … %}`.
    pub(super) block: bool,
    /// The first byte.
    pub(super) start: usize,
    /// The byte after it.
    pub(super) end: usize,
    /// Whether it ends in `-`, which removes the white space after it.
    pub(super) trims: bool,
    pub(super) tokens: Vec<Token<'a>>,
}

/// The tags of `source`, and the first byte of one that cannot be read, where there is one: Tera refuses it too.
pub(super) fn tags(source: &str) -> (Vec<Tag<'_>>, Option<usize>) {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(open) = next_mark(source, at) {
        let after = open + 2 + usize::from(source.as_bytes().get(open + 2) == Some(&b'-'));
        let next = match source.as_bytes()[open + 1] {
            b'#' => source[after..].find("#}").map(|end| after + end + 2),
            b'%' if raw_tag(source, after, "raw").is_some() => raw_end(source, after),
            mark => tag(source, open, after, mark == b'%').map(|tag| {
                let end = tag.end;
                found.push(tag);
                end
            }),
        };
        let Some(next) = next else { return (found, Some(open)) };
        at = next;
    }
    (found, None)
}

fn next_mark(source: &str, from: usize) -> Option<usize> {
    let bytes = &source.as_bytes()[from..];
    bytes.windows(2).position(|pair| matches!(pair, b"{{" | b"{%" | b"{#")).map(|at| from + at)
}

/// The byte after `-? name -? %}`, where that stands at `at`.
fn raw_tag(source: &str, at: usize, name: &str) -> Option<usize> {
    let space = |c: char| c.is_ascii_whitespace();
    let rest = &source[at..];
    let rest = rest.strip_prefix('-').unwrap_or(rest).trim_start_matches(space);
    let rest = rest.strip_prefix(name)?.trim_start_matches(space);
    let rest = rest.strip_prefix('-').unwrap_or(rest).strip_prefix("%}")?;
    Some(source.len() - rest.len())
}

/// The byte after the `{% endraw %}` of a raw block whose tag's inside begins at `at`.
fn raw_end(source: &str, at: usize) -> Option<usize> {
    let mut at = raw_tag(source, at, "raw")?;
    while let Some(open) = source[at..].find("{%") {
        at += open + 2;
        if let Some(end) = raw_tag(source, at, "endraw") {
            return Some(end);
        }
    }
    None
}

fn tag(source: &str, start: usize, inside: usize, block: bool) -> Option<Tag<'_>> {
    let close = if block { "%}" } else { "}}" };
    let mut tokens = Vec::new();
    let mut at = inside;
    loop {
        let rest = source[at..].trim_start_matches(|c: char| c.is_ascii_whitespace());
        at = source.len() - rest.len();
        if rest.strip_prefix('-').is_some_and(|rest| rest.starts_with(close)) {
            return Some(Tag { block, start, end: at + 3, trims: true, tokens });
        }
        if rest.starts_with(close) {
            return Some(Tag { block, start, end: at + 2, trims: false, tokens });
        }
        let (kind, length) = token(rest)?;
        tokens.push(Token { kind, text: &rest[..length], at });
        at += length;
    }
}

/// The kind and length of the token that `rest` begins with.
fn token(rest: &str) -> Option<(Kind, usize)> {
    let bytes = rest.as_bytes();
    if bytes.starts_with(b"...") {
        return Some((Kind::Sign, 3));
    }
    if matches!(bytes.get(..2), Some(b"//" | b"**" | b"==" | b"!=" | b">=" | b"<=" | b"</" | b"?." | b"?[")) {
        return Some((Kind::Sign, 2));
    }
    match *bytes.first()? {
        quote @ (b'\'' | b'"' | b'`') => text(bytes, quote).map(|length| (Kind::Text, length)),
        first if first.is_ascii_digit() => Some((Kind::Number, number(bytes))),
        first if first.is_ascii_alphabetic() || first == b'_' => {
            let length = bytes.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
            Some((Kind::Ident, length))
        }
        first if b"+-*/%!.,:~|=><()[]{}@".contains(&first) => Some((Kind::Sign, 1)),
        _ => None,
    }
}

fn text(bytes: &[u8], quote: u8) -> Option<usize> {
    let mut at = 1;
    while *bytes.get(at)? != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    Some(at + 1)
}

fn number(bytes: &[u8]) -> usize {
    let mut point = false;
    let of_number = |byte: &&u8| match **byte {
        b'.' if !point => {
            point = true;
            true
        }
        byte => byte.is_ascii_digit(),
    };
    bytes.iter().take_while(of_number).count()
}
