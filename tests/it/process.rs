//! The process: its configuration, its reloads, its signals and its end.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::Row;
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::app::{ADMIN, UP_KEY, hello, streamed};
use crate::binary::{Binary, config, find_secrets, fulcrum, read, run};
use crate::client::{Call, Open, PATIENCE};
use crate::upstream::{EVENTS, Script, Upstream, WHOLE};

fn write(dir: &Path, text: &str) {
    std::fs::write(dir.join("fulcrum.toml"), text).unwrap();
}

async fn started(more: &str) -> (TempDir, Upstream, Binary) {
    let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::start().await);
    write(dir.path(), &format!("{}{more}", config(up.address)));
    let binary = Binary::start(fulcrum(dir.path())).await;
    (dir, up, binary)
}

#[test]
fn check_says_ok_or_every_problem_at_once() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &config("127.0.0.1:9".parse().unwrap()));
    let checked = run(fulcrum(dir.path()).args(["check", "--config", "fulcrum.toml"]));
    assert_eq!(checked, (0, "fulcrum.toml: 1 provider, 1 model, 0 routes, 0 prompts: ok\n".to_owned()));
    let bad = "[server]\nlistn = \"x\"\nmax_body = \"much\"\n[providers.p]\nkind = \"openai\"\nbase_url = \"http://x/v1\"\n\
        api_key = \"sk-literal-canary\"\n[[routes]]\nname = \"r\"\nwhen = 'request.nope'\ntargets = [{ model = \"gone\" }]\n";
    write(dir.path(), bad);
    let (code, output) = run(fulcrum(dir.path()).args(["check", "--config", "fulcrum.toml"]));
    assert_eq!(code, 2, "{output}");
    for place in [
        "fulcrum.toml:2:1: server.listn:",
        "fulcrum.toml:3:12: server.max_body:",
        "fulcrum.toml:7:11: providers.p.api_key:",
        "fulcrum.toml:10:",
        "fulcrum.toml:11:",
    ] {
        assert!(output.contains(place), "{place} is not reported:\n{output}");
    }
    assert!(!output.contains("canary"), "{output}");
    assert!(output.lines().all(|line| line.contains("; ")), "every problem has its fix:\n{output}");
}

#[test]
fn the_configuration_that_comes_along_is_good() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (code, output) = run(fulcrum(root).args(["check", "--config", "config/fulcrum.toml"]));
    let last = "config/fulcrum.toml: 2 providers, 3 models, 4 routes, 4 prompts: ok";
    assert_eq!((code, output.lines().last()), (0, Some(last)), "{output}");
    assert!(output.lines().all(|line| line == last || line.starts_with("warning: config/fulcrum.toml:")), "{output}");
}

#[test]
fn a_bad_configuration_never_starts() {
    let dir = tempfile::tempdir().unwrap();
    for text in [
        "[server\n",
        "[server]\nlisten = \"0.0.0.0:0\"\n",
        "[nonsense]\n",
        "[providers.p]\nkind = \"openai\"\napi_key = \"env:NOT_SET\"\n",
    ] {
        write(dir.path(), text);
        let (code, output) = run(fulcrum(dir.path()).args(["serve", "--config", "fulcrum.toml"]));
        assert_eq!(code, 2, "{text}: {output}");
        assert!(output.contains("fulcrum.toml:"), "{output}");
    }
    let (code, _) = run(fulcrum(dir.path()).args(["serve", "--config", "gone.toml"]));
    assert_eq!(code, 2);
    write(dir.path(), "");
    for weak in ["short", "aaaaaaaaaaaaaaaaaaaaaaaaaaaa"] {
        let (code, output) =
            run(fulcrum(dir.path()).args(["serve", "--config", "fulcrum.toml"]).env("FULCRUM_ADMIN_KEY", weak));
        assert_eq!(code, 2, "{output}");
        assert!(!output.contains(weak), "{output}");
    }
}

