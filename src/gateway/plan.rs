//! The plan phase: what the rules need to know of a call, and the body that a target gets.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};

use super::call::body_user;
use super::feed::Feed;
use super::prompt::Applied;
use super::{Endpoint, Incoming};
use crate::cache::CacheKey;
use crate::chat::{self, AnswerTool, Code, Emulated, Error, Format, SEEN, Structured, Usage, Used, sort_proofs};
use crate::routing::{self, CacheScope, Health, KeyFacts, Plan, PromptFacts, Routes, Target};
use crate::types::Timestamp;
use crate::upstream::{Kind, Operation, Provider, ProviderClient, Server};
use crate::wire::dialect::{AnswerContext, Asked, ClientCodec, ProviderCodec};
use crate::wire::form::Form;
use crate::wire::json::{Edits, Object};
use crate::wire::openai_embeddings::EmbeddingsRequest;
use crate::wire::passing::{self, Passing};
use crate::wire::token_estimate::estimate_tokens;
use crate::wire::{DialectId, ProviderDialect, openai_chat};

/// How many tokens an answer is reckoned at where nothing limits it.
const UNLIMITED_OUTPUT: u64 = 1_024;

/// What a model reads beside the conversation, in any dialect.
const PROMPTING: [&str; 5] = ["system", "instructions", "systemInstruction", "system_instruction", "tools"];

/// What is asked of a provider, whichever it will be.
pub struct Request {
    /// Which route.
    pub endpoint: Endpoint,
    /// The request in its caller's dialect, with its prompt rendered into it.
    pub asked: Asked,
    /// The most tokens to write, for all choices.
    pub max_tokens: Option<u64>,
    /// The prompt that made it, if one did.
    pub prompt: Option<Applied>,
    /// The form that it came as, if it did.
    pub form: Option<Form>,
    /// The whole request in the internal form, for targets of other dialects.
    meant: OnceLock<Result<(chat::Request, Emulated), Error>>,
    tokens: OnceLock<u64>,
    /// The first key that was asked of it.
    pub(super) keyed: OnceLock<Keyed>,
}

/// A key of the cache, and for whom and what it is.
pub struct Keyed {
    pub(super) scope: CacheScope,
    pub(super) owner: Arc<str>,
    pub(super) provider: Arc<str>,
    pub(super) model: Arc<str>,
    pub(super) key: CacheKey,
}

/// What goes to one target.
pub struct UpstreamRequest {
    /// What is asked of it.
    pub operation: Operation,
    /// What it answers in.
    pub dialect: ProviderDialect,
    /// The body.
    pub body: Bytes,
    /// Headers of its dialect.
    pub headers: HeaderMap,
    /// What had to be emulated.
    pub emulated: Emulated,
    /// The tool by which it answers, where it is not asked for the wanted form itself.
    pub answer_tool: Option<AnswerTool>,
}

impl Request {
    /// The work of a request in a dialect.
    pub fn of(endpoint: Endpoint, asked: Asked, prompt: Option<Applied>) -> Self {
        let max_tokens = asked.max_tokens.map(|tokens| tokens.saturating_mul(asked.choices));
        let (meant, tokens, keyed) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Self { endpoint, asked, max_tokens, prompt, form: None, meant, tokens, keyed }
    }

    /// The work of a request that passes.
    pub fn passing(passing: Passing, asked: Asked, form: Option<Form>) -> Self {
        Self { form, ..Self::of(Endpoint::Pass(passing), asked, None) }
    }

    /// The work of a request for embeddings.
    pub fn embeddings(request: EmbeddingsRequest) -> Self {
        let EmbeddingsRequest { object, model } = request;
        let asked =
            Asked { object, model, stream: false, include_usage: false, max_tokens: Some(0), choices: 1, prompt: None };
        Self::of(Endpoint::Embeddings, asked, None)
    }

