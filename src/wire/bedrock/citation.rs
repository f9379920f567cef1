//! What a text cites, read and written.

use serde_json::{Value, json};

use crate::chat::{Citation, Unit};

/// Kinds of places in a document, and what they count.
const PLACES: [(&str, Unit); 3] =
    [("documentChar", Unit::Char), ("documentPage", Unit::Page), ("documentChunk", Unit::Block)];

/// Reads a citation; fields that are not there stay empty.
pub(super) fn read(value: &Value) -> Citation {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let quoted: String = value
        .get("sourceContent")
        .and_then(Value::as_array)
        .map(|parts| parts.iter().filter_map(|part| part.get("text")?.as_str()).collect())
        .unwrap_or_default();
    let place = PLACES.iter().find_map(|(name, unit)| Some((value.get("location")?.get(name)?, *unit)));
    let number = |name: &str| place.and_then(|(place, _)| place.get(name)?.as_u64());
    Citation {
        url: text("/location/web/url").or_else(|| text("/source").filter(|source| source.contains("://"))),
        title: text("/title"),
        quoted: (!quoted.is_empty()).then_some(quoted),
        document: number("documentIndex"),
        start: number("start"),
        end: number("end"),
        unit: place.map(|(_, unit)| unit),
    }
}

/// A citation of a document of the request; `None` where it is of something else.
pub(super) fn write(citation: &Citation) -> Option<Value> {
    let document = citation.document?;
    let (name, _) = PLACES.iter().find(|(_, unit)| Some(*unit) == citation.unit)?;
    let mut out = json!({
        "location": {*name: {"documentIndex": document, "start": citation.start?, "end": citation.end?}},
        "sourceContent": [{"text": citation.quoted.as_deref().unwrap_or_default()}],
    });
    if let Some(title) = &citation.title {
        out["title"] = title.as_str().into();
    }
    Some(out)
}
