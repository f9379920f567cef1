//! What `store_bodies` stores can be read, exported, and erased for good.

use std::path::Path;

use serde_json::{Value, json};

use crate::app::{ADMIN, TestApp, contains, hello, streamed};
use crate::binary::{Binary, config, fulcrum, run};
use crate::client::{Answer, Call};
use crate::upstream::{Script, Upstream, WHOLE};

const STORED: &str = "[defaults]\nretries = 0\n[ledger]\nstore_bodies = \"full\"\n";

/// A question that stands nowhere else.
const CANARY: &str = "canary-question-of-ann";

fn asks(text: &str) -> Value {
    json!({"model": "fast", "messages": [{"role": "user", "content": text}]})
}

/// The files of the database that hold `text`.
fn holding(dir: &Path, text: &str) -> Vec<String> {
    let files = std::fs::read_dir(dir).unwrap().flatten().filter(|entry| entry.path().is_file());
    let files = files.filter(|entry| contains(&std::fs::read(entry.path()).unwrap(), text));
    files.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

async fn erase(app: &TestApp, path: &str) -> Answer {
    app.admin(Call::new("DELETE", &format!("/api/v1{path}"), "")).await
}

#[tokio::test]
async fn the_texts_of_a_request_are_read_and_then_erased_from_every_file() {
    let app = TestApp::with(STORED).await;
    app.up.always(Script::json(200, WHOLE.replace("Hello there.", "canary-answer-to-ann")));
    let call = || Call::chat(&asks(CANARY)).key(&app.key).header("idempotency-key", "once");
    let asked = app.send(call()).await;
    let other = app.chat(&asks("another question")).await;
    let path = format!("/api/v1/requests/{}/body", asked.id());
    app.row(other.id()).await;
    let texts = app.admin(Call::get(&path)).await;
    assert_eq!(texts.status, 200, "{}", texts.text());
    assert_eq!(texts.json()["request"]["messages"][0]["content"], CANARY);
    assert_eq!(texts.json()["response"]["choices"][0]["message"]["content"], "canary-answer-to-ann");
    assert!(!holding(app.dir.path(), CANARY).is_empty());

    let erased = erase(&app, &format!("/requests/{}/body", asked.id())).await;
    let expected = json!({"erased": 1, "requests": 1, "feedback": 0, "shadow_pairs": 0, "dataset_items": 0, "idempotent_answers": 1, "cached_answers": 0});
    assert_eq!((erased.status, erased.json()), (200, expected));
    assert_eq!(holding(app.dir.path(), CANARY), Vec::<String>::new());
    assert_eq!(app.admin(Call::get(&path)).await.outcome(), "404 not_found");
    // The call with that key is not made again, and its answer is gone.
    let again = app.send(call()).await;
    assert!(again.outcome() == "409 conflict" && again.text().contains("erased"), "{}", again.text());
    // Others keep their texts, and the row keeps its figures.
    assert_eq!(app.admin(Call::get(&format!("/api/v1/requests/{}/body", other.id()))).await.status, 200);
    assert_eq!(app.row(asked.id()).await["input_tokens"], 9);
    assert_eq!(erase(&app, &format!("/requests/{}/body", asked.id())).await.json()["erased"], 0);
    assert_eq!(erase(&app, "/requests/nothing/body").await.outcome(), "404 not_found");
    let answers = holding(app.dir.path(), "canary-answer-to-ann");
    app.close().await;
    assert!(!answers.is_empty(), "the other call's answer has the same words");
}

#[tokio::test]
async fn what_a_user_or_a_session_asked_is_exported_and_erased() {
    let stored = format!(
        "{STORED}[[routes]]\nname = \"stored\"\nmodels = [\"stored\"]\ntargets = [{{ model = \"fast\" }}]\n\
         cache = {{ mode = \"exact\", ttl = \"1h\" }}\n"
    );
    let app = TestApp::with(&stored).await;
    let ask = async |user: &str, session: &str, body: &Value| {
        let call = Call::chat(body).key(&app.key).header("x-fulcrum-user", user).header("x-fulcrum-session", session);
        assert_eq!(app.send(call).await.status, 200);
    };
    for n in 0..3 {
        ask("ann", &format!("s{n}"), &asks(&format!("{CANARY} {n}"))).await;
    }
    ask("ann", "s0", &streamed(asks(&format!("{CANARY} streamed")))).await;
    let mut cached = asks(&format!("{CANARY} cached"));
    cached["model"] = "stored".into();
    ask("ann", "s9", &cached).await;
    ask("ann", "s9", &cached).await;
    ask("bob", "b", &asks("of bob")).await;
    app.rows(7).await;
    let export = async |query: &str| {
        let answer = app.admin(Call::get(&format!("/api/v1/bodies{query}"))).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/x-ndjson")));
        answer.text().lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>()
    };
    let all = export("").await;
    assert_eq!((all.len(), &all[0]["request"]["messages"][0]["content"]), (7, &json!("of bob")));
    assert_eq!(export("?user=ann").await.len(), 6);
    assert_eq!(export("?session=s0").await.len(), 2);
    assert_eq!(export(&format!("?request={}", all[0]["id"].as_str().unwrap())).await, [all[0].clone()]);

    let erased = erase(&app, "/bodies?session=s1").await.json();
    assert_eq!((&erased["erased"], &erased["cached_answers"]), (&json!(1), &json!(1)));
    let erased = erase(&app, "/bodies?user=ann").await.json();
    assert_eq!((&erased["erased"], &erased["requests"]), (&json!(5), &json!(6)));
    assert_eq!(holding(app.dir.path(), CANARY), Vec::<String>::new());
    assert_eq!(export("").await.len(), 1);
    for refused in ["/bodies", "/bodies?user=", "/bodies?user=ann&request=x", "/bodies?who=ann"] {
        assert_eq!(erase(&app, refused).await.status, 400, "{refused}");
    }
    assert_eq!(export("").await.len(), 1);
    app.close().await;
}

#[tokio::test]
async fn a_viewer_reads_texts_and_only_an_admin_erases_them() {
    let app = TestApp::with(STORED).await;
    let asked = app.chat(&asks(CANARY)).await;
    app.row(asked.id()).await;
    let (one, many) = (format!("/api/v1/requests/{}/body", asked.id()), "/api/v1/bodies?user=ann".to_owned());
    for (role, reads, erases) in [("app", 403, 403), ("viewer", 200, 403), ("editor", 200, 403), ("admin", 200, 200)] {
        let key = app.new_key(&json!({"name": role, "role": role})).await;
        for path in [&one, &many] {
            assert_eq!(app.send(Call::get(path).key(&key)).await.status, reads, "{role} {path}");
            assert_eq!(app.send(Call::new("DELETE", path, "").key(&key)).await.status, erases, "{role} {path}");
        }
    }
    app.close().await;
}

#[tokio::test]
async fn the_command_line_shows_exports_and_erases_texts() {
    let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::start().await);
    let text = format!("{}[ledger]\nstore_bodies = \"full\"\n", config(up.address));
    std::fs::write(dir.path().join("fulcrum.toml"), text).unwrap();
    let binary = Binary::start(fulcrum(dir.path())).await;
    let ask = async |user: &str| {
        let call = Call::chat(&asks(CANARY)).header("x-fulcrum-user", user);
        binary.send(call).await.id().to_owned()
    };
    let (first, second) = (ask("ann").await, ask("ann").await);
    let url = format!("http://{}", binary.address);
    let here = |words: &[&str]| run(fulcrum(dir.path()).args(words).args(["--config", "fulcrum.toml"]));
    let there = |words: &[&str]| run(fulcrum(dir.path()).args(words).args(["--url", &url, "--key", ADMIN]));
    let (code, shown) = there(&["request", "show", &first, "--body"]);
    assert!(
        code == 0 && shown.contains(CANARY) && shown.contains("Hello there.") && shown.contains("up/gpt-x"),
        "{shown}"
    );
    let (code, plain) = here(&["request", "show", &first, "--format", "json"]);
    assert!(code == 0 && !plain.contains(CANARY), "{plain}");
    assert_eq!(serde_json::from_str::<Value>(&plain).unwrap()["user"], "ann");
    let (code, lines) = here(&["request", "export", "--user", "ann"]);
    assert!(code == 0 && lines.lines().count() == 2, "{lines}");
    // Beside a running gateway, and over it.
    let (code, output) = here(&["request", "erase", &first]);
    assert_eq!(
        (code, &*output),
        (0, "erased the texts of 1 of 1 requests, and 0 answers stored for idempotency keys\n")
    );
    let (code, output) = there(&["request", "erase", "--user", "ann", "--format", "json"]);
    assert_eq!((code, &serde_json::from_str::<Value>(&output).unwrap()["erased"]), (0, &json!(1)), "{output}");
    assert_eq!(holding(dir.path(), CANARY), Vec::<String>::new());
    assert_eq!(there(&["request", "show", &second, "--body"]).0, 1);
    for wrong in
        [&["request", "erase"][..], &["request", "erase", "--user", ""], &["request", "erase", &first, "--user", "x"]]
    {
        assert_eq!(there(wrong).0, 2, "{wrong:?}");
    }
    assert_eq!(binary.send(Call::chat(&hello("fast"))).await.status, 200);
}
