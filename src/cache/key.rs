//! The key of a cached answer: a hash over everything that decides what the answer is.

use std::fmt;

use memchr::memchr2;

/// BLAKE3-256 over scope, target, endpoint and all fields of a request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CacheKey([u8; 32]);

impl CacheKey {
    pub(super) fn of(hasher: &blake3::Hasher) -> Self {
        Self(*hasher.finalize().as_bytes())
    }
}

impl fmt::Display for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Who may share an answer. Ids of keys are unique in all projects, so neither scope crosses one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    /// All keys of this project.
    Project(&'a str),
    /// The key with this id alone.
    Key(&'a str),
}

/// Makes a [`CacheKey`]: borrows the fields, and hashes them once, at the end.
pub struct Keyer<'a> {
    hasher: blake3::Hasher,
    fields: Vec<(&'a str, &'a [u8])>,
}

impl<'a> Keyer<'a> {
    /// Begins with the scope that shares the answer, the provider and model that answer, and the endpoint.
    #[must_use]
    pub fn new(scope: Scope<'_>, provider: &str, model: &str, endpoint: &str) -> Self {
        let hasher = begin("fulcrum answer 1", scope, [provider, model, endpoint]);
        Self { hasher, fields: Vec::with_capacity(16) }
    }

    /// Adds a field: its name, and its value as valid JSON.
    ///
    /// White space outside of strings does not count, nor does the order of fields with different names; the order
    /// of those with the same name does, since a reader takes one of them.
    pub fn field(&mut self, name: &'a str, raw_json: &'a [u8]) -> &mut Self {
        self.fields.push((name, raw_json));
        self
    }

    /// The key.
    #[must_use]
    pub fn finish(mut self) -> CacheKey {
        self.fields.sort_by_key(|(name, _)| *name);
        // Each part is followed by its length, so that no two lists of fields are hashed as the same bytes.
        for (name, value) in &self.fields {
            self.hasher.update(name.as_bytes());
            self.hasher.update(&length(name.len()));
            let written = update_compact(&mut self.hasher, value);
            self.hasher.update(&length(written));
        }
        self.hasher.update(&length(self.fields.len()));
        CacheKey::of(&self.hasher)
    }
}

/// A hash of keys of this `kind`, which holds the scope that shares the answer and the target that answers.
pub(super) fn begin<const N: usize>(kind: &str, scope: Scope<'_>, parts: [&str; N]) -> blake3::Hasher {
    let (shared_by, owner) = match scope {
        Scope::Project(name) => ("project", name),
        Scope::Key(id) => ("key", id),
    };
    let mut hasher = blake3::Hasher::new();
    for part in [kind, shared_by, owner].into_iter().chain(parts) {
        hasher.update(part.as_bytes());
        hasher.update(&length(part.len()));
    }
    hasher
}

pub(super) fn length(length: usize) -> [u8; 8] {
    (length as u64).to_le_bytes()
}

/// Hashes JSON without the white space outside of its strings, and returns how many bytes that was.
fn update_compact(hasher: &mut blake3::Hasher, json: &[u8]) -> usize {
    let mut written = 0;
    let mut start = 0;
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => at = string_end(json, at + 1),
            b' ' | b'\n' | b'\r' | b'\t' => {
                hasher.update(&json[start..at]);
                written += at - start;
                at += 1;
                start = at;
            }
            _ => at += 1,
        }
    }
    hasher.update(&json[start..]);
    written + json.len() - start
}

