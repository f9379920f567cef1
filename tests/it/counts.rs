//! Counts that a provider reports in several parts, as floats, or beside a failure; failures that keep their kind; and
//! a reason to stop that its answer does not bear out.

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::client::Answer;
use crate::dialects::{ANSWERING, CLIENTS, PROVIDERS, call, data, seen_in_stream};
use crate::frames;
use crate::upstream::Script;

const WORDS: &str = "These words were written, whatever is counted.";
const WAYS: [bool; 2] = [false, true];

/// A count as each provider names it: of the input, of these cached, and of the output.
fn usage(provider: &str, [input, cached, output]: [Value; 3]) -> Value {
    match provider {
        "plain" => {
            json!({"prompt_tokens": input, "completion_tokens": output, "prompt_tokens_details": {"cached_tokens": cached}})
        }
        "answers" => {
            json!({"input_tokens": input, "output_tokens": output, "input_tokens_details": {"cached_tokens": cached}})
        }
        "claude" => json!({"input_tokens": input, "cache_read_input_tokens": cached, "output_tokens": output}),
        "gem" => json!({"promptTokenCount": input, "cachedContentTokenCount": cached, "candidatesTokenCount": output}),
        _ => json!({"inputTokens": input, "cacheReadInputTokens": cached, "outputTokens": output}),
    }
}

