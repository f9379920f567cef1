//! Lines of the journal as they were written until 0.1: texts with a checksum, read at the first start after that.
//!
//! A line is 16 hexadecimal digits of checksum, a letter for what it is, and fields that each end with a tab. Tabs and ends of
//! lines in texts are escaped, so a damaged line hides no other.

use std::str::FromStr;
use std::sync::Arc;

use super::record::Record;
use crate::chat::Usage;
use crate::types::{Nanos, Timestamp};
use crate::usage::rows::{AttemptRow, CacheState, RequestRow, Settlement, Status};

/// Characters of a line's checksum.
const SUM: usize = 16;
const INTENT: u8 = b'i';
const SETTLEMENT: u8 = b's';
/// What a usage begins with: whether there is one, and whether it has writes for an hour at its end.
const NO_USAGE: u64 = 0;
const USAGE_WITH_HOUR: u64 = 2;
/// More attempts or tags than any request has.
const MOST: usize = 10_000;

/// Reads a line without its end. `None` where it is torn or damaged.
pub(in crate::usage) fn read(line: &[u8]) -> Option<Record> {
    let (sum, content) = line.split_at_checked(SUM)?;
    if digits(checksum(content)) != *sum {
        return None;
    }
    let (kind, content) = content.split_first()?;
    let mut fields = Read(content.strip_suffix(b"\t")?.split(is_tab));
    let mut request = Box::new(fields.request()?);
    match *kind {
        INTENT => Some(Record::Intent(request, Box::new(fields.attempt()?), Vec::new())),
        SETTLEMENT => {
            fields.ended(&mut request)?;
            let count = fields.number()?;
            let attempts = (0..MOST.min(count)).map(|_| {
                let mut attempt = fields.attempt()?;
                fields.attempt_ended(&mut attempt)?;
                Some(attempt)
            });
            let attempts = attempts.collect::<Option<_>>()?;
            Some(Record::Settlement(Box::new(Settlement { request, attempts, bodies: None })))
        }
        _ => None,
    }
}

/// A checksum against accidents, not against people. Each step maps sums one to one, so damage within eight bytes that lie
/// together is always seen, and other damage but for one time in 2^64.
fn checksum(content: &[u8]) -> u64 {
    let (words, rest) = content.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let first = 0x9e37_79b9_7f4a_7c15 ^ content.len() as u64;
    words.iter().chain([&last]).fold(first, |sum, word| {
        let mixed = (sum ^ u64::from_le_bytes(*word)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        mixed ^ (mixed >> 32)
    })
}

fn digits(sum: u64) -> [u8; SUM] {
    let nibbles = sum.to_be_bytes().map(|byte| [byte >> 4, byte & 15]);
    let mut digits = [0; SUM];
    for (digit, nibble) in digits.iter_mut().zip(nibbles.as_flattened()) {
        *digit = b"0123456789abcdef"[usize::from(*nibble)];
    }
    digits
}

fn is_tab(byte: &u8) -> bool {
    *byte == b'\t'
}

/// Reads fields; `None` where one is missing or not what it should be.
struct Read<'a>(std::slice::Split<'a, u8, fn(&u8) -> bool>);

