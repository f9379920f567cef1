//! A line of a batch's input file, and the line of its result.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::batch::BatchError;

/// The longest `custom_id`, in characters.
const LONGEST_ID: usize = 512;

/// A good line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The owner's name for the line.
    pub custom_id: String,
    /// The body of the call.
    pub body: Bytes,
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    custom_id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<&'a RawValue>,
    #[serde(borrow)]
    url: Option<&'a RawValue>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
}

/// Reads a line that is to call `endpoint`.
///
/// # Errors
/// What is wrong with the line, without the line's number.
pub fn read_line(text: &Bytes, endpoint: &str) -> Result<Line, BatchError> {
    let bad_json = |_| BatchError::new("invalid_json_line", "This line is not parseable as a JSON object.");
    if !text.trim_ascii_start().starts_with(b"{") {
        return Err(BatchError::new("invalid_json_line", "This line is not parseable as a JSON object."));
    }
    let fields: Fields<'_> = serde_json::from_slice(text).map_err(bad_json)?;
    let custom_id = text_of("custom_id", fields.custom_id)?;
    if custom_id.is_empty() || custom_id.chars().count() > LONGEST_ID {
        return Err(BatchError::new("invalid_custom_id", "`custom_id` must have 1 to 512 characters.").at("custom_id"));
    }
    let method = text_of("method", fields.method)?;
    if method != "POST" {
        return Err(BatchError::new("invalid_method", "`method` must be `POST`.").at("method"));
    }
    let url = text_of("url", fields.url)?;
    if url != endpoint {
        let message = format!("`url` must be `{endpoint}`, the endpoint of the batch.");
        return Err(BatchError::new("invalid_url", message).at("url"));
    }
    let body = fields.body.ok_or_else(|| missing("body"))?.get();
    if !body.starts_with('{') {
        return Err(BatchError::new("invalid_body", "`body` must be an object: the body of the call.").at("body"));
    }
    Ok(Line { custom_id, body: text.slice_ref(body.as_bytes()) })
}

fn missing(field: &str) -> BatchError {
    BatchError::new("missing_required_parameter", format!("`{field}` is missing.")).at(field)
}

fn text_of(field: &str, value: Option<&RawValue>) -> Result<String, BatchError> {
    let value = value.filter(|value| value.get() != "null").ok_or_else(|| missing(field))?;
    let wrong = |_| BatchError::new(&format!("invalid_{field}"), format!("`{field}` must be a text.")).at(field);
    serde_json::from_str(value.get()).map_err(wrong)
}

/// What became of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// An answer came, an error's too.
    Answered {
        /// The HTTP status.
        status: u16,
        /// The ledger's id of the call.
        request_id: String,
        /// The body.
        body: Bytes,
    },
    /// The line was never called, or its answer is not known.
    NotRun {
        /// A word for why.
        code: &'static str,
        /// Why.
        message: String,
    },
}

impl Verdict {
    /// Whether the answer is a 2xx.
    #[must_use]
    pub fn is_good(&self) -> bool {
        matches!(self, Self::Answered { status: 200..=299, .. })
    }
}

/// The line of the batch's own files, with its end.
#[must_use]
pub fn result(batch: &str, n: u64, custom_id: &str, verdict: &Verdict) -> Bytes {
    #[derive(Serialize)]
    struct Written<'a> {
        id: String,
        custom_id: &'a str,
        response: Option<Response<'a>>,
        error: Option<Error<'a>>,
    }
    #[derive(Serialize)]
    struct Response<'a> {
        status_code: u16,
        request_id: &'a str,
        body: Box<RawValue>,
    }
    #[derive(Serialize)]
    struct Error<'a> {
        code: &'a str,
        message: &'a str,
    }
    let (response, error) = match verdict {
        Verdict::Answered { status, request_id, body } => {
            (Some(Response { status_code: *status, request_id, body: on_one_line(body) }), None)
        }
        Verdict::NotRun { code, message } => (None, Some(Error { code, message })),
    };
    let id = format!("batch_req_{}_{n}", batch.trim_start_matches("batch_"));
    let mut line = serde_json::to_vec(&Written { id, custom_id, response, error }).unwrap_or_default();
    line.push(b'\n');
    line.into()
}

