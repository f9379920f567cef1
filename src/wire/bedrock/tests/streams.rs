//! Streams as Bedrock gives them: binary frames, cut anywhere.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::chat::{self, Code, Collector, Content, Delta, Part, Response, Stop, Usage};
use crate::wire::frames::tests::{event, exception};

/// What a stream's bytes mean, arriving in these pieces.
fn events(pieces: &[&[u8]]) -> Result<Vec<chat::Event>, String> {
    let mut decoder = Bedrock.decoder();
    let mut reader = Bedrock.stream_reader();
    let mut found = Vec::new();
    for piece in pieces {
        decoder.push(Bytes::copy_from_slice(piece));
        while let Some(event) = decoder.event().map_err(|bad| bad.to_string())? {
            reader.read(&event, &mut found).map_err(|bad| bad.0)?;
        }
    }
    reader.end(&mut found);
    Ok(found)
}

fn whole(events: Vec<chat::Event>) -> Option<Response> {
    let mut collector = Collector::default();
    events.into_iter().for_each(|event| collector.take(event));
    collector.finish()
}

/// A stream with every kind of block in it.
fn stream() -> Vec<Vec<u8>> {
    let delta = |index: u8, delta: Value| {
        event("contentBlockDelta", &json!({"contentBlockIndex": index, "delta": delta, "p": "abcdef"}).to_string())
    };
    let stop = |index: u8| event("contentBlockStop", &json!({"contentBlockIndex": index}).to_string());
    vec![
        event("messageStart", r#"{"role":"assistant"}"#),
        delta(0, json!({"reasoningContent": {"text": "Hm"}})),
        delta(0, json!({"reasoningContent": {"text": "."}})),
        delta(0, json!({"reasoningContent": {"signature": "sig"}})),
        stop(0),
        delta(1, json!({"reasoningContent": {"redactedContent": "c2Vj"}})),
        delta(1, json!({"reasoningContent": {"redactedContent": "cmV0"}})),
        stop(1),
        delta(2, json!({"text": ""})),
        delta(2, json!({"text": "Hello "})),
        delta(2, json!({"text": "thére."})),
        delta(
            2,
            json!({"citation": {"title": "T", "location": {"documentChar": {"documentIndex": 0, "start": 1, "end": 2}}}}),
        ),
        stop(2),
        event("contentBlockStart", r#"{"contentBlockIndex":3,"start":{"toolUse":{"toolUseId":"t1","name":"look"}}}"#),
        delta(3, json!({"toolUse": {"input": ""}})),
        delta(3, json!({"toolUse": {"input": "{\"city\":"}})),
        delta(3, json!({"toolUse": {"input": "\"Bern\"}"}})),
        stop(3),
        event("messageStop", r#"{"stopReason":"tool_use"}"#),
        event(
            "metadata",
            r#"{"usage":{"inputTokens":5,"outputTokens":7,"totalTokens":16,"cacheReadInputTokens":4},"metrics":{"latencyMs":9}}"#,
        ),
    ]
}

#[test]
fn a_stream_is_the_same_answer_however_it_is_cut() {
    let bytes = stream().concat();
    let meant = events(&[&bytes]).unwrap();
    let response = whole(meant.clone()).unwrap();
    let parts = &response.choices[0].parts;
    assert_eq!(parts[0], Part { signature: Some("sig".into()), ..Part::new(Content::Thinking("Hm.".into())) });
    assert_eq!(parts[1], Part::new(Content::RedactedThinking("c2VjcmV0".into())));
    assert!(
        matches!(&parts[2].content, Content::Text { text, citations } if text == "Hello thére." && citations.len() == 1)
    );
    let arguments = r#"{"city":"Bern"}"#.to_owned();
    assert_eq!(parts[3], Part::new(Content::ToolCall { id: "t1".into(), name: "look".into(), arguments }));
    assert_eq!(response.choices[0].stop, Some(Stop::Tools));
    assert_eq!(response.usage, Some(Usage { input: 9, cached_input: 4, output: 7, ..Usage::default() }));
    assert_eq!(meant.last(), Some(&chat::Event::End));
    for cut in 0..=bytes.len() {
        assert_eq!(events(&[&bytes[..cut], &bytes[cut..]]).unwrap(), meant, "cut at {cut}");
    }
    assert_eq!(events(&bytes.chunks(1).collect::<Vec<_>>()).unwrap(), meant);
}

#[test]
fn a_stream_that_breaks_off_is_no_answer() {
    let frames = stream();
    let bytes = frames.concat();
    let stopped = bytes.len() - frames.last().unwrap().len();
    for cut in 0..bytes.len() {
        let ended = whole(events(&[&bytes[..cut]]).unwrap());
        // After the end of the message only its usage is missing.
        assert_eq!(ended.is_some(), cut >= stopped, "cut at {cut}");
        assert!(ended.is_none_or(|response| response.usage.is_none()));
    }
}

#[test]
fn an_exception_ends_the_stream_with_its_meaning() {
    for (kind, code) in [
        ("throttlingException", Code::UpstreamRateLimited),
        ("validationException", Code::InvalidRequest),
        ("modelStreamErrorException", Code::UpstreamError),
        ("internalServerException", Code::UpstreamError),
        ("serviceUnavailableException", Code::UpstreamError),
    ] {
        let thrown = exception(kind, r#"{"message":"Sorry."}"#);
        for before in [0, 1, 10] {
            let mut frames = stream()[..before].to_vec();
            frames.push(thrown.clone());
            frames.extend(stream()[before..].iter().cloned());
            let meant = events(&[&frames.concat()]).unwrap();
            let failed = meant.iter().position(|event| matches!(event, chat::Event::Failed(_))).unwrap();
            assert!(meant[failed + 1..].iter().all(|event| matches!(event, chat::Event::Usage(_))), "{meant:?}");
            let chat::Event::Failed(error) = &meant[failed] else { panic!("{kind}: {meant:?}") };
            assert_eq!((error.code, error.message.as_str()), (code, "Sorry."));
            assert_eq!(error.upstream_code.as_deref(), Some(kind));
        }
    }
}

#[test]
fn what_is_no_stream_of_bedrocks_is_told_as_that() {
    for frame in [
        event("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"toolUse":{"input":"{}"}}}"#),
        event("contentBlockDelta", r#"{"contentBlockIndex":0}"#),
        event("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":7}}"#),
        event("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"video":{}}}"#),
        event("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"redactedContent":"é"}}}"#),
        event("contentBlockStart", r#"{"contentBlockIndex":0,"start":{}}"#),
        event("messageStop", "{"),
    ] {
        assert!(events(&[&frame]).is_err(), "{}", String::from_utf8_lossy(&frame));
    }
    let unknown = [event("contentBlockGlow", "{}"), stream().concat()].concat();
    assert_eq!(events(&[&unknown]), events(&[&stream().concat()]), "events that are added pass");
}

#[test]
fn a_block_that_nobody_closed_ends_with_the_next() {
    let frames = [
        event("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"a"}}"#),
        event("contentBlockDelta", r#"{"contentBlockIndex":1,"delta":{"text":"b"}}"#),
        event("messageStop", r#"{"stopReason":"end_turn"}"#),
        event("metadata", "{}"),
    ];
    let meant = events(&[&frames.concat()]).unwrap();
    let opened = meant.iter().filter(|event| matches!(event, chat::Event::Open { .. })).count();
    let closed = meant.iter().filter(|event| matches!(event, chat::Event::Close { .. })).count();
    assert_eq!((opened, closed), (2, 2));
    assert_eq!(whole(meant).unwrap().choices[0].parts, [Part::text("a"), Part::text("b")]);
}

proptest! {
    #[test]
    fn no_event_makes_it_panic(
        names in proptest::collection::vec("(messageStart|contentBlockStart|contentBlockDelta|contentBlockStop|messageStop|metadata)", 1..6),
        text in "[{}\\[\\]\",:a-z0-9]{0,20}",
        index in 0u8..3,
        kind in "(text|toolUse|reasoningContent|citation)",
    ) {
        let payload = format!("{{\"contentBlockIndex\":{index},\"start\":{{\"toolUse\":{{\"toolUseId\":\"a\",\"name\":\"b\"}}}},\"delta\":{{\"{kind}\":{text}}},\"usage\":{text}}}");
        let bytes: Vec<u8> = names.iter().flat_map(|name| event(name, &payload)).collect();
        if let Ok(meant) = events(&[&bytes]) {
            let opened = meant.iter().filter(|event| matches!(event, chat::Event::Open { .. })).count();
            let closed = meant.iter().filter(|event| matches!(event, chat::Event::Close { .. })).count();
            prop_assert!(opened == closed || opened == closed + 1);
            prop_assert!(meant.iter().filter(|event| matches!(event, chat::Event::End)).count() <= 1);
            let silent = |event: &chat::Event| match event {
                chat::Event::Delta { delta: Delta::Text(text), .. } => text.is_empty(),
                _ => false,
            };
            let said_nothing = meant.iter().any(silent);
            prop_assert!(!said_nothing);
        }
    }
}
