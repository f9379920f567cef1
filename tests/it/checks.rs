//! `fulcrum check`: what is likely to surprise, and whether providers answer.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::binary::{Binary, config, fulcrum, run};
use crate::client::Call;
use crate::upstream::{Script, Upstream};

fn check(dir: &Path, text: &str, more: &[&str]) -> (i32, String) {
    std::fs::write(dir.join("fulcrum.toml"), text).unwrap();
    run(fulcrum(dir).args(["check", "--config", "fulcrum.toml"]).args(more))
}

#[test]
fn every_warning_stands_at_its_place_and_fails_only_where_that_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("open.key"), "sk-canary-in-a-file").unwrap();
    std::fs::set_permissions(dir.path().join("open.key"), PermissionsExt::from_mode(0o644)).unwrap();
    let text = "[prompts]\nimport = \"nonexistent/\"\n\
        [providers.p]\nkind = \"openai\"\nbase_url = \"http://127.0.0.1:9\"\napi_key = \"file:open.key\"\n\
        [models.m]\nprovider = \"p\"\nmodel = \"nobody-prices-this\"\n\
        [[routes]]\nname = \"all\"\ntargets = [{ model = \"m\" }]\n\
        [[routes]]\nname = \"never\"\nmodels = [\"auto\"]\ntargets = [{ model = \"m\" }]\n";
    let (code, output) = check(dir.path(), text, &[]);
    assert_eq!(code, 0, "{output}");
    for warning in [
        "fulcrum.toml:2:10: prompts.import: there is no folder nonexistent/",
        "fulcrum.toml:5:12: providers.p.base_url: the address has no path",
        "fulcrum.toml:6:11: providers.p.api_key: everybody on this machine can use the file `open.key` (mode 0644)",
        "fulcrum.toml:7:9: models.m: no price of p/nobody-prices-this is known",
        "fulcrum.toml:13:1: routes[1]: no call reaches the route `never`: `all` before it takes them all",
    ] {
        assert!(output.contains(&format!("warning: {warning}")), "{warning} is not in:\n{output}");
    }
    assert!(output.lines().filter(|line| line.starts_with("warning: ")).count() == 5, "{output}");
    assert!(!output.contains("canary"), "{output}");
    let (code, output) = check(dir.path(), text, &["--strict"]);
    assert_eq!(code, 1, "warnings are a negative answer");
    assert!(output.contains("which --strict takes for failures"), "{output}");
    let (code, output) = check(dir.path(), &format!("{text}nonsense = 1\n"), &["--strict"]);
    assert_eq!(code, 2, "mistakes are bad input: {output}");
}

#[test]
fn a_route_is_reached_unless_those_before_it_take_all_its_calls() {
    let dir = tempfile::tempdir().unwrap();
    let base = "[providers.s]\nkind = \"simulated\"\n";
    let route =
        |name: &str, head: &str| format!("[[routes]]\nname = \"{name}\"\n{head}\ntargets = [{{ model = \"s/x\" }}]\n");
    let rule = "when = 'request.stream'";
    for (first, second, is_reached) in [
        ("", "models = [\"auto\"]", false),
        ("", rule, false),
        ("when = 'true'", rule, false),
        ("models = [\"a\", \"b\"]", "models = [\"b\"]", false),
        ("models = [\"a\"]", "models = [\"a\", \"b\"]", true),
        ("models = [\"a\"]", "", true),
        (rule, rule, false),
        (rule, "", true),
        (rule, "when = '!request.stream'", true),
        (rule, "models = [\"a\"]", true),
    ] {
        let text = format!("{base}{}{}", route("first", first), route("second", second));
        let (code, output) = check(dir.path(), &text, &[]);
        assert!(
            code == 0 && output.contains("no call reaches the route `second`") != is_reached,
            "{first} {second}: {output}"
        );
    }
}

#[test]
fn a_table_within_a_list_and_a_missing_provider_have_a_fix_to_copy() {
    let dir = tempfile::tempdir().unwrap();
    let text = "[providers.v]\nkind = \"simulated\"\n[[routes]]\nname = \"r\"\ntargets = [{ model = \"v/x\" }]\n";
    for (more, fix) in [
        ("shadow = [\"v/x\"]", "write shadow = { model = \"candidate\", share = 0.1, max_usd_per_day = \"5\" }"),
        ("on_budget = [\"v/x\"]", "write on_budget = { above = 0.8, models = [\"fast\"] }"),
        ("hedge = \"p95\"", "write hedge = { after = \"p95\" }"),
        ("min_speed = 5", "write min_speed = { chars_per_second = 5 }"),
        (
            "fallbacks = [\"gone/x\"]",
            "there is no model `gone/x`, since there is no provider `gone`; add [providers.gone]",
        ),
        ("fallbacks = [\"v2/x\"]", "there is no provider `v2`"),
    ] {
        let (code, output) = check(dir.path(), &format!("{text}{more}\n"), &[]);
        assert!(code == 2 && output.contains(fix), "{output}");
    }
}

#[test]
fn weights_that_are_all_0_are_a_mistake_at_the_weights() {
    let dir = tempfile::tempdir().unwrap();
    let text = "[providers.s]\nkind = \"simulated\"\n[[routes]]\nname = \"r\"\ntargets = [\n  { model = \"s/x\", weight = 0 },\n  { model = \"s/y\", weight = 0 },\n]\n";
    let (code, output) = check(dir.path(), text, &[]);
    assert!(code == 2 && output.starts_with("fulcrum.toml:6:29: routes[0].targets[0].weight: "), "{output}");
}

