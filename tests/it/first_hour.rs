//! What a new user meets: no configuration, the first one, the first start, and answers that are made up.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::app::{ADMIN, TestApp, UP_KEY, hello, streamed};
use crate::binary::{Binary, config, fulcrum, run};
use crate::client::{Call, Open, PATIENCE};
use crate::upstream::Upstream;

/// Every file below `dir`.
fn files(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        found.push(entry.path().display().to_string());
        if entry.path().is_dir() {
            found.extend(files(&entry.path()));
        }
    }
    found
}

#[test]
fn without_a_configuration_nothing_runs_and_the_way_out_is_named() {
    let dir = tempfile::tempdir().unwrap();
    for command in [&["serve"][..], &["serve", "--listen", "127.0.0.1:0"], &["check"], &["explain", "--model", "fast"]]
    {
        let (code, output) = run(fulcrum(dir.path()).args(command));
        assert_eq!(code, 2, "{command:?}: {output}");
        for named in ["$FULCRUM_CONFIG", "config/fulcrum.toml", "fulcrum init", "fulcrum demo"] {
            assert!(output.contains(named), "{command:?} names no {named}: {output}");
        }
        assert!(!output.contains("fk-"), "{output}");
    }
    for command in ["serve", "check"] {
        let (code, output) = run(fulcrum(dir.path()).arg(command).env("FULCRUM_CONFIG", "gone.toml"));
        assert!(code == 2 && output.contains("gone.toml") && output.contains("$FULCRUM_CONFIG"), "{output}");
        // An empty variable is none.
        let (code, output) = run(fulcrum(dir.path()).arg(command).env("FULCRUM_CONFIG", ""));
        assert!(code == 2 && output.contains("is not set"), "{output}");
    }
    let (code, output) = run(fulcrum(dir.path()).args(["check", "--format", "json"]));
    let found: Value = serde_json::from_str(&output).unwrap();
    assert_eq!((code, &found["problems"][0]["file"]), (2, &json!("config/fulcrum.toml")));
    assert!(files(dir.path()).is_empty(), "{:?}", files(dir.path()));
}

const READING: &[&[&str]] = &[
    &["usage"],
    &["key", "list"],
    &["prompt", "list"],
    &["prompt", "show", "greet"],
    &["prompt", "diff", "greet", "1", "2"],
    &["prompt", "render", "greet"],
    &["prompt", "export", "out"],
];

#[test]
fn a_command_without_a_database_makes_nothing_and_says_what_to_run() {
    let (bare, configured) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir(configured.path().join("config")).unwrap();
    let text = config("127.0.0.1:9".parse().unwrap()).replace("fulcrum.db", "data/fulcrum.db");
    std::fs::write(configured.path().join("config/fulcrum.toml"), text).unwrap();
    let prompt = configured.path().join("greet.toml");
    std::fs::write(&prompt, "[[messages]]\nrole = \"user\"\ncontent = \"Hi\"\n").unwrap();
    let prompt = prompt.to_str().unwrap();
    let writing: [&[&str]; 5] = [
        &["key", "create", "app"],
        &["key", "revoke", "59pgdn15m1w9"],
        &["key", "rotate", "59pgdn15m1w9"],
        &["prompt", "add", prompt],
        &["prompt", "label", "greet", "production", "1"],
    ];
    for dir in [&bare, &configured] {
        let before = files(dir.path());
        for command in READING.iter().chain(&writing) {
            let (code, output) =
                run(fulcrum(dir.path()).args(*command).env("FULCRUM_CONFIG", "").env_remove("FULCRUM_ADMIN_KEY"));
            assert_eq!(code, 3, "{command:?}: {output}");
            let looked_at = dir.path().canonicalize().unwrap().join("data/fulcrum.db");
            let expected = format!("no database at {} (run fulcrum serve first", looked_at.display());
            assert!(output.starts_with(&expected) && output.contains("--url"), "{command:?}: {output}");
            assert!(!output.contains("fk-"), "{command:?}: {output}");
            assert_eq!(output.contains("fulcrum init"), dir.path() == bare.path(), "{command:?}: {output}");
            assert_eq!(files(dir.path()), before, "{command:?}");
        }
    }
    // What a configuration says can be tried before there is a database.
    let before = files(configured.path());
    let (code, output) = run(fulcrum(configured.path()).args(["explain", "--model", "fast"]));
    assert!(code == 0 && output.contains("called directly"), "{code} {output}");
    assert!(output.contains("no database at data/fulcrum.db yet"), "{output}");
    assert_eq!(files(configured.path()), before);
}

