//! Requests: what is read, what is written, what is refused.

use serde_json::{Value, json};

use super::*;
use crate::chat::{CacheTtl, Code, Content, Effort, Format, Part, Reasoning, Sampling, Source, Tool, ToolChoice};
use crate::wire::anthropic::prompted::prompted;
use crate::wire::anthropic::{count_answer, read_count, read_count_request};

/// A body with one more field.
fn with(name: &str, value: Value) -> Value {
    let mut body = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]});
    body[name] = value;
    body
}

/// A body of one user message with these blocks.
fn blocks(blocks: &Value) -> Value {
    with("messages", json!([{"role": "user", "content": blocks}]))
}

#[test]
fn the_top_level_is_checked_and_its_fault_is_named() {
    for (body, param) in [
        (json!({"max_tokens": 1, "messages": [{"role": "user", "content": "x"}]}), "model"),
        (json!({"model": "m", "max_tokens": 1}), "messages"),
        (json!({"model": "m", "max_tokens": 1, "messages": []}), "messages"),
        (json!({"model": "m", "messages": [{"role": "user", "content": "x"}]}), "max_tokens"),
        (with("max_tokens", json!(0)), "max_tokens"),
        (with("temperature", json!(1.5)), "temperature"),
        (with("stream", json!("yes")), "stream"),
        (with("system", json!(3)), "system"),
        (with("tools", json!([3])), "tools[0]"),
        (with("messages", json!([{"role": "tool", "content": "x"}])), "messages[0].role"),
        (with("messages", json!([{"role": "user", "content": 3}])), "messages[0].content"),
        (with("messages", json!(vec![json!({"role": "user", "content": "x"}); 10_001])), "messages"),
    ] {
        let error = ask(&body).unwrap_err();
        assert_eq!((error.param.as_deref(), error.status()), (Some(param), 400), "{body}");
    }
    let asked = ask(&with("stream", json!(true))).unwrap();
    assert!(asked.stream && asked.include_usage);
    assert_eq!((asked.max_tokens, asked.choices, &asked.model[..]), (Some(9), 1, "m"));
}

#[test]
fn a_prompt_may_stand_for_model_messages_and_limit() {
    assert!(ask(&json!({"prompt": {"id": "p", "version": 3}})).unwrap().prompt.is_some());
    assert!(ask(&json!({"model": "prompt/p@production"})).is_ok());
    assert_eq!(ask(&json!({"prompt": {}})).unwrap_err().param.as_deref(), Some("model"));
}

#[test]
fn a_body_passes_but_for_its_model() {
    let body = r#"{ "model" : "a", "max_tokens":1, "messages":[{"role":"user","content":"x"}], "new": [1.0] }"#;
    let asked = Anthropic.read(body.into(), &Addressed::default()).unwrap();
    assert_eq!(Anthropic.pass(&asked, "b"), body.replace("\"a\"", "\"b\""));
}

