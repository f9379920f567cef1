//! A call: its phases in order.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::attempt::{Answered, Attempts, Served};
use super::feed::Feed;
use super::meter::{Ended, Meter};
use super::plan::{Request, plan};
use super::prompt::{apply, named};
use super::reply::error_reply;
use super::stream::{Begun, Relay};
use super::{Body, Endpoint, Gateway, Head, Incoming, Live, Parts, Reply, memo, once, pass, shared};
use crate::chat::{AnswerTool, Code, Error, Used};
use crate::routing::{Plan, StoreBodies, Target};
use crate::types::now;
use crate::upstream::Kind;
use crate::usage::Status;
use crate::wire::dialect::AnswerContext;
use crate::wire::openai_embeddings::EmbeddingsRequest;
use crate::wire::{ProviderDialect, anthropic, gemini};

/// A call whose work and plan stand.
pub(super) struct Planned {
    pub(super) parts: Arc<Parts>,
    pub(super) live: Arc<Live>,
    pub(super) incoming: Incoming,
    pub(super) request: Arc<Request>,
    pub(super) plan: Plan,
    pub(super) head: Head,
}

impl Gateway {
    /// Serves one request of a caller whose key is good. Dropping the future cancels the call, which is still accounted.
    pub async fn call(&self, mut incoming: Incoming) -> Reply {
        let parts = self.parts().clone();
        let live = self.live();
        let mut head = Head::new(incoming.id, 200, incoming.endpoint.dialect());
        let mut meter = Box::new(Meter::begin(parts.clone(), &incoming));
        match prepare(&parts, &live, &mut incoming, &mut head, &mut meter) {
            Ok((request, plan)) => {
                let drains = live.drains;
                let planned = Box::new(Planned { parts, live, incoming, request, plan, head });
                if planned.incoming.headers.contains_key(&once::HEADER) {
                    Box::pin(once::serve(planned, meter)).await
                } else if drains {
                    once::outlive(planned, meter, None).await
                } else {
                    shared::serve(planned, meter).await
                }
            }
            Err(error) => refuse(head, meter, error).await,
        }
    }
}

/// Reads the request, renders its prompt, and plans whom to ask: nothing of it waits.
fn prepare(
    parts: &Parts,
    live: &Live,
    incoming: &mut Incoming,
    head: &mut Head,
    meter: &mut Meter,
) -> Result<(Arc<Request>, Plan), Error> {
    if !parts.ledger.healthy() {
        return Err(Error::new(Code::LedgerUnavailable, "the ledger takes no rows just now, so nothing is sent"));
    }
    let (asked, request) = match memo::recall(incoming) {
        Some(request) => (request.asked.model.clone(), request),
        None => read(parts, incoming).map(|(asked, request)| (asked, Arc::new(request)))?,
    };
    incoming.user = incoming.user.take().or_else(|| body_user(&request));
    let known = live.routes.known(&asked);
    note_request(meter, (&asked, known), &request, incoming);
    if let Some(applied) = &request.prompt {
        head.prompt = Some((applied.version.name.clone(), applied.version.version));
    }
    check_key(incoming, &asked, &request)?;
    let plan = plan(&live.routes, &parts.health, incoming, &request, now())?;
    head.route.clone_from(&plan.route);
    let store = plan.store_bodies.unwrap_or(live.store_bodies);
    if store != StoreBodies::None {
        meter.keep_request(request.object().bytes().clone(), store == StoreBodies::Full);
    }
    if let Some(row) = meter.row() {
        row.route.clone_from(&plan.route);
        row.trace = Some(plan.trace());
    }
    Ok((request, plan))
}

