//! The same answer in the other form: a whole one written as a stream, a stream put together as a whole. Unknown blocks,
//! deltas and fields stay.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::stream_write::put;
use crate::wire::counted::add_report;
use crate::wire::dialect::BadAnswer;
use crate::wire::exact_numbers;
use crate::wire::sse::Event;

/// Fields of a message that a stream sends at its end, within `delta`.
const ENDING: [&str; 4] = ["stop_reason", "stop_sequence", "stop_details", "container"];

/// The most blocks of an answer.
const MAX_BLOCKS: usize = 10_000;

/// Writes a whole answer as a stream.
///
/// # Errors
/// Where `body` is no answer.
pub(super) fn as_stream(body: &[u8]) -> Result<Bytes, BadAnswer> {
    let mut message: Map<String, Value> = exact_numbers::read(body).map_err(|error| BadAnswer::unread(&error))?;
    let Some(Value::Array(blocks)) = message.insert("content".to_owned(), json!([])) else {
        return Err(BadAnswer("it has no list `content`".to_owned()));
    };
    let mut ending = json!({"type": "message_delta", "delta": {}, "usage": message.get("usage")});
    for name in ENDING {
        if let Some(place) = message.get_mut(name) {
            ending["delta"][name] = place.take();
        }
    }
    ending["delta"]["stop_reason"].as_str().ok_or_else(|| BadAnswer("it did not end".to_owned()))?;
    if let Some(context) = message.shift_remove("context_management") {
        ending["context_management"] = context;
    }
    if let Some(Value::Object(usage)) = message.get_mut("usage") {
        usage.insert("output_tokens".to_owned(), 1.into());
    }
    let mut out = Vec::with_capacity(body.len() * 2);
    put(&mut out, "message_start", &json!({"type": "message_start", "message": message}));
    for (index, block) in blocks.into_iter().enumerate() {
        put_block(&mut out, index, block)?;
    }
    put(&mut out, "message_delta", &ending);
    put(&mut out, "message_stop", &json!({"type": "message_stop"}));
    Ok(out.into())
}

/// Writes a block: what streams in pieces as one piece, the rest with its start.
fn put_block(out: &mut Vec<u8>, index: usize, block: Value) -> Result<(), BadAnswer> {
    let Value::Object(mut block) = block else { return Err(BadAnswer("a block is no object".to_owned())) };
    let mut deltas = Vec::new();
    let mut take = |field: &str, kind: &str| {
        if let Some(Value::String(text)) = block.get_mut(field) {
            let text = std::mem::take(text);
            deltas.extend((!text.is_empty()).then(|| json!({"type": kind, field: text})));
        }
    };
    take("text", "text_delta");
    take("thinking", "thinking_delta");
    take("signature", "signature_delta");
    if let Some(Value::Array(citations)) = block.get_mut("citations") {
        let citations = std::mem::take(citations).into_iter();
        deltas.extend(citations.map(|citation| json!({"type": "citations_delta", "citation": citation})));
    }
    if block.get("type").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("tool_use"))
        && let Some(input) = block.insert("input".to_owned(), json!({}))
    {
        deltas.push(json!({"type": "input_json_delta", "partial_json": exact_numbers::write(&input)}));
    }
    put(out, "content_block_start", &json!({"type": "content_block_start", "index": index, "content_block": block}));
    for delta in deltas {
        put(out, "content_block_delta", &json!({"type": "content_block_delta", "index": index, "delta": delta}));
    }
    put(out, "content_block_stop", &json!({"type": "content_block_stop", "index": index}));
    Ok(())
}

