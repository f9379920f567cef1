//! Requests as Bedrock gets them.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::chat::{
    CacheTtl, Citation, Code, Content, Effort, Format, Part, Reasoning, Sampling, Source, Tool, ToolChoice, Unit,
};

fn message(role: Role, parts: Vec<Part>) -> Message {
    Message { role, parts, name: None }
}

fn part(content: Content) -> Part {
    Part::new(content)
}

fn call(id: &str) -> Part {
    part(Content::ToolCall { id: id.into(), name: "look".into(), arguments: r#"{"b":1,"a":2}"#.into() })
}

fn result(id: &str, parts: Vec<Part>, is_error: bool) -> Part {
    part(Content::ToolResult { id: id.into(), name: None, parts, is_error })
}

fn tool() -> Tool {
    Tool {
        name: "look".into(),
        description: Some("Looks.".into()),
        schema: Some(json!({"type": "object", "properties": {"b": {}, "a": {}}})),
        strict: None,
        cache: None,
    }
}

fn cached(part: Part, ttl: CacheTtl) -> Part {
    Part { cache: Some(ttl), ..part }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table, or one conversation in two forms")]
fn a_whole_conversation_is_written_in_its_words() {
    let image = Source::Base64 { media_type: "image/png".into(), data: "aW1n".into() };
    let pdf = Source::Base64 { media_type: "application/pdf".into(), data: "cGRm".into() };
    let thought = Part { signature: Some("sig".into()), ..part(Content::Thinking("Hm.".into())) };
    let request = Request {
        messages: vec![
            message(Role::System, vec![cached(Part::text("Be brief."), CacheTtl::Hour)]),
            message(
                Role::User,
                vec![
                    cached(Part::text("Look at"), CacheTtl::FiveMinutes),
                    part(Content::Image { source: image, detail: None }),
                    part(Content::Document { source: pdf, name: Some("Report (2)".into()), cite: true }),
                ],
            ),
            message(
                Role::Assistant,
                vec![
                    thought,
                    part(Content::RedactedThinking("c2VjcmV0".into())),
                    Part::text("I look."),
                    call("c:1"),
                    call("c2"),
                ],
            ),
            message(
                Role::User,
                vec![
                    result("c:1", vec![Part::text("Sun")], false),
                    result("c2", vec![Part::text("no"), Part::text(" ")], true),
                    Part::text("Well?"),
                ],
            ),
        ],
        tools: vec![Tool { cache: Some(CacheTtl::FiveMinutes), strict: Some(true), ..tool() }],
        tool_choice: Some(ToolChoice::Tool("look".into())),
        stop: vec!["END".into()],
        sampling: Sampling { temperature: Some(0.5), top_p: Some(0.9), top_k: Some(40), ..Sampling::default() },
        service_tier: Some("priority".into()),
        cache: Some(CacheTtl::FiveMinutes),
        stream: true,
        ..hello(CLAUDE)
    };
    let (body, emulated) = write(&request).unwrap();
    assert_eq!(
        body,
        json!({
            "system": [{"text": "Be brief."}, {"cachePoint": {"type": "default", "ttl": "1h"}}],
            "messages": [
                {"role": "user", "content": [
                    {"text": "Look at"}, {"cachePoint": {"type": "default"}},
                    {"image": {"format": "png", "source": {"bytes": "aW1n"}}},
                    {"document": {"format": "pdf", "name": "Report (2)", "source": {"bytes": "cGRm"}, "citations": {"enabled": true}}}]},
                {"role": "assistant", "content": [
                    {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "sig"}}},
                    {"reasoningContent": {"redactedContent": "c2VjcmV0"}},
                    {"text": "I look."},
                    {"toolUse": {"toolUseId": "c:1", "name": "look", "input": {"b": 1, "a": 2}}},
                    {"toolUse": {"toolUseId": "c2", "name": "look", "input": {"b": 1, "a": 2}}}]},
                {"role": "user", "content": [
                    {"toolResult": {"toolUseId": "c:1", "content": [{"text": "Sun"}]}},
                    {"toolResult": {"toolUseId": "c2", "content": [{"text": "no"}], "status": "error"}},
                    {"text": "Well?"}, {"cachePoint": {"type": "default"}}]},
            ],
            "inferenceConfig": {"maxTokens": 9000, "temperature": 0.5, "topP": 0.9, "stopSequences": ["END"]},
            "toolConfig": {
                "tools": [
                    {"toolSpec": {"name": "look", "description": "Looks.", "strict": true,
                        "inputSchema": {"json": {"type": "object", "properties": {"b": {}, "a": {}}}}}},
                    {"cachePoint": {"type": "default"}}],
                "toolChoice": {"tool": {"name": "look"}}},
            "additionalModelRequestFields": {"top_k": 40},
            "additionalModelResponseFieldPaths": ["/stop_sequence"],
            "serviceTier": {"type": "priority"},
        })
    );
    assert!(emulated.is_empty(), "{emulated:?}");
    // The order of a schema's fields, and of a call's arguments, stays.
    assert!(
        body.to_string().contains(r#""properties":{"b":{},"a":{}}"#) && body.to_string().contains(r#"{"b":1,"a":2}"#)
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table, or one conversation in two forms")]
fn what_the_model_makes_no_difference_by_is_noted() {
    let document = |name: &str| {
        part(Content::Document { source: Source::Text("Ünï".into()), name: Some(name.into()), cite: false })
    };
    let url = Citation { url: Some("https://a".into()), ..Citation::default() };
    let request = Request {
        messages: vec![
            message(Role::User, vec![Part::text("One"), document("a/b.txt"), document("a b txt")]),
            message(
                Role::Assistant,
                vec![
                    part(Content::Thinking("Another's.".into())),
                    part(Content::Refusal("No.".into())),
                    part(Content::Text { text: "Cited".into(), citations: vec![url] }),
                    Part { signature: Some("g".into()), ..call(&"x".repeat(70)) },
                ],
            ),
            message(Role::Developer, vec![Part::text("Now be kind.")]),
            message(Role::User, vec![Part::text("Two"), cached(result(&"x".repeat(70), vec![], true), CacheTtl::Hour)]),
            message(Role::User, vec![Part::text("Three")]),
        ],
        tools: vec![Tool { strict: Some(true), cache: Some(CacheTtl::Hour), ..tool() }],
        tool_choice: Some(ToolChoice::Any),
        user: Some("u".into()),
        prompt_cache_key: Some("k".into()),
        store: Some(false),
        verbosity: Some("low".into()),
        service_tier: Some("auto".into()),
        ..hello(LLAMA)
    };
    let (body, emulated) = write(&request).unwrap();
    assert_eq!(body["system"], json!([{"text": "Now be kind."}]));
    let names = ["/messages/0/content/1/document/name", "/messages/0/content/2/document/name"];
    assert_eq!(names.map(|place| body.pointer(place).cloned().unwrap()), [json!("a b txt"), json!("a b txt 2")]);
    assert_eq!(body["messages"][0]["content"][1]["document"]["source"], json!({"bytes": "w5xuw68="}));
    let blocks = body["messages"][1]["content"].as_array().unwrap();
    assert_eq!(blocks[..2], [json!({"text": "No."}), json!({"text": "Cited"})]);
    assert_eq!(blocks[2]["toolUse"]["toolUseId"].as_str().unwrap().len(), 64);
    // Results come first, though another turn's text stood before them.
    let last = body["messages"][2]["content"].as_array().unwrap();
    assert_eq!(last[0], json!({"toolResult": {"toolUseId": blocks[2]["toolUse"]["toolUseId"], "content": []}}));
    assert_eq!(last[1..], [json!({"text": "Two"}), json!({"text": "Three"})]);
    assert_eq!(body["toolConfig"]["toolChoice"], json!({"any": {}}));
    assert_eq!(
        emulated,
        [
            "user",
            "prompt_cache_key",
            "store",
            "verbosity",
            "tool_call_id",
            "document_name",
            "thinking",
            "refusal",
            "citations",
            "thought_signature",
            "system_position",
            "is_error",
            "cache_control",
            "strict",
            "service_tier",
        ]
    );
}

#[test]
fn what_cannot_be_said_is_refused_by_its_name() {
    let with = |change: &dyn Fn(&mut Request), model: &str| {
        let mut request = Request { tools: vec![tool()], ..hello(model) };
        change(&mut request);
        write(&request).expect_err("it is refused")
    };
    let format = |request: &mut Request, format| request.format = Some(format);
    let schema = || Format::JsonSchema { name: "n".into(), description: None, schema: json!({}), strict: None };
    let think =
        |request: &mut Request, effort, budget| request.reasoning = Some(Reasoning { effort, budget, tell: None });
    let say = |request: &mut Request, role, content| request.messages.push(message(role, vec![part(content)]));
    let image = |source| Content::Image { source, detail: None };
    let odd = || Source::Base64 { media_type: "image/tiff".into(), data: "eA==".into() };
    let cases: Vec<(Error, &str)> = vec![
        (with(&|request| request.choices = Some(2), CLAUDE), "n"),
        (with(&|request| request.logprobs = Some(0), CLAUDE), "logprobs"),
        (with(&|request| request.sampling.seed = Some(1), CLAUDE), "seed"),
        (with(&|request| request.sampling.frequency_penalty = Some(0.1), CLAUDE), "frequency_penalty"),
        (with(&|request| request.sampling.temperature = Some(1.1), CLAUDE), "temperature"),
        (with(&|request| request.service_tier = Some("scale".into()), CLAUDE), "service_tier"),
        (with(&|request| request.stop = vec![String::new()], CLAUDE), "stop"),
        (with(&|request| request.parallel_tools = Some(false), CLAUDE), "parallel_tool_calls"),
        (with(&|request| request.tools[0].name = "a.b".into(), CLAUDE), "tools[0].name"),
        (with(&|request| format(request, Format::JsonObject), CLAUDE), "response_format"),
        (
            with(&|request| say(request, Role::User, image(Source::Url("https://a/b.png".into()))), CLAUDE),
            "messages[1].content[0]",
        ),
        (with(&|request| say(request, Role::User, image(Source::File("f".into()))), CLAUDE), "messages[1].content[0]"),
        (with(&|request| say(request, Role::User, image(odd())), CLAUDE), "messages[1].content[0]"),
        (with(&|request| say(request, Role::System, image(odd())), CLAUDE), "messages[1].content[0]"),
        (with(&|request| request.messages[0].name = Some("Ada".into()), CLAUDE), "messages[0].name"),
        (
            with(
                &|request| {
                    request.messages.push(message(Role::Assistant, vec![call("c")]));
                    request.tool_choice = Some(ToolChoice::None);
                },
                CLAUDE,
            ),
            "tool_choice",
        ),
    ];
    let forced = with(
        &|request| {
            request.tool_choice = Some(ToolChoice::Any);
            think(request, Some(Effort::Low), None);
        },
        CLAUDE,
    );
    assert_eq!(forced.param.as_deref(), Some("tool_choice"));
    for (error, param) in cases {
        assert_eq!((error.code, error.param.as_deref()), (Code::UnsupportedFeature, Some(param)), "{error}");
    }
    let error = write(&Request { format: Some(schema()), ..hello(LLAMA) }).map(|_| ());
    assert!(error.is_err_and(|error| error.param.as_deref() == Some("response_format")));
    let silent = Request { messages: vec![Message::text(Role::System, "Only this.")], ..hello(CLAUDE) };
    assert_eq!(write(&silent).unwrap_err().param.as_deref(), Some("messages"));
}

#[test]
fn a_choice_of_tokens_that_a_family_lacks_is_left_out_and_named() {
    let sampling = Sampling { top_k: Some(1), ..Sampling::default() };
    let (body, emulated) = write(&Request { sampling, ..hello(LLAMA) }).unwrap();
    assert_eq!((body.get("additionalModelRequestFields"), emulated), (None, vec!["top_k"]));
}

#[test]
fn each_family_is_told_in_its_own_words_how_much_to_think() {
    let think = |model: &str, effort, budget, tell| {
        let request = Request { reasoning: Some(Reasoning { effort, budget, tell }), ..hello(model) };
        let (body, emulated) = write(&request).unwrap();
        (body["additionalModelRequestFields"].clone(), body["outputConfig"].clone(), emulated)
    };
    let none = || json!(null);
    let oss = "openai.gpt-oss-120b-1:0";
    let nova = "us.amazon.nova-2-lite-v1:0";
    let cases = [
        (
            think(CLAUDE, Some(Effort::XHigh), None, Some(true)),
            (json!({"thinking": {"type": "adaptive", "display": "summarized"}}), json!({"effort": "xhigh"}), vec![]),
        ),
        (
            think(CLAUDE, None, Some(2_000), None),
            (json!({"thinking": {"type": "enabled", "budget_tokens": 2000}}), none(), vec![]),
        ),
        (think(CLAUDE, Some(Effort::None), None, None), (json!({"thinking": {"type": "disabled"}}), none(), vec![])),
        (
            think(OLD_CLAUDE, Some(Effort::High), None, None),
            (json!({"thinking": {"type": "enabled", "budget_tokens": 4500}}), none(), vec!["reasoning_effort"]),
        ),
        (
            think(OLD_CLAUDE, None, Some(2_000), Some(false)),
            (json!({"thinking": {"type": "enabled", "budget_tokens": 2000}}), none(), vec!["reasoning.summary"]),
        ),
        (
            think(nova, Some(Effort::Low), None, None),
            (json!({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}}), none(), vec![]),
        ),
        (
            think(nova, Some(Effort::None), None, None),
            (json!({"reasoningConfig": {"type": "disabled"}}), none(), vec![]),
        ),
        (
            think(oss, Some(Effort::Max), None, None),
            (json!({"reasoning_effort": "high"}), none(), vec!["reasoning_effort"]),
        ),
        (
            think("abc123", Some(Effort::Minimal), None, None),
            (none(), json!({"effort": "low"}), vec!["reasoning_effort"]),
        ),
        (think(LLAMA, Some(Effort::None), None, None), (none(), none(), vec!["reasoning_effort"])),
        (think(LLAMA, Some(Effort::Low), None, None), (none(), none(), vec!["reasoning_effort"])),
    ];
    for (n, (written, expected)) in cases.into_iter().enumerate() {
        assert_eq!(written, expected, "case {n}");
    }
}

#[test]
fn what_is_known_of_a_model_elsewhere_is_known_here() {
    let think = |model: &str, effort, budget, tell| {
        let request = Request { reasoning: Some(Reasoning { effort, budget, tell }), ..hello(model) };
        let (body, emulated) = write(&request).unwrap();
        (body["additionalModelRequestFields"].clone(), body["outputConfig"].clone(), emulated)
    };
    let none = || json!(null);
    for (written, expected) in [
        (think(NOVA, None, Some(2_000), None), (none(), none(), vec!["reasoning_effort"])),
        (
            think("us.anthropic.claude-opus-4-5-20251101-v1:0", Some(Effort::High), None, None),
            (json!({"thinking": {"type": "enabled", "budget_tokens": 4500}}), none(), vec!["reasoning_effort"]),
        ),
        (
            think("us.anthropic.claude-opus-4-5-20251101-v1:0", None, Some(9), None),
            (json!({"thinking": {"type": "enabled", "budget_tokens": 1024}}), none(), vec!["reasoning.budget"]),
        ),
        (
            think("anthropic.claude-opus-4-1-20250805-v1:0", None, Some(9_000), None),
            (json!({"thinking": {"type": "enabled", "budget_tokens": 4500}}), none(), vec!["reasoning.budget"]),
        ),
        (
            think("anthropic.claude-sonnet-5", None, Some(2_000), None),
            (json!({"thinking": {"type": "adaptive"}}), json!({"effort": "low"}), vec!["reasoning.budget"]),
        ),
        (
            think("openai.gpt-6-sol", Some(Effort::XHigh), None, None),
            (json!({"reasoning_effort": "xhigh"}), none(), vec![]),
        ),
    ] {
        assert_eq!(written, expected);
    }
}

#[test]
fn long_numbers_keep_their_digits() {
    use crate::wire::exact_numbers;
    let long = r#"{"type":"object","b":12345678901234567890123,"a":0.12345678901234567890}"#;
    let schema: Value = exact_numbers::read(long.as_bytes()).unwrap();
    let call = Content::ToolCall { id: "c".into(), name: "look".into(), arguments: long.into() };
    let mut request = hello(CLAUDE);
    request.messages.push(message(Role::Assistant, vec![part(call)]));
    request.tools = vec![Tool { schema: Some(schema.clone()), ..tool() }];
    request.format = Some(Format::JsonSchema { name: "n".into(), description: None, schema, strict: None });
    let written = Bedrock.write_request(&request, &mut Emulated::default()).unwrap();
    let body = std::str::from_utf8(&written.body).unwrap();
    assert_eq!(body.matches("12345678901234567890123").count(), 3, "{body}");
    assert_eq!(body.matches("0.12345678901234567890").count(), 3, "{body}");
    let answer = format!(
        r#"{{"output":{{"message":{{"content":[{{"toolUse":{{"toolUseId":"c","name":"look","input":{long}}}}}]}}}},"stopReason":"tool_use"}}"#
    );
    let read = Bedrock.read_response(answer.as_bytes()).unwrap();
    assert!(matches!(&read.choices[0].parts[0].content, Content::ToolCall { arguments, .. } if arguments == long));
}

#[test]
fn a_schema_of_the_answer_goes_as_text() {
    let format = Format::JsonSchema {
        name: "city".into(),
        description: Some("A city.".into()),
        schema: json!({"type": "object", "b": 1, "a": 2}),
        strict: Some(true),
    };
    let (body, _) = write(&Request { format: Some(format), ..hello(CLAUDE) }).unwrap();
    let definition = json!({"name": "city", "description": "A city.", "schema": r#"{"type":"object","b":1,"a":2}"#});
    let expected = json!({"textFormat": {"type": "json_schema", "structure": {"jsonSchema": definition}}});
    assert_eq!(body["outputConfig"], expected);
}

#[test]
fn a_tool_that_must_not_be_called_is_not_told() {
    let request = Request { tools: vec![tool()], tool_choice: Some(ToolChoice::None), ..hello(CLAUDE) };
    let (body, emulated) = write(&request).unwrap();
    assert_eq!((&body["toolConfig"], emulated), (&json!(null), vec!["tool_choice"]));
}

#[test]
fn marks_of_the_cache_are_as_the_family_takes_them() {
    let request = |model: &str| Request {
        messages: vec![message(Role::User, vec![cached(Part::text("Hi"), CacheTtl::Hour)])],
        tools: vec![Tool { cache: Some(CacheTtl::FiveMinutes), ..tool() }],
        ..hello(model)
    };
    let (body, emulated) = write(&request(NOVA)).unwrap();
    assert_eq!(body["messages"][0]["content"][1], json!({"cachePoint": {"type": "default"}}));
    assert_eq!((body["toolConfig"]["tools"].as_array().unwrap().len(), emulated), (1, vec!["cache_control"]));
    let (body, _) = write(&request(CLAUDE)).unwrap();
    assert_eq!(body["messages"][0]["content"][1], json!({"cachePoint": {"type": "default", "ttl": "1h"}}));
    assert_eq!(body["toolConfig"]["tools"].as_array().unwrap().len(), 2);
}

#[test]
fn what_an_answer_cites_is_cited_again() {
    let citation = Citation {
        title: Some("Report".into()),
        quoted: Some("Sun".into()),
        document: Some(0),
        start: Some(1),
        end: Some(4),
        unit: Some(Unit::Char),
        ..Citation::default()
    };
    let text = Content::Text { text: "Sunny.".into(), citations: vec![citation.clone()] };
    let mut request = hello(CLAUDE);
    request.messages.extend([message(Role::Assistant, vec![part(text.clone())]), Message::text(Role::User, "Sure?")]);
    let (body, emulated) = write(&request).unwrap();
    let answer = json!({"output": {"message": {"content": body["messages"][1]["content"]}}, "stopReason": "end_turn"});
    let read = Bedrock.read_response(answer.to_string().as_bytes()).unwrap();
    assert_eq!((&read.choices[0].parts[0].content, emulated), (&text, vec![]));
}

/// Any part that a caller may send.
fn any_part() -> impl Strategy<Value = Part> {
    let text = "[ a-zß\"\\\\]{0,6}";
    let source = || {
        prop_oneof![
            ("(image/png|application/pdf|text/plain|x)", text)
                .prop_map(|(media_type, data)| Source::Base64 { media_type, data }),
            "(s3://b/k.pdf|s3://b/k.png|https://a)".prop_map(Source::Url),
            text.prop_map(Source::Text),
        ]
    };
    let content = prop_oneof![
        text.prop_map(|text| Content::Text { text, citations: vec![] }),
        text.prop_map(Content::Thinking),
        text.prop_map(Content::Refusal),
        source().prop_map(|source| Content::Image { source, detail: None }),
        (source(), proptest::option::of(text), any::<bool>()).prop_map(|(source, name, cite)| Content::Document {
            source,
            name,
            cite
        }),
        ("[a-z.é]{0,70}", "(\\{\\}||\\[\\]|x)").prop_map(|(id, arguments)| Content::ToolCall {
            id,
            name: "f".into(),
            arguments
        }),
        ("[a-z.é]{0,70}", text, any::<bool>()).prop_map(|(id, text_of, is_error)| Content::ToolResult {
            id,
            name: None,
            parts: vec![Part::text(text_of)],
            is_error,
        }),
    ];
    let ttl = prop_oneof![Just(None), Just(Some(CacheTtl::FiveMinutes)), Just(Some(CacheTtl::Hour))];
    (content, ttl, proptest::option::of(text)).prop_map(|(content, cache, signature)| Part {
        content,
        cache,
        signature,
    })
}

proptest! {
    #[test]
    fn whatever_is_said_is_written_by_the_rules_or_refused(
        turns in proptest::collection::vec((0..4usize, proptest::collection::vec(any_part(), 0..4)), 1..5),
        model in "(us\\.anthropic\\.claude-next|amazon\\.nova-pro-v1:0|meta\\.llama3-8b-instruct-v1:0|abc)",
    ) {
        let roles = [Role::System, Role::Developer, Role::User, Role::Assistant];
        let messages = turns.into_iter().map(|(role, parts)| message(roles[role], parts)).collect();
        let request = Request { messages, tools: vec![tool()], ..hello(&model) };
        let Ok((body, _)) = write(&request) else { return Ok(()) };
        let messages = body["messages"].as_array().unwrap();
        prop_assert!(!messages.is_empty());
        for pair in messages.windows(2) {
            prop_assert_ne!(&pair[0]["role"], &pair[1]["role"], "no speaker speaks twice in a row");
        }
        for message in messages {
            let content = message["content"].as_array().unwrap();
            prop_assert!(!content.is_empty());
            let results = content.iter().filter(|block| block.get("toolResult").is_some()).count();
            let kinds = ["toolResult", "cachePoint"];
            let first: Vec<_> = content.iter().take_while(|block| kinds.iter().any(|kind| block.get(kind).is_some())).collect();
            prop_assert_eq!(first.iter().filter(|block| block.get("toolResult").is_some()).count(), results, "results first");
            for block in content {
                prop_assert_eq!(block.as_object().unwrap().len(), 1, "a block is of one kind");
                prop_assert!(block.get("text").is_none_or(|text| !text.as_str().unwrap().trim().is_empty()));
                for id in ["/toolUse/toolUseId", "/toolResult/toolUseId"] {
                    let id = block.pointer(id).map(|id| id.as_str().unwrap().to_owned());
                    prop_assert!(id.is_none_or(|id| (1..=64).contains(&id.len()) && id.is_ascii()));
                }
            }
        }
    }
}
