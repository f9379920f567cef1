//! How fast a stream of the call must be before anything of it goes down.

use serde_json::{Value, json};

use super::subject::Subject;

/// The speed and its window, where the route sets them.
pub(super) fn part(subject: &Subject<'_>) -> Option<Value> {
    let least = subject.call.plan.min_speed?;
    let (chars, seconds) = (least.chars_per_second, least.window.as_secs_f64());
    let summary = format!("{chars} characters a second in {seconds} s; a slower stream goes on at the next target");
    Some(json!({"chars_per_second": chars, "window_seconds": seconds, "summary": summary}))
}
