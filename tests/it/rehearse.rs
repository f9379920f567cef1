//! `fulcrum rehearse`: faults against the configured routes, with nothing called.

use std::path::Path;

use serde_json::{Value, json};

use crate::binary::{fulcrum, run};

const CONFIG: &str = r#"
[providers.openai]
kind = "openai"
api_keys = ["env:NOBODY_SET_THIS", "env:NOR_THIS"]
[providers.claude]
kind = "anthropic"
api_key = "env:NOBODY_SET_THIS"
[providers.gem]
kind = "gemini"
api_key = "file:/nowhere/key"
[providers.house]
kind = "openai"
server = "llamacpp"
base_url = "http://127.0.0.1:9/v1"
local = true
[models.fast]
provider = "openai"
model = "gpt-4o-mini"
[[routes]]
name = "private"
when = 'metadata.privacy == "internal"'
strategy = "priority"
targets = [{ model = "house/a" }, { model = "house/b" }]
local_only = true
[[routes]]
name = "weighted"
models = ["auto"]
targets = [{ model = "fast", weight = 3 }, { model = "gem/gemini-2.5-flash", weight = 1 }]
fallbacks = ["claude/claude-haiku-4-5"]
[[routes]]
name = "alone"
targets = [{ model = "claude/claude-haiku-4-5" }]
retries = 0
"#;

fn rehearse(dir: &Path, text: &str, more: &[&str]) -> (i32, String) {
    std::fs::write(dir.join("fulcrum.toml"), text).unwrap();
    let mut command = fulcrum(dir);
    run(command.env_remove("UP_KEY").args(["rehearse", "--config", "fulcrum.toml"]).args(more))
}

fn json_of(output: &str) -> Value {
    let start = output.find('{').unwrap();
    let end = output.rfind('}').unwrap();
    serde_json::from_str(&output[start..=end]).unwrap_or_else(|error| panic!("{error}: {output}"))
}

#[test]
fn every_route_meets_every_fault_and_every_promise_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (code, output) = rehearse(dir.path(), CONFIG, &["--format", "json", "--junit", "report.xml"]);
    let card = json_of(&output);
    let cases = card["cases"].as_array().unwrap();
    let broken: Vec<&Value> = cases
        .iter()
        .filter(|case| case["promises"].as_array().unwrap().iter().any(|one| one["kept"] == false))
        .collect();
    assert!(code == 0 && broken.is_empty() && card["broken"] == 0, "{code} {broken:#?}");
    let find = |route: &str, fault: &str, strikes: &str, dialect: &str| {
        cases
            .iter()
            .find(|case| {
                (&case["route"], &case["fault"], &case["strikes"], &case["dialect"])
                    == (&route.into(), &fault.into(), &strikes.into(), &dialect.into())
            })
            .unwrap_or_else(|| panic!("{route} {fault} {strikes} {dialect}"))
    };
    assert_eq!(find("private", "none", "all targets", "chat")["model"], "house/a");
    let made_up = find("private", "status-503", "first target", "chat");
    assert_eq!((&made_up["status"], &made_up["model"]), (&200.into(), &"house/b".into()));
    for (fault, status) in [("no-credit", 402), ("not-there", 404), ("retired", 410)] {
        let made_up = find("private", fault, "first target", "chat");
        assert_eq!((&made_up["status"], &made_up["model"]), (&200.into(), &"house/b".into()), "{fault}");
        assert_eq!(find("alone", fault, "all targets", "chat")["status"], status);
    }
    let down = find("alone", "status-529", "all targets", "chat");
    assert_eq!((&down["status"], &down["attempts"], &down["cost_usd"]), (&529.into(), &1.into(), &"0".into()));
    let quiet = find("alone", "rate-limited", "all targets", "chat");
    assert_eq!((&quiet["status"], &quiet["retry_after"]), (&429.into(), &"30".into()));
    let hole = find("alone", "black-hole", "all targets", "chat");
    assert_eq!((&hole["status"], &hole["code"]), (&504.into(), &"upstream_timeout".into()));
    let (took, would) = (hole["took_ms"].as_u64().unwrap(), hole["would_take_ms"].as_u64().unwrap());
    assert!(took < 5_000 && (60_000..65_000).contains(&would), "{took} {would}");
    assert_eq!(find("alone", "slow-for-caller", "all targets", "chat")["status"], 408);
    for dialect in ["chat", "responses", "messages", "gemini"] {
        for route in ["private", "weighted", "alone"] {
            assert_eq!(find(route, "none-stream", "all targets", dialect)["status"], 200, "{route} {dialect}");
            let cut = find(route, "stream-cut", "all targets", dialect);
            assert!(cut["status"] == 200 && cut["code"].is_string() && cut["attempts"] == 1, "{cut}");
        }
    }
    let junit = std::fs::read_to_string(dir.path().join("report.xml")).unwrap();
    assert_eq!(junit.matches("<testcase ").count(), cases.len());
    assert!(junit.contains("failures=\"0\"") && !junit.contains("<failure"), "{junit}");
    assert!(junit.contains("<testsuite name=\"weighted\""), "{junit}");
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left.len(), 2, "nothing else is left: {left:?}");
    assert!(!output.contains("sk-rehearsal") && !junit.contains("sk-rehearsal"));
}