/// Puts the events of a stream together as a whole answer.
///
/// # Errors
/// Where an event is none of this dialect, or the stream did not end well.
pub(super) fn as_whole(events: &[Event]) -> Result<Bytes, BadAnswer> {
    let mut whole = Whole::default();
    for data in events.iter().filter_map(Event::data).filter(|data| !data.trim_ascii().is_empty()) {
        whole.take(exact_numbers::read(&data).map_err(|error| BadAnswer::unread(&error))?)?;
    }
    let (Some(mut message), true) = (whole.message, whole.ended) else {
        return Err(BadAnswer("the stream did not end well".to_owned()));
    };
    message.insert("content".to_owned(), whole.blocks.into_iter().map(Value::Object).collect());
    Ok(exact_numbers::write(&message).into())
}

/// An answer, as far as its stream has come.
#[derive(Default)]
struct Whole {
    message: Option<Map<String, Value>>,
    blocks: Vec<Map<String, Value>>,
    /// The open block's number, and its input so far.
    open: Option<(Value, String)>,
    ended: bool,
}

impl Whole {
    fn take(&mut self, mut event: Map<String, Value>) -> Result<(), BadAnswer> {
        let kind = event.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut field = |name: &str| match event.shift_remove(name) {
            Some(Value::Object(field)) => Ok(field),
            _ => Err(BadAnswer(format!("a {kind} has no object `{name}`"))),
        };
        match kind.as_str() {
            "message_start" => self.message = Some(field("message")?),
            "content_block_start" => {
                if self.blocks.len() == MAX_BLOCKS {
                    return Err(BadAnswer(format!("it has more than {MAX_BLOCKS} blocks")));
                }
                self.blocks.push(field("content_block")?);
                self.open = Some((event.get("index").cloned().unwrap_or_default(), String::new()));
            }
            "content_block_delta" => {
                let delta = field("delta")?;
                self.delta(event.get("index"), delta)?;
            }
            "content_block_stop" => self.close(),
            "message_delta" => {
                let delta = field("delta")?;
                self.finish(delta, event);
            }
            "message_stop" => self.ended = true,
            "error" => return Err(BadAnswer("the stream ended in an error".to_owned())),
            _ => {}
        }
        Ok(())
    }

    fn delta(&mut self, index: Option<&Value>, mut delta: Map<String, Value>) -> Result<(), BadAnswer> {
        let kind = delta.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        let (Some((open, input)), Some(block)) = (&mut self.open, self.blocks.last_mut()) else {
            return Err(BadAnswer("a delta is of a block that is not open".to_owned()));
        };
        if index.is_some_and(|index| index != open) {
            return Err(BadAnswer("a delta is of a block that is not open".to_owned()));
        }
        if kind == "input_json_delta" {
            input.push_str(delta.get("partial_json").and_then(Value::as_str).unwrap_or_default());
            return Ok(());
        }
        if let Some(citation) = delta.shift_remove("citation") {
            match block.entry("citations").or_insert_with(|| json!([])) {
                Value::Array(citations) => citations.push(citation),
                place => *place = json!([citation]),
            }
            return Ok(());
        }
        // Any other delta adds to the block's text of the same name.
        for (name, more) in delta.into_iter().filter(|(name, _)| name != "type") {
            let Value::String(more) = more else {
                return Err(BadAnswer::of_type("a delta", &kind));
            };
            match block.entry(name).or_insert_with(|| json!("")) {
                Value::String(text) => text.push_str(&more),
                place => *place = more.into(),
            }
        }
        Ok(())
    }

    fn close(&mut self) {
        let (Some((_, input)), Some(block)) = (self.open.take(), self.blocks.last_mut()) else { return };
        if !input.trim().is_empty() {
            // An input that is no JSON, cut off at the limit, stays the text that it is.
            let read = exact_numbers::read(input.as_bytes()).unwrap_or_else(|_| input.into());
            block.insert("input".to_owned(), read);
        }
    }

