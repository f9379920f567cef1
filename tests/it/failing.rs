//! Answers with the status 200 that failed, good ones that look so, streams without their mark, and estimates where a provider
//! counts nothing.

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::client::{Answer, Call};
use crate::dialects::{ANSWERING, CLIENTS, PROVIDERS, seen_in_stream, seen_in_whole};
use crate::upstream::{EVENTS, Script, WHOLE};

/// A route for each case, which falls back to another provider and caches: a target that fails five times is tried no more.
fn routes(cases: impl Iterator<Item = &'static str>) -> String {
    let route = |(n, provider): (usize, &str)| {
        format!(
            "[[routes]]\nname = \"r{n}\"\nmodels = [\"to-{n}\"]\ntargets = [{{ model = \"{provider}/m{n}\" }}]\n\
             fallbacks = [\"second/m\"]\ncache = {{ mode = \"exact\", ttl = \"1h\", scope = \"project\" }}\n"
        )
    };
    let second = "[providers.second]\nkind = \"openai\"\nbase_url = \"http://{other}/v1\"\napi_key = \"env:OTHER_KEY\"\n\
                  responses = false\n";
    format!("{PROVIDERS}{second}{}", cases.enumerate().map(route).collect::<String>())
}

fn ask(client: &str, model: &str, stream: bool) -> Call {
    let hi = json!([{"role": "user", "content": "Hi"}]);
    match client {
        "chat" => Call::chat(&json!({"model": model, "stream": stream, "messages": hi})),
        "responses" => Call::post("/v1/responses", &json!({"model": model, "stream": stream, "input": "Hi"})),
        "messages" => {
            Call::post("/v1/messages", &json!({"model": model, "stream": stream, "max_tokens": 50, "messages": hi}))
        }
        _ => {
            let method = if stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
            let body = json!({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]});
            Call::post(&format!("/v1beta/models/{model}:{method}"), &body)
        }
    }
}

fn sse(events: &[Value]) -> Vec<String> {
    let event = |value: &Value| match value["type"].as_str() {
        Some(kind) => format!("event: {kind}\ndata: {value}\n\n"),
        None if value.is_string() => format!("data: {}\n\n", value.as_str().unwrap()),
        None => format!("data: {value}\n\n"),
    };
    events.iter().map(event).collect()
}

/// Whole answers with the status 200 that failed, by provider.
fn failed() -> Vec<(&'static str, Value)> {
    let chat = |choices: Value| json!({"id": "c", "object": "chat.completion", "choices": choices});
    let half = |reason: &str| {
        chat(json!([{"message": {"role": "assistant", "content": "half an ans"}, "finish_reason": reason}]))
    };
    let candidate = |candidate: Value| json!({"candidates": [candidate]});
    let response = |status: &str, error: Value| json!({"id": "r", "status": status, "output": [], "error": error});
    vec![
        ("plain", half("error")),
        ("plain", half("insufficient_system_resource")),
        ("plain", chat(json!([]))),
        (
            "plain",
            chat(
                json!([{"message": {"content": ""}, "finish_reason": null, "error": {"code": 502, "message": "gone"}}]),
            ),
        ),
        ("plain", json!({"error": {"message": "overloaded", "code": 503}})),
        ("plain", json!({"error": "overloaded"})),
        ("answers", response("failed", json!({"code": "server_error", "message": "gone"}))),
        ("answers", response("failed", Value::Null)),
        ("answers", response("cancelled", Value::Null)),
        ("answers", json!({"error": {"message": "overloaded"}})),
        ("claude", json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})),
        ("gem", candidate(json!({"finishReason": "MALFORMED_FUNCTION_CALL"}))),
        (
            "gem",
            candidate(
                json!({"content": {"role": "model", "parts": [{"text": "I call"}]}, "finishReason": "MALFORMED_FUNCTION_CALL"}),
            ),
        ),
        ("gem", candidate(json!({"content": {"role": "model"}, "finishReason": "OTHER"}))),
        ("gem", json!({"candidates": []})),
        ("gem", json!({"error": {"code": 503, "status": "UNAVAILABLE", "message": "overloaded"}})),
        (
            "bed",
            json!({"output": {"message": {"role": "assistant", "content": []}}, "stopReason": "malformed_model_output"}),
        ),
        ("bed", json!({"message": "The model timed out"})),
    ]
}

