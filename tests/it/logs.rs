//! What the log has of targets and of calls.

use serde_json::Value;

use crate::app::{TestApp, hello, logged};
use crate::binary::{Binary, config, fulcrum};
use crate::client::{Answer, Call, Open};
use crate::upstream::{EVENTS, Script, Upstream, WHOLE};

/// So many calls fail in a row.
const CALLS: usize = 12;

/// The warnings about a target: how often it is said to fail, and to answer again.
fn warnings(target: &str) -> (usize, usize) {
    let lines = logged(&format!("target {target} "));
    assert!(lines.iter().all(|line| line.contains("WARN") && line.contains("request=")), "{lines:#?}");
    let count = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
    (count("fails: "), count("answers again"))
}

#[tokio::test]
async fn a_target_that_fails_has_one_line_with_its_cause_and_one_when_it_answers_again() {
    let app = TestApp::start().await;
    let cases = [
        ("dead/log-refused", None, "cannot be reached: ", "Connection refused"),
        ("nowhere/log-dns", None, "cannot be reached: ", "lookup"),
        ("up/log-502", Some(Script::error(502, "secret words of a provider")), "answered with status 502", ""),
        ("up/log-429", Some(Script::throttled("")), "limits the rate of calls (429)", ""),
        ("up/log-429-for", Some(Script::throttled("retry-after: 7\r\n")), "(429), for 7 s", "; it cools until 20"),
        ("hasty/log-slow", Some(Script::default().stall()), "did not begin its answer in time", ""),
        (
            "up/log-garbage",
            Some(Script::reply(200, "content-type: text/html\r\n", "<p>secret words")),
            "its answer",
            "",
        ),
        ("up/log-403", Some(Script::error(403, "secret words")), "answered with status 403", ""),
        ("up/log-404", Some(Script::error(404, "no such model: secret words")), "answered with status 404", ""),
    ];
    for (target, script, cause, detail) in cases {
        // A pause that the provider asked for is kept, so that nothing is sent.
        let is_up = script.is_some() && target != "up/log-429-for";
        if let Some(script) = script {
            app.up.always(script);
        }
        let mut ids = Vec::new();
        for _ in 0..CALLS {
            let answer = app.hello(target).await;
            assert!(answer.status >= 400, "{target}: {}", answer.text());
            ids.push(answer.id().to_owned());
        }
        assert_eq!(warnings(target), (1, 0), "{target}: {:#?}", logged(target));
        let first = &logged(&format!("target {target} fails: "))[0];
        assert!(first.contains(cause) && first.contains(detail) && first.contains(&ids[0]), "{first}");
        assert!(!first.contains("secret words"), "{first}");
        let cools = logged(&format!("target {target} goes on failing: "));
        assert!(cools.len() <= 1, "{cools:#?}");
        if is_up {
            app.up.always(Script::json(200, WHOLE));
            for _ in 0..3 {
                assert_eq!(app.hello(target).await.status, 200, "{target}");
            }
            assert_eq!(warnings(target), (1, 1), "{target}");
        }
    }
    app.close().await;
}

#[tokio::test]
async fn a_target_that_cools_says_until_when_once() {
    let app = TestApp::start().await;
    app.up.always(Script::error(503, "busy"));
    for _ in 0..CALLS {
        app.hello("up/log-cools").await;
    }
    let cools = logged(
        "target up/log-cools goes on failing: answered with status 503; it cools for the calls of one key until ",
    );
    assert_eq!(cools.len(), 1, "{:#?}", logged("up/log-cools"));
    app.close().await;
}