    fn finish(&mut self, delta: Map<String, Value>, event: Map<String, Value>) {
        self.close();
        let Some(message) = &mut self.message else { return };
        message.extend(delta);
        for (name, value) in event.into_iter().filter(|(name, _)| name != "type") {
            match (message.get_mut(&name), value) {
                (Some(Value::Object(place)), Value::Object(more)) => {
                    // The one token of output that a stream begins with is no count.
                    if let Some(output) = place.get_mut("output_tokens")
                        && exact_numbers::as_f64(output) == Some(1.0)
                        && more.contains_key("output_tokens")
                    {
                        *output = 0.into();
                    }
                    add_report(place, more);
                }
                (_, value) => drop(message.insert(name, value)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::sse::tests::events;

    fn searched() -> Value {
        json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "container": {"id": "c"},
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "sig"},
                {"type": "redacted_thinking", "data": "d"},
                {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "rain", "n": 0.1}},
                {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [
                    {"type": "web_search_result", "url": "https://a", "title": "A", "encrypted_content": "e"}]},
                {"type": "text", "text": "It rains.", "citations": [{"type": "web_search_result_location",
                    "url": "https://a", "encrypted_index": "i", "cited_text": "rain"}]},
                {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}},
                {"type": "block_of_next_year", "shape": {"deep": [1, null]}},
            ],
            "stop_reason": "tool_use", "stop_sequence": null, "context_management": {"applied_edits": []},
            "usage": {"input_tokens": 5, "output_tokens": 9, "server_tool_use": {"web_search_requests": 1}},
        })
    }

    #[test]
    fn an_answer_with_blocks_of_server_tools_comes_back_whole_from_its_stream() {
        let stream = as_stream(searched().to_string().as_bytes()).unwrap();
        let text = String::from_utf8(stream.to_vec()).unwrap();
        assert!(
            text.contains(
                r#""content_block":{"type":"web_search_tool_result","tool_use_id":"srvtoolu_1","content":[{"#
            )
        );
        assert!(text.contains(r#""partial_json":"{\"query\":\"rain\",\"n\":0.1}""#), "{text}");
        assert_eq!(text.matches("event: message_start\n").count(), 1);
        let whole: Value = serde_json::from_slice(&as_whole(&events(stream)).unwrap()).unwrap();
        assert_eq!(whole, searched());
    }

    #[test]
    fn a_stream_keeps_what_is_unknown() {
        let stream = "data: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"content\":[],\"stop_reason\":null,\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n\
            data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"compaction\",\"content\":null}}\n\n\
            data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"compaction_delta\",\"content\":\"a\"}}\n\n\
            data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"compaction_delta\",\"content\":\"b\"}}\n\n\
            data: {\"type\":\"content_block_stop\",\"index\":0}\n\ndata: {\"type\":\"ping\"}\n\n\
            data: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"n\",\"input\":{}}}\n\n\
            data: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"n\\\":12345678901234567890\"}}\n\n\
            data: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"1234}\"}}\n\n\
            data: {\"type\":\"content_block_stop\",\"index\":1}\n\n\
            data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"new_field\":1},\"usage\":{\"output_tokens\":7,\"input_tokens\":null},\"other\":2}\n\n";
        let ended = format!("{stream}data: {{\"type\":\"message_stop\"}}\n\n");
        let whole = as_whole(&events(ended.into())).unwrap();
        assert_eq!(
            String::from_utf8(whole.to_vec()).unwrap(),
            r#"{"id":"m","content":[{"type":"compaction","content":"ab"},{"type":"tool_use","id":"t","name":"n","input":{"n":123456789012345678901234}}],"stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":7},"new_field":1,"other":2}"#
        );
        assert!(as_whole(&events(stream.into())).is_err(), "it has no end");
        let failed = format!("{stream}event: error\ndata: {{\"type\":\"error\",\"error\":{{}}}}\n\n");
        assert!(as_whole(&events(failed.into())).is_err());
    }

    #[test]
    fn what_is_no_answer_is_no_stream() {
        for body in ["[]", "{}", r#"{"content":[]}"#, r#"{"content":[3],"stop_reason":"end_turn"}"#] {
            assert!(as_stream(body.as_bytes()).is_err(), "{body}");
        }
    }
}
