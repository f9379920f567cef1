//! What goes up to one target: the caller's bytes where both speak one dialect, else a translation.

use std::borrow::Cow;
use std::sync::LazyLock;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use memchr::memmem::Finder;

use super::incoming::Incoming;
use super::price::known_as;
use super::rendering::Rendering;
use super::words;
use crate::chat::{
    self, AnswerTool, Code, Emulated, Error, Format, MadeBy, SEEN, Structured, Tier, ToolNames, Undo, sort_proofs,
};
use crate::routing::Target;
use crate::upstream::{Operation, ProviderClient};
use crate::usage::PriceBook;
use crate::wire::dialect::{ClientCodec, ProviderCodec};
use crate::wire::endpoint::Task;
use crate::wire::json::{Edits, Object};
use crate::wire::passing::{self, Passing};
use crate::wire::{DialectId, ProviderDialect};

/// Finds the mark of a proof in a body; made once, since making it costs more than a search.
static MARK: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(SEEN));

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
    /// What of it its answer has to take back.
    pub undo: Undo,
    /// The tier of service that it is asked for.
    pub tier: Tier,
}

impl Rendering {
    /// What `target` gets: the bytes as they came where it speaks the caller's dialect, else a translation.
    ///
    /// # Errors
    /// `unsupported_feature` that names what its dialect cannot say.
    pub fn for_target(
        &self,
        incoming: &Incoming,
        (client, target): (&ProviderClient, &Target),
        prices: &PriceBook,
    ) -> Result<UpstreamRequest, Error> {
        match self.endpoint.task() {
            Task::Embed { .. } => return self.for_embeddings(client, target),
            Task::Pass(passing) => return self.for_passing(passing, incoming, client, target),
            Task::Converse | Task::Count(_) => {}
        }
        let counts = self.counts();
        let own = ProviderDialect::from(self.endpoint.dialect());
        let dialect = client.dialect_for(self.endpoint.dialect(), &target.model);
        if counts.is_some() && dialect != own {
            let message = format!("{} cannot count tokens", client.provider().name);
            return Err(Error::new(Code::UnsupportedFeature, message).at("model"));
        }
        if self.goes_as_it_came(dialect, target) {
            let (codec, mut emulated) = (self.codec(), Emulated::default());
            let mut headers = own_headers(codec, incoming);
            let sampled = || ["temperature", "top_p", "top_k"].iter().any(|name| self.object().get(name).is_some());
            if self.endpoint.dialect() == DialectId::Anthropic && self.brought.is_some() && sampled() {
                // A prompt's settings may set what Anthropic's newer versions refuse.
                headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
            }
            let asked = match &self.brought {
                Some(brought) => words::fit_brought((&self.asked, brought), (client, target), dialect, &mut emulated)?,
                None => Cow::Borrowed(&self.asked),
            };
            let body = adapted(codec.pass(&asked, &target.model), client, target);
            let operation = counts.unwrap_or_else(|| Operation::in_dialect(dialect));
            let tier = self.asked_tier(client);
            return Ok(UpstreamRequest { operation, dialect, body, headers, emulated, undo: Undo::default(), tier });
        }
        let mut upstream_request = self.translated(dialect, client, target, prices)?;
        if dialect == own {
            upstream_request.headers.extend(own_headers(self.codec(), incoming));
        }
        Ok(upstream_request)
    }

    /// Whether a target of `dialect` gets the caller's own bytes: where that is the caller's dialect, nearly always.
    pub fn goes_as_it_came(&self, dialect: ProviderDialect, target: &Target) -> bool {
        if dialect != self.endpoint.dialect().into() {
            return false;
        }
        // Only a configuration that says so keeps a request from going to its own dialect as it came.
        let stands_in = |how: Structured| how != Structured::Native && wants_form(self.format().as_ref());
        // And a proof of reasoning that the caller has from another provider, which this one would refuse.
        let marked = || MARK.find(self.object().bytes()).is_some();
        let is_beyond = self.brought.as_ref().is_some_and(|brought| brought.is_beyond());
        self.counts().is_some() || !(is_beyond || target.structured.is_some_and(stands_in) || marked())
    }

