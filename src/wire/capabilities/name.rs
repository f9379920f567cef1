//! How models are named: what stands before and behind the part that shows the family.

/// A version in a model's name: `4-5`, `4.5`, `3`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Version {
    pub(super) major: u16,
    pub(super) minor: u16,
}

/// The name from `word` on, where `word` begins a part of it.
pub(super) fn from<'a>(name: &'a str, word: &str) -> Option<&'a str> {
    name.match_indices(word).map(|(at, _)| at).find(|at| begins_a_part(name, *at)).map(|at| &name[at..])
}

fn begins_a_part(name: &str, at: usize) -> bool {
    !name[..at].ends_with(|before: char| before.is_ascii_alphanumeric())
}

/// The base of a fine-tuned model's name, `ft:BASE:organisation:name:id`, without folders before it; else the name without
/// folders.
pub(super) fn base(name: &str) -> &str {
    let tuned = name.find("ft:").filter(|at| begins_a_part(name, *at)).map(|at| &name[at + 3..]);
    let name = tuned.unwrap_or_else(|| name.rsplit('/').next().unwrap_or(name));
    name.split(':').next().unwrap_or(name)
}

/// The first version in `text`: a number of one or two digits, and the one that follows it directly. A date and the version of
/// an API (`v1`) are none.
pub(super) fn first_version(text: &str) -> Option<Version> {
    let text = text.split([':', '@']).next().unwrap_or(text);
    let mut parts = text.split(['-', '.', '_', '/']).map(short_number);
    let major = parts.by_ref().find_map(|number| number)?;
    Some(Version { major, minor: parts.next().flatten().unwrap_or(0) })
}

fn short_number(part: &str) -> Option<u16> {
    (part.len() <= 2).then(|| part.parse().ok()).flatten()
}
