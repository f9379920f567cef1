//! Anthropic's Message Batches: what is sent and what comes back.

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Listed, Outcome, Remote, Seen, Stands};
use crate::gateway::Said;
use crate::types::Timestamp;

/// One of the requests, with an end.
pub(super) fn line(custom_id: &str, body: &RawValue) -> Vec<u8> {
    #[derive(Serialize)]
    struct Line<'a> {
        custom_id: &'a str,
        params: &'a RawValue,
    }
    let mut text = serde_json::to_vec(&Line { custom_id, params: body }).unwrap_or_default();
    text.push(b'\n');
    text
}

/// The body that makes a batch of such requests.
pub(super) fn order(content: &[u8]) -> Bytes {
    let mut order = BytesMut::with_capacity(content.len() + 20);
    order.put_slice(b"{\"requests\":[");
    // An end of a line stands between requests and nowhere else.
    let requests = content.strip_suffix(b"\n").unwrap_or(content);
    order.extend(requests.iter().map(|byte| if *byte == b'\n' { b',' } else { *byte }));
    order.put_slice(b"]}");
    order.freeze()
}

/// How a batch stands. Where its results are is not read: they are below the provider's own address.
pub(super) fn remote(body: &[u8]) -> Option<Remote> {
    let batch: Value = serde_json::from_slice(body).ok()?;
    let ended = batch["processing_status"].as_str()? == "ended";
    Some(Remote { stands: if ended { Stands::Ended } else { Stands::Running }, files: Vec::new() })
}

/// A part of the list of batches. They carry no mark, so when each was made and how many requests it has must do.
pub(super) fn listed(body: &[u8]) -> Option<Listed> {
    let list: Value = serde_json::from_slice(body).ok()?;
    let seen = |batch: &Value| {
        let counts = batch["request_counts"].as_object()?;
        Some(Seen {
            id: batch["id"].as_str()?.to_owned(),
            mark: None,
            made_at: batch["created_at"].as_str().and_then(|text| text.parse::<Timestamp>().ok()),
            lines: Some(counts.values().filter_map(Value::as_u64).sum()),
        })
    };
    let seen = list["data"].as_array()?.iter().filter_map(seen).collect();
    Some(Listed { seen, more: list["has_more"].as_bool().unwrap_or(false) })
}

/// A line of its results.
pub(super) fn result(line: &[u8]) -> Option<(String, Outcome)> {
    #[derive(Deserialize)]
    struct Line<'a> {
        custom_id: String,
        #[serde(borrow)]
        result: Result<'a>,
    }
    #[derive(Deserialize)]
    struct Result<'a> {
        r#type: String,
        #[serde(borrow)]
        message: Option<&'a RawValue>,
        #[serde(borrow)]
        error: Option<&'a RawValue>,
    }
    let Line { custom_id, result } = serde_json::from_slice(line).ok()?;
    let bytes =
        |raw: Option<&RawValue>| raw.map_or_else(Bytes::new, |raw| Bytes::copy_from_slice(raw.get().as_bytes()));
    let outcome = match result.r#type.as_str() {
        "succeeded" => Outcome::Said(Said { status: 200, body: bytes(result.message) }),
        "errored" => {
            let body = bytes(result.error);
            Outcome::Said(Said { status: status(&body), body })
        }
        "expired" => Outcome::NotRun { expired: true, message: "it expired at the provider".to_owned() },
        other => Outcome::NotRun { expired: false, message: other.chars().take(100).collect() },
    };
    Some((custom_id, outcome))
}

/// The status that an error's type has in a call.
fn status(body: &[u8]) -> u16 {
    let error: Value = serde_json::from_slice(body).unwrap_or_default();
    let inner = error.get("error").unwrap_or(&error);
    match inner["type"].as_str().unwrap_or_default() {
        "invalid_request_error" => 400,
        "authentication_error" => 401,
        "billing_error" => 402,
        "permission_error" => 403,
        "not_found_error" => 404,
        "request_too_large" => 413,
        "rate_limit_error" => 429,
        "timeout_error" => 504,
        "overloaded_error" => 529,
        _ => 500,
    }
}
