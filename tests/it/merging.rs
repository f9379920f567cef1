//! Embeddings that arrive within a moment of each other are one call of the provider.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::app::TestApp;
use crate::client::{Answer, Call};
use crate::meaning::embedded;
use crate::upstream::{Received, Script};

const MERGING: &str = "[providers.merging]\nkind = \"openai\"\nbase_url = \"http://{up}/v1\"\napi_key = \"env:UP_KEY\"\n\
    batch_window = \"200ms\"\n[models.merged]\nprovider = \"merging\"\nmodel = \"m\"\nprice = { input = \"0.0125\", output = \"0\" }\n\
    [defaults]\nretries = 0\n";

/// Answers with a vector for each text that has its length, and seven tokens for each; what came is written down.
fn embeds(app: &TestApp, mut answer: impl FnMut(&Value) -> Option<Script> + Send + 'static) -> Arc<Mutex<Vec<Value>>> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let asked = seen.clone();
    app.up.api(move |received: &Received| {
        let body = received.json();
        asked.lock().unwrap().push(body.clone());
        Some(answer(&body).unwrap_or_else(|| vectors(&body)))
    });
    seen
}

fn vectors(body: &Value) -> Script {
    let texts = match &body["input"] {
        Value::Array(texts) => texts.clone(),
        text => vec![text.clone()],
    };
    let item = |(index, text): (usize, &Value)| json!({"object": "embedding", "index": index, "embedding": [text.to_string().len()]});
    // Out of order, as some servers answer.
    let data: Vec<Value> = texts.iter().enumerate().map(item).rev().collect();
    let tokens = texts.len() * 7;
    Script::json(200, json!({"object": "list", "data": data, "model": "m", "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}).to_string())
}

async fn embed(app: &TestApp, key: &str, body: Value) -> Answer {
    app.send(Call::post("/v1/embeddings", &body).key(key)).await
}

fn text(input: impl Into<Value>) -> Value {
    json!({"model": "merged", "input": input.into()})
}

#[tokio::test]
async fn equal_calls_within_the_window_are_one_and_each_has_its_vectors_and_its_share() {
    let app = TestApp::with(MERGING).await;
    let seen = embeds(&app, |_| None);
    let inputs = [json!("a"), json!(["bb", "ccc"]), json!("dddd")];
    let answers = join_all(inputs.iter().map(|input| embed(&app, &app.key, text(input.clone())))).await;
    assert_eq!(seen.lock().unwrap().len(), 1, "{:?}", seen.lock().unwrap());
    let (mut tokens, mut cost) = (0, 0.0);
    for (answer, lengths) in answers.iter().zip([vec![3], vec![4, 5], vec![6]]) {
        assert_eq!(answer.status, 200, "{}", answer.text());
        let body = answer.json();
        let found: Vec<_> =
            body["data"].as_array().unwrap().iter().map(|item| item["embedding"][0].as_u64().unwrap()).collect();
        assert_eq!(found, lengths);
        let indexes: Vec<_> =
            body["data"].as_array().unwrap().iter().map(|item| item["index"].as_u64().unwrap()).collect();
        assert_eq!(indexes, (0..lengths.len() as u64).collect::<Vec<_>>());
        let row = app.row(answer.id()).await;
        assert_eq!(row["attempts"].as_array().unwrap().len(), 1);
        assert_eq!(row["input_tokens"], body["usage"]["prompt_tokens"]);
        tokens += row["input_tokens"].as_u64().unwrap();
        cost += row["cost_usd"].as_str().unwrap().parse::<f64>().unwrap();
    }
    assert_eq!(tokens, 28, "exact to the token");
    // 28 tokens at 12.5 nano-dollars.
    assert!((cost * 1e9 - 350.0).abs() < 1e-6, "exact to the nano-dollar: {cost}");
    assert!((app.metric("fulcrum_merged_calls_total", "merging").await - 1.0).abs() < 0.1);
    assert!((app.metric("fulcrum_merged_parts_total", "merging").await - 3.0).abs() < 0.1);
    app.close().await;
}

#[tokio::test]
async fn other_settings_other_projects_and_other_forms_are_not_merged() {
    let app = TestApp::with(MERGING).await;
    let seen = embeds(&app, |_| None);
    let elsewhere = app.new_key(&json!({"name": "e", "project": "elsewhere"})).await;
    let same = app.new_key(&json!({"name": "s"})).await;
    let calls = [
        (&app.key, text("a")),
        (&same, text("b")),
        (&elsewhere, text("c")),
        (&app.key, json!({"model": "merged", "input": "d", "dimensions": 8})),
        (&app.key, json!({"model": "merged", "input": "e", "encoding_format": "base64"})),
        (&app.key, text(json!([1, 2]))),
    ];
    let answers = join_all(calls.iter().map(|(key, body)| embed(&app, key, body.clone()))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    let mut inputs: Vec<String> = seen.lock().unwrap().iter().map(|body| body["input"].to_string()).collect();
    inputs.sort();
    let ab = if inputs.contains(&"[\"a\",\"b\"]".to_owned()) { "[\"a\",\"b\"]" } else { "[\"b\",\"a\"]" };
    assert_eq!(inputs, [ab, "[\"c\"]", "[\"d\"]", "[\"e\"]", "[[1,2]]"]);
    // A vector that came as numbers is written as the caller asked.
    assert!(answers[4].json()["data"][0]["embedding"].is_string(), "{}", answers[4].text());
    app.close().await;
}

#[tokio::test]
async fn a_text_that_is_refused_fails_no_other() {
    let app = TestApp::with(MERGING).await;
    let seen =
        embeds(&app, |body| body["input"].to_string().contains("bad").then(|| Script::error(400, "`bad` is too long")));
    let answers = join_all(["a", "bad", "c"].map(|input| embed(&app, &app.key, text(input)))).await;
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 400, 200]);
    assert_eq!(seen.lock().unwrap().len(), 4, "one for all, and one for each");
    let row = app.row(answers[0].id()).await;
    let attempts = row["attempts"].as_array().unwrap();
    assert_eq!((attempts.len(), &attempts[0]["http_status"], &attempts[0]["cost_usd"]), (2, &json!(400), &json!("0")));
    app.close().await;
}

#[tokio::test]
async fn an_answer_with_too_few_vectors_is_asked_for_by_each() {
    let app = TestApp::with(MERGING).await;
    let seen = embeds(&app, |body| {
        let is_merged = body["input"].as_array().is_some_and(|texts| texts.len() > 1);
        is_merged.then(|| vectors(&text("only one")))
    });
    let answers = join_all(["a", "bb"].map(|input| embed(&app, &app.key, text(input)))).await;
    for (answer, length) in answers.iter().zip([3, 4]) {
        assert_eq!(answer.json()["data"][0]["embedding"], json!([length]));
    }
    assert_eq!(seen.lock().unwrap().len(), 3);
    app.close().await;
}

/// A server that has no room for a text, and says that a call which has it failed.
fn fails_with_poison(status: u16) -> impl FnMut(&Value) -> Option<Script> + Send + 'static {
    move |body| body["input"].to_string().contains("poison").then(|| Script::error(status, "too large to process"))
}

/// What `GET /api/v1/health` has of the merging provider's model.
async fn health(app: &TestApp) -> Vec<(Value, Value)> {
    let health = app.admin(Call::get("/api/v1/health")).await.json();
    health["rows"].as_array().unwrap().iter().map(|row| (row["state"].clone(), row["keys"].clone())).collect()
}

#[tokio::test]
async fn a_text_that_its_server_fails_on_cools_no_other_key_whoever_came_first() {
    for status in [500, 502] {
        let app = TestApp::with(&format!("{MERGING}all_cooling = \"refuse\"\n")).await;
        let (first, second) = (app.new_key(&json!({"name": "1"})).await, app.new_key(&json!({"name": "2"})).await);
        let _seen = embeds(&app, fails_with_poison(status));
        for n in 0..6 {
            let calls = [(&first, text("fine")), (&app.key, text("poison")), (&second, text("fine too"))];
            let answers = join_all(calls.iter().map(|(key, body)| embed(&app, key, body.clone()))).await;
            let bad = if n < 5 { status } else { 503 };
            let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
            assert_eq!(statuses, [200, bad, 200], "{n}: {}", answers[1].text());
        }
        assert_eq!(health(&app).await, [(json!("cooling"), json!(1))], "for the key whose text it is");
        app.close().await;
    }
}

#[tokio::test]
async fn merged_calls_that_fail_in_a_row_are_made_no_more_for_a_while() {
    let app = TestApp::with(MERGING).await;
    let seen = embeds(&app, fails_with_poison(400));
    for calls in [4, 4, 4, 3, 3] {
        seen.lock().unwrap().clear();
        let answers = join_all(["a", "poison", "c"].map(|input| embed(&app, &app.key, text(input)))).await;
        assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 400, 200]);
        assert_eq!(seen.lock().unwrap().len(), calls, "one for all and one for each, then each alone");
    }
    app.close().await;
}

