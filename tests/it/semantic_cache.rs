//! The cache by meaning: which questions share an answer, which never do, and what is said of a hit.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::app::{TestApp, streamed};
use crate::batches::{CHAT, line};
use crate::client::{Answer, Call, PATIENCE};
use crate::meaning::{embedded, vectors};
use crate::upstream::{Script, WHOLE};

const SEMANTIC: &str = r#"
[defaults]
retries = 0
cache = { mode = "semantic", threshold = 0.9, verify_share = 0.0 }
[cache.semantic]
embedding_model = "meaning"
[models.meaning]
provider = "up"
model = "embed-x"
price = { input = "0.02", output = "0" }
"#;

fn cache(answer: &Answer) -> &str {
    answer.header("x-fulcrum-cache").unwrap_or("-")
}

fn asked(text: &str) -> Value {
    json!({"model": "fast", "messages": [{"role": "user", "content": text}]})
}

async fn app() -> TestApp {
    let app = TestApp::with(SEMANTIC).await;
    app.up.answers(vectors);
    app
}

async fn ask(app: &TestApp, text: &str) -> Answer {
    app.chat(&asked(text)).await
}

/// How many calls of the model itself the upstream saw.
fn calls(app: &TestApp) -> usize {
    app.up.received().iter().filter(|one| one.path != "/v1/embeddings").count()
}

#[tokio::test]
async fn a_question_that_means_the_same_gets_the_stored_answer_and_costs_its_embedding_only() {
    let app = app().await;
    let first = ask(&app, "How do I get my money back?").await;
    let second = ask(&app, "I want a refund, please").await;
    assert_eq!((cache(&first), cache(&second)), ("miss", "semantic"), "{}", second.text());
    assert_eq!(first.body, second.body);
    assert_eq!((second.header("x-fulcrum-similarity"), first.header("x-fulcrum-similarity")), (Some("1.0000"), None));
    assert!(second.header("age").is_some());
    assert_eq!(second.header("x-fulcrum-model"), Some("up/gpt-x"));
    assert_eq!(calls(&app), 1);
    let heads = [&first, &second].map(|answer| {
        let header = |name| answer.header(name).map(str::to_owned);
        (header("x-fulcrum-attempts"), header("x-fulcrum-cost-usd"))
    });
    let (first, second) = (app.row(first.id()).await, app.row(second.id()).await);
    assert_eq!(
        (&second["cache"], &second["status"], &second["model"]),
        (&json!("semantic"), &json!("ok"), &json!("up/gpt-x"))
    );
    assert_eq!(second["saved_usd"], first["cost_usd"], "{first:#}");
    let attempts = second["attempts"].as_array().unwrap();
    assert_eq!((attempts.len(), &attempts[0]["role"]), (1, &json!("embedding")), "{second:#}");
    // The headers say what the rows do.
    for (headers, row) in heads.iter().zip([&first, &second]) {
        let attempts = row["attempts"].as_array().map(|attempts| attempts.len().to_string());
        assert_eq!(*headers, (attempts, row["cost_usd"].as_str().map(str::to_owned)), "{row:#}");
    }
    // Exact answers first: no vector is asked for.
    let before = embedded(&app.up).len();
    assert_eq!(cache(&ask(&app, "How do I get my money back?").await), "hit");
    assert_eq!(embedded(&app.up).len(), before);
    app.close().await;
}

#[tokio::test]
async fn another_question_and_one_that_differs_in_what_counts_are_misses() {
    let app = app().await;
    ask(&app, "I paid 10 dollars, may I have a refund?").await;
    for text in [
        "I cannot log in",
        "I paid 20 dollars, may I have a refund?",
        "I paid 10 dollars, may I not have a refund?",
        "I paid 10 euros, may I have a refund?",
        "I paid 10 dollars for \"Dune\", may I have a refund?",
        "I paid 10 dollars for `a.b`, may I have a refund?",
        "I paid 10 dollars in Berlin, may I have a refund?",
    ] {
        assert_eq!(cache(&ask(&app, text).await), "miss", "{text}");
    }
    assert_eq!(cache(&ask(&app, "can I have my money back, I paid 10 dollars").await), "semantic");
    assert!(app.metric("fulcrum_semantic_refused_total", "number").await >= 2.0);
    assert!(app.metric("fulcrum_semantic_entries", "").await >= 8.0);
    app.close().await;
}

