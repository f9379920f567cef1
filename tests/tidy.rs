//! The repository's own rules: which module sees which, where a library may appear, how long a file may be.

#![expect(clippy::unwrap_used, reason = "a rule that cannot be checked must fail")]

#[path = "tidy/circles.rs"]
mod circles;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The rows of ARCHITECTURE.md. A module uses only rows above it, and no other module of its own row.
const ROWS: [&[&str]; 13] = [
    &["types"],
    &["chat", "stats"],
    &["db", "pool", "telemetry", "template", "wire"],
    &["upstream"],
    &["batches", "cache", "datasets", "experiments", "feedback", "idempotency", "keys", "prompts", "routing", "usage"],
    &["gateway"],
    &["jobs"],
    &["config"],
    &["app"],
    &["console"],
    &["http"],
    &["cli"],
    &["fuzzing"],
];

/// Where a library may be used, by path below `src/`: a folder, or one file.
const HOMES: [(&str, &[&str]); 5] = [
    ("sqlx", &["db/", "usage/store/values.rs", "usage/store/writer.rs", "usage/tests.rs", "usage/tests/"]),
    ("reqwest", &["upstream/client.rs"]),
    ("axum", &["http/", "console/", "app.rs", "cli/client.rs"]),
    ("clap", &["cli/"]),
    ("tera", &["template/"]),
];

/// The dialects: folders of `src/wire/`, none of which knows another. What two of them need stands beside them.
const DIALECTS: [&str; 5] = ["anthropic", "bedrock", "gemini", "openai_chat", "openai_responses"];

/// Enums whose values differ in what a table says of them: where their values may be named, tests apart. Elsewhere the row is
/// asked, so that a new value is a new row and nothing else.
const TABLES: [(&str, &str, &[&str]); 3] = [
    ("Kind", "OpenAi Anthropic Gemini Azure Bedrock Simulated", &["upstream/", "config/providers.rs"]),
    ("Server", "Generic Vllm LlamaCpp Ollama Lorax", &["upstream/", "config/providers.rs"]),
    (
        "Endpoint",
        "Chat Responses Embeddings Messages CountTokens Generate GeminiCount EmbedContent EmbedContents Completions \
         Moderations ImageGenerations ImageEdits ImageVariations Speech Transcriptions Translations Rerank",
        &["wire/endpoint.rs"],
    ),
];

/// The longest file, tests apart.
const LONGEST: usize = 600;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below `folder` whose name ends so, with its text.
fn files(folder: &str, ending: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    found.sort();
    found
}

/// A source file's path below `src/`.
fn place(path: &Path) -> String {
    path.strip_prefix(root().join("src")).unwrap().to_string_lossy().into_owned()
}

fn row_of(module: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&module))
}

/// The code of a file, without its comments.
fn code(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The modules that follow `crate::` in a file, braces included.
fn used(code: &str) -> BTreeSet<String> {
    let mut modules = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let joined = code[..at].ends_with(|letter: char| letter.is_alphanumeric() || "_:$".contains(letter));
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            _ if joined => {}
            None => modules.extend(word(rest)),
            Some(list) => modules.extend(heads(list)),
        }
    }
    modules
}

fn word(text: &str) -> Option<String> {
    let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(text.len());
    (end > 0).then(|| text[..end].to_owned())
}

/// The first word of each item in a list of imports, as far as its closing brace.
fn heads(list: &str) -> Vec<String> {
    let mut found = Vec::new();
    let (mut depth, mut fresh) = (0, true);
    for (at, letter) in list.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            _ if fresh && letter.is_alphabetic() => {
                found.extend(word(&list[at..]));
                fresh = false;
            }
            _ => {}
        }
    }
    found
}

