//! Calls for embeddings that arrive within a moment of each other: one call of the provider for all of them.
//!
//! Only calls of one project, one target and equal settings are merged. Each caller has an attempt of its own with a deadline of
//! its own, and is charged its share; the call goes on as long as one of them waits.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until};

use super::answer::{AnswerRoom, Answered, MAX_WHOLE, of_vectors};
use super::attempt::{Attempts, Turn, note_failure};
use super::bodies::RoomBound;
use super::merges::{Like, MOST_BYTES, MOST_INPUTS, Member, Part, Waiting};
use super::meter::Meter;
use super::price::Pricing;
use super::reserve::Attempt;
use super::state::Parts;
use super::unanswered::Unanswered;
use crate::chat::{Error, Usage};
use crate::routing::Target;
use crate::types::Nanos;
use crate::upstream::{Call, Failure, Operation, Phase, ProviderClient};
use crate::wire::dialect::BadAnswer;
use crate::wire::json::Object;
use crate::wire::merged_embeddings::{Share, inputs, merged, settings, shares, split};

/// What became of an attempt.
type Outcome = Result<(Attempt, Answered), Failure>;

/// How a merged call is made.
struct How {
    parts: Arc<Parts>,
    client: Arc<ProviderClient>,
    target: Arc<Target>,
    pricing: Pricing,
    /// The room that the answer takes while it is read: of the first caller's key.
    room: (RoomBound, Arc<str>),
    project: Arc<str>,
    shares: bool,
}

impl Attempts<'_> {
    /// How long a request may wait for others to be one call with them; `None` where it goes out alone.
    pub(super) fn merge_window(&self, turn: &Turn<'_>) -> Option<Duration> {
        if turn.upstream_request.operation != Operation::Embeddings {
            return None;
        }
        let window = turn.client.provider().batch_window?;
        self.deadline.is_none_or(|deadline| Instant::now() + window < deadline).then_some(window)
    }

    /// One attempt that is part of a merged call; `None` where it must go out alone. What went wrong for all of them may have been
    /// another's, so that the caller then asks by itself: the attempt has its row all the same.
    pub(super) async fn merged(
        &self,
        window: Duration,
        turn: &Turn<'_>,
        meter: &Meter,
    ) -> Result<Option<Outcome>, Error> {
        let Some((like, member)) = self.member(turn) else { return Ok(None) };
        let (client, target, rendering) = (turn.client, turn.target, &turn.rendering);
        let (pricing, most) = self.live.priced(client.provider(), target);
        let attempt = meter.attempt(turn.role, target, pricing.clone(), rendering.reserve(most)).await?;
        let joined = meter.parts().merges.join(&like, member);
        if joined.is_first {
            let how = Arc::new(How {
                parts: meter.parts().clone(),
                client: client.clone(),
                target: target.clone(),
                pricing,
                room: (self.live.answers, self.incoming.key.id.clone()),
                project: self.incoming.key.project.clone(),
                shares: self.incoming.key.shares,
            });
            if let Some(full) = joined.full {
                how.parts.tasks.spawn(go_out(how.clone(), full));
            }
            how.parts.tasks.clone().spawn(after(window, how, like));
        }
        let failure = match self.part(joined.part).await {
            Part::Answer(share, cost) => match self.own_answer(share.body, turn) {
                Ok(answered) => {
                    attempt.first_byte();
                    attempt.answer_begins();
                    attempt.charge(cost);
                    return Ok(Some(Ok((attempt, answered))));
                }
                Err(unanswered) => *unanswered,
            },
            Part::Failed { failure, is_first } => {
                turn.is_anothers.store(!is_first, Ordering::Relaxed);
                failure.into()
            }
            Part::Alone(failure) => {
                turn.is_anothers.store(false, Ordering::Relaxed);
                note_failure(&failure.into(), &attempt);
                return Ok(None);
            }
        };
        note_failure(&failure, &attempt);
        Ok(Some(Err(client.redacted(failure.failure))))
    }

    /// The request as part of a merged call; `None` where it asks for too much, or for what cannot be merged.
    fn member(&self, turn: &Turn<'_>) -> Option<(Like, Member)> {
        let request = Object::read_tokens(turn.upstream_request.body.clone()).ok()?;
        let inputs = inputs(&request).filter(|inputs| inputs.count < MOST_INPUTS && inputs.bytes < MOST_BYTES)?;
        let like = Like {
            project: self.incoming.key.project.clone(),
            target: turn.target.id.clone(),
            settings: settings(&request),
            are_texts: inputs.are_texts,
            client: Arc::as_ptr(turn.client) as usize,
        };
        let (weight, background) = (turn.rendering.input_tokens(), self.incoming.background);
        Some((like, Member { request, inputs, weight, background }))
    }

    /// The part that is this caller's, within its own limit of time.
    async fn part(&self, part: oneshot::Receiver<Part>) -> Part {
        let failed = |failure| Part::Failed { failure, is_first: true };
        let passed = async {
            match self.deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            part = part => part.unwrap_or_else(|_| failed(Failure::Closing)),
            () = passed => failed(Failure::TimedOut(Phase::Caller)),
        }
    }

    fn own_answer(&self, body: Bytes, turn: &Turn<'_>) -> Result<Answered, Box<Unanswered>> {
        let room = &mut AnswerRoom::new(&self.parts.answers, self.live.answers, &self.incoming.key.id);
        of_vectors(&turn.rendering, body, turn.upstream_request.dialect, room)
    }
}

