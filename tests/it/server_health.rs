//! Local servers that report their health: one that is not well is left alone, and used again once it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::app::TestApp;
use crate::client::{Call, PATIENCE};
use crate::upstream::Script;

/// A route to a local server, with another target behind it.
fn routes(server: &str) -> String {
    format!(
        "[providers.plain]\nkind = \"openai\"\nserver = \"{server}\"\nlocal = true\nbase_url = \"http://{{up}}/v1\"\n\
         [[routes]]\nname = \"r\"\nmodels = [\"any\"]\nretries = 0\ntargets = [{{ model = \"plain/m\" }}]\nfallbacks = [\"spare\"]\n"
    )
}

/// A gateway before a server whose health has this status, at this address.
async fn before(server: &str, path: &'static str) -> (TestApp, Arc<AtomicU16>) {
    let app = TestApp::with("").await;
    let status = Arc::new(AtomicU16::new(200));
    let its = status.clone();
    app.up.api(move |received| {
        let asked = received.head.starts_with(&format!("GET {path} "));
        asked.then(|| match its.load(Ordering::Relaxed) {
            200 => Script::json(200, r#"{"status":"ok"}"#),
            503 => Script::json(503, r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#),
            0 => Script::default().reset(),
            status => Script::json(status, "{}"),
        })
    });
    app.reload(&routes(server)).await;
    (app, status)
}

/// Asks the server anew, as a reload does, until the row of its provider is as `holds` wants it.
async fn until(app: &TestApp, server: &str, holds: impl Fn(Option<&Value>) -> bool) -> Option<Value> {
    let deadline = Instant::now() + PATIENCE;
    app.reload(&routes(server)).await;
    loop {
        let health = app.admin(Call::get("/api/v1/health")).await.json();
        let row = health["rows"].as_array().unwrap().iter().find(|row| row["target"] == "plain/*");
        if holds(row) {
            return row.cloned();
        }
        assert!(Instant::now() < deadline, "{health}");
        sleep(Duration::from_millis(10)).await;
    }
}

async fn answers(app: &TestApp) -> String {
    let answer = app.hello("any").await;
    format!("{} {}", answer.header("x-fulcrum-model").unwrap_or("-"), answer.header("x-fulcrum-attempts").unwrap())
}

#[tokio::test]
async fn a_server_that_loads_its_model_is_left_alone_until_it_is_well() {
    for (server, path) in [("llamacpp", "/health"), ("vllm", "/health"), ("lorax", "/health"), ("ollama", "/")] {
        let (app, status) = before(server, path).await;
        assert_eq!(answers(&app).await, "plain/m 1", "{server}");
        status.store(503, Ordering::Relaxed);
        let row = until(&app, server, |row| row.is_some()).await.unwrap();
        assert_eq!((&row["state"], &row["reason"]), (&"cooling".into(), &"its server loads a model (503)".into()));
        assert_eq!(answers(&app).await, "other/spare-x 1", "{server}");
        if server == "llamacpp" {
            let cooling = app.metric("fulcrum_target_cooling", "provider=\"plain\",model=\"m\",scope=\"all\"").await;
            assert!((cooling - 1.0).abs() < f64::EPSILON);
        }
        status.store(200, Ordering::Relaxed);
        until(&app, server, |row| row.is_none()).await;
        assert_eq!(answers(&app).await, "plain/m 1", "{server}");
        app.close().await;
    }
}

#[tokio::test]
async fn a_server_that_breaks_off_is_down_and_one_without_a_report_is_not() {
    let (app, status) = before("llamacpp", "/health").await;
    status.store(0, Ordering::Relaxed);
    let row = until(&app, "llamacpp", |row| row.is_some()).await.unwrap();
    assert_eq!(row["reason"], "its server broke off the report of its health");
    status.store(404, Ordering::Relaxed);
    until(&app, "llamacpp", |row| row.is_none()).await;
    assert_eq!(answers(&app).await, "plain/m 1");
    app.close().await;
}

#[tokio::test]
async fn a_lone_server_that_is_down_is_called_all_the_same_and_says_why_itself() {
    let (app, status) = before("llamacpp", "/health").await;
    status.store(503, Ordering::Relaxed);
    until(&app, "llamacpp", |row| row.is_some()).await;
    app.up.next(Script::error(503, "Loading model"));
    let answer = app.hello("plain/m").await;
    let row = app.row(answer.id()).await;
    assert!(answer.status == 503 && answer.text().contains("Loading model"), "{} {row:#}", answer.text());
    app.close().await;
}

#[tokio::test]
async fn only_local_servers_that_report_are_asked() {
    let app = TestApp::with("").await;
    let asked = Arc::new(AtomicU16::new(0));
    let count = asked.clone();
    app.up.api(move |received| {
        received.head.starts_with("GET /health ").then(|| {
            count.fetch_add(1, Ordering::Relaxed);
            Script::json(503, "{}")
        })
    });
    for routes in [routes("generic"), routes("llamacpp").replace("local = true\n", "")] {
        app.reload(&routes).await;
        assert_eq!(answers(&app).await, "plain/m 1");
    }
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    app.close().await;
}
