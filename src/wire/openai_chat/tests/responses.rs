//! Whole answers, both ways.

use super::*;
use crate::chat::{Choice, Citation, Content, Part, Response, Stop, Unit, Usage};

fn whole(message: Value, reason: &str) -> Value {
    let mut answer = json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [
        {"index": 0, "logprobs": null, "finish_reason": reason}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120,
            "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10},
            "completion_tokens_details": {"reasoning_tokens": 5}}});
    answer["choices"][0]["message"] = message;
    answer
}

fn read(answer: &Value) -> Response {
    OpenAiChat.read_response(answer.to_string().as_bytes()).unwrap()
}

fn back(response: &Response) -> Value {
    let context = AnswerContext { model: "m".to_owned(), ..context() };
    serde_json::from_slice(&OpenAiChat.write_response(response, &context)).unwrap()
}

#[test]
fn answers_are_written_as_they_were_read() {
    let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{\"x\": 1}"}});
    let signed = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"},
        "extra_content": {"google": {"thought_signature": "g"}}});
    let cited = json!({"type": "url_citation",
        "url_citation": {"url": "https://a", "title": "A", "start_index": 0, "end_index": 2}});
    let details = json!([{"type": "reasoning.text", "text": "Hm", "signature": "s", "index": 0},
        {"type": "reasoning.encrypted", "data": "d", "index": 1}]);
    for (message, reason, stop) in [
        (json!({"role": "assistant", "content": "Grüße", "refusal": null}), "stop", Stop::End),
        (json!({"role": "assistant", "content": "Grü", "refusal": null}), "length", Stop::Length),
        (json!({"role": "assistant", "content": "", "refusal": null}), "content_filter", Stop::Filtered),
        (json!({"role": "assistant", "content": null, "refusal": "No."}), "stop", Stop::Refused),
        (
            json!({"role": "assistant", "content": null, "refusal": null, "tool_calls": [call("a"), call("b")]}),
            "tool_calls",
            Stop::Tools,
        ),
        (
            json!({"role": "assistant", "content": "So", "refusal": null, "tool_calls": [signed]}),
            "tool_calls",
            Stop::Tools,
        ),
        (json!({"role": "assistant", "content": "Hi", "refusal": null, "annotations": [cited]}), "stop", Stop::End),
        (json!({"role": "assistant", "content": "Hi", "refusal": null, "reasoning_content": "Hm"}), "stop", Stop::End),
        (
            json!({"role": "assistant", "content": "Hi", "refusal": null, "reasoning_content": "Hm", "reasoning_details": details}),
            "stop",
            Stop::End,
        ),
        (
            json!({"role": "assistant", "content": "Hi", "refusal": null, "images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]}),
            "stop",
            Stop::End,
        ),
    ] {
        let answer = whole(message, reason);
        let response = read(&answer);
        assert_eq!(response.choices[0].stop, Some(stop));
        assert_eq!(back(&response), answer);
    }
}

#[test]
fn usage_of_an_answer_has_its_details() {
    let usage = read(&whole(json!({"content": "Hi"}), "stop")).usage.unwrap();
    assert_eq!((usage.input, usage.cached_input, usage.cache_write), (100, 60, 10));
    assert_eq!((usage.output, usage.reasoning), (20, 5));
    let mut answer = whole(json!({"content": "Hi"}), "stop");
    answer["usage"] = json!({"prompt_tokens": -1, "completion_tokens": 2});
    assert_eq!(read(&answer).usage, None);
    answer["usage"] = json!({"prompt_tokens": 0, "completion_tokens": 0});
    assert_eq!(read(&answer).usage, Some(Usage::default()));
}

#[test]
fn answers_of_other_servers_are_read() {
    let parts =
        json!([{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}, {"type": "text", "text": "Hi"}]);
    let mut answer = whole(json!({"content": parts}), "stop");
    let thought = &read(&answer).choices[0].parts;
    assert_eq!((&thought[0].content, &thought[1]), (&Content::Thinking("Hm".to_owned()), &Part::text("Hi")));
    answer["choices"][0]["message"] =
        json!({"content": null, "reasoning": "So", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]});
    let response = read(&answer);
    assert_eq!(response.choices[0].stop, Some(Stop::Tools), "a forced call ends with `stop`");
    let call = Content::ToolCall { id: "call_0_0".to_owned(), name: "f".to_owned(), arguments: "{\"a\":1}".to_owned() };
    assert_eq!(response.choices[0].parts[1].content, call);
    answer["choices"][0]["finish_reason"] = json!("model_error");
    assert_eq!(read(&answer).choices[0].stop, Some(Stop::Other("model_error".to_owned())));
}

