//! What prompts make of requests, in each dialect of callers: bodies and refusals as golden files under
//! `tests/fixtures/gateway`. `INSTA_UPDATE=always` writes them anew; read what `git diff` shows.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::chat::Role;
use crate::prompts::Version;
use crate::wire::DialectId;
use crate::wire::asked::MAX_TURNS;
use crate::wire::dialect::Addressed;

/// Every dialect of callers, by an endpoint that converses in it.
const CALLERS: [Endpoint; 4] = [Endpoint::Chat, Endpoint::Responses, Endpoint::Messages, Endpoint::Generate];

fn prompt(messages: &Value, settings: &Value) -> Value {
    let variables = json!({
        "house": {"type": "string", "default": "Acme"}, "who": {"type": "string", "default": "Ann \"A\"\n\u{e9}"},
        "nothing": {"type": "string", "default": ""},
        "history": {"type": "messages", "default": []},
    });
    json!({"messages": messages, "variables": variables, "settings": settings})
}

fn says(role: &str, content: &str) -> Value {
    json!({"role": role, "content": content})
}

/// Prompts by what is special in them.
fn prompts() -> Vec<(&'static str, Value)> {
    let greet = || json!([says("system", "For {{ house }}.\n\nBe \"kind\"."), {"placeholder": "history"}, says("user", "{{ who }}")]);
    let model = |more: Value| {
        let mut settings = json!({"model": "auto"});
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        settings
    };
    let tool = json!({"type": "function", "function": {"name": "f", "description": "d", "strict": true,
        "parameters": {"type": "object", "properties": {"a": {"type": "number", "maximum": 1e30}}}}});
    let form =
        json!({"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object", "properties": {}}}});
    let wide: Map<String, Value> = (0..260).map(|n| (format!("f{n}"), json!(n))).collect();
    vec![
        ("plain", prompt(&greet(), &model(json!({"temperature": 0.2, "max_tokens": 50})))),
        (
            "roles",
            prompt(
                &json!([
                    says("developer", "D {{ house }}"),
                    says("system", "S"),
                    says("user", "one"),
                    says("user", "two"),
                    says("assistant", "three"),
                    says("system", "late"),
                    says("user", "{{ nothing }}"),
                    says("user", "five")
                ]),
                &json!({}),
            ),
        ),
        (
            "settings",
            prompt(
                &greet(),
                &model(json!({"top_p": 0.5, "max_completion_tokens": 9, "tools": [tool],
            "tool_choice": {"type": "function", "function": {"name": "f"}}, "parallel_tool_calls": false,
            "reasoning_effort": "low", "safety_identifier": "them", "service_tier": "auto"})),
            ),
        ),
        ("form", prompt(&greet(), &model(json!({"response_format": form, "stop": ["END"], "metadata": {"a": "b"}})))),
        ("choices", prompt(&greet(), &model(json!({"n": 2, "seed": 7, "logprobs": true, "top_logprobs": 2})))),
        ("silent", prompt(&json!([{"placeholder": "history"}]), &model(json!({"temperature": 0.5})))),
        ("only system", prompt(&json!([says("system", "S")]), &model(json!({})))),
        ("empty system", prompt(&json!([says("system", "{{ nothing }}"), says("user", "U")]), &model(json!({})))),
        ("hot", prompt(&greet(), &model(json!({"temperature": 1.5})))),
        ("too hot", prompt(&greet(), &model(json!({"temperature": 5})))),
        ("unknown", prompt(&greet(), &model(json!({"top_n_sigma": 1, "system": "X", "instructions": "Y"})))),
        ("escaped", prompt(&greet(), &model(json!({"a\"b": 1})))),
        ("wide", prompt(&greet(), &wide.into())),
        ("bad tools", prompt(&greet(), &model(json!({"tools": [3]})))),
        ("bad format", prompt(&greet(), &model(json!({"response_format": {"type": "xml"}})))),
    ]
}

/// A text of JSON with so many lists in one another.
fn nested(depth: usize) -> String {
    format!("{{\"a\":{}1{}}}", "[".repeat(depth), "]".repeat(depth))
}