    /// The caller's dialect.
    pub fn codec(&self) -> &'static dyn ClientCodec {
        self.endpoint.dialect().codec()
    }

    /// The body's fields.
    pub fn object(&self) -> &Object {
        &self.asked.object
    }

    /// The field that holds what the model reads.
    pub fn conversation(&self) -> &'static str {
        match self.endpoint {
            Endpoint::Embeddings => "input",
            Endpoint::EmbedContent => "content",
            Endpoint::EmbedContents => "requests",
            Endpoint::Pass(passing) => passing.input(),
            _ => self.codec().conversation(),
        }
    }

    /// The text that rules see: the user's last words.
    fn text(&self) -> String {
        let Endpoint::Pass(_) = self.endpoint else { return self.codec().last_user_text(self.object()) };
        let named = |name: &str| self.object().get(name).and_then(|json| serde_json::from_str(json).ok());
        // A reranker's documents are no words of the user's.
        named("query").or_else(|| named(self.conversation())).unwrap_or_default()
    }

    /// Whether an answer may be shared with an equal request.
    pub fn may_be_cached(&self) -> bool {
        match self.endpoint {
            Endpoint::Pass(passing) => passing.may_be_cached(&self.asked),
            _ => true,
        }
    }

    /// Whether it passes, so that nothing of its answers is put together or told anew.
    pub fn passes(&self) -> bool {
        matches!(self.endpoint, Endpoint::Pass(_))
    }

    /// A feed for a stream of answers to this in a provider's dialect.
    pub fn feed(
        &self,
        (from, tool): (ProviderDialect, Option<AnswerTool>),
        keep_usage: bool,
        told: &AnswerContext,
        by_choice: bool,
    ) -> Feed {
        match self.endpoint {
            Endpoint::Pass(passing) => Feed::Same(passing.tap(keep_usage, by_choice)),
            Endpoint::Chat if by_choice && tool.is_none() && from == DialectId::OpenAiChat.into() => {
                Feed::Same(Box::new(openai_chat::StreamTap::new(keep_usage).by_choice(true)))
            }
            _ => Feed::new((from, self.endpoint.dialect()), tool, keep_usage, told),
        }
    }

    /// Whether `endpoint` counts the tokens of each of several answers by itself.
    pub fn is_counted_by_choice(&self, client: &ProviderClient) -> bool {
        self.asked.choices > 1 && client.provider().server == Server::LlamaCpp
    }

    /// The usage of a whole answer from `endpoint`, which told `usage`.
    pub fn usage_of(&self, client: &ProviderClient, body: &Bytes, usage: Usage) -> Usage {
        if !self.is_counted_by_choice(client) {
            return usage;
        }
        match Object::read_answer(body.clone()) {
            Ok(answer) => openai_chat::of_all_choices(&answer, usage, self.asked.max_tokens),
            Err(_) => usage,
        }
    }

    /// What an answer used, by what it told and by what is known without it.
    pub fn used(&self, told: Used, estimated_output: u64) -> Used {
        let Endpoint::Pass(passing) = self.endpoint else { return told };
        let estimated = || {
            let (input, output) = (self.input_tokens(), estimated_output);
            passing.has_tokens().then(|| Usage { input, output, estimated: true, ..Usage::default() })
        };
        Used { usage: told.usage.or_else(estimated), units: told.units.or(passing.asked_units(&self.asked)) }
    }

    /// Estimated tokens of the request.
    pub fn input_tokens(&self) -> u64 {
        *self.tokens.get_or_init(|| {
            let conversation = self.conversation();
            let texts = PROMPTING.iter().chain([&conversation]).filter_map(|field| self.object().get(field));
            texts.map(estimate_tokens).sum()
        })
    }

    /// What a call is reckoned to use, until it is known.
    pub fn reserve(&self) -> Used {
        let output = self.max_tokens.unwrap_or(UNLIMITED_OUTPUT);
        let usage = Usage { input: self.input_tokens(), output, estimated: true, ..Usage::default() };
        match self.endpoint {
            Endpoint::Pass(passing) => Used { usage: Some(usage), units: passing.asked_units(&self.asked) },
            _ => usage.into(),
        }
    }

    /// What an answer's writer needs to know of the call.
    pub fn told(&self, incoming: &Incoming) -> AnswerContext {
        AnswerContext {
            model: self.asked.model.clone(),
            include_usage: self.asked.include_usage,
            input_tokens: self.input_tokens(),
            created: incoming.started_at.0 / 1_000_000,
            id: incoming.id.text().as_str().to_owned(),
            request: (self.endpoint == Endpoint::Responses).then(|| self.object().clone()),
        }
    }

    /// What `target` gets: the bytes as they came where it speaks the caller's dialect, else a translation.
    ///
    /// # Errors
    /// `unsupported_feature` that names what its dialect cannot say.
    pub fn for_target(
        &self,
        incoming: &Incoming,
        client: &ProviderClient,
        target: &Target,
    ) -> Result<UpstreamRequest, Error> {
        match self.endpoint {
            Endpoint::Embeddings | Endpoint::EmbedContent | Endpoint::EmbedContents => {
                return self.for_embeddings(client, target);
            }
            Endpoint::Pass(passing) => return self.for_passing(passing, incoming, client, target),
            _ => {}
        }
        let own = ProviderDialect::from(self.endpoint.dialect());
        let dialect = spoken(client, self.endpoint.dialect());
        if matches!(self.endpoint, Endpoint::CountTokens | Endpoint::GeminiCount) && dialect != own {
            let message = format!("{} cannot count tokens", client.provider().name);
            return Err(Error::new(Code::UnsupportedFeature, message).at("model"));
        }
        // Only a configuration that says so keeps a request from going to its own dialect as it came.
        let stands_in = |how: Structured| how != Structured::Native && wants_form(self.format().as_ref());
        // And a proof of reasoning that the caller was told by another provider, which this one would refuse.
        let marked = || memchr::memmem::find(self.object().bytes(), SEEN).is_some();
        let counts = matches!(self.endpoint, Endpoint::CountTokens | Endpoint::GeminiCount);
        let passes = counts || !(target.structured.is_some_and(stands_in) || marked());
        if dialect == own && passes {
            let codec = self.codec();
            let mut headers = own_headers(codec, incoming);
            let sampled = || ["temperature", "top_p", "top_k"].iter().any(|name| self.object().get(name).is_some());
            if self.endpoint.dialect() == DialectId::Anthropic && self.prompt.is_some() && sampled() {
                // A prompt's settings may set what Anthropic's newer versions refuse.
                headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
            }
            let body = adapted(codec.pass(&self.asked, &target.model), client, target);
            let operation = match self.endpoint {
                Endpoint::CountTokens => Operation::CountTokens,
                Endpoint::GeminiCount => Operation::GeminiCount,
                _ => operation(dialect),
            };
            return Ok(UpstreamRequest {
                operation,
                dialect,
                body,
                headers,
                emulated: Emulated::default(),
                answer_tool: None,
            });
        }
        let mut upstream_request = self.translated(dialect, client, target)?;
        if dialect == own {
            upstream_request.headers.extend(own_headers(self.codec(), incoming));
        }
        Ok(upstream_request)
    }

    /// The request in another dialect, or in its own with a tool to answer by.
    fn translated(
        &self,
        dialect: ProviderDialect,
        client: &ProviderClient,
        target: &Target,
    ) -> Result<UpstreamRequest, Error> {
        let read = self.meant.get_or_init(|| {
            let mut emulated = Emulated::default();
            Ok((self.codec().read_request(&self.asked, &mut emulated)?, emulated))
        });
        let (request, mut emulated) = read.clone()?;
        let mut request = chat::Request { model: target.model.to_string(), include_usage: true, ..request };
        let makers = (self.codec().maker(), dialect.codec().maker());
        sort_proofs(&mut request.messages, makers, &mut emulated);
        let answer_tool = enforced(&mut request, dialect.codec(), target, &mut emulated)?;
        let written = dialect.codec().write_request(&request, &mut emulated).map_err(|error| {
            // The caller forced no tool: it is the format that asks for one.
            let ours = answer_tool.is_some() && error.param.as_deref() == Some("tool_choice");
            if ours { no_form(target, "it answers by a tool only, and thinks").at("response_format") } else { error }
        })?;
        let header = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let headers = written.headers.iter().map(header).collect();
        let body = adapted(written.body, client, target);
        Ok(UpstreamRequest { operation: operation(dialect), dialect, body, headers, emulated, answer_tool })
    }

    /// The form that the answer is to have.
    pub fn format(&self) -> Option<Format> {
        match self.endpoint {
            Endpoint::Chat | Endpoint::Responses | Endpoint::Messages | Endpoint::Generate => {
                self.codec().format(self.object())
            }
            _ => None,
        }
    }

    fn for_passing(
        &self,
        passing: Passing,
        incoming: &Incoming,
        client: &ProviderClient,
        target: &Target,
    ) -> Result<UpstreamRequest, Error> {
        let Provider { name, kind, .. } = client.provider();
        if !matches!(kind, Kind::OpenAi | Kind::Azure | Kind::Simulated) {
            return Err(passing::unsupported(passing, name));
        }
        let mut headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("*/*"))]);
        if self.form.is_some()
            && let Some(kind) = incoming.headers.get(CONTENT_TYPE)
        {
            headers.insert(CONTENT_TYPE, kind.clone());
        }
        let body = passing.pass(&self.asked, self.form.as_ref(), &target.model);
        Ok(UpstreamRequest {
            operation: Operation::Pass(passing),
            dialect: DialectId::OpenAiChat.into(),
            body: if passing == Passing::Completions { adapted(body, client, target) } else { body },
            headers,
            emulated: Emulated::default(),
            answer_tool: None,
        })
    }
}

