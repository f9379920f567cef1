//! The plan phase: what the rules need to know of a call, and the body that a target gets.

use std::sync::OnceLock;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};

use super::call::body_user;
use super::prompt::Applied;
use super::{Api, Ask};
use crate::chat::{Code, Emulated, Error, Request, Usage};
use crate::routing::{self, Health, KeyFacts, Plan, PromptFacts, Routes, Target};
use crate::types::Timestamp;
use crate::upstream::{Endpoint, Kind, Operation, Provider};
use crate::wire::Speaks;
use crate::wire::dialect::{Asked, Dialect, Told};
use crate::wire::json::{Edits, Object, quoted};
use crate::wire::openai_chat;
use crate::wire::openai_embeddings::EmbeddingsRequest;

/// How many tokens an answer is reckoned at where nothing limits it.
const UNLIMITED_OUTPUT: u64 = 1_024;

/// What a model reads beside the conversation, in any dialect.
const PROMPTING: [&str; 5] = ["system", "instructions", "systemInstruction", "system_instruction", "tools"];

/// What is asked of a provider, whichever it will be.
pub struct Work {
    /// Which route.
    pub api: Api,
    /// The request in its caller's dialect, with its prompt rendered into it.
    pub asked: Asked,
    /// The most tokens to write, for all choices.
    pub max_tokens: Option<u64>,
    /// The prompt that made it, if one did.
    pub prompt: Option<Applied>,
    /// The whole request in the internal form, for targets of other dialects.
    meant: OnceLock<Result<(Request, Emulated), Error>>,
    tokens: OnceLock<u64>,
}

/// What goes to one target.
pub struct Outgoing {
    /// What is asked of it.
    pub operation: Operation,
    /// What it answers in.
    pub speaks: Speaks,
    /// The body.
    pub body: Bytes,
    /// Headers of its dialect.
    pub headers: HeaderMap,
    /// What had to be emulated.
    pub emulated: Emulated,
}

impl Work {
    /// The work of a request in a dialect.
    pub fn of(api: Api, asked: Asked, prompt: Option<Applied>) -> Self {
        let max_tokens = asked.max_tokens.map(|tokens| tokens.saturating_mul(asked.choices));
        Self { api, asked, max_tokens, prompt, meant: OnceLock::new(), tokens: OnceLock::new() }
    }

    /// The work of a request for embeddings.
    pub fn embeddings(request: EmbeddingsRequest) -> Self {
        let EmbeddingsRequest { object, model } = request;
        let asked =
            Asked { object, model, stream: false, include_usage: false, max_tokens: Some(0), choices: 1, prompt: None };
        Self::of(Api::Embeddings, asked, None)
    }