#[tokio::test]
async fn commands_work_without_the_secrets_that_only_calls_need_and_make_no_admin_key() {
    let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::start().await);
    let more = "[providers.bed]\nkind = \"bedrock\"\nregion = \"us-east-1\"\naccess_key_id = \"env:UP_KEY\"\n\
                secret_access_key = \"file:secret\"\n";
    std::fs::write(dir.path().join("fulcrum.toml"), format!("{}{more}", config(up.address))).unwrap();
    std::fs::write(dir.path().join("secret"), UP_KEY).unwrap();
    let mut binary = Binary::start(fulcrum(dir.path())).await;
    binary.signal("TERM");
    assert!(binary.ended().await.success());
    std::fs::remove_file(dir.path().join("secret")).unwrap();
    std::fs::create_dir(dir.path().join("p")).unwrap();
    std::fs::write(dir.path().join("p/greet.toml"), "[[messages]]\nrole = \"user\"\ncontent = \"Hi\"\n").unwrap();
    let plain = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fulcrum"));
        run(command.current_dir(dir.path()).env_clear().args(words))
    };
    let with_config = |words: &[&str]| plain(&[words, &["--config", "fulcrum.toml"]].concat());
    let (code, made) = with_config(&["key", "create", "app", "--format", "json"]);
    assert_eq!(code, 0, "{made}");
    let id = serde_json::from_str::<Value>(&made).unwrap()["id"].as_str().unwrap().to_owned();
    for command in [
        &["usage"][..],
        &["key", "list"],
        &["key", "rotate", &id],
        &["key", "revoke", &id],
        &["prompt", "add", "p/greet.toml", "--label", "production"],
        &["prompt", "list"],
        &["prompt", "show", "greet"],
        &["prompt", "render", "greet"],
        &["prompt", "diff", "greet", "1", "1"],
        &["prompt", "label", "greet", "staging", "1"],
        &["prompt", "import", "p"],
        &["prompt", "export", "out"],
        &["explain", "--model", "fast", "--message", "hi"],
        &["explain", "--model", "fast"],
    ] {
        let (code, output) = with_config(command);
        assert!(code == 0 && !output.contains("admin key"), "{command:?}: {code} {output}");
    }
    for command in ["serve", "check"] {
        let (code, output) = with_config(&[command]);
        assert!(code == 2 && output.contains("`UP_KEY` is not set"), "{command}: {output}");
    }
}

