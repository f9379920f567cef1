//! Fidelity: what reaches a provider, and what comes back, is what was sent.

use serde_json::{Value, json};

use crate::app::{ADMIN, TestApp, UP_KEY, hello};
use crate::client::Call;
use crate::upstream::{Script, WHOLE};

async fn sent(app: &TestApp, body: &str) -> String {
    let answer = app.send(Call::new("POST", "/v1/chat/completions", body.to_owned()).key(&app.key)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    String::from_utf8(app.up.received().last().unwrap().body.to_vec()).unwrap()
}

#[tokio::test]
async fn a_body_goes_up_byte_by_byte_but_for_its_model() {
    let app = TestApp::start().await;
    let body = "{ \"zebra\" : [1.50, 1e2,\t-0.0, \"\\u00e9\\n\\/\"],\r\n  \"messages\":[{\"role\":\"user\",\"content\":\"Hi \\ud83d\\ude00 é\",\"name\" : \"x\", \"odd\":{}}], \"model\" : \"fast\",\n \"max_tokens\": 5,\"apple\":{\"b\":1,\"a\":2}, \"logit_bias\":{\"50256\":-100}, \"n\":1 }";
    assert_eq!(sent(&app, body).await, body.replace("\"fast\"", "\"gpt-x\""));
    app.close().await;
}

#[tokio::test]
async fn a_stream_asks_for_usage_and_changes_nothing_else() {
    let app = TestApp::start().await;
    let body = r#"{"model":"fast","stream":true,"messages":[{"role":"user","content":"Hi"}],"x":[1, 2]}"#;
    let expected = r#"{"model":"gpt-x","stream":true,"messages":[{"role":"user","content":"Hi"}],"x":[1, 2],"stream_options":{"include_usage":true}}"#;
    assert_eq!(sent(&app, body).await, expected);
    let body = r#"{"model":"fast","stream":true,"stream_options":{"include_obfuscation":false},"messages":[{"role":"user","content":"Hi"}]}"#;
    let options = serde_json::from_str::<Value>(&sent(&app, body).await).unwrap()["stream_options"].clone();
    assert_eq!(options, json!({"include_obfuscation": false, "include_usage": true}));
    let body = r#"{"model":"gpt-x","stream":true,"stream_options":{"include_usage" : true},"messages":[{"role":"user","content":"Hi"}]}"#;
    assert_eq!(sent(&app, &body.replace("gpt-x", "fast")).await, body);
    app.close().await;
}

#[tokio::test]
async fn a_model_of_the_same_name_leaves_the_body_alone() {
    let app = TestApp::with("[models.gpt-x]\nprovider = \"up\"\n").await;
    let body = "{\"model\":\"gpt-x\" ,\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}\n";
    assert_eq!(sent(&app, body).await, body);
    app.close().await;
}

#[tokio::test]
async fn a_whole_answer_comes_down_byte_by_byte() {
    let app = TestApp::start().await;
    let body = format!(" {}\n", WHOLE.replace("{\"id\"", "{ \"zebra\" : [1.50, 1e2, \"\\u00e9\"],\"id\""));
    app.up.next(Script::json(200, &body));
    assert_eq!(app.hello("fast").await.text(), body);
    app.close().await;
}

#[tokio::test]
async fn a_chunked_answer_is_the_same() {
    let app = TestApp::start().await;
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    app.up.next(Script::raw(head).chunks(WHOLE.as_bytes().chunks(7)).ended());
    assert_eq!(app.hello("fast").await.text(), WHOLE);
    app.up.next(Script::raw(format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{WHOLE}")).fin());
    assert_eq!(app.hello("fast").await.text(), WHOLE, "until the connection ends");
    app.close().await;
}

#[tokio::test]
async fn only_an_allow_list_of_headers_goes_up() {
    let app = TestApp::start().await;
    let call = Call::chat(&hello("fast"))
        .key(&app.key)
        .header("cookie", "session=1")
        .header("x-forwarded-for", "10.0.0.1")
        .header("user-agent", "caller/1")
        .header("openai-organization", "org")
        .header("x-fulcrum-tags", "a=b")
        .header("x-stainless-retry-count", "1")
        .header("accept-encoding", "gzip");
    assert_eq!(app.send(call).await.status, 200);
    let received = app.up.only();
    let mut names: Vec<_> = received.head.split("\r\n").skip(1).filter_map(|line| line.split_once(": ")).collect();
    names.sort_unstable();
    let names: Vec<_> = names.into_iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    assert_eq!(names, ["accept", "authorization", "content-length", "content-type", "host", "user-agent"]);
    assert_eq!(received.header("authorization"), Some(format!("Bearer {UP_KEY}").as_str()));
    assert!(received.header("user-agent").unwrap().starts_with("fulcrum/"));
    app.close().await;
}

#[tokio::test]
async fn the_callers_key_never_goes_up_by_any_header() {
    let app = TestApp::start().await;
    for name in ["x-api-key", "x-goog-api-key"] {
        let answer = app.send(Call::chat(&hello("fast")).header(name, &app.key)).await;
        assert_eq!(answer.status, 200, "{name}");
    }
    assert_eq!(app.admin(Call::chat(&hello("fast"))).await.status, 200);
    for received in app.up.received() {
        assert!(!received.head.contains(&app.key) && !received.head.contains(ADMIN));
    }
    app.close().await;
}

#[tokio::test]
async fn tags_session_and_user_stand_in_the_row() {
    let app = TestApp::start().await;
    let call = Call::chat(&hello("fast"))
        .key(&app.key)
        .header("x-fulcrum-tags", "team=search, env=prod")
        .header("x-fulcrum-session", "s-1")
        .header("x-fulcrum-user", "u-1");
    let row = app.row(app.send(call).await.id()).await;
    assert_eq!(row["tags"], json!({"team": "search", "env": "prod"}));
    assert_eq!((&row["session"], &row["user"]), (&json!("s-1"), &json!("u-1")));
    assert_eq!((&row["endpoint"], &row["project"]), (&json!("/v1/chat/completions"), &json!("default")));
    let by_tag = app.admin(Call::get("/api/v1/usage?by=tag:team,user")).await.json();
    assert_eq!((&by_tag["rows"][0]["tag:team"], &by_tag["rows"][0]["user"]), (&json!("search"), &json!("u-1")));
    app.close().await;
}

#[tokio::test]
async fn a_call_tells_all_of_itself_in_its_head() {
    let app = TestApp::with(
        "[[routes]]\nname = \"r\"\ntargets = [{ model = \"fast\" }]\ncache = { mode = \"exact\", ttl = \"1h\" }\n\
         [limits]\nrequests_per_minute = 100\n",
    )
    .await;
    let answer = app.hello("any").await;
    for (name, value) in [
        ("x-fulcrum-model", "up/gpt-x"),
        ("x-fulcrum-route", "r"),
        ("x-fulcrum-cache", "miss"),
        ("x-fulcrum-attempts", "1"),
        // 9 at $1 and 3 at $2 a million.
        ("x-fulcrum-cost-usd", "0.000015"),
        ("x-ratelimit-limit-requests", "100"),
        ("x-ratelimit-remaining-requests", "99"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    let id = answer.id();
    assert!(id.len() == 36 && id.as_bytes()[14] == b'7', "{id} is no UUIDv7");
    assert!(answer.header("x-ratelimit-reset-requests").is_some());
    app.close().await;
}
