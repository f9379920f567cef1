//! Datasets: imported whole or not at all, in versions that never change, of one's own project alone.

use serde_json::{Value, json};

use crate::app::{ADMIN, TestApp, hello};
use crate::binary::{Binary, config, fulcrum, run};
use crate::client::{Answer, Call};
use crate::upstream::Upstream;

async fn with_tickets() -> (TestApp, String) {
    let app = TestApp::start().await;
    let editor = app.new_key(&json!({"name": "e", "role": "editor"})).await;
    let made = app.send(Call::post("/api/v1/datasets", &json!({"name": "tickets"})).key(&editor)).await;
    assert_eq!(made.status, 201, "{}", made.text());
    (app, editor)
}

async fn import(app: &TestApp, key: &str, query: &str, text: impl Into<::bytes::Bytes>) -> Answer {
    let call = Call::new("POST", &format!("/api/v1/datasets/tickets/items{query}"), text);
    app.send(call.header("content-type", "application/x-ndjson").key(key)).await
}

async fn get(app: &TestApp, path: &str) -> Answer {
    app.admin(Call::get(&format!("/api/v1/datasets{path}"))).await
}

fn line(n: usize) -> String {
    format!("{}\n", json!({"variables": {"ticket": format!("Where is parcel {n}?")}, "expected": "delivery"}))
}

#[tokio::test]
async fn a_broken_line_70000_is_named_and_nothing_is_imported() {
    let (app, key) = with_tickets().await;
    let mut text: String = (1..70_000).map(line).collect();
    text.push_str("{\"variables\": {}, \"expectd\": 1}\n");
    text.push_str(&line(70_001));
    let refused = import(&app, &key, "", text).await;
    assert_eq!((refused.outcome().as_str(), refused.param().as_str()), ("400 invalid_request", "line 70000"));
    assert!(refused.text().contains("line 70000") && refused.text().contains("expectd"), "{}", refused.text());
    let shown = get(&app, "/tickets").await.json();
    assert_eq!((&shown["version"], &shown["items"], &shown["versions"]), (&json!(0), &json!(0), &json!([])));
    // Nothing of it is left behind either.
    let row = fulcrum::db::query("select count(*) from dataset_items").fetch_one(app.app.db()).await.unwrap();
    assert_eq!(row.get::<i64>(0).unwrap(), 0);
    let imported = import(&app, &key, "", (1..1_201).map(line).collect::<String>()).await;
    assert_eq!((imported.status, &imported.json()["added"]), (201, &json!(1_200)), "{}", imported.text());
    app.close().await;
}

#[tokio::test]
async fn each_import_is_a_version_and_earlier_ones_stay_as_they_are() {
    let (app, key) = with_tickets().await;
    let first = import(&app, &key, "", (0..120).map(line).collect::<String>()).await.json();
    assert_eq!((&first["version"], &first["added"], &first["source"]), (&json!(1), &json!(120), &json!("import")));
    let csv = "ticket,expected,tag:language,unit\n\"Hi, \"\"you\"\"\nthere\",other,en,ann\nBye,other,de,ann\n";
    let second = import(&app, &key, "?format=csv", csv).await.json();
    assert_eq!((&second["version"], &second["added"]), (&json!(2), &json!(2)));
    let one = get(&app, "/tickets?version=1").await.json();
    let two = get(&app, "/tickets").await.json();
    assert_eq!((&one["items"], &two["items"], &two["versions"][1]["added"]), (&json!(120), &json!(122), &json!(120)));
    let parts = |shown: &Value| ["train", "validation", "test"].map(|part| shown["splits"][part].as_i64().unwrap());
    assert_eq!(parts(&two).iter().sum::<i64>(), 122);
    assert!(parts(&two).iter().all(|part| *part > 2), "{two:#}");
    // Pages have every item once, in order.
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = get(&app, &format!("/tickets/items?limit=50{cursor}")).await.json();
        seen.extend(page["rows"].as_array().unwrap().clone());
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen.len(), 122);
    assert_eq!(seen[0]["variables"]["ticket"], "Where is parcel 0?");
    assert_eq!(seen[120]["variables"]["ticket"], "Hi, \"you\"\nthere");
    assert_eq!((&seen[120]["split"], &seen[120]["tags"]), (&seen[121]["split"], &json!({"language": "en"})));
    // An export is an import.
    for form in ["jsonl", "csv"] {
        let exported = get(&app, &format!("/tickets/export?format={form}&version=2")).await;
        assert_eq!(exported.status, 200);
        let name = json!({"name": format!("copy-{form}")});
        assert_eq!(app.send(Call::post("/api/v1/datasets", &name).key(&key)).await.status, 201);
        let path = format!("/api/v1/datasets/copy-{form}/items?format={form}");
        let copied = app.send(Call::new("POST", &path, exported.body.clone()).key(&key)).await;
        assert_eq!(copied.json()["added"], 122, "{}", copied.text());
        let again = get(&app, &format!("/copy-{form}/export")).await;
        assert_eq!(again.body, get(&app, "/tickets/export").await.body, "{form}");
    }
    let test = get(&app, "/tickets/export?split=test&version=1").await;
    assert_eq!(i64::try_from(test.text().lines().count()).unwrap(), parts(&one)[2]);
    app.close().await;
}

