//! The simulated provider as its callers see it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::write::timeless;
use super::*;

fn ask(body: &Value) -> Simulated {
    answer("/chat/completions", body.to_string().as_bytes(), None)
}

fn body_of(body: &Value) -> Value {
    let answer = ask(body);
    assert_eq!(answer.status, 200, "{body}");
    serde_json::from_slice(answer.body.as_whole().unwrap()).unwrap()
}

fn bytes(simulated: &Simulated) -> String {
    let pieces = simulated.body.pieces().filter_map(|(_, piece)| match piece {
        Piece::Bytes(bytes) => Some(&bytes[..]),
        _ => None,
    });
    String::from_utf8(pieces.collect::<Vec<_>>().concat()).unwrap()
}

fn events(body: &Value) -> Vec<Value> {
    let text = bytes(&ask(body));
    let (events, done) = text.split_once("data: [DONE]\n\n").unwrap();
    assert_eq!(done, "");
    let lines = events.split("\n\n").filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_str(line.strip_prefix("data: ").unwrap()).unwrap()).collect()
}

fn hello(more: &Value) -> Value {
    let mut body = json!({"model": "m-instant", "messages": [{"role": "user", "content": "How do tides work?"}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn weather(text: &str, more: &Value) -> Value {
    let tools = json!([
        {"type": "function", "function": {"name": "get_weather", "description": "Weather of a city", "parameters":
            {"type": "object", "properties": {"city": {"type": "string"}, "unit": {"enum": ["celsius", "fahrenheit"]}},
             "required": ["city", "unit"], "additionalProperties": false}}},
        {"type": "function", "function": {"name": "send_mail", "parameters":
            {"type": "object", "properties": {"to": {"type": "string", "format": "email"}, "body": {"type": "string"}}, "required": ["to"]}}},
    ]);
    let mut body = hello(&json!({"tools": tools, "messages": [{"role": "user", "content": text}]}));
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[test]
fn the_same_request_gets_the_same_answer() {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "hi  there"}], "seed": 3});
    let (one, two) = (ask(&body), answer("/chat/completions", format!(" {body:#} ").as_bytes(), None));
    assert_eq!((timeless(bytes(&one).as_bytes()), one.after), (timeless(bytes(&two).as_bytes()), two.after));
    assert_eq!(one.headers, two.headers);
    let other = json!({"model": "m", "messages": [{"role": "user", "content": "hi  there"}], "seed": 4});
    assert_ne!(bytes(&ask(&other)), bytes(&one));
}

#[test]
fn every_answer_says_that_it_is_simulated() {
    let answer = ask(&hello(&json!({})));
    assert_eq!(answer.headers["x-simulated"], "true");
    assert!(answer.headers["x-request-id"].to_str().unwrap().starts_with("req_sim_"));
    let body = body_of(&hello(&json!({})));
    assert!(body["id"].as_str().unwrap().starts_with("chatcmpl-sim-"));
    assert_eq!(body["system_fingerprint"], "fp_simulated");
    assert_eq!(ask(&hello(&json!({"model": "error-500"}))).headers["x-simulated"], "true");
}

#[test]
fn a_whole_answer_has_openais_shape() {
    let body = body_of(&hello(&json!({})));
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["model"], "m-instant");
    let choice = &body["choices"][0];
    assert_eq!((&choice["message"]["role"], &choice["finish_reason"]), (&json!("assistant"), &json!("stop")));
    assert!(choice["message"]["content"].as_str().unwrap().contains("tides"));
    let usage = &body["usage"];
    assert_eq!(
        usage["total_tokens"].as_u64(),
        Some(usage["prompt_tokens"].as_u64().unwrap() + usage["completion_tokens"].as_u64().unwrap())
    );
    assert_eq!(usage["completion_tokens_details"]["reasoning_tokens"], 0);
}

