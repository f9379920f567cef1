//! The registry on real SQLite, and drafts in both their forms.

mod imports;
mod life;

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::chat::{PromptMessage, Role};
use crate::db::Db;
use crate::db::scratch::{Scratch, on_each};
use crate::pool::Pool;
use crate::types::{Label, PromptName, Timestamp};

const NOW: Timestamp = Timestamp(1_795_000_000_000_000);

struct Stand {
    registry: Registry,
    db: Db,
    scratch: Scratch,
}

impl Stand {
    async fn new(scratch: Scratch) -> Self {
        let db = scratch.db.clone();
        Self { registry: Registry::open(db.clone()).await.unwrap(), db, scratch }
    }

    fn files(&self, files: &[(&str, &str)]) -> PathBuf {
        let path = self.scratch.folder.path().join("prompts");
        std::fs::create_dir_all(&path).unwrap();
        for (name, text) in files {
            std::fs::write(path.join(name), text).unwrap();
        }
        path
    }
}

fn name(text: &str) -> PromptName {
    text.parse().unwrap()
}

fn label(text: &str) -> Label {
    text.parse().unwrap()
}

fn editor() -> Author {
    Author { key_id: "k1".to_owned(), name: "ed".to_owned(), admin: false }
}

fn admin() -> Author {
    Author { key_id: "k0".to_owned(), name: "root".to_owned(), admin: true }
}

fn says(content: &str) -> Value {
    json!({"messages": [{"role": "user", "content": content}]})
}

fn submission(value: &Value) -> Submission {
    Submission::from_json(value).unwrap()
}

fn mistakes(value: &Value) -> Vec<String> {
    match Draft::from_json(value) {
        Ok(_) => Vec::new(),
        Err(mistakes) => mistakes.iter().map(ToString::to_string).collect(),
    }
}

fn example() -> Value {
    json!({
        "messages": [
            {"role": "system", "content": "For {{ product }}.{% if tone %} Tone: {{ tone }}.{% endif %}"},
            {"placeholder": "history"},
            {"role": "user", "content": "{{ ticket }}"},
        ],
        "variables": {
            "product": {"type": "string"},
            "ticket": {"type": "string", "maxLength": 20},
            "tone": {"type": "string", "default": ""},
            "history": {"type": "messages", "default": []},
        },
        "settings": {"model": "auto", "temperature": 0.2},
        "tests": [{"variables": {"product": "Acme", "ticket": "Hi"}, "contains": ["Acme"]}],
    })
}

fn vars(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_prompt_renders_with_defaults_and_placeholders() {
    on_each(async |scratch| {
        let stand = Stand::new(scratch).await;
        let saved = stand.registry.create(&name("s"), &submission(&example()), &editor(), NOW).await.unwrap();
        assert!(saved.created);
        let image = json!({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]});
        let values = vars(json!({"product": "<A>", "ticket": "{{ product }}", "history": [image]}));
        let messages = saved.version.render(&values).unwrap();
        assert_eq!(
            messages,
            [
                PromptMessage::Text { role: Role::System, content: "For <A>.".to_owned() },
                PromptMessage::Raw(image),
                PromptMessage::Text { role: Role::User, content: "{{ product }}".to_owned() },
            ]
        );
        assert_eq!(saved.version.settings()["model"], "auto");
        let rendered =
            stand.registry.render(&name("s"), &Selector::Latest, &vars(json!({"product": "é", "ticket": ""})));
        assert_eq!(rendered.unwrap().chars, 6);
    })
    .await;
}

#[tokio::test]
async fn wrong_variables_are_400_and_named() {
    on_each(async |scratch| {
        let stand = Stand::new(scratch).await;
        let version = stand.registry.create(&name("s"), &submission(&example()), &editor(), NOW).await.unwrap().version;
        for (values, variable, word) in [
            (json!({"ticket": "x"}), "product", "missing"),
            (json!({"product": "a", "ticket": "x", "tnoe": "y"}), "tnoe", "`tone`"),
            (json!({"product": 3, "ticket": "x"}), "product", "string"),
            (json!({"product": "a", "ticket": "x".repeat(21)}), "ticket", "at most 20"),
            (json!({"product": "a", "ticket": "x", "history": "no"}), "history", "list of messages"),
        ] {
            let error: crate::chat::Error = version.render(&vars(values)).unwrap_err().into();
            assert_eq!(error.code, crate::chat::Code::InvalidVariables);
            assert_eq!(error.param, Some(format!("prompt.variables.{variable}")));
            assert!(error.message.contains(word) && error.message.contains(variable), "{error}");
        }
    })
    .await;
}