impl Read<'_> {
    fn request(&mut self) -> Option<RequestRow> {
        let (id, started_at) = (self.number()?, Timestamp(self.number()?));
        let (project, key_id, endpoint, requested_model) = (self.text()?, self.text()?, self.text()?, self.text()?);
        let (user, session, route, prompt) = (self.optional()?, self.optional()?, self.optional()?, self.optional()?);
        let version = self.maybe()?;
        let stream = self.flag()?;
        let count: usize = self.number()?;
        let tags = (0..MOST.min(count)).map(|_| Some((self.text()?, self.text()?))).collect::<Option<_>>()?;
        Some(RequestRow {
            id,
            started_at,
            project,
            key_id,
            user,
            session,
            tags,
            endpoint,
            requested_model,
            route,
            prompt,
            version,
            stream,
            ..RequestRow::default()
        })
    }

    fn ended(&mut self, row: &mut RequestRow) -> Option<()> {
        row.provider = self.optional()?;
        row.model = self.optional()?;
        row.error_code = self.optional()?;
        row.trace = self.optional()?;
        row.status = Status::read(&self.text()?);
        row.http_status = self.number()?;
        row.cache = CacheState::read(self.optional()?.as_deref());
        row.usage = self.usage()?;
        row.cost = self.maybe()?.map(Nanos);
        row.unpriced = self.flag()?;
        row.saved = Nanos(self.number()?);
        row.latency_us = self.number()?;
        row.first_token_us = self.maybe()?;
        row.overhead_us = self.maybe()?;
        Some(())
    }

    fn attempt(&mut self) -> Option<AttemptRow> {
        let n = self.number()?;
        let (provider, model) = (self.text()?, self.text()?);
        let (started_at, reserved) = (Timestamp(self.number()?), Nanos(self.number()?));
        Some(AttemptRow { n, provider, model, started_at, reserved, ..AttemptRow::default() })
    }

    fn attempt_ended(&mut self, row: &mut AttemptRow) -> Option<()> {
        row.status = Status::read(&self.text()?);
        row.http_status = self.maybe()?;
        row.error_code = self.optional()?;
        row.retryable = self.flag()?;
        row.latency_us = self.number()?;
        row.first_token_us = self.maybe()?;
        row.usage = self.usage()?;
        row.cost = self.maybe()?.map(Nanos);
        row.rate = self.optional()?;
        Some(())
    }

    fn usage(&mut self) -> Option<Option<Usage>> {
        let kind: u64 = self.number()?;
        if kind == NO_USAGE {
            return Some(None);
        }
        let mut usage = Usage {
            input: self.number()?,
            cached_input: self.number()?,
            cache_write: self.number()?,
            cache_write_1h: 0,
            output: self.number()?,
            reasoning: self.number()?,
            estimated: self.flag()?,
            ..Usage::default()
        };
        if kind == USAGE_WITH_HOUR {
            usage.cache_write_1h = self.number()?;
        }
        Some(Some(usage))
    }

    fn field(&mut self) -> Option<&str> {
        std::str::from_utf8(self.0.next()?).ok()
    }

    fn text(&mut self) -> Option<Arc<str>> {
        self.field().and_then(unescaped)
    }

    fn optional(&mut self) -> Option<Option<Arc<str>>> {
        match self.field()? {
            "" => Some(None),
            some => unescaped(some.strip_prefix('=')?).map(Some),
        }
    }

    fn number<T: FromStr>(&mut self) -> Option<T> {
        self.field()?.parse().ok()
    }

    fn maybe<T: FromStr>(&mut self) -> Option<Option<T>> {
        match self.field()? {
            "" => Some(None),
            some => some.parse().ok().map(Some),
        }
    }

    fn flag(&mut self) -> Option<bool> {
        self.number::<u8>().map(|flag| flag != 0)
    }
}

fn unescaped(text: &str) -> Option<Arc<str>> {
    if !text.contains('\\') {
        return Some(text.into());
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        plain.push(match next {
            '\\' => match rest.next()? {
                't' => '\t',
                'n' => '\n',
                '\\' => '\\',
                _ => return None,
            },
            other => other,
        });
    }
    Some(plain.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &[u8] = include_bytes!("../../../tests/fixtures/journal/text-lines");

    #[test]
    fn every_line_is_read_and_damage_is_seen() {
        for line in LINES.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            assert!(read(line).is_some());
            for at in 0..line.len() {
                let mut damaged = line.to_vec();
                damaged[at] ^= 1;
                assert_eq!(read(&damaged), None, "{at}");
                assert_eq!(read(&line[..at]), None, "{at}");
            }
        }
    }
}
