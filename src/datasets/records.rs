//! Cuts an import into records as its bytes come: a line of JSON, or a row of CSV, each with the number of the line it begins on.

use std::str::FromStr;

use super::error::Error;
use super::item::LONGEST_ITEM;

/// The form of an import or an export.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// A line of JSON for each item.
    #[default]
    Jsonl,
    /// Rows under a head.
    Csv,
}

impl FromStr for Form {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "jsonl" => Ok(Self::Jsonl),
            "csv" => Ok(Self::Csv),
            _ => Err(Error::field("format", "use jsonl or csv")),
        }
    }
}

/// A record: its bytes without the line end, and the line on which it begins, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) line: u64,
    pub(super) bytes: Vec<u8>,
}

/// Cuts bytes into records.
#[derive(Debug)]
pub(super) struct Records {
    form: Form,
    /// The bytes of the record that is not whole yet.
    begun: Vec<u8>,
    /// The line that it begins on, and the one that is being read.
    line: u64,
    lines: u64,
    /// Whether a line end belongs to a cell.
    quoted: bool,
}

impl Records {
    pub(super) fn of(form: Form) -> Self {
        Self { form, begun: Vec::new(), line: 1, lines: 1, quoted: false }
    }

    /// Takes more bytes; appends the records that are whole now. Empty lines are none.
    ///
    /// # Errors
    /// Where a record is longer than an item may be.
    pub(super) fn push(&mut self, mut bytes: &[u8], out: &mut Vec<Record>) -> Result<(), Error> {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = bytes.split_at(end);
            bytes = &rest[1..];
            self.take(line)?;
            self.lines += 1;
            match self.quoted {
                true => self.begun.push(b'\n'),
                false => self.end(out),
            }
        }
        self.take(bytes)
    }

    /// Takes the end of the bytes.
    ///
    /// # Errors
    /// Where a cell has no closing quotation mark.
    pub(super) fn finish(&mut self, out: &mut Vec<Record>) -> Result<(), Error> {
        if self.quoted {
            let problem = "a cell that begins with a quotation mark has no end".to_owned();
            return Err(Error::Line { line: self.line, problem });
        }
        self.end(out);
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.begun.len() + bytes.len() > LONGEST_ITEM + 1 {
            let problem = match self.quoted {
                true => format!("the row has more than {LONGEST_ITEM} bytes; is a quotation mark missing?"),
                false => format!("the line has more than {LONGEST_ITEM} bytes"),
            };
            return Err(Error::Line { line: self.line, problem });
        }
        if self.form == Form::Csv {
            // A quotation mark within a cell stands twice, so an odd number of them means that a cell is open.
            self.quoted ^= memchr::memchr_iter(b'"', bytes).count() % 2 == 1;
        }
        self.begun.extend_from_slice(bytes);
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<Record>) {
        let mut bytes = std::mem::take(&mut self.begun);
        if self.line == 1 && bytes.starts_with(b"\xef\xbb\xbf") {
            // The mark that Windows writes before a text.
            bytes.drain(..3);
        }
        if bytes.ends_with(b"\r") {
            bytes.pop();
        }
        if !bytes.trim_ascii().is_empty() {
            out.push(Record { line: self.line, bytes });
        }
        self.line = self.lines;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(form: Form, pieces: &[&[u8]]) -> Result<Vec<(u64, String)>, Error> {
        let (mut records, mut out) = (Records::of(form), Vec::new());
        for piece in pieces {
            records.push(piece, &mut out)?;
        }
        records.finish(&mut out)?;
        Ok(out.into_iter().map(|record| (record.line, String::from_utf8(record.bytes).unwrap())).collect())
    }

    #[test]
    fn a_record_has_the_number_of_its_line() {
        let text = b"\xef\xbb\xbf{1}\r\n\n  \n{2}\n{3}";
        let expected = [(1, "{1}"), (4, "{2}"), (5, "{3}")].map(|(line, text)| (line, text.to_owned()));
        assert_eq!(all(Form::Jsonl, &[text]).unwrap(), expected);
        let rows = b"a,b\n\"x\ny\",\"say \"\"hi\"\"\n\"\nc,d\n";
        let expected = [(1, "a,b"), (2, "\"x\ny\",\"say \"\"hi\"\"\n\""), (5, "c,d")];
        assert_eq!(all(Form::Csv, &[rows]).unwrap(), expected.map(|(line, text)| (line, text.to_owned())));
    }

    #[test]
    fn a_record_without_an_end_is_refused_with_its_line() {
        let error = all(Form::Csv, &[b"a\n\"x\ny\nz\n"]).unwrap_err().to_string();
        assert!(error.starts_with("line 2: "), "{error}");
        let long = "x".repeat(LONGEST_ITEM + 2);
        let error = all(Form::Jsonl, &[b"{}\n", long.as_bytes()]).unwrap_err().to_string();
        assert!(error.starts_with("line 2: ") && error.contains("bytes"), "{error}");
    }

    proptest! {
        #[test]
        fn records_are_the_same_however_the_bytes_come(
            text in "[a\",\r\n ]{0,60}", cut in 0_usize..60, is_csv in any::<bool>(),
        ) {
            let form = if is_csv { Form::Csv } else { Form::Jsonl };
            let (first, second) = text.as_bytes().split_at(cut.min(text.len()));
            let (whole, parts) = (all(form, &[text.as_bytes()]), all(form, &[first, second]));
            prop_assert_eq!(whole.ok(), parts.ok());
        }
    }
}
