//! What calls cost: by the tier that served, by all that a provider counts, and nothing where nothing came.

use serde_json::{Value, json};

use crate::app::{TestApp, hello, streamed};
use crate::client::Call;
use crate::upstream::{Script, WHOLE};

const PRICED: &str = r#"
[providers.openai]
kind = "openai"
base_url = "http://{up}/v1"
api_key = "env:UP_KEY"
[providers.xai]
kind = "openai"
base_url = "http://{up}/v1"
api_key = "env:UP_KEY"
responses = false
[providers.anthropic]
kind = "anthropic"
base_url = "http://{up}"
api_key = "env:UP_KEY"
[providers.gemini]
kind = "gemini"
base_url = "http://{up}/v1beta"
api_key = "env:UP_KEY"
[defaults]
retries = 0
"#;

fn messages(model: &str) -> Call {
    let hi = json!([{"role": "user", "content": "Hi"}]);
    Call::post("/v1/messages", &json!({"model": model, "max_tokens": 50, "messages": hi}))
}

/// The cost that the row has, after the header of a whole answer was compared with it.
async fn cost(app: &TestApp, call: Call, script: Script) -> Value {
    app.up.next(script);
    let answer = app.send(call.key(&app.key)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let row = app.row(answer.id()).await;
    if row["stream"] == false {
        assert_eq!(answer.header("x-fulcrum-cost-usd"), row["cost_usd"].as_str(), "{row}");
    }
    row["cost_usd"].clone()
}

#[tokio::test]
async fn the_tier_that_served_decides_the_price() {
    let app = TestApp::with(PRICED).await;
    let usage = json!({"prompt_tokens": 1_000, "completion_tokens": 1_000, "total_tokens": 2_000});
    for (asked, served, expected) in [
        ("priority", Some("priority"), json!("0.0225")),
        ("auto", Some("priority"), json!("0.0225")),
        ("flex", Some("flex"), json!("0.005625")),
        ("priority", Some("default"), json!("0.01125")),
        ("auto", None, json!("0.01125")),
        ("auto", Some("scale"), Value::Null),
        // Nobody says which tier served: the one that was asked for, as an estimate.
        ("priority", None, json!("0.0225")),
        ("flex", None, json!("0.005625")),
        ("scale", None, Value::Null),
    ] {
        let mut whole = json!({"id": "c", "choices": [{"message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}], "usage": usage});
        let mut chunk =
            json!({"id": "c", "choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]});
        let mut last = json!({"id": "c", "choices": [], "usage": usage});
        for value in [&mut whole, &mut chunk, &mut last] {
            value.as_object_mut().unwrap().extend(served.map(|tier| ("service_tier".to_owned(), json!(tier))));
        }
        let mut body = hello("openai/gpt-5");
        body["service_tier"] = json!(asked);
        let stream = || Script::stream([format!("data: {chunk}\n\ndata: {last}\n\ndata: [DONE]\n\n")]);
        let found = [
            cost(&app, Call::chat(&body), Script::json(200, whole.to_string())).await,
            cost(&app, Call::chat(&streamed(body)), stream()).await,
        ];
        assert_eq!(found, [expected.clone(), expected.clone()], "{asked} {served:?}");
        // Anthropic's callers ask for no tier.
        let found = cost(&app, messages("openai/gpt-5"), Script::json(200, whole.to_string())).await;
        let expected = if served.is_some() { expected } else { json!("0.01125") };
        assert_eq!(found, expected, "{asked} {served:?}");
    }
    let rows = app.admin(Call::get("/api/v1/requests?limit=500")).await.json();
    let is_estimated = |row: &&Value| row["estimated"] == true;
    assert_eq!(rows["rows"].as_array().unwrap().iter().filter(is_estimated).count(), 6, "{rows:#}");
    app.close().await;
}

#[tokio::test]
async fn responses_and_gemini_name_the_tier_that_served_too() {
    let app = TestApp::with(PRICED).await;
    let usage = json!({"input_tokens": 1_000, "output_tokens": 1_000, "total_tokens": 2_000});
    let response = |tier: &str, output: Value| json!({"id": "r", "status": "completed", "service_tier": tier, "output": output, "usage": usage});
    let ask =
        |stream: bool| Call::post("/v1/responses", &json!({"model": "openai/gpt-5", "input": "Hi", "stream": stream}));
    let stream = |response: &Value| {
        let created =
            json!({"type": "response.created", "response": {"id": "r", "service_tier": "auto", "output": []}});
        let last = json!({"type": "response.completed", "response": response});
        Script::stream([format!(
            "event: response.created\ndata: {created}\n\nevent: response.completed\ndata: {last}\n\n"
        )])
    };
    let searched = json!([{"type": "web_search_call", "id": "ws_1", "status": "completed"}]);
    for (response, expected) in [
        (response("priority", json!([])), json!("0.0225")),
        (response("default", json!([])), json!("0.01125")),
        (response("default", searched), Value::Null),
    ] {
        assert_eq!(cost(&app, ask(false), Script::json(200, response.to_string())).await, expected, "{response}");
        assert_eq!(cost(&app, ask(true), stream(&response)).await, expected, "{response}");
    }
    let ask = Call::post(
        "/v1beta/models/gemini/gemini-2.5-flash:generateContent",
        &json!({"contents": [{"parts": [{"text": "Hi"}]}]}),
    );
    for (traffic, expected) in [
        ("ON_DEMAND", json!("0.0028")),
        ("ON_DEMAND_PRIORITY", json!("0.00504")),
        ("PROVISIONED_THROUGHPUT", Value::Null),
    ] {
        let usage = json!({"promptTokenCount": 1_000, "candidatesTokenCount": 1_000, "totalTokenCount": 2_000, "trafficType": traffic});
        let answer = json!({"candidates": [{"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP"}], "usageMetadata": usage});
        assert_eq!(cost(&app, ask.clone(), Script::json(200, answer.to_string())).await, expected, "{traffic}");
    }
    app.close().await;
}

#[tokio::test]
async fn searches_and_sound_at_google_are_charged_by_their_own_rate_or_unknown() {
    let app = TestApp::with(PRICED).await;
    let ask = Call::post(
        "/v1beta/models/gemini/gemini-2.5-flash:generateContent",
        &json!({"contents": [{"parts": [{"text": "Hi"}]}]}),
    );
    for (more, expected) in [
        (json!({"candidates": [{"groundingMetadata": {"webSearchQueries": ["rain", "sun"]}}]}), Value::Null),
        (json!({"candidates": [{"groundingMetadata": {"groundingChunks": [{"web": {"uri": "x"}}]}}]}), Value::Null),
        (json!({"candidates": [{"groundingMetadata": {"webSearchQueries": []}}]}), json!("0.0028")),
        // Sound has a rate of its own, and pictures have none.
        (
            json!({"usageMetadata": {"promptTokensDetails": [{"modality": "TEXT", "tokenCount": 400}, {"modality": "AUDIO", "tokenCount": 600}]}}),
            json!("0.00322"),
        ),
        (json!({"usageMetadata": {"candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 1}]}}), Value::Null),
        (json!({"usageMetadata": {"candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1}]}}), Value::Null),
    ] {
        let usage = json!({"promptTokenCount": 1_000, "candidatesTokenCount": 1_000, "totalTokenCount": 2_000});
        let mut answer = json!({"candidates": [{"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP"}], "usageMetadata": usage});
        for (place, more) in more.as_object().unwrap() {
            let (into, more) = match place.as_str() {
                "candidates" => (&mut answer["candidates"][0], &more[0]),
                _ => (&mut answer["usageMetadata"], more),
            };
            into.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        }
        let stream = || Script::stream([format!("data: {answer}\n\n")]);
        let streams = "/v1beta/models/gemini/gemini-2.5-flash:streamGenerateContent?alt=sse";
        let asked = json!({"contents": [{"parts": [{"text": "Hi"}]}]});
        let found = [
            cost(&app, ask.clone(), Script::json(200, answer.to_string())).await,
            cost(&app, Call::post(streams, &asked), stream()).await,
            cost(&app, Call::chat(&hello("gemini/gemini-2.5-flash")), Script::json(200, answer.to_string())).await,
            cost(&app, Call::chat(&streamed(hello("gemini/gemini-2.5-flash"))), stream()).await,
        ];
        assert_eq!(found, [expected.clone(), expected.clone(), expected.clone(), expected], "{more}");
    }
    app.close().await;
}

#[tokio::test]
async fn what_anthropic_charges_beside_the_tokens_is_charged_or_unknown() {
    let app = TestApp::with(PRICED).await;
    for (more, expected) in [
        (json!({}), json!("0.0015")),
        (
            json!({"service_tier": "standard", "inference_geo": "not_available", "server_tool_use": {"web_search_requests": 0}}),
            json!("0.0015"),
        ),
        (json!({"inference_geo": "us"}), json!("0.00165")),
        (json!({"service_tier": "priority"}), Value::Null),
        (json!({"speed": "fast"}), Value::Null),
        (json!({"server_tool_use": {"web_search_requests": 2}}), Value::Null),
        (json!({"server_tool_use": {"web_fetch_requests": 2, "code_execution_requests": 0}}), json!("0.0015")),
        (json!({"server_tool_use": {"code_execution_requests": 1}}), Value::Null),
    ] {
        let mut usage = json!({"input_tokens": 1_000, "output_tokens": 100});
        usage.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = json!({"id": "m", "type": "message", "role": "assistant", "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn", "usage": usage});
        for call in [messages("anthropic/claude-haiku-4-5"), Call::chat(&hello("anthropic/claude-haiku-4-5"))] {
            assert_eq!(cost(&app, call, Script::json(200, answer.to_string())).await, expected, "{more}");
        }
    }
    app.close().await;
}

#[tokio::test]
async fn sound_has_its_own_rate_and_what_searches_by_itself_has_a_fee_nobody_knows() {
    let more = "[models.set]\nprovider = \"openai\"\nmodel = \"gpt-4o\"\nprice = { input = \"1\", output = \"2\" }\n";
    let app = TestApp::with(&format!("{PRICED}{more}")).await;
    let (read, written) = (json!({"audio_tokens": 400}), json!({"audio_tokens": 90}));
    for (model, details, expected) in [
        (
            "openai/gpt-audio",
            json!({"prompt_tokens_details": read, "completion_tokens_details": written}),
            json!("0.02016"),
        ),
        ("openai/gpt-audio", json!({}), json!("0.0035")),
        ("openai/gpt-4o-mini", json!({"prompt_tokens_details": read}), Value::Null),
        ("openai/gpt-4o-mini", json!({"prompt_tokens_details": {"audio_tokens": 0}}), json!("0.00021")),
        // Who sets a price sets it for all tokens.
        ("set", json!({"prompt_tokens_details": read}), json!("0.0012")),
        ("openai/gpt-4o-search-preview", json!({}), Value::Null),
        ("openai/gpt-5-search-api", json!({}), Value::Null),
    ] {
        let mut usage = json!({"prompt_tokens": 1_000, "completion_tokens": 100, "total_tokens": 1_100});
        usage.as_object_mut().unwrap().extend(details.as_object().unwrap().clone());
        let whole = json!({"id": "c", "choices": [{"message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}], "usage": usage});
        let chunk = json!({"id": "c", "choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]});
        let last = json!({"id": "c", "choices": [], "usage": usage});
        let stream = || Script::stream([format!("data: {chunk}\n\ndata: {last}\n\ndata: [DONE]\n\n")]);
        let found = [
            cost(&app, Call::chat(&hello(model)), Script::json(200, whole.to_string())).await,
            cost(&app, Call::chat(&streamed(hello(model))), stream()).await,
            cost(&app, messages(model), Script::json(200, whole.to_string())).await,
        ];
        assert_eq!(found, [expected.clone(), expected.clone(), expected], "{model} {details}");
    }
    app.close().await;
}

#[tokio::test]
async fn reasoning_beside_the_output_is_charged_and_a_reported_cost_is_taken() {
    let app = TestApp::with(PRICED).await;
    let choices = json!([{"message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}]);
    for (written, model, more, expected) in [
        (9, "xai/grok-4.20", json!({}), json!("0.0002975")),
        (103, "xai/grok-4.20", json!({}), json!("0.0002975")),
        (103, "xai/unheard-of", json!({}), Value::Null),
        (103, "xai/unheard-of", json!({"cost": 0.0125}), json!("0.0125")),
    ] {
        let mut usage = json!({"prompt_tokens": 32, "completion_tokens": written, "total_tokens": 135,
            "completion_tokens_details": {"reasoning_tokens": 94}});
        usage.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = json!({"id": "c", "choices": choices, "usage": usage});
        app.up.next(Script::json(200, answer.to_string()));
        let answer = app.chat(&hello(model)).await;
        let row = app.row(answer.id()).await;
        let seen = [&row["output_tokens"], &row["reasoning_tokens"], &row["cost_usd"]];
        assert_eq!(seen, [&json!(103), &json!(94), &expected], "{written} {model}");
    }
    app.close().await;
}

#[tokio::test]
async fn nothing_is_charged_for_an_answer_of_which_not_a_byte_came() {
    let app = TestApp::start().await;
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n";
    for script in [Script::raw("").fin(), Script::raw(head).fin(), Script::raw(head).reset()] {
        app.up.next(script);
        let answer = app.hello("fast").await;
        let row = app.row(answer.id()).await;
        assert_eq!(
            (&row["status"], &row["cost_usd"], &row["estimated"]),
            (&json!("error"), &json!("0"), &json!(false)),
            "{row}"
        );
        assert_eq!((&row["input_tokens"], &row["output_tokens"]), (&Value::Null, &Value::Null), "{row}");
        assert_eq!(row["attempts"][0]["status"], "unknown");
    }
    // Their callers hang up.
    app.up.next(Script::raw("").stall());
    let before = app.up.count();
    let call = Call::chat(&hello("fast")).key(&app.key);
    tokio::select! {
        _ = app.open(&call) => panic!("nothing was answered"),
        () = app.up.until("the call came", |received| received.len() > before) => {}
    }
    let rows = app.rows(4).await;
    let left = rows.iter().find(|row| row["status"] == "client_closed").unwrap();
    assert_eq!((&left["cost_usd"], &left["output_tokens"]), (&json!("0"), &Value::Null), "{left}");
    // Part of a whole answer came: what was read is charged, and no output is made up.
    app.up.next(Script::raw(format!("{head}{{\"choices\"")).fin());
    let row = app.hello("fast").await;
    let row = app.row(row.id()).await;
    assert_eq!((&row["output_tokens"], &row["estimated"]), (&json!(0), &json!(true)), "{row}");
    assert!(row["input_tokens"].as_u64() > Some(0) && row["cost_usd"] != "0", "{row}");
    let report = app.admin(Call::get("/api/v1/usage?by=status")).await.json();
    assert_eq!(
        (&report["total"]["estimated_requests"], &report["total"]["estimated_usd"]),
        (&json!(1), &row["cost_usd"]),
        "{report}"
    );
    assert_eq!(report["total"]["cost_usd"], row["cost_usd"]);
    app.close().await;
}

#[tokio::test]
async fn an_unknown_price_is_unknown_in_every_group_and_format() {
    let more = "[defaults]\nretries = 0\ncache = { mode = \"exact\", ttl = \"1h\", scope = \"project\" }\n";
    let app = TestApp::with(more).await;
    app.up.always(Script::json(200, WHOLE));
    for _ in 0..3 {
        let answer = app.hello("up/house").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let row = app.row(answer.id()).await;
        let saved = if row["cache"] == "hit" { Value::Null } else { json!("0") };
        assert_eq!(row["saved_usd"], saved, "{row}");
    }
    for by in ["model", "cache", "status", "session", "day"] {
        let report = app.admin(Call::get(&format!("/api/v1/usage?by={by}"))).await.json();
        for row in report["rows"].as_array().unwrap().iter().chain([&report["total"]]) {
            assert_eq!(row["cost_usd"], Value::Null, "{by}: {report}");
        }
        let total = &report["total"];
        assert_eq!((&total["saved_usd"], &total["unpriced_requests"]), (&Value::Null, &json!(3)), "{by}: {report}");
    }
    let csv = app.admin(Call::get("/api/v1/usage?by=model&format=csv")).await;
    let mut lines = csv.text().lines();
    let names: Vec<_> = lines.next().unwrap().split(',').collect();
    let cells: Vec<_> = lines.next().unwrap().split(',').collect();
    let cell = |name: &str| cells[names.iter().position(|known| *known == name).unwrap()];
    let money = ["cost_usd", "saved_usd", "unpriced_requests", "estimated_requests"].map(cell);
    assert_eq!(money, ["", "", "3", "0"], "{}", csv.text());
    // A known part is shown, with how many are unknown.
    app.hello("fast").await;
    let total = app.admin(Call::get("/api/v1/usage?by=day")).await.json()["total"].clone();
    assert_eq!((&total["cost_usd"], &total["unpriced_requests"]), (&json!("0.000015"), &json!(3)), "{total}");
    app.close().await;
}

#[tokio::test]
async fn an_absurd_limit_is_refused_in_every_dialect_by_its_own_name() {
    let app = TestApp::start().await;
    let hi = json!([{"role": "user", "content": "Hi"}]);
    let google = "/v1beta/models/fast:generateContent";
    let contents = json!([{"parts": [{"text": "Hi"}]}]);
    let limits =
        ["100000001", "4611686018427387904", "9223372036854775807", "18446744073709551616", "1e300", "-1", "1.5"];
    for limit in limits {
        let limit: Value = serde_json::from_str(limit).unwrap();
        for (name, path, body) in [
            ("max_tokens", "/v1/chat/completions", json!({"model": "fast", "messages": hi, "max_tokens": limit})),
            (
                "max_completion_tokens",
                "/v1/chat/completions",
                json!({"model": "fast", "messages": hi, "max_completion_tokens": limit}),
            ),
            ("max_tokens", "/v1/completions", json!({"model": "fast", "prompt": "Hi", "max_tokens": limit})),
            ("max_output_tokens", "/v1/responses", json!({"model": "fast", "input": "Hi", "max_output_tokens": limit})),
            ("max_tokens", "/v1/messages", json!({"model": "fast", "messages": hi, "max_tokens": limit})),
            ("maxOutputTokens", google, json!({"contents": contents, "generationConfig": {"maxOutputTokens": limit}})),
            (
                "max_output_tokens",
                google,
                json!({"contents": contents, "generation_config": {"max_output_tokens": limit}}),
            ),
        ] {
            let answer = app.send(Call::post(path, &body).key(&app.key)).await;
            let text = answer.text();
            assert_eq!(answer.status, 400, "{path} {name} {limit}: {text}");
            let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
            let names = message.contains(name) && (name.contains("completion") || !message.contains("completion"));
            assert!(names && message.contains("to 100000000"), "{path} {name} {limit}: {text}");
        }
    }
    assert_eq!(app.up.count(), 0);
    app.close().await;
}