/// A body that names its adapters, for llama.cpp: where none is named it takes those of the request before, whose cached
/// prompt it reuses (llama.cpp #26207). What the caller names stays.
fn adapted(body: Bytes, client: &ProviderClient, target: &Target) -> Bytes {
    if client.provider().server != Server::LlamaCpp {
        return body;
    }
    let Some(object) = Object::read(body.clone()).ok().filter(|object| object.get("lora").is_none()) else {
        return body;
    };
    let mut edits = Edits::default();
    edits.set("lora", target.adapter.map_or_else(|| "[]".to_owned(), |id| format!("[{{\"id\":{id},\"scale\":1.0}}]")));
    object.edited(&edits)
}

fn wants_form(format: Option<&Format>) -> bool {
    format.is_some_and(|format| *format != Format::Text)
}

/// Sees to it that the target keeps to the wanted form: by itself, or by a tool that takes its place.
fn enforced(
    request: &mut chat::Request,
    codec: &dyn ProviderCodec,
    target: &Target,
    emulated: &mut Emulated,
) -> Result<Option<AnswerTool>, Error> {
    if !wants_form(request.format.as_ref()) {
        return Ok(None);
    }
    match target.structured.unwrap_or_else(|| codec.structured(request)) {
        Structured::Native => Ok(None),
        Structured::Tool => {
            emulated.note("response_format");
            AnswerTool::put(request)
        }
        Structured::None => Err(no_form(target, "its configuration says so").at("response_format")),
    }
}

