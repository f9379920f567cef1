//! A JSON object read once: where its fields stand in the bytes it came as, so that what nobody changes is passed on as it is.

use std::fmt;
use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use serde::Deserializer as _;
use serde::de::{self, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The deepest nesting that is read.
pub const MAX_DEPTH: usize = 128;

/// The most top-level fields that are read.
pub const MAX_FIELDS: usize = 256;

/// Why bytes are not such an object.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Not UTF-8.
    #[error("the body is not valid UTF-8 (at byte {0})")]
    Utf8(usize),
    /// Not JSON, or not an object.
    #[error("the body is not a valid JSON object: {0}")]
    Syntax(String),
    /// Nested too deep.
    #[error("the body is nested deeper than {MAX_DEPTH} levels")]
    Depth,
    /// An escape such as `\ud800` without its other half.
    #[error("a string has half a surrogate pair (at byte {0})")]
    Surrogate(usize),
    /// A field that stands twice.
    #[error("the field `{0}` stands twice")]
    Twice(String),
}

/// An object's bytes and where its fields stand in them.
#[derive(Clone, Debug)]
pub struct Object {
    bytes: Bytes,
    fields: Vec<Field>,
}

#[derive(Clone, Debug)]
struct Field {
    name: Range<usize>,
    value: Range<usize>,
}

impl Object {
    /// Reads the top level of `bytes`; what is below is checked for its grammar only.
    ///
    /// # Errors
    /// As the variants of [`Flaw`] tell.
    pub fn read(bytes: Bytes) -> Result<Self, Flaw> {
        let object = Self::read_answer(bytes)?;
        check_nesting(std::str::from_utf8(&object.bytes).unwrap_or_default())?;
        for (n, field) in object.fields.iter().enumerate() {
            let name = &object.bytes[field.name.clone()];
            if object.fields[..n].iter().any(|earlier| object.bytes[earlier.name.clone()] == *name) {
                return Err(Flaw::Twice(object.text(&field.name).chars().take(80).collect()));
            }
        }
        Ok(object)
    }

    /// Reads the top level of an answer: its grammar is checked, but neither how deep it is nor whether a field stands
    /// twice, since nothing of it is written anew and nobody reads it by descending into it.
    ///
    /// # Errors
    /// Where it is no JSON object.
    pub fn read_answer(bytes: Bytes) -> Result<Self, Flaw> {
        let text = std::str::from_utf8(&bytes).map_err(|error| Flaw::Utf8(error.valid_up_to()))?;
        let mut reader = serde_json::Deserializer::from_str(text);
        let fields = reader.deserialize_map(Fields { text }).map_err(|error| syntax(&error))?;
        reader.end().map_err(|error| syntax(&error))?;
        Ok(Self { bytes, fields })
    }

    /// The bytes as they came.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The text of a field's value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let named = |field: &&Field| self.bytes[field.name.clone()] == *name.as_bytes();
        self.fields.iter().find(named).map(|field| self.text(&field.value))
    }

    /// Every field's name and the text of its value, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|field| (self.text(&field.name), self.text(&field.value)))
    }

    /// The object's bytes with `edits` made; every other byte stays.
    #[must_use]
    pub fn edited(&self, edits: &Edits) -> Bytes {
        if edits.changes.iter().all(|(name, change)| self.stands_already(name, change)) {
            return self.bytes.clone();
        }
        if edits.changes.iter().any(|(name, change)| change.is_none() && self.get(name).is_some()) {
            return self.rebuilt(edits);
        }
        self.spliced(edits)
    }

    fn stands_already(&self, name: &str, change: &Option<String>) -> bool {
        self.get(name) == change.as_deref()
    }

    fn spliced(&self, edits: &Edits) -> Bytes {
        let mut out = BytesMut::with_capacity(self.bytes.len() + edits.size());
        let mut copied = 0;
        for field in &self.fields {
            if let Some(value) = edits.value_of(self.text(&field.name)) {
                out.put_slice(&self.bytes[copied..field.value.start]);
                out.put_slice(value.as_bytes());
                copied = field.value.end;
            }
        }
        let close = memchr::memrchr(b'}', &self.bytes).unwrap_or(self.bytes.len());
        let end = self.bytes[copied..close].trim_ascii_end().len() + copied;
        out.put_slice(&self.bytes[copied..end]);
        let mut first = self.fields.is_empty();
        for (name, value) in edits.changes.iter().filter(|(name, _)| self.get(name).is_none()) {
            if let Some(value) = value {
                put_field(&mut out, &mut first, name, value);
            }
        }
        out.put_slice(&self.bytes[end..]);
        out.freeze()
    }

    fn rebuilt(&self, edits: &Edits) -> Bytes {
        let mut out = BytesMut::with_capacity(self.bytes.len() + edits.size());
        out.put_u8(b'{');
        let mut first = true;
        for (name, value) in self.iter() {
            match edits.find(name) {
                Some(Some(value)) => put_field(&mut out, &mut first, name, value),
                Some(None) => {}
                None => put_field(&mut out, &mut first, name, value),
            }
        }
        for (name, value) in edits.changes.iter().filter(|(name, _)| self.get(name).is_none()) {
            if let Some(value) = value {
                put_field(&mut out, &mut first, name, value);
            }
        }
        out.put_u8(b'}');
        out.freeze()
    }

    fn text(&self, range: &Range<usize>) -> &str {
        std::str::from_utf8(&self.bytes[range.clone()]).unwrap_or_default()
    }
}