/// Streams that failed before their first content, by provider.
fn failed_streams() -> Vec<(&'static str, Vec<Value>)> {
    let chunk = |delta: Value, reason: Value| json!({"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]});
    let role = || chunk(json!({"role": "assistant", "content": ""}), Value::Null);
    let created = || json!({"type": "response.created", "sequence_number": 0, "response": {"id": "r", "status": "in_progress", "output": []}});
    let start = || json!({"type": "message_start", "message": {"id": "m", "content": []}});
    vec![
        ("plain", vec![role(), chunk(json!({}), json!("error"))]),
        ("plain", vec![role(), json!({"error": {"message": "gone"}})]),
        ("plain", vec![chunk(json!({"content": "half"}), json!("error"))]),
        ("plain", vec![json!({"id": "c", "choices": []}), json!("[DONE]")]),
        (
            "answers",
            vec![
                created(),
                json!({"type": "response.failed", "sequence_number": 1,
            "response": {"id": "r", "status": "failed", "error": {"code": "server_error", "message": "gone"}, "output": []}}),
            ],
        ),
        (
            "claude",
            vec![
                start(),
                json!({"type": "ping"}),
                json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
            ],
        ),
        (
            "gem",
            vec![
                json!({"candidates": [{"content": {"role": "model"}}]}),
                json!({"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL"}]}),
            ],
        ),
        ("gem", vec![json!({"candidates": []})]),
    ]
}

async fn assert_falls_back(app: &TestApp, client: &str, answer: &Answer, stream: bool) {
    assert_eq!(answer.status, 200, "{client}: {}", answer.text());
    let seen = if stream { seen_in_stream(client, answer) } else { seen_in_whole(client, &answer.json()) };
    assert_eq!(seen.0, "Hello there.", "{client}: {}", answer.text());
    let row = app.row(answer.id()).await;
    let statuses: Vec<_> =
        row["attempts"].as_array().unwrap().iter().map(|attempt| attempt["status"].clone()).collect();
    assert_eq!(statuses, [json!("error"), json!("ok")], "{client}: {row}");
    assert_eq!(
        (&row["attempts"][0]["cost_usd"], &row["attempts"][0]["output_tokens"]),
        (&json!("0"), &Value::Null),
        "{client}: {row}"
    );
}

#[tokio::test]
async fn an_answer_that_failed_with_status_200_falls_back_and_is_not_stored() {
    let app = TestApp::with(&routes(failed().into_iter().map(|(provider, _)| provider))).await;
    app.other.always(Script::json(200, WHOLE));
    for (n, (_, body)) in failed().into_iter().enumerate() {
        for client in CLIENTS {
            app.up.next(Script::json(200, body.to_string()));
            let call = ask(client, &format!("to-{n}"), false).key(&app.key).header("x-fulcrum-cache", "refresh");
            let answer = app.send(call).await;
            assert_falls_back(&app, client, &answer, false).await;
        }
    }
    app.close().await;
}

#[tokio::test]
async fn an_answer_that_failed_with_status_200_is_a_502_where_nobody_else_answers() {
    let app = TestApp::with(PROVIDERS).await;
    for (n, (provider, body)) in failed().into_iter().enumerate() {
        app.up.next(Script::json(200, body.to_string()));
        let answer = app.send(ask("chat", &format!("{provider}/m{n}"), false).key(&app.key)).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (502, "upstream_error"),
            "{provider} {body}: {}",
            answer.text()
        );
        assert_eq!(app.row(answer.id()).await["cost_usd"], "0");
    }
    app.close().await;
}