#[tokio::test]
async fn versions_count_up_and_same_content_makes_none() {
    on_each(async |scratch| {
        let stand = Stand::new(scratch).await;
        let registry = &stand.registry;
        registry.create(&name("p"), &submission(&says("one")), &editor(), NOW).await.unwrap();
        let again = registry.create(&name("p"), &submission(&says("one")), &editor(), NOW).await;
        assert!(matches!(again, Err(Error::Exists(_))));
        let same = registry.add_version(&name("p"), &submission(&says("one")), &editor(), NOW).await.unwrap();
        assert_eq!((same.version.version, same.created), (1, false));
        let next = registry.add_version(&name("p"), &submission(&says("two")), &editor(), NOW).await.unwrap();
        assert_eq!((next.version.version, next.created), (2, true));
        assert!(matches!(
            registry.add_version(&name("q"), &submission(&says("one")), &editor(), NOW).await,
            Err(Error::NoPrompt(..))
        ));
        assert_eq!(registry.versions(&name("p")).unwrap().iter().map(|v| v.version).collect::<Vec<_>>(), [2, 1]);
    })
    .await;
}

#[tokio::test]
async fn unknown_prompts_versions_and_labels_are_404() {
    on_each(async |scratch| {
        let stand = Stand::new(scratch).await;
        let registry = &stand.registry;
        let mut one = submission(&says("one"));
        one.labels = vec![label("staging")];
        registry.create(&name("p"), &one, &editor(), NOW).await.unwrap();
        for (prompt, selector) in [("q", "latest"), ("p", "2"), ("p", "nope"), ("p", "production")] {
            let error: crate::chat::Error =
                registry.resolve(&name(prompt), &selector.parse().unwrap()).unwrap_err().into();
            assert_eq!(error.status(), 404, "{prompt}@{selector}: {error}");
        }
        assert!(registry.resolve(&name("p"), &Selector::Default).is_err());
        assert_eq!(registry.resolve(&name("p"), &"staging".parse().unwrap()).unwrap().version, 1);
    })
    .await;
}

