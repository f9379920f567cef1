//! One call of a provider for the embeddings of many callers: what joins it, and what each of them gets of it.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until};

use super::answer::MAX_WHOLE;
use super::bodies::RoomBound;
use super::fault::fault_of;
use super::incoming::Incoming;
use super::merge_limits::{Trial, Whose};
use super::merges::{Like, MOST_BYTES, Member, Part, Waiting};
use super::price::Pricing;
use super::state::{Live, Parts};
use crate::chat::Usage;
use crate::routing::{Fault, Target};
use crate::types::Nanos;
use crate::upstream::{Call, Failure, Operation, Phase, ProviderClient};
use crate::wire::dialect::BadAnswer;
use crate::wire::json::Object;
use crate::wire::merged_embeddings::{Share, inputs, merged, settings, shares, split};

/// A call for embeddings in OpenAI's shape that may wait for others, to be one call with them.
pub(super) struct Mergeable<'a> {
    pub(super) parts: &'a Arc<Parts>,
    pub(super) live: &'a Live,
    pub(super) incoming: &'a Incoming,
    pub(super) client: &'a Arc<ProviderClient>,
    pub(super) target: &'a Arc<Target>,
    /// When its caller waits no longer.
    pub(super) deadline: Option<Instant>,
}

/// What became of an attempt that was to be part of a merged call.
pub(super) enum Merged<T> {
    /// It ended so.
    Ended(T),
    /// The caller must ask by itself; how that fares is noted where the merged call may have been too large.
    Alone(Option<Arc<Trial>>),
}

/// How a merged call is made.
struct MergedCall {
    parts: Arc<Parts>,
    client: Arc<ProviderClient>,
    target: Arc<Target>,
    pricing: Pricing,
    /// The room that the answer takes while it is read: of the first caller's key.
    room: (RoomBound, Arc<str>),
    project: Arc<str>,
    shares: bool,
}

impl MergedCall {
    fn whose(&self) -> Whose {
        Whose { project: self.project.clone(), target: self.target.id.clone() }
    }
}

impl Mergeable<'_> {
    /// How long it may wait for others; `None` where it goes out alone.
    pub(super) fn window(&self) -> Option<Duration> {
        let window = self.client.provider().batch_window?;
        self.deadline.is_none_or(|deadline| Instant::now() + window < deadline).then_some(window)
    }

    /// A request as part of a merged call, with its tokens by estimate; `None` where it asks for too much, for what cannot be
    /// merged, or where merged calls of its project failed lately.
    pub(super) fn member(&self, request: Bytes, weight: u64) -> Option<(Like, Member)> {
        let whose = Whose { project: self.incoming.key.project.clone(), target: self.target.id.clone() };
        let most = self.parts.merges.limits.most(&whose, Instant::now());
        if most < 2 {
            return None;
        }
        let request = Object::read_tokens(request).ok()?;
        let inputs = inputs(&request).filter(|inputs| inputs.count < most && inputs.bytes < MOST_BYTES)?;
        let like = Like {
            project: whose.project,
            target: whose.target,
            settings: settings(&request),
            are_texts: inputs.are_texts,
            client: Arc::as_ptr(self.client) as usize,
        };
        let (key, background) = (self.incoming.key.id.clone(), self.incoming.background);
        Some((like, Member { request, inputs, weight, background, key, most }))
    }

    /// Joins those that are like it, and waits for its part within its own limit of time.
    pub(super) async fn part(&self, window: Duration, pricing: Pricing, (like, member): (Like, Member)) -> Part {
        let joined = self.parts.merges.join(&like, member);
        if joined.is_first {
            let call = Arc::new(MergedCall {
                parts: self.parts.clone(),
                client: self.client.clone(),
                target: self.target.clone(),
                pricing,
                room: (self.live.answers, self.incoming.key.id.clone()),
                project: self.incoming.key.project.clone(),
                shares: self.incoming.key.shares,
            });
            if let Some(full) = joined.full {
                self.parts.tasks.spawn(go_out(call.clone(), full));
            }
            self.parts.tasks.spawn(after(window, call, like));
        }
        let failed = |failure| Part::Failed { failure, is_first: true };
        let passed = async {
            match self.deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            part = joined.part => part.unwrap_or_else(|_| failed(Failure::Closing)),
            () = passed => failed(Failure::TimedOut(Phase::Caller)),
        }
    }
}

/// Waits for others, and makes the call for all that came.
async fn after(window: Duration, call: Arc<MergedCall>, like: Like) {
    sleep(window).await;
    // Where those that waited were full, this takes the next ones a little early.
    if let Some(waiting) = call.parts.merges.take(&like) {
        go_out(call, waiting).await;
    }
}

/// Makes the call, and gives each of its callers the part that is its own. Where none waits any more, it ends.
async fn go_out(call: Arc<MergedCall>, waiting: Waiting) {
    let (members, mut senders): (Vec<Member>, Vec<oneshot::Sender<Part>>) =
        waiting.members.into_iter().filter(|(_, sender)| !sender.is_closed()).unzip();
    if members.is_empty() {
        return;
    }
    let unwanted = async {
        for sender in &mut senders {
            sender.closed().await;
        }
    };
    let parts = tokio::select! {
        biased;
        parts = parts(&call, &members) => parts,
        () = unwanted => return,
    };
    call.parts.metrics.saw_merged(&call.target.provider, members.len());
    for (sender, part) in senders.into_iter().zip(parts) {
        // A caller that hung up has its row already.
        let _hung_up = sender.send(part);
    }
}

