//! The plan phase: what the rules need to know of a call, and the body that a target gets.

use std::sync::OnceLock;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::call::body_user;
use super::prompt::Applied;
use super::{Api, Ask};
use crate::chat::{Error, Usage};
use crate::routing::{self, Health, KeyFacts, Plan, PromptFacts, Routes, Target};
use crate::types::Timestamp;
use crate::wire::json::{Edits, Object, quoted};
use crate::wire::openai_chat::{self, ChatRequest};
use crate::wire::openai_embeddings::EmbeddingsRequest;

/// How many tokens an answer is reckoned at where nothing limits it.
const UNLIMITED_OUTPUT: u64 = 1_024;

/// What is asked of a provider, whichever it will be.
pub struct Work {
    /// Which route.
    pub api: Api,
    /// The body, with its prompt rendered into it.
    pub object: Object,
    /// The model that the request, or its prompt, names.
    pub model: String,
    /// Whether the answer is to be a stream.
    pub stream: bool,
    /// Whether the caller wants usage in the stream.
    pub include_usage: bool,
    /// The most tokens to write, for all choices.
    pub max_tokens: Option<u64>,
    /// The prompt that made it, if one did.
    pub prompt: Option<Applied>,
    tokens: OnceLock<u64>,
}

impl Work {
    /// The work of a chat request.
    pub fn chat(request: ChatRequest, prompt: Option<Applied>) -> Self {
        Self {
            api: Api::Chat,
            max_tokens: request.max_tokens.map(|tokens| tokens.saturating_mul(request.choices)),
            object: request.object,
            model: request.model,
            stream: request.stream,
            include_usage: request.include_usage,
            prompt,
            tokens: OnceLock::new(),
        }
    }

    /// The work of a request for embeddings.
    pub fn embeddings(request: EmbeddingsRequest) -> Self {
        Self {
            api: Api::Embeddings,
            object: request.object,
            model: request.model,
            stream: false,
            include_usage: false,
            max_tokens: Some(0),
            prompt: None,
            tokens: OnceLock::new(),
        }
    }

    /// Estimated tokens of the request.
    pub fn input_tokens(&self) -> u64 {
        *self.tokens.get_or_init(|| openai_chat::estimate_tokens(self.text()))
    }

    /// What a call is reckoned to use, until it is known.
    pub fn reserve(&self) -> Usage {
        let output = self.max_tokens.unwrap_or(UNLIMITED_OUTPUT);
        Usage { input: self.input_tokens(), output, estimated: true, ..Usage::default() }
    }

    /// The body for `target`: as it came but for the model, and for the usage that we always ask for.
    pub fn body_for(&self, target: &Target) -> Bytes {
        let mut edits = Edits::default();
        edits.set("model", quoted(&target.model));
        if self.stream && !self.include_usage {
            let options = self.object.get("stream_options").and_then(|json| serde_json::from_str(json).ok());
            let mut options: Map<String, Value> = options.unwrap_or_default();
            options.insert("include_usage".to_owned(), true.into());
            edits.set("stream_options", Value::from(options).to_string());
        }
        self.object.edited(&edits)
    }

    /// The part of the body that holds the text.
    fn text(&self) -> &str {
        let field = if self.api == Api::Chat { "messages" } else { "input" };
        self.object.get(field).unwrap_or_default()
    }
}

/// Asks the rules whom to call.
///
/// # Errors
/// Where no model of that name is known, or every target is cooling.
pub fn plan(routes: &Routes, health: &Health, ask: &Ask, work: &Work, now: Timestamp) -> Result<Plan, Error> {
    with_facts(routes, ask, work, now, |facts| routes.plan(facts, health, rand::random()).map_err(Error::from))
}

/// Works out what the rules read of a call, and no more.
pub fn with_facts<T>(
    routes: &Routes,
    ask: &Ask,
    work: &Work,
    now: Timestamp,
    use_it: impl FnOnce(&routing::Ask<'_>) -> T,
) -> T {
    let needs = routes.needs();
    let metadata: Option<Map<String, Value>> = if needs.metadata { metadata(&work.object) } else { None };
    let text = if needs.text { openai_chat::last_user_text(work.text()) } else { String::new() };
    let header = |name: &str| ask.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let prompt = work.prompt.as_ref().map(|applied| PromptFacts {
        name: applied.version.name.as_str(),
        version: applied.version.version,
        label: applied.label.as_deref().unwrap_or_default(),
    });
    let key = &ask.key;
    let user = ask.user.clone().or_else(|| body_user(work));
    use_it(&routing::Ask {
        model: &work.model,
        stream: work.stream,
        input_tokens: if needs.input_tokens { work.input_tokens() } else { 0 },
        max_tokens: work.max_tokens,
        has_tools: needs.has_tools && work.object.get("tools").is_some(),
        has_images: needs.has_images && openai_chat::has_images(work.text()),
        text: &text,
        prompt,
        key: KeyFacts { id: &key.id, name: &key.name, project: &key.project, tags: &key.tags },
        metadata: metadata.as_ref(),
        header: &header,
        user: user.as_deref(),
        session: ask.session.as_deref(),
        now,
        budget_used: 0.0,
    })
}

fn metadata(object: &Object) -> Option<Map<String, Value>> {
    serde_json::from_str(object.get("metadata")?).ok()
}
