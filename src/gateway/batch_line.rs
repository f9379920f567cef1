//! A line of a batch that its provider's own batch API runs: planned like a call, sent by others, and settled when its
//! answer comes.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::answer::written_in;
use super::assign::noted;
use super::incoming::Incoming;
use super::plan::Moment;
use super::prepared::{Known, Prepared};
use super::reply::{Body, Head, Reply, error_reply};
use super::state::Gateway;
use crate::chat::{CallIds, Code, Error, Usage};
use crate::routing::Target;
use crate::telemetry::AttemptSeen;
use crate::types::{Nanos, RequestId, Timestamp, now};
use crate::usage::{Assignment, AttemptRow, RequestRow, SegmentRefs, Settlement, Status};
use crate::wire::dialect::AnswerContext;
use crate::wire::endpoint::{Endpoint, Task};
use crate::wire::{DialectId, written};

/// A line as its provider gets it.
pub struct PreparedLine {
    /// The body, in the provider's dialect.
    pub body: Bytes,
    /// What must be known when its answer comes.
    pub handed: HandedOver,
}

/// What must be known of a line when its answer comes, perhaps after a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandedOver {
    /// The ledger's id of the call.
    pub id: String,
    /// When it was handed over, in microseconds.
    pub at: i64,
    /// The provider.
    pub provider: Arc<str>,
    /// The provider's name of the model.
    pub model: Arc<str>,
    /// The model as the line named it.
    pub requested_model: Arc<str>,
    /// The model as its answer names it.
    pub told_model: String,
    /// The route taken.
    pub route: Option<Arc<str>>,
    /// The prompt used.
    pub prompt: Option<Arc<str>>,
    /// Its version.
    pub version: Option<u32>,
    /// The caller's own user.
    pub user: Option<Arc<str>>,
    /// The route of the provider that the line calls: it decides the dialect of the answer.
    pub path: String,
    /// Estimated tokens of the request.
    pub input_tokens: u64,
    /// Why it went where it went, JSON.
    pub trace: Option<Arc<str>>,
    /// The arm that an experiment gave it.
    #[serde(default)]
    pub assigned: Option<Box<Assignment>>,
}

/// The answer of a provider's batch API to a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineAnswer {
    /// The HTTP status that a call would have had.
    pub status: u16,
    /// The body that a call would have had.
    pub body: Bytes,
}

/// Whose line it is.
pub struct Owner {
    /// What it calls.
    pub endpoint: Endpoint,
    /// Whose it is.
    pub project: Arc<str>,
    /// The key it calls with.
    pub key_id: Arc<str>,
    /// Its tags.
    pub tags: Vec<(Arc<str>, Arc<str>)>,
}

/// How an answer is read.
struct Observed {
    reply: Reply,
    usage: Option<Usage>,
    error: Option<Code>,
}

impl Gateway {
    /// The provider that a line leads to, and what it gets there; calls nobody. `None` where that provider's batches are run
    /// by Fulcrum.
    ///
    /// # Errors
    /// What the call itself would be refused with.
    pub fn prepare_line(&self, mut incoming: Incoming) -> Result<Option<PreparedLine>, Error> {
        let (parts, live) = (self.parts().clone(), self.live());
        let prepared = Prepared::of((&parts, &live), &mut incoming, &mut Known::default(), Moment::here());
        // What its text means is asked when Fulcrum calls for it.
        if incoming.judged.is_some() {
            return Ok(None);
        }
        let Prepared { request, plan } = prepared?;
        // The answers of a cascade are looked at one by one.
        if plan.cascade.is_some() {
            return Ok(None);
        }
        let Some(target) = plan.targets.first() else { return Ok(None) };
        let Some(client) = live.clients.get(&target.provider) else { return Ok(None) };
        let provider = client.provider();
        if !provider.native_batches || (plan.local_only && !provider.local) {
            return Ok(None);
        }
        let rendering = request.rendering(target)?;
        let upstream_request = rendering.for_target(&incoming, (client, target), &live.prices)?;
        if !upstream_request.undo.is_empty() {
            // What was changed for the target, such as names of tools, is restored in answers to calls of our own only.
            return Ok(None);
        }
        let resolved = request.prompt();
        if let Some(resolved) = resolved {
            parts.prompts.touch(&resolved.version.name, now());
        }
        let handed = HandedOver {
            id: incoming.id.to_string(),
            at: incoming.started_at.0,
            provider: target.provider.clone(),
            model: target.model.clone(),
            requested_model: request.requested().chars().take(256).collect::<String>().into(),
            told_model: rendering.asked.model.clone(),
            route: plan.route.clone(),
            prompt: resolved.map(|resolved| resolved.version.name.shared()),
            version: resolved.map(|resolved| resolved.version.version),
            user: incoming.user.clone(),
            path: upstream_request.operation.path().to_owned(),
            input_tokens: rendering.input_tokens(),
            trace: Some(plan.trace()),
            assigned: resolved.and_then(|resolved| resolved.assigned.as_ref()).map(|to| Box::new(noted(to))),
        };
        Ok(Some(PreparedLine { body: upstream_request.body, handed }))
    }

