//! Where each key of a configuration stands, for what is found out about it once it has been read.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::types::{Diagnostic, Place, Position};

/// Where each key of a configuration stands.
#[derive(Clone, Default)]
pub struct Places {
    file: Arc<str>,
    text: Arc<str>,
    /// The byte where each key's value, or the name of its table, begins.
    offsets: HashMap<String, usize>,
}

impl Places {
    pub(super) fn new(file: Arc<str>, text: &str, offsets: HashMap<String, usize>) -> Self {
        Self { file, text: text.into(), offsets }
    }

    /// What was found at a key, with the key's place, or that of the nearest table around it.
    #[must_use]
    pub fn place(&self, found: Diagnostic) -> Diagnostic {
        let found = match offset(&self.offsets, &found.key) {
            Some(at) => found.at(Place::InText(Position::of(&self.text, at))),
            None => found,
        };
        found.of_file(self.file.clone())
    }
}

/// Where a key begins, or the nearest table around it.
pub(super) fn offset(offsets: &HashMap<String, usize>, mut key: &str) -> Option<usize> {
    loop {
        if let Some(at) = offsets.get(key) {
            return Some(*at);
        }
        key = &key[..key.rfind(['.', '['])?];
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Places").field("file", &self.file).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use crate::config::parse;
    use crate::types::Diagnostic;

    #[test]
    fn a_key_is_found_where_it_stands_or_at_the_table_around_it() {
        let text =
            "[providers.p]\nkind = \"simulated\"\n[[routes]]\ntargets = [{ model = \"p/a\" }, { model = \"p/b\" }]\n";
        let config = parse(text, "f", &|_| None).unwrap();
        for (key, shown) in [
            ("providers.p.kind", "f:2:8: "),
            ("providers.p.api_key", "f:1:12: "),
            ("providers", "f:1:2: "),
            ("routes[0].targets[1].model", "f:4:41: "),
            ("routes[0].targets[1].weight", "f:4:31: "),
            ("nowhere", "f: "),
        ] {
            let found = config.places.place(Diagnostic::new(key, "x")).to_string();
            assert_eq!(found, format!("{shown}{key}: x"));
        }
    }
}