#[tokio::test]
async fn a_server_that_refuses_many_inputs_gets_fewer_from_then_on() {
    let app = TestApp::with(MERGING).await;
    let seen = embeds(&app, |body| {
        let count = body["input"].as_array().map_or(1, Vec::len);
        (count > 3).then(|| Script::error(422, "batch size > maximum allowed batch size 3"))
    });
    // 12 at once and each alone, then 6 and 6 and each alone, then 3 in each.
    for calls in [13, 14, 4, 4] {
        seen.lock().unwrap().clear();
        let answers = join_all((0..12).map(|n| embed(&app, &app.key, text(n.to_string())))).await;
        assert!(answers.iter().all(|answer| answer.status == 200));
        assert_eq!(seen.lock().unwrap().len(), calls);
    }
    app.close().await;
}

#[tokio::test]
async fn an_answer_with_an_empty_or_a_shorter_vector_is_asked_for_by_each() {
    for bad in [json!([]), json!(null), json!([1, 2])] {
        let app = TestApp::with(MERGING).await;
        let seen = embeds(&app, move |body| {
            let texts = body["input"].as_array().filter(|texts| texts.len() > 1)?;
            let vector = |n: usize| if n == 1 { bad.clone() } else { json!([7]) };
            let data: Vec<Value> = (0..texts.len()).map(|n| json!({"index": n, "embedding": vector(n)})).collect();
            Some(Script::json(200, json!({"object": "list", "data": data}).to_string()))
        });
        let answers = join_all(["a", "bb", "ccc"].map(|input| embed(&app, &app.key, text(input)))).await;
        for (answer, length) in answers.iter().zip([3, 4, 5]) {
            assert_eq!(answer.json()["data"][0]["embedding"], json!([length]), "{}", answer.text());
        }
        assert_eq!(seen.lock().unwrap().len(), 4);
        app.close().await;
    }
}

