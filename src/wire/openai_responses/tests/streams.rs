//! Streams: read, written, observed.

use serde_json::{Value, json};

use super::super::OpenAiResponses;
use super::{decoded, meant};
use crate::chat::{Choice, Citation, Code, Collector, Content, Delta, Error, Event, Part, Response, Stop, Unit, Usage};
use crate::wire::dialect::{AnswerContext, Chunk, ClientCodec, ProviderCodec};

/// An answer with every kind of part.
pub(super) fn answer() -> Response {
    let citation = Citation {
        url: Some("https://a".to_owned()),
        title: Some("T".to_owned()),
        start: Some(0),
        end: Some(2),
        unit: Some(Unit::Answer),
        ..Citation::default()
    };
    let call = |id: &str, arguments: &str| {
        Part::new(Content::ToolCall { id: id.to_owned(), name: "f".to_owned(), arguments: arguments.to_owned() })
    };
    let parts = vec![
        Part { signature: Some("enc".to_owned()), ..Part::new(Content::Thinking("Hm.".to_owned())) },
        Part::new(Content::RedactedThinking("enc2".to_owned())),
        Part::new(Content::Text { text: "Grüße".to_owned(), citations: vec![citation] }),
        Part::text("two"),
        call("c1", "{\"x\":1}"),
        call("c2", "{}"),
    ];
    let usage = Usage { input: 10, cached_input: 4, cache_write: 2, output: 5, reasoning: 3, ..Usage::default() };
    Response {
        id: "resp_1".to_owned(),
        model: "m".to_owned(),
        created: Some(7),
        choices: vec![Choice { parts, stop: Some(Stop::Tools), logprobs: None }],
        usage: Some(usage),
        service_tier: None,
    }
}

pub(super) fn written(events: Vec<Event>) -> Vec<u8> {
    let mut writer = OpenAiResponses.stream_writer(&AnswerContext::default());
    let mut out = Vec::new();
    events.into_iter().for_each(|event| writer.write(event, &mut out));
    out
}

fn data(stream: &[u8]) -> Vec<Value> {
    let events = decoded(stream, 0);
    let read = |event: &crate::wire::sse::Event| {
        let data: Value = serde_json::from_slice(&event.data().unwrap()).unwrap();
        let line = format!("event: {}\ndata: ", data["type"].as_str().unwrap());
        assert!(event.raw().starts_with(line.as_bytes()), "{event:?}");
        data
    };
    events.iter().map(read).collect()
}

fn text_answer(stop: Stop) -> Vec<Event> {
    let mut events = Response {
        choices: vec![Choice {
            parts: vec![Part::text("Hi")],
            stop: Some(stop),
            logprobs: Some(json!({"content": [{"token": "Hi", "logprob": -1.0}]})),
        }],
        ..answer()
    }
    .into_events();
    let end = events.len() - 1;
    // Usage may come early.
    let usage = events.remove(end - 1);
    events.insert(1, usage);
    events
}

