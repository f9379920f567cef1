//! JSON: our reader and serde_json agree on which texts are objects, and unedited bytes stay as they came.

use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::wire::exact_numbers;
use crate::wire::json::{
    Edits, MAX_DEPTH, MAX_FIELDS, MAX_GROUPS, Object, ObjectError, fields, items, text, unescaped,
};

/// What we refuse although serde_json takes it, each with its reason.
fn is_stricter(text: &str, error: &ObjectError) -> bool {
    match error {
        // Readers behind us choose the first or the last.
        ObjectError::Twice(_) => true,
        // Readers behind us recurse.
        ObjectError::Depth => text.bytes().filter(|byte| matches!(byte, b'{' | b'[')).count() > MAX_DEPTH,
        // Half a surrogate pair stands for no character.
        ObjectError::Surrogate(at) => text[*at..].starts_with("\\u"),
        // Names are compared without unescaping, and their number is bounded.
        ObjectError::Syntax(_) => text.contains('\\') || text.matches(':').count() > MAX_FIELDS,
        // What is read is bounded.
        ObjectError::Values | ObjectError::Numbers(_) | ObjectError::Groups => text.len() > MAX_GROUPS,
        ObjectError::Utf8(_) => false,
    }
}

/// Reads an object, and compares with serde_json.
pub(super) fn object(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    let read = Object::read(bytes.clone());
    let answer = Object::read_answer(bytes.clone());
    let Ok(text) = std::str::from_utf8(data) else {
        assert!(matches!(read, Err(ObjectError::Utf8(_))) && matches!(answer, Err(ObjectError::Utf8(_))));
        return;
    };
    let is_object = serde_json::from_str::<&RawValue>(text).is_ok_and(|raw| raw.get().starts_with('{'));
    match &read {
        Ok(_) => assert!(is_object && answer.is_ok(), "serde_json refuses {text:?}"),
        Err(error) => assert!(!is_object || is_stricter(text, error), "we refuse {text:?}: {error}"),
    }
    if let Ok(object) = answer {
        assert!(is_object && *object.bytes() == bytes);
        object.iter().for_each(|(_, value)| value_of(value));
    }
    if let Ok(object) = read {
        edits(&object);
    }
}

/// Compares the parts of a valid value, as they are found without building it, with what serde_json builds.
fn value_of(json: &str) {
    let Ok(value) = serde_json::from_str::<Value>(json) else {
        // Deeper than it recurses, half a surrogate pair, or a number beyond any float.
        assert!(serde_json::from_str::<&RawValue>(json).is_ok(), "{json:?}");
        return;
    };
    assert_eq!(text(json).as_deref(), value.as_str());
    match value {
        Value::Array(list) => {
            let found: Vec<Value> = items(json).filter_map(|item| serde_json::from_str(item).ok()).collect();
            assert_eq!(found, list, "{json:?}");
        }
        Value::Object(object) => {
            let found = fields(json)
                .filter_map(|(name, value)| Some((unescaped(name).into_owned(), serde_json::from_str(value).ok()?)));
            assert_eq!(found.collect::<Map<_, _>>(), object, "{json:?}");
        }
        _ => {}
    }
}

/// Edits a field that stands there and one that does not; all others stay.
fn edits(object: &Object) {
    assert_eq!(object.edited(&Edits::default()).as_ptr(), object.bytes().as_ptr());
    let first = object.iter().next().map(|(name, _)| name.to_owned());
    for (name, value) in [(first.as_deref(), Some("[1]")), (Some("a new one"), Some("{}")), (first.as_deref(), None)] {
        let Some(name) = name else { continue };
        let mut edits = Edits::default();
        match value {
            Some(value) => edits.set(name, value.to_owned()),
            None => edits.remove(name),
        }
        let edited = Object::read(object.edited(&edits));
        assert!(edited.is_ok(), "{edited:?} after an edit of {object:?}");
        let Ok(edited) = edited else { continue };
        assert_eq!(edited.get(name), value);
        let others = |object: &Object| {
            object
                .iter()
                .filter(|(other, _)| *other != name)
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect::<Vec<_>>()
        };
        assert_eq!(others(&edited), others(object));
    }
}

/// Reads JSON with exact numbers, writes it, and finds the same numbers.
pub(super) fn exact_numbers(data: &[u8]) {
    let Ok(value) = exact_numbers::read::<Value>(data) else {
        return;
    };
    let written = exact_numbers::write(&value);
    // Of a name that stands twice, the last value counts.
    assert!(numbers(written.as_bytes()).len() <= numbers(data).len());
    let again = exact_numbers::read::<Value>(written.as_bytes());
    assert_eq!(again.ok().as_ref(), Some(&value), "{written}");
}

/// The numbers that stand in valid JSON.
fn numbers(json: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        let length = match byte {
            b'"' => {
                let mut end = at + 1;
                while json.get(end).is_some_and(|byte| *byte != b'"') {
                    end += if json[end] == b'\\' { 2 } else { 1 };
                }
                end + 1 - at
            }
            b'-' | b'0'..=b'9' => {
                let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
                let length = json[at..].iter().take_while(is_part).count();
                found.push(&json[at..at + length]);
                length
            }
            _ => 1,
        };
        at += length;
    }
    found
}
