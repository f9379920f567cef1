//! Writes a whole answer as a stream. Unknown items, such as the traces of OpenAI's own tools, are written too.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::wire::dialect::BadAnswer;
use crate::wire::exact_numbers;

/// Writes a whole answer as a stream.
///
/// # Errors
/// Where the body is no answer, or the answer did not end well.
pub(super) fn as_stream(body: &[u8]) -> Result<Bytes, BadAnswer> {
    let answer: Map<String, Value> = exact_numbers::read(body).map_err(|error| BadAnswer::unread(&error))?;
    let Some(Value::Array(items)) = answer.get("output") else {
        return Err(BadAnswer("it has no `output`".to_owned()));
    };
    let last = match answer.get("status").and_then(Value::as_str) {
        None | Some("completed") => "response.completed",
        Some("incomplete") => "response.incomplete",
        Some(other) => return Err(BadAnswer(format!("its status is `{other:.40}`"))),
    };
    let mut stream = Stream { out: Vec::with_capacity(body.len() * 3), events: 0 };
    let mut begun = answer.clone();
    for (name, value) in [("status", json!("in_progress")), ("output", json!([])), ("usage", Value::Null)] {
        begun.insert(name.to_owned(), value);
    }
    stream.put("response.created", json!({"response": begun}));
    stream.put("response.in_progress", json!({"response": begun}));
    for (index, item) in items.iter().enumerate() {
        stream.item(index, item)?;
    }
    stream.put(last, json!({"response": answer}));
    Ok(stream.out.into())
}

struct Stream {
    out: Vec<u8>,
    events: u64,
}

/// Where a piece of an item stands.
type Place<'a> = (&'a Value, usize, usize);

impl Stream {
    fn put(&mut self, kind: &str, mut event: Value) {
        if let Value::Object(event) = &mut event {
            event.shift_insert(0, "type".to_owned(), kind.into());
            event.insert("sequence_number".to_owned(), self.events.into());
        }
        self.events += 1;
        self.out.extend_from_slice(format!("event: {kind}\ndata: {}\n\n", exact_numbers::write(&event)).as_bytes());
    }

    /// Writes the events of an item: fields that streams build in pieces as one piece, all others with the item's first event.
    fn item(&mut self, index: usize, item: &Value) -> Result<(), BadAnswer> {
        let Value::Object(whole) = item else { return Err(BadAnswer("an item is no object".to_owned())) };
        let mut begun = whole.clone();
        let kind = whole.get("type").and_then(Value::as_str).unwrap_or_default();
        let pieces = match kind {
            "message" => begun.insert("content".to_owned(), json!([])),
            "reasoning" => begun.insert("summary".to_owned(), json!([])),
            "function_call" => begun.insert("arguments".to_owned(), json!("")),
            _ => None,
        };
        if let Some(status) = begun.get_mut("status") {
            *status = "in_progress".into();
        }
        self.put("response.output_item.added", json!({"output_index": index, "item": begun}));
        let id = whole.get("id").unwrap_or(&Value::Null);
        match pieces {
            Some(Value::Array(parts)) => {
                for (n, part) in parts.iter().enumerate() {
                    self.part(kind, (id, index, n), part);
                }
            }
            Some(Value::String(arguments)) => {
                let place = json!({"item_id": id, "output_index": index, "name": whole.get("name")});
                self.piece("response.function_call_arguments", &place, ("arguments", &arguments));
            }
            _ => {}
        }
        self.put("response.output_item.done", json!({"output_index": index, "item": item}));
        Ok(())
    }