    /// The caller's dialect.
    pub fn dialect(&self) -> &'static dyn Dialect {
        self.api.speaks().dialect()
    }

    /// The body's fields.
    pub fn object(&self) -> &Object {
        &self.asked.object
    }

    /// Estimated tokens of the request.
    pub fn input_tokens(&self) -> u64 {
        *self.tokens.get_or_init(|| {
            let conversation = if self.api == Api::Embeddings { "input" } else { self.dialect().conversation() };
            let texts = PROMPTING.iter().chain([&conversation]).filter_map(|field| self.object().get(field));
            texts.map(openai_chat::estimate_tokens).sum()
        })
    }

    /// What a call is reckoned to use, until it is known.
    pub fn reserve(&self) -> Usage {
        let output = self.max_tokens.unwrap_or(UNLIMITED_OUTPUT);
        Usage { input: self.input_tokens(), output, estimated: true, ..Usage::default() }
    }

    /// What an answer's writer needs to know of the call.
    pub fn told(&self, ask: &Ask) -> Told {
        Told {
            model: self.asked.model.clone(),
            include_usage: self.asked.include_usage,
            input_tokens: self.input_tokens(),
            created: ask.started_at.0 / 1_000_000,
            id: ask.id.text().as_str().to_owned(),
            request: (self.api == Api::Responses).then(|| self.object().clone()),
        }
    }

    /// What `target` gets: the bytes as they came where it speaks the caller's dialect, else a translation.
    ///
    /// # Errors
    /// `unsupported_feature` that names what its dialect cannot say.
    pub fn for_target(&self, ask: &Ask, endpoint: &Endpoint, target: &Target) -> Result<Outgoing, Error> {
        if self.api == Api::Embeddings {
            return self.for_embeddings(endpoint, target);
        }
        let own = self.api.speaks();
        let speaks = spoken(endpoint, own);
        if self.api == Api::CountTokens && speaks != own {
            let message = format!("{} cannot count tokens", endpoint.provider().name);
            return Err(Error::new(Code::UnsupportedFeature, message).at("model"));
        }
        if speaks == own {
            let dialect = self.dialect();
            let mut headers = own_headers(dialect, ask);
            let sampled = || ["temperature", "top_p", "top_k"].iter().any(|name| self.object().get(name).is_some());
            if speaks == Speaks::Anthropic && self.prompt.is_some() && sampled() {
                // A prompt's settings may set what Anthropic's newer versions refuse.
                headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
            }
            let body = dialect.pass(&self.asked, &target.model);
            let operation = if self.api == Api::CountTokens { Operation::CountTokens } else { operation(speaks) };
            return Ok(Outgoing { operation, speaks, body, headers, emulated: Emulated::default() });
        }
        let read = self.meant.get_or_init(|| {
            let mut emulated = Emulated::default();
            Ok((self.dialect().read_request(&self.asked, &mut emulated)?, emulated))
        });
        let (request, mut emulated) = read.clone()?;
        let request = Request { model: target.model.to_string(), include_usage: true, ..request };
        let written = speaks.dialect().write_request(&request, &mut emulated)?;
        let header = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let headers = written.headers.iter().map(header).collect();
        Ok(Outgoing { operation: operation(speaks), speaks, body: written.body, headers, emulated })
    }

    fn for_embeddings(&self, endpoint: &Endpoint, target: &Target) -> Result<Outgoing, Error> {
        let Provider { name, kind, .. } = endpoint.provider();
        if !matches!(kind, Kind::OpenAi | Kind::Azure | Kind::Simulated) {
            let message = format!("the provider {name} has no embeddings in OpenAI's shape; use another model");
            return Err(Error::new(Code::UnsupportedFeature, message).at("model"));
        }
        let mut edits = Edits::default();
        edits.set("model", quoted(&target.model));
        Ok(Outgoing {
            operation: Operation::Embeddings,
            speaks: Speaks::OpenAiChat,
            body: self.object().edited(&edits),
            headers: HeaderMap::new(),
            emulated: Emulated::default(),
        })
    }
}

/// What `endpoint` speaks with a caller whose own dialect is `own`: the same, where it can.
fn spoken(endpoint: &Endpoint, own: Speaks) -> Speaks {
    match endpoint.provider().kind {
        Kind::Anthropic => Speaks::Anthropic,
        Kind::Gemini => Speaks::Gemini,
        Kind::OpenAi | Kind::Azure if own == Speaks::OpenAiResponses && endpoint.has_responses() => own,
        Kind::OpenAi | Kind::Azure if !endpoint.provider().chat => Speaks::OpenAiResponses,
        Kind::OpenAi | Kind::Azure | Kind::Simulated => Speaks::OpenAiChat,
    }
}

fn operation(speaks: Speaks) -> Operation {
    match speaks {
        Speaks::OpenAiChat => Operation::Chat,
        Speaks::OpenAiResponses => Operation::Responses,
        Speaks::Anthropic => Operation::Messages,
        Speaks::Gemini => Operation::Generate,
    }
}

/// The caller's headers that go up with a request in its own dialect.
fn own_headers(dialect: &dyn Dialect, ask: &Ask) -> HeaderMap {
    let value = |name: &&'static str| Some((HeaderName::from_static(name), ask.headers.get(*name)?.clone()));
    dialect.headers().iter().filter_map(value).collect()
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
    let metadata: Option<Map<String, Value>> = if needs.metadata { metadata(work.object()) } else { None };
    let text = if needs.text { work.dialect().last_user_text(work.object()) } else { String::new() };
    let header = |name: &str| ask.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let prompt = work.prompt.as_ref().map(|applied| PromptFacts {
        name: applied.version.name.as_str(),
        version: applied.version.version,
        label: applied.label.as_deref().unwrap_or_default(),
    });
    let key = &ask.key;
    let user = ask.user.clone().or_else(|| body_user(work));
    use_it(&routing::Ask {
        model: &work.asked.model,
        stream: work.asked.stream,
        input_tokens: if needs.input_tokens { work.input_tokens() } else { 0 },
        max_tokens: work.max_tokens,
        has_tools: needs.has_tools && work.object().get("tools").is_some(),
        has_images: needs.has_images && work.dialect().has_images(work.object()),
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
