//! Whole answers and errors.

use bytes::Bytes;
use serde_json::{Value, json};

use super::super::OpenAiResponses;
use super::streams;
use crate::chat::{Choice, Citation, Code, Content, Error, Part, Response, Stop, Unit, Usage};
use crate::wire::dialect::{AnswerContext, ClientCodec, ProviderCodec};

fn answer(output: &Value) -> Value {
    json!({"id": "resp_1", "object": "response", "created_at": 7.0, "status": "completed", "model": "m", "output": output,
        "usage": {"input_tokens": 10, "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
            "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 3}, "total_tokens": 15}})
}

fn read(answer: &Value) -> Response {
    OpenAiResponses.read_response(answer.to_string().as_bytes()).unwrap()
}

fn message(content: &Value) -> Value {
    json!({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content})
}

#[test]
fn an_answer_is_read_with_all_its_items() {
    let cited = json!({"type": "url_citation", "start_index": 0, "end_index": 2, "title": "T", "url": "https://a"});
    let read = read(&answer(&json!([
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}], "encrypted_content": "e"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed"},
        message(&json!([{"type": "output_text", "text": "Hi", "annotations": [cited], "logprobs": [{"token": "Hi"}]}])),
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{\"x\":1}"},
    ])));
    let citation = Citation {
        url: Some("https://a".to_owned()),
        title: Some("T".to_owned()),
        start: Some(0),
        end: Some(2),
        unit: Some(Unit::Answer),
        ..Citation::default()
    };
    let parts = vec![
        Part { signature: Some("e".to_owned()), ..Part::new(Content::Thinking("Hm.".to_owned())) },
        Part::new(Content::Text { text: "Hi".to_owned(), citations: vec![citation] }),
        Part::new(Content::ToolCall { id: "c1".to_owned(), name: "f".to_owned(), arguments: "{\"x\":1}".to_owned() }),
    ];
    let logprobs = Some(json!({"content": [{"token": "Hi"}]}));
    assert_eq!(read.choices, [Choice { parts, stop: Some(Stop::Tools), logprobs }]);
    assert_eq!((read.created, read.id.as_str()), (Some(7), "resp_1"));
    let usage = Usage { input: 10, cached_input: 4, cache_write: 2, output: 5, reasoning: 3, ..Usage::default() };
    assert_eq!(read.usage, Some(usage));
}

#[test]
fn every_stop_is_read_and_written() {
    let text = json!([message(&json!([{"type": "output_text", "text": "Hi", "annotations": []}]))]);
    let refusal = json!([message(&json!([{"type": "refusal", "refusal": "No."}]))]);
    for (output, status, reason, stop) in [
        (&text, "completed", None, Stop::End),
        (&text, "incomplete", Some("max_output_tokens"), Stop::Length),
        (&text, "incomplete", Some("content_filter"), Stop::Filtered),
        (&refusal, "completed", None, Stop::Refused),
    ] {
        let mut body = answer(output);
        body["status"] = status.into();
        body["incomplete_details"] = reason.map(|reason| json!({"reason": reason})).into();
        let response = read(&body);
        assert_eq!(response.choices[0].stop.as_ref(), Some(&stop));
        let written: Value =
            serde_json::from_slice(&OpenAiResponses.write_response(&response, &AnswerContext::default())).unwrap();
        assert_eq!(
            (&written["status"], &written["incomplete_details"]),
            (&body["status"], &body["incomplete_details"])
        );
        assert_eq!(written["output"][0]["status"], status);
    }
}

#[test]
fn a_refusal_without_words_is_incomplete() {
    let choice = Choice { parts: vec![Part::text("So")], stop: Some(Stop::Refused), logprobs: None };
    let response = Response { choices: vec![choice], ..Response::default() };
    let written: Value =
        serde_json::from_slice(&OpenAiResponses.write_response(&response, &AnswerContext::default())).unwrap();
    assert_eq!(written["incomplete_details"]["reason"], "content_filter");
}

#[test]
fn an_answer_is_listened_to() {
    let body = answer(&json!([message(&json!([]))]));
    let observed = OpenAiResponses.observe(&body.to_string().into()).unwrap();
    assert_eq!((observed.usage.map(|usage| usage.output), observed.ended_well), (Some(5), true));
    let mut failed = body.clone();
    failed["status"] = "failed".into();
    assert!(!OpenAiResponses.observe(&failed.to_string().into()).unwrap().ended_well);
    for usage in [json!(null), json!({}), json!({"input_tokens": -1}), json!({"input_tokens": 1e12}), json!([])] {
        let mut nonsense = body.clone();
        nonsense["usage"] = usage;
        assert_eq!(OpenAiResponses.observe(&nonsense.to_string().into()).unwrap().usage, None);
    }
}

#[test]
fn what_is_no_answer_is_told() {
    for body in ["", "<html>", "{}", "[]", "{\"output\":3}", "{\"output\":"] {
        assert!(OpenAiResponses.observe(&Bytes::copy_from_slice(body.as_bytes())).is_err(), "{body}");
        assert!(OpenAiResponses.read_response(body.as_bytes()).is_err(), "{body}");
    }
    for body in [
        json!({"output": [], "status": "failed", "error": {"code": "server_error", "message": "boom"}}),
        json!({"output": [], "status": "queued"}),
    ] {
        assert!(OpenAiResponses.read_response(body.to_string().as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn errors_have_openais_shapes() {
    let error = Error::new(Code::UpstreamTimeout, "late").at("x");
    assert_eq!(
        OpenAiResponses.error_body(&error, "req_1"),
        r#"{"error":{"message":"late","type":"timeout_error","param":"x","code":"upstream_timeout"}}"#
    );
    assert_eq!(
        OpenAiResponses.error_event(&error),
        "event: error\ndata: {\"type\":\"error\",\"code\":\"upstream_timeout\",\"message\":\"late\",\"param\":\"x\",\"sequence_number\":0,\"error\":{\"type\":\"timeout_error\",\"code\":\"upstream_timeout\",\"message\":\"late\",\"param\":\"x\"}}\n\n"
    );
}

#[test]
fn an_answer_repeats_what_its_request_asked_for() {
    let tools = json!([{"type": "function", "name": "f", "parameters": {"type": "object"}}]);
    let format = json!({"type": "json_schema", "name": "n", "schema": {"type": "object"}});
    let request = super::asked(&json!({"model": "m", "input": "Hi", "instructions": "Be brief.", "tools": tools,
        "tool_choice": "required", "text": {"format": format}, "reasoning": {"effort": "low"}, "temperature": null,
        "metadata": {"a": "b"}, "safety_identifier": "s", "unheard_of": 1}));
    let context = AnswerContext { request: Some(request.unwrap().object), ..AnswerContext::default() };
    let answer: Value = serde_json::from_slice(&OpenAiResponses.write_response(&streams::answer(), &context)).unwrap();
    for (name, value) in [
        ("instructions", json!("Be brief.")),
        ("tools", tools),
        ("tool_choice", json!("required")),
        ("text", json!({"format": format})),
        ("reasoning", json!({"effort": "low", "summary": null})),
        ("temperature", Value::Null),
        ("metadata", json!({"a": "b"})),
        ("safety_identifier", json!("s")),
        ("parallel_tool_calls", json!(true)),
        ("max_output_tokens", Value::Null),
    ] {
        assert_eq!(answer.get(name), Some(&value), "{name}");
    }
    assert_eq!(answer.get("unheard_of"), None);
    let text = json!({"format": {"type": "text"}, "verbosity": "low"});
    let request = super::asked(&json!({"model": "m", "input": "Hi", "text": {"verbosity": "low"}}));
    let context = AnswerContext { request: Some(request.unwrap().object), ..AnswerContext::default() };
    let events =
        OpenAiResponses.as_stream(&OpenAiResponses.write_response(&streams::answer(), &context), &context).unwrap();
    let mut answers = 0;
    for data in super::decoded(&events, 0).iter().filter_map(crate::wire::sse::Event::data) {
        let event: Value = serde_json::from_slice(&data).unwrap();
        if let Some(response) = event.get("response") {
            assert_eq!(response["text"], text);
            answers += 1;
        }
    }
    assert_eq!(answers, 3);
}
