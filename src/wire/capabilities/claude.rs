//! Anthropic's models.

use super::family::{Capabilities, Choosing, Schemas, Thinking};
use super::name::{Version, first_version, from};
use crate::chat::Effort::{High, Low, Max, Medium, XHigh};

const CLAUDE: Capabilities = Capabilities {
    thinking: Thinking::Never,
    choosing: Choosing::Unthinking,
    schemas: Schemas::None,
    ..Capabilities::new("Claude before 3.7")
};

const BUDGET: Thinking = Thinking::Budget { least: 1_024, most: u64::MAX, off: true };

static BEFORE: Capabilities = CLAUDE;

static V3_7: Capabilities = Capabilities { family: "Claude 3.7 and 4", thinking: BUDGET, ..CLAUDE };

static V4_1: Capabilities = Capabilities { family: "Claude Opus 4.1", choosing: Choosing::One, ..V3_7 };

static V4_5: Capabilities = Capabilities { family: "Claude Sonnet 4.5, Haiku 4.5", schemas: Schemas::Native, ..V4_1 };

static OPUS_4_5: Capabilities = Capabilities { family: "Claude Opus 4.5", efforts: &[Low, Medium, High], ..V4_5 };

static V4_6: Capabilities = Capabilities {
    family: "Claude 4.6",
    thinking: Thinking::Adaptive { budget: true, off: Some("disabled") },
    efforts: &[Low, Medium, High, Max],
    ..V4_5
};

static V4_7: Capabilities = Capabilities {
    family: "Claude Opus 4.7, 4.8",
    thinking: Thinking::Adaptive { budget: false, off: Some("disabled") },
    efforts: &[Low, Medium, High, XHigh, Max],
    choosing: Choosing::None,
    ..V4_6
};

static V5: Capabilities = Capabilities { family: "Claude Opus 5, Sonnet 5, Haiku 5.5", thinks_unasked: true, ..V4_7 };

static SONNET_5_5: Capabilities = Capabilities {
    family: "Claude Sonnet 5.5",
    thinking: Thinking::Adaptive { budget: false, off: Some("between_tools") },
    forced_calls: false,
    ..V5
};

static ALWAYS: Capabilities = Capabilities {
    family: "Claude Fable, Mythos, Opus 5.5",
    thinking: Thinking::Adaptive { budget: false, off: None },
    forced_calls: false,
    ..V5
};

/// All families.
#[cfg(test)]
pub(super) static ROWS: [&Capabilities; 10] =
    [&BEFORE, &V3_7, &V4_1, &V4_5, &OPUS_4_5, &V4_6, &V4_7, &V5, &SONNET_5_5, &ALWAYS];

/// What is known of a Claude, if its name has a version; one yet unknown is taken for the newest before it.
pub(super) fn find(name: &str) -> Option<&'static Capabilities> {
    let name = &name[name.find("claude")?..];
    let is = |word| from(name, word).is_some();
    if is("fable") || is("mythos") {
        return Some(&ALWAYS);
    }
    if is("instant") || name.starts_with("claude-v") {
        return Some(&BEFORE);
    }
    let Version { major, minor } = first_version(name)?;
    Some(match (major, minor) {
        (0..=2, _) | (3, 0..=6) => &BEFORE,
        (3, _) | (4, 0) => &V3_7,
        (4, 1..=4) => &V4_1,
        (4, 5) if is("opus") => &OPUS_4_5,
        (4, 5) => &V4_5,
        (4, 6) => &V4_6,
        (4, _) => &V4_7,
        (5, 0..=4) => &V5,
        _ if is("haiku") => &V5,
        _ if is("sonnet") => &SONNET_5_5,
        _ => &ALWAYS,
    })
}