/// An answer of [`WORDS`], whole, and as events that count `first` at the beginning and `last` at the end.
fn answer(provider: &str, stop: &str, [first, last]: [Value; 2]) -> (Value, Vec<Value>) {
    match provider {
        "plain" => {
            let chunk = |delta: Value, reason: Value, usage: &Value| json!({"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}], "usage": usage});
            let whole = json!({"id": "c", "choices": [{"index": 0, "message": {"role": "assistant", "content": WORDS}, "finish_reason": stop}], "usage": last});
            let end = json!({"id": "c", "choices": [], "usage": last});
            let words = chunk(json!({"content": WORDS}), Value::Null, &first);
            (whole, vec![words, chunk(json!({}), json!(stop), &Value::Null), end, json!("[DONE]")])
        }
        "answers" => {
            let message = json!({"type": "message", "id": "i", "role": "assistant", "content": [{"type": "output_text", "text": WORDS, "annotations": []}]});
            let response = |status: &str, output: Value, usage: &Value| json!({"id": "r", "status": status, "model": "m", "output": output, "usage": usage});
            let whole = response("completed", json!([message]), &last);
            let delta = json!({"type": "response.output_text.delta", "sequence_number": 1, "item_id": "i", "output_index": 0, "content_index": 0, "delta": WORDS});
            let created = json!({"type": "response.created", "sequence_number": 0, "response": response("in_progress", json!([]), &first)});
            (
                whole.clone(),
                vec![created, delta, json!({"type": "response.completed", "sequence_number": 2, "response": whole})],
            )
        }
        "claude" => {
            let message = |content: Value, stop: Value, usage: &Value| json!({"id": "m", "type": "message", "role": "assistant", "model": "m", "content": content, "stop_reason": stop, "usage": usage});
            let events = vec![
                json!({"type": "message_start", "message": message(json!([]), Value::Null, &first)}),
                json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
                json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": WORDS}}),
                json!({"type": "content_block_stop", "index": 0}),
                json!({"type": "message_delta", "delta": {"stop_reason": stop}, "usage": last}),
                json!({"type": "message_stop"}),
            ];
            (message(json!([{"type": "text", "text": WORDS}]), json!(stop), &last), events)
        }
        "gem" => {
            let chunk = |text: &str, reason: Value, usage: &Value| json!({"candidates": [{"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": reason}], "usageMetadata": usage});
            let (begun, rest) = WORDS.split_at(9);
            let events = vec![chunk(begun, Value::Null, &first), chunk(rest, json!(stop), &last)];
            (chunk(WORDS, json!(stop), &last), events)
        }
        _ => {
            let whole = json!({"output": {"message": {"role": "assistant", "content": [{"text": WORDS}]}}, "stopReason": stop, "usage": last});
            let events = vec![
                json!({"messageStart": {"role": "assistant"}}),
                json!({"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": WORDS}}}),
                json!({"metadata": {"usage": first}}),
                json!({"metadata": {"usage": last}}),
                json!({"messageStop": {"stopReason": stop}}),
            ];
            (whole, events)
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

fn stream(provider: &str, events: &[Value]) -> Script {
    if provider != "bed" {
        return Script::stream([sse(events).concat()]);
    }
    let fields = events.iter().filter_map(Value::as_object).flatten();
    Script::frames(fields.map(|(name, payload)| frames::event(name, &payload.to_string())))
}

fn counts_in_stream(client: &str, answer: &Answer) -> [Value; 3] {
    let (.., input, cached, output) = seen_in_stream(client, answer);
    [json!(input), json!(cached), json!(output)]
}

async fn served(app: &TestApp, script: Script, client: &str, model: &str, stream: bool) -> (Answer, Value) {
    app.up.next(script);
    let answer = app.send(call(client, model, stream).key(&app.key)).await;
    let row = app.row(answer.id()).await;
    (answer, row)
}

fn counts(row: &Value) -> [Value; 4] {
    ["input_tokens", "cached_input_tokens", "output_tokens", "estimated"].map(|name| row[name].clone())
}

const PROVIDED: [&str; 5] = ["plain", "answers", "claude", "gem", "bed"];

fn stop_of(provider: &str) -> &'static str {
    match provider {
        "gem" => "STOP",
        "claude" | "bed" => "end_turn",
        _ => "stop",
    }
}

#[tokio::test]
async fn a_smaller_count_at_the_end_replaces_no_larger_one() {
    let app = TestApp::with(PROVIDERS).await;
    for provider in PROVIDED {
        // Anthropic and Amazon count the cached input beside the rest.
        let input = if matches!(provider, "claude" | "bed") { 500 } else { 900 };
        for (last, output) in [([0, 0, 20], 20), ([0, 0, 0], 7), ([3, 0, 20], 20)] {
            let first = usage(provider, [json!(input), json!(400), json!(7)]);
            let last = usage(provider, last.map(Value::from));
            let (_, events) = answer(provider, stop_of(provider), [first, last.clone()]);
            for client in CLIENTS {
                let model = format!("{provider}/m");
                let (got, row) = served(&app, stream(provider, &events), client, &model, true).await;
                let expected = [json!(900), json!(400), json!(output), json!(false)];
                assert_eq!(counts(&row), expected, "{provider} {client} {last}: {}", got.text());
                let is_passed = matches!((provider, client), ("plain", "chat") | ("answers", "responses"))
                    || matches!((provider, client), ("claude", "messages") | ("gem", "gemini"));
                let reads_them = || counts_in_stream(client, &got) == expected[..3];
                assert!(is_passed || client == "chat" || reads_them(), "{provider} {client}: {}", got.text());
            }
        }
    }
    app.close().await;
}

#[tokio::test]
async fn a_whole_number_with_a_point_or_an_exponent_is_a_count() {
    let app = TestApp::with(PROVIDERS).await;
    for provider in PROVIDED {
        let zero = usage(provider, [json!(1), json!(0), json!(1)]);
        let (whole, events) =
            answer(provider, stop_of(provider), [zero, usage(provider, [json!("IN"), json!(0.0), json!("OUT")])]);
        for (input, output) in [("1000.0", "100.0"), ("1e3", "1E+2")] {
            let written = |text: String| text.replace("\"IN\"", input).replace("\"OUT\"", output);
            for (client, way) in CLIENTS.into_iter().flat_map(|client| WAYS.map(|way| (client, way))) {
                let script = match (way, provider) {
                    (false, _) => Script::json(200, written(whole.to_string())),
                    (true, "bed") => Script::frames(
                        events
                            .iter()
                            .filter_map(Value::as_object)
                            .flatten()
                            .map(|(name, payload)| frames::event(name, &written(payload.to_string()))),
                    ),
                    (true, _) => Script::stream([written(sse(&events).concat())]),
                };
                let (got, row) = served(&app, script, client, &format!("{provider}/m"), way).await;
                let expected = [json!(1000), json!(0), json!(100), json!(false)];
                assert_eq!(counts(&row), expected, "{provider} {client} {way} {input}: {}", got.text());
            }
        }
    }
    app.close().await;
}

/// Answers that failed beside a count of 10 tokens in and 20 out: whole, and as streams.
fn failed() -> Vec<(&'static str, Value, Vec<Value>)> {
    let counted = |provider: &str| usage(provider, [json!(10), json!(0), json!(20)]);
    let chunk = |delta: Value, reason: &str| json!({"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]});
    let end = || json!({"id": "c", "choices": [], "usage": counted("plain")});
    let broken = |text: &str| json!({"id": "c", "choices": [{"index": 0, "message": {"content": text}, "finish_reason": "error"}], "usage": counted("plain")});
    let response =
        |status: &str| json!({"id": "r", "status": status, "output": [], "error": null, "usage": counted("answers")});
    let created = json!({"type": "response.created", "sequence_number": 0, "response": {"id": "r", "status": "in_progress", "output": []}});
    let bad_tool = |usage: Value| json!({"output": {"message": {"role": "assistant", "content": []}}, "stopReason": "malformed_tool_use", "usage": usage});
    let gone = json!({"error": {"message": "gone"}, "usage": counted("plain")});
    vec![
        ("plain", broken(""), vec![chunk(json!({"content": ""}), "error"), end(), json!("[DONE]")]),
        (
            "plain",
            broken("half"),
            vec![
                json!({"id": "c", "choices": [{"index": 0, "delta": {"content": "half"}}]}),
                chunk(json!({}), "error"),
                end(),
                json!("[DONE]"),
            ],
        ),
        ("plain", gone.clone(), vec![gone]),
        (
            "answers",
            response("cancelled"),
            vec![
                created.clone(),
                json!({"type": "response.cancelled", "sequence_number": 1, "response": response("cancelled")}),
            ],
        ),
        (
            "answers",
            response("failed"),
            vec![
                created,
                json!({"type": "error", "sequence_number": 1, "message": "gone"}),
                json!({"type": "response.failed", "sequence_number": 2, "response": response("failed")}),
            ],
        ),
        (
            "gem",
            json!({"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL"}], "usageMetadata": counted("gem")}),
            vec![
                json!({"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL"}]}),
                json!({"usageMetadata": counted("gem")}),
            ],
        ),
        (
            "bed",
            bad_tool(counted("bed")),
            vec![
                json!({"messageStart": {"role": "assistant"}}),
                json!({"messageStop": {"stopReason": "malformed_tool_use"}}),
                json!({"metadata": {"usage": counted("bed")}}),
            ],
        ),
    ]
}