fn no_form(target: &Target, why: &str) -> Error {
    let message = format!("{} cannot be held to the form that `response_format` wants: {why}", target.name);
    Error::new(Code::UnsupportedFeature, message)
}

/// What `endpoint` speaks with a caller whose own dialect is `own`: the same, where it can.
fn spoken(client: &ProviderClient, own: DialectId) -> ProviderDialect {
    let dialect = match client.provider().kind {
        Kind::Bedrock => return ProviderDialect::Bedrock,
        Kind::Anthropic => DialectId::Anthropic,
        Kind::Gemini => DialectId::Gemini,
        Kind::OpenAi | Kind::Azure if own == DialectId::OpenAiResponses && client.has_responses() => own,
        Kind::OpenAi | Kind::Azure if !client.provider().chat => DialectId::OpenAiResponses,
        Kind::OpenAi | Kind::Azure | Kind::Simulated => DialectId::OpenAiChat,
    };
    dialect.into()
}

fn operation(dialect: ProviderDialect) -> Operation {
    match dialect {
        ProviderDialect::Client(DialectId::OpenAiChat) => Operation::Chat,
        ProviderDialect::Client(DialectId::OpenAiResponses) => Operation::Responses,
        ProviderDialect::Client(DialectId::Anthropic) => Operation::Messages,
        ProviderDialect::Client(DialectId::Gemini) => Operation::Generate,
        ProviderDialect::Bedrock => Operation::Converse,
    }
}

/// The caller's headers that go up with a request in its own dialect.
fn own_headers(codec: &dyn ClientCodec, incoming: &Incoming) -> HeaderMap {
    let value = |name: &&'static str| Some((HeaderName::from_static(name), incoming.headers.get(*name)?.clone()));
    codec.headers().iter().filter_map(value).collect()
}

/// Asks the rules whom to call.
///
/// # Errors
/// Where no model of that name is known, or every target is cooling.
pub fn plan(
    routes: &Routes,
    health: &Health,
    incoming: &Incoming,
    request: &Request,
    now: Timestamp,
) -> Result<Plan, Error> {
    with_facts(routes, incoming, request, now, |facts| routes.plan(facts, health, rand::random()).map_err(Error::from))
}

/// Works out what the rules read of a call, and no more.
pub fn with_facts<T>(
    routes: &Routes,
    incoming: &Incoming,
    request: &Request,
    now: Timestamp,
    use_it: impl FnOnce(&routing::Facts<'_>) -> T,
) -> T {
    let needs = routes.needs();
    let metadata: Option<Map<String, Value>> = if needs.metadata { metadata(request.object()) } else { None };
    let text = if needs.text { request.text() } else { String::new() };
    let header = |name: &str| incoming.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let prompt = request.prompt.as_ref().map(|applied| PromptFacts {
        name: applied.version.name.as_str(),
        version: applied.version.version,
        label: applied.label.as_deref().unwrap_or_default(),
    });
    let key = &incoming.key;
    let user = incoming.user.clone().or_else(|| body_user(request));
    use_it(&routing::Facts {
        model: &request.asked.model,
        stream: request.asked.stream,
        input_tokens: if needs.input_tokens { request.input_tokens() } else { 0 },
        max_tokens: request.max_tokens,
        has_tools: needs.has_tools && request.object().get("tools").is_some(),
        has_images: needs.has_images && request.codec().has_images(request.object()),
        text: &text,
        prompt,
        key: KeyFacts { id: &key.id, name: &key.name, project: &key.project, tags: &key.tags },
        metadata: metadata.as_ref(),
        header: &header,
        user: user.as_deref(),
        session: incoming.session.as_deref(),
        now,
        budget_used: 0.0,
    })
}

fn metadata(object: &Object) -> Option<Map<String, Value>> {
    serde_json::from_str(object.get("metadata")?).ok()
}