/// JSON without ends of lines: they may only stand between its parts. What is no JSON becomes a text.
fn on_one_line(body: &[u8]) -> Box<RawValue> {
    let flat: Vec<u8> = body.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }).collect();
    let text = String::from_utf8_lossy(&flat).trim().to_owned();
    let as_text = || serde_json::value::to_raw_value(&String::from_utf8_lossy(body)).unwrap_or_default();
    RawValue::from_string(text).unwrap_or_else(|_| as_text())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    const CHAT: &str = "/v1/chat/completions";

    fn read(text: &str) -> Result<Line, BatchError> {
        read_line(&Bytes::from(text.to_owned()), CHAT)
    }

    #[test]
    fn a_line_keeps_the_bytes_of_its_body() {
        let line =
            read(r#" {"custom_id":"a b","method":"POST","url":"/v1/chat/completions","body": {"x": 1 },"more":[]}"#);
        assert_eq!(line, Ok(Line { custom_id: "a b".into(), body: Bytes::from_static(br#"{"x": 1 }"#) }));
    }

    #[test]
    fn what_is_wrong_with_a_line_is_told_with_its_field() {
        let good = r#"{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{}}"#;
        assert!(read(good).is_ok());
        let long = format!("\"{}\"", "x".repeat(513));
        for (was, now, code, param) in [
            (good, "{", "invalid_json_line", None),
            (good, "[]", "invalid_json_line", None),
            (good, "\u{feff}", "invalid_json_line", None),
            ("\"a\"", "\"\"", "invalid_custom_id", Some("custom_id")),
            ("\"a\"", &long, "invalid_custom_id", Some("custom_id")),
            ("\"a\"", "7", "invalid_custom_id", Some("custom_id")),
            ("\"custom_id\"", "\"id\"", "missing_required_parameter", Some("custom_id")),
            ("\"a\"", "null", "missing_required_parameter", Some("custom_id")),
            ("POST", "GET", "invalid_method", Some("method")),
            ("/v1/chat", "/v1/else", "invalid_url", Some("url")),
            ("\"url\"", "\"uri\"", "missing_required_parameter", Some("url")),
            ("{}", "[]", "invalid_body", Some("body")),
            ("\"body\"", "\"bod\"", "missing_required_parameter", Some("body")),
        ] {
            let error = read(&good.replace(was, now)).expect_err(now);
            assert_eq!((error.code.as_str(), error.param.as_deref()), (code, param), "{now}");
        }
    }

    #[test]
    fn a_result_is_one_line_whatever_the_answer() {
        for (body, shown) in [
            ("{\r\n \"a\": \"x\\ny\"\n}\n", serde_json::json!({"a": "x\ny"})),
            ("<html>\n", Value::from("<html>\n")),
            ("", Value::from("")),
        ] {
            let answered = Verdict::Answered { status: 200, request_id: "r".into(), body: body.into() };
            let line = result("batch_1", 7, "a\"b", &answered);
            assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
            let read: Value = serde_json::from_slice(&line).unwrap();
            assert_eq!((&read["response"]["body"], &read["custom_id"]), (&shown, &Value::from("a\"b")));
            assert_eq!(read["error"], Value::Null);
        }
        let not_run = Verdict::NotRun { code: "batch_expired", message: "late".into() };
        let read: Value = serde_json::from_slice(&result("batch_1", 7, "a", &not_run)).unwrap();
        assert_eq!(read["error"]["code"], "batch_expired");
        assert_eq!((&read["response"], &read["id"]), (&Value::Null, &Value::from("batch_req_1_7")));
    }
}