#[test]
fn targets_for_causes_and_judges_have_faults_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let cascade = "[[routes]]\nname = \"cascade\"\nstrategy = \"cascade\"\n\
        targets = [{ model = \"house/a\", accept = { judge = \"claude/claude-haiku-4-5\" } }, { model = \"fast\" }]\n\
        on_context_length = [\"gem/gemini-2.5-pro\"]\non_content_filter = [\"openai/gpt-4o\"]\n";
    let start = CONFIG.find("[[routes]]").unwrap();
    let (code, output) = rehearse(dir.path(), &format!("{}{cascade}", &CONFIG[..start]), &["--format", "json"]);
    let card = json_of(&output);
    let cases = card["cases"].as_array().unwrap();
    let broken: Vec<&Value> = cases
        .iter()
        .filter(|case| case["promises"].as_array().unwrap().iter().any(|one| one["kept"] == false))
        .collect();
    assert!(code == 0 && broken.is_empty(), "{code} {broken:#?}");
    for (fault, strikes, status, model, attempts) in [
        // The judge accepts the cheap answer where it is well.
        ("none", "all targets", 200, Some("house/a"), 2),
        ("too-long", "first target", 200, Some("gem/gemini-2.5-pro"), 2),
        ("filtered", "first target", 200, Some("openai/gpt-4o"), 2),
        ("too-long", "all targets", 400, None, 3),
        ("judge-down", "the judge", 200, Some("openai/gpt-4o-mini"), 3),
        ("judge-silent", "the judge", 200, Some("openai/gpt-4o-mini"), 3),
        ("judge-talks", "the judge", 200, Some("openai/gpt-4o-mini"), 3),
    ] {
        let found =
            cases.iter().find(|case| case["fault"] == fault && case["strikes"] == strikes && case["dialect"] == "chat");
        let found = found.unwrap_or_else(|| panic!("no case {fault} {strikes}"));
        let expected = (&json!(status), &json!(attempts), &json!(model));
        assert_eq!((&found["status"], &found["attempts"], &found["model"]), expected, "{found:#}");
    }
    let silent = cases.iter().find(|case| case["fault"] == "judge-silent").unwrap();
    let would = silent["would_take_ms"].as_u64().unwrap();
    assert!((30_000..35_000).contains(&would), "a judge has 30 seconds: {would}");
    // Other routes have none of these.
    let (_, output) = rehearse(dir.path(), CONFIG, &["--format", "json"]);
    assert!(!output.contains("judge-") && !output.contains("too-long"), "{output}");
}

#[test]
fn models_are_rehearsed_where_there_are_no_routes() {
    let dir = tempfile::tempdir().unwrap();
    let text = "[providers.openai]\nkind = \"openai\"\napi_key = \"env:NOBODY_SET_THIS\"\n[models.fast]\nprovider = \"openai\"\n";
    let (code, output) = rehearse(dir.path(), text, &[]);
    assert_eq!(code, 0, "{output}");
    for part in ["No provider is called", "route fast", "black-hole", "openai/fast", "every promise was kept"] {
        assert!(output.contains(part), "{part} is not in:\n{output}");
    }
}

#[test]
fn a_wrong_configuration_is_bad_input_with_every_mistake_at_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let text = "[providers.openai]\nkind = \"opnai\"\n[[routes]]\nmin_speed = { window = \"1s\" }\ntargets = []\n";
    let (code, output) = rehearse(dir.path(), text, &[]);
    assert_eq!(code, 2, "{output}");
    for place in ["fulcrum.toml:2:", "fulcrum.toml:4:", "fulcrum.toml:5:"] {
        assert!(output.contains(place), "{place} is not in:\n{output}");
    }
    let (code, output) = rehearse(dir.path(), "", &[]);
    assert!(code == 2 && output.contains("no route and no model"), "{code} {output}");
}

#[test]
fn a_target_of_weight_0_is_none_that_could_answer() {
    let dir = tempfile::tempdir().unwrap();
    let text = "[providers.a]\nkind = \"openai\"\napi_key = \"env:NOBODY_SET_THIS\"\n\
        [[routes]]\nname = \"drained\"\ntargets = [{ model = \"a/x\" }, { model = \"a/y\", weight = 0 }]\n";
    let (code, output) = rehearse(dir.path(), text, &[]);
    assert!(code == 0 && output.contains("every promise was kept"), "{output}");
}

#[test]
fn a_hedge_waits_beside_the_first_attempt_and_a_target_alone_meets_each_fault_once() {
    let dir = tempfile::tempdir().unwrap();
    let text = "[providers.a]\nkind = \"openai\"\napi_key = \"env:NOBODY_SET_THIS\"\ntimeouts = { first_token = \"30s\" }\n\
        [defaults]\nretries = 0\n[[routes]]\nname = \"two\"\nstrategy = \"priority\"\n\
        targets = [{ model = \"a/x\" }, { model = \"a/y\" }]\nhedge = { after = \"20ms\", max_extra_spend = 1.0 }\n\
        [[routes]]\nname = \"one\"\ntargets = [{ model = \"a/x\" }]\n";
    let (code, output) = rehearse(dir.path(), text, &["--format", "json"]);
    let card = json_of(&output);
    let cases = card["cases"].as_array().unwrap();
    let of = |route: &str, strikes: &str| {
        let is_it = |case: &&Value| {
            (&case["route"], &case["fault"], &case["strikes"]) == (&route.into(), &"black-hole".into(), &strikes.into())
        };
        cases.iter().filter(is_it).collect::<Vec<_>>()
    };
    let both = of("two", "all targets")[0];
    assert_eq!((code, &both["attempts"]), (0, &2.into()), "{both}");
    assert!((30_000..40_000).contains(&both["would_take_ms"].as_u64().unwrap()), "{both}");
    assert_eq!((of("one", "first target").len(), of("one", "all targets").len()), (0, of("two", "all targets").len()));
}
