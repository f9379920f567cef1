//! Splits a file that comes in pieces into its lines.

use bytes::{Bytes, BytesMut};

/// A line, with its place in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The byte at which the line begins.
    pub start: u64,
    /// The line, without its end.
    pub text: Bytes,
}

/// A line is longer than a request may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// The lines of a file.
#[derive(Debug)]
pub struct Lines {
    held: BytesMut,
    /// Where what is held begins.
    at: u64,
    /// How many of the bytes are known to hold no end of a line.
    looked: usize,
    longest: usize,
}

impl Lines {
    /// Lines of at most `longest` bytes.
    #[must_use]
    pub fn new(longest: usize) -> Self {
        Self { held: BytesMut::new(), at: 0, looked: 0, longest }
    }

    /// Takes the next piece of the file.
    pub fn push(&mut self, piece: &[u8]) {
        self.held.extend_from_slice(piece);
    }

    /// The next whole line; `None` until more comes.
    ///
    /// # Errors
    /// [`TooLong`]; then no line follows.
    pub fn line(&mut self) -> Result<Option<Piece>, TooLong> {
        let Some(end) = memchr::memchr(b'\n', &self.held[self.looked..]).map(|at| self.looked + at) else {
            self.looked = self.held.len();
            return if self.looked > self.longest { Err(TooLong) } else { Ok(None) };
        };
        let line = self.cut(end + 1)?;
        let length = line.text.len();
        Ok(Some(Piece { text: line.text.slice(..length - 1), ..line }))
    }

    /// What stands after the last end of a line, when all has come.
    ///
    /// # Errors
    /// [`TooLong`].
    pub fn rest(&mut self) -> Result<Option<Piece>, TooLong> {
        if self.held.is_empty() {
            return Ok(None);
        }
        self.cut(self.held.len()).map(Some)
    }

    fn cut(&mut self, length: usize) -> Result<Piece, TooLong> {
        let start = self.at;
        let text = self.held.split_to(length).freeze();
        self.at += length as u64;
        self.looked = 0;
        if length > self.longest.saturating_add(1) { Err(TooLong) } else { Ok(Piece { start, text }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(text: &[u8], cuts: &[usize], longest: usize) -> Result<Vec<Piece>, TooLong> {
        let mut lines = Lines::new(longest);
        let mut found = Vec::new();
        let mut last = 0;
        for cut in cuts.iter().copied().chain([text.len()]) {
            lines.push(&text[last..cut.max(last)]);
            last = cut.max(last);
            while let Some(line) = lines.line()? {
                found.push(line);
            }
        }
        found.extend(lines.rest()?);
        Ok(found)
    }

    #[test]
    fn a_line_that_is_too_long_is_told_before_its_end_comes() {
        let mut lines = Lines::new(4);
        lines.push(b"12345");
        assert_eq!(lines.line(), Err(TooLong));
        assert_eq!(split(b"1234\n1234", &[], 4).unwrap().len(), 2);
        assert_eq!(split(b"12345\n", &[], 4), Err(TooLong));
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(text in "[ab\n]{0,40}", mut cuts in prop::collection::vec(0usize..40, 0..5)) {
            cuts.iter_mut().for_each(|cut| *cut = (*cut).min(text.len()));
            cuts.sort_unstable();
            let found = split(text.as_bytes(), &cuts, 100).unwrap();
            let mut expected: Vec<&str> = text.split('\n').collect();
            if expected.last() == Some(&"") {
                expected.pop();
            }
            prop_assert_eq!(found.iter().map(|line| &*line.text).collect::<Vec<_>>(),
                expected.iter().map(|line| line.as_bytes()).collect::<Vec<_>>());
            for line in &found {
                let start = usize::try_from(line.start).unwrap();
                prop_assert_eq!(&*line.text, &text.as_bytes()[start..start + line.text.len()]);
            }
        }
    }
}
