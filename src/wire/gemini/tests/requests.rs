//! Requests.

use serde_json::json;

use super::*;
use crate::chat::{
    CacheTtl, Code, Content, Effort, Format, Message, Part, Reasoning, Role, Sampling, Source, Tool, ToolChoice,
};
use crate::wire::gemini::prompted::prompted;

fn user(text: &str) -> Value {
    json!({"role": "user", "parts": [{"text": text}]})
}

#[test]
fn the_top_level_is_checked_and_the_field_named() {
    for (body, param) in [
        (json!({}), "contents"),
        (json!({"contents": []}), "contents"),
        (json!({"contents": "Hi"}), "contents"),
        (json!({"contents": ["Hi"]}), "contents[0]"),
        (json!({"contents": [{"parts": []}]}), "contents[0].parts"),
        (json!({"contents": [{"role": "assistant", "parts": [{}]}]}), "contents[0].role"),
        (json!({"contents": [user("a")], "systemInstruction": "x"}), "systemInstruction"),
        (json!({"contents": [user("a")], "tools": [1]}), "tools[0]"),
        (json!({"contents": [user("a")], "toolConfig": {}, "tool_config": {}}), "toolConfig"),
        (json!({"contents": [user("a")], "generationConfig": {"temperature": 3}}), "generationConfig.temperature"),
        (json!({"contents": [user("a")], "generation_config": {"top_p": 2}}), "generationConfig.top_p"),
        (json!({"contents": vec![user("a"); 10_001]}), "contents"),
    ] {
        assert_eq!(asked(&body).unwrap_err().param.as_deref(), Some(param), "{param}");
    }
    let no_model = Gemini.read(json!({"contents": [user("a")]}).to_string().into(), &Addressed::default());
    assert_eq!(no_model.unwrap_err().param.as_deref(), Some("model"));
}

#[test]
fn what_every_call_needs_is_read_from_body_and_address() {
    let body = json!({"contents": user("Hi"), "generation_config": {"max_output_tokens": 7, "candidateCount": 2}});
    let addressed = Addressed { model: Some("m".to_owned()), stream: true };
    let asked = Gemini.read(body.to_string().into(), &addressed).unwrap();
    assert_eq!((asked.model.as_str(), asked.stream, asked.include_usage), ("m", true, true));
    assert_eq!((asked.max_tokens, asked.choices), (Some(7), 2));
    assert_eq!(Gemini.pass(&asked, "other"), body.to_string());
}

#[test]
fn a_prompt_needs_no_contents_and_does_not_go_up() {
    let body = json!({"prompt": {"id": "greet", "version": 3}});
    let asked = Gemini.read(body.to_string().into(), &Addressed::default()).unwrap();
    assert_eq!(asked.prompt.clone().unwrap().version.as_deref(), Some("3"));
    assert_eq!(Gemini.pass(&asked, "m"), "{}");
    let by_model = Addressed { model: Some("prompt/greet".to_owned()), stream: false };
    assert!(Gemini.read("{}".into(), &by_model).is_ok());
}

#[test]
fn a_prompt_goes_in_front_and_the_callers_settings_win() {
    let prompt = Request {
        model: "m".to_owned(),
        messages: vec![Message::text(Role::System, "be kind"), Message::text(Role::User, "first")],
        sampling: Sampling { temperature: Some(0.5), top_p: Some(0.9), ..Sampling::default() },
        format: Some(Format::JsonObject),
        tools: vec![Tool { name: "f".to_owned(), description: None, schema: None, strict: None, cache: None }],
        ..Request::default()
    };
    let body = json!({
        "contents": [user("second")], "system_instruction": {"parts": {"text": "be brief"}}, "prompt": {"id": "p"},
        "generation_config": {"top_p": 0.1, "response_mime_type": "text/plain"},
    });
    let joined = prompted(&asked(&body).unwrap(), prompt.clone().into()).unwrap().asked;
    let joined: Value = serde_json::from_slice(joined.object.bytes()).unwrap();
    let expected = json!({
        "contents": [user("first"), user("second")],
        "systemInstruction": {"parts": [{"text": "be kind"}, {"text": "be brief"}]},
        "generationConfig": {"top_p": 0.1, "response_mime_type": "text/plain", "temperature": 0.5},
        "tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": {"type": "object", "properties": {}}}]}],
    });
    assert_eq!(joined, expected);
    assert!(asked(&joined).is_ok());
}

