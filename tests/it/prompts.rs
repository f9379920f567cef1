//! Prompts on their way through a call.

use std::fs::{create_dir, create_dir_all, remove_file, write};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use fulcrum::prompts::{check_dir, stamp};
use serde_json::{Value, json};

use crate::app::TestApp;
use crate::client::Call;

async fn with_prompt(more: &str) -> TestApp {
    let app = TestApp::with(&format!("[defaults]\nretries = 0\n{more}")).await;
    let greet = json!({
        "name": "greet",
        "messages": [
            {"role": "system", "content": "You greet for {{ house }}.{% if tone %} Tone: {{ tone }}.{% endif %}"},
            {"placeholder": "history"},
            {"role": "user", "content": "{{ who }}"},
        ],
        "variables": {
            "house": {"type": "string"}, "who": {"type": "string", "maxLength": 20},
            "tone": {"type": "string", "default": ""}, "history": {"type": "messages", "default": []},
        },
        "settings": {"model": "fast", "temperature": 0.2, "max_tokens": 50},
        "labels": ["production"], "message": "first",
    });
    let made = app.admin(Call::post("/api/v1/prompts", &greet)).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let mut second = greet.clone();
    second["messages"][0]["content"] = "Version two for {{ house }}, {{ tone }}.".into();
    second["labels"] = json!(["staging"]);
    second.as_object_mut().unwrap().remove("name");
    let made = app.admin(Call::post("/api/v1/prompts/greet/versions", &second)).await;
    assert_eq!(made.status, 201, "{}", made.text());
    app
}

fn call(prompt: Value) -> Value {
    Value::Object([("prompt".to_owned(), prompt)].into_iter().collect())
}

fn sent(app: &TestApp) -> Value {
    app.up.received().last().unwrap().json()
}

#[tokio::test]
async fn a_prompt_by_its_object_is_rendered_and_told() {
    let app = with_prompt("").await;
    let answer =
        app.chat(&call(json!({"id": "greet", "variables": {"house": "Acme", "who": "Ann", "tone": "warm"}}))).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("x-fulcrum-prompt"), Some("greet@1"));
    let body = sent(&app);
    assert_eq!(
        body["messages"],
        json!([{"role": "system", "content": "You greet for Acme. Tone: warm."}, {"role": "user", "content": "Ann"}])
    );
    assert_eq!((&body["temperature"], &body["max_tokens"]), (&json!(0.2), &json!(50)));
    assert_eq!((&body["model"], body.get("prompt")), (&json!("gpt-x"), None));
    let row = app.row(answer.id()).await;
    assert_eq!((&row["prompt"], &row["version"]), (&json!("greet"), &json!(1)));
    app.close().await;
}

#[tokio::test]
async fn a_prompt_by_its_model_name_takes_label_and_version() {
    let app = with_prompt("").await;
    for (model, version) in [
        ("prompt/greet", 1),
        ("prompt/greet@production", 1),
        ("prompt/greet@staging", 2),
        ("prompt/greet@2", 2),
        ("prompt/greet@latest", 2),
    ] {
        let body = json!({"model": model, "prompt": {"variables": {"house": "Acme", "who": "Ann"}}});
        let answer = app.chat(&body).await;
        assert_eq!(answer.header("x-fulcrum-prompt"), Some(format!("greet@{version}").as_str()), "{}", answer.text());
        assert_eq!(app.row(answer.id()).await["requested_model"], model);
    }
    app.close().await;
}

#[tokio::test]
async fn the_callers_own_messages_stand_behind_the_prompts() {
    let app = with_prompt("").await;
    let history = json!([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]);
    let mut body = call(json!({"id": "greet", "variables": {"house": "Acme", "who": "Ann", "history": history}}));
    body["messages"] = json!([{"role": "user", "content": "And you?"}]);
    app.chat(&body).await;
    let messages = sent(&app)["messages"].clone();
    let texts: Vec<_> =
        messages.as_array().unwrap().iter().map(|message| message["content"].as_str().unwrap()).collect();
    assert_eq!(texts, ["You greet for Acme.", "Hi", "Yes?", "Ann", "And you?"]);
    app.close().await;
}

