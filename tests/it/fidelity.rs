//! Fidelity: a request that stays in its dialect goes up byte for byte but for `model`, whatever it looks like, and what a
//! prompt adds disturbs nothing; a translation keeps the order of messages, tools and what stands in their schemas.

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::client::Call;
use crate::dialects::PROVIDERS;
use crate::upstream::{Script, WHOLE};

/// Fields that no dialect knows, and some that only look like others: spaces, escapes, numbers that no float holds, names
/// that differ in case or by an escape.
const ODD: &str = "\"Model\" : \"no\" ,\r\n\t\"model_\":{\"model\":\"inner\",\"b\":[1.50, -0.0,1e2 , 1E-7],\"a\":12345678901234567890123},\
    \"n\u{e9}\":\"\\u00e9 \\ud83d\\ude00 \\/ \\\\ \\\"model\\\": 😀\u{2028}\", \"\": null,\"big\":1e400 ";

/// The values in it, as they stand.
const ODD_VALUES: [&str; 6] = [
    "\"no\"",
    "{\"model\":\"inner\",\"b\":[1.50, -0.0,1e2 , 1E-7],\"a\":12345678901234567890123}",
    "\"n\u{e9}\"",
    "\"\\u00e9 \\ud83d\\ude00 \\/ \\\\ \\\"model\\\": 😀\u{2028}\"",
    "null",
    "1e400",
];

/// For each dialect: where it is called, whom, its provider's model, and a request, in which `MODEL` is the model.
fn requests() -> [(&'static str, &'static str, String); 4] {
    let chat = format!(
        "{{ {ODD} , \"messages\":[ {{\"content\" :\"model\", \"role\":\"user\",\"extra\":[]}} ],\"model\" : \"MODEL\" , \"tools\":[{{\"function\":{{\"parameters\":{{\"z\":1,\"a\":{{}} ,\"type\":\"object\"}},\"name\":\"f\"}},\"type\":\"function\"}}],\"stop\":null }}"
    );
    let responses = format!(
        "{{\"input\":[ {{\"content\" :\"model\", \"role\":\"user\"}} ],{ODD},\"model\" : \"MODEL\",\"prompt_cache_key\":\"k\" , \"tools\":[{{\"parameters\":{{\"z\":1,\"a\":{{}}}},\"name\":\"f\",\"type\":\"function\"}}]}}\n"
    );
    let messages = format!(
        "\n{{\"model\":\"MODEL\",\"max_tokens\":5 ,{ODD},\"system\":[{{\"cache_control\":{{\"ttl\":\"1h\",\"type\":\"ephemeral\"}},\"type\":\"text\",\"text\":\"S\"}}],\"messages\":[ {{\"role\":\"user\",\"content\":[{{\"type\":\"text\",\"text\":\"Hi\",\"cache_control\":{{\"type\":\"ephemeral\"}}}}]}} ]}}"
    );
    let gemini = format!(
        "{{{ODD},\"contents\":[ {{\"parts\":[{{\"text\":\"MODEL\"}}] , \"role\":\"user\"}} ], \"cachedContent\":\"cachedContents/x\",\"generation_config\":{{\"topK\":40.0,\"x\":{{}}}} }}"
    );
    [
        ("/v1/chat/completions", "plain", chat),
        ("/v1/responses", "answers", responses),
        ("/v1/messages", "claude", messages),
        ("/v1beta/models/gem/m:generateContent", "gem", gemini),
    ]
}

/// A good answer in a provider's dialect.
fn good(provider: &str) -> Script {
    Script::json(
        200,
        match provider {
            "plain" => WHOLE,
            "answers" => {
                r#"{"id":"r","object":"response","status":"completed","model":"m","output":[],"usage":{"input_tokens":1,"output_tokens":1}}"#
            }
            "claude" => {
                r#"{"id":"r","type":"message","role":"assistant","model":"m","content":[],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}"#
            }
            _ => {
                r#"{"candidates":[{"content":{"parts":[{"text":"Hi"}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":1}}"#
            }
        },
    )
}