    /// Writes the events of a part of a message or of a summary.
    fn part(&mut self, kind: &str, (id, index, n): Place<'_>, part: &Value) {
        let (name, number) = match kind {
            "message" => ("response.content_part", "content_index"),
            _ => ("response.reasoning_summary_part", "summary_index"),
        };
        let place = json!({"item_id": id, "output_index": index, number: n});
        let text = ["text", "refusal"].into_iter().find_map(|field| Some((field, part.get(field)?.as_str()?)));
        let mut begun = part.clone();
        if let Some((field, _)) = text {
            begun[field] = "".into();
        }
        for field in ["annotations", "logprobs"] {
            if part[field].is_array() {
                begun[field] = json!([]);
            }
        }
        self.put(&format!("{name}.added"), with(&place, "part", begun));
        if let Some(text) = text {
            let pieces = match (kind, text.0) {
                ("reasoning", _) => "response.reasoning_summary_text",
                (_, "refusal") => "response.refusal",
                _ => "response.output_text",
            };
            let logprobs = part.get("logprobs").filter(|logprobs| logprobs.is_array());
            let logged = logprobs.map_or_else(|| place.clone(), |list| with(&place, "logprobs", list.clone()));
            self.piece(pieces, &logged, text);
            for (n, annotation) in part["annotations"].as_array().into_iter().flatten().enumerate() {
                let numbered = with(&place, "annotation_index", n.into());
                self.put("response.output_text.annotation.added", with(&numbered, "annotation", annotation.clone()));
            }
        }
        self.put(&format!("{name}.done"), with(&place, "part", part.clone()));
    }

    /// Writes a text as one piece.
    fn piece(&mut self, kind: &str, place: &Value, (field, text): (&str, &str)) {
        if !text.is_empty() {
            self.put(&format!("{kind}.delta"), with(place, "delta", text.into()));
        }
        self.put(&format!("{kind}.done"), with(place, field, text.into()));
    }
}

fn with(place: &Value, name: &str, value: Value) -> Value {
    let mut all = place.clone();
    all[name] = value;
    all
}

#[cfg(test)]
mod tests {
    use super::super::answer_read::as_whole;
    use super::*;
    use crate::wire::sse::{Decoder, Event};

    #[test]
    fn an_answer_with_traces_of_hosted_tools_comes_back_whole_from_its_stream() {
        let answer = json!({
            "id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "m", "new_field": 1,
            "output": [
                {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}], "encrypted_content": "e"},
                {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "rain"}},
                {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [
                    {"type": "output_text", "text": "It rains.", "annotations": [{"type": "url_citation", "url": "https://a"}]},
                    {"type": "refusal", "refusal": "No."}]},
                {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "look", "arguments": "{\"n\":1}", "status": "completed"},
            ],
            "usage": {"input_tokens": 9, "output_tokens": 7, "total_tokens": 16},
        });
        let stream = as_stream(answer.to_string().as_bytes()).unwrap();
        let mut decoder = Decoder::default();
        decoder.push(stream);
        let events: Vec<Event> = std::iter::from_fn(|| decoder.event().unwrap()).collect();
        let data: Vec<Value> =
            events.iter().map(|event| serde_json::from_slice(&event.data().unwrap()).unwrap()).collect();
        for (n, event) in data.iter().enumerate() {
            assert_eq!(event["sequence_number"], n, "{event}");
        }
        let event = |kind: &str| data.iter().find(|event| event["type"] == kind).cloned().unwrap_or_default();
        assert_eq!(event("response.output_text.delta")["delta"], "It rains.");
        assert_eq!(event("response.reasoning_summary_text.delta")["delta"], "Hm.");
        assert_eq!(event("response.function_call_arguments.done")["arguments"], "{\"n\":1}");
        assert_eq!(event("response.refusal.done")["refusal"], "No.");
        assert_eq!(event("response.created")["response"]["output"], json!([]));
        let done = data.iter().filter(|event| event["type"] == "response.output_item.done").map(|event| &event["item"]);
        assert!(done.eq(answer["output"].as_array().unwrap()));
        assert_eq!(serde_json::from_slice::<Value>(&as_whole(&events).unwrap()).unwrap(), answer);
    }

    #[test]
    fn what_did_not_end_well_is_not_told() {
        for body in ["[]", "{}", r#"{"output":[],"status":"failed"}"#, r#"{"output":[1]}"#] {
            assert!(as_stream(body.as_bytes()).is_err(), "{body}");
        }
    }
}