#[tokio::test]
async fn what_init_writes_passes_the_check_and_serves_and_nothing_is_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let (code, output) = run(fulcrum(dir.path()).args(["init", "gate/way"]));
    assert_eq!(code, 0, "{output}");
    let home = dir.path().join("gate/way");
    let written = std::fs::read_to_string(home.join("config/fulcrum.toml")).unwrap();
    assert!(written.lines().filter(|line| line.contains('#')).count() > 30, "it has comments");
    let plain = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fulcrum"));
        run(command.current_dir(&home).env_clear().args(words))
    };
    let (code, output) = plain(&["check"]);
    assert_eq!(code, 0, "{output}");
    let last = output.lines().last().unwrap();
    assert!(
        last.starts_with("config/fulcrum.toml: 2 providers, 3 models, 4 routes, 1 prompt") && last.ends_with(": ok"),
        "{last}"
    );
    assert!(output.contains("warning: ") && output.contains("x-fulcrum-simulated"), "{output}");
    assert_eq!(plain(&["check", "--strict"]).0, 1, "warnings are a negative answer where that is asked for");

    std::fs::write(home.join("config/fulcrum.toml"), format!("# mine\n{written}")).unwrap();
    std::fs::remove_file(home.join("prompts/support-reply.toml")).unwrap();
    let (code, output) = plain(&["init", "--format", "json"]);
    let done: Value = serde_json::from_str(&output).unwrap();
    assert_eq!(
        (code, &done["written"], &done["left"]),
        (0, &json!(["./prompts/support-reply.toml"]), &json!(["./config/fulcrum.toml"]))
    );
    assert!(std::fs::read_to_string(home.join("config/fulcrum.toml")).unwrap().starts_with("# mine\n"));
    let (code, output) = plain(&["init"]);
    assert!(code == 1 && output.contains("nothing was written"), "{output}");

    std::fs::copy(home.join("config/fulcrum.toml"), home.join("fulcrum.toml")).unwrap();
    let mut command = fulcrum(&home);
    command.env_remove("FULCRUM_CONFIG");
    let binary = Binary::start(command).await;
    let answer = binary
        .send(Call::chat(&json!({"model": "prompt/support-reply", "messages": [],
        "prompt": {"variables": {"product": "Boots", "ticket": "They leak."}}})))
        .await;
    assert_eq!((answer.status, answer.header("x-fulcrum-simulated")), (200, Some("true")), "{}", answer.text());
    let log = binary.log();
    for line in [
        env!("CARGO_PKG_VERSION"),
        "fulcrum.toml",
        "data/fulcrum.db",
        "simulated (simulated), house (simulated)",
        "answer with made-up text",
    ] {
        assert!(log.contains(line), "the start says no {line}:\n{log}");
    }
    assert!(log.lines().any(|line| line.contains("WARN") && line.contains("made-up")), "{log}");
}

#[tokio::test]
async fn only_a_real_provider_starts_without_a_warning() {
    let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::start().await);
    std::fs::write(dir.path().join("fulcrum.toml"), config(up.address)).unwrap();
    let binary = Binary::start(fulcrum(dir.path())).await;
    assert!(!binary.log().contains("WARN") && binary.log().contains("up (openai)"), "{}", binary.log());
    let answer = binary.send(Call::chat(&hello("fast"))).await;
    assert_eq!((answer.status, answer.header("x-fulcrum-simulated")), (200, None));
    let gone = binary.send(Call::chat(&hello("auto"))).await;
    assert_eq!(gone.outcome(), "404 model_not_found");
}

#[tokio::test]
async fn an_admin_key_goes_to_a_file_of_its_owner_where_stderr_would_keep_it_for_good() {
    for by_journal in [true, false] {
        let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::start().await);
        std::fs::write(dir.path().join("fulcrum.toml"), config(up.address)).unwrap();
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let mut command = fulcrum(dir.path());
        command.env_remove("FULCRUM_ADMIN_KEY");
        command.args(["serve", "--config", "fulcrum.toml", "--listen", "127.0.0.1:0"]);
        let file = if by_journal {
            let found = log.metadata().unwrap();
            command.env("JOURNAL_STREAM", format!("{}:{}", found.dev(), found.ino()));
            dir.path().join("fulcrum.db-admin-key")
        } else {
            command.args(["--admin-key-file", "own-key"]);
            dir.path().join("own-key")
        };
        let mut child = command.stderr(Stdio::from(log)).stdout(Stdio::null()).spawn().unwrap();
        let said = || std::fs::read_to_string(dir.path().join("log")).unwrap();
        let until = tokio::time::Instant::now() + PATIENCE;
        while !said().contains("listening at http://") {
            assert!(tokio::time::Instant::now() < until, "{}", said());
            sleep(std::time::Duration::from_millis(10)).await;
        }
        let said = said();
        let key = std::fs::read_to_string(&file).unwrap().trim().to_owned();
        let address = said.split("listening at http://").nth(1).unwrap();
        let address =
            address[..address.find(|c: char| !c.is_ascii_digit() && !".:".contains(c)).unwrap()].parse().unwrap();
        let list = Open::of_call(address, Call::get("/api/v1/keys").key(&key)).await;
        drop((child.kill(), child.wait()));
        assert_eq!(list.status, 200);
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!said.contains("fk-") && said.contains(file.file_name().unwrap().to_str().unwrap()), "{said}");
    }
}