#[tokio::test]
async fn models_that_a_key_names_and_nothing_has_are_a_warning() {
    let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::start().await);
    let text = config(up.address);
    let (code, output) = check(dir.path(), &text, &["--strict"]);
    assert_eq!(code, 0, "{output}");
    assert!(!dir.path().join("fulcrum.db").exists(), "no database is made");
    let binary = Binary::start(fulcrum(dir.path())).await;
    let key = json!({"name": "app", "models": ["fast", "up/gpt-y", "up/*", "prompt/any", "fats", "gone/*", "gone/x"]});
    assert_eq!(binary.send(Call::post("/api/v1/keys", &key)).await.status, 201);
    let (code, output) = check(dir.path(), &text, &["--strict"]);
    assert_eq!(code, 1, "{output}");
    assert_eq!(output.lines().filter(|line| line.starts_with("warning: ")).count(), 3, "{output}");
    for name in ["`fats`, and no model, route or provider has that name; did you mean `fast`?", "`gone/*`", "`gone/x`"]
    {
        assert!(output.contains(name), "{name} is not in {output}");
    }
    assert_eq!(binary.send(Call::get("/v1/models")).await.status, 200);
}

/// Providers, each with a way of its own to answer or not.
fn providers(up: &Upstream) -> String {
    let provider = |name: &str, base: &str, more: &str| {
        format!("[providers.{name}]\nkind = \"openai\"\nbase_url = \"{base}\"\napi_key = \"env:UP_KEY\"\n{more}")
    };
    let up = up.address;
    let mut text = String::new();
    text.push_str(&provider("good", &format!("http://{up}/good/v1"), ""));
    text.push_str(&provider("refuses", &format!("http://{up}/refuses/v1"), ""));
    text.push_str(&provider("elsewhere", &format!("http://{up}/elsewhere/v1"), ""));
    text.push_str(&provider("page", &format!("http://{up}/page/v1"), ""));
    text.push_str(&provider("ill", &format!("http://{up}/ill/v1"), ""));
    text.push_str(&provider("down", "http://127.0.0.1:9/v1", ""));
    text.push_str(&format!(
        "[providers.claude]\nkind = \"anthropic\"\nbase_url = \"http://{up}/claude/v1\"\napi_key = \"env:UP_KEY\"\n"
    ));
    text.push_str("[providers.made]\nkind = \"simulated\"\n");
    text
}

fn answer_by_path(up: &Upstream) {
    up.api(|request| {
        let json = |status, body: &str| Some(Script::json(status, body));
        match request.path.split('/').nth(1) {
            Some("good" | "claude") => json(200, r#"{"data": []}"#),
            Some("refuses") => {
                json(401, r#"{"error": {"message": "Incorrect API key provided: sk-canary-up-8c1d2e3f4a5b6c7d"}}"#)
            }
            Some("page") => Some(Script::reply(200, "content-type: text/html\r\n", "<p>hello")),
            Some("ill") => json(500, "{}"),
            _ => json(404, "{}"),
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_provider_is_called_once_at_once_and_what_is_wrong_is_named() {
    let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::start().await);
    answer_by_path(&up);
    let place = dir.path().to_owned();
    let text = providers(&up);
    let (code, output) = spawn_blocking(move || check(&place, &text, &["--probe", "--format", "json"])).await.unwrap();
    assert_eq!(code, 1, "{output}");
    let found: Value = serde_json::from_str(&output).unwrap();
    let outcomes: Vec<(&str, &str)> = found["probes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["provider"].as_str().unwrap(), row["outcome"].as_str().unwrap()))
        .collect();
    assert_eq!(
        outcomes,
        [
            ("good", "ok"),
            ("refuses", "refused key"),
            ("elsewhere", "wrong path"),
            ("page", "wrong path"),
            ("ill", "failed"),
            ("down", "cannot be reached"),
            ("claude", "ok"),
            ("made", "ok"),
        ]
    );
    assert!(!output.contains("canary"), "{output}");
    assert!(found["probes"].as_array().unwrap().iter().all(|row| row["ms"].is_u64()), "{output}");
    let received = up.received();
    assert_eq!(received.len(), 6, "each is called once");
    assert!(received.iter().all(|request| request.head.starts_with("GET /") && request.path.ends_with("/models")));
    let claude = received.iter().find(|request| request.path.starts_with("/claude/")).unwrap();
    assert!(claude.header("x-api-key").is_some() && claude.header("anthropic-version").is_some(), "{}", claude.head);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn providers_that_all_answer_are_ok_and_a_bad_file_calls_nobody() {
    let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::start().await);
    up.always(Script::json(200, r#"{"object": "list", "data": []}"#));
    let (place, text) = (dir.path().to_owned(), config(up.address));
    let bad = format!("{text}nonsense = 1\n");
    let ((good, output), (wrong, _)) =
        spawn_blocking(move || (check(&place, &text, &["--probe"]), check(&place, &bad, &["--probe"]))).await.unwrap();
    assert!(good == 0 && output.contains("provider up: ok in ") && output.ends_with(": ok\n"), "{output}");
    assert_eq!((wrong, up.count()), (2, 1));
}