/// The work of a request, with the model's name as it was asked for.
pub(super) fn read(parts: &Parts, incoming: &Incoming) -> Result<(String, Request), Error> {
    if incoming.endpoint == Endpoint::Embeddings {
        let request = EmbeddingsRequest::read(incoming.body.clone())?;
        return Ok((request.model.clone(), Request::embeddings(request)));
    }
    if let Endpoint::Pass(passing) = incoming.endpoint {
        let kind = incoming.headers.get(CONTENT_TYPE).map_or(&b"application/json"[..], HeaderValue::as_bytes);
        let (asked, form) = passing.read(incoming.body.clone(), kind)?;
        return Ok((asked.model.clone(), Request::passing(passing, asked, form)));
    }
    if let Endpoint::EmbedContent | Endpoint::EmbedContents = incoming.endpoint {
        let model = incoming.addressed.model.clone().unwrap_or_default();
        let asked = gemini::read_embed(incoming.body.clone(), &model, incoming.endpoint == Endpoint::EmbedContents)?;
        return Ok((model, Request::of(incoming.endpoint, asked, None)));
    }
    let codec = incoming.endpoint.dialect().codec();
    let request = match incoming.endpoint {
        Endpoint::CountTokens => anthropic::read_count_request(incoming.body.clone())?,
        _ => codec.read(incoming.body.clone(), &incoming.addressed)?,
    };
    let asked = request.model.clone();
    let Some(named) = named(&request)? else { return Ok((asked, Request::of(incoming.endpoint, request, None))) };
    let (request, applied) = apply(&parts.prompts, &named, &request, incoming)?;
    let asked = if asked.is_empty() { format!("prompt/{}", applied.version.name) } else { asked };
    Ok((asked, Request::of(incoming.endpoint, request, Some(applied))))
}

fn note_request(meter: &mut Meter, (asked, known): (&str, Option<Arc<str>>), request: &Request, incoming: &Incoming) {
    let Some(row) = meter.row() else { return };
    row.requested_model = known.unwrap_or_else(|| {
        let end = asked.char_indices().nth(256).map_or(asked.len(), |(end, _)| end);
        asked[..end].into()
    });
    row.stream = request.asked.stream;
    row.user.clone_from(&incoming.user);
    if let Some(applied) = &request.prompt {
        row.prompt = Some(applied.version.name.shared());
        row.version = Some(applied.version.version);
    }
}

/// The body's own `user`.
pub(super) fn body_user(request: &Request) -> Option<Arc<str>> {
    let user: String = match request.object().get("user") {
        Some(user) => serde_json::from_str(user).ok()?,
        None => {
            let metadata: Map<String, Value> = serde_json::from_str(request.object().get("metadata")?).ok()?;
            metadata.get("user_id")?.as_str()?.to_owned()
        }
    };
    Some(user.chars().take(256).collect::<String>().into())
}

/// A key may call a name it lists, or a prompt whose model it lists.
pub(super) fn check_key(incoming: &Incoming, asked: &str, request: &Request) -> Result<(), Error> {
    let bare = asked.split('@').next().unwrap_or_default();
    if incoming.key.may_call(asked)
        || incoming.key.may_call(bare)
        || (request.prompt.is_some() && incoming.key.may_call(&request.asked.model))
    {
        return Ok(());
    }
    let name: String = asked.chars().take(200).collect();
    Err(Error::new(Code::ModelNotAllowed, format!("this key may not call `{name}`")).at("model"))
}

impl Planned {
    /// Makes the call of its own, shared with nobody.
    pub(super) async fn direct(mut self: Box<Self>, mut meter: Box<Meter>) -> Reply {
        if self.counts_here() {
            return self.count(meter).await;
        }
        let attempts = self.attempts();
        let served = attempts.run(&mut meter).await;
        self.head.attempts = meter.attempts();
        match served {
            Ok(served) => self.reply(served, meter).await,
            Err(error) => refuse(self.head, meter, error).await,
        }
    }

    /// Whether tokens are to be counted for a target whose provider cannot.
    fn counts_here(&self) -> bool {
        let kind = |target: &Arc<Target>| Some(self.live.clients.get(&target.provider)?.provider().kind);
        let able = match self.request.endpoint {
            Endpoint::CountTokens => Kind::Anthropic,
            Endpoint::GeminiCount => Kind::Gemini,
            _ => return false,
        };
        self.plan.targets.first().and_then(kind) != Some(able)
    }

