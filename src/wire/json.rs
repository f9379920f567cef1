//! A JSON object read once: its bytes and the place of each field in them, so that unchanged fields are passed on byte by byte.

mod scan;

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use bytestring::ByteString;
use serde_json::value::RawValue;

use self::scan::{Checks, ScanError};
use crate::chat::{Code, Error};

pub use self::scan::{fields, items, string_end, text, unescaped};

/// The deepest nesting that is read.
pub const MAX_DEPTH: usize = 128;

/// The most values of a request that are read, at all depths, and as many numbers beside them. Each takes tens of bytes once it
/// is read, whatever it takes in the body.
pub const MAX_VALUES: usize = 250_000;

/// The most of them that are objects and lists, as messages, their parts, and the nodes of a schema are: what is made of one
/// takes hundreds of bytes.
pub const MAX_GROUPS: usize = 50_000;

/// The most numbers where they may be tokens: more than OpenAI's embeddings take.
pub const MAX_TOKENS: usize = 1_000_000;

/// The most top-level fields that are read.
pub const MAX_FIELDS: usize = 256;

/// Why bytes are no object that is read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
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
    /// Too many values.
    #[error("the body has more than {MAX_VALUES} values")]
    Values,
    /// More numbers than so many.
    #[error("the body has more than {0} numbers")]
    Numbers(usize),
    /// Too many objects and lists.
    #[error("the body has more than {MAX_GROUPS} objects and lists, such as messages, parts, and nodes of schemas")]
    Groups,
    /// A field that stands twice.
    #[error("the field `{0}` stands twice")]
    Twice(String),
}

impl From<ObjectError> for Error {
    fn from(error: ObjectError) -> Self {
        let message = error.to_string();
        match error {
            ObjectError::Twice(name) => Self::field(name, message),
            _ => Self::new(Code::InvalidRequest, message),
        }
    }
}

/// An object's bytes and where its fields stand in them.
#[derive(Clone, Debug)]
pub struct Object {
    text: ByteString,
    fields: Vec<Field>,
}

#[derive(Clone, Debug)]
struct Field {
    name: Range<usize>,
    value: Range<usize>,
}

impl Object {
    /// Reads the top level of `bytes`; values below are checked for their grammar only.
    ///
    /// # Errors
    /// As [`ObjectError`] lists.
    pub fn read(bytes: Bytes) -> Result<Self, ObjectError> {
        Self::read_within(bytes, MAX_VALUES)
    }

    /// The same of a body that may have many tokens.
    ///
    /// # Errors
    /// As [`ObjectError`] lists.
    pub fn read_tokens(bytes: Bytes) -> Result<Self, ObjectError> {
        Self::read_within(bytes, MAX_TOKENS)
    }

    fn read_within(bytes: Bytes, numbers: usize) -> Result<Self, ObjectError> {
        let (values, groups) = (MAX_VALUES, MAX_GROUPS);
        let object = Self::scan(bytes, Checks { depth: MAX_DEPTH, surrogates: true, values, numbers, groups })?;
        for (n, field) in object.fields.iter().enumerate() {
            let name = object.part(&field.name);
            if object.fields[..n].iter().any(|earlier| object.part(&earlier.name) == name) {
                return Err(ObjectError::Twice(name.chars().take(80).collect()));
            }
        }
        Ok(object)
    }

    /// Reads the top level of an answer. Its grammar is checked, but neither its depth nor whether a field stands twice: an
    /// answer is not written anew, and no reader descends into it.
    ///
    /// # Errors
    /// Where it is no JSON object.
    pub fn read_answer(bytes: Bytes) -> Result<Self, ObjectError> {
        Self::scan(bytes, Checks::of_answers())
    }

