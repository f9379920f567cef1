//! Streams, both ways.

use super::*;
use crate::chat::{Code, Collector, Content, Delta, Part, Response, Stop, Usage};

fn chunk(delta: Value) -> Value {
    let mut chunk = json!({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": 0, "finish_reason": null}]});
    chunk["choices"][0]["delta"] = delta;
    chunk
}

fn last(reason: &str) -> Value {
    json!({"id": "c1", "created": 1, "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
}

fn fragment(index: u64, id: &str, name: &str, arguments: &str) -> Value {
    let mut call = json!({"index": index, "function": {"arguments": arguments}});
    if !id.is_empty() {
        call["id"] = id.into();
    }
    if !name.is_empty() {
        call["function"]["name"] = name.into();
    }
    chunk(json!({ "tool_calls": [call] }))
}

fn usage() -> Value {
    json!({"id": "c1", "created": 1, "model": "m", "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}})
}

/// The whole answer of a stream, after a check of the order of its events.
fn collected(stream: &str) -> Response {
    let events = meant(&[stream.as_bytes()]).unwrap();
    check_order(&events);
    let mut collector = Collector::default();
    events.into_iter().for_each(|event| collector.take(event));
    collector.finish().expect("the stream ended well")
}

/// One part of a choice is open at a time, `Begin` is first and `End` last.
pub(super) fn check_order(events: &[Event]) {
    let mut open = std::collections::BTreeMap::new();
    assert!(matches!(events.first(), Some(Event::Begin { .. })));
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Begin { .. })).count(), 1);
    assert!(matches!(events.last(), Some(Event::End)));
    for event in events {
        match event {
            Event::Open { choice, part, .. } => assert_eq!(open.insert(*choice, *part), None),
            Event::Delta { choice, part, .. } => assert_eq!(open.get(choice), Some(part)),
            Event::Close { choice, part } => assert_eq!(open.remove(choice), Some(*part)),
            Event::Finish { choice, .. } => assert_eq!(open.get(choice), None),
            _ => {}
        }
    }
    assert!(open.is_empty());
}

fn fixtures() -> Vec<String> {
    let role = chunk(json!({"role": "assistant", "content": null}));
    let say = |text: &str| chunk(json!({ "content": text }));
    vec![
        stream(&[role.clone(), say("Grü"), say("ße"), last("stop"), usage()]),
        stream(&[
            chunk(json!({"reasoning_content": "Hm"})),
            chunk(json!({"reasoning_content": ", so"})),
            say("Hi"),
            last("length"),
        ]),
        stream(&[
            say("Two:"),
            fragment(0, "a", "f", ""),
            fragment(0, "", "", "{\"x\""),
            fragment(1, "b", "g", "{\"}"),
            fragment(0, "", "", ":1}"),
            fragment(1, "", "", "\":2}"),
            last("tool_calls"),
            usage(),
        ]),
        stream(&[chunk(json!({"refusal": "No"})), chunk(json!({"refusal": "."})), last("stop")]),
    ]
}

#[test]
fn every_cut_means_the_same() {
    for stream in fixtures() {
        let bytes = stream.as_bytes();
        let whole = meant(&[bytes]).unwrap();
        check_order(&whole);
        for cut in 0..=bytes.len() {
            assert_eq!(meant(&[&bytes[..cut], &bytes[cut..]]).unwrap(), whole, "cut at {cut}");
        }
    }
}

/// A thought, with its place and its proof.
fn placed(text: &str, proof: &str) -> Part {
    Part { signature: Some(proof.to_owned()), ..Part::new(Content::Thinking(text.to_owned())) }
}

#[test]
fn a_stream_means_what_it_says() {
    let [text, thought, calls, refusal] = &fixtures()[..] else { panic!() };
    let read = collected(text);
    assert_eq!(read.choices[0].parts, [Part::text("Grüße")]);
    assert_eq!((read.id.as_str(), read.created, &read.choices[0].stop), ("c1", Some(1), &Some(Stop::End)));
    assert_eq!(read.usage, Some(Usage { input: 5, output: 2, ..Usage::default() }));
    let read = collected(thought);
    assert_eq!(read.choices[0].parts, [placed("Hm, so", "in:reasoning_content\n\n"), Part::text("Hi")]);
    assert_eq!(read.choices[0].stop, Some(Stop::Length));
    let read = collected(refusal);
    assert_eq!(read.choices[0].parts, [Part::new(Content::Refusal("No.".to_owned()))]);
    assert_eq!(read.choices[0].stop, Some(Stop::Refused));
    let call = |id: &str, name: &str, arguments: &str| {
        let (id, name, arguments) = (id.to_owned(), name.to_owned(), arguments.to_owned());
        Part::new(Content::ToolCall { id, name, arguments })
    };
    let read = collected(calls);
    assert_eq!(read.choices[0].parts, [Part::text("Two:"), call("a", "f", "{\"x\":1}"), call("b", "g", "{\"}\":2}")]);
    assert_eq!(read.choices[0].stop, Some(Stop::Tools));
}

#[test]
fn calls_of_careless_servers_are_told_apart() {
    let arguments = |stream: &[Value]| -> Vec<(String, String)> {
        let parts = collected(&super::stream(stream)).choices.remove(0).parts;
        let call = |part: Part| match part.content {
            Content::ToolCall { id, arguments, .. } => Some((id, arguments)),
            _ => None,
        };
        parts.into_iter().filter_map(call).collect()
    };
    let pair = |a: (&str, &str), b: (&str, &str)| [a, b].map(|(id, json)| (id.to_owned(), json.to_owned()));
    // All of index 0.
    let same = [fragment(0, "a", "f", "{}"), fragment(0, "b", "f", "{\"x\":1}"), last("stop")];
    assert_eq!(arguments(&same), pair(("a", "{}"), ("b", "{\"x\":1}")));
    // Id and name on each fragment, and an empty one after the end.
    let again = [
        fragment(0, "a", "f", "{\"x\""),
        fragment(0, "a", "f", ":1}"),
        fragment(1, "b", "f", "{}"),
        fragment(0, "a", "f", ""),
        last("tool_calls"),
    ];
    assert_eq!(arguments(&again), pair(("a", "{\"x\":1}"), ("b", "{}")));
    // No index, no id, no arguments.
    let bare = |name: &str| chunk(json!({"tool_calls": [{"function": {"name": name}}]}));
    let bare = [bare("f"), bare("g"), last("stop")];
    assert_eq!(arguments(&bare).len(), 2);
    assert_eq!(arguments(&bare)[0].0, "call_0_0");
}

#[test]
fn a_proof_ends_a_thought_that_is_told_twice() {
    let detail = |detail: Value| json!([detail]);
    let stream = stream(&[
        chunk(
            json!({"reasoning": "Hm", "reasoning_details": detail(json!({"type": "reasoning.text", "text": "Hm", "index": 0}))}),
        ),
        chunk(json!({"reasoning_details": detail(json!({"type": "reasoning.text", "text": "Hm", "signature": "s"}))})),
        chunk(json!({"reasoning_details": detail(json!({"type": "reasoning.text", "text": "So", "signature": "t"}))})),
        chunk(json!({"reasoning_details": detail(json!({"type": "reasoning.encrypted", "data": "d"}))})),
        chunk(json!({"content": "Hi"})),
        last("stop"),
    ]);
    let first = placed("Hm", "in:reasoning_details\n{\"type\":\"reasoning.text\",\"index\":0}\ns");
    let second = placed("So", "in:reasoning_details\n{\"type\":\"reasoning.text\"}\nt");
    let data = "in:reasoning_details\n{\"type\":\"reasoning.encrypted\"}\nd".to_owned();
    let redacted = Part::new(Content::RedactedThinking(data));
    assert_eq!(collected(&stream).choices[0].parts, [first, second, redacted, Part::text("Hi")]);
}

#[test]
fn choices_that_interleave_are_read_apart() {
    let say = |index: u32, text: &str| json!({"id": "1", "choices": [{"index": index, "delta": {"content": text}}]});
    let end = |index: u32| json!({"choices": [{"index": index, "delta": {}, "finish_reason": "stop"}]});
    let read = collected(&stream(&[say(0, "a"), say(1, "x"), say(0, "b"), end(0), say(1, "y"), end(1)]));
    assert_eq!(read.choices[0].parts, [Part::text("ab")]);
    assert_eq!(read.choices[1].parts, [Part::text("xy")]);
}

#[test]
fn a_stream_ends_without_done_where_its_finish_reason_came() {
    let stream = stream(&[chunk(json!({"content": "Hi"})), last("stop")]);
    let cut = stream.strip_suffix("data: [DONE]\n\n").unwrap();
    let events = meant(&[cut.as_bytes()]).unwrap();
    assert!(matches!(events[..], [.., Event::Finish { stop: Stop::End, .. }, Event::End]), "{events:?}");
    let torn = cut.split_inclusive("\n\n").next().unwrap();
    let events = meant(&[torn.as_bytes()]).unwrap();
    assert!(!events.contains(&Event::End), "{events:?}");
}

#[test]
fn a_providers_error_ends_a_stream() {
    let stream = "data: {\"error\":{\"message\":\"boom\",\"code\":\"busy\"}}\n\ndata: [DONE]\n\n";
    let events = meant(&[stream.as_bytes()]).unwrap();
    let [Event::Failed(error)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((error.message.as_str(), error.upstream_code.as_deref()), ("boom", Some("busy")));
}

#[test]
fn what_is_no_chunk_is_told() {
    for data in ["<html>", "[1]", "3", "{\"choices\":3}", "{\"choices\":[{\"index\":4000000000,\"delta\":{}}]}"] {
        assert!(meant(&[format!("data: {data}\n\n").as_bytes()]).is_err(), "{data}");
    }
    for data in ["", "{}", "{\"choices\":[]}", "{\"choices\":null,\"usage\":null}"] {
        assert_eq!(meant(&[format!("data: {data}\n\n: ping\n\n").as_bytes()]), Ok(Vec::new()), "{data}");
    }
    let late = stream(&[last("stop"), chunk(json!({"content": "More"}))]);
    assert!(meant(&[late.as_bytes()]).is_err());
    let nameless = stream(&[fragment(0, "a", "", "{}"), last("stop")]);
    assert!(meant(&[nameless.as_bytes()]).is_err());
}

#[test]
fn a_written_stream_has_openais_chunks() {
    let open = |part, content| Event::Open { choice: 0, part, content };
    let delta = |part, delta| Event::Delta { choice: 0, part, delta };
    let close = |part| Event::Close { choice: 0, part };
    let call = Content::ToolCall { id: "a".to_owned(), name: "f".to_owned(), arguments: String::new() };
    let events = vec![
        Event::Begin { id: "r".to_owned(), model: "m".to_owned(), created: None },
        open(0, Content::Thinking(String::new())),
        delta(0, Delta::Text("Hm".to_owned())),
        delta(0, Delta::Signature("s".to_owned())),
        close(0),
        open(1, Content::Text { text: String::new(), citations: Vec::new() }),
        delta(1, Delta::Text("Hi".to_owned())),
        close(1),
        open(2, call),
        close(2),
        Event::Finish { choice: 0, stop: Stop::Tools },
        Event::Usage(Usage { input: 3, output: 2, ..Usage::default() }),
        Event::End,
    ];
    let stream = written(events.clone(), &context());
    let chunks: Vec<Value> =
        stream.split("\n\n").filter_map(|event| serde_json::from_str(event.strip_prefix("data: ")?).ok()).collect();
    assert!(chunks.iter().all(|chunk| chunk["id"] == "r" && chunk["created"] == 7 && chunk["model"] == "asked-for"));
    let deltas: Vec<&Value> = chunks.iter().map(|chunk| &chunk["choices"][0]["delta"]).collect();
    assert_eq!(
        deltas,
        [
            &json!({"role": "assistant", "content": "", "refusal": null}),
            &json!({"reasoning_content": "Hm"}),
            &json!({"reasoning_details": [{"type": "reasoning.text", "text": "Hm", "signature": "s", "index": 0}]}),
            &json!({"content": "Hi"}),
            &json!({"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]}),
            &json!({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}),
            &json!({}),
            &Value::Null,
        ]
    );
    assert_eq!(chunks[6]["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(chunks[7]["usage"]["total_tokens"], 5);
    assert!(chunks[..7].iter().all(|chunk| chunk["usage"].is_null() && chunk.get("usage").is_some()));
    assert!(stream.ends_with("data: [DONE]\n\n"));
    let without = written(events, &AnswerContext { include_usage: false, ..context() });
    assert!(!without.contains("usage") && without.ends_with("data: [DONE]\n\n"));
}

#[test]
fn a_written_failure_has_no_done() {
    let begin = Event::Begin { id: "r".to_owned(), model: "m".to_owned(), created: None };
    let error = Error::new(Code::UpstreamError, "boom");
    let stream = written(vec![begin, Event::Failed(error.clone()), Event::End], &context());
    assert_eq!(stream.as_bytes(), OpenAiChat.error_event(&error));
}