#[tokio::test]
async fn what_is_no_import_is_refused_and_its_place_named() {
    let (app, key) = with_tickets().await;
    for (query, text, named) in [
        ("", "", "no item"),
        ("", "\n\n", "no item"),
        ("", "{\"variables\": {}}\n[]\n", "line 2"),
        ("", "{\"variables\": {}}\n\n{", "line 3"),
        ("", "{\"messages\": []}", "line 1: `messages`"),
        ("?format=csv", "a,a\n1,2\n", "line 1"),
        ("?format=csv", "a,b\n1,2\n\n3\n", "line 4"),
        ("?format=csv", "a\n\"x\n", "line 2"),
        ("?format=xml", "x", "jsonl or csv"),
        ("?colour=red", "x", "colour"),
    ] {
        let refused = import(&app, &key, query, text).await;
        assert!(refused.status == 400 && refused.text().contains(named), "{query} {text}: {}", refused.text());
    }
    let long = format!("{{\"variables\": {{\"a\": \"{}\"}}}}\n", "x".repeat(1 << 20));
    let refused = import(&app, &key, "", format!("{{\"variables\": {{}}}}\n{long}")).await;
    assert!(refused.status == 400 && refused.text().contains("line 2"), "{}", refused.text());
    let compressed =
        Call::new("POST", "/api/v1/datasets/tickets/items", "x").header("content-encoding", "gzip").key(&key);
    assert_eq!(app.send(compressed).await.status, 415);
    for name in ["", "A", "-a", "a b", &"a".repeat(65)] {
        let refused = app.send(Call::post("/api/v1/datasets", &json!({"name": name})).key(&key)).await;
        assert_eq!((refused.status, refused.param().as_str()), (400, "name"), "{name}");
    }
    let again = app.send(Call::post("/api/v1/datasets", &json!({"name": "tickets"})).key(&key)).await;
    assert_eq!(again.outcome(), "409 conflict");
    for (path, status) in [
        ("/nothing", 404),
        ("/tickets?version=1", 404),
        ("/tickets?version=x", 400),
        ("/tickets/items?limit=0", 400),
        ("/tickets/items?cursor=x", 400),
        ("/tickets/export?split=tets", 400),
        ("/tickets/export?version=7", 404),
    ] {
        assert_eq!(get(&app, path).await.status, status, "{path}");
    }
    assert_eq!(get(&app, "/tickets").await.json()["version"], 0);
    app.close().await;
}

#[tokio::test]
async fn another_projects_dataset_is_not_there() {
    let (app, key) = with_tickets().await;
    assert_eq!(import(&app, &key, "", line(1)).await.status, 201);
    let other = app.new_key(&json!({"name": "o", "role": "editor", "project": "search"})).await;
    for path in ["/tickets", "/tickets/items", "/tickets/export", "/tickets?project=default"] {
        let answer = app.send(Call::get(&format!("/api/v1/datasets{path}")).key(&other)).await;
        assert_eq!(answer.status, 404, "{path}");
    }
    assert_eq!(import(&app, &other, "", line(2)).await.status, 404);
    assert_eq!(app.send(Call::get("/api/v1/datasets").key(&other)).await.json()["rows"], json!([]));
    // A project that a key names and does not have is told, and never taken for its own.
    assert_eq!(app.send(Call::get("/api/v1/datasets?project=default").key(&other)).await.status, 404);
    let elsewhere = json!({"name": "elsewhere", "project": "default"});
    assert_eq!(app.send(Call::post("/api/v1/datasets", &elsewhere).key(&other)).await.status, 404);
    assert_eq!(app.send(Call::get("/api/v1/datasets?project=search").key(&other)).await.json()["rows"], json!([]));
    // A name is a project's own, and an admin names the project.
    let made = app.send(Call::post("/api/v1/datasets", &json!({"name": "tickets"})).key(&other)).await;
    assert_eq!(made.json()["project"], "search");
    assert_eq!(get(&app, "").await.json()["rows"].as_array().unwrap().len(), 2);
    assert_eq!(get(&app, "/tickets?project=search").await.json()["items"], 0);
    assert_eq!(get(&app, "/tickets").await.json()["items"], 1);
    for (role, status) in [("viewer", 403), ("app", 403)] {
        let key = app.new_key(&json!({"name": role, "role": role})).await;
        assert_eq!(import(&app, &key, "", line(3)).await.status, status, "{role}");
    }
    app.close().await;
}

