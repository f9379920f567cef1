//! What each model takes, on the wire: what is known of it by its name reaches every provider's request, and what is changed
//! is named to the caller.

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::client::{Answer, Call};
use crate::dialects::{ANSWERING, PROVIDERS};
use crate::upstream::{Received, Script};

/// The provider of this name answers once.
fn answer(app: &TestApp, provider: &str) {
    let answering = ANSWERING.iter().find(|answering| answering.model.starts_with(provider)).unwrap();
    app.up.next(Script::json(200, answering.whole));
}

/// What goes up for this call, and what was named as emulated.
async fn sent(app: &TestApp, call: Call) -> (Value, Vec<String>) {
    let before = app.up.count();
    let answer: Answer = app.send(call.key(&app.key)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let received: Vec<Received> = app.up.received();
    assert_eq!(received.len(), before + 1);
    let named = answer.header("x-fulcrum-emulated").unwrap_or_default();
    (received[before].json(), named.split(", ").filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

fn chat(model: &str, more: &Value) -> Call {
    let mut body = json!({"model": model, "messages": [{"role": "user", "content": "hi"}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Call::chat(&body)
}

fn messages(model: &str, more: &Value) -> Call {
    let mut body = json!({"model": model, "max_tokens": 99, "messages": [{"role": "user", "content": "hi"}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Call::post("/v1/messages", &body).header("anthropic-version", "2023-06-01")
}

#[tokio::test]
async fn a_claude_before_4_6_thinks_within_a_budget_wherever_it_is_served() {
    let app = TestApp::with(PROVIDERS).await;
    for (provider, model) in [
        ("claude", "claude-haiku-4-5"),
        ("claude", "claude-sonnet-4-5-20250929"),
        ("claude", "anthropic/claude-opus-4.5"),
        ("claude", "claude-3-7-sonnet-latest"),
        ("bed", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"),
    ] {
        for call in [
            chat(&format!("{provider}/{model}"), &json!({"reasoning_effort": "high", "max_tokens": 20_000})),
            Call::post(
                "/v1/responses",
                &json!({"model": format!("{provider}/{model}"), "input": "hi", "store": false,
                "max_output_tokens": 20_000, "reasoning": {"effort": "high"}}),
            ),
        ] {
            answer(&app, provider);
            let (body, named) = sent(&app, call).await;
            let thinking = body.get("thinking").unwrap_or_else(|| &body["additionalModelRequestFields"]["thinking"]);
            assert_eq!(thinking["type"], "enabled", "{model}: {body}");
            let budget = thinking["budget_tokens"].as_u64().unwrap();
            assert!((1_024..20_000).contains(&budget), "{model}: {body}");
            assert!(named.contains(&"reasoning_effort".to_owned()), "{named:?}");
        }
    }
    answer(&app, "claude");
    let (body, _) = sent(&app, chat("claude/claude-sonnet-4-6", &json!({"reasoning_effort": "high"}))).await;
    assert_eq!((&body["thinking"], &body["output_config"]), (&json!({"type": "adaptive"}), &json!({"effort": "high"})));
}

#[tokio::test]
async fn a_gemini_that_cannot_stop_thinking_thinks_as_little_as_it_can() {
    let app = TestApp::with(PROVIDERS).await;
    for (model, config, is_named) in [
        ("gemini-2.5-pro", json!({"thinkingBudget": 128}), true),
        ("gemini-2.5-flash", json!({"thinkingBudget": 0}), false),
        ("gemini-2.5-flash-lite", json!({"thinkingBudget": 0}), false),
        ("gemini-3-pro-preview", json!({"thinkingLevel": "LOW"}), true),
        ("gemini-3.5-flash-lite", json!({"thinkingLevel": "MINIMAL"}), true),
        ("gemini-2.0-flash", Value::Null, false),
    ] {
        for call in [
            messages(&format!("gem/{model}"), &json!({"thinking": {"type": "disabled"}})),
            chat(&format!("gem/{model}"), &json!({"reasoning_effort": "none"})),
        ] {
            answer(&app, "gem");
            let (body, named) = sent(&app, call).await;
            assert_eq!(body["generationConfig"]["thinkingConfig"], config, "{model}");
            assert_eq!(!named.is_empty(), is_named, "{model}: {named:?}");
        }
    }
}

#[tokio::test]
async fn a_budget_of_another_dialect_lies_within_the_bounds_of_the_target() {
    let app = TestApp::with(PROVIDERS).await;
    let thinks = |budget: u64| json!({"type": "enabled", "budget_tokens": budget});
    for (model, budget, most, taken) in [
        ("claude/claude-haiku-4-5", 128, None, thinks(1_024)),
        ("claude/claude-haiku-4-5", 24_576, Some(8_192), thinks(4_096)),
        ("claude/claude-haiku-4-5", 512, Some(1_000), Value::Null),
        ("claude/claude-opus-4-1", 32_768, None, thinks(27_903)),
        ("claude/claude-sonnet-4-6", 1, Some(3_000), thinks(1_024)),
        ("bed/eu.anthropic.claude-sonnet-4-5-20250929-v1:0", 512, Some(3_000), thinks(1_024)),
        ("bed/eu.anthropic.claude-sonnet-4-5-20250929-v1:0", 9_000, Some(3_000), thinks(1_500)),
        ("gem/gemini-2.5-pro", 40_000, Some(3_000), json!({"thinkingBudget": 32_768})),
        ("gem/m", u64::from(u32::MAX), Some(3_000), json!({"thinkingBudget": 2_147_483_647})),
        ("plain/gpt-5", 9_000, Some(3_000), json!("high")),
        ("answers/gpt-5", 9_000, Some(3_000), json!("high")),
    ] {
        let provider = model.split('/').next().unwrap();
        let mut config = json!({"thinkingConfig": {"thinkingBudget": budget}});
        config["maxOutputTokens"] = most.into();
        let contents = json!({"contents": [{"parts": [{"text": "hi"}]}], "generationConfig": config});
        let asked =
            json!({"max_tokens": most.unwrap_or(60_000), "thinking": {"type": "enabled", "budget_tokens": budget}});
        let is_own = ["claude", "gem"].map(|own| own == provider);
        let gemini = Call::post(&format!("/v1beta/models/{model}:generateContent"), &contents);
        let calls = [(!is_own[0] && most.is_some(), messages(model, &asked)), (!is_own[1], gemini)];
        for (_, call) in calls.into_iter().filter(|(is_other, _)| *is_other) {
            answer(&app, provider);
            let (body, named) = sent(&app, call).await;
            let places = [
                "/thinking",
                "/additionalModelRequestFields/thinking",
                "/generationConfig/thinkingConfig",
                "/reasoning_effort",
                "/reasoning/effort",
            ];
            let mut thinking = places.iter().find_map(|place| body.pointer(place)).cloned().unwrap_or_default();
            if let Some(fields) = thinking.as_object_mut() {
                fields.retain(|name, _| !["display", "includeThoughts"].contains(&name.as_str()));
            }
            assert_eq!(thinking, taken, "{model}: {body}");
            assert!(named.contains(&"reasoning.budget".to_owned()), "{model}: {named:?}");
            let limit = body.get("max_tokens").and_then(Value::as_u64);
            let budget = thinking["budget_tokens"].as_u64();
            assert!(limit.is_none() || budget.is_none() || budget < limit, "{body}");
        }
    }
}

#[tokio::test]
async fn an_effort_alone_turns_no_thinking_on_at_a_claude_wherever_it_is_served() {
    let app = TestApp::with(PROVIDERS).await;
    for (model, effort, is_named) in [
        ("bed/eu.anthropic.claude-sonnet-4-5-20250929-v1:0", Value::Null, true),
        ("bed/us.anthropic.claude-opus-4-5-20251101-v1:0", Value::Null, true),
        ("bed/anthropic.claude-opus-4-6-v1", json!("high"), false),
        ("bed/anthropic.claude-sonnet-5", json!("high"), false),
    ] {
        answer(&app, "bed");
        let (body, named) =
            sent(&app, messages(model, &json!({"max_tokens": 9_000, "output_config": {"effort": "high"}}))).await;
        assert_eq!(body.pointer("/additionalModelRequestFields/thinking"), None, "{model}: {body}");
        assert_eq!(body["outputConfig"]["effort"], effort, "{model}: {body}");
        assert_eq!(named.contains(&"reasoning_effort".to_owned()), is_named, "{model}: {named:?}");
    }
    answer(&app, "bed");
    let thinks = json!({"max_tokens": 9_000, "thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}});
    let (body, _) = sent(&app, messages("bed/eu.anthropic.claude-sonnet-4-5-20250929-v1:0", &thinks)).await;
    assert_eq!(body["additionalModelRequestFields"]["thinking"]["type"], "enabled", "{body}");
}

#[tokio::test]
async fn a_users_name_that_anthropic_would_refuse_goes_up_as_a_hash() {
    let app = TestApp::with(PROVIDERS).await;
    for (user, is_kept) in [("u".repeat(256), true), ("u".repeat(257), false)] {
        answer(&app, "claude");
        let (body, named) = sent(&app, chat("claude/m", &json!({"user": user, "max_tokens": 9}))).await;
        let sent = body["metadata"]["user_id"].as_str().unwrap();
        assert_eq!((sent == user, named.contains(&"user".to_owned())), (is_kept, !is_kept), "{body}");
        assert!(sent.len() <= 256, "{body}");
    }
}

#[tokio::test]
async fn the_limits_name_follows_the_model_behind_a_name() {
    let config =
        format!("{PROVIDERS}[models.prod]\nprovider = \"plain\"\nmodel = \"deployment-7\"\nbase_model = \"o4-mini\"\n");
    let app = TestApp::with(&config).await;
    for (model, name) in [
        ("plain/ft:o4-mini-2025-04-16:acme::x1", "max_completion_tokens"),
        ("plain/ft:gpt-5-mini-2025-08-07:acme::x2", "max_completion_tokens"),
        ("plain/openai/gpt-5", "max_completion_tokens"),
        ("plain/ft:gpt-4.1-2025-04-14:acme::x3", "max_tokens"),
        ("plain/deployment-7", "max_tokens"),
        ("prod", "max_completion_tokens"),
    ] {
        answer(&app, "plain");
        let (body, _) = sent(&app, messages(model, &json!({"temperature": 1.0}))).await;
        assert_eq!(body[name], 99, "{model}: {body}");
        let other = if name == "max_tokens" { "max_completion_tokens" } else { "max_tokens" };
        assert_eq!(body.get(other), None, "{model}: {body}");
    }
    answer(&app, "plain");
    let (body, named) =
        sent(&app, messages("prod", &json!({"thinking": {"type": "disabled"}, "temperature": 0.3}))).await;
    assert_eq!((&body["reasoning_effort"], body.get("temperature")), (&json!("low"), None));
    assert_eq!(named, ["temperature", "reasoning_effort"]);
}

#[tokio::test]
async fn a_users_name_that_openai_would_refuse_goes_up_as_a_hash_and_stays_whole_here() {
    let app = TestApp::with(PROVIDERS).await;
    let user =
        json!({"device_id": "0".repeat(64), "account_uuid": "a".repeat(36), "session_id": "s".repeat(36)}).to_string();
    let asked = || json!({"metadata": {"user_id": user}});
    let mut seen = Vec::new();
    for (provider, model) in [("plain", "plain/m"), ("answers", "answers/m"), ("plain", "plain/m")] {
        answer(&app, provider);
        let (body, named) = sent(&app, messages(model, &asked())).await;
        let sent = body["user"].as_str().unwrap().to_owned();
        assert_eq!(sent.len(), 64, "{body}");
        assert_eq!(named, ["user"]);
        seen.push(sent);
    }
    assert!(seen.iter().all(|one| *one == seen[0]), "the same user has the same name: {seen:?}");
    for row in app.rows(3).await {
        assert_eq!(row["user"], user.as_str());
    }
    answer(&app, "plain");
    let (body, named) = sent(&app, messages("plain/m", &json!({"metadata": {"user_id": "ada"}}))).await;
    assert_eq!((&body["user"], named.len()), (&json!("ada"), 0));
    answer(&app, "answers");
    let long = json!({"prompt_cache_key": "k".repeat(65), "metadata": {"a": "b".repeat(513), "c": "d"}});
    let (body, named) = sent(&app, chat("answers/m", &long)).await;
    assert_eq!((body["prompt_cache_key"].as_str().unwrap().len(), &body["metadata"]), (64, &json!({"c": "d"})));
    assert_eq!(named, ["metadata", "prompt_cache_key"]);
}

#[tokio::test]
async fn no_more_tokens_are_asked_for_than_the_book_knows_a_model_to_write() {
    let config = PROVIDERS.replace("[providers.plain]", "[providers.openai]\nkind = \"openai\"\nbase_url = \"http://{up}/v1\"\napi_key = \"env:UP_KEY\"\nresponses = false\n[providers.plain]");
    let app = TestApp::with(&config).await;
    answer(&app, "plain");
    let (body, named) = sent(&app, messages("openai/gpt-4o", &json!({"max_tokens": 32_000}))).await;
    assert_eq!((&body["max_tokens"], named), (&json!(16_384), vec!["max_tokens".to_owned()]));
    answer(&app, "plain");
    let (body, named) = sent(&app, messages("openai/gpt-4.1", &json!({"max_tokens": 32_000}))).await;
    assert_eq!((&body["max_tokens"], named.len()), (&json!(32_000), 0));
}

#[tokio::test]
async fn a_text_of_the_system_in_the_middle_stays_in_its_place_as_far_as_the_model_takes_it() {
    let app = TestApp::with(PROVIDERS).await;
    let say = |role: &str, content: &str| json!({"role": role, "content": content});
    let middle = [say("system", "s"), say("user", "a"), say("system", "late"), say("assistant", "b"), say("user", "c")];
    let odd = [say("system", "s"), say("user", "a"), say("assistant", "b"), say("developer", "late"), say("user", "c")];
    let last = [say("system", "s"), say("user", "a"), say("system", "late"), say("system", "r")];
    for (model, messages, roles, is_named) in [
        ("claude/claude-opus-4-8", &middle[..], "user system assistant user", false),
        ("claude/claude-fable-5", &middle, "user system assistant user", false),
        ("claude/claude-opus-4-8", &last, "user system", false),
        ("claude/claude-opus-4-8", &odd, "user assistant user", true),
        ("claude/claude-sonnet-5", &middle, "user assistant user", true),
        ("claude/claude-haiku-4-5", &odd, "user assistant user", true),
        ("gem/gemini-2.5-pro", &middle, "user user model user", true),
        ("gem/gemini-2.5-pro", &odd, "user model user user", true),
        ("bed/anthropic.claude-sonnet-5", &middle, "user assistant user", true),
    ] {
        answer(&app, model.split('/').next().unwrap());
        let (body, named) = sent(&app, chat(model, &json!({"messages": messages, "max_tokens": 9}))).await;
        let turns = body.get("messages").or_else(|| body.get("contents")).unwrap().as_array().unwrap();
        let seen: Vec<&str> = turns.iter().map(|turn| turn["role"].as_str().unwrap()).collect();
        assert_eq!(seen.join(" "), roles, "{model}: {body}");
        assert_eq!(named.contains(&"system_position".to_owned()), is_named, "{model}: {named:?}");
        let places = ["\"a\"", "\"late\""].map(|word| body.to_string().find(word).unwrap());
        assert!(places[0] < places[1] || model.starts_with("bed"), "{model}: {body}");
    }
}

/// An upstream's words for a request that is too long, and whether they have both numbers.
const TOO_LONG: [(&str, u16, &str, bool); 9] = [
    (
        "plain",
        400,
        r#"{"error":{"message":"This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#,
        true,
    ),
    (
        "answers",
        400,
        r#"{"error":{"message":"Your input exceeds the context window of this model.","type":"invalid_request_error","param":"input","code":"context_length_exceeded"}}"#,
        false,
    ),
    (
        "claude",
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9000 tokens > 8192 maximum"}}"#,
        true,
    ),
    (
        "gem",
        400,
        r#"{"error":{"code":400,"message":"The input token count (9000) exceeds the maximum number of tokens allowed (8192).","status":"INVALID_ARGUMENT"}}"#,
        true,
    ),
    ("bed", 400, r#"{"message":"Input is too long for requested model."}"#, false),
    (
        "plain",
        400,
        r#"{"error":{"code":400,"message":"the request (9000 tokens) exceeds the available context size (8192 tokens), try increasing it","type":"exceed_context_size_error","n_prompt_tokens":9000,"n_ctx":8192}}"#,
        true,
    ),
    (
        "claude",
        413,
        r#"{"type":"error","error":{"type":"request_too_large","message":"prompt is too long: 9000 tokens > 8192 maximum"}}"#,
        true,
    ),
    (
        "answers",
        413,
        r#"{"error":{"message":"Input tokens exceed the configured limit of 8192 tokens. Your messages resulted in 9000 tokens.","type":"invalid_request_error","param":null,"code":null}}"#,
        true,
    ),
    ("bed", 413, r#"{"message":"Input is too long for requested model."}"#, false),
];

#[tokio::test]
async fn a_sum_that_is_too_long_gives_every_caller_the_models_own_maximum() {
    let app = TestApp::with(PROVIDERS).await;
    let words = r#"{"type":"error","error":{"type":"invalid_request_error","message":"input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000, decrease input length or `max_tokens` and try again"}}"#;
    for (call, begins) in [
        (
            chat("claude/m", &json!({"max_tokens": 9})),
            "This model's maximum context length is 200000 tokens, and the request has 209573 tokens: ",
        ),
        (
            Call::post("/v1beta/models/claude/m:generateContent", &json!({"contents": [{"parts": [{"text": "hi"}]}]})),
            "The input token count (209573) exceeds the maximum number of tokens allowed (200000): ",
        ),
        // Claude Code knows these words, and lowers `max_tokens` by them.
        (
            messages("claude/m", &json!({})),
            "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000",
        ),
    ] {
        app.up.next(Script::json(400, words));
        let answer = app.send(call.key(&app.key)).await;
        assert_eq!(answer.status, 400, "{}", answer.text());
        let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.starts_with(begins), "{message}");
    }
}

#[tokio::test]
#[expect(clippy::excessive_nesting, reason = "a table of every caller and target")]
async fn a_request_that_is_too_long_is_known_to_every_caller_by_its_own_words() {
    let app = TestApp::with(PROVIDERS).await;
    for (provider, status, words, has_numbers) in TOO_LONG {
        let model = ANSWERING.iter().find(|answering| answering.model.starts_with(provider)).unwrap().model;
        for streams in [false, true] {
            let method = if streams { "streamGenerateContent?alt=sse" } else { "generateContent" };
            for (path, body) in [
                (
                    "/v1/chat/completions".to_owned(),
                    json!({"model": model, "stream": streams, "messages": [{"role": "user", "content": "hi"}]}),
                ),
                ("/v1/responses".to_owned(), json!({"model": model, "stream": streams, "input": "hi", "store": false})),
                (
                    "/v1/messages".to_owned(),
                    json!({"model": model, "stream": streams, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}),
                ),
                (
                    format!("/v1beta/models/{model}:{method}"),
                    json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}),
                ),
            ] {
                app.up.next(Script::json(status, words));
                let answer = app.send(Call::post(&path, &body).key(&app.key)).await;
                let (text, told) = (answer.text().to_owned(), answer.json());
                assert_eq!(answer.status, 400, "{provider} {path}: {text}");
                let message = told["error"]["message"].as_str().unwrap();
                let known = match path.as_str() {
                    "/v1/messages" => {
                        assert_eq!(told["error"]["type"], "invalid_request_error", "{text}");
                        let numbers =
                            !has_numbers || message.starts_with("prompt is too long: 9000 tokens > 8192 maximum");
                        message.starts_with("prompt is too long") && numbers
                    }
                    "/v1/chat/completions" | "/v1/responses" => {
                        assert_eq!(told["error"]["code"], "context_length_exceeded", "{text}");
                        message.contains("maximum context length") || message.contains("context window")
                    }
                    _ => {
                        assert_eq!(told["error"]["status"], "INVALID_ARGUMENT", "{text}");
                        assert_eq!(told["error"]["details"][0]["reason"], "context_length_exceeded", "{text}");
                        message.to_lowercase().contains("input token count") && message.contains("exceeds the maximum")
                    }
                };
                assert!(known, "{provider} {path}: {message}");
            }
        }
    }
}