#[tokio::test]
async fn the_requests_fields_win_over_the_prompts_settings() {
    let app = with_prompt("").await;
    let mut body = call(json!({"id": "greet", "variables": {"house": "Acme", "who": "Ann"}}));
    body["temperature"] = json!(0);
    body["max_completion_tokens"] = json!(7);
    body["model"] = "spare".into();
    let answer = app.chat(&body).await;
    assert_eq!(answer.header("x-fulcrum-model"), Some("other/spare-x"));
    let body = app.other.only().json();
    assert_eq!((&body["temperature"], &body["max_completion_tokens"]), (&json!(0), &json!(7)));
    assert_eq!(body.get("max_tokens"), None, "two limits would contradict each other");
    app.close().await;
}

#[tokio::test]
async fn an_unknown_prompt_version_or_label_is_404_and_nothing_goes_out() {
    let app = with_prompt("").await;
    for body in [
        json!({"model": "prompt/nope"}),
        json!({"model": "prompt/greet@7"}),
        json!({"model": "prompt/greet@nightly"}),
        json!({"model": "prompt/GREET"}),
        json!({"model": "prompt/"}),
        json!({"model": "prompt/../greet"}),
        call(json!({"id": "nope"})),
        call(json!({"id": "greet", "version": "9"})),
        call(json!({"id": "greet", "label": "nightly"})),
    ] {
        let answer = app.chat(&body).await;
        assert_eq!(answer.outcome(), "404 prompt_not_found", "{body}: {}", answer.text());
        assert!(!answer.param().is_empty());
        assert_eq!(app.row(answer.id()).await["error_code"], "prompt_not_found", "an admitted request has a row");
    }
    assert_eq!(app.up.count(), 0);
    app.close().await;
}

#[tokio::test]
async fn variables_that_do_not_fit_are_400_and_named() {
    let app = with_prompt("").await;
    for (variables, name) in [
        (json!({"house": "Acme"}), "who"),
        (json!({"house": "Acme", "who": 7}), "who"),
        (json!({"house": "Acme", "who": "x".repeat(21)}), "who"),
        (json!({"house": "Acme", "who": "Ann", "colour": "red"}), "colour"),
        (json!({"house": "Acme", "who": "Ann", "history": "none"}), "history"),
        (json!({"house": null, "who": "Ann"}), "house"),
    ] {
        let answer = app.chat(&call(json!({"id": "greet", "variables": variables}))).await;
        assert_eq!(answer.outcome(), "400 invalid_variables", "{variables}");
        assert!(answer.text().contains(name), "{variables}: {}", answer.text());
    }
    assert_eq!(app.up.count(), 0);
    app.close().await;
}

#[tokio::test]
async fn a_value_is_never_rendered_again() {
    let app = with_prompt("").await;
    for who in ["{{ 7*7 }}", "{% raw %}", "{{ house }}", "{{ get_env(1) }}"] {
        app.chat(&call(json!({"id": "greet", "variables": {"house": "Acme", "who": who}}))).await;
        assert_eq!(sent(&app)["messages"][1]["content"], who);
    }
    app.close().await;
}

#[tokio::test]
async fn moving_a_label_moves_the_next_call_and_back_again() {
    let app = with_prompt("").await;
    let body = json!({"model": "prompt/greet", "prompt": {"variables": {"house": "Acme", "who": "Ann"}}});
    for version in [2, 1] {
        let change = json!({"version": version, "reason": "try it"});
        let moved = app.admin(Call::new("PUT", "/api/v1/prompts/greet/labels/production", change.to_string())).await;
        assert_eq!(moved.status, 200, "{}", moved.text());
        let named = format!("greet@{version}");
        assert_eq!(app.chat(&body).await.header("x-fulcrum-prompt"), Some(named.as_str()));
    }
    let history = app.admin(Call::get("/api/v1/prompts/greet/labels/production/history")).await.json();
    let versions: Vec<_> = history["rows"].as_array().unwrap().iter().map(|row| row["version"].clone()).collect();
    assert_eq!(versions, [json!(1), json!(2), json!(1)]);
    app.close().await;
}

