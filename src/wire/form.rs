//! A form of parts (`multipart/form-data`, RFC 7578), read once: the caller's bytes and the place of each part in them, so
//! that unchanged parts are passed on byte by byte.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Map, Value};

use crate::chat::{Code, Error};

/// The most parts that are read.
const MAX_PARTS: usize = 256;

/// The longest head of a part, in bytes.
const MAX_HEAD: usize = 8 << 10;

/// The most headers of a part.
const MAX_HEADERS: usize = 16;

/// The longest value of a part that is no file, in bytes.
const MAX_TEXT: usize = 4 << 20;

/// A form's bytes and where its parts stand in them.
#[derive(Clone, Debug)]
pub struct Form {
    bytes: Bytes,
    parts: Vec<Part>,
}

/// One part of a form.
#[derive(Clone, Debug)]
pub struct Part {
    /// The part's name.
    pub name: String,
    /// The file's name, where the part is a file.
    pub file_name: Option<String>,
    /// The part's `content-type`, where it has one.
    pub kind: Option<String>,
    value: Range<usize>,
}

/// Whether a `content-type` is that of a form.
#[must_use]
pub fn is_form(content_type: &[u8]) -> bool {
    const KIND: &[u8] = b"multipart/form-data";
    let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(KIND)
}

impl Form {
    /// Reads a body that came with this `content-type`. Nothing may stand before its first boundary or after its last, and no
    /// boundary in another form: the provider, which reads the form after us, must find the same parts.
    ///
    /// # Errors
    /// A 400 that says what is wrong.
    pub fn read(bytes: Bytes, content_type: &[u8]) -> Result<Self, Error> {
        let boundary =
            boundary(content_type).ok_or_else(|| bad("its content-type names no boundary of 1 to 70 characters"))?;
        let delimiter = format!("\r\n--{boundary}");
        let mut rest = bytes.strip_prefix(b"\r\n").unwrap_or(&bytes).strip_prefix(&delimiter.as_bytes()[2..]);
        let mut parts = Vec::new();
        loop {
            let after = rest.ok_or_else(|| bad("it does not begin with its boundary"))?;
            if let Some(end) = after.strip_prefix(b"--") {
                if !end.trim_ascii().is_empty() {
                    return Err(bad("something follows its last boundary"));
                }
                return Ok(Self { bytes, parts });
            }
            let line = memchr::memmem::find(after, b"\r\n").filter(|end| after[..*end].trim_ascii().is_empty());
            let start = line.ok_or_else(|| bad("a boundary is followed by something else than a line's end"))? + 2;
            let content = &after[start..];
            let length = memchr::memmem::find(content, delimiter.as_bytes());
            let length = length.ok_or_else(|| bad("it ends without its last boundary"))?;
            if parts.len() == MAX_PARTS {
                return Err(bad(&format!("it has more than {MAX_PARTS} parts")));
            }
            parts.push(Part::read(&content[..length], bytes.len() - content.len())?);
            rest = Some(&content[length + delimiter.len()..]);
        }
    }

    /// The parts, in order.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter()
    }

    /// The value of a part of this form, sharing the form's bytes.
    #[must_use]
    pub fn value(&self, part: &Part) -> Bytes {
        self.bytes.slice(part.value.clone())
    }

    /// The first file of this name, with or without `[]` after it.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<&Part> {
        let named = |part: &&Part| part.name.strip_suffix("[]").unwrap_or(&part.name) == name;
        self.parts.iter().filter(named).find(|part| part.file_name.is_some())
    }

    /// The parts that are no files, as fields: one that stands several times, or is named with `[]`, is a list.
    ///
    /// # Errors
    /// A 400 where a value is no text.
    pub fn fields(&self) -> Result<Map<String, Value>, Error> {
        let mut fields = Map::new();
        for part in self.parts.iter().filter(|part| part.file_name.is_none()) {
            let value = std::str::from_utf8(&self.bytes[part.value.clone()]);
            let value = value.map_err(|_| Error::field(&part.name, format!("`{}` is not valid UTF-8", part.name)))?;
            let bare = part.name.strip_suffix("[]");
            let fresh = || if bare.is_some() { Value::Array(Vec::new()) } else { Value::Null };
            match fields.entry(bare.unwrap_or(&part.name)).or_insert_with(fresh) {
                Value::Array(list) => list.push(value.into()),
                place @ Value::Null => *place = value.into(),
                place => *place = vec![place.take(), value.into()].into(),
            }
        }
        Ok(fields)
    }

    /// Everything that a form's meaning depends on, in order: of each part its name, its file's name, its kind and its value.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.parts.iter().flat_map(|part| {
            let [file_name, kind] = [&part.file_name, &part.kind].map(|text| text.as_deref().unwrap_or_default());
            [part.name.as_bytes(), file_name.as_bytes(), kind.as_bytes(), &self.bytes[part.value.clone()]]
        })
    }

    /// The form's bytes with another value of the one part of this name; every other byte stays.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Bytes {
        let Some(part) = self.parts.iter().find(|part| part.name == name) else { return self.bytes.clone() };
        if self.bytes[part.value.clone()] == *value.as_bytes() {
            return self.bytes.clone();
        }
        let mut out = BytesMut::with_capacity(self.bytes.len() + value.len());
        out.put_slice(&self.bytes[..part.value.start]);
        out.put_slice(value.as_bytes());
        out.put_slice(&self.bytes[part.value.end..]);
        out.freeze()
    }
}

