//! Hits of the cache that cross dialects: one answer serves callers of every dialect who ask the same, and nobody else.

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::client::{Answer, Call};
use crate::dialects::{ANSWERING, Answering, CLIENTS, PROVIDERS, call, seen_in_stream, seen_in_whole};
use crate::upstream::Script;

fn config() -> String {
    let cached = "[defaults]\nretries = 0\ncache = { mode = \"exact\", ttl = \"1h\", scope = \"project\" }\n";
    let model = "[models.cheap]\nprovider = \"plain\"\nmodel = \"m\"\nprice = { input = \"1\", output = \"2\" }\n";
    PROVIDERS.replace("[defaults]\nretries = 0\n", cached) + model
}

/// The same question as each client asks it, with what `more` adds to its body.
fn ask(client: &str, stream: bool, more: &Value) -> Call {
    let call = bare(client, stream, more);
    // As Anthropic's own clients do.
    if client == "messages" { call.header("anthropic-version", "2023-06-01") } else { call }
}

/// The same without headers.
fn bare(client: &str, stream: bool, more: &Value) -> Call {
    let (path, mut body) = match client {
        "chat" => (
            "/v1/chat/completions".to_owned(),
            json!({"model": "cheap", "stream": stream, "stream_options": {"include_usage": true}, "max_tokens": 50,
                "user": "ada", "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello?"}]}),
        ),
        "responses" => (
            "/v1/responses".to_owned(),
            json!({"model": "cheap", "stream": stream, "max_output_tokens": 50, "instructions": "Be brief.",
                "input": "Hello?", "store": false}),
        ),
        "messages" => (
            "/v1/messages".to_owned(),
            json!({"model": "cheap", "stream": stream, "max_tokens": 50, "system": "Be brief.",
                "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello?"}]}]}),
        ),
        _ => {
            let method = if stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
            let body = json!({"systemInstruction": {"parts": [{"text": "Be brief."}]},
                "contents": [{"role": "user", "parts": [{"text": "Hello?"}]}],
                "generationConfig": {"maxOutputTokens": 50}});
            (format!("/v1beta/models/cheap:{method}"), body)
        }
    };
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    if client == "chat" && !stream {
        body.as_object_mut().unwrap().remove("stream_options");
    }
    Call::post(&path, &body)
}

async fn send(app: &TestApp, client: &str, stream: bool) -> Answer {
    app.send(ask(client, stream, &json!({})).key(&app.key)).await
}

fn cache(answer: &Answer) -> &str {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.header("x-fulcrum-cache").unwrap_or("-")
}

fn check(client: &str, stream: bool, answer: &Answer) {
    let seen = if stream { seen_in_stream(client, answer) } else { seen_in_whole(client, &answer.json()) };
    let (text, _, _, input, cached, output) = seen;
    if client == "chat" && stream {
        assert!(answer.text().contains("\"prompt_tokens\":9,\"completion_tokens\":3"), "{}", answer.text());
        return assert_eq!(text, "Hello there.");
    }
    assert_eq!((text.as_str(), input, cached, output), ("Hello there.", 9, 0, 3), "{client}: {}", answer.text());
}

#[tokio::test]
async fn one_call_serves_every_dialect_whole_and_streamed() {
    for first in CLIENTS {
        for first_streams in [false, true] {
            let app = TestApp::with(&config()).await;
            let lead = send(&app, first, first_streams).await;
            assert_eq!(cache(&lead), "miss");
            check(first, first_streams, &lead);
            let cost = app.row(lead.id()).await["cost_usd"].clone();
            assert_eq!(cost, json!("0.000015"));
            for (client, stream) in CLIENTS.into_iter().flat_map(|client| [(client, false), (client, true)]) {
                let answer = send(&app, client, stream).await;
                assert_eq!(cache(&answer), "hit", "{first} then {client}");
                check(client, stream, &answer);
                assert!(answer.header("age").is_some());
                assert_eq!(answer.header("x-fulcrum-model"), Some("plain/m"));
                assert_eq!(answer.header("x-fulcrum-cost-usd"), Some("0"));
                let row = app.row(answer.id()).await;
                assert_eq!(
                    (&row["cache"], &row["model"], &row["status"]),
                    (&json!("hit"), &json!("plain/m"), &json!("ok"))
                );
                assert_eq!((&row["saved_usd"], &row["cost_usd"]), (&cost, &json!("0")));
                assert_eq!((&row["attempts"], &row["stream"]), (&json!([]), &json!(stream)));
            }
            let again = send(&app, first, first_streams).await;
            if !first_streams {
                assert_eq!(again.body, lead.body, "{first} gets its own bytes");
            }
            assert_eq!(app.up.count(), 1, "{first}");
            app.close().await;
        }
    }
}

