//! The same answer in the other form. A stream's chunks are answers themselves: a whole one is a stream of one chunk, and
//! chunks are put together part by part, with whatever else they hold.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::stream_read::json_of;
use crate::wire::counted::add_report;
use crate::wire::dialect::BadAnswer;
use crate::wire::exact_numbers;
use crate::wire::sse::Event;

/// The most candidates of an answer.
const MAX_CANDIDATES: usize = 128;

/// Fields of a candidate whose lists go on from chunk to chunk; of every other the last one counts.
const GOING_ON: [&str; 2] = ["citationMetadata", "logprobsResult"];

/// Writes a whole answer as a stream.
///
/// # Errors
/// Where `body` is no answer.
pub(super) fn as_stream(body: &[u8]) -> Result<Bytes, BadAnswer> {
    let answer: Value = exact_numbers::read(body).map_err(|error| BadAnswer::unread(&error))?;
    if answer.get("candidates").is_none() && answer.get("promptFeedback").is_none() {
        return Err(BadAnswer("it has no `candidates`".to_owned()));
    }
    Ok(format!("data: {}\r\n\r\n", exact_numbers::write(&answer)).into())
}

/// Puts the chunks of a stream together as a whole answer.
///
/// # Errors
/// Where one is no answer, or the stream did not end well.
pub(super) fn as_whole(events: &[Event]) -> Result<Bytes, BadAnswer> {
    let mut whole = Map::new();
    let mut candidates: Vec<Map<String, Value>> = Vec::new();
    for data in events.iter().filter_map(json_of) {
        let mut chunk: Map<String, Value> = exact_numbers::read(&data).map_err(|error| BadAnswer::unread(&error))?;
        if chunk.get("error").is_some_and(|error| !error.is_null()) {
            return Err(BadAnswer("the stream ended in an error".to_owned()));
        }
        if let Some(Value::Array(list)) = chunk.get_mut("candidates") {
            for (place, candidate) in std::mem::take(list).into_iter().enumerate() {
                merge(&mut candidates, place, candidate)?;
            }
        }
        if let Some(Value::Object(before)) = whole.get_mut("usageMetadata")
            && let Some(Value::Object(later)) = chunk.get_mut("usageMetadata").map(Value::take)
        {
            add_report(before, later);
            chunk.shift_remove("usageMetadata");
        }
        whole.extend(chunk);
    }
    let finished = |candidate: &Map<String, Value>| candidate.get("finishReason").is_some_and(Value::is_string);
    let blocked = whole.get("promptFeedback").is_some_and(|feedback| feedback.get("blockReason").is_some());
    if !candidates.iter().all(finished) || (candidates.is_empty() && !blocked) {
        return Err(BadAnswer("the stream did not end well".to_owned()));
    }
    if !candidates.is_empty() {
        whole.insert("candidates".to_owned(), candidates.into_iter().map(Value::Object).collect());
    }
    Ok(exact_numbers::write(&whole).into())
}

fn merge(candidates: &mut Vec<Map<String, Value>>, place: usize, candidate: Value) -> Result<(), BadAnswer> {
    let Value::Object(candidate) = candidate else { return Err(BadAnswer("a candidate is no object".to_owned())) };
    let index = candidate.get("index").and_then(Value::as_u64).map_or(Ok(place), usize::try_from).unwrap_or(usize::MAX);
    if index >= MAX_CANDIDATES {
        return Err(BadAnswer(format!("its candidate {index} is more than {MAX_CANDIDATES} allow")));
    }
    if candidates.len() <= index {
        candidates.resize_with(index + 1, Map::new);
    }
    let whole = &mut candidates[index];
    for (name, value) in candidate {
        match (name.as_str(), whole.get_mut(&name), value) {
            ("content", Some(Value::Object(place)), Value::Object(more)) => add_content(place, more),
            ("content", None, Value::Object(more)) => {
                let mut place = Map::new();
                add_content(&mut place, more);
                whole.insert(name, place.into());
            }
            (known, Some(Value::Object(place)), Value::Object(more)) if GOING_ON.contains(&known) => go_on(place, more),
            (_, _, value) => drop(whole.insert(name, value)),
        }
    }
    Ok(())
}