impl Part {
    /// Reads a part, of which the first byte stands at `offset` of the form.
    fn read(content: &[u8], offset: usize) -> Result<Self, Error> {
        let head = memchr::memmem::find(&content[..content.len().min(MAX_HEAD)], b"\r\n\r\n").map(|end| end + 4);
        let head = head.ok_or_else(|| bad("a part has no head, or one that is too long"))?;
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let read = httparse::parse_headers(&content[..head], &mut headers);
        let Ok(httparse::Status::Complete((_, headers))) = read else { return Err(bad("a part's head is none")) };
        let header = |name: &str| {
            let mut found = headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
            let first = found.next();
            if found.next().is_some() { Err(bad(&format!("a part has two {name}"))) } else { Ok(first) }
        };
        let text = |value: &[u8]| std::str::from_utf8(value).map(str::to_owned).ok();
        let disposition = header("content-disposition")?.and_then(|header| text(header.value));
        let (name, file_name) = disposition.as_deref().and_then(disposed).ok_or_else(|| {
            bad("a part has no content-disposition such as form-data; name=\"file\"; filename=\"a.wav\"")
        })?;
        let value = offset + head..offset + content.len();
        if file_name.is_none() && value.len() > MAX_TEXT {
            return Err(Error::field(&name, format!("`{name:.64}` is longer than {MAX_TEXT} bytes and no file")));
        }
        let kind = header("content-type")?.and_then(|header| text(header.value));
        Ok(Self { name, file_name, kind, value })
    }
}

/// The boundary that a `content-type` names.
fn boundary(content_type: &[u8]) -> Option<String> {
    let (_, parameters) = std::str::from_utf8(content_type).ok()?.split_once(';')?;
    let mut found = parameters_of(parameters)?.into_iter().filter(|(name, _)| name == "boundary");
    let (_, boundary) = found.next().filter(|_| found.next().is_none())?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
    let good = (1..=70).contains(&boundary.len()) && boundary.bytes().all(fits) && !boundary.ends_with(' ');
    good.then_some(boundary)
}

/// The name and the file's name that a `content-disposition` gives.
fn disposed(text: &str) -> Option<(String, Option<String>)> {
    let (kind, parameters) = text.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("form-data") {
        return None;
    }
    let (mut name, mut file_name, mut coded) = (None, None, None);
    for (parameter, value) in parameters_of(parameters)? {
        let place = match &*parameter {
            "name" => &mut name,
            "filename" => &mut file_name,
            // The file's name in another coding, for readers that know it.
            "filename*" => &mut coded,
            "name*" => return None,
            _ => continue,
        };
        if place.replace(value).is_some() {
            return None;
        }
    }
    Some((name.filter(|name| (1..=256).contains(&name.len()))?, file_name.or(coded)))
}

/// Parameters of a header, `; name=value` or `name="value"`, with their names in lower case. `None` where they are none.
fn parameters_of(text: &str) -> Option<Vec<(String, String)>> {
    let mut found = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        let (value, after) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let (value, after) = after.split_at(after.find(';').unwrap_or(after.len()));
                (value.trim().to_owned(), after)
            }
        };
        found.push((name.trim().to_ascii_lowercase(), value));
        let after = after.trim_start();
        rest = match after.strip_prefix(';') {
            Some(more) => more.trim_start(),
            None if after.is_empty() => after,
            None => return None,
        };
    }
    Some(found)
}

/// A quoted value without its first quote, and what follows its last. A backslash protects a quote or a backslash only.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => {
                let protected = letters.next_if(|(_, next)| matches!(next, '"' | '\\'));
                value.push(protected.map_or('\\', |(_, next)| next));
            }
            letter => value.push(letter),
        }
    }
    None
}