    fn scan(bytes: Bytes, checks: Checks) -> Result<Self, ObjectError> {
        let text = ByteString::try_from(bytes).map_err(|error| ObjectError::Utf8(error.valid_up_to()))?;
        let mut fields = Vec::with_capacity(12);
        let mut is_too_wide = false;
        let read = scan::object(&text, checks, |name, value| {
            is_too_wide = fields.len() == MAX_FIELDS;
            fields.push(Field { name, value });
            if is_too_wide { Err(ScanError::Syntax) } else { Ok(()) }
        });
        match read {
            Ok(()) => Ok(Self { text, fields }),
            Err(_) if is_too_wide => Err(too_many()),
            Err(ScanError::Numbers) => Err(ObjectError::Numbers(checks.numbers)),
            Err(error) => Err(object_error(error, &text)),
        }
    }

    /// The bytes as they came.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        self.text.as_bytes()
    }

    /// The text of a field's value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let named = |field: &&Field| self.part(&field.name) == name;
        self.fields.iter().find(named).map(|field| self.part(&field.value))
    }

    /// Every field's name and the text of its value, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|field| (self.part(&field.name), self.part(&field.value)))
    }

    /// The object's bytes with `edits` made; every other byte stays.
    #[must_use]
    pub fn edited(&self, edits: &Edits) -> Bytes {
        match self.way_of(edits) {
            Way::Same => self.bytes().clone(),
            Way::Rebuilt => self.rebuilt(edits, |_, _| {}),
            Way::Spliced => self.spliced(edits, |_, _| {}),
        }
    }

    /// The object with `edits` made, without reading its bytes again: the names and values of `edits` are JSON of our own
    /// making, no name stands in them twice, and no value is nested deeper than [`MAX_DEPTH`] allows.
    ///
    /// # Errors
    /// Where it has too many fields then.
    pub fn with(&self, edits: &Edits) -> Result<Self, ObjectError> {
        let mut fields = Vec::with_capacity(self.fields.len() + edits.changes.len());
        let found = |name, value| fields.push(Field { name, value });
        let bytes = match self.way_of(edits) {
            Way::Same => return Ok(self.clone()),
            Way::Rebuilt => self.rebuilt(edits, found),
            Way::Spliced => self.spliced(edits, found),
        };
        if fields.len() > MAX_FIELDS {
            return Err(too_many());
        }
        let text = ByteString::try_from(bytes).map_err(|error| ObjectError::Utf8(error.valid_up_to()))?;
        Ok(Self { text, fields })
    }

    fn way_of(&self, edits: &Edits) -> Way {
        if edits.changes.iter().all(|(name, change)| self.stands_already(name, change)) {
            return Way::Same;
        }
        let is_taken_out = |(name, change): &(String, Option<String>)| change.is_none() && self.get(name).is_some();
        if edits.changes.iter().any(is_taken_out) { Way::Rebuilt } else { Way::Spliced }
    }

    fn stands_already(&self, name: &str, change: &Option<String>) -> bool {
        self.get(name) == change.as_deref()
    }

    fn spliced(&self, edits: &Edits, mut found: impl FnMut(Range<usize>, Range<usize>)) -> Bytes {
        let bytes = self.bytes();
        let mut out = BytesMut::with_capacity(bytes.len() + edits.size());
        let mut copied = 0;
        for Field { name, value } in &self.fields {
            // Where it is to stand: what lies before it, since the last copied byte, is copied as it is.
            let (behind, ahead) = (copied, out.len());
            let moved = |range: &Range<usize>| range.start - behind + ahead..range.end - behind + ahead;
            let Some(edit) = edits.value_of(self.part(name)) else {
                found(moved(name), moved(value));
                continue;
            };
            let name = moved(name);
            out.put_slice(&bytes[copied..value.start]);
            found(name, out.len()..out.len() + edit.len());
            out.put_slice(edit.as_bytes());
            copied = value.end;
        }
        let close = memchr::memrchr(b'}', bytes).unwrap_or(bytes.len());
        let end = bytes[copied..close].trim_ascii_end().len() + copied;
        out.put_slice(&bytes[copied..end]);
        self.append_new(edits, self.fields.is_empty(), &mut out, &mut found);
        out.put_slice(&bytes[end..]);
        out.freeze()
    }

    fn rebuilt(&self, edits: &Edits, mut found: impl FnMut(Range<usize>, Range<usize>)) -> Bytes {
        let mut out = BytesMut::with_capacity(self.text.len() + edits.size());
        out.put_u8(b'{');
        let mut first = true;
        for (name, value) in self.iter() {
            let value = edits.find(name).unwrap_or(Some(value));
            if let Some(value) = value {
                put_field(&mut out, std::mem::take(&mut first), (name, value), &mut found);
            }
        }
        self.append_new(edits, first, &mut out, &mut found);
        out.put_u8(b'}');
        out.freeze()
    }

    /// Appends the fields that `edits` add.
    fn append_new(
        &self,
        edits: &Edits,
        mut first: bool,
        out: &mut BytesMut,
        found: &mut impl FnMut(Range<usize>, Range<usize>),
    ) {
        for (name, value) in edits.changes.iter().filter(|(name, _)| self.get(name).is_none()) {
            if let Some(value) = value {
                put_field(out, std::mem::take(&mut first), (name, value), found);
            }
        }
    }

    fn part(&self, range: &Range<usize>) -> &str {
        self.text.get(range.clone()).unwrap_or_default()
    }
}

