//! Rewrites an answer in its other form: a whole answer as a stream, and a stream's chunks as a whole answer.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::wire::counted::add_report;
use crate::wire::dialect::BadAnswer;
use crate::wire::openai::{DONE, put_event};
use crate::wire::sse::Event;

/// Writes a whole answer as a stream, with a usage chunk where `include_usage` asks for one.
///
/// # Errors
/// Where `body` is no chat completion.
pub(super) fn as_stream(body: &[u8], include_usage: bool) -> Result<Bytes, BadAnswer> {
    let answer: Map<String, Value> = serde_json::from_slice(body).map_err(|_| bad("it is no JSON object"))?;
    let choices = answer.get("choices").and_then(Value::as_array).ok_or_else(|| bad("it has no `choices`"))?;
    let mut frame = answer.clone();
    frame.insert("object".to_owned(), "chat.completion.chunk".into());
    let usage = frame.shift_remove("usage");
    let mut out = Vec::with_capacity(body.len() * 2);
    for choice in choices {
        let index = choice.get("index").cloned().unwrap_or(json!(0));
        let (first, rest) = deltas(choice)?;
        let role = json!({"index": index, "delta": first, "logprobs": null, "finish_reason": null});
        put_chunk(&mut out, &mut frame, role);
        let logprobs = choice.get("logprobs").cloned().unwrap_or_default();
        if !rest.is_empty() {
            put_chunk(
                &mut out,
                &mut frame,
                json!({"index": index, "delta": rest, "logprobs": logprobs, "finish_reason": null}),
            );
        }
        let reason = choice.get("finish_reason").cloned().unwrap_or(json!("stop"));
        put_chunk(
            &mut out,
            &mut frame,
            json!({"index": index, "delta": {}, "logprobs": null, "finish_reason": reason}),
        );
    }
    if let (true, Some(usage)) = (include_usage, usage) {
        frame.insert("choices".to_owned(), json!([]));
        frame.insert("usage".to_owned(), usage);
        put_event(Value::from(frame).to_string().as_bytes(), &mut out);
    }
    put_event(DONE, &mut out);
    Ok(out.into())
}

/// Two deltas for a choice's message: the first has the role, the second all other fields.
fn deltas(choice: &Value) -> Result<(Value, Map<String, Value>), BadAnswer> {
    let message = choice.get("message").and_then(Value::as_object).ok_or_else(|| bad("a choice has no message"))?;
    let mut rest = message.clone();
    let role = rest.shift_remove("role").unwrap_or(json!("assistant"));
    if let Some(Value::Array(calls)) = rest.get_mut("tool_calls") {
        for (n, call) in calls.iter_mut().enumerate() {
            if let Value::Object(call) = call {
                call.shift_insert(0, "index".to_owned(), n.into());
            }
        }
    }
    rest.retain(|_, value| !value.is_null());
    let content = if rest.contains_key("content") { json!("") } else { Value::Null };
    Ok((json!({"role": role, "content": content}), rest))
}

fn bad(problem: &str) -> BadAnswer {
    BadAnswer(format!("cannot be replayed: {problem}"))
}

fn put_chunk(out: &mut Vec<u8>, frame: &mut Map<String, Value>, choice: Value) {
    frame.insert("choices".to_owned(), Value::Array(vec![choice]));
    put_event(Value::Object(frame.clone()).to_string().as_bytes(), out);
}

/// Puts the events of a stream together as a whole answer.
///
/// # Errors
/// Where an event is no chunk, or there is no event.
pub(super) fn as_whole(events: &[Event]) -> Result<Bytes, BadAnswer> {
    let mut answer: Option<Map<String, Value>> = None;
    let mut choices: Vec<Map<String, Value>> = Vec::new();
    for data in events.iter().filter_map(Event::data).filter(|data| data.as_ref() != DONE) {
        let mut chunk: Map<String, Value> =
            serde_json::from_slice(&data).map_err(|_| bad("an event is no JSON object"))?;
        if let Some(Value::Array(parts)) = chunk.insert("choices".to_owned(), json!([])) {
            for part in parts {
                merge_choice(&mut choices, part)?;
            }
        }
        let usage = chunk.shift_remove("usage").filter(|usage| !usage.is_null());
        let answer = answer.get_or_insert(chunk);
        match (answer.get_mut("usage"), usage) {
            (Some(Value::Object(before)), Some(Value::Object(later))) => add_report(before, later),
            (_, usage) => drop(usage.map(|usage| answer.insert("usage".to_owned(), usage))),
        }
    }
    let mut answer = answer.ok_or_else(|| bad("it has no chunks"))?;
    choices.sort_by_key(|choice| choice.get("index").and_then(Value::as_u64));
    answer.insert("object".to_owned(), "chat.completion".into());
    answer.insert("choices".to_owned(), choices.into_iter().map(Value::Object).collect());
    Ok(Value::Object(answer).to_string().into())
}

