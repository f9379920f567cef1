//! Calls for embeddings that arrive within a moment of each other: one call of the provider for all of them.
//!
//! Only calls of one project, one target and equal settings are merged. Each caller has an attempt of its own with a deadline of
//! its own, and is charged its share; the call goes on as long as one of them waits. A failure that may be one text's fault counts
//! against nobody: each is asked alone then.

use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::answer::{AnswerRoom, Answered, of_vectors};
use super::attempt::{Attempts, Turn, note_failure};
use super::merged_call::{Mergeable, Merged};
use super::merges::Part;
use super::meter::Meter;
use super::rendering::Rendering;
use super::reserve::Attempt;
use super::unanswered::Unanswered;
use crate::chat::Error;
use crate::upstream::{Failure, Operation};

/// What became of an attempt.
type Outcome = Result<(Attempt, Answered), Failure>;

impl Attempts<'_> {
    /// One attempt: its intent, the call, which may be one with others', and its row where it failed.
    pub(super) async fn once(&self, turn: &Turn<'_>, rendering: &Rendering, meter: &Meter) -> Result<Outcome, Error> {
        let trial = match turn.may_merge() {
            false => None,
            true => match Box::pin(self.merged(turn, meter)).await? {
                Merged::Ended(outcome) => return Ok(outcome),
                Merged::Alone(trial) => trial,
            },
        };
        let outcome = self.alone(turn, rendering, meter).await?;
        if let Some(trial) = trial {
            trial.saw(outcome.is_ok());
        }
        Ok(outcome)
    }

    /// One attempt that is part of a merged call. What went wrong for all of them may have been another's, so that the caller
    /// then asks by itself: the attempt has its row all the same.
    async fn merged(&self, turn: &Turn<'_>, meter: &Meter) -> Result<Merged<Outcome>, Error> {
        let (client, target, rendering) = (turn.client, turn.target, &turn.rendering);
        let Self { live, incoming, deadline, .. } = *self;
        let mergeable = Mergeable { parts: meter.parts(), live, incoming, client, target, deadline };
        let Some(window) = mergeable.window() else { return Ok(Merged::Alone(None)) };
        let member = mergeable.member(turn.upstream_request.body.clone(), rendering.input_tokens());
        let Some(member) = member else { return Ok(Merged::Alone(None)) };
        let (pricing, most) = live.priced(client.provider(), target);
        let attempt = meter.attempt(turn.role, target, pricing.clone(), rendering.reserve(most)).await?;
        let failure = match mergeable.part(window, pricing, member).await {
            Part::Answer(share, cost) => match self.own_answer(share.body, turn) {
                Ok(answered) => {
                    attempt.first_byte();
                    attempt.answer_begins();
                    attempt.charge(cost);
                    return Ok(Merged::Ended(Ok((attempt, answered))));
                }
                Err(unanswered) => *unanswered,
            },
            Part::Failed { failure, is_first } => {
                turn.is_anothers.store(!is_first, Ordering::Relaxed);
                failure.into()
            }
            Part::Alone(failure, trial) => {
                turn.is_anothers.store(false, Ordering::Relaxed);
                note_failure(&failure.into(), &attempt, rendering.endpoint);
                return Ok(Merged::Alone(trial));
            }
        };
        note_failure(&failure, &attempt, rendering.endpoint);
        Ok(Merged::Ended(Err(client.redacted(failure.failure))))
    }

    fn own_answer(&self, body: Bytes, turn: &Turn<'_>) -> Result<Answered, Box<Unanswered>> {
        let room = &mut AnswerRoom::new(&self.parts.answers, self.live.answers, &self.incoming.key.id);
        of_vectors(&turn.rendering, body, turn.upstream_request.dialect, room)
    }
}

impl Turn<'_> {
    /// Whether what it sends may be part of a merged call.
    fn may_merge(&self) -> bool {
        self.upstream_request.operation == Operation::Embeddings && self.client.provider().batch_window.is_some()
    }
}
