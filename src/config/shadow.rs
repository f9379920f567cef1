//! `shadow` of a route.

use super::read::Section;
use crate::routing::{RouteSpec, ShadowSpec};

/// Warns of one that compares its route's only target with itself.
pub(super) fn warn_same(section: &Section<'_>, route: &RouteSpec) {
    let Some(shadow) = &route.shadow else { return };
    let only = route.targets.first().filter(|_| !route.has_second());
    if let Some(field) = section.get("shadow").filter(|_| only.is_some_and(|only| only.model.text == shadow.model.text))
    {
        field.warn("the candidate is the route's only target, so both answers are its own", "name another candidate");
    }
}

pub(super) fn shadow(section: &Section<'_>) -> Option<ShadowSpec> {
    const EXAMPLE: &str = "shadow = { model = \"candidate\", share = 0.1, max_usd_per_day = \"5\" }";
    let section = section.inline("shadow", EXAMPLE)?;
    let (model, share, cap) = (section.get("model"), section.get("share"), section.get("max_usd_per_day"));
    for (name, field) in [("model", &model), ("share", &share)] {
        if field.is_none() {
            section.problem(format!("`{name}` is missing"), format!("write {EXAMPLE}"));
        }
    }
    if cap.is_none() {
        let problem = "`max_usd_per_day` is missing, so nothing would bound what the candidate costs";
        section.problem(problem, format!("write {EXAMPLE}"));
    }
    let model = model.and_then(|field| field.spanned("\"candidate\""));
    let share = share.and_then(|field| field.share());
    let most_a_day = cap.and_then(|field| field.money());
    section.done();
    Some(ShadowSpec { model: model?, share: share?, most_a_day: most_a_day? })
}
