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
use super::plan::{Work, plan};
use super::prompt::{apply, named};
use super::stream::{Begun, Relay};
use super::{Api, Ask, Body, Gateway, Head, Live, Parts, Reply, memo, once, pass, shared};
use crate::chat::{AnswerTool, Code, Error, Used};
use crate::routing::{Plan, StoreBodies, Target};
use crate::types::{RequestId, now};
use crate::upstream::Kind;
use crate::usage::Status;
use crate::wire::dialect::Told;
use crate::wire::openai_embeddings::EmbeddingsRequest;
use crate::wire::{Spoken, anthropic, gemini};

/// A call whose work and plan stand.
pub(super) struct Planned {
    pub(super) parts: Arc<Parts>,
    pub(super) live: Arc<Live>,
    pub(super) ask: Ask,
    pub(super) work: Arc<Work>,
    pub(super) plan: Plan,
    pub(super) head: Head,
}

impl Gateway {
    /// Serves one request of a caller whose key is good. Dropping the future cancels the call, which is still accounted.
    pub async fn call(&self, mut ask: Ask) -> Reply {
        let parts = self.parts().clone();
        let live = self.live();
        let mut head = Head::new(ask.id, 200, ask.api.speaks());
        let mut meter = Box::new(Meter::begin(parts.clone(), &ask));
        match prepare(&parts, &live, &mut ask, &mut head, &mut meter) {
            Ok((work, plan)) => {
                let drains = live.drains;
                let planned = Box::new(Planned { parts, live, ask, work, plan, head });
                if planned.ask.headers.contains_key(&once::HEADER) {
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
    ask: &mut Ask,
    head: &mut Head,
    meter: &mut Meter,
) -> Result<(Arc<Work>, Plan), Error> {
    if !parts.ledger.healthy() {
        return Err(Error::new(Code::LedgerUnavailable, "the ledger takes no rows just now, so nothing is sent"));
    }
    let (asked, work) = match memo::recall(ask) {
        Some(work) => (work.asked.model.clone(), work),
        None => read(parts, ask).map(|(asked, work)| (asked, Arc::new(work)))?,
    };
    ask.user = ask.user.take().or_else(|| body_user(&work));
    let known = live.routes.known(&asked);
    note_request(meter, (&asked, known), &work, ask);
    if let Some(applied) = &work.prompt {
        head.prompt = Some((applied.version.name.clone(), applied.version.version));
    }
    check_key(ask, &asked, &work)?;
    let plan = plan(&live.routes, &parts.health, ask, &work, now())?;
    head.route.clone_from(&plan.route);
    let store = plan.store_bodies.unwrap_or(live.store_bodies);
    if store != StoreBodies::None {
        meter.keep_request(work.object().bytes().clone(), store == StoreBodies::Full);
    }
    if let Some(row) = meter.row() {
        row.route.clone_from(&plan.route);
        row.trace = Some(plan.trace());
    }
    Ok((work, plan))
}

/// The work of a request, with the model's name as it was asked for.
pub(super) fn read(parts: &Parts, ask: &Ask) -> Result<(String, Work), Error> {
    if ask.api == Api::Embeddings {
        let request = EmbeddingsRequest::read(ask.body.clone())?;
        return Ok((request.model.clone(), Work::embeddings(request)));
    }
    if let Api::Pass(passing) = ask.api {
        let kind = ask.headers.get(CONTENT_TYPE).map_or(&b"application/json"[..], HeaderValue::as_bytes);
        let (asked, form) = passing.read(ask.body.clone(), kind)?;
        return Ok((asked.model.clone(), Work::passing(passing, asked, form)));
    }
    if let Api::EmbedContent | Api::EmbedContents = ask.api {
        let model = ask.addressed.model.clone().unwrap_or_default();
        let asked = gemini::read_embed(ask.body.clone(), &model, ask.api == Api::EmbedContents)?;
        return Ok((model, Work::of(ask.api, asked, None)));
    }
    let dialect = ask.api.speaks().dialect();
    let request = match ask.api {
        Api::CountTokens => anthropic::read_count_request(ask.body.clone())?,
        _ => dialect.read(ask.body.clone(), &ask.addressed)?,
    };
    let asked = request.model.clone();
    let Some(named) = named(&request)? else { return Ok((asked, Work::of(ask.api, request, None))) };
    let (request, applied) = apply(&parts.prompts, &named, &request, ask)?;
    let asked = if asked.is_empty() { format!("prompt/{}", applied.version.name) } else { asked };
    Ok((asked, Work::of(ask.api, request, Some(applied))))
}

fn note_request(meter: &mut Meter, (asked, known): (&str, Option<Arc<str>>), work: &Work, ask: &Ask) {
    let Some(row) = meter.row() else { return };
    row.requested_model = known.unwrap_or_else(|| {
        let end = asked.char_indices().nth(256).map_or(asked.len(), |(end, _)| end);
        asked[..end].into()
    });
    row.stream = work.asked.stream;
    row.user.clone_from(&ask.user);
    if let Some(applied) = &work.prompt {
        row.prompt = Some(applied.version.name.shared());
        row.version = Some(applied.version.version);
    }
}

/// The body's own `user`.
pub(super) fn body_user(work: &Work) -> Option<Arc<str>> {
    let user: String = match work.object().get("user") {
        Some(user) => serde_json::from_str(user).ok()?,
        None => {
            let metadata: Map<String, Value> = serde_json::from_str(work.object().get("metadata")?).ok()?;
            metadata.get("user_id")?.as_str()?.to_owned()
        }
    };
    Some(user.chars().take(256).collect::<String>().into())
}

/// A key may call a name it lists, or a prompt whose model it lists.
pub(super) fn check_key(ask: &Ask, asked: &str, work: &Work) -> Result<(), Error> {
    let bare = asked.split('@').next().unwrap_or_default();
    if ask.key.may_call(asked)
        || ask.key.may_call(bare)
        || (work.prompt.is_some() && ask.key.may_call(&work.asked.model))
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
        let kind = |target: &Arc<Target>| Some(self.live.endpoints.get(&target.provider)?.provider().kind);
        let able = match self.work.api {
            Api::CountTokens => Kind::Anthropic,
            Api::GeminiCount => Kind::Gemini,
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
        let tokens = self.work.input_tokens();
        let body = match self.work.api {
            Api::GeminiCount => gemini::count_answer(tokens),
            _ => anthropic::count_answer(tokens),
        };
        Reply { head: self.head, body: Body::Whole(body) }
    }

    /// When the caller's own limit passes.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.ask.timeout.map(|limit| self.ask.started + limit)
    }

    pub(super) fn attempts(&self) -> Attempts<'_> {
        let deadline = self.deadline();
        let Self { parts, live, ask, work, plan, .. } = self;
        Attempts { parts, live, ask, work, plan, deadline }
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
                let used = self.work.used(Used::default(), 0);
                let pieces = pass::Pieces::new(self.parts, served.target, answer, first, (meter, used));
                return Reply { head: self.head, body: Body::Bytes(Box::pin(pieces.into_stream())) };
            }
            Answered::Stream { speaks, answer_tool, answer, decoder, first } => {
                let told = self.work.told(&self.ask);
                let keep_usage = self.work.asked.include_usage;
                let feed = self.feed(&served.target, (speaks, answer_tool), keep_usage, &told);
                let begun = Begun {
                    target: served.target,
                    answer,
                    decoder,
                    first,
                    feed,
                    into: self.head.speaks,
                    keep_events: meter.keeps_answer(),
                    passing: self.work.passes().then(|| self.work.used(Used::default(), 0)),
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
        from: (Spoken, Option<AnswerTool>),
        keep_usage: bool,
        told: &Told,
    ) -> Feed {
        let endpoint = self.live.endpoints.get(&target.provider);
        let by_choice = endpoint.is_some_and(|endpoint| self.work.is_counted_by_choice(endpoint));
        self.work.feed(from, keep_usage, told, by_choice)
    }

    /// A whole answer in the form that the caller asked for.
    pub(super) fn whole(self: Box<Self>, body: Bytes) -> Reply {
        if !self.work.asked.stream || self.work.passes() {
            return Reply { head: self.head, body: Body::Whole(body) };
        }
        match self.work.dialect().as_stream(&body, &self.work.told(&self.ask)) {
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

/// An error of a call that was never made, as a caller of `api` reads it.
#[must_use]
pub fn refusal(id: RequestId, api: Api, error: &Error) -> Reply {
    error_reply(Head::new(id, 200, api.speaks()), error)
}

/// An error as the caller reads it.
pub(super) fn error_reply(mut head: Head, error: &Error) -> Reply {
    head.status = error.status();
    head.retry_after = error.retry_after;
    head.retried = error.retried;
    head.code = Some(error.code);
    let body = head.speaks.dialect().error_body(error, head.id.text().as_str());
    Reply { head, body: Body::Whole(body) }
}