#[test]
fn the_users_last_words_and_images_are_found() {
    let body = json!({"contents": [
        {"parts": [{"text": "Look: "}, {"inline_data": {"mime_type": "image/png", "data": "AA"}}, {"text": "what?"}]},
        {"role": "model", "parts": [{"functionCall": {"name": "f"}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"text": "no"}}}]},
    ]});
    let object = asked(&body).unwrap().object;
    assert_eq!(Gemini.last_user_text(&object), "Look: what?");
    assert!(Gemini.has_images(&object));
    let words = asked(&json!({"contents": [user("an image/png?")]})).unwrap().object;
    let escaped = r#"{"contents":[{"parts":[{"inlineData":{"mimeType":"image\/png","data":"AA"}}]}]}"#;
    assert!(Gemini.has_images(&Gemini.read(escaped.into(), &addressed()).unwrap().object));
    assert!(!Gemini.has_images(&words));
}

#[test]
fn a_request_is_read_in_both_spellings() {
    let body = json!({
        "system_instruction": {"role": "system", "parts": [{"text": "Be kind."}]},
        "contents": [user("Hi"), {"role": "model", "parts": [{"text": "Hm.", "thought": true, "thought_signature": "s"},
            {"text": "Ho"}]}, {"parts": [{"fileData": {"fileUri": "gs://b/x.pdf", "mimeType": "application/pdf"}},
            {"inlineData": {"mimeType": "image/png", "data": "AA=="}}]}],
        "generation_config": {"temperature": 0.5, "topK": 40.0, "stop_sequences": ["x"], "max_output_tokens": 9,
            "thinking_config": {"include_thoughts": true, "thinking_level": "low"}},
    });
    let read = request(&body).unwrap();
    let thought = Part { signature: Some("s".to_owned()), ..Part::new(Content::Thinking("Hm.".to_owned())) };
    let document = Content::Document { source: Source::File("gs://b/x.pdf".to_owned()), name: None, cite: false };
    let data = Source::Base64 { media_type: "image/png".to_owned(), data: "AA==".to_owned() };
    let image = Content::Image { source: data, detail: None };
    let message = |role, parts| Message { role, parts, name: None };
    let expected = Request {
        model: "m".to_owned(),
        messages: vec![
            Message::text(Role::System, "Be kind."),
            Message::text(Role::User, "Hi"),
            message(Role::Assistant, vec![thought, Part::text("Ho")]),
            message(Role::User, vec![Part::new(document), Part::new(image)]),
        ],
        max_tokens: Some(9),
        sampling: Sampling { temperature: Some(0.5), top_k: Some(40), ..Sampling::default() },
        stop: vec!["x".to_owned()],
        reasoning: Some(Reasoning { effort: Some(Effort::Low), budget: None, tell: Some(true) }),
        include_usage: true,
        ..Request::default()
    };
    assert_eq!(read, expected);
}