fn bad(problem: &str) -> Error {
    Error::new(Code::InvalidRequest, format!("the body is no form that can be read: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const KIND: &[u8] = b"multipart/form-data; boundary=xYz";

    fn read(body: &[u8]) -> Result<Form, Error> {
        Form::read(Bytes::copy_from_slice(body), KIND)
    }

    const WHOLE: &[u8] = b"--xYz\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper\r\n--xYz\r\n\
        content-disposition: form-data; name=\"file\"; filename=\"a \\\"b\\\".wav\"\r\nContent-Type: audio/wav\r\n\r\n\
        \x00\xff\r\n--xY\r\n--xYz \r\nContent-Disposition: form-data; name=\"tags[]\"\r\n\r\n\r\n--xYz--\r\n";

    #[test]
    fn parts_are_found_where_they_stand() {
        let form = read(WHOLE).unwrap();
        let names: Vec<&str> = form.parts().map(|part| part.name.as_str()).collect();
        assert_eq!(names, ["model", "file", "tags[]"]);
        let file = form.file("file").unwrap();
        assert_eq!((file.file_name.as_deref(), file.kind.as_deref()), (Some("a \"b\".wav"), Some("audio/wav")));
        assert_eq!(form.value(file), &b"\x00\xff\r\n--xY"[..]);
        assert_eq!(Value::from(form.fields().unwrap()), json!({"model": "whisper", "tags": [""]}));
    }

    #[test]
    fn only_the_named_part_changes() {
        let form = read(WHOLE).unwrap();
        let text = String::from_utf8_lossy(WHOLE).into_owned();
        let changed = form.with("model", "base-x");
        assert_eq!(String::from_utf8_lossy(&changed), text.replace("whisper", "base-x"));
        assert_eq!(form.with("model", "whisper").as_ptr(), form.bytes.as_ptr());
        assert_eq!(form.with("none", "x").as_ptr(), form.bytes.as_ptr());
    }

    #[test]
    fn a_name_that_stands_twice_is_a_list() {
        let part = |value: &str| format!("--xYz\r\ncontent-disposition: form-data; name=\"n\"\r\n\r\n{value}\r\n");
        let form = read(format!("{}{}{}--xYz--", part("1"), part("2"), part("3")).as_bytes()).unwrap();
        assert_eq!(Value::from(form.fields().unwrap()), json!({"n": ["1", "2", "3"]}));
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        let part = "content-disposition: form-data; name=\"a\"\r\n\r\nx";
        for body in [
            String::new(),
            "--xYz".to_owned(),
            format!("--xYz\r\n{part}"),
            format!("--xYz\r\n{part}\r\n--xYz"),
            format!("before\r\n--xYz\r\n{part}\r\n--xYz--"),
            format!("--xYz\r\n{part}\r\n--xYz--\r\n--xYz\r\n{part}\r\n--xYz--"),
            format!("--xYz\r\n{part}\r\n--xYzz\r\n{part}\r\n--xYz--"),
            format!("--xYz\n{part}\r\n--xYz--"),
            "--xYz\r\nx\r\n--xYz--".to_owned(),
            "--xYz\r\n\r\nx\r\n--xYz--".to_owned(),
            "--xYz\r\ncontent-type: text/plain\r\n\r\nx\r\n--xYz--".to_owned(),
            "--xYz\r\ncontent-disposition: form-data\r\n\r\nx\r\n--xYz--".to_owned(),
            "--xYz\r\ncontent-disposition: form-data; name=\"a\"; name=\"b\"\r\n\r\nx\r\n--xYz--".to_owned(),
            "--xYz\r\ncontent-disposition: form-data; name*=utf-8''a\r\n\r\nx\r\n--xYz--".to_owned(),
            format!("--xYz\r\ncontent-disposition: form-data; name=\"b\"\r\n{part}\r\n--xYz--"),
            format!("--xYz\r\nx: {}\r\n{part}\r\n--xYz--", "y".repeat(MAX_HEAD)),
            format!("{}--xYz--", format!("--xYz\r\n{part}\r\n").repeat(MAX_PARTS + 1)),
            format!("--xYz\r\n{part}{}\r\n--xYz--", "x".repeat(MAX_TEXT)),
        ] {
            let error = read(body.as_bytes()).expect_err(&body.chars().take(200).collect::<String>());
            assert_eq!(error.status(), 400);
        }
    }

    #[test]
    fn a_boundary_is_read_as_it_is_written() {
        for (kind, found) in [
            ("multipart/form-data; boundary=a-b", Some("a-b")),
            ("Multipart/Form-Data; charset=utf-8; Boundary=\"a b\"", Some("a b")),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary=", None),
            ("multipart/form-data; boundary=a; boundary=b", None),
            ("multipart/form-data; boundary=a\u{e4}", None),
        ] {
            assert!(is_form(kind.as_bytes()));
            assert_eq!(boundary(kind.as_bytes()).as_deref(), found, "{kind}");
        }
        assert!(!is_form(b"application/json") && !is_form(b"multipart/mixed; boundary=a"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(parts in prop::collection::vec(prop_oneof![
            Just(b"--xYz".to_vec()), Just(b"\r\n".to_vec()), Just(b"--".to_vec()),
            Just(b"content-disposition: form-data; name=\"a\"".to_vec()), prop::collection::vec(any::<u8>(), 0..9)
        ], 0..12)) {
            let _ignored = read(&parts.concat());
        }

        #[test]
        fn every_value_comes_back(values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..5)) {
            let mut body = Vec::new();
            for value in &values {
                body.extend_from_slice(b"--xYz\r\ncontent-disposition: form-data; name=f; filename=x\r\n\r\n");
                body.extend_from_slice(value);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(b"--xYz--");
            let form = read(&body).unwrap();
            let found: Vec<Bytes> = form.parts().map(|part| form.value(part)).collect();
            prop_assert_eq!(found, values);
        }
    }
}