#[tokio::test]
async fn all_but_the_words_must_be_equal() {
    let app = app().await;
    ask(&app, "A refund, please").await;
    let changes = [
        json!({"model": "spare"}),
        json!({"temperature": 0.5}),
        json!({"max_tokens": 7}),
        json!({"seed": 7}),
        json!({"tools": [{"type": "function", "function": {"name": "f"}}]}),
        json!({"response_format": {"type": "json_object"}}),
        json!({"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Money back"}]}),
    ];
    app.other.answers(vectors);
    for change in &changes {
        let mut body = asked("Money back");
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        assert_eq!(cache(&app.chat(&body).await), "miss", "{change}");
    }
    assert_eq!(cache(&ask(&app, "Money back").await), "semantic");
    app.close().await;
}

#[tokio::test]
async fn what_no_similar_question_may_share_is_not_embedded() {
    let app = app().await;
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}});
    for change in [
        json!({"n": 2}),
        json!({"temperature": 1.5}),
        json!({"logprobs": true}),
        json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "A refund"}, image]}]}),
        json!({"messages": [{"role": "user", "content": "x".repeat(3_000)}]}),
    ] {
        let mut body = asked("A refund, please");
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        assert_eq!(cache(&app.chat(&body).await), "miss", "{change}");
        assert_eq!(cache(&app.chat(&body).await), "hit", "{change}");
    }
    assert_eq!(embedded(&app.up), Vec::<Value>::new());
    app.close().await;
}

#[tokio::test]
async fn the_whole_conversation_counts_and_not_its_last_message() {
    let app = app().await;
    let talk = |about: &str| {
        json!({"model": "fast", "messages": [
            {"role": "user", "content": about}, {"role": "assistant", "content": "I see."},
            {"role": "user", "content": "What should I do?"}]})
    };
    assert_eq!(cache(&app.chat(&talk("my parcel is late")).await), "miss");
    assert_eq!(cache(&app.chat(&talk("my password is wrong")).await), "miss");
    assert_eq!(
        cache(&app.chat(&talk("i cannot remember any password")).await),
        "miss",
        "a negation in an earlier message"
    );
    assert_eq!(cache(&app.chat(&talk("the password is bad")).await), "semantic");
    let texts = embedded(&app.up);
    assert_eq!(texts[0], json!(["my parcel is late", "I see.", "What should I do?"]));
    assert_eq!(texts[1], json!(["my password is wrong"]), "what is known is not asked for again");
    app.close().await;
}

#[tokio::test]
async fn a_hit_comes_in_every_dialect_and_as_a_stream() {
    let app = app().await;
    ask(&app, "I want my money").await;
    let stream = app.chat(&streamed(asked("a refund please"))).await;
    assert_eq!((cache(&stream), stream.header("content-type")), ("semantic", Some("text/event-stream")));
    assert!(stream.text().contains("Hello there.") && stream.text().ends_with("data: [DONE]\n\n"));
    for (path, body) in [
        ("/v1/responses", json!({"model": "fast", "input": "refund me"})),
        (
            "/v1beta/models/fast:generateContent",
            json!({"contents": [{"role": "user", "parts": [{"text": "refund me"}]}]}),
        ),
    ] {
        let answer = app.send(Call::post(path, &body).key(&app.key)).await;
        assert_eq!((cache(&answer), answer.status), ("semantic", 200), "{path}: {}", answer.text());
        assert!(answer.text().contains("Hello there."), "{path}");
    }
    let message =
        |text: &str| json!({"model": "fast", "max_tokens": 50, "messages": [{"role": "user", "content": text}]});
    app.chat(&message("I want my money")).await;
    let answer = app.send(Call::post("/v1/messages", &message("refund me")).key(&app.key)).await;
    assert_eq!((cache(&answer), answer.json()["content"][0]["text"].clone()), ("semantic", json!("Hello there.")));
    app.close().await;
}