const SIMULATED: &str = r#"
[defaults]
retries = 0
[providers.sim]
kind = "simulated"
[providers.broken]
kind = "simulated"
profile = "error-500"
[models.made-up]
provider = "sim"
model = "m"
[models.failing]
provider = "broken"
model = "m"
[[routes]]
name = "stored"
models = ["stored"]
targets = [{ model = "made-up" }]
cache = { mode = "exact", ttl = "1h" }
[[routes]]
name = "saved"
models = ["saved"]
strategy = "priority"
targets = [{ model = "failing" }, { model = "fast" }]
[[routes]]
name = "shared-failure"
models = ["shared-failure"]
targets = [{ model = "failing" }]
cache = { mode = "exact", ttl = "1h" }
"#;

const MARK: &str = "x-fulcrum-simulated";

#[tokio::test]
async fn every_made_up_answer_and_error_is_marked_in_every_dialect() {
    let app = TestApp::with(SIMULATED).await;
    let ask = [json!({"role": "user", "content": "Say hello"})];
    let google = json!({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]});
    let mut asked = 0;
    for (model, fails) in [("made-up", false), ("sim/any", false), ("broken", true)] {
        for (path, body) in [
            ("/v1/chat/completions".to_owned(), hello(model)),
            ("/v1/chat/completions".to_owned(), streamed(hello(model))),
            ("/v1/responses".to_owned(), json!({"model": model, "input": "Hi"})),
            ("/v1/responses".to_owned(), json!({"model": model, "input": "Hi", "stream": true})),
            ("/v1/messages".to_owned(), json!({"model": model, "max_tokens": 9, "messages": ask})),
            ("/v1/messages".to_owned(), json!({"model": model, "max_tokens": 9, "messages": ask, "stream": true})),
            (format!("/v1beta/models/{}:generateContent", model.replace('/', "%2F")), google.clone()),
            (format!("/v1beta/models/{}:streamGenerateContent?alt=sse", model.replace('/', "%2F")), google.clone()),
            ("/v1/embeddings".to_owned(), json!({"model": model, "input": "x"})),
        ] {
            // A model that fails cools, so each call of the broken provider names another.
            asked += 1;
            let named = |text: &str| text.replace("broken", &format!("broken/m{asked}"));
            let (path, body) = (named(&path).replace("broken/", "broken%2F"), named(&body.to_string()));
            let answer = app.send(Call::new("POST", &path, body.clone()).key(&app.key)).await;
            assert_eq!(
                (answer.status >= 500, answer.header(MARK)),
                (fails, Some("true")),
                "{path} {body}: {}",
                answer.text()
            );
        }
    }
    for real in [app.hello("fast").await, app.hello_stream("fast").await, app.hello("nobody").await] {
        assert_eq!(real.header(MARK), None, "{}", real.text());
    }
    let saved = app.hello("saved").await;
    assert_eq!((saved.status, saved.header(MARK)), (200, None), "the answer is a real one");
    app.close().await;
}

