//! Which family a model is of: Converse is one for all, but what it carries beside the conversation is each family's own.

use crate::chat::Request;
use crate::wire::capabilities::{Capabilities, Schemas};

/// A family of models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// Anthropic's, up to the fourth generation: they have no schemas for answers.
    Claude4,
    /// Anthropic's, from 4.5 on.
    Claude,
    /// Amazon's Nova, which does not think.
    Nova,
    /// Amazon's Nova, from the second on.
    Nova2,
    /// OpenAI's.
    OpenAi,
    /// Mistral's.
    Mistral,
    /// Models of vendors whose models have no schemas for answers.
    Plain,
    /// Models of other vendors.
    Other,
    /// The name does not show the family: an application's own profile, or a custom model.
    Hidden,
}

/// Vendors by the beginning of their models' names.
const VENDORS: [(&str, Family); 9] = [
    ("anthropic.", Family::Claude),
    ("amazon.nova-2", Family::Nova2),
    ("amazon.nova", Family::Nova),
    ("openai.", Family::OpenAi),
    ("mistral.", Family::Mistral),
    ("meta.", Family::Plain),
    ("amazon.titan", Family::Plain),
    ("ai21.", Family::Plain),
    ("cohere.", Family::Plain),
];

impl Family {
    /// The family of a request's model.
    pub(super) fn of_request(request: &Request) -> Self {
        match request.base_model.as_deref() {
            // A base may be named as its maker names it.
            Some(base) if base.starts_with("claude") => Self::of(&format!("anthropic.{base}")),
            base => Self::of(base.unwrap_or(&request.model)),
        }
    }

    /// The family of a model, by its name, its inference profile's or its ARN.
    pub(super) fn of(model: &str) -> Self {
        let mut name = model;
        if let Some(arn) = model.strip_prefix("arn:") {
            match arn.rsplit_once('/') {
                Some((kind, last)) if kind.ends_with(":inference-profile") || kind.ends_with(":foundation-model") => {
                    name = last;
                }
                _ => return Self::Hidden,
            }
        }
        // Before the vendor's name there may be where the model is served from: `us.`, `eu.`, `global.`.
        let begins = |start: &str| {
            name.starts_with(start) || name.split_once('.').is_some_and(|(_, rest)| rest.starts_with(start))
        };
        let Some((_, family)) = VENDORS.iter().find(|(start, _)| begins(start)) else {
            return if name.contains('.') { Self::Other } else { Self::Hidden };
        };
        let has_schemas = || Capabilities::named(name).schemas != Schemas::None;
        if *family == Self::Claude && !has_schemas() { Self::Claude4 } else { *family }
    }

    /// Whether the family is one of Anthropic's.
    pub(super) fn is_claude(self) -> bool {
        matches!(self, Self::Claude4 | Self::Claude)
    }

    /// Whether its answers, and calls of tools, can be held to a schema.
    pub(super) fn has_schemas(self) -> bool {
        !matches!(self, Self::Claude4 | Self::Nova | Self::Nova2 | Self::Plain)
    }

    /// Whether a mark in the conversation has all before it cached.
    pub(super) fn has_cache(self) -> bool {
        self.is_claude() || matches!(self, Self::Nova | Self::Nova2 | Self::Hidden)
    }

    /// Whether a tool's result may say that the tool failed.
    pub(super) fn takes_failures(self) -> bool {
        self.has_cache()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_known_by_every_name_of_its_models() {
        for (model, family) in [
            ("anthropic.claude-3-5-haiku-20241022-v1:0", Family::Claude4),
            ("us.anthropic.claude-sonnet-4-20250514-v1:0", Family::Claude4),
            ("eu.anthropic.claude-sonnet-4-5-20250929-v1:0", Family::Claude),
            ("global.anthropic.claude-opus-4-6-v1", Family::Claude),
            ("anthropic.claude-sonnet-5", Family::Claude),
            ("amazon.nova-pro-v1:0", Family::Nova),
            ("us.amazon.nova-2-lite-v1:0", Family::Nova2),
            ("openai.gpt-oss-120b-1:0", Family::OpenAi),
            ("us.meta.llama3-1-8b-instruct-v1:0", Family::Plain),
            ("qwen.qwen3-32b-v1:0", Family::Other),
            (
                "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-opus-4-1-20250805-v1:0",
                Family::Claude4,
            ),
            ("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0", Family::Nova),
            ("arn:aws:bedrock:us-east-1:1:application-inference-profile/abc123", Family::Hidden),
            ("abc123", Family::Hidden),
        ] {
            assert_eq!(Family::of(model), family, "{model}");
        }
    }
}