    /// Counts the request's tokens by estimate, and says so.
    async fn count(mut self: Box<Self>, mut meter: Box<Meter>) -> Reply {
        self.head.emulated.note("count_tokens");
        if let Err(error) = meter.finish(Status::Ok, 200, None).await {
            return error_reply(self.head, &error);
        }
        let tokens = self.request.input_tokens();
        let body = match self.request.endpoint {
            Endpoint::GeminiCount => gemini::count_answer(tokens),
            _ => anthropic::count_answer(tokens),
        };
        Reply { head: self.head, body: Body::Whole(body) }
    }

    /// When the caller's own limit passes.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.incoming.timeout.map(|limit| self.incoming.started + limit)
    }

    pub(super) fn attempts(&self) -> Attempts<'_> {
        let deadline = self.deadline();
        let Self { parts, live, incoming, request, plan, .. } = self;
        Attempts { parts, live, incoming, request, plan, deadline }
    }

    async fn reply(mut self: Box<Self>, served: Served, mut meter: Box<Meter>) -> Reply {
        self.head.model = Some(served.target.id.clone());
        self.head.emulated = served.emulated;
        self.head.repair = served.repair;
        let (body, used) = match served.answer {
            Answered::Whole { body, used, kind, .. } => {
                self.head.kind = kind;
                (body, used)
            }
            Answered::Bytes { kind, answer, first } => {
                self.head.kind = Some(kind);
                let used = self.request.used(Used::default(), 0);
                let pieces = pass::Pieces::new(self.parts, served.target, answer, first, (meter, used));
                return Reply { head: self.head, body: Body::Bytes(Box::pin(pieces.into_stream())) };
            }
            Answered::Stream { dialect, answer_tool, answer, decoder, first } => {
                let told = self.request.told(&self.incoming);
                let keep_usage = self.request.asked.include_usage;
                let feed = self.feed(&served.target, (dialect, answer_tool), keep_usage, &told);
                let begun = Begun {
                    target: served.target,
                    answer,
                    decoder,
                    first,
                    feed,
                    into: self.head.dialect,
                    keep_events: meter.keeps_answer(),
                    passing: self.request.passes().then(|| self.request.used(Used::default(), 0)),
                    told,
                };
                let relay = Relay::new(self.parts.clone(), begun, meter);
                return Reply { head: self.head, body: Body::Stream(Box::pin(relay.into_stream())) };
            }
        };
        meter.attempt_ends(&Ended::well(used));
        meter.keep_answer(&body);
        self.head.cost = meter.cost();
        if let Err(error) = meter.finish(Status::Ok, 200, None).await {
            return refuse(self.head, meter, error).await;
        }
        self.whole(body)
    }

    /// A feed for a stream of `target`'s in a dialect.
    pub(super) fn feed(
        &self,
        target: &Target,
        from: (ProviderDialect, Option<AnswerTool>),
        keep_usage: bool,
        told: &AnswerContext,
    ) -> Feed {
        let client = self.live.clients.get(&target.provider);
        let by_choice = client.is_some_and(|client| self.request.is_counted_by_choice(client));
        self.request.feed(from, keep_usage, told, by_choice)
    }

    /// A whole answer in the form that the caller asked for.
    pub(super) fn whole(self: Box<Self>, body: Bytes) -> Reply {
        if !self.request.asked.stream || self.request.passes() {
            return Reply { head: self.head, body: Body::Whole(body) };
        }
        match self.request.codec().as_stream(&body, &self.request.told(&self.incoming)) {
            Ok(events) => Reply { head: self.head, body: Body::Events(events) },
            Err(error) => error_reply(self.head, &Error::new(Code::UpstreamProtocol, error.to_string())),
        }
    }
}

/// Settles a call that ends in an error, and tells the error.
pub(super) async fn refuse(mut head: Head, mut meter: Box<Meter>, error: Error) -> Reply {
    head.attempts = meter.attempts();
    let settled = meter.finish(Status::Error, error.status(), Some(error.code.text())).await;
    error_reply(head, &settled.err().unwrap_or(error))
}
