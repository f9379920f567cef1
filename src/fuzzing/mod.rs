//! What must hold of any bytes that reach a reader: for `cargo fuzz`, and for the tests, which run the stored corpus.

mod codecs;
mod cuttings;
mod form;
mod json;
mod stream;
#[cfg(test)]
mod tests;

use cuttings::cuttings;

/// A reader's check: it panics where what must hold does not.
pub type Check = fn(&[u8]);

/// Every check, by its target's name.
pub const TARGETS: [(&str, Check); 10] = [
    ("http1", |data| crate::upstream::checked::answer(data, &cuttings(data))),
    ("json", json::object),
    ("exact_numbers", json::exact_numbers),
    ("sse", stream::sse),
    ("frames", stream::frames),
    ("form", form::form),
    ("request", codecs::request),
    ("answer", codecs::answer),
    ("stream", codecs::stream),
    ("journal", crate::usage::checked::content),
];

/// Runs a target's check.
pub fn run(target: &str, data: &[u8]) {
    let check = TARGETS.iter().find(|(name, _)| *name == target).map(|(_, check)| check);
    assert!(check.is_some(), "no target is named {target}");
    check.into_iter().for_each(|check| check(data));
}