fn merge_choice(choices: &mut Vec<Map<String, Value>>, part: Value) -> Result<(), BadAnswer> {
    let Value::Object(mut part) = part else { return Err(bad("a choice is no object")) };
    let index = part.get("index").cloned().unwrap_or(json!(0));
    let place = choices.iter().position(|choice| choice.get("index") == Some(&index));
    let choice = match place {
        Some(place) => &mut choices[place],
        None => {
            let message = json!({"role": "assistant", "content": null, "refusal": null});
            let fresh = json!({"index": index, "message": message, "logprobs": null, "finish_reason": null});
            choices.extend(fresh.as_object().cloned());
            choices.last_mut().ok_or_else(|| bad("a choice is no object"))?
        }
    };
    if let Some(Value::Object(delta)) = part.shift_remove("delta")
        && let Some(Value::Object(message)) = choice.get_mut("message")
    {
        merge_delta(message, delta);
    }
    for (name, value) in part.into_iter().filter(|(_, value)| !value.is_null()) {
        match (choice.get_mut(&name), value) {
            (Some(Value::Object(before)), Value::Object(more)) if name == "logprobs" => append_lists(before, more),
            (_, value) => drop(choice.insert(name, value)),
        }
    }
    Ok(())
}

/// Lists of a message that come in pieces.
const LISTS: [&str; 3] = ["reasoning_details", "annotations", "images"];

/// Texts and lists grow, tool calls grow by their index, anything else is replaced.
fn merge_delta(message: &mut Map<String, Value>, delta: Map<String, Value>) {
    for (name, value) in delta {
        match (message.get_mut(&name), value) {
            (_, Value::Null) => {}
            (Some(Value::String(text)), Value::String(more)) if name != "role" => text.push_str(&more),
            (before, Value::Array(calls)) if name == "tool_calls" => {
                let mut merged = before.and_then(|calls| calls.as_array().cloned()).unwrap_or_default();
                calls.into_iter().for_each(|call| merge_call(&mut merged, call));
                message.insert(name, merged.into());
            }
            (Some(Value::Array(list)), Value::Array(more)) if LISTS.contains(&name.as_str()) => list.extend(more),
            (_, value) => drop(message.insert(name, value)),
        }
    }
}

fn merge_call(calls: &mut Vec<Value>, mut call: Value) {
    let index = call.as_object_mut().and_then(|call| call.shift_remove("index"));
    let place = index.and_then(|index| usize::try_from(index.as_u64()?).ok()).unwrap_or(calls.len());
    let Some(before) = calls.get_mut(place) else {
        calls.push(call);
        return;
    };
    for place in ["/function/arguments", "/custom/input"] {
        let more = call.pointer(place).and_then(Value::as_str).unwrap_or_default();
        if let Some(Value::String(text)) = before.pointer_mut(place) {
            text.push_str(more);
        }
    }
    if let (Some(before), Some(extra)) = (before.as_object_mut(), call.get("extra_content")) {
        before.insert("extra_content".to_owned(), extra.clone());
    }
}

fn append_lists(before: &mut Map<String, Value>, more: Map<String, Value>) {
    for (name, value) in more {
        match (before.get_mut(&name), value) {
            (Some(Value::Array(list)), Value::Array(more)) => list.extend(more),
            (_, Value::Null) => {}
            (_, value) => drop(before.insert(name, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::sse::Decoder;

    fn events(stream: Bytes) -> Vec<Event> {
        let mut decoder = Decoder::default();
        decoder.push(stream);
        std::iter::from_fn(|| decoder.event().unwrap()).collect()
    }

    fn whole() -> Value {
        json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Grüße", "refusal": null},
             "logprobs": {"content": [{"token": "Gr"}, {"token": "üße"}]}, "finish_reason": "stop"},
            {"index": 1, "message": {"role": "assistant", "content": null, "refusal": null, "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"x\":1}"}},
                {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}}]},
             "logprobs": null, "finish_reason": "tool_calls"}],
            "system_fingerprint": "fp", "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}})
    }

    #[test]
    fn a_whole_answer_survives_both_ways() {
        let stream = as_stream(whole().to_string().as_bytes(), true).unwrap();
        let back: Value = serde_json::from_slice(&as_whole(&events(stream)).unwrap()).unwrap();
        assert_eq!(back, whole());
    }

    #[test]
    fn usage_is_told_only_to_who_asks() {
        let stream = as_stream(whole().to_string().as_bytes(), false).unwrap();
        assert!(memchr::memmem::find(&stream, b"usage").is_none());
        assert!(stream.ends_with(b"data: [DONE]\n\n"));
    }

    #[test]
    fn fragments_of_parallel_tool_calls_are_put_together() {
        let delta =
            |delta: Value| format!("data: {}\n\n", json!({"id": "1", "choices": [{"index": 0, "delta": delta}]}));
        let stream = [
            delta(json!({"role": "assistant", "content": null})),
            delta(json!({"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]})),
            delta(json!({"tool_calls": [{"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": "{"}}]})),
            delta(json!({"tool_calls": [{"index": 0, "function": {"arguments": "{\"x\""}}]})),
            delta(json!({"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}, {"index": 1, "function": {"arguments": "}"}}]})),
        ]
        .concat();
        let whole: Value = serde_json::from_slice(&as_whole(&events(stream.into())).unwrap()).unwrap();
        let calls = &whole["choices"][0]["message"]["tool_calls"];
        assert_eq!(calls[0]["function"]["arguments"], "{\"x\":1}");
        assert_eq!(calls[1]["function"]["arguments"], "{}");
        assert_eq!(calls[1]["id"], "b");
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for body in ["", "[]", "{}", "{\"choices\":[{}]}"] {
            assert!(as_stream(body.as_bytes(), false).is_err(), "{body}");
        }
        assert!(as_whole(&[]).is_err());
        assert!(as_whole(&events(Bytes::from_static(b"data: x\n\n"))).is_err());
    }
}