#[tokio::test]
async fn an_odd_request_goes_up_byte_for_byte_in_every_dialect() {
    let app = TestApp::with(PROVIDERS).await;
    for (path, provider, body) in requests() {
        let asked = body.replace("\"MODEL\"", &format!("\"{provider}/m\""));
        app.up.next(good(provider));
        let answer = app.send(Call::new("POST", path, asked.clone()).key(&app.key)).await;
        assert_eq!(answer.status, 200, "{provider}: {}", answer.text());
        let sent = app.up.received().pop().unwrap();
        let expected = if provider == "gem" { asked } else { body.replace("MODEL", "m") };
        assert_eq!(std::str::from_utf8(&sent.body).unwrap(), expected, "{provider}");
    }
    app.close().await;
}

#[tokio::test]
async fn what_a_prompt_adds_leaves_the_rest_of_a_request_as_it_came() {
    let app = TestApp::with(PROVIDERS).await;
    let prompt = json!({"name": "terse", "labels": ["production"], "messages": [
        {"role": "system", "content": "Be terse."}, {"role": "user", "content": "First."}]});
    let made = app.admin(Call::post("/api/v1/prompts", &prompt)).await;
    assert_eq!(made.status, 201, "{}", made.text());
    for (path, provider, body) in requests() {
        let asked = body.replace("\"MODEL\"", &format!("\"{provider}/m\""));
        let asked = asked.replacen('{', "{\"prompt\":{\"id\":\"terse\"},", 1);
        app.up.next(good(provider));
        let answer = app.send(Call::new("POST", path, asked.clone()).key(&app.key)).await;
        assert_eq!(answer.status, 200, "{provider}: {}", answer.text());
        let sent = app.up.received().pop().unwrap();
        let text = std::str::from_utf8(&sent.body).unwrap();
        // Fields that nobody knows keep their order, and each its value, byte for byte.
        let (mut left, mut found) = (text, 0);
        for value in ODD_VALUES {
            let at = left.find(value).unwrap_or_else(|| panic!("{provider} lost {value}: {text}"));
            left = &left[at + value.len()..];
            found += 1;
        }
        assert_eq!(found, ODD_VALUES.len());
        // Every item that the caller sent stands in it as it came.
        let items: &[&str] = match provider {
            "plain" => {
                &["{\"content\" :\"model\", \"role\":\"user\",\"extra\":[]}", "{\"z\":1,\"a\":{} ,\"type\":\"object\"}"]
            }
            "answers" => &["{\"content\" :\"model\", \"role\":\"user\"}", "{\"z\":1,\"a\":{}}"],
            "claude" => &[
                "{\"cache_control\":{\"ttl\":\"1h\",\"type\":\"ephemeral\"},\"type\":\"text\",\"text\":\"S\"}",
                "{\"type\":\"text\",\"text\":\"Hi\",\"cache_control\":{\"type\":\"ephemeral\"}}",
            ],
            _ => &["\"parts\":[{\"text\":\"gem/m\"}] , \"role\":\"user\"}", "{\"topK\":40.0,\"x\":{}}"],
        };
        for item in items {
            assert!(text.contains(item), "{provider} lost {item}: {text}");
        }
        let first = text.find("First.").unwrap_or_else(|| panic!("{provider}: {text}"));
        assert!(text.contains("Be terse.") && first < text.find(items[usize::from(provider == "claude")]).unwrap());
        assert!(!text.contains("\"prompt\""), "{provider}: {text}");
    }
    app.close().await;
}