fn put_field(out: &mut BytesMut, first: &mut bool, name: &str, value: &str) {
    if !std::mem::take(first) {
        out.put_u8(b',');
    }
    out.put_u8(b'"');
    out.put_slice(name.as_bytes());
    out.put_slice(b"\":");
    out.put_slice(value.as_bytes());
}

/// Changes to an object's top-level fields. Names are plain words that need no escaping.
#[derive(Clone, Debug, Default)]
pub struct Edits {
    changes: Vec<(String, Option<String>)>,
}

impl Edits {
    /// Gives `name` this JSON text as its value, at its place or at the end.
    pub fn set(&mut self, name: &str, json: String) {
        self.changes.push((name.to_owned(), Some(json)));
    }

    /// Takes `name` out.
    pub fn remove(&mut self, name: &str) {
        self.changes.push((name.to_owned(), None));
    }

    fn find(&self, name: &str) -> Option<Option<&str>> {
        self.changes.iter().find(|(changed, _)| changed == name).map(|(_, value)| value.as_deref())
    }

    fn value_of(&self, name: &str) -> Option<&str> {
        self.find(name).flatten()
    }

    fn size(&self) -> usize {
        self.changes.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, String::len) + 4).sum()
    }
}

/// A text as a JSON string.
#[must_use]
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn syntax(error: &serde_json::Error) -> Flaw {
    let text = error.to_string();
    if text.contains("expected a borrowed string") {
        return Flaw::Syntax("field names are written without escapes here".to_owned());
    }
    Flaw::Syntax(text)
}

/// One pass over a valid document: how deep it is, and whether every escaped surrogate has its other half.
fn check_nesting(text: &str) -> Result<(), Flaw> {
    let bytes = text.as_bytes();
    let mut depth = 0usize;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(Flaw::Depth);
                }
            }
            b'}' | b']' => depth -= 1,
            b'"' => at = string_end(bytes, at + 1)?,
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

/// The place of the quote that closes the string whose text begins at `at`.
fn string_end(bytes: &[u8], mut at: usize) -> Result<usize, Flaw> {
    while let Some(found) = memchr::memchr2(b'"', b'\\', &bytes[at..]) {
        at += found;
        if bytes[at] == b'"' {
            return Ok(at);
        }
        if bytes.get(at + 1) != Some(&b'u') {
            at += 2;
            continue;
        }
        match escape(bytes, at) {
            0xD800..=0xDBFF if matches!(escape(bytes, at + 6), 0xDC00..=0xDFFF) => at += 12,
            0xD800..=0xDFFF => return Err(Flaw::Surrogate(at)),
            _ => at += 6,
        }
    }
    Ok(bytes.len())
}

/// The unit that `\uXXXX` at `at` stands for; 0 where there is no such escape.
fn escape(bytes: &[u8], at: usize) -> u32 {
    let Some([b'\\', b'u', digits @ ..]) = bytes.get(at..at + 6) else { return 0 };
    std::str::from_utf8(digits).ok().and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or(0)
}

struct Fields<'a> {
    text: &'a str,
}