#[test]
fn calls_without_ids_find_their_results_by_name_and_order() {
    let call = |name: &str| json!({"functionCall": {"name": name, "args": {"a": 1}}});
    let result = |name: &str, value: Value| json!({"functionResponse": {"name": name, "response": value}});
    let body = json!({"contents": [
        user("go"),
        {"role": "model", "parts": [call("f"), call("g"), call("f")]},
        {"role": "function", "parts": [result("g", json!({"output": "G"}))]},
        {"role": "user", "parts": [{"text": "and"}, result("f", json!({"error": "F1"})), result("f", json!({"x": 2}))]},
    ]});
    let read = request(&body).unwrap();
    let ids = |message: &Message| -> Vec<(String, bool)> {
        let id = |part: &Part| match &part.content {
            Content::ToolCall { id, .. } => Some((id.clone(), false)),
            Content::ToolResult { id, is_error, .. } => Some((id.clone(), *is_error)),
            _ => None,
        };
        message.parts.iter().filter_map(id).collect()
    };
    let named = |ids: &[(&str, bool)]| -> Vec<_> { ids.iter().map(|(id, bad)| ((*id).to_owned(), *bad)).collect() };
    assert_eq!(read.messages.len(), 3, "results of one turn stand in one message");
    assert_eq!(ids(&read.messages[1]), named(&[("call_1_0", false), ("call_1_1", false), ("call_1_2", false)]));
    assert_eq!(ids(&read.messages[2]), named(&[("call_1_1", false), ("call_1_0", true), ("call_1_2", false)]));
    assert_eq!(read.messages[2].joined_text(), "and");
    let lost = json!({"contents": [{"parts": [result("f", json!({}))]}]});
    assert_eq!(request(&lost).unwrap_err().param.as_deref(), Some("contents[0].parts[0].functionResponse"));
}