#[test]
fn a_stream_says_what_the_whole_answer_says() {
    let whole = body_of(&hello(&json!({})));
    let events = events(&hello(&json!({"stream": true, "stream_options": {"include_usage": true}})));
    assert_eq!(events[0]["choices"][0]["delta"], json!({"role": "assistant", "content": "", "refusal": null}));
    let text: String = events.iter().filter_map(|e| e["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, whole["choices"][0]["message"]["content"].as_str().unwrap());
    let (last, before) = events.split_last().unwrap();
    assert_eq!((&last["choices"], &last["usage"]), (&json!([]), &whole["usage"]));
    assert!(before.iter().all(|event| event.get("usage") == Some(&Value::Null) && event["id"] == whole["id"]));
    assert_eq!(before.last().unwrap()["choices"][0]["finish_reason"], "stop");
}

#[test]
fn a_stream_has_usage_only_where_asked() {
    assert!(
        events(&hello(&json!({"stream": true})))
            .iter()
            .all(|event| event.get("usage").is_none() && event["choices"] != json!([]))
    );
}

#[test]
fn limits_and_stops_end_an_answer() {
    for limit in ["max_tokens", "max_completion_tokens"] {
        let body = body_of(&hello(&json!({limit: 5})));
        assert_eq!(
            (&body["choices"][0]["finish_reason"], &body["usage"]["completion_tokens"]),
            (&json!("length"), &json!(5))
        );
    }
    let body = body_of(&hello(
        &json!({"messages": [{"role": "user", "content": "Say one two three"}], "stop": ["nothing", " two"]}),
    ));
    assert_eq!(
        (&body["choices"][0]["message"]["content"], &body["choices"][0]["finish_reason"]),
        (&json!("one"), &json!("stop"))
    );
}

#[test]
fn n_answers_differ_and_are_all_counted() {
    let body = body_of(&hello(&json!({"n": 3})));
    let texts: Vec<&str> =
        body["choices"].as_array().unwrap().iter().map(|c| c["message"]["content"].as_str().unwrap()).collect();
    assert_eq!(texts.len(), 3);
    assert_ne!(texts[0], texts[1]);
    assert_eq!(
        usize::try_from(body["usage"]["completion_tokens"].as_u64().unwrap()).unwrap(),
        texts.iter().map(|t| tokens::count(t)).sum::<usize>()
    );
    let mut streamed: BTreeMap<u64, String> = BTreeMap::new();
    for event in events(&hello(&json!({"n": 3, "stream": true}))) {
        let choice = &event["choices"][0];
        *streamed.entry(choice["index"].as_u64().unwrap()).or_default() +=
            choice["delta"]["content"].as_str().unwrap_or("");
    }
    assert_eq!(streamed.values().collect::<Vec<_>>(), texts);
}

#[test]
fn log_probabilities_cover_the_text() {
    let body = body_of(&hello(&json!({"logprobs": true, "top_logprobs": 3})));
    let entries = body["choices"][0]["logprobs"]["content"].as_array().unwrap();
    let text: String = entries.iter().map(|entry| entry["token"].as_str().unwrap()).collect();
    assert_eq!(text, body["choices"][0]["message"]["content"].as_str().unwrap());
    for entry in entries {
        let top: Vec<f64> =
            entry["top_logprobs"].as_array().unwrap().iter().map(|t| t["logprob"].as_f64().unwrap()).collect();
        assert!(top.len() == 3 && top.is_sorted_by(|a, b| a > b) && top[0] <= 0.0, "{entry}");
        assert!(top.iter().map(|p| p.exp()).sum::<f64>() <= 1.0);
        assert_eq!(entry["bytes"].as_array().unwrap().len(), entry["token"].as_str().unwrap().len());
    }
    let streamed = events(&hello(&json!({"logprobs": true, "top_logprobs": 3, "stream": true})));
    let streamed: Vec<&Value> = streamed.iter().filter_map(|e| e["choices"][0]["logprobs"]["content"].get(0)).collect();
    assert_eq!(streamed, entries.iter().collect::<Vec<_>>());
}

#[test]
fn structured_output_satisfies_its_schema() {
    let schema = json!({"type": "object", "required": ["label"], "additionalProperties": false,
        "properties": {"label": {"type": "string", "enum": ["Garden", "Kitchen", "Tools", "Other"]}}});
    let body = body_of(&hello(&json!({"messages": [{"role": "user", "content": "A cordless drill"}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "l", "schema": schema}}})));
    assert_eq!(body["choices"][0]["message"]["content"], r#"{"label":"Tools"}"#);
    let body = body_of(&hello(&json!({"response_format": {"type": "json_object"}})));
    let text = body["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(serde_json::from_str::<Value>(text).unwrap().is_object());
}

#[test]
fn a_tool_is_called_where_the_text_wants_it() {
    let body = body_of(&weather("What is the weather in Paris?", &json!({})));
    let choice = &body["choices"][0];
    assert_eq!((&choice["finish_reason"], &choice["message"]["content"]), (&json!("tool_calls"), &Value::Null));
    let calls = choice["message"]["tool_calls"].as_array().unwrap();
    assert_eq!((calls.len(), &calls[0]["function"]["name"]), (1, &json!("get_weather")));
    let arguments: Value = serde_json::from_str(calls[0]["function"]["arguments"].as_str().unwrap()).unwrap();
    assert_eq!(arguments["city"], "Paris");
    assert!(body_of(&weather("Tell me a joke", &json!({})))["choices"][0]["message"]["content"].is_string());
    assert!(
        body_of(&weather("The weather in Paris?", &json!({"tool_choice": "none"})))["choices"][0]["message"]
            .get("tool_calls")
            .is_none()
    );
}

#[test]
fn a_tool_is_called_where_the_choice_wants_it() {
    for (choice, name) in [
        (json!("required"), "get_weather"),
        (json!({"type": "function", "function": {"name": "send_mail"}}), "send_mail"),
    ] {
        let body = body_of(&weather("Tell me a joke", &json!({"tool_choice": choice})));
        assert_eq!(body["choices"][0]["message"]["tool_calls"][0]["function"]["name"], name);
    }
}

#[test]
fn two_tools_or_two_names_are_parallel_calls() {
    let names = |body: &Value| -> Vec<(String, String)> {
        let calls = body["choices"][0]["message"]["tool_calls"].as_array().unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        calls.iter().map(|call| (text(&call["function"]["name"]), text(&call["function"]["arguments"]))).collect()
    };
    let two = names(&body_of(&weather("Check the weather, then use send_mail", &json!({}))));
    assert_eq!((two.len(), two[0].0.as_str(), two[1].0.as_str()), (2, "get_weather", "send_mail"));
    let cities = names(&body_of(&weather("What is the weather in Paris and in London?", &json!({}))));
    assert!(cities.len() == 2 && cities[0].1.contains("Paris") && cities[1].1.contains("London"), "{cities:?}");
    let one = names(&body_of(&weather("The weather in Paris and in London?", &json!({"parallel_tool_calls": false}))));
    assert_eq!(one.len(), 1);
}

#[test]
fn streamed_tool_calls_come_in_fragments() {
    let text = "What is the weather in Paris and in London?";
    let whole = body_of(&weather(text, &json!({})));
    let mut calls: Vec<Value> = Vec::new();
    for event in events(&weather(text, &json!({"stream": true}))) {
        let Some(fragment) = event["choices"][0]["delta"]["tool_calls"].get(0).cloned() else { continue };
        let index = usize::try_from(fragment["index"].as_u64().unwrap()).unwrap();
        if index == calls.len() {
            assert_eq!(fragment["function"]["arguments"], "");
            calls.push(fragment);
            calls[index].as_object_mut().unwrap().shift_remove("index");
        } else {
            assert!(fragment.get("id").is_none());
            let more = fragment["function"]["arguments"].as_str().unwrap();
            let so_far = calls[index]["function"]["arguments"].as_str().unwrap().to_owned();
            calls[index]["function"]["arguments"] = json!(so_far + more);
        }
    }
    assert_eq!(json!(calls), whole["choices"][0]["message"]["tool_calls"]);
}

#[test]
fn after_a_tools_result_comes_text() {
    let messages = json!([{"role": "user", "content": "What is the weather in Paris?"},
        {"role": "assistant", "content": null, "tool_calls": [{"id": "c", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "21 degrees"}]);
    let body = body_of(&weather("", &json!({"messages": messages})));
    assert!(body["choices"][0]["message"]["content"].as_str().unwrap().contains("21 degrees"));
}

#[test]
fn long_prefixes_count_as_cached_and_reasoning_is_counted() {
    let system = "many words ".repeat(1_000);
    let body = body_of(&hello(
        &json!({"messages": [{"role": "system", "content": system}, {"role": "user", "content": "hi"}]}),
    ));
    let cached = body["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap();
    let prompt = body["usage"]["prompt_tokens"].as_u64().unwrap();
    assert!(cached >= 1024 && cached.is_multiple_of(128) && cached < prompt, "{cached} of {prompt}");
    let body = body_of(&hello(&json!({"model": "m-instant-reasoning"})));
    let reasoning = body["usage"]["completion_tokens_details"]["reasoning_tokens"].as_u64().unwrap();
    assert!((64..=512).contains(&reasoning) && body["usage"]["completion_tokens"].as_u64().unwrap() > reasoning);
    let body = body_of(&hello(&json!({"model": "m-instant-reasoning", "max_completion_tokens": 40})));
    assert_eq!(body["usage"]["completion_tokens"], 40);
}

#[test]
fn refusals_have_openais_shape() {
    for (model, status, code) in [
        ("error-500", 500, Value::Null),
        ("error-503", 503, json!("overloaded")),
        ("rate-limited", 429, json!("rate_limit_exceeded")),
        ("quota", 429, json!("insufficient_quota")),
        ("auth", 401, json!("invalid_api_key")),
        ("refuse", 400, json!("content_policy_violation")),
        ("context-length", 400, json!("context_length_exceeded")),
    ] {
        let answer = ask(&hello(&json!({"model": model})));
        let body: Value = serde_json::from_slice(answer.body.as_whole().unwrap()).unwrap();
        assert_eq!((answer.status, &body["error"]["code"]), (status, &code), "{model}");
        assert!(
            body["error"]["message"].is_string()
                && body["error"]["type"].is_string()
                && body["error"].get("param").is_some()
        );
    }
    for (path, body, status) in [
        ("/chat/completions", "nonsense", 400),
        ("/chat/completions", "[]", 400),
        ("/chat/completions", r#"{"model":"m"}"#, 400),
        ("/chat/completions", r#"{"messages":[]}"#, 400),
        ("/nowhere", r#"{"model":"m"}"#, 404),
        ("/embeddings", r#"{"model":"m"}"#, 400),
    ] {
        assert_eq!(answer(path, body.as_bytes(), None).status, status, "{path} {body}");
    }
}

#[test]
fn retry_after_is_told_in_seconds_or_as_a_date() {
    assert_eq!(ask(&hello(&json!({"model": "rate-limited"}))).headers["retry-after"], "1");
    let date = ask(&hello(&json!({"model": "rate-limited-date"})));
    assert!(httpdate::parse_http_date(date.headers["retry-after"].to_str().unwrap()).is_ok());
    assert!(ask(&hello(&json!({"model": "quota"}))).headers.get("retry-after").is_none());
}

#[test]
fn a_profile_works_on_every_model() {
    let body = hello(&json!({}));
    assert_eq!(answer("/chat/completions", body.to_string().as_bytes(), Some("error-502")).status, 502);
}

#[test]
fn a_third_of_flaky_requests_fail_and_always_the_same() {
    let status = |i: usize| ask(&hello(&json!({"model": "m-flaky-instant", "seed": i}))).status;
    let failed = (0..300).filter(|i| status(*i) == 503).count();
    assert!((70..130).contains(&failed), "{failed}");
    assert!((0..20).all(|i| status(i) == status(i)));
}

#[test]
fn broken_streams_break_after_three_chunks() {
    for (model, last) in [("cut-instant", Piece::Cut), ("stall-instant", Piece::Stall)] {
        let answer = ask(&hello(&json!({"model": model, "stream": true})));
        let pieces: Vec<&Piece> = answer.body.pieces().map(|(_, piece)| piece).collect();
        assert_eq!((pieces.len(), *pieces.last().unwrap()), (5, &last), "{model}");
    }
    let error = bytes(&ask(&hello(&json!({"model": "error-event", "stream": true}))));
    let last = error.trim_end().rsplit("\n\n").next().unwrap();
    assert!(last.starts_with(r#"data: {"error""#) && !error.contains("[DONE]"), "{last}");
    let bad = bytes(&ask(&hello(&json!({"model": "bad-json", "stream": true}))));
    let is_bad = |line: &&str| serde_json::from_str::<Value>(line.trim_start_matches("data: ")).is_err();
    assert_eq!(bad.trim_end().split("\n\n").filter(is_bad).count(), 2, "one broken chunk, and [DONE]");
}

#[test]
fn broken_whole_answers_break_in_their_body() {
    let cut = ask(&hello(&json!({"model": "cut"})));
    assert_eq!(cut.body.pieces().last().unwrap().1, Piece::Cut);
    assert!(serde_json::from_str::<Value>(&bytes(&cut)).is_err());
    assert_eq!(ask(&hello(&json!({"model": "stall"}))).after, Duration::MAX);
    assert!(serde_json::from_str::<Value>(&bytes(&ask(&hello(&json!({"model": "bad-json"}))))).is_err());
    assert_eq!(ask(&hello(&json!({"model": "error-event"}))).status, 500);
    let loris = ask(&hello(&json!({"model": "slow-loris"})));
    assert!(loris.body.pieces().count() > 10 && serde_json::from_str::<Value>(&bytes(&loris)).is_ok());
    assert!(loris.body.pieces().last().unwrap().0 > Duration::from_secs(2));
    let filtered = body_of(&hello(&json!({"model": "filtered-instant"})));
    assert_eq!(filtered["choices"][0]["finish_reason"], "content_filter");
}

#[test]
fn pace_shows_in_the_times() {
    let after = |model: &str| ask(&hello(&json!({"model": model, "stream": true}))).after;
    assert_eq!(after("m-instant"), Duration::ZERO);
    assert!(after("m-fast") < Duration::from_millis(20) && after("m-slow") > Duration::from_millis(700));
    assert!(after("m-instant-slow-first-token") >= Duration::from_secs(3));
    let stream = ask(&hello(&json!({"model": "m", "stream": true})));
    let times: Vec<Duration> = stream.body.pieces().map(|(at, _)| *at).collect();
    assert!(times.is_sorted() && times[0] == Duration::ZERO && times[2] == Duration::from_millis(4));
    assert!(ask(&hello(&json!({"model": "m"}))).after > stream.after);
}

#[test]
fn models_are_listed() {
    let list: Value = serde_json::from_slice(answer("/models", b"", None).body.as_whole().unwrap()).unwrap();
    assert_eq!((&list["object"], list["data"].as_array().unwrap().len()), (&json!("list"), MODELS.len()));
    assert_eq!(answer("/models/simulated", b"", None).status, 200);
    assert_eq!(answer("/models/nope", b"", None).status, 404);
}

#[test]
fn embeddings_are_answered() {
    let body = json!({"model": "simulated-embedding", "input": ["a", "b"], "dimensions": 4}).to_string();
    let answer = answer("/embeddings", body.as_bytes(), None);
    let body: Value = serde_json::from_slice(answer.body.as_whole().unwrap()).unwrap();
    assert_eq!((answer.status, body["data"][1]["embedding"].as_array().unwrap().len()), (200, 4));
    assert!(answer.after > Duration::ZERO);
}
