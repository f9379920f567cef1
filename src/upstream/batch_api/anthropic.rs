//! Anthropic's Message Batches: what is sent and what comes back.

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::api::{BatchApi, LineOutcome, ListedBatch, ListedBatches, Order, RemoteBatch, RemoteState};
use crate::types::Timestamp;

/// Anthropic's.
pub(in crate::upstream) const ANTHROPIC: BatchApi = BatchApi {
    base: "/v1",
    batches: "/messages/batches",
    after: "after_id",
    paths: &["/messages"],
    one_model: false,
    file: None,
    line,
    order,
    state,
    list,
    result,
};

/// One of the requests, with an end.
fn line(custom_id: &str, _path: &str, body: &RawValue) -> Vec<u8> {
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
fn order(order: &Order<'_>) -> Bytes {
    let content = order.content;
    let mut body = BytesMut::with_capacity(content.len() + 20);
    body.put_slice(b"{\"requests\":[");
    // An end of a line stands between requests and nowhere else.
    let requests = content.strip_suffix(b"\n").unwrap_or(content);
    body.extend(requests.iter().map(|byte| if *byte == b'\n' { b',' } else { *byte }));
    body.put_slice(b"]}");
    body.freeze()
}

/// How a batch stands. Where its results are is not read: they are below the provider's own address.
fn state(body: &[u8]) -> Option<RemoteBatch> {
    let batch: Value = serde_json::from_slice(body).ok()?;
    let ended = batch["processing_status"].as_str()? == "ended";
    Some(RemoteBatch { state: if ended { RemoteState::Ended } else { RemoteState::Running }, files: Vec::new() })
}

/// A part of the list of batches. They carry no mark, so a batch is recognised by its time and its number of requests.
fn list(body: &[u8]) -> Option<ListedBatches> {
    let list: Value = serde_json::from_slice(body).ok()?;
    let seen = |batch: &Value| {
        let counts = batch["request_counts"].as_object()?;
        Some(ListedBatch {
            id: batch["id"].as_str()?.to_owned(),
            mark: None,
            made_at: batch["created_at"].as_str().and_then(|text| text.parse::<Timestamp>().ok()),
            lines: Some(counts.values().filter_map(Value::as_u64).sum()),
        })
    };
    let batches = list["data"].as_array()?.iter().filter_map(seen).collect();
    Some(ListedBatches { batches, more: list["has_more"].as_bool().unwrap_or(false) })
}

/// A line of its results.
fn result(line: &[u8]) -> Option<(String, LineOutcome)> {
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
        "succeeded" => LineOutcome::Answered { status: 200, body: bytes(result.message) },
        "errored" => {
            let body = bytes(result.error);
            LineOutcome::Answered { status: status(&body), body }
        }
        "expired" => LineOutcome::NotRun { expired: true, message: "it expired at the provider".to_owned() },
        other => LineOutcome::NotRun { expired: false, message: other.chars().take(100).collect() },
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_one_json_of_all_lines() {
        let body = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        let lines = [line("a-1", "", &body(r#"{"x":1}"#)), line("a-2", "", &body(r#"{"x":"\\n,"}"#))].concat();
        let order = order(&Order { content: &lines, file: None, path: "", batch: "", part: 1 });
        let order: Value = serde_json::from_slice(&order).unwrap();
        assert_eq!(order["requests"][1]["custom_id"], "a-2");
        assert_eq!(
            (&order["requests"][0]["params"]["x"], order["requests"].as_array().unwrap().len()),
            (&Value::from(1), 2)
        );
    }

    #[test]
    fn every_kind_of_result_is_read() {
        for (text, status) in [
            (r#"{"type":"succeeded","message":{"id":"m"}}"#, Some(200)),
            (r#"{"type":"errored","error":{"type":"error","error":{"type":"invalid_request_error"}}}"#, Some(400)),
            (r#"{"type":"errored","error":{"type":"overloaded_error"}}"#, Some(529)),
            (r#"{"type":"errored"}"#, Some(500)),
            (r#"{"type":"canceled"}"#, None),
            (r#"{"type":"expired"}"#, None),
        ] {
            let line = format!(r#"{{"custom_id":"a-1","result":{text}}}"#);
            let (id, outcome) = result(line.as_bytes()).unwrap();
            let found = if let LineOutcome::Answered { status, .. } = &outcome { Some(*status) } else { None };
            assert_eq!((id.as_str(), found), ("a-1", status), "{text}");
            assert_eq!(
                matches!(outcome, LineOutcome::NotRun { expired: true, .. }),
                text.contains("expired"),
                "{text}"
            );
        }
        for line in ["", "{}", r#"{"custom_id":"a"}"#, r#"{"custom_id":"a","result":{}}"#] {
            assert!(result(line.as_bytes()).is_none(), "{line}");
        }
    }

    #[test]
    fn a_batch_in_the_list_has_its_time_and_its_size() {
        let list = br#"{"data":[{"id":"b","created_at":"2026-11-25T10:00:00Z","request_counts":{"processing":2,"errored":1}}],"has_more":true}"#;
        let listed = super::list(list).unwrap();
        assert_eq!((listed.batches[0].lines, listed.more), (Some(3), true));
        assert_eq!(listed.batches[0].made_at, "2026-11-25T10:00:00Z".parse().ok());
        assert!(
            state(br#"{"processing_status":"ended"}"#).is_some_and(|remote| matches!(remote.state, RemoteState::Ended))
        );
    }
}