#[tokio::test]
async fn a_stream_that_failed_before_its_content_falls_back() {
    let app = TestApp::with(&routes(failed_streams().into_iter().map(|(provider, _)| provider))).await;
    app.other.always(Script::stream(EVENTS));
    for (n, (_, events)) in failed_streams().into_iter().enumerate() {
        for client in CLIENTS {
            app.up.next(Script::stream(sse(&events)));
            let call = ask(client, &format!("to-{n}"), true).key(&app.key).header("x-fulcrum-cache", "refresh");
            let answer = app.send(call).await;
            assert_falls_back(&app, client, &answer, true).await;
        }
    }
    app.close().await;
}

/// Streams that break before their first content, by provider: the first events, and what follows them.
fn broken_streams() -> Vec<(&'static str, Vec<String>)> {
    let garbage = ["data: {\"choi\n\n", "data: <html>busy</html>\n\n", "data: {\"a\": [1, }\n\n", "data: hello\n\n"];
    let begun = |provider: &str| {
        let answering = ANSWERING.iter().find(|answering| answering.model.split('/').next() == Some(provider)).unwrap();
        answering.stream[0].to_owned()
    };
    let mut all = Vec::new();
    for provider in ["plain", "answers", "claude", "gem"] {
        for bad in garbage {
            all.push((provider, vec![bad.to_owned()]));
            // What Google's stream begins with is content.
            if provider != "gem" {
                all.push((provider, vec![begun(provider), bad.to_owned()]));
            }
        }
        all.push((provider, vec!["data: {\"choi".to_owned()]));
        all.push((provider, vec![": wait\n\n".to_owned(), ": wait\n\n".to_owned()]));
        all.push((provider, vec![]));
    }
    all.push(("plain", vec![begun("plain"), "data: {\"choi".to_owned()]));
    all.push(("plain", sse(&[json!({"object": "error", "message": "gone", "code": 500})])));
    all.push(("plain", sse(&[json!({"detail": "gone"}), json!("[DONE]")])));
    all
}

#[tokio::test]
async fn a_stream_that_breaks_before_its_content_falls_back_and_costs_nothing() {
    for chosen in broken_streams().chunks(20) {
        let app = TestApp::with(&routes(chosen.iter().map(|(provider, _)| *provider))).await;
        app.other.always(Script::stream(EVENTS));
        for (n, (provider, events)) in chosen.iter().enumerate() {
            for client in CLIENTS {
                app.up.next(Script::stream(events));
                let call = ask(client, &format!("to-{n}"), true).key(&app.key).header("x-fulcrum-cache", "refresh");
                let answer = app.send(call).await;
                assert_eq!(seen_in_stream(client, &answer).0, "Hello there.", "{provider} {client} {events:?}");
                let row = app.row(answer.id()).await;
                let attempt = &row["attempts"][0];
                let torn = events.len() > 1 && events[1] == "data: {\"choi";
                // Claude counts its input as it begins, and that is charged.
                let counted = events.len() > 1 && *provider == "claude" && events[0].contains("input_tokens");
                let charged = (attempt["cost_usd"].clone(), &attempt["output_tokens"], &attempt["input_tokens"]);
                let expected = match counted {
                    true => (Value::Null, &json!(1), &json!(9)),
                    false => (json!("0"), &Value::Null, &Value::Null),
                };
                assert!(torn || charged == expected, "{provider} {client} {events:?}: {row}");
            }
        }
        app.close().await;
    }
}

#[tokio::test]
async fn what_breaks_a_stream_is_said_without_the_parsers_words() {
    let app = TestApp::with(PROVIDERS).await;
    let bad = ["data: {\"choices\": [{\"index\": \n\n", "data: {\"type\": 1, \"choices\": 3, \"candidates\": 3}\n\n"];
    for answering in &ANSWERING[..4] {
        let provider = answering.model.split('/').next().unwrap();
        let ends = [0, answering.stream.len().min(8) - 1];
        let streams = bad.into_iter().flat_map(|bad| {
            ends.map(|before| answering.stream[..before].iter().copied().chain([bad]).collect::<Vec<_>>())
        });
        for (n, events) in streams.enumerate() {
            for client in CLIENTS {
                app.up.next(Script::stream(&events));
                let answer = app.send(ask(client, &format!("{provider}/m{n}-{client}"), true).key(&app.key)).await;
                let text = answer.text();
                let words = ["EOF", "line 1", "column", "expected", "invalid type"];
                assert!(!words.iter().any(|word| text.contains(word)), "{provider} {client}: {text}");
            }
        }
    }
    app.close().await;
}

