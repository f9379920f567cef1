//! What an owner of keys does with the commands: the real binary on a database, and on a running gateway.

use std::path::Path;

use serde_json::Value;

use crate::app::{ADMIN, hello};
use crate::binary::{Binary, config, fulcrum, run};
use crate::client::{Call, Open};
use crate::upstream::Upstream;

/// Runs a command in `dir`; its exit code and both outputs.
fn cli(dir: &Path, words: &[&str]) -> (i32, String) {
    run(fulcrum(dir).env("FULCRUM_CONFIG", "fulcrum.toml").args(words))
}

/// What a command that must succeed prints.
fn good(dir: &Path, words: &[&str]) -> String {
    let (code, output) = cli(dir, words);
    assert_eq!(code, 0, "{words:?}: {output}");
    output
}

fn json_of(dir: &Path, words: &[&str]) -> Value {
    let output = fulcrum(dir).env("FULCRUM_CONFIG", "fulcrum.toml").args(words).args(["--format", "json"]).output();
    serde_json::from_slice(&output.unwrap().stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_shown_changed_and_rotated_on_the_database_and_over_the_gateway() {
    let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::start().await);
    std::fs::write(dir.path().join("fulcrum.toml"), config(up.address)).unwrap();
    let gateway = Binary::start(fulcrum(dir.path())).await;
    let url = format!("http://{}", gateway.address);
    for place in [&["--config", "fulcrum.toml"][..], &["--url", &url, "--key", ADMIN]] {
        let with = |words: &[&str]| [words, place].concat().iter().map(ToString::to_string).collect::<Vec<String>>();
        let good = |words: &[&str]| {
            let words = with(words);
            good(dir.path(), &words.iter().map(String::as_str).collect::<Vec<_>>())
        };
        let json_of = |words: &[&str]| {
            let words = with(words);
            json_of(dir.path(), &words.iter().map(String::as_str).collect::<Vec<_>>())
        };
        warnings(&good, &json_of);
        let made = json_of(&["key", "create", "app", "--rpm", "60"]);
        let (id, secret) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
        let shown = good(&["key", "show", id]);
        assert!(["app", "all", "60", "never"].iter().all(|word| shown.contains(word)), "{shown}");
        let changed = json_of(&[
            "key",
            "update",
            id,
            "--name",
            "app-2",
            "--models",
            "fast,prompt/x",
            "--rpm",
            "7",
            "--expires-at",
            "2099-01-01",
            "--tags",
            "team=a",
            "--role",
            "app",
        ]);
        assert_eq!((&changed["name"], &changed["requests_per_minute"]), (&"app-2".into(), &7.into()), "{changed}");
        assert_eq!((&changed["models"][1], &changed["tags"]["team"]), (&"prompt/x".into(), &"a".into()));
        let changed = json_of(&["key", "update", id, "--all-models", "--no-rpm", "--no-expiry", "--no-tags"]);
        assert!(
            ["models", "requests_per_minute", "expires_at"].iter().all(|name| changed[name].is_null()),
            "{changed}"
        );
        assert_eq!((&changed["name"], changed["tags"].as_object().unwrap().len()), (&"app-2".into(), 0));

        let rotated = json_of(&["key", "rotate", id, "--grace", "1h"]);
        for secret in [secret, rotated["key"].as_str().unwrap()] {
            let answer = Open::of_call(gateway.address, Call::chat(&hello("fast")).key(secret)).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        let last = json_of(&["key", "rotate", id]);
        let answer =
            Open::of_call(gateway.address, Call::chat(&hello("fast")).key(rotated["key"].as_str().unwrap())).await;
        // The gateway reads the change of a command beside it within a second, and its own at once.
        assert!(place.len() == 2 || answer.status == 401, "{}", answer.text());
        assert!(last["key"].is_string());
    }
    list_and_refusals(dir.path(), &url);
}

/// The list over the gateway, and what a command answers to what is not there.
fn list_and_refusals(dir: &Path, url: &str) {
    let list = good(dir, &["key", "list", "--url", url, "--key", ADMIN]);
    assert!(list.contains("last_used_at"), "{list}");
    let (code, nothing) = cli(dir, &["key", "update", "abc"]);
    assert!(code == 2 && nothing.contains("--models"), "{nothing}");
    let (code, unknown) = cli(dir, &["key", "show", "app-3"]);
    assert!(code == 1 && unknown.contains("the key named app-2?"), "{unknown}");
    let (code, named) = cli(dir, &["key", "show", "app-2"]);
    assert!(code == 1 && named.contains("the key of that name has the id"), "{named}");
    let (code, wrong) = cli(dir, &["key", "rotate", "abc", "--grace", "soon"]);
    assert!(code == 2 && wrong.contains("`grace`"), "{wrong}");
}

/// What is said of keys that surprise their owner.
fn warnings(good: &dyn Fn(&[&str]) -> String, json_of: &dyn Fn(&[&str]) -> Value) {
    let made = good(&["key", "create", "shop", "--models", "fats"]);
    for words in ["no limit: --rpm", "did you mean `fast`?"] {
        assert!(made.contains(words), "{words}: {made}");
    }
    let again = good(&["key", "create", "shop", "--rpm", "5"]);
    assert!(again.contains("another live key") && !again.contains("no limit"), "{again}");
    let twin = json_of(&["key", "list"])["rows"].as_array().unwrap().last().unwrap()["id"].clone();
    good(&["key", "revoke", twin.as_str().unwrap()]);
}
