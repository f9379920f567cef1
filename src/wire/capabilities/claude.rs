//! Anthropic's models.

use super::family::{Capabilities, Choosing, LateSystem, Schemas, Thinking};
use super::name::{Version, first_version, from};
use crate::chat::Effort::{High, Low, Max, Medium, XHigh};

const CLAUDE: Capabilities = Capabilities {
    thinking: Thinking::Never,
    choosing: Choosing::Unthinking,
    schemas: Schemas::None,
    late_system: LateSystem::Nowhere,
    ..Capabilities::new("Claude before 3.7")
};

/// A budget below the most that a model writes.
const fn below(most_output: u64) -> Thinking {
    Thinking::Budget { least: 1_024, most: most_output - 1, off: true }
}

static BEFORE: Capabilities = CLAUDE;

static V3_7: Capabilities = Capabilities { family: "Claude 3.7, Sonnet 4", thinking: below(64_000), ..CLAUDE };

static OPUS_4: Capabilities = Capabilities { family: "Claude Opus 4", thinking: below(32_000), ..V3_7 };

static V4_1: Capabilities = Capabilities { family: "Claude Opus 4.1", choosing: Choosing::One, ..OPUS_4 };

static V4_5: Capabilities =
    Capabilities { family: "Claude Sonnet 4.5, Haiku 4.5", thinking: below(64_000), schemas: Schemas::Native, ..V4_1 };

static OPUS_4_5: Capabilities = Capabilities { family: "Claude Opus 4.5", efforts: &[Low, Medium, High], ..V4_5 };

static V4_6: Capabilities = Capabilities {
    family: "Claude 4.6",
    thinking: Thinking::Adaptive { budget: true, off: Some("disabled") },
    efforts: &[Low, Medium, High, Max],
    ..V4_5
};

static V4_7: Capabilities = Capabilities {
    family: "Claude Opus 4.7",
    thinking: Thinking::Adaptive { budget: false, off: Some("disabled") },
    efforts: &[Low, Medium, High, XHigh, Max],
    choosing: Choosing::None,
    ..V4_6
};

static V4_8: Capabilities = Capabilities { family: "Claude Opus 4.8", late_system: LateSystem::BehindUser, ..V4_7 };

static OPUS_5: Capabilities = Capabilities { family: "Claude Opus 5", thinks_unasked: true, ..V4_8 };

static V5: Capabilities = Capabilities { family: "Claude Sonnet 5, Haiku 5.5", thinks_unasked: true, ..V4_7 };

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
    ..OPUS_5
};

/// All families.
#[cfg(test)]
pub(super) static ROWS: [&Capabilities; 13] =
    [&BEFORE, &V3_7, &OPUS_4, &V4_1, &V4_5, &OPUS_4_5, &V4_6, &V4_7, &V4_8, &OPUS_5, &V5, &SONNET_5_5, &ALWAYS];

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
        (4, 0) if is("opus") => &OPUS_4,
        (3, _) | (4, 0) => &V3_7,
        (4, 1..=4) => &V4_1,
        (4, 5) if is("opus") => &OPUS_4_5,
        (4, 5) => &V4_5,
        (4, 6) => &V4_6,
        (4, 7) => &V4_7,
        (4, _) => &V4_8,
        (5, 0..=4) if is("opus") => &OPUS_5,
        (5, 0..=4) => &V5,
        _ if is("haiku") => &V5,
        _ if is("sonnet") => &SONNET_5_5,
        _ => &ALWAYS,
    })
}
