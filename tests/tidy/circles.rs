//! No circle of imports inside a module of `src/`: which file sees which, re-exports followed to the file that has the name.

use std::collections::{BTreeMap, BTreeSet};

use super::{code, files, place, word};

/// A module's path below the crate, or a path that a file names.
type Segments = Vec<String>;

/// The modules of a crate, each a file.
#[derive(Default)]
struct Modules {
    code: BTreeMap<Segments, String>,
    /// The names that a file gives to what others have.
    re_exports: BTreeMap<Segments, BTreeMap<String, Segments>>,
}

impl Modules {
    fn of(files: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut modules = Self::default();
        for (place, text) in files {
            let mut path: Segments = place.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
            path.pop_if(|last| ["mod", "lib"].contains(&last.as_str()));
            let (code, re_exports) = without_re_exports(&text);
            modules.re_exports.insert(path.clone(), re_exports);
            modules.code.insert(path, code);
        }
        modules
    }

    /// The file that has what `path` names, as a file `from` names it.
    fn owner(&self, from: &[String], path: &[String], depth: usize) -> Segments {
        let mut at = from.to_vec();
        for (n, segment) in path.iter().enumerate() {
            let below: Segments = at.iter().chain([segment]).cloned().collect();
            let re_export = self.re_exports.get(&at).and_then(|names| names.get(segment));
            match segment.as_str() {
                "self" => {}
                "crate" => at.clear(),
                "super" => drop(at.pop()),
                _ if self.code.contains_key(&below) => at = below,
                _ => match re_export.filter(|_| depth < 8) {
                    Some(target) => return self.owner(&at, &[target, &path[n + 1..]].concat(), depth + 1),
                    None => break,
                },
            }
        }
        at
    }

    /// The files of the same module of the crate that a file uses.
    fn used(&self, path: &[String]) -> BTreeSet<Segments> {
        let is_child = |other: &&Segments| other.len() == path.len() + 1 && other.starts_with(path);
        let children = self.code.keys().filter(is_child).filter_map(|child| child.last());
        let heads: BTreeSet<&str> =
            ["crate", "self", "super"].into_iter().chain(children.map(String::as_str)).collect();
        let named = paths_from(&self.code[path], &heads);
        let owners = named.iter().map(|named| self.owner(path, named, 0));
        owners.filter(|owner| owner != path && owner.first() == path.first()).collect()
    }

    /// The files of each circle.
    fn circles(&self) -> Vec<Vec<String>> {
        let mut uses: BTreeMap<Segments, BTreeSet<Segments>> =
            self.code.keys().filter(|path| !path.is_empty()).map(|path| (path.clone(), self.used(path))).collect();
        // A file that uses none of those left, or that none of them uses, is in no circle.
        loop {
            let used: BTreeSet<Segments> = uses.values().flatten().cloned().collect();
            let left: BTreeSet<Segments> = uses
                .iter()
                .filter(|(path, uses)| !uses.is_empty() && used.contains(*path))
                .map(|(path, _)| path.clone())
                .collect();
            if left.len() == uses.len() {
                break;
            }
            uses.retain(|path, _| left.contains(path));
            uses.values_mut().for_each(|uses| uses.retain(|other| left.contains(other)));
        }
        let mut by_module: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (path, uses) in &uses {
            let uses: Vec<String> = uses.iter().map(|other| other.join("/")).collect();
            by_module.entry(path[0].clone()).or_default().push(format!("{} uses {}", path.join("/"), uses.join(", ")));
        }
        by_module.into_values().collect()
    }
}

/// The code of a file without its tests and its `pub use`, and what these give names to.
fn without_re_exports(text: &str) -> (String, BTreeMap<String, Segments>) {
    let is_tests = |after: &str| after.lines().next().is_some_and(|line| line.ends_with("mod tests {"));
    let mut marks = text.match_indices("#[cfg(test)]\n").filter(|(at, mark)| is_tests(&text[at + mark.len()..]));
    let text = &text[..marks.next().map_or(text.len(), |(at, _)| at)];
    let (mut rest, mut left, mut names) = (code(text), String::new(), BTreeMap::new());
    let begin = |text: &str| {
        let starts = ["pub use ", "pub(crate) use ", "pub(super) use "];
        starts.iter().filter_map(|start| text.find(start).map(|at| (at, start.len()))).min()
    };
    while let Some((at, length)) = begin(&rest) {
        left.push_str(&rest[..at]);
        let end = rest[at..].find(';').map_or(rest.len(), |end| at + end);
        for (path, name) in tree(&rest[at + length..end]) {
            names.insert(name, path);
        }
        rest = rest.split_off(end);
    }
    (left + &rest, names)
}

