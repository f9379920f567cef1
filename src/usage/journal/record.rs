//! A line of the journal: an intent or a settlement as one text that costs little to write, and its checksum.
//!
//! A line is 16 hexadecimal digits of checksum, a letter for its kind, and fields that each end with a tab. Tabs and ends of
//! lines in texts are escaped, so a damaged line hides no other.

use std::str::FromStr;
use std::sync::Arc;

use crate::chat::Usage;
use crate::types::{Nanos, Timestamp};
use crate::usage::rows::{AttemptRow, CacheState, Intent, RequestRow, Settlement, Status};

/// Characters of a line's checksum.
const SUM: usize = 16;
const INTENT: u8 = b'i';
const SETTLEMENT: u8 = b's';
/// What a usage begins with: whether there is one, and whether it has writes for an hour at its end.
const NO_USAGE: u64 = 0;
const USAGE: u64 = 1;
const USAGE_WITH_HOUR: u64 = 2;
/// More attempts or tags than any request has.
const MOST: usize = 10_000;

/// What a line tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::usage) enum Line {
    /// An attempt was about to be sent.
    Intent(Box<RequestRow>, Box<AttemptRow>),
    /// A request ended.
    Settlement(Box<Settlement>),
}

/// Appends an intent's line to `buffer`.
pub(in crate::usage) fn write_intent(buffer: &mut Vec<u8>, intent: &Intent<'_>) {
    line(buffer, INTENT, |fields| {
        fields.request(intent.request);
        fields.attempt(intent.attempt);
    });
}

/// Appends a settlement's line to `buffer`. Bodies are left out.
pub(in crate::usage) fn write_settlement(buffer: &mut Vec<u8>, settlement: &Settlement) {
    line(buffer, SETTLEMENT, |fields| {
        fields.request(&settlement.request);
        fields.ended(&settlement.request);
        fields.number(settlement.attempts.len() as u64);
        for attempt in &settlement.attempts {
            fields.attempt(attempt);
            fields.attempt_ended(attempt);
        }
    });
}

/// Reads a line without its end. `None` where it is torn or damaged.
pub(in crate::usage) fn read(line: &[u8]) -> Option<Line> {
    let (sum, content) = line.split_at_checked(SUM)?;
    if digits(checksum(content)) != *sum {
        return None;
    }
    let (kind, content) = content.split_first()?;
    let mut fields = Read(content.strip_suffix(b"\t")?.split(is_tab));
    let mut request = Box::new(fields.request()?);
    match *kind {
        INTENT => Some(Line::Intent(request, Box::new(fields.attempt()?))),
        SETTLEMENT => {
            fields.ended(&mut request)?;
            let count = fields.number()?;
            let attempts = (0..MOST.min(count)).map(|_| {
                let mut attempt = fields.attempt()?;
                fields.attempt_ended(&mut attempt)?;
                Some(attempt)
            });
            let attempts = attempts.collect::<Option<_>>()?;
            Some(Line::Settlement(Box::new(Settlement { request, attempts, bodies: None })))
        }
        _ => None,
    }
}