#[tokio::test]
async fn a_question_that_differs_in_one_dialect_is_another_question() {
    let app = TestApp::with(&config()).await;
    assert_eq!(cache(&send(&app, "chat", false).await), "miss");
    let differ = [
        ("chat", json!({"max_tokens": 51})),
        ("chat", json!({"logprobs": true})),
        ("chat", json!({"n": 2})),
        ("chat", json!({"seed": 1})),
        ("chat", json!({"stop": "x"})),
        ("chat", json!({"reasoning_effort": "low"})),
        ("chat", json!({"logit_bias": {"1": 1}})),
        ("chat", json!({"tools": [{"type": "function", "function": {"name": "f"}}]})),
        ("chat", json!({"response_format": {"type": "json_object"}})),
        ("responses", json!({"max_output_tokens": 52})),
        ("responses", json!({"reasoning": {"effort": "high"}})),
        ("responses", json!({"text": {"verbosity": "low"}})),
        ("responses", json!({"include": ["reasoning.encrypted_content"]})),
        ("responses", json!({"tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}]})),
        ("messages", json!({"max_tokens": 53})),
        ("messages", json!({"stop_sequences": ["y"]})),
        ("messages", json!({"temperature": 0.3})),
        ("messages", json!({"system": "Be brief!"})),
        ("gemini", json!({"generationConfig": {"maxOutputTokens": 54}})),
        ("gemini", json!({"generationConfig": {"maxOutputTokens": 50, "seed": 2}})),
        ("gemini", json!({"contents": [{"role": "user", "parts": [{"text": "Hello? "}]}]})),
    ];
    for (client, more) in &differ {
        let answer = app.send(ask(client, false, more).key(&app.key)).await;
        assert_eq!(cache(&answer), "miss", "{client} {more}");
    }
    let beta = ask("messages", false, &json!({})).header("anthropic-beta", "context-1m-2025-08-07").key(&app.key);
    assert_eq!(cache(&app.send(beta.clone()).await), "miss");
    assert_eq!(cache(&app.send(beta).await), "hit");
    assert_eq!(app.up.count(), differ.len() + 2);
    // Each answer is stored, under a key of its own.
    for (client, more) in &differ {
        let answer = app.send(ask(client, false, more).key(&app.key)).await;
        assert_eq!(cache(&answer), "hit", "{client} {more}");
    }
    for client in CLIENTS {
        assert_eq!(cache(&send(&app, client, false).await), "hit");
    }
    app.close().await;
}

#[tokio::test]
async fn what_does_not_change_an_answer_crosses_too() {
    let app = TestApp::with(&config()).await;
    assert_eq!(cache(&send(&app, "messages", false).await), "miss");
    let same = [
        ("chat", json!({"metadata": {"team": "a"}, "safety_identifier": "s", "n": 1})),
        ("responses", json!({"metadata": {"team": "b"}, "prompt_cache_retention": "24h", "user": "bob"})),
        (
            "messages",
            json!({"metadata": {"user_id": "eve"}, "system": [{"type": "text", "text": "Be brief.",
            "cache_control": {"type": "ephemeral"}}]}),
        ),
        ("gemini", json!({"generationConfig": {"maxOutputTokens": 50, "candidateCount": 1}})),
    ];
    for (client, more) in &same {
        let answer = app.send(ask(client, false, more).key(&app.key)).await;
        assert_eq!(cache(&answer), "hit", "{client} {more}");
    }
    assert_eq!(app.up.count(), 1);
    app.close().await;
}

#[tokio::test]
async fn an_answer_that_another_dialect_may_lose_is_a_miss_there_and_both_are_kept() {
    let app = TestApp::with(&config()).await;
    let thought = r#"{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hello there.","reasoning_content":"Hm."},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}}"#;
    app.up.next(Script::json(200, thought));
    let first = send(&app, "chat", false).await;
    assert_eq!(cache(&first), "miss");
    assert_eq!(cache(&send(&app, "messages", false).await), "miss");
    for _ in 0..2 {
        let again = send(&app, "chat", false).await;
        assert_eq!((cache(&again), &again.body), ("hit", &first.body));
        assert_eq!(cache(&send(&app, "messages", true).await), "hit");
    }
    let only = ask("gemini", false, &json!({})).header("x-fulcrum-cache", "only").key(&app.key);
    assert_eq!(app.send(only).await.status, 404);
    assert_eq!(app.up.count(), 2);
    app.close().await;
}

#[tokio::test]
async fn a_purge_and_a_projects_bounds_hold_for_every_dialect() {
    let app = TestApp::with(&config()).await;
    assert_eq!(app.admin(Call::post("/api/v1/projects", &json!({"name": "elsewhere"}))).await.status, 201);
    let stranger = app.new_key(&json!({"name": "stranger", "project": "elsewhere"})).await;
    assert_eq!(cache(&send(&app, "chat", false).await), "miss");
    let call = ask("gemini", false, &json!({}));
    assert_eq!(cache(&app.send(call.clone().key(&stranger)).await), "miss");
    let purged = app.admin(Call::post("/api/v1/cache/purge", &json!({"model": "plain/m"}))).await;
    assert_eq!(purged.json(), json!({"purged": 2}));
    assert_eq!(cache(&app.send(call.key(&app.key)).await), "miss");
    app.close().await;
}

#[tokio::test]
async fn to_think_is_another_question() {
    let app = TestApp::with(&config()).await;
    for more in [
        json!({"model": "claude/m"}),
        json!({"model": "claude/m", "thinking": {"type": "adaptive"}}),
        json!({"model": "claude/m", "output_config": {"effort": "low"}}),
        json!({"model": "claude/m", "thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}),
    ] {
        let answer = r#"{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"Hello there."}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":3}}"#;
        app.up.next(Script::json(200, answer));
        let asked = ask("messages", false, &more).key(&app.key);
        assert_eq!(cache(&app.send(asked.clone()).await), "miss", "{more}");
        assert_eq!(cache(&app.send(asked).await), "hit", "{more}");
    }
    // The last is what a Chat Completions caller says by `reasoning_effort`, which Claude is sent as both.
    let low = ask("chat", false, &json!({"model": "claude/m", "reasoning_effort": "low"})).key(&app.key);
    assert_eq!(cache(&app.send(low).await), "hit");
    // Objects that ask for nothing say nothing.
    let empty = ask("responses", false, &json!({"model": "claude/m", "reasoning": {}})).key(&app.key);
    assert_eq!(cache(&app.send(empty).await), "hit");
    assert_eq!(app.up.count(), 4);
    let bare = ask("responses", false, &json!({"model": "claude/m", "reasoning": {}, "input": "Other?"}));
    app.send(bare.key(&app.key)).await;
    assert_eq!(app.up.received().last().unwrap().json().get("thinking"), None);
    app.close().await;
}

#[tokio::test]
async fn a_hit_tells_what_a_live_answer_tells_and_hides_no_refusal() {
    let app = TestApp::with(&config()).await;
    let on_claude = |client: &str, more: Value| {
        let mut more = more;
        more["model"] = json!("claude/m");
        ask(client, false, &more).key(&app.key)
    };
    let answer = r#"{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"Hello there."}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":3}}"#;
    app.up.next(Script::json(200, answer));
    assert_eq!(cache(&app.send(on_claude("messages", json!({}))).await), "miss");
    let hit = app.send(on_claude("responses", json!({"metadata": {"a": "b"}}))).await;
    assert_eq!(cache(&hit), "hit");
    let live = on_claude("responses", json!({"metadata": {"a": "b"}})).header("x-fulcrum-cache", "bypass");
    app.up.next(Script::json(200, answer));
    let live = app.send(live).await;
    assert_eq!((cache(&live), live.status), ("bypass", 200));
    assert!(live.header("x-fulcrum-emulated").is_some());
    assert_eq!(hit.header("x-fulcrum-emulated"), live.header("x-fulcrum-emulated"));
    for _ in 0..2 {
        let named = app.send(on_claude("responses", json!({"store": true}))).await;
        assert_eq!((cache(&named), named.header("x-fulcrum-emulated")), ("hit", Some("store")));
        let refused = app.send(on_claude("chat", json!({"seed": 1}))).await;
        assert_eq!(refused.outcome(), "400 unsupported_feature");
    }
    app.close().await;
}

#[tokio::test]
async fn a_stream_of_every_provider_is_stored_for_every_caller_with_its_counts() {
    for provider in &ANSWERING {
        for client in CLIENTS {
            stream_is_stored(client, provider).await;
        }
    }
}

async fn stream_is_stored(client: &str, provider: &Answering) {
    let app = TestApp::with(&config()).await;
    let asked = |stream: bool| call(client, provider.model, stream).key(&app.key);
    app.up.next(provider.streamed(provider.stream.len()));
    let first = app.send(asked(true)).await;
    assert_eq!(cache(&first), "miss", "{client} from {}", provider.model);
    for stream in [false, true] {
        let hit = app.send(asked(stream)).await;
        assert_eq!(cache(&hit), "hit", "{client} from {}", provider.model);
        let seen = if stream { seen_in_stream(client, &hit) } else { seen_in_whole(client, &hit.json()) };
        // A caller of streams in Chat Completions did not ask for usage.
        let counts = if stream && client == "chat" { (0, 0, 0) } else { (9, 4, 7) };
        assert_eq!((seen.3, seen.4, seen.5), counts, "{client} from {}", provider.model);
        assert_eq!(seen.0, "Hello there.", "{client} from {}: {}", provider.model, hit.text());
    }
    assert_eq!(app.up.count(), 1);
    app.close().await;
}

#[tokio::test]
async fn where_no_counts_came_a_stored_answer_has_its_rows_estimate() {
    let app = TestApp::with(&config()).await;
    let events = crate::upstream::EVENTS.iter().filter(|event| !event.contains("\"choices\":[],"));
    app.up.next(Script::stream(events));
    let first = app.send(ask("chat", true, &json!({})).key(&app.key)).await;
    assert_eq!(cache(&first), "miss");
    let row = app.row(first.id()).await;
    let counts = (row["input_tokens"].as_u64().unwrap(), row["output_tokens"].as_u64().unwrap());
    assert_eq!(row["estimated"], json!(true));
    for client in CLIENTS {
        let hit = send(&app, client, false).await;
        assert_eq!(cache(&hit), "hit");
        let (.., input, _, output) = seen_in_whole(client, &hit.json());
        assert_eq!((input, output), counts, "{client}: {}", hit.text());
    }
    app.close().await;
}

#[tokio::test]
async fn either_version_that_anthropics_clients_send_shares_answers() {
    let app = TestApp::with(&config()).await;
    assert_eq!(cache(&send(&app, "chat", false).await), "miss");
    for (version, expected) in [("2023-06-01", "hit"), ("2026-10-21", "hit"), ("2031-01-01", "miss")] {
        let call = bare("messages", false, &json!({})).header("anthropic-version", version);
        assert_eq!(cache(&app.send(call.key(&app.key)).await), expected, "{version}");
    }
    app.close().await;
}

#[tokio::test]
async fn what_only_gemini_asks_for_is_a_question_of_its_own() {
    let app = TestApp::with(&config()).await;
    let ordered = |names: Value| {
        json!({"generationConfig": {"maxOutputTokens": 50, "responseMimeType": "application/json", "responseSchema": {
            "type": "OBJECT", "propertyOrdering": names,
            "properties": {"answer": {"type": "STRING"}, "reasoning": {"type": "STRING"}}}}})
    };
    let result = |response: Value| {
        json!({"contents": [
            {"role": "user", "parts": [{"text": "Hello?"}]},
            {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": response}}]}],
            "tools": [{"functionDeclarations": [{"name": "f"}]}]})
    };
    for [first, second] in [
        [ordered(json!(["answer", "reasoning"])), ordered(json!(["reasoning", "answer"]))],
        [result(json!({"result": 1})), result(json!({"result": "1"}))],
        [result(json!({"result": {"a": 1}})), result(json!({"a": 1}))],
    ] {
        for (body, expected) in [(&first, "miss"), (&second, "miss"), (&first, "hit")] {
            let answer = app.send(ask("gemini", false, body).key(&app.key)).await;
            assert_eq!(cache(&answer), expected, "{body}");
        }
    }
    app.close().await;
}

#[tokio::test]
async fn a_purge_of_a_prompt_takes_all_that_its_callers_may_get() {
    let app = TestApp::with(&config()).await;
    let text = json!({"name": "p", "messages": [{"role": "user", "content": "Hello?"}], "settings": {"model": "cheap"},
        "labels": ["production"], "message": "first"});
    assert_eq!(app.admin(Call::post("/api/v1/prompts", &text)).await.status, 201);
    let second = json!({"messages": [{"role": "user", "content": "Hello?"}], "settings": {"model": "cheap"},
        "description": "renders alike", "message": "second"});
    assert_eq!(app.admin(Call::post("/api/v1/prompts/p/versions", &second)).await.status, 201);
    let call = async |model: &str| {
        let body = match model {
            "cheap" => json!({"model": "cheap", "messages": [{"role": "user", "content": "Hello?"}]}),
            model => json!({"model": model}),
        };
        cache(&app.send(Call::chat(&body).key(&app.key)).await).to_owned()
    };
    for (model, expected) in [("cheap", "miss"), ("prompt/p@1", "miss"), ("prompt/p@2", "miss"), ("prompt/p@2", "hit")]
    {
        assert_eq!(call(model).await, expected, "{model}");
    }
    let purged = app.admin(Call::post("/api/v1/cache/purge", &json!({"prompt": "p@2"}))).await;
    assert_eq!(purged.json(), json!({"purged": 1}));
    for (model, expected) in [("prompt/p@2", "miss"), ("prompt/p@1", "hit"), ("cheap", "hit")] {
        assert_eq!(call(model).await, expected, "{model}");
    }
    app.close().await;
}