#[test]
fn a_text_is_written_in_openais_order() {
    let events = data(&written(text_answer(Stop::End)));
    let kinds: Vec<&str> = events.iter().filter_map(|event| event["type"].as_str()).collect();
    assert_eq!(
        kinds,
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    let numbers: Vec<u64> = events.iter().filter_map(|event| event["sequence_number"].as_u64()).collect();
    assert_eq!(numbers, (0..9).collect::<Vec<u64>>());
    let last = &events[8]["response"];
    assert_eq!(last["output"][0], events[7]["item"]);
    assert_eq!(last["output"][0]["content"][0]["logprobs"][0]["token"], "Hi");
    assert_eq!(last["usage"]["input_tokens_details"]["cached_tokens"], 4);
    assert_eq!(events[4]["item_id"], "msg_1_0");
    let cut = data(&written(text_answer(Stop::Length)));
    assert_eq!(cut[8]["type"], "response.incomplete");
    assert_eq!(cut[7]["item"]["status"], "incomplete");
    assert_eq!(cut[8]["response"]["incomplete_details"]["reason"], "max_output_tokens");
}

#[test]
fn every_kind_of_item_is_written_in_openais_order() {
    let events = data(&written(answer().into_events()));
    let kinds: Vec<&str> =
        events.iter().filter_map(|event| event["type"].as_str()?.strip_prefix("response.")).collect();
    let call =
        ["output_item.added", "function_call_arguments.delta", "function_call_arguments.done", "output_item.done"];
    let mut expected = vec!["created", "in_progress", "output_item.added", "reasoning_summary_part.added"];
    expected.extend(["reasoning_summary_text.delta", "reasoning_summary_text.done", "reasoning_summary_part.done"]);
    expected.extend(["output_item.done", "output_item.added", "output_item.done"]);
    expected.extend(["output_item.added", "content_part.added", "output_text.delta", "output_text.annotation.added"]);
    expected.extend(["output_text.done", "content_part.done", "content_part.added", "output_text.delta"]);
    expected.extend(["output_text.done", "content_part.done", "output_item.done"]);
    expected.extend(call);
    expected.extend(call);
    expected.push("completed");
    assert_eq!(kinds, expected);
    for (n, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], n);
    }
    let whole: Value =
        serde_json::from_slice(&OpenAiResponses.write_response(&answer(), &AnswerContext::default())).unwrap();
    assert_eq!(events.last().unwrap()["response"], whole);
}

#[test]
fn every_cut_of_a_stream_means_the_same() {
    let stream = written(answer().into_events());
    let whole = meant(&stream, 0);
    assert_eq!(whole, answer().into_events());
    for cut in 1..=stream.len() {
        assert_eq!(meant(&stream, cut), whole, "cut at {cut}");
    }
}

#[test]
fn a_failure_is_an_error_event_and_nothing_follows() {
    let mut events = answer().into_events();
    events.truncate(4);
    events.push(Event::Failed(Error::new(Code::UpstreamTimeout, "late")));
    events.push(Event::End);
    let data = data(&written(events));
    let last = data.last().unwrap();
    assert_eq!((&last["type"], &last["sequence_number"]), (&json!("error"), &json!(data.len() - 1)));
    assert_eq!((&last["code"], &last["message"]), (&json!("upstream_timeout"), &json!("late")));
}

#[test]
fn a_providers_error_is_read_in_any_shape() {
    for stream in [
        r#"{"type":"error","code":"rate_limit_exceeded","message":"slow","param":null,"sequence_number":1}"#,
        r#"{"type":"response.failed","response":{"status":"failed","error":{"code":"rate_limit_exceeded","message":"slow"}}}"#,
        r#"{"error":{"code":"rate_limit_exceeded","message":"slow"}}"#,
    ] {
        let events = meant(format!("data: {stream}\n\n").as_bytes(), 0);
        let error = Error {
            upstream_code: Some("rate_limit_exceeded".to_owned()),
            ..Error::new(Code::UpstreamRateLimited, "slow")
        };
        assert_eq!(events, [Event::Failed(error)]);
        let chunk = OpenAiResponses.tap(true).observe(&decoded(format!("data: {stream}\n\n").as_bytes(), 0)[0]);
        assert!(matches!(chunk, Chunk::Failed(_)));
    }
}

fn stream(events: &[Value]) -> Vec<u8> {
    let line = |event: &Value| format!("event: {}\r\ndata: {event}\r\n\r\n", event["type"].as_str().unwrap());
    events.iter().map(line).collect::<String>().into_bytes()
}

fn collected(events: Vec<Event>) -> Response {
    let mut collector = Collector::default();
    events.into_iter().for_each(|event| collector.take(event));
    collector.finish().unwrap()
}