#[tokio::test]
async fn a_rule_reads_the_prompt() {
    let app = with_prompt(
        "[[routes]]\nname = \"greetings\"\nwhen = 'prompt.name == \"greet\" && prompt.version == 2 && prompt.label == \"staging\"'\n\
         targets = [{ model = \"spare\" }]\n",
    )
    .await;
    let body = |model: &str| json!({"model": model, "prompt": {"variables": {"house": "Acme", "who": "Ann"}}});
    let answer = app.chat(&body("prompt/greet@staging")).await;
    assert_eq!(
        (answer.header("x-fulcrum-route"), answer.header("x-fulcrum-model")),
        (Some("greetings"), Some("other/spare-x"))
    );
    assert_eq!(app.chat(&body("prompt/greet")).await.header("x-fulcrum-model"), Some("up/gpt-x"));
    app.close().await;
}

#[tokio::test]
async fn render_shows_what_a_call_would_send() {
    let app = with_prompt("").await;
    let asked = json!({"version": 1, "variables": {"house": "Acme", "who": "Ann"}});
    let shown = app.admin(Call::post("/api/v1/prompts/greet/render", &asked)).await;
    app.chat(&call(json!({"id": "greet", "version": "1", "variables": {"house": "Acme", "who": "Ann"}}))).await;
    assert_eq!(shown.json()["messages"], sent(&app)["messages"]);
    assert_eq!(app.up.count(), 1, "rendering calls nobody");
    app.close().await;
}

#[tokio::test]
async fn a_prompt_in_a_stream_is_told_in_its_head() {
    let app = with_prompt("").await;
    let mut body = call(json!({"id": "greet", "variables": {"house": "Acme", "who": "Ann"}}));
    body["stream"] = true.into();
    let answer = app.chat(&body).await;
    assert_eq!(answer.header("x-fulcrum-prompt"), Some("greet@1"));
    assert!(answer.text().ends_with("[DONE]\n\n"));
    app.close().await;
}

#[tokio::test]
async fn a_key_is_checked_before_a_prompt_is_rendered() {
    let app = with_prompt("").await;
    let without_variables = call(json!({"id": "greet"}));
    let answer = app.chat(&without_variables).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_variables"), "{}", answer.text());
    let row = app.row(answer.id()).await;
    assert_eq!((&row["prompt"], &row["version"]), (&json!("greet"), &json!(1)));

    let key = app.new_key(&json!({"name": "narrow", "models": ["spare"]})).await;
    let answer = app.send(Call::chat(&without_variables).key(&key)).await;
    assert_eq!((answer.status, answer.code().as_str()), (403, "model_not_allowed"), "{}", answer.text());
    assert_eq!(answer.header("x-fulcrum-prompt"), Some("greet@1"));
    assert_eq!(app.up.count(), 0);
    app.close().await;
}

#[tokio::test]
async fn a_prompt_is_used_by_calls_and_not_by_questions_about_them() {
    let app = with_prompt("").await;
    let greeting = call(json!({"id": "greet", "variables": {"house": "Acme", "who": "Ann"}}));
    let used = async || app.admin(Call::get("/api/v1/prompts/greet")).await.json()["last_used_at"].clone();
    let explained = app.send(Call::post("/v1/explain", &greeting).key(&app.key)).await;
    assert_eq!(explained.status, 200, "{}", explained.text());
    let key = app.new_key(&json!({"name": "narrow", "models": ["spare"]})).await;
    assert_eq!(app.send(Call::chat(&greeting).key(&key)).await.status, 403);
    assert_eq!(used().await, json!(null));
    assert_eq!(app.chat(&greeting).await.status, 200);
    assert_ne!(used().await, json!(null));
    app.close().await;
}

#[tokio::test]
async fn two_editors_do_not_lose_each_others_change() {
    let app = with_prompt("").await;
    let version = |parent: Value, text: &str| json!({"parent": parent, "labels": ["staging"], "messages": [{"role": "user", "content": text}]});
    let add = |body: &Value| Call::post("/api/v1/prompts/greet/versions", body);
    assert_eq!(app.admin(add(&version(json!(2), "The sentence of A"))).await.status, 201);
    let conflict = async |call: Call| {
        let refused = app.admin(call).await;
        assert_eq!(refused.outcome(), "409 conflict");
        assert!(refused.text().contains("The sentence of A"), "{}", refused.text());
    };
    conflict(add(&version(json!(2), "The sentence of B"))).await;
    conflict(add(&version(json!(null), "The sentence of B")).header("if-match", "\"2\"")).await;
    for wrong in [json!("two"), json!(-1), json!(1.5)] {
        assert_eq!(app.admin(add(&version(wrong, "x"))).await.param(), "parent");
    }
    assert_eq!(app.admin(add(&version(json!(null), "x")).header("if-match", "*x")).await.param(), "if-match");
    let prompt = app.admin(Call::get("/api/v1/prompts/greet")).await.json();
    assert_eq!((&prompt["newest"], &prompt["labels"]["staging"]["version"]), (&json!(3), &json!(3)));
    assert_eq!(app.admin(add(&version(json!(3), "The sentence of B"))).await.status, 201);
    app.close().await;
}

