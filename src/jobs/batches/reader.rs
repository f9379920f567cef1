//! Reads the lines of a batch's file from its pieces.

use std::sync::Arc;

use crate::batches::{BatchError, Lines, NewLine, Piece, read_line};

/// The lines of one file, as its pieces come.
pub(super) struct Reader {
    lines: Lines,
    longest: usize,
    /// What every line is to call.
    endpoint: Arc<str>,
    /// The most lines that may ask something.
    most: u64,
    /// Lines so far, empty ones too.
    line: u64,
    /// Lines so far that ask something.
    pub(super) total: u64,
    is_over: bool,
}

/// Lines that may run, and what is wrong with others, in the order of the file.
pub(super) type Found = Vec<Result<NewLine, BatchError>>;

impl Reader {
    /// A reader of at most `most` lines of at most `longest` bytes, each of which calls `endpoint`.
    pub(super) fn new(endpoint: Arc<str>, most: u64, longest: usize) -> Self {
        Self { lines: Lines::new(longest), longest, endpoint, most, line: 0, total: 0, is_over: false }
    }

    /// The lines that end in the next piece.
    pub(super) fn piece(&mut self, piece: &[u8]) -> Found {
        self.lines.push(piece);
        let mut found = Vec::new();
        while !self.is_over {
            match self.lines.line() {
                Ok(Some(line)) => found.extend(self.take(&line)),
                Ok(None) => break,
                Err(_) => found.push(Err(self.too_long())),
            }
        }
        found
    }

    /// The last line, where the file does not end with the end of one.
    pub(super) fn rest(&mut self) -> Option<Result<NewLine, BatchError>> {
        match self.lines.rest() {
            Ok(line) => line.and_then(|line| self.take(&line)),
            Err(_) => Some(Err(self.too_long())),
        }
    }

    fn too_long(&mut self) -> BatchError {
        self.is_over = true;
        let message = format!("This line has more than {} bytes, the largest request that is taken.", self.longest);
        BatchError { line: Some(self.line + 1), ..BatchError::new("line_too_long", message) }
    }

    /// Reads one line; `None` for an empty line.
    fn take(&mut self, piece: &Piece) -> Option<Result<NewLine, BatchError>> {
        self.line += 1;
        let text = if self.line == 1 { without_mark(piece) } else { piece.clone() };
        if text.text.trim_ascii().is_empty() {
            return None;
        }
        self.total += 1;
        let n = self.line;
        if self.total > self.most {
            self.is_over = true;
            let message = format!("The input file has more than {} lines, the most of a batch.", self.most);
            return Some(Err(BatchError { line: Some(n), ..BatchError::new("too_many_lines", message) }));
        }
        let length = text.text.len() as u64;
        let read = read_line(&text.text, &self.endpoint);
        Some(match read {
            Ok(line) => Ok(NewLine { n, custom_id: line.custom_id, start: text.start, length }),
            Err(error) => Err(BatchError { line: Some(n), ..error }),
        })
    }
}

/// A line without the mark that some editors put before a file.
fn without_mark(piece: &Piece) -> Piece {
    match piece.text.strip_prefix(b"\xef\xbb\xbf") {
        Some(rest) => Piece { start: piece.start + 3, text: piece.text.slice_ref(rest) },
        None => piece.clone(),
    }
}