#[tokio::test]
async fn directives_hold() {
    let app = app().await;
    let with = async |text: &str, name: &str, value: &str| {
        app.send(Call::chat(&asked(text)).key(&app.key).header(name, value)).await
    };
    assert_eq!(cache(&with("my money", "cache-control", "no-store").await), "miss");
    assert_eq!(cache(&with("a refund", "cache-control", "no-store").await), "miss", "no-store stored nothing");
    assert_eq!(cache(&ask(&app, "my money").await), "miss");
    assert_eq!(cache(&with("a refund", "x-fulcrum-cache", "bypass").await), "bypass");
    assert_eq!(cache(&with("a refund", "cache-control", "max-age=0").await), "miss");
    app.up.next(Script::json(200, WHOLE.replace("Hello", "Goodbye")));
    assert_eq!(cache(&with("a refund", "x-fulcrum-cache", "refresh").await), "miss");
    assert!(ask(&app, "a refund").await.text().contains("Goodbye"));
    assert_eq!(cache(&with("the money", "cache-control", "no-store").await), "semantic", "no-store may read");
    let before = (embedded(&app.up).len(), calls(&app));
    assert_eq!(cache(&with("the money", "x-fulcrum-cache", "only").await), "semantic", "its vector is known");
    assert_eq!(with("some money", "x-fulcrum-cache", "only").await.outcome(), "404 not_found");
    assert_eq!((embedded(&app.up).len(), calls(&app)), before, "only calls nobody");
    app.close().await;
}

#[tokio::test]
async fn no_hit_crosses_a_project_and_a_purge_reaches_all() {
    let app = app().await;
    assert_eq!(app.admin(Call::post("/api/v1/projects", &json!({"name": "elsewhere"}))).await.status, 201);
    let stranger = app.new_key(&json!({"name": "stranger", "project": "elsewhere"})).await;
    let sister = app.new_key(&json!({"name": "sister"})).await;
    ask(&app, "my money").await;
    let body = asked("a refund");
    assert_eq!(cache(&app.send(Call::chat(&body).key(&stranger)).await), "miss");
    assert_eq!(cache(&app.send(Call::chat(&body).key(&sister)).await), "semantic");
    assert_eq!(cache(&app.send(Call::chat(&asked("the money")).key(&stranger)).await), "semantic");
    let purged = app.admin(Call::post("/api/v1/cache/purge", &json!({"project": "elsewhere"}))).await;
    assert_eq!(purged.status, 200, "{}", purged.text());
    assert_eq!(cache(&app.send(Call::chat(&asked("refund me")).key(&stranger)).await), "miss");
    assert_eq!(cache(&ask(&app, "refund me").await), "semantic");
    app.admin(Call::post("/api/v1/cache/purge", &json!({"all": true}))).await;
    assert_eq!(cache(&ask(&app, "pay the refund").await), "miss");
    assert!((app.metric("fulcrum_semantic_entries", "").await - 1.0).abs() < 0.1);
    app.close().await;
}

#[tokio::test]
async fn what_calls_tools_or_was_cut_off_serves_equal_questions_only() {
    let app = app().await;
    let cut = WHOLE.replace("\"stop\"", "\"length\"");
    assert_ne!(cut, WHOLE);
    app.up.next(Script::json(200, cut));
    ask(&app, "my money").await;
    assert_eq!(cache(&ask(&app, "my money").await), "hit");
    assert_eq!(cache(&ask(&app, "a refund").await), "miss");
    app.close().await;
}

#[tokio::test]
async fn a_failing_embedding_is_a_miss() {
    let app = app().await;
    ask(&app, "my money").await;
    app.up.answers(|received| (received.path == "/v1/embeddings").then(|| Script::error(500, "broken")));
    let answer = ask(&app, "a refund").await;
    assert_eq!((cache(&answer), answer.status), ("miss", 200));
    assert!(app.metric("fulcrum_embedding_failures_total", "purpose=\"cache\"").await >= 1.0);
    assert_eq!(cache(&ask(&app, "a refund").await), "hit", "stored for equal questions");
    app.close().await;
}

#[tokio::test]
async fn explain_shows_what_is_compared_and_calls_nobody() {
    let app = app().await;
    ask(&app, "my money").await;
    let before = app.up.count();
    let body = json!({"model": "fast", "messages": [{"role": "system", "content": ""}, {"role": "user", "content": "a refund"}]});
    let explained = app.send(Call::post("/v1/explain", &asked("a refund")).key(&app.key)).await.json();
    let shown = &explained["by_meaning"];
    assert_eq!(
        (&shown["texts"], &shown["threshold"], &shown["candidates"]),
        (&json!(["a refund"]), &json!(0.9), &json!(1)),
        "{explained:#}"
    );
    let other = app.send(Call::post("/v1/explain", &body).key(&app.key)).await.json();
    assert_ne!(other["by_meaning"]["key"], shown["key"]);
    assert_eq!(app.up.count(), before);
    app.close().await;
}

