//! Keys of a provider that only some kinds have.

use super::read::{Field, Section};
use crate::upstream::{Kind, Provider};

/// Reads a key that only some kinds of providers have; for other kinds the key is a mistake.
pub(super) fn option<'a>(provider: &Provider, section: &Section<'a>, name: &'static str) -> Option<Field<'a>> {
    let field = section.get(name)?;
    if !provider.kind.row().takes(name) {
        let problem = match &Kind::names_of(|row| row.takes(name))[..] {
            [only] => format!("only kind = \"{only}\" has this"),
            kinds => format!("only kinds {} have this", kinds.join(" and ")),
        };
        field.problem(problem, "take it out");
    }
    Some(field)
}