impl Fields<'_> {
    fn range(&self, part: &str) -> Range<usize> {
        let start = part.as_ptr().addr() - self.text.as_ptr().addr();
        start..start + part.len()
    }
}

impl<'de> Visitor<'de> for Fields<'de> {
    type Value = Vec<Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<Field>, A::Error> {
        let mut fields = Vec::with_capacity(12);
        while let Some((name, value)) = map.next_entry::<&'de str, &'de RawValue>()? {
            if fields.len() == MAX_FIELDS {
                return Err(de::Error::custom(format_args!("more than {MAX_FIELDS} fields")));
            }
            fields.push(Field { name: self.range(name), value: self.range(value.get()) });
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn object(text: &str) -> Object {
        Object::read(Bytes::copy_from_slice(text.as_bytes())).unwrap()
    }

    fn flaw(text: &[u8]) -> Flaw {
        Object::read(Bytes::copy_from_slice(text)).unwrap_err()
    }

    #[test]
    fn every_flaw_is_told() {
        assert_eq!(flaw(b"{\"a\":\"\xff\"}"), Flaw::Utf8(6));
        assert_eq!(flaw(br#"{"a":"\ud800"}"#), Flaw::Surrogate(6));
        assert_eq!(flaw(br#"{"a":"\udc00\ud800"}"#), Flaw::Surrogate(6));
        assert_eq!(flaw(br#"{"a":1,"a":2}"#), Flaw::Twice("a".to_owned()));
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert_eq!(flaw(deep.as_bytes()), Flaw::Depth);
        for text in ["", "[]", "null", "{", "{}x", "{\"a\":01}", "{\"a\":\"\u{0}\"}", r#"{"mod\u0065l":1}"#] {
            assert!(matches!(flaw(text.as_bytes()), Flaw::Syntax(_)), "{text}");
        }
        let wide: Vec<String> = (0..=MAX_FIELDS).map(|n| format!("\"f{n}\":0")).collect();
        assert!(matches!(flaw(format!("{{{}}}", wide.join(",")).as_bytes()), Flaw::Syntax(_)));
    }

    #[test]
    fn only_what_is_edited_changes() {
        let object = object("{ \"model\" : \"a\",\n \"x\": [1, 2 ] }\n");
        let mut edits = Edits::default();
        edits.set("model", "\"b\"".to_owned());
        assert_eq!(object.edited(&edits), "{ \"model\" : \"b\",\n \"x\": [1, 2 ] }\n");
        edits.set("y", "true".to_owned());
        assert_eq!(object.edited(&edits), "{ \"model\" : \"b\",\n \"x\": [1, 2 ],\"y\":true }\n");
        edits.remove("x");
        assert_eq!(object.edited(&edits), r#"{"model":"b","y":true}"#);
    }

    #[test]
    fn an_edit_that_changes_nothing_copies_nothing() {
        let object = object(r#"{"model":"a"}"#);
        let mut edits = Edits::default();
        edits.set("model", "\"a\"".to_owned());
        edits.remove("absent");
        assert_eq!(object.edited(&edits).as_ptr(), object.bytes().as_ptr());
    }

    #[test]
    fn an_empty_object_takes_fields() {
        let mut edits = Edits::default();
        edits.set("a", "1".to_owned());
        edits.set("b", "2".to_owned());
        assert_eq!(object("{ }").edited(&edits), "{\"a\":1,\"b\":2 }");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ignored = Object::read(bytes.into());
        }

        #[test]
        fn an_edited_object_reads_back_as_edited(
            fields in proptest::collection::btree_map("[a-z]{1,3}", ".{0,9}", 0..6),
            name in "[a-z]{1,3}", value in proptest::option::of(".{0,9}"),
        ) {
            let before: serde_json::Map<_, _> = fields.into_iter().map(|(name, text)| (name, text.into())).collect();
            let object = Object::read(serde_json::to_vec_pretty(&before).unwrap().into()).unwrap();
            let mut edits = Edits::default();
            let mut expected = before;
            match value {
                Some(text) => { edits.set(&name, quoted(&text)); expected.insert(name, text.into()); }
                None => { edits.remove(&name); expected.shift_remove(&name); }
            }
            let after: serde_json::Map<_, _> = serde_json::from_slice(&object.edited(&edits)).unwrap();
            prop_assert_eq!(after, expected);
        }
    }
}
