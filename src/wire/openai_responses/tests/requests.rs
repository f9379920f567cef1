//! Requests: what is checked, what is read, what is refused.

use serde_json::{Value, json};

use super::super::OpenAiResponses;
use super::super::prompted::prompted;
use super::{asked, request};
use crate::chat::{
    Code, Content, Effort, Emulated, Format, Message, Part, Request, Role, Sampling, Source, ToolChoice,
};
use crate::wire::dialect::{Asked, ClientCodec, ProviderCodec};

fn full() -> Value {
    json!({
        "model": "gpt-x", "instructions": "Be brief.", "stream": true, "max_output_tokens": 100, "temperature": 0.5,
        "parallel_tool_calls": false, "store": true, "metadata": {"a": "b"}, "user": "u", "service_tier": "flex",
        "prompt_cache_key": "k", "top_logprobs": 2, "include": ["reasoning.encrypted_content", "message.output_text.logprobs"],
        "reasoning": {"effort": "low", "summary": "auto"}, "truncation": "disabled", "background": false,
        "text": {"verbosity": "low", "format": {"type": "json_schema", "name": "s", "strict": true,
            "schema": {"type": "object", "additionalProperties": false}}},
        "tools": [{"type": "function", "name": "f", "strict": true,
            "parameters": {"type": "object", "b": 1, "a": 2, "additionalProperties": false}}],
        "tool_choice": {"type": "function", "name": "f"}, "previous_response_id": null,
        "input": [
            {"role": "developer", "content": "Dev."},
            {"role": "user", "content": [{"type": "input_text", "text": "What?"},
                {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"},
                {"type": "input_image", "file_id": "file-1"},
                {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,BBBB"},
                {"type": "input_file", "filename": "a.txt", "file_data": "data:text/plain;base64,SGk="},
                {"type": "input_file", "file_url": "https://a/b.pdf"}]},
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "A"}, {"type": "summary_text", "text": "B"}], "encrypted_content": "enc"},
            {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "enc2"},
            {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [
                {"type": "output_text", "text": "Let me see.", "annotations": []}]},
            {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "function_call", "call_id": "c2", "name": "g", "arguments": "{\"x\":1}"},
            {"type": "function_call_output", "call_id": "c1", "output": "1"},
            {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "2"}]},
            {"role": "user", "content": "And?"},
        ],
    })
}