/// What a caller may give for a placeholder.
fn histories() -> Vec<(&'static str, Value)> {
    let call = |arguments: &str| {
        json!({"role": "assistant", "content": null, "tool_calls":
        [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": arguments}}]})
    };
    let result = |id: &str, content: &str| json!({"role": "tool", "tool_call_id": id, "content": content});
    vec![
        ("turns", json!([says("user", "Hi"), says("assistant", "Yes?")])),
        (
            "tools",
            json!([
                says("user", "Hi"),
                call("{\"a\": 1.50, \"b\": 123456789012345678901234567890}"),
                result("call_1", "{\"c\": [1]}"),
                result("call_1", "two")
            ]),
        ),
        ("ends in a result", json!([says("user", "Hi"), call(""), result("call_1", "one")])),
        (
            "image",
            json!([{"role": "user", "name": "ann", "content": [{"type": "text", "text": "Look"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}]),
        ),
        ("numbers", json!([{"role": "user", "content": "x", "weight": 1.0, "big": 18446744073709551615u64}])),
        ("deep arguments", json!([says("user", "Hi"), call(&nested(120)), result("call_1", "x")])),
        ("deeper arguments", json!([says("user", "Hi"), call(&nested(125)), result("call_1", &nested(125))])),
        ("bad role", json!([says("user", "Hi"), says("robot", "x")])),
        ("old role", json!([{"role": "function", "name": "f", "content": "x"}])),
        ("no content", json!([says("user", "Hi"), {"role": "user"}])),
        ("no parts", json!([{"role": "user", "content": []}])),
        ("bad content", json!([{"role": "user", "content": 3}])),
        ("bad part", json!([{"role": "user", "content": [{"type": "hologram"}]}])),
        ("odd result", json!([says("user", "Hi"), result("call_9", "x")])),
        ("no arguments", json!([says("user", "Hi"), call("[1]")])),
    ]
}

/// Names of requests, and their bodies with `PROMPT` where the prompt is named.
type Bodies = Vec<(&'static str, &'static str)>;

/// Requests of a dialect that have more than a prompt.
fn bodies(endpoint: Endpoint) -> Bodies {
    match endpoint.dialect() {
        DialectId::OpenAiChat => chat_bodies(),
        DialectId::OpenAiResponses => responses_bodies(),
        DialectId::Anthropic => messages_bodies(),
        DialectId::Gemini => gemini_bodies(),
    }
}

fn chat_bodies() -> Bodies {
    vec![
        ("alone", r#"{PROMPT}"#),
        ("own words", r#"{ "messages" : [ {"role":"user","content":"a"} , {"role": "user", "content":"b"} ] ,PROMPT}"#),
        ("by model", r#"{"model":"prompt/p", "stream":true, "messages":[]}"#),
        (
            "own model",
            r#"{"model":"m\u0061in",PROMPT,"temperature":1,"max_completion_tokens":7,"stream":true,"stream_options":{"include_usage":true}}"#,
        ),
        (
            "own fields",
            r#"{PROMPT,"tool_choice":"none","user":"u","n":3,"metadata":{"user_id":"x"},"messages":[{"role":"tool","tool_call_id":"call_1","content":"r"}]}"#,
        ),
    ]
}

fn responses_bodies() -> Bodies {
    vec![
        ("alone", r#"{PROMPT}"#),
        (
            "own words",
            r#"{ "input" : [ {"role":"user","content":"a"} , {"role": "user", "content":"b"} ] ,PROMPT,"instructions":"Own."}"#,
        ),
        ("a text", r#"{"input":"Hi \u00e9",PROMPT,"instructions":""}"#),
        ("no text", r#"{"input":"",PROMPT}"#),
        ("by model", r#"{"model":"prompt/p", "stream":true, "input":[], "store": true}"#),
        ("own model", r#"{"model":"m\u0061in",PROMPT,"temperature":1,"max_output_tokens":7,"top_p":null}"#),
        ("own fields", r#"{PROMPT,"tools":[],"user":"u","text":{"verbosity":"low"},"reasoning":null,"input":null}"#),
    ]
}

fn messages_bodies() -> Bodies {
    vec![
        ("alone", r#"{PROMPT}"#),
        (
            "own words",
            r#"{ "messages" : [ {"role":"user","content":"a"} , {"role": "user", "content":"b"} ] ,PROMPT,"system":"Own."}"#,
        ),
        ("system of blocks", r#"{PROMPT,"system":[{"type":"text","text":"Own.","n":1.0}],"messages":[]}"#),
        ("system of nothing", r#"{PROMPT,"system":"","messages":[{"role":"user","content":"a"}]}"#),
        ("by model", r#"{"model":"prompt/p", "stream":true, "system":null}"#),
        ("own model", r#"{"model":"m\u0061in",PROMPT,"temperature":1,"max_tokens":7,"top_k":3}"#),
        (
            "own fields",
            r#"{PROMPT,"tools":[],"metadata":{"user_id":"x"},"thinking":{"type":"disabled"},"stop_sequences":null}"#,
        ),
    ]
}

fn gemini_bodies() -> Bodies {
    vec![
        ("alone", r#"{PROMPT}"#),
        (
            "own words",
            r#"{ "contents" : [ {"role":"user","parts":[{"text":"a"}]} , {"parts": {"text":"b"}} ] ,PROMPT,"systemInstruction":{"parts":[{"text":"Own."}]}}"#,
        ),
        (
            "one content",
            r#"{"contents":{"parts":[{"text":"a"}]},PROMPT,"system_instruction":{"role":"x","parts":{"text":"Own."}}}"#,
        ),
        ("no parts", r#"{"contents":null,PROMPT,"systemInstruction":{}}"#),
        ("own settings", r#"{PROMPT,"generationConfig":{"temperature":1,"max_output_tokens":7,"candidateCount":2}}"#),
        (
            "own spelling",
            r#"{PROMPT,"generation_config":{ "response_mime_type":"text/plain" },"tool_config":{},"tools":[],"unknown":1}"#,
        ),
    ]
}

/// What is rendered for a caller, or why not.
fn rendered(endpoint: Endpoint, prompt: &Value, history: Option<&Value>, body: &str) -> String {
    let mut named = json!({"id": "p"});
    if let Some(history) = history {
        named["variables"] = json!({ "history": history });
    }
    let body = body.replace("PROMPT", &format!("\"prompt\":{named}"));
    let addressed =
        Addressed { model: endpoint.is_addressed().then(|| "main".to_owned()), stream: body.len() % 2 == 0 };
    let asked = match endpoint.dialect().codec().read(body.into(), &addressed) {
        Ok(asked) => asked,
        Err(error) => return format!("not read: {error:?}\n"),
    };
    let version = Arc::new(Version::of_content("p", 1, prompt));
    let own = !asked.model.is_empty() && !asked.model.starts_with("prompt/");
    let model = if own { asked.model.clone() } else { "auto".to_owned() };
    match render(&version.into(), &model, &asked, endpoint) {
        Ok(Prompted { asked, .. }) => {
            assert_is_as_read(&asked, endpoint);
            let Asked { model, stream, include_usage, max_tokens, choices, prompt, object, .. } = &asked;
            let limit = max_tokens.map_or_else(|| "-".to_owned(), |limit| limit.to_string());
            let text = String::from_utf8_lossy(object.bytes());
            let facts = format!("{model} {stream} {include_usage} {limit} {choices} {}", prompt.is_some());
            format!("{text}\n{facts}\n")
        }
        Err(error) => format!("{} at {:?}: {}\n", error.code.text(), error.param, error.message),
    }
}

/// Asserts that all that is known of a rendered request is what reading it would tell.
fn assert_is_as_read(asked: &Asked, endpoint: Endpoint) {
    let addressed = Addressed { model: Some(asked.model.clone()), stream: asked.stream };
    let read = endpoint.dialect().codec().read(asked.object.bytes().clone(), &addressed).unwrap();
    assert!(asked.object.iter().eq(read.object.iter()), "the fields of {:?} are elsewhere", asked.object);
    let facts = |asked: &Asked| {
        let Asked { model, stream, include_usage, max_tokens, choices, turns, prompt, .. } = asked.clone();
        (model, stream, include_usage, max_tokens, choices, turns, prompt)
    };
    assert_eq!(facts(asked), facts(&read), "{:?}", asked.object);
}

/// A section for each prompt and each history in the plain prompt, with what each request becomes.
fn sections(endpoint: Endpoint) -> String {
    let (prompts, bodies) = (prompts(), bodies(endpoint));
    let mut out = String::new();
    for (name, prompt) in &prompts {
        let cases = bodies.iter().map(|(said, body)| (*said, rendered(endpoint, prompt, None, body)));
        write!(out, "# {name}\n{}", grouped(cases)).unwrap();
    }
    for (name, history) in histories() {
        let cases = bodies.iter().take(2);
        let cases = cases.map(|(said, body)| (*said, rendered(endpoint, &prompts[0].1, Some(&history), body)));
        write!(out, "# history of {name}\n{}", grouped(cases)).unwrap();
    }
    out
}

/// Cases under headings of their names, equal ones together.
fn grouped<'a>(cases: impl Iterator<Item = (&'a str, String)>) -> String {
    let mut groups: Vec<(Vec<&str>, String)> = Vec::new();
    for (name, text) in cases {
        match groups.iter_mut().find(|(_, known)| *known == text) {
            Some((names, _)) => names.push(name),
            None => groups.push((vec![name], text)),
        }
    }
    groups.into_iter().map(|(names, text)| format!("## {}\n{text}", names.join(", "))).collect()
}

#[test]
fn a_prompt_is_rendered_into_every_dialect_as_the_golden_files_say() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/gateway"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for endpoint in CALLERS {
        let name = format!("prompted-{}", endpoint.name().trim_matches('/').replace(['/', '{', '}', ':'], "-"));
        settings.bind(|| insta::assert_snapshot!(name, sections(endpoint)));
    }
}

#[test]
fn a_prompt_and_a_request_have_no_more_turns_together_than_a_request_may_have() {
    let prompt = prompt(&json!([says("user", "one"), says("assistant", "two")]), &json!({"model": "auto"}));
    for endpoint in CALLERS {
        let codec = endpoint.dialect().codec();
        let turn = codec.turn(Role::User, "x").to_string();
        let outcome = |count: usize| {
            let turns = vec![turn.as_str(); count].join(",");
            let body = format!("{{\"{}\":[{turns}],PROMPT}}", codec.conversation());
            rendered(endpoint, &prompt, None, &body)
        };
        let refused = outcome(MAX_TURNS - 1);
        assert!(refused.starts_with("invalid_request at Some(") && refused.contains("10001"), "{refused:.200}");
        assert!(outcome(MAX_TURNS - 2).starts_with('{'), "{}", codec.name());
    }
}