#[test]
fn choices_stand_by_their_index() {
    let mut answer = whole(json!({"content": "b"}), "stop");
    answer["choices"][0]["index"] = json!(1);
    let first = json!({"index": 0, "message": {"content": "a"}, "finish_reason": "length"});
    answer["choices"].as_array_mut().unwrap().push(first);
    let texts: Vec<_> =
        read(&answer).choices.iter().map(|choice| choice.parts[0].as_text().unwrap().to_owned()).collect();
    assert_eq!(texts, ["a", "b"]);
}

#[test]
fn what_is_no_answer_is_told() {
    let deep = format!("{{\"choices\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    for body in ["", "[]", "{}", "{\"choices\":3}", "{\"choices\":[{}]}", "<html>", &deep] {
        assert!(OpenAiChat.read_response(body.as_bytes()).is_err());
    }
    for message in [
        json!({"content": 3}),
        json!({"content": [{"type": "hologram"}]}),
        json!({"tool_calls": [{"id": "1", "function": {}}]}),
        json!({"tool_calls": [3]}),
        json!({"tool_calls": {}}),
    ] {
        let body = whole(message.clone(), "stop").to_string();
        assert!(OpenAiChat.read_response(body.as_bytes()).is_err(), "{message}");
    }
}

#[test]
fn other_providers_ends_have_the_nearest_reason() {
    for (stop, reason) in [
        (Some(Stop::Sequence(Some("x".to_owned()))), "stop"),
        (Some(Stop::Context), "length"),
        (Some(Stop::Refused), "content_filter"),
        (Some(Stop::Paused), "stop"),
        (Some(Stop::Other("odd".to_owned())), "stop"),
        (None, "stop"),
    ] {
        let choice = Choice { stop, ..Choice::default() };
        let answer = back(&Response { choices: vec![choice], ..Response::default() });
        assert_eq!(answer["choices"][0]["finish_reason"], reason);
        assert_eq!((&answer["id"], &answer["created"]), (&json!("own"), &json!(7)));
    }
}

#[test]
fn citations_without_an_address_are_left_out_and_others_have_their_place() {
    let cite = |url: Option<&str>, start, unit| Citation {
        url: url.map(str::to_owned),
        start,
        end: start.map(|start| start + 1),
        unit,
        ..Citation::default()
    };
    let cited = |text: &str, citations| Part::new(Content::Text { text: text.to_owned(), citations });
    let parts = vec![
        cited("Grüße. ", vec![cite(None, Some(3), Some(Unit::Char))]),
        cited("Rain.", vec![cite(Some("https://a"), None, None), cite(Some("https://b"), Some(1), Some(Unit::Answer))]),
    ];
    let answer = back(&Response { choices: vec![Choice { parts, ..Choice::default() }], ..Response::default() });
    let message = &answer["choices"][0]["message"];
    assert_eq!(message["content"], "Grüße. Rain.");
    let places: Vec<(u64, u64)> = message["annotations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (one["url_citation"]["start_index"].as_u64().unwrap(), one["url_citation"]["end_index"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(places, [(7, 12), (8, 9)]);
}