#[test]
fn a_full_request_is_read() {
    let read = request(&full()).unwrap();
    let roles: Vec<Role> = read.messages.iter().map(|message| message.role).collect();
    assert_eq!(roles, [Role::System, Role::Developer, Role::User, Role::Assistant, Role::User]);
    assert_eq!(read.messages[0], Message::text(Role::System, "Be brief."));
    let sources: Vec<_> = read.messages[2].parts[1..]
        .iter()
        .map(|part| match &part.content {
            Content::Image { source, .. } | Content::Document { source, .. } => source.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    let base64 =
        |media_type: &str, data: &str| Source::Base64 { media_type: media_type.to_owned(), data: data.to_owned() };
    assert_eq!(
        sources,
        [
            base64("image/png", "AAAA"),
            Source::File("file-1".to_owned()),
            base64("application/pdf", "BBBB"),
            Source::Text("Hi".to_owned()),
            Source::Url("https://a/b.pdf".to_owned()),
        ]
    );
    let turn = &read.messages[3].parts;
    assert_eq!(turn.len(), 5);
    assert_eq!(
        (&turn[0].content, turn[0].signature.as_deref()),
        (&Content::Thinking("A\n\nB".to_owned()), Some("enc"))
    );
    assert_eq!(turn[1].content, Content::RedactedThinking("enc2".to_owned()));
    let results = &read.messages[4].parts;
    let second = Content::ToolResult {
        id: "c2".to_owned(),
        name: Some("g".to_owned()),
        parts: vec![Part::text("2")],
        is_error: false,
    };
    assert_eq!((results.len(), &results[1].content, &results[2]), (3, &second, &Part::text("And?")));
    assert!(read.stream && read.include_usage);
    assert_eq!((read.max_tokens, read.sampling.temperature, read.parallel_tools), (Some(100), Some(0.5), Some(false)));
    assert_eq!((read.logprobs, read.verbosity.as_deref()), (Some(2), Some("low")));
    assert_eq!(read.reasoning.unwrap().effort, Some(Effort::Low));
    assert_eq!(read.tool_choice, Some(ToolChoice::Tool("f".to_owned())));
    assert!(matches!(read.format, Some(Format::JsonSchema { strict: Some(true), .. })));
    assert_eq!(
        read.tools[0].schema.as_ref().unwrap().to_string(),
        r#"{"type":"object","b":1,"a":2,"additionalProperties":false}"#
    );
}

#[test]
fn what_was_read_is_written_again() {
    let read = request(&full()).unwrap();
    let mut emulated = Emulated::default();
    let written = OpenAiResponses.write_request(&read, &mut emulated).unwrap();
    let body: Value = serde_json::from_slice(&written.body).unwrap();
    assert_eq!(emulated.names(), ["store"]);
    assert_eq!(body["store"], false);
    assert_eq!(body["instructions"], "Be brief.");
    assert_eq!(body["include"], full()["include"]);
    assert_eq!(
        body["text"],
        full()["text"].as_object().map(|text| json!({"format": text["format"], "verbosity": "low"})).unwrap()
    );
    let again = request(&body).unwrap();
    assert_eq!(again.messages, read.messages);
    assert_eq!((again.tools, again.tool_choice, again.format), (read.tools, read.tool_choice, read.format));
    assert_eq!((again.reasoning, again.logprobs, again.sampling), (read.reasoning, read.logprobs, read.sampling));
}

#[test]
fn every_field_at_fault_is_named() {
    let invalid = [
        (json!({"input": "x"}), "model"),
        (json!({"model": "m"}), "input"),
        (json!({"model": "m", "input": ""}), "input"),
        (json!({"model": "m", "input": []}), "input"),
        (json!({"model": "m", "input": 3}), "input"),
        (json!({"model": "m", "input": [3]}), "input[0]"),
        (json!({"model": "m", "input": "x", "instructions": 3}), "instructions"),
        (json!({"model": "m", "input": "x", "temperature": 3}), "temperature"),
        (json!({"model": "m", "input": "x", "stream": "yes"}), "stream"),
        (json!({"model": "m", "input": "x", "tools": [3]}), "tools[0]"),
        (json!({"model": "m", "input": "x", "max_output_tokens": 0}), "max_output_tokens"),
        (json!({"model": "m", "input": "x", "prompt": {"id": "p", "version": "3", "label": "x"}}), "prompt"),
        (json!({"model": "m", "input": vec![json!({"role": "user", "content": "x"}); 10_001]}), "input"),
    ];
    for (body, param) in invalid {
        let error = asked(&body).unwrap_err();
        assert_eq!((error.code, error.param.as_deref()), (Code::InvalidRequest, Some(param)));
    }
    for (name, value) in
        [("previous_response_id", json!("resp_1")), ("conversation", json!("c")), ("background", json!(true))]
    {
        let mut body = json!({"model": "m", "input": "x"});
        body[name] = value;
        let error = asked(&body).unwrap_err();
        assert_eq!((error.code, error.param.as_deref(), error.status()), (Code::UnsupportedFeature, Some(name), 400));
    }
    let by_field = asked(&json!({"model": "m", "input": "x", "previous_response_id": "resp_1"})).unwrap_err();
    for reference in
        [json!({"type": "item_reference", "id": "msg_1"}), json!({"id": "msg_1"}), json!({"type": "item_reference"})]
    {
        let error = asked(&json!({"model": "m", "input": [{"role": "user", "content": "x"}, reference]})).unwrap_err();
        assert_eq!((error.code, error.param.as_deref()), (Code::UnsupportedFeature, Some("input[1].type")));
        assert_eq!(error.message, by_field.message.replace("previous_response_id", "item_reference"));
    }
    let words =
        json!([{"role": "user", "content": "item_reference"}, {"type": "reasoning", "id": "rs_1", "summary": []}]);
    assert!(asked(&json!({"model": "m", "input": words})).is_ok());
}

#[test]
fn what_no_other_dialect_says_is_refused_only_when_it_is_translated() {
    let cases = [
        ("tools", json!([{"type": "function", "name": "f"}, {"type": "web_search"}]), "tools[1].type"),
        ("tools", json!([{"type": "function", "name": "f", "defer_loading": true}]), "tools[0].defer_loading"),
        ("tool_choice", json!({"type": "file_search"}), "tool_choice.type"),
        ("input", json!([{"role": "user", "content": [{"type": "video"}]}]), "input[0].content[0].type"),
        ("text", json!({"format": {"type": "grammar"}}), "text.format.type"),
        ("reasoning", json!({"mode": "pro"}), "reasoning.mode"),
        ("reasoning", json!({"context": "new"}), "reasoning.context"),
        ("seed", json!(3), "seed"),
    ];
    for (name, value, param) in cases {
        let mut body = json!({"model": "m", "input": "x"});
        body[name] = value;
        assert!(asked(&body).is_ok(), "{param}");
        let error = request(&body).unwrap_err();
        assert_eq!((error.code, error.param.as_deref()), (Code::UnsupportedFeature, Some(param)));
    }
    for (input, param) in [
        (json!([{"role": "robot", "content": "x"}]), "input[0].role"),
        (json!([{"role": "user"}]), "input[0].content"),
        (json!([{"role": "user", "content": [{"type": "input_image"}]}]), "input[0].content[0].image_url"),
        (
            json!([{"role": "user", "content": [{"type": "input_image", "image_url": "data:x"}]}]),
            "input[0].content[0].image_url",
        ),
        (json!([{"type": "function_call", "call_id": "c", "arguments": "{}"}]), "input[0].name"),
        (json!([{"type": "function_call_output", "output": "x"}]), "input[0].call_id"),
    ] {
        let error = request(&json!({"model": "m", "input": input})).unwrap_err();
        assert_eq!((error.code, error.param.as_deref()), (Code::InvalidRequest, Some(param)));
    }
}

#[test]
fn what_responses_cannot_say_is_refused() {
    type Change = fn(&mut Request);
    let cases: [(&str, Change); 7] = [
        ("stop", |request| request.stop = vec!["x".to_owned()]),
        ("n", |request| request.choices = Some(2)),
        ("seed", |request| request.sampling.seed = Some(3)),
        ("presence_penalty", |request| request.sampling.presence_penalty = Some(1.0)),
        ("temperature", |request| request.sampling.temperature = Some(2.5)),
        ("service_tier", |request| request.service_tier = Some("turbo".to_owned())),
        ("messages[0].content[0]", |request| {
            request.messages[0].parts[0].content = Content::Audio { data: String::new(), format: "wav".to_owned() };
        }),
    ];
    for (param, change) in cases {
        let mut request = request(&json!({"model": "m", "input": "x"})).unwrap();
        assert!(OpenAiResponses.write_request(&request, &mut Emulated::default()).is_ok());
        change(&mut request);
        let error = OpenAiResponses.write_request(&request, &mut Emulated::default()).unwrap_err();
        assert_eq!((error.code, error.param.as_deref()), (Code::UnsupportedFeature, Some(param)));
        assert!(error.message.starts_with("OpenAI Responses: "), "{}", error.message);
    }
}

#[test]
fn only_the_model_changes_on_the_way_to_its_own_dialect() {
    let body = "{ \"model\" : \"a\", \"input\": \"x\", \"store\": true, \"tools\":[ {\"type\":\"web_search\"} ] }";
    let asked = OpenAiResponses.read(body.into(), &Default::default()).unwrap();
    assert_eq!(OpenAiResponses.pass(&asked, "b"), body.replace("\"a\"", "\"b\""));
}

#[test]
fn a_prompt_goes_in_front() {
    let prompt = Request {
        model: "gpt-5".to_owned(),
        messages: vec![Message::text(Role::System, "P."), Message::text(Role::User, "first")],
        sampling: Sampling { temperature: Some(0.1), top_p: Some(0.5), ..Sampling::default() },
        ..Request::default()
    };
    let joined = |asked: &Asked| -> Value {
        serde_json::from_slice(prompted(asked, prompt.clone().into()).unwrap().asked.object.bytes()).unwrap()
    };
    let body =
        json!({"prompt": {"id": "p", "variables": {"a": 1}}, "instructions": "C.", "temperature": 0.9, "input": "x"});
    let asked = asked(&body).unwrap();
    assert_eq!(asked.prompt.as_ref().unwrap().id.as_deref(), Some("p"));
    assert_eq!(
        joined(&asked),
        json!({"instructions": "P.\n\nC.", "temperature": 0.9, "model": "gpt-5", "top_p": 0.5, "input": [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "first"}]},
            {"type": "message", "role": "user", "content": "x"}]})
    );
    let alone = super::asked(&json!({"prompt": {"id": "p"}})).unwrap();
    let joined = joined(&alone);
    assert_eq!((joined["input"].as_array().unwrap().len(), &joined["instructions"]), (1, &json!("P.")));
}

#[test]
fn text_and_images_are_seen() {
    let seen = |input: Value| {
        let object = asked(&json!({"model": "m", "input": input})).unwrap().object;
        (OpenAiResponses.last_user_text(&object), OpenAiResponses.has_images(&object))
    };
    assert_eq!(seen(json!("Hi")), ("Hi".to_owned(), false));
    let input = json!([{"role": "user", "content": [{"type": "input_text", "text": "Look"},
        {"type": "input_image", "image_url": "https://a"}]}, {"type": "function_call", "name": "f"}]);
    assert_eq!(seen(input), ("Look".to_owned(), true));
}

#[test]
fn a_speakers_name_is_left_out_and_noted() {
    let mut request = request(&json!({"model": "m", "input": "x"})).unwrap();
    request.messages[0].name = Some("Al".to_owned());
    let mut emulated = Emulated::default();
    assert!(OpenAiResponses.write_request(&request, &mut emulated).is_ok());
    assert_eq!(emulated.names(), ["name"]);
    let mut emulated = Emulated::default();
    let written = crate::wire::DialectId::Anthropic.codec().write_request(&request, &mut emulated).unwrap();
    assert!(emulated.names().contains(&"name") && !String::from_utf8_lossy(&written.body).contains("Al"));
}