/// The paths in a file's code that begin with one of `heads`.
fn paths_from(code: &str, heads: &BTreeSet<&str>) -> Vec<Segments> {
    let mut found = Vec::new();
    let mut before = ' ';
    let mut rest = code;
    while let Some(letter) = rest.chars().next() {
        let name = word(rest).unwrap_or_default();
        let is_head = heads.contains(name.as_str()) && rest[name.len()..].starts_with("::");
        if is_head && !":.$".contains(before) {
            found.extend(tree(rest).into_iter().map(|(path, _)| path));
        }
        let step = if name.is_empty() { letter.len_utf8() } else { name.len() };
        before = rest[..step].chars().next_back().unwrap_or(' ');
        rest = &rest[step..];
    }
    found
}

/// Every path of a tree of imports, `a::{b, c::d as e}`, with the name that it gets.
fn tree(text: &str) -> Vec<(Segments, String)> {
    let mut found = Vec::new();
    let mut before = Segments::new();
    // The length of `before` at each brace that is open.
    let mut open = Vec::new();
    let mut path = Segments::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        if let Some(name) = word(rest) {
            rest = &rest[name.len()..];
            path.push(name.clone());
            if let Some(after) = rest.strip_prefix("::") {
                rest = after;
                continue;
            }
            let renamed = rest.strip_prefix(" as ").and_then(word);
            rest = renamed.as_ref().map_or(rest, |name| &rest[" as ".len() + name.len()..]);
            found.push(([&before[..], &path[..]].concat(), renamed.unwrap_or(name)));
            path.clear();
        } else if let Some(after) = rest.strip_prefix('{') {
            open.push(before.len());
            before.append(&mut path);
            rest = after;
            continue;
        } else if !path.is_empty() {
            // `a::*`, or `a::<T>` in an expression.
            found.push(([&before[..], &path[..]].concat(), String::new()));
            path.clear();
            rest = rest.strip_prefix('*').unwrap_or(rest);
        }
        while let Some(after) = rest.trim_start().strip_prefix('}').filter(|_| !open.is_empty()) {
            before.truncate(open.pop().unwrap_or_default());
            rest = after;
        }
        match rest.trim_start().strip_prefix(',').filter(|_| !open.is_empty()) {
            Some(after) => rest = after,
            None => return found,
        }
        while let Some(after) = rest.trim_start().strip_prefix('}').filter(|_| !open.is_empty()) {
            before.truncate(open.pop().unwrap_or_default());
            rest = after;
        }
        if open.is_empty() {
            return found;
        }
    }
}

fn modules() -> Modules {
    let is_code = |place: &str| !place.ends_with("tests.rs") && !place.contains("/tests/") && place != "main.rs";
    let files = files("src", ".rs").into_iter().map(|(path, text)| (place(&path), text));
    Modules::of(files.filter(|(place, _)| is_code(place)))
}

#[test]
fn no_module_has_a_circle_of_imports() {
    let circles = modules().circles();
    assert!(circles.is_empty(), "{circles:#?}");
}

/// The circles in modules of these files.
fn circles_of(files: &[(&str, &str)]) -> Vec<Vec<String>> {
    Modules::of(files.iter().map(|(place, text)| ((*place).to_owned(), (*text).to_owned()))).circles()
}

#[test]
fn a_circle_is_seen_in_every_form() {
    for use_of_b in
        ["use super::b::B;", "use crate::m::{c, b::{self, B}};", "use super::B as Other;", "fn f() { super::b::g() }"]
    {
        let files = [
            ("m/mod.rs", "mod a;\nmod b;\nmod c;\npub use b::B;"),
            ("m/c.rs", ""),
            ("m/a.rs", use_of_b),
            ("m/b.rs", "use super::a;"),
        ];
        assert_eq!(circles_of(&files), [["m/a uses m/b", "m/b uses m/a"]], "{use_of_b}");
    }
    let below = [("m.rs", "mod n;\nuse n::N;"), ("m/n.rs", "use super::M;")];
    assert_eq!(circles_of(&below), [["m uses m/n", "m/n uses m"]]);
}

#[test]
fn a_line_of_imports_is_no_circle() {
    let files = [
        ("m/mod.rs", "mod a;\nmod b;\npub use b::B;\npub use a::A;"),
        ("m/a.rs", "use super::B;\n// use super::a;\n#[cfg(test)]\nmod tests {\n    use super::*;\n}"),
        ("m/b.rs", "use crate::other::m;"),
        ("other.rs", "use crate::m::A;"),
    ];
    assert_eq!(circles_of(&files), Vec::<Vec<String>>::new());
}
