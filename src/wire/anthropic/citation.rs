//! What a text cites, read and written.

use serde_json::{Value, json};

use crate::chat::{Citation, Unit};

/// Where a kind of citation has its bounds, and what they count.
const KINDS: [(&str, Unit, &str, &str); 3] = [
    ("char_location", Unit::Char, "start_char_index", "end_char_index"),
    ("page_location", Unit::Page, "start_page_number", "end_page_number"),
    ("content_block_location", Unit::Block, "start_block_index", "end_block_index"),
];

/// Reads a citation; fields that are not there stay empty.
pub(super) fn read(value: &Value) -> Citation {
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let number = |name: &str| value.get(name).and_then(Value::as_u64);
    let kind = value.get("type").and_then(Value::as_str).unwrap_or_default();
    let bounds = KINDS.iter().find(|(name, ..)| *name == kind);
    Citation {
        url: text("url").or_else(|| text("source")),
        title: text("document_title").or_else(|| text("title")),
        quoted: text("cited_text"),
        document: number("document_index"),
        start: bounds.and_then(|(_, _, start, _)| number(start)),
        end: bounds.and_then(|(.., end)| number(end)),
        unit: bounds.map(|(_, unit, ..)| *unit),
    }
}

/// A citation of a document of the request; `None` where it is of something else.
pub(super) fn of_document(citation: &Citation) -> Option<Value> {
    let document = citation.document?;
    let (kind, _, start, end) = KINDS.iter().find(|(_, unit, ..)| Some(*unit) == citation.unit)?;
    Some(json!({
        "type": kind, "cited_text": citation.quoted.as_deref().unwrap_or_default(), "document_index": document,
        "document_title": citation.title, *start: citation.start?, *end: citation.end?,
    }))
}

/// A citation for a caller: of a document, or else of an address.
pub(super) fn write(citation: &Citation) -> Option<Value> {
    of_document(citation).or_else(|| {
        let url = citation.url.as_deref()?;
        Some(json!({
            "type": "web_search_result_location", "url": url, "title": citation.title,
            "cited_text": citation.quoted.as_deref().unwrap_or_default(), "encrypted_index": "",
        }))
    })
}
