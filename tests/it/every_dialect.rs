//! Every client dialect served by every provider dialect, whole and streamed: text, tool calls, usage, errors, headers.

use serde_json::{Value, json};

use crate::app::{TestApp, UP_KEY};
use crate::client::Call;
use crate::dialects::{ANSWERING, CLIENTS, PROVIDERS, Seen, call, seen_in_stream, seen_in_whole};
use crate::upstream::Script;

fn expected() -> Seen {
    ("Hello there.".to_owned(), "look".to_owned(), json!({"city": "Bern"}), 9, 4, 7)
}

#[tokio::test]
async fn every_client_hears_every_provider_whole() {
    let app = TestApp::with(PROVIDERS).await;
    for provider in &ANSWERING {
        for client in CLIENTS {
            app.up.next(Script::json(200, provider.whole));
            let answer = app.send(call(client, provider.model, false).key(&app.key)).await;
            assert_eq!(answer.status, 200, "{client} from {}: {}", provider.model, answer.text());
            assert_eq!(
                seen_in_whole(client, &answer.json()),
                expected(),
                "{client} from {}: {}",
                provider.model,
                answer.text()
            );
            let sent = app.up.received().pop().unwrap();
            assert!(sent.path.starts_with(provider.path), "{client} to {}: {}", provider.model, sent.path);
            assert!(
                sent.header(provider.key).is_some_and(|key| key.ends_with(UP_KEY)),
                "{client} to {}",
                provider.model
            );
            let body = sent.json().to_string();
            for word in ["Be brief.", "Weather?", "look", "city"] {
                assert!(body.contains(word), "{client} to {}: {body}", provider.model);
            }
            let row = app.row(answer.id()).await;
            let counts = ["input_tokens", "cached_input_tokens", "output_tokens"].map(|name| row[name].clone());
            assert_eq!(counts, [json!(9), json!(4), json!(7)], "{client} from {}", provider.model);
        }
    }
    app.close().await;
}

#[tokio::test]
async fn every_client_hears_every_provider_streamed() {
    let app = TestApp::with(PROVIDERS).await;
    for provider in &ANSWERING {
        for client in CLIENTS {
            app.up.next(provider.streamed(provider.stream.len()));
            let answer = app.send(call(client, provider.model, true).key(&app.key)).await;
            assert_eq!(answer.status, 200, "{client} from {}: {}", provider.model, answer.text());
            let mut seen = seen_in_stream(client, &answer);
            if client == "chat" {
                // Its caller did not ask for usage.
                (seen.3, seen.4, seen.5) = (9, 4, 7);
            }
            assert_eq!(seen, expected(), "{client} from {}: {}", provider.model, answer.text());
            let row = app.row(answer.id()).await;
            let counts = ["input_tokens", "cached_input_tokens", "output_tokens"].map(|name| row[name].clone());
            assert_eq!(counts, [json!(9), json!(4), json!(7)], "{client} from {}", provider.model);
            assert_eq!((&row["status"], &row["estimated"]), (&json!("ok"), &json!(false)));
        }
    }
    app.close().await;
}

#[tokio::test]
async fn a_stream_that_is_cut_ends_as_an_error_in_every_dialect() {
    let app = TestApp::with(PROVIDERS).await;
    for provider in &ANSWERING {
        for client in CLIENTS {
            let cut = provider.stream.len() - if provider.stream.len() > 3 { 3 } else { 1 };
            app.up.next(provider.streamed(cut));
            let answer = app.send(call(client, provider.model, true).key(&app.key)).await;
            let text = answer.text();
            let ends_in_error = match client {
                "chat" => text.contains("data: {\"error\":") && !text.contains("[DONE]"),
                "responses" => text.contains("event: error\n") && !text.contains("response.completed"),
                "messages" => text.contains("event: error\n") && !text.contains("message_stop"),
                _ => text.contains("\"error\":") && !text.contains("finishReason"),
            };
            assert!(ends_in_error, "{client} from {}: {text}", provider.model);
            let row = app.row(answer.id()).await;
            assert_eq!((&row["status"], &row["estimated"]), (&json!("error"), &row["estimated"]));
        }
    }
    app.close().await;
}