#[tokio::test]
async fn the_first_start_makes_an_admin_key_and_shows_it_once() {
    let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::start().await);
    write(dir.path(), &config(up.address));
    let start = || {
        let mut command = fulcrum(dir.path());
        command.env_remove("FULCRUM_ADMIN_KEY");
        Binary::start(command)
    };
    let mut binary = start().await;
    let line = binary.says("admin key").await;
    let key = line.split_whitespace().last().unwrap().to_owned();
    assert!(key.starts_with("fk-"));
    assert!(line.chars().count() <= 80, "the key fits into a line of a terminal: {line}");
    let list = || Call::get("/api/v1/keys").key(&key);
    assert_eq!(Open::of_call(binary.address, list()).await.status, 200);
    binary.signal("TERM");
    assert!(binary.ended().await.success());
    let again = start().await;
    assert_eq!(Open::of_call(again.address, list()).await.status, 200, "the key is still good");
    assert!(!again.log().contains("admin key"), "{}", again.log());
}

#[tokio::test]
async fn a_browser_at_the_root_reads_what_this_is() {
    let (_dir, _up, binary) = started("").await;
    let answer = Open::of_call(binary.address, Call::get("/")).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/plain; charset=utf-8")));
    assert!(answer.text().starts_with("Fulcrum, ") && answer.text().contains("docs/guides"), "{}", answer.text());
    assert!(!answer.text().contains(env!("CARGO_PKG_VERSION")), "who has no key learns no version");
}

/// The command as a user without rights who may have one process; `None` where this one cannot become that user.
fn with_one_thread(dir: &Path) -> Option<Command> {
    let plain = fulcrum(dir);
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--clear-groups", "prlimit", "--nproc=1:1"]).arg(plain.get_program());
    command.current_dir(dir).env_clear();
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let (code, _) = run(Command::new("setpriv")
        .args(["--reuid=65534", "--clear-groups", "prlimit", "--nproc=1:1"])
        .arg(plain.get_program())
        .arg("--version"));
    (code == 0).then_some(command)
}

#[test]
fn without_threads_it_ends_with_a_word_and_does_not_half_start() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    write(dir.path(), &config("127.0.0.1:9".parse().unwrap()));
    let Some(mut command) = with_one_thread(dir.path()) else { return };
    let (code, output) = run(command.args(["serve", "--config", "fulcrum.toml", "--listen", "127.0.0.1:0"]));
    assert!(code == 3 && output.contains("no more threads can be started"), "{code} {output}");
    assert!(!output.contains("panicked") && !dir.path().join("fulcrum.db").exists(), "{output}");
}

#[tokio::test]
async fn a_database_has_one_gateway() {
    let (dir, _up, binary) = started("").await;
    let (code, output) =
        run(fulcrum(dir.path()).args(["serve", "--config", "fulcrum.toml", "--listen", "127.0.0.1:0"]));
    assert!([2, 3].contains(&code), "{code} {output}");
    assert_eq!(binary.send(Call::get("/v1/models")).await.status, 200);
}

#[tokio::test]
async fn a_changed_file_is_read_again_and_a_bad_one_is_not_used() {
    let (dir, up, binary) = started("").await;
    let route = |name: &str| {
        format!("{}[[routes]]\nname = \"{name}\"\ntargets = [{{ model = \"fast\" }}]\n", config(up.address))
    };
    write(dir.path(), &route("first"));
    binary.says("was reloaded").await;
    let call = || Call::chat(&hello("any"));
    assert_eq!(binary.send(call()).await.header("x-fulcrum-route"), Some("first"));
    write(dir.path(), &format!("{}nonsense = 1\n", route("second-and-longer")));
    assert!(binary.says("the old one stays").await.contains("nonsense"));
    assert_eq!(binary.send(call()).await.header("x-fulcrum-route"), Some("first"));
    write(dir.path(), &route("third"));
    binary.says_again("was reloaded", 1).await;
    assert_eq!(binary.send(call()).await.header("x-fulcrum-route"), Some("third"));
}

