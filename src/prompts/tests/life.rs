//! Prompts that are archived, taken out again and renamed.

use super::*;

async fn with_p(scratch: Scratch) -> Stand {
    let stand = Stand::new(scratch).await;
    let mut first = submission(&says("one"));
    first.labels = vec![label("production")];
    stand.registry.create(&name("p"), &first, &editor(), NOW).await.unwrap();
    stand.registry.add_version(&name("p"), &submission(&says("two")), &editor(), NOW).await.unwrap();
    stand
}

fn says_of(registry: &Registry, prompt: &str, selector: &Selector) -> Result<u32, Error> {
    registry.resolve(&name(prompt), selector).map(|version| {
        assert_eq!(version.name, name(prompt));
        version.version
    })
}

#[tokio::test]
async fn an_archived_prompt_answers_no_calls_takes_no_changes_and_comes_back_whole() {
    on_each(async |scratch| {
        let stand = with_p(scratch).await;
        let other = Registry::open(stand.db.clone()).await.unwrap();
        let (registry, p) = (&stand.registry, name("p"));
        assert!(registry.archive(&p, true, "Over", (&editor(), NOW)).await.unwrap());
        assert!(!registry.archive(&p, true, "Over", (&editor(), NOW)).await.unwrap(), "it is so already");
        other.refresh().await.unwrap();
        for registry in [registry, &other] {
            assert!(matches!(says_of(registry, "p", &Selector::Default), Err(Error::Archived(_))));
            assert!(matches!(says_of(registry, "p", &Selector::Version(1)), Err(Error::Archived(_))));
            assert!(registry.names().is_empty() && registry.list().len() == 1);
            assert_eq!(registry.versions(&p).unwrap().len(), 2, "it can be looked at");
        }
        let added = registry.add_version(&p, &submission(&says("three")), &editor(), NOW).await;
        assert!(matches!(added, Err(Error::Shelved(_))));
        let moved = registry.set_label(&p, &LabelChange::to(label("production"), 2, ""), &editor(), NOW).await;
        assert!(matches!(moved, Err(Error::Shelved(_))));
        assert!(matches!(registry.create(&p, &submission(&says("x")), &editor(), NOW).await, Err(Error::Shelved(_))));
        assert!(registry.archive(&p, false, "Back", (&editor(), NOW)).await.unwrap());
        other.refresh().await.unwrap();
        assert_eq!(says_of(&other, "p", &Selector::Default).unwrap(), 1);
        let changes = registry.changes(&p).await.unwrap();
        let told: Vec<_> = changes.iter().map(|change| (&*change.change, &*change.reason, &*change.author)).collect();
        assert_eq!(told, [("unarchived", "Back", "ed"), ("archived", "Over", "ed")]);
    })
    .await;
}

