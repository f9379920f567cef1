//! OpenAI's models, at OpenAI, at Azure and wherever else they are served.

use super::family::{Capabilities, Choosing, Thinking};
use super::name::{Version, base, first_version, from};
use crate::chat::Effort::{self, High, Low, Max, Medium, Minimal, XHigh};

static CLASSIC: Capabilities = Capabilities {
    thinking: Thinking::Never,
    takes_verbosity: false,
    most_stops: 4,
    ..Capabilities::new("GPT-4o, GPT-4.1 and before, GPT-5 Chat")
};

const REASONING: Capabilities = Capabilities {
    thinking: Thinking::Effort,
    efforts: &[Low, Medium, High],
    thinks_unasked: true,
    choosing: Choosing::None,
    most_stops: 0,
    limit: "max_completion_tokens",
    ..Capabilities::new("o3, o4-mini, codex-mini")
};

static O: Capabilities = Capabilities { takes_verbosity: false, ..REASONING };

static O1: Capabilities = Capabilities { family: "o1", most_stops: 4, ..O };

static O1_MINI: Capabilities =
    Capabilities { family: "o1-mini, o1-preview", thinking: Thinking::Never, efforts: &[], ..O1 };

static DEEP_RESEARCH: Capabilities =
    Capabilities { family: "deep research, GPT-5.1 Chat and later", efforts: &[Medium], ..REASONING };

static GPT_5: Capabilities =
    Capabilities { family: "GPT-5, mini, nano", efforts: &[Minimal, Low, Medium, High], ..REASONING };

static GPT_5_PRO: Capabilities = Capabilities { family: "GPT-5 Pro", efforts: &[High], ..REASONING };

static CODEX: Capabilities = Capabilities { family: "GPT-5 and 5.1 Codex", ..REASONING };

static CODEX_MAX: Capabilities = Capabilities {
    family: "GPT-5.1 Codex Max, 5.2 Codex and later",
    efforts: &[Low, Medium, High, XHigh],
    ..REASONING
};

static GPT_5_1: Capabilities = Capabilities {
    family: "GPT-5.1",
    efforts: &[Effort::None, Low, Medium, High],
    thinks_unasked: false,
    choosing: Choosing::Unthinking,
    ..REASONING
};

static GPT_5_2: Capabilities =
    Capabilities { family: "GPT-5.2 to 5.4", efforts: &[Effort::None, Low, Medium, High, XHigh], ..GPT_5_1 };

static GPT_5_5: Capabilities = Capabilities { family: "GPT-5.5, 5.6", thinks_unasked: true, ..GPT_5_2 };

static PRO: Capabilities =
    Capabilities { family: "GPT-5.2 Pro and later", efforts: &[Medium, High, XHigh], ..REASONING };

static GPT_6: Capabilities =
    Capabilities { family: "GPT-6 and later", efforts: &[Effort::None, Low, Medium, High, XHigh, Max], ..GPT_5_5 };

static GPT_6_ASTRA: Capabilities =
    Capabilities { family: "GPT-6 Astra, GPT-6.1 Sol", efforts: &[Low, Medium, High, XHigh, Max], ..REASONING };

static OSS: Capabilities = Capabilities {
    thinking: Thinking::Effort,
    efforts: &[Low, Medium, High],
    thinks_unasked: true,
    ..Capabilities::new("gpt-oss")
};

/// All families.
#[cfg(test)]
pub(super) static ROWS: [&Capabilities; 16] = [
    &CLASSIC,
    &O,
    &O1,
    &O1_MINI,
    &DEEP_RESEARCH,
    &GPT_5,
    &GPT_5_PRO,
    &CODEX,
    &CODEX_MAX,
    &GPT_5_1,
    &GPT_5_2,
    &GPT_5_5,
    &PRO,
    &GPT_6,
    &GPT_6_ASTRA,
    &OSS,
];

/// What is known of a model of OpenAI's.
pub(super) fn find(name: &str) -> Option<&'static Capabilities> {
    let name = base(name);
    if from(name, "deep-research").is_some() {
        return Some(&DEEP_RESEARCH);
    }
    o_series(name).or_else(|| gpt(name))
}

/// The o-series. Two characters are also other vendors' words, so that they count at a name's beginning only.
fn o_series(name: &str) -> Option<&'static Capabilities> {
    let own = name.rsplit_once("openai.").map_or(name, |(_, own)| own);
    let is = |word: &str| {
        own.strip_prefix(word).is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_alphanumeric()))
    };
    let within = |word| from(name, word).is_some();
    if within("o1-mini") || within("o1-preview") {
        Some(&O1_MINI)
    } else if is("o1") {
        Some(&O1)
    } else if is("o3") || is("o4") || within("o3-mini") || within("o4-mini") || within("codex-mini-latest") {
        Some(&O)
    } else {
        None
    }
}

fn gpt(name: &str) -> Option<&'static Capabilities> {
    if from(name, "gpt-oss").is_some() {
        return Some(&OSS);
    }
    if from(name, "chatgpt-4o").is_some() {
        return Some(&CLASSIC);
    }
    let name = from(name, "gpt-")?;
    // `gpt-4o` and Azure's `gpt-35-turbo`.
    let first = name.trim_start_matches("gpt-").split(['-', '.', '@']).next().unwrap_or_default();
    if ["3", "35", "4", "4o"].contains(&first) {
        return (!["audio", "realtime", "search", "image", "transcribe", "tts"]
            .iter()
            .any(|other| from(name, other).is_some()))
        .then_some(&CLASSIC);
    }
    let Version { major, minor } = first_version(name)?;
    let is = |word| from(name, word).is_some();
    Some(match (major, minor) {
        (0..=4, _) => return None,
        (5, 0) if is("chat") => &CLASSIC,
        (5, 0) if is("pro") => &GPT_5_PRO,
        (5, _) if is("codex") && (minor > 1 || is("max")) => &CODEX_MAX,
        (5, _) if is("codex") => &CODEX,
        (5, 0) => &GPT_5,
        (5, _) if is("chat") => &DEEP_RESEARCH,
        (5, 1) => &GPT_5_1,
        (5, _) if is("pro") => &PRO,
        (5, 2..=4) => &GPT_5_2,
        (5, _) => &GPT_5_5,
        (6, _) if is("astra") || minor == 1 => &GPT_6_ASTRA,
        _ => &GPT_6,
    })
}
