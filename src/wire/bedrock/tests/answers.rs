//! Whole answers as Bedrock gives them.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::chat::{Content, Part, Stop, Tier, Usage};

fn answer(content: &Value, stop: &str, more: &Value) -> Vec<u8> {
    let mut answer = json!({"output": {"message": {"role": "assistant", "content": content}}, "stopReason": stop,
        "metrics": {"latencyMs": 1}});
    answer.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    answer.to_string().into_bytes()
}

#[test]
fn every_kind_of_block_is_read() {
    let content = json!([
        {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "sig"}}},
        {"reasoningContent": {"redactedContent": "c2VjcmV0"}},
        {"text": "Hello."},
        {"citationsContent": {"content": [{"text": "Sun"}, {"text": "ny."}], "citations": [
            {"title": "Report", "sourceContent": [{"text": "sun"}],
             "location": {"documentPage": {"documentIndex": 1, "start": 2, "end": 3}}}]}},
        {"toolUse": {"toolUseId": "t1", "name": "look", "input": {"b": 1, "a": 2}}},
    ]);
    let usage = json!({"usage": {"inputTokens": 5, "outputTokens": 7, "totalTokens": 112, "cacheReadInputTokens": 60,
        "cacheWriteInputTokens": 40, "cacheDetails": [{"ttl": "1h", "inputTokens": 30}, {"ttl": "5m", "inputTokens": 10}]},
        "serviceTier": {"type": "flex"}});
    let read = Bedrock.read_response(&answer(&content, "tool_use", &usage)).unwrap();
    let choice = &read.choices[0];
    let kinds: Vec<&Content> = choice.parts.iter().map(|part| &part.content).collect();
    assert_eq!(choice.parts[0], Part { signature: Some("sig".into()), ..Part::new(Content::Thinking("Hm.".into())) });
    assert_eq!(kinds[1], &Content::RedactedThinking("c2VjcmV0".into()));
    assert_eq!(choice.parts[2], Part::text("Hello."));
    assert!(matches!(kinds[3], Content::Text { text, citations } if text == "Sunny."
        && citations[0].document == Some(1) && citations[0].quoted.as_deref() == Some("sun")));
    let arguments = r#"{"b":1,"a":2}"#.to_owned();
    assert_eq!(kinds[4], &Content::ToolCall { id: "t1".into(), name: "look".into(), arguments });
    assert_eq!(choice.stop, Some(Stop::Tools));
    // What was read from the cache, and written to it, is not in `inputTokens`.
    let usage =
        Usage { input: 105, cached_input: 60, cache_write: 40, cache_write_1h: 30, output: 7, ..Usage::default() };
    assert_eq!((read.usage, read.service_tier.as_deref()), (Some(usage.in_tier(Tier::Flex)), Some("flex")));
}

#[test]
fn every_reason_to_stop_has_its_meaning() {
    for (reason, stop) in [
        ("end_turn", Stop::End),
        ("tool_use", Stop::Tools),
        ("max_tokens", Stop::Length),
        ("stop_sequence", Stop::Sequence(Some("END".into()))),
        ("guardrail_intervened", Stop::Filtered),
        ("content_filtered", Stop::Filtered),
        ("model_context_window_exceeded", Stop::Context),
        ("malformed_tool_use", Stop::Other("malformed_tool_use".into())),
        ("malformed_model_output", Stop::Other("malformed_model_output".into())),
    ] {
        let more = json!({"additionalModelResponseFields": {"stop_sequence": "END"}});
        let call = json!({"toolUse": {"toolUseId": "t", "name": "f", "input": {}}});
        let content = if reason == "tool_use" { json!([call]) } else { json!([]) };
        let read = Bedrock.read_response(&answer(&content, reason, &more)).unwrap();
        assert_eq!(read.choices[0].stop, Some(stop), "{reason}");
    }
}

#[test]
fn usage_that_cannot_be_true_is_none() {
    for usage in [
        json!(null),
        json!({"inputTokens": 5}),
        json!({"inputTokens": -5, "outputTokens": 7}),
        json!({"inputTokens": 5, "outputTokens": 7, "cacheReadInputTokens": "many"}),
        json!({"inputTokens": 5, "outputTokens": 100_000_001u64}),
    ] {
        let read =
            Bedrock.read_response(&answer(&json!([{"text": "Hi"}]), "end_turn", &json!({"usage": usage}))).unwrap();
        assert_eq!(read.usage, None, "{usage}");
    }
}

#[test]
fn what_is_no_answer_is_told_as_that() {
    for body in ["", "[]", "{}", r#"{"output":{}}"#, r#"{"message":"no"}"#, r#"{"output":{"message":{"content":"x"}}}"#]
    {
        assert!(Bedrock.read_response(body.as_bytes()).is_err(), "{body}");
    }
    for block in [
        json!({"video": {}}),
        json!({"text": 1}),
        json!({}),
        json!({"toolUse": {"toolUseId": "a", "name": "b", "input": []}}),
    ] {
        assert!(Bedrock.read_response(&answer(&json!([block]), "end_turn", &json!({}))).is_err(), "{block}");
    }
}

proptest! {
    #[test]
    fn no_json_makes_it_panic(text in "[{}\\[\\]\",:a-z0-9]{0,40}", field in "(text|toolUse|reasoningContent|citationsContent)") {
        drop(Bedrock.read_response(text.as_bytes()));
        let body = format!("{{\"output\":{{\"message\":{{\"content\":[{{\"{field}\":{text}}}]}}}},\"usage\":{text}}}");
        drop(Bedrock.read_response(body.as_bytes()));
    }
}