#[test]
fn a_result_that_is_no_object_is_its_text() {
    for (response, text) in [
        (json!([1, {"a": 2}]), "[1,{\"a\":2}]"),
        (json!("plain"), "plain"),
        (json!(7), "7"),
        (json!(false), "false"),
        (json!(null), ""),
        (json!({"output": [1]}), "[1]"),
    ] {
        let body = json!({"contents": [
            user("go"),
            {"role": "model", "parts": [{"functionCall": {"name": "f", "args": null}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": response}}]},
        ]});
        let read = request(&body).unwrap();
        let Content::ToolResult { parts, is_error, .. } = &read.messages[2].parts[0].content else {
            panic!("{read:?}")
        };
        let read: String = parts.iter().filter_map(Part::as_text).collect();
        assert_eq!((read.as_str(), *is_error), (text, false));
    }
}

#[test]
fn tools_and_their_choice_are_read() {
    let declared = json!({"name": "f", "description": "d", "parameters": {"type": "OBJECT"}});
    let body = json!({"contents": [user("a")], "tools": [{"function_declarations": [declared]}],
        "tool_config": {"function_calling_config": {"mode": "ANY", "allowed_function_names": ["f"]}}});
    let read = request(&body).unwrap();
    let schema = Some(json!({"type": "object"}));
    let tool = Tool { name: "f".to_owned(), description: Some("d".to_owned()), schema, strict: None, cache: None };
    assert_eq!((read.tools, read.tool_choice), (vec![tool], Some(ToolChoice::Tool("f".to_owned()))));
}

#[test]
fn what_only_this_dialect_says_is_refused_by_name() {
    let with = |name: &str, value: Value| json!({"contents": [user("a")], name: value});
    let part = |part: Value| json!({"contents": [{"parts": [part]}]});
    for (body, param) in [
        (with("safetySettings", json!([{}])), "safetySettings"),
        (with("cachedContent", json!("c")), "cachedContent"),
        (with("frobnicate", json!(1)), "frobnicate"),
        (with("tools", json!([{"googleSearch": {}}])), "tools[0].googleSearch"),
        (with("tools", json!([{"codeExecution": {}}])), "tools[0].codeExecution"),
        (with("tools", json!([{"urlContext": {}}])), "tools[0].urlContext"),
        (with("generationConfig", json!({"speechConfig": {}})), "generationConfig.speechConfig"),
        (with("generationConfig", json!({"responseModalities": ["IMAGE"]})), "generationConfig.responseModalities"),
        (part(json!({"executableCode": {"code": "1"}})), "contents[0].parts[0].executableCode"),
        (part(json!({"text": "a", "videoMetadata": {}})), "contents[0].parts[0].videoMetadata"),
        (
            part(json!({"inlineData": {"mimeType": "video/mp4", "data": "AA"}})),
            "contents[0].parts[0].inlineData.mimeType",
        ),
    ] {
        let error = request(&body).unwrap_err();
        assert_eq!((error.code, error.param.as_deref()), (Code::UnsupportedFeature, Some(param)));
        assert!(error.message.contains(param) && error.message.contains("Gemini"), "{error}");
    }
}

#[test]
fn what_is_wrong_is_refused_by_name() {
    let part = |part: Value| json!({"contents": [{"parts": [part]}]});
    for (body, param) in [
        (part(json!({"functionCall": {"name": "f", "args": [1]}})), "contents[0].parts[0].functionCall.args"),
        (part(json!({"functionCall": {"args": {}}})), "contents[0].parts[0].functionCall.name"),
        (part(json!({"text": 1})), "contents[0].parts[0].text"),
        (part(json!({"text": "a", "inlineData": {}})), "contents[0].parts[0].text"),
        (part(json!({"inlineData": {"mimeType": "text/plain", "data": "?"}})), "contents[0].parts[0].inlineData.data"),
        (part(json!({})), "contents"),
        (
            json!({"contents": [user("a")],
                "toolConfig": {"functionCallingConfig": {"mode": "AUTO", "allowedFunctionNames": ["a", "b"]}}}),
            "toolConfig.functionCallingConfig.allowedFunctionNames",
        ),
        (
            json!({"contents": [user("a")], "generationConfig": {"responseSchema": {}}}),
            "generationConfig.responseMimeType",
        ),
    ] {
        let error = request(&body).unwrap_err();
        assert_eq!((error.code, error.param.as_deref()), (Code::InvalidRequest, Some(param)), "{error}");
    }
}

fn conversation(messages: Vec<Message>) -> Request {
    Request { messages, ..Request::default() }
}

#[test]
fn a_request_is_written_and_what_is_left_to_chance_is_noted() {
    let cached = Part { cache: Some(CacheTtl::Hour), ..Part::text("Hi") };
    let tool = Tool { name: "f".to_owned(), description: None, schema: None, strict: Some(true), cache: None };
    let mut original = conversation(vec![
        Message::text(Role::System, "One."),
        Message::text(Role::Developer, "Two."),
        Message { role: Role::User, parts: vec![cached], name: Some("Ann".to_owned()) },
        Message::text(Role::System, "Now French."),
    ]);
    original.tools = vec![tool];
    original.parallel_tools = Some(false);
    original.user = Some("u".to_owned());
    original.store = Some(false);
    original.tool_choice = Some(ToolChoice::None);
    let (body, emulated) = written(&original).unwrap();
    let expected = json!({
        "contents": [user("Hi"), user("Now French.")],
        "systemInstruction": {"parts": [{"text": "One."}, {"text": "Two."}]},
        "tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": {"type": "object", "properties": {}}}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "NONE"}},
    });
    assert_eq!(body, expected);
    assert_eq!(
        emulated.names(),
        ["parallel_tool_calls", "store", "user", "cache_control", "name", "system_position", "strict"]
    );
}