#[test]
fn a_prompt_goes_before_the_callers_words_and_under_its_settings() {
    let system = Message::text(Role::System, "Be brief.");
    let prompt = Request {
        model: "p".to_owned(),
        messages: vec![system.clone(), Message::text(Role::User, "A")],
        max_tokens: Some(5),
        sampling: Sampling { temperature: Some(0.5), ..Sampling::default() },
        ..Request::default()
    };
    let joined = |body: Value| -> Value {
        let joined = prompted(&ask(&body).unwrap(), prompt.clone().into()).unwrap().asked;
        serde_json::from_slice(joined.object.bytes()).unwrap()
    };
    let mut body = with("system", json!([{"type": "text", "text": "Rhyme."}]));
    body["prompt"] = json!({"id": "p"});
    let whole = joined(body);
    assert_eq!(whole["system"], json!([{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Rhyme."}]));
    assert_eq!(whole["messages"], json!([{"role": "user", "content": "A"}, {"role": "user", "content": "Hi"}]));
    assert_eq!((&whole["max_tokens"], &whole["temperature"], whole.get("prompt")), (&json!(9), &json!(0.5), None));
    assert_eq!(joined(with("system", json!("Rhyme.")))["system"], "Be brief.\n\nRhyme.");
    assert_eq!(joined(json!({"prompt": {"id": "p"}}))["max_tokens"], 5);
    let silent = Request { messages: vec![system], ..prompt };
    let error = prompted(&ask(&json!({"prompt": {"id": "p"}})).unwrap(), silent.into()).unwrap_err();
    assert_eq!(error.param.as_deref(), Some("messages"));
}

#[test]
fn text_and_images_are_seen() {
    let image = json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}});
    let asked =
        ask(&blocks(&json!([image, {"type": "text", "text": "What is "}, {"type": "text", "text": "it?"}]))).unwrap();
    assert!(Anthropic.has_images(&asked.object));
    assert_eq!(Anthropic.last_user_text(&asked.object), "What is it?");
    assert!(!Anthropic.has_images(&ask(&blocks(&json!([{"type": "text", "text": "image"}]))).unwrap().object));
}

#[test]
fn tokens_are_counted_without_a_limit() {
    assert!(read_count_request(r#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#.into()).is_ok());
    assert_eq!(read_count(&count_answer(7)), Some(7));
    assert_eq!([read_count(b"{}"), read_count(br#"{"input_tokens":-1}"#), read_count(b"<")], [None; 3]);
}

#[test]
fn what_no_other_dialect_has_is_refused_by_name() {
    for (body, param) in [
        (with("new", json!(1)), "new"),
        (with("container", json!("c")), "container"),
        (with("mcp_servers", json!([{}])), "mcp_servers"),
        (with("tools", json!([{"type": "web_search_20250305", "name": "web_search"}])), "tools[0].type"),
        (with("inference_geo", json!("us")), "inference_geo"),
        (
            with("tools", json!([{"name": "f", "input_schema": {}, "allowed_callers": ["code_execution_20250825"]}])),
            "tools[0].allowed_callers",
        ),
        (with("output_config", json!({"new": {}})), "output_config.new"),
        (blocks(&json!([{"type": "search_result"}])), "messages[0].content[0]"),
        (blocks(&json!([{"type": "text", "text": "x", "new": 1}])), "messages[0].content[0].new"),
    ] {
        let error = read(&body).unwrap_err();
        assert_eq!((error.code, error.param.as_deref()), (Code::UnsupportedFeature, Some(param)), "{body}");
        assert!(error.message.contains("Anthropic Messages") && error.message.contains(param));
    }
}

#[test]
fn what_is_wrong_is_refused_by_name() {
    let call = |input: Value| {
        let call = json!({"type": "tool_use", "id": "a", "name": "f", "input": input});
        with("messages", json!([{"role": "assistant", "content": [call]}]))
    };
    for (body, param) in [
        (call(json!("x")), "messages[0].content[0].input"),
        (blocks(&json!([{"type": "tool_use", "id": "a", "name": "f", "input": {}}])), "messages[0].content"),
        (blocks(&json!([3])), "messages[0].content[0]"),
        (blocks(&json!([{"type": "text"}])), "messages[0].content[0].text"),
        (blocks(&json!([{"type": "image"}])), "messages[0].content[0].source"),
        (with("system", json!([{"type": "thinking", "thinking": ""}])), "system"),
        (with("stop_sequences", json!([1])), "stop_sequences"),
        (with("tool_choice", json!({"type": "some"})), "tool_choice.type"),
        (with("thinking", json!({"type": "enabled"})), "thinking.budget_tokens"),
        (with("output_config", json!({"effort": "huge"})), "output_config.effort"),
        (with("output_config", json!({"format": {"type": "json_schema"}})), "output_config.format.schema"),
        (with("cache_control", json!({"type": "ephemeral", "ttl": "2h"})), "cache_control.ttl"),
        (with("metadata", json!({"user_id": 3})), "metadata.user_id"),
    ] {
        let error = read(&body).unwrap_err();
        assert_eq!((error.code, error.param.as_deref()), (Code::InvalidRequest, Some(param)), "{body}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table, or one conversation in two forms")]
fn settings_stand_in_both_forms() {
    let schema = json!({"type": "object", "properties": {"z": {}, "a": {}}});
    let tool = Tool {
        name: "f".to_owned(),
        description: Some("d".to_owned()),
        schema: Some(schema.clone()),
        strict: Some(true),
        cache: Some(CacheTtl::Hour),
    };
    let reasoning = |effort, budget| Some(Reasoning { effort, budget, tell: None });
    let thinks = |budget| Some(Reasoning { budget: Some(budget), tell: Some(true), effort: None });
    let format = Format::JsonSchema {
        name: "response".to_owned(),
        description: None,
        schema: schema.clone(),
        strict: Some(true),
    };
    let tool_json = json!({"name": "f", "description": "d", "input_schema": schema, "strict": true,
        "cache_control": {"type": "ephemeral", "ttl": "1h"}});
    let tools = |choice| Request { tools: vec![tool.clone()], tool_choice: choice, ..hello() };
    for (request, fields) in [
        (Request { stop: vec!["a".into()], ..hello() }, json!({"stop_sequences": ["a"]})),
        (Request { user: Some("u".into()), ..hello() }, json!({"metadata": {"user_id": "u"}})),
        (Request { cache: Some(CacheTtl::FiveMinutes), ..hello() }, json!({"cache_control": {"type": "ephemeral"}})),
        (
            Request { format: Some(format), ..hello() },
            json!({"output_config": {"format": {"type": "json_schema", "schema": schema}}}),
        ),
        (tools(None), json!({"tools": [tool_json]})),
        (tools(Some(ToolChoice::Any)), json!({"tools": [tool_json], "tool_choice": {"type": "any"}})),
        (tools(Some(ToolChoice::None)), json!({"tools": [tool_json], "tool_choice": {"type": "none"}})),
        (
            tools(Some(ToolChoice::Tool("f".into()))),
            json!({"tools": [tool_json], "tool_choice": {"type": "tool", "name": "f"}}),
        ),
        (
            Request { parallel_tools: Some(false), ..tools(Some(ToolChoice::Auto)) },
            json!({"tools": [tool_json], "tool_choice": {"type": "auto", "disable_parallel_tool_use": true}}),
        ),
        (
            Request { reasoning: reasoning(Some(Effort::High), None), ..hello() },
            json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}),
        ),
        (
            Request { reasoning: reasoning(Some(Effort::None), None), ..hello() },
            json!({"thinking": {"type": "disabled"}}),
        ),
        (
            Request { reasoning: thinks(2000), max_tokens: Some(3000), ..hello() },
            json!({"max_tokens": 3000, "thinking": {"type": "enabled", "budget_tokens": 2000, "display": "summarized"}}),
        ),
        (
            Request { reasoning: Some(Reasoning { tell: Some(false), ..Reasoning::default() }), ..hello() },
            json!({"thinking": {"type": "adaptive", "display": "omitted"}}),
        ),
    ] {
        let mut expected = with("max_tokens", json!(9));
        expected.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let (body, emulated) = write(&request).unwrap();
        assert_eq!(body, expected);
        assert!(emulated.is_empty(), "{emulated:?}");
        assert_eq!(read(&body).unwrap(), Request { include_usage: true, ..request });
    }
}

#[test]
fn what_is_done_otherwise_is_noted() {
    let effort = |effort| Some(Reasoning { effort: Some(effort), ..Reasoning::default() });
    for (request, note, pointer, value) in [
        (Request { max_tokens: None, ..hello() }, "max_tokens", "/max_tokens", json!(4096)),
        (
            Request { reasoning: effort(Effort::Minimal), ..hello() },
            "reasoning_effort",
            "/output_config/effort",
            json!("low"),
        ),
        (
            Request { prompt_cache_key: Some("k".into()), ..hello() },
            "prompt_cache_key",
            "/prompt_cache_key",
            Value::Null,
        ),
        (Request { store: Some(false), ..hello() }, "store", "/store", Value::Null),
        (Request { service_tier: Some("default".into()), ..hello() }, "service_tier", "/service_tier", Value::Null),
    ] {
        let (body, emulated) = write(&request).unwrap();
        assert_eq!(emulated, [note]);
        assert_eq!(body.pointer(pointer).unwrap_or(&Value::Null), &value);
    }
    let (body, _) = write(&Request { reasoning: effort(Effort::XHigh), ..hello() }).unwrap();
    assert_eq!(body["output_config"]["effort"], "xhigh");
}

#[test]
fn each_generation_is_asked_to_think_in_its_own_way() {
    let think = |model: &str, effort, budget, most| {
        let reasoning = Some(Reasoning { effort, budget, tell: None });
        let request = Request { model: model.to_owned(), reasoning, max_tokens: most, ..hello() };
        let (body, emulated) = write(&request).unwrap();
        let field = |name: &str| body.get(name).cloned().unwrap_or_default();
        ([field("thinking"), field("output_config"), field("max_tokens")], emulated)
    };
    let budget = |tokens| json!({"type": "enabled", "budget_tokens": tokens});
    let adaptive = || json!({"type": "adaptive"});
    let effort = |effort: &str| json!({"effort": effort});
    let none = || Value::Null;
    let by_effort = || vec!["reasoning_effort"];
    for (model, wanted, tokens, most, fields, named) in [
        ("claude-haiku-4-5", Some(Effort::High), None, Some(20_000), [budget(10_000), none()], by_effort()),
        ("anthropic/claude-sonnet-4.5", Some(Effort::Low), None, Some(20_000), [budget(1_024), none()], by_effort()),
        ("claude-opus-4-5", Some(Effort::High), None, Some(40_000), [budget(16_384), effort("high")], by_effort()),
        ("claude-haiku-4-5", Some(Effort::Low), None, Some(1_000), [none(), none()], by_effort()),
        ("claude-haiku-4-5@20251001", None, Some(2_000), Some(3_000), [budget(2_000), none()], vec![]),
        ("claude-haiku-4-5", None, Some(9), Some(3_000), [budget(1_024), none()], vec!["reasoning.budget"]),
        ("claude-sonnet-4-6", None, Some(8_192), Some(4_096), [budget(2_048), none()], vec!["reasoning.budget"]),
        ("claude-opus-4-1", None, Some(40_000), Some(60_000), [budget(31_999), none()], vec!["reasoning.budget"]),
        ("claude-sonnet-4-6", None, Some(2_000), Some(1_000), [none(), none()], vec!["reasoning.budget"]),
        ("any-other", None, Some(1), Some(3_000), [budget(1_024), none()], vec!["reasoning.budget"]),
        ("claude-3-5-haiku-latest", Some(Effort::High), None, Some(9), [none(), none()], by_effort()),
        ("claude-opus-4-6", Some(Effort::High), None, Some(9), [adaptive(), effort("high")], vec![]),
        ("claude-sonnet-4-6", Some(Effort::XHigh), None, Some(9), [adaptive(), effort("high")], by_effort()),
        ("claude-opus-4-6", None, Some(2_000), Some(3_000), [budget(2_000), none()], vec![]),
        ("claude-opus-4-7", None, Some(9_000), Some(9), [adaptive(), effort("high")], vec!["reasoning.budget"]),
        ("claude-sonnet-5", Some(Effort::XHigh), None, Some(9), [adaptive(), effort("xhigh")], vec![]),
        ("claude-sonnet-5", Some(Effort::None), None, Some(9), [json!({"type": "disabled"}), none()], vec![]),
        (
            "claude-sonnet-5-5",
            Some(Effort::None),
            None,
            Some(9),
            [json!({"type": "between_tools"}), none()],
            by_effort(),
        ),
        ("claude-fable-5", Some(Effort::None), None, Some(9), [adaptive(), effort("low")], by_effort()),
    ] {
        let [thinking, config] = fields;
        let expected = ([thinking, config, json!(most)], named);
        assert_eq!(think(model, wanted, tokens, most), expected, "{model} {wanted:?} {tokens:?}");
    }
    // The limit that Anthropic requires leaves room for an answer behind the thoughts.
    let ([thinking, _, most], named) = think("claude-haiku-4-5", Some(Effort::High), None, None);
    assert_eq!((thinking, most), (budget(16_384), json!(16_384 + 4_096)));
    assert_eq!(named, ["reasoning_effort", "max_tokens"]);
}

#[test]
fn what_a_claude_refuses_of_sampling_and_of_forced_calls_does_not_reach_it() {
    let both = Sampling { temperature: Some(0.2), top_p: Some(0.9), ..Sampling::default() };
    let sampled = |model: &str, reasoning| {
        let request =
            Request { model: model.to_owned(), sampling: both, max_tokens: Some(9_000), reasoning, ..hello() };
        let mut emulated = Emulated::default();
        let written = Anthropic.write_request(&request, &mut emulated).unwrap();
        let body: Value = serde_json::from_slice(&written.body).unwrap();
        (["temperature", "top_p"].map(|name| body.get(name).is_some()), written.headers[0].1, emulated.names().to_vec())
    };
    let hard = || Some(Reasoning { effort: Some(Effort::High), ..Reasoning::default() });
    assert_eq!(sampled("claude-sonnet-4", None), ([true, true], "2023-06-01", vec![]));
    assert_eq!(sampled("claude-opus-4-1", None), ([true, false], "2023-06-01", vec!["top_p"]));
    assert_eq!(sampled("claude-sonnet-5", None), ([false, false], "2026-10-21", vec!["temperature", "top_p"]));
    let named = vec!["reasoning_effort", "temperature", "top_p"];
    assert_eq!(sampled("claude-haiku-4-5", hard()), ([false, false], "2026-10-21", named));
    let tool = Tool { name: "f".into(), description: None, schema: None, strict: None, cache: None };
    let forced = |model: &str| {
        write(&Request {
            model: model.to_owned(),
            tools: vec![tool.clone()],
            tool_choice: Some(ToolChoice::Any),
            ..hello()
        })
    };
    assert!(forced("claude-sonnet-5").is_ok());
    assert_eq!(forced("claude-sonnet-5-5").unwrap_err().param.as_deref(), Some("tool_choice"));
}

#[test]
fn sampling_asks_for_the_version_that_takes_it() {
    let headers =
        |sampling| Anthropic.write_request(&Request { sampling, ..hello() }, &mut Emulated::default()).unwrap().headers;
    assert_eq!(headers(Sampling::default()), [("anthropic-version", "2026-10-21")]);
    let sampling = Sampling { temperature: Some(1.0), ..Sampling::default() };
    assert_eq!(headers(sampling), [("anthropic-version", "2023-06-01")]);
}

#[test]
fn what_anthropic_cannot_say_is_refused_by_name() {
    let sampling = |sampling| Request { sampling, ..hello() };
    let none = Sampling::default();
    let one = |content| Request {
        messages: vec![Message { role: Role::User, parts: vec![Part::new(content)], name: None }],
        ..hello()
    };
    let tool = Tool { name: "a.b".into(), description: None, schema: None, strict: None, cache: None };
    let bmp = Source::Base64 { media_type: "image/bmp".into(), data: "AA".into() };
    for (request, param) in [
        (Request { choices: Some(2), ..hello() }, "n"),
        (Request { logprobs: Some(0), ..hello() }, "logprobs"),
        (sampling(Sampling { temperature: Some(1.5), ..none }), "temperature"),
        (sampling(Sampling { frequency_penalty: Some(0.1), ..none }), "frequency_penalty"),
        (sampling(Sampling { presence_penalty: Some(0.1), ..none }), "presence_penalty"),
        (sampling(Sampling { seed: Some(1), ..none }), "seed"),
        (Request { stop: vec!["\n".into()], ..hello() }, "stop"),
        (Request { service_tier: Some("flex".into()), ..hello() }, "service_tier"),
        (Request { format: Some(Format::JsonObject), ..hello() }, "response_format"),
        (Request { tools: vec![tool], ..hello() }, "tools[0].name"),
        (one(Content::Audio { data: "AA".into(), format: "wav".into() }), "messages[0].content[0]"),
        (one(Content::Image { source: bmp, detail: None }), "messages[0].content[0]"),
    ] {
        let error = write(&request).unwrap_err();
        assert_eq!((error.code, error.param.as_deref()), (Code::UnsupportedFeature, Some(param)));
        assert!(error.message.contains("Anthropic Messages"), "{error}");
    }
}

#[test]
fn a_conversation_is_put_in_anthropics_order() {
    let call = |id: &str, arguments: &str| {
        Part::new(Content::ToolCall { id: id.into(), name: "f".into(), arguments: arguments.into() })
    };
    let result = |id: &str| {
        Part::new(Content::ToolResult {
            id: id.into(),
            name: None,
            parts: vec![Part::text("ok")],
            is_error: id == "a:1",
        })
    };
    let message = |role, parts| Message { role, parts, name: None };
    let request = Request {
        messages: vec![
            Message::text(Role::System, "One"),
            Message::text(Role::Developer, "Two"),
            Message::text(Role::User, "Go"),
            message(Role::Assistant, vec![Part::text(""), call("a:1", ""), call("a_1", "{\"x\":1}")]),
            message(Role::User, vec![result("a:1")]),
            message(Role::User, vec![Part::text("and"), result("a_1")]),
            Message::text(Role::System, "Now rhyme."),
            message(Role::Assistant, vec![Part::text(""), Part::new(Content::Thinking("hm".into()))]),
            Message::text(Role::User, "Yes"),
        ],
        ..hello()
    };
    let (body, emulated) = write(&request).unwrap();
    assert_eq!(body["system"], json!([{"type": "text", "text": "One"}, {"type": "text", "text": "Two"}]));
    assert_eq!(
        body["messages"],
        json!([
            {"role": "user", "content": "Go"},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "a_1_2", "name": "f", "input": {}},
                {"type": "tool_use", "id": "a_1", "name": "f", "input": {"x": 1}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "a_1_2", "content": "ok", "is_error": true},
                {"type": "tool_result", "tool_use_id": "a_1", "content": "ok"},
                {"type": "text", "text": "and"}]},
            {"role": "system", "content": "Now rhyme."},
            {"role": "user", "content": "Yes"},
        ])
    );
    assert_eq!(emulated, ["tool_call_id", "thinking"]);
}

#[test]
fn arguments_that_are_no_object_are_kept_as_text_and_silence_is_refused() {
    let call = Part::new(Content::ToolCall { id: "a".into(), name: "f".into(), arguments: "[1".into() });
    let request =
        Request { messages: vec![Message { role: Role::Assistant, parts: vec![call], name: None }], ..hello() };
    let (body, emulated) = write(&request).unwrap();
    assert_eq!(body["messages"][0]["content"][0]["input"], json!({"malformed_arguments": "[1"}));
    assert!(emulated.contains(&"tool_calls.arguments"), "{emulated:?}");
    let silent = Request { messages: vec![Message::text(Role::System, "x"), Message::text(Role::User, "")], ..hello() };
    assert_eq!(write(&silent).unwrap_err().param.as_deref(), Some("messages"));
}

#[test]
fn a_text_document_in_base64_becomes_text() {
    let source = Source::Base64 { media_type: "text/plain".into(), data: "SGk=".into() };
    let part = Part::new(Content::Document { source, name: Some("a.txt".into()), cite: true });
    let request = Request { messages: vec![Message { role: Role::User, parts: vec![part], name: None }], ..hello() };
    assert_eq!(
        write(&request).unwrap().0["messages"][0]["content"],
        json!([{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Hi"},
            "title": "a.txt", "citations": {"enabled": true}}])
    );
}

#[test]
fn a_callers_blocks_are_read_into_the_order_that_all_dialects_share() {
    let result = json!({"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "ok"}]});
    let mut body = with("system", json!("Be brief."));
    body["messages"] = json!([
        {"role": "user", "content": "Hi"},
        {"role": "system", "content": "Rhyme."},
        {"role": "user", "content": [{"type": "text", "text": "", "citations": null}, {"type": "text", "text": "and"}, result]},
    ]);
    let request = read(&body).unwrap();
    let roles: Vec<Role> = request.messages.iter().map(|message| message.role).collect();
    assert_eq!(roles, [Role::System, Role::User, Role::System, Role::User]);
    assert!(
        matches!(&request.messages[3].parts[0].content, Content::ToolResult { id, parts, .. } if id == "a" && parts == &[Part::text("ok")])
    );
    assert_eq!(request.messages[3].parts[1..], [Part::text("and")]);
}

#[test]
fn who_gives_a_budget_is_told_the_thoughts_unless_he_asks_not_to_be() {
    let tell = |thinking: Value| {
        let mut body = with("thinking", thinking);
        body["max_tokens"] = json!(3000);
        read(&body).unwrap().reasoning.unwrap().tell
    };
    assert_eq!(tell(json!({"type": "enabled", "budget_tokens": 2000})), Some(true));
    assert_eq!(tell(json!({"type": "enabled", "budget_tokens": 2000, "display": "omitted"})), Some(false));
    assert_eq!(tell(json!({"type": "adaptive"})), None);
}