    /// The answer of a line as its caller reads it, with its tokens; its row stands in the ledger then, at the batch's price.
    /// `settled`: the row stands there already, from before a crash.
    ///
    /// # Errors
    /// Where the ledger cannot take the row: then the answer may not be stored.
    pub async fn settle_line(
        &self,
        owner: &Owner,
        handed: &HandedOver,
        answer: &LineAnswer,
        settled: bool,
    ) -> Result<(Reply, Usage), Error> {
        let id: RequestId = handed.id.parse().unwrap_or_default();
        let status = answer.status;
        let Observed { mut reply, usage, error } = self.observe(owner, handed, answer);
        let (cost, rate) = self.batch_cost(handed, usage.as_ref());
        reply.head.cost = cost;
        if settled {
            return Ok((reply, usage.unwrap_or_default()));
        }
        let outcome = if error.is_none() { Status::Ok } else { Status::Error };
        let code: Option<Arc<str>> = error.map(|code| code.text().into());
        let latency_us = u64::try_from((now() - Timestamp(handed.at)).as_micros()).unwrap_or(u64::MAX);
        let attempt = AttemptRow {
            n: 1,
            provider: handed.provider.clone(),
            model: handed.model.clone(),
            status: outcome,
            http_status: Some(status),
            error_code: code.clone(),
            started_at: Timestamp(handed.at),
            latency_us,
            usage,
            cost,
            rate,
            ..AttemptRow::default()
        };
        let request = RequestRow {
            id,
            started_at: Timestamp(handed.at),
            project: owner.project.clone(),
            key_id: owner.key_id.clone(),
            user: handed.user.clone(),
            tags: owner.tags.clone(),
            endpoint: owner.endpoint.shared_name(),
            requested_model: handed.requested_model.clone(),
            provider: Some(handed.provider.clone()),
            model: Some(handed.model.clone()),
            route: handed.route.clone(),
            prompt: handed.prompt.clone(),
            version: handed.version,
            status: outcome,
            http_status: reply.head.status,
            error_code: code,
            usage,
            cost,
            unpriced: cost.is_none(),
            latency_us,
            trace: handed.trace.clone(),
            assigned: handed.assigned.clone(),
            ..RequestRow::default()
        };
        let settlement = Settlement { request: Box::new(request), attempts: vec![attempt], bodies: None };
        self.record(settlement).await?;
        Ok((reply, usage.unwrap_or_default()))
    }

    /// Puts a line's rows into the ledger, and counts its tokens and cost; not its time, which is its batch's.
    async fn record(&self, settlement: Settlement) -> Result<(), Error> {
        let (project, attempts) = (settlement.request.project.clone(), settlement.attempts.clone());
        let parts = self.parts();
        parts.ledger.settle(settlement, SegmentRefs::default()).await?;
        for AttemptRow { provider, model, error_code, cost, usage, .. } in &attempts {
            let seen = AttemptSeen {
                provider,
                model,
                project: &project,
                outcome: error_code.as_deref().and_then(Code::of).map_or("ok", Code::text),
                cost_nanos: cost.unwrap_or_default().0,
            };
            parts.metrics.saw_attempt(&seen);
            parts.metrics.saw_tokens(&seen, &usage.unwrap_or_default());
        }
        Ok(())
    }