#[test]
fn what_cannot_be_said_is_refused_by_name() {
    let image = |source| Part::new(Content::Image { source, detail: None });
    let with = |part| conversation(vec![Message { role: Role::User, parts: vec![part], name: None }]);
    let url = Source::Url("https://example.com/a.png".to_owned());
    let hot = Sampling { temperature: Some(2.5), ..Sampling::default() };
    let far = Sampling { seed: Some(1 << 40), ..Sampling::default() };
    let base = Request::default;
    for (original, param) in [
        (with(image(url)), "messages[0].content[0]"),
        (with(image(Source::File("file-1".to_owned()))), "messages[0].content[0]"),
        (Request { sampling: hot, ..base() }, "temperature"),
        (Request { sampling: far, ..base() }, "seed"),
        (Request { choices: Some(9), ..base() }, "n"),
        (Request { service_tier: Some("flex".to_owned()), ..base() }, "service_tier"),
        (Request { stop: vec!["x".to_owned(); 6], ..base() }, "stop"),
    ] {
        let error = written(&original).unwrap_err();
        assert_eq!((error.code, error.param.as_deref()), (Code::UnsupportedFeature, Some(param)));
    }
    let call = Content::ToolCall { id: "1".to_owned(), name: "f".to_owned(), arguments: "[1]".to_owned() };
    let (body, emulated) = written(&with(Part::new(call))).unwrap();
    let args = body.pointer("/contents/0/parts/0/functionCall/args");
    assert_eq!(args, Some(&json!({"malformed_arguments": "[1]"})));
    assert_eq!(emulated.names(), ["tool_calls.arguments"]);
}

#[test]
fn thinking_is_a_level_or_for_older_models_a_budget() {
    let config = |model: &str, effort, budget| {
        let reasoning = Some(Reasoning { effort, budget, tell: None });
        let original = Request { model: model.to_owned(), reasoning, ..Request::default() };
        written(&original).unwrap().0["generationConfig"]["thinkingConfig"].clone()
    };
    assert_eq!(config("gemini-3-pro", Some(Effort::Low), None), json!({"thinkingLevel": "LOW"}));
    assert_eq!(config("gemini-2.5-flash", Some(Effort::Low), None), json!({"thinkingBudget": 1024}));
    assert_eq!(config("gemini-3-pro", Some(Effort::Low), Some(5)), json!({"thinkingLevel": "LOW"}));
    assert_eq!(config("some-model", Some(Effort::None), None), json!({"thinkingBudget": 0}));
    assert_eq!(config("some-model", Some(Effort::Low), Some(5)), json!({"thinkingBudget": 5}));
}

#[test]
fn each_model_thinks_within_its_own_bounds_and_what_is_moved_is_named() {
    let off = (Some(Effort::None), None);
    let effort = |effort| (Some(effort), None);
    let budget = |budget| (None, Some(budget));
    let (by_effort, by_budget) = (vec!["reasoning_effort"], vec!["reasoning.budget"]);
    for (model, (effort, budget), config, named) in [
        ("gemini-2.5-pro", off, json!({"thinkingBudget": 128}), by_effort.clone()),
        ("models/gemini-2.5-pro", budget(5), json!({"thinkingBudget": 128}), by_budget.clone()),
        ("gemini-2.5-pro", budget(40_000), json!({"thinkingBudget": 32_768}), by_budget.clone()),
        ("gemini-2.5-pro", budget(30_000), json!({"thinkingBudget": 30_000}), vec![]),
        ("gemini-2.5-pro", effort(Effort::Max), json!({"thinkingBudget": 32_768}), by_effort.clone()),
        ("gemini-2.5-flash", off, json!({"thinkingBudget": 0}), vec![]),
        ("gemini-2.5-flash", budget(0), json!({"thinkingBudget": 0}), vec![]),
        ("gemini-2.5-flash", budget(31_999), json!({"thinkingBudget": 24_576}), by_budget.clone()),
        ("gemini-2.5-flash-lite", budget(100), json!({"thinkingBudget": 512}), by_budget.clone()),
        ("gemini-2.5-flash-lite", off, json!({"thinkingBudget": 0}), vec![]),
        ("gemini-3-pro-preview", off, json!({"thinkingLevel": "LOW"}), by_effort.clone()),
        (
            "gemini-3-pro-preview",
            budget(0),
            json!({"thinkingLevel": "LOW"}),
            vec!["reasoning.budget", "reasoning_effort"],
        ),
        ("gemini-3-pro-preview", effort(Effort::Medium), json!({"thinkingLevel": "HIGH"}), by_effort.clone()),
        ("gemini-3.5-flash-lite", off, json!({"thinkingLevel": "MINIMAL"}), by_effort.clone()),
        ("gemini-3.8-flash", off, json!({"thinkingLevel": "LOW"}), by_effort.clone()),
        ("gemini-3-flash-preview", effort(Effort::XHigh), json!({"thinkingLevel": "HIGH"}), by_effort.clone()),
        ("gemini-3-flash-preview", effort(Effort::Minimal), json!({"thinkingLevel": "MINIMAL"}), vec![]),
        ("gemini-3-flash-preview", budget(10_000), json!({"thinkingLevel": "HIGH"}), by_budget),
        ("gemini-2.0-flash", effort(Effort::High), json!(null), by_effort),
        ("gemini-2.0-flash", off, json!(null), vec![]),
    ] {
        let reasoning = Some(Reasoning { effort, budget, tell: None });
        let (body, emulated) = written(&Request { model: model.to_owned(), reasoning, ..Request::default() }).unwrap();
        let written = (body["generationConfig"]["thinkingConfig"].clone(), emulated.names().to_vec());
        assert_eq!(written, (config, named), "{model} {effort:?} {budget:?}");
    }
}