fn add_content(place: &mut Map<String, Value>, more: Map<String, Value>) {
    for (name, value) in more {
        match (name.as_str(), value) {
            ("parts", Value::Array(parts)) => {
                if let Value::Array(list) = place.entry(name).or_insert_with(|| json!([])) {
                    parts.into_iter().for_each(|part| add_part(list, part));
                }
            }
            (_, value) => drop(place.insert(name, value)),
        }
    }
}

/// Adds a part, to the text before it where both are plain pieces of one.
fn add_part(parts: &mut Vec<Value>, part: Value) {
    let plain = |part: &Value| {
        let fields = part.as_object()?;
        let alone = fields.keys().all(|key| matches!(key.as_str(), "text" | "thought"));
        fields.get("text").filter(|_| alone)?.as_str().map(str::to_owned)
    };
    if let Some(text) = plain(&part)
        && let Some(last) = parts.last_mut()
    {
        if text.is_empty() {
            return;
        }
        if let Some(before) = plain(last).filter(|_| last.get("thought") == part.get("thought")) {
            last["text"] = (before + &text).into();
            return;
        }
    }
    parts.push(part);
}

fn go_on(place: &mut Map<String, Value>, more: Map<String, Value>) {
    for (name, value) in more {
        match (place.get_mut(&name), value) {
            (Some(Value::Array(list)), Value::Array(more)) => list.extend(more),
            (_, value) => drop(place.insert(name, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::sse::tests::events;

    fn chunk(chunk: &Value) -> String {
        format!("data: {chunk}\r\n\r\n")
    }

    #[test]
    fn chunks_are_put_together_with_what_nobody_knows() {
        let parts = |parts: Value| json!({"content": {"role": "model", "parts": parts}, "index": 0});
        let mut last = parts(json!([{"text": "."}, {"text": "", "thoughtSignature": "s"}]));
        last["finishReason"] = "STOP".into();
        last["groundingMetadata"] = json!({"webSearchQueries": ["rain"]});
        last["citationMetadata"] = json!({"citationSources": [{"uri": "b"}]});
        let mut middle = parts(json!([{"executableCode": {"language": "PYTHON", "code": "1"}}, {"text": "It "}]));
        middle["citationMetadata"] = json!({"citationSources": [{"uri": "a"}]});
        let stream = [
            chunk(&json!({"candidates": [parts(json!([{"text": "H", "thought": true}]))], "responseId": "r"})),
            chunk(&json!({"candidates": [parts(json!([{"text": "m.", "thought": true}]))], "usageMetadata": {"totalTokenCount": 1}})),
            chunk(&json!({"candidates": [middle]})),
            chunk(&json!({"candidates": [parts(json!([{"text": "rains"}]))]})),
        ]
        .concat();
        let ended =
            format!("{stream}{}", chunk(&json!({"candidates": [last], "usageMetadata": {"totalTokenCount": 9}})));
        let whole: Value = serde_json::from_slice(&as_whole(&events(ended.into())).unwrap()).unwrap();
        let expected = json!({
            "candidates": [{"content": {"role": "model", "parts": [{"text": "Hm.", "thought": true},
                {"executableCode": {"language": "PYTHON", "code": "1"}}, {"text": "It rains."},
                {"text": "", "thoughtSignature": "s"}]}, "index": 0, "finishReason": "STOP",
                "groundingMetadata": {"webSearchQueries": ["rain"]},
                "citationMetadata": {"citationSources": [{"uri": "a"}, {"uri": "b"}]}}],
            "responseId": "r", "usageMetadata": {"totalTokenCount": 9},
        });
        assert_eq!(whole, expected);
        let again = as_stream(whole.to_string().as_bytes()).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&as_whole(&events(again)).unwrap()).unwrap(), expected);
        assert!(as_whole(&events(stream.into())).is_err(), "it has no end");
    }

    #[test]
    fn a_blocked_prompt_is_an_answer_and_an_error_is_none() {
        let blocked = chunk(&json!({"promptFeedback": {"blockReason": "SAFETY"}}));
        assert!(as_whole(&events(blocked.into())).is_ok());
        for stream in [chunk(&json!({"error": {"code": 500}})), String::new(), chunk(&json!([1]))] {
            assert!(as_whole(&events(stream.into())).is_err());
        }
        assert!(as_stream(b"{}").is_err());
    }
}