#[tokio::test]
async fn a_refused_provider_key_is_logged_and_a_callers_mistake_is_not() {
    let app = TestApp::start().await;
    app.up.always(Script::error(401, "no"));
    app.hello("pair/log-keys").await;
    let lines = logged("target pair/log-keys fails: ");
    assert!(lines[0].contains("refused one of the provider's keys (401); another is tried"), "{lines:#?}");
    app.up.always(Script::error(400, "bad"));
    assert_eq!(app.hello("up/log-400").await.status, 400);
    assert_eq!(warnings("up/log-400"), (0, 0));
    app.close().await;
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_logged_and_never_a_line_a_call() {
    let app = TestApp::start().await;
    app.up.always(Script::sse().chunks(&EVENTS[..2]).reset());
    for _ in 0..2 * CALLS {
        app.hello_stream("up/log-broken").await;
    }
    let (fails, again) = warnings("up/log-broken");
    assert!(fails >= 1 && fails + again <= 7, "{fails} and {again} lines");
    app.close().await;
}

/// The lines of calls, as a program reads them.
fn calls(log: &str) -> Vec<Value> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["message"] == "call").collect()
}

async fn ask(binary: &Binary, model: &str) -> Answer {
    binary.send(Call::chat(&hello(model))).await
}

#[tokio::test]
async fn a_call_has_a_line_where_the_owner_asks_for_it_and_else_none() {
    let (upstream, dir) = (Upstream::start().await, tempfile::tempdir().unwrap());
    let with = |telemetry: &str| {
        let text = format!("{}[telemetry]\n{telemetry}\n", config(upstream.address));
        std::fs::write(dir.path().join("fulcrum.toml"), text).unwrap();
    };
    with("log_format = \"json\"");
    let mut binary = Binary::start(fulcrum(dir.path())).await;
    assert_eq!(ask(&binary, "fast").await.status, 200);
    binary.kill();
    assert_eq!(calls(&binary.log()).len(), 0, "{}", binary.log());

    with("log_format = \"json\"\naccess_log = true");
    let mut binary = Binary::start(fulcrum(dir.path())).await;
    let answer = ask(&binary, "fast").await;
    binary.says(answer.id()).await;
    let unknown = ask(&binary, "no\u{1b}[31msuch").await;
    binary.says(unknown.id()).await;
    let refused = Open::of_call(binary.address, Call::chat(&hello("fast")).key("fk-nobody")).await;
    binary.says(refused.id()).await;
    let lines = calls(&binary.log());
    let line =
        |n: usize, names: &[&str]| names.iter().map(|name| lines[n][name].to_string()).collect::<Vec<_>>().join(" ");
    let names = ["level", "endpoint", "model", "target_id", "status", "outcome", "error", "cost_usd", "cache"];
    let shown = (0..lines.len()).map(|n| line(n, &names)).collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!(shown, @r#"
    "INFO" "/v1/chat/completions" "fast" "up/gpt-x" 200 "ok" null "0.000015" null
    "INFO" "/v1/chat/completions" "no\u001b[31msuch" null 404 "error" "model_not_found" "0" null
    "INFO" "/v1/chat/completions" "" null 401 "refused" "invalid_api_key" null null
    "#);
    assert_eq!(lines[0]["request"], answer.id());
    assert!(lines[0]["ms"].is_number() && lines[0]["key"].is_string(), "{}", lines[0]);
    assert!(!binary.log().contains('\u{1b}') && !binary.log().contains("fk-nobody"), "{}", binary.log());
    assert!(!binary.log().contains("Say hello"), "{}", binary.log());
    binary.kill();
}

#[tokio::test]
async fn a_reload_that_drops_names_logs_which() {
    let more = "[models.leaving]\nprovider = \"up\"\n[providers.gone-soon]\nkind = \"openai\"\nbase_url = \"http://{up}/v1\"\n\
                [[routes]]\nname = \"way-out\"\nmodels = [\"by-route\"]\ntargets = [{ model = \"fast\" }]\n";
    let app = TestApp::with(more).await;
    app.reload(&format!("{more}[models.added]\nprovider = \"up\"\n")).await;
    assert!(logged("drops models: by-route").is_empty(), "what stays is not named");
    app.reload("").await;
    for line in ["drops models: added, by-route, leaving", "drops routes: way-out", "drops providers: gone-soon"] {
        let lines = logged(line);
        assert!(lines.len() == 1 && lines[0].contains("WARN"), "{line}: {lines:?}");
    }
    app.close().await;
}