/// The place after the closing quote of the string that goes on at `at`.
fn string_end(json: &[u8], mut at: usize) -> usize {
    while let Some(found) = json.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found;
        if json[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    json.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    const HOME: Scope<'_> = Scope::Project("default");

    fn key_of(fields: &[(&str, &str)]) -> CacheKey {
        let mut keyer = Keyer::new(HOME, "openai", "gpt", "chat");
        for (name, value) in fields {
            keyer.field(name, value.as_bytes());
        }
        keyer.finish()
    }

    #[test]
    fn scope_target_and_endpoint_count() {
        let parts = [
            (HOME, "p", "m", "e"),
            (Scope::Project("other"), "p", "m", "e"),
            (Scope::Key("default"), "p", "m", "e"),
            (HOME, "q", "m", "e"),
            (HOME, "p", "n", "e"),
            (HOME, "p", "m", "f"),
            (HOME, "pm", "", "e"),
            (HOME, "", "pm", "e"),
        ];
        let keys: std::collections::BTreeSet<_> =
            parts.iter().map(|(scope, p, m, e)| Keyer::new(*scope, p, m, e).finish()).collect();
        assert_eq!(keys.len(), parts.len());
    }

    #[test]
    fn what_looks_alike_is_told_apart() {
        type Fields = &'static [(&'static str, &'static str)];
        let pairs: [(Fields, Fields); 7] = [
            (&[("a", r#""x y""#)], &[("a", r#""xy""#)]),
            (&[("a", r#""x\" y""#)], &[("a", r#""x\"y""#)]),
            (&[("a", r#""\\", " ""#)], &[("a", r#""\\", """#)]),
            (&[("a", "1"), ("b", "2")], &[("a", "2"), ("b", "1")]),
            (&[("a", "1"), ("a", "2")], &[("a", "2"), ("a", "1")]),
            (&[("a", "1")], &[("a", "1"), ("b", "null")]),
            (&[("ab", "1")], &[("a", "b1")]),
        ];
        for (a, b) in pairs {
            assert_ne!(key_of(a), key_of(b), "{a:?} {b:?}");
        }
    }

    #[test]
    fn broken_json_ends() {
        for json in ["\"", "\"\\", "\"a\\\"", "{\"a", "", " "] {
            key_of(&[("a", json)]);
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[ a\\\\\"\t{}:,é]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("[a-c \"]{0,3}", inner), 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    /// Writes `value` with `gaps` between its tokens, one after the other.
    fn spaced(value: &Value, gaps: &mut impl Iterator<Item = &'static str>, out: &mut String) {
        let mut gap = |out: &mut String| out.push_str(gaps.next().unwrap_or_default());
        gap(out);
        match value {
            Value::Array(items) => {
                out.push('[');
                for (n, item) in items.iter().enumerate() {
                    out.push_str(if n > 0 { "," } else { "" });
                    spaced(item, gaps, out);
                }
                out.push(']');
            }
            Value::Object(fields) => {
                out.push('{');
                for (n, (name, item)) in fields.iter().enumerate() {
                    out.push_str(if n > 0 { "," } else { "" });
                    spaced(&Value::from(name.as_str()), gaps, out);
                    out.push(':');
                    spaced(item, gaps, out);
                }
                out.push('}');
            }
            leaf => out.push_str(&leaf.to_string()),
        }
        out.push_str(gaps.next().unwrap_or_default());
    }

    fn fields() -> impl Strategy<Value = Vec<(String, Value)>> {
        prop::collection::btree_map("[a-f]{1,2}", json(), 1..6).prop_map(|fields| fields.into_iter().collect())
    }

    fn key(fields: &[(String, String)]) -> CacheKey {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        key_of(&fields)
    }

    fn compact(fields: &[(String, Value)]) -> Vec<(String, String)> {
        fields.iter().map(|(name, value)| (name.clone(), value.to_string())).collect()
    }

    proptest! {
        #[test]
        fn white_space_and_order_do_not_count(
            fields in fields(),
            gaps in prop::collection::vec(prop::sample::select(vec!["", " ", "\n", "\r\n", "\t  "]), 64),
            turn in 0usize..6,
        ) {
            let mut gaps = gaps.iter().copied().cycle();
            let mut other: Vec<_> = fields.iter().map(|(name, value)| {
                let mut text = String::new();
                spaced(value, &mut gaps, &mut text);
                (name.clone(), text)
            }).collect();
            let turn = turn % other.len();
            other.rotate_left(turn);
            prop_assert_eq!(key(&compact(&fields)), key(&other));
        }

        #[test]
        fn any_other_value_counts(fields in fields(), at in 0usize..6, value in json()) {
            let mut other = fields.clone();
            let at = at % other.len();
            other[at].1 = value;
            let same = compact(&fields) == compact(&other);
            prop_assert_eq!(key(&compact(&fields)) == key(&compact(&other)), same);
        }

        #[test]
        fn any_other_name_and_a_missing_field_count(fields in fields(), at in 0usize..6) {
            let before = key(&compact(&fields));
            let at = at % fields.len();
            let mut other = fields.clone();
            other[at].0.push('z');
            prop_assert_ne!(before, key(&compact(&other)));
            other.remove(at);
            prop_assert_ne!(before, key(&compact(&other)));
        }
    }
}
