//! Requests, both ways.

use super::*;
use crate::chat::{
    CacheTtl, Code, Content, Effort, Format, Message, Part, PromptMessage, Reasoning, Role, Sampling, Source, Tool,
};
use crate::wire::openai_chat::prompt;

/// Messages that are written as they were read.
fn conversations() -> Vec<Value> {
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}});
    let page = json!({"type": "image_url", "image_url": {"url": "https://a/b.png"}});
    let file = json!({"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="}});
    let sound = json!({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}});
    let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{\"x\": 1}"}});
    vec![
        json!([{"role": "user", "content": "Hi"}]),
        json!([
            {"role": "system", "content": "Be brief."}, {"role": "developer", "content": "Be kind."},
            {"role": "user", "content": "Hi", "name": "ada"}, {"role": "assistant", "content": "Ho"},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        ]),
        json!([{"role": "user", "content": [{"type": "text", "text": "See"}, image, page, file, sound,
            {"type": "file", "file": {"file_id": "file-1"}}]}]),
        json!([{"role": "user", "content": [image]}]),
        json!([
            {"role": "user", "content": "Call"},
            {"role": "assistant", "content": null, "tool_calls": [call("1"), call("2")]},
            {"role": "tool", "tool_call_id": "1", "content": "one"},
            {"role": "tool", "tool_call_id": "2", "content": [{"type": "text", "text": "t"}, {"type": "text", "text": "wo"}]},
            {"role": "assistant", "content": "Once more", "tool_calls": [call("3")]},
            {"role": "tool", "tool_call_id": "3", "content": ""},
            {"role": "user", "content": "Well?"},
            {"role": "assistant", "content": null, "refusal": "No."},
            {"role": "user", "content": ""},
        ]),
    ]
}

#[test]
fn conversations_are_written_as_they_were_read() {
    for messages in conversations() {
        let (request, emulated) = read(&with_messages(messages.clone())).unwrap();
        assert!(emulated.is_empty(), "{emulated:?}");
        let (body, emulated) = write(&request).unwrap();
        assert!(emulated.is_empty(), "{emulated:?}");
        assert_eq!(body["messages"], messages);
    }
}

#[test]
fn every_other_field_is_written_as_it_was_read() {
    let fields = json!({
        "max_tokens": 9, "n": 2, "stop": ["a", "b"], "tool_choice": {"type": "function", "function": {"name": "f"}},
        "tools": [{"type": "function", "function": {"name": "f", "description": "d",
            "strict": true,
            "parameters": {"type": "object", "properties": {"z": {}, "a": {}}, "required": ["a", "z"], "additionalProperties": false}}},
            {"type": "function", "function": {"name": "g"}}],
        "parallel_tool_calls": false, "logprobs": true, "top_logprobs": 3, "reasoning_effort": "xhigh",
        "response_format": {"type": "json_schema", "json_schema": {"name": "s", "strict": true,
            "schema": {"type": "object", "additionalProperties": false}}},
        "verbosity": "low", "user": "u", "metadata": {"a": "b"}, "service_tier": "flex", "prompt_cache_key": "k",
        "store": false, "stream": true, "stream_options": {"include_usage": true}, "temperature": 1.5, "top_p": 0.5,
        "frequency_penalty": -1.0, "presence_penalty": 1.0, "seed": -3,
    });
    let mut body = with_messages(json!([{"role": "user", "content": "Hi"}]));
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    let (request, emulated) = read(&body).unwrap();
    assert!(emulated.is_empty());
    let (back, emulated) = write(&request).unwrap();
    assert!(emulated.is_empty());
    assert_eq!(back, body);
    for (field, value) in [
        ("tool_choice", json!("auto")),
        ("tool_choice", json!("none")),
        ("tool_choice", json!("required")),
        ("response_format", json!({"type": "json_object"})),
        ("response_format", json!({"type": "text"})),
        ("logprobs", json!(true)),
        ("reasoning_effort", json!("none")),
    ] {
        let mut body = with_messages(json!([{"role": "user", "content": "Hi"}]));
        body[field] = value;
        assert_eq!(write(&read(&body).unwrap().0).unwrap().0, body);
    }
}

