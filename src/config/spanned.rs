//! Lists of names with their places.

use super::read::Section;
use crate::routing::Spanned;

/// The names of a list that the table may have.
pub(super) fn spanned_list(section: &Section<'_>, name: &'static str, example: &str) -> Vec<Spanned> {
    let Some(field) = section.get(name) else { return Vec::new() };
    let items = field.list(example);
    if items.is_empty() {
        field.problem("the list is empty", "name one, or take the key out");
    }
    items.iter().filter_map(|item| item.spanned(example)).collect()
}
