//! The plan phase: what the rules need to know of a call, and the body that a target gets.

use std::sync::OnceLock;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};

use super::call::body_user;
use super::feed::Feed;
use super::prompt::Applied;
use super::{Api, Ask};
use crate::chat::{Code, Emulated, Error, Request, Usage, Used};
use crate::routing::{self, Health, KeyFacts, Plan, PromptFacts, Routes, Target};
use crate::types::Timestamp;
use crate::upstream::{Endpoint, Kind, Operation, Provider, Server};
use crate::wire::dialect::{Asked, BadAnswer, Dialect, Told};
use crate::wire::form::Form;
use crate::wire::json::{Edits, Object, quoted};
use crate::wire::openai_embeddings::EmbeddingsRequest;
use crate::wire::passing::{self, Passing};
use crate::wire::{Speaks, gemini, openai_chat, openai_embeddings};

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
    /// The form that it came as, if it did.
    pub form: Option<Form>,
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
        Self { api, asked, max_tokens, prompt, form: None, meant: OnceLock::new(), tokens: OnceLock::new() }
    }

    /// The work of a request that passes.
    pub fn passing(passing: Passing, asked: Asked, form: Option<Form>) -> Self {
        Self { form, ..Self::of(Api::Pass(passing), asked, None) }
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

    /// The field that holds what the model reads.
    pub fn conversation(&self) -> &'static str {
        match self.api {
            Api::Embeddings => "input",
            Api::EmbedContent => "content",
            Api::EmbedContents => "requests",
            Api::Pass(passing) => passing.input(),
            _ => self.dialect().conversation(),
        }
    }

    /// The text that rules see: the user's last words.
    fn text(&self) -> String {
        let Api::Pass(_) = self.api else { return self.dialect().last_user_text(self.object()) };
        let named = |name: &str| self.object().get(name).and_then(|json| serde_json::from_str(json).ok());
        // A reranker's documents are no words of the user's.
        named("query").or_else(|| named(self.conversation())).unwrap_or_default()
    }

    /// Whether an answer may be shared with an equal request.
    pub fn may_be_cached(&self) -> bool {
        match self.api {
            Api::Pass(passing) => passing.may_be_cached(&self.asked),
            _ => true,
        }
    }

    /// Whether it passes, so that nothing of its answers is put together or told anew.
    pub fn passes(&self) -> bool {
        matches!(self.api, Api::Pass(_))
    }

    /// A feed for a stream of answers to this in a provider's dialect.
    pub fn feed(&self, from: Speaks, keep_usage: bool, told: &Told, by_choice: bool) -> Feed {
        match self.api {
            Api::Pass(passing) => Feed::Same(passing.listener(keep_usage, by_choice)),
            Api::Chat if by_choice && from == Speaks::OpenAiChat => {
                Feed::Same(Box::new(openai_chat::Listener::new(keep_usage).by_choice(true)))
            }
            _ => Feed::new(from, self.api.speaks(), keep_usage, told),
        }
    }

    /// Whether `endpoint` counts the tokens of each of several answers by itself.
    pub fn is_counted_by_choice(&self, endpoint: &Endpoint) -> bool {
        self.asked.choices > 1 && endpoint.provider().server == Server::LlamaCpp
    }

    /// The usage of a whole answer from `endpoint`, which told `usage`.
    pub fn usage_of(&self, endpoint: &Endpoint, body: &Bytes, usage: Usage) -> Usage {
        if !self.is_counted_by_choice(endpoint) {
            return usage;
        }
        match Object::read_answer(body.clone()) {
            Ok(answer) => openai_chat::of_all_choices(&answer, usage, self.asked.max_tokens),
            Err(_) => usage,
        }
    }

    /// What an answer used, by what it told and by what is known without it.
    pub fn used(&self, told: Used, estimated_output: u64) -> Used {
        let Api::Pass(passing) = self.api else { return told };
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
            texts.map(openai_chat::estimate_tokens).sum()
        })
    }

    /// What a call is reckoned to use, until it is known.
    pub fn reserve(&self) -> Used {
        let output = self.max_tokens.unwrap_or(UNLIMITED_OUTPUT);
        let usage = Usage { input: self.input_tokens(), output, estimated: true, ..Usage::default() };
        match self.api {
            Api::Pass(passing) => Used { usage: Some(usage), units: passing.asked_units(&self.asked) },
            _ => usage.into(),
        }
    }

    /// What an answer's writer needs to know of the call.
    pub fn told(&self, ask: &Ask) -> Told {
        Told {
            model: self.asked.model.clone(),
            include_usage: self.asked.include_usage,
            input_tokens: self.input_tokens(),
            created: ask.started_at.0 / 1_000_000,
            id: ask.id.text().as_str().to_owned(),
        }
    }

    /// What `target` gets: the bytes as they came where it speaks the caller's dialect, else a translation.
    ///
    /// # Errors
    /// `unsupported_feature` that names what its dialect cannot say.
    pub fn for_target(&self, ask: &Ask, endpoint: &Endpoint, target: &Target) -> Result<Outgoing, Error> {
        match self.api {
            Api::Embeddings | Api::EmbedContent | Api::EmbedContents => return self.for_embeddings(endpoint, target),
            Api::Pass(passing) => return self.for_passing(passing, ask, endpoint, target),
            _ => {}
        }
        let own = self.api.speaks();
        let speaks = spoken(endpoint, own);
        if matches!(self.api, Api::CountTokens | Api::GeminiCount) && speaks != own {
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
            let body = adapted(dialect.pass(&self.asked, &target.model), endpoint, target);
            let operation = match self.api {
                Api::CountTokens => Operation::CountTokens,
                Api::GeminiCount => Operation::GeminiCount,
                _ => operation(speaks),
            };
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
        let body = adapted(written.body, endpoint, target);
        Ok(Outgoing { operation: operation(speaks), speaks, body, headers, emulated })
    }

    fn for_embeddings(&self, endpoint: &Endpoint, target: &Target) -> Result<Outgoing, Error> {
        let Provider { name, kind, .. } = endpoint.provider();
        let (own, is_batch) = (self.api.speaks(), self.api == Api::EmbedContents);
        let speaks = match kind {
            Kind::OpenAi | Kind::Azure | Kind::Simulated => Speaks::OpenAiChat,
            Kind::Gemini => Speaks::Gemini,
            _ => {
                let message = format!("the provider {name} has no embeddings; use another model");
                return Err(Error::new(Code::UnsupportedFeature, message).at("model"));
            }
        };
        let mut emulated = Emulated::default();
        let (operation, body) = match (own, speaks) {
            (Speaks::Gemini, Speaks::Gemini) => {
                let operation = if is_batch { Operation::EmbedContents } else { Operation::EmbedContent };
                (operation, gemini::pass_embed(&self.asked, &target.model, is_batch))
            }
            (Speaks::Gemini, _) => {
                let embed = gemini::embed_of(&self.asked, is_batch, &mut emulated)?;
                (Operation::Embeddings, openai_embeddings::write_embed(&embed, &target.model))
            }
            (_, Speaks::Gemini) => {
                let embed = openai_embeddings::embed_of(self.object())?;
                (Operation::EmbedContents, gemini::write_embed(&embed, &target.model))
            }
            _ => {
                let mut edits = Edits::default();
                edits.set("model", quoted(&target.model));
                if !endpoint.has_base64() {
                    edits.remove("encoding_format");
                }
                (Operation::Embeddings, self.object().edited(&edits))
            }
        };
        Ok(Outgoing { operation, speaks, body, headers: HeaderMap::new(), emulated })
    }

    /// The vectors of a whole answer in the caller's dialect, and their tokens where it tells them.
    pub fn vectors(&self, body: Bytes, from: Speaks) -> Result<(Bytes, Option<Usage>), BadAnswer> {
        let wanted = openai_embeddings::encoding(self.object());
        match (self.api.speaks(), from) {
            (Speaks::Gemini, Speaks::Gemini) => {
                let usage = gemini::read_vectors(&body)?.usage;
                Ok((body, usage))
            }
            (Speaks::Gemini, _) => {
                let vectors = openai_embeddings::read_vectors(&body)?;
                Ok((gemini::write_vectors(&vectors, self.api == Api::EmbedContents), vectors.usage))
            }
            (_, Speaks::Gemini) => {
                let vectors = gemini::read_vectors(&body)?;
                let (model, tokens) = (&self.asked.model, self.input_tokens());
                Ok((openai_embeddings::write_vectors(&vectors, wanted, model, tokens), vectors.usage))
            }
            _ => openai_embeddings::hear(&body, wanted),
        }
    }

    fn for_passing(
        &self,
        passing: Passing,
        ask: &Ask,
        endpoint: &Endpoint,
        target: &Target,
    ) -> Result<Outgoing, Error> {
        let Provider { name, kind, .. } = endpoint.provider();
        if !matches!(kind, Kind::OpenAi | Kind::Azure | Kind::Simulated) {
            return Err(passing::unsupported(passing, name));
        }
        let mut headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("*/*"))]);
        if self.form.is_some()
            && let Some(kind) = ask.headers.get(CONTENT_TYPE)
        {
            headers.insert(CONTENT_TYPE, kind.clone());
        }
        let body = passing.pass(&self.asked, self.form.as_ref(), &target.model);
        Ok(Outgoing {
            operation: Operation::Pass(passing),
            speaks: Speaks::OpenAiChat,
            body: if passing == Passing::Completions { adapted(body, endpoint, target) } else { body },
            headers,
            emulated: Emulated::default(),
        })
    }
}

/// A body that names its adapters, for llama.cpp: where none is named it takes those of the request before, whose cached
/// prompt it reuses (llama.cpp #26207). What the caller names stays.
fn adapted(body: Bytes, endpoint: &Endpoint, target: &Target) -> Bytes {
    if endpoint.provider().server != Server::LlamaCpp {
        return body;
    }
    let Some(object) = Object::read(body.clone()).ok().filter(|object| object.get("lora").is_none()) else {
        return body;
    };
    let mut edits = Edits::default();
    edits.set("lora", target.adapter.map_or_else(|| "[]".to_owned(), |id| format!("[{{\"id\":{id},\"scale\":1.0}}]")));
    object.edited(&edits)
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
    let text = if needs.text { work.text() } else { String::new() };
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