#[test]
fn a_model_gets_what_it_takes_and_the_rest_is_named() {
    let asked = |model: &str, effort| {
        let reasoning = Some(Reasoning { effort: Some(effort), ..Reasoning::default() });
        let sampling = Sampling { temperature: Some(0.2), ..Sampling::default() };
        let verbosity = Some("low".to_owned());
        let request = Request { model: model.to_owned(), reasoning, sampling, verbosity, ..Request::default() };
        let (body, emulated) = write(&request).unwrap();
        let field = |name: &str| body.get(name).cloned().unwrap_or_default();
        ([field("reasoning_effort"), field("temperature"), field("verbosity")], emulated.names().to_vec())
    };
    let none = Value::Null;
    for (model, effort, fields, named) in [
        ("gpt-4o", Effort::High, [none.clone(), json!(0.2), none.clone()], vec!["reasoning_effort", "verbosity"]),
        ("gpt-4.1", Effort::None, [none.clone(), json!(0.2), none.clone()], vec!["verbosity"]),
        (
            "ft:o4-mini-2025-04-16:acme::x1",
            Effort::XHigh,
            [json!("high"), none.clone(), none.clone()],
            vec!["temperature", "reasoning_effort", "verbosity"],
        ),
        (
            "openai/gpt-5-mini",
            Effort::None,
            [json!("minimal"), none.clone(), json!("low")],
            vec!["temperature", "reasoning_effort"],
        ),
        ("gpt-5.1", Effort::None, [json!("none"), json!(0.2), json!("low")], vec![]),
        (
            "gpt-5.1",
            Effort::Minimal,
            [json!("low"), none.clone(), json!("low")],
            vec!["temperature", "reasoning_effort"],
        ),
        ("gpt-5.2", Effort::XHigh, [json!("xhigh"), none.clone(), json!("low")], vec!["temperature"]),
        (
            "gpt-5-pro",
            Effort::Low,
            [json!("high"), none.clone(), json!("low")],
            vec!["temperature", "reasoning_effort"],
        ),
        ("gemini-2.5-pro", Effort::None, [json!("low"), json!(0.2), json!("low")], vec!["reasoning_effort"]),
        ("some-model", Effort::Max, [json!("max"), json!(0.2), json!("low")], vec![]),
    ] {
        assert_eq!(asked(model, effort), (fields, named), "{model} {effort:?}");
    }
    let alias = |base: &str| {
        let base_model = Some(base.to_owned());
        write(&Request { model: "prod".to_owned(), base_model, max_tokens: Some(5), ..Request::default() }).unwrap().0
    };
    assert_eq!(alias("o3")["max_completion_tokens"], 5);
    assert_eq!(alias("gpt-4o")["max_tokens"], 5);
    for (model, most) in [("o3", 0), ("gpt-4o", 4)] {
        let stop = |count| Request { model: model.to_owned(), stop: vec!["x".to_owned(); count], ..Request::default() };
        assert!(write(&stop(most)).is_ok());
        assert_eq!(write(&stop(most + 1)).unwrap_err().param.as_deref(), Some("stop"));
    }
}

#[test]
fn the_limit_has_the_name_that_the_model_knows() {
    for (model, name) in [
        ("gpt-5-mini", "max_completion_tokens"),
        ("openai/o3", "max_completion_tokens"),
        ("ft:o4-mini-2025-04-16:acme::x1", "max_completion_tokens"),
        ("ft:gpt-5-mini-2025-08-07:acme::x2", "max_completion_tokens"),
        ("ft:gpt-4o-2024-08-06:acme::x3", "max_tokens"),
        ("gpt-4o", "max_tokens"),
        ("llama-3", "max_tokens"),
    ] {
        let request = Request { model: model.to_owned(), max_tokens: Some(5), ..Request::default() };
        assert_eq!(write(&request).unwrap().0[name], 5, "{model}");
    }
    let mut body = with_messages(json!([{"role": "user", "content": "Hi"}]));
    (body["max_tokens"], body["max_completion_tokens"]) = (json!(3), json!(4));
    assert_eq!(read(&body).unwrap().0.max_tokens, Some(4));
}