#[tokio::test]
async fn all_messages_and_tests_of_a_saved_version_share_one_meter() {
    let app = TestApp::start().await;
    let message = json!({"role": "user", "content": "{% for a in xs %}{% for b in xs %}{% endfor %}{% endfor %}x"});
    let numbers: Vec<u32> = (0..200).collect();
    let test = json!({"variables": {"xs": numbers}});
    let variables = json!({"xs": {"type": "array"}});
    let mut body = json!({
        "name": "heavy", "messages": vec![message.clone(); 200], "variables": variables, "tests": vec![test; 3],
    });
    let refused = app.admin(Call::post("/api/v1/prompts", &body)).await;
    assert_eq!((refused.status, refused.param().as_str()), (400, "tests[0]"), "{}", refused.text());
    assert!(refused.text().contains("takes too long"), "{}", refused.text());
    // A call of it has one meter as well.
    body["tests"] = json!([]);
    body["settings"] = json!({"model": "fast"});
    body["labels"] = json!(["production"]);
    assert_eq!(app.admin(Call::post("/api/v1/prompts", &body)).await.status, 201);
    let values = json!({"variables": {"xs": (0..200).collect::<Vec<u32>>()}});
    let answer = app.chat(&json!({"model": "prompt/heavy", "prompt": values})).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_variables"), "{}", answer.text());
    let rendered = app.admin(Call::post("/api/v1/prompts/heavy/render", &values)).await;
    assert_eq!((rendered.status, rendered.code().as_str()), (400, "invalid_variables"), "{}", rendered.text());
    assert_eq!(app.up.count(), 0);
    app.close().await;
}

