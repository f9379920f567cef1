//! `accept` of a route's target: what its answer must be, in a cascade.

use regex::{Regex, RegexBuilder};

use super::read::{Field, Section};
use crate::routing::{AcceptSpec, Checks};

/// The most bytes that a compiled pattern takes.
const LARGEST_PATTERN: usize = 1 << 20;

/// The inline table `accept` of a target.
pub(super) fn accept(target: &Section<'_>) -> Option<AcceptSpec> {
    let field = target.get("accept")?;
    let key = field.key.clone();
    let Some(section) = field.section() else {
        return Some(AcceptSpec { key, checks: Checks::default(), judge: None, is_broken: true });
    };
    // A check that is set and wrong has a problem of its own.
    let mut is_broken = false;
    let checks = Checks {
        min_confidence: noted(&mut is_broken, &section, "min_confidence", |field| field.decimal(0.0..=1.0)),
        json_schema: noted(&mut is_broken, &section, "json_schema", flag).unwrap_or(false),
        regex: noted(&mut is_broken, &section, "regex", pattern),
        not_refusal: noted(&mut is_broken, &section, "not_refusal", flag).unwrap_or(false),
        min_logprob: noted(&mut is_broken, &section, "min_logprob", |field| field.decimal(-100.0..=0.0)),
        max_chars: noted(&mut is_broken, &section, "max_chars", |field| field.whole(1..=100_000_000)),
    };
    let judge = noted(&mut is_broken, &section, "judge", |field| field.spanned("\"smart\""));
    section.done();
    Some(AcceptSpec { key, checks, judge, is_broken })
}

fn noted<T>(
    is_broken: &mut bool,
    section: &Section<'_>,
    name: &'static str,
    read: impl FnOnce(&Field<'_>) -> Option<T>,
) -> Option<T> {
    let found = read(&section.get(name)?);
    *is_broken |= found.is_none();
    found
}

fn flag(field: &Field<'_>) -> Option<bool> {
    field.bool()
}

/// Whether a pattern seems to match every text: each printable letter of ASCII, one of another script, and a long text of many
/// lines. An answer without text is never accepted, so that one need not match.
fn matches_all(pattern: &Regex) -> bool {
    let letters = || ('!'..='~').chain(['ж']);
    let long = letters().chain(['\n', ' ']).cycle().take(10_000).collect::<String>();
    pattern.is_match(&long) && letters().all(|letter| pattern.is_match(letter.encode_utf8(&mut [0; 4])))
}

fn pattern(field: &Field<'_>) -> Option<Regex> {
    let text = field.text("\"^[A-Z]\"")?;
    match RegexBuilder::new(text).size_limit(LARGEST_PATTERN).build() {
        Ok(pattern) => {
            if matches_all(&pattern) {
                let fix = "write what an answer must look like, such as \"^[A-Z]\", or take `regex` out";
                field.warn("every text matches this pattern, so it accepts every answer", fix);
            }
            Some(pattern)
        }
        Err(error) => {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            field.problem(format!("the pattern is no regular expression: {reason}"), "correct the pattern");
            None
        }
    }
}