#[test]
fn what_only_this_dialect_says_is_refused_by_name() {
    for (name, value) in [
        ("functions", json!([{"name": "f"}])),
        ("function_call", json!("auto")),
        ("logit_bias", json!({"1": 2})),
        ("audio", json!({"voice": "alloy", "format": "wav"})),
        ("modalities", json!(["text", "audio"])),
        ("web_search_options", json!({})),
        ("min_p", json!(0.1)),
        ("lora", json!([])),
        ("tools", json!([{"type": "web_search"}])),
        (
            "tool_choice",
            json!({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "mcp"}]}}),
        ),
    ] {
        let mut body = with_messages(json!([{"role": "user", "content": "Hi"}]));
        body[name] = value;
        let error = read(&body).unwrap_err();
        assert_eq!(error.code, Code::UnsupportedFeature, "{name}");
        let param = error.param.unwrap();
        assert!(param.starts_with(name), "{param}");
        assert!(error.message.contains(&param) && error.message.contains(super::super::NAME), "{}", error.message);
    }
    let mut body = with_messages(json!([{"role": "user", "content": "Hi"}]));
    (body["logit_bias"], body["modalities"], body["lora"]) = (json!({}), json!(["text"]), json!(null));
    assert!(read(&body).unwrap().1.is_empty());
}

#[test]
fn a_fault_is_named_by_its_path() {
    let call = json!({"id": "1", "type": "function", "function": {"name": 3}});
    for (messages, param, code) in [
        (json!([{"role": "user", "content": [{"type": "text"}]}]), "messages[0].content[0].text", Code::InvalidRequest),
        (
            json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x"}}]}]),
            "messages[0].content[0].image_url.url",
            Code::InvalidRequest,
        ),
        (
            json!([{"role": "user", "content": [{"type": "video"}]}]),
            "messages[0].content[0].type",
            Code::UnsupportedFeature,
        ),
        (
            json!([{"role": "user", "content": [{"type": "file", "file": {}}]}]),
            "messages[0].content[0].file",
            Code::InvalidRequest,
        ),
        (
            json!([{"role": "user", "content": "Hi"}, {"role": "assistant", "tool_calls": [call]}]),
            "messages[1].tool_calls[0].function.name",
            Code::InvalidRequest,
        ),
        (json!([{"role": "tool", "content": "x"}]), "messages[0].tool_call_id", Code::InvalidRequest),
        (json!([{"role": "function", "name": "f", "content": "x"}]), "messages[0].role", Code::UnsupportedFeature),
        (json!([{"role": "user", "content": "x", "mood": 1}]), "messages[0].mood", Code::UnsupportedFeature),
        (
            json!([{"role": "assistant", "content": "x", "function_call": {"name": "f"}}]),
            "messages[0].function_call",
            Code::UnsupportedFeature,
        ),
    ] {
        let error = read(&with_messages(messages)).unwrap_err();
        assert_eq!((error.param.as_deref(), error.code), (Some(param), code), "{}", error.message);
    }
}