#[tokio::test]
async fn errors_have_the_callers_own_shape() {
    let app = TestApp::with(PROVIDERS).await;
    for client in CLIENTS {
        let answer = app.send(call(client, "no-such-model", false).key(&app.key)).await;
        assert_eq!(answer.status, 404, "{client}: {}", answer.text());
        let error = answer.json();
        let kind = match client {
            "messages" => {
                assert_eq!((&error["type"], error["request_id"].is_string()), (&json!("error"), true));
                error["error"]["type"].clone()
            }
            "gemini" => {
                assert_eq!(error["error"]["code"], 404);
                error["error"]["status"].clone()
            }
            _ => error["error"]["code"].clone(),
        };
        let expected = match client {
            "messages" => "not_found_error",
            "gemini" => "NOT_FOUND",
            _ => "model_not_found",
        };
        assert_eq!(kind, expected, "{client}: {error}");
        let unknown = app.send(call(client, "claude/m", false).key("fk-nope")).await;
        assert_eq!(unknown.status, 401, "{client}");
    }
    assert_eq!(app.up.count(), 0);
    app.close().await;
}

#[tokio::test]
async fn the_same_dialect_passes_byte_for_byte_but_for_the_model() {
    let app = TestApp::with(PROVIDERS).await;
    let body = "{ \"model\" : \"claude/m\", \"max_tokens\":5,\n \"x_new\": {\"b\":1,\"a\":2}, \"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"\\u0048i\",\"cache_control\":{\"type\":\"ephemeral\",\"ttl\":\"1h\"}}]}]}";
    app.up.next(Script::json(200, ANSWERING[2].whole));
    let call = Call::new("POST", "/v1/messages", body)
        .header("anthropic-version", "2026-10-21")
        .header("anthropic-beta", "a-1,b-2")
        .header("x-stainless-lang", "python")
        .key(&app.key);
    let answer = app.send(call).await;
    assert_eq!(answer.text(), ANSWERING[2].whole);
    let sent = app.up.only();
    assert_eq!(std::str::from_utf8(&sent.body).unwrap(), body.replace("claude/m", "m"));
    assert_eq!(sent.header("anthropic-version"), Some("2026-10-21"));
    assert_eq!(sent.header("anthropic-beta"), Some("a-1,b-2"));
    assert_eq!(sent.header("x-stainless-lang"), None);
    app.close().await;
}

#[tokio::test]
async fn what_cannot_be_said_is_refused_by_name_and_sent_nowhere() {
    let app = TestApp::with(PROVIDERS).await;
    let chat = |more: Value| {
        let mut body = json!({"model": "claude/m", "messages": [{"role": "user", "content": "Hi"}]});
        body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        Call::post("/v1/chat/completions", &body)
    };
    for (more, param) in [
        (json!({"n": 2}), "n"),
        (json!({"logit_bias": {"1": 2}}), "logit_bias"),
        (json!({"seed": 7}), "seed"),
        (json!({"temperature": 1.5}), "temperature"),
        (json!({"grammar": "x"}), "grammar"),
    ] {
        let answer = app.send(chat(more).key(&app.key)).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "unsupported_feature"), "{}", answer.text());
        assert_eq!(answer.param(), param);
    }
    assert_eq!(app.up.count(), 0);
    app.close().await;
}

#[tokio::test]
async fn a_prompt_is_called_in_every_dialect() {
    let app = TestApp::with(PROVIDERS).await;
    let prompt = json!({"name": "greet", "messages": [
        {"role": "system", "content": "You greet {{ who }}."}, {"role": "user", "content": "Greet!"}],
        "variables": {"who": {"type": "string"}}, "settings": {"model": "claude/m", "max_tokens": 33},
        "labels": ["production"]});
    let made = app.admin(Call::post("/api/v1/prompts", &prompt)).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let variables = json!({"id": "greet", "variables": {"who": "Ada"}});
    let calls = [
        Call::post("/v1/chat/completions", &json!({"prompt": variables})),
        Call::post("/v1/responses", &json!({"prompt": variables})),
        Call::post("/v1/messages", &json!({"model": "prompt/greet", "prompt": variables})),
        Call::post("/v1beta/models/prompt/greet:generateContent", &json!({"prompt": variables})),
    ];
    for call in calls {
        app.up.next(Script::json(200, ANSWERING[2].whole));
        let answer = app.send(call.key(&app.key)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("x-fulcrum-prompt"), Some("greet@1"));
        let sent = app.up.received().pop().unwrap().json();
        assert!(sent["system"].to_string().contains("You greet Ada."), "{sent}");
        assert!(sent["messages"].to_string().contains("Greet!"), "{sent}");
        assert_eq!((&sent["model"], &sent["max_tokens"], &sent["prompt"]), (&json!("m"), &json!(33), &Value::Null));
    }
    app.close().await;
}