#[tokio::test]
async fn values_are_bounded_before_their_schema_is_looked_at() {
    let app = TestApp::start().await;
    let never: Vec<Value> = (0..1_000).map(|n| json!({"items": {"not": {"const": n + 1_000_000}}})).collect();
    let prompt = json!({
        "name": "list", "messages": [{"role": "user", "content": "{{ xs | length }}"}],
        "variables": {"xs": {"type": "array", "allOf": never}}, "settings": {"model": "fast"},
        "labels": ["production"],
    });
    let made = app.admin(Call::post("/api/v1/prompts", &prompt)).await;
    assert_eq!(made.status, 201, "{}", made.text());
    for (count, word) in [(250_000, "over 1048576 bytes"), (100_000, "takes too long")] {
        let values = json!({"variables": {"xs": vec![1; count]}});
        let refused = app.chat(&json!({"model": "prompt/list", "prompt": values})).await;
        assert_eq!((refused.status, refused.code().as_str()), (400, "invalid_variables"), "{}", refused.text());
        assert_eq!(refused.param(), "prompt.variables.xs");
        assert!(refused.text().contains(word), "{}", refused.text());
    }
    let answer = app.chat(&json!({"model": "prompt/list", "prompt": {"variables": {"xs": [1, 2]}}})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    app.close().await;
}

#[tokio::test]
async fn a_key_for_one_version_of_a_prompt_calls_that_one_only() {
    let app = with_prompt("").await;
    let variables = json!({"house": "Acme", "who": "Ann"});
    let key = app.new_key(&json!({"name": "narrow", "models": ["prompt/greet@1"]})).await;
    for (model, more, status) in [
        ("prompt/greet@1", json!({}), 200),
        ("prompt/greet", json!({"version": "1"}), 200),
        ("prompt/greet", json!({}), 403),
        ("prompt/greet@2", json!({}), 403),
        ("prompt/greet@1", json!({"version": "2"}), 403),
        ("prompt/greet@1", json!({"label": "staging"}), 403),
        ("up/gpt-x", json!({"id": "greet", "version": "1"}), 403),
    ] {
        let mut prompt = more.clone();
        prompt["variables"] = variables.clone();
        let answer = app.send(Call::chat(&json!({"model": model, "prompt": prompt})).key(&key)).await;
        assert_eq!(answer.status, status, "{model} {more}: {}", answer.text());
    }
    let key = app.new_key(&json!({"name": "any", "models": ["prompt/greet"]})).await;
    for model in ["prompt/greet", "prompt/greet@2", "prompt/greet@staging", "prompt/greet@latest"] {
        let body = json!({"model": model, "prompt": {"variables": variables}});
        assert_eq!(app.send(Call::chat(&body).key(&key)).await.status, 200, "{model}");
    }
    app.close().await;
}

#[tokio::test]
async fn settings_that_no_call_can_have_are_refused_when_they_are_saved() {
    let app = TestApp::start().await;
    let add = async |settings: Value| {
        let body = json!({"name": "p", "messages": [{"role": "user", "content": "x"}], "settings": settings});
        app.admin(Call::post("/api/v1/prompts", &body)).await
    };
    for (settings, param) in [
        (json!({"temperature": 9}), "settings.temperature"),
        (json!({"top_p": -1}), "settings.top_p"),
        (json!({"max_tokens": "many"}), "settings.max_tokens"),
        (json!({"modle": "fast"}), "settings.modle"),
        (json!({"response_format": "json"}), "settings.response_format"),
    ] {
        let refused = add(settings.clone()).await;
        assert_eq!(refused.status, 400, "{settings}: {}", refused.text());
        assert!(param.starts_with(&refused.param()) && refused.param().starts_with("settings."), "{}", refused.text());
    }
    let made = add(json!({"model": "gpt-9", "temperature": 2, "odd": 1})).await;
    assert_eq!((made.status, &made.json()["created"]), (201, &json!(true)), "{}", made.text());
    let warnings = made.json()["warnings"].as_array().unwrap().clone();
    let keys: Vec<&str> = warnings.iter().map(|warning| warning["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["settings.odd", "settings.model"]);
    assert!(warnings[1]["problem"].as_str().unwrap().contains("`gpt-9`"), "{warnings:?}");
    app.close().await;
}

#[tokio::test]
async fn a_version_that_drops_the_tests_or_changes_nothing_says_so() {
    let app = TestApp::start().await;
    let mut body = json!({
        "name": "p", "messages": [{"role": "user", "content": "x"}], "settings": {"model": "fast"},
        "tests": [{"variables": {}, "contains": ["x"]}],
    });
    let made = app.admin(Call::post("/api/v1/prompts", &body).header("x-fulcrum-author", "Änne")).await.json();
    assert_eq!((&made["warnings"], &made["author"]), (&json!([]), &json!("Änne")));
    body.as_object_mut().unwrap().remove("name");
    let add = async |body: &Value| app.admin(Call::post("/api/v1/prompts/p/versions", body)).await.json();
    assert_eq!(add(&body).await["created"], false);
    body.as_object_mut().unwrap().remove("tests");
    let dropped = add(&body).await;
    assert_eq!((&dropped["created"], &dropped["warnings"][0]["key"]), (&json!(true), &json!("tests")), "{dropped}");
    for author in ["x".repeat(101), "a\tb".repeat(40)] {
        let refused =
            app.admin(Call::post("/api/v1/prompts/p/versions", &body).header("x-fulcrum-author", &author)).await;
        assert_eq!(refused.status, 400, "{}", refused.text());
    }
    app.close().await;
}

#[tokio::test]
async fn a_label_can_be_taken_away_and_the_history_of_all_labels_is_read() {
    let app = with_prompt("").await;
    let label = |method: &'static str, query: &str| {
        Call::new(method, &format!("/api/v1/prompts/greet/labels/staging{query}"), String::new())
    };
    let removed = app.admin(label("DELETE", "?reason=over").header("x-fulcrum-author", "ann")).await;
    assert_eq!((removed.status, &removed.json()["from"]), (200, &json!(2)), "{}", removed.text());
    assert_eq!(app.admin(label("DELETE", "")).await.outcome(), "404 prompt_not_found");
    let calls = app.chat(&json!({"model": "prompt/greet@staging"})).await;
    assert_eq!(calls.outcome(), "404 prompt_not_found");
    let history = app.admin(Call::get("/api/v1/prompts/greet/history")).await.json();
    let rows = history["rows"].as_array().unwrap();
    let labels: Vec<&Value> = rows.iter().map(|row| &row["label"]).collect();
    assert_eq!(labels, [&json!("staging"), &json!("staging"), &json!("production")]);
    assert_eq!(
        (&rows[0]["from"], &rows[0]["version"], &rows[0]["author"], &rows[0]["reason"]),
        (&json!(2), &Value::Null, &json!("ann"), &json!("over"))
    );
    let one = app.admin(Call::get("/api/v1/prompts/greet/history?label=production")).await.json();
    assert_eq!(one["rows"].as_array().unwrap().len(), 1);
    assert_eq!(app.admin(Call::get("/api/v1/prompts/greet/history?label=nope")).await.status, 404);
    let moved =
        app.admin(Call::new("PUT", "/api/v1/prompts/greet/labels/production", json!({"version": 1}).to_string())).await;
    assert_eq!(moved.json()["moved"], false);
    app.close().await;
}

#[test]
fn a_folder_of_links_is_read_as_kubernetes_mounts_it_and_no_link_leads_out_of_it() {
    let place = tempfile::tempdir().unwrap();
    let (folder, text) = (place.path().join("prompts"), "[[messages]]\nrole = \"user\"\ncontent = \"one\"\n");
    let next = text.replace("one", "three");
    for (version, text) in [("..2026_01", text), ("..2026_02", &next)] {
        create_dir_all(folder.join(version)).unwrap();
        write(folder.join(version).join("p.toml"), text).unwrap();
        write(folder.join(version).join("README"), "no prompt").unwrap();
    }
    symlink("..2026_01", folder.join("..data")).unwrap();
    symlink("..data/p.toml", folder.join("p.toml")).unwrap();
    symlink("..data/README", folder.join("README")).unwrap();
    symlink("prompts", place.path().join("mount")).unwrap();
    for way in [&folder, &place.path().join("mount")] {
        let read = check_dir(way).unwrap();
        assert_eq!(read.iter().map(|read| read.name.as_str()).collect::<Vec<_>>(), ["p"]);
    }
    let before = stamp(&folder);
    remove_file(folder.join("..data")).unwrap();
    symlink("..2026_02", folder.join("..data")).unwrap();
    assert_ne!(stamp(&folder), before, "a volume changes by its folder's link alone");
    write(place.path().join("secret.toml"), text).unwrap();
    create_dir(place.path().join("prompts-2")).unwrap();
    write(place.path().join("prompts-2/x.toml"), text).unwrap();
    let _socket = UnixListener::bind(folder.join("socket.toml")).unwrap();
    for (to, name) in [
        ("../secret.toml", "out.toml"),
        ("..data/../../secret.toml", "through.toml"),
        ("../prompts-2/x.toml", "beside.toml"),
        ("loop-b.toml", "loop-a.toml"),
        ("loop-a.toml", "loop-b.toml"),
        ("nowhere", "none.toml"),
        ("socket.toml", "special.toml"),
        ("..data", "folder.toml"),
    ] {
        symlink(to, folder.join(name)).unwrap();
    }
    let refused = check_dir(&folder).unwrap_err().to_string();
    for (name, why) in [
        ("out.toml", "is a link out of the folder, to "),
        ("through.toml", "is a link out of the folder, to "),
        ("beside.toml", "is a link out of the folder, to "),
        ("loop-a.toml", "is a link that leads to no file"),
        ("loop-b.toml", "is a link that leads to no file"),
        ("none.toml", "is a link that leads to no file"),
        ("socket.toml", "is a special file"),
        ("special.toml", "is a special file"),
        ("folder.toml", "folders inside the prompts' folder"),
    ] {
        assert!(refused.contains(&format!("{}: {why}", folder.join(name).display())), "{name}: {why}: {refused}");
    }
    assert!(!refused.contains("p.toml: "), "{refused}");
}