fn line(buffer: &mut Vec<u8>, kind: u8, fill: impl FnOnce(&mut Write<'_>)) {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; SUM]);
    buffer.push(kind);
    fill(&mut Write(buffer));
    let sum = digits(checksum(&buffer[start + SUM..]));
    buffer[start..start + SUM].copy_from_slice(&sum);
    buffer.push(b'\n');
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

/// Writes fields.
struct Write<'a>(&'a mut Vec<u8>);

impl Write<'_> {
    /// What is known of a request before it is sent.
    fn request(&mut self, row: &RequestRow) {
        self.plain(row.id.text().as_str());
        self.signed(row.started_at.0);
        for text in [&row.project, &row.key_id, &row.endpoint, &row.requested_model] {
            self.text(text);
        }
        for text in [&row.user, &row.session, &row.route, &row.prompt] {
            self.optional(text.as_deref());
        }
        self.maybe(row.version.map(u64::from));
        self.number(u64::from(row.stream));
        self.number(row.tags.len() as u64);
        for (name, value) in &row.tags {
            self.text(name);
            self.text(value);
        }
    }

    /// What is known of a request when it ended.
    fn ended(&mut self, row: &RequestRow) {
        for text in [&row.provider, &row.model, &row.error_code, &row.trace] {
            self.optional(text.as_deref());
        }
        self.plain(row.status.text());
        self.number(u64::from(row.http_status));
        self.optional(row.cache.text());
        self.usage(row.usage.as_ref());
        self.money(row.cost);
        self.number(u64::from(row.unpriced));
        self.signed(row.saved.0);
        self.number(row.latency_us);
        self.maybe(row.first_token_us);
        self.maybe(row.overhead_us);
    }

    /// What is known of an attempt before it is sent.
    fn attempt(&mut self, row: &AttemptRow) {
        self.number(u64::from(row.n));
        self.text(&row.provider);
        self.text(&row.model);
        self.signed(row.started_at.0);
        self.signed(row.reserved.0);
    }

    /// What is known of an attempt when it ended.
    fn attempt_ended(&mut self, row: &AttemptRow) {
        self.plain(row.status.text());
        self.maybe(row.http_status.map(u64::from));
        self.optional(row.error_code.as_deref());
        self.number(u64::from(row.retryable));
        self.number(row.latency_us);
        self.maybe(row.first_token_us);
        self.usage(row.usage.as_ref());
        self.money(row.cost);
        self.optional(row.rate.as_deref());
    }

    fn usage(&mut self, usage: Option<&Usage>) {
        let Some(usage) = usage else { return self.number(NO_USAGE) };
        self.number(if usage.cache_write_1h == 0 { USAGE } else { USAGE_WITH_HOUR });
        for count in [usage.input, usage.cached_input, usage.cache_write, usage.output, usage.reasoning] {
            self.number(count);
        }
        self.number(u64::from(usage.estimated));
        if usage.cache_write_1h != 0 {
            self.number(usage.cache_write_1h);
        }
    }

    /// A text that never holds a tab or an end of line.
    fn plain(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(b'\t');
    }

    fn text(&mut self, text: &str) {
        if memchr::memchr3(b'\t', b'\n', b'\\', text.as_bytes()).is_none() {
            return self.plain(text);
        }
        for byte in text.bytes() {
            match byte {
                b'\t' => self.0.extend_from_slice(b"\\t"),
                b'\n' => self.0.extend_from_slice(b"\\n"),
                b'\\' => self.0.extend_from_slice(b"\\\\"),
                _ => self.0.push(byte),
            }
        }
        self.0.push(b'\t');
    }

    fn optional(&mut self, text: Option<&str>) {
        let Some(text) = text else { return self.0.push(b'\t') };
        self.0.push(b'=');
        self.text(text);
    }

    fn number(&mut self, number: u64) {
        if number < 10 {
            return self.0.extend_from_slice(&[b"0123456789"[(number % 10) as usize], b'\t']);
        }
        let mut digits = [0; 20];
        let mut first = digits.len();
        let mut rest = number;
        loop {
            first -= 1;
            digits[first] = b"0123456789"[(rest % 10) as usize];
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.0.extend_from_slice(&digits[first..]);
        self.0.push(b'\t');
    }

    fn signed(&mut self, number: i64) {
        if number < 0 {
            self.0.push(b'-');
        }
        self.number(number.unsigned_abs());
    }

    fn maybe(&mut self, number: Option<u64>) {
        match number {
            Some(number) => self.number(number),
            None => self.0.push(b'\t'),
        }
    }

    fn money(&mut self, amount: Option<Nanos>) {
        match amount {
            Some(Nanos(amount)) => self.signed(amount),
            None => self.0.push(b'\t'),
        }
    }
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
    use crate::types::RequestId;
    use proptest::prelude::*;

    type Numbers = (u64, u64, u64, i64, i64, u32);

    /// A settlement from some texts and numbers.
    fn settlement(texts: &[String; 6], numbers: &[Numbers], bits: u32) -> Settlement {
        let text = |at: usize| Arc::<str>::from(texts[at].as_str());
        let some = |bit: u32, at: usize| (bits >> bit & 1 == 1).then(|| text(at));
        let (a, b, c, d, e, n) = numbers.first().copied().unwrap_or_default();
        let usage = Usage {
            input: a,
            cached_input: b,
            cache_write: c,
            cache_write_1h: if n % 3 == 0 { 0 } else { c },
            output: b,
            reasoning: a,
            estimated: n % 2 == 0,
        };
        let request = Box::new(RequestRow {
            id: RequestId::new(),
            started_at: Timestamp(d),
            project: text(0),
            key_id: text(1),
            user: some(0, 2),
            session: some(1, 3),
            tags: numbers.iter().map(|_| (text(2), text(3))).collect(),
            endpoint: text(4),
            requested_model: text(5),
            provider: some(2, 4),
            model: some(3, 5),
            route: some(4, 0),
            prompt: some(5, 1),
            version: some(6, 0).map(|_| n),
            stream: n % 3 == 0,
            status: Status::ALL[(n % 4) as usize],
            http_status: (n % 600) as u16,
            error_code: some(7, 2),
            cache: CacheState::ALL[(n % 6) as usize],
            usage: some(8, 0).map(|_| usage),
            cost: some(9, 0).map(|_| Nanos(e)),
            unpriced: n % 5 == 0,
            saved: Nanos(d),
            latency_us: c,
            first_token_us: some(10, 0).map(|_| a),
            overhead_us: some(11, 0).map(|_| b),
            trace: some(12, 3),
        });
        let attempts = numbers.iter().map(|&(a, b, c, d, e, n)| AttemptRow {
            n,
            provider: text(4),
            model: text(5),
            status: Status::ALL[(n / 4 % 4) as usize],
            http_status: some(13, 0).map(|_| (a % 600) as u16),
            error_code: some(14, 1),
            retryable: n % 2 == 0,
            started_at: Timestamp(e),
            latency_us: a,
            first_token_us: some(15, 0).map(|_| b),
            usage: some(16, 0).map(|_| Usage { input: c, ..usage }),
            cost: some(17, 0).map(|_| Nanos(d)),
            rate: some(18, 2),
            reserved: Nanos(d),
        });
        Settlement { attempts: attempts.collect(), request, bodies: None }
    }

    proptest! {
        #[test]
        fn a_settlement_is_read_as_it_was_written(
            texts in prop::array::uniform6("[\\PC\t\n\\\\=]{0,12}"),
            numbers in prop::collection::vec(any::<Numbers>(), 0..4),
            bits: u32,
        ) {
            let written = settlement(&texts, &numbers, bits);
            let mut buffer = b"another\n".to_vec();
            write_settlement(&mut buffer, &written);
            prop_assert!(buffer.starts_with(b"another\n"));
            let (end, content) = buffer[8..].split_last().unwrap();
            prop_assert!(*end == b'\n' && !content.contains(&b'\n'));
            prop_assert_eq!(read(content), Some(Line::Settlement(Box::new(written.clone()))));
            for attempt in &written.attempts {
                buffer.clear();
                write_intent(&mut buffer, &Intent { request: &written.request, attempt });
                let Some(Line::Intent(request, sent)) = read(&buffer[..buffer.len() - 1]) else {
                    return Err(TestCaseError::fail("no intent"));
                };
                prop_assert_eq!((request.id, &request.tags, sent.n), (written.request.id, &written.request.tags, attempt.n));
                prop_assert_eq!((request.usage, sent.status), (None, Status::Unknown));
            }
        }

        #[test]
        fn damage_is_seen(bits: u32, at: usize, change in 1u8.., cut: usize) {
            let texts = ["a", "b\t", "", "d", "e", "f"].map(str::to_owned);
            let mut buffer = Vec::new();
            write_settlement(&mut buffer, &settlement(&texts, &[(1, 2, 3, 4, 5, 6)], bits));
            buffer.pop();
            prop_assert!(read(&buffer).is_some());
            prop_assert_eq!(read(&buffer[..cut % buffer.len()]), None);
            let at = at % buffer.len();
            buffer[at] ^= change;
            prop_assert_eq!(read(&buffer), None);
        }
    }
}