#[tokio::test]
async fn a_hangup_signal_reads_the_file_again() {
    let (_dir, _up, binary) = started("").await;
    binary.signal("HUP");
    binary.says("was reloaded").await;
    assert_eq!(binary.send(Call::chat(&hello("fast"))).await.status, 200);
}

#[tokio::test]
async fn terminate_lets_every_stream_end_and_refuses_new_calls() {
    let (dir, up, mut binary) = started("").await;
    let gate = Arc::new(Semaphore::new(0));
    up.always(Script::sse().chunks(&EVENTS[..2]).gate(&gate).chunks(&EVENTS[2..]).ended());
    let mut streams = Vec::new();
    for _ in 0..100 {
        let mut open = Open::send(binary.address, &Call::chat(&streamed(hello("fast"))).key(ADMIN)).await.unwrap();
        open.until("Hello").await;
        streams.push(open);
    }
    binary.signal("TERM");
    binary.says("stopping").await;
    let deadline = Instant::now() + PATIENCE;
    // A later caller finds the port closed, or gets the error that the gateway is not ready.
    loop {
        match Open::send(binary.address, &Call::get("/health/ready")).await {
            Ok(open) if open.status == 200 => assert!(Instant::now() < deadline, "it stays ready"),
            Ok(open) => break assert_eq!(open.status, 503),
            Err(_) => break,
        }
    }
    gate.add_permits(100);
    for open in streams {
        assert!(open.rest().await.text().ends_with("[DONE]\n\n"));
    }
    assert!(binary.ended().await.success());
    let rows = read(dir.path(), "select status from full_requests").await;
    assert_eq!(rows.len(), 100);
    assert!(rows.iter().all(|row| row.get::<String, _>(0) == "ok"));
}

#[tokio::test]
async fn terminate_ends_what_never_ends_with_an_error_event_and_a_row() {
    let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::start().await);
    write(dir.path(), &config(up.address).replace("\"20s\"", "\"300ms\""));
    let mut binary = Binary::start(fulcrum(dir.path())).await;
    up.next(Script::sse().chunks(&EVENTS[..2]).stall());
    up.next(Script::default().stall());
    let mut stream = Open::send(binary.address, &Call::chat(&streamed(hello("fast"))).key(ADMIN)).await.unwrap();
    stream.until("Hello").await;
    let whole = tokio::spawn(Open::of_call(binary.address, Call::chat(&hello("fast")).key(ADMIN)));
    up.until("both are under way", |received| received.len() == 2).await;
    binary.signal("TERM");
    let answer = stream.rest().await;
    assert!(answer.is_whole && answer.text().contains("\"error\""), "{}", answer.text());
    assert_eq!(whole.await.unwrap().status, 503);
    assert!(binary.ended().await.success());
    let rows = read(
        dir.path(),
        "select status, (select count(*) from full_attempts where request_id = id) from full_requests",
    )
    .await;
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row.get::<String, _>(0) != "ok" && row.get::<i64, _>(1) == 1));
}