#[tokio::test]
async fn a_merged_call_that_no_text_can_fail_is_one_fault_of_its_target_for_each_key() {
    let app = TestApp::with(MERGING).await;
    let other = app.new_key(&json!({"name": "other"})).await;
    let seen = embeds(&app, |_| Some(Script::error(503, "oops")));
    let keys = [&app.key, &other, &app.key, &app.key, &other];
    let answers = join_all(keys.iter().map(|key| embed(&app, key, text("a")))).await;
    assert!(answers.iter().all(|answer| answer.status == 503));
    assert_eq!(seen.lock().unwrap().len(), 1);
    assert_eq!(health(&app).await, [(json!("healthy"), json!(null))], "two faults of five that would cool");
    app.close().await;
}

#[tokio::test]
async fn a_caller_that_hangs_up_and_one_without_time_hurt_no_other() {
    let app = TestApp::with(MERGING).await;
    let seen = embeds(&app, |_| None);
    let (slow, quick, gone) = (text("a"), text("bb"), text("ccc"));
    let hasty = Call::post("/v1/embeddings", &quick).key(&app.key).header("x-fulcrum-timeout", "100ms");
    let (first, second, third) = tokio::join!(
        embed(&app, &app.key, slow),
        app.send(hasty),
        tokio::time::timeout(Duration::from_millis(60), embed(&app, &app.key, gone)),
    );
    assert!(third.is_err(), "it hung up");
    assert_eq!((first.status, second.status), (200, 200), "{}", second.text());
    // Too little time to wait for others: it goes out alone.
    assert_eq!(seen.lock().unwrap().len(), 2);
    app.rows(3).await;
    app.close().await;
}

