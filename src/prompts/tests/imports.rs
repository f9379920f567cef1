//! What an import of a folder makes, moves and refuses.

use super::*;

/// What happens to the label `production`, which an import set to version 1, before the file changes.
enum Before {
    Nothing,
    /// The label moves with this reason.
    Move(Author, u32, &'static str),
    Protect(bool),
    Away,
    /// Somebody makes a version with the text that the file will have.
    Made,
    /// Somebody makes another version and releases it.
    Released,
}

#[tokio::test]
async fn an_import_adds_new_content_once_and_never_undoes_a_rollback() {
    on_each(async |scratch| {
        let stand = Stand::new(scratch).await;
        let registry = &stand.registry;
        let production = label("production");
        let file = |text: &str| format!("[[messages]]\nrole = \"user\"\ncontent = \"{text}\"\n");
        let path =
            stand.files(&[("a.toml", &file("one")), ("b.toml", &file("b")), ("README.md", "no"), (".x.toml", "no")]);
        let first = registry.import_dir(&path, Some(&production), NOW).await.unwrap();
        assert_eq!((first.created.len(), first.labelled.len(), first.unchanged), (2, 2, 0));
        assert_eq!(registry.import_dir(&path, Some(&production), NOW).await.unwrap().unchanged, 2);

        stand.files(&[("a.toml", &file("two"))]);
        let second = registry.import_dir(&path, Some(&production), NOW).await.unwrap();
        assert_eq!(second.created, [(name("a"), 2)]);
        assert_eq!(registry.resolve(&name("a"), &Selector::Default).unwrap().version, 2);

        let back = LabelChange::to(production.clone(), 1, "rollback");
        registry.set_label(&name("a"), &back, &editor(), NOW).await.unwrap();
        registry.import_dir(&path, Some(&production), NOW).await.unwrap();
        assert_eq!(
            registry.resolve(&name("a"), &Selector::Default).unwrap().version,
            1,
            "a restart keeps the rollback"
        );

        registry.add_version(&name("a"), &submission(&says("by api")), &editor(), NOW).await.unwrap();
        stand.files(&[("a.toml", &format!("# only the form is new\n{}", file("two")))]);
        let form = registry.import_dir(&path, Some(&production), NOW).await.unwrap();
        assert_eq!((form.created.len(), registry.get(&name("a")).unwrap().newest()), (0, 3));
        assert_eq!(registry.history(&name("a"), Some(&production)).await.unwrap().len(), 3);
    })
    .await;
}

#[tokio::test]
async fn an_import_releases_no_version_that_somebody_else_made() {
    on_each(async |scratch| {
        let stand = Stand::new(scratch).await;
        let registry = &stand.registry;
        let (production, staging) = (label("production"), label("staging"));
        let file = |text: &str| format!("[[messages]]\nrole = \"user\"\ncontent = \"{text}\"\n");
        let at = |prompt: &str, label: &Label| {
            registry.resolve(&name(prompt), &Selector::Label(label.clone())).ok().map(|version| version.version)
        };
        let stage = async |prompt: &str, text: &str| {
            let staged = Submission { labels: vec![staging.clone()], ..submission(&says(text)) };
            registry.add_version(&name(prompt), &staged, &editor(), NOW).await.unwrap();
        };
        let path = stand.files(&[("a.toml", &file("one"))]);
        let import = async || registry.import_dir(&path, Some(&production), NOW).await.unwrap();
        let moved = import().await.labelled;
        assert_eq!(moved, [LabelMove { name: name("a"), label: production.clone(), from: None, to: 1 }]);

        // The file is edited, and its version is staged by hand before the next start.
        stand.files(&[("a.toml", &file("two"))]);
        stage("a", "two").await;
        let met = import().await;
        assert_eq!((at("a", &production), at("a", &staging)), (Some(1), Some(2)));
        let stay = LabelStay {
            name: name("a"),
            label: production.clone(),
            at: Some(1),
            version: 2,
            reason: StayReason::MadeByAnother,
        };
        assert_eq!((met.created.len(), met.labelled.len(), met.stayed), (0, 0, vec![stay]));
        let again = import().await;
        assert_eq!((at("a", &production), again.stayed.len()), (Some(1), 0), "only a changed file is worth a word");

        // What an import itself makes from then on is released as before.
        stand.files(&[("a.toml", &file("three"))]);
        let moved = import().await.labelled;
        assert_eq!(moved, [LabelMove { name: name("a"), label: production.clone(), from: Some(1), to: 3 }]);

        // A label that is on somebody else's version stays there.
        stage("a", "four").await;
        registry.set_label(&name("a"), &LabelChange::to(production.clone(), 4, ""), &editor(), NOW).await.unwrap();
        stand.files(&[("a.toml", &file("five"))]);
        let stayed = import().await.stayed;
        assert_eq!((at("a", &production), stayed.len(), stayed[0].reason), (Some(4), 1, StayReason::MovedByHand));

        // A prompt that is only staged has no released version after an import either.
        registry.create(&name("b"), &submission(&says("new")), &editor(), NOW).await.unwrap();
        stand.files(&[("b.toml", &file("new"))]);
        import().await;
        assert_eq!(at("b", &production), None);
    })
    .await;
}

/// Does to the prompt what is `Before` an import.
async fn before(registry: &Registry, prompt: &PromptName, what: Before) {
    let production = label("production");
    let (change, by) = match what {
        Before::Nothing => return,
        Before::Move(by, version, reason) => (LabelChange::to(production, version, reason), by),
        Before::Protect(protect) => {
            (LabelChange { protected: Some(protect), ..LabelChange::to(production, 1, "freeze") }, admin())
        }
        Before::Away => (LabelChange::none(production, "not yet"), editor()),
        Before::Made | Before::Released => {
            let labels = if matches!(what, Before::Released) { vec![production] } else { Vec::new() };
            let text = if labels.is_empty() { "new" } else { "by hand" };
            let made = Submission { labels, ..submission(&says(text)) };
            registry.add_version(prompt, &made, &editor(), NOW).await.unwrap();
            return;
        }
    };
    registry.set_label(prompt, &change, &by, NOW).await.unwrap();
}

#[tokio::test]
async fn an_import_moves_a_label_only_where_it_is_new_or_an_import_moved_it_last() {
    use StayReason::{MadeByAnother, MovedByHand, Protected, TakenAway};
    let cases = || {
        [
            ("nobody touched it", vec![Before::Nothing], Ok(2)),
            (
                "a command's import moved it",
                vec![Before::Released, Before::Move(editor(), 1, "imported from p")],
                Ok(3),
            ),
            (
                "a rollback to the version that the import made",
                vec![Before::Released, Before::Move(editor(), 1, "back")],
                Err((Some(1), MovedByHand)),
            ),
            ("released by hand", vec![Before::Released], Err((Some(2), MovedByHand))),
            (
                "an admin's move is by hand too",
                vec![Before::Released, Before::Move(admin(), 1, "")],
                Err((Some(1), MovedByHand)),
            ),
            ("protected", vec![Before::Protect(true)], Err((Some(1), Protected))),
            ("no longer protected", vec![Before::Protect(true), Before::Protect(false)], Err((Some(1), MovedByHand))),
            ("taken away", vec![Before::Away], Err((None, TakenAway))),
            ("the text is somebody else's version", vec![Before::Made], Err((Some(1), MadeByAnother))),
        ]
    };
    on_each(async |scratch| {
        let stand = Stand::new(scratch).await;
        for (number, (case, steps, expected)) in cases().into_iter().enumerate() {
            let prompt = name(&format!("p{number}"));
            let import = async |text: &str| {
                let file = format!("[[messages]]\nrole = \"user\"\ncontent = \"{text}\"\n");
                let folder = stand.files(&[(&format!("{prompt}.toml"), &file)]);
                stand.registry.import_dir(&folder, Some(&label("production")), NOW).await.unwrap()
            };
            import("first").await;
            for step in steps {
                before(&stand.registry, &prompt, step).await;
            }
            let done = import("new").await;
            let became = match (&done.labelled[..], &done.stayed[..]) {
                ([moved], []) => Ok(moved.to),
                ([], [stay]) => Err((stay.at, stay.reason)),
                other => panic!("{case}: {other:?}"),
            };
            assert_eq!(became, expected, "{case}");
            let now = stand.registry.resolve(&prompt, &Selector::Default).ok().map(|version| version.version);
            assert_eq!(now, expected.map_or_else(|(at, _)| at, Some), "{case}");
            if let [stay] = &done.stayed[..] {
                let line = stay.to_string();
                let command = format!("fulcrum prompt label {prompt} production {}", stay.version);
                assert!(
                    line.starts_with(&format!("{prompt}: production stays ")) && line.contains(&command),
                    "{case}: {line}"
                );
                assert_eq!(line.contains("admin key"), stay.reason == Protected, "{case}: {line}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_bad_file_stops_the_whole_import_and_every_mistake_is_told() {
    on_each(async |scratch| {
        let stand = Stand::new(scratch).await;
        let path = stand.files(&[
            ("good.toml", "[[messages]]\nrole = \"user\"\ncontent = \"hi\"\n"),
            ("Bad.toml", ""),
            (
                "c.toml",
                "[[messages]]\nrole = \"user\"\ncontent = \"\"\"\nHello\n  {% set x = 1 %}\"\"\"\n\n[sets]\nx = 1\n",
            ),
            ("d.toml", "a = \n"),
        ]);
        std::os::unix::fs::symlink("/etc/passwd", path.join("link.toml")).unwrap();
        std::fs::create_dir(path.join("sub")).unwrap();
        std::fs::write(path.join("long.toml"), "#".repeat(300 << 10)).unwrap();
        let odd = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"\xff.toml");
        std::fs::write(path.join(odd), "").unwrap();
        let Err(Error::Files(problems)) = stand.registry.import_dir(&path, None, NOW).await else { panic!() };
        let folder = format!("{}/", path.display());
        let shown: Vec<String> = problems.iter().map(|problem| problem.to_string().replace(&folder, "")).collect();
        for wanted in [
            "Bad.toml: the file names the prompt",
            "link.toml: is a link",
            "sub: folders",
            "long.toml: has 307200 bytes",
            "not UTF-8",
            "c.toml:5:6: messages[0].content: `set` is not available",
            "c.toml:7:2: sets: `sets` is unknown; did you mean `tests`?",
            "d.toml:1:5: ",
        ] {
            assert!(shown.iter().any(|line| line.contains(wanted)), "{wanted} is not among {shown:#?}");
        }
        assert!(matches!(check_dir(&path), Err(Error::Files(checked)) if checked.len() == problems.len()));
        assert!(stand.registry.list().is_empty());
    })
    .await;
}

#[tokio::test]
async fn an_import_aside_reads_its_files_on_the_pool_and_changes_nothing_without_one() {
    on_each(async |scratch| {
        let stand = Stand::new(scratch).await;
        let pool = Pool::start().unwrap();
        let file = |text: &str| format!("[[messages]]\nrole = \"user\"\ncontent = \"{text}\"\n");
        let path = stand.files(&[("a.toml", &file("one"))]);
        let done =
            stand.registry.import_dir_aside(&pool, (&path, None), NOW, |_, draft| draft.warnings()).await.unwrap();
        assert_eq!(done.created, [(name("a"), 1)]);
        assert!(pool.close().await);
        stand.files(&[("a.toml", &file("two"))]);
        let refused =
            stand.registry.import_dir_aside(&pool, (&path, None), NOW, |_, draft| draft.warnings()).await.unwrap_err();
        assert!(refused.to_string().contains("the prompts cannot be read"), "{refused}");
        assert_eq!(stand.registry.get(&name("a")).unwrap().newest(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_export_is_imported_to_the_same_content() {
    on_each(async |scratch| {
        let stand = Stand::new(scratch).await;
        stand.registry.create(&name("s"), &submission(&example()), &editor(), NOW).await.unwrap();
        let path = stand.scratch.folder.path().join("out");
        std::fs::create_dir(&path).unwrap();
        let version = stand.registry.resolve(&name("s"), &Selector::Latest).unwrap();
        assert_eq!(write_file(&path, &version.name, &version.draft().unwrap()).unwrap(), path.join("s.toml"));
        let done = stand.registry.import_dir(&path, None, NOW).await.unwrap();
        assert_eq!((done.created.len(), done.unchanged), (0, 1));
    })
    .await;
}