#[tokio::test]
async fn a_stored_a_shared_and_a_repeated_answer_that_was_made_up_is_marked() {
    let app = TestApp::with(SIMULATED).await;
    for body in [hello("stored"), streamed(hello("stored"))] {
        let call = || app.chat(&body);
        let together = futures_util::future::join3(call(), call(), call()).await;
        let states = [&together.0, &together.1, &together.2].map(|answer| {
            assert_eq!((answer.status, answer.header(MARK)), (200, Some("true")), "{:?}", answer.headers);
            answer.header("x-fulcrum-cache").unwrap().to_owned()
        });
        let again = call().await;
        assert_eq!((again.header("x-fulcrum-cache"), again.header(MARK)), (Some("hit"), Some("true")));
        assert!(states.iter().any(|state| state == "coalesced") || body["stream"] == true, "{states:?}");
    }
    let failed = || app.hello("shared-failure");
    let (one, two) = futures_util::future::join(failed(), failed()).await;
    for answer in [one, two] {
        assert_eq!((answer.status >= 500, answer.header(MARK)), (true, Some("true")), "{:?}", answer.headers);
    }
    let once = || app.send(Call::chat(&hello("made-up")).key(&app.key).header("idempotency-key", "k1"));
    let (first, again) = (once().await, once().await);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!((first.header(MARK), again.header(MARK)), (Some("true"), Some("true")));
    // A provider of that name that is real from now on does not make the old answer real.
    app.reload(
        "[providers.sim]\nkind = \"openai\"\nbase_url = \"http://{up}/v1\"\napi_key = \"env:UP_KEY\"\n\
                [models.made-up]\nprovider = \"sim\"\nmodel = \"m\"\n",
    )
    .await;
    let later = once().await;
    assert_eq!((later.header("idempotency-replayed"), later.header(MARK)), (Some("true"), Some("true")));
    app.close().await;
}

#[tokio::test]
async fn a_key_that_another_process_made_or_rotated_opens_at_once() {
    let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::start().await);
    std::fs::write(dir.path().join("fulcrum.toml"), config(up.address)).unwrap();
    let binary = Binary::start(fulcrum(dir.path())).await;
    let say = |words: &[&str]| {
        let (code, output) =
            run(fulcrum(dir.path()).args(words).args(["--config", "fulcrum.toml", "--format", "json"]));
        assert_eq!(code, 0, "{output}");
        serde_json::from_str::<Value>(&output).unwrap()
    };
    let status = async |key: &Value| {
        Open::of_call(binary.address, Call::chat(&hello("fast")).key(key.as_str().unwrap())).await.status
    };
    for n in 0..5 {
        let made = say(&["key", "create", &format!("k{n}")]);
        assert_eq!(status(&made["key"]).await, 200, "a new key opens in its first call");
        let rotated = say(&["key", "rotate", made["id"].as_str().unwrap()]);
        assert_eq!(status(&rotated["key"]).await, 200, "a new secret opens in its first call");
        assert_eq!(status(&made["key"]).await, 401);
    }
    // What opens nothing is looked up for as long as its address may guess, and no longer.
    let mut refused = 0;
    let wrong = json!(format!("fk-{}-{}", "0".repeat(12), "x".repeat(40)));
    for _ in 0..40 {
        refused = status(&wrong).await;
    }
    assert_eq!(refused, 429);
    assert_eq!(binary.send(Call::chat(&hello("fast"))).await.status, 200);
}