#[tokio::test]
async fn explain_shows_the_nearest_question_where_that_needs_no_call() {
    let app = app().await;
    let by_meaning = async |text: &str| {
        let explained = app.send(Call::post("/v1/explain", &asked(text)).key(&app.key)).await.json();
        let part = explained["by_meaning"].clone();
        (part["nearest"].clone(), part["summary"].as_str().unwrap_or_default().to_owned())
    };
    let (nearest, summary) = by_meaning("can I have my money back, I paid 10 dollars").await;
    assert_eq!((nearest, &*summary), (Value::Null, "texts 1, compared with 0 stored questions, at 0.9 or more"));
    ask(&app, "I paid 10 dollars, may I have a refund?").await;
    for text in [
        "can I have my money back, I paid 10 dollars",
        "can I have my money back, I paid 20 dollars",
        "Where is my parcel?",
    ] {
        let (nearest, summary) = by_meaning(text).await;
        let expected = "texts 1, compared with 1 stored questions, at 0.9 or more; how similar they are is not known: that needs a call \
             of the embedding model, and explain calls nobody";
        assert_eq!((nearest, &*summary), (Value::Null, expected), "{text}");
        // Its vector is known then, and no answer of its own is stored.
        app.send(Call::chat(&asked(text)).key(&app.key).header("cache-control", "no-store")).await;
    }
    let before = app.up.count();
    for (text, nearest, end) in [
        (
            "can I have my money back, I paid 10 dollars",
            json!({"similarity": 1.0, "differs": null}),
            "the nearest is at 1: a hit",
        ),
        (
            "can I have my money back, I paid 20 dollars",
            json!({"similarity": 1.0, "differs": "number"}),
            "the nearest is at 1, and differs in a number: a miss",
        ),
        ("Where is my parcel?", json!({"similarity": 0.0099, "differs": "number"}), "the nearest is at 0.0099: a miss"),
    ] {
        let (found, summary) = by_meaning(text).await;
        assert_eq!(found, nearest, "{text}");
        assert!(summary.ends_with(end), "{summary}");
    }
    assert_eq!(app.up.count(), before);
    app.close().await;
}

#[tokio::test]
async fn a_silent_embedding_model_takes_a_part_of_a_callers_limit_and_is_left_alone_after_a_few_calls() {
    let app = TestApp::with(SEMANTIC).await;
    app.up.answers(|received| (received.path == "/v1/embeddings").then(|| Script::raw("").stall()));
    for n in 0..8 {
        let call = Call::chat(&asked(&format!("Question {n}?"))).key(&app.key).header("x-fulcrum-timeout", "1s");
        let answer = app.send(call).await;
        assert_eq!((answer.status, cache(&answer)), (200, "miss"), "{n}: {}", answer.text());
    }
    // On a slow machine the pause of a second may have passed once.
    let tried = embedded(&app.up).len();
    assert!((5..=6).contains(&tried), "{tried}");
    assert_eq!(calls(&app), 8);
    let health = app.admin(Call::get("/api/v1/health")).await.json();
    let resting = health["rows"].as_array().unwrap().iter().find(|row| row["only_hurried"] == true).unwrap();
    assert_eq!((&resting["target"], &resting["keys"]), (&json!("up/embed-x"), &json!(1)), "{health:#}");
    assert!(resting["reason"].as_str().unwrap().contains("callers' own limits"), "{health:#}");
    assert!(["cooling", "probing"].contains(&resting["state"].as_str().unwrap()), "{health:#}");
    // Callers with more time ask it all the same: its health is not touched.
    app.up.answers(vectors);
    let unhurried = ask(&app, "Question?").await;
    assert_eq!(unhurried.header("x-fulcrum-attempts"), Some("2"), "{}", app.row(unhurried.id()).await);
    assert_eq!(embedded(&app.up).len(), tried + 1);
    app.close().await;
}

fn tokens(row: &Value, which: &str) -> u64 {
    row[format!("{which}_tokens")].as_u64().unwrap()
}