#[tokio::test]
async fn labels_move_with_a_history_and_may_be_protected() {
    on_each(async |scratch| {
        let stand = Stand::new(scratch).await;
        let registry = &stand.registry;
        registry.create(&name("p"), &submission(&says("one")), &editor(), NOW).await.unwrap();
        registry.add_version(&name("p"), &submission(&says("two")), &editor(), NOW).await.unwrap();
        let to = |version, why| LabelChange::to(label("production"), version, why);
        assert!(registry.set_label(&name("p"), &to(1, "first"), &editor(), NOW).await.unwrap());
        assert!(!registry.set_label(&name("p"), &to(1, "again"), &editor(), NOW).await.unwrap());
        let protect = LabelChange { protected: Some(true), ..to(2, "better") };
        assert!(matches!(registry.set_label(&name("p"), &protect, &editor(), NOW).await, Err(Error::Protected { .. })));
        assert!(registry.set_label(&name("p"), &protect, &admin(), NOW).await.unwrap());
        assert!(matches!(
            registry.set_label(&name("p"), &to(1, "back"), &editor(), NOW).await,
            Err(Error::Protected { .. })
        ));
        let mut sly = submission(&says("three"));
        sly.labels = vec![label("production")];
        assert!(registry.add_version(&name("p"), &sly, &editor(), NOW).await.is_err());
        assert_eq!(registry.get(&name("p")).unwrap().newest(), 2, "the refused version must not stay");
        assert_eq!(registry.resolve(&name("p"), &Selector::Default).unwrap().version, 2);
        let history = registry.history(&name("p"), Some(&label("production"))).await.unwrap();
        let moves: Vec<_> =
            history.iter().map(|m| (m.after[0].version, m.reason.as_str(), m.author.as_str())).collect();
        assert_eq!(moves, [(2, "better", "root"), (1, "first", "ed")]);
        assert!(registry.history(&name("p"), Some(&label("nope"))).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn rollouts_and_unknown_versions_are_refused() {
    on_each(async |scratch| {
        let stand = Stand::new(scratch).await;
        stand.registry.create(&name("p"), &submission(&says("one")), &editor(), NOW).await.unwrap();
        let mut change = LabelChange::to(label("x"), 9, "");
        let missing = stand.registry.set_label(&name("p"), &change, &editor(), NOW).await;
        assert!(matches!(missing, Err(Error::NoVersion { version: 9, newest: 1, .. })));
        change.targets = vec![Target { version: 1, weight: 90 }, Target { version: 1, weight: 10 }];
        let error = stand.registry.set_label(&name("p"), &change, &editor(), NOW).await.unwrap_err();
        assert!(error.to_string().contains("not supported yet"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn another_process_sees_changes_after_a_refresh() {
    on_each(async |scratch| {
        let stand = Stand::new(scratch).await;
        let other = Registry::open(stand.db.clone()).await.unwrap();
        let mut one = submission(&says("one"));
        one.labels = vec![label("production")];
        stand.registry.create(&name("p"), &one, &editor(), NOW).await.unwrap();
        assert!(other.resolve(&name("p"), &Selector::Default).is_err());
        other.refresh().await.unwrap();
        assert_eq!(other.resolve(&name("p"), &Selector::Default).unwrap().version, 1);
        stand.registry.add_version(&name("p"), &submission(&says("two")), &editor(), NOW).await.unwrap();
        other.refresh().await.unwrap();
        assert_eq!(other.resolve(&name("p"), &Selector::Latest).unwrap().version, 2);
        other.touch(&name("p"), NOW);
        other.save_use().await.unwrap();
        let third = Registry::open(stand.db.clone()).await.unwrap();
        assert_eq!(third.get(&name("p")).unwrap().last_used_at(), Some(NOW));
    })
    .await;
}

#[tokio::test]
async fn a_change_that_began_from_an_older_version_is_refused_with_the_difference() {
    on_each(async |scratch| {
        let stand = Stand::new(scratch).await;
        let registry = &stand.registry;
        let from = |parent: u32, text: &str| Submission { parent: Some(parent), ..submission(&says(text)) };
        let gone = registry.add_version(&name("p"), &from(1, "x"), &editor(), NOW).await;
        assert!(matches!(gone, Err(Error::NoPrompt(..))));
        registry.create(&name("p"), &from(0, "one"), &editor(), NOW).await.unwrap();
        registry.add_version(&name("p"), &from(1, "two, by A"), &editor(), NOW).await.unwrap();
        for (parent, has) in [(1, "+content = \"two, by A\""), (0, "version 2"), (7, "has no version 7")] {
            let staged = Submission { labels: vec![label("staging")], ..from(parent, "two, by B") };
            let refused = registry.add_version(&name("p"), &staged, &editor(), NOW).await.unwrap_err();
            assert!(refused.to_string().contains(has), "{refused}");
        }
        assert_eq!(registry.get(&name("p")).unwrap().newest(), 2);
        assert!(registry.get(&name("p")).unwrap().labels.is_empty(), "no label moved");
        let two = registry.add_version(&name("p"), &from(2, "one"), &editor(), NOW).await.unwrap();
        let same = registry.add_version(&name("p"), &from(1, "late"), &editor(), NOW).await.unwrap_err().to_string();
        assert!(two.created && same.contains("version 3 has the text of version 1"), "{same}");
        registry.add_version(&name("p"), &from(3, "two, by A"), &editor(), NOW).await.unwrap();
        // The same content again loses nothing.
        let same = registry.add_version(&name("p"), &from(1, "two, by A"), &editor(), NOW).await.unwrap();
        assert_eq!((same.created, same.version.version), (false, 4));
        assert_eq!(
            registry.add_version(&name("p"), &from(4, "three"), &editor(), NOW).await.unwrap().version.version,
            5
        );
    })
    .await;
}

#[tokio::test]
async fn a_diff_tells_lines_and_fields() {
    on_each(async |scratch| {
        let stand = Stand::new(scratch).await;
        stand.registry.create(&name("p"), &submission(&says("one\ntwo")), &editor(), NOW).await.unwrap();
        let mut value = says("one\n2");
        value["settings"] = json!({"temperature": 0.5});
        stand.registry.add_version(&name("p"), &submission(&value), &editor(), NOW).await.unwrap();
        let diff = stand.registry.diff(&name("p"), Side::of(1), Side::of(2)).unwrap();
        assert!(diff.unified.starts_with("--- p@1\n+++ p@2\n"), "{}", diff.unified);
        assert!(diff.unified.contains("-two\"\"\"\n+2\"\"\"\n"), "{}", diff.unified);
        let fields: Vec<&str> = diff.changes.iter().map(|change| change.field.as_str()).collect();
        assert_eq!(fields, ["messages[0].content", "settings"]);
        let none = stand.registry.diff(&name("p"), Side::of(1), Side::of(1)).unwrap();
        assert!(none.unified.is_empty() && none.changes.is_empty());
    })
    .await;
}

#[tokio::test]
async fn the_admin_api_sees_labels_last_use_and_the_text() {
    on_each(async |scratch| {
        let stand = Stand::new(scratch).await;
        let mut submitted = submission(&example());
        submitted.labels = vec![label("production")];
        stand.registry.create(&name("s"), &submitted, &editor(), NOW).await.unwrap();
        stand.registry.touch(&name("s"), NOW);
        let prompt = stand.registry.get(&name("s")).unwrap();
        let listed = prompt.to_json();
        assert_eq!(listed["labels"]["production"]["version"], 1);
        assert_eq!(listed["last_used_at"], json!(NOW));
        let version = prompt.versions[0].to_json(&prompt.labels_of(1)).unwrap();
        assert_eq!((&version["labels"], &version["author"]), (&json!(["production"]), &json!("ed")));
        assert_eq!(version["messages"], example()["messages"]);
    })
    .await;
}

#[test]
fn a_label_change_is_read_strictly() {
    let read = |value: Value| LabelChange::from_json(label("x"), &value);
    let change = read(json!({"version": 3, "reason": "why", "protected": true})).unwrap();
    assert_eq!(change, LabelChange { protected: Some(true), ..LabelChange::to(label("x"), 3, "why") });
    let rollout = json!({"rollout": [{"version": 3, "weight": 90}, {"version": 4, "weight": 10}]});
    assert!(matches!(read(rollout), Err(Error::NotYet(_))));
    for value in [
        json!([]),
        json!({}),
        json!({"version": 0}),
        json!({"version": "3"}),
        json!({"version": 3, "why": "x"}),
        json!({"version": 3, "reason": 1}),
        json!({"version": 3, "protected": "yes"}),
    ] {
        assert!(matches!(read(value.clone()), Err(Error::Invalid(_))), "{value}");
    }
}

#[test]
fn every_mistake_of_a_draft_is_told_with_its_key() {
    let shown = mistakes(&json!({
        "descripton": "x",
        "messages": [
            {"role": "robot", "content": "x"},
            {"role": "user", "content": "a\n{{ nme }}"},
            {"role": "user", "content": "{% include \"other@1\" %}"},
            {"placeholder": "name"},
            {"role": "user"},
        ],
        "variables": {"name": {"type": "strin"}, "a-b": {}, "loop": {}},
        "settings": {"model": "prompt/x", "stream": true, "n": null},
        "variants": {"anthropic": {}},
        "tests": [{"variables": {}, "contain": []}],
    }));
    for wanted in [
        "descripton: `descripton` is unknown; did you mean `description`?",
        "messages[0].role: `role` is one of",
        "messages[1].content: `nme` is not declared under variables; did you mean `name`?",
        "messages[2].content: line 1, column 4: `include` of other prompts is not supported yet",
        "messages[3].placeholder: declare `name`",
        "messages[4]: `content`",
        "variables.name: is not a JSON Schema",
        "variables.a-b: is not a variable's name",
        "variables.loop: is not a variable's name",
        "settings.model: names a model",
        "settings.stream: belongs to each request",
        "settings.n: null",
        "variants: other messages by provider or model are not supported yet",
        "tests[0].contain: `contain` is unknown; did you mean `contains`?",
    ] {
        assert!(shown.iter().any(|line| line.starts_with(wanted)), "{wanted} is not among {shown:#?}");
    }
}

#[test]
fn a_failing_test_refuses_the_version() {
    let mut value = example();
    value["tests"] = json!([
        {"variables": {"product": "Acme", "ticket": "Hi"}, "contains": ["Acme", "Zebra"]},
        {"variables": {"product": "Acme"}},
    ]);
    assert_eq!(
        mistakes(&value),
        [
            "tests[0].contains[1]: no rendered message contains \"Zebra\"",
            "tests[1]: variable `ticket` is missing; it has no default",
        ]
    );
}

#[test]
fn what_is_no_draft_is_refused() {
    for value in [json!(null), json!([]), json!({}), json!({"messages": []}), json!({"messages": {}})] {
        assert!(!mistakes(&value).is_empty(), "{value}");
    }
    let named = Submission::named(&json!({"name": "../x", "messages": [{"role": "user", "content": "x"}]}));
    assert!(matches!(named, Err(Error::Invalid(mistakes)) if mistakes[0].key == "name"));
    assert!(Submission::from_json(&json!({"name": "x", "messages": []})).is_err());
}

#[test]
fn the_example_prompts_are_right() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("prompts");
    let drafts = check_dir(&path).unwrap_or_else(|error| panic!("{error}"));
    let names: Vec<&str> = drafts.iter().map(|checked| checked.name.as_str()).collect();
    assert_eq!(names, ["code-documenter", "contract-clauses", "product-categoriser", "support-reply"]);
    for Checked { name, draft, .. } in &drafts {
        let again = Draft::from_toml(&draft.to_toml()).unwrap();
        assert_eq!(again.hash(), draft.hash(), "{name}");
    }
}

#[tokio::test]
async fn an_old_version_with_settings_that_are_refused_today_still_answers_and_is_shown() {
    let content = json!({"messages": [{"role": "user", "content": "x"}], "settings": {"temperature": 9, "modle": "a"}});
    assert!(Submission::from_json(&content).is_err());
    let version = Version::of_content("old", 1, &content);
    assert_eq!(version.settings()["temperature"], 9);
    assert_eq!(version.render(&Map::new()).unwrap().len(), 1);
    assert!(Draft::of_version(&content).is_ok());
}

#[test]
fn settings_are_checked_at_save_and_each_mistake_has_its_place() {
    let text = "[[messages]]\nrole = \"user\"\ncontent = \"x\"\n\n[settings]\ntemperature = 9\nmax_tokens = \"many\"\nmodle = \"fast\"\n";
    let found = Draft::from_toml(text).unwrap_err();
    let shown: Vec<String> = found.iter().map(|found| found.clone().of_file("f.toml").to_string()).collect();
    for (line, words) in [
        ("f.toml:6:1: settings.temperature: ", "from 0 to 2"),
        ("f.toml:7:1: settings.max_tokens: ", "a whole number"),
        ("f.toml:8:1: settings.modle: ", "did you mean `model`?"),
    ] {
        assert!(shown.iter().any(|shown| shown.starts_with(line) && shown.contains(words)), "{line}: {shown:#?}");
    }
    assert_eq!(shown.len(), 3, "{shown:#?}");
}

#[test]
fn what_nothing_reads_is_a_warning_with_its_place() {
    let text = "[[messages]]\nrole = \"user\"\ncontent = \"{% for a in xs %}{{ a }}{% endfor %}\"\n[[messages]]\nplaceholder = \"h\"\n\n\
                [variables]\nxs = { type = \"array\" }\nh = { type = \"messages\" }\nspare = { type = \"string\", default = \"\" }\n\n\
                [settings]\nguided_regex = \"a\"\n";
    let (_, found) = parse_file_with("f.toml", text, &Draft::warnings).unwrap();
    let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(shown.len(), 2, "{shown:#?}");
    assert!(shown[0].starts_with("f.toml:10:1: variables.spare: no message reads this variable"), "{shown:#?}");
    assert!(shown[1].starts_with("f.toml:13:1: settings.guided_regex: "), "{shown:#?}");
}

#[tokio::test]
async fn a_label_that_was_taken_away_stays_away_and_its_history_says_so() {
    on_each(async |scratch| {
        let stand = Stand::new(scratch).await;
        let production = label("production");
        let folder = stand.files(&[("a.toml", "[[messages]]\nrole = \"user\"\ncontent = \"one\"\n")]);
        let import = async || stand.registry.import_dir(&folder, Some(&production), NOW).await.unwrap();
        assert_eq!(import().await.labelled.len(), 1);
        let away = LabelChange::none(production.clone(), "not yet");
        assert!(stand.registry.set_label(&name("a"), &away, &editor(), NOW).await.unwrap());
        assert!(!stand.registry.set_label(&name("a"), &away, &editor(), NOW).await.unwrap(), "it is away already");
        assert!(stand.registry.resolve(&name("a"), &Selector::Default).is_err());
        let moves = stand.registry.history(&name("a"), None).await.unwrap();
        assert_eq!((moves.len(), moves[0].reason.as_str(), moves[0].author.as_str()), (2, "not yet", "ed"));
        assert_eq!((moves[0].label.as_str(), &moves[0].after), ("production", &Vec::new()));
        stand.files(&[("a.toml", "[[messages]]\nrole = \"user\"\ncontent = \"two\"\n")]);
        let again = import().await;
        assert_eq!((again.created.len(), again.labelled.len(), again.stayed.len()), (1, 0, 1));
        let protect = LabelChange { protected: Some(true), ..LabelChange::to(production.clone(), 2, "ready") };
        stand.registry.set_label(&name("a"), &protect, &admin(), NOW).await.unwrap();
        let refused = stand.registry.set_label(&name("a"), &away, &editor(), NOW).await;
        assert!(matches!(refused, Err(Error::Protected { .. })), "{refused:?}");
    })
    .await;
}

/// Values that settings may hold.
fn free_value() -> impl Strategy<Value = Value> {
    let text = "(\\PC|[\"\\\\\n\r\t\u{0}\u{7f}\u{85}#'{}]){0,12}";
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter_map("finite", |n| serde_json::Number::from_f64(n).map(Value::from)),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((text, inner), 0..4).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn every_draft_is_read_back_from_its_toml(
        texts in prop::collection::vec("(\\PC|[\"\\\\\n\r\t\u{0}\u{85}']|\"\"\"|\\\\\n){0,20}", 1..4),
        settings in prop::collection::vec(("[a-z \".é]{0,6}", free_value()), 0..4),
        description in "(\\PC|[\"\n]){0,20}",
    ) {
        // Braces would be templates; what they may hold is tested elsewhere.
        let messages: Vec<Value> = texts.iter().map(|text| json!({"role": "user", "content": text.replace('{', "(")})).collect();
        let settings: Map<String, Value> = settings.into_iter().filter(|(key, _)| key != "model").collect();
        let is_free = |(key, value): &(String, Value)| doubts::settings(&Map::from_iter([(key.clone(), value.clone())])).is_empty();
        let settings: Map<String, Value> = settings.into_iter().filter(is_free).collect();
        let draft = Draft::from_json(&json!({
            "description": description, "messages": messages, "settings": settings,
            "variables": {"x": {"type": "string", "default": texts[0]}},
            "tests": [{"variables": {"x": texts[0]}}],
        })).unwrap();
        let text = draft.to_toml();
        let again = Draft::from_toml(&text);
        prop_assert!(again.is_ok(), "{text}\n{again:?}");
        prop_assert_eq!(again.unwrap().hash(), draft.hash(), "{}", text);
        prop_assert_eq!(Draft::from_stored(&draft.content()).unwrap().hash(), draft.hash());
    }

    #[test]
    fn any_file_is_read_or_refused(text in "(\\[\\[messages\\]\\]|role|content|=|\"user\"|\"\"\"|\\{\\{|\n|[a-z\\[\\]. \"]|\\PC){0,40}") {
        drop(Draft::from_toml(&text));
    }
}