    /// Reads the answer of a provider, which is in its own dialect.
    fn observe(&self, owner: &Owner, handed: &HandedOver, answer: &LineAnswer) -> Observed {
        let own = owner.endpoint.dialect();
        let mut head = Head::new(handed.id.parse().unwrap_or_default(), answer.status, own);
        head.model = Some(format!("{}/{}", handed.provider, handed.model).into());
        head.route.clone_from(&handed.route);
        head.attempts = 1;
        if !(200..300).contains(&answer.status) {
            let live = self.live();
            let error = match live.clients.get(&handed.provider) {
                Some(client) => {
                    let failure = client.failure(answer.status, &HeaderMap::new(), &answer.body);
                    failure.into_error(&format!("{}/{}", handed.provider, handed.model))
                }
                None => Error::new(Code::UpstreamError, format!("status {}", answer.status)),
            };
            let code = error.code;
            return Observed { reply: error_reply(head, &error), usage: None, error: Some(code) };
        }
        if let Some((error, usage)) = failure(owner, handed, &answer.body) {
            let code = error.code;
            return Observed { reply: error_reply(head, &error), usage, error: Some(code) };
        }
        match Self::translate(owner, handed, &answer.body) {
            Ok((body, usage)) => {
                Observed { reply: Reply { head, body: Body::Whole(body) }, usage: Some(usage), error: None }
            }
            Err(reason) => {
                let live = self.live();
                let reason = live.clients.get(&handed.provider).map(|client| client.redacted_text(reason));
                let reason = reason.unwrap_or_default();
                let error = Error::new(Code::UpstreamProtocol, format!("the batch's answer cannot be read: {reason}"));
                Observed { reply: error_reply(head, &error), usage: None, error: Some(error.code) }
            }
        }
    }

    /// A good answer in the caller's dialect, and its tokens.
    fn translate(owner: &Owner, handed: &HandedOver, body: &Bytes) -> Result<(Bytes, Usage), String> {
        let estimate = |output| Usage { input: handed.input_tokens, output, estimated: true, ..Usage::default() };
        let own = owner.endpoint.dialect();
        if matches!(owner.endpoint.task(), Task::Embed { .. }) {
            let usage = owner.endpoint.usage(body).map_err(|bad| bad.0)?;
            return Ok((body.clone(), usage.unwrap_or_else(|| estimate(0))));
        }
        let theirs = spoken_at(&handed.path).unwrap_or(own);
        if theirs == own {
            let observed = own.codec().observe(body).map_err(|bad| bad.0)?;
            return Ok((body.clone(), observed.usage.unwrap_or_else(|| estimate(written_in(body, own)))));
        }
        let mut response = theirs.codec().read_response(body).map_err(|bad| bad.0)?;
        let usage = response.usage.unwrap_or_else(|| estimate(written::tokens_of(&response)));
        response.usage = Some(usage);
        CallIds::of(&handed.id).settle(&mut response);
        let context = AnswerContext {
            model: handed.told_model.clone(),
            include_usage: true,
            choices: 1,
            input_tokens: handed.input_tokens,
            created: handed.at / 1_000_000,
            id: handed.id.clone(),
            // A line's request is not stored until its answer comes.
            request: None,
        };
        Ok((own.codec().write_response(&response, &context), usage))
    }

    /// What a line costs at its provider's batch price, and the rate.
    fn batch_cost(&self, handed: &HandedOver, usage: Option<&Usage>) -> (Option<Nanos>, Option<Arc<str>>) {
        let live = self.live();
        let Some(client) = live.clients.get(&handed.provider) else { return (None, None) };
        let provider = client.provider();
        let target = Target { local: provider.local, ..Target::of(&handed.provider, &handed.model) };
        let pricing = live.pricing(provider, &target).batched();
        let Some(usage) = usage else { return (Some(Nanos(0)), pricing.text()) };
        pricing.charge(&(*usage).into())
    }
}

/// Why an answer with the status 200 failed all the same, and the usage that it reports.
fn failure(owner: &Owner, handed: &HandedOver, body: &[u8]) -> Option<(Error, Option<Usage>)> {
    let codec = spoken_at(&handed.path).unwrap_or(owner.endpoint.dialect()).codec();
    let answer = serde_json::from_slice(body).ok()?;
    Some((codec.failure(&answer)?, codec.usage(&answer)))
}

/// What is spoken at a provider's route.
fn spoken_at(path: &str) -> Option<DialectId> {
    match path {
        "/chat/completions" => Some(DialectId::OpenAiChat),
        "/responses" => Some(DialectId::OpenAiResponses),
        "/messages" => Some(DialectId::Anthropic),
        _ => None,
    }
}