#[tokio::test]
async fn a_translation_keeps_the_order_of_messages_tools_and_schemas() {
    let app = TestApp::with(PROVIDERS).await;
    let schema = r#"{"type":"object","properties":{"zebra":{"type":"string"},"apple":{"enum":["z","a","m"]},"mango":{"anyOf":[{"type":"null"},{"minimum":0,"type":"integer"}]}},"required":["mango","zebra"],"additionalProperties":false}"#;
    let tools = |wrap: &dyn Fn(&str) -> String| ["zeta", "alpha", "mid"].map(wrap).join(",");
    let names = ["u1", "a1", "u2", "a2", "u3"];
    let turns = |wrap: &dyn Fn(&str, &str) -> String| {
        names.map(|name| wrap(if name.starts_with('u') { "user" } else { "assistant" }, name)).join(",")
    };
    let plain = |role: &str, text: &str| format!(r#"{{"role":"{role}","content":"{text}"}}"#);
    let calls = |target: &str| {
        let chat =
            tools(&|name| format!(r#"{{"type":"function","function":{{"name":"{name}","parameters":{schema}}}}}"#));
        let flat =
            tools(&|name| format!(r#"{{"type":"function","name":"{name}","strict":false,"parameters":{schema}}}"#));
        let inputs = tools(&|name| format!(r#"{{"name":"{name}","input_schema":{schema}}}"#));
        let functions = tools(&|name| format!(r#"{{"name":"{name}","parametersJsonSchema":{schema}}}"#));
        let contents = turns(&|role, text| {
            let role = if role == "user" { "user" } else { "model" };
            format!(r#"{{"role":"{role}","parts":[{{"text":"{text}"}}]}}"#)
        });
        let messages = turns(&plain);
        [
            (
                "/v1/chat/completions".to_owned(),
                format!(r#"{{"model":"{target}","messages":[{messages}],"tools":[{chat}]}}"#),
            ),
            ("/v1/responses".to_owned(), format!(r#"{{"model":"{target}","input":[{messages}],"tools":[{flat}]}}"#)),
            (
                "/v1/messages".to_owned(),
                format!(r#"{{"model":"{target}","max_tokens":9,"messages":[{messages}],"tools":[{inputs}]}}"#),
            ),
            (
                format!("/v1beta/models/{target}:generateContent"),
                format!(r#"{{"contents":[{contents}],"tools":[{{"functionDeclarations":[{functions}]}}]}}"#),
            ),
        ]
    };
    for provider in ["plain", "answers", "claude", "gem"] {
        for (path, body) in calls(&format!("{provider}/m")) {
            app.up.next(good(provider));
            let answer = app.send(Call::new("POST", &path, body).key(&app.key)).await;
            assert_eq!(answer.status, 200, "{path} to {provider}: {}", answer.text());
            let sent = app.up.received().pop().unwrap();
            let text = std::str::from_utf8(&sent.body).unwrap();
            let places = |words: &[&str]| -> Vec<usize> {
                words
                    .iter()
                    .map(|word| text.find(&format!("\"{word}\"")).unwrap_or_else(|| panic!("{word}: {text}")))
                    .collect()
            };
            assert!(places(&names).is_sorted(), "{path} to {provider}: {text}");
            assert!(places(&["zeta", "alpha", "mid"]).is_sorted(), "{path} to {provider}: {text}");
            assert_eq!(text.matches(schema).count(), 3, "{path} to {provider}: {text}");
        }
    }
    app.close().await;
}

#[tokio::test]
async fn a_field_that_stands_twice_is_refused_and_sent_nowhere() {
    let app = TestApp::with(PROVIDERS).await;
    for (path, provider, body) in requests() {
        let asked = body.replace("\"MODEL\"", &format!("\"{provider}/m\"")).replacen('{', "{\"x\":1,\"x\":2,", 1);
        let answer = app.send(Call::new("POST", path, asked).key(&app.key)).await;
        let body: Value = answer.json();
        assert_eq!(answer.status, 400, "{body}");
        assert!(body["error"]["message"].as_str().is_some_and(|message| message.contains("`x`")), "{body}");
    }
    assert_eq!(app.up.count(), 0);
    app.close().await;
}