#[tokio::test]
async fn what_a_provider_counted_of_a_failed_answer_is_charged_whole_and_streamed() {
    let app = TestApp::with(PROVIDERS).await;
    for (n, (provider, whole, events)) in failed().into_iter().enumerate() {
        for (client, way) in CLIENTS.into_iter().flat_map(|client| WAYS.map(|way| (client, way))) {
            let script = if way { stream(provider, &events) } else { Script::json(200, whole.to_string()) };
            let (got, row) = served(&app, script, client, &format!("{provider}/m{n}-{client}"), way).await;
            assert_eq!(row["status"], "error", "{n} {provider} {client} {way}: {}", got.text());
            assert_eq!(
                counts(&row),
                [json!(10), json!(0), json!(20), json!(false)],
                "{n} {provider} {client} {way}: {row:#}"
            );
        }
    }
    app.close().await;
}

#[tokio::test]
async fn a_stream_that_ends_in_an_error_event_is_an_error_and_is_replayed_to_nobody() {
    let cached = "[[routes]]\nname = \"cached\"\nmodels = [\"cached\"]\ntargets = [{ model = \"plain/m\" }]\n\
                  cache = { mode = \"exact\", ttl = \"1h\", scope = \"project\" }\n";
    let app = TestApp::with(&format!("{PROVIDERS}{cached}")).await;
    let counted = usage("plain", [json!(10), json!(0), json!(20)]);
    let torn =
        json!([{"index": 0, "id": "a", "type": "function", "function": {"name": "look", "arguments": "{\"a\":"}}]);
    let whole = json!({"id": "c", "choices": [{"index": 0, "message": {"content": null, "tool_calls": torn}, "finish_reason": "tool_calls"}], "usage": counted});
    let malformed = vec![
        json!({"id": "c", "choices": [{"index": 0, "delta": {"tool_calls": torn}}]}),
        json!({"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}),
        json!({"id": "c", "choices": [], "usage": counted}),
        json!("[DONE]"),
    ];
    let bare = vec![
        json!({"id": "c", "choices": [{"index": 0, "delta": {"content": "half"}}], "usage": counted}),
        json!({"object": "error", "message": "gone", "type": "x", "code": 500}),
        json!("[DONE]"),
    ];
    let cases = CLIENTS.map(|client| (client, true, stream("plain", &bare), "upstream_error"));
    let broken = [
        ("messages", true, stream("plain", &malformed), "upstream_protocol"),
        ("messages", false, Script::json(200, whole.to_string()), "upstream_protocol"),
    ];
    for (n, (client, way, script, code)) in cases.into_iter().chain(broken).enumerate() {
        for (model, header) in [("plain/m", "idempotency-key"), ("cached", "x-fulcrum-session")] {
            for again in [false, true] {
                app.up.next(script.clone());
                let call = call(client, model, way).key(&app.key).header(header, &format!("k{n}"));
                let got = app.send(call).await;
                let replayed = (got.header("idempotency-replayed"), got.header("x-fulcrum-cache") == Some("hit"));
                assert_eq!(replayed, (None, false), "{client} {model} {again}: {}", got.text());
                assert!(got.text().contains("\"error\""), "{client} {model}: {}", got.text());
                let row = app.row(got.id()).await;
                let seen = [&row["status"], &row["error_code"], &row["output_tokens"], &row["estimated"]];
                assert_eq!(
                    seen,
                    [&json!("error"), &json!(code), &json!(20), &json!(false)],
                    "{client} {model}: {row:#}"
                );
            }
        }
    }
    app.close().await;
}

/// Errors in the middle of a stream: of which provider, its event, and what it is called in chat completions and Responses, in
/// Anthropic's and in Google's dialect.
fn errors() -> Vec<(&'static str, Value, [&'static str; 3])> {
    const OVERLOADED: [&str; 3] = ["server_error", "overloaded_error", "UNAVAILABLE"];
    const LIMITED: [&str; 3] = ["rate_limit_error", "rate_limit_error", "RESOURCE_EXHAUSTED"];
    const SLOW: [&str; 3] = ["timeout_error", "timeout_error", "DEADLINE_EXCEEDED"];
    let claude = |kind: &str| json!({"type": "error", "error": {"type": kind, "message": "no"}});
    let plain = |name: &str, value: Value| json!({"error": {"message": "no", name: value}});
    let gem = |code: u64, status: &str| json!({"error": {"code": code, "status": status, "message": "no"}});
    vec![
        ("claude", claude("overloaded_error"), OVERLOADED),
        ("claude", claude("rate_limit_error"), LIMITED),
        ("claude", claude("timeout_error"), SLOW),
        ("claude", claude("api_error"), ["server_error", "api_error", "UNAVAILABLE"]),
        ("plain", plain("type", json!("overloaded_error")), OVERLOADED),
        ("plain", plain("code", json!(503)), OVERLOADED),
        ("plain", plain("code", json!(429)), LIMITED),
        ("plain", plain("code", json!("rate_limit_exceeded")), LIMITED),
        ("gem", gem(503, "UNAVAILABLE"), OVERLOADED),
        ("gem", gem(429, "RESOURCE_EXHAUSTED"), LIMITED),
        (
            "answers",
            json!({"type": "error", "sequence_number": 9, "code": "rate_limit_exceeded", "message": "no"}),
            LIMITED,
        ),
        (
            "answers",
            json!({"type": "response.failed", "sequence_number": 9, "response": {"id": "r", "status": "failed", "output": [],
                "error": {"code": "rate_limit_exceeded", "message": "no"}}}),
            LIMITED,
        ),
    ]
}

#[tokio::test]
async fn an_error_in_the_middle_of_a_stream_keeps_its_kind_in_the_words_of_each_dialect() {
    let app = TestApp::with(PROVIDERS).await;
    for (n, (provider, error, [openais, anthropics, googles])) in errors().into_iter().enumerate() {
        let answering = ANSWERING.iter().find(|answering| answering.model.split('/').next() == Some(provider)).unwrap();
        let begun = answering.stream.iter().position(|event| event.contains("Hello")).unwrap();
        let events = answering.stream[..=begun].concat() + &sse(std::slice::from_ref(&error)).concat();
        for client in CLIENTS {
            let model = format!("{provider}/m{n}-{client}");
            let (got, row) = served(&app, Script::stream([events.clone()]), client, &model, true).await;
            let last = data(got.text()).pop().unwrap();
            let (kind, expected) = match client {
                "messages" => (&last["error"]["type"], anthropics),
                "gemini" => (&last["error"]["status"], googles),
                _ => (&last["error"]["type"], openais),
            };
            assert_eq!(kind, expected, "{provider} {client} {error}: {}", got.text());
            assert_eq!(row["status"], "error", "{provider} {client} {error}");
        }
    }
    app.close().await;
}

#[tokio::test]
async fn a_stop_for_a_tool_without_a_call_is_an_end() {
    let app = TestApp::with(PROVIDERS).await;
    for (provider, stop) in
        [("plain", "tool_calls"), ("plain", "function_call"), ("claude", "tool_use"), ("bed", "tool_use")]
    {
        let counted = usage(provider, [json!(9), json!(0), json!(7)]);
        let (whole, events) = answer(provider, stop, [counted.clone(), counted]);
        for (client, way) in CLIENTS.into_iter().flat_map(|client| WAYS.map(|way| (client, way))) {
            let own = if provider == "plain" { "chat" } else { "messages" };
            let ends: &[&str] = match client {
                // What passes passes as it came.
                _ if client == own && provider != "bed" => continue,
                "chat" => &["\"finish_reason\":\"stop\""],
                "messages" => &["\"stop_reason\":\"end_turn\""],
                "gemini" => &["\"finishReason\":\"STOP\""],
                _ => &["\"status\":\"completed\""],
            };
            let script = if way { stream(provider, &events) } else { Script::json(200, whole.to_string()) };
            let (got, _) = served(&app, script, client, &format!("{provider}/m"), way).await;
            assert!(ends.iter().all(|end| got.text().contains(end)), "{provider} {client} {way}: {}", got.text());
        }
    }
    app.close().await;
}
