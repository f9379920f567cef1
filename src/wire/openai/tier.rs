//! Tiers of service.

use crate::chat::Emulated;

/// The tiers that the types of OpenAI's SDKs have; other providers have more.
const TIERS: [&str; 6] = ["auto", "default", "flex", "scale", "priority", "fast"];

/// Whether OpenAI's SDKs know a tier of this name.
#[must_use]
pub fn is_tier(tier: &str) -> bool {
    TIERS.contains(&tier)
}

/// The tier of a request. Anthropic's name for the common tier becomes OpenAI's.
pub fn write_tier<'a>(tier: Option<&'a str>, emulated: &mut Emulated) -> Option<&'a str> {
    if tier != Some("standard_only") {
        return tier;
    }
    emulated.note("service_tier");
    Some("default")
}
