//! Estimates: the same question is the same number of tokens in every dialect, and every report says how much of it is estimated.

use serde_json::{Value, json};

use crate::app::{TestApp, hello};
use crate::client::Call;
use crate::upstream::{Script, WHOLE};

/// One question as each dialect asks it of `model`: its path, and its body.
fn questions(model: &str) -> [(String, Value); 4] {
    let (rule, words) = ("Answer in one word.", "What is the capital of Norway? Größe 名前");
    let (name, about) = ("look_up", "Looks a city up.");
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let picture = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    let url = format!("data:image/png;base64,{picture}");
    let chat = json!({"model": model, "max_completion_tokens": 20,
        "messages": [
            {"role": "developer", "content": rule},
            {"role": "user", "content": [{"type": "text", "text": words}, {"type": "image_url", "image_url": {"url": url}}]}],
        "tools": [{"type": "function", "function": {"name": name, "description": about, "parameters": schema}}]});
    let responses = json!({"model": model, "max_output_tokens": 20, "instructions": rule,
        "input": [{"role": "user", "content": [{"type": "input_text", "text": words}, {"type": "input_image", "image_url": url}]}],
        "tools": [{"type": "function", "name": name, "description": about, "parameters": schema, "strict": false}]});
    let messages = json!({"model": model, "max_tokens": 20, "system": rule,
        "messages": [{"role": "user", "content": [{"type": "text", "text": words},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": picture}}]}],
        "tools": [{"name": name, "description": about, "input_schema": schema}]});
    let gemini = json!({"generationConfig": {"maxOutputTokens": 20}, "systemInstruction": {"parts": [{"text": rule}]},
        "contents": [{"role": "user", "parts": [{"text": words}, {"inlineData": {"mimeType": "image/png", "data": picture}}]}],
        "tools": [{"functionDeclarations": [{"name": name, "description": about, "parameters": schema}]}]});
    [
        ("/v1/chat/completions".to_owned(), chat),
        ("/v1/responses".to_owned(), responses),
        ("/v1/messages".to_owned(), messages),
        (format!("/v1beta/models/{model}:generateContent"), gemini),
    ]
}

#[tokio::test]
async fn the_same_question_has_the_same_estimate_in_every_dialect() {
    let app = TestApp::start().await;
    // Two texts, a name, a description and a schema in four bytes a token, and the least that a picture is.
    let expected = (19 + 45 + 7 + 16 + 57_u64).div_ceil(4) + 256;
    let mut costs = Vec::new();
    for (path, body) in questions("fast") {
        let mut asked = body.clone();
        let endpoint = if path.contains("v1beta") { "/v1beta/models" } else { &path };
        (asked["endpoint"], asked["model"]) = (json!(endpoint), json!("fast"));
        let explained = app.send(Call::post("/v1/explain", &asked).key(&app.key)).await.json();
        assert_eq!(explained["tokens"]["input"], expected, "{path}: {explained:#}");
        costs.push(explained["estimated_cost_usd"].clone());
        // Its provider counts nothing.
        let uncounted = match path.as_str() {
            "/v1/responses" => {
                r#"{"id":"r","status":"completed","output":[{"type":"message","id":"m","role":"assistant","content":[{"type":"output_text","text":"Oslo"}]}]}"#
            }
            _ => r#"{"choices":[{"message":{"role":"assistant","content":"Oslo"},"finish_reason":"stop"}]}"#,
        };
        app.up.next(Script::json(200, uncounted));
        let answer = app.send(Call::post(&path, &body).key(&app.key)).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let row = app.row(answer.id()).await;
        let counts = [&row["input_tokens"], &row["output_tokens"], &row["estimated"]];
        assert_eq!(counts, [&json!(expected), &json!(1), &json!(true)], "{path}: {row:#}");
    }
    assert!(costs.iter().all(|cost| *cost == costs[0] && cost.is_string()), "{costs:?}");
    app.close().await;
}

/// What the rows of `/requests` say of estimates, for those that `fits` picks: how many, and what they cost in nano-dollars.
fn estimated(rows: &[Value], fits: impl Fn(&Value) -> bool) -> (u64, i128) {
    let rows = rows.iter().filter(|row| row["estimated"] == true && fits(row));
    rows.fold((0, 0), |(count, cost), row| (count + 1, cost + nanos(&row["cost_usd"])))
}

fn nanos(amount: &Value) -> i128 {
    let text = amount.as_str().unwrap_or("0");
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}{fraction:0<9}").parse().unwrap()
}

#[tokio::test]
async fn every_grouping_says_in_every_format_how_much_is_estimated() {
    let app = TestApp::start().await;
    let uncounted = r#"{"choices":[{"message":{"role":"assistant","content":"Hello there"},"finish_reason":"stop"}]}"#;
    for (n, (model, answer)) in [
        ("fast", WHOLE),
        ("fast", uncounted),
        ("spare", uncounted),
        ("spare", WHOLE),
        ("up/house", uncounted),
        ("fast", uncounted),
    ]
    .into_iter()
    .enumerate()
    {
        let upstream = if model == "spare" { &app.other } else { &app.up };
        upstream.next(Script::json(200, answer));
        let mut body = hello(model);
        body["user"] = json!(format!("u{}", n % 2));
        let call = Call::chat(&body).key(&app.key).header("x-fulcrum-session", "s").header("x-fulcrum-tags", "team=a");
        assert_eq!(app.send(call).await.status, 200, "{model}");
    }
    let rows = app.rows(6).await;
    let (count, cost) = estimated(&rows, |_| true);
    assert!(count == 4 && cost > 0, "{rows:#?}");
    let names = "hour day week month project key user session provider model route prompt version experiment arm status error \
                 cache tag:team model,user";
    for by in names.split(' ') {
        let report = app.admin(Call::get(&format!("/api/v1/usage?by={by}"))).await.json();
        let of = |row: &Value| (row["estimated_requests"].as_u64().unwrap(), nanos(&row["estimated_usd"]));
        let groups = report["rows"].as_array().unwrap();
        let sum = groups.iter().map(of).fold((0, 0), |(a, b), (c, d)| (a + c, b + d));
        assert_eq!((sum, of(&report["total"])), ((count, cost), (count, cost)), "{by}: {report:#}");
        for group in groups.iter().filter(|_| ["model", "user", "provider"].contains(&by)) {
            let expected = estimated(&rows, |row| row[by] == group[by]);
            let provider = |row: &Value| row["model"].as_str().unwrap().split('/').next() == group[by].as_str();
            let expected = if by == "provider" { estimated(&rows, provider) } else { expected };
            assert_eq!(of(group), expected, "{by}: {group:#}");
            // Nobody knows what the calls of that model cost.
            assert_eq!(group["estimated_usd"].is_null(), group["model"] == "up/house", "{group:#}");
        }
        let csv = app.admin(Call::get(&format!("/api/v1/usage?by={by}&format=csv"))).await;
        let mut lines = csv.text().lines().map(|line| line.split(',').collect::<Vec<_>>());
        let heads = lines.next().unwrap();
        let place = |name: &str| heads.iter().position(|head| *head == name).unwrap();
        let found =
            lines.map(|line| (line[place("estimated_requests")].to_owned(), line[place("estimated_usd")].to_owned()));
        let text = |row: &Value| row["estimated_usd"].as_str().unwrap_or("").to_owned();
        let expected: Vec<_> = groups.iter().map(|row| (row["estimated_requests"].to_string(), text(row))).collect();
        assert_eq!(found.collect::<Vec<_>>(), expected, "{by}: {}", csv.text());
    }
    app.close().await;
}
