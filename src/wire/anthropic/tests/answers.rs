//! Whole answers and errors.

use serde_json::json;

use super::*;
use crate::chat::{Choice, Code, Content, Part, Response, Stop, Tier};
use crate::wire::dialect::AnswerContext;

fn answer() -> Value {
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m",
        "content": [
            {"type": "thinking", "thinking": "Hm", "signature": "sig"},
            {"type": "redacted_thinking", "data": "xx"},
            {"type": "text", "text": "Hi", "citations": [{"type": "page_location", "cited_text": "c", "document_index": 1,
                "document_title": "t", "start_page_number": 2, "end_page_number": 3}]},
            {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"z": 1, "a": 2}},
        ],
        "stop_reason": "tool_use", "stop_sequence": null,
        "usage": {"input_tokens": 9, "cache_creation_input_tokens": 30, "cache_read_input_tokens": 100,
            "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
            "output_tokens": 40, "output_tokens_details": {"thinking_tokens": 7}, "service_tier": "standard"},
    })
}

#[test]
fn a_whole_answer_is_read_and_written() {
    let response = Anthropic.read_response(answer().to_string().as_bytes()).unwrap();
    assert_eq!(response.usage, Some(usage().in_tier(Tier::Standard)));
    let written: Value =
        serde_json::from_slice(&Anthropic.write_response(&response, &AnswerContext::default())).unwrap();
    assert_eq!(written, answer());
}

#[test]
fn an_answer_is_listened_to() {
    let observed = |body: &Value| Anthropic.observe(&body.to_string().into());
    let listened = observed(&answer()).unwrap();
    assert!(listened.ended_well);
    assert_eq!(listened.usage.map(|usage| (usage.input, usage.output)), Some((139, 40)));
    for (reason, well) in
        [(json!("end_turn"), true), (json!("max_tokens"), true), (json!("pause_turn"), false), (Value::Null, false)]
    {
        assert_eq!(observed(&json!({"content": [], "stop_reason": reason})).unwrap().ended_well, well);
    }
    assert!(observed(&json!({"type": "error", "error": {}})).is_err());
    assert!(Anthropic.observe(&Bytes::from_static(b"<html>")).is_err());
}

#[test]
fn counts_that_cannot_be_true_are_no_usage_and_zero_is_a_count() {
    for (usage, known) in [
        (json!({"input_tokens": 0, "output_tokens": 0}), true),
        (json!({"input_tokens": 1}), false),
        (json!({"input_tokens": -1, "output_tokens": 1}), false),
        (json!({"input_tokens": 1e30, "output_tokens": 1}), false),
        (json!({"input_tokens": 1, "output_tokens": 100_000_001}), false),
        (json!([]), false),
        (Value::Null, false),
    ] {
        let body = json!({"content": [], "stop_reason": "end_turn", "usage": usage});
        assert_eq!(Anthropic.observe(&body.to_string().into()).unwrap().usage.is_some(), known, "{body}");
    }
}

#[test]
fn reasons_to_stop_have_their_names_in_both() {
    for (reason, sequence, stop) in [
        ("end_turn", Value::Null, Stop::End),
        ("max_tokens", Value::Null, Stop::Length),
        ("model_context_window_exceeded", Value::Null, Stop::Context),
        ("refusal", Value::Null, Stop::Refused),
        ("pause_turn", Value::Null, Stop::Paused),
        ("tool_use", Value::Null, Stop::Tools),
        ("stop_sequence", json!("END"), Stop::Sequence(Some("END".into()))),
    ] {
        let call = json!({"type": "tool_use", "id": "t", "name": "f", "input": {}});
        let content = if reason == "tool_use" { json!([call]) } else { json!([]) };
        let body = json!({"content": content, "stop_reason": reason, "stop_sequence": sequence});
        let response = Anthropic.read_response(body.to_string().as_bytes()).unwrap();
        assert_eq!(response.choices[0].stop, Some(stop));
        let written: Value =
            serde_json::from_slice(&Anthropic.write_response(&response, &AnswerContext::default())).unwrap();
        assert_eq!((&written["stop_reason"], &written["stop_sequence"]), (&json!(reason), &sequence));
    }
}

#[test]
fn an_answer_of_another_dialect_gets_what_it_lacks() {
    let call = Content::ToolCall { id: String::new(), name: "f".into(), arguments: String::new() };
    let parts = vec![Part::text(""), Part::new(Content::Refusal("No".into())), Part::new(call)];
    let response =
        Response { choices: vec![Choice { parts, stop: Some(Stop::End), logprobs: None }], ..Response::default() };
    let context =
        AnswerContext { model: "alias".into(), id: "msg_own".into(), input_tokens: 12, ..AnswerContext::default() };
    let written: Value = serde_json::from_slice(&Anthropic.write_response(&response, &context)).unwrap();
    assert_eq!(
        (&written["id"], &written["model"], &written["stop_reason"]),
        (&json!("msg_own"), &json!("alias"), &json!("tool_use"))
    );
    assert_eq!(
        written["content"],
        json!([{"type": "text", "text": "No", "citations": null}, {"type": "tool_use", "id": "toolu_2", "name": "f", "input": {}}])
    );
    assert_eq!(written["usage"]["input_tokens"], 12);
    assert!(written["usage"]["output_tokens"].as_u64() > Some(0));
}

#[test]
fn a_body_that_is_no_answer_is_refused() {
    let block = |block: Value| json!({"content": [block]}).to_string();
    for body in [
        "<html>".to_owned(),
        "[]".to_owned(),
        r#"{"type":"error"}"#.to_owned(),
        block(json!({"type": "server_tool_use"})),
        block(json!({"type": "text"})),
        block(json!({"type": "tool_use", "id": "a", "name": "f", "input": "x"})),
        "[".repeat(100_000),
    ] {
        assert!(Anthropic.read_response(body.as_bytes()).is_err());
    }
}

#[test]
fn errors_have_the_types_of_their_status() {
    for (code, kind) in [
        (Code::InvalidRequest, "invalid_request_error"),
        (Code::InvalidApiKey, "authentication_error"),
        (Code::BudgetExceeded, "billing_error"),
        (Code::ModelNotAllowed, "permission_error"),
        (Code::ModelNotFound, "not_found_error"),
        (Code::Conflict, "conflict_error"),
        (Code::RequestTooLarge, "request_too_large"),
        (Code::RateLimitExceeded, "rate_limit_error"),
        (Code::UpstreamError, "api_error"),
        (Code::UpstreamTimeout, "timeout_error"),
        (Code::Overloaded, "overloaded_error"),
    ] {
        let error = Error::new(code, "Oh.");
        let body: Value = serde_json::from_slice(&Anthropic.error_body(&error, "req_1")).unwrap();
        assert_eq!(body, json!({"type": "error", "error": {"type": kind, "message": "Oh."}, "request_id": "req_1"}));
        let event = format!(
            "event: error\ndata: {{\"type\":\"error\",\"error\":{{\"type\":\"{kind}\",\"message\":\"Oh.\"}}}}\n\n"
        );
        assert_eq!(Anthropic.error_event(&error), event);
    }
}
