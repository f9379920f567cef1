//! Bedrock: its signatures, its errors, and exceptions before and in its streams.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::app::{AWS_ID, OTHER_KEY, TestApp, UP_KEY, hello, streamed};
use crate::client::Call;
use crate::frames::{event, exception};
use crate::upstream::{Received, Script};

/// `signed` signs with a pair of keys, `bed` sends a key of Bedrock's own, `other` answers in its stead.
const PROVIDERS: &str = r#"
[providers.signed]
kind = "bedrock"
region = "us-west-2"
base_url = "http://{up}"
access_key_id = "env:AWS_ID"
secret_access_key = "env:OTHER_KEY"
session_token = "env:UP_KEY"
[providers.bed]
kind = "bedrock"
region = "eu-west-1"
base_url = "http://{up}"
api_key = "env:UP_KEY"
[models.haiku]
provider = "signed"
model = "arn:aws:bedrock:us-west-2:123456789012:inference-profile/us.anthropic.claude-haiku-4-5-20251001-v1:0"
[[routes]]
name = "safe"
models = ["safe"]
targets = [{ model = "haiku" }]
fallbacks = ["spare"]
"#;

const WHOLE: &str = r#"{"output":{"message":{"role":"assistant","content":[{"text":"Hello."}]}},"stopReason":"end_turn","usage":{"inputTokens":9,"outputTokens":3,"totalTokens":12},"metrics":{"latencyMs":1}}"#;

