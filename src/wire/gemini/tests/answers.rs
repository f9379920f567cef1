//! Answers, whole and in streams.

use serde_json::json;

use super::*;
use crate::chat::{self, Choice, Code, Collector, Content, Part, Response, Stop, Usage};
use crate::wire::dialect::{AnswerContext, Chunk};

fn context() -> AnswerContext {
    AnswerContext { model: "m".to_owned(), id: "own".to_owned(), ..AnswerContext::default() }
}

fn answered(candidate: &Value) -> Response {
    Gemini.read_response(json!({"candidates": [candidate], "responseId": "r-1"}).to_string().as_bytes()).unwrap()
}

#[test]
fn a_whole_answer_is_read() {
    let body = json!({
        "candidates": [{"content": {"role": "model", "parts": [
            {"text": "Hm.", "thought": true}, {"text": "Hi"},
            {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "s"}, {"functionCall": {"name": "g"}},
        ]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 4, "candidatesTokenCount": 1, "thoughtsTokenCount": 2},
        "modelVersion": "g-1", "responseId": "r-1",
    });
    let call = |id: &str, name: &str, arguments: &str| {
        Part::new(Content::ToolCall { id: id.to_owned(), name: name.to_owned(), arguments: arguments.to_owned() })
    };
    let signed = Part { signature: Some("s".to_owned()), ..call("call_r-1_0_2", "f", r#"{"a":1}"#) };
    let thought = Part::new(Content::Thinking("Hm.".to_owned()));
    let parts = vec![thought, Part::text("Hi"), signed, call("call_r-1_0_3", "g", "{}")];
    let expected = Response {
        id: "r-1".to_owned(),
        model: "g-1".to_owned(),
        choices: vec![Choice { parts, stop: Some(Stop::Tools), logprobs: None }],
        usage: Some(Usage { input: 4, output: 3, reasoning: 2, ..Usage::default() }),
        ..Response::default()
    };
    assert_eq!(Gemini.read_response(body.to_string().as_bytes()).unwrap(), expected);
}

#[test]
fn every_reason_is_read_and_written() {
    for (reason, stop, back) in [
        ("STOP", Stop::End, "STOP"),
        ("MAX_TOKENS", Stop::Length, "MAX_TOKENS"),
        ("SAFETY", Stop::Filtered, "SAFETY"),
        ("RECITATION", Stop::Filtered, "SAFETY"),
        ("IMAGE_SAFETY", Stop::Filtered, "SAFETY"),
        ("MODEL_ARMOR", Stop::Filtered, "SAFETY"),
        ("OTHER", Stop::Other("OTHER".to_owned()), "OTHER"),
        ("MALFORMED_FUNCTION_CALL", Stop::Other("MALFORMED_FUNCTION_CALL".to_owned()), "MALFORMED_FUNCTION_CALL"),
    ] {
        let read = answered(&json!({"finishReason": reason}));
        assert_eq!(read.choices[0].stop, Some(stop));
        let body: Value = serde_json::from_slice(&Gemini.write_response(&read, &context())).unwrap();
        assert_eq!(body["candidates"][0]["finishReason"], back);
    }
}

#[test]
fn a_blocked_prompt_is_a_filtered_answer() {
    let body = br#"{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":4}}"#;
    let read = Gemini.read_response(body).unwrap();
    assert_eq!(read.choices, [Choice { stop: Some(Stop::Filtered), ..Choice::default() }]);
    assert_eq!(read.usage.map(|usage| usage.input), Some(4));
}

#[test]
fn what_is_no_answer_is_told() {
    for body in [
        "",
        "[]",
        "{}",
        r#"{"error":{"code":500}}"#,
        r#"{"candidates":3}"#,
        r#"{"candidates":[{"content":{"parts":[{"executableCode":{}}]}}]}"#,
        r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":[]}}]}}]}"#,
        r#"{"candidates":[{"index":99999}]}"#,
    ] {
        assert!(Gemini.read_response(body.as_bytes()).is_err(), "{body}");
    }
    assert!(Gemini.observe(&"{}".into()).is_err());
}

#[test]
fn a_whole_answer_is_listened_to() {
    let body = r#"{"candidates":[{"content":{},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":4}}"#;
    let observed = Gemini.observe(&body.into()).unwrap();
    assert_eq!((observed.usage.map(|usage| usage.input), observed.ended_well), (Some(4), true));
    for body in [r#"{"candidates":[{"finishReason":"SAFETY"}]}"#, r#"{"candidates":[{}]}"#, r#"{"candidates":[]}"#] {
        assert!(!Gemini.observe(&body.into()).unwrap().ended_well, "{body}");
    }
}

#[test]
fn arguments_that_are_no_object_end_as_googles_own_do() {
    let call = Content::ToolCall { id: "1".to_owned(), name: "f".to_owned(), arguments: "{oops".to_owned() };
    let choice = Choice { parts: vec![Part::new(call)], stop: Some(Stop::Tools), logprobs: None };
    let response = Response { choices: vec![choice], ..Response::default() };
    let body: Value = serde_json::from_slice(&Gemini.write_response(&response, &context())).unwrap();
    let expected = json!({"content": {"parts": [], "role": "model"}, "finishReason": "MALFORMED_FUNCTION_CALL",
        "finishMessage": "Malformed function call: f({oops)", "index": 0});
    assert_eq!(body["candidates"][0], expected);
    let stream = stream_of(response);
    assert!(stream.contains("MALFORMED_FUNCTION_CALL") && !stream.contains("functionCall\""), "{stream}");
}

fn stream_of(response: Response) -> String {
    let mut writer = Gemini.stream_writer(&context());
    let mut out = Vec::new();
    response.into_events().into_iter().for_each(|event| writer.write(event, &mut out));
    String::from_utf8(out).unwrap()
}

const STREAM: &str = concat!(
    "data: {\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\"Hm\",\"thought\":true}]},\"index\":0}],",
    "\"usageMetadata\":{\"promptTokenCount\":4},\"modelVersion\":\"g\",\"responseId\":\"r\"}\r\n\r\n",
    "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"…\",\"thought\":true},{\"text\":\"Hé\"}]}}]}\r\n\r\n",
    "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"llo\"},",
    "{\"functionCall\":{\"name\":\"f\",\"args\":{\"a\":1}},\"thoughtSignature\":\"s\"}]}}]}\r\n\r\n",
    "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"\"}]},\"finishReason\":\"STOP\"}],",
    "\"usageMetadata\":{\"promptTokenCount\":4,\"candidatesTokenCount\":5,\"thoughtsTokenCount\":1}}\r\n\r\n",
);

fn meant(pieces: &[&[u8]]) -> Vec<chat::Event> {
    let (mut reader, mut out) = (Gemini.stream_reader(), Vec::new());
    events(pieces).iter().for_each(|event| reader.read(event, &mut out).unwrap());
    reader.end(&mut out);
    out
}

#[test]
fn a_stream_means_the_same_wherever_it_is_cut() {
    let bytes = STREAM.as_bytes();
    let whole = meant(&[bytes]);
    let mut collector = Collector::default();
    whole.iter().cloned().for_each(|event| collector.take(event));
    let read = collector.finish().unwrap();
    let kinds: Vec<_> = read.choices[0].parts.iter().map(|part| part.content.clone()).collect();
    let call =
        Content::ToolCall { id: "call_r_0_2".to_owned(), name: "f".to_owned(), arguments: r#"{"a":1}"#.to_owned() };
    let text = Content::Text { text: "Héllo".to_owned(), citations: Vec::new() };
    assert_eq!(kinds, [Content::Thinking("Hm…".to_owned()), text, call]);
    assert_eq!(read.choices[0].stop, Some(Stop::Tools));
    assert_eq!(read.usage, Some(Usage { input: 4, output: 6, reasoning: 1, ..Usage::default() }));
    for cut in 0..=bytes.len() {
        assert_eq!(meant(&[&bytes[..cut], &bytes[cut..]]), whole, "cut at {cut}");
    }
}

#[test]
fn a_stream_without_its_reason_has_no_end() {
    let cut = STREAM.rfind("data: ").unwrap();
    assert!(!meant(&[&STREAM.as_bytes()[..cut]]).contains(&chat::Event::End));
    assert!(!meant(&[b""]).contains(&chat::Event::End));
}

#[test]
fn an_error_in_a_stream_fails_it_framed_or_bare() {
    for frame in ["data: ", ""] {
        let stream =
            format!("{frame}{{\"error\":{{\"code\":503,\"message\":\"busy\",\"status\":\"UNAVAILABLE\"}}}}\r\n\r\n");
        let meant = meant(&[stream.as_bytes()]);
        let [chat::Event::Failed(error)] = &meant[..] else { panic!("{meant:?}") };
        assert_eq!((error.code, error.status()), (Code::UpstreamError, 503));
        let observed = Gemini.tap(true).observe(&events(&[stream.as_bytes()])[0]);
        assert!(matches!(observed, Chunk::Failed(_)));
    }
}

#[test]
fn a_passing_stream_is_listened_to_and_every_byte_kept() {
    let mut tap = Gemini.tap(false);
    let mut passed = Vec::new();
    for event in events(&[STREAM.as_bytes()]) {
        assert!(!tap.may_end_here());
        let Chunk::Pass(bytes) = tap.observe(&event) else { panic!("{event:?}") };
        passed.extend_from_slice(&bytes);
    }
    assert_eq!(passed, STREAM.as_bytes());
    assert!(tap.finished() && tap.may_end_here());
    assert_eq!(tap.usage().map(|usage| (usage.input, usage.output)), Some((4, 6)));
    assert!(tap.estimated_output() > 0);
    for data in ["<html>", "{\"candidates\": [", "[1]", "null"] {
        let event = &events(&[format!("data: {data}\n\n").as_bytes()])[0];
        assert_eq!(Gemini.tap(true).observe(event), Chunk::Broken, "{data}");
    }
}

#[test]
fn a_stream_ends_when_every_candidate_did() {
    let mut tap = Gemini.tap(true);
    let chunk = |index: u32, reason: &str| {
        let data = json!({"candidates": [{"index": index, "finishReason": reason}]});
        events(&[format!("data: {data}\r\n\r\n").as_bytes()])[0].clone()
    };
    tap.observe(&chunk(1, "STOP"));
    assert!(!tap.may_end_here());
    tap.observe(&chunk(0, "STOP"));
    assert!(tap.may_end_here());
}

#[test]
fn a_stream_is_written_in_googles_frames() {
    let call = Content::ToolCall { id: "c".to_owned(), name: "f".to_owned(), arguments: r#"{"a":1}"#.to_owned() };
    let signed = Part { signature: Some("s".to_owned()), ..Part::new(call) };
    let choice = Choice { parts: vec![Part::text("Hi"), signed], stop: Some(Stop::Tools), logprobs: None };
    let usage = Some(Usage { input: 4, output: 3, reasoning: 1, cached_input: 2, ..Usage::default() });
    let response = Response { id: "r".to_owned(), choices: vec![choice], usage, ..Response::default() };
    let chunk = |candidate: &str, usage: &str| {
        format!(
            "data: {{\"candidates\":[{{{candidate},\"index\":0}}],{usage}\"modelVersion\":\"m\",\"responseId\":\"r\"}}\r\n\r\n"
        )
    };
    let part = |part: &str| format!("\"content\":{{\"parts\":[{part}],\"role\":\"model\"}}");
    let usage = r#""usageMetadata":{"promptTokenCount":4,"candidatesTokenCount":2,"totalTokenCount":7,"cachedContentTokenCount":2,"thoughtsTokenCount":1},"#;
    let expected = [
        chunk(&part(r#"{"text":"Hi"}"#), ""),
        chunk(&part(r#"{"functionCall":{"id":"c","name":"f","args":{"a":1}},"thoughtSignature":"s"}"#), ""),
        chunk(&format!("{},\"finishReason\":\"STOP\"", part(r#"{"text":""}"#)), usage),
    ];
    assert_eq!(stream_of(response), expected.concat());
}
