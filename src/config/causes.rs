//! `on_context_length`, `on_content_filter` and `on_budget` of a route.

use super::read::Section;
use super::spanned::spanned_list;
use crate::routing::{Cause, CausesSpec, OnBudgetSpec};

const EXAMPLE: &str = "on_budget = { above = 0.8, models = [\"fast\"] }";

pub(super) fn causes(section: &Section<'_>) -> CausesSpec {
    let list = |cause: Cause| spanned_list(section, cause.key(), "[\"long\"]");
    CausesSpec {
        context_length: list(Cause::ContextLength),
        content_filter: list(Cause::ContentFilter),
        budget: section.inline("on_budget", EXAMPLE).and_then(|section| on_budget(section)),
    }
}

fn on_budget(section: Section<'_>) -> Option<OnBudgetSpec> {
    let above = section.get("above");
    if above.is_none() {
        section.problem("`above` is missing", format!("write {EXAMPLE}"));
    }
    let above = above.and_then(|field| field.share());
    if section.get("models").is_none() {
        section.problem("`models` is missing", format!("write {EXAMPLE}"));
    }
    let models = spanned_list(&section, "models", "[\"fast\"]");
    section.done();
    Some(OnBudgetSpec { above: above?, models })
}
