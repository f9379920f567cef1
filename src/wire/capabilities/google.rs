//! Google's Gemini.

use super::family::{Capabilities, Choosing, Schemas, Thinking};
use super::name::{Version, first_version, from};
use crate::chat::Effort::{High, Low, Medium, Minimal};

const GEMINI: Capabilities = Capabilities {
    thinking: Thinking::Effort,
    thinks_unasked: true,
    most_stops: 5,
    ..Capabilities::new("Gemini 3 Pro")
};

const fn budget(least: u64, most: u64, off: bool) -> Thinking {
    Thinking::Budget { least, most, off }
}

static BEFORE: Capabilities = Capabilities {
    family: "Gemini 2.0 and before",
    thinking: Thinking::Never,
    thinks_unasked: false,
    schemas: Schemas::Alone,
    ..GEMINI
};

static PRO_2_5: Capabilities =
    Capabilities { family: "Gemini 2.5 Pro", thinking: budget(128, 32_768, false), schemas: Schemas::Alone, ..GEMINI };

static FLASH_2_5: Capabilities =
    Capabilities { family: "Gemini 2.5 Flash", thinking: budget(1, 24_576, true), ..PRO_2_5 };

static LITE_2_5: Capabilities = Capabilities {
    family: "Gemini 2.5 Flash-Lite",
    thinking: budget(512, 24_576, true),
    thinks_unasked: false,
    ..PRO_2_5
};

static PRO_3: Capabilities = Capabilities { efforts: &[Low, High], ..GEMINI };

static PRO_3_1: Capabilities = Capabilities { family: "Gemini 3.1 Pro", efforts: &[Low, Medium, High], ..GEMINI };

static FLASH_3: Capabilities =
    Capabilities { family: "Gemini 3 to 3.5 Flash, 3.1 Flash-Lite", efforts: &[Minimal, Low, Medium, High], ..GEMINI };

static FLASH_3_6: Capabilities =
    Capabilities { family: "Gemini 3.6 Flash, 3.5 Flash-Lite", choosing: Choosing::None, ..FLASH_3 };

static NEWEST: Capabilities =
    Capabilities { family: "Gemini 3.7 Flash and later", efforts: &[Low, Medium, High], ..FLASH_3_6 };

/// All families.
#[cfg(test)]
pub(super) static ROWS: [&Capabilities; 9] =
    [&BEFORE, &PRO_2_5, &FLASH_2_5, &LITE_2_5, &PRO_3, &PRO_3_1, &FLASH_3, &FLASH_3_6, &NEWEST];

/// What is known of one of Google's Geminis. A version yet unknown is taken for the newest before it.
pub(super) fn find(name: &str) -> Option<&'static Capabilities> {
    let name = from(name, "gemini")?;
    let is = |word| from(name, word).is_some();
    if ["omni", "robotics", "embedding", "gemma"].into_iter().any(is) {
        return None;
    }
    let Some(Version { major, minor }) = first_version(name) else { return Some(unversioned(name)) };
    if (major, minor) < (2, 5) || ((major, minor) == (2, 5) && (is("image") || is("tts"))) {
        return Some(&BEFORE);
    }
    let is_lite = is("lite");
    Some(match (major, minor) {
        (2, _) if is("pro") => &PRO_2_5,
        (2, _) if is_lite => &LITE_2_5,
        (2, _) => &FLASH_2_5,
        (3, 0) if is("pro") => &PRO_3,
        (3, _) if is("pro") => &PRO_3_1,
        (3, 0..=4) => &FLASH_3,
        (3, 5) if !is_lite => &FLASH_3,
        (3, 5 | 6) => &FLASH_3_6,
        (3, _) if is_lite => &FLASH_3_6,
        _ => &NEWEST,
    })
}

/// Names that stand for whatever is newest; `gemini-pro` alone was the first.
fn unversioned(name: &str) -> &'static Capabilities {
    let is = |word| from(name, word).is_some();
    match (is("latest"), is("pro"), is("lite")) {
        (true, true, _) => &PRO_3_1,
        (true, _, true) => &FLASH_3_6,
        (true, ..) => &NEWEST,
        (false, true, _) => &BEFORE,
        _ if is("exp") => &BEFORE,
        _ => &FLASH_3,
    }
}
