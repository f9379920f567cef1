//! Models of other vendors, where their APIs refuse what OpenAI's take.

use super::family::{Capabilities, Thinking};
use super::name::from;

static GROK: Capabilities = Capabilities {
    thinking: Thinking::Never,
    most_stops: 0,
    ..Capabilities::new("Grok 4, 4 Fast, 4.1 Fast, Code Fast")
};

/// All families.
#[cfg(test)]
pub(super) static ROWS: [&Capabilities; 1] = [&GROK];

/// What is known of a model of another vendor. xAI's Grok 4 thinks as it sees fit and refuses an effort.
pub(super) fn find(name: &str) -> Option<&'static Capabilities> {
    let name = from(name, "grok-")?;
    let is_dated = name.strip_prefix("grok-4").is_some_and(|rest| matches!(rest, "" | "-0709" | "-latest"));
    let is_fast =
        ["grok-4-fast", "grok-4-1-fast", "grok-4.1-fast", "grok-code-fast"].iter().any(|fast| name.starts_with(fast));
    (is_dated || is_fast).then_some(&GROK)
}