#[tokio::test]
async fn a_command_says_why_it_failed_and_what_to_write() {
    let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::start().await);
    std::fs::write(dir.path().join("fulcrum.toml"), config(up.address)).unwrap();
    let mut binary = Binary::start(fulcrum(dir.path())).await;
    let url = format!("http://{}", binary.address);
    let with_url = |url: &str| run(fulcrum(dir.path()).args(["usage", "--url", url]));
    let (code, output) = with_url(&url["http://".len()..]);
    assert!(code == 2 && output.contains(&format!("write {url}")), "{output}");
    let (code, output) = with_url(&url);
    assert!(code == 2 && output.contains("--key or $FULCRUM_KEY"), "{output}");
    let (code, output) = with_url("http://127.0.0.1:9");
    assert!(code == 3 && output.to_lowercase().contains("connection refused"), "{output}");
    // A second gateway with a database of its own, at the same address.
    let other = tempfile::tempdir().unwrap();
    std::fs::write(other.path().join("fulcrum.toml"), config(up.address)).unwrap();
    let address = binary.address.to_string();
    let (code, output) = run(fulcrum(other.path()).args(["serve", "--config", "fulcrum.toml", "--listen", &address]));
    assert!(code == 3 && output.contains("name another address with --listen"), "{code} {output}");
    let to_url = |words: &[&str]| run(fulcrum(dir.path()).args(words).args(["--url", &url, "--key", ADMIN]));
    let (code, output) = to_url(&["request", "erase"]);
    assert!(code == 2 && output.contains("--user") && output.contains("--session"), "{code} {output}");
    let list = |words: &[&str]| {
        let (code, output) = to_url(words);
        assert_eq!(code, 2, "{output}");
        let names = output.split("one of ").nth(1).unwrap_or_else(|| panic!("{output}")).trim().to_owned();
        names.split(", ").map(str::to_owned).collect::<Vec<_>>()
    };
    let (sorts, columns) = (list(&["usage", "--sort", "zzzzzz"]), list(&["usage", "--columns", "zzzzzz"]));
    for column in &columns {
        assert!(sorts.contains(column), "{column} is a column, and not among what `--sort` names: {sorts:?}");
    }
    binary.signal("TERM");
    assert!(binary.ended().await.success());
    let create =
        |more: &[&str]| run(fulcrum(dir.path()).args(["key", "create", "k", "--config", "fulcrum.toml"]).args(more));
    let (code, output) = create(&["--role", "boss"]);
    assert!(code == 2 && output.contains("`viewer`") && !output.contains("line 1"), "{output}");
    // A database whose keys cannot be written: the reason is not in a log that a command has not.
    let database = format!("sqlite://{}/fulcrum.db", dir.path().display());
    let pool = sqlx::SqlitePool::connect(&database).await.unwrap();
    let trap = "create trigger full before insert on keys begin select raise(abort, 'database or disk is full'); end";
    sqlx::query(trap).execute(&pool).await.unwrap();
    pool.close().await;
    let (code, output) = create(&[]);
    assert!(code == 3 && output.contains("database or disk is full") && !output.contains("see the log"), "{output}");
}

#[tokio::test]
async fn explain_names_headers_a_session_and_a_user_as_a_caller_would() {
    let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::start().await);
    let mut text = config(up.address);
    for (name, rule) in [
        ("eu", "header(\"x-region\") == \"eu=1\" && header(\"x-tier\") == \"gold\""),
        ("session", "header(\"x-fulcrum-session\") == \"chat-7\""),
        ("user", "header(\"x-fulcrum-user\") == \"ann\""),
        ("rest", "true"),
    ] {
        text += &format!(
            "[[routes]]\nname = \"{name}\"\nmodels = [\"auto\"]\nwhen = '{rule}'\ntargets = [{{ model = \"fast\" }}]\n"
        );
    }
    std::fs::write(dir.path().join("fulcrum.toml"), text).unwrap();
    let mut binary = Binary::start(fulcrum(dir.path())).await;
    let url = format!("http://{}", binary.address);
    for place in [&["--url", &url, "--key", ADMIN][..], &["--config", "fulcrum.toml"]] {
        for (words, route) in [
            (&["--header", "x-region=eu=1", "--header", "X-Tier=gold"][..], "eu"),
            (&["--header", "x-region=eu=1"], "rest"),
            (&["--session", "chat-7"], "session"),
            (&["--user", "ann", "--header", "x-region=us"], "user"),
            (&[], "rest"),
        ] {
            let (code, output) = run(fulcrum(dir.path()).args(["explain", "--format", "json"]).args(words).args(place));
            let explained: Value = serde_json::from_str(&output).unwrap_or_else(|_| panic!("{code}: {output}"));
            assert_eq!((code, &explained["route"]), (0, &json!(route)), "{words:?}");
        }
    }
    for (words, message) in [
        (["--header", "x-region"], "--header `x-region` must be name=value"),
        (["--header", "x region=eu"], "--header `x region`: no header has such a name"),
        (["--header", "Authorization=Bearer x"], "--header `Authorization`: the command sets that itself"),
        (["--session", "a\nb"], "--session: the value has letters that no header has"),
    ] {
        let (code, output) = run(fulcrum(dir.path()).args(["explain", "--url", &url]).args(words));
        assert!(code == 2 && output.contains(message), "{words:?}: {code} {output}");
    }
    binary.signal("TERM");
    assert!(binary.ended().await.success());
}