#[tokio::test]
async fn no_secret_is_logged_at_any_level_or_kept() {
    let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::start().await);
    write(dir.path(), &format!("{}[ledger]\nstore_bodies = \"full\"\n", config(up.address)));
    let mut command = fulcrum(dir.path());
    command.env("RUST_LOG", "trace");
    let mut binary = Binary::start(command).await;
    let made = binary.send(Call::post("/api/v1/keys", &serde_json::json!({"name": "canary"}))).await;
    let key = made.json()["key"].as_str().unwrap().to_owned();
    for script in [
        Script::json(200, WHOLE),
        Script::stream(EVENTS),
        Script::error(401, &format!("bad key {UP_KEY}")),
        Script::error(400, &format!("bad key {UP_KEY}")),
        Script::error(500, &format!("bad key {UP_KEY}")),
        Script::throttled(&format!("x-echo: {UP_KEY}\r\n")),
        Script::default().reset(),
        Script::raw(format!("HTTP/1.1 200 OK\r\nx: {UP_KEY}\r\n\r\n{UP_KEY}")).fin(),
        Script::stream([&format!("data: {{\"error\":{{\"message\":\"{UP_KEY}\"}}}}\n\n")]),
        Script::reply(302, &format!("location: http://127.0.0.1:9/?key={UP_KEY}\r\n"), ""),
    ] {
        for body in [hello("fast"), streamed(hello("fast"))] {
            up.next(script.clone());
            let answer = Open::of_call(binary.address, Call::chat(&body).key(&key)).await;
            assert!(!answer.text().contains("canary"), "{}", answer.text());
        }
    }
    let metrics = binary.send(Call::get("/metrics")).await;
    assert!(!metrics.text().contains("canary"));
    for path in ["/api/v1/requests", "/api/v1/providers", "/api/v1/routes", "/api/v1/health"] {
        assert!(!binary.send(Call::get(path)).await.text().contains("canary-"), "{path}");
    }
    binary.signal("TERM");
    assert!(binary.ended().await.success());
    find_secrets(dir.path(), &binary.log());
    assert!(!binary.log().contains(&key));
}

