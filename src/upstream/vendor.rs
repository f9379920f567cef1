//! The vendors whose addresses we know: where they are, and what their servers lack. A vendor is a row here, not code.

/// One vendor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vendor {
    /// The vendor's name, also in the price book.
    pub name: &'static str,
    /// The host of its addresses.
    pub host: &'static str,
    /// The base URL.
    pub base_url: &'static str,
    /// Whether the vendor speaks OpenAI's Responses beside Chat Completions.
    pub responses: bool,
    /// Fields of OpenAI's Chat Completions that the vendor's servers refuse or have other words for. A translation leaves
    /// them out.
    pub lacks: &'static [&'static str],
    /// Whether an id of a tool's call has nine letters and digits there.
    pub short_ids: bool,
}

/// What is OpenAI's own service, and no part of the question: for vendors whose reference says nothing of these.
const SERVICE: &[&str] = &["metadata", "prompt_cache_key", "service_tier", "store", "verbosity"];

const fn row(name: &'static str, host: &'static str, base_url: &'static str, responses: bool) -> Vendor {
    Vendor { name, host, base_url, responses, lacks: SERVICE, short_ids: false }
}

impl Vendor {
    const fn lacking(self, lacks: &'static [&'static str]) -> Self {
        Self { lacks, ..self }
    }

    const fn with_short_ids(self) -> Self {
        Self { short_ids: true, ..self }
    }
}

/// All vendors, with the page that says what each lacks where one was found (read in November 2026). No page was found for
/// xAI, DeepSeek, Together, Fireworks and DeepInfra, nor one of Groq's about these fields.
pub const VENDORS: &[Vendor] = &[
    row("openai", "api.openai.com", "https://api.openai.com/v1", true).lacking(&[]),
    // docs.anthropic.com/en/api/openai-sdk: `metadata`, `service_tier`, `store` and `user` are ignored.
    row("anthropic", "api.anthropic.com", "https://api.anthropic.com/v1", false).lacking(&[
        "metadata",
        "prompt_cache_key",
        "service_tier",
        "store",
        "user",
        "verbosity",
    ]),
    // ed-donner/agents#45, liliMozi/openhanako#394: unknown names are a 400, `metadata` and `store` among them.
    row("gemini", "generativelanguage.googleapis.com", "https://generativelanguage.googleapis.com/v1beta", false),
    // mistralai/client-python, ChatCompletionRequest: `metadata`, `prompt_cache_key` and `parallel_tool_calls` are there. Other
    // names are a 422 `extra_forbidden` (mistralai/platform-docs-public#7).
    row("mistral", "api.mistral.ai", "https://api.mistral.ai/v1", false)
        .lacking(&["service_tier", "store", "user", "verbosity"])
        .with_short_ids(),
    row("groq", "api.groq.com", "https://api.groq.com/openai/v1", true),
    row("xai", "api.x.ai", "https://api.x.ai/v1", true),
    row("deepseek", "api.deepseek.com", "https://api.deepseek.com/v1", false),
    row("together", "api.together.xyz", "https://api.together.xyz/v1", false),
    row("fireworks", "api.fireworks.ai", "https://api.fireworks.ai/inference/v1", true),
    // openrouter.ai/docs, ChatGenerationParams: `metadata`, `user` and `parallel_tool_calls` are there.
    row("openrouter", "openrouter.ai", "https://openrouter.ai/api/v1", false).lacking(&[
        "prompt_cache_key",
        "service_tier",
        "store",
        "verbosity",
    ]),
    // docs.cohere.com/docs/compatibility-api, Unsupported parameters; lobehub leaves out `user` as well.
    row("cohere", "api.cohere.ai", "https://api.cohere.ai/compatibility/v1", false).lacking(MOST),
    // perplexityai/perplexity-py, CompletionCreateParams has none of these but `parallel_tool_calls`, which
    // docs.getbifrost.ai/providers/supported-providers/perplexity reports as dropped.
    row("perplexity", "api.perplexity.ai", "https://api.perplexity.ai", false).lacking(MOST),
    // inference-docs.cerebras.ai/resources/openai, hexdocs.pm/req_llm/cerebras.html: `parallel_tool_calls` and `service_tier`
    // are a 400; `user` is there.
    row("cerebras", "api.cerebras.ai", "https://api.cerebras.ai/v1", false).lacking(&[
        "metadata",
        "parallel_tool_calls",
        "prompt_cache_key",
        "service_tier",
        "store",
        "verbosity",
    ]),
    row("deepinfra", "api.deepinfra.com", "https://api.deepinfra.com/v1/openai", false),
];

/// All of OpenAI's own service, and what some vendors have no word for.
const MOST: &[&str] =
    &["metadata", "parallel_tool_calls", "prompt_cache_key", "service_tier", "store", "user", "verbosity"];

/// The vendor that `base_url` belongs to, by its host, since a provider may have any name.
#[must_use]
pub fn vendor_at(base_url: &str) -> Option<&'static Vendor> {
    let host = base_url.split("://").nth(1)?.split(['/', ':']).next()?;
    VENDORS.iter().find(|vendor| vendor.host == host)
}

/// The vendor of this name.
#[must_use]
pub fn vendor_named(name: &str) -> Option<&'static Vendor> {
    VENDORS.iter().find(|vendor| vendor.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_vendor_is_found_by_its_own_address() {
        for vendor in VENDORS {
            assert_eq!(vendor_at(vendor.base_url), Some(vendor));
            assert_eq!(vendor_named(vendor.name), Some(vendor));
        }
        assert_eq!(vendor_at("https://api.openai.com.evil.example/v1"), None);
        assert_eq!(vendor_at("http://127.0.0.1:1/api.openai.com"), None);
    }
}