/// How edits are made.
enum Way {
    /// They change nothing.
    Same,
    /// A field goes out, so the object is put together anew.
    Rebuilt,
    /// Values are put at their places, and new fields behind all.
    Spliced,
}

/// Puts a field, and tells where its name and its value stand.
fn put_field(
    out: &mut BytesMut,
    first: bool,
    (name, value): (&str, &str),
    found: &mut impl FnMut(Range<usize>, Range<usize>),
) {
    out.put_slice(if first { b"\"" } else { b",\"" });
    let name_at = out.len();
    out.put_slice(name.as_bytes());
    out.put_slice(b"\":");
    let value_at = out.len();
    out.put_slice(value.as_bytes());
    found(name_at..name_at + name.len(), value_at..out.len());
}

fn too_many() -> ObjectError {
    ObjectError::Syntax(format!("more than {MAX_FIELDS} fields"))
}

/// Changes to an object's top-level fields. Names are plain words that need no escaping.
#[derive(Clone, Debug, Default)]
pub struct Edits {
    changes: Vec<(String, Option<String>)>,
}

impl Edits {
    /// Sets the value of `name` to this JSON text: at the field's place, or at the end where the object has no such field.
    pub fn set(&mut self, name: &str, json: String) {
        self.changes.push((name.to_owned(), Some(json)));
    }

    /// Takes `name` out.
    pub fn remove(&mut self, name: &str) {
        self.changes.push((name.to_owned(), None));
    }

    /// Whether they change nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
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
    // Writing to memory cannot fail.
    serde_json::to_string(text).unwrap_or_default()
}