/// A good answer of the second provider.
fn good(stream: bool) -> Script {
    match stream {
        true => Script::stream(EVENTS),
        false => Script::json(200, WHOLE),
    }
}

#[tokio::test]
async fn what_is_no_answer_falls_back_and_costs_nothing() {
    let whole = |body: &str| Script::json(200, body);
    let html = || Script::reply(200, "content-type: text/html\r\n", "<html>It works!</html>");
    let bodies: [(&str, &dyn Fn() -> Script); 6] = [
        ("nothing", &|| whole("")),
        ("HTML", &html),
        ("HTML as JSON", &|| whole("<html>It works!</html>")),
        ("a detail", &|| whole(r#"{"detail":"Not Found"}"#)),
        ("an object of an error", &|| whole(r#"{"object":"error","message":"gone","type":"x","code":500}"#)),
        ("an object of nothing", &|| whole("{}")),
    ];
    let providers = ["plain", "answers", "claude", "gem", "bed"];
    for (client, (name, body)) in CLIENTS.into_iter().flat_map(|client| bodies.map(|body| (client, body))) {
        // A gateway for each client: a target that goes on failing would cool.
        let app = TestApp::with(&routes(providers.into_iter())).await;
        for (n, provider) in providers.into_iter().enumerate() {
            for stream in [false, true] {
                app.up.next(body());
                app.other.next(good(stream));
                let call = ask(client, &format!("to-{n}"), stream).key(&app.key).header("x-fulcrum-cache", "refresh");
                let answer = app.send(call).await;
                assert_eq!(answer.status, 200, "{name} {provider} {client}: {}", answer.text());
                let row = app.row(answer.id()).await;
                let attempt = &row["attempts"][0];
                assert_eq!(
                    (&attempt["status"], &attempt["cost_usd"], &attempt["output_tokens"], &attempt["input_tokens"]),
                    (&json!("error"), &json!("0"), &Value::Null, &Value::Null),
                    "{name} {provider} {client}: {row}"
                );
                assert_eq!(row["attempts"][1]["status"], "ok");
            }
        }
        app.close().await;
    }
}

#[tokio::test]
async fn a_stream_that_fails_in_its_content_ends_as_an_error() {
    let app = TestApp::with(PROVIDERS).await;
    let chunk =
        |delta: Value, reason: Value| json!({"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]});
    let part =
        |reason: Value| json!({"candidates": [{"content": {"parts": [{"text": "half"}]}, "finishReason": reason}]});
    for (model, events) in [
        (
            "plain/m",
            vec![chunk(json!({"content": "half"}), Value::Null), chunk(json!({}), json!("error")), json!("[DONE]")],
        ),
        ("gem/m", vec![part(Value::Null), json!({"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL"}]})]),
    ] {
        for client in CLIENTS {
            app.up.next(Script::stream(sse(&events)));
            let answer = app.send(ask(client, model, true).key(&app.key)).await;
            let text = answer.text();
            let ends = ["[DONE]", "message_stop", "response.completed", "finishReason\":\""];
            assert!(
                text.contains("half") && text.contains("\"error\"") && !ends.iter().any(|end| text.contains(end)),
                "{client} {model}: {text}"
            );
            let row = app.row(answer.id()).await;
            assert_eq!((&row["status"], &row["error_code"]), (&json!("error"), &json!("upstream_error")), "{client}");
        }
    }
    app.close().await;
}

#[tokio::test]
async fn good_answers_that_look_odd_stay_good() {
    let app = TestApp::with(PROVIDERS).await;
    let chat = |message: Value, reason: Value| json!({"id": "c", "choices": [{"message": message, "finish_reason": reason}], "error": null});
    let gem = |candidate: Value| json!({"candidates": [candidate]});
    for (model, body) in [
        ("plain/m", chat(json!({"role": "assistant", "content": ""}), json!("stop"))),
        ("plain/m", chat(json!({"role": "assistant", "content": "error"}), json!("length"))),
        ("plain/m", chat(json!({"role": "assistant", "content": "x"}), json!("content_filter"))),
        ("plain/m", chat(json!({"role": "assistant", "content": "x"}), Value::Null)),
        (
            "answers/m",
            json!({"id": "r", "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": [], "error": null}),
        ),
        (
            "answers/m",
            json!({"id": "r", "status": "incomplete", "incomplete_details": {"reason": "content_filter"}, "output": []}),
        ),
        ("claude/m", json!({"type": "message", "content": [], "stop_reason": "end_turn"})),
        ("claude/m", json!({"type": "message", "content": [{"type": "text", "text": "no"}], "stop_reason": "refusal"})),
        ("gem/m", gem(json!({"content": {"parts": [{"text": "x"}]}, "finishReason": "SAFETY"}))),
        ("gem/m", gem(json!({"content": {"role": "model"}, "finishReason": "MAX_TOKENS"}))),
        ("gem/m", gem(json!({"finishReason": "STOP"}))),
        ("gem/m", json!({"promptFeedback": {"blockReason": "SAFETY"}})),
    ] {
        for client in CLIENTS {
            app.up.next(Script::json(200, body.to_string()));
            let answer = app.send(ask(client, model, false).key(&app.key)).await;
            assert_eq!(answer.status, 200, "{client} {model} {body}: {}", answer.text());
            assert_eq!(app.row(answer.id()).await["attempts"][0]["status"], "ok");
        }
    }
    app.close().await;
}

/// A stream that says `Hello there.` and finishes, without its dialect's mark; and how much of it must come for that.
fn without_mark(model: &str) -> Vec<String> {
    let chunk =
        |delta: Value, reason: Value| json!({"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]});
    sse(&match model {
        "plain/m" => vec![
            chunk(json!({"content": "Hello there."}), Value::Null),
            chunk(json!({}), json!("stop")),
            json!({"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}}),
        ],
        _ => vec![
            json!({"type": "message_start", "message": {"id": "m", "content": [], "usage": {"input_tokens": 10, "output_tokens": 1}}}),
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello there."}}),
            json!({"type": "content_block_stop", "index": 0}),
            json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}}),
        ],
    })
}

#[tokio::test]
async fn a_finished_stream_is_good_without_its_mark_or_its_last_line_end() {
    let app = TestApp::with(PROVIDERS).await;
    for model in ["plain/m", "claude/m"] {
        for client in CLIENTS {
            for cut in [0, 1, 2] {
                let text = without_mark(model).concat();
                app.up.next(Script::stream([&text.as_bytes()[..text.len() - cut]]));
                let answer = app.send(ask(client, model, true).key(&app.key)).await;
                let end = match client {
                    "chat" => "data: [DONE]\n\n",
                    "responses" => "response.completed",
                    "messages" => "message_stop",
                    _ => "finishReason",
                };
                let text = answer.text();
                assert!(
                    text.contains("Hello there.") && text.contains(end) && !text.contains("\"error\":{"),
                    "{client} {model}: {text}"
                );
                let row = app.row(answer.id()).await;
                let seen = [&row["status"], &row["input_tokens"], &row["output_tokens"]];
                assert_eq!(seen, [&json!("ok"), &json!(10), &json!(5)], "{client} {model} {cut}");
            }
        }
    }
    app.close().await;
}

#[tokio::test]
async fn a_stream_without_its_finish_reason_or_cut_off_behind_it_is_an_error() {
    let app = TestApp::with(PROVIDERS).await;
    for model in ["plain/m", "claude/m"] {
        let events = without_mark(model);
        for client in CLIENTS {
            let torn = Script::sse().chunks(&events).fin();
            for script in [Script::stream(&events[..events.len() - 2]), torn] {
                app.up.next(script);
                let answer = app.send(ask(client, model, true).key(&app.key)).await;
                assert!(answer.text().contains("\"error\""), "{client} {model}: {}", answer.text());
                assert_eq!(app.row(answer.id()).await["status"], "error", "{client} {model}");
            }
        }
    }
    // Of two choices one has not finished.
    let two = [
        json!({"choices": [{"index": 0, "delta": {"content": "a"}}]}),
        json!({"choices": [{"index": 1, "delta": {"content": "b"}, "finish_reason": "stop"}]}),
    ];
    app.up.next(Script::stream(sse(&two)));
    let body = json!({"model": "plain/m", "stream": true, "n": 2, "messages": [{"role": "user", "content": "Hi"}]});
    let answer = app.chat(&body).await;
    assert!(answer.text().contains("\"error\"") && !answer.text().contains("[DONE]"), "{}", answer.text());
    app.close().await;
}

/// An answer of these words and a call, without usage: whole, and as a stream.
fn uncounted(model: &str, words: &str) -> (Value, Vec<Value>) {
    let chunk =
        |delta: Value, reason: Value| json!({"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]});
    match model {
        "plain/m" => (
            json!({"choices": [{"message": {"role": "assistant", "content": words}, "finish_reason": "stop"}]}),
            vec![chunk(json!({"content": words}), Value::Null), chunk(json!({}), json!("stop")), json!("[DONE]")],
        ),
        "answers/m" => {
            let message = json!({"type": "message", "id": "i", "role": "assistant", "content": [{"type": "output_text", "text": words, "annotations": []}]});
            let response = json!({"id": "r", "status": "completed", "model": "m", "output": [message]});
            let delta = json!({"type": "response.output_text.delta", "item_id": "i", "output_index": 0, "content_index": 0, "delta": words});
            (response.clone(), vec![delta, json!({"type": "response.completed", "response": response})])
        }
        "claude/m" => (
            json!({"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [{"type": "text", "text": words}], "stop_reason": "end_turn"}),
            vec![
                json!({"type": "message_start", "message": {"id": "m", "content": []}}),
                json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
                json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": words}}),
                json!({"type": "content_block_stop", "index": 0}),
                json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}),
                json!({"type": "message_stop"}),
            ],
        ),
        _ => {
            let whole = json!({"candidates": [{"content": {"role": "model", "parts": [{"text": words}]}, "finishReason": "STOP"}]});
            (whole.clone(), vec![whole])
        }
    }
}

#[tokio::test]
#[expect(clippy::excessive_nesting, reason = "a table of every caller and target")]
async fn an_estimate_counts_what_the_model_wrote_and_is_the_same_everywhere() {
    let app = TestApp::with(PROVIDERS).await;
    for (words, tokens) in [("ok", 1), ("\"twelve\" \u{e9}\n", 3), ("word ".repeat(40).as_str(), 50)] {
        for model in ["plain/m", "answers/m", "claude/m", "gem/m"] {
            let (whole, stream) = uncounted(model, words);
            for client in CLIENTS {
                for streamed in [false, true] {
                    let script =
                        if streamed { Script::stream(sse(&stream)) } else { Script::json(200, whole.to_string()) };
                    app.up.next(script);
                    let answer = app.send(ask(client, model, streamed).key(&app.key)).await;
                    let row = app.row(answer.id()).await;
                    assert_eq!(
                        (&row["output_tokens"], &row["estimated"]),
                        (&json!(tokens), &json!(true)),
                        "{client} {model} {streamed}"
                    );
                    let same = matches!(
                        (client, model),
                        ("chat", "plain/m")
                            | ("responses", "answers/m")
                            | ("messages", "claude/m")
                            | ("gemini", "gem/m")
                    );
                    if !same && (client != "chat" || !streamed) {
                        let seen = if streamed {
                            seen_in_stream(client, &answer)
                        } else {
                            seen_in_whole(client, &answer.json())
                        };
                        assert_eq!(
                            (seen.3, seen.5),
                            (row["input_tokens"].as_u64().unwrap(), tokens),
                            "{client} {model}: {}",
                            answer.text()
                        );
                    }
                }
            }
        }
    }
    app.close().await;
}