#[tokio::test]
async fn a_renamed_prompt_keeps_versions_labels_and_history_and_its_old_name_says_the_new_one() {
    on_each(async |scratch| {
        let stand = with_p(scratch).await;
        let other = Registry::open(stand.db.clone()).await.unwrap();
        let registry = &stand.registry;
        let rename =
            async |from: &str, to: &str| registry.rename(&name(from), &name(to), "Clearer", (&editor(), NOW)).await;
        registry.create(&name("q"), &submission(&says("q")), &editor(), NOW).await.unwrap();
        assert!(rename("p", "r").await.unwrap());
        let opened = Registry::open(stand.db.clone()).await.unwrap();
        other.refresh().await.unwrap();
        for registry in [registry, &other, &opened] {
            assert_eq!(says_of(registry, "r", &Selector::Default).unwrap(), 1);
            assert_eq!(says_of(registry, "r", &Selector::Latest).unwrap(), 2);
            let refused = says_of(registry, "p", &Selector::Default).unwrap_err();
            assert!(matches!(&refused, Error::Renamed { to, .. } if *to == name("r")), "{refused}");
            assert_eq!(registry.history(&name("r"), None).await.unwrap().len(), 1);
            let changes = registry.changes(&name("r")).await.unwrap();
            assert_eq!(changes[0].renamed_from.as_deref(), Some("p"));
        }
        assert!(matches!(rename("p", "x").await, Err(Error::Renamed { .. })));
        assert!(matches!(rename("q", "p").await, Err(Error::Moved { .. })), "the old name stays taken");
        assert!(matches!(rename("q", "r").await, Err(Error::Taken(_))));
        let made = registry.create(&name("p"), &submission(&says("x")), &editor(), NOW).await;
        assert!(matches!(made, Err(Error::Moved { .. })));
        // Further, back to the first name, and on as before.
        assert!(rename("r", "s").await.unwrap());
        let refused = says_of(registry, "p", &Selector::Default).unwrap_err();
        assert!(matches!(&refused, Error::Renamed { to, .. } if *to == name("s")), "{refused}");
        assert!(rename("s", "p").await.unwrap());
        registry.add_version(&name("p"), &submission(&says("three")), &editor(), NOW).await.unwrap();
        other.refresh().await.unwrap();
        for registry in [registry, &other] {
            assert_eq!(says_of(registry, "p", &Selector::Latest).unwrap(), 3);
            assert!(matches!(says_of(registry, "r", &Selector::Default), Err(Error::Renamed { .. })));
            assert_eq!(registry.list().len(), 2);
        }
        assert!(!rename("p", "p").await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn a_prompt_with_a_protected_label_is_archived_and_renamed_by_an_admin_only() {
    on_each(async |scratch| {
        let stand = with_p(scratch).await;
        let (registry, p) = (&stand.registry, name("p"));
        let protect = LabelChange { protected: Some(true), ..LabelChange::to(label("production"), 1, "") };
        registry.set_label(&p, &protect, &admin(), NOW).await.unwrap();
        let refused = registry.archive(&p, true, "", (&editor(), NOW)).await;
        assert!(matches!(refused, Err(Error::Protected { .. })));
        let refused = registry.rename(&p, &name("x"), "", (&editor(), NOW)).await;
        assert!(matches!(refused, Err(Error::Protected { .. })));
        assert!(registry.rename(&p, &name("x"), "", (&admin(), NOW)).await.unwrap());
        assert!(registry.get(&name("x")).unwrap().labels[&label("production")].protected);
        assert!(registry.archive(&name("x"), true, "", (&admin(), NOW)).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn an_import_brings_no_archived_and_no_renamed_prompt_back_and_says_what_is_doubtful() {
    on_each(async |scratch| {
        let stand = Stand::new(scratch).await;
        let file = "[[messages]]\nrole = \"user\"\ncontent = \"Hi\"\n[variables]\nunread = { type = \"string\" }\n";
        let path = stand.files(&[("a.toml", file), ("b.toml", file)]);
        let registry = &stand.registry;
        let production = label("production");
        let import = async || registry.import_dir(&path, Some(&production), NOW).await.unwrap();
        let first = import().await;
        assert_eq!((first.created.len(), first.warnings.len()), (2, 2));
        let warning = first.warnings[0].to_string();
        assert!(warning.contains("a.toml:5:1") && warning.contains("variables.unread"), "{warning}");
        assert!(import().await.warnings.is_empty(), "once for each change of a file");
        registry.archive(&name("a"), true, "", (&admin(), NOW)).await.unwrap();
        registry.rename(&name("b"), &name("c"), "", (&admin(), NOW)).await.unwrap();
        std::fs::write(path.join("b.toml"), file.replace("Hi", "Hello")).unwrap();
        let second = import().await;
        assert!(second.created.is_empty() && !second.is_of_nothing(), "{second:?}");
        let left: Vec<_> = second.left_out.iter().map(|left| (left.name.as_str(), left.renamed_to.clone())).collect();
        assert_eq!(left, [("a", None), ("b", Some(name("c")))]);
        // The file under the new name goes on where the old one ended.
        std::fs::rename(path.join("b.toml"), path.join("c.toml")).unwrap();
        let third = import().await;
        assert_eq!(third.created, [(name("c"), 2)]);
        assert_eq!(third.labelled.len(), 1, "{third:?}");
    })
    .await;
}

#[tokio::test]
async fn a_difference_from_nothing_is_the_whole_text() {
    on_each(async |scratch| {
        let stand = with_p(scratch).await;
        let side = |text: &str| text.parse::<Side>().unwrap();
        let diff = stand.registry.diff(&name("p"), side("0"), side("production")).unwrap();
        assert!(
            diff.unified.contains("--- nothing") && diff.unified.contains("+content = \"one\""),
            "{}",
            diff.unified
        );
        assert_eq!((diff.from, diff.to), (0, 1));
        assert!(diff.changes.iter().any(|change| change.field == "messages" && change.before.is_none()));
        let gone = stand.registry.diff(&name("p"), side("2"), side("0")).unwrap();
        assert!(gone.unified.contains("-content = \"two\""), "{}", gone.unified);
        let late = Submission { parent: Some(0), ..submission(&says("three")) };
        let refused = stand.registry.add_version(&name("p"), &late, &editor(), NOW).await.unwrap_err().to_string();
        assert!(refused.contains("+content = \"two\""), "{refused}");
    })
    .await;
}