/// The requests that verified hits; waits until there are `count`.
async fn verified(app: &TestApp, count: usize) -> Vec<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = app.admin(Call::get("/api/v1/requests?purpose=verify")).await.json();
        let rows = found["rows"].as_array().cloned().unwrap_or_default();
        if rows.len() == count {
            return rows;
        }
        assert!(Instant::now() < deadline && rows.len() < count, "{} rows, not {count}: {rows:#?}", rows.len());
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_share_of_hits_is_asked_anew_beside_the_caller_and_wrong_ones_are_counted() {
    let app = TestApp::with(&SEMANTIC.replace("verify_share = 0.0", "verify_share = 1.0")).await;
    app.up.answers(vectors);
    ask(&app, "my money").await;
    let right = ask(&app, "a refund").await;
    assert_eq!((cache(&right), right.header("x-fulcrum-cost-usd")), ("semantic", Some("0.0000001")));
    let first = verified(&app, 1).await;
    assert_eq!((&first[0]["of"], &first[0]["error_code"]), (&json!(right.id()), &Value::Null), "{first:#?}");
    app.up.next(Script::json(200, WHOLE.replace("Hello", "A refund")));
    let wrong = ask(&app, "the money").await;
    assert!(wrong.text().contains("Hello"), "the caller has the stored answer");
    let second = verified(&app, 2).await;
    let row = second.iter().find(|row| row["of"] == wrong.id()).unwrap();
    assert_eq!(
        (&row["status"], &row["error_code"], &row["cache"]),
        (&json!("ok"), &json!("semantic_wrong"), &Value::Null)
    );
    let whole = app.row(row["id"].as_str().unwrap()).await;
    let sum =
        |name: &str| whole["attempts"].as_array().unwrap().iter().filter_map(|one| one[name].as_u64()).sum::<u64>();
    assert_eq!(
        (sum("input_tokens"), sum("output_tokens")),
        (tokens(&whole, "input"), tokens(&whole, "output")),
        "{whole:#}"
    );
    assert!(sum("output_tokens") > 0 && whole["attempts"].as_array().unwrap().len() == 2, "{whole:#}");
    assert_ne!(row["cost_usd"], "0");
    let total = app.admin(Call::get("/api/v1/usage")).await.json()["total"].clone();
    let figure = |name: &str| total[name].clone();
    assert_eq!((figure("requests"), figure("semantic_hits")), (json!(3), json!(2)), "{total:#}");
    assert_eq!((figure("semantic_verified"), figure("semantic_wrong")), (json!(2), json!(1)), "{total:#}");
    let csv = app.admin(Call::get("/api/v1/usage?format=csv")).await;
    assert!(
        csv.text().lines().next().unwrap().ends_with("semantic_hits,semantic_verified,semantic_wrong"),
        "{}",
        csv.text()
    );
    // The answer that was asked for anew is not stored.
    assert!(ask(&app, "pay me the money").await.text().contains("Hello"));
    app.close().await;
}

#[tokio::test]
async fn hits_that_go_down_as_streams_and_those_of_batches_are_verified_and_those_of_only_are_not() {
    let app = TestApp::with(&SEMANTIC.replace("verify_share = 0.0", "verify_share = 1.0")).await;
    app.up.answers(vectors);
    ask(&app, "my money").await;
    let stream = app.chat(&streamed(asked("a refund"))).await;
    assert_eq!((cache(&stream), stream.status), ("semantic", 200), "{}", stream.text());
    let first = verified(&app, 1).await;
    assert_eq!(first[0]["of"], stream.id());
    assert_eq!((&first[0]["stream"], &first[0]["error_code"]), (&json!(false), &Value::Null), "{first:#?}");
    let sent = app.up.received().last().unwrap().json();
    assert_eq!((sent.get("stream"), &sent["messages"][0]["content"]), (None, &json!("a refund")), "{sent}");

    let only = Call::chat(&asked("a refund")).key(&app.key).header("x-fulcrum-cache", "only");
    assert_eq!(cache(&app.send(only).await), "semantic");
    app.up.next(Script::json(200, WHOLE.replace("Hello", "A refund")));
    let batch = app.begin(&line("one", CHAT, &asked("the money")), CHAT).await;
    let batch = app.ended(&batch, "completed").await;
    let [output, _] = app.results(&batch).await;
    assert!(output["one"].to_string().contains("Hello"), "{output:#?}");
    let rows = verified(&app, 2).await;
    let wrong = rows.iter().find(|row| row["of"] != stream.id()).unwrap();
    assert_eq!(wrong["of"], output["one"]["response"]["request_id"], "{output:#?}");
    assert_eq!((&wrong["error_code"], &wrong["tags"]), (&json!("semantic_wrong"), &json!({"batch": batch["id"]})));
    assert!(app.metric("fulcrum_own_requests_total", "purpose=\"verify\",result=\"ok\"").await >= 2.0);
    app.close().await;
}
