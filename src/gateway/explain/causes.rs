//! The targets that a cause brings in.

use serde_json::{Map, Value, json};

use super::subject::Subject;
use crate::gateway::causes::TooLong;
use crate::routing::Cause;

/// Whom a call goes to where a target refuses for a cause, before the fallbacks.
pub(super) fn part(subject: &Subject<'_>) -> Option<Value> {
    let causes = subject.call.plan.causes.as_deref()?;
    let mut part = Map::new();
    let mut lines = Vec::new();
    for cause in Cause::ALL {
        let ids: Vec<&str> = causes.of(cause).iter().map(|target| &*target.id).collect();
        if !ids.is_empty() {
            lines.push(format!("{}: {}", cause.key(), ids.join(", ")));
            part.insert(cause.key().to_owned(), json!(ids));
        }
    }
    if let Some(skipped) = subject.call.attempts().first_skipped() {
        let TooLong { model, reads, input_tokens, asked_first } = &skipped;
        lines.push(format!(
            "{asked_first} is asked first, since {model} reads {reads} tokens and the request has about {input_tokens}"
        ));
        let shown = json!({"model": model, "reads": reads, "input_tokens": input_tokens, "asked_first": asked_first});
        part.insert("too_long".to_owned(), shown);
    }
    part.insert("summary".to_owned(), lines.join("; ").into());
    Some(part.into())
}