async fn parts(call: &MergedCall, members: &[Member]) -> Vec<Part> {
    let counts: Vec<usize> = members.iter().map(|member| member.inputs.count).collect();
    let weights: Vec<u64> = members.iter().map(|member| member.weight).collect();
    let limits = &call.parts.merges.limits;
    let each = |part: &dyn Fn(usize) -> Part| (0..members.len()).map(part).collect();
    match answer(call, members).await {
        Ok(body) => match split(body, &counts, &weights) {
            Ok(parts) => {
                if members.len() > 1 {
                    limits.succeeded(&call.whose(), Instant::now());
                }
                let costs = costs(&call.pricing, &parts);
                parts.into_iter().zip(costs).map(|(share, cost)| Part::Answer(share, cost)).collect()
            }
            Err(BadAnswer(reason)) => {
                limits.failed(&call.whose(), Instant::now());
                each(&|_| Part::Alone(Failure::Protocol(reason.clone()), None))
            }
        },
        Err(failure) if members.len() > 1 && may_be_one_texts(&failure) => {
            limits.failed(&call.whose(), Instant::now());
            let trial = may_be_its_size(&failure).then(|| trial(call, &counts));
            each(&|_| Part::Alone(failure.clone(), trial.clone()))
        }
        Err(failure) => {
            let of_all = counts_for_all(&failure);
            let is_first = |n: usize| n == 0 || !of_all && members[..n].iter().all(|one| one.key != members[n].key);
            each(&|n| Part::Failed { failure: failure.clone(), is_first: is_first(n) })
        }
    }
}

/// Whether each may fare better alone: one text is refused, or is too much for the server, for all of them, or there is no room for
/// the answers of all. What the target says of itself or of the provider's key holds for each.
fn may_be_one_texts(failure: &Failure) -> bool {
    match failure {
        Failure::Refused { .. } => !failure.is_forbidden() && !failure.is_gone(),
        Failure::Server { status, error } => !matches!(status, 503 | 529) && error.retry_after.is_none(),
        Failure::TimedOut(phase) => !matches!(phase, Phase::Connect | Phase::Caller),
        Failure::Protocol(_) | Failure::NoRoom(_) => true,
        Failure::Connect(_) | Failure::Throttled { .. } | Failure::Auth { .. } | Failure::Busy | Failure::Closing => {
            false
        }
    }
}

/// Whether a server may have refused a call for the number of its inputs.
fn may_be_its_size(failure: &Failure) -> bool {
    matches!(failure, Failure::Refused { status: 400 | 413 | 422, .. })
}

/// Whether a failure counts against its target for all keys, so that one of its parts notes it.
fn counts_for_all(failure: &Failure) -> bool {
    let paused = |fault| matches!(fault, Fault::Paused { .. } | Fault::Throttled { retry_after: Some(_) });
    fault_of(failure).is_some_and(|fault| fault == Fault::Unreachable || paused(fault))
}

fn trial(call: &MergedCall, counts: &[usize]) -> Arc<Trial> {
    Arc::new(Trial {
        limits: call.parts.merges.limits.clone(),
        whose: call.whose(),
        inputs: counts.iter().sum(),
        parts: counts.len(),
        passed: AtomicUsize::new(0),
        failed: AtomicUsize::new(0),
    })
}

/// The merged call's whole answer.
async fn answer(call: &MergedCall, members: &[Member]) -> Result<Bytes, Failure> {
    let requests: Vec<&Object> = members.iter().map(|member| &member.request).collect();
    let body = merged(&requests).ok_or_else(|| Failure::Protocol("its requests cannot be merged".to_owned()))?;
    let sent = Call {
        operation: Operation::Embeddings,
        model: &call.target.model,
        stream: false,
        headers: http::HeaderMap::new(),
        body,
        deadline: None,
        project: &call.project,
        shares: call.shares,
        background: members.iter().all(|member| member.background),
    };
    let (bound, key) = &call.room;
    let mut room = call.parts.answers.room(*bound, key);
    let mut reach = |bytes| room.reach(bytes).map_err(|error| Failure::NoRoom(Box::new(error)));
    let read = async {
        let mut answer = call.client.send(sent).await?;
        let first = answer.piece().await?;
        answer.rest(first, MAX_WHOLE, &mut reach).await
    };
    let closing = call.parts.closing.cancelled();
    tokio::select! {
        biased;
        read = read => read,
        () = closing => Err(Failure::Closing),
    }
}

/// What each part costs; the sum is what the whole call costs.
fn costs(pricing: &Pricing, parts: &[Share]) -> Vec<Option<Nanos>> {
    let tokens: Option<Vec<u64>> = parts.iter().map(|part| part.tokens).collect();
    let whole = tokens.as_ref().and_then(|tokens| {
        let input = tokens.iter().fold(0u64, |sum, tokens| sum.saturating_add(*tokens));
        pricing.cost(&Usage { input, ..Usage::default() }.into())
    });
    let Some((tokens, Nanos(whole))) = tokens.zip(whole) else { return vec![None; parts.len()] };
    let costs = shares(u64::try_from(whole).unwrap_or(0), &tokens);
    costs.into_iter().map(|cost| Some(Nanos(i64::try_from(cost).unwrap_or(i64::MAX)))).collect()
}