/// How deep a value is nested: 0 where it is neither a list nor an object.
#[must_use]
pub fn depth(value: &serde_json::Value) -> usize {
    match value {
        serde_json::Value::Array(list) => 1 + list.iter().map(depth).max().unwrap_or(0),
        serde_json::Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// What is wrong with a text; serde_json says where its syntax is.
fn object_error(error: ScanError, text: &str) -> ObjectError {
    match error {
        ScanError::Depth => ObjectError::Depth,
        ScanError::Values => ObjectError::Values,
        ScanError::Numbers => ObjectError::Numbers(MAX_VALUES),
        ScanError::Groups => ObjectError::Groups,
        ScanError::Surrogate(at) => ObjectError::Surrogate(at),
        ScanError::EscapedName => ObjectError::Syntax("field names are written without escapes here".to_owned()),
        ScanError::Syntax => ObjectError::Syntax(match serde_json::from_str::<&RawValue>(text) {
            Err(error) => error.to_string(),
            Ok(_) => "expected an object".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn object(text: &str) -> Object {
        Object::read(Bytes::copy_from_slice(text.as_bytes())).unwrap()
    }

    fn refused(text: &[u8]) -> ObjectError {
        Object::read(Bytes::copy_from_slice(text)).unwrap_err()
    }

    #[test]
    fn bytes_that_are_no_object_are_refused_with_the_reason() {
        assert_eq!(refused(b"{\"a\":\"\xff\"}"), ObjectError::Utf8(6));
        assert_eq!(refused(br#"{"a":"\ud800"}"#), ObjectError::Surrogate(6));
        assert_eq!(refused(br#"{"a":"\udc00\ud800"}"#), ObjectError::Surrogate(6));
        assert_eq!(refused(br#"{"a":1,"a":2}"#), ObjectError::Twice("a".to_owned()));
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert_eq!(refused(deep.as_bytes()), ObjectError::Depth);
        for text in ["", "[]", "null", "{", "{}x", "{\"a\":01}", "{\"a\":\"\u{0}\"}", r#"{"mod\u0065l":1}"#] {
            assert!(matches!(refused(text.as_bytes()), ObjectError::Syntax(_)), "{text}");
        }
        let wide: Vec<String> = (0..=MAX_FIELDS).map(|n| format!("\"f{n}\":0")).collect();
        assert!(matches!(refused(format!("{{{}}}", wide.join(",")).as_bytes()), ObjectError::Syntax(_)));
    }

    #[test]
    fn values_are_bounded_wherever_they_stand_and_those_of_answers_are_not() {
        let list = |item: &str, count: usize| format!("{{\"a\":{{\"b\":[{}]}}}}", vec![item; count].join(","));
        // Two objects and a list stand around them.
        assert!(Object::read(list("null", MAX_VALUES - 2).into()).is_ok());
        for item in ["\"\"", "null", "true"] {
            assert_eq!(refused(list(item, MAX_VALUES - 1).as_bytes()), ObjectError::Values, "{item}");
        }
        assert!(Object::read(list("{}", MAX_GROUPS - 2).into()).is_ok());
        for item in ["{}", "[]", "{\"text\":\"\"}"] {
            assert_eq!(refused(list(item, MAX_GROUPS - 1).as_bytes()), ObjectError::Groups, "{item}");
        }
        let tokens = list("0", MAX_VALUES + 1);
        assert_eq!(refused(tokens.as_bytes()), ObjectError::Numbers(MAX_VALUES));
        assert!(Object::read_tokens(tokens.clone().into()).is_ok());
        assert!(
            Object::read_answer(tokens.into()).is_ok() && Object::read_answer(list("{}", MAX_GROUPS).into()).is_ok()
        );
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
    fn an_object_is_no_wider_with_edits_than_it_may_be() {
        let fields: Vec<String> = (0..MAX_FIELDS).map(|n| format!("\"f{n}\":0")).collect();
        let object = object(&format!("{{{}}}", fields.join(",")));
        let mut edits = Edits::default();
        edits.set("f0", "1".to_owned());
        assert_eq!(object.with(&edits).unwrap().get("f0"), Some("1"));
        edits.set("more", "1".to_owned());
        let wide = Object::read(object.edited(&edits)).unwrap_err();
        assert_eq!(object.with(&edits).unwrap_err(), wide);
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

        #[test]
        fn an_object_with_edits_has_its_fields_where_they_are_read(
            fields in proptest::collection::btree_map("[a-z]{1,2}", ".{0,9}", 0..6),
            edits in proptest::collection::btree_map("[a-z]{1,2}", proptest::option::of(".{0,9}"), 0..6),
            is_spaced: bool,
        ) {
            let before = if is_spaced { serde_json::to_vec_pretty(&fields) } else { serde_json::to_vec(&fields) };
            let object = Object::read(before.unwrap().into()).unwrap();
            let mut changes = Edits::default();
            for (name, value) in &edits {
                match value {
                    Some(text) => changes.set(name, quoted(text)),
                    None => changes.remove(name),
                }
            }
            let with = object.with(&changes).unwrap();
            prop_assert_eq!(with.bytes(), &object.edited(&changes));
            let read = Object::read(with.bytes().clone()).unwrap();
            prop_assert!(with.iter().eq(read.iter()), "{:?} and {:?}", with, read);
        }
    }
}
