//! The stored corpus, and what the fixtures have, through every check.

use std::path::Path;

use super::TARGETS;

/// Every file below a folder.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn the_stored_corpus_passes_every_check() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (target, check) in TARGETS {
        let files = files(&corpus.join(target));
        assert!(!files.is_empty(), "no corpus of {target}");
        files.iter().for_each(|path| check(&std::fs::read(path).unwrap()));
    }
}

#[test]
fn the_fixtures_pass_the_checks_of_dialects() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/wire");
    for path in files(&fixtures) {
        let data = std::fs::read(&path).unwrap();
        let targets: &[&str] = match path.extension().and_then(|ending| ending.to_str()) {
            Some("json") => &["json", "exact_numbers", "request", "answer"],
            Some("sse") => &["sse", "stream"],
            _ => &[],
        };
        for (_, check) in TARGETS.iter().filter(|(name, _)| targets.contains(name)) {
            check(&data);
        }
    }
}