#[tokio::test]
async fn tokens_are_counted_by_the_provider_or_by_estimate() {
    let app = TestApp::with(PROVIDERS).await;
    let call = |model: &str| {
        let body = json!({"model": model, "messages": [{"role": "user", "content": "How many tokens is this?"}]});
        Call::post("/v1/messages/count_tokens", &body)
    };
    app.up.next(Script::json(200, r#"{"input_tokens":14}"#));
    let counted = app.send(call("claude/m").key(&app.key)).await;
    assert_eq!((counted.status, counted.json()), (200, json!({"input_tokens": 14})), "{}", counted.text());
    assert_eq!(app.up.only().path, "/v1/messages/count_tokens");
    for model in ["plain/m", "bed/m"] {
        let estimated = app.send(call(model).key(&app.key)).await;
        assert!(estimated.json()["input_tokens"].as_u64().is_some_and(|tokens| tokens > 5), "{}", estimated.text());
        assert_eq!(estimated.header("x-fulcrum-emulated"), Some("count_tokens"), "{model}");
    }
    assert_eq!(app.up.count(), 1);
    app.close().await;
}

#[tokio::test]
async fn models_are_listed_as_the_caller_reads_them() {
    let app = TestApp::with(PROVIDERS).await;
    let listed = app.send(Call::get("/v1/models").header("anthropic-version", "2026-10-21").key(&app.key)).await.json();
    assert_eq!((&listed["has_more"], &listed["data"][0]["type"]), (&json!(false), &json!("model")), "{listed}");
    assert_eq!(listed["first_id"], listed["data"][0]["id"]);
    let one = app.send(Call::get("/v1/models/fast").header("anthropic-version", "2026-10-21").key(&app.key)).await;
    assert_eq!((&one.json()["id"], &one.json()["type"]), (&json!("fast"), &json!("model")));
    let none = app.send(Call::get("/v1/models/nope").header("anthropic-version", "2026-10-21").key(&app.key)).await;
    assert_eq!((none.status, &none.json()["error"]["type"]), (404, &json!("not_found_error")));
    app.close().await;
}

#[tokio::test]
async fn a_provider_without_responses_is_asked_in_chat_from_then_on() {
    let app = TestApp::with(PROVIDERS).await;
    app.up.next(Script::error(404, "no such route"));
    app.up.next(Script::json(200, ANSWERING[0].whole));
    app.up.next(Script::json(200, ANSWERING[0].whole));
    for attempts in ["2", "1"] {
        let answer = app.send(call("responses", "up/m", false).key(&app.key)).await;
        assert_eq!(seen_in_whole("responses", &answer.json()), expected(), "{}", answer.text());
        assert_eq!(answer.header("x-fulcrum-attempts"), Some(attempts));
    }
    let paths: Vec<String> = app.up.received().into_iter().map(|sent| sent.path).collect();
    assert_eq!(paths, ["/v1/responses", "/v1/chat/completions", "/v1/chat/completions"]);
    app.close().await;
}

#[tokio::test]
async fn writes_to_a_cache_for_an_hour_are_charged_and_told_apart() {
    let price = r#"
[models.hour]
provider = "claude"
model = "m"
price = { input = "1", output = "1", cache_write = "2", cache_write_1h = "3" }
"#;
    let app = TestApp::with(&format!("{PROVIDERS}{price}")).await;
    let usage = json!({"input_tokens": 1, "cache_creation_input_tokens": 9, "cache_read_input_tokens": 0, "output_tokens": 1,
        "cache_creation": {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 4}});
    let answer = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
        "content": [{"type": "text", "text": "Hi"}], "usage": usage});
    app.up.always(Script::json(200, answer.to_string()));
    let body = json!({"model": "hour", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]});
    let row = app.row(app.send(Call::post("/v1/messages", &body).key(&app.key)).await.id()).await;
    let attempt = &row["attempts"][0];
    assert_eq!((&attempt["cache_write_tokens"], &attempt["cache_write_1h_tokens"]), (&json!(9), &json!(4)));
    assert_eq!(attempt["cost_usd"], "0.000024");
    app.close().await;
}
