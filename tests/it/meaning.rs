//! Rules that read what a text means: the embedding model is asked before the plan, once for equal texts, and never in vain.

use std::time::Duration;

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::client::{Answer, Call};
use crate::upstream::{Received, Script, Upstream};

const RULES: &str = r#"
[defaults]
retries = 0
[cache.semantic]
embedding_model = "meaning"
[models.meaning]
provider = "up"
model = "embed-x"
price = { input = "0.02", output = "0" }
[examples.refund]
sentences = ["I want my money back", "Refund me"]
[[routes]]
name = "refunds"
models = ["auto"]
when = 'similar_to("refund") > 0.8'
targets = [{ model = "spare" }]
[[routes]]
name = "rest"
models = ["auto"]
targets = [{ model = "fast" }]
"#;

/// A vector for each text of a request for embeddings: by what it speaks of.
pub fn vectors(received: &Received) -> Option<Script> {
    if received.path != "/v1/embeddings" {
        return None;
    }
    let body = received.json();
    let texts = body["input"].as_array().cloned().unwrap_or_default();
    let vector = |text: &Value| {
        let text = text.as_str().unwrap_or_default().to_lowercase();
        let about = |words: &[&str]| if words.iter().any(|word| text.contains(word)) { 1.0 } else { 0.0 };
        let money = about(&["money", "refund", "paid"]);
        let password = about(&["password", "log in"]);
        json!([money, password, if money + password > 0.0 { 0.0 } else { 1.0 }, 0.1])
    };
    let item = |(index, text)| json!({"object": "embedding", "index": index, "embedding": vector(text)});
    let data: Vec<Value> = texts.iter().enumerate().map(item).collect();
    let usage = json!({"prompt_tokens": 5 * data.len(), "total_tokens": 5 * data.len()});
    let answer = json!({"object": "list", "data": data, "model": "embed-x", "usage": usage});
    Some(Script::json(200, answer.to_string()))
}

async fn ask(app: &TestApp, text: &str) -> Answer {
    app.chat(&json!({"model": "auto", "messages": [{"role": "user", "content": text}]})).await
}

fn route(answer: &Answer) -> &str {
    answer.header("x-fulcrum-route").unwrap_or("-")
}

/// The texts of each request for embeddings, in order.
pub fn embedded(up: &Upstream) -> Vec<Value> {
    up.received().iter().filter(|one| one.path == "/v1/embeddings").map(|one| one.json()["input"].clone()).collect()
}

#[tokio::test]
async fn a_text_like_the_examples_takes_their_route() {
    let app = TestApp::with(RULES).await;
    app.up.answers(vectors);
    let (like, unlike) = (ask(&app, "You owe me what I paid").await, ask(&app, "Where is my parcel?").await);
    assert_eq!((route(&like), route(&unlike)), ("refunds", "rest"), "{}", like.text());
    assert_eq!(route(&ask(&app, "You owe me what I paid").await), "refunds");
    let asked = embedded(&app.up);
    let examples = json!(["I want my money back", "Refund me"]);
    assert_eq!(asked, [examples, json!(["You owe me what I paid"]), json!(["Where is my parcel?"])], "each once");
    let row = app.row(like.id()).await;
    let roles: Vec<&Value> = row["attempts"].as_array().unwrap().iter().map(|attempt| &attempt["role"]).collect();
    assert_eq!(roles, [&json!("embedding"), &json!("embedding"), &Value::Null], "{row:#}");
    assert_eq!((&row["model"], &row["trace"]["similar"]["refund"]), (&json!("other/spare-x"), &json!(1.0)), "{row:#}");
    let explained = app
        .send(
            Call::post(
                "/v1/explain",
                &json!({"model": "auto", "messages": [{"role": "user",
        "content": "You owe me what I paid"}]}),
            )
            .key(&app.key),
        )
        .await
        .json();
    assert_eq!(
        (&explained["route"], &explained["similar"]["sets"]),
        (&json!("refunds"), &json!({"refund": 1.0})),
        "{explained:#}"
    );
    let unknown = app
        .send(
            Call::post(
                "/v1/explain",
                &json!({"model": "auto", "messages": [{"role": "user",
        "content": "Never asked"}]}),
            )
            .key(&app.key),
        )
        .await
        .json();
    assert_eq!(unknown["similar"]["sets"], json!({"refund": null, "failed": "not_asked"}));
    assert_eq!(
        unknown["similar"]["summary"],
        "refund not known: that needs a call of the embedding model, and explain calls nobody"
    );
    assert_eq!(embedded(&app.up).len(), 3, "explain calls nobody");
    app.close().await;
}