/// Waits for others, and makes the call for all that came.
async fn after(window: Duration, how: Arc<How>, like: Like) {
    sleep(window).await;
    // Where those that waited were full, this takes the next ones a little early.
    if let Some(waiting) = how.parts.merges.take(&like) {
        go_out(how, waiting).await;
    }
}

/// Makes the call, and gives each of its callers the part that is its own. Where none waits any more, it ends.
async fn go_out(how: Arc<How>, waiting: Waiting) {
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
        parts = parts(&how, &members) => parts,
        () = unwanted => return,
    };
    how.parts.metrics.saw_merged(&how.target.provider, members.len());
    for (sender, part) in senders.into_iter().zip(parts) {
        // A caller that hung up has its row already.
        let _hung_up = sender.send(part);
    }
}

async fn parts(how: &How, members: &[Member]) -> Vec<Part> {
    let counts: Vec<usize> = members.iter().map(|member| member.inputs.count).collect();
    let weights: Vec<u64> = members.iter().map(|member| member.weight).collect();
    let each = |part: &dyn Fn(usize) -> Part| (0..members.len()).map(part).collect();
    match answer(how, members).await {
        Ok(body) => match split(body, &counts, &weights) {
            Ok(parts) => {
                let costs = costs(&how.pricing, &parts);
                parts.into_iter().zip(costs).map(|(share, cost)| Part::Answer(share, cost)).collect()
            }
            Err(BadAnswer(reason)) => each(&|_| Part::Alone(Failure::Protocol(reason.clone()))),
        },
        Err(failure) if members.len() > 1 && is_one_callers(&failure) => each(&|_| Part::Alone(failure.clone())),
        Err(failure) => each(&|n| Part::Failed { failure: failure.clone(), is_first: n == 0 }),
    }
}

/// Whether each may fare better alone: one text is refused for all, or there is no room for the answers of all.
fn is_one_callers(failure: &Failure) -> bool {
    matches!(failure, Failure::Refused { .. } | Failure::NoRoom(_))
}

/// The merged call's whole answer.
async fn answer(how: &How, members: &[Member]) -> Result<Bytes, Failure> {
    let requests: Vec<&Object> = members.iter().map(|member| &member.request).collect();
    let body = merged(&requests).ok_or_else(|| Failure::Protocol("its requests cannot be merged".to_owned()))?;
    let call = Call {
        operation: Operation::Embeddings,
        model: &how.target.model,
        stream: false,
        headers: http::HeaderMap::new(),
        body,
        deadline: None,
        project: &how.project,
        shares: how.shares,
        background: members.iter().all(|member| member.background),
    };
    let (bound, key) = &how.room;
    let mut room = how.parts.answers.room(*bound, key);
    let mut reach = |bytes| room.reach(bytes).map_err(|error| Failure::NoRoom(Box::new(error)));
    let read = async {
        let mut answer = how.client.send(call).await?;
        let first = answer.piece().await?;
        answer.rest(first, MAX_WHOLE, &mut reach).await
    };
    let closing = how.parts.closing.cancelled();
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