/// The cache by meaning, whose embedding model merges.
fn semantic() -> String {
    format!(
        "{MERGING}cache = {{ mode = \"semantic\", threshold = 0.9 }}\n[cache.semantic]\nembedding_model = \"merged\"\n"
    )
}

async fn ask(app: &TestApp, text: &str) -> Answer {
    app.chat(&json!({"model": "fast", "messages": [{"role": "user", "content": text}]})).await
}

#[tokio::test]
async fn the_caches_own_embeddings_are_merged_with_each_other_and_with_callers() {
    let app = TestApp::with(&semantic()).await;
    app.up.api(|received| (received.path == "/v1/embeddings").then(|| vectors(&received.json())));
    let (first, second, direct) = tokio::join!(
        ask(&app, "I paid 10 dollars"),
        ask(&app, "I paid 20 dollars"),
        embed(&app, &app.key, text(json!(["a caller's"]))),
    );
    assert_eq!((first.status, second.status, direct.status), (200, 200, 200), "{}", direct.text());
    let asked = embedded(&app.up);
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0].as_array().unwrap().len(), 3);
    let mut shares = direct.json()["usage"]["prompt_tokens"].as_u64().unwrap();
    for answer in [&first, &second] {
        let row = app.row(answer.id()).await;
        let embedding = &row["attempts"][0];
        assert_eq!(embedding["role"], "embedding", "{row:#}");
        let tokens = embedding["input_tokens"].as_u64().unwrap();
        // At 12.5 nano-dollars, with one that cannot be shared.
        let cost: f64 = embedding["cost_usd"].as_str().unwrap().parse().unwrap();
        assert!(tokens > 0 && (cost * 1e9 - f64::from(u32::try_from(tokens).unwrap()) * 12.5).abs() < 1.0, "{row:#}");
        shares += tokens;
    }
    assert_eq!(shares, 21, "each has its share of the one call's");
    assert!((app.metric("fulcrum_merged_parts_total", "merging").await - 3.0).abs() < 0.1);
    app.close().await;
}

#[tokio::test]
async fn a_text_whose_embedding_is_refused_makes_no_others_question_a_miss() {
    let app = TestApp::with(&semantic()).await;
    app.up.api(|received| {
        let body = (received.path == "/v1/embeddings").then(|| received.json())?;
        let is_bad = body["input"].to_string().contains("bad");
        Some(if is_bad { Script::error(400, "`bad` is too long") } else { vectors(&body) })
    });
    let (good, bad) = tokio::join!(ask(&app, "I paid 10 dollars"), ask(&app, "I had 20 bad dollars"));
    assert_eq!((good.status, bad.status), (200, 200));
    let good = app.row(good.id()).await;
    let attempts: Vec<(&Value, &Value)> =
        good["attempts"].as_array().unwrap().iter().map(|one| (&one["role"], &one["http_status"])).collect();
    let embedding = json!("embedding");
    assert_eq!(
        attempts,
        [(&embedding, &json!(400)), (&embedding, &json!(200)), (&Value::Null, &json!(200))],
        "{good:#}"
    );
    assert!((app.metric("fulcrum_embedding_failures_total", "purpose=\"cache\"").await - 1.0).abs() < 0.1);
    assert_eq!(embedded(&app.up).len(), 3, "one for both, and one for each");
    app.close().await;
}
