//! What an editor of prompts does with the commands: the real binary on a folder, a database and a running gateway.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::app::ADMIN;
use crate::binary::{Binary, config, fulcrum, run};
use crate::client::Call;
use crate::upstream::Upstream;

const GREET: &str = "[[messages]]\nrole = \"user\"\ncontent = \"Hi {{ who }}\"\n\n[variables]\nwho = { type = \"string\" }\n\n\
                     [settings]\nmodel = \"fast\"\n";

/// A folder with a configuration, a database and `p/greet.toml`.
struct Place {
    dir: tempfile::TempDir,
    up: Upstream,
}

impl Place {
    async fn new() -> Self {
        let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::start().await);
        std::fs::create_dir(dir.path().join("p")).unwrap();
        let place = Self { dir, up };
        place.write("fulcrum.toml", &config(place.up.address));
        place.write("p/greet.toml", GREET);
        let mut binary = Binary::start(fulcrum(place.path())).await;
        binary.signal("TERM");
        assert!(binary.ended().await.success());
        place
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.path().join(file), text).unwrap();
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = fulcrum(self.path());
        command.env("FULCRUM_CONFIG", "fulcrum.toml").env("USER", "ann").args(words);
        command
    }

    fn run(&self, words: &[&str]) -> (i32, String) {
        run(&mut self.command(words))
    }

    /// What a command that must succeed prints.
    fn good(&self, words: &[&str]) -> String {
        let (code, output) = self.run(words);
        assert_eq!(code, 0, "{words:?}: {output}");
        output
    }

    fn json(&self, words: &[&str]) -> Value {
        let output = self.good(&[words, &["--format", "json"]].concat());
        serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_changed_what_is_listed_and_a_bare_name_means_production_everywhere() {
    let place = Place::new().await;
    let added = place.good(&["prompt", "add", "p/greet.toml", "--message", "First"]);
    assert!(added.contains("greet@1") && added.contains("fulcrum prompt label greet production 1"), "{added}");
    let shown = place.good(&["prompt", "show", "greet"]);
    assert!(shown.contains("# version: 1") && shown.contains("no label production"), "{shown}");
    place.good(&["prompt", "label", "greet", "production", "1", "--reason", "Release"]);
    place.write("p/greet.toml", &GREET.replace("Hi", "Hello"));
    place.good(&["prompt", "add", "p/greet.toml", "--message", "Kinder", "--author", "bob", "--label", "staging"]);
    for (reference, version, text) in
        [("greet", 1, "Hi Ann"), ("greet@staging", 2, "Hello Ann"), ("greet@latest", 2, "Hello")]
    {
        assert!(place.good(&["prompt", "show", reference]).contains(&format!("# version: {version}")), "{reference}");
        let rendered = place.good(&["prompt", "render", reference, "--var", "who=Ann"]);
        assert!(rendered.contains(text) && rendered.contains(&format!("greet@{version}")), "{rendered}");
    }
    let versions = place.json(&["prompt", "versions", "greet"]);
    let of = |row: &Value| (row["version"].clone(), row["author"].clone(), row["message"].clone());
    let rows: Vec<_> = versions["rows"].as_array().unwrap().iter().map(of).collect();
    assert_eq!(rows, [(json!(2), json!("bob"), json!("Kinder")), (json!(1), json!("ann"), json!("First"))]);
    let table = place.good(&["prompt", "versions", "greet"]);
    assert!(["bob", "ann", "Kinder", "production", "staging"].iter().all(|word| table.contains(word)), "{table}");
    let again = place.good(&["prompt", "label", "greet", "production", "1", "--reason", "Back"]);
    assert!(again.contains("already 1") && again.contains("reason is not written down"), "{again}");
    place.good(&["prompt", "label", "greet", "production", "2", "--reason", "Won"]);
    let history = place.good(&["prompt", "history", "greet", "production"]);
    assert!(["ann", "Won", "Release"].iter().all(|word| history.contains(word)), "{history}");
    let history = place.json(&["prompt", "history", "greet"]);
    assert_eq!(history["rows"].as_array().unwrap().len(), 3);
    place.good(&["prompt", "unlabel", "greet", "staging", "--reason", "Over"]);
    assert_eq!(place.run(&["prompt", "unlabel", "greet", "staging"]).0, 1);
    assert!(!place.good(&["prompt", "list"]).contains("staging"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_rendered_and_run_before_it_is_a_version() {
    let place = Place::new().await;
    let rendered = place.good(&["prompt", "render", "p/greet.toml", "--var", "who=12345"]);
    assert!(rendered.contains("Hi 12345") && rendered.contains("nothing is saved"), "{rendered}");
    for (words, wrong) in [
        (&["prompt", "render", "p/greet.toml"][..], "`who` is missing"),
        (&["prompt", "run", "p/greet.toml", "--var", "whom=x"], "`whom`"),
        (&["prompt", "render", "p/none.toml"], "p/none.toml"),
    ] {
        let (code, output) = place.run(words);
        assert!(code == 2 && output.contains(wrong), "{words:?}: {code} {output}");
    }
    assert_eq!(place.up.count(), 0);
    let ran = place.good(&["prompt", "run", "p/greet.toml", "--var", "who=12345"]);
    assert_eq!(place.up.only().json()["messages"][0]["content"], "Hi 12345", "{ran}");
    assert!(place.json(&["prompt", "list"])["rows"].as_array().unwrap().is_empty(), "nothing is saved");

    place.good(&["prompt", "add", "p/greet.toml", "--label", "production"]);
    // A running gateway has the database: its address is needed.
    let mut binary = Binary::start(fulcrum(place.path())).await;
    let (code, output) = place.run(&["prompt", "run", "greet", "--var", "who=007"]);
    assert!(code == 3 && output.contains("--url"), "{code} {output}");
    let url = format!("http://{}", binary.address);
    let to = ["--url", &url, "--key", ADMIN];
    let answer =
        place.json(&[&["prompt", "run", "greet@1", "--var", "who=007", "--model", "up/other"][..], &to].concat());
    assert!(answer["choices"][0]["message"].is_object(), "{answer}");
    let sent = place.up.received().last().unwrap().json();
    assert_eq!((&sent["model"], &sent["messages"][0]["content"]), (&json!("other"), &json!("Hi 007")));
    let explained = place.json(&[&["explain", "--model", "prompt/greet", "--var", "who=12"][..], &to].concat());
    assert_eq!(explained["prompt"]["version"], 1, "{explained}");
    let (code, output) = place.run(&[&["prompt", "run", "nope"][..], &to].concat());
    assert_eq!(code, 1, "{output}");
    binary.signal("TERM");
    assert!(binary.ended().await.success());
    let ledger = place.json(&["usage"]);
    assert!(ledger.to_string().contains("gpt-x"), "what a command called has a row: {ledger}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_says_what_came_of_each_file_and_an_export_writes_over_nothing() {
    let place = Place::new().await;
    let import = ["prompt", "import", "p", "--label", "production"];
    assert_eq!(place.good(&import).trim(), "greet@1 new, production set");
    assert_eq!(place.good(&import).trim(), "greet@1 unchanged");
    place.write("p/greet.toml", &GREET.replace("Hi", "Hello"));
    assert_eq!(place.good(&import).trim(), "greet@2 new, production moved from 1");
    place.good(&["prompt", "label", "greet", "production", "1"]);
    place.write("p/greet.toml", &GREET.replace("Hi", "Good day"));
    let stays = place.good(&import);
    assert!(stays.contains("greet@3 new, production stays at 1 since it was moved by hand"), "{stays}");
    assert!(stays.contains("fulcrum prompt label greet production 3"), "{stays}");
    // Whoever asks for it gives the label back to the imports.
    let forced = place.good(&[&import[..], &["--force"]].concat());
    assert_eq!(forced.trim(), "greet@3 unchanged, production moved from 1");
    place.write("p/greet.toml", &GREET.replace("Hi", "Good evening"));
    assert_eq!(place.good(&import).trim(), "greet@4 new, production moved from 3");
    let versions = place.json(&["prompt", "versions", "greet"])["rows"].as_array().unwrap().len();
    place.write("p/greet.toml", &GREET.replace("Hi", "Good night"));
    let (code, output) = place.run(&["prompt", "import", "p", "--label", "Bad!"]);
    assert!(code == 2 && output.contains("--label"), "{code} {output}");
    assert_eq!(place.json(&["prompt", "versions", "greet"])["rows"].as_array().unwrap().len(), versions);
    std::fs::create_dir(place.path().join("empty")).unwrap();
    let (code, output) = place.run(&["prompt", "import", "empty"]);
    assert!(code == 1 && output.contains("empty"), "{code} {output}");

    place.write("p/greet.toml", "# my edits\n");
    let (code, output) = place.run(&["prompt", "export", "p"]);
    assert!(code == 1 && output.contains("greet") && output.contains("--force"), "{code} {output}");
    assert_eq!(std::fs::read_to_string(place.path().join("p/greet.toml")).unwrap(), "# my edits\n");
    let (code, output) = place.run(&["prompt", "export", "new", "--at", "nolabel"]);
    assert!(code == 1 && !place.path().join("new").exists(), "{code} {output}");
    place.good(&["prompt", "export", "p", "--force"]);
    place.good(&["prompt", "export", "p"]);
    assert!(std::fs::read_to_string(place.path().join("p/greet.toml")).unwrap().contains("Good evening"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prompt_is_archived_brought_back_and_renamed_beside_a_running_gateway() {
    let place = Place::new().await;
    let binary = Binary::start(fulcrum(place.path())).await;
    let call = async |model: &str| {
        let body = json!({"model": model, "prompt": {"variables": {"who": "Ann"}}});
        binary.send(Call::post("/v1/chat/completions", &body)).await
    };
    // Not a second passes between a command and the call that it is for.
    place.good(&["prompt", "add", "p/greet.toml", "--label", "production"]);
    assert_eq!(call("prompt/greet").await.status, 200);
    place.write("p/greet.toml", &GREET.replace("Hi", "Hello"));
    place.good(&["prompt", "add", "p/greet.toml", "--label", "staging"]);
    assert_eq!(call("prompt/greet@staging").await.status, 200);
    assert_eq!(binary.send(Call::get("/api/v1/prompts/greet")).await.json()["labels"]["staging"]["version"], 2);

    let url = format!("http://{}", binary.address);
    let over = |words: &[&str]| place.good(&[words, &["--url", &url, "--key", ADMIN]].concat());
    assert!(over(&["prompt", "archive", "greet", "--reason", "Over"]).contains("greet is archived"));
    let refused = call("prompt/greet").await;
    assert_eq!(refused.outcome(), "404 prompt_not_found");
    assert!(refused.text().contains("is archived"), "{}", refused.text());
    assert!(!over(&["prompt", "list"]).contains("greet"));
    assert!(over(&["prompt", "list", "--archived"]).contains("greet (archived)"));
    let (code, output) = place.run(&["prompt", "label", "greet", "production", "2", "--url", &url, "--key", ADMIN]);
    assert!(code == 1 && output.contains("unarchive greet"), "{output}");
    let imported = over(&["prompt", "import", "p"]);
    assert!(imported.contains("greet left out: ") && imported.contains("is archived"), "{imported}");
    assert!(over(&["prompt", "unarchive", "greet"]).contains("back from the archive"));
    assert!(over(&["prompt", "unarchive", "greet"]).contains("is not archived"));
    assert_eq!(call("prompt/greet").await.status, 200);

    over(&["key", "create", "narrow", "--models", "prompt/greet@production"]);
    let renamed = over(&["prompt", "rename", "greet", "hello", "--reason", "Clearer"]);
    assert!(renamed.contains("greet is called hello now") && renamed.contains("narrow"), "{renamed}");
    assert_eq!(call("prompt/hello").await.status, 200);
    let refused = call("prompt/greet").await;
    assert_eq!(refused.outcome(), "404 prompt_not_found");
    assert!(refused.text().contains("renamed to `hello`"), "{}", refused.text());
    for words in [&["prompt", "show", "greet"][..], &["prompt", "versions", "greet"], &["prompt", "render", "greet"]] {
        let (code, output) = place.run(words);
        assert!(code == 1 && output.contains("renamed to `hello`"), "{words:?}: {output}");
    }
    let history = over(&["prompt", "history", "hello"]);
    for words in ["(renamed from greet)", "(archived)", "(unarchived)", "Over", "Clearer", "production"] {
        assert!(history.contains(words), "{words}: {history}");
    }
    let whole = place.good(&["prompt", "diff", "hello", "0", "2"]);
    assert!(whole.contains("+content = \"Hello {{ who }}\""), "{whole}");
    let (code, late) = place.run(&["prompt", "add", "p/greet.toml", "--parent", "0"]);
    assert!(code == 1 && late.contains("hello"), "the file names the old prompt: {late}");
    std::fs::rename(place.path().join("p/greet.toml"), place.path().join("p/hello.toml")).unwrap();
    place.write("p/hello.toml", &GREET.replace("Hi", "Good day"));
    let (code, late) = place.run(&["prompt", "add", "p/hello.toml", "--parent", "0"]);
    assert!(code == 1 && late.contains("+content = \"Hello {{ who }}\""), "{late}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_is_explained_by_its_name_alone() {
    let place = Place::new().await;
    let explained = place.good(&["explain", "--model", "fast"]);
    assert!(explained.contains("model      fast") && explained.contains("up/gpt-x"), "{explained}");
    let (code, output) = place.run(&["explain", "--model", "fats"]);
    assert!(code == 1 && output.contains("did you mean `fast`?"), "{code} {output}");
    let route =
        "[[routes]]\nname = \"night\"\nmodels = [\"auto\"]\nwhen = 'now.hour > 24'\ntargets = [{ model = \"fast\" }]\n";
    place.write("fulcrum.toml", &format!("{}\n{route}", config(place.up.address)));
    let (code, output) = place.run(&["explain", "--model", "auto"]);
    assert!(code == 1 && output.contains("route `night` lists it, and its rule is false"), "{code} {output}");
    assert!(output.contains("now.hour > 24") && output.contains("result"), "{output}");
    place.good(&["prompt", "add", "p/greet.toml", "--label", "production"]);
    let explained = place.good(&["explain", "--model", "prompt/greet", "--var", "who=Ann"]);
    assert!(explained.contains("greet@1"), "{explained}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unedited_file_and_doubtful_settings_are_named() {
    let place = Place::new().await;
    place.good(&["prompt", "add", "p/greet.toml", "--label", "production"]);
    let again = place.good(&["prompt", "add", "p/greet.toml", "--message", "Kinder tone", "--label", "staging"]);
    assert!(again.contains("unchanged: still version 1") && again.contains("edit the file first"), "{again}");
    for part in [
        "version 1 has this text already, made by ann at 20",
        "; production is at 1",
        "staging set to 1",
        "--message stands as the reason of the label's move",
    ] {
        assert!(again.contains(part), "{part}: {again}");
    }
    let history = place.json(&["prompt", "history", "greet", "staging"]);
    assert_eq!(history["rows"][0]["reason"], "Kinder tone");
    let again = place.good(&["prompt", "add", "p/greet.toml", "--message", "Kinder tone", "--label", "staging"]);
    assert!(again.contains("staging is at 1 already") && again.contains("--message is not written down"), "{again}");
    place.write("fulcrum.toml", &format!("{}[prompts]\nimport = \"p\"\n", config(place.up.address)));
    assert!(place.good(&["check"]).contains("1 prompt: ok"));
    place.write(
        "p/greet.toml",
        &GREET.replace("\"fast\"", "\"fats\"\nodd_one = 1").replace("who = {", "spare = { default = 1 }\nwho = {"),
    );
    let (code, warned) = place.run(&["check", "--strict"]);
    assert_eq!(code, 1, "{warned}");
    for line in [
        "p/greet.toml:6:1: variables.spare: ",
        "p/greet.toml:10:1: settings.model: ",
        "p/greet.toml:11:1: settings.odd_one: ",
    ] {
        assert!(warned.contains(&format!("warning: {line}")), "{line} is not in {warned}");
    }
    assert!(warned.contains("did you mean `fast`?"), "{warned}");
    assert!(warned.contains("not ok: 3 warnings, which --strict takes for failures"), "{warned}");
    place.write("p/greet.toml", &GREET.replace("{{ who }}", "{{ whom }}"));
    let (code, wrong) = place.run(&["check"]);
    assert!(code == 2 && wrong.contains("; did you mean `who`?\n") && !wrong.contains("?;"), "{code} {wrong}");
    place.write(
        "p/greet.toml",
        &GREET.replace("\"fast\"", "\"fats\"\nodd_one = 1").replace("who = {", "spare = { default = 1 }\nwho = {"),
    );
    let added = place.good(&["prompt", "add", "p/greet.toml"]);
    assert!(added.contains("p/greet.toml:6:1: variables.spare") && added.contains("`fats`"), "{added}");
    place.write("p/greet.toml", &format!("{GREET}temperature = 9\nmax_tokens = \"many\"\nmodle = \"x\"\n"));
    for words in [&["check"][..], &["prompt", "add", "p/greet.toml"], &["prompt", "import", "p"]] {
        let (code, output) = place.run(words);
        assert_eq!(code, 2, "{words:?}: {output}");
        for line in [
            "greet.toml:10:1: settings.temperature",
            "greet.toml:11:1: settings.max_tokens",
            "greet.toml:12:1: settings.modle",
        ] {
            assert!(output.contains(line), "{words:?}: {line} is not in {output}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edited_prompt_is_taken_while_the_gateway_runs_and_a_broken_one_is_reported() {
    let place = Place::new().await;
    place.write("fulcrum.toml", &format!("{}[prompts]\nimport = \"p\"\n", config(place.up.address)));
    let mut binary = Binary::start(fulcrum(place.path())).await;
    let text = async |binary: &Binary| {
        let body = json!({"model": "prompt/greet", "prompt": {"variables": {"who": "Ann"}}});
        let answer = binary.send(Call::post("/v1/chat/completions", &body)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        place.up.received().last().unwrap().json()["messages"][0]["content"].as_str().unwrap().to_owned()
    };
    assert_eq!(text(&binary).await, "Hi Ann");
    place.write("p/greet.toml", &GREET.replace("Hi", "Hello"));
    binary.says("moved production of greet from 1 to 2").await;
    assert_eq!(text(&binary).await, "Hello Ann");
    place.write("p/greet.toml", &GREET.replace("Hi", "Oh {{ who"));
    let line = binary.says("the changed prompts are not used").await;
    assert!(line.contains("`{{` is not closed") || binary.log().contains("`{{` is not closed"), "{line}");
    assert_eq!(text(&binary).await, "Hello Ann");
    let back = json!({"version": 1, "reason": "Back"});
    let moved = binary.send(Call::new("PUT", "/api/v1/prompts/greet/labels/production", back.to_string())).await;
    assert_eq!(moved.status, 200, "{}", moved.text());
    place.write("p/greet.toml", &GREET.replace("Hi", "Good evening"));
    let line = binary.says("production stays at 1 since it was moved by hand").await;
    assert!(line.contains("fulcrum prompt label greet production 3"), "{line}");
    assert_eq!(text(&binary).await, "Hi Ann");
    binary.signal("TERM");
    assert!(binary.ended().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_use_is_the_same_beside_a_gateway_and_from_it_and_after_its_crash() {
    let place = Place::new().await;
    place.good(&["prompt", "add", "p/greet.toml", "--label", "production"]);
    let used = |list: &Value| list["rows"][0]["last_used_at"].clone();
    assert_eq!(used(&place.json(&["prompt", "list"])), Value::Null);
    let mut binary = Binary::start(fulcrum(place.path())).await;
    let url = format!("http://{}", binary.address);
    let body = json!({"model": "prompt/greet", "prompt": {"variables": {"who": "Ann"}}});
    let mut before = Value::Null;
    for _ in 0..2 {
        assert_eq!(binary.send(Call::post("/v1/chat/completions", &body)).await.status, 200);
        // A report has the ledger written.
        assert_eq!(binary.send(Call::get("/api/v1/usage")).await.status, 200);
        let from_it = used(&place.json(&["prompt", "list", "--url", &url, "--key", ADMIN]));
        let beside = used(&place.json(&["prompt", "list"]));
        assert!(from_it.is_string() && from_it != before, "{from_it}");
        assert_eq!(from_it, beside);
        before = from_it;
    }
    binary.kill();
    assert_eq!(used(&place.json(&["prompt", "list"])), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_label_is_moved_to_what_a_number_latest_or_another_label_names() {
    let place = Place::new().await;
    place.good(&["prompt", "add", "p/greet.toml", "--label", "production"]);
    place.write("p/greet.toml", &GREET.replace("Hi", "Hello"));
    place.good(&["prompt", "add", "p/greet.toml", "--label", "staging"]);
    for (version, became) in [("latest", 2), ("production", 1), ("staging", 2), ("1", 1)] {
        assert_eq!(place.json(&["prompt", "label", "greet", "trial", version])["version"], became, "{version}");
    }
    for (nowhere, says) in [("nope", "no label `nope`"), ("9", "no version 9"), ("0", "version"), ("1.5", "1.5")] {
        let (code, output) = place.run(&["prompt", "label", "greet", "trial", nowhere]);
        assert!((code == 1 || code == 2) && output.contains(says), "{nowhere}: {code} {output}");
    }
    assert_eq!(place.json(&["prompt", "list"])["rows"][0]["labels"]["trial"]["version"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_protected_label_is_moved_by_no_import_and_what_stays_is_said() {
    let place = Place::new().await;
    place.write("fulcrum.toml", &format!("{}[prompts]\nimport = \"p\"\n", config(place.up.address)));
    let mut binary = Binary::start(fulcrum(place.path())).await;
    let freeze = json!({"version": 1, "reason": "Freeze", "protected": true});
    let frozen = binary.send(Call::new("PUT", "/api/v1/prompts/greet/labels/production", freeze.to_string())).await;
    assert_eq!(frozen.status, 200, "{}", frozen.text());
    place.write("p/greet.toml", &GREET.replace("Hi", "Hello"));
    let line = binary.says("greet: production stays at 1 since it is protected").await;
    assert!(line.contains("WARN") && line.contains("version 2"), "{line}");
    assert!(line.contains("fulcrum prompt label greet production 2") && line.contains("admin key"), "{line}");

    let editor = binary.send(Call::post("/api/v1/keys", &json!({"name": "ed", "role": "editor"}))).await.json();
    let url = format!("http://{}", binary.address);
    std::fs::create_dir(place.path().join("in")).unwrap();
    for key in [editor["key"].as_str().unwrap(), ADMIN] {
        for more in [&[][..], &["--force"]] {
            place.write("in/greet.toml", &GREET.replace("Hi", &format!("{} {}", &key[..9], more.len())));
            let import = ["prompt", "import", "in", "--label", "production", "--url", &url, "--key", key];
            let said = place.good(&[&import[..], more].concat());
            assert!(said.contains(" new, production stays at 1 since it is protected"), "{said}");
        }
    }
    let history = binary.send(Call::get("/api/v1/prompts/greet/labels/production/history")).await.json();
    assert_eq!(history["rows"][0]["reason"], "Freeze", "{history}");
    binary.signal("TERM");
    assert!(binary.ended().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_draft_goes_where_its_prompt_goes() {
    let place = Place::new().await;
    let route =
        "[[routes]]\nname = \"greetings\"\nwhen = 'prompt.name == \"greet\"'\ntargets = [{ model = \"up/house\" }]\n";
    place.write("fulcrum.toml", &format!("{}{route}", config(place.up.address)));
    place.write("p/other.toml", GREET);
    place.good(&["prompt", "add", "p/greet.toml", "--label", "production"]);
    let model = || place.up.received().last().unwrap().json()["model"].as_str().unwrap().to_owned();
    for reference in ["greet", "p/greet.toml"] {
        place.good(&["prompt", "run", reference, "--var", "who=Ann"]);
        assert_eq!(model(), "house", "{reference}");
        let said = place.good(&["prompt", "run", reference, "--var", "who=Ann", "--model", "up/x"]);
        assert_eq!(model(), "house", "{reference}");
        assert!(said.contains("--model up/x did not choose") && said.contains("greetings"), "{said}");
    }
    let said = place.good(&["prompt", "run", "p/other.toml", "--var", "who=Ann", "--model", "up/x"]);
    assert!(model() == "x" && !said.contains("did not choose"), "{said}");
    // A running gateway does the same.
    let mut binary = Binary::start(fulcrum(place.path())).await;
    let url = format!("http://{}", binary.address);
    place.good(&["prompt", "run", "p/greet.toml", "--var", "who=Ann", "--url", &url, "--key", ADMIN]);
    assert_eq!(model(), "house");
    binary.signal("TERM");
    assert!(binary.ended().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_leaves_one_file_whether_it_succeeds_or_not() {
    let place = Place::new().await;
    for (words, code) in [
        (&["prompt", "add", "p/greet.toml", "--label", "production"][..], 0),
        (&["key", "create", "late"], 0),
        (&["prompt", "list"], 0),
        (&["prompt", "show", "nope"], 1),
        (&["prompt", "run", "greet", "--var", "who=Ann"], 0),
        (&["usage"], 0),
        (&["requests"], 0),
        (&["key", "list"], 0),
        (&["prompt", "label", "greet", "production", "7"], 1),
    ] {
        let (ended, output) = place.run(words);
        assert_eq!(ended, code, "{words:?}: {output}");
        let beside = ["fulcrum.db-wal", "fulcrum.db-shm"].map(|file| place.path().join(file).exists());
        assert_eq!(beside, [false, false], "{words:?}");
    }
    // What was copied after the last command has all that the commands wrote.
    let copy = tempfile::tempdir().unwrap();
    for file in ["fulcrum.db", "fulcrum.toml"] {
        std::fs::copy(place.path().join(file), copy.path().join(file)).unwrap();
    }
    let (code, output) = run(fulcrum(copy.path()).env("FULCRUM_CONFIG", "fulcrum.toml").args(["key", "list"]));
    assert!(code == 0 && output.contains("late"), "{output}");
}