#[test]
fn a_schema_of_the_answer_is_kept() {
    let schema = json!({"type": "object", "properties": {"b": {}, "a": {}}});
    let name = "n".to_owned();
    let format = Format::JsonSchema { name, description: None, schema: schema.clone(), strict: Some(true) };
    let (body, _) = written(&Request { format: Some(format), ..Request::default() }).unwrap();
    let expected = json!({"responseMimeType": "application/json", "responseJsonSchema": schema});
    assert_eq!(body["generationConfig"].to_string(), expected.to_string());
}

#[test]
fn a_result_gets_the_name_of_the_call_it_answers() {
    let call = Content::ToolCall { id: "1".to_owned(), name: "f".to_owned(), arguments: String::new() };
    let image = Content::Image {
        source: Source::Base64 { media_type: "image/png".to_owned(), data: "AA".to_owned() },
        detail: Some("low".to_owned()),
    };
    let parts = vec![Part::text("a"), Part::new(image), Part::text("b")];
    let result = Content::ToolResult { id: "1".to_owned(), name: None, parts, is_error: true };
    let message = |role, content| Message { role, parts: vec![Part::new(content)], name: None };
    let (body, emulated) =
        written(&conversation(vec![message(Role::Assistant, call), message(Role::User, result.clone())])).unwrap();
    let expected = json!([
        {"role": "model", "parts": [{"functionCall": {"id": "1", "name": "f", "args": {}}}]},
        {"role": "user", "parts": [{"functionResponse": {"id": "1", "name": "f", "response": {"error": "ab"},
            "parts": [{"inlineData": {"mimeType": "image/png", "data": "AA"}}]}}]},
    ]);
    assert_eq!((&body["contents"], emulated.names()), (&expected, &["image_url.detail"][..]));
    let lost = written(&conversation(vec![message(Role::User, result)])).unwrap_err();
    assert_eq!(lost.param.as_deref(), Some("messages[0].content[0]"));
}

#[test]
fn what_a_function_gives_is_left_out_and_noted() {
    for name in ["response_json_schema", "responseJsonSchema", "response"] {
        let mut function = json!({"name": "f", "description": "d"});
        function[name] = json!({"type": "string"});
        let mut body = json!({"contents": [user("Hi")]});
        body["tools"] = json!([{"functionDeclarations": [function]}]);
        let mut emulated = Emulated::default();
        let read = Gemini.read_request(&asked(&body).unwrap(), &mut emulated).unwrap();
        assert_eq!((read.tools.len(), emulated.names()), (1, &["functionDeclarations.response"][..]), "{name}");
    }
}