#[test]
fn what_litellm_keeps_of_an_answer_may_come_back_with_it() {
    let call = json!({"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let with = |stored: Value, of_call: Value| {
        let mut call = call.clone();
        call["provider_specific_fields"] = of_call;
        let answer = json!({"role": "assistant", "tool_calls": [call], "provider_specific_fields": stored});
        let asked = with_messages(
            json!([{"role": "user", "content": "Hi"}, answer, {"role": "tool", "tool_call_id": "1", "content": "x"}]),
        );
        read(&asked).unwrap().1.names().to_vec()
    };
    assert!(with(json!({"refusal": null}), Value::Null).is_empty());
    assert_eq!(with(json!({"citations": [1]}), json!({})), ["provider_specific_fields"]);
    assert_eq!(with(json!({}), json!({"thought_signature": "s"})), ["provider_specific_fields"]);
}

#[test]
fn results_that_follow_one_another_are_one_message() {
    let messages = conversations().pop().unwrap();
    let (request, _) = read(&with_messages(messages)).unwrap();
    let roles: Vec<(Role, usize)> =
        request.messages.iter().map(|message| (message.role, message.parts.len())).collect();
    assert_eq!(roles[1..5], [(Role::Assistant, 2), (Role::User, 2), (Role::Assistant, 2), (Role::User, 1)]);
    assert_eq!(roles[5], (Role::User, 1), "a result is merged with nothing else");
}

#[test]
fn thoughts_and_marks_of_other_providers_are_read() {
    let details = json!([{"type": "reasoning.text", "text": "Hm", "signature": "s", "index": 0},
        {"type": "reasoning.encrypted", "data": "d"}]);
    let (request, _) = read(&with_messages(json!([
        {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]},
        {"role": "assistant", "content": "b", "reasoning": "Hm", "reasoning_details": details},
        {"role": "assistant", "content": "c", "reasoning_content": "So"},
        {"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f"},
            "extra_content": {"google": {"thought_signature": "g"}}}]},
    ])))
    .unwrap();
    let part = |n: usize, m: usize| &request.messages[n].parts[m];
    assert_eq!(part(0, 0).cache, Some(CacheTtl::Hour));
    assert_eq!(part(1, 0).content, Content::Thinking("Hm".to_owned()));
    let entry = "in:reasoning_details\n{\"type\":\"reasoning.text\",\"index\":0}\ns";
    assert_eq!(part(1, 0).signature.as_deref(), Some(entry));
    let data = "in:reasoning_details\n{\"type\":\"reasoning.encrypted\"}\nd".to_owned();
    assert_eq!(part(1, 1).content, Content::RedactedThinking(data));
    assert_eq!(part(2, 0).content, Content::Thinking("So".to_owned()));
    assert_eq!(part(2, 0).signature.as_deref(), Some("in:reasoning_content\n\n"));
    assert_eq!(part(3, 0).signature.as_deref(), Some("g"));
    let (body, emulated) = write(&request).unwrap();
    assert_eq!(emulated.names(), ["cache_control"]);
    assert_eq!(
        body["messages"][1],
        json!({"role": "assistant", "content": "b", "reasoning_details": [
            {"type": "reasoning.text", "index": 0, "text": "Hm", "signature": "s"},
            {"type": "reasoning.encrypted", "data": "d"}]})
    );
    assert_eq!(body["messages"][2], json!({"role": "assistant", "content": "c", "reasoning_content": "So"}));
    assert_eq!(body["messages"][3]["tool_calls"][0]["extra_content"]["google"]["thought_signature"], "g");
    assert_eq!(body["messages"][3]["tool_calls"][0]["function"]["arguments"], "{}");
}

fn asking(parts: Vec<Part>) -> Request {
    let message = Message { role: Role::User, parts, name: None };
    Request { model: "m".to_owned(), messages: vec![message], ..Request::default() }
}

