//! Targets that are out of credit, retired or not there: others are asked, and these cool.

use serde_json::{Value, json};

use crate::app::{TestApp, hello, streamed};
use crate::client::Call;
use crate::dialects::PROVIDERS;
use crate::upstream::Script;

const ROUTE: &str = r#"
[[routes]]
name = "r"
models = ["auto"]
strategy = "priority"
targets = [{ model = "fast" }, { model = "spare" }]
[defaults]
retries = 0
"#;

/// What providers answer whose model or credit is gone.
fn gone() -> Vec<Script> {
    let coded = |status: u16, message: &str, code: &str| {
        Script::json(
            status,
            json!({"error": {"message": message, "type": "invalid_request_error", "code": code}}).to_string(),
        )
    };
    let mut all: Vec<Script> =
        [402, 404, 405, 410, 424, 425, 451, 498].into_iter().map(|status| Script::error(status, "no")).collect();
    all.extend([
        coded(400, "The model was retired", "model_decommissioned"),
        coded(400, "The model `x` does not exist", "model_not_found"),
        coded(400, "Insufficient Balance", "invalid_request_error"),
        coded(403, "You exceeded your quota", "insufficient_quota"),
    ]);
    all
}

async fn health(app: &TestApp) -> Value {
    app.admin(Call::get("/api/v1/health")).await.json()["rows"].clone()
}

#[tokio::test]
async fn a_target_that_is_gone_is_passed_over_and_cools() {
    for script in gone() {
        let app = TestApp::with(ROUTE).await;
        app.up.always(script.clone());
        for _ in 0..7 {
            let answer = app.hello("auto").await;
            assert_eq!((answer.status, answer.header("x-fulcrum-model")), (200, Some("other/spare-x")), "{script:?}");
        }
        assert_eq!((app.up.count(), app.other.count()), (5, 7), "{script:?}");
        assert_eq!(health(&app).await[0]["target"], "up/gpt-x", "{script:?}");
        app.close().await;
    }
}

#[tokio::test]
async fn a_callers_own_mistake_goes_nowhere_else_and_cools_nothing() {
    let event = |error: Value| Script::stream([format!("data: {}\n\n", json!({"error": error}))]);
    let app = TestApp::with(ROUTE).await;
    for (script, stream) in [
        (Script::json(404, r#"{"error":{"message":"no response","param":"previous_response_id"}}"#), false),
        (Script::error(422, "`temperature` must be at most 1"), false),
        (event(json!({"code": 400, "message": "Invalid value for 'temperature'"})), true),
        (event(json!({"code": null, "type": "invalid_request_error", "message": "no"})), true),
        (event(json!({"code": 422, "message": "no"})), true),
    ] {
        app.up.always(script.clone());
        for _ in 0..7 {
            let body = if stream { streamed(hello("auto")) } else { hello("auto") };
            let answer = app.chat(&body).await;
            assert!((400..430).contains(&answer.status), "{script:?}: {}", answer.text());
        }
    }
    assert_eq!((app.other.count(), health(&app).await), (0, json!([])));
    app.close().await;
}

#[tokio::test]
async fn an_error_event_that_says_that_the_model_is_gone_goes_on_to_another_target() {
    let app = TestApp::with(ROUTE).await;
    for error in [
        json!({"code": 404, "message": "no"}),
        json!({"code": 402, "message": "no"}),
        json!({"code": 403, "message": "no"}),
    ] {
        app.up.next(Script::stream([format!("data: {}\n\n", json!({"error": error}))]));
        let answer = app.chat(&streamed(hello("auto"))).await;
        assert_eq!((answer.status, answer.header("x-fulcrum-attempts")), (200, Some("2")), "{}", answer.text());
    }
    app.close().await;
}

#[tokio::test]
async fn a_provider_without_a_route_to_count_tokens_stays_well() {
    let app = TestApp::with(PROVIDERS).await;
    app.up.always(Script::error(404, "404 page not found"));
    let body = json!({"model": "claude/m", "messages": [{"role": "user", "content": "Hi"}]});
    for _ in 0..7 {
        let answer = app.send(Call::post("/v1/messages/count_tokens", &body).key(&app.key)).await;
        assert_eq!(answer.status, 404, "{}", answer.text());
    }
    assert_eq!((app.up.count(), health(&app).await), (7, json!([])));
    app.close().await;
}