#[test]
fn interleaved_items_are_told_one_after_the_other() {
    let call = |n: u32| json!({"type": "function_call", "call_id": format!("c{n}"), "name": "f", "arguments": ""});
    let more = |n: u32, text: &str| json!({"type": "response.function_call_arguments.delta", "output_index": n, "delta": text});
    let added = |n: u32| json!({"type": "response.output_item.added", "output_index": n, "item": call(n)});
    let done = |n: u32| json!({"type": "response.output_item.done", "output_index": n, "item": call(n)});
    let events = meant(
        &stream(&[
            json!({"type": "response.created", "response": {"id": "r", "model": "m"}}),
            added(0),
            added(1),
            more(0, "{\"a\""),
            more(1, "{"),
            more(0, ":1}"),
            more(1, "}"),
            done(1),
            done(0),
            json!({"type": "response.completed", "response": {"status": "completed", "output": []}}),
        ]),
        0,
    );
    let mut open = None;
    for event in &events {
        match event {
            Event::Open { part, .. } => assert_eq!(open.replace(*part), None),
            Event::Delta { part, .. } => assert_eq!(open, Some(*part)),
            Event::Close { part, .. } => assert_eq!(open.take(), Some(*part)),
            _ => {}
        }
    }
    let answer = collected(events);
    let arguments = |part: &Part| match &part.content {
        Content::ToolCall { arguments, .. } => arguments.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(answer.choices[0].parts.iter().map(arguments).collect::<Vec<_>>(), ["{\"a\":1}", "{}"]);
    assert_eq!(answer.choices[0].stop, Some(Stop::Tools));
}

#[test]
fn what_comes_only_whole_is_read() {
    let whole: Value =
        serde_json::from_slice(&OpenAiResponses.write_response(&answer(), &AnswerContext::default())).unwrap();
    let only_last = stream(&[json!({"type": "response.completed", "response": whole})]);
    assert_eq!(collected(meant(&only_last, 0)), answer());
    let items = whole["output"].as_array().unwrap().iter().enumerate();
    let mut events: Vec<Value> =
        items.map(|(n, item)| json!({"type": "response.output_item.done", "output_index": n, "item": item})).collect();
    events.push(json!({"type": "response.completed", "response": whole}));
    assert_eq!(collected(meant(&stream(&events), 0)).choices, answer().choices);
}

#[test]
fn paragraphs_of_a_summary_are_one_thought() {
    let more = |n: u32, text: &str| json!({"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": n, "delta": text});
    let events = meant(&stream(&[more(0, "A"), more(1, "B"), more(1, "C")]), 0);
    let texts: Vec<&str> = events
        .iter()
        .filter_map(|event| match event {
            Event::Delta { delta: Delta::Text(text), .. } => Some(text.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(texts, ["A", "\n\n", "B", "C"]);
}

#[test]
fn a_stream_without_its_last_event_has_no_end() {
    let mut events = data(&written(answer().into_events()));
    events.pop();
    assert!(!meant(&stream(&events), 0).contains(&Event::End));
    assert!(OpenAiResponses.as_whole(&decoded(&stream(&events), 0), &AnswerContext::default()).is_err());
}

#[test]
fn what_is_no_event_is_told() {
    for text in ["<html>", "[1]", "{\"type\":", "3"] {
        let events = decoded(format!("data: {text}\n\n").as_bytes(), 0);
        let mut reader = OpenAiResponses.stream_reader();
        assert!(reader.read(&events[0], &mut Vec::new()).is_err(), "{text}");
        assert_eq!(OpenAiResponses.tap(true).observe(&events[0]), Chunk::Broken, "{text}");
    }
}

#[test]
fn a_listener_passes_every_byte_and_hears_the_usage() {
    let stream = written(answer().into_events());
    let events = decoded(&stream, 0);
    let mut tap = OpenAiResponses.tap(false);
    let mut bytes = Vec::new();
    for (n, event) in events.iter().enumerate() {
        match tap.observe(event) {
            Chunk::Pass(passed) if n + 1 < events.len() => bytes.extend(passed),
            Chunk::Done(passed) if n + 1 == events.len() => bytes.extend(passed),
            other => panic!("{n}: {other:?}"),
        }
    }
    assert_eq!(bytes, stream);
    assert!(tap.finished() && tap.estimated_output() >= 4);
    assert_eq!(tap.usage(), answer().usage);
    let whole = OpenAiResponses.as_whole(&events, &AnswerContext::default()).unwrap();
    assert_eq!(whole, OpenAiResponses.write_response(&answer(), &AnswerContext::default()));
    let again = OpenAiResponses.as_stream(&whole, &AnswerContext::default()).unwrap();
    assert_eq!(OpenAiResponses.as_whole(&decoded(&again, 0), &AnswerContext::default()).unwrap(), whole);
}