#[tokio::test]
async fn other_examples_are_embedded_after_a_reload_and_the_same_ones_are_not() {
    let app = TestApp::with(RULES).await;
    app.up.answers(vectors);
    ask(&app, "I paid").await;
    app.reload(RULES).await;
    assert_eq!(route(&ask(&app, "I paid").await), "refunds");
    assert_eq!(embedded(&app.up).len(), 2);
    app.reload(&RULES.replace("\"Refund me\"", "\"I cannot log in\"")).await;
    assert_eq!(route(&ask(&app, "My password is wrong").await), "refunds");
    assert_eq!(embedded(&app.up).len(), 4);
    app.close().await;
}

#[tokio::test]
async fn where_the_embedding_fails_the_call_goes_on_and_says_so() {
    let app = TestApp::with(RULES).await;
    app.up.answers(|received| (received.path == "/v1/embeddings").then(|| Script::error(500, "broken")));
    let answer = ask(&app, "I paid").await;
    assert_eq!((answer.status, route(&answer)), (200, "rest"));
    let row = app.row(answer.id()).await;
    assert_eq!(row["trace"]["similar"], json!({"refund": null, "failed": "upstream_error"}), "{row:#}");
    let attempts: Vec<_> =
        row["attempts"].as_array().unwrap().iter().map(|one| (&one["role"], &one["status"])).collect();
    assert_eq!(attempts[0], (&json!("embedding"), &json!("error")), "{row:#}");
    assert_eq!(attempts.last(), Some(&(&Value::Null, &json!("ok"))), "{row:#}");
    assert!(app.metric("fulcrum_embedding_failures_total", "purpose=\"rules\"").await >= 1.0);
    app.close().await;
}

#[tokio::test]
async fn a_private_route_holds_where_its_rule_cannot_be_judged() {
    let rules = RULES.replace("embedding_model = \"meaning\"", "embedding_model = \"other/embed-x\"");
    let rules =
        rules.replace("targets = [{ model = \"spare\" }]", "targets = [{ model = \"spare\" }]\nlocal_only = true");
    let app = TestApp::with(&rules).await;
    app.other.answers(|received| (received.path == "/v1/embeddings").then(|| Script::json(200, "{\"data\":[]}")));
    assert_eq!(route(&ask(&app, "Where is my parcel?").await), "refunds");
    app.other.answers(vectors);
    // The examples are tried again once a second has passed since they failed.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(route(&ask(&app, "Where is my parcel?").await), "rest");
    app.close().await;
}

#[tokio::test]
async fn a_late_embedding_holds_a_call_up_for_a_part_of_its_limit_only() {
    let app = TestApp::with(RULES).await;
    app.up.answers(|received| (received.path == "/v1/embeddings").then(|| Script::raw("").stall()));
    let body = json!({"model": "auto", "messages": [{"role": "user", "content": "I paid"}]});
    let call = Call::chat(&body).key(&app.key).header("x-fulcrum-timeout", "1s");
    let answer = app.send(call).await;
    assert_eq!((answer.status, route(&answer)), (200, "rest"), "{}", answer.text());
    let began = std::time::Instant::now();
    assert_eq!(route(&app.send(Call::chat(&body).key(&app.key)).await), "rest");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    app.close().await;
}

#[tokio::test]
async fn one_projects_text_is_not_known_to_another() {
    let app = TestApp::with(RULES).await;
    app.up.answers(vectors);
    assert_eq!(app.admin(Call::post("/api/v1/projects", &json!({"name": "elsewhere"}))).await.status, 201);
    let stranger = app.new_key(&json!({"name": "stranger", "project": "elsewhere"})).await;
    ask(&app, "I paid").await;
    let body = json!({"model": "auto", "messages": [{"role": "user", "content": "I paid"}]});
    assert_eq!(route(&app.send(Call::chat(&body).key(&stranger)).await), "refunds");
    assert_eq!(embedded(&app.up).iter().filter(|texts| **texts == json!(["I paid"])).count(), 2);
    app.close().await;
}

#[tokio::test]
async fn equal_texts_at_once_are_embedded_once() {
    let app = TestApp::with(RULES).await;
    app.up.answers(vectors);
    let answers = futures_util::future::join_all((0..20).map(|_| ask(&app, "I paid"))).await;
    assert!(answers.iter().all(|answer| route(answer) == "refunds"));
    assert_eq!(embedded(&app.up).len(), 2);
    app.close().await;
}
