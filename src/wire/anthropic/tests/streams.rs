//! Streams: read, written, observed.

use serde_json::{Value, json};

use super::*;
use crate::chat::{Code, Collector, Content, Delta, Event, Stop};
use crate::wire::dialect::{AnswerContext, Chunk};

/// A stream of every kind of block.
const STREAM: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":9,\"cache_read_input_tokens\":100,\"cache_creation_input_tokens\":30,\"cache_creation\":{\"ephemeral_5m_input_tokens\":10,\"ephemeral_1h_input_tokens\":20},\"output_tokens\":1}}}\n\n\
event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}}\n\n\
event: ping\ndata: {\"type\":\"ping\"}\n\n\
event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"Hm…\"}}\n\n\
event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"signature_delta\",\"signature\":\"sig\"}}\n\n\
event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n\
event: content_block_start\r\ndata: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\r\n\r\n\
event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":\"Grüß \"}}\n\n\
event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":\"Gott\"}}\n\n\
event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"citations_delta\",\"citation\":{\"type\":\"char_location\",\"cited_text\":\"c\",\"document_index\":0,\"document_title\":null,\"start_char_index\":1,\"end_char_index\":2}}}\n\n\
event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":1}\n\n\
event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":2,\"content_block\":{\"type\":\"tool_use\",\"id\":\"toolu_1\",\"name\":\"f\",\"input\":{}}}\n\n\
event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":2,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"\"}}\n\n\
event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":2,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"a\\\":\"}}\n\n\
event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":2,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"1}\"}}\n\n\
event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":2}\n\n\
event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":3,\"content_block\":{\"type\":\"redacted_thinking\",\"data\":\"xx\"}}\n\n\
event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":3}\n\n\
event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":40,\"output_tokens_details\":{\"thinking_tokens\":7}}}\n\n\
event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

/// The named events of a stream, as data.
fn datas(bytes: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).unwrap();
    text.split_terminator("\n\n")
        .map(|event| {
            let (name, data) = event.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
            let data: Value = serde_json::from_str(data).unwrap();
            assert_eq!(data["type"], name);
            data
        })
        .collect()
}

fn written(events: Vec<Event>) -> Vec<Value> {
    let context =
        AnswerContext { model: "alias".into(), input_tokens: 12, id: "msg_own".into(), ..AnswerContext::default() };
    let mut writer = Anthropic.stream_writer(&context);
    let mut out = Vec::new();
    events.into_iter().for_each(|event| writer.write(event, &mut out));
    datas(&out)
}

#[test]
fn every_cut_of_a_stream_means_the_same() {
    let whole = events(&[STREAM.as_bytes()]).unwrap();
    for cut in 0..=STREAM.len() {
        let (first, second) = STREAM.as_bytes().split_at(cut);
        assert_eq!(events(&[first, second]).unwrap(), whole, "cut at {cut}");
    }
    let mut collector = Collector::default();
    whole.into_iter().for_each(|event| collector.take(event));
    let answer = collector.finish().unwrap();
    assert_eq!((&answer.id[..], &answer.model[..], answer.usage), ("msg_1", "m", Some(usage())));
    let choice = &answer.choices[0];
    assert_eq!(choice.stop, Some(Stop::Tools));
    assert_eq!(choice.parts[0].content, Content::Thinking("Hm…".into()));
    assert_eq!(choice.parts[0].signature.as_deref(), Some("sig"));
    assert!(
        matches!(&choice.parts[1].content, Content::Text { text, citations } if text == "Grüß Gott" && citations.len() == 1)
    );
    assert!(
        matches!(&choice.parts[2].content, Content::ToolCall { id, arguments, .. } if id == "toolu_1" && arguments == "{\"a\":1}")
    );
    assert_eq!(choice.parts[3].content, Content::RedactedThinking("xx".into()));
}

#[test]
fn a_stream_read_and_written_means_the_same() {
    let read = events(&[STREAM.as_bytes()]).unwrap();
    let mut writer = Anthropic.stream_writer(&AnswerContext::default());
    let mut out = Vec::new();
    read.iter().cloned().for_each(|event| writer.write(event, &mut out));
    let kinds: Vec<Value> = datas(&out).iter().map(|data| data["type"].clone()).collect();
    assert_eq!(kinds.len(), STREAM.matches("event: ").count() - 2, "all but the ping and the empty fragment");
    let again = events(&[&out]).unwrap();
    let known = |events: &[Event]| -> Vec<Event> {
        events.iter().filter(|event| !matches!(event, Event::Usage(usage) if usage.estimated)).cloned().collect()
    };
    assert_eq!(known(&again), known(&read));
}