#[test]
fn a_module_uses_only_rows_above_it() {
    let mut wrong = Vec::new();
    for (path, text) in files("src", ".rs") {
        let place = place(&path);
        let module = place.split('/').next().unwrap().trim_end_matches(".rs").to_owned();
        if ["lib", "main"].contains(&module.as_str()) {
            continue;
        }
        let Some(row) = row_of(&module) else {
            wrong.push(format!("{place}: `{module}` stands in no row"));
            continue;
        };
        for other in used(&code(&text)).into_iter().filter(|other| *other != module) {
            match row_of(&other) {
                Some(above) if above < row => {}
                Some(_) => wrong.push(format!("{place} uses crate::{other}, which stands no higher")),
                None => wrong.push(format!("{place} uses crate::{other}, which stands in no row")),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_of_the_library_stands_in_a_row() {
    let text = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let modules =
        text.lines().filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'));
    let modules: Vec<&str> = modules.collect();
    assert!(modules.len() > 10, "modules are no longer declared one a line: {modules:?}");
    let rows: Vec<_> = modules.iter().map(|module| row_of(module)).collect();
    assert!(rows.is_sorted(), "src/lib.rs does not have them in the order of their rows: {modules:?}");
    for module in modules {
        assert!(row_of(module).is_some(), "`{module}` stands in no row");
    }
}

#[test]
fn imports_are_read_in_every_form() {
    let code = "use crate::{\n  a::{b, c},\n  d,\n};\nuse crate::e::f;\nlet x = crate::g::h();\npub(crate) mod i;\n$crate::j::k";
    assert_eq!(used(code).into_iter().collect::<Vec<_>>(), ["a", "d", "e", "g"]);
}

/// The dialects that a file of `src/wire/` names by a path.
fn dialects_named(code: &str) -> Vec<&'static str> {
    let named = |dialect: &str| {
        ["wire::", "super::"].iter().any(|from| code.contains(&format!("{from}{dialect}::")))
            || code.contains(&format!("wire::{dialect};"))
            || code.contains(&format!("super::{dialect};"))
            || listed(code).any(|item| item == dialect)
    };
    DIALECTS.into_iter().filter(|dialect| named(dialect)).collect()
}

/// The first words of what is imported in braces from `wire`, or from the module above.
fn listed(code: &str) -> impl Iterator<Item = String> {
    let lists = ["wire::{", "super::{"].into_iter().flat_map(|from| code.split(from).skip(1));
    lists.flat_map(heads).collect::<Vec<_>>().into_iter()
}

#[test]
fn a_dialect_knows_no_other() {
    let mut wrong = Vec::new();
    for (path, text) in files("src/wire", ".rs") {
        let place = place(&path);
        let mut parts = place.trim_start_matches("wire/").split('/');
        let module = parts.next().unwrap().trim_end_matches(".rs").to_owned();
        // The index has the table of them all, and the endpoints' table names the dialect of each.
        if ["mod", "endpoint"].contains(&module.as_str()) {
            continue;
        }
        for other in dialects_named(&code(&text)).into_iter().filter(|other| *other != module) {
            wrong.push(format!("{place} uses wire::{other}: move what both need up into wire/"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_dialect_has_the_same_files() {
    const SHARED: [&str; 8] =
        ["mod", "idiom", "request_write", "answer_read", "stream_read", "error", "usage", "tests"];
    const OF_CALLERS: [&str; 6] = ["check", "request_read", "answer_write", "stream_write", "observe", "replay"];
    let mut missing = Vec::new();
    for dialect in DIALECTS {
        let of_callers = OF_CALLERS.iter().filter(|_| dialect != "bedrock");
        for file in SHARED.iter().chain(of_callers) {
            let path = root().join("src/wire").join(dialect).join(format!("{file}.rs"));
            missing.extend((!path.is_file()).then(|| path.display().to_string()));
        }
    }
    assert!(missing.is_empty(), "missing:\n{}", missing.join("\n"));
}

#[test]
fn a_named_dialect_is_seen_in_every_form() {
    for code in ["use crate::wire::gemini::Gemini;", "use super::gemini;", "use crate::wire::{json, gemini};"] {
        assert_eq!(dialects_named(code), ["gemini"], "{code}");
    }
    assert!(dialects_named("use crate::wire::openai::DONE; // gemini::\nlet gemini_text = 1;").is_empty());
}

#[test]
fn a_library_is_used_in_its_home_only() {
    let mut wrong = Vec::new();
    for (path, text) in files("src", ".rs") {
        let (place, code) = (place(&path), code(&text));
        for (library, homes) in HOMES {
            let at_home = homes.iter().any(|home| place == *home || (home.ends_with('/') && place.starts_with(home)));
            if !at_home && code.contains(&format!("{library}::")) {
                wrong.push(format!("{place} uses {library}"));
            }
            if is_renamed(&code, library) {
                wrong.push(format!("{place} gives {library} another name"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether code gives a library another name, under which its uses would not be seen.
fn is_renamed(code: &str, library: &str) -> bool {
    code.match_indices(&format!("{library} as ")).any(|(at, _)| {
        let before = code[..at].chars().next_back().unwrap_or(' ');
        !before.is_alphanumeric() && before != '_'
    })
}

#[test]
fn a_library_has_no_other_name() {
    for code in ["use sqlx as database;", "extern crate sqlx as database;", "use {::sqlx as database, std::fmt};"] {
        assert!(is_renamed(code, "sqlx"), "{code}");
    }
    assert!(!is_renamed("use my_sqlx as database; let sqlx_as = 1;", "sqlx"));
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    for (library, _) in HOMES {
        assert!(!manifest.contains(&format!("package = \"{library}\"")), "Cargo.toml gives {library} another name");
    }
}

/// The values of `name` that a file's code names, tests apart.
fn values_named<'a>(text: &str, name: &str, values: &'a str) -> Vec<&'a str> {
    let code = code(text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default());
    let after: Vec<String> = code.split(&format!("{name}::")).skip(1).filter_map(word).collect();
    values.split_whitespace().filter(|value| after.iter().any(|word| word == value)).collect()
}

#[test]
fn what_a_table_says_is_asked_of_its_rows() {
    let mut wrong = Vec::new();
    for (path, text) in files("src", ".rs") {
        let place = place(&path);
        if place.ends_with("tests.rs") || place.contains("/tests/") {
            continue;
        }
        for (name, values, homes) in TABLES {
            let at_home = homes.iter().any(|home| place == *home || (home.ends_with('/') && place.starts_with(home)));
            let named = if at_home { Vec::new() } else { values_named(&text, name, values) };
            wrong.extend(named.iter().map(|value| format!("{place} names {name}::{value}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_value_that_is_named_is_seen_wherever_it_stands() {
    let text = "match kind {\n  Kind::OpenAi | upstream::Kind::Azure => 1,\n  Kind::Text => 2 }\n// Kind::Gemini\n";
    assert_eq!(values_named(text, "Kind", "OpenAi Gemini Azure"), ["OpenAi", "Azure"]);
}

#[test]
fn a_provider_is_read_by_its_name_without_a_match() {
    let text = std::fs::read_to_string(root().join("src/config/providers.rs")).unwrap();
    for wrong in ["match provider.kind", "== Kind::", "!= Kind::", "== Server::", "!= Server::", "| Kind::"] {
        assert!(!text.contains(wrong), "src/config/providers.rs has `{wrong}`");
    }
}

#[test]
fn a_home_that_is_gone_is_not_named() {
    for (library, homes) in HOMES {
        for home in homes.iter().filter(|home| home.ends_with(".rs")) {
            let path = root().join("src").join(home);
            assert!(path.is_file(), "{library}: src/{home} is gone");
        }
    }
}

#[test]
fn every_file_says_what_it_owns() {
    for folder in ["src", "tests", "benches"] {
        for (path, text) in files(folder, ".rs") {
            assert!(text.starts_with("//! "), "{} does not open with `//!`", path.display());
        }
    }
}

#[test]
fn no_file_is_longer_than_its_reader_can_hold() {
    for (path, text) in files("src", ".rs") {
        if path.ends_with("tests.rs") {
            continue;
        }
        let lines = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().lines().count();
        assert!(lines <= LONGEST, "{} has {lines} lines", path.display());
    }
}

#[test]
fn a_migration_opens_with_why() {
    for (path, text) in files("migrations", ".sql") {
        assert!(text.starts_with("-- "), "{} does not say why it is", path.display());
    }
}

/// The TOML blocks of all documents.
fn examples() -> Vec<(String, String)> {
    let mut texts = files("docs", ".md");
    for name in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        if let Ok(text) = std::fs::read_to_string(root().join(name)) {
            texts.push((root().join(name), text));
        }
    }
    let mut found = Vec::new();
    for (path, text) in texts {
        for (n, block) in text.split("```toml\n").skip(1).enumerate() {
            let block = block.split("```").next().unwrap_or_default();
            found.push((format!("{} (TOML block {})", path.display(), n + 1), block.to_owned()));
        }
    }
    found
}

/// What the documents' fragments refer to, where they do not say it themselves.
const CONTEXT: [(&str, &str); 7] = [
    ("[providers.simulated]", "kind = \"simulated\"\n"),
    ("[providers.openai]", "kind = \"openai\"\napi_key = \"env:OPENAI_API_KEY\"\n"),
    ("[providers.house]", "kind = \"simulated\"\nlocal = true\n"),
    ("[models.fast]", "provider = \"simulated\"\n"),
    ("[models.smart]", "provider = \"simulated\"\n"),
    ("[models.house]", "provider = \"house\"\n"),
    ("[models.support-lora]", "provider = \"house\"\n"),
];

#[test]
fn every_example_in_the_documents_is_read() {
    let examples = examples();
    assert!(!examples.is_empty(), "no example is found");
    for (place, text) in examples {
        if text.contains("[[messages]]") {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("example.toml"), text).unwrap();
            let checked = fulcrum::prompts::check_dir(folder.path());
            assert!(checked.is_ok(), "{place}: {:?}", checked.err());
            continue;
        }
        let missing = CONTEXT.iter().filter(|(table, _)| !text.contains(table));
        let context: String = missing.map(|(table, fields)| format!("{table}\n{fields}")).collect();
        let env = |_: &str| Some("a-value-for-every-variable-0123456789".to_owned());
        if let Err(problems) = fulcrum::config::parse(&format!("{text}\n{context}"), "example", &env) {
            let shown: Vec<_> = problems.iter().map(ToString::to_string).collect();
            panic!("{place}:\n{}", shown.join("\n"));
        }
    }
}
