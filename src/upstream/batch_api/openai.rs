//! OpenAI's batch API: what is sent and what comes back.

use bytes::Bytes;
use http::HeaderValue;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::api::{BatchApi, LineOutcome, ListedBatch, ListedBatches, Order, RemoteBatch, RemoteState};

/// OpenAI's.
pub(in crate::upstream) const OPENAI: BatchApi = BatchApi {
    base: "",
    batches: "/batches",
    after: "after",
    paths: &["/chat/completions", "/responses", "/embeddings"],
    one_model: true,
    file: Some(form),
    line,
    order,
    state,
    list,
    result,
};

/// What separates the parts of a form: no line of JSON can hold it at its beginning.
const BOUNDARY: &str = "fulcrum-batch-boundary";

/// A line of the file.
fn line(custom_id: &str, path: &str, body: &RawValue) -> Vec<u8> {
    #[derive(Serialize)]
    struct Line<'a> {
        custom_id: &'a str,
        method: &'a str,
        url: String,
        body: &'a RawValue,
    }
    let line = Line { custom_id, method: "POST", url: format!("/v1{path}"), body };
    let mut text = serde_json::to_vec(&line).unwrap_or_default();
    text.push(b'\n');
    text
}

/// The form with the file, and its type.
fn form(content: &[u8]) -> (HeaderValue, Bytes) {
    let mut form = format!(
        "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--{BOUNDARY}\r\n\
         content-disposition: form-data; name=\"file\"; filename=\"batch.jsonl\"\r\n\
         content-type: application/jsonl\r\n\r\n"
    )
    .into_bytes();
    form.extend_from_slice(content);
    form.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
    (HeaderValue::from_static("multipart/form-data; boundary=fulcrum-batch-boundary"), form.into())
}

/// The body that makes a batch, marked so that it can be found again.
fn order(order: &Order<'_>) -> Bytes {
    let Order { file, path, batch, part, .. } = order;
    let body = json!({
        "input_file_id": file,
        "endpoint": format!("/v1{path}"),
        "completion_window": "24h",
        "metadata": {"fulcrum_batch": batch, "fulcrum_part": part.to_string()},
    });
    body.to_string().into()
}

/// How a batch stands.
fn state(body: &[u8]) -> Option<RemoteBatch> {
    let batch: Value = serde_json::from_slice(body).ok()?;
    let file = |name: &str| batch[name].as_str().map(str::to_owned);
    let state = match batch["status"].as_str()? {
        "completed" | "expired" | "cancelled" => RemoteState::Ended,
        "failed" => {
            let reason = batch["errors"]["data"][0]["message"].as_str().unwrap_or("the provider says no reason");
            RemoteState::Failed(reason.chars().take(500).collect())
        }
        _ => RemoteState::Running,
    };
    let files = ["output_file_id", "error_file_id"].into_iter().filter_map(file).collect();
    Some(RemoteBatch { state, files })
}

/// A part of the list of batches.
fn list(body: &[u8]) -> Option<ListedBatches> {
    let list: Value = serde_json::from_slice(body).ok()?;
    let seen = |batch: &Value| {
        let part = batch["metadata"]["fulcrum_part"].as_str().and_then(|part| part.parse().ok());
        let named = batch["metadata"]["fulcrum_batch"].as_str().map(str::to_owned);
        Some(ListedBatch { id: batch["id"].as_str()?.to_owned(), mark: named.zip(part), made_at: None, lines: None })
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
        response: Option<Response<'a>>,
        error: Option<Value>,
    }
    #[derive(Deserialize)]
    struct Response<'a> {
        status_code: u16,
        #[serde(borrow)]
        body: Option<&'a RawValue>,
    }
    let Line { custom_id, response, error } = serde_json::from_slice(line).ok()?;
    if let Some(Response { status_code: status, body }) = response {
        let body = body.map_or_else(Bytes::new, |body| Bytes::copy_from_slice(body.get().as_bytes()));
        return Some((custom_id, LineOutcome::Answered { status, body }));
    }
    let error = error.unwrap_or_default();
    let text = |name: &str| error[name].as_str().unwrap_or("not_run").chars().take(500).collect::<String>();
    Some((custom_id, LineOutcome::NotRun { expired: error["code"] == "batch_expired", message: text("message") }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_read_as_it_stands() {
        for (body, stands, files) in [
            (r#"{"status":"validating"}"#, "running", 0),
            (r#"{"status":"finalizing","output_file_id":"a"}"#, "running", 1),
            (r#"{"status":"completed","output_file_id":"a","error_file_id":"b"}"#, "ended", 2),
            (r#"{"status":"expired","output_file_id":null,"error_file_id":"b"}"#, "ended", 1),
            (r#"{"status":"cancelled"}"#, "ended", 0),
            (r#"{"status":"failed","errors":{"data":[{"message":"no quota"}]}}"#, "failed: no quota", 0),
            (r#"{"status":"failed"}"#, "failed: the provider says no reason", 0),
        ] {
            let remote = state(body.as_bytes()).unwrap();
            let state = match remote.state {
                RemoteState::Running => "running".to_owned(),
                RemoteState::Ended => "ended".to_owned(),
                RemoteState::Failed(reason) => format!("failed: {reason}"),
            };
            assert_eq!((state.as_str(), remote.files.len()), (stands, files), "{body}");
        }
        for body in ["", "{}", "[]", "<html>", r#"{"status":7}"#] {
            assert!(state(body.as_bytes()).is_none(), "{body}");
        }
    }

    #[test]
    fn a_result_is_an_answer_or_tells_that_the_line_did_not_run() {
        let (id, outcome) =
            result(br#"{"custom_id":"x-1","response":{"status_code":200,"body":{"a": 1}},"error":null}"#).unwrap();
        assert_eq!(id, "x-1");
        assert!(matches!(outcome, LineOutcome::Answered { status: 200, body } if &*body == br#"{"a": 1}"#));
        let (_, late) =
            result(br#"{"custom_id":"x-1","response":null,"error":{"code":"batch_expired","message":"late"}}"#)
                .unwrap();
        assert!(matches!(late, LineOutcome::NotRun { expired: true, .. }));
        for line in ["", "{}", r#"{"custom_id":7}"#, r#"{"custom_id":"a","response":{}}"#] {
            assert!(result(line.as_bytes()).is_none(), "{line}");
        }
    }

    #[test]
    fn a_form_is_read_back_as_the_file_it_brings() {
        let content = [
            line("a-1", "/chat/completions", &RawValue::from_string("{\"x\":\"--y\"}".to_owned()).unwrap()),
            b"{}\n".to_vec(),
        ];
        let content = content.concat();
        let (kind, body) = form(&content);
        let boundary = multer::parse_boundary(kind.to_str().unwrap()).unwrap();
        let whole = futures_util::stream::iter([Ok::<_, std::io::Error>(body)]);
        let mut parts = multer::Multipart::new(whole, boundary);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let purpose = parts.next_field().await.unwrap().unwrap();
            assert_eq!(purpose.name(), Some("purpose"));
            assert_eq!(purpose.text().await.unwrap(), "batch");
            let file = parts.next_field().await.unwrap().unwrap();
            assert_eq!(file.bytes().await.unwrap(), content);
        });
    }
}
