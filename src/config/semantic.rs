//! What compares texts by their meaning: `[cache.semantic]`, `[examples.NAME]`, and the keys of a route's cache for it.

use super::read::{Field, Section, set};
use crate::routing::{CacheMode, CachePolicy, CacheScope, ExampleSpec, Spanned};
use crate::types::Share;

/// The most sentences of a set of examples, and the most characters of one.
const MOST_SENTENCES: usize = 64;
const LONGEST_SENTENCE: usize = 1_000;

/// The most sets: each rule that names one may need them all.
const MOST_SETS: usize = 100;

/// `[cache.semantic]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SemanticSettings {
    /// The most questions that are found by meaning.
    pub max_entries: usize,
    /// The most bytes of their vectors and texts.
    pub max_size: u64,
}

impl Default for SemanticSettings {
    fn default() -> Self {
        Self { max_entries: 100_000, max_size: 512 << 20 }
    }
}

/// `[cache.semantic]`, and the model that it names.
pub(super) fn semantic(cache: &Section<'_>) -> (SemanticSettings, Option<Spanned>) {
    let mut settings = SemanticSettings::default();
    let Some(section) = cache.section("semantic") else { return (settings, None) };
    let model = section.get("embedding_model");
    if model.is_none() {
        section.problem("`embedding_model` is missing", "write embedding_model = \"embed\", a name under [models]");
    }
    let model = model.and_then(|field| field.spanned("\"embed\""));
    set(&mut settings.max_entries, section.get("max_entries").and_then(|field| entries(&field)));
    set(&mut settings.max_size, section.get("max_size").and_then(|field| field.size("1MiB"..="1024GiB")));
    section.done();
    (settings, model)
}

fn entries(field: &Field<'_>) -> Option<usize> {
    field.whole::<u32>(1..=10_000_000).and_then(|entries| usize::try_from(entries).ok())
}

/// The sets of examples.
pub(super) fn examples(root: &Section<'_>) -> Vec<ExampleSpec> {
    let Some(section) = root.section("examples") else { return Vec::new() };
    let entries = section.entries();
    if entries.len() > MOST_SETS {
        section
            .problem(format!("there are more than {MOST_SETS} sets of examples"), "put sentences of one kind together");
    }
    entries.into_iter().filter_map(|(name, field)| example_set(name, field)).collect()
}

fn example_set(name: &str, field: Field<'_>) -> Option<ExampleSpec> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if name.is_empty() || name.len() > 64 || !name.bytes().all(fits) {
        field.problem("this is no name for examples", "use 1 to 64 of a-z, A-Z, 0-9, _, . and -");
    }
    let section = field.section()?;
    let (key, named) = (section.key.clone(), Spanned { text: name.to_owned(), at: section.at });
    let example = "sentences = [\"I want my money back\"]";
    let sentences = section.get("sentences");
    if sentences.is_none() {
        section.problem("`sentences` is missing", format!("write {example}"));
    }
    let sentences = sentences.map(|field| self::sentences(&field, example));
    section.done();
    Some(ExampleSpec { name: named, key, sentences: sentences? })
}

fn sentences(field: &Field<'_>, example: &str) -> Vec<String> {
    let items = field.list(example);
    if items.is_empty() || items.len() > MOST_SENTENCES {
        field.problem(format!("a set has 1 to {MOST_SENTENCES} sentences"), format!("write {example}"));
    }
    let sentence = |item: &Field<'_>| {
        let text = item.text(example)?;
        if text.trim().is_empty() || text.chars().count() > LONGEST_SENTENCE {
            item.problem(format!("a sentence has 1 to {LONGEST_SENTENCE} characters"), format!("write {example}"));
        }
        Some(text.to_owned())
    };
    items.iter().take(MOST_SENTENCES).filter_map(sentence).collect()
}

/// The inline table `cache` of a route or of the defaults.
pub(super) fn cache_policy(section: &Section<'_>) -> Option<CachePolicy> {
    let section = section.section("cache")?;
    let mut policy = CachePolicy { mode: CacheMode::Exact, ..CachePolicy::default() };
    let modes = [("off", CacheMode::Off), ("exact", CacheMode::Exact), ("semantic", CacheMode::Semantic)];
    match section.get("mode") {
        Some(field) => set(&mut policy.mode, field.choice(&modes)),
        None => section.problem("`mode` is missing", "write mode = \"exact\", \"semantic\" or \"off\""),
    }
    set(&mut policy.ttl, section.get("ttl").and_then(|field| field.duration("1s"..="365d")));
    let scopes = [("key", CacheScope::Key), ("project", CacheScope::Project)];
    set(&mut policy.scope, section.get("scope").and_then(|field| field.choice(&scopes)));
    set(&mut policy.threshold, by_meaning(&section, "threshold", policy.mode));
    set(&mut policy.verify_share, by_meaning(&section, "verify_share", policy.mode));
    section.done();
    Some(policy)
}

/// A share that only the mode `semantic` reads.
fn by_meaning(section: &Section<'_>, name: &'static str, mode: CacheMode) -> Option<Share> {
    let field = section.get(name)?;
    let share = field.share();
    if mode != CacheMode::Semantic {
        field.warn("only mode = \"semantic\" reads this", "take it out, or change the mode");
    } else if name == "threshold" && share == Some(Share::clamped(0.0)) {
        field.warn("every stored question would be similar enough, whatever it says", "write threshold = 0.92");
    }
    share
}