#[tokio::test]
async fn the_command_line_asks_a_running_gateway() {
    let (dir, _up, binary) = started("").await;
    binary.send(Call::chat(&hello("fast"))).await;
    let url = format!("http://{}", binary.address);
    let ask = |args: &[&str]| run(fulcrum(dir.path()).args(args).args(["--url", &url, "--key", ADMIN]));
    let (code, output) = ask(&["usage", "--by", "model", "--format", "json"]);
    assert_eq!(code, 0, "{output}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&output).unwrap()["total"]["requests"], 1);
    let (code, output) = ask(&["key", "list"]);
    assert!(code == 0 && !output.contains(ADMIN), "{output}");
    let gone = run(fulcrum(dir.path()).args(["usage", "--url", "http://127.0.0.1:9", "--key", ADMIN]));
    assert_eq!(gone.0, 3, "{}", gone.1);
    let refused = run(fulcrum(dir.path()).args(["usage", "--url", &url, "--key", "wrong"]));
    assert!(refused.0 != 0 && !refused.1.contains("panicked"), "{}", refused.1);
}

#[tokio::test]
async fn every_command_has_an_example_and_prints_json_where_asked() {
    // Only `serve` makes the database that commands work on.
    let (dir, _up, mut binary) = started("").await;
    binary.signal("TERM");
    assert!(binary.ended().await.success());
    let prompts = dir.path().join("prompts");
    std::fs::create_dir(&prompts).unwrap();
    std::fs::write(prompts.join("greet.toml"), "[[messages]]\nrole = \"user\"\ncontent = \"Hi\"\n").unwrap();
    let made = run(fulcrum(dir.path()).args(["key", "create", "k", "--config", "fulcrum.toml", "--format", "json"]));
    let key = serde_json::from_str::<serde_json::Value>(&made.1).unwrap()["id"].as_str().unwrap().to_owned();
    let commands = [
        "check",
        "prompt import prompts",
        "prompt list",
        "prompt show greet",
        "prompt add prompts/greet.toml",
        "prompt label greet production 1",
        "prompt diff greet 1 1",
        "prompt render greet",
        "prompt export out",
        "key list",
        "key rotate KEY",
        "key revoke KEY",
        "usage",
        "explain --model fast --message hi",
    ];
    for command in commands {
        let command = command.replace("KEY", &key);
        let words: Vec<&str> = command.split(' ').collect();
        let (code, output) =
            run(fulcrum(dir.path()).args(&words).args(["--config", "fulcrum.toml", "--format", "json"]));
        assert_eq!(code, 0, "{command}: {output}");
        let json: Result<serde_json::Value, _> = serde_json::from_str(&output);
        assert!(json.is_ok_and(|value| value.is_object()), "{command} prints no JSON: {output}");
        let verbs = words.iter().take_while(|word| word.chars().all(|letter| letter.is_ascii_lowercase()));
        let verbs: Vec<&&str> =
            verbs.take(if ["check", "usage", "explain"].contains(&words[0]) { 1 } else { 2 }).collect();
        let (code, help) = run(fulcrum(dir.path()).args(verbs).arg("--help"));
        assert!(code == 0 && help.contains("Example: fulcrum "), "{command}: {help}");
    }
    for group in [&["prompt"][..], &["key"], &["serve"], &["demo"]] {
        assert!(run(fulcrum(dir.path()).args(group).arg("--help")).1.contains("Example: fulcrum "), "{group:?}");
    }
    let (code, csv) = run(fulcrum(dir.path()).args(["key", "list", "--config", "fulcrum.toml", "--format", "csv"]));
    assert!(code == 0 && csv.starts_with("id,name,project,"), "{csv}");
    write(dir.path(), "[server]\nlistn = 1\n");
    let (code, output) = run(fulcrum(dir.path()).args(["check", "--config", "fulcrum.toml", "--format", "json"]));
    let found: serde_json::Value = serde_json::from_str(&output).unwrap();
    assert_eq!(
        (code, &found["problems"][0]["line"], &found["problems"][0]["key"]),
        (2, &2.into(), &"server.listn".into())
    );
}

#[tokio::test]
async fn a_key_that_another_process_made_is_known_within_seconds() {
    let (dir, _up, binary) = started("").await;
    let (code, output) =
        run(fulcrum(dir.path()).args(["key", "create", "beside", "--config", "fulcrum.toml", "--format", "json"]));
    assert_eq!(code, 0, "{output}");
    let key = serde_json::from_str::<serde_json::Value>(&output).unwrap()["key"].as_str().unwrap().to_owned();
    let deadline = Instant::now() + PATIENCE;
    while Open::of_call(binary.address, Call::chat(&hello("fast")).key(&key)).await.status != 200 {
        assert!(Instant::now() < deadline, "the key is never known");
        sleep(Duration::from_millis(50)).await;
    }
    let id = key.split('-').nth(1).unwrap();
    let (code, output) = run(fulcrum(dir.path()).args(["key", "revoke", id, "--config", "fulcrum.toml"]));
    assert_eq!(code, 0, "{output}");
    while Open::of_call(binary.address, Call::chat(&hello("fast")).key(&key)).await.status != 401 {
        assert!(Instant::now() < deadline, "a revoked key opens for ever");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_hangup_signal_while_the_gateway_starts_does_not_end_it() {
    let (dir, _up, mut binary) = started("").await;
    binary.signal("TERM");
    assert!(binary.ended().await.success());
    // The start waits for the database, so all that follows comes before it is over.
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}/fulcrum.db", dir.path().display())).await.unwrap();
    let lock = pool.begin_with("begin exclusive").await.unwrap();
    let mut binary = Binary::spawn(fulcrum(dir.path()));
    let status = format!("/proc/{}/status", binary.child.id());
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = std::fs::read_to_string(&status).unwrap();
        let caught = text.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        if u64::from_str_radix(caught.trim(), 16).unwrap() & 1 == 1 {
            break;
        }
        assert!(Instant::now() < deadline, "it listens to no SIGHUP while it starts: {}", binary.log());
        sleep(Duration::from_millis(1)).await;
    }
    binary.signal("HUP");
    lock.rollback().await.unwrap();
    pool.close().await;
    binary.listens().await;
    binary.says("was reloaded").await;
    assert_eq!(binary.send(Call::chat(&hello("fast"))).await.status, 200);
}