fn frames() -> Vec<Vec<u8>> {
    vec![
        event("messageStart", r#"{"role":"assistant"}"#),
        event("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"Hello."}}"#),
        event("contentBlockStop", r#"{"contentBlockIndex":0}"#),
        event("messageStop", r#"{"stopReason":"end_turn"}"#),
        event("metadata", r#"{"usage":{"inputTokens":9,"outputTokens":3,"totalTokens":12},"metrics":{"latencyMs":1}}"#),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").unwrap();
        out
    })
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// The signature that a request must have, reckoned by Amazon's published steps and nothing of what signed it.
fn signature(received: &Received) -> String {
    let authorization = received.header("authorization").unwrap();
    let covered = authorization.split("SignedHeaders=").nth(1).unwrap().split(',').next().unwrap();
    // Each byte of the path that is no letter of its own is written anew, the `%` of those that were before too.
    let path = received.path.replace('%', "%25");
    let headers: String =
        covered.split(';').map(|name| format!("{name}:{}\n", received.header(name).unwrap().trim())).collect();
    let canonical = format!("POST\n{path}\n\n{headers}\n{covered}\n{}", hex(&Sha256::digest(&received.body)));
    let time = received.header("x-amz-date").unwrap();
    let scope = format!("{}/us-west-2/bedrock/aws4_request", &time[..8]);
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
    let words = scope.split('/');
    let key = words.fold(format!("AWS4{OTHER_KEY}").into_bytes(), |key, word| mac(&key, word));
    let signature = hex(&mac(&key, &text));
    format!("AWS4-HMAC-SHA256 Credential={AWS_ID}/{scope}, SignedHeaders={covered}, Signature={signature}")
}

#[tokio::test]
async fn every_attempt_is_signed_over_what_is_sent() {
    let app = TestApp::with(PROVIDERS).await;
    app.up.next(Script::reply(503, "x-amzn-errortype: ServiceUnavailableException\r\n", r#"{"message":"busy"}"#));
    app.up.next(Script::json(200, WHOLE));
    app.up.next(Script::frames(frames()));
    let answer = app.hello("haiku").await;
    assert_eq!((answer.status, answer.header("x-fulcrum-attempts")), (200, Some("2")), "{}", answer.text());
    let streamed = app.hello_stream("signed/amazon.nova-pro-v1:0").await;
    assert!(streamed.text().ends_with("data: [DONE]\n\n"), "{}", streamed.text());
    let received = app.up.received();
    let profile = "arn%3Aaws%3Abedrock%3Aus-west-2%3A123456789012%3Ainference-profile%2Fus.anthropic.claude-haiku-4-5-20251001-v1%3A0";
    let paths: Vec<&str> = received.iter().map(|sent| sent.path.as_str()).collect();
    let whole = format!("/model/{profile}/converse");
    assert_eq!(paths, [whole.as_str(), whole.as_str(), "/model/amazon.nova-pro-v1%3A0/converse-stream"]);
    for sent in &received {
        assert_eq!(sent.header("authorization"), Some(signature(sent).as_str()));
        assert!(sent.header("authorization").unwrap().contains("content-type;host;x-amz-date;x-amz-security-token"));
        assert_eq!(sent.header("x-amz-security-token"), Some(UP_KEY));
        assert_eq!(sent.json().get("model"), None);
    }
    app.close().await;
}

#[tokio::test]
async fn a_key_of_bedrocks_own_goes_as_it_is() {
    let app = TestApp::with(PROVIDERS).await;
    app.up.next(Script::json(200, WHOLE));
    let answer = app.hello("bed/amazon.nova-lite-v1:0").await;
    assert_eq!(answer.json()["choices"][0]["message"]["content"], "Hello.", "{}", answer.text());
    let sent = app.up.only();
    assert_eq!(sent.header("authorization"), Some(format!("Bearer {UP_KEY}").as_str()));
    assert_eq!((sent.header("x-amz-date"), sent.header("x-amz-security-token")), (None, None));
    app.close().await;
}

#[tokio::test]
async fn errors_mean_what_their_names_say() {
    let app = TestApp::with(PROVIDERS).await;
    let cases = [
        (429, "ThrottlingException", "Too many requests", 429, "upstream_rate_limited", 1),
        (400, "ThrottlingException", "Too many requests", 429, "upstream_rate_limited", 1),
        (
            400,
            "ValidationException:http://internal.amazon.com/x",
            "maxTokens is too high",
            400,
            "ValidationException",
            1,
        ),
        (400, "ValidationException", "Input is too long for requested model.", 400, "context_length_exceeded", 1),
        (403, "AccessDeniedException", "You have no access", 403, "AccessDeniedException", 1),
        (403, "UnrecognizedClientException", "The security token is invalid", 502, "upstream_auth", 1),
        (400, "ExpiredTokenException", "The token has expired", 502, "upstream_auth", 1),
        (404, "ResourceNotFoundException", "No such model", 404, "ResourceNotFoundException", 1),
        (429, "ModelNotReadyException", "Warming up", 429, "ModelNotReadyException", 3),
        (424, "ModelErrorException", "The model failed", 424, "ModelErrorException", 3),
    ];
    for (status, kind, message, expected, code, attempts) in cases {
        let body = json!({"message": format!("{message} {UP_KEY}")}).to_string();
        let script = Script::reply(status, &format!("x-amzn-errortype: {kind}\r\n"), body);
        (0..attempts).for_each(|_| app.up.next(script.clone()));
        // Another model each time, so that none is cooling.
        let model = format!("bed/{status}-{}-{attempts}-{}", &kind[..5], message.len());
        let answer = app.hello(&model).await;
        assert_eq!((answer.status, answer.code().as_str()), (expected, code), "{kind}: {}", answer.text());
        assert_eq!(answer.header("x-fulcrum-attempts"), Some(attempts.to_string().as_str()), "{kind}");
        assert!(!answer.text().contains(UP_KEY), "{}", answer.text());
        assert_eq!(answer.text().contains(message), code != "upstream_auth", "{}", answer.text());
    }
    app.close().await;
}

#[tokio::test]
async fn an_exception_before_the_first_event_is_tried_again_unseen() {
    let app = TestApp::with(PROVIDERS).await;
    app.up.next(Script::frames([exception("modelStreamErrorException", r#"{"originalMessage":"Broken"}"#)]));
    app.up.next(Script::frames(frames()));
    let answer = app.hello_stream("haiku").await;
    assert_eq!((answer.status, answer.header("x-fulcrum-attempts")), (200, Some("2")), "{}", answer.text());
    assert!(!answer.text().contains("Broken") && answer.text().ends_with("data: [DONE]\n\n"), "{}", answer.text());
    app.close().await;
}

#[tokio::test]
async fn a_throttling_exception_before_the_first_event_goes_on_to_the_next_target() {
    let app = TestApp::with(PROVIDERS).await;
    app.up.next(Script::frames([exception("throttlingException", r#"{"message":"Too many requests"}"#)]));
    let answer = app.hello_stream("safe").await;
    assert_eq!((answer.status, answer.header("x-fulcrum-model")), (200, Some("other/spare-x")), "{}", answer.text());
    assert_eq!(app.row(answer.id()).await["attempts"][0]["error_code"], "upstream_rate_limited");
    app.close().await;
}

#[tokio::test]
async fn a_stream_refused_before_its_first_event_is_not_tried_again() {
    let app = TestApp::with(PROVIDERS).await;
    app.up.next(Script::frames([exception("validationException", r#"{"message":"maxTokens is too high"}"#)]));
    let answer = app.hello_stream("safe").await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_request"), "{}", answer.text());
    assert!(answer.text().contains("maxTokens is too high"), "{}", answer.text());
    app.close().await;
}

#[tokio::test]
async fn an_exception_in_the_stream_is_an_error_event_of_every_caller() {
    let app = TestApp::with(PROVIDERS).await;
    let model = "bed/amazon.nova-lite-v1:0";
    let calls = [
        ("data: {\"error\":", Call::chat(&streamed(hello(model)))),
        ("event: error\n", Call::post("/v1/responses", &json!({"model": model, "stream": true, "input": "Hi"}))),
        (
            "event: error\n",
            Call::post(
                "/v1/messages",
                &json!({"model": model, "stream": true, "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}),
            ),
        ),
        (
            "\"error\":",
            Call::post(
                &format!("/v1beta/models/{model}:streamGenerateContent?alt=sse"),
                &json!({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}),
            ),
        ),
    ];
    for (expected, call) in calls {
        let mut cut = frames()[..2].to_vec();
        cut.push(exception("internalServerException", &json!({"message": format!("Sorry {UP_KEY}")}).to_string()));
        app.up.next(Script::frames(cut));
        let answer = app.send(call.key(&app.key)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let text = answer.text();
        assert!(text.contains("Hello.") && text.contains(expected) && text.contains("Sorry [removed]"), "{text}");
        assert_eq!(app.row(answer.id()).await["status"], "error");
    }
    app.close().await;
}

#[tokio::test]
async fn a_broken_frame_is_never_passed_on() {
    let app = TestApp::with(PROVIDERS).await;
    let mut broken = frames();
    let last = broken[2].len() - 9;
    broken[2][last] ^= 1;
    app.up.next(Script::frames(broken));
    let answer = app.hello_stream("bed/amazon.nova-lite-v1:0").await;
    let text = answer.text();
    assert!(text.contains("\"upstream_protocol\"") && !text.contains("[DONE]"), "{text}");
    app.up.next(Script::frames([b"\x7f\xff\xff\xff\0\0\0\0\0\0\0\0".to_vec()]));
    app.up.next(Script::frames(frames()));
    let answer = app.hello_stream("bed/amazon.nova-pro-v1:0").await;
    assert_eq!((answer.status, answer.header("x-fulcrum-attempts")), (200, Some("2")), "{}", answer.text());
    app.close().await;
}

#[tokio::test]
async fn a_stream_dripped_byte_by_byte_is_the_same_stream() {
    let app = TestApp::with(PROVIDERS).await;
    let bytes = frames().concat();
    app.up.next(Script::frames(bytes.chunks(1)));
    app.up.next(Script::frames([&bytes]));
    let model = "bed/amazon.nova-lite-v1:0";
    let shown = |text: &str| {
        let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok());
        events
            .filter_map(|event| Some(event["choices"][0]["delta"]["content"].as_str()?.to_owned()))
            .collect::<String>()
    };
    for _ in 0..2 {
        let answer = app.hello_stream(model).await;
        assert_eq!(shown(answer.text()), "Hello.", "{}", answer.text());
        let row = app.row(answer.id()).await;
        assert_eq!((&row["input_tokens"], &row["output_tokens"]), (&json!(9), &json!(3)));
    }
    app.close().await;
}

#[tokio::test]
async fn prices_are_those_of_the_region_and_of_the_model_behind_a_profile() {
    let app = TestApp::with(PROVIDERS).await;
    for (model, cost) in [
        ("haiku", "0.0000264"),
        ("bed/us.anthropic.claude-haiku-4-5-20251001-v1:0", "0.0000264"),
        ("bed/meta.llama3-8b-instruct-v1:0", "0.00000483"),
        ("signed/meta.llama3-8b-instruct-v1:0", "0.0000045"),
        ("bed/nobody.knows-v1:0", ""),
    ] {
        app.up.next(Script::json(200, WHOLE));
        let answer = app.hello(model).await;
        let row = app.row(answer.id()).await;
        assert_eq!(row["cost_usd"].as_str().unwrap_or_default(), cost, "{model}: {row}");
    }
    app.close().await;
}

#[tokio::test]
async fn embeddings_are_refused_by_name() {
    let app = TestApp::with(PROVIDERS).await;
    let body = json!({"model": "bed/amazon.titan-embed-text-v2:0", "input": "Hi"});
    let answer = app.send(Call::post("/v1/embeddings", &body).key(&app.key)).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "unsupported_feature"), "{}", answer.text());
    assert_eq!(app.up.count(), 0);
    app.close().await;
}
