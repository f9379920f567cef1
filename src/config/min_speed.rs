//! `min_speed` of a route.

use std::time::Duration;

use super::read::Section;
use crate::routing::{MinSpeed, RouteSpec};

/// The window of a route that sets none.
const WINDOW: Duration = Duration::from_secs(10);

/// The most characters that a stream may have to write before anything of it goes down: so many are held back.
const MOST_CHARS: usize = 65_536;

/// Reads it.
pub(super) fn min_speed(section: &Section<'_>) -> Option<MinSpeed> {
    let section = section.inline("min_speed", "min_speed = { chars_per_second = 5 }")?;
    let chars = section.get("chars_per_second");
    if chars.is_none() {
        section.problem("`chars_per_second` is missing", "write { chars_per_second = 5, window = \"10s\" }");
    }
    let chars_per_second = chars.and_then(|field| field.whole(1..=100_000));
    let window = section.get("window").map_or(Some(WINDOW), |field| field.duration("100ms"..="10m"));
    let speed = chars_per_second.zip(window).map(|(chars_per_second, window)| MinSpeed { chars_per_second, window });
    if let Some(chars) = speed.map(|speed| speed.chars()).filter(|chars| *chars > MOST_CHARS) {
        let problem = format!("{chars} characters in the window are more than the {MOST_CHARS} that are held back");
        section.problem(problem, "lower chars_per_second, or the window");
    }
    section.done();
    speed
}

/// Warns of one that nothing comes of: the last target is never given up.
pub(super) fn warn_alone(section: &Section<'_>, route: &RouteSpec) {
    let is_alone = route.min_speed.is_some() && route.causes.budget.is_none() && !route.has_second();
    if let Some(field) = section.get("min_speed").filter(|_| is_alone) {
        let fix = "name another target or a fallback, or take `min_speed` out";
        field.warn("a slow stream goes on at the next target, and the route has one", fix);
    }
}
