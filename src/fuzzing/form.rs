//! Forms: our reader finds the parts that another reader finds, and unedited bytes stay as they came.

use bytes::Bytes;
use futures_util::{FutureExt, stream};
use multer::{Multipart, parse_boundary};

use crate::wire::form::{Form, is_form};

/// The content type where the first line is none of a form.
const KIND: &[u8] = b"multipart/form-data; boundary=xYz";

/// What an edit puts in.
const EDITED: &str = "edited";

/// Reads a form. The first line may be its content type.
pub(super) fn form(data: &[u8]) {
    let first = data.iter().position(|byte| *byte == b'\n').map(|end| (&data[..end], &data[end + 1..]));
    let (kind, body) = first.filter(|(line, _)| is_form(line)).unwrap_or((KIND, data));
    let bytes = Bytes::copy_from_slice(body);
    let Ok(form) = Form::read(bytes.clone(), kind) else { return };
    let values = values(&form);
    if let Some(theirs) = multers(&bytes, kind) {
        assert_eq!(values, theirs, "multer finds other parts");
    }
    for value in &values {
        let at = value.as_ptr().addr() - bytes.as_ptr().addr();
        assert_eq!(&bytes[at..at + value.len()], value, "a value is no part of what came");
    }
    let _fields = form.fields();
    assert_eq!(form.pieces().count(), 4 * values.len());
    edits(&form, &bytes, kind);
}

fn values(form: &Form) -> Vec<Bytes> {
    form.parts().map(|part| form.value(part)).collect()
}

/// The values that multer finds; `None` where it cannot read the form.
fn multers(bytes: &Bytes, kind: &[u8]) -> Option<Vec<Bytes>> {
    let boundary = parse_boundary(std::str::from_utf8(kind).ok()?).ok()?;
    let pieces = stream::iter([Ok::<_, std::io::Error>(bytes.clone())]);
    let mut parts = Multipart::new(pieces, boundary);
    let mut found = Vec::new();
    while let Some(field) = parts.next_field().now_or_never()?.ok()? {
        found.push(field.bytes().now_or_never()?.ok()?);
    }
    Some(found)
}

/// Edits each part; all others stay.
fn edits(form: &Form, bytes: &Bytes, kind: &[u8]) {
    let mut seen: Vec<&str> = Vec::new();
    for (n, part) in form.parts().enumerate() {
        // Of parts of one name, the first is edited.
        if seen.contains(&part.name.as_str()) {
            continue;
        }
        seen.push(&part.name);
        let value = form.value(part);
        if let Ok(same) = std::str::from_utf8(&value) {
            assert_eq!(form.with(&part.name, same), bytes);
        }
        let edited = Form::read(form.with(&part.name, EDITED), kind);
        let mut expected = values(form);
        expected[n] = Bytes::from_static(EDITED.as_bytes());
        assert_eq!(edited.ok().as_ref().map(values), Some(expected));
    }
}