#[test]
fn a_written_stream_has_each_event_once_and_in_order() {
    let events = vec![
        Event::Begin { id: String::new(), model: "up".into(), created: None },
        Event::Open { choice: 0, part: 0, content: Content::Text { text: String::new(), citations: vec![] } },
        Event::Close { choice: 0, part: 0 },
        Event::Open {
            choice: 0,
            part: 1,
            content: Content::ToolCall { id: "c".into(), name: "f".into(), arguments: String::new() },
        },
        Event::Close { choice: 0, part: 1 },
        Event::Open { choice: 0, part: 2, content: Content::Refusal(String::new()) },
        Event::Delta { choice: 0, part: 2, delta: Delta::Text("No".into()) },
        Event::Close { choice: 0, part: 2 },
        Event::Finish { choice: 0, stop: Stop::Tools },
        Event::Usage(usage()),
        Event::End,
        Event::End,
    ];
    assert_eq!(
        written(events),
        [
            json!({"type": "message_start", "message": {"id": "msg_own", "type": "message", "role": "assistant", "model": "alias",
                "content": [], "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 12,
                "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 1}}}),
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "id": "c", "name": "f", "input": {}}}),
            json!({"type": "content_block_stop", "index": 0}),
            json!({"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}}),
            json!({"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "No"}}),
            json!({"type": "content_block_stop", "index": 1}),
            json!({"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": null}, "usage": {"input_tokens": 9,
                "cache_creation_input_tokens": 30, "cache_read_input_tokens": 100,
                "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
                "output_tokens": 40, "output_tokens_details": {"thinking_tokens": 7}}}),
            json!({"type": "message_stop"}),
        ]
    );
}

#[test]
fn a_call_that_cannot_be_read_fails_the_stream_unless_it_was_cut_off() {
    let call = |stop| {
        let content = Content::ToolCall { id: "c".into(), name: "f".into(), arguments: String::new() };
        written(vec![
            Event::Open { choice: 0, part: 0, content },
            Event::Delta { choice: 0, part: 0, delta: Delta::Arguments("{\"a".into()) },
            Event::Close { choice: 0, part: 0 },
            Event::Finish { choice: 0, stop },
            Event::End,
        ])
    };
    assert_eq!(call(Stop::Tools).last().unwrap()["error"]["type"], "api_error");
    assert_eq!(call(Stop::Length).last().unwrap()["type"], "message_stop");
}

#[test]
fn a_provider_that_fails_in_its_stream_is_told_so() {
    let data = b"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
    let read = events(&[data]).unwrap();
    let [Event::Failed(error)] = &read[..] else { panic!("{read:?}") };
    assert_eq!((error.code, error.status(), &error.message[..]), (Code::UpstreamError, 529, "Overloaded"));
    assert_eq!(
        written(read.clone()),
        [json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})]
    );
}

#[test]
fn what_is_no_event_is_refused() {
    let start = "event: x\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"server_tool_use\"}}\n\n";
    let stray =
        "data: {\"type\":\"content_block_delta\",\"index\":4,\"delta\":{\"type\":\"text_delta\",\"text\":\"x\"}}\n\n";
    for stream in ["data: {\n\n", "data: 3\n\n", "data: {}\n\n", start, stray] {
        assert!(events(&[stream.as_bytes()]).is_err(), "{stream}");
    }
    assert_eq!(events(&[b": hi\n\ndata: {\"type\":\"new_event\"}\n\n"]), Ok(vec![]));
}

#[test]
fn input_that_comes_whole_with_its_start_is_kept() {
    let stream = "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"tool_use\",\"id\":\"a\",\"name\":\"f\",\"input\":{\"x\":1}}}\n\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n";
    let read = events(&[stream.as_bytes()]).unwrap();
    assert!(read.contains(&Event::Delta { choice: 0, part: 0, delta: Delta::Arguments("{\"x\":1}".into()) }));
}

#[test]
fn a_passing_stream_is_observed_and_none_of_it_is_lost() {
    let mut decoder = Decoder::default();
    decoder.push(Bytes::from_static(STREAM.as_bytes()));
    let mut tap = Anthropic.tap(false);
    let mut passed = Vec::new();
    while let Some(event) = decoder.event().unwrap() {
        match tap.observe(&event) {
            Chunk::Pass(bytes) => passed.extend(bytes),
            Chunk::Done(bytes) => {
                assert!(tap.finished());
                passed.extend(bytes);
            }
            other => panic!("{other:?}"),
        }
        if !tap.finished() {
            let early = tap.usage().unwrap();
            assert!(early.estimated && early.input == 139);
        }
    }
    assert_eq!(passed, STREAM.as_bytes());
    assert_eq!(tap.usage(), Some(usage()));
    assert!(tap.estimated_output() >= 6);
    assert!(!tap.may_end_here());
}

#[test]
fn faults_of_a_passing_stream_are_told_apart() {
    let observe = |stream: &'static str| {
        let mut decoder = Decoder::default();
        decoder.push(Bytes::from_static(stream.as_bytes()));
        Anthropic.tap(false).observe(&decoder.event().unwrap().unwrap())
    };
    assert!(matches!(observe("event: error\ndata: {\"type\":\"error\",\"error\":{}}\n\n"), Chunk::Failed(_)));
    assert_eq!(observe("data: <html>\n\n"), Chunk::Broken);
    assert!(matches!(observe(": ping\n\n"), Chunk::Pass(_)));
}

#[test]
fn counts_that_cannot_be_true_are_no_usage() {
    let stream = STREAM.replace("\"output_tokens\":40", "\"output_tokens\":-4");
    let read = events(&[stream.as_bytes()]).unwrap();
    assert!(!read.iter().any(|event| matches!(event, Event::Usage(usage) if !usage.estimated)));
}