#[tokio::test]
async fn erasing_a_request_erases_what_was_collected_from_it() {
    let (app, key) = with_tickets().await;
    let request = app.hello("fast").await.id().to_owned();
    app.row(&request).await;
    let item = json!({"variables": {"a": "canary-of-item"}, "request_id": request});
    assert_eq!(import(&app, &key, "", format!("{item}\n{}", line(1))).await.status, 201);
    let erased = app.admin(Call::new("DELETE", &format!("/api/v1/requests/{request}/body"), "")).await;
    assert_eq!((erased.status, &erased.json()["dataset_items"]), (200, &json!(1)), "{}", erased.text());
    assert_eq!(get(&app, "/tickets").await.json()["items"], 1);
    assert!(!get(&app, "/tickets/export").await.text().contains("canary"));
    app.close().await;
}

#[tokio::test]
async fn the_command_line_makes_fills_shows_and_exports_datasets() {
    let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::start().await);
    std::fs::write(dir.path().join("fulcrum.toml"), config(up.address)).unwrap();
    let text: String = (0..20).map(line).collect();
    std::fs::write(dir.path().join("tickets.jsonl"), &text).unwrap();
    std::fs::write(dir.path().join("broken.jsonl"), format!("{text}{{\n{}[]\n", line(1))).unwrap();
    let binary = Binary::start(fulcrum(dir.path())).await;
    assert_eq!(binary.send(Call::chat(&hello("fast"))).await.status, 200);
    let url = format!("http://{}", binary.address);
    let there = |words: &[&str]| run(fulcrum(dir.path()).args(words).args(["--url", &url, "--key", ADMIN]));
    let here = |words: &[&str]| run(fulcrum(dir.path()).args(words).args(["--config", "fulcrum.toml"]));
    assert_eq!(there(&["dataset", "create", "tickets"]), (0, "made the dataset tickets in default\n".to_owned()));
    let (code, output) = there(&["dataset", "import", "tickets", "tickets.jsonl"]);
    assert_eq!((code, output.as_str()), (0, "imported 20 items as version 1 of tickets\n"));
    let (code, output) = here(&["dataset", "import", "tickets", "broken.jsonl"]);
    assert!(code == 2 && output.contains("line 21"), "{output}");
    let (code, output) = here(&["dataset", "show", "tickets"]);
    assert!(code == 0 && output.contains("20 added by import"), "{output}");
    let (code, output) = there(&["dataset", "export", "tickets", "--file", "out.csv"]);
    assert_eq!((code, output.as_str()), (0, "wrote out.csv\n"));
    let head = std::fs::read_to_string(dir.path().join("out.csv")).unwrap();
    assert!(head.starts_with("ticket,expected,"), "{head}");
    assert_eq!(there(&["dataset", "export", "tickets", "--file", "out.csv"]).0, 2, "it is there");
    let (code, output) = here(&["dataset", "import", "tickets", "out.csv", "--format", "json"]);
    assert!(code == 0 && output.contains("\"version\": 2"), "{output}");
    let (code, output) = there(&["dataset", "list", "--format", "csv"]);
    assert!(code == 0 && output.contains("tickets,default,2,"), "{output}");
    let (code, output) = run(fulcrum(dir.path()).args(["dataset", "validate", "broken.jsonl"]));
    assert!(code == 1 && output.contains("line 21: ") && output.contains("line 23: "), "{output}");
    let (code, output) = run(fulcrum(dir.path()).args(["dataset", "validate", "tickets.jsonl"]));
    assert_eq!((code, output.as_str()), (0, "20 items, ok\n"));
    assert_eq!(there(&["dataset", "show", "nothing"]).0, 1);
}