    /// The tier that the request names in its caller's own dialect.
    pub fn asked_tier(&self, client: &ProviderClient) -> Tier {
        let dialect = self.endpoint.dialect();
        // Fast mode has a price of its own.
        let is_fast = |speed: &str| !matches!(speed, "null" | "\"standard\"");
        if dialect == DialectId::Anthropic && self.object().get("speed").is_some_and(is_fast) {
            return Tier::Other;
        }
        let Some(named) = ["service_tier", "serviceTier"].iter().find_map(|name| self.object().get(name)) else {
            return Tier::Unnamed;
        };
        // Vendors that speak OpenAI's dialect and have no tiers take no notice.
        let lacks = client.provider().vendor.is_some_and(|vendor| vendor.lacks.contains(&"service_tier"));
        let is_openais = matches!(dialect, DialectId::OpenAiChat | DialectId::OpenAiResponses);
        if lacks && is_openais { Tier::Unnamed } else { Tier::of_json(Some(named)) }
    }

    /// The request in another dialect, or in its own with a tool to answer by.
    ///
    /// # Errors
    /// `unsupported_feature` that names what its dialect cannot say.
    pub fn translated(
        &self,
        dialect: ProviderDialect,
        client: &ProviderClient,
        target: &Target,
        prices: &PriceBook,
    ) -> Result<UpstreamRequest, Error> {
        let (request, mut emulated) = self.internal().clone()?;
        let base_model = target.base_model.as_deref().map(str::to_owned);
        let mut request = chat::Request { model: target.model.to_string(), base_model, include_usage: true, ..request };
        if let Some(asked) = request.max_tokens
            && let Some(most) = known_as(prices, client.provider(), target).and_then(|about| about.max_output_tokens)
            && asked > most
        {
            // A provider refuses more than its model writes.
            emulated.note("max_tokens");
            request.max_tokens = Some(most);
        }
        let by = MadeBy { maker: dialect.codec().maker(), provider: target.provider.clone() };
        sort_proofs(&mut request.messages, (self.codec().maker(), &by), &mut emulated);
        words::fit(&mut request, client.provider(), dialect, &mut emulated);
        // A caller of the target's own dialect knows which names that takes.
        let names = match dialect == self.endpoint.dialect().into() {
            true => ToolNames::default(),
            false => ToolNames::fit(&mut request, dialect.codec().tool_names(), &mut emulated),
        };
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
        let body = adapted(self.with_foreign(written.body, dialect)?, client, target);
        let operation = Operation::in_dialect(dialect);
        // A tier that the target does not have was refused, or is left out and noted.
        let tier = request.service_tier.as_deref().map_or(Tier::Unnamed, Tier::named);
        Ok(UpstreamRequest {
            operation,
            dialect,
            body,
            headers,
            emulated,
            undo: Undo { answer_tool, names, logprobs: false },
            tier,
        })
    }

    /// The body with those settings of a prompt that only servers of OpenAI's chat know.
    fn with_foreign(&self, body: Bytes, dialect: ProviderDialect) -> Result<Bytes, Error> {
        let Some(brought) = &self.brought else { return Ok(body) };
        let mut foreign = brought.foreign(dialect == DialectId::OpenAiChat.into())?.peekable();
        if foreign.peek().is_none() {
            return Ok(body);
        }
        let mut edits = Edits::default();
        foreign.for_each(|(name, json)| edits.set(name, json.to_owned()));
        // The bounds of requests are the caller's; this is of our own making.
        Ok(Object::read_answer(body)?.edited(&edits))
    }

    fn for_passing(
        &self,
        passing: Passing,
        incoming: &Incoming,
        client: &ProviderClient,
        target: &Target,
    ) -> Result<UpstreamRequest, Error> {
        if !client.provider().kind.row().passes {
            return Err(passing::unsupported(passing, &client.provider().name));
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
            undo: Undo::default(),
            tier: Tier::Unnamed,
        })
    }
}

/// A body that names its adapters, for llama.cpp: the one that the configuration names, else those that the server started with.
/// Where none is named it takes those of the request before, whose cached prompt it reuses (llama.cpp #26207). What the caller
/// names stays.
fn adapted(body: Bytes, client: &ProviderClient, target: &Target) -> Bytes {
    if !client.provider().server.row().lora_field {
        return body;
    }
    let Some(object) = Object::read_answer(body.clone()).ok().filter(|object| object.get("lora").is_none()) else {
        return body;
    };
    let named = target.adapter.map(|id| format!("[{{\"id\":{id},\"scale\":1.0}}]"));
    let Some(lora) = named.or_else(|| client.own_adapters().map(|own| own.to_string())) else { return body };
    let mut edits = Edits::default();
    edits.set("lora", lora);
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

/// The caller's headers that go up with a request in its own dialect.
fn own_headers(codec: &dyn ClientCodec, incoming: &Incoming) -> HeaderMap {
    let value = |name: &&'static str| Some((HeaderName::from_static(name), incoming.headers.get(*name)?.clone()));
    codec.headers().iter().filter_map(value).collect()
}