#[test]
fn what_this_dialect_lacks_is_refused_or_noted() {
    let uploaded = Content::Image { source: Source::File("f".to_owned()), detail: None };
    let result = |parts, is_error| Part::new(Content::ToolResult { id: "1".to_owned(), name: None, parts, is_error });
    let refused = [
        (
            asking(vec![result(vec![Part::text("Look"), Part::new(uploaded.clone())], false)]),
            "messages[0].content[0].content[1].source",
        ),
        (
            asking(vec![Part::new(Content::Document {
                source: Source::Text("Once upon".to_owned()),
                name: None,
                cite: true,
            })]),
            "messages[0].content[0].citations",
        ),
        (
            asking(vec![Part::new(Content::Document {
                source: Source::File("file_011".to_owned()),
                name: None,
                cite: false,
            })]),
            "messages[0].content[0].source",
        ),
        (
            asking(vec![Part::new(Content::Document {
                source: Source::Url("https://a".to_owned()),
                name: None,
                cite: false,
            })]),
            "messages[0].content[0].source",
        ),
        (asking(vec![Part::new(uploaded)]), "messages[0].content[0].source"),
    ];
    for (request, param) in refused {
        let error = write(&request).unwrap_err();
        assert_eq!((error.param.as_deref(), error.code), (Some(param), Code::UnsupportedFeature));
    }
    let mut request = asking(vec![result(vec![Part::text("broke")], true), Part::text("Well?")]);
    request.reasoning = Some(Reasoning { budget: Some(4_000), ..Reasoning::default() });
    let (body, emulated) = write(&request).unwrap();
    assert_eq!(emulated.names(), ["is_error", "reasoning.budget"]);
    assert_eq!(body["reasoning_effort"], Effort::Medium.text());
    assert_eq!(body["messages"][0], json!({"role": "tool", "tool_call_id": "1", "content": "broke"}));
    assert_eq!(body["messages"][1], json!({"role": "user", "content": "Well?"}));
    request.sampling.top_k = Some(4);
    let (body, emulated) = write(&request).unwrap();
    assert_eq!((body.get("top_k"), emulated.names().last()), (None, Some(&"top_k")));
}

#[test]
fn what_tool_results_show_follows_them_as_the_users_message() {
    let image = |url: &str| Part::new(Content::Image { source: Source::Url(url.to_owned()), detail: None });
    let result = |id: &str, parts| {
        let content = Content::ToolResult { id: id.to_owned(), name: None, parts, is_error: false };
        Message { role: Role::User, parts: vec![Part::new(content)], name: None }
    };
    let mut request = asking(vec![Part::text("Well?")]);
    let question = request.messages.remove(0);
    let first = result("1", vec![Part::text("Look"), image("https://a")]);
    let second = result("2", vec![image("https://b")]);
    request.messages = vec![first.clone(), second.clone(), question, second];
    let (body, emulated) = write(&request).unwrap();
    assert_eq!(emulated.names(), ["tool_result"]);
    let shown = |id: &str, url: &str| {
        let text = format!("From the result of the tool call {id}:");
        [json!({"type": "text", "text": text}), json!({"type": "image_url", "image_url": {"url": url}})]
    };
    let both = [shown("1", "https://a"), shown("2", "https://b")].concat();
    let messages = json!([
        {"role": "tool", "tool_call_id": "1", "content": "Look"},
        {"role": "tool", "tool_call_id": "2", "content": ""},
        {"role": "user", "content": both},
        {"role": "user", "content": "Well?"},
        {"role": "tool", "tool_call_id": "2", "content": ""},
        {"role": "user", "content": shown("2", "https://b")},
    ]);
    assert_eq!(body["messages"], messages);
}

#[test]
fn a_schema_that_cannot_be_strict_is_asked_for_as_one_that_is_not() {
    let closed = json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
        "required": ["a", "b"], "additionalProperties": false});
    let mut optional = closed.clone();
    optional["required"] = json!(["a"]);
    for (schema, strict) in [(closed, true), (optional, false)] {
        let mut request = asking(vec![Part::text("Hi")]);
        let (name, description) = ("n".to_owned(), None);
        request.tools = vec![Tool {
            name: "f".to_owned(),
            description: None,
            schema: Some(schema.clone()),
            strict: Some(true),
            cache: None,
        }];
        request.format = Some(Format::JsonSchema { name, description, schema, strict: Some(true) });
        let (body, emulated) = write(&request).unwrap();
        assert_eq!(emulated.names().contains(&"strict"), !strict);
        assert_eq!(body["tools"][0]["function"]["strict"], strict);
        assert_eq!(body["response_format"]["json_schema"]["strict"], strict);
        let mut emulated = Emulated::default();
        let written = crate::wire::DialectId::OpenAiResponses.codec().write_request(&request, &mut emulated).unwrap();
        let body: Value = serde_json::from_slice(&written.body).unwrap();
        assert_eq!((&body["tools"][0]["strict"], &body["text"]["format"]["strict"]), (&json!(strict), &json!(strict)));
        assert_eq!(emulated.names().contains(&"strict"), !strict);
    }
}

