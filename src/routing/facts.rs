//! What is known of a call when it is routed.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::examples::Similarity;
use super::figures::Figures;
use crate::types::Timestamp;

/// One call, as rules see it. What [`Needs`] does not name may be left empty.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// The model that the request or its prompt names; may be empty.
    pub model: &'a str,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// Estimated tokens of the request.
    pub input_tokens: u64,
    /// The limit of tokens to write, where the request sets one.
    pub max_tokens: Option<u64>,
    /// Whether the request brings tools.
    pub has_tools: bool,
    /// Whether the request holds images.
    pub has_images: bool,
    /// The last user message's text.
    pub text: &'a str,
    /// The stored prompt that the call uses.
    pub prompt: Option<PromptFacts<'a>>,
    /// The virtual key.
    pub key: KeyFacts<'a>,
    /// The request's `metadata`.
    pub metadata: Option<&'a Map<String, Value>>,
    /// Looks a request header up, by its name in lower case.
    pub header: &'a (dyn Fn(&str) -> Option<String> + Sync),
    /// The user that the request names.
    pub user: Option<&'a str>,
    /// The session that the request names.
    pub session: Option<&'a str>,
    /// The time of the call.
    pub now: Timestamp,
    /// The used part of the tightest budget, 0 to 1.
    pub budget_used: f64,
    /// How hard the conversation looks, 0 to 1.
    pub complexity: f64,
    /// What a route reads whose strategy needs more; without them, all targets are alike.
    pub figures: Option<&'a Figures<'a>>,
    /// How similar the text is to the set of example sentences of this name.
    pub similar: &'a (dyn Fn(&str) -> Similarity + Sync),
}

/// The stored prompt of a call.
#[derive(Clone, Copy, Debug)]
pub struct PromptFacts<'a> {
    /// The name.
    pub name: &'a str,
    /// The version.
    pub version: u32,
    /// The label it was asked for by; empty where it was asked for by version.
    pub label: &'a str,
}

/// The virtual key of a call.
#[derive(Clone, Copy, Debug)]
pub struct KeyFacts<'a> {
    /// The public id.
    pub id: &'a str,
    /// The name.
    pub name: &'a str,
    /// The project.
    pub project: &'a str,
    /// The tags.
    pub tags: &'a BTreeMap<String, String>,
}

/// Which facts the compiled rules read, so that a call works out no others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// `request.text`.
    pub text: bool,
    /// `request.input_tokens`.
    pub input_tokens: bool,
    /// `request.max_tokens`.
    pub max_tokens: bool,
    /// `request.has_tools`.
    pub has_tools: bool,
    /// `request.has_images`.
    pub has_images: bool,
    /// `metadata`.
    pub metadata: bool,
    /// `header(…)`.
    pub headers: bool,
    /// `prompt`.
    pub prompt: bool,
    /// `budget_used`.
    pub budget_used: bool,
    /// `complexity`.
    pub complexity: bool,
    /// `similar_to(…)`.
    pub similar: bool,
    /// The user, for a route that is sticky by it.
    pub user: bool,
    /// The session, for a route that is sticky by it.
    pub session: bool,
}