#[test]
fn hints_are_left_out_and_noted() {
    let mut body = with_messages(json!([{"role": "user", "content": "Hi"}]));
    (body["safety_identifier"], body["prompt_cache_retention"], body["top_k"]) = (json!("s"), json!("24h"), json!(5));
    let (request, emulated) = read(&body).unwrap();
    assert_eq!(emulated.names(), ["safety_identifier", "prompt_cache_retention"]);
    assert_eq!((request.user.as_deref(), request.sampling.top_k), (Some("s"), Some(5)));
}

#[test]
fn text_documents_are_told_as_text() {
    let source = Source::Text("Once upon".to_owned());
    let document = Part::new(Content::Document { source, name: Some("Tale".to_owned()), cite: false });
    let (body, emulated) = write(&asking(vec![document, Part::text("Sum up")])).unwrap();
    assert_eq!(body["messages"][0]["content"][0], json!({"type": "text", "text": "Once upon"}));
    assert_eq!(emulated.names(), ["document.title"]);
}

#[test]
fn an_image_in_a_tools_result_is_shown_after_all_results() {
    let image = || Part::new(Content::Image { source: Source::Url("https://a".to_owned()), detail: None });
    let result =
        |id: &str, parts| Part::new(Content::ToolResult { id: id.to_owned(), name: None, parts, is_error: false });
    let results = vec![result("1", vec![Part::text("Here"), image()]), result("2", vec![]), Part::text("Well?")];
    let (body, emulated) = write(&asking(results)).unwrap();
    assert_eq!(
        body["messages"],
        json!([
            {"role": "tool", "tool_call_id": "1", "content": "Here"},
            {"role": "tool", "tool_call_id": "2", "content": ""},
            {"role": "user", "content": [
                {"type": "text", "text": "From the result of the tool call 1:"},
                {"type": "image_url", "image_url": {"url": "https://a"}}]},
            {"role": "user", "content": "Well?"},
        ])
    );
    assert_eq!(emulated.names(), ["tool_result"]);
}

#[test]
fn a_request_passes_as_it_came_but_for_the_model_and_the_usage() {
    let body = br#"{ "model":"a", "stream": true, "messages":[{"role":"user","content":"Hi"}], "min_p": 0.1 }"#;
    let asked = OpenAiChat.read(Bytes::from_static(body), &Addressed::default()).unwrap();
    assert_eq!(
        OpenAiChat.pass(&asked, "b"),
        r#"{ "model":"b", "stream": true, "messages":[{"role":"user","content":"Hi"}], "min_p": 0.1,"stream_options":{"include_usage":true} }"#
    );
}

#[test]
fn a_prompt_goes_in_front_and_the_callers_fields_win() {
    let settings = json!({"model": "p", "temperature": 0.5, "max_tokens": 9, "seed": 1});
    let join = |body: Value, model: &str| {
        let messages = vec![PromptMessage::Text { role: Role::System, content: "Be brief.".to_owned() }];
        let prompt = prompt(messages, settings.as_object().unwrap(), model).unwrap();
        let asked = OpenAiChat.read(body.to_string().into(), &Addressed::default()).unwrap();
        let joined = OpenAiChat.prompted(&asked, prompt).unwrap().asked;
        serde_json::from_slice::<Value>(joined.object.bytes()).unwrap()
    };
    let own = json!({"role": "user", "content": "Hi"});
    let body = json!({"model": "prompt/x", "messages": [own], "prompt": {"variables": {}},
        "temperature": 1, "max_completion_tokens": 5});
    let joined = join(body, "p");
    assert_eq!(
        joined,
        json!({"model": "p", "messages": [{"role": "system", "content": "Be brief."}, own], "temperature": 1,
            "max_completion_tokens": 5, "seed": 1})
    );
    let joined = join(json!({"model": "mine", "prompt": {"id": "x"}}), "mine");
    assert_eq!((&joined["model"], &joined["max_tokens"]), (&json!("mine"), &json!(9)));
    assert_eq!(joined["messages"].as_array().map(Vec::len), Some(1));
}
